"""Resampling a request log in blocks of time, and the interval that the resampled replications give.

The block bootstrap (Kuensch, Annals of Statistics 17(3), 1989): within a block, such as a day, the order of the requests is kept.
What the log leaves uncertain is the spread of the replications. An interval for their mean shrinks with their number, which adds no
day to the log.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..logs.request_log import RequestLog


def spread(values: npt.ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the middle part of the replications of a resampled log: what the log leaves uncertain.

    Parameters
    ----------
    values : array of float, shape (R,)
        An outcome of each replication, or the difference between two policies in each. At least 100 are advised.
    level : float
        The share of the replications within the interval.

    Returns
    -------
    low, high : float
        The bootstrap percentile interval; NaN with fewer than two replications.

    Examples
    --------
    >>> [round(end, 1) for end in spread(np.arange(101.0))]
    [2.5, 97.5]
    """
    values = np.asarray(values, dtype=float)
    if not 0 < level < 1:
        raise InputError(f"level is {level!r}; it must be between 0 and 1")
    if len(values) < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(values, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def resampled(log: RequestLog, block_s: float, rng: np.random.Generator) -> RequestLog:
    """Draw as many blocks of a log as it has, with replacement, one after the other.

    Parameters
    ----------
    log : RequestLog
        At least one block long.
    block_s : float
        Length of a block, s.
    rng : numpy.random.Generator
        Draws the blocks.

    Returns
    -------
    RequestLog

    Examples
    --------
    >>> from edgecache.logs.reading import log_of_table
    >>> log = log_of_table({"time": [0, 50, 70, 200], "model": ["a", "b", "b", "a"]})
    >>> resampled(log, 100.0, np.random.default_rng(0)).time_s.tolist()
    [0.0, 50.0, 70.0]
    """
    blocks = int(log.time_s[-1] // block_s)
    first = np.searchsorted(log.time_s, np.arange(blocks + 1) * block_s)
    for _ in range(1000):  # a log may have empty blocks; a draw of those alone is no trace
        drawn = rng.integers(0, blocks, blocks)
        place = np.concatenate([np.arange(first[block], first[block + 1]) for block in drawn])
        if len(place) > 1:
            break
    shift = np.repeat((np.arange(blocks) - drawn) * block_s, first[drawn + 1] - first[drawn])
    time_s = log.time_s[place] + shift
    model = None if log.model is None else log.model[place]
    duration = None if log.duration_s is None else log.duration_s[place]
    return replace(log, time_s=time_s - time_s[0], model=model, duration_s=duration, start=None)
