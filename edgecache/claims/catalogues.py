"""How much of each conclusion rests on the cells of the catalogue that nobody published.

The paper gives the range of each feature over its ten models, and names the models. Some cells of the shipped catalogue are
published or computed from what is. The others are calibrated, or set to an end of a range. Here these others vary at random.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from ..catalogue import SHIPPED, TABLE_I, Catalogue, load_catalogue
from ..ensembles import Ensemble
from ..files import Journal
from ..policies import POLICIES
from ..scenario import NAMED, Scenario
from .design import MEASURES, POINTS, SLACKS, judged, random_generator
from .statements import BASELINES

VARIED = ("calibrated", "table_bound")  # statuses of the cells that vary
CATALOGUE_SEED, TRACE_SEED = 4, 5
COUNT, REPLICATIONS = 200, 100


@cache
def _varied_cells() -> dict[str, np.ndarray]:
    """Which models' cells vary, by feature, (I,) each."""
    table = pd.read_csv(SHIPPED)
    return {feature: table[f"{feature}_status"].isin(VARIED).to_numpy() for feature in TABLE_I}


def vary_catalogue(number: int) -> Catalogue:
    """Draw the cells of the shipped catalogue that nobody published: log-uniform within Table I, each on its own.

    Parameters
    ----------
    number : int
        Number of the catalogue; 0 is the shipped one.

    Returns
    -------
    Catalogue
        The same services. Published and computed cells stay.

    Examples
    --------
    >>> bool((vary_catalogue(1).size_gb == load_catalogue().size_gb).any())
    True
    """
    shipped = load_catalogue()
    if number == 0:
        return shipped
    rng, features = random_generator(CATALOGUE_SEED, number), {}
    for feature, (low, high) in TABLE_I.items():
        drawn = np.clip(np.exp(rng.uniform(np.log(low), np.log(high), len(shipped))), low, high)
        features[feature] = np.where(_varied_cells()[feature], drawn, getattr(shipped, feature))
    return Catalogue(shipped.services, **features)


def judge_catalogue(task: tuple[str, int], replications: int = REPLICATIONS) -> list[float]:
    """Judge every claim by means, under a named reading with a catalogue.

    Parameters
    ----------
    task : tuple of str and int
        The name of the reading, and the number of the catalogue.
    replications : int
        Number of replications behind each mean. Exact stands for the proposed method.

    Returns
    -------
    list of float
        The slack of each claim in SLACKS, above zero where it holds; then MEASURES.

    Examples
    --------
    >>> len(judge_catalogue(("literal", 1), 1)) == len(SLACKS) + len(MEASURES)
    True
    """
    reading, number = task
    scenario = Scenario.named(reading, catalogue=vary_catalogue(number))
    ensemble = Ensemble([scenario.vary(reading=None, **point) for point in POINTS], range(replications), TRACE_SEED)
    return judged(np.stack([ensemble.play(POLICIES[name]).mean(axis=-1) for name in (*BASELINES, "exact")], axis=2))


def judge_catalogues(
    journal: Journal, named: Sequence[str] = tuple(NAMED), count: int = COUNT, *, jobs: int = -1, progress: bool = True
) -> pd.DataFrame:
    """Judge every claim under named readings, with the shipped catalogue and with random ones.

    Parameters
    ----------
    journal : Journal
        Keeps each result, and has those of an earlier run.
    named : sequence of str
        The named readings.
    count : int
        Number of random catalogues.
    jobs : int
        Number of processes; -1 is every core.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per `reading` and `catalogue` (0 is the shipped one), with the columns SLACKS and MEASURES.
    """
    tasks = {f"{name} {NAMED[name]} {number}": (name, number) for name in named for number in range(count + 1)}
    results = journal.run(judge_catalogue, tasks, jobs=jobs, progress=progress, description="catalogues")
    rows = [(*task, *result) for task, result in zip(tasks.values(), results, strict=True)]
    return pd.DataFrame(rows, columns=["reading", "catalogue", *SLACKS, *MEASURES])


def shares_that_hold(table: pd.DataFrame) -> pd.DataFrame:
    """Count in how many of the random catalogues each claim holds.

    Parameters
    ----------
    table : DataFrame
        The table of `judge_catalogues`.

    Returns
    -------
    DataFrame
        One row per `reading` and `claim`: whether it holds with the `shipped` catalogue, and the `share` of random catalogues with
        which it holds, with its 95 % interval from `low` to `high` (Clopper and Pearson).

    Examples
    --------
    >>> table = pd.DataFrame({"reading": "literal", "catalogue": [0, 1, 2], **dict.fromkeys(SLACKS, [1.0, 1.0, -1.0])})
    >>> row = shares_that_hold(table).loc[0]
    >>> bool(row["shipped"]), float(row["share"])
    (True, 0.5)
    """
    from scipy.stats import binomtest

    rows = []
    for reading, group in table.groupby("reading", sort=False):
        random = group[group["catalogue"] > 0]
        shipped = group[group["catalogue"] == 0].iloc[0]
        for claim in SLACKS:
            test = binomtest(int((random[claim] > 0).sum()), len(random))
            low, high = test.proportion_ci(0.95, method="exact")
            rows.append((reading, claim, bool(shipped[claim] > 0), test.statistic, low, high))
    return pd.DataFrame(rows, columns=["reading", "claim", "shipped", "share", "low", "high"])
