"""Times in any form as seconds from the first: wall clocks, epochs, and seconds from the start of a log."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import InputError, unknown

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # how many of each make a second
# A number of this size or more counts the unit since 1970; a smaller one counts seconds from the start of the log.
EPOCHS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (5e8, "s"))
DAY_S = 86_400.0
FIRST_YEAR, LAST_YEAR = 1678, 2261  # what nanoseconds in 64 bits can hold
FUTURE = "it lies in the future; check the column and the unit of its times"


@dataclass(frozen=True, eq=False)
class Times:
    """The times of N requests, in the order of the log.

    Parameters
    ----------
    seconds : array of float, shape (N,)
        Seconds from the earliest time; NaN where the log has no time.
    start : numpy.datetime64 or None
        The earliest time in UTC; None where the log counts from its own start.
    kind : str
        The form of the times, in words.
    """

    seconds: npt.NDArray[np.float64]
    start: np.datetime64 | None
    kind: str


class BadTime(Exception):
    """A time that cannot be used: the row (from 0), the value, and why."""

    def __init__(self, row: int, value: Any, why: str):
        super().__init__(row, value, why)
        self.row, self.value, self.why = row, value, why


def read_times(column: Any, unit: str = "auto") -> Times:
    """Read a column of times.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Timestamps, numbers or text.
    unit : str
        The unit of numbers: `s`, `ms`, `us` or `ns`. `auto` takes numbers of the size of an epoch for one, and others for seconds.

    Returns
    -------
    Times

    Raises
    ------
    BadTime
        For the first value that is no time, or that lies in the future.
    InputError
        For an unknown unit.

    Examples
    --------
    >>> import pyarrow as pa
    >>> read_times(pa.chunked_array([["2024-05-10T00:00:01.5Z", "2024-05-10 02:00:03+02:00"]])).seconds.tolist()
    [0.0, 1.5]
    >>> read_times(pa.chunked_array([[1715299200000, 1715299200250]])).seconds.tolist()
    [0.0, 0.25]
    """
    import pyarrow as pa

    if unit not in ("auto", *UNITS):
        raise unknown("unit of times", unit, ("auto", *UNITS))
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _wall_clock(_arrow_nanoseconds(column), column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(column.cast(pa.float64(), safe=False).to_numpy(), column, unit)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return _text(column, unit)
    if pa.types.is_null(kind):
        return Times(np.full(len(column), np.nan), None, "no times")
    raise BadTime(0, column[0].as_py(), f"a column of type {kind} holds no times")


def _arrow_nanoseconds(column: Any) -> npt.NDArray[np.int64]:
    """Nanoseconds since 1970, (N,), of a column of timestamps; NaT's integer where there is no time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        wall = column.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:
        years = pc.year(column).fill_null(1970).to_numpy()
        row = int(np.argmax((years < FIRST_YEAR) | (years > LAST_YEAR)))
        raise BadTime(row, column[row].as_py(), FUTURE if years[row] > LAST_YEAR else "it lies too far in the past") from None
    return wall.to_numpy().astype("datetime64[ns]").astype(np.int64)


def _wall_clock(nanoseconds: npt.NDArray[np.int64], column: Any) -> Times:
    """Times of a wall clock, given in nanoseconds since 1970."""
    missing = nanoseconds == np.iinfo(np.int64).min
    if missing.all():
        return Times(np.full(len(nanoseconds), np.nan), None, "no times")
    _refuse_the_future(nanoseconds, column)
    first = nanoseconds.min(where=~missing, initial=np.iinfo(np.int64).max)
    seconds = (nanoseconds - first) / 1e9
    seconds[missing] = np.nan
    return Times(seconds, np.datetime64(int(first), "ns"), "wall clock")


def _refuse_the_future(nanoseconds: npt.NDArray[np.int64], column: Any) -> None:
    """Raise BadTime for a time more than a day ahead of this machine's clock: a wrong unit or a wrong clock."""
    latest = int(nanoseconds.argmax())
    if nanoseconds[latest] > (time.time() + DAY_S) * 1e9:
        raise BadTime(latest, column[latest].as_py(), FUTURE)


def _numbers(values: npt.NDArray[np.float64], column: Any, unit: str) -> Times:
    """Times that are numbers: an epoch, or seconds (or another unit) from the start of the log."""
    finite = np.isfinite(values)
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise BadTime(row, column[row].as_py(), "it is not finite")
    if not finite.any():
        return Times(np.full(len(values), np.nan), None, "no times")
    low, high = values.min(where=finite, initial=np.inf), values.max(where=finite, initial=-np.inf)
    least, chosen = (0.0, unit) if unit != "auto" else next((e for e in EPOCHS if high >= e[0]), (0.0, "s"))
    if low < least:
        row = int(np.nanargmin(values))
        raise BadTime(row, column[row].as_py(), f"the latest time, {high:.15g}, is in {chosen} since 1970, but this one is not")
    seconds = (values - low) / UNITS[chosen]
    if low / UNITS[chosen] < EPOCHS[-1][0]:
        return Times(seconds, None, f"{chosen} from the start of the log")
    since = np.where(finite, np.minimum(values / UNITS[chosen], 9e9), 0.0) * 1e9
    _refuse_the_future(since.astype(np.int64), column)
    return Times(seconds, np.datetime64(int(low / UNITS[chosen] * 1e9), "ns"), f"{chosen} since 1970")


def _refuse_other_bytes(text: Any) -> None:
    """Raise BadTime for the first text that is no UTF-8."""
    import pyarrow as pa

    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(text.cast(pa.binary())):
            try:
                str(value.as_py() or b"", "utf-8")
            except UnicodeDecodeError:
                raise BadTime(row, value.as_py(), "it is no UTF-8 text") from None


def _text(column: Any, unit: str) -> Times:
    """Times that are text: any ISO 8601 form, with or without a zone, else numbers."""
    import pyarrow as pa

    text = column.cast(pa.string())
    try:
        stamps = text.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:  # another form, or a time that nanoseconds cannot hold
        pass
    else:
        return _wall_clock(_arrow_nanoseconds(stamps), text)
    _refuse_other_bytes(text)
    words = text.to_pandas()
    numbers = pd.to_numeric(words, errors="coerce")
    empty = words.isna() | (words.str.strip() == "")
    if (numbers.notna() | empty).all():
        return _numbers(numbers.to_numpy(dtype=float), text, unit)
    try:
        wall = pd.to_datetime(words.where(~empty), format="ISO8601", utc=True, errors="coerce")
    except (ValueError, OverflowError) as error:
        raise InputError(f"the times cannot be read: {error}") from None
    bad = (wall.isna() & ~empty).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise BadTime(row, words.iloc[row], "it is no time: use ISO 8601, seconds, or milliseconds since 1970")
    years = wall.dt.year.fillna(1970).to_numpy()
    if not ((years >= FIRST_YEAR) & (years <= LAST_YEAR)).all():
        row = int(np.argmax((years < FIRST_YEAR) | (years > LAST_YEAR)))
        raise BadTime(row, words.iloc[row], FUTURE if years[row] > LAST_YEAR else "it lies too far in the past")
    return _wall_clock(wall.dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64), text)
