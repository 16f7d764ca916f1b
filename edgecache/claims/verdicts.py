"""Whether a claim holds: tests, verdicts and the evidence behind them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import InputError, unknown
from ..scenario import Scenario
from .statements import BY_CONSTRUCTION, CLAIMS, FAILS, GRID, HOLDS, SIMULATED, UNDECIDED, Cell, Claim, Group, Statement

LEAST = 8  # replications of a verdict beyond chance


@dataclass(frozen=True)
class Test:
    """When a verdict is beyond chance: at about `alpha` is kept the probability that any verdict of the ledger is wrong.

    `alpha` is split evenly over the ledger's `claims`, over the `looks` of a sequential stop, and over the two wrong verdicts. For
    `holds`, every statement (of a group of n of which r are needed, r) must be significant: no further split but by n - r + 1
    (Berger's intersection-union test, Technometrics 24, 1982); for `fails`, what contradicts it must be, at a level split over all
    statements (Bonferroni). Looks are group-sequential with the level split evenly, valid whatever the dependence between them.
    Each statement has a one-sided t test of its margins and the same after Hall's correction for their skewness (J. R. Statist.
    Soc. B 54, 1992), and must pass both: margins of one policy across points are often zero but for rare spikes. The tests hold
    the ledger's looks to `alpha` on real costs at the edge. At a few dozen replications a spike may not have occurred yet, and no
    test can know of it: there the level is approximate. Below LEAST replications nothing is decided.
    """

    claims: int = len(SIMULATED)
    looks: int = 1
    alpha: float = 0.05

    @property
    def level(self) -> float:
        """Of one wrong verdict on one claim at one look."""
        return self.alpha / (2 * self.claims * self.looks)


def verdict(groups: Sequence[Group], costs: Mapping[Cell, np.ndarray], test: Test | None = None) -> tuple[str, Statement]:
    """Whether a claim holds on these costs (each (n,), the same replications), and the statement that decides it.

    Without a `test` it goes by the means alone, and nothing is undecided.
    """
    from scipy.stats import t as student

    every = sum(len(statements) for _, statements in groups)
    held, failed, deciding = True, False, []
    for needed, statements in groups:
        margin = np.stack([statement.margin(costs) for statement in statements])
        mean, n, spare = margin.mean(axis=1), margin.shape[1], len(statements) - needed + 1
        score, skewed = (mean, mean) if n == 1 else _scores(margin, mean, n)
        if test is None:
            skewed = score
        enough, against = (0.0, 0.0) if test is None else student.isf([test.level / spare, test.level / every], max(n - 1, 1))
        if test is not None and n < LEAST:
            enough = against = np.inf
        held &= int((np.minimum(score, skewed) > enough).sum()) >= needed
        failed |= int((np.maximum(score, skewed) < -against).sum()) >= spare
        order = np.argsort(-score, kind="stable")
        deciding.append((score[order[needed - 1]], statements[order[needed - 1]]))
    if test is None:
        failed = not held
    word = HOLDS if held else FAILS if failed else UNDECIDED
    return word, min(deciding, key=lambda found: found[0])[1]


def _scores(margin: np.ndarray, mean: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The t score of each row of margins (K, n), and the same after Hall's cubic correction; infinite where nothing varies."""
    spread = margin.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(mean == 0, 0.0, mean / (spread / np.sqrt(n)))
        skew = np.where(spread > 0, ((margin - mean[:, None]) ** 3).mean(axis=1) / spread**3, 0.0) / np.sqrt(n)
        skewed = score + skew * (score**2 / 3 + 1 / 6) + skew**2 * score**3 / 27
    return score, np.where(np.isfinite(score), skewed, score)


def evidence(statement: Statement, costs: Mapping[Cell, np.ndarray]) -> dict:
    """What a statement rests on: by which share the cell's mean cost is below the other's, and how often it is below.

    `effect`, with its paired 95 % bootstrap interval `low` to `high`, not adjusted; `beats`: the share of replications, ties half.
    """
    from scipy.stats import bootstrap

    pair = cost, other = costs[statement.cell], costs[statement.other]
    found = {"effect": _saving(*pair), "low": np.nan, "high": np.nan}
    if len(cost) > 1:
        ends = bootstrap(pair, _saving, n_resamples=9999, batch=1000, paired=True, method="percentile", rng=0).confidence_interval
        found |= {"low": ends.low, "high": ends.high}
    beats = float((cost < other).mean() + (cost == other).mean() / 2)
    return {name: float(value) for name, value in found.items()} | {"bar": statement.bar, "where": statement.where, "beats": beats}


def _saving(cost, other, axis=-1):
    return 1 - cost.mean(axis=axis) / other.mean(axis=axis)


def costs_of(tables: Iterable[pd.DataFrame], proposed: str = "ga") -> dict[Cell, np.ndarray]:
    """The cells of tidy tables of `sweep`, one per parameter of GRID: the total cost of each replication, (n,).

    Raises InputError for a table that varies anything but one parameter, or that lacks the policy `proposed`.
    """
    found = {}
    for table in tables:
        for column in ("replication", "policy", "total_cost"):
            if column not in table:
                raise InputError(f"a claim's table has no column {column!r}; it must be a table of sweep, a row a replication")
        varied = list(table.columns[: table.columns.get_loc("replication")])
        if len(varied) != 1 or varied[0] not in GRID:
            raise InputError(f"a claim's table varies one of {', '.join(GRID)}; this one varies {', '.join(varied) or 'nothing'}")
        if proposed not in set(table["policy"]):
            raise unknown("policy of this table", proposed, table["policy"].unique())
        runs = table.groupby([varied[0], "policy"])["replication"].apply(lambda own: tuple(sorted(own)))
        if runs.nunique() > 1 or len(set(runs.iloc[0])) < len(runs.iloc[0]):
            raise InputError(f"the table over {varied[0]} does not pair: every policy needs each replication once at every point")
        if table["total_cost"].isna().any():
            raise InputError(
                f"the table over {varied[0]} lacks costs: total_cost is not a number in {table['total_cost'].isna().sum()} rows"
            )
        for (value, policy), runs in table.groupby([varied[0], "policy"], sort=False):
            name = "proposed" if policy == proposed else policy
            found[varied[0], value, name] = runs.sort_values("replication")["total_cost"].to_numpy()
    return found


def judge(tables: Iterable[pd.DataFrame], proposed: str = "ga", test: Test | None = None) -> pd.DataFrame:
    """The verdict on every claim that these tables of `sweep` can tell, with its evidence; a claim without its tables is left out.

    Columns: claim, section, says, verdict, effect, low, high, bar, where, beats, replications.
    """
    costs, rows = costs_of(tables, proposed), []
    grid = {}
    for parameter, value, _ in costs:
        grid.setdefault(parameter, set()).add(value)
    grid = {parameter: sorted(values) for parameter, values in grid.items()}
    for claim in SIMULATED:
        try:
            groups = claim.groups(grid)
            word, deciding = verdict(groups, costs, test or Test())
        except KeyError:
            continue
        rows.append(row(claim, word, evidence(deciding, costs), len(costs[deciding.cell])))
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = ("claim", "section", "says", "verdict", "effect", "low", "high", "bar", "where", "beats", "replications")


def row(claim: Claim, word: str, found: dict, replications: int) -> dict:
    return {
        "claim": claim.name,
        "section": claim.section,
        "says": claim.says,
        "verdict": word,
        **found,
        "replications": replications,
    }


def by_construction(scenario: Scenario) -> list[dict]:
    """The rows of the claims about the catalogue, which was made to meet them; they fail for one that does not."""
    rows = []
    for claim in CLAIMS:
        if claim.measure:
            effect, bar, what = claim.measure(scenario)
            found = {"effect": float(effect), "low": np.nan, "high": np.nan, "bar": bar, "where": what, "beats": np.nan}
            rows.append(row(claim, BY_CONSTRUCTION if effect > bar else FAILS, found, 0))
    return rows


def told(found: Mapping) -> str:
    """A row of the ledger's evidence in words."""
    effect, low, high = (found[name] for name in ("effect", "low", "high"))
    if not found["replications"]:
        return f"{effect:.0%}: {found['where']}"
    ends = "" if np.isnan(low) else f" ({low:.1%} to {high:.1%})" if effect >= 0 else f" ({-high:.1%} to {-low:.1%})"
    return f"{found['where']}: {abs(effect):.1%}{ends} {'less' if effect >= 0 else 'more'}"
