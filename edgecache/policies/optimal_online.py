"""OptimalOnline: the best that a policy can do that knows how popular each model is, but not the next request.

Under independent requests this is a Markov decision process: the state is the deployment, the event the next request, the action
at a miss which of the deployed models stay, and the aim the least average cost. See Puterman, Markov Decision Processes
(1994), Section 8.5, for relative value iteration.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from ..costs import active_cycle, deployment_cost, eviction_cost, fetch_delay_s, switching_delay_s, total_cost
from ..demand import Trace
from ..errors import InputError
from ..listing import described
from ..scenario import Scenario
from .contract import Bound, Decision, Prices, aim
from .deployments import Deployments
from .knapsack import best_subset

TOLERANCE = 1e-10  # of the average cost, relative to the largest cost of a request
MOST_SWEEPS = 20_000
RAREST = 1e-9  # what is asked for in a smaller share of the requests is planned for as if never


@dataclass(frozen=True)
class OptimalOnline(Bound):
    """The least average cost under independent requests of known popularity, all three resources honoured.

    Exact for policies blind to the position within a slot: the resource cost of a slot is spread over its mean number of requests,
    and under `active_cycle = actual` an eviction costs its expectation, E[1/a] = -p ln p / (1 - p). The popularity is the trace's
    true one, whatever the reading `popularity` says; under `popularity = estimated` what is booked differs, and a policy that
    follows the estimate may cost less. With the goal `delay` it makes users wait least.

    Where more than `limit` deployments fit the server it plans over some models alone, those that save most for their share of
    the server, as if the others left at the next miss; of those it keeps what saves most in the room that is left. That is no
    bound. Its name then ends in -approximate, as it does should the iteration not converge, which happens where some models are
    asked for less than once in a million requests. Raises InputError under `resource_basis = decision`, whose cost depends on
    the position within a slot, and for a popularity that is none.
    """

    knows: ClassVar[str] = "popularity"
    names: ClassVar = {"cost": described("optimal-online"), "delay": described("optimal-online-delay")}

    def admit(self, scenario: Scenario):
        """Raise InputError for a reading that it is not defined under."""
        if aim(scenario, self.goal).resource_basis == "decision":
            raise InputError(
                f"{self.name} is not defined under resource_basis = decision, whose cost depends on the position within a slot; "
                "it needs resource_basis = slot"
            )

    def prepare(self, scenario: Scenario, trace: Trace) -> "OnlinePlan":
        """The planner of one run."""
        return self.solve(scenario, trace.popularity)

    def solve(self, scenario: Scenario, popularity: np.ndarray) -> "OnlinePlan":
        """Relative value iteration for a popularity (I,)."""
        self.admit(scenario)
        scenario, popularity = aim(scenario, self.goal), _shares(popularity, len(scenario.catalogue))
        prices, rate = Prices.of(scenario, popularity), scenario.requests_per_slot
        leaving, fetching, resource, absent = _expected_costs(scenario, popularity)
        holding, fits = resource - absent, scenario.fits_empty_server
        worth = (popularity * (leaving + fetching) + absent) / (prices.needs / prices.capacities[:, None]).max(axis=0)
        deployments = Deployments.of(prices.needs, prices.capacities, np.argsort(-worth, kind="stable"), self.limit)
        members = deployments.members
        missed = np.where(members | ~fits, 0.0, popularity)  # by state: what must be fetched when asked for
        visiting = np.where(members.any(axis=0), 0.0, holding)  # what is not in the head leaves at the next miss
        held, left = members @ holding, members @ leaving
        paid = missed @ (fetching + leaving + visiting) + missed.sum(axis=1) * left
        cost, values = _least_average_cost(deployments, missed, paid, held, left)
        whole = len(deployments.head) == fits.sum() and not np.isnan(cost)
        return OnlinePlan(
            self.name if whole else f"{self.name}-approximate",
            deployments,
            values,
            holding - leaving,
            popularity * (leaving + fetching) - holding,
            rate * (cost + absent.sum()) if whole else np.nan,
        )


def _shares(popularity: np.ndarray, models: int) -> np.ndarray:
    """The popularity as the plan takes it, float (I,); raises InputError where it is no share of requests for each model."""
    try:
        shares = np.asarray(popularity, dtype=float)
    except (TypeError, ValueError):
        shares = np.array(np.nan)
    if shares.shape != (models,) or not (shares >= 0).all() or not abs(shares.sum() - 1) < 1e-6:
        raise InputError(f"popularity is {popularity!r}; it must be {models} shares of at least zero that sum to one")
    return np.where(shares < RAREST, 0.0, shares)


def _expected_costs(scenario: Scenario, popularity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each model (I,): what its eviction costs, its fetching, its resources a request, and its absence a request."""
    delay = switching_delay_s(scenario)
    if scenario.active_cycle == "actual":
        p = np.clip(popularity, 1e-300, 1 - 1e-12)
        away = delay * np.where(popularity > 0, -p * np.log(p) / (1 - p), 0.0)
    else:
        away = eviction_cost(delay, active_cycle(scenario.vary(popularity="true"), 0, 0, 0, popularity))
    away = total_cost(away, 0.0, scenario.w1, scenario.w2)
    nothing = np.zeros(len(popularity))
    leaving = away if scenario.charge == "eviction" else nothing
    fetching = scenario.w1 * fetch_delay_s(scenario) if scenario.charge == "miss" else nothing
    resource = total_cost(0.0, deployment_cost(scenario, np.eye(len(popularity))), scenario.w1, scenario.w2)
    absent = away if scenario.charge == "absence" else nothing
    return leaving, fetching, resource / scenario.requests_per_slot, absent / scenario.requests_per_slot


@dataclass(eq=False)
class OnlinePlan:
    """OptimalOnline for one scenario and popularity: at a miss, the deployment of the least expected cost from there on."""

    name: str  # ends in -approximate where it is
    deployments: Deployments
    values: np.ndarray  # relative value of each state, (S,)
    price: np.ndarray  # of each model held: for holding it a request, less what its eviction would have cost, (I,)
    saves: np.ndarray  # expected a request, by always keeping each model, (I,)
    average_cost: float  # predicted, a slot; NaN where approximate

    def __post_init__(self):
        size = np.abs(self.values[np.isfinite(self.values)]).max(initial=0.0)
        self.slack = 1e-9 * np.abs(self.price).max() + 1e-12 * size  # of rounding and convergence, between equals
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


def _least_average_cost(d: Deployments, missed, paid, held, left) -> tuple[float, np.ndarray]:
    """The least average cost of a request, NaN if it did not converge, and the relative values of the states (S,).

    By state: `missed` (S, I), the probability of a miss for each model; `paid`, what misses cost a request before the choice;
    `held`, what a request costs; `left`, what evicting all would cost. A state without misses is never left, and has an average
    cost of its own. So the least cost of the others is found with no way into those; only where one of them costs less is it
    where the best policy ends.
    """
    asked = missed.sum(axis=1)
    final = asked == 0
    values = np.zeros(len(d))
    if final.all():
        return float(held[0]), values
    wait = 1 / np.where(final, 1.0, asked)  # mean number of requests up to and including the next miss
    chance, spent = missed * wait[:, None], (paid + (1 - asked) * held) * wait
    scale = TOLERANCE * (np.abs(held).max() + paid.max())
    tables = (d.after, d.without, chance, spent, wait, held, left)
    cheapest, others = held[final].min(initial=np.inf), missed.any(axis=0).sum() > 1
    cost = _iterate(*tables, values, final, np.nan, scale, MOST_SWEEPS) if others else np.inf
    if cheapest < cost:
        values[:] = 0
        cost = _iterate(*tables, values, final & (held > cheapest), cheapest, scale, MOST_SWEEPS)
        values[final & (held > cheapest)] = np.inf
    else:
        values[final] = np.inf
    return cost, values


@njit(cache=True)
def _iterate(after, without, chance, spent, wait, held, left, values, barred, cost, tolerance, sweeps):
    """Value iteration from miss to miss, into `values`; returns the least average cost of a request, NaN if it did not converge.

    By state: `chance` (S, I) of the model that the next miss is for, `wait` in requests and `spent` until then. With a trial cost c
    charged for every request, a round from miss to miss gains phi(c) in value, which is concave and zero at the least
    average cost; c follows the secant of phi. What each state gains over its wait bounds the least average cost from both sides.
    With a final state to end in, c is its `cost`, known beforehand. No decision leads to a `barred` state.
    """
    states, models = after.shape
    known = cost == cost
    trial, before, gained = (cost if known else 0.0), np.nan, np.nan
    worth, best, change = np.empty(states), np.empty((states, models)), np.zeros(states)
    for _ in range(sweeps):
        for state in range(states):
            worth[state] = np.inf if barred[state] else held[state] + values[state] - left[state]
        low, high, least, most = np.inf, -np.inf, np.inf, -np.inf
        for state in range(states):
            row = best[state]  # of the least worth after each request, over all subsets that may stay
            for r in range(models):
                row[r] = worth[after[state, r]] if after[state, r] >= 0 else np.inf
            for subset in without[state]:
                if subset != state:
                    other = best[subset]
                    for r in range(models):
                        row[r] = other[r] if other[r] < row[r] else row[r]
            value, stays = spent[state] - trial * wait[state], True
            for r in range(models):
                if chance[state, r] > 0:
                    value += chance[state, r] * row[r]
                    stays = False
            if stays:  # for ever
                continue
            change[state] = value - values[state]
            low, high = min(low, change[state]), max(high, change[state])
            rate = change[state] / wait[state]
            least, most = min(least, rate), max(most, rate)
        for state in range(states):
            values[state] += 0.75 * (change[state] - (0.0 if known else change[0]))  # damped: rounds may be periodic
        rounding = 1e-14 * np.abs(values).max()
        if most - least <= tolerance + rounding and (not known or max(high, -low) <= tolerance + rounding):
            return trial if known else trial + (least + most) / 2
        gain = (low + high) / 2
        if not known and trial != before and high - low <= 0.1 * abs(gain):
            slope = (gain - gained) / (trial - before)
            before, gained = trial, gain
            trial += gain if not slope < -1e-3 else -gain / slope
    return np.nan
