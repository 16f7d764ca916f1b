"""What is possible at best when the whole trace is known: Clairvoyant, the optimum, and beyond its size a lower bound of it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from ..accounting import Bill
from ..demand import Trace, for_catalogue
from ..errors import TooManyDeployments
from ..listing import described
from ..scenario import Scenario
from .contract import Bound, Decision, Prices, aim
from .deployments import Deployments
from .lower_bound import lower_bound


@dataclass(frozen=True)
class Clairvoyant(Bound):
    """The least cost of the whole trace, as it is booked under any reading, by dynamic programming backwards over the requests.

    The floor of every policy: none that plays by the rules (no prefetching, no idle unloading) costs less on the same trace.
    With the goal `delay` it makes users wait least. Raises TooManyDeployments, an InputError, where more than `limit` fit the
    server; `bound` has no such limit.
    """

    knows: ClassVar[str] = "future"
    names: ClassVar = {"cost": described("clairvoyant"), "delay": described("clairvoyant-delay")}

    def prepare(self, scenario: Scenario, trace: Trace) -> "ClairvoyantPlan":
        """The planner of one trace."""
        scenario, trace = aim(scenario, self.goal), for_catalogue(trace, scenario)
        prices = Prices.of(scenario, trace.popularity)
        deployments = Deployments.of(prices.needs, prices.capacities, limit=self.limit)
        if deployments is None:
            raise TooManyDeployments(
                f"{self.name} is limited to {self.limit} deployments that fit the server, and here are more; "
                "edgecache.lower_bound has no such limit"
            )
        return ClairvoyantPlan(self.name, scenario, trace, deployments)

    def bound(self, scenario: Scenario, trace: Trace) -> dict[str, float]:
        """A bound at any size: the mean `total_cost` of a slot, or with the goal `delay` the mean `service_delay_s`, at least."""
        least = lower_bound(aim(scenario, self.goal), trace)
        if self.goal == "cost":
            return {"total_cost": least}
        served = trace.model[scenario.fits_empty_server[trace.model]]
        inference = scenario.catalogue.inference_delay_s[served].sum()
        return {"service_delay_s": float((least * trace.slots + inference) / len(served)) if len(served) else np.nan}


class ClairvoyantPlan:
    """Clairvoyant for one trace: at a miss, the deployment of the least cost from there to the end.

    What each state costs from a request on is kept at every sqrt(N)-th request, and worked out again in between when a decision
    asks for it.
    """

    def __init__(self, name: str, scenario: Scenario, trace: Trace, deployments: Deployments):
        self.name, self.trace, self.deployments = name, trace, deployments
        self.bill = Bill.of(scenario, trace)
        self.stretch = max(int(len(trace) ** 0.5), 1)
        self.same_slot = np.append(np.diff(trace.slot) == 0, False)[: len(trace)]  # as the next request
        bits = 2 if scenario.resource_basis == "decision" else 1  # had the slot of the next request a decision already?
        self.kept = [np.zeros((bits, len(deployments)))]
        for start in reversed(range(0, len(trace), self.stretch)):
            self._work_out(start, self.kept[0])
            self.kept.insert(0, self.values[0].copy())

    @property
    def cost(self) -> float:
        """The least mean cost of a slot."""
        return float(self.bill.certain + self.kept[0][0, 0]) / self.trace.slots

    def decide(self, decision: Decision) -> np.ndarray:
        """Bool (I,), the deployment of least cost to the end of the trace."""
        request, d = decision.clock - 1, self.deployments
        start = request - request % self.stretch
        if start != self.start:
            self._work_out(start, self.kept[start // self.stretch + 1])
        values = self.values[request - start + 1, -1 if self.same_slot[request] else 0]
        price = self.bill.holding[request] - self.bill.leaving[request]
        return d.members[d.best_decision(values, price, d.state(decision.deployed), decision.requested, self.slack)]

    def _work_out(self, start: int, following: np.ndarray):
        """The costs from each request on, (n + 1, bits, S), in the stretch from `start`; `following` are those after it."""
        here, d, bill = slice(start, min(start + self.stretch, len(self.trace))), self.deployments, self.bill
        self.start, self.values = start, np.empty((here.stop - start + 1, *following.shape))
        self.values[-1] = following
        prices = (bill.leaving[here], bill.fetching[here], bill.holding[here], bill.resting[here])
        _backward(self.values, self.trace.model[here], self.same_slot[here], d.head, d.after, d.without, *prices)
        self.slack = 1e-12 * np.abs(self.values).max()  # of rounding, between decisions that cost the same


@njit(cache=True)
def _backward(values, requests, same_slot, head, after, without, leaving, fetching, holding, resting):
    """Fill `values` (n + 1, bits, S) but for its last row: the least cost from each of the n requests on, by state before it."""
    bits, states = values.shape[1:]
    left, held, rested, worth, best = np.zeros(states), np.zeros(states), np.zeros(states), np.empty(states), np.empty(states)
    for k in range(requests.size - 1, -1, -1):
        r, following = requests[k], values[k + 1]
        decided = following[bits - 1 if same_slot[k] else 0]
        for state in range(states):
            if state > 0:
                h = head.size - 1
                while without[state, h] == state:
                    h -= 1
                below, top = without[state, h], head[h]
                left[state] = left[below] + leaving[k, top]
                held[state] = held[below] + holding[k, top]
                rested[state] = rested[below] + resting[k, top]
            worth[state] = held[state] - left[state] + decided[state]
        for state in range(states):
            if after[state, r] == state:  # a hit, or served by the cloud
                values[k, 0, state] = rested[state] + following[0, state]
                if bits > 1:
                    values[k, 1, state] = held[state] + decided[state]
                continue
            least = worth[after[state, r]] if after[state, r] >= 0 else np.inf
            for subset in without[state]:
                if subset != state:
                    least = min(least, best[subset])
            best[state] = least
            for bit in range(bits):
                values[k, bit, state] = fetching[k] + leaving[k, r] + left[state] + least
