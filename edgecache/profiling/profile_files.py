"""The files of a profile: the catalogue FILE.csv and its companions FILE-records.csv, FILE-summary.csv, FILE-machine.json.

What is read is checked cell by cell: one sentence names the file, the place, the value and the allowed values.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import replacing, write_table
from .profiles import PHASES, Profile

FILES = ("records.csv", "summary.csv", "machine.json")
Bounds = Mapping[str, tuple[float, bool]]  # numeric column: the least value allowed, and whether a cell may be empty
ABOVE_ZERO, ANY = 1e-12, -1e18
RECORDS: Bounds = {
    "cycle": (0, False), "execution": (0, False), "wall_s": (ABOVE_ZERO, False), "cpu_s": (0, False),
    "resident_bytes": (ANY, False), "anonymous_bytes": (ANY, True), "gpu_memory_bytes": (0, True), "energy_j": (0, True),
    "energy_estimate_j": (0, True),
}  # fmt: skip
TEXT, COUNT, NUMBER = "a text", "a whole number, at least 0", "a number, at least 0"
OR_NULL = {"a number, at least 0, or null": NUMBER, "true, false or null": "true or false"}
MACHINE = {  # the contents of a machine.json as far as they are needed: objects, lists of objects, and values of a kind
    "cycles": COUNT, "executions": COUNT,
    "machine": {
        "cpu": TEXT, "cores": COUNT, "memory_gb": NUMBER, "virtual": "true, false or null", "file_system": TEXT, "system": TEXT
    },
    "backend": {"name": TEXT, "device": TEXT, "threads": COUNT, "energy": TEXT, "no_energy": TEXT},
    "networks": [{
        "service": TEXT, "model": TEXT, "parameters": COUNT, "weights": TEXT, "named": TEXT, "size_bytes": COUNT,
        "share": "a number, at least 0, or null",
    }],
}  # fmt: skip


def companion(path: Path, name: str) -> Path:
    """Return the path of a file that belongs to a catalogue: `mine.csv` has `mine-records.csv`."""
    return path.with_name(f"{path.stem}-{name}")


def write_profile(profile: Profile, path: Path) -> Profile:
    """Write the catalogue to `path` and its companions; each file whole or not at all. Returns the profile as written."""
    records, machine = companion(path, "records.csv"), companion(path, "machine.json")
    _write(profile.records, records)
    profile = Profile(_read_table(records), profile.about)  # the other files are made of the records as written
    _write(profile.summary, companion(path, "summary.csv"))
    with naming(machine), replacing(machine) as part:
        part.write_text(json.dumps(profile.about, indent=2) + "\n")
    _write(profile.catalogue(), path)
    return profile


def _write(table: pd.DataFrame, path: Path) -> None:
    with naming(path):
        write_table(table, path)


def read_profile(path: str | Path) -> Profile:
    """Read a measured profile and check it.

    Parameters
    ----------
    path : str or pathlib.Path
        The catalogue that `profile` wrote; its companions are read.

    Returns
    -------
    Profile

    Raises
    ------
    InputError
        Where a file is missing, or a value has the wrong type or is out of range, missing or doubled.

    Examples
    --------
    >>> read_profile("data/profiles/example.csv").services[:2]
    ['text_to_image', 'text_generation']
    """
    path = Path(path)
    machine, table = companion(path, "machine.json"), companion(path, "records.csv")
    try:
        about = json.loads(machine.read_text())
        services = _check_machine(about, machine.name)
        records = read_checked(table, ("service", "phase", "cold"), RECORDS, key=("service", "cycle", "execution", "phase"))
        _check_records(records, table.name, services)
    except OSError as error:
        raise InputError(f"{path} is no measured profile: {error.filename} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(f"{path} is no measured profile: {' '.join(str(error).split())}") from None
    return Profile(records, about)


def _check_machine(about: Any, file: str) -> list[str]:
    """Check the contents of a machine.json. Returns the services of its networks."""
    _check_json(about, MACHINE, file)
    if about["backend"]["device"] == "cuda":
        _check_json(about["backend"], {"device_name": TEXT}, f"{file}, backend")
    services = [network["service"] for network in about["networks"]]
    if len(set(services)) < len(services):
        raise ValueError(f"{file}: networks are of {', '.join(services)}; each service may have one network")
    return services


def _check_json(value: Any, schema: Any, place: str) -> None:
    """Raise ValueError where a value of a JSON file is of another kind than its schema says."""
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{place} is {_short(value)}; it must be an object")
        for key, inner in schema.items():
            if key not in value:
                raise ValueError(f"{place} lacks {key!r}")
            _check_json(value[key], inner, f"{place}, {key}")
    elif isinstance(schema, list):
        if not isinstance(value, list) or not value:
            raise ValueError(f"{place} is {_short(value)}; it must be a list, not empty")
        for number, inner in enumerate(value):
            _check_json(inner, schema[0], f"{place} {number}")
    elif not _is(value, schema):
        raise ValueError(f"{place} is {_short(value)}; it must be {schema}")


def _is(value: Any, kind: str) -> bool:
    """Whether a value of a JSON file is of a kind."""
    if kind in OR_NULL:
        return value is None or _is(value, OR_NULL[kind])
    if kind == TEXT or isinstance(value, bool):
        return isinstance(value, bool if kind == "true or false" else str)
    return isinstance(value, int if kind == COUNT else int | float) and 0 <= value < 1e18  # NaN is not


def _check_records(records: pd.DataFrame, file: str, services: Sequence[str]) -> None:
    """Raise ValueError where records are of an unknown service or phase, or the cycles of a service differ."""
    for column, known in (("service", services), ("phase", PHASES)):
        if len(others := records.loc[~records[column].isin(known), column]):
            raise ValueError(f"{file}: {column} is {others.iloc[0]!r}; it must be one of {', '.join(known)}")
    for service, rows in records.groupby("service", sort=False):
        cycles = {frozenset(zip(cycle["phase"], cycle["execution"], strict=True)) for _, cycle in rows.groupby("cycle")}
        if len(cycles) > 1 or set(PHASES) - set(rows["phase"]):
            raise ValueError(f"{file}: a cycle of {service!r} lacks a phase or an execution; each needs {', '.join(PHASES)}")


def read_checked(path: Path, texts: Sequence[str], numbers: Bounds, key: Sequence[str]) -> pd.DataFrame:
    """Read a table and check it. Raises ValueError for missing columns, wrong numbers, and rows with the same `key`."""
    table = _read_table(path)
    if missing := {*texts, *numbers} - {*table, "energy_estimate_j"}:
        raise ValueError(f"{path.name} lacks the columns {', '.join(sorted(missing))}")
    if table.empty:
        raise ValueError(f"{path.name} has no rows")
    for name in filter(table.__contains__, numbers):
        _check_numbers(table[name], path.name, *numbers[name])
    if (doubled := table.duplicated(list(key))).any():
        row = int(doubled.to_numpy().argmax())
        values = ", ".join(map(str, table.loc[row, list(key)]))
        raise ValueError(f"{path.name}, row {row + 1}: {values} is there twice; each {', '.join(key)} may have one row")
    return table


def _check_numbers(column: pd.Series, file: str, least: float, may_be_empty: bool) -> None:
    """Raise ValueError for the first cell of a column that is no finite number, or below the least value allowed."""
    values = pd.to_numeric(column, errors="coerce").astype(float)
    right = np.isfinite(values) & (values >= least) & (column.dtype != bool) | (column.isna() & may_be_empty)
    if not right.all():
        row = int(right.to_numpy().argmin())
        value = "empty" if pd.isna(column[row]) else column[row]
        allowed = {ANY: "a number", ABOVE_ZERO: "a number above zero"}.get(least, f"a number, at least {least:g}")
        raise ValueError(f"{file}, row {row + 1}: {column.name} is {value}; it must be {allowed}")


def _read_table(path: Path) -> pd.DataFrame:
    """Read a table; services are texts: a network may be called 7 or NA."""
    return pd.read_csv(path, dtype={"service": str}, keep_default_na=False, na_values=[""])


def _short(value: Any) -> str:
    """Format a value in at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def check_writable(*files: Path) -> None:
    """Raise InputError where a file to be written is a folder, or a symbolic link, which writing would replace."""
    for file in files:
        if file.is_symlink():
            raise InputError(f"{file} is a symbolic link, which the results would replace; name the file that it points to")
        if file.is_dir():
            raise InputError(f"{file} is a folder; the results need a file there, or nothing yet")


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Add the file's name to an error of the system that has none: a full disk, for example."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(file)
        raise
