"""OptimalOnline: the least cost among policies that know how popular each model is, but not the next request.

Under independent requests this is a Markov decision process: the state is the deployment, the event the next request, the action
at a miss which of the deployed models stay, and the goal the least average cost. See Puterman, Markov Decision Processes (1994),
Section 8.5 for relative value iteration and 8.7 for modified policy iteration.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from numba import njit

from ..accounting import Charges
from ..demand import Trace
from ..errors import InputError
from ..listing import described
from ..scenario import Scenario
from .contract import Bound, Decision, Deployment, Floats
from .deployments import Deployments, decide_by_state, reach
from .knapsack import FEW
from .planner_tables import ONLINE, PlannerTables

TOLERANCE = 1e-10  # of the average cost, relative to the largest cost of a request
MOST_ROUNDS = 20_000
EVALUATIONS = 8  # sweeps with fixed decisions between two sweeps that improve them
RAREST = 1e-9  # a model with a smaller share of the requests is planned for as if it were never asked for


@dataclass(frozen=True)
class OptimalOnline(Bound):
    """Minimise the average cost under independent requests of known popularity, all three resources honoured.

    It is a lower bound, on average, for policies of the following class: they decide at misses alone and within the reading
    `scope`, and know neither the next requests nor the position within a slot. Costs must be booked by the true popularity: under
    the reading `popularity = estimated` a policy that follows the estimate may cost less.

    Parameters
    ----------
    goal : str
        `cost`, the paper's, or `delay`: users wait least, whatever it costs.
    limit : int
        Deployments up to which the plan is exact.
    name, label, about : str
        What tables, figures and the command line call the policy, and what it is about; by default those of the goal.
    waiting : float
        Cost of each second that users wait for a model to be deployed, added to the goal `cost`. It is what the plan minimises, and
        is not booked.

    Raises
    ------
    InputError
        Under `resource_basis = decision`, whose cost depends on the position within a slot; for a popularity that is none.

    Examples
    --------
    >>> import edgecache as ec
    >>> scenario = ec.Scenario(popularity="true")
    >>> plan = ec.OptimalOnline().solve(scenario, ec.poisson_trace(scenario, 0).popularity)
    >>> plan.exact, round(plan.average_cost, 2)
    (True, 20.9)

    Notes
    -----
    The resource cost of a slot is spread over its mean number of requests. Under `active_cycle = actual` an eviction costs its
    expectation. Where more than `limit` deployments fit the server, the plan covers some models alone: those that save most for
    their share of the server, as if the others left at the next miss. Of those others it keeps what saves most in the room left,
    and it never prefetches them.
    That is no bound, and the name of the plan then ends in `-approximate`; so it does where the iteration does not converge, which
    happens where some models are asked for less than once in a million requests.
    """

    knows: ClassVar[str] = "popularity"
    names: ClassVar = {"cost": described("optimal-online"), "delay": described("optimal-online-delay")}

    def admit(self, scenario: Scenario) -> None:
        """Raise InputError for a reading that it is not defined under."""
        if self.goal == "cost" and scenario.resource_basis == "decision":
            raise InputError(
                f"{self.name} is not defined under resource_basis = decision, whose cost depends on the position within a slot; "
                "it needs resource_basis = slot"
            )

    def prepare(self, scenario: Scenario, trace: Trace) -> "OnlinePlan":
        """The planner of one run, for the trace's own rate and popularity."""
        return self.compiled(Charges.of(scenario, trace))

    def solve(self, scenario: Scenario, popularity: npt.ArrayLike) -> "OnlinePlan":
        """Plan for a popularity (I,), at the scenario's rate."""
        shares = _shares(popularity, len(scenario.catalogue))
        trace = Trace([], [], 1, shares, requests_per_slot=scenario.requests_per_slot, slot_length_s=scenario.slot_length_s)
        return self.compiled(Charges.of(scenario, trace))

    def compiled(self, charges: Charges, rng: np.random.Generator | None = None) -> "OnlinePlan":
        """The planner of one run, which the compiled loop can read too."""
        self.admit(charges.scenario)
        charges = self.goal_charges(charges)
        scenario, needs, capacities = charges.scenario, charges.scenario.catalogue.needs, charges.scenario.capacities
        popularity = charges.trace.popularity
        if (popularity < RAREST).any():
            popularity = np.where(popularity < RAREST, 0.0, popularity)
        evicting, fetching, resource, absent = charges.expected()
        holding, fits = resource - absent, scenario.fits_empty_server
        share = (needs / capacities[:, None]).max(axis=0)
        saves = popularity * (evicting + fetching)
        order = np.argsort(-(saves + absent) / share, kind="stable")
        deployments = Deployments.of(needs, capacities, order, self.limit)
        members = deployments.members
        missed = np.where(members | ~fits, 0.0, popularity)  # by state: probability that the next request fetches each model
        # what is not in the head leaves at the next miss, or at once
        visiting = np.where(members.any(axis=0) | scenario.may_bypass, 0.0, holding)
        held, left = members @ holding, members @ evicting
        # by state: probability that the next request, for each model, brings a decision
        decided = np.where(fits, popularity, np.zeros_like(missed)) if charges.hits_decide else missed
        paid = missed @ (fetching + evicting + visiting) + decided.sum(axis=1) * left
        scope = scenario.may_bypass, scenario.may_prefetch
        cost, values = _least_average_cost(deployments, decided, paid, held, left, evicting, fetching, scope)
        why = ""
        if len(deployments.head) < fits.sum():
            why = f"more than {self.limit} deployments fit the server"
        elif np.isnan(cost):
            why = "the value iteration did not converge"
        rate = charges.trace.requests_per_slot
        return OnlinePlan(
            self.name, why, charges, deployments, values, (holding, evicting, fetching), saves, rate * (cost + absent.sum())
        )


def _shares(popularity: npt.ArrayLike, models: int) -> Floats:
    """The popularity as float (I,). Raises InputError where it is no share of requests for each model."""
    try:
        shares = np.asarray(popularity, dtype=float)
    except (TypeError, ValueError):
        shares = np.array(np.nan)
    if shares.shape != (models,) or not (shares >= 0).all() or not abs(shares.sum() - 1) < 1e-6:
        raise InputError(f"popularity is {popularity!r}; it must be {models} shares of at least zero that sum to one")
    return shares


class OnlinePlan:
    """OptimalOnline for one scenario and popularity: at a miss, the deployment of the least expected cost from there on."""

    def __init__(self, name, why_approximate, charges, deployments, values, prices, saves, average_cost):
        self.name = f"{name}-approximate" if why_approximate else name
        self.why_approximate, self.charges, self.deployments = why_approximate, charges, deployments
        self.values = values  # relative value of each state, (S,)
        self.holding, self.evicting, self.fetching = prices  # each model, per request, eviction and deployment, (I,)
        # what keeping each model outside the head saves, expected per request, (I,)
        self.saves = np.where(deployments.members.any(axis=0), np.nan, saves - self.holding)
        self._average_cost = average_cost
        size = np.abs(values[np.isfinite(values)]).max(initial=0.0)
        # of rounding and convergence, between equals
        self.slack = 1e-9 * np.abs(self.holding - self.evicting).max() + 1e-12 * size

    @property
    def exact(self) -> bool:
        """Is the plan optimal within its class, and its average cost a bound?"""
        return not self.why_approximate

    @property
    def average_cost(self) -> float:
        """The expected cost per slot. Raises InputError, saying why, where the plan is only approximate."""
        if self.why_approximate:
            raise InputError(f"{self.name} has no average cost, for {self.why_approximate}")
        return float(self._average_cost)

    def tables(self, clock: int, decisions: int) -> tuple[PlannerTables, int]:
        """The tables of the whole run."""
        d, scenario, trace = self.deployments, self.charges.scenario, self.charges.trace
        tables = PlannerTables(
            ONLINE,
            scenario.catalogue.needs,
            scenario.capacities,
            may_bypass=scenario.may_bypass,
            may_prefetch=scenario.may_prefetch,
            hits_decide=self.charges.hits_decide,
            nodes=FEW,
            head=d.head,
            after=d.after,
            without=d.without,
            size=d.size,
            values=self.values[None, None],
            held=self.holding[None],
            left=self.evicting[None],
            fetching=self.fetching,
            slack=self.slack,
            saves=self.saves,
        )
        return tables, len(trace)

    def decide(self, decision: Decision) -> Deployment:
        """The deployment of least expected cost, bool (I,)."""
        return decide_by_state(self.tables(0, 0)[0], 0, 0, decision)


def _least_average_cost(
    d: Deployments,
    decided: Floats,
    paid: Floats,
    held: Floats,
    left: Floats,
    evicting: Floats,
    fetching: Floats,
    scope: tuple[bool, bool],
) -> tuple[float, np.ndarray]:
    """The least average cost of a request, NaN if it did not converge, and the relative values of the states (S,).

    By state: `decided` (S, I), the probability of a decision about each model; `paid`, what these cost a request before the choice;
    `held`, what a request costs; `left`, what evicting all would cost. `scope`: may a decision bypass, and prefetch?

    A state without decisions is never left, and has an average cost of its own. So the least cost of the others is found with no
    way into those; only where one of them costs less is it where the best policy ends.
    """
    asked = decided.sum(axis=1)
    final = asked == 0
    values = np.zeros(len(d))
    if final.all():
        return float(held[0]), values
    wait = 1 / np.where(final, 1.0, asked)  # mean number of requests up to and including the next decision
    chance, spent = decided * wait[:, None], (paid + (1 - asked) * held) * wait
    scale = TOLERANCE * (np.abs(held).max() + paid.max())
    states = (d.head, d.after, d.without, d.size, d.first, d.subsets)
    tables = (*states, chance, spent, wait, held, left, evicting, fetching, *scope)
    # with one model that may be missed, a decision that keeps it ends all misses
    cheapest, others = held[final].min(initial=np.inf), decided.any(axis=0).sum() > (1 if final.any() and not scope[0] else 0)
    cost = _iterate(*tables, values, final, np.nan, scale, MOST_ROUNDS) if others else np.inf
    if cheapest < cost:
        values[:] = 0
        cost = _iterate(*tables, values, final & (held > cheapest), cheapest, scale, MOST_ROUNDS)
        values[final & (held > cheapest)] = np.inf
    else:
        values[final] = np.inf
    return cost, values


@njit(cache=True)
def _iterate(  # noqa: C901, PLR0912, PLR0915, a compiled kernel
    head, after, without, size, first, subsets, chance, spent, wait, held, left, evicting, fetching, may_bypass, may_prefetch,
    values, barred, cost, tolerance, rounds,
):  # fmt: skip
    """Value iteration from miss to miss, into `values`; returns the least average cost of a request, NaN if it did not converge.

    By state: `chance` (S, I) of the model that the next miss is for, `wait` in requests and `spent` until then. With a trial cost c
    charged for every request, a round from miss to miss gains phi(c) in value, which is concave and zero at the least
    average cost; c follows the secant of phi. What each state gains over its wait bounds the least average cost from both sides.
    With a final state to end in, c is its `cost`, known beforehand. No decision leads to a `barred` state. Between rounds the
    decisions stay fixed for EVALUATIONS cheaper sweeps (modified policy iteration).
    """
    states, models = after.shape
    known = not np.isnan(cost)
    trial, before, gained = (cost if known else 0.0), np.nan, np.nan
    worth, best, change = np.empty(states), np.empty((states, models)), np.zeros(states)
    choice = np.zeros((states, models), dtype=np.int32)  # the state that the best decision leads to
    # where the decisions that keep each state of the old deployment end best: by the requested model, where it may leave
    kinds = head.size if may_bypass else 0
    kind, ends = np.full(models, kinds), np.empty(states)
    kept_worth, end = np.empty((kinds + 1, states)), np.empty((kinds + 1, states), dtype=np.int32)
    for h in range(kinds):
        kind[head[h]] = h
    prefetching = np.zeros((states, models) if may_prefetch else (1, 1))  # what the choice costs beside its worth
    for number in range(rounds):
        for state in range(states):
            ends[state] = np.inf if barred[state] else held[state] + values[state]
            worth[state] = ends[state] - left[state]
        for h in range(kinds + 1):
            place = h if h < kinds else -1
            leaving = evicting[head[h]] if h < kinds else 0.0
            reach(after, without, size, place, ends, leaving, fetching, may_bypass, may_prefetch, 0.0, kept_worth[h], end[h])
            kept_worth[h] -= left
        low, high, least, most = np.inf, -np.inf, np.inf, -np.inf
        for state in range(states):
            row, chosen = best[state], choice[state]  # of the least worth after each request, over all subsets that may stay
            for r in range(models):
                kept = after[state, r]
                row[r] = kept_worth[kind[r], kept] if kept >= 0 else np.inf
                chosen[r] = end[kind[r], kept] if kept >= 0 else kept
            for place in range(first[state], first[state + 1]):
                other, another = best[subsets[place]], choice[subsets[place]]
                for r in range(models):
                    if other[r] < row[r]:
                        row[r], chosen[r] = other[r], another[r]
            value, stays = spent[state] - trial * wait[state], True
            for r in range(models):
                if chance[state, r] > 0:
                    value += chance[state, r] * row[r]
                    stays = False
                    if may_prefetch:
                        prefetching[state, r] = row[r] - worth[chosen[r]]
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
        for _ in range(EVALUATIONS if number else 0):
            for state in range(states):
                worth[state] = np.inf if barred[state] else held[state] + values[state] - left[state]
            for state in range(states):
                value, stays = spent[state] - trial * wait[state] - values[state], True
                for r in range(models):
                    if chance[state, r] > 0:
                        more = prefetching[state, r] if may_prefetch else 0.0
                        value += chance[state, r] * (worth[choice[state, r]] + more)
                        stays = False
                change[state] = 0.0 if stays else value
            base = 0.0 if known else change[0]
            for state in range(states):
                values[state] += 0.75 * (change[state] - base)
    return np.nan
