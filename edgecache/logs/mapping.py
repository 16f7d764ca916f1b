"""Which model of a catalogue each model of a log is."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..catalogue import Catalogue
from ..errors import InputError, unknown
from .request_log import RequestLog

RULES = ("rank", "shuffled", "name")  # words of `mapping`; anything else is a table
UNKNOWN = ("error", "drop")  # what becomes of requests for models that the catalogue lacks
LARGEST_TABLE = 16_000_000  # bytes

Models = npt.NDArray[np.int64]


def map_models(
    log: RequestLog,
    catalogue: Catalogue | None = None,
    mapping: str | Path | Mapping[str, str] | None = None,
    *,
    missing: str = "error",
    rng: np.random.Generator | None = None,
) -> tuple[Models, str]:
    """Find the index in the catalogue of each model of a log.

    Parameters
    ----------
    log : RequestLog
        It has M models.
    catalogue : Catalogue, optional
        It has I models. Without it the log's models are their own catalogue, the most requested first.
    mapping : str, Path or mapping, optional
        `rank`: the r-th most requested model is the catalogue's r-th, and requests for models beyond its last are dropped.
        `shuffled`: likewise, but the catalogue's order is shuffled by `rng`. `name`: by name. A file: a CSV table with the columns
        `model` and `service`, or a mapping of names to services. By default `name` where the catalogue has all of the log's
        models, else `rank`.
    missing : str
        What becomes of models that a `name` or a table does not find: `error`, or `drop` their requests.
    rng : numpy.random.Generator, optional
        Shuffles the catalogue's order.

    Returns
    -------
    index : array of int, shape (M,)
        The index of each model; -1 where its requests are dropped.
    rule : str
        The rule, in words.

    Raises
    ------
    InputError
        Where a model is not in the catalogue, or the table is none.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.logs.reading import log_of_table
    >>> log = log_of_table({"time": [0, 1, 2], "model": ["b", "a", "a"]})
    >>> map_models(log, ec.load_catalogue(), "rank")[0].tolist()
    [1, 0]
    """
    if missing not in UNKNOWN:
        raise unknown("rule for models that the catalogue lacks", missing, UNKNOWN)
    log.named  # noqa: B018, raises where the log names no models
    order = np.argsort(-log.requests, kind="stable")  # ties: the model that came first
    if catalogue is None:
        if mapping not in (None, "rank"):
            raise InputError(f"map is {mapping!r}; without a catalogue there is nothing to map to")
        return _placed(order, np.arange(len(order)), len(order)), "its own models, by rank"
    if mapping is None:
        mapping = "name" if set(log.models) <= set(catalogue.services) else "rank"
    if isinstance(mapping, str) and mapping in ("rank", "shuffled"):
        place = np.arange(len(catalogue))
        if mapping == "shuffled":
            place = (rng or np.random.default_rng(0)).permutation(len(catalogue))
        words = {"rank": "in the catalogue's order", "shuffled": "in an order shuffled by the seed"}[mapping]
        return _placed(order, place, len(log.models)), f"by rank, the most requested model first, {words}"
    table = {name: name for name in log.models} if mapping == "name" else _table(mapping)
    return _looked_up(log, catalogue, table, missing), "by name" if mapping == "name" else f"by the table {mapping}"


def _placed(order: Models, place: Models, models: int) -> Models:
    """The index of each model when the r-th in `order` is at the r-th `place`; -1 beyond the last place."""
    index = np.full(models, -1)
    count = min(len(order), len(place))
    index[order[:count]] = place[:count]
    return index


def _looked_up(log: RequestLog, catalogue: Catalogue, table: Mapping[str, str], missing: str) -> Models:
    """The index of each model by its service in a table."""
    number = {service: place for place, service in enumerate(catalogue.services)}
    index = np.full(len(log.models), -1)
    for place, name in enumerate(log.models):
        service = table.get(name)
        if service in number:
            index[place] = number[service]
        elif missing == "error":
            what = f"{name!r} ({log.requests[place]:,} of {len(log):,} requests) has no service in the table"
            if service is not None:
                what = str(unknown("model", service, catalogue.services))
            raise InputError(
                f"{log.place_of(place)}: {what}; drop the requests for such models with missing='drop' (--missing drop), "
                "or map by rank with map='rank' (--map rank)"
            )
    if (index < 0).all():
        raise InputError(f"{log.source}: the catalogue has none of the log's models, such as {log.models[0]!r}")
    return index


def _table(mapping: str | Path | Mapping[str, str]) -> Mapping[str, str]:
    """The service of each model by name, from a CSV table or a mapping."""
    if isinstance(mapping, Mapping):
        return mapping
    path = Path(mapping)
    if not path.is_file():
        raise InputError(
            f"map is {str(mapping)!r}; it must be {', '.join(RULES)}, or a CSV file with the columns model and service"
        )
    if path.stat().st_size > LARGEST_TABLE:
        raise InputError(f"{path}: a table of models has at most {LARGEST_TABLE // 10**6} MB")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except UnicodeDecodeError:
        raise InputError(f"{path}: this is no text; a table of models is CSV with the columns model and service") from None
    header = rows[0] if rows else []
    if not {"model", "service"} <= set(header):
        raise InputError(f"{path}, header: the columns are {', '.join(header) or 'none'}; needed are model and service")
    model, service = header.index("model"), header.index("service")
    table: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if row and len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} cells, but the header has {len(header)}")
        if row and table.setdefault(row[model], row[service]) != row[service]:
            raise InputError(f"{path}, line {number}: the model {row[model]!r} is there twice, with another service")
    return table
