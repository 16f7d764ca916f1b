"""Accounting: what each event of a trace costs under a reading. The only code that branches on the readings of the cost.

`Charges.of(scenario, trace)` tabulates the equations of costs.py, so that an edit there reaches every result. Results sum these
charges over what happened, Clairvoyant minimises the sum, and OptimalOnline minimises its expectation.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from . import costs
from .demand import Trace
from .scenario import Scenario

Floats = npt.NDArray[np.float64]


class RequestCharges(NamedTuple):
    """What a trace may cost, by request and model. Row k is about request number k + 1, of N; there are I models."""

    certain: float  # whatever is decided
    evicting: Floats  # evicting each model at the request, (N, I)
    fetching: Floats  # deploying each model, whatever the request, (I,)
    holding: Floats  # holding each model until the next request, where the slot has a decision by then, (N, I)
    idle_holding: Floats  # likewise where the slot has none: less under `resource_basis = decision`, (N, I)


class ExpectedCharges(NamedTuple):
    """What each model costs on average under independent requests of known popularity, (I,) each."""

    evicting: Floats  # one eviction
    fetching: Floats  # one deployment
    holding: Floats  # holding the model, per request
    absent: Floats  # its absence, per request


@dataclass(frozen=True, eq=False)
class Charges:
    """What each event of a trace costs under the scenario's reading. N requests, T slots, I models; costs are weighted by w1, w2.

    Parameters
    ----------
    scenario : Scenario
        The server, the weights and the readings.
    trace : Trace
        The requests. Its own rate, popularity and slot length count.
    waiting : float
        Cost of each second that a model's deployment takes, beside what the reading charges. Planners use it to weigh cost against
        delay; nothing is booked with it.

    Notes
    -----
    Equations 7, 8 to 10 and 11 of the paper; see `costs`. Which event pays is the reading `charge`, at which active cycle the
    readings `active_cycle` and `popularity`, and when resources are paid the reading `resource_basis`.
    """

    scenario: Scenario
    trace: Trace
    waiting: float = 0.0

    @classmethod
    def of(cls, scenario: Scenario, trace: Trace) -> Self:
        """The charges of a trace. Raises InputError for a trace of another catalogue."""
        return cls(scenario, trace.for_scenario(scenario))

    @property
    def charges_absence(self) -> bool:
        """Does every undeployed model pay in every slot, whether or not it was evicted?"""
        return self.scenario.charge == "absence"

    @property
    def decisions_only(self) -> bool:
        """Are resources paid in slots with a decision alone?"""
        return self.scenario.resource_basis == "decision"

    @property
    def hits_decide(self) -> bool:
        """May a planner decide at a hit, so that a slot with one has a decision?"""
        return self.scenario.decides == "request"

    @property
    def books_estimates(self) -> bool:
        """Is an eviction booked at the cost that decisions estimate?"""
        return self.scenario.charge == "eviction" and self.scenario.active_cycle != "actual"

    @cached_property
    def switching_delay_s(self) -> Floats:
        """Delay of a request for an undeployed model, d = (4) + (5) + (6), s, (I,)."""
        return _read_only(costs.switching_delay_s(self.scenario))

    @cached_property
    def fetch_delay_s(self) -> Floats:
        """How much longer a request waits at a miss than at a hit, (4) + (5), s, (I,)."""
        return costs.fetch_delay_s(self.scenario)

    @cached_property
    def holding(self) -> Floats:
        """Resource cost of holding each model, per slot, (I,)."""
        every = np.eye(len(self.scenario.catalogue))
        return _read_only(self._resource(costs.deployment_cost(self.scenario, every)))

    @cached_property
    def fetching(self) -> Floats:
        """Cost of deploying each model, (I,): nothing unless `charge = miss`, or where waiting has a cost."""
        charged = self._switching(self.fetch_delay_s) if self.scenario.charge == "miss" else 0.0
        return charged + self.waiting * self.fetch_delay_s

    def estimated(self, requests: npt.ArrayLike, clock: npt.ArrayLike, slot: npt.ArrayLike) -> Floats:
        """What a decision takes the eviction of each model to cost, w1 d / a with the estimated cycle a, (..., I).

        Parameters
        ----------
        requests : array of int, shape (..., I)
            How often each model was asked for so far, the present request included.
        clock, slot : array of int, shape (..., 1) or scalar
            How many requests there were so far, the present one included, and the present slot.
        """
        t = self.trace
        cycle = costs.active_cycle(self.scenario, requests, clock, slot, t.popularity, t.requests_per_slot)
        return self._switching(costs.eviction_cost(self.switching_delay_s, cycle))

    def estimates(self, first: int, last: int) -> Floats:
        """`estimated` at the requests number `first` to `last`, both included, (last - first + 1, I)."""
        clock = np.arange(first, last + 1)
        cost = self.estimated(self._requests(first, last), clock[:, None], self.trace.slot[clock - 1, None])
        return np.array(np.broadcast_to(cost, (len(clock), len(self.scenario.catalogue))), order="C")

    def evicting(self, requests: npt.ArrayLike, clock: npt.ArrayLike, model: npt.ArrayLike) -> Floats:
        """Booked cost of evicting `model` after request number `clock`, asked for `requests` times by then; they broadcast."""
        if self.scenario.charge != "eviction":
            return np.zeros(np.broadcast_shapes(np.shape(clock), np.shape(model)))
        clock, model = np.asarray(clock), np.asarray(model)
        return self._evicted(requests, clock, self.trace.slot[clock - 1], model)

    @property
    def evicting_table(self) -> Floats:
        """`evicting` of every model after each request, (N, I)."""
        count, size = len(self.trace), len(self.scenario.catalogue)
        cost = self.evicting(self._requests(1, count), np.arange(1, count + 1)[:, None], np.arange(size))
        return np.broadcast_to(cost, (count, size))

    @cached_property
    def absent(self) -> Floats:
        """Booked cost of each model's absence at the end of each slot, (T, I); (0, I) unless `charge = absence`."""
        size = len(self.scenario.catalogue)
        if not self.charges_absence:
            return np.zeros((0, size))
        slot, model = np.indices((self.trace.slots, size))
        requests = np.zeros(slot.shape, dtype=np.int64)
        np.add.at(requests, (self.trace.slot, self.trace.model), 1)
        requests = requests.cumsum(axis=0)
        return self._evicted(requests, requests.sum(axis=1, keepdims=True), slot, model)

    def by_request(self) -> RequestCharges:
        """The whole trace as charges by request: what Clairvoyant and the lower bound minimise."""
        trace, size, evicting = self.trace, len(self.scenario.catalogue), self.evicting_table
        ends = np.diff(trace.slot, append=trace.slots)  # slots that end before the next request
        until = (
            np.vstack([np.zeros(size), self.absent.cumsum(axis=0)]) if self.charges_absence else np.zeros((trace.slots + 1, size))
        )
        saved = until[trace.slot + ends] - until[trace.slot]
        holding = self.holding * ends[:, None] - saved
        if self.decisions_only:
            return RequestCharges(until[-1].sum(), evicting, self.fetching, self.holding * (ends > 0)[:, None] - saved, -saved)
        return RequestCharges(until[-1].sum(), evicting, self.fetching, holding, holding)

    def expected(self) -> ExpectedCharges:
        """The charges on average, under independent requests of the trace's popularity and rate.

        Under `active_cycle = actual` an eviction costs its expectation, E[1/a] = -p ln p / (1 - p) of a geometric gap a.
        """
        p, rate = self.trace.popularity, self.trace.requests_per_slot or 1.0  # an empty trace costs nothing by request
        if self.scenario.active_cycle == "actual":
            share = np.clip(p, 1e-300, 1 - 1e-12)
            away = self.switching_delay_s * np.where(p > 0, -share * np.log(share) / (1 - share), 0.0)
        else:
            known = self.scenario.vary(popularity="true")
            away = costs.eviction_cost(self.switching_delay_s, costs.active_cycle(known, 0, 0, 0, p, rate))
        away, nothing = self._switching(away), np.zeros(len(p))
        evicting = away if self.scenario.charge == "eviction" else nothing
        absent = away if self.charges_absence else nothing
        return ExpectedCharges(evicting, self.fetching, self.holding / rate, absent / rate)

    def _evicted(self, requests: Any, clock: Any, slot: Any, model: Any) -> Floats:
        """The cost w1 d / a that is booked: under `active_cycle = actual` with the true distance to the next request."""
        t = self.trace
        if self.scenario.active_cycle == "actual":
            cycle = t.requests_until(clock, model)
        else:
            cycle = costs.active_cycle(self.scenario, requests, clock, slot, t.popularity[model], t.requests_per_slot)
        return self._switching(costs.eviction_cost(self.switching_delay_s[model], cycle))

    def _requests(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """How often each model was asked for up to the requests number `first` to `last`, (last - first + 1, I)."""
        size, models = len(self.scenario.catalogue), self.trace.model
        requests = np.zeros((max(last - first + 1, 0), size), dtype=np.int64)
        if len(requests):
            requests[np.arange(len(requests)), models[first - 1 : last]] = 1
            requests[0] += np.bincount(models[: first - 1], minlength=size)
        return requests.cumsum(axis=0)

    def _switching(self, cost: Any) -> Floats:
        return costs.total_cost(cost, 0.0, self.scenario.w1, self.scenario.w2)

    def _resource(self, cost: Any) -> Floats:
        return costs.total_cost(0.0, cost, self.scenario.w1, self.scenario.w2)


def _read_only(array: Floats) -> Floats:
    array.flags.writeable = False
    return array
