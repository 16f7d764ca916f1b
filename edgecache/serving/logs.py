"""A log of requests as CSV: when, for which model, and how long each ran if that is known."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..catalogue import Catalogue
from ..errors import InputError, unknown
from .arrivals import Arrivals, drawn_service_times


def read_log(
    path: str | Path,
    catalogue: Catalogue,
    time: str = "time_s",
    model: str = "model",
    duration: str | None = None,
    mapping: str = "name",
    service: str = "fixed",
    seed: int = 0,
) -> Arrivals:
    """Read a log of requests.

    Parameters
    ----------
    path : str or Path
        A CSV file with a header, gzipped if its name ends in .gz; its rows may stand in any order.
    catalogue : Catalogue
        The models.
    time, model, duration : str
        Columns: seconds or date and time; the model's name; seconds that the request ran. Without `duration` the catalogue's.
    mapping : str
        `name`: models are called as in the catalogue. `rank`: the most requested model of the log is the first of the catalogue,
        and so on; requests for models beyond the catalogue are left out.
    service : str
        How service times vary about the catalogue's: `fixed`, `exponential` or `lognormal`.
    seed : int
        Of drawn service times.

    Returns
    -------
    Arrivals
        In the order of time, the first at second 0.

    Raises
    ------
    InputError
        One sentence with the file, the row (1 is the first below the header), the column and the value.

    Examples
    --------
    >>> import tempfile
    >>> import edgecache as ec
    >>> file = Path(tempfile.mkdtemp()) / "log.csv"
    >>> _ = file.write_text("time_s,model\\n5,text_to_image\\n3,text_to_speech\\n")
    >>> read_log(file, ec.load_catalogue()).time_s.tolist()
    [0.0, 2.0]
    """
    table = _table(path, [name for name in (time, model, duration) if name])
    time_s = _times(path, time, table[time])
    if mapping == "name":
        index = _by_name(path, model, table[model], catalogue)
    elif mapping == "rank":
        index = _by_rank(table[model], catalogue)
    else:
        raise unknown("mapping of models", mapping, ("name", "rank"))
    kept = np.flatnonzero(index >= 0)
    order = kept[np.argsort(time_s[kept], kind="stable")]
    if not len(order):
        raise InputError(f"{path}: no request is left of {len(table)}")
    if duration:
        service_s = _numbers(path, duration, table[duration])[order]
    else:
        service_s = drawn_service_times(catalogue.inference_delay_s[index[order]], service, np.random.default_rng(seed))
    return Arrivals(time_s[order] - time_s[order[0]], index[order], service_s)


def _table(path: str | Path, columns: list[str]) -> pd.DataFrame:
    """The columns of a file as text."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no CSV file"
        raise InputError(f"cannot read the log {path}: {reason}") from None
    for name in columns:
        if name not in table.columns:
            raise InputError(f"{path}: {unknown('column', name, table.columns)}")
    if not len(table):
        raise InputError(f"the log {path} is empty: it has a header but no request")
    return table


def _numbers(path: str | Path, name: str, cells: pd.Series) -> npt.NDArray[np.float64]:
    """Numbers of at least zero."""
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~((values >= 0) & (values < 1e12)))
    if bad.size:
        raise InputError(f"{path}, row {bad[0] + 1}: {name} is {cells.iloc[bad[0]]!r}; it must be a number of at least 0")
    return values


def _times(path: str | Path, name: str, cells: pd.Series) -> npt.NDArray[np.float64]:
    """Seconds, of numbers or of dates and times."""
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
    if np.isfinite(values).any():
        bad = np.flatnonzero(~np.isfinite(values))
    else:
        moments = pd.to_datetime(cells, errors="coerce", utc=True, format="ISO8601")
        bad = np.flatnonzero(moments.isna())
        values = (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy()
    if bad.size:
        raise InputError(f"{path}, row {bad[0] + 1}: {name} is {cells.iloc[bad[0]]!r}; it must be seconds, or an ISO date and time")
    return values


def _by_name(path: str | Path, name: str, cells: pd.Series, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """Index of each request's model."""
    numbers = {service: number for number, service in enumerate(catalogue.services)}
    index = cells.map(numbers)
    bad = np.flatnonzero(index.isna())
    if bad.size:
        raise InputError(f"{path}, row {bad[0] + 1}: {unknown(name, cells.iloc[bad[0]], catalogue.services)}")
    return index.to_numpy(dtype=np.int64)


def _by_rank(cells: pd.Series, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """Index by the number of requests, ties by name; -1 beyond the catalogue. Empty cells are no model."""
    counts = cells[cells != ""].value_counts()
    ranked = sorted(counts.index, key=lambda service: (-counts[service], service))[: len(catalogue)]
    return cells.map({service: number for number, service in enumerate(ranked)}).fillna(-1).to_numpy(dtype=np.int64)
