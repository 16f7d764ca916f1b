"""From the columns of a log to its requests: rows dropped and counted, models numbered, times sorted."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .clocks import UNITS, BadTime, Times, read_times
from .formats import LogFormat
from .log_files import Places
from .request_log import RequestLog

MOST_MODELS = 100_000  # distinct ones; a column of more is none of models
MOST_REQUESTS = 100_000_000


def log_of_columns(columns: dict[str, Any], chosen: LogFormat, place: Places, other_lines: int = 0) -> RequestLog:
    """The log of columns that were read; `place` says where a row stands."""
    source, rows = place.source, len(columns[chosen.time])
    if not rows:
        raise InputError(f"{source}: there is a header, but no request")
    if rows > MOST_REQUESTS:
        raise InputError(f"{source}: {rows:,} rows; at most {MOST_REQUESTS:,} are read")
    keep, dropped = _accepted(columns, chosen, rows, source)
    codes, names = _models(columns, chosen, source)
    if codes is not None:
        _drop(keep, dropped, codes >= 0, "without a model")
    try:
        times = read_times(columns[chosen.time], chosen.time_unit)
        seconds, start = times.seconds, times.start
        duration = _durations(columns, chosen, times, source)
    except BadTime as bad:
        raise InputError(f"{place(bad.row)}: {chosen.time} is {str(bad.value)!r}; {bad.why}") from None
    if chosen.ends and duration is not None:
        seconds = seconds - np.nan_to_num(duration)
    _drop(keep, dropped, np.isfinite(seconds), "without a time")
    if other_lines:
        dropped["lines that are no request"] = other_lines
    kept = int(keep.sum())
    if kept < 2:
        why = "; ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
        what = "only one request is left" if kept else "no request is left"
        raise InputError(f"{source}: {what} of {rows:,} rows ({why or 'the log has one'}); a trace needs at least two")
    return _sorted(
        seconds,
        codes,
        names,
        duration,
        keep if kept < rows else None,
        start,
        place=place,
        source=source,
        format=chosen.name,
        about=chosen.about,
        rows=rows + other_lines,
        dropped={reason: count for reason, count in dropped.items() if count},
        clock=times.kind,
    )


def _sorted(
    seconds: Any, codes: Any, names: tuple[str, ...], duration: Any, keep: Any, start: Any, place: Places, **about: Any
) -> RequestLog:
    """The log of the kept rows in the order of time; ties keep their order."""
    rows = _first_rows(codes, keep, len(names)) if codes is not None else np.empty(0, dtype=np.int64)
    if keep is not None:
        seconds, codes, duration = (None if column is None else column[keep] for column in (seconds, codes, duration))
    behind = 0
    if (np.diff(seconds) < 0).any():
        behind = int((seconds < np.maximum.accumulate(seconds)).sum())
        order = np.argsort(seconds, kind="stable")
        seconds, codes, duration = (None if column is None else column[order] for column in (seconds, codes, duration))
    first = float(seconds[0])
    if first:
        seconds = seconds - first
        start = None if start is None else start + np.timedelta64(round(first * 1e9), "ns")
    if codes is not None:
        codes, order = _renumbered(codes, len(names))
        names, rows = tuple(names[number] for number in order), rows[order]
    return RequestLog(
        time_s=seconds,
        model=codes,
        models=names,
        duration_s=duration,
        start=start,
        out_of_order=behind,
        first_rows=rows,
        place=place,
        **about,
    )


def _first_rows(codes: npt.NDArray, keep: npt.NDArray[np.bool_] | None, models: int) -> npt.NDArray[np.int64]:
    """The first kept row of each model, (M,); the number of rows where it has none."""
    first = np.full(models, len(codes))
    rows = np.flatnonzero(keep) if keep is not None else np.arange(len(codes))
    first[codes[rows][::-1]] = rows[::-1]
    return first


def _renumbered(codes: npt.NDArray, models: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number the models that are left in the order of their first request: the new numbers (N,), and the old of each new one."""
    first = _first_rows(codes, None, models)
    order = np.argsort(first, kind="stable")[: int((first < len(codes)).sum())]
    number = np.full(models, -1)
    number[order] = np.arange(len(order))
    return number[codes], order


def _accepted(columns: dict[str, Any], chosen: LogFormat, rows: int, source: str) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Which rows have accepted values, and how many were dropped for each column."""
    keep, dropped = np.ones(rows, dtype=bool), dict[str, int]()
    for name, accepted in chosen.where.items():
        codes, words = _codes(columns[name], source)
        fine = np.array([word in accepted for word in words] + ["" in accepted])
        _drop(keep, dropped, fine[codes], f"whose {name} is not {' or '.join(word for word in accepted if word)}")
    return keep, dropped


def _drop(keep: npt.NDArray[np.bool_], dropped: dict[str, int], fine: npt.NDArray[np.bool_], reason: str) -> None:
    """Drop the rows that are not fine, and count those that no earlier reason dropped."""
    lost = int((keep & ~fine).sum())
    if lost:
        dropped[reason] = lost
        keep &= fine


def _codes(column: Any, source: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The number of each row's word, -1 where there is none, and the words, of a column that is a dictionary of strings."""
    chunks = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in column.chunks]
    try:
        words = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: a name is no UTF-8 text ({error.object[:40]!r})") from None
    return (np.concatenate(chunks) if chunks else np.empty(0)).astype(np.int64), [str(word) for word in words]


def _models(columns: dict[str, Any], chosen: LogFormat, source: str) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    """The number of each row's model, -1 where there is none, and the models' names."""
    if chosen.model is None or chosen.model not in columns:
        return None, ()
    codes, names = _codes(columns[chosen.model], source)
    if len(names) > MOST_MODELS:
        raise InputError(
            f"{source}: the column {chosen.model!r} has {len(names):,} distinct values, such as {names[0]!r}; at most "
            f"{MOST_MODELS:,} models are taken, so it seems to number the requests: name another column with model= (--model)"
        )
    empty = np.array([not name.strip() for name in names] + [True])
    codes[empty[codes]] = -1
    return codes, tuple(names)


def _durations(columns: dict[str, Any], chosen: LogFormat, times: Times, source: str) -> npt.NDArray[np.float64] | None:
    """How long each request took, s, (N,); NaN where the log does not say, or has a negative duration."""
    import pyarrow as pa

    if chosen.end is not None and chosen.end in columns:
        end = read_times(columns[chosen.end], chosen.time_unit)
        if end.start is None or times.start is None:
            return None
        taken = end.seconds - times.seconds + float((end.start - times.start) / np.timedelta64(1, "ns")) / 1e9
        return np.where(taken >= 0, taken, np.nan)
    if chosen.duration is None or chosen.duration not in columns:
        return None
    try:
        values = columns[chosen.duration].cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowInvalid:
        raise InputError(f"{source}: the column {chosen.duration!r} holds durations that are no numbers") from None
    return np.where(values >= 0, values / UNITS[chosen.duration_unit], np.nan)
