"""Whether a claim holds: the test, the verdict, and the evidence behind it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import InputError, unknown
from ..intervals import corrected_score, ratio_of_means
from ..scenario import Scenario
from .statements import (
    BY_CONSTRUCTION,
    CATALOGUE_CLAIMS,
    FAILS,
    GRID,
    HOLDS,
    NOT_JUDGED,
    SIMULATED,
    UNDECIDED,
    Cell,
    Claim,
    Grid,
    Group,
    MissingPoints,
    SimulatedClaim,
    Statement,
    cells_of,
)

LEAST = 200  # replications of a verdict beyond chance
COLUMNS = ("claim", "section", "says", "verdict", "effect", "low", "high", "bar", "where", "beats", "replications")


@dataclass(frozen=True)
class Test:
    """When a verdict is beyond chance: the probability that any verdict of a ledger is wrong is held to about `alpha`.

    Parameters
    ----------
    claims : int
        Number of claims of the ledger.
    looks : int
        Number of times that a sequential stop looks at the costs.
    alpha : float
        The probability of a wrong verdict on any of them.
    least : int
        Number of replications below which nothing is decided.

    Notes
    -----
    `alpha` is split evenly over claims, over looks, and over the two wrong verdicts. Looks are group-sequential; an even split is
    valid whatever the dependence between them. Of a group of n statements of which r are needed, r must be significant for
    `holds`, at a level split by n - r + 1 (intersection-union test of Berger, Technometrics 24, 1982). For `fails`, what
    contradicts the group must be significant, at a level split over all statements (Bonferroni).

    Each statement has a one-sided t test of its margins, and the same after Hall's correction for skewness (see `intervals`). It
    must pass both. No such test knows of a spike that has not occurred yet: some margins of one policy across two points are small
    but for one replication in thirty. data/results/verdict-errors.csv says how often any verdict is wrong on costs of the shipped
    scenario, with every claim moved to its bar: in at most 5 % of ledgers from `least` replications on, in more at 100.

    Examples
    --------
    >>> Test(claims=1, looks=2, alpha=0.05).level
    0.0125
    """

    claims: int = len(SIMULATED)
    looks: int = 1
    alpha: float = 0.05
    least: int = LEAST

    @property
    def level(self) -> float:
        """The probability of one wrong verdict, on one claim at one look."""
        return self.alpha / (2 * self.claims * self.looks)

    def thresholds(self, replications: int, *splits: int) -> list[float]:
        """Return the t score that is significant at the level over each of the splits; infinite below `least` replications."""
        from scipy.stats import t as student

        if replications < self.least:
            return [math.inf] * len(splits)
        return [float(student.isf(self.level / split, replications - 1)) for split in splits]


def verdict(groups: Sequence[Group], costs: Mapping[Cell, np.ndarray], test: Test | None = None) -> tuple[str, Statement]:
    """Judge a claim by its statements, on costs (n,) of the same replications; also return the statement that decides.

    Without a `test` the means alone decide, and nothing is undecided.
    """
    scores = [_scores(group, costs) for group in groups]
    holds, fails = decisions(groups, costs, test)
    deciding = []
    for group, (score, _) in zip(groups, scores, strict=True):
        place = np.argsort(-score, kind="stable")[group.needed - 1]
        deciding.append((score[place], group.statements[place]))
    word = HOLDS if holds else FAILS if fails or test is None else UNDECIDED
    return word, min(deciding, key=lambda pair: pair[0])[1]


def decisions(groups: Sequence[Group], costs: Mapping[Cell, np.ndarray], test: Test | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return whether a claim holds, and whether it fails, on costs of any shape (..., n): two arrays (...)."""
    count = sum(len(group.statements) for group in groups)
    holds, fails = [], []
    for group in groups:
        score, corrected = _scores(group, costs)
        spare = len(group.statements) - group.needed + 1
        above, below = 0.0, 0.0
        if test is None:
            corrected = score
        else:
            above, below = test.thresholds(costs[group.statements[0].cell].shape[-1], spare, count)
        holds.append((np.minimum(score, corrected) > above).sum(axis=0) >= group.needed)
        fails.append((np.maximum(score, corrected) < -below).sum(axis=0) >= spare)
    return np.all(holds, axis=0), np.any(fails, axis=0)


def _scores(group: Group, costs: Mapping[Cell, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The score of each statement of a group, (K, ...), and the corrected one."""
    return margin_scores(np.stack([statement.margin(costs) for statement in group.statements]))


def margin_scores(margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the t score of margins (..., n), and the same after Hall's correction: two arrays (...). Infinite where none varies.

    Of a single replication both are the margin.
    """
    mean, n = margin.mean(axis=-1), margin.shape[-1]
    if n == 1:
        return mean, mean
    spread = margin.std(axis=-1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(mean == 0, 0.0, mean / (spread / np.sqrt(n)))
        skew = np.where(spread > 0, ((margin - mean[..., None]) ** 3).mean(axis=-1) / spread**3, 0.0) / np.sqrt(n)
        return score, np.where(np.isfinite(score), corrected_score(score, skew), score)


def evidence(statement: Statement, costs: Mapping[Cell, np.ndarray]) -> dict:
    """Describe what a statement rests on, from the costs (n,) of its two cells.

    `effect`: the share by which the first mean cost is below the second. `low`, `high`: its 95 % interval, paired, not adjusted for
    other claims. `beats`: the share of replications in which the first cost is lower, ties half.
    """
    cost, other = costs[statement.cell], costs[statement.other]
    ratio, low, high = (float(value) for value in ratio_of_means(cost, other))
    beats = (cost < other).mean() + (cost == other).mean() / 2
    return _evidence(1 - ratio, statement.bar, statement.where, 1 - high, 1 - low, float(beats))


def _evidence(
    effect: float | np.ndarray, bar: float, where: str, low: float = math.nan, high: float = math.nan, beats: float = math.nan
) -> dict:
    return {"effect": float(effect), "low": low, "high": high, "bar": bar, "where": where, "beats": beats}


def costs_of(tables: Iterable[pd.DataFrame], proposed: str = "ga") -> dict[Cell, np.ndarray]:
    """Read the costs of each cell, (n,), from tables of `sweep` that vary one parameter of GRID each.

    Raises InputError for a table that varies anything else, lacks the policy `proposed`, or whose runs do not pair.
    """
    costs: dict[Cell, np.ndarray] = {}
    for table in tables:
        parameter = _varied(table)
        _check_runs(table, parameter, proposed)
        for (value, policy), runs in table.groupby([parameter, "policy"], sort=False):
            name = "proposed" if policy == proposed else policy
            costs[parameter, value, name] = runs.sort_values("replication")["total_cost"].to_numpy()
    return costs


def _varied(table: pd.DataFrame) -> str:
    """The parameter that a table of `sweep` varies."""
    for column in ("replication", "policy", "total_cost"):
        if column not in table:
            raise InputError(f"a claim's table has no column {column!r}; it must be a table of sweep, one row per replication")
    names = list(table.columns[: table.columns.get_loc("replication")])
    if len(names) != 1 or names[0] not in GRID:
        raise InputError(f"a claim's table varies one of {', '.join(GRID)}; this one varies {', '.join(names) or 'nothing'}")
    return names[0]


def _check_runs(table: pd.DataFrame, parameter: str, proposed: str) -> None:
    """Raise InputError unless the proposed policy is there, runs pair by replication, and every run has its cost."""
    if proposed not in set(table["policy"]):
        raise unknown("policy of this table", proposed, table["policy"].unique())
    runs = table.groupby([parameter, "policy"])["replication"].apply(lambda numbers: tuple(sorted(numbers)))
    if runs.nunique() > 1 or len(set(runs.iloc[0])) < len(runs.iloc[0]):
        raise InputError(f"the table over {parameter} does not pair: every policy needs each replication once at every point")
    if lacking := table["total_cost"].isna().sum():
        raise InputError(f"the table over {parameter} lacks costs: total_cost is not a number in {lacking} rows")


def judge(tables: Iterable[pd.DataFrame], proposed: str = "ga", test: Test | None = None) -> pd.DataFrame:
    """Judge every simulated claim from tables of `sweep`.

    Parameters
    ----------
    tables : iterable of DataFrame
        Tables that vary one parameter of GRID each.
    proposed : str
        The policy that counts as the paper's.
    test : Test, optional
        When a verdict is beyond chance; by default at one look.

    Returns
    -------
    DataFrame
        One row per claim: claim, section, says, verdict, the evidence (effect, low, high, bar, where, beats), replications. A
        claim whose policies or points are missing has the verdict `not judged`, and `where` says what is missing.

    Raises
    ------
    InputError
        For tables that are not such sweeps.

    Examples
    --------
    >>> from edgecache import sweep
    >>> table = sweep({"slots": [50, 100]}, ["lru", "exact"], 2, jobs=1, progress=False)
    >>> judge([table], "exact").set_index("claim").loc["lowest-over-slots", "where"]
    'no runs of random, fifo, lfu over slots'
    """
    costs = costs_of(tables, proposed)
    points: dict[str, set[float]] = {}
    for parameter, value, _ in costs:
        points.setdefault(parameter, set()).add(value)
    grid = {parameter: sorted(values) for parameter, values in points.items()}
    return pd.DataFrame([_judged(claim, grid, costs, test or Test()) for claim in SIMULATED], columns=COLUMNS)


def _judged(claim: SimulatedClaim, grid: Grid, costs: Mapping[Cell, np.ndarray], test: Test) -> dict:
    """The row of a claim."""
    try:
        cells = cells_of([claim], grid)
        missing = _missing(cells, costs)
        if not missing and len({len(costs[cell]) for cell in cells}) > 1:
            missing = "its tables differ in their numbers of replications"
    except MissingPoints as error:
        missing = str(error)
    if missing:
        return ledger_row(claim, NOT_JUDGED, _evidence(math.nan, math.nan, missing), 0)
    word, deciding = verdict(claim.groups(grid), costs, test)
    return ledger_row(claim, word, evidence(deciding, costs), len(costs[deciding.cell]))


def _missing(cells: Iterable[Cell], costs: Mapping[Cell, np.ndarray]) -> str:
    """Which policies, or else which points, of these cells have no costs; empty where none is missing."""
    known = {(parameter, policy) for parameter, _, policy in costs}
    policies: dict[str, dict[str, None]] = {}
    points: dict[str, None] = {}
    for parameter, value, policy in (cell for cell in cells if cell not in costs):
        if (parameter, policy) in known:
            points[f"{parameter}={value:g}"] = None
        else:
            policies.setdefault(parameter, {})[policy] = None
    reasons = [f"no runs of {', '.join(names)} over {parameter}" for parameter, names in policies.items()]
    return "; ".join(reasons + ([f"no runs at {', '.join(points)}"] if points else []))


def ledger_row(claim: Claim, word: str, evidence: Mapping, replications: int) -> dict:
    """Return the row of a claim in a ledger, with the columns COLUMNS."""
    row = {"claim": claim.name, "section": claim.section, "says": claim.says, "verdict": word}
    return {**row, **evidence, "replications": replications}


def by_construction(scenario: Scenario) -> list[dict]:
    """Return the rows of the claims about the catalogue: `by construction` where a claim is met, else `fails`."""
    rows = []
    for claim in CATALOGUE_CLAIMS:
        effect, bar, what = claim.measure(scenario)
        rows.append(ledger_row(claim, BY_CONSTRUCTION if effect > bar else FAILS, _evidence(effect, bar, what), 0))
    return rows


def evidence_text(row: Mapping) -> str:
    """Put the evidence of a ledger's row into words: what was compared, the change of cost, and its interval.

    Examples
    --------
    >>> evidence_text({"effect": 0.614, "low": 0.59, "high": 0.638, "where": "GA against LRU", "replications": 200})
    'GA against LRU: 61.4% (59.0% to 63.8%) less'
    """
    effect, low, high = row["effect"], row["low"], row["high"]
    if math.isnan(effect):
        return row["where"]
    if not row["replications"]:
        return f"{effect:.0%}: {row['where']}"
    if low == high == effect == 0:
        return f"{row['where']}: 0.0% difference in every replication"
    low, high = (low, high) if effect >= 0 else (-high, -low)
    interval = "" if math.isnan(low) else f" ({low:.1%} to {high:.1%})"
    return f"{row['where']}: {abs(effect):.1%}{interval} {'less' if effect >= 0 else 'more'}"
