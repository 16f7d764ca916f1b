"""The requests that arrive at a server: when, for which model, and how long each runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..catalogue import Catalogue
from ..demand import Trace
from ..errors import InputError, unknown

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Arrivals:
    """The requests that arrive at a server.

    Parameters
    ----------
    time_s : array of float, shape (N,)
        Seconds from the start, ascending.
    model : array of int, shape (N,)
        Index of the model in the catalogue.
    service_s : array of float, shape (N,)
        How long each request runs.

    Raises
    ------
    InputError
        Where the arrays do not belong together, or a value is not allowed.

    Examples
    --------
    >>> len(Arrivals([0.0, 1.5], [0, 1], [8.0, 8.0]))
    2
    """

    time_s: Any
    model: Any
    service_s: Any

    def __post_init__(self) -> None:
        try:
            time_s, service_s = (np.array(values, dtype=float) for values in (self.time_s, self.service_s))
            model = np.array(self.model)
            whole = model.ndim == 1 and (model.dtype.kind in "iu" or not model.size)
        except (TypeError, ValueError):
            whole = False
        if not whole or not time_s.shape == model.shape == service_s.shape:
            raise InputError("arrivals need one time, one model (a whole number) and one service time per request")
        for name, values in (("time_s", time_s), ("service_s", service_s)):
            bad = np.flatnonzero(~((values >= 0) & (values < 1e12)))
            if bad.size:
                raise InputError(f"{name} of request {bad[0]} is {values[bad[0]]:g}; it must be from 0 to 1e12")
        if (back := np.flatnonzero(np.diff(time_s) < 0)).size:
            raise InputError(f"request {back[0] + 1} arrives before request {back[0]}; times must ascend")
        if model.size and model.min() < 0:
            raise InputError(f"model of request {int(model.argmin())} is {model.min()}; it must be at least 0")
        for name, values in (("time_s", time_s), ("model", model.astype(np.int64)), ("service_s", service_s)):
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @classmethod
    def of_trace(cls, trace: Trace, catalogue: Catalogue, service: str = "fixed", seed: int = 0) -> "Arrivals":
        """Take the requests of a trace.

        Parameters
        ----------
        trace : Trace
            Such as `read_trace` returned. A trace without `time_s` has the requests of a slot at equal distances within it.
        catalogue : Catalogue
            The models of the trace.
        service : str
            How service times vary about the catalogue's inference delay, where the trace has no duration of a request: `fixed`,
            `exponential` or `lognormal`. A duration of the trace is the service time.
        seed : int
            Seed of drawn service times.

        Returns
        -------
        Arrivals

        Raises
        ------
        InputError
            For an unknown distribution, and for times or durations that are not allowed.

        Examples
        --------
        >>> import edgecache as ec
        >>> catalogue = ec.load_catalogue()
        >>> table = {"time": [0, 9], "model": ["text_to_image", "text_to_music"], "took": [8.0, None]}
        >>> trace = ec.Trace.from_table(table, catalogue=catalogue, duration="took")
        >>> Arrivals.of_trace(trace, catalogue).service_s.tolist()
        [8.0, 15.0]
        """
        time_s = _spread(trace.slot) * trace.slot_length_s if trace.time_s is None else trace.time_s
        service_s = drawn_service_times(catalogue.inference_delay_s[trace.model], service, np.random.default_rng(seed))
        if trace.duration_s is not None:
            service_s = np.where(np.isnan(trace.duration_s), service_s, trace.duration_s)
        return cls(time_s, trace.model, service_s)

    def __len__(self) -> int:
        return len(self.model)


def _spread(slot: npt.NDArray[np.int64]) -> Floats:
    """Times in slots: the requests of a slot stand at equal distances within it."""
    _, first, count = np.unique(slot, return_index=True, return_counts=True)
    place = np.arange(len(slot)) - np.repeat(first, count)
    return slot + (place + 0.5) / np.repeat(count, count)


def drawn_service_times(mean_s: npt.ArrayLike, distribution: str, rng: np.random.Generator) -> Floats:
    """Draw service times about given means.

    Parameters
    ----------
    mean_s : array of float
        The mean of each draw, s.
    distribution : str
        `fixed`, `exponential`, or `lognormal` (of coefficient of variation 1).
    rng : numpy.random.Generator
        The source of randomness.

    Returns
    -------
    array of float

    Examples
    --------
    >>> drawn_service_times([2.0, 3.0], "fixed", np.random.default_rng(0)).tolist()
    [2.0, 3.0]
    """
    mean = np.asarray(mean_s, dtype=float)
    if distribution == "fixed":
        return mean.copy()
    if distribution == "exponential":
        return mean * rng.standard_exponential(mean.shape)
    if distribution == "lognormal":
        sigma = np.sqrt(np.log(2.0))
        return mean * rng.lognormal(-(sigma**2) / 2, sigma, mean.shape)
    raise unknown("distribution of service times", distribution, ("fixed", "exponential", "lognormal"))
