"""The catalogue: which generative models exist, and what each one needs.

A catalogue is five read-only arrays with one entry a model, in the order of the file. The shipped one has the paper's ten
services; `load_catalogue` reads a user's own CSV and `sample_catalogue` draws one of any size within Table I.
"""

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .errors import InputError, unknown

# Table I of the paper: the range of each feature over its ten models.
TABLE_I = {
    "size_gb": (2.0, 50.0),
    "gpu_memory_gb": (1.0, 6.0),
    "power_kw": (0.0025, 0.5),
    "io_delay_s": (0.3, 60.0),
    "inference_delay_s": (0.05, 30.0),
}
POSITIVE = ("size_gb", "gpu_memory_gb")  # the other three features may be zero
STATUSES = ("published", "computed", "calibrated", "table_bound", "measured", "estimated", "unknown")

_ROOT = Path(__file__).parent
# a checkout keeps data/ beside the package, an installed wheel inside it
SHIPPED = next(p for p in (_ROOT / "data/catalogue.csv", _ROOT.parent / "data/catalogue.csv") if p.exists())


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The models an edge server may deploy: `I` of them, each feature a read-only array of shape (I,).

    Raises InputError for an empty catalogue, duplicate services, sizes that are not finite and above zero, or delays and
    power that are not finite and at least zero.
    """

    services: tuple[str, ...]
    size_gb: np.ndarray  # s: storage on disk, GB
    gpu_memory_gb: np.ndarray  # g: GPU memory once loaded, GB
    power_kw: np.ndarray  # e: power drawn while deployed, kW
    io_delay_s: np.ndarray  # l: disk to GPU memory, s
    inference_delay_s: np.ndarray  # k: one inference, s

    def __post_init__(self):
        object.__setattr__(self, "services", tuple(self.services))
        if not self.services:
            raise InputError("the catalogue is empty: it needs at least one model")
        for seen, service in enumerate(self.services):
            if service in self.services[:seen]:
                raise InputError(f"the catalogue names the service {service!r} twice; every service needs its own name")
        for feature in TABLE_I:
            try:
                column = np.array(getattr(self, feature), dtype=float)
            except (TypeError, ValueError):
                raise InputError(f"{feature} is {getattr(self, feature)!r}; it must be numbers, one a service") from None
            if column.shape != (len(self.services),):
                raise InputError(f"{feature} has shape {column.shape}, but there are {len(self.services)} services")
            for service, value in zip(self.services, column, strict=True):
                _check(f"{feature} of {service!r}", feature, value)
            column.flags.writeable = False
            object.__setattr__(self, feature, column)

    def __len__(self) -> int:
        return len(self.services)

    @cached_property
    def needs(self) -> np.ndarray:
        """Storage (GB), GPU memory (GB) and power (kW) of each model, read-only, (3, I)."""
        needs = np.stack([self.size_gb, self.gpu_memory_gb, self.power_kw])
        needs.flags.writeable = False
        return needs

    def __eq__(self, other) -> bool:
        return isinstance(other, Catalogue) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple:
        return self.services, *(getattr(self, feature).tobytes() for feature in TABLE_I)

    def __repr__(self) -> str:
        return f"Catalogue({len(self)} models, {self.size_gb.sum():.6g} GB, {self.gpu_memory_gb.sum():.6g} GB of GPU memory)"

    def table(self):
        """The catalogue as a tidy pandas table, one row a model."""
        import pandas as pd

        return pd.DataFrame({"service": self.services, **{feature: getattr(self, feature) for feature in TABLE_I}})


def load_catalogue(path: str | Path = SHIPPED) -> Catalogue:
    """Read a catalogue from a CSV file with the columns `service` and the five features.

    Optional columns: `model`, `hf_id`, `provenance`, and for each feature its `<feature>_status` (see data/README.md).
    Raises InputError naming the file, the row (1 is the first below the header), the column and the value.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the catalogue {path}: {error.strerror}") from None
    return parse_catalogue(content, str(path))


def parse_catalogue(content: bytes, path: str) -> Catalogue:
    """The catalogue in the bytes of a CSV file; `path` is what errors call it. See load_catalogue."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"cannot read the catalogue {path}: it is not a text file (UTF-8 CSV is expected)") from None
    if "\0" in text:
        raise InputError(f"cannot read the catalogue {path}: it is a binary file (UTF-8 CSV is expected)")
    try:
        reader = csv.reader(io.StringIO(text, newline=None), strict=True)
        header, *rows = [row for row in reader if any(cell.strip() for cell in row)]
    except ValueError:
        raise InputError(f"the catalogue {path} is empty: it needs a header and at least one model") from None
    except csv.Error as error:
        raise InputError(f"cannot read the catalogue {path}, line {reader.line_num}: {error}") from None
    header = [name.strip() for name in header]
    required = ["service", *TABLE_I]
    optional = ["model", "hf_id", "provenance", *(f"{feature}_status" for feature in TABLE_I)]
    for name in header:
        if name not in required + optional:
            if ";" in name or "\t" in name:
                raise InputError(f"{path}, header: {name!r} is no column; commas must separate the columns")
            raise InputError(f"{path}, header: {unknown('column', name, required + optional)}")
        if header.count(name) > 1:
            raise InputError(f"{path}, header: the column {name!r} stands there twice")
    for name in required:
        if name not in header:
            raise InputError(f"{path}, header: the column {name!r} is missing; needed are {', '.join(required)}")
    if not rows:
        raise InputError(f"the catalogue {path} is empty: it has a header but no model")
    columns = {name: [] for name in required}
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise InputError(f"{path}, row {number}: {len(row)} cells, but the header has {len(header)}")
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        if not cells["service"]:
            raise InputError(f"{path}, row {number}: the service has no name")
        if cells["service"] in columns["service"]:
            raise InputError(f"{path}, row {number}: the service {cells['service']!r} stands there twice")
        columns["service"].append(cells["service"])
        for feature in TABLE_I:
            columns[feature].append(_number(f"{path}, row {number} ({cells['service']}): {feature}", feature, cells[feature]))
            status = cells.get(f"{feature}_status")
            if status and status not in STATUSES:
                raise InputError(f"{path}, row {number}: {unknown(f'{feature}_status', status, STATUSES)}")
    return Catalogue(columns.pop("service"), **columns)


def sample_catalogue(models: int, rng: np.random.Generator) -> Catalogue:
    """Draw a catalogue of `models` models, each feature log-uniform and independent within its range in Table I.

    Log-uniform because the ranges span one to three decades and the shipped features spread evenly over them; independence
    is a simplification (in the shipped catalogue large models are also slow).
    """
    if not isinstance(models, int | np.integer) or models < 1:
        raise InputError(f"models is {models!r}; a catalogue needs a whole number of models, at least 1")
    draw = {feature: np.exp(rng.uniform(*np.log(bounds), size=models)) for feature, bounds in TABLE_I.items()}
    for feature, bounds in TABLE_I.items():
        draw[feature] = np.clip(draw[feature], *bounds)  # exp(log(x)) may leave the range by one ulp
    return Catalogue(tuple(f"model_{i + 1}" for i in range(models)), **draw)


def _number(where: str, feature: str, cell: str) -> float:
    try:
        value = float(cell if cell.isascii() and "_" not in cell else "no number")
    except ValueError:
        raise InputError(f"{where} is {cell!r}; a number is needed") from None
    _check(where, feature, value)
    return value


def _check(where: str, feature: str, value: float):
    if not 0 <= value < 1e12 or (value == 0 and feature in POSITIVE) or 0 < value < 1e-12:
        allowed = "above zero" if feature in POSITIVE else "at least zero"
        raise InputError(f"{where} is {value:g}; it must be finite and {allowed}, and between 1e-12 and 1e12 where it is not zero")
