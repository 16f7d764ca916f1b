"""The arrays of a trace: checked, and made of the forms that a user may give them in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .catalogue import Catalogue
from .errors import InputError, unknown

ROUNDING = 1e-9  # a sum of shares this close to one is one


def indices_of(models: Any, catalogue: Catalogue | None) -> Any:
    """The indices of models that are given by name; indices as they are."""
    if isinstance(models, np.ndarray) and models.dtype.kind not in "OSUT":
        return models
    names = models.tolist() if isinstance(models, np.ndarray) else models
    if not isinstance(names, Sequence) or not any(isinstance(name, str) for name in names):
        return models
    if catalogue is None:
        raise InputError("the models of the trace are named; give its catalogue, or their indices")
    index = {service: number for number, service in enumerate(catalogue.services)}
    for name in names:
        if name not in index:
            raise unknown("model of the trace", name, catalogue.services)
    return [index[name] for name in names]


def whole_numbers(name: str, values: Any) -> npt.NDArray[np.int64]:
    """Whole numbers as int64 (N,), copied."""
    try:
        array = np.array(values)
        whole = array.ndim == 1 and (array.dtype.kind in "iu" or not array.size)
    except ValueError:
        whole = False
    if not whole:
        raise InputError(f"{name} of a trace is {shortened(values)}; it must be a sequence of whole numbers, one per request")
    return array.astype(np.int64)


def shares_of(given: Any, model: npt.NDArray[np.int64], catalogue: Catalogue | None) -> npt.NDArray[np.float64]:
    """Shares (I,) that sum to one: those given, or those of the trace."""
    if given is None:
        if catalogue is None:
            raise InputError("a trace needs the popularity of its models, or the catalogue to count them by")
        if len(model) and not (model.min() >= 0 and model.max() < len(catalogue)):
            raise InputError(f"the models of a trace must lie between 0 and {len(catalogue) - 1}")
        given = np.bincount(model, minlength=len(catalogue)) if len(model) else np.ones(len(catalogue))
    try:
        shares = np.array(given, dtype=float)
    except (TypeError, ValueError):
        shares = np.empty((0, 0))
    if shares.ndim != 1 or not shares.size or not (np.isfinite(shares) & (shares >= 0)).all() or not 0 < shares.sum() < np.inf:
        raise InputError(
            f"popularity of a trace is {shortened(given)}; it must be one finite number of at least zero per model, not all zero"
        )
    if catalogue is not None and len(shares) != len(catalogue):
        raise InputError(f"popularity of a trace has {len(shares)} numbers, but its catalogue has {len(catalogue)} models")
    return shares if abs(shares.sum() - 1) <= ROUNDING else shares / shares.sum()


def shortened(values: Any) -> str:
    """What was given, on one line of moderate length."""
    text = " ".join(repr(values).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def moments(name: str, values: Any, requests: int) -> npt.NDArray[np.float64] | None:
    """Seconds of each request, float (N,), copied; None where there are none. NaN and what is below zero is refused."""
    if values is None:
        return None
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError):
        array = np.empty((0, 0))
    if array.shape != (requests,):
        raise InputError(f"{name} of a trace is {shortened(values)}; it must be one number of seconds per request")
    fine = array >= 0 if name == "time_s" else (array >= 0) | np.isnan(array)
    if not (fine & ~np.isinf(array)).all():
        request = int(np.argmin(fine & ~np.isinf(array)))
        raise InputError(f"{name} of a trace is {array[request]:g} at request {request}; it must be finite and at least zero")
    if name == "time_s" and (np.diff(array) < 0).any():
        request = int(np.argmax(np.diff(array) < 0)) + 1
        raise InputError(
            f"time_s of a trace is {array[request]:g} at request {request}, after {array[request - 1]:g}; it must ascend"
        )
    array.flags.writeable = False
    return array
