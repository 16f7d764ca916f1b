"""The simulator: play a trace against a policy, request by request.

One compiled loop serves requests, evicts and deploys; it knows nothing of costs, which results.py adds up afterwards. At a miss it
asks an eviction policy for ranks, or a planner of this package for its decision, both in compiled code. Any other planner is a
Python object whose `decide` is called, and checked, at every miss.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numba import njit, types

from .accounting import Charges
from .demand import Trace, poisson_trace, random_stream
from .errors import PolicyError
from .policies import COMPILED, find_policy
from .policies.contract import (
    ABSENT,
    CLAIRVOYANT,
    DEPLOYED,
    EXACT,
    GENETIC,
    MODEL,
    MODEL_TYPE,
    ON_CLOUD,
    RANK_TYPE,
    SERVER,
    SERVER_TYPE,
    Compilable,
    Decision,
    Planner,
    Policy,
    planner_of,
)
from .policies.deployments import state_decision
from .policies.exact import exact_decision
from .policies.genetic_compiled import best_met
from .policies.ranks import EvictionPolicy
from .results import CLOUD, HIT, MISS, Simulation
from .scenario import Scenario

# what is free on the server, and what a model needs of it
RESOURCES = {"storage_gb": "size_gb", "gpu_memory_gb": "gpu_memory_gb", "power_kw": "power_kw"}
Array = np.ndarray
DONE, NOT_A_RANK = -1, -2  # why the loop returned, when it was not for a decision
_MODELS, _SERVER, _LOG = MODEL_TYPE[::1], SERVER_TYPE[::1], types.int64[:, ::1]
_REQUESTS = types.Array(types.int64, 1, "C", readonly=True)
NOTHING = np.empty(0, dtype=np.int64)
NOTHING.flags.writeable = False
_INLINED: dict[str, Any] = {"cache": True, "inline": "always"}  # left to LLVM, the loop is an eighth slower


@njit(types.void(_MODELS, types.int64), **_INLINED)
def _leave_queue(models, index):
    model = models[index]
    models[model.ahead].behind = model.behind
    models[model.behind].ahead = model.ahead


@njit(types.void(_MODELS, types.int64), **_INLINED)
def _join_queue(models, index):
    """Append a model to the queue. The record after the last model is its fixed point: before the front and after the back."""
    queue = models.size - 1
    back = models[queue].ahead
    models[index].ahead = back
    models[index].behind = queue
    models[back].behind = index
    models[queue].ahead = index


@njit(types.void(_MODELS, _SERVER, _LOG, types.int64), **_INLINED)
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


@njit(types.void(_MODELS, _SERVER, types.int64), **_INLINED)
def deploy(models, server, index):
    """Deploy the requested model, for which there is room."""
    now, model = server[0], models[index]
    _join_queue(models, index)
    model.place = DEPLOYED
    now.storage_gb -= model.size_gb
    now.gpu_memory_gb -= model.gpu_memory_gb
    now.power_kw -= model.power_kw
    model.requests_in_cache = 1
    model.previous_request, model.deployed_since, model.last_request = model.last_request, now.clock, now.clock
    model.aging = now.aging


@njit(types.int64(_REQUESTS, _REQUESTS, _MODELS, _SERVER, types.uint8[::1], types.boolean), **_INLINED)
def serve(requests, following, models, server, outcome, by_request):
    """Serve the requests from `server.clock` on, up to the next miss. Returns the missed model, or DONE at the end.

    `following` holds the number of each request's next for the same model, or nothing where no one asks for the future. The
    deployed models stand in a queue, in the order of their deployment or `by_request` of their last request.
    """
    now = server[0]
    for clock in range(now.clock, requests.size):
        model = models[requests[clock]]
        model.requests += 1
        if following.size:
            model.next_request = following[clock]
        if model.place == DEPLOYED:
            outcome[clock] = HIT
            model.requests_in_cache += 1
            model.previous_request = model.last_request
            model.last_request = clock + 1
            model.aging = now.aging
            if by_request:
                _leave_queue(models, model.index)
                _join_queue(models, model.index)
        elif model.place == ON_CLOUD:
            outcome[clock] = CLOUD
        else:
            outcome[clock] = MISS
            now.clock = clock + 1
            return model.index
    now.clock = requests.size
    return DONE


@njit(types.boolean(MODEL_TYPE, SERVER_TYPE), **_INLINED)
def _fits(model, now):
    """Is there room for the model beside what is deployed?"""
    return model.size_gb <= now.storage_gb and model.gpu_memory_gb <= now.gpu_memory_gb and model.power_kw <= now.power_kw


@njit(types.void(_REQUESTS, _MODELS, _SERVER, types.uint8[::1], _LOG, types.boolean), cache=True)
def play_queue(requests, models, server, outcome, evictions, by_request):
    """Play to the end with a policy that has no rank: a miss evicts the front of the queue until the requested model fits."""
    now, queue = server[0], models.size - 1
    while True:
        requested = serve(requests, NOTHING, models, server, outcome, by_request)
        if requested == DONE:
            return
        while not _fits(models[requested], now):
            evict(models, server, evictions, models[queue].behind)
        deploy(models, server, requested)


@njit(
    types.int64(
        _REQUESTS, _REQUESTS, _MODELS, _SERVER, types.uint8[::1], _LOG, types.FunctionType(RANK_TYPE), types.boolean
    ),
    cache=True,
)  # fmt: skip
def play_ranks(requests, following, models, server, outcome, evictions, rank, by_request):
    """Play to the end with an eviction policy. Returns DONE, or NOT_A_RANK where a rank is no number.

    A miss evicts the model of the lowest rank, and of equal ranks the foremost in the queue, until the requested model fits.
    """
    now, queue = server[0], models.size - 1
    while True:
        requested = serve(requests, following, models, server, outcome, by_request)
        if requested == DONE:
            return DONE
        while not _fits(models[requested], now):
            victim = candidate = models[queue].behind
            lowest = below = np.inf
            while candidate != queue:
                value = rank(models[candidate], now)
                if np.isnan(value):
                    return NOT_A_RANK
                if value < below:
                    victim, lowest = candidate, value
                    below = value - 1e-12 * abs(value)  # closer ones are equal, but for rounding
                candidate = models[candidate].behind
            now.aging = lowest
            evict(models, server, evictions, victim)
        deploy(models, server, requested)


@njit(types.void(types.int64[::1], types.float64[::1], types.int64[::1], types.int64), **_INLINED)
def _sift_down(heap, ranks, requested, count):
    """Let the front of the heap sink below every model of a lower rank, or of the same rank and requested longer ago."""
    index, value, last, place = heap[0], ranks[0], requested[0], 0
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        other = child + 1
        if other < count and (
            ranks[other] < ranks[child] or (ranks[other] == ranks[child] and requested[other] < requested[child])
        ):
            child = other
        if value < ranks[child] or (value == ranks[child] and last < requested[child]):
            break
        heap[place], ranks[place], requested[place] = heap[child], ranks[child], requested[child]
        place = child
    heap[place], ranks[place], requested[place] = index, value, last


@njit(
    types.int64(_REQUESTS, _MODELS, _SERVER, types.uint8[::1], _LOG, types.FunctionType(RANK_TYPE)),
    cache=True,
)
def play_rising_ranks(requests, models, server, outcome, evictions, rank):
    """Play to the end with ranks that are whole numbers, change at a model's own requests alone, and only rise. Returns DONE.

    The deployed models stand in a heap, by their rank and last request when they were last looked at. Both may have risen since, so
    the front is looked at again before it is evicted. A hit costs nothing, an eviction O(log models). Equal ranks: the model
    requested longest ago.
    """
    now, count = server[0], 0
    heap, ranks, last = np.empty(models.size, dtype=np.int64), np.empty(models.size), np.empty(models.size, dtype=np.int64)
    while True:
        requested = serve(requests, NOTHING, models, server, outcome, False)
        if requested == DONE:
            return DONE
        while not _fits(models[requested], now):
            front = models[heap[0]]
            value = rank(front, now)
            if value != ranks[0] or front.last_request != last[0]:
                ranks[0], last[0] = value, front.last_request
                _sift_down(heap, ranks, last, count)
                continue
            now.aging = value
            evict(models, server, evictions, heap[0])
            count -= 1
            heap[0], ranks[0], last[0] = heap[count], ranks[count], last[count]
            _sift_down(heap, ranks, last, count)
        deploy(models, server, requested)
        place, value = count, rank(models[requested], now)
        count += 1
        while place > 0 and ranks[(place - 1) // 2] > value:  # the newcomer was requested last: behind every equal rank
            parent = (place - 1) // 2
            heap[place], ranks[place], last[place] = heap[parent], ranks[parent], last[parent]
            place = parent
        heap[place], ranks[place], last[place] = requested, value, now.clock


@njit(cache=True)
def play_planner(requests, models, server, outcome, evictions, tables):
    """Play to the end of these requests with a planner of this package. Returns DONE, or the model of a miss left undecided."""
    now, size = server[0], models.size - 1
    deployed, kept, decisions = np.empty(size, dtype=np.bool_), np.empty(size, dtype=np.bool_), 0
    for i in range(size):
        deployed[i] = models[i].place == DEPLOYED
    while True:
        requested = serve(requests, NOTHING, models, server, outcome, False)
        if requested == DONE:
            return DONE
        row = now.clock - tables.first
        decided = True
        if tables.kind == GENETIC:
            estimate = tables.estimates[row]
            leaving = estimate if tables.charges_absence else np.where(deployed, estimate, 0.0)
            kept[:] = best_met(
                deployed, requested, tables.needs, tables.capacities, tables.holding, leaving, tables.words[decisions],
                tables.tournament, tables.crossover, tables.mutation, tables.convergence,
            )  # fmt: skip
            decisions += 1
        elif tables.kind == EXACT:
            decided = exact_decision(tables, tables.estimates[row], deployed, requested, kept)
        elif tables.kind == CLAIRVOYANT:
            bit = tables.values.shape[1] - 1 if tables.same_slot[row] else 0
            decided = state_decision(tables, row, bit, deployed, requested, kept)
        else:
            decided = state_decision(tables, 0, 0, deployed, requested, kept)
        if not decided:
            return requested
        for i in range(size):
            if deployed[i] and not kept[i]:
                evict(models, server, evictions, i)
        deploy(models, server, requested)
        deployed[:] = kept


def simulate(
    scenario: Scenario,
    policy: str | Policy,
    seed: np.random.SeedSequence | int = 0,
    trace: Trace | None = None,
    replication: int = 0,
) -> Simulation:
    """Play one replication of a scenario with a policy.

    Parameters
    ----------
    scenario : Scenario
        The server, the demand and the readings.
    policy : str or Policy
        A name of POLICIES, or a policy of one's own.
    seed : SeedSequence or int
        Every policy faces the same trace under the same seed and replication.
    trace : Trace, optional
        Requests to play in place of those that the scenario's demand draws. Its own rate and slot length count.
    replication : int
        Number of the replication below the seed.

    Returns
    -------
    Simulation

    Raises
    ------
    PolicyError
        Where the policy breaks the decision rule.
    InputError
        For an unknown policy, or a trace of another catalogue.

    Examples
    --------
    >>> import edgecache as ec
    >>> run = ec.simulate(ec.Scenario(), "lru")
    >>> round(run.means()["total_cost"], 2), len(run.evictions)
    (59.58, 52)
    """
    policy = find_policy(policy)
    return Game.of(scenario, seed, replication, trace).play(policy)


@dataclass(frozen=True, eq=False)
class Game:
    """One replication of a scenario, ready for any number of policies: they share its trace and what its events cost."""

    charges: Charges
    policy_stream: np.random.SeedSequence

    @classmethod
    def of(
        cls, scenario: Scenario, seed: np.random.SeedSequence | int = 0, replication: int = 0, trace: Trace | None = None
    ) -> Self:
        """The game of that seed and replication, on the trace given or on the one that the scenario's demand draws."""
        demand, stream = random_stream(seed, replication, 0), random_stream(seed, replication, 1)
        return cls(Charges.of(scenario, poisson_trace(scenario, demand) if trace is None else trace), stream)

    def play(self, policy: Policy) -> Simulation:
        """Play the trace with a policy."""
        trace = self.charges.trace
        models, server = self._empty_server
        models, server = models.copy(), server.copy()
        outcome = np.empty(len(trace), dtype=np.uint8)
        evictions = np.empty((len(trace), 3), dtype=np.int64)
        state = (models, server, outcome, evictions)
        if isinstance(policy, EvictionPolicy):
            self._play_ranks(policy, len(trace), *state)
            return self._simulation(policy.name, *state[1:])
        rng = np.random.default_rng(self.policy_stream)
        compiled = policy.compiled(self.charges, rng) if isinstance(policy, COMPILED) else None
        if compiled is not None:
            name = self._play_compiled(compiled, *state)
        else:
            name = self._play_object(planner_of(policy, self.charges.scenario, trace), rng, *state)
        return self._simulation(name, *state[1:])

    def _simulation(self, policy: str, server: Array, outcome: Array, evictions: Array) -> Simulation:
        return Simulation(self.charges, policy, outcome, evictions[: server["evictions"][0]].copy())

    def state_at(self, policy: EvictionPolicy, request: int) -> tuple[np.ndarray, np.ndarray]:
        """The models and the server just before a request (from 0), as the policy's rank sees them: MODEL (I + 1,), SERVER (1,)."""
        models, server = self._empty_server
        models, server = models.copy(), server.copy()
        self._play_ranks(policy, request, models, server, np.empty(request, dtype=np.uint8), np.empty((request, 3), dtype=np.int64))
        server["clock"] = request + 1
        return models, server

    @cached_property
    def _empty_server(self) -> tuple[np.ndarray, np.ndarray]:
        return empty_server(self.charges, self.policy_stream)

    def _play_ranks(
        self, policy: EvictionPolicy, last: int, models: Array, server: Array, outcome: Array, evictions: Array
    ) -> None:
        """Play an eviction policy up to request number `last`.

        Raises PolicyError where a rank is no number, or wrote to the state that it ranks by.
        """
        requests, by_request = self.charges.trace.model[:last], policy.queue == "request"
        if policy.rank is None:
            play_queue(requests, models, server, outcome, evictions, by_request)
        elif policy.rising:
            play_rising_ranks(requests, models, server, outcome, evictions, policy.rank)
        else:
            following = self.charges.trace.next_request[:last] if policy.offline else NOTHING
            ended = play_ranks(requests, following, models, server, outcome, evictions, policy.rank, by_request)
            if ended == NOT_A_RANK:
                raise PolicyError(f"policy {policy.name!r}, request {server['clock'][0]}: a rank is not a number (NaN)")
        held = models["place"][:-1] == DEPLOYED
        for (name, need), capacity in zip(RESOURCES.items(), self.charges.scenario.capacities, strict=True):
            if abs(server[name][0] + models[need][:-1][held].sum() - capacity) > 1e-6 * (1 + capacity):
                raise PolicyError(f"policy {policy.name!r} writes to the state it ranks by, and overfilled the server")

    def _play_compiled(self, planner: Compilable, models: Array, server: Array, outcome: Array, evictions: Array) -> str:
        """Play a planner of this package in the compiled loop, which leaves it the decisions that take long. Returns its name."""
        trace, decisions, clock = self.charges.trace, 0, 0
        while clock < len(trace):
            tables, last = planner.tables(clock, decisions)
            undecided = play_planner(trace.model[:last], models, server, outcome, evictions, tables)
            if undecided != DONE:
                self._decide(planner, undecided, models, server, evictions)
            decisions += int((outcome[clock : server["clock"][0]] == MISS).sum())
            clock = int(server["clock"][0])
        return planner.name

    def _play_object(
        self, planner: Planner, rng: np.random.Generator, models: Array, server: Array, outcome: Array, evictions: Array
    ) -> str:
        """Play a planner that is a Python object, and check each of its decisions. Returns its name."""
        requests = self.charges.trace.model
        while (requested := serve(requests, NOTHING, models, server, outcome, False)) != DONE:
            self._decide(planner, requested, models, server, evictions, rng)
        return planner.name

    def _decide(
        self,
        planner: Planner,
        requested: int,
        models: Array,
        server: Array,
        evictions: Array,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Let a planner decide at the miss of a model, check its decision, and carry it out."""
        size, clock = models.size - 1, int(server["clock"][0])
        deployed = models["place"][:size] == DEPLOYED
        decision = Decision(
            self.charges,
            requested,
            deployed,
            models["requests"][:size].copy(),
            clock,
            int(self.charges.trace.slot[clock - 1]),
            rng or np.random.default_rng(0),  # compiled planners draw nothing where they leave a decision to this
        )
        kept = decision.check(planner.decide(decision), planner.name)
        for model in np.flatnonzero(deployed & ~kept):
            evict(models, server, evictions, model)
        deploy(models, server, requested)


def empty_server(charges: Charges, stream: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """The state before the first request: MODEL (I + 1,) and SERVER (1,)."""
    scenario, c, size = charges.scenario, charges.scenario.catalogue, len(charges.scenario.catalogue)
    models, server = np.zeros(size + 1, dtype=MODEL), np.zeros(1, dtype=SERVER)
    models["index"] = np.arange(size + 1)
    models["ahead"][size] = models["behind"][size] = size
    for feature in ("size_gb", "gpu_memory_gb", "power_kw", "io_delay_s", "inference_delay_s"):
        models[feature][:size] = getattr(c, feature)
    models["fetch_delay_s"][:size] = charges.fetch_delay_s
    models["popularity"][:size] = charges.trace.popularity
    models["share"][:size] = (c.needs / scenario.capacities[:, None]).max(axis=0)
    models["place"][:size] = np.where(scenario.fits_empty_server, ABSENT, ON_CLOUD)
    server["seed"] = stream.generate_state(1, np.uint64)
    for free, capacity in zip(RESOURCES, scenario.capacities, strict=True):
        server[free] = capacity
    server["lfu_in_cache"] = scenario.lfu == "in_cache"
    return models, server
