"""Readings: what the paper's lost symbols may have meant, as rows of a table, and the claims that each supports.

A Latin hypercube fills the space of readings evenly, but for `scope`: every draw is judged under every scope, on the same traces.
So the scopes are compared in pairs. A reading is judged by the means of a few replications, Exact being the proposed method.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..catalogue import Catalogue, load_catalogue, sample_catalogue
from ..demand import random_stream
from ..ensembles import Ensemble
from ..errors import InputError, require
from ..files import replacing
from ..policies import POLICIES
from ..scenario import READINGS, Scenario
from .statements import BASELINES, CENTRE, GRID, SIMULATED, Cell, Statement, cells_of, points_of

# a rate per model is only a larger rate of the server, and when a decision is taken the paper says
SWITCHES = tuple(name for name in READINGS if name not in ("rate_basis", "decides"))
RANGES = {
    "w2": (1e-3, 1e2),
    "beta": (0.1, 10.0),
    "arrival_rate": (0.2, 5.0),
    "zipf": (0.0, 2.0),
}  # log-uniform except for zipf; w1 = 1
CATALOGUES = 200  # random ones of ten models, 1 .. in the order of their total size; 0 is the shipped one, in half of the readings
PARAMETERS = (*SWITCHES, *RANGES, "catalogue")
SCOPES = READINGS["scope"]
DRAWN = tuple(name for name in PARAMETERS if name != "scope")
COUNT, SEEDS = 12_000, 8  # draws, each judged under four scopes
SEARCH_SEED, DESIGN_SEED = 1, 3
# What judge_reading gives beside the claims, all at the centre: the least and the largest reduction against a baseline, and how
# much longer the users of the proposed wait than those of the best baseline.
MEASURES = ("least_reduction", "most_reduction", "longer_wait")
SLACKS = tuple(claim.name for claim in SIMULATED)
GROUPS = [claim.groups(GRID) for claim in SIMULATED]
POINTS, PLACES = points_of(cells_of(SIMULATED))


def latin_hypercube(count: int = COUNT, seed: int = DESIGN_SEED) -> pd.DataFrame:
    """Draw what readings have beside their scope, to fill the space of readings evenly.

    Parameters
    ----------
    count : int
        Number of draws.
    seed : int
        Seed of the design.

    Returns
    -------
    DataFrame
        One row per draw, with the columns DRAWN. Numbers have 4 digits, and are used as they stand.

    Examples
    --------
    >>> latin_hypercube(6)["charge"].value_counts().tolist()
    [2, 2, 2]
    """
    from scipy.stats import qmc

    unit = pd.DataFrame(qmc.LatinHypercube(len(DRAWN), rng=random_generator(seed, 0)).random(count), columns=DRAWN)
    return pd.DataFrame({name: _placed(name, unit[name].to_numpy()) for name in DRAWN})


def under_every_scope(draws: pd.DataFrame) -> pd.DataFrame:
    """Return the readings of draws: each draw under each scope, in this order, with the columns PARAMETERS.

    Examples
    --------
    >>> under_every_scope(latin_hypercube(2))["scope"].tolist()
    ['evict', 'bypass', 'prefetch', 'free', 'evict', 'bypass', 'prefetch', 'free']
    """
    readings = draws.loc[draws.index.repeat(len(SCOPES))].reset_index(drop=True)
    return readings.assign(scope=np.tile(SCOPES, len(draws)))[list(PARAMETERS)]


def random_generator(seed: int, *key: int) -> np.random.Generator:
    """Return the generator of that key below the seed."""
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
    """Return a catalogue of the design: 0 is the shipped one, the others are random, in the order of their total size."""
    return load_catalogue() if number == 0 else _random_catalogues()[number - 1]


@cache
def _random_catalogues() -> list[Catalogue]:
    drawn = [sample_catalogue(10, random_generator(DESIGN_SEED, 1, number)) for number in range(CATALOGUES)]
    return sorted(drawn, key=lambda catalogue: catalogue.size_gb.sum())


def scenario_of(parameters: Mapping) -> Scenario:
    """Return the scenario of a reading, from a row of `under_every_scope`, or of `latin_hypercube` for the scope `evict`."""
    parameters = dict(parameters)
    return Scenario(catalogue=catalogue_of(int(parameters.pop("catalogue"))), **parameters)


def claim_slacks(means: Mapping[Cell, float]) -> list[float]:
    """Return how clearly each simulated claim holds by the mean costs of its cells; it holds where its slack is above zero.

    The slack of a statement is its mean margin, as a share of the cost that it is measured by. The slack of a group is the least
    of those that it needs, and that of a claim the least of its groups.
    """
    return [
        min(sorted(_slack(statement, means) for statement in group.statements)[-group.needed] for group in groups)
        for groups in GROUPS
    ]


def _slack(statement: Statement, means: Mapping[Cell, float]) -> float:
    """The mean margin as a share of the second mean cost; of nothing, a cost is any number of times as much."""
    cost, other = means[statement.cell], means[statement.other]
    share = (1 - statement.bar) - cost / other if other else -1e9 * (cost > 0)
    return 0.0 if abs(share) < 1e-9 else -share if statement.at_most else share


def judge_draw(parameters: Mapping, replications: int = SEEDS) -> list[list[float]]:
    """Judge a draw by its means under every scope, Exact being the proposed.

    Parameters
    ----------
    parameters : mapping
        A row of `latin_hypercube`.
    replications : int
        Number of replications.

    Returns
    -------
    list of list of float
        For each of SCOPES the slack of each claim in SLACKS, then MEASURES, to 3 digits.

    Examples
    --------
    >>> len(judge_draw(latin_hypercube(2).loc[0], 1))
    4

    Notes
    -----
    The baselines only evict, whatever the scope. So they are played once.
    """
    scenario = scenario_of(parameters)
    ensemble = Ensemble([scenario.vary(reading=None, **point) for point in POINTS], range(replications), SEARCH_SEED)
    baselines = [ensemble.play(POLICIES[name]).mean(axis=-1) for name in BASELINES]
    exact = {scope: ensemble.play(POLICIES["exact"], scope).mean(axis=-1) for scope in SCOPES}
    return [judged(np.stack([*baselines, exact[scope]], axis=2)) for scope in SCOPES]


def judged(outcomes: np.ndarray) -> list[float]:
    """Return the slacks of the claims and MEASURES, from the mean cost and delay (2, points, policies), the proposed last."""
    cost, delay = outcomes
    slacks = claim_slacks({cell: float(cost[place]) for cell, place in PLACES.items()})
    (*baselines, proposed), (*delays, waits) = cost[POINTS.index(CENTRE)], delay[POINTS.index(CENTRE)]
    with np.errstate(divide="ignore", invalid="ignore"):
        reductions, longer_wait = 1 - proposed / np.array(baselines), waits / min(delays) - 1
    return [float(f"{value:.3g}") for value in (*slacks, reductions.min(), reductions.max(), longer_wait)]


def write_readings(table: pd.DataFrame, path: Path) -> None:
    """Write a table of `search.judge_design` as parquet, with checksums; the same table gives the same bytes."""
    pyarrow, parquet = _pyarrow()
    for name in SWITCHES:
        table = table.assign(**{name: table[name].astype(pd.CategoricalDtype(READINGS[name]))})
    arrow = pyarrow.Table.from_pandas(table, preserve_index=False).replace_schema_metadata({"sha256": _digest(table)})
    with replacing(path) as part:
        parquet.write_table(arrow, part, compression="zstd", compression_level=15, write_page_checksum=True)


def read_readings(path: Path) -> pd.DataFrame:
    """Read the table of the search.

    Parameters
    ----------
    path : Path
        A file of `write_readings`.

    Returns
    -------
    DataFrame
        The table.

    Raises
    ------
    InputError
        For a file that is missing, damaged, cut short or of another version, or where the extra `claims` is not installed.
    """
    pyarrow, parquet = _pyarrow()
    try:
        arrow = parquet.read_table(path, page_checksum_verification=True)
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


def _pyarrow() -> tuple:
    return tuple(require(name, "claims", "the table of readings") for name in ("pyarrow", "pyarrow.parquet"))


def _digest(table: pd.DataFrame) -> str:
    """The digest of a table's content and types."""
    types = [
        f"{name}: {kind.categories.tolist() if isinstance(kind, pd.CategoricalDtype) else kind}"
        for name, kind in table.dtypes.items()
    ]
    return hashlib.sha256(("\n".join(types) + table.to_csv(index=False)).encode()).hexdigest()
