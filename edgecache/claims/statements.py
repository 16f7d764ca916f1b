"""The paper's claims: each is a list of statements about costs, or a measure of the catalogue.

A statement says that one cost is below another by more than a bar, or by less. The bar is a share of the other cost. Costs are
those of a policy at a point, such as LRU at 80 GB of storage. A statement is linear in the costs, so it has one margin per
replication, paired on the same traces. A claim holds when its statements hold beyond chance, fails when they are contradicted
beyond chance, and is undecided otherwise; `verdicts.Test` says what "beyond chance" means. Three claims describe the catalogue.
It was calibrated to them, so they read "by construction".
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..catalogue import TABLE_I
from ..costs import fetch_delay_s, switching_delay_s
from ..scenario import Scenario

BASELINES = ("random", "fifo", "lru", "lfu")
POLICIES = (*BASELINES, "proposed")
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
HOLDS, FAILS, UNDECIDED, BY_CONSTRUCTION, NOT_JUDGED = VERDICTS = ("holds", "fails", "undecided", "by construction", "not judged")

Cell = tuple[str, float, str]  # a parameter, its value, and a policy (`proposed` for the paper's)
Grid = Mapping[str, Sequence[float]]  # the points of each parameter
UNITS = {"storage_gb": "GB storage", "gpu_memory_gb": "GB GPU memory", "slots": "slots", "arrival_rate": "requests a slot"}


class MissingPoints(LookupError):
    """The grid lacks points that a claim needs; the text says which."""


@dataclass(frozen=True)
class Statement:
    """A statement on two costs: the first is below the second by more than a share of the second, or by less.

    Parameters
    ----------
    cell, other : (str, float, str)
        Parameter, value and policy of the first and of the second cost.
    bar : float
        The share of the second cost.
    at_most : bool
        Whether the difference is to be smaller than the bar, not larger.

    Examples
    --------
    >>> statement = Statement(("slots", 100, "proposed"), ("slots", 100, "lru"), bar=0.1)
    >>> statement.where
    'proposed against lru at 100 slots'
    >>> statement.margin({statement.cell: np.array([8.0]), statement.other: np.array([10.0])})
    array([1.])
    """

    cell: Cell
    other: Cell
    bar: float = 0.0
    at_most: bool = False

    @property
    def where(self) -> str:
        """Name the two costs."""
        (parameter, value, policy), (_, second, against) = self.cell, self.other
        if value == second:
            return f"{policy} against {against} at {value:g} {UNITS[parameter]}"
        return f"{policy} at {value:g} against {second:g} {UNITS[parameter]}"

    def margin(self, costs: Mapping[Cell, np.ndarray]) -> np.ndarray:
        """Return by how much the statement is true in each replication: positive where it is. Rounding errors count as zero."""
        cost, other = costs[self.cell], costs[self.other]
        margin = (1 - self.bar) * other - cost
        return np.where(np.abs(margin) <= 1e-9 * np.abs(other), 0.0, -margin if self.at_most else margin)


class Group(NamedTuple):
    """Statements of which at least `needed` must hold."""

    needed: int
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Claim:
    """What the paper says, in our words, and in which of its sections."""

    name: str
    section: str
    says: str


@dataclass(frozen=True)
class SimulatedClaim(Claim):
    """A claim about costs. `groups` gives its statements on a grid, and raises MissingPoints where the grid is too small."""

    groups: Callable[[Grid], list[Group]]

    def statements(self, grid: Grid = GRID) -> list[Statement]:
        """Return the statements of all groups."""
        return [statement for group in self.groups(grid) for statement in group.statements]


@dataclass(frozen=True)
class CatalogueClaim(Claim):
    """A claim about the catalogue. `measure` gives its effect in a scenario, the bar that it must exceed, and what it is."""

    measure: Callable[[Scenario], tuple[float, float, str]]


def cells_of(claims: Iterable[SimulatedClaim], grid: Grid = GRID) -> list[Cell]:
    """Return every cell that the claims are about, each once."""
    statements = [statement for claim in claims for statement in claim.statements(grid)]
    return list(dict.fromkeys(cell for statement in statements for cell in (statement.cell, statement.other)))


def points_of(cells: Iterable[Cell]) -> tuple[list[dict[str, float]], dict[Cell, tuple[int, int]]]:
    """Return the points of the cells, each once, and of each cell the place of its point and that of its policy in POLICIES."""
    point = {cell: CENTRE | {cell[0]: cell[1]} for cell in cells}
    points = [dict(items) for items in dict.fromkeys(tuple(values.items()) for values in point.values())]
    return points, {cell: (points.index(values), POLICIES.index(cell[2])) for cell, values in point.items()}


def _points(grid: Grid, parameter: str, least: int = 1) -> Sequence[float]:
    """The points of a parameter. A trend needs at least two."""
    points = grid.get(parameter, ())
    if not points:
        raise MissingPoints(f"no table over {parameter}")
    if len(points) < least:
        raise MissingPoints(f"{parameter} has {len(points)} point, and the claim needs {least}")
    return points


def _all(statements: Iterable[Statement]) -> Group:
    statements = tuple(statements)
    return Group(len(statements), statements)


def _lowest(parameter: str) -> Callable[[Grid], list[Group]]:
    """The proposed costs less than every baseline at every point."""

    def groups(grid: Grid) -> list[Group]:
        pairs = itertools.product(_points(grid, parameter), BASELINES)
        return [_all(Statement((parameter, value, "proposed"), (parameter, value, policy)) for value, policy in pairs)]

    return groups


def _falls(policy: str, parameter: str) -> Callable[[Grid], list[Group]]:
    """From the first point to the last the cost falls, at no step does it rise, and at the last step it no longer falls."""

    def groups(grid: Grid) -> list[Group]:
        cells = [(parameter, value, policy) for value in _points(grid, parameter, 2)]
        steps = [Statement(later, cell, -FLAT) for cell, later in itertools.pairwise(cells)]
        return [_all([Statement(cells[-1], cells[0], FLAT), *steps, Statement(cells[-1], cells[-2], FLAT, at_most=True)])]

    return groups


def _escalate(parameter: str) -> Callable[[Grid], list[Group]]:
    """Random, FIFO and LRU each cost more at every point than at the one before.

    A cost that rises up to some point and then stays does not escalate, however large the rise from end to end is.
    """

    def groups(grid: Grid) -> list[Group]:
        steps = itertools.pairwise(_points(grid, parameter, 2))
        pairs = itertools.product(BASELINES[:3], steps)
        return [_all(Statement((parameter, b, p), (parameter, a, p), -FLAT, at_most=True) for p, (a, b) in pairs)]

    return groups


def _almost_lowest(grid: Grid) -> list[Group]:
    """At the largest storage and at the largest GPU memory, below all baselines but one."""
    points = [(parameter, _points(grid, parameter)[-1]) for parameter in ("storage_gb", "gpu_memory_gb")]
    return [Group(len(BASELINES) - 1, tuple(Statement((*p, "proposed"), (*p, b)) for b in BASELINES)) for p in points]


def _reductions(bar: float, at_most: bool = False) -> tuple[Statement, ...]:
    """Each baseline's reduction at the centre exceeds the bar, or stays below it."""
    centre = ("storage_gb", CENTRE["storage_gb"])
    return tuple(Statement((*centre, "proposed"), (*centre, baseline), bar, at_most) for baseline in BASELINES)


def _headline(grid: Grid) -> list[Group]:
    """Every reduction lies within the headline's interval."""
    _points(grid, "storage_gb")
    return [_all(_reductions(HEADLINE[0]) + _reductions(HEADLINE[1], at_most=True))]


def _headline_ends(grid: Grid) -> list[Group]:
    """Every reduction lies within NEAR of the headline's interval, and one reaches each end within NEAR."""
    _points(grid, "storage_gb")
    low, high = HEADLINE
    return [
        _all(_reductions(low - NEAR) + _reductions(high + NEAR, at_most=True)),
        Group(1, _reductions(low + NEAR, at_most=True)),
        Group(1, _reductions(high - NEAR)),
    ]


def _stable(parameter: str) -> Callable[[Grid], list[Group]]:
    """No two points differ by more than STABLE."""

    def groups(grid: Grid) -> list[Group]:
        pairs = itertools.permutations(_points(grid, parameter, 2), 2)
        return [_all(Statement((parameter, a, "proposed"), (parameter, b, "proposed"), -STABLE) for a, b in pairs)]

    return groups


def _first_delay(scenario: Scenario) -> tuple[float, float, str]:
    saved = (fetch_delay_s(scenario) / switching_delay_s(scenario)).min()
    return saved, 0.5, "how much less a preloaded request waits than the first, least over the services"


def _fetching(scenario: Scenario) -> tuple[float, float, str]:
    share = (fetch_delay_s(scenario) / switching_delay_s(scenario)).mean()
    return share, 0.5, "share of transmission and I/O in the first delay, mean over the services"


def _ranges(scenario: Scenario) -> tuple[float, float, str]:
    c = scenario.catalogue
    spans = []
    for feature in ("size_gb", "gpu_memory_gb"):
        (low, high), least, most = TABLE_I[feature], getattr(c, feature).min(), getattr(c, feature).max()
        spans.append(max(min(high, most) - max(low, least), 0.0) / (max(high, most) - min(low, least)))
    return min(spans), 0.9, "overlap of the demands' range and the stated one, of their union, less for storage or GPU memory"


# a claim's name, its section, what it says, and how it is measured or checked
CATALOGUE_CLAIMS = tuple(
    CatalogueClaim(*row)
    for row in (
        ("demands-vary", "II-A", "storage needs span 2 to 50 GB and GPU needs 1 to 6 GB", _ranges),
        ("first-delay", "II-B", "the first service delay is much longer than that of a preloaded model", _first_delay),
        ("fetching-dominates", "II-B", "transmission and I/O are most of the first delay", _fetching),
    )
)
SIMULATED = tuple(
    SimulatedClaim(*row)
    for row in (
        ("lowest-over-storage", "IV-B", "the proposed costs least at every storage", _lowest("storage_gb")),
        ("lowest-over-gpu", "IV-B", "the proposed costs least at every GPU memory", _lowest("gpu_memory_gb")),
        ("proposed-falls-with-storage", "IV-B", "the proposed falls with storage and settles", _falls("proposed", "storage_gb")),
        ("proposed-falls-with-gpu", "IV-B", "the proposed falls with GPU memory and settles", _falls("proposed", "gpu_memory_gb")),
        ("lfu-falls-with-storage", "IV-B", "LFU falls with storage and settles", _falls("lfu", "storage_gb")),
        ("lfu-falls-with-gpu", "IV-B", "LFU falls with GPU memory and settles", _falls("lfu", "gpu_memory_gb")),
        ("others-rise-with-storage", "IV-B", "Random, FIFO and LRU rise at each step of storage", _escalate("storage_gb")),
        ("others-rise-with-gpu", "IV-B", "Random, FIFO and LRU rise at each step of GPU memory", _escalate("gpu_memory_gb")),
        ("almost-lowest-at-most", "IV-B", "at 180 GB and at 18 GB the proposed is below almost any baseline", _almost_lowest),
        ("headline-reduction", "IV-B", "at 120 GB and 12 GB every reduction lies within 56.06 to 76.73 %", _headline),
        ("headline-ends", "IV-B", "and the reductions reach both ends of that interval, within 5 points", _headline_ends),
        ("stable-over-slots", "IV-B", "the proposed's cost is stable over the number of slots", _stable("slots")),
        ("lowest-over-slots", "IV-B", "the proposed costs least at every number of slots", _lowest("slots")),
        ("lowest-over-rates", "IV-B", "the proposed costs least at every arrival rate", _lowest("arrival_rate")),
    )
)  # fmt: skip
CLAIMS: tuple[Claim, ...] = (*CATALOGUE_CLAIMS, *SIMULATED)
