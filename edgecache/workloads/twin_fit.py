"""Fit a twin to a request log."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..demand import random_stream
from ..errors import InputError
from ..logs.facts import HOUR_S, variation
from ..logs.request_log import RequestLog
from .twins import LEVELS, Floats, Twin, operational

LEAST_REQUESTS = 12  # a model with fewer comes at random times of the busy hours
ROUNDS = 12  # of the fit
FIT_DRAWS = 8  # twins drawn in each round


def fit_twin(log: RequestLog, name: str, source: str = "") -> Twin:
    """Fit a twin to a log.

    Parameters
    ----------
    log : RequestLog
        At least some hundred requests over several hours, for models that are named.
    name, source
        What the twin is called, and what it was fitted to.

    Returns
    -------
    Twin
        `check` says how alike the two are.

    Raises
    ------
    InputError
        For a log of less than two hours or of fewer than 100 requests.

    Notes
    -----
    Times between requests are fitted in operational time, so their variation in seconds comes out a little off. The fit corrects
    each model's by a power of its quantiles, and the repeats by mixing, in turns.
    """
    if len(log) < 100 or log.time_s[-1] < 2 * HOUR_S:
        raise InputError(f"{log.source}: a twin is fitted to at least 100 requests over 2 hours")
    order = np.argsort(-log.requests, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    model, requests = rank[log.named], log.requests[order]
    hourly = np.bincount((log.time_s // HOUR_S).astype(np.int64))
    load, hours = operational(hourly.astype(float))
    at = np.interp(log.time_s, hours, load)
    gaps = [_quantiles(np.diff(at[model == number])) if count >= LEAST_REQUESTS else () for number, count in enumerate(requests)]
    twin = Twin(name, source or log.source, tuple(map(int, hourly)), tuple(map(int, requests)), tuple(gaps))
    wanted = _model_cvs(log.time_s, model, len(requests))
    for _ in range(ROUNDS):
        twin = _with_mixing(_with_variation(twin, wanted), log.facts.repeats)
    return twin


def _quantiles(gaps: Floats) -> tuple[float, ...]:
    """The logarithm of the quantiles of the times between requests at LEVELS, those beyond the sample left out."""
    levels = np.append(LEVELS[1 - 0.5 / len(gaps) > LEVELS], 1.0)
    return tuple(np.log(np.quantile(np.maximum(gaps, 1e-3), levels)).tolist())


def _model_cvs(time_s: Floats, model: npt.NDArray[np.int64], models: int) -> Floats:
    """Coefficient of variation of the times between requests of each model, (M,); NaN where there are none."""
    return np.array([variation(np.diff(time_s[model == number])) for number in range(models)])


def _with_variation(twin: Twin, wanted: Floats) -> Twin:
    """The twin with each model's quantiles raised to a power that brings its variation nearer to what is wanted."""
    logs = [twin.log(np.random.default_rng(random_stream(1, draw))) for draw in range(FIT_DRAWS)]
    got = np.mean([_model_cvs(log.time_s, log.named, len(twin.requests)) for log in logs], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        power = np.clip(np.nan_to_num(np.sqrt(wanted / got), nan=1.0, posinf=1.0), 0.7, 1.4)
    return replace(twin, log_gaps=tuple(tuple(power[k] * value for value in row) for k, row in enumerate(twin.log_gaps)))


def _with_mixing(twin: Twin, wanted: float) -> Twin:
    """The twin with the mixing, found by bisection, that has as many repeats as wanted."""
    low, high = -1.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        logs = (replace(twin, mixing=middle).log(np.random.default_rng(random_stream(2, draw))) for draw in range(3))
        many = np.mean([np.mean(log.named[1:] == log.named[:-1]) for log in logs]) > wanted
        low, high = (middle, high) if many else (low, middle)
    return replace(twin, mixing=round((low + high) / 2, 4))
