"""Results: what happened to a trace under a policy, slot by slot and request by request, and what it cost."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from numba import njit

from .accounting import Charges
from .demand import Trace
from .scenario import Scenario

MISS, HIT, CLOUD = 0, 1, 2  # the outcome of a request
# what is added up over each slot; the first is what the policy had in use at its end
SUMS = (
    "power_kw", "requests", "hits", "cloud_requests", "switching_cost", "resource_cost", "served_delay_s", "cloud_delay_s",
    "fetched_gb",
)  # fmt: skip
DELAYS = ("delay_p50_s", "delay_p95_s", "delay_p99_s", "within_slo")  # of Simulation.delays


@dataclass(frozen=True, eq=False)
class Simulation:
    """What happened to a trace under a policy, and what it cost. N requests, T slots, K evictions, P prefetches, I models.

    Parameters
    ----------
    charges : Charges
        The scenario, the trace, and what its events cost.
    policy : str
        The name that the policy goes by on this server.
    outcome : array of uint8, shape (N,)
        MISS, HIT or CLOUD for each request.
    evictions : array of int64, shape (K, 3)
        Clock, model, and how often that model was asked for so far, of each eviction in order.
    prefetches : array of int64, shape (P, 2), optional
        Clock and model of each deployment that nobody requested, in order. None by default.

    Examples
    --------
    >>> import edgecache as ec
    >>> run = ec.simulate(ec.Scenario(slots=20), "lru")
    >>> run.slots["total_cost"].mean().round(6) == round(run.means()["total_cost"], 6)
    np.True_
    """

    charges: Charges
    policy: str
    outcome: npt.NDArray[np.uint8]
    evictions: npt.NDArray[np.int64]
    prefetches: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))

    @property
    def scenario(self) -> Scenario:
        """The server and its readings."""
        return self.charges.scenario

    @property
    def trace(self) -> Trace:
        """The requests."""
        return self.charges.trace

    def up_to(self, charges: Charges) -> "Simulation":
        """The beginning of this run, on a shorter trace that begins its trace, at the charges of that shorter trace."""
        requests = len(charges.trace)
        logs = (log[log[:, 0] <= requests] for log in (self.evictions, self.prefetches))
        return Simulation(charges, self.policy, self.outcome[:requests], *logs)

    def means(self) -> dict[str, float]:
        """The run in one row.

        Returns
        -------
        dict of str to float
            Costs are means over slots; `service_delay_s` is the mean over the requests that the edge served, `service_delay_all_s`
            over all requests, the cloud's included (both NaN without any). `hit_ratio` and `cloud_share` are shares of requests.
            `fetched_gb`, `energy_kwh`, `requests` and `cloud_requests` are sums. Delays are those of an idle server: no queueing.
        """
        slots, requests = self.trace.slots, len(self.trace)
        total = dict(zip(SUMS, self._account(np.empty((0, len(SUMS)))).tolist(), strict=True))
        switching, resource = total["switching_cost"] / slots, total["resource_cost"] / slots
        served, on_cloud = requests - total["cloud_requests"], total["cloud_requests"]
        return {
            "total_cost": switching + resource,
            "switching_cost": switching,
            "resource_cost": resource,
            "service_delay_s": total["served_delay_s"] / served if served else np.nan,
            "service_delay_all_s": (total["served_delay_s"] + total["cloud_delay_s"]) / requests if requests else np.nan,
            "hit_ratio": total["hits"] / requests if requests else np.nan,
            "cloud_share": on_cloud / requests if requests else np.nan,
            "fetched_gb": total["fetched_gb"],
            "energy_kwh": total["power_kw"] * self.trace.slot_length_s / 3600,
            "requests": requests,
            "cloud_requests": int(on_cloud),
            "slots": slots,
        }

    def delays(self, slo_s: float | None = None) -> dict[str, float]:
        """The distribution of what requests wait, the cloud's included.

        Parameters
        ----------
        slo_s : float, optional
            A bound on the delay, s.

        Returns
        -------
        dict of str to float
            `delay_p50_s`, `delay_p95_s` and `delay_p99_s`: the delay that so many per cent of the requests do not exceed;
            `within_slo`: the share of requests within the bound, NaN without one. All NaN without requests. No queueing.

        Examples
        --------
        >>> import edgecache as ec
        >>> round(ec.simulate(ec.Scenario(), "lru").delays(slo_s=30)["within_slo"], 2)
        0.66
        """
        waited = self.request_delay_s
        if not len(waited):
            return dict.fromkeys(DELAYS, np.nan)
        quantiles = np.quantile(waited, (0.5, 0.95, 0.99), method="inverted_cdf").tolist()
        within = np.nan if slo_s is None else float((waited <= slo_s).mean())
        return dict(zip(DELAYS, (*quantiles, within), strict=True))

    @cached_property
    def by_slot(self) -> dict[str, npt.NDArray]:
        """The columns of `slots`, each an array of shape (T,)."""
        rows = np.empty((self.trace.slots, len(SUMS)))
        self._account(rows)
        column = dict(zip(SUMS, rows.T, strict=True))
        counts = {name: column[name].astype(np.int64) for name in ("requests", "hits", "cloud_requests")}
        requests, on_cloud = counts["requests"], counts["cloud_requests"]
        with np.errstate(invalid="ignore"):
            delays = {
                "service_delay_s": column["served_delay_s"] / (requests - on_cloud),
                "service_delay_all_s": (column["served_delay_s"] + column["cloud_delay_s"]) / requests,
                "cloud_share": on_cloud / requests,
            }
        return {
            "slot": np.arange(self.trace.slots),
            **counts,
            "switching_cost": column["switching_cost"],
            "resource_cost": column["resource_cost"],
            "total_cost": column["switching_cost"] + column["resource_cost"],
            **delays,
            "fetched_gb": column["fetched_gb"],
            "energy_kwh": column["power_kw"] * self.trace.slot_length_s / 3600,
        }

    @property
    def slots(self) -> pd.DataFrame:
        """One tidy row per slot.

        `switching_cost` and `resource_cost` are weighted and add up to `total_cost`; delays are means over the slot's requests, see
        `means` (NaN where there was none); `fetched_gb` came over the link; `energy_kwh` is at rated power.
        """
        return pd.DataFrame(self.by_slot)

    @property
    def events(self) -> pd.DataFrame:
        """One tidy row per request: its outcome, what was fetched (GB), evicted and prefetched, and its delay (s)."""
        services = np.array(self.scenario.catalogue.services, dtype=object)
        evicted: list[list[str]] = [[] for _ in range(len(self.trace))]
        prefetched: list[list[str]] = [[] for _ in range(len(self.trace))]
        size_gb = self.scenario.catalogue.size_gb
        fetched_gb = np.where(self.outcome == MISS, size_gb[self.trace.model], 0.0)
        for clock, model, _ in self.evictions:
            evicted[clock - 1].append(services[model])
        for clock, model in self.prefetches:
            prefetched[clock - 1].append(services[model])
            fetched_gb[clock - 1] += size_gb[model]
        return pd.DataFrame(
            {
                "request": np.arange(len(self.trace)),
                "slot": self.trace.slot,
                "model": services[self.trace.model],
                "hit": self.outcome == HIT,
                "cloud": self.outcome == CLOUD,
                "fetched_gb": fetched_gb,
                "evicted": ["; ".join(names) for names in evicted],
                "prefetched": ["; ".join(names) for names in prefetched],
                "delay_s": self.request_delay_s,
            }
        )

    @cached_property
    def request_delay_s(self) -> npt.NDArray[np.float64]:
        """What each request waited, s, (N,): k at a hit, 8 size / B + l + k at a miss, `cloud_delay_s` + k on the cloud."""
        inference = self.scenario.catalogue.inference_delay_s[self.trace.model]
        delay = np.where(self.outcome == MISS, self.charges.switching_delay_s[self.trace.model], inference)
        return np.where(self.outcome == CLOUD, self.scenario.cloud_delay_s + inference, delay)

    @cached_property
    def misses(self) -> npt.NDArray[np.int64]:
        """The requests (from 0) that were missed, each a decision, (M,)."""
        return np.flatnonzero(self.outcome == MISS)

    @cached_property
    def deployments(self) -> npt.NDArray[np.bool_]:
        """x(t), the deployment at the end of each slot, (T, I)."""
        return self._deployed(self.trace.slot, self.trace.slots)

    @cached_property
    def deployed_before(self) -> npt.NDArray[np.bool_]:
        """The deployment just before each miss, (M, I)."""
        following = np.searchsorted(self.misses, np.arange(len(self.trace)), side="right")  # the first miss after each request
        return self._deployed(following, len(self.misses) + 1)[: len(self.misses)]

    def _deployed(self, period: npt.NDArray[np.int64], periods: int) -> npt.NDArray[np.bool_]:
        """The deployment at the end of each period, (periods, I); `period` (N,) says in which one each request is."""
        change = np.zeros((periods, len(self.scenario.catalogue)), dtype=np.int64)
        np.add.at(change, (period[self.misses], self.trace.model[self.misses]), 1)
        np.add.at(change, (period[self.prefetches[:, 0] - 1], self.prefetches[:, 1]), 1)
        np.add.at(change, (period[self.evictions[:, 0] - 1], self.evictions[:, 1]), -1)
        return change.cumsum(axis=0).astype(bool)

    @cached_property
    def used(self) -> npt.NDArray[np.float64]:
        """Storage (GB), GPU memory (GB) and power with the static one (kW) in use at the end of each slot, (T, 3)."""
        return self.deployments @ self.scenario.catalogue.needs.T + [0, 0, self.scenario.static_power_kw]

    def _account(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Add up SUMS, in all, and over each slot into `rows` (T, SUMS) where those are not empty."""
        s, c, charges = self.scenario, self.scenario.catalogue, self.charges
        clock, model, requests = self.evictions.T
        delays = (charges.fetch_delay_s, c.inference_delay_s, s.cloud_delay_s)
        costs = (
            charges.evicting(requests, clock, model),
            charges.fetching,
            charges.holding,
            charges.absent,
            charges.decisions_only,
            charges.hits_decide,
        )
        log = (self.trace.slot, self.trace.model, self.outcome, self.evictions, self.prefetches)
        total = add_up(*log, self.trace.slots, *costs, *delays, c.size_gb, c.power_kw, rows)
        total[0] += s.static_power_kw * self.trace.slots
        if len(rows):
            rows[:, 0] += s.static_power_kw
        return total


@njit(cache=True)
def add_up(  # noqa: C901, PLR0912, PLR0915, a compiled kernel
    slots, models, outcome, evictions, prefetches, periods, evicting, fetching, holding, absent, decisions_only, hits_decide,
    fetch_delay_s, inference_delay_s, cloud_delay_s, size_gb, power_kw, rows,
):  # fmt: skip
    """What happened, added up slot by slot; returns the sums over all slots, in the order of SUMS."""
    total, row, nothing = np.zeros(9), np.zeros(9), np.zeros(9)
    size = size_gb.size
    deployed, place, count = np.empty(size, dtype=np.int64), np.full(size, -1), 0
    clock, gone, come, held, power, changed = 0, 0, 0, 0.0, 0.0, False
    for slot in range(periods):
        row[:] = nothing
        decided = False
        while clock < models.size and slots[clock] == slot:
            model = models[clock]
            row[1] += 1
            if outcome[clock] == CLOUD:
                row[3] += 1
                row[7] += cloud_delay_s + inference_delay_s[model]
            else:
                row[6] += inference_delay_s[model]
                if outcome[clock] == HIT:
                    row[2] += 1
                    decided |= hits_decide
                else:
                    row[6] += fetch_delay_s[model]
                    row[8] += size_gb[model]
                    row[4] += fetching[model]
                    deployed[count], place[model] = model, count
                    count += 1
                    decided = changed = True
            clock += 1
            while come < len(prefetches) and prefetches[come, 0] == clock:
                model = prefetches[come, 1]
                row[8] += size_gb[model]
                row[4] += fetching[model]
                deployed[count], place[model] = model, count
                count += 1
                come += 1
                changed = True
            while gone < len(evictions) and evictions[gone, 0] == clock:
                count -= 1
                last, hole = deployed[count], place[evictions[gone, 1]]
                deployed[hole], place[last] = last, hole
                place[evictions[gone, 1]] = -1
                row[4] += evicting[gone]
                gone += 1
                changed = True
        if changed:
            held = power = 0.0
            for number in range(count):
                held += holding[deployed[number]]
                power += power_kw[deployed[number]]
            changed = False
        row[0] = power
        row[5] = held if decided or not decisions_only else 0.0
        if absent.size:
            for model in range(size):
                if place[model] < 0:
                    row[4] += absent[slot, model]
        for number in range(9):
            total[number] += row[number]
        if rows.size:
            rows[slot] = row
    return total
