"""Readings: what the paper's lost symbols may have meant, as rows of a table, and the claims that each supports.

A design fills the space of readings evenly. A reading is judged by the means of a few replications, with Exact as the proposed.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import qmc

from ..catalogue import Catalogue, load_catalogue, sample_catalogue
from ..demand import random_stream
from ..ensembles import outcomes
from ..errors import InputError
from ..scenario import READINGS, Scenario
from .ledger import cells_of
from .statements import BASELINES, CENTRE, GRID, SIMULATED

SWITCHES = tuple(name for name in READINGS if name != "rate_basis")  # a rate of each model is but a larger rate of the server
RANGES = {
    "w2": (1e-3, 1e2),
    "beta": (0.1, 10.0),
    "arrival_rate": (0.2, 5.0),
    "zipf": (0.0, 2.0),
}  # but for zipf log-uniform; w1 = 1
CATALOGUES = 200  # random ones of ten models, 1 .. in the order of their total size; 0 is the shipped one, in half of the readings
PARAMETERS = (*SWITCHES, *RANGES, "catalogue")
COUNT, SEEDS = 20_000, 8
SEARCH_SEED, DESIGN_SEED = 1, 3


def design(count: int = COUNT, seed: int = DESIGN_SEED) -> pd.DataFrame:
    """A Latin hypercube of readings, one a row, with the columns PARAMETERS; numbers have 4 digits, and are used as they stand."""
    unit = pd.DataFrame(qmc.LatinHypercube(len(PARAMETERS), rng=random_generator(seed, 0)).random(count), columns=PARAMETERS)
    return pd.DataFrame({name: _placed(name, unit[name].to_numpy()) for name in PARAMETERS})


def random_generator(seed: int, *key: int) -> np.random.Generator:
    """The generator of that key below the seed."""
    return np.random.default_rng(random_stream(seed, *key))


def _placed(name: str, unit: np.ndarray) -> np.ndarray:
    """Numbers between 0 and 1 as values of a parameter."""
    if name in SWITCHES:
        return np.array(READINGS[name], dtype=object)[(unit * len(READINGS[name])).astype(int)]
    if name == "catalogue":
        return np.where(unit < 0.5, 0, 1 + ((2 * unit - 1) * CATALOGUES)).astype(int)
    low, high = RANGES[name]
    value = low + unit * (high - low) if name == "zipf" else np.exp(np.log(low) + unit * np.log(high / low))
    return np.array([float(f"{number:.4g}") for number in value])


@cache
def catalogue_of(number: int) -> Catalogue:
    """Catalogue 0 is the shipped one, the others are random, in the order of their total size."""
    return load_catalogue() if number == 0 else _random_catalogues()[number - 1]


@cache
def _random_catalogues() -> list[Catalogue]:
    drawn = [sample_catalogue(10, random_generator(DESIGN_SEED, 1, number)) for number in range(CATALOGUES)]
    return sorted(drawn, key=lambda c: c.size_gb.sum())


def scenario_of(parameters: dict) -> Scenario:
    """The scenario of a reading, from a row of `design`."""
    parameters = dict(parameters)
    return Scenario(catalogue=catalogue_of(int(parameters.pop("catalogue"))), **parameters)


# Judging a reading by means: every statement of every claim at once.


class Means:
    """Which claims hold by the means of the costs at GRID, and by how much.

    The slack of a statement is its mean margin as a share of the cost that it is measured by; of a group, the least of those that
    it needs; of a claim, the least of its groups. A claim holds where its slack is above zero.
    """

    def __init__(self, policies: Sequence[str]):
        self.cells = cells_of(SIMULATED)
        self.points = list(dict.fromkeys(tuple((CENTRE | {cell[0]: cell[1]}).items()) for cell in self.cells))
        place = {
            cell: (self.points.index(tuple((CENTRE | {cell[0]: cell[1]}).items())), policies.index(cell[2])) for cell in self.cells
        }
        self.groups, statements = [], []
        for number, claim in enumerate(SIMULATED):
            for needed, group in claim.groups(GRID):
                self.groups.append((number, needed, slice(len(statements), len(statements) + len(group))))
                statements += group
        self.cell, self.other = (np.array([place[getattr(s, side)] for s in statements]).T for side in ("cell", "other"))
        self.bar = np.array([statement.bar for statement in statements])
        self.sign = np.array([-1.0 if statement.at_most else 1.0 for statement in statements])

    def slack(self, mean: np.ndarray) -> np.ndarray:
        """The slack of every claim, (claims,), from mean costs (points, policies)."""
        cell, other = mean[*self.cell], mean[*self.other]
        with np.errstate(divide="ignore", invalid="ignore"):
            margin = np.nan_to_num(self.sign * ((1 - self.bar) - cell / other), nan=0.0, posinf=1e9, neginf=-1e9)
        margin[np.abs(margin) < 1e-9] = 0.0
        found = np.full(len(SIMULATED), np.inf)
        for number, needed, members in self.groups:
            found[number] = min(found[number], np.sort(margin[members])[-needed])
        return found


@cache
def _means() -> Means:
    return Means([*BASELINES, "proposed"])


def judged(parameters: dict, replications: int = SEEDS) -> list[float]:
    """A reading by its means, Exact being the proposed: the slack of each claim, and the `measures` below."""
    means = _means()
    found = outcomes(
        scenario_of(parameters), [dict(p) for p in means.points], (*BASELINES, "exact"), range(replications), SEARCH_SEED
    )
    cost, delay = found.mean(axis=-1)
    centre = means.points.index(tuple((CENTRE | {"storage_gb": CENTRE["storage_gb"]}).items()))
    with np.errstate(divide="ignore", invalid="ignore"):
        reduction = 1 - cost[centre, -1] / cost[centre, :-1]
    waits = delay[centre, -1] / delay[centre, :-1].min() - 1
    return [float(f"{value:.3g}") for value in (*means.slack(cost), reduction.min(), reduction.max(), waits)]


# what judged() gives beside the claims: the least and the largest reduction against a baseline, and how much longer the proposed's
# users wait than under the best of them; all at the centre
MEASURES = ("least_reduction", "most_reduction", "longer_wait")
SLACKS = tuple(claim.name for claim in SIMULATED)


def write_readings(table: pd.DataFrame, path: Path) -> None:
    """Write the table of the search as parquet, with checksums, whole or not at all; the same bytes for the same table."""
    import pyarrow
    import pyarrow.parquet

    for name in SWITCHES:
        table = table.assign(**{name: table[name].astype(pd.CategoricalDtype(READINGS[name]))})
    arrow = pyarrow.Table.from_pandas(table, preserve_index=False).replace_schema_metadata({"sha256": _digest(table)})
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        pyarrow.parquet.write_table(arrow, part, compression="zstd", compression_level=15, write_page_checksum=True)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_readings(path: Path) -> pd.DataFrame:
    """The table of the search. Raises InputError, saying so, for a file that is damaged, cut short or of another version."""
    import pyarrow
    import pyarrow.parquet

    try:
        arrow = pyarrow.parquet.read_table(path, page_checksum_verification=True)
        digest = arrow.schema.metadata[b"sha256"].decode()
        table = arrow.to_pandas()
        if digest != _digest(table):  # pages have checksums, what describes them has none
            raise ValueError("its checksum does not fit")
    except FileNotFoundError:
        raise InputError(f"there is no {path}: run `make readings`") from None
    except (OSError, pyarrow.ArrowException, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is damaged or cut short ({reason}): run `make readings`") from None
    if list(table.columns) != [*PARAMETERS, *SLACKS, *MEASURES, "held", "missed"]:
        raise InputError(f"{path} is not a table of this version's readings: run `make readings`")
    return table


def _digest(table: pd.DataFrame) -> str:
    """Of the content and the types of a table."""
    types = [
        f"{name}: {kind.categories.tolist() if isinstance(kind, pd.CategoricalDtype) else kind}"
        for name, kind in table.dtypes.items()
    ]
    return hashlib.sha256(("\n".join(types) + table.to_csv(index=False)).encode()).hexdigest()
