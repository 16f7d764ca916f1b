"""JSON as columns: the first records of JSON lines, lists of records, and lists nested in records."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

from ..errors import InputError

LARGEST_JSON = 512_000_000  # bytes of a JSON list, which is read whole


def first_records(text: str, path: Path, most: int = 100) -> list[dict]:
    """The first records of JSON lines. Raises InputError where the first is none."""
    lines = text.split("\n")
    whole = lines[:-1] if len(lines) > 1 else lines  # the last one may be cut
    records: list[dict] = []
    for number, line in enumerate(whole[:most], start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: {shortened(line)} is no JSON object")
        records.append(record)
    return records


def read_list(path: Path) -> list:
    """The rows of a file that is one JSON list."""
    if path.stat().st_size > LARGEST_JSON:
        raise InputError(f"{path}: a JSON list of more than {LARGEST_JSON // 10**6} MB; write it as JSON lines")
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        with opened_text(path, compressed) as text:
            rows = json.load(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: this is no JSON ({error})") from None
    if not rows:
        raise InputError(f"{path}: the list is empty")
    return rows


def is_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def json_type(values: list) -> Any:
    """The Arrow type of a field of JSON, by the first values that are there."""
    import pyarrow as pa

    present = [value for value in values if value is not None]
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return pa.float64()
    return pa.string()


def json_column(values: list, text: bool) -> list:
    """A column of a JSON list; as text where it is one, or where its values are of several kinds."""
    if text or not all(value is None or isinstance(value, int | float) for value in values):
        return [None if value is None else str(value) for value in values]
    return [None if value is None else float(value) for value in values]


def flattened(table: Any, path: tuple[str, ...], needed: tuple[str, ...]) -> Any:
    """The records within nested lists, one row each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(path[0])
    for name in path[1:]:
        column = pc.struct_field(pc.list_flatten(column), name)
    records = pc.list_flatten(column)
    return pa.table({name: pc.struct_field(records, name) for name in needed})


def opened_text(path: Path, compressed: bool) -> Any:
    """The file as text."""
    raw = gzip.open(path) if compressed else path.open("rb")  # noqa: SIM115, the wrapper closes it
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="")


def shortened(text: str, most: int = 60) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")
