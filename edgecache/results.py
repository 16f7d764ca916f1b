"""The books: what a simulation did, slot by slot and request by request, and what it cost by the equations of costs.py."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from . import costs
from .accounting import absence_cycle, booked_cycle
from .demand import Trace
from .scenario import Scenario

MISS, HIT, CLOUD = 0, 1, 2  # what became of a request


@dataclass(frozen=True, eq=False)
class Simulation:
    """What happened to a trace under a policy, and what it cost. T slots, N requests, I models."""

    scenario: Scenario
    trace: Trace
    policy: str
    outcome: np.ndarray  # MISS, HIT or CLOUD, uint8 (N,)
    evictions: np.ndarray  # (clock, model, its requests so far) of each eviction, in order, int64 (K, 3)

    @cached_property
    def deployments(self) -> np.ndarray:
        """x(t), the deployment at the end of each slot, bool (T, I)."""
        change = np.zeros((self.trace.slots, len(self.scenario.catalogue)), dtype=np.int64)
        fetched = self.outcome == MISS
        np.add.at(change, (self.trace.slot[fetched], self.trace.model[fetched]), 1)
        np.add.at(change, (self.trace.slot[self.evictions[:, 0] - 1], self.evictions[:, 1]), -1)
        return change.cumsum(axis=0).astype(bool)

    @cached_property
    def used(self) -> np.ndarray:
        """Storage (GB), GPU memory (GB) and power with the static one (kW) in use at the end of each slot, (T, 3)."""
        s, c = self.scenario, self.scenario.catalogue
        return self.deployments @ np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw]).T + [0, 0, s.static_power_kw]

    @cached_property
    def books(self) -> dict[str, np.ndarray]:
        """What `slots` shows, as arrays of shape (T,)."""
        s, c, trace = self.scenario, self.scenario.catalogue, self.trace
        fetched, on_cloud = self.outcome == MISS, self.outcome == CLOUD
        switching = costs.total_cost(self._switching_cost(fetched), 0.0, s.w1, s.w2)
        resource = costs.total_cost(0.0, costs.deployment_cost(s, self.deployments), s.w1, s.w2)
        if s.resource_basis == "decision":
            resource = resource * (self._by_slot(fetched) > 0)
        served = self._by_slot(~on_cloud)
        with np.errstate(invalid="ignore"):
            delay = self._by_slot(~on_cloud, self.request_delay_s) / served
        power = s.static_power_kw + self.deployments @ c.power_kw
        return {
            "slot": np.arange(trace.slots),
            "requests": self._by_slot(np.ones(len(trace), dtype=bool)),
            "hits": self._by_slot(self.outcome == HIT),
            "cloud_requests": self._by_slot(on_cloud),
            "switching_cost": switching,
            "resource_cost": resource,
            "total_cost": switching + resource,
            "service_delay_s": delay,
            "fetched_gb": self._by_slot(fetched, c.size_gb[trace.model]),
            "energy_kwh": power * s.slot_length_s / 3600,
        }

    @property
    def slots(self):
        """One tidy row a slot.

        `switching_cost` and `resource_cost` are weighted and add up to `total_cost`; `service_delay_s` is the mean over the slot's
        requests that the edge served (NaN where there was none); `fetched_gb` came over the link; `energy_kwh` is at rated power.
        """
        return pd.DataFrame(self.books)

    @property
    def events(self):
        """One tidy row a request: when, for what, what became of it, what was fetched (GB) and evicted, and its delay (s)."""
        services = np.array(self.scenario.catalogue.services, dtype=object)
        evicted = [[] for _ in range(len(self.trace))]
        for clock, model, _ in self.evictions:
            evicted[clock - 1].append(services[model])
        return pd.DataFrame(
            {
                "request": np.arange(len(self.trace)),
                "slot": self.trace.slot,
                "model": services[self.trace.model],
                "hit": self.outcome == HIT,
                "cloud": self.outcome == CLOUD,
                "fetched_gb": np.where(self.outcome == MISS, self.scenario.catalogue.size_gb[self.trace.model], 0.0),
                "evicted": ["; ".join(names) for names in evicted],
                "delay_s": self.request_delay_s,
            }
        )

    @cached_property
    def request_delay_s(self) -> np.ndarray:
        """What each request waited: k at a hit, 8 s/B + l + k at a miss, `cloud_delay_s` + k on the cloud; s, (N,)."""
        s, model = self.scenario, self.trace.model
        inference = s.catalogue.inference_delay_s[model]
        delay = np.where(self.outcome == MISS, costs.switching_delay_s(s)[model], inference)
        return np.where(self.outcome == CLOUD, s.cloud_delay_s + inference, delay)

    def means(self) -> dict[str, float]:
        """The run in one row: costs are means over slots, delay and hit ratio over requests (NaN without any), the rest sums."""
        books, requests = self.books, len(self.trace)
        delay = self.request_delay_s[self.outcome != CLOUD]
        return {
            **{name: float(books[name].mean()) for name in ("total_cost", "switching_cost", "resource_cost")},
            "service_delay_s": float(delay.mean()) if len(delay) else np.nan,
            "hit_ratio": float((self.outcome == HIT).mean()) if requests else np.nan,
            "fetched_gb": float(books["fetched_gb"].sum()),
            "energy_kwh": float(books["energy_kwh"].sum()),
            "requests": requests,
            "cloud_requests": int(books["cloud_requests"].sum()),
            "slots": self.trace.slots,
        }

    def _by_slot(self, which: np.ndarray, amount: np.ndarray | None = None) -> np.ndarray:
        """Count the requests `which` (N,), or add up their `amount`, in each slot."""
        if amount is None:
            return np.bincount(self.trace.slot[which], minlength=self.trace.slots)
        sums = np.bincount(self.trace.slot[which], amount[which], minlength=self.trace.slots)
        return sums.astype(float)  # bincount counts in int64 where there is nothing to add up

    def _switching_cost(self, fetched: np.ndarray) -> np.ndarray:
        """C_sw, unweighted, as the reading `charge` books it, (T,)."""
        s, trace = self.scenario, self.trace
        delay = costs.switching_delay_s(s)
        if s.charge == "miss":
            return self._by_slot(fetched, costs.fetch_delay_s(s)[trace.model])
        if s.charge == "eviction":
            clock, model, requests = self.evictions.T
            slot = trace.slot[clock - 1]
            cost = costs.eviction_cost(delay[model], booked_cycle(s, trace, requests, clock, slot, model))
            return np.bincount(slot, cost, minlength=trace.slots).astype(float)
        return costs.switching_cost(np.where(self.deployments, 0.0, delay), absence_cycle(s, trace))
