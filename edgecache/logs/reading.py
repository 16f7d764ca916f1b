"""Read a request log from a file or a table."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, require
from .access_lines import read_lines
from .columns import log_of_columns
from .formats import LogFormat, find_format
from .json_files import opened_text
from .log_files import LogFile, Places, open_log
from .request_log import RequestLog

Where = Mapping[str, str | Iterable[str]]


def read_log(
    file: str | Path,
    *,
    time: str | None = None,
    model: str | None = None,
    where: Where | None = None,
    time_unit: str | None = None,
    duration: str | None = None,
) -> RequestLog:
    """Read a request log.

    Parameters
    ----------
    file : str or Path
        CSV (separated by comma, semicolon or tab), JSON lines, a JSON list or parquet, plain or gzip-compressed, or the access log
        of a server that `access_lines` knows. Known formats need no options.
    time, model : str, optional
        The columns of the time and the model. By default those of the known format, or the first that is called as usual.
    where : mapping of str to str, optional
        Accepted values by column, such as ``{"status": "SUCCEED"}``; other rows are dropped and counted.
    time_unit : str, optional
        The unit of times that are numbers: `s`, `ms`, `us` or `ns`. By default their size decides: see `clocks.read_times`.
    duration : str, optional
        The column of how long each request took, s. By default that of the known format, else none.

    Returns
    -------
    RequestLog
        Rows without a time or a model are dropped and counted. Requests are sorted by time; ties keep their order.

    Raises
    ------
    InputError
        One sentence with the file, the line and the value.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.csv"
    >>> _ = path.write_text("when,model\\n2024-05-10 12:00:00,a\\n2024-05-10 12:00:01.5,b\\n")
    >>> read_log(path, time="when").time_s.tolist()
    [0.0, 1.5]
    """
    opened = open_log(file)
    if opened.kind == "text":
        return _of_lines(opened, time_unit)
    named: dict[str, Any] = {"time": time, "model": model, "where": where, "time_unit": time_unit, "duration": duration}
    chosen = find_format(opened.columns, str(opened.path), **named)
    text = tuple(name for name in (chosen.model, *chosen.where) if name is not None)
    needed = tuple(name for name in chosen.needed if name in opened.columns or chosen.nested)  # a log may lack durations
    columns = opened.read(needed, text, chosen.nested)
    return log_of_columns(columns, chosen, opened.places)


def log_of_table(
    frame: Any,
    *,
    time: str | None = None,
    model: str | None = None,
    where: Where | None = None,
    time_unit: str | None = None,
    duration: str | None = None,
    source: str = "table",
) -> RequestLog:
    """Read a table of requests that is already in memory.

    Parameters
    ----------
    frame : DataFrame, mapping of columns, or pyarrow.Table
        One row per request.
    time, model, where, time_unit, duration
        As for `read_log`.
    source : str
        What messages call the table.

    Returns
    -------
    RequestLog

    Raises
    ------
    InputError
        As `read_log` raises it.

    Examples
    --------
    >>> log_of_table({"t": [3.0, 1.0], "model": ["a", "b"]}).models
    ('b', 'a')
    """
    require("pyarrow", "traces", "reading a request log")
    import pandas as pd
    import pyarrow as pa

    try:
        table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(pd.DataFrame(frame), preserve_index=False)
    except (TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        raise InputError(f"{source}: this is no table of requests ({' '.join(str(error).split())[:160]})") from None
    named: dict[str, Any] = {"time": time, "model": model, "where": where, "time_unit": time_unit, "duration": duration}
    chosen = find_format(table.column_names, source, **named)
    if chosen.nested:
        raise InputError(f"{source}: sessions of {chosen.name} are read from a file, not from a table")
    text = [name for name in (chosen.model, *chosen.where) if name is not None]
    columns = {name: table.column(name) for name in chosen.needed if name in table.column_names}
    for name in text:
        try:
            columns[name] = columns[name].cast(pa.string()).dictionary_encode()
        except pa.ArrowException:
            raise InputError(f"{source}: the column {name!r} holds {columns[name].type}, which is no text") from None
    return log_of_columns(columns, chosen, Places(source, "row"))


def _of_lines(opened: LogFile, time_unit: str | None) -> RequestLog:
    """The requests of an access log."""
    require("pyarrow", "traces", "reading a request log")
    import pyarrow as pa

    with opened_text(opened.path, opened.compressed) as file:
        lines = read_lines(opened.path, file.read())
    kind = LogFormat(
        lines.format.name, lines.format.about, (), "time", "model", duration="latency", ends=True, where={"status": ("200", "201")}
    )
    named = [name or "" for name in lines.model]
    columns = {
        "time": pa.chunked_array([pa.array(lines.time)]),
        "status": pa.chunked_array([pa.array(lines.status).dictionary_encode()]),
        "latency": pa.chunked_array([pa.array(lines.latency_s, pa.float64())]),
    }
    if any(named):
        columns["model"] = pa.chunked_array([pa.array(named).dictionary_encode()])
    return log_of_columns(columns, kind, Places(str(opened.path), numbers=tuple(lines.number)), other_lines=lines.others)
