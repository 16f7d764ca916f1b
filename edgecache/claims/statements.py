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

from ..catalogue import TABLE_I
from ..costs import fetch_delay_s, switching_delay_s
from ..scenario import Scenario

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
