"""Clairvoyant: the least cost of a trace that is known in advance, by dynamic programming over every deployment that fits."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from ..accounting import Charges
from ..demand import Trace
from ..errors import TooManyDeployments
from ..listing import described
from ..scenario import Scenario
from .contract import Bound, Decision, Deployment
from .deployments import Deployments, decide_by_state, reach
from .lower_bound import lower_bound
from .planner_tables import CLAIRVOYANT, PlannerTables

CELLS = 16_000_000  # values of states that are kept at a time, at most


@dataclass(frozen=True)
class Clairvoyant(Bound):
    """Minimise the cost of the whole trace, as it is booked under any reading, knowing every request.

    It is the floor of a class: no policy costs less on the same trace that decides at misses alone and within the reading `scope`.
    A policy that unloads idle models between misses, or decides beyond the scope, may cost less.

    Parameters
    ----------
    goal : str
        `cost`, the paper's, or `delay`: users wait least, whatever it costs.
    limit : int
        Deployments up to which it is computed. `lower_bound` has no such limit.
    name, label, about : str
        What tables, figures and the command line call the policy, and what it is about; by default those of the goal.
    waiting : float
        Cost of each second that users wait for a model to be deployed, added to the goal `cost`. It is what the plan minimises, and
        is not booked.

    Raises
    ------
    TooManyDeployments
        An InputError, where more than `limit` deployments fit the server.

    Examples
    --------
    >>> import edgecache as ec
    >>> round(ec.simulate(ec.Scenario(), ec.Clairvoyant()).means()["total_cost"], 3)
    21.197
    """

    knows: ClassVar[str] = "future"
    names: ClassVar = {"cost": described("clairvoyant"), "delay": described("clairvoyant-delay")}

    def prepare(self, scenario: Scenario, trace: Trace) -> "ClairvoyantPlan":
        """The planner of one trace."""
        return self.compiled(Charges.of(scenario, trace))

    def compiled(self, charges: Charges, rng: np.random.Generator | None = None) -> "ClairvoyantPlan":
        """The planner of one trace, which the compiled loop can read too."""
        charges = self.goal_charges(charges)
        deployments = Deployments.of(charges.scenario.catalogue.needs, charges.scenario.capacities, limit=self.limit)
        if deployments is None:
            raise TooManyDeployments(
                f"{self.name} is limited to {self.limit} deployments that fit the server, and here are more; "
                "edgecache.lower_bound has no such limit"
            )
        return ClairvoyantPlan(self.name, charges, deployments)

    def bound(self, scenario: Scenario, trace: Trace) -> dict[str, float]:
        """A lower bound at any size: on the mean `total_cost` per slot, or with the goal `delay` on the mean `service_delay_s`."""
        if self.waiting:
            return super().bound(scenario, trace)
        charges = self.goal_charges(Charges.of(scenario, trace))
        least = lower_bound(charges.scenario, trace)
        if self.goal == "cost":
            return {"total_cost": least}
        served = trace.model[scenario.fits_empty_server[trace.model]]
        inference = scenario.catalogue.inference_delay_s[served].sum()
        return {"service_delay_s": float((least * trace.slots + inference) / len(served)) if len(served) else np.nan}


class ClairvoyantPlan:
    """Clairvoyant for one trace: at a miss, the deployment of the least cost from there to the end.

    The cost of each state from a request on is kept for as many requests as fit in CELLS numbers; of a longer trace at the first
    request of every stretch, and worked out again in between when a decision asks for it.
    """

    def __init__(self, name: str, charges: Charges, deployments: Deployments):
        self.name, self.charges, self.deployments = name, charges, deployments
        trace = self.trace = charges.trace
        self.costs = charges.by_request()
        bits = 2 if charges.decisions_only else 1  # had the slot of the next request a decision already?
        count = len(trace)
        whole = (count + 1) * bits * len(deployments) <= CELLS
        self.stretch = max(count if whole else int(count**0.5), 1)
        self.same_slot = np.append(np.diff(trace.slot) == 0, False)[:count]  # as the next request
        self.kept = [np.zeros((bits, len(deployments)))]
        for start in reversed(range(0, count, self.stretch)):
            self._work_out(start, self.kept[0])
            self.kept.insert(0, self.values[0].copy())

    @property
    def cost(self) -> float:
        """The least mean cost per slot."""
        return float(self.costs.certain + self.kept[0][0, 0]) / self.trace.slots

    def decide(self, decision: Decision) -> Deployment:
        """The deployment of least cost to the end of the trace, bool (I,)."""
        tables, _ = self.tables(decision.clock - 1, 0)
        row = decision.clock - tables.first
        return decide_by_state(tables, row, tables.values.shape[1] - 1 if tables.same_slot[row] else 0, decision)

    def tables(self, clock: int, decisions: int) -> tuple[PlannerTables, int]:
        """The tables for the decisions after request number `clock`, and the request number until which they hold."""
        self._reach(min(clock, len(self.trace) - 1))
        d, scenario = self.deployments, self.charges.scenario
        stop = min(self.start + self.stretch, len(self.trace))
        here = slice(self.start, stop)
        tables = PlannerTables(
            CLAIRVOYANT,
            scenario.catalogue.needs,
            scenario.capacities,
            self.start + 1,
            scenario.may_bypass,
            scenario.may_prefetch,
            self.charges.hits_decide,
            head=d.head,
            after=d.after,
            without=d.without,
            size=d.size,
            values=self.values[1:],
            held=np.array(self.costs.holding[here], order="C"),
            left=np.array(self.costs.evicting[here], order="C"),
            fetching=self.costs.fetching,
            slack=self.slack,
            same_slot=self.same_slot[here],
        )
        return tables, stop

    def _reach(self, request: int) -> None:
        """Have the values of the stretch that holds this request."""
        start = request - request % self.stretch
        if start != self.start:
            self._work_out(start, self.kept[start // self.stretch + 1])

    def _work_out(self, start: int, following: np.ndarray) -> None:
        """The costs from each request on, (n + 1, bits, S), in the stretch from `start`; `following` are those after it."""
        here, d, costs = slice(start, min(start + self.stretch, len(self.trace))), self.deployments, self.costs
        scenario = self.charges.scenario
        self.start, self.values = start, np.empty((here.stop - start + 1, *following.shape))
        self.values[-1] = following
        states = (d.head, d.after, d.without, d.size, d.first, d.subsets, d.top)
        prices = (costs.evicting[here], costs.fetching, costs.holding[here], costs.idle_holding[here])
        scope = scenario.may_bypass, scenario.may_prefetch, self.charges.hits_decide
        _backward(self.values, self.trace.model[here], self.same_slot[here], *states, *prices, *scope)
        self.slack = 1e-12 * np.abs(self.values).max()  # of rounding, between decisions that cost the same


@njit(cache=True)
def _backward(  # noqa: C901, a compiled kernel
    values, requests, same_slot, head, after, without, size, first, subsets, top, evicting, fetching, holding, idle_holding,
    may_bypass, may_prefetch, hits_decide,
):  # fmt: skip
    """Fill `values` (n + 1, bits, S) but for its last row: the least cost from each of the n requests on, by state before it."""
    bits, states = values.shape[1:]
    left, held, idle, best = np.zeros(states), np.zeros(states), np.zeros(states), np.empty(states)
    cost, least, choice = np.empty(states), np.empty(states), np.empty(states, dtype=np.int32)
    for k in range(requests.size - 1, -1, -1):
        r, following = requests[k], values[k + 1]
        decided = following[bits - 1 if same_slot[k] else 0]
        cost[0] = decided[0]
        for state in range(1, states):
            below, highest = subsets[first[state + 1] - 1], top[state]
            left[state] = left[below] + evicting[k, highest]
            held[state] = held[below] + holding[k, highest]
            cost[state] = held[state] + decided[state]
            if bits > 1:
                idle[state] = idle[below] + idle_holding[k, highest]
        for h in range(head.size):
            if head[h] == r:
                leaving = evicting[k, r]
                reach(after, without, size, h, cost, leaving, fetching, may_bypass, may_prefetch, 0.0, least, choice)
        for state in range(states):
            stays = after[state, r] == state  # a hit, or served by the cloud
            if stays and not (hits_decide and state and after[0, r] > 0):
                values[k, 0, state] = (idle[state] if bits > 1 else held[state]) + following[0, state]
                if bits > 1:
                    values[k, 1, state] = held[state] + decided[state]
                continue
            kept = after[state, r]
            lowest = least[kept] - left[kept] if kept >= 0 else np.inf
            for place in range(first[state], first[state + 1]):
                lowest = min(lowest, best[subsets[place]])
            best[state] = lowest
            for bit in range(bits):
                values[k, bit, state] = left[state] + lowest + (0.0 if stays else fetching[r] + evicting[k, r])
