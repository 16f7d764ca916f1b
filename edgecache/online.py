"""OptimalOnline: the best that a policy can do that knows how popular each model is, but not the next request.

Under independent requests this is a Markov decision process: the state is the deployment, the event the next request, the action
at a miss which of the deployed models stay, and the aim the least average cost. See Puterman, Markov Decision Processes
(1994), Section 8.5, for relative value iteration.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from .costs import active_cycle, deployment_cost, eviction_cost, fetch_delay_s, switching_delay_s, total_cost
from .decision import Decision, Prices
from .demand import Trace
from .deployments import LIMIT, Deployments
from .errors import InputError, unknown
from .optimal import best_subset
from .scenario import Scenario

GOALS = ("cost", "delay")
TOLERANCE = 1e-10  # of the average cost, relative to the largest cost of a request
MOST_SWEEPS = 20_000


def aim(scenario: Scenario, goal: str) -> Scenario:
    """The scenario whose cost is the goal: the paper's `cost`, or the `delay` that misses add, the sum of their 8 s / B + l."""
    if goal not in GOALS:
        raise unknown("goal", goal, GOALS)
    return scenario if goal == "cost" else scenario.vary(charge="miss", w1=1.0, w2=0.0, resource_basis="slot")


@dataclass(frozen=True)
class OptimalOnline:
    """The least average cost under independent requests of known popularity, all three resources honoured.

    Exact for policies blind to the position within a slot: the resource cost of a slot is spread over its mean number of requests,
    and under `active_cycle = actual` an eviction costs its expectation, E[1/a] = -p ln p / (1 - p). The popularity is the trace's
    true one, whatever the reading `popularity` says; under `popularity = estimated` what is booked differs, and a policy that
    follows the estimate may cost less. With the goal `delay` it makes users wait least.

    Where more than `limit` deployments fit the server it plans over the most popular models alone, keeps others by what they save
    until their next request, and its name ends in -approximate. Raises InputError under `resource_basis = decision`, whose cost
    depends on the position within a slot.
    """

    goal: str = "cost"
    limit: int = LIMIT
    name: str = "optimal-online"
    label: str = "Optimal online"
    about: str = "least average cost for a known popularity; good as the yardstick of any online policy"

    def prepare(self, scenario: Scenario, trace: Trace) -> "OnlinePlan":
        """The planner of one run."""
        return self.solve(scenario, trace.popularity)

    def solve(self, scenario: Scenario, popularity: np.ndarray) -> "OnlinePlan":
        """Relative value iteration for a popularity (I,)."""
        scenario = aim(scenario, self.goal)
        if scenario.resource_basis == "decision":
            raise InputError(
                f"{self.name} is not defined under resource_basis = decision, whose cost depends on the position within a slot; "
                "it needs resource_basis = slot"
            )
        prices, rate = Prices.of(scenario, popularity), scenario.requests_per_slot
        leaving, fetching, holding, absence = _expected_costs(scenario, popularity)
        deployments = Deployments.of(prices.needs, prices.capacities, np.argsort(-popularity, kind="stable"), self.limit)
        members = deployments.members
        missed = np.where(members | ~scenario.fits_empty_server, 0.0, popularity)  # by state: what must be fetched when asked for
        stays = 1 - missed.sum(axis=1)
        visiting = np.where(members.any(axis=0), 0.0, holding)  # what is not in the head leaves at the next miss
        held, left = members @ holding, members @ leaving
        paid = missed @ (fetching + leaving + visiting) + (1 - stays) * left
        cost, values = _iterate(deployments.after, deployments.without, missed, stays, paid, held, left, TOLERANCE, MOST_SWEEPS)
        whole = len(deployments.head) == scenario.fits_empty_server.sum() and not np.isnan(cost)
        with np.errstate(divide="ignore", invalid="ignore"):
            saves = np.where(popularity > 0, leaving + fetching - holding / popularity, -np.inf)
        return OnlinePlan(
            self.name if whole else f"{self.name}-approximate",
            deployments,
            values,
            holding - leaving,
            saves,
            rate * cost + absence if whole else np.nan,
        )


def _expected_costs(scenario: Scenario, popularity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Of each model (I,): what its eviction costs, its fetching, and its holding a request; and what absence costs a slot.

    Under `charge = absence` a slot costs the absence of all models, and holding one saves its share.
    """
    true = scenario.vary(popularity="true")
    delay = switching_delay_s(scenario)
    if scenario.active_cycle == "actual":
        p = np.clip(popularity, 1e-300, 1 - 1e-12)
        away = delay * np.where(popularity > 0, -p * np.log(p) / (1 - p), 0.0)
    else:
        away = eviction_cost(delay, active_cycle(true, 0, 0, 0, popularity))
    away = total_cost(away, 0.0, scenario.w1, scenario.w2)
    nothing = np.zeros(len(popularity))
    leaving = away if scenario.charge == "eviction" else nothing
    fetching = scenario.w1 * fetch_delay_s(scenario) if scenario.charge == "miss" else nothing
    holding = total_cost(0.0, deployment_cost(scenario, np.eye(len(popularity))), scenario.w1, scenario.w2)
    absent = away if scenario.charge == "absence" else nothing
    return leaving, fetching, (holding - absent) / scenario.requests_per_slot, float(absent.sum())


@dataclass(eq=False)
class OnlinePlan:
    """OptimalOnline for one scenario and popularity: at a miss, the deployment of the least expected cost from there on."""

    name: str  # ends in -approximate where it is
    deployments: Deployments
    values: np.ndarray  # relative value of each state, (S,)
    price: np.ndarray  # of each model held: for holding it a request, less what its eviction would have cost, (I,)
    saves: np.ndarray  # expected, by keeping each model until its next request, (I,)
    average_cost: float  # predicted, a slot; NaN where approximate

    def __post_init__(self):
        self.slack = 1e-9 * (np.abs(self.values).max() + np.abs(self.price).max())  # of what did not converge, between equals
        self.others = np.setdiff1d(np.arange(len(self.price)), self.deployments.head)

    def decide(self, decision: Decision) -> np.ndarray:
        """Bool (I,), the deployment of least expected cost."""
        d = self.deployments
        best = d.best_decision(self.values, self.price, d.state(decision.deployed), decision.requested, self.slack)
        chosen = d.members[best].copy()
        chosen[decision.requested] = True
        others = self.others[decision.deployed[self.others]]
        if len(others):
            needs = decision.prices.needs
            free = decision.prices.capacities - needs @ chosen
            chosen[others], _ = best_subset(self.saves[others], np.ascontiguousarray(needs[:, others]), free)
        return chosen


@njit(cache=True)
def _iterate(after, without, missed, stays, paid, held, left, tolerance, sweeps):
    """Relative value iteration: the least average cost of a request (NaN if it did not converge), and the relative values (S,).

    By state: `missed` (S, I) the probability of a miss for each model, `stays` that nothing changes, `paid` what misses cost
    before the choice, `held` what a request costs, `left` what evicting all would cost.
    """
    states, models = after.shape
    values, new, worth, best = np.zeros(states), np.empty(states), np.empty(states), np.empty((states, models))
    scale = np.abs(held).max() + paid.max()
    for _ in range(sweeps):
        for state in range(states):
            worth[state] = held[state] + values[state] - left[state]
        low, high = np.inf, -np.inf
        for state in range(states):
            row = best[state]  # of the least worth after each request, over all subsets that may stay
            for r in range(models):
                row[r] = worth[after[state, r]] if after[state, r] >= 0 else np.inf
            for subset in without[state]:
                if subset != state:
                    other = best[subset]
                    for r in range(models):
                        row[r] = other[r] if other[r] < row[r] else row[r]
            value = paid[state] + stays[state] * (held[state] + values[state])
            for r in range(models):
                value += missed[state, r] * row[r]
            new[state] = value
            low, high = min(low, value - values[state]), max(high, value - values[state])
        for state in range(states):
            values[state] = new[state] - new[0]
        if high - low <= tolerance * scale:
            return (low + high) / 2, values
    return np.nan, values
