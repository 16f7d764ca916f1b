"""Sweeps: scenarios x policies x replications, in parallel, into tidy tables."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import InputError, TooManyDeployments, whole_number
from .parallel import run_parallel
from .policies import PAPER, find_policy
from .policies.contract import Bound, Policy
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
    plan = _Plan(vary, policies, replications, scenario, seed, demand, trace, slo_s, by_slot=False)
    rows = [{**label, **means} for label, means, _ in plan.run(jobs, dask, progress)]
    return pd.DataFrame(rows)


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
    plan = _Plan(vary, policies, replications, scenario, seed, demand, trace, None, by_slot=True)
    means, columns = [], []
    for label, mean, slots in plan.run(jobs, dask, progress):
        means.append({**label, **mean})
        length = len(slots["slot"])
        columns.append({**{name: np.repeat([value], length) for name, value in label.items()}, **slots})
    table = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    return pd.DataFrame(means), pd.DataFrame(table)


class _Plan:
    """The cells of a sweep, checked before anything runs: every point with every replication."""

    def __init__(
        self,
        vary: Mapping[str, Iterable] | None,
        policies: Sequence[str | Policy],
        replications: int,
        scenario: Scenario | None,
        seed: int,
        demand: str | Demand | None,
        trace: Trace | None,
        slo_s: float | None,
        *,
        by_slot: bool,
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
        self.cells = list(itertools.product(varied, range(replications)))
        self.seed, self.by_slot, self.slo_s = seed, by_slot, _bound_on_delay(slo_s)

    def run(self, jobs: int, dask: str, progress: bool | None) -> Iterator[tuple[dict, dict, dict]]:
        """Run the cells in parallel. Yields, in their order: the labels, the means and the slots of every policy."""
        shown = sys.stderr.isatty() if progress is None else progress
        what = (self.policies, self.seed, self.by_slot, self.slo_s)
        tasks = [(server, chosen, number, *what) for (_, server, chosen), number in self.cells]
        cells = run_parallel(_cell, tasks, jobs, progress=shown, description=", ".join(self.vary) or "runs", dask=dask)
        for ((point, _, _), replication), cell in zip(self.cells, cells, strict=True):
            for name, means, slots in cell:
                yield {**point, "replication": replication, "policy": name}, means, slots


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


def _cell(task: tuple[Scenario, Demand, int, Sequence[Policy], int, bool, float | None]) -> Cell:
    """Play every policy on one scenario and replication."""
    scenario, demand, replication, policies, seed, by_slot, slo_s = task
    game = Game.of(scenario, seed, replication, demand=demand)
    cell: Cell = []
    for policy in policies:
        try:
            run = game.play(policy)
        except TooManyDeployments:
            if by_slot or not isinstance(policy, Bound):
                raise
            cell.append((f"{policy.name}-bound", _bound(game, policy), {}))
        else:
            delays = {} if slo_s is None else run.delays(slo_s)
            cell.append((run.policy, run.means() | delays, run.by_slot if by_slot else {}))
    return cell


def _bound(game: Game, policy: Bound) -> dict[str, float]:
    """The row of a lower bound, which knows no other outcome."""
    scenario, trace = game.charges.scenario, game.charges.trace
    on_cloud = int((~scenario.fits_empty_server[trace.model]).sum())
    share = on_cloud / len(trace) if len(trace) else np.nan
    counts = {"cloud_share": share, "requests": len(trace), "cloud_requests": on_cloud, "slots": trace.slots}
    return dict.fromkeys(OUTCOMES, np.nan) | policy.bound(scenario, trace) | counts
