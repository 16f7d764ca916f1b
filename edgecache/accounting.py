"""What each event of a trace costs under a reading."""

from dataclasses import dataclass

import numpy as np

from . import costs
from .costs import deployment_cost, eviction_cost, fetch_delay_s, switching_delay_s, total_cost
from .demand import Trace, for_catalogue, requests_until_next
from .scenario import Scenario


def booked_cycle(scenario: Scenario, trace: Trace, requests, clock, slot, model) -> np.ndarray:
    """The active cycle that is booked for `model` after request number `clock`: under `actual` the true one. They broadcast."""
    if scenario.active_cycle == "actual":
        return requests_until_next(trace, clock, model)
    return costs.active_cycle(scenario, requests, clock, slot, trace.popularity[model])


def absence_cycle(scenario: Scenario, trace: Trace) -> np.ndarray:
    """The active cycle that `charge = absence` books for each model at the end of each slot, (T, I)."""
    slot, model = np.indices((trace.slots, len(trace.popularity)))
    asked = np.zeros(slot.shape, dtype=np.int64)
    np.add.at(asked, (trace.slot, trace.model), 1)
    asked = asked.cumsum(axis=0)
    return booked_cycle(scenario, trace, asked, asked.sum(axis=1, keepdims=True), slot, model)


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
