"""Play a trace against a policy, request by request, then book what it cost.

The compiled loop knows requests, deployments and evictions and nothing of costs; the books are kept afterwards, from the log of
what happened, by the equations of costs.py. The policy is a compiled ranking function (the loop evicts the lowest rank until the
requested model fits) or a planner, a Python object whose `decide` is called at every miss.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit, types

from . import costs
from .decision import MODEL, MODEL_TYPE, RANK_TYPE, SERVER, SERVER_TYPE, Decision, Prices
from .demand import Trace, poisson_trace
from .errors import InputError, PolicyError
from .policies import EvictionPolicy, Policy, find_policy, front
from .scenario import Scenario

MISS, HIT, CLOUD = 0, 1, 2  # what became of a request
DEPLOYED, ABSENT, ON_CLOUD = 1, 0, -1  # a model's place; ON_CLOUD: no empty server could hold it
DONE, NO_RANK = -1, -2  # why the loop returned, when it was not for a decision
_MODELS, _SERVER, _LOG = MODEL_TYPE[::1], SERVER_TYPE[::1], types.int64[:, ::1]
_REQUESTS = types.Array(types.int64, 1, "C", readonly=True)


@njit(types.void(_MODELS, types.int64), cache=True)
def _leave_queue(models, index):
    model = models[index]
    models[model.ahead].behind = model.behind
    models[model.behind].ahead = model.ahead


@njit(types.void(_MODELS, types.int64), cache=True)
def _join_queue(models, index):
    """Append a model to the queue; the record after the last model is its fixed point, before the front and after the back."""
    queue = models.size - 1
    back = models[queue].ahead
    models[index].ahead = back
    models[index].behind = queue
    models[back].behind = index
    models[queue].ahead = index


@njit(types.void(_MODELS, _SERVER, _LOG, types.int64), cache=True)
def evict(models, server, evictions, index):
    """Evict a model and log (clock, model, its requests so far)."""
    now, model = server[0], models[index]
    _leave_queue(models, index)
    model.place = ABSENT
    now.storage_gb += model.size_gb
    now.gpu_memory_gb += model.gpu_memory_gb
    now.power_kw += model.power_kw
    evictions[now.evictions, 0] = now.clock
    evictions[now.evictions, 1] = index
    evictions[now.evictions, 2] = model.requests
    now.evictions += 1


@njit(types.void(_MODELS, _SERVER, types.int64), cache=True)
def deploy(models, server, index):
    """Deploy the requested model, for which there is room."""
    now, model = server[0], models[index]
    _join_queue(models, index)
    model.place = DEPLOYED
    now.storage_gb -= model.size_gb
    now.gpu_memory_gb -= model.gpu_memory_gb
    now.power_kw -= model.power_kw
    model.requests_in_cache = 1
    model.deployed_since = model.last_request = now.clock
    model.aging = now.aging


@njit(
    types.int64(
        _REQUESTS, _MODELS, _SERVER, types.uint8[::1], _LOG,
        types.FunctionType(RANK_TYPE), types.boolean, types.boolean, types.boolean
    ),
    cache=True,
)  # fmt: skip
def play(requests, models, server, outcome, evictions, rank, ranked, by_request, planned):
    """Play on from `server.clock`: to the end (returns DONE), or where `planned` to the next miss (returns its model).

    The deployed models stand in a queue, in the order of their deployment or `by_request` of their last request. A miss without
    a plan evicts its front, or where `ranked` the model of the lowest rank and of equal ones the foremost, until the requested
    model fits. Returns NO_RANK at a rank that is not a number.
    """
    now = server[0]
    queue = models.size - 1
    for clock in range(now.clock, requests.size):
        model = models[requests[clock]]
        model.requests += 1
        if model.place == DEPLOYED:
            outcome[clock] = HIT
            model.requests_in_cache += 1
            model.last_request = clock + 1
            model.aging = now.aging
            if by_request:
                _leave_queue(models, model.index)
                _join_queue(models, model.index)
            continue
        now.clock = clock + 1
        if model.place == ON_CLOUD:
            outcome[clock] = CLOUD
            continue
        outcome[clock] = MISS
        if planned:
            return model.index
        while model.size_gb > now.storage_gb or model.gpu_memory_gb > now.gpu_memory_gb or model.power_kw > now.power_kw:
            victim = models[queue].behind
            if ranked:
                lowest = np.inf
                candidate = victim
                while candidate != queue:
                    value = rank(models[candidate], now)
                    if value != value:
                        return NO_RANK
                    if value < lowest:
                        victim, lowest = candidate, value
                    candidate = models[candidate].behind
                now.aging = lowest
            evict(models, server, evictions, victim)
        deploy(models, server, model.index)
    now.clock = requests.size
    return DONE


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
        import pandas as pd

        return pd.DataFrame(self.books)

    @property
    def events(self):
        """One tidy row a request: when, for what, what became of it, what was fetched (GB) and evicted, and its delay (s)."""
        import pandas as pd

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
                "evicted": [" ".join(names) for names in evicted],
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
        """The run in one row: costs are means over all slots, delay and hit ratio over requests (NaN without any), the rest sums."""
        books, requests, cloud = self.books, len(self.trace), int((self.outcome == CLOUD).sum())
        delay = self.request_delay_s[self.outcome != CLOUD]
        return {
            **{name: books[name].mean() for name in ("total_cost", "switching_cost", "resource_cost")},
            "service_delay_s": delay.mean() if len(delay) else np.nan,
            "hit_ratio": (self.outcome == HIT).mean() if requests else np.nan,
            "fetched_gb": books["fetched_gb"].sum(),
            "energy_kwh": books["energy_kwh"].sum(),
            "requests": requests,
            "cloud_requests": cloud,
        }

    def _by_slot(self, which: np.ndarray, amount: np.ndarray | None = None) -> np.ndarray:
        """Count the requests `which` (N,), or add up their `amount`, in each slot."""
        weights = None if amount is None else amount[which]
        return np.bincount(self.trace.slot[which], weights, minlength=self.trace.slots)

    def _switching_cost(self, fetched: np.ndarray) -> np.ndarray:
        """C_sw, unweighted, as the reading `charge` books it, (T,)."""
        s, trace = self.scenario, self.trace
        delay = costs.switching_delay_s(s)
        if s.charge == "miss":
            return self._by_slot(fetched, (delay - s.catalogue.inference_delay_s)[trace.model])
        if s.charge == "eviction":
            clock, model, requests = self.evictions.T
            slot = trace.slot[clock - 1]
            cost = costs.eviction_cost(delay[model], self._booked_cycle(requests, clock, slot, model))
            return np.bincount(slot, cost, minlength=trace.slots)
        slot, model = np.indices(self.deployments.shape)
        asked = np.zeros(self.deployments.shape, dtype=np.int64)
        np.add.at(asked, (trace.slot, trace.model), 1)
        asked = asked.cumsum(axis=0)
        cycle = self._booked_cycle(asked, asked.sum(axis=1, keepdims=True), slot, model)
        return costs.switching_cost(np.where(self.deployments, 0.0, delay), cycle)

    def _booked_cycle(self, requests, clock, slot, model) -> np.ndarray:
        if self.scenario.active_cycle == "actual":
            return requests_until_next(self.trace, clock, model)
        return costs.active_cycle(self.scenario, requests, clock, slot, self.trace.popularity[model])


def requests_until_next(trace: Trace, clock, model) -> np.ndarray:
    """How many requests after request number `clock` (0: the start) `model` is asked for again, or requests left + 1 if never."""
    order = np.lexsort((np.arange(len(trace)), trace.model))
    keys = trace.model[order] * (len(trace) + 1) + order
    clock, model = np.broadcast_arrays(clock, model)
    found = np.searchsorted(keys, model * (len(trace) + 1) + clock)
    following = np.append(keys, -1)[found] - model * (len(trace) + 1)
    following = np.where((found < len(keys)) & (following < len(trace)), following, len(trace))
    return following + 1 - clock


def simulate(
    scenario: Scenario,
    policy: str | Policy,
    seed: np.random.SeedSequence | int = 0,
    trace: Trace | None = None,
    replication: int = 0,
) -> Simulation:
    """Play one replication. Every policy of the same seed and replication faces the same trace.

    Raises PolicyError where the policy breaks the decision rule, and InputError for an unknown policy or a trace of another
    number of models.
    """
    policy = find_policy(policy)
    demand, luck = (np.random.SeedSequence(seed, spawn_key=(replication, i)) for i in range(2))
    trace = poisson_trace(scenario, demand) if trace is None else trace
    size = len(scenario.catalogue)
    if len(trace.popularity) != size:
        raise InputError(f"the trace has {len(trace.popularity)} models, but the catalogue has {size}")
    models, server = _start(scenario, trace, luck)
    outcome = np.empty(len(trace), dtype=np.uint8)
    evictions = np.empty((len(trace), 3), dtype=np.int64)
    if isinstance(policy, EvictionPolicy):
        rank, by_request = policy.rank or front, policy.queue == "request"
        if play(trace.model, models, server, outcome, evictions, rank, policy.rank is not None, by_request, False) == NO_RANK:
            raise PolicyError(f"policy {policy.name!r}, request {server['clock'][0]}: a rank is not a number (NaN)")
    else:
        prices, rng = Prices.of(scenario, trace.popularity), np.random.default_rng(luck)
        while (requested := play(trace.model, models, server, outcome, evictions, front, False, False, True)) != DONE:
            clock = int(server["clock"][0])
            deployed = models["place"][:size] == DEPLOYED
            decision = Decision(
                prices, requested, deployed, models["requests"][:size].copy(), clock, int(trace.slot[clock - 1]), rng
            )
            kept = decision.check(policy.decide(decision), policy.name)
            for gone in np.flatnonzero(deployed & ~kept):
                evict(models, server, evictions, gone)
            deploy(models, server, requested)
    return Simulation(scenario, trace, policy.name, outcome, evictions[: server["evictions"][0]].copy())


def _start(scenario: Scenario, trace: Trace, luck: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """The state before the first request: an empty server. MODEL (I + 1,) and SERVER (1,)."""
    c, size = scenario.catalogue, len(scenario.catalogue)
    models, server = np.zeros(size + 1, dtype=MODEL), np.zeros(1, dtype=SERVER)
    models["index"] = np.arange(size + 1)
    models["ahead"][size] = models["behind"][size] = size
    for feature in ("size_gb", "gpu_memory_gb", "power_kw", "io_delay_s", "inference_delay_s"):
        models[feature][:size] = getattr(c, feature)
    models["fetch_delay_s"][:size] = costs.switching_delay_s(scenario) - c.inference_delay_s
    models["popularity"][:size] = trace.popularity
    models["place"][:size] = np.where(scenario.fits_empty_server, ABSENT, ON_CLOUD)
    server["seed"] = luck.generate_state(1, np.uint64)
    server["storage_gb"], server["gpu_memory_gb"], server["power_kw"] = scenario.capacities
    server["lfu_in_cache"] = scenario.lfu == "in_cache"
    return models, server
