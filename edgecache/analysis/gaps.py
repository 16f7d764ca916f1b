"""How far a method is from the best possible: the gap by cause, the GA's certificate, and which capacity is scarce."""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..demand import Draws, random_stream, zipf_popularity
from ..errors import InputError, unknown, whole_number
from ..parallel import run_parallel
from ..policies.contract import Decision
from ..policies.exact import Exact
from ..policies.genetic import GA
from ..policies.optimal_online import OptimalOnline
from ..scenario import Scenario
from ..simulator import simulate
from ..statistics import interval, varied_parameters

# Each part of the gap between the GA and Clairvoyant: the two policies whose difference it is. The first three sum to the whole.
PARTS = {
    "solver": ("ga", "exact"),
    "myopia": ("exact", "optimal-online"),
    "future": ("optimal-online", "clairvoyant"),
    "whole": ("ga", "clairvoyant"),
}
CAPACITIES = ("storage_gb", "gpu_memory_gb", "energy_capacity_kw")


def split_gap(table: pd.DataFrame, outcome: str = "total_cost") -> pd.DataFrame:
    """Split the GA's gap to Clairvoyant by cause, paired by replication.

    Parameters
    ----------
    table
        A sweep over one parameter, with the four policies of PARTS.
    outcome
        The column whose gap is split.

    Returns
    -------
    DataFrame
        One row per value of the parameter, `value`, and `part`: its `mean`, the 95 % interval from `low` to `high`, the `share` of
        Clairvoyant's mean that it is, and the name of the `parameter`.

    Raises
    ------
    InputError
        Where one of the policies is missing, and for a table of no or several parameters.

    Examples
    --------
    >>> costs = {"ga": 12.0, "exact": 11.0, "optimal-online": 9.0, "clairvoyant": 8.0}
    >>> rows = [(60, replication, policy, cost) for replication in (0, 1) for policy, cost in costs.items()]
    >>> table = pd.DataFrame(rows, columns=["storage_gb", "replication", "policy", "total_cost"])
    >>> split_gap(table)["mean"].tolist()
    [1.0, 2.0, 1.0, 4.0]
    """
    varied = varied_parameters(table, outcome)
    if len(varied) != 1:
        raise InputError(f"a gap is split along one parameter, but this table varies {', '.join(varied) or 'none'}")
    parameter = varied[0]
    for policy in dict.fromkeys(itertools.chain(*PARTS.values())):
        if policy not in set(table["policy"]):
            raise unknown("policy of this table", policy, table["policy"].unique())
    wide = table.pivot(index=[parameter, "replication"], columns="policy", values=outcome)
    rows = []
    for value, runs in wide.groupby(level=0, sort=False):
        for part, (worse, better) in PARTS.items():
            gap = (runs[worse] - runs[better]).to_numpy()
            low, high = map(float, interval(gap))
            rows.append((value, part, gap.mean(), low, high, gap.mean() / runs["clairvoyant"].mean()))
    return pd.DataFrame(rows, columns=["value", "part", "mean", "low", "high", "share"]).assign(parameter=parameter)


class _RecordingExact:
    """A planner that decides as Exact does and keeps every decision."""

    def __init__(self) -> None:
        self.name, self.decisions = "recording-exact", list[Decision]()

    def decide(self, decision: Decision) -> NDArray[np.bool_]:
        self.decisions.append(decision)
        return Exact().decide(decision)


def decisions_met(scenario: Scenario, replications: int, seed: int = 0) -> list[Decision]:
    """Collect the decisions that Exact meets.

    Parameters
    ----------
    scenario
        The server and its demand.
    replications
        Number of runs.
    seed
        Seed of the runs.

    Returns
    -------
    list of Decision
        One per miss, in order.

    Examples
    --------
    >>> len(decisions_met(Scenario(slots=5), 1)) <= len(decisions_met(Scenario(slots=5), 2))
    True
    """
    planner = _RecordingExact()
    for replication in range(replications):
        simulate(scenario, planner, seed, replication=replication)
    return planner.decisions


def certificate(decisions: Sequence[Decision], ga: GA | None = None) -> pd.DataFrame:
    """Count the evaluations after which the GA has met the optimum of each decision.

    Parameters
    ----------
    decisions
        Such as `decisions_met` returns.
    ga
        The GA; by default one that goes through all its generations.

    Returns
    -------
    DataFrame
        One row per decision: how many models were `deployed`; how many subsets `enumeration` evaluates, 2^deployed where the
        decision may only evict; and the `evaluations` of the GA until its best was optimal, NaN if it never was.

    Examples
    --------
    >>> certificate(decisions_met(Scenario(slots=5), 1)).columns.tolist()
    ['deployed', 'enumeration', 'evaluations']
    """
    ga, rows = ga or GA(convergence=0), []
    for decision in decisions:
        least = float(decision.cost(Exact().decide(decision)))
        _, log = ga.evolve(decision, record=True)
        met, evaluations = np.array(log.select("met")), np.array(log.select("evaluations"))
        optimal = np.flatnonzero(met <= least * (1 + 1e-9))
        choices = len(decision.candidates) + decision.scenario.may_bypass
        evaluated = float(evaluations[optimal[0]]) if len(optimal) else np.nan
        rows.append((int(decision.deployed.sum()), 2.0**choices, evaluated))
    return pd.DataFrame(rows, columns=["deployed", "enumeration", "evaluations"])


def optimal_share(certificates: pd.DataFrame, ga: GA | None = None) -> pd.DataFrame:
    """Compute the share of decisions whose optimum the GA has met, by number of evaluations.

    Parameters
    ----------
    certificates
        Tables of `certificate`, with a column `case`.
    ga
        The GA of the certificates.

    Returns
    -------
    DataFrame
        One row per `case` and number of `evaluations`, a generation after the other: the `optimal` share, the number of
        `decisions`, and the median of `enumeration`.

    Examples
    --------
    >>> certificates = pd.DataFrame({"case": "mine", "enumeration": [4.0, 8.0], "evaluations": [50.0, 100.0]})
    >>> optimal_share(certificates)["optimal"].tolist()[:3]
    [0.5, 1.0, 1.0]
    """
    ga = ga or GA(convergence=0)
    budgets = ga.population * np.arange(1, ga.generations + 2)
    rows: list[dict[str, Any]] = []
    for case, group in certificates.groupby("case", sort=False):
        shares = (group["evaluations"].to_numpy()[:, None] <= budgets).mean(axis=0)
        every = {"case": case, "decisions": len(group), "enumeration": group["enumeration"].median()}
        rows += [every | {"evaluations": budget, "optimal": share} for budget, share in zip(budgets, shares, strict=True)]
    return pd.DataFrame(rows)


def capacity_map(
    storage_gb: Sequence[float],
    gpu_memory_gb: Sequence[float],
    scenario: Scenario | None = None,
    *,
    goal: str = "cost",
    popularities: int = 5,
    seed: int = 0,
    jobs: int = -1,
) -> pd.DataFrame:
    """Find which capacity costs most in the long run, on servers of every size in two lists.

    Parameters
    ----------
    storage_gb, gpu_memory_gb
        The sizes of the servers, GB.
    scenario
        All that the servers have in common.
    goal
        `cost`: the paper's cost; `delay`: the delay that misses add.
    popularities
        Number of random assignments of the popularity to the models, over which costs are averaged. With weights in the catalogue,
        or a fixed order, there is only one.
    seed
        Seed of these assignments.
    jobs
        Number of processes; -1 for every core.

    Returns
    -------
    DataFrame
        One row per storage, GPU memory and `resource`: the `share` of the average cost that lifting this one limit saves, and
        `binding` where that is more than nothing.

    Raises
    ------
    InputError
        Under `resource_unit = capacity`, where a larger server changes the unit of cost, and for a server too large for
        OptimalOnline.

    Examples
    --------
    >>> capacity_map([60], [6], Scenario(w2=0.02), popularities=1, jobs=1)["resource"].tolist()
    ['storage_gb', 'gpu_memory_gb', 'energy_capacity_kw']

    Notes
    -----
    A limit is lifted by raising the capacity to what all models need together; then OptimalOnline is solved again. Servers that
    cannot hold every model do not compare with the others: requests that the cloud serves cost nothing.
    """
    scenario = scenario or Scenario()
    whole_number("popularities", popularities)
    if scenario.resource_unit == "capacity" and goal == "cost":
        raise InputError("resource_unit is 'capacity', by which costs on unequal servers do not compare; it must be 'absolute'")
    ranks = zipf_popularity(len(scenario.catalogue), scenario.zipf)
    orders = [np.random.default_rng(random_stream(seed, number)).permutation(ranks) for number in range(popularities)]
    if scenario.catalogue.weight is not None or scenario.popularity_order == "fixed":
        orders = [Draws(seed).popularity(scenario)]
    sizes = itertools.product(storage_gb, gpu_memory_gb, [scenario.energy_capacity_kw])
    lifted = {server: _with_one_limit_lifted(scenario, server) for server in sizes}
    servers = list(dict.fromkeys([*lifted, *itertools.chain(*lifted.values())]))
    average_cost = partial(_average_cost, scenario=scenario, goal=goal, popularities=orders)
    cost = dict(zip(servers, run_parallel(average_cost, servers, jobs), strict=True))
    rows = []
    for server, larger in lifted.items():
        for resource, other in zip(CAPACITIES, larger, strict=True):
            saved = cost[server] - cost[other]
            binding = saved > 1e-7 * abs(cost[server])
            rows.append((*server[:2], resource, saved / cost[server] if binding else 0.0, binding))
    return pd.DataFrame(rows, columns=["storage_gb", "gpu_memory_gb", "resource", "share", "binding"])


def _with_one_limit_lifted(scenario: Scenario, server: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Raise each capacity of the server (GB, GB, kW) in turn to what all models need together."""
    ample = scenario.catalogue.needs.sum(axis=1) + np.array([0, 0, scenario.static_power_kw])
    return [(*server[:r], max(float(ample[r]), server[r]), *server[r + 1 :]) for r in range(3)]


def _average_cost(server: tuple[float, ...], scenario: Scenario, goal: str, popularities: Sequence[NDArray]) -> float:
    """Average the long-run cost of OptimalOnline over the popularities, on a server of (GB, GB, kW)."""
    varied: dict[str, Any] = dict(zip(CAPACITIES, server, strict=True))
    plans = [OptimalOnline(goal).solve(scenario.vary(**varied), popularity) for popularity in popularities]
    if any(plan.name.endswith("-approximate") for plan in plans):
        raise InputError(f"a server of {server[0]:g} GB, {server[1]:g} GB and {server[2]:g} kW is too large for optimal-online")
    return float(np.mean([plan.average_cost for plan in plans]))
