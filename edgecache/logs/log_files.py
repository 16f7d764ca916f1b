"""Files of requests as columns: CSV, JSON lines, a JSON list and parquet, plain or compressed, through Arrow."""

import csv
import gzip
import re
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, require
from .json_files import first_records, flattened, is_record, json_column, json_type, opened_text, read_list, shortened

HEAD_BYTES = 1 << 20  # of a file, by which its kind is known
DAMAGED = (OSError, EOFError, zlib.error, UnicodeDecodeError)


@dataclass(frozen=True)
class Places:
    """Where the rows of a log stand: `places(row)` says it in words, from the row's number, from 0."""

    source: str
    word: str = "line"
    first: int = 1  # number of the first row
    numbers: tuple[int, ...] | None = None  # of each row, where rows are not one after the other

    def __call__(self, row: int) -> str:
        number = self.first + row if self.numbers is None else self.numbers[row]
        return f"{self.source}, {self.word} {number}"


@dataclass(frozen=True)
class LogFile:
    """A file of requests: what it is, and which columns it has.

    `kind` is `csv`, `jsonl`, `json` (one list), `parquet`, or `text` (lines of a server's log); `head` is its beginning, text.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    head: str
    compressed: bool

    @property
    def places(self) -> Places:
        """Where its rows stand."""
        return Places(str(self.path), "row" if self.kind in ("parquet", "json") else "line", 2 if self.kind == "csv" else 1)

    def read(self, needed: tuple[str, ...], text: tuple[str, ...], nested: tuple[str, ...] = ()) -> dict[str, Any]:
        """Read the needed columns, each a pyarrow.ChunkedArray; those in `text` as dictionaries of strings."""
        require("pyarrow", "traces", "reading a request log")
        import pyarrow as pa

        try:
            table = self._table(needed, text, nested)
        except pa.ArrowException as error:
            raise self._damaged(error) from None
        except DAMAGED as error:
            raise _cut_short(self.path, error) from None
        return {name: _column(table, name, name in text) for name in needed if name in table.column_names}

    def _table(self, needed: tuple[str, ...], text: tuple[str, ...], nested: tuple[str, ...]) -> Any:
        """The columns as a pyarrow.Table."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv
        from pyarrow import json as arrow_json
        from pyarrow import parquet

        if self.kind == "parquet":
            return parquet.read_table(self.path, columns=list(needed), read_dictionary=[name for name in text if name in needed])
        if self.kind == "json":
            rows = [row for row in read_list(self.path) if isinstance(row, dict)]
            return pa.table({name: pa.array(json_column([row.get(name) for row in rows], name in text)) for name in needed})
        with pa.input_stream(str(self.path), compression="gzip" if self.compressed else None) as stream:
            if self.kind == "csv":
                types = {name: pa.dictionary(pa.int32(), pa.string()) for name in text}
                return arrow_csv.read_csv(
                    stream,
                    parse_options=arrow_csv.ParseOptions(delimiter=_delimiter(self.head)),
                    convert_options=arrow_csv.ConvertOptions(include_columns=list(needed), column_types=types),
                )
            schema, path = self._schema(needed, text, nested)
            options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
            table = arrow_json.read_json(stream, parse_options=options)
        return flattened(table, path, needed) if nested else table

    def _schema(self, needed: tuple[str, ...], text: tuple[str, ...], nested: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
        """The schema of the needed fields, by the first records, and the path of lists to them."""
        import pyarrow as pa

        samples = first_records(self.head, self.path)
        for name in nested:
            samples = [inner for row in samples for inner in row.get(name) or [] if isinstance(inner, dict)]
        fields = [(name, pa.string() if name in text else json_type([row.get(name) for row in samples])) for name in needed]
        kind: Any = pa.struct(fields)
        for name in reversed(nested):
            kind = pa.struct([(name, pa.list_(kind))])
        return pa.schema(list(kind)), nested

    def _damaged(self, error: Exception) -> InputError:
        """The sentence for a file that Arrow cannot parse, with the line where that can be found."""
        reason = " ".join(str(error).split())
        if self.kind == "csv":
            number, cells, expected = _first_bad_line(self.path, self.compressed, _delimiter(self.head))
            if number:
                return InputError(f"{self.path}, line {number}: {cells} cells, but the header has {expected}")
        if self.kind == "jsonl":
            with opened_text(self.path, self.compressed) as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip() and not is_record(line):
                        return InputError(f"{self.path}, line {number}: {shortened(line)} is no JSON object")
        return InputError(f"{self.path}: the file cannot be read ({shortened(reason, 160)})")


def open_log(path: str | Path) -> LogFile:
    """Look at a file and say what it is. Raises InputError where it is missing, empty, binary, or no regular file."""
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: this is no file; a request log is a file of CSV, JSON lines, parquet or a server's log")
    try:
        with path.open("rb") as file:
            first = file.read(4)
        compressed = first[:2] == b"\x1f\x8b"
        if first == b"PAR1":
            return LogFile(path, "parquet", _parquet_columns(path), "", False)
        with gzip.open(path) if compressed else path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except DAMAGED as error:
        raise _cut_short(path, error) from None
    if not head.strip():
        raise InputError(f"{path}: the file is empty")
    if b"\0" in head:
        raise InputError(f"{path}: this is a binary file; a request log is CSV, JSON lines, parquet or a server's log")
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    kind, columns = _kind(text, path)
    return LogFile(path, kind, columns, text, compressed)


def _kind(text: str, path: Path) -> tuple[str, tuple[str, ...]]:
    """What a text file is, and its columns."""
    if text.startswith("{"):
        records = first_records(text, path)
        return "jsonl", tuple(dict.fromkeys(name for row in records for name in row))
    if text.startswith("[") and text[1:].lstrip().startswith("{"):
        rows = read_list(path)
        return "json", tuple(dict.fromkeys(name for row in rows[:100] if isinstance(row, dict) for name in row))
    first = text.splitlines()[0]
    cells = next(csv.reader([first], delimiter=_delimiter(text)))
    if len(cells) < 2 and not re.fullmatch(r"[\w .\"]+", first):
        return "text", ()
    if re.search(r'"(GET|POST|PUT|HEAD) ', first) or "[GIN]" in text[:HEAD_BYTES] or re.match(r"time=\S+ level=", first):
        return "text", ()
    double = next((name for name in cells if cells.count(name) > 1), None)
    if double is not None:
        raise InputError(f"{path}, header: the column {double!r} is there twice")
    return "csv", tuple(cells)


def _delimiter(text: str) -> str:
    """What separates the cells: the one of comma, semicolon and tab that the first line has most of."""
    first = text.split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _column(table: Any, name: str, text: bool) -> Any:
    """A column; one of text as a dictionary that all its chunks share."""
    import pyarrow as pa

    column = table.column(name)
    if not text:
        return column
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    return column.unify_dictionaries()


def _parquet_columns(path: Path) -> tuple[str, ...]:
    require("pyarrow", "traces", "reading a request log")
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return tuple(parquet.read_schema(path).names)
    except (pa.ArrowInvalid, *DAMAGED) as error:
        raise _cut_short(path, error) from None


def _first_bad_line(path: Path, compressed: bool, delimiter: str) -> tuple[int, int, int]:
    """The number of the first line of CSV with too few or too many cells (0: none), its cells, and those of the header."""
    with opened_text(path, compressed) as lines:
        rows = csv.reader(lines, delimiter=delimiter)
        expected = len(next(rows))
        for row in rows:
            if row and len(row) != expected:
                return rows.line_num, len(row), expected
    return 0, 0, expected


def _cut_short(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: the file is cut short or damaged ({shortened(str(error), 160)})")
