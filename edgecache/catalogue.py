"""The catalogue: which generative models exist, and what each one needs.

The shipped catalogue has the paper's ten services. `load_catalogue` reads a user's own CSV file, and `sample_catalogue` draws a
catalogue of any size within the paper's Table I.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .errors import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd

# Table I of the paper: the range of each feature over its ten models.
TABLE_I = {
    "size_gb": (2.0, 50.0),
    "gpu_memory_gb": (1.0, 6.0),
    "power_kw": (0.0025, 0.5),
    "io_delay_s": (0.3, 60.0),
    "inference_delay_s": (0.05, 30.0),
}
POSITIVE = ("size_gb",)  # the other features may be zero: a model that runs on the CPU needs no GPU memory
STATUSES = ("published", "computed", "calibrated", "table_bound", "measured", "estimated", "unknown")
COLUMNS = ("service", *TABLE_I)  # of a catalogue file; the next ones are optional
OPTIONAL = ("model", "hf_id", "provenance", "weight", *(f"{feature}_status" for feature in TABLE_I))
LARGEST_FILE = 64_000_000  # bytes
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # characters by which a name could steer a terminal

_ROOT = Path(__file__).parent
# a checkout keeps data/ beside the package, an installed wheel inside it
SHIPPED = next(p for p in (_ROOT / "data/catalogue.csv", _ROOT.parent / "data/catalogue.csv") if p.exists())


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The `I` models that an edge server may deploy. Catalogues of the same content are equal.

    Parameters
    ----------
    services
        Name of each model's service; no two are equal.
    size_gb
        s: storage on disk, GB; above zero. Like every feature it becomes a read-only float array of shape (I,).
    gpu_memory_gb
        g: GPU memory of the loaded model, GB; zero for a model that runs on the CPU.
    power_kw
        e: power drawn while the model is deployed, kW.
    io_delay_s
        l: time to load the model from disk into GPU memory, s.
    inference_delay_s
        k: time of one inference, s.
    weight
        How often each model is requested, in any unit; in place of the Zipf popularity. None: the popularity is Zipf's.

    Raises
    ------
    InputError
        For an empty catalogue, two services of one name, and values that are not finite or below what is allowed.

    Examples
    --------
    >>> catalogue = Catalogue(("chat", "speech"), [14, 2], [6, 0], [0.3, 0.1], [9, 1], [4, 0.5])
    >>> catalogue
    Catalogue(2 models, 16 GB, 6 GB of GPU memory)
    >>> catalogue.needs[1].tolist()
    [6.0, 0.0]

    Notes
    -----
    Section II-A and Table I of the paper.
    """

    services: tuple[str, ...]
    size_gb: npt.NDArray[np.float64]
    gpu_memory_gb: npt.NDArray[np.float64]
    power_kw: npt.NDArray[np.float64]
    io_delay_s: npt.NDArray[np.float64]
    inference_delay_s: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "services", tuple(self.services))
        _check_services(self.services)
        for feature in TABLE_I if self.weight is None else (*TABLE_I, "weight"):
            try:
                column = np.array(getattr(self, feature), dtype=float)
            except (TypeError, ValueError):
                raise InputError(f"{feature} is {getattr(self, feature)!r}; it must be one number per service") from None
            if column.shape != (len(self.services),):
                raise InputError(f"{feature} has shape {column.shape}, but there are {len(self.services)} services")
            bad = _first_bad(feature, column)
            if bad is not None:
                raise InputError(f"{feature} of {self.services[bad]!r} is {column[bad]:g}; {_allowed(feature)}")
            column.flags.writeable = False
            object.__setattr__(self, feature, column)
        if self.weight is not None and not self.weight.any():
            raise InputError("every weight of the catalogue is 0; at least one model must be requested")

    @cached_property
    def needs(self) -> npt.NDArray[np.float64]:
        """What each model takes of the server: storage (GB), GPU memory (GB) and power (kW), read-only, (3, I)."""
        needs = np.stack([self.size_gb, self.gpu_memory_gb, self.power_kw])
        needs.flags.writeable = False
        return needs

    def __len__(self) -> int:
        return len(self.services)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalogue) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple:
        weight = None if self.weight is None else self.weight.tobytes()
        return self.services, *(getattr(self, feature).tobytes() for feature in TABLE_I), weight

    def __repr__(self) -> str:
        return f"Catalogue({len(self)} models, {self.size_gb.sum():.6g} GB, {self.gpu_memory_gb.sum():.6g} GB of GPU memory)"

    def table(self) -> "pd.DataFrame":
        """Return the catalogue as a tidy table, one row per model."""
        import pandas as pd

        features = {feature: getattr(self, feature) for feature in TABLE_I}
        weight = {} if self.weight is None else {"weight": self.weight}
        return pd.DataFrame({"service": self.services, **features, **weight})


def load_catalogue(path: str | Path = SHIPPED) -> Catalogue:
    """Read a catalogue from a CSV file.

    Parameters
    ----------
    path
        A file with the columns `service` and the five features. Optional columns are `model`, `hf_id`, `provenance`, `weight` and
        one `<feature>_status` per feature; data/README.md describes them. The default is the shipped catalogue.

    Returns
    -------
    Catalogue
        Its models in the order of the file.

    Raises
    ------
    InputError
        One sentence with the file, the row (1 is the first below the header), the column and the value.

    Examples
    --------
    >>> load_catalogue()
    Catalogue(10 models, 142.14 GB, 26.8 GB of GPU memory)
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the catalogue {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > LARGEST_FILE:
        raise InputError(f"cannot read the catalogue {path}: it has more than {LARGEST_FILE // 10**6} MB, the most that is read")
    return parse_catalogue(content, str(path))


def parse_catalogue(content: bytes, path: str) -> Catalogue:
    """Read a catalogue from the bytes of a CSV file; `path` is what errors call it. See `load_catalogue`."""
    columns = _columns(_text(content, path), path)
    services = columns["service"]
    try:
        _check_services(services)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    features = {feature: _numbers(path, services, feature, columns[feature]) for feature in TABLE_I}
    for feature in TABLE_I:
        for number, status in enumerate(columns.get(f"{feature}_status", []), start=1):
            if status and status not in STATUSES:
                raise InputError(f"{path}, row {number}: {unknown(f'{feature}_status', status, STATUSES)}")
    weight = _numbers(path, services, "weight", columns["weight"]) if "weight" in columns else None
    try:
        return Catalogue(tuple(services), **features, weight=weight)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def sample_catalogue(models: int, rng: np.random.Generator) -> Catalogue:
    """Draw a catalogue at random.

    Parameters
    ----------
    models
        How many models it has.
    rng
        The source of randomness.

    Returns
    -------
    Catalogue
        Each feature is log-uniform within its range in Table I, and independent of the others.

    Raises
    ------
    InputError
        Unless `models` is a whole number of at least 1.

    Examples
    --------
    >>> sample_catalogue(3, np.random.default_rng(0)).services
    ('model_1', 'model_2', 'model_3')

    Notes
    -----
    Log-uniform because the ranges span one to three decades and the shipped features spread evenly over them. Independence is a
    simplification: in the shipped catalogue large models are also slow.
    """
    if isinstance(models, bool) or not isinstance(models, int | np.integer) or models < 1:
        raise InputError(f"models is {models!r}; a catalogue needs a whole number of models, at least 1")
    draw = {}
    for feature, (low, high) in TABLE_I.items():
        sampled = np.exp(rng.uniform(np.log(low), np.log(high), size=models))
        draw[feature] = np.clip(sampled, low, high)  # exp(log(x)) may leave the range by one ulp
    return Catalogue(tuple(f"model_{i + 1}" for i in range(models)), **draw)


def _text(content: bytes, path: str) -> str:
    """Decode a file; raise InputError for one that is not text."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"cannot read the catalogue {path}: it is not a text file (UTF-8 CSV is expected)") from None
    if "\0" in text:
        raise InputError(f"cannot read the catalogue {path}: it is a binary file (UTF-8 CSV is expected)")
    return text


def _columns(text: str, path: str) -> dict[str, list[str]]:
    """Split a CSV file into its columns by name, empty rows left out."""
    reader = csv.reader(io.StringIO(text, newline=None), strict=True)
    try:
        stripped = ([cell.strip() for cell in row] for row in reader)
        header, *rows = [row for row in stripped if any(row)]
    except csv.Error as error:
        raise InputError(f"cannot read the catalogue {path}, line {reader.line_num}: {error}") from None
    except ValueError:
        raise InputError(f"the catalogue {path} is empty: it needs a header and at least one model") from None
    _check_header(header, path)
    if not rows:
        raise InputError(f"the catalogue {path} is empty: it has a header but no model")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise InputError(f"{path}, row {number}: {len(row)} cells, but the header has {len(header)}")
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def _check_header(header: list[str], path: str) -> None:
    """Raise InputError for a column that is unknown, doubled or missing."""
    for name in header:
        if ";" in name or "\t" in name:
            raise InputError(f"{path}, header: {name!r} is no column; commas must separate the columns")
        if name not in COLUMNS + OPTIONAL:
            raise InputError(f"{path}, header: {unknown('column', name, COLUMNS + OPTIONAL)}")
        if header.count(name) > 1:
            raise InputError(f"{path}, header: the column {name!r} is there twice")
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise InputError(f"{path}, header: the column {missing[0]!r} is missing; needed are {', '.join(COLUMNS)}")


def _check_services(services: Sequence[str]) -> None:
    """Raise InputError unless there are services, each with a printable name of its own."""
    if not services:
        raise InputError("the catalogue is empty: it needs at least one model")
    for number, service in enumerate(services, start=1):
        if not isinstance(service, str) or not service:
            raise InputError(f"row {number}: the service is {service!r}, which is no name")
        if CONTROL.search(service):
            raise InputError(f"row {number}: the service {service!r} has a control character in its name")
    service, count = Counter(services).most_common(1)[0]
    if count > 1:
        row = services.index(service, services.index(service) + 1) + 1
        raise InputError(f"row {row}: the catalogue names the service {service!r} twice; every service needs its own name")


def _numbers(path: str, services: list[str], feature: str, cells: list[str]) -> npt.NDArray[np.float64]:
    """Convert the cells of a feature; raise InputError with the row of the first that is not allowed."""
    numbers: list[float] = []
    try:
        numbers.extend(float(cell if cell.isascii() and "_" not in cell else "no number") for cell in cells)
    except ValueError:
        row = len(numbers)
        where = f"{path}, row {row + 1} ({services[row]})"
        raise InputError(f"{where}: {feature} is {cells[row]!r}; a number is needed") from None
    values = np.array(numbers)
    bad = _first_bad(feature, values)
    if bad is not None:
        raise InputError(f"{path}, row {bad + 1} ({services[bad]}): {feature} is {values[bad]:g}; {_allowed(feature)}")
    return values


def _first_bad(feature: str, values: npt.NDArray[np.float64]) -> int | None:
    """Find the place of the first value that a feature may not have."""
    allowed = ((values >= 1e-12) & (values < 1e12)) | ((values == 0) & (feature not in POSITIVE))
    return None if allowed.all() else int(np.argmin(allowed))


def _allowed(feature: str) -> str:
    least = "above zero" if feature in POSITIVE else "at least zero"
    return f"it must be finite and {least}, and between 1e-12 and 1e12 where it is not zero"
