"""The slots of a log: equal spans of time, or equal numbers of requests."""

import re

import numpy as np
import numpy.typing as npt

from ..errors import InputError, whole_number

MOST_SLOTS = 100_000_000
SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def slots_of(
    time_s: npt.NDArray[np.float64], slot_s: float, requests_per_slot: int | None, source: str
) -> tuple[npt.NDArray[np.int64], int, float]:
    """Cut a log into slots.

    Parameters
    ----------
    time_s : array of float, shape (N,)
        Seconds from the first request, ascending.
    slot_s : float
        Length of a slot, s. Without effect where `requests_per_slot` is given.
    requests_per_slot : int, optional
        Requests per slot. The slot's length is then the mean one.
    source : str
        The log, for messages.

    Returns
    -------
    slot : array of int, shape (N,)
        The slot of each request.
    slots : int
        How many slots there are, empty ones included.
    slot_length_s : float
        Length of a slot, s.

    Examples
    --------
    >>> slots_of(np.array([0.0, 59.0, 150.0]), 60.0, None, "log")
    (array([0, 0, 2]), 3, 60.0)
    >>> slots_of(np.array([0.0, 59.0, 150.0]), 60.0, 2, "log")
    (array([0, 0, 1]), 2, 75.0)
    """
    count = len(time_s)
    if requests_per_slot is not None:
        whole_number("requests_per_slot", requests_per_slot)
        slots = -(-count // requests_per_slot)
        return np.arange(count) // requests_per_slot, slots, float(time_s[-1] / slots) or 1.0
    if isinstance(slot_s, bool) or not isinstance(slot_s, int | float | np.number) or not 1e-9 <= slot_s < 1e12:
        raise InputError(f"the length of a slot is {slot_s!r}; it must be a number of seconds from 1e-9 to 1e12")
    spanned = float(time_s[-1]) // slot_s + 1
    if spanned > MOST_SLOTS:
        raise InputError(
            f"{source}: {time_s[-1]:,.0f} s are {spanned:,.0f} slots of {slot_s:g} s; at most {MOST_SLOTS:,} are allowed, so take "
            "longer slots, or a number of requests per slot"
        )
    return (time_s // slot_s).astype(np.int64), int(spanned), float(slot_s)


def seconds_of(text: str | float, what: str = "a duration") -> float:
    """A duration as one writes it, in seconds.

    Parameters
    ----------
    text : str or float
        Such as `90`, `60s`, `5m`, `1.5h` or `1d`.
    what : str
        What it is, for messages.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For anything else, and for what is not above zero.

    Examples
    --------
    >>> seconds_of("60s"), seconds_of("1.5h"), seconds_of(90)
    (60.0, 5400.0, 90.0)
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*(?:e-?\d+)?|\.\d+)\s*([a-z]*)\s*", str(text).lower())
    if match is None or match[2] not in SECONDS or not float(match[1]) > 0:
        raise InputError(f"{what} is {text!r}; it must be a number above zero with s, m, h or d behind it, such as 60s")
    return float(match[1]) * SECONDS[match[2]]
