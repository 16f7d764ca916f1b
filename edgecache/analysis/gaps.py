"""How far from the best possible: a gap split into its causes, the genetic algorithm's certificate, and what is scarce where."""

import itertools
from collections.abc import Sequence

import joblib
import numpy as np
import pandas as pd

from ..demand import random_stream, zipf_popularity
from ..errors import InputError, unknown, whole_number
from ..policies.contract import Decision
from ..policies.exact import Exact
from ..policies.genetic import GA
from ..policies.optimal_online import OptimalOnline
from ..scenario import Scenario
from ..simulator import simulate
from ..statistics import interval

# each part of the gap between the genetic algorithm and the floor, and the two policies whose difference it is; the first three add
# up to the whole
PARTS = {
    "solver": ("ga", "exact"),
    "myopia": ("exact", "optimal-online"),
    "future": ("optimal-online", "clairvoyant"),
    "whole": ("ga", "clairvoyant"),
}


def split_gap(table: pd.DataFrame, outcome: str = "total_cost") -> pd.DataFrame:
    """The parts of the GA's gap to the floor, paired by replication, from a sweep with the policies of PARTS.

    One row per value of the first column, called `value`, and part: `mean` with its 95 % bootstrap interval `low` to `high`, and
    the `share` of the floor's mean that it is. Raises InputError where one of the four policies is missing.
    """
    varied = list(table.columns[: table.columns.get_loc("replication")])
    if len(varied) != 1:
        raise InputError(f"a gap is split along one parameter, but this table varies {', '.join(varied) or 'none'}")
    parameter = varied[0]
    for policy in dict.fromkeys(name for pair in PARTS.values() for name in pair):
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


class LookOn:
    """A planner that plays Exact and keeps every decision it is asked for."""

    name = "look-on"

    def __init__(self):
        self.decisions: list[Decision] = []

    def decide(self, decision: Decision) -> np.ndarray:
        """Exact's choice."""
        self.decisions.append(decision)
        return Exact().decide(decision)


def decisions_met(scenario: Scenario, replications: int, seed: int = 0) -> list[Decision]:
    """Every decision that Exact meets in that many runs."""
    looker = LookOn()
    for replication in range(replications):
        simulate(scenario, looker, seed, replication=replication)
    return looker.decisions


def certificate(decisions: Sequence[Decision], ga: GA | None = None) -> pd.DataFrame:
    """How often, and after how many evaluations, the GA has found the optimum of each decision; one row a decision.

    `deployed` models may go or stay, so `enumeration` of all 2^deployed subsets finds it for sure; `evaluations` are those of the
    GA until its best was optimal, NaN if it never was.
    """
    ga, rows = ga or GA(convergence=0), []
    for decision in decisions:
        least = float(decision.cost(Exact().decide(decision)))
        _, log = ga.evolve(decision, record=True)
        met, tried = np.array(log.select("met")), np.array(log.select("evaluations"))
        found = np.flatnonzero(met <= least * (1 + 1e-9))
        deployed = int(decision.deployed.sum())
        rows.append((deployed, 2.0**deployed, float(tried[found[0]]) if len(found) else np.nan))
    return pd.DataFrame(rows, columns=["deployed", "enumeration", "evaluations"])


def reached(certificates: pd.DataFrame, ga: GA | None = None) -> pd.DataFrame:
    """From certificates with a column `case`: the share of decisions whose optimum the GA has met after so many evaluations."""
    ga = ga or GA(convergence=0)
    budgets = ga.population * np.arange(1, ga.generations + 2)
    rows = []
    for case, found in certificates.groupby("case", sort=False):
        shares = (found["evaluations"].to_numpy()[:, None] <= budgets).mean(axis=0)
        every = {"case": case, "decisions": len(found), "enumeration": found["enumeration"].median()}
        rows += [every | {"evaluations": budget, "optimal": share} for budget, share in zip(budgets, shares, strict=True)]
    return pd.DataFrame(rows)


RESOURCES = ("storage_gb", "gpu_memory_gb", "energy_capacity_kw")


def scarcity(
    storage_gb: Sequence[float],
    gpu_memory_gb: Sequence[float],
    scenario: Scenario | None = None,
    *,
    goal: str = "cost",
    popularities: int = 5,
    seed: int = 0,
    jobs: int = -1,
) -> pd.DataFrame:
    """Which limit costs most in the long run, on servers of every size in the two lists.

    Each of storage, GPU memory and power in turn is raised to what all models need together, and OptimalOnline solved again, for
    random assignments of the popularity to the models. One row per storage, GPU memory and resource: the `share` of the average
    cost that lifting its limit saves, and `binding` where that is more than nothing. For the goal `delay` the cost is the
    delay that misses add. Servers that cannot hold every model are not comparable: their cloud's requests cost nothing.
    Raises InputError under `resource_unit = capacity`, where a larger server changes the unit of cost, and for a server too
    large for OptimalOnline.
    """
    scenario = scenario or Scenario()
    whole_number("popularities", popularities)
    if scenario.resource_unit == "capacity" and goal == "cost":
        raise InputError("resource_unit is 'capacity', by which costs on unequal servers do not compare; it must be 'absolute'")
    c, ranks = scenario.catalogue, zipf_popularity(len(scenario.catalogue), scenario.zipf)
    orders = [np.random.default_rng(random_stream(seed, number)).permutation(ranks) for number in range(popularities)]
    ample = (c.size_gb.sum(), c.gpu_memory_gb.sum(), scenario.static_power_kw + c.power_kw.sum())
    lifted = {}  # of each server (GB, GB, kW), the servers with one limit lifted
    for server in itertools.product(storage_gb, gpu_memory_gb, [scenario.energy_capacity_kw]):
        lifted[server] = [(*server[:r], max(float(ample[r]), server[r]), *server[r + 1 :]) for r in range(3)]
    servers = list(dict.fromkeys([*lifted, *itertools.chain(*lifted.values())]))
    tasks = (joblib.delayed(_average_cost)(scenario, server, goal, orders) for server in servers)
    cost = dict(zip(servers, joblib.Parallel(n_jobs=jobs)(tasks), strict=True))
    rows = []
    for server, larger in lifted.items():
        for resource, other in zip(RESOURCES, larger, strict=True):
            saved = cost[server] - cost[other]
            binding = saved > 1e-7 * abs(cost[server])
            rows.append((*server[:2], resource, saved / cost[server] if binding else 0.0, binding))
    return pd.DataFrame(rows, columns=["storage_gb", "gpu_memory_gb", "resource", "share", "binding"])


def _average_cost(scenario: Scenario, server: tuple[float, float, float], goal: str, popularities: Sequence[np.ndarray]) -> float:
    scenario = scenario.vary(**dict(zip(RESOURCES, server, strict=True)))
    mean = float(np.mean([OptimalOnline(goal).solve(scenario, popularity).average_cost for popularity in popularities]))
    if np.isnan(mean):
        raise InputError(f"a server of {server[0]:g} GB, {server[1]:g} GB and {server[2]:g} kW is too large for optimal-online")
    return mean
