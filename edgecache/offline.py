"""What is possible at best when the whole trace is known: Clairvoyant, the optimum, and beyond its size a lower bound of it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from .books import absence_cycle, booked_cycle, next_requests
from .costs import deployment_cost, eviction_cost, fetch_delay_s, switching_delay_s, total_cost
from .decision import Decision, Prices
from .demand import Trace, for_catalogue
from .deployments import Deployments
from .errors import TooManyDeployments, whole_number
from .online import Bound, aim
from .scenario import Scenario


@dataclass(frozen=True, eq=False)
class Bill:
    """What a trace may cost, broken into what each model adds. N requests, I models; row k is about request number k + 1."""

    certain: float  # whatever is done
    leaving: np.ndarray  # evicting each model at the request, (N, I)
    fetching: np.ndarray  # missing the request, (N,)
    holding: np.ndarray  # holding each model from the request to the next, where its slot has a decision by then, (N, I)
    resting: np.ndarray  # likewise where it has none: less under `resource_basis = decision`, (N, I)

    @classmethod
    def of(cls, scenario: Scenario, trace: Trace) -> "Bill":
        """By the readings of the scenario, as books.py keeps them. Raises InputError for a trace of another number of models."""
        for_catalogue(trace, scenario)
        size, clock = len(scenario.catalogue), np.arange(1, len(trace) + 1)
        delay, nothing = switching_delay_s(scenario), np.zeros((len(trace), size))
        leaving, fetching, absent = nothing, nothing[:, 0], np.zeros((trace.slots, size))
        if scenario.charge == "eviction":
            asked = np.zeros((len(trace), size), dtype=np.int64)
            asked[clock - 1, trace.model] = 1
            cycle = booked_cycle(scenario, trace, asked.cumsum(axis=0), clock[:, None], trace.slot[:, None], np.arange(size))
            leaving = nothing + scenario.w1 * eviction_cost(delay, cycle)
        elif scenario.charge == "miss":
            fetching = scenario.w1 * fetch_delay_s(scenario)[trace.model]
        else:
            absent = scenario.w1 * eviction_cost(delay, absence_cycle(scenario, trace))
        resource = total_cost(0.0, deployment_cost(scenario, np.eye(size)), scenario.w1, scenario.w2)
        ends = np.diff(trace.slot, append=trace.slots)[:, None]  # slots that end before the next request
        until = np.vstack([np.zeros(size), absent.cumsum(axis=0)])
        saved = until[trace.slot + ends[:, 0]] - until[trace.slot]
        if scenario.resource_basis == "decision":
            return cls(absent.sum(), leaving, fetching, resource * (ends > 0) - saved, -saved)
        return cls(absent.sum(), leaving, fetching, resource * ends - saved, resource * ends - saved)


@dataclass(frozen=True)
class Clairvoyant(Bound):
    """The least cost of the whole trace, as it is booked under any reading, by dynamic programming backwards over the requests.

    The floor of every policy: none that plays by the rules (no prefetching, no idle unloading) costs less on the same trace.
    With the goal `delay` it makes users wait least. Raises TooManyDeployments, an InputError, where more than `limit` fit the
    server; `bound` has no such limit.
    """

    knows: ClassVar[str] = "future"
    names: ClassVar = {
        "cost": ("clairvoyant", "Clairvoyant", "knows the future, the least cost of the whole trace; the floor under every policy"),
        "delay": (
            "clairvoyant-delay",
            "Clairvoyant, for delay",
            "knows the future, the least delay of the whole trace; the floor under what users wait",
        ),
    }

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


def lower_bound(scenario: Scenario, trace: Trace, rounds: int = 300) -> float:
    """A mean cost of a slot that no policy can undercut on this trace, however many models there are.

    Lagrangian relaxation of the three capacities, with a price of each at every request: then the models part, and each is held
    from one of its requests to the next, or to the moment at which dropping it costs least. The prices take `rounds` of
    subgradient steps towards a level that adapts (Fisher, Management Science 1981); any prices give a valid bound. It lets models
    leave at hits too, so the optimum may lie a good deal above it, the more so the less resources weigh. It is weakest under
    `resource_basis = decision`, where only slots are charged that are sure to miss, those with a model's first request.
    """
    whole_number("rounds", rounds)
    bill, prices, fits = Bill.of(scenario, trace), Prices.of(scenario, trace.popularity), scenario.fits_empty_server
    models, first = np.unique(trace.model, return_index=True)
    first = first[fits[models]]
    holding = bill.holding
    if scenario.resource_basis == "decision":
        sure = np.isin(trace.slot, trace.slot[first])
        holding = np.where(sure[:, None], bill.holding, bill.resting)
    needs = np.ascontiguousarray((prices.needs / prices.capacities[:, None]).T)
    certain = bill.certain + bill.fetching[first].sum()
    held, left = np.ascontiguousarray(holding.T), np.ascontiguousarray(bill.leaving.T)
    until = np.minimum(next_requests(trace) - 1, len(trace))
    upper = bill.certain + _keeping_nothing(trace, fits, bill)
    price, best, margin, idle = np.zeros((len(trace), 3)), -np.inf, 0.5, 0
    for _ in range(rounds):
        cost, used = _relaxed(trace.model, until, fits, needs, held, left, bill.fetching, price)
        bound, over = certain + cost - price.sum(), used - 1
        idle = 0 if best == -np.inf or bound > best + 1e-2 * margin * (upper - best) else idle + 1
        best = max(best, bound)
        over[(price == 0) & (over < 0)] = 0
        size = (over**2).sum()
        if size == 0 or margin < 1e-6 or best >= upper:
            break
        if idle > 10:
            margin, idle = margin / 2, 0
        price = np.maximum(price + (best + margin * (upper - best) - bound) / size * over, 0)
    return float(best) / trace.slots


def _keeping_nothing(trace: Trace, fits: np.ndarray, bill: Bill) -> float:
    """What it costs, beside what is certain, to evict everything at every miss: what the optimum does not exceed."""
    served = np.flatnonzero(fits[trace.model])
    if not len(served):
        return 0.0
    model = trace.model[served]
    missed = np.append(True, model[1:] != model[:-1])
    evicted = served[1:][missed[1:]], model[:-1][missed[1:]]
    every = np.arange(served[0], len(trace))
    holds = model[np.searchsorted(served, every, side="right") - 1]
    return float(bill.fetching[served[missed]].sum() + bill.leaving[evicted].sum() + bill.holding[every, holds].sum())


@njit(cache=True)
def _relaxed(requests, until, fits, needs, holding, leaving, fetching, price):
    """(What the models cost at least, each alone, beside what is certain, at prices (N, 3) of capacity; the shares used (N, 3))."""
    total, used = 0.0, np.zeros(price.shape)
    for k in range(requests.size):
        model = requests[k]
        if not fits[model]:
            continue
        need, held, left = needs[model], holding[model], leaving[model]
        again = fetching[until[k]] if until[k] < requests.size else 0.0
        so_far, least, end = 0.0, np.inf, until[k]
        for j in range(k, until[k]):
            if j > k and so_far + left[j] + again < least:
                least, end = so_far + left[j] + again, j
            so_far += held[j] + price[j, 0] * need[0] + price[j, 1] * need[1] + price[j, 2] * need[2]
        if so_far <= least:
            least, end = so_far, until[k]
        total += least
        for j in range(k, end):
            for r in range(3):
                used[j, r] += need[r]
    return total, used
