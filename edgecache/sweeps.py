"""Sweeps: scenarios x policies x replications, in parallel, into tidy tables."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import InputError, TooManyDeployments, whole_number
from .parallel import run_parallel
from .policies import GA, PAPER, Exact, OptimalOnline, find_policy
from .policies.contract import Bound, Policy
from .policies.ranks import EvictionPolicy
from .scenario import Scenario
from .simulator import Game
from .trace import Trace
from .workloads.contract import Demand, GivenTrace, check_own
from .workloads.words import find_demand

OUTCOMES = (
    "total_cost", "switching_cost", "resource_cost", "service_delay_s", "service_delay_all_s", "hit_ratio", "cloud_share",
    "fetched_gb", "energy_kwh",
)  # fmt: skip
Cell = list[tuple[str, dict[str, float], dict[str, npt.NDArray]]]  # by policy: its name, its means, its columns by slot


def sweep(
    vary: Mapping[str, Iterable] | None = None,
    policies: Sequence[str | Policy] = PAPER,
    replications: int = 30,
    scenario: Scenario | None = None,
    *,
    seed: int = 0,
    jobs: int = -1,
    dask: str = "",
    progress: bool | None = None,
    demand: str | Demand | None = None,
    trace: Trace | None = None,
    slo_s: float | None = None,
) -> pd.DataFrame:
    """Run every combination of the values in `vary` with every policy and replication, into one tidy table.

    Parameters
    ----------
    vary : mapping of str to iterable, optional
        Parameters of the scenario and their values, such as ``{"storage_gb": [60, 120, 180]}``.
    policies : sequence of str or Policy
        Every policy faces the same traces.
    replications : int
        Runs per point, each with its own trace.
    scenario : Scenario, optional
        What is not varied; the default scenario without it.
    seed : int
        The same seed gives the same table, at any number of jobs.
    jobs : int
        Processes; -1 is every core.
    dask : str
        Address of a Dask scheduler to run on instead, such as ``tcp://host:8786``.
    progress : bool, optional
        Show a progress bar; by default only where standard error is a terminal.
    demand : str or Demand, optional
        What draws the traces: a word such as `gamma:cv=4`, or an object (see `workloads`); the paper's demand by default. `vary`
        may hold several, as ``{"demand": ["poisson", "gamma:cv=4"]}``.
    trace : Trace, optional
        One trace for every replication instead. Only policies that draw random numbers then differ between replications.
    slo_s : float, optional
        A bound on the delay, s. With it the table has the columns of `Simulation.delays` too.

    Returns
    -------
    DataFrame
        The varied parameters, `replication`, `policy`, and the columns of `Simulation.means`. Where a server is too large for
        Clairvoyant, its lower bound `clairvoyant-bound` takes its place, and OptimalOnline's approximation is named so.

    Raises
    ------
    InputError
        For unknown parameters, values, policies or demands, and where a parameter is varied that the demand decides itself, before
        anything runs.

    Examples
    --------
    >>> import edgecache as ec
    >>> table = ec.sweep({"gpu_memory_gb": [6, 12]}, ["lru", "ga"], 2, jobs=1)
    >>> table.groupby(["gpu_memory_gb", "policy"])["total_cost"].mean().round(1).to_dict()
    {(6, 'ga'): 19.9, (6, 'lru'): 25.9, (12, 'ga'): 19.9, (12, 'lru'): 54.8}
    """
    return SweepPlan(vary, policies, replications, scenario, seed, demand, trace, slo_s).means(jobs, dask, progress)


def sweep_by_slot(
    vary: Mapping[str, Iterable] | None = None,
    policies: Sequence[str | Policy] = PAPER,
    replications: int = 30,
    scenario: Scenario | None = None,
    *,
    seed: int = 0,
    jobs: int = -1,
    dask: str = "",
    progress: bool | None = None,
    demand: str | Demand | None = None,
    trace: Trace | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run a sweep and keep its slots too.

    Parameters
    ----------
    vary, policies, replications, scenario, seed, jobs, dask, progress, demand, trace
        As for `sweep`, which raises the same errors.

    Returns
    -------
    means, slots : DataFrame
        The table of `sweep`, and one with a row per slot: the columns of `Simulation.slots`.

    Examples
    --------
    >>> import edgecache as ec
    >>> means, slots = ec.sweep_by_slot({}, ["lru"], 2, jobs=1)
    >>> len(means), len(slots)
    (2, 200)
    """
    return SweepPlan(vary, policies, replications, scenario, seed, demand, trace).means_and_slots(jobs, dask, progress)


class SweepPlan:
    """A sweep that is checked, and has not run: every point with every replication. Its arguments are those of `sweep`."""

    def __init__(
        self,
        vary: Mapping[str, Iterable] | None,
        policies: Sequence[str | Policy],
        replications: int,
        scenario: Scenario | None,
        seed: int,
        demand: str | Demand | None = None,
        trace: Trace | None = None,
        slo_s: float | None = None,
    ):
        self.vary = {name: _values(name, values) for name, values in dict(vary or {}).items()}
        self.policies = _policies(policies)
        whole_number("replications", replications, most=1_000_000)
        whole_number("seed", seed, least=0)
        scenario = scenario or Scenario()
        points = [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())]
        if not points:
            raise InputError(f"nothing to sweep over: {', '.join(name for name in self.vary if not self.vary[name])} has no values")
        varied = [_point(scenario, point, demand, trace) for point in points]
        if len({tuple(map(str, label.items())) for label, _, _ in varied}) < len(varied):
            raise InputError("two of the varied demands have one name; give each its own, as LoggedDemand(log, name='mine')")
        for policy, (_, server, _) in itertools.product(self.policies, varied):
            if isinstance(policy, Bound):
                policy.admit(server)
        self.points, self.replications = varied, range(replications)
        self.seed, self.slo_s = seed, _bound_on_delay(slo_s)

    def means(self, jobs: int = -1, dask: str = "", progress: bool | None = None) -> pd.DataFrame:
        """Run the sweep; the table of `sweep`."""
        return pd.DataFrame([{**label, **means} for label, means, _ in self._run(jobs, dask, progress, by_slot=False)])

    def means_and_slots(self, jobs: int = -1, dask: str = "", progress: bool | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Run the sweep; the tables of `sweep_by_slot`."""
        means, columns = [], []
        for label, mean, slots in self._run(jobs, dask, progress, by_slot=True):
            means.append({**label, **mean})
            length = len(slots["slot"])
            columns.append({**{name: np.repeat([value], length) for name, value in label.items()}, **slots})
        table = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
        return pd.DataFrame(means), pd.DataFrame(table)

    def _run(self, jobs: int, dask: str, progress: bool | None, *, by_slot: bool) -> Iterator[tuple[dict, dict, dict]]:
        """Run the cells in parallel. Yields, in their order: the labels, the means and the slots of every policy."""
        shown = sys.stderr.isatty() if progress is None else progress
        what = (self.policies, self.seed, by_slot, self.slo_s)
        groups = list(itertools.product(_alike([label for label, _, _ in self.points]), self.replications))
        tasks = [([self.points[place][1:] for place in places], number, *what) for places, number in groups]
        results = run_parallel(_cells, tasks, jobs, progress=shown, description=", ".join(self.vary) or "runs", dask=dask)
        found: dict[tuple[int, int], Cell] = {}
        for (places, number), cells in zip(groups, results, strict=True):
            found |= {(place, number): cell for place, cell in zip(places, cells, strict=True)}
        for (place, (point, _, _)), number in itertools.product(enumerate(self.points), self.replications):
            for name, means, slots in found.pop((place, number)):
                yield {**point, "replication": number, "policy": name}, means, slots


def _alike(labels: Sequence[dict]) -> list[list[int]]:
    """The places of the points, grouped: the points of a group differ in their number of slots alone."""
    groups: dict[tuple, list[int]] = {}
    for place, label in enumerate(labels):
        groups.setdefault(tuple(value for name, value in label.items() if name != "slots"), []).append(place)
    return list(groups.values())


def _point(scenario: Scenario, point: dict, demand: str | Demand | None, trace: Trace | None) -> tuple[dict, Scenario, Demand]:
    """A point's labels, its scenario and its demand. Raises InputError where the demand decides a varied parameter itself."""
    given = [
        name for name, value in (("demand", demand), ("trace", trace), ("vary['demand']", point.get("demand"))) if value is not None
    ]
    if trace is not None and not isinstance(trace, Trace):
        raise InputError(f"trace is {trace!r}; it must be a Trace: see read_trace and Trace.from_table")
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are given; a sweep has one demand")
    chosen = GivenTrace(trace) if trace is not None else find_demand(point.get("demand", demand))
    parameters = {name: value for name, value in point.items() if name != "demand"}
    check_own(chosen, list(parameters))
    label = point | ({"demand": chosen.name} if "demand" in point else {})
    return label, scenario.vary(**parameters), chosen


def _values(name: str, values: Iterable) -> list:
    """The values of a varied parameter. Raises InputError where they are no list, or where one is named twice."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name} is {values!r}; a sweep needs a list of values, such as [{values!r}]")
    values = list(values)
    if any(value in values[:place] for place, value in enumerate(values)):
        raise InputError(f"{name} is {values!r}; a sweep needs each value once")
    return values


def _policies(policies: Sequence[str | Policy]) -> list[Policy]:
    """The policies of a sweep. Raises InputError where there is none, or one twice."""
    if isinstance(policies, str) or not isinstance(policies, Iterable):
        raise InputError(f"policies is {policies!r}; it must be a list of policies, such as ['lru', 'ga']")
    chosen = [find_policy(policy) for policy in policies]
    names = [policy.name for policy in chosen]
    if not names or len(set(names)) < len(names):
        raise InputError(f"policies are {', '.join(names) or 'missing'}; name at least one, and each once")
    return chosen


def _bound_on_delay(slo_s: float | None) -> float | None:
    """The bound on the delay. Raises InputError where it is no number above zero."""
    if slo_s is not None and (isinstance(slo_s, bool) or not isinstance(slo_s, int | float | np.number) or not 0 < slo_s < np.inf):
        raise InputError(f"slo_s is {slo_s!r}; it must be a number of seconds above zero")
    return slo_s


def _cells(task: tuple[Sequence[tuple[Scenario, Demand]], int, Sequence[Policy], int, bool, float | None]) -> list[Cell]:
    """Play every policy on one replication of points that differ in their number of slots alone; a cell per point.

    A policy that knows nothing of the future is played on the longest trace alone, where the shorter traces begin that trace.
    """
    points, replication, policies, seed, by_slot, slo_s = task
    games = [Game.of(scenario, seed, replication, demand=demand) for scenario, demand in points]
    longest = max(games, key=lambda game: game.charges.trace.slots)
    begins = len(games) > 1 and all(_begins(game.charges.trace, longest.charges.trace) for game in games)
    cells: list[Cell] = [[] for _ in games]
    for policy in policies:
        whole = longest.play(policy) if begins and _knows_no_length(policy) else None
        for game, cell in zip(games, cells, strict=True):
            try:
                run = game.play(policy) if whole is None else whole.up_to(game.charges)
            except TooManyDeployments:
                if by_slot or not isinstance(policy, Bound):
                    raise
                cell.append((f"{policy.name}-bound", _bound(game, policy), {}))
            else:
                delays = {} if slo_s is None else run.delays(slo_s)
                cell.append((run.policy, run.means() | delays, run.by_slot if by_slot else {}))
    return cells


def _begins(trace: Trace, longer: Trace) -> bool:
    """Does the longer trace begin with this trace, at the same rate and popularity?"""
    count = len(trace)
    return (
        trace.requests_per_slot == longer.requests_per_slot
        and np.array_equal(trace.popularity, longer.popularity)
        and np.array_equal(trace.slot, longer.slot[:count])
        and np.array_equal(trace.model, longer.model[:count])
    )


def _knows_no_length(policy: Policy) -> bool:
    """Does the policy decide the same in the first slots, however many slots follow? Known of these policies alone."""
    if isinstance(policy, EvictionPolicy):
        return not policy.offline
    return type(policy) in (Exact, OptimalOnline) or (type(policy) is GA and policy.operators is None)


def _bound(game: Game, policy: Bound) -> dict[str, float]:
    """The row of a lower bound, which knows no other outcome."""
    scenario, trace = game.charges.scenario, game.charges.trace
    on_cloud = int((~scenario.fits_empty_server[trace.model]).sum())
    share = on_cloud / len(trace) if len(trace) else np.nan
    counts = {"cloud_share": share, "requests": len(trace), "cloud_requests": on_cloud, "slots": trace.slots}
    return dict.fromkeys(OUTCOMES, np.nan) | policy.bound(scenario, trace) | counts
