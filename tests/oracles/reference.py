"""A second, independent implementation of the simulator and of the myopic optimum: slow, plain Python, for tests only.

It follows the definitions of docs/model.md, and shares no code with the package: it only reads the attributes of a Scenario,
its Catalogue and a Trace. Readability goes before speed everywhere.
"""

import itertools
import math

RANKED = ("fifo", "lru", "lfu", "lfu-in-cache")
POLICIES = (*RANKED, "exact")


def reference(scenario, trace, policy):
    """Play `trace` under `policy`: per-slot lists, `means` over the run and one of `events` per request."""
    if policy not in POLICIES:
        raise ValueError(f"unknown policy {policy!r}; the reference knows {', '.join(POLICIES)}")
    return _Run(scenario, trace, policy).play()


class _Run:
    """One server playing one trace. Requests are numbered from 1; `clock` is the number of the present one."""

    def __init__(self, scenario, trace, policy):
        self.scenario, self.trace, self.policy = scenario, trace, policy
        self.slots = trace.slots
        self.request_slot, self.request_model = trace.slot.tolist(), trace.model.tolist()
        self.true_popularity = trace.popularity.tolist()
        c = scenario.catalogue
        self.size, self.gpu, self.power = c.size_gb.tolist(), c.gpu_memory_gb.tolist(), c.power_kw.tolist()
        self.io, self.inference = c.io_delay_s.tolist(), c.inference_delay_s.tolist()
        self.models = range(len(self.size))
        self.slot, self.clock = 0, 0
        self.deployed = set()
        self.requests_for = [0 for _ in self.models]  # n_i, surviving eviction
        self.requests_in_cache = [0 for _ in self.models]  # the same since i was last deployed
        self.last_request = [0 for _ in self.models]
        self.deployed_since = [0 for _ in self.models]
        self.events = []

    # ---- what an eviction costs -------------------------------------------------------------------------------------

    def transmission(self, i):
        """Seconds to fetch model i over the link: 8 s_i / B."""
        return 8 * self.size[i] / self.scenario.bandwidth_gbps

    def switching_delay(self, i):
        """d_i = 8 s_i / B + l_i + k_i, seconds (eq. 4-6)."""
        return self.transmission(i) + self.io[i] + self.inference[i]

    def share(self, i):
        """p_i, the share of requests that ask for model i."""
        if self.scenario.popularity == "true":
            return self.true_popularity[i]
        return (self.requests_for[i] + 1) / (self.clock + len(self.models))

    def distance(self, i):
        """Requests from the present one to the next for model i, or requests left + 1 if there is none."""
        later = self.request_model[self.clock :]
        return later.index(i) + 1 if i in later else len(later) + 1

    def active_cycle(self, i, foresight):
        """a_i. Without foresight (in a decision) the reading `actual` gives way to 1 / p_i."""
        reading = self.scenario.active_cycle
        if reading == "actual" and foresight:
            return self.distance(i)
        if reading == "slots" and self.scenario.popularity == "estimated":
            return (self.slot + 1) / (self.requests_for[i] + 1)
        rate = self.share(i) * (self.trace.requests_per_slot if reading == "slots" else 1)
        return 1 / rate if rate > 0 else math.inf

    def charge(self, models, foresight):
        """w1 times the sum of d_i / a_i over `models` (eq. 7)."""
        terms = [self.switching_delay(i) / self.active_cycle(i, foresight) for i in models]
        return self.scenario.w1 * math.fsum(terms)

    # ---- what a deployment needs and costs ---------------------------------------------------------------------------

    def resources(self, models):
        """w2 times storage plus beta times GPU memory of `models` (eq. 8-10)."""
        storage, memory = math.fsum(self.size[i] for i in models), math.fsum(self.gpu[i] for i in models)
        if self.scenario.resource_unit == "capacity":
            storage, memory = storage / self.scenario.storage_gb, memory / self.scenario.gpu_memory_gb
        return self.scenario.w2 * (storage + self.scenario.beta * memory)

    def fits(self, models):
        """Whether `models` together respect storage, GPU memory and power (eq. 1-3), up to rounding errors."""
        s = self.scenario
        pairs = (
            (self.size, s.storage_gb),
            (self.gpu, s.gpu_memory_gb),
            (self.power, s.energy_capacity_kw - s.static_power_kw),
        )
        return all(math.fsum(need[i] for i in models) <= capacity * (1 + 1e-9) for need, capacity in pairs)

    # ---- who is evicted ----------------------------------------------------------------------------------------------

    def rank(self, i):
        """What the eviction policy sorts deployed models by; the lowest goes first."""
        if self.policy == "fifo":
            return self.deployed_since[i]
        if self.policy == "lru":
            return self.last_request[i]
        in_cache = self.policy == "lfu-in-cache" or self.scenario.lfu == "in_cache"
        count = self.requests_in_cache[i] if in_cache else self.requests_for[i]
        return count, self.last_request[i]

    def evict_until_it_fits(self, newcomer):
        """The models an eviction policy evicts for the newcomer, in order."""
        kept, evicted = set(self.deployed), []
        while not self.fits(kept | {newcomer}):
            lowest = min(kept, key=self.rank)
            kept.remove(lowest)
            evicted.append(lowest)
        return evicted

    def decision_cost(self, deployment, newcomer):
        """What Exact and GA minimise: w1 sum of d_i / a_i + w2 C_res(y)."""
        candidates = self.models if self.scenario.charge == "absence" else self.deployed | {newcomer}
        return self.charge([i for i in candidates if i not in deployment], False) + self.resources(deployment)

    def choices(self, newcomer):
        """Every deployment that a planner may choose at a miss, under the reading `scope`."""
        scope = self.scenario.scope
        others = sorted((self.deployed if scope in ("evict", "bypass") else set(self.models)) - {newcomer})
        beside = [set(y) for n in range(len(others) + 1) for y in itertools.combinations(others, n)]
        beside = [y for y in beside if self.fits(y | {newcomer})]
        return [y | {newcomer} for y in beside] + (beside if scope in ("bypass", "free") else [])

    def choose(self, newcomer):
        """The deployment after a miss. Of planners the best; ties go to fewest models, then to the lowest index mask."""
        if self.policy != "exact":
            return self.deployed - set(self.evict_until_it_fits(newcomer)) | {newcomer}
        return min(self.choices(newcomer), key=lambda y: (self.decision_cost(y, newcomer), len(y), sum(2**i for i in y)))

    # ---- the request loop --------------------------------------------------------------------------------------------

    def request(self, r):
        """Serve a request for model r; returns what it adds to the slot's switching cost."""
        self.clock += 1
        self.requests_for[r] += 1
        self.requests_in_cache[r] += 1
        self.last_request[r] = self.clock
        hit = r in self.deployed
        if hit and (self.scenario.decides == "miss" or self.policy in RANKED):
            self.events.append((True, False, [], [], self.inference[r]))
            return 0.0
        if not self.fits({r}):
            self.events.append((False, True, [], [], self.scenario.cloud_delay_s + self.inference[r]))
            return 0.0
        after = self.choose(r)
        evicted, prefetched = sorted((self.deployed | {r}) - after), sorted(after - self.deployed - {r})
        self.deployed = after
        if not hit:
            self.deployed_since[r] = self.clock
            self.requests_in_cache[r] = 1
        self.events.append((hit, False, evicted, prefetched, self.inference[r] if hit else self.switching_delay(r)))
        if self.scenario.charge == "eviction":
            return self.charge(evicted, foresight=True)
        if self.scenario.charge == "miss":
            fetched = prefetched if hit else [r, *prefetched]
            return self.scenario.w1 * math.fsum(self.transmission(i) + self.io[i] for i in fetched)
        return 0.0

    def play_slot(self, slot):
        """Play the requests of one slot, then book its costs on the deployment it ends with; one row of the result."""
        s, self.slot, first = self.scenario, slot, self.clock
        models = [model for at, model in zip(self.request_slot, self.request_model, strict=True) if at == slot]
        switching = sum(self.request(model) for model in models)
        events = self.events[first:]
        misses = [r for r, (hit, cloud, _, _, _) in zip(models, events, strict=True) if not hit and not cloud]
        fetched = misses + [i for _, _, _, prefetched, _ in events for i in prefetched]
        if s.charge == "absence":
            switching += self.charge([i for i in self.models if i not in self.deployed], foresight=True)
        decided = misses if s.decides == "miss" else [r for r, (_, cloud, *_) in zip(models, events, strict=True) if not cloud]
        resource = self.resources(self.deployed) if decided or s.resource_basis == "slot" else 0.0
        power = s.static_power_kw + sum(self.power[i] for i in self.deployed)
        return {
            "requests": len(models),
            "hits": sum(hit for hit, *_ in events),
            "cloud_requests": sum(cloud for _, cloud, *_ in events),
            "switching_cost": switching,
            "resource_cost": resource,
            "total_cost": switching + resource,
            "service_delay_s": _edge_delay(events),
            "fetched_gb": sum(self.size[i] for i in fetched),
            "energy_kwh": power * self.trace.slot_length_s / 3600,
        }

    def play(self):
        """Play every slot; the per-slot lists, the means and the events."""
        rows = [self.play_slot(slot) for slot in range(self.slots)]
        result = {column: [row[column] for row in rows] for column in rows[0]}
        means = {cost: sum(result[cost]) / self.slots for cost in ("total_cost", "switching_cost", "resource_cost")}
        means["service_delay_s"] = _edge_delay(self.events)
        means["hit_ratio"] = sum(result["hits"]) / len(self.events) if self.events else math.nan
        means |= {total: sum(result[total]) for total in ("fetched_gb", "energy_kwh")}
        return result | {"means": means, "events": self.events}


def _edge_delay(events):
    """Mean delay of the requests that the edge served, nan if there are none."""
    delays = [delay for _, cloud, *_, delay in events if not cloud]
    return sum(delays) / len(delays) if delays else math.nan
