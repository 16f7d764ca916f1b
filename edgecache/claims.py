"""The claims ledger: every checkable statement of the paper, and whether it holds under a reading of its lost symbols.

A claim is made of statements "this cost is below that one by more than a bar, a share of it" (or by less), about cells (parameter,
value, policy) of tidy tables. Statements are linear in the costs, so each has one margin a replication, paired on the same traces.
A claim holds when its statements hold beyond chance, fails when they are contradicted beyond chance, and is `undecided` otherwise;
what "beyond chance" means is in `Test`. Three claims describe the catalogue, which was calibrated to them: these read `by
construction`.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .catalogue import TABLE_I
from .costs import fetch_delay_s, switching_delay_s
from .errors import InputError, unknown
from .scenario import Scenario

BASELINES = ("random", "fifo", "lru", "lfu")
GRID = {  # the points at which the claims are checked
    "storage_gb": (60.0, 80.0, 120.0, 150.0, 180.0),
    "gpu_memory_gb": (6.0, 8.0, 12.0, 15.0, 18.0),
    "slots": (50, 100, 300),
    "arrival_rate": (0.5, 1.0, 2.0, 4.0),
}
# where the others are meanwhile; the arrival rate is the reading's
CENTRE = {"storage_gb": 120.0, "gpu_memory_gb": 12.0, "slots": 100}
HEADLINE = (0.5606, 0.7673)  # by which shares the proposed costs less than the baselines, Section IV-B
# What the paper's words leave to us: a cost rises or falls where it changes by more than FLAT; it is stable within STABLE; the
# ends of the headline's interval are met within NEAR; "almost any" baseline is all but one.
FLAT, STABLE, NEAR = 0.02, 0.10, 0.05
HOLDS, FAILS, UNDECIDED, BY_CONSTRUCTION = VERDICTS = ("holds", "fails", "undecided", "by construction")

Cell = tuple[str, float, str]  # a parameter, its value, and a policy (`proposed` for the paper's)


@dataclass(frozen=True)
class Statement:
    """The cost at `cell` is below that at `other` by more than the share `bar` of it, or where `at_most` by less than that."""

    cell: Cell
    other: Cell
    bar: float = 0.0
    at_most: bool = False

    @property
    def where(self) -> str:
        """The two cells in words."""
        (parameter, value, policy), (_, second, against) = self.cell, self.other
        unit = {"storage_gb": "GB storage", "gpu_memory_gb": "GB GPU memory", "slots": "slots", "arrival_rate": "requests a slot"}
        if value == second:
            return f"{policy} against {against} at {value:g} {unit[parameter]}"
        return f"{policy} at {value:g} against {second:g} {unit[parameter]}"

    def margin(self, costs: Mapping[Cell, np.ndarray]) -> np.ndarray:
        """By how much it is true in each replication, (n,): positive where it is. Rounding errors count as nothing."""
        cost, other = costs[self.cell], costs[self.other]
        margin = (1 - self.bar) * other - cost
        return np.where(np.abs(margin) <= 1e-9 * np.abs(other), 0.0, -margin if self.at_most else margin)


Group = tuple[int, tuple[Statement, ...]]  # so many of these must hold


@dataclass(frozen=True)
class Claim:
    """One statement of the paper: its section, what it says in our words, and what must hold for it on a grid of points."""

    name: str
    section: str
    says: str
    groups: Callable[[Mapping[str, Sequence[float]]], list[Group]] | None = None
    measure: Callable[[Scenario], tuple[float, float, str]] | None = None  # of the catalogue: (effect, bar, what it is)

    def statements(self, grid: Mapping[str, Sequence[float]] = GRID) -> list[Statement]:
        """All statements of all groups."""
        return [statement for _, group in self.groups(grid) for statement in group]


def _all(statements: Iterable[Statement]) -> Group:
    statements = tuple(statements)
    return len(statements), statements


def _lowest(parameter):
    """The proposed costs less than every baseline at every point."""
    return lambda grid: [
        _all(Statement((parameter, v, "proposed"), (parameter, v, b)) for v, b in itertools.product(grid[parameter], BASELINES))
    ]


def _several(grid, parameter):
    """The points of a trend, which needs two; KeyError where the tables have fewer."""
    if len(grid[parameter]) < 2:
        raise KeyError(parameter)
    return grid[parameter]


def _falls(policy, parameter):
    """From the first point to the last the cost falls, at no step does it rise, and at the last step it no longer falls."""

    def groups(grid):
        cells = [(parameter, value, policy) for value in _several(grid, parameter)]
        steps = [Statement(later, cell, -FLAT) for cell, later in itertools.pairwise(cells)]
        return [_all([Statement(cells[-1], cells[0], FLAT), *steps, Statement(cells[-1], cells[-2], FLAT, at_most=True)])]

    return groups


def _rise(policies, parameter):
    """From the first point to the last each cost rises, and at no step does it fall."""

    def groups(grid):
        found = []
        for policy in policies:
            cells = [(parameter, value, policy) for value in _several(grid, parameter)]
            found.append(Statement(cells[-1], cells[0], -FLAT, at_most=True))
            found += [Statement(later, cell, FLAT, at_most=True) for cell, later in itertools.pairwise(cells)]
        return [_all(found)]

    return groups


def _almost_lowest(grid):
    """At the largest storage and at the largest GPU memory, below all baselines but one."""
    points = [(parameter, grid[parameter][-1]) for parameter in ("storage_gb", "gpu_memory_gb")]
    return [(len(BASELINES) - 1, tuple(Statement((*p, "proposed"), (*p, b)) for b in BASELINES)) for p in points]


def _reductions(bar: float, at_most: bool = False) -> tuple[Statement, ...]:
    """Each baseline's reduction at the centre exceeds the bar, or stays below it."""
    ours = ("storage_gb", CENTRE["storage_gb"], "proposed")
    return tuple(Statement(ours, (*ours[:2], baseline), bar, at_most) for baseline in BASELINES)


def _stable(parameter):
    """No two points differ by more than STABLE."""
    return lambda grid: [
        _all(
            Statement((parameter, a, "proposed"), (parameter, b, "proposed"), -STABLE)
            for a, b in itertools.permutations(_several(grid, parameter), 2)
        )
    ]


def _first_delay(scenario):
    saved = (fetch_delay_s(scenario) / switching_delay_s(scenario)).min()
    return saved, 0.5, "how much less a preloaded request waits than the first, least over the services"


def _fetching(scenario):
    share = (fetch_delay_s(scenario) / switching_delay_s(scenario)).mean()
    return share, 0.5, "share of transmission and I/O in the first delay, mean over the services"


def _ranges(scenario):
    c = scenario.catalogue
    spans = []
    for feature in ("size_gb", "gpu_memory_gb"):
        (low, high), least, most = TABLE_I[feature], getattr(c, feature).min(), getattr(c, feature).max()
        spans.append(max(min(high, most) - max(low, least), 0.0) / (max(high, most) - min(low, least)))
    return min(spans), 0.9, "overlap of the demands' range and the stated one, of their union, less for storage or GPU memory"


CLAIMS = tuple(
    Claim(*row)
    for row in (
        # name, section, what it says, how it is checked
        ("demands-vary", "II-A", "storage needs span 2 to 50 GB and GPU needs 1 to 6 GB", None, _ranges),
        ("first-delay", "II-B", "the first service delay is much longer than that of a preloaded model", None, _first_delay),
        ("fetching-dominates", "II-B", "transmission and I/O are most of the first delay", None, _fetching),
        ("lowest-over-storage", "IV-B", "the proposed costs least at every storage", _lowest("storage_gb")),
        ("lowest-over-gpu", "IV-B", "the proposed costs least at every GPU memory", _lowest("gpu_memory_gb")),
        ("proposed-falls-with-storage", "IV-B", "the proposed falls with storage and settles", _falls("proposed", "storage_gb")),
        ("proposed-falls-with-gpu", "IV-B", "the proposed falls with GPU memory and settles", _falls("proposed", "gpu_memory_gb")),
        ("lfu-falls-with-storage", "IV-B", "LFU falls with storage and settles", _falls("lfu", "storage_gb")),
        ("lfu-falls-with-gpu", "IV-B", "LFU falls with GPU memory and settles", _falls("lfu", "gpu_memory_gb")),
        ("others-rise-with-storage", "IV-B", "Random, FIFO and LRU rise with storage", _rise(BASELINES[:3], "storage_gb")),
        ("others-rise-with-gpu", "IV-B", "Random, FIFO and LRU rise with GPU memory", _rise(BASELINES[:3], "gpu_memory_gb")),
        ("almost-lowest-at-most", "IV-B", "at 180 GB and at 18 GB the proposed is below almost any baseline", _almost_lowest),
        (
            "headline-reduction", "IV-B", "at 120 GB and 12 GB every reduction lies within 56.06 to 76.73 %",
            lambda grid: [_all(_reductions(HEADLINE[0]) + _reductions(HEADLINE[1], True))],
        ),
        (
            "headline-ends", "IV-B", "and the reductions reach both ends of that interval, within 5 points",
            lambda grid: [
                _all(_reductions(HEADLINE[0] - NEAR) + _reductions(HEADLINE[1] + NEAR, True)),
                (1, _reductions(HEADLINE[0] + NEAR, True)),
                (1, _reductions(HEADLINE[1] - NEAR)),
            ],
        ),
        ("stable-over-slots", "IV-B", "the proposed's cost is stable over the number of slots", _stable("slots")),
        ("lowest-over-slots", "IV-B", "the proposed costs least at every number of slots", _lowest("slots")),
        ("lowest-over-rates", "IV-B", "the proposed costs least at every arrival rate", _lowest("arrival_rate")),
    )
)  # fmt: skip
SIMULATED = tuple(claim for claim in CLAIMS if claim.groups)


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
