"""The compiled loop: serve requests, evict and deploy. It knows nothing of costs, which results.py adds up afterwards."""

from typing import Any

import numpy as np
from numba import njit, types

from .policies.contract import ABSENT, DEPLOYED, MODEL_TYPE, ON_CLOUD, RANK_TYPE, SERVER_TYPE
from .policies.deployments import state_decision
from .policies.exact import exact_decision
from .policies.genetic_compiled import best_met
from .policies.planner_tables import CLAIRVOYANT, EXACT, GENETIC
from .results import CLOUD, HIT, MISS

DONE, NOT_A_RANK, FULL = -1, -2, -3  # why the loop returned, when it was not for a decision
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
def _hold(models, server, index):
    """Hold a model, for which there is room."""
    now, model = server[0], models[index]
    _join_queue(models, index)
    model.place = DEPLOYED
    now.storage_gb -= model.size_gb
    now.gpu_memory_gb -= model.gpu_memory_gb
    now.power_kw -= model.power_kw


@njit(types.void(_MODELS, _SERVER, types.int64), **_INLINED)
def deploy(models, server, index):
    """Deploy the requested model, for which there is room."""
    now, model = server[0], models[index]
    _hold(models, server, index)
    model.requests_in_cache = 1
    model.previous_request, model.deployed_since, model.last_request = model.last_request, now.clock, now.clock
    model.aging = now.aging


@njit(types.void(_MODELS, _SERVER, _LOG, types.int64), **_INLINED)
def prefetch(models, server, prefetches, index):
    """Deploy a model that nobody requested, for which there is room, and log (clock, model)."""
    now = server[0]
    _hold(models, server, index)
    prefetches[now.prefetches, 0] = now.clock
    prefetches[now.prefetches, 1] = index
    now.prefetches += 1


@njit(types.void(_MODELS, _SERVER, _LOG, _LOG, types.boolean[::1], types.int64, types.boolean[::1]), **_INLINED)
def carry_out(models, server, evictions, prefetches, deployed, requested, chosen):
    """Carry out a planner's decision: evict, deploy the requested model, prefetch, and let the requested one go where chosen."""
    for i in range(deployed.size):
        if deployed[i] and not chosen[i] and i != requested:
            evict(models, server, evictions, i)
    if not deployed[requested]:
        deploy(models, server, requested)
    for i in range(deployed.size):
        if chosen[i] and not deployed[i] and i != requested:
            prefetch(models, server, prefetches, i)
    if not chosen[requested]:
        evict(models, server, evictions, requested)


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
def play_planner(requests, models, server, outcome, evictions, prefetches, tables):  # noqa: C901, a compiled kernel
    """Play to the end of these requests with a planner of this package.

    Returns DONE, the model of a miss left undecided, or FULL where the logs have no room for another decision.
    """
    now, size = server[0], models.size - 1
    deployed, kept, decisions = np.empty(size, dtype=np.bool_), np.empty(size, dtype=np.bool_), 0
    for i in range(size):
        deployed[i] = models[i].place == DEPLOYED
    while True:
        if tables.may_prefetch and now.prefetches + size > len(prefetches):
            return FULL
        begin = now.clock
        requested = serve(requests[: begin + 1 if tables.hits_decide else requests.size], NOTHING, models, server, outcome, False)
        if requested == DONE:
            if not tables.hits_decide or begin == requests.size:
                return DONE
            if outcome[begin] == CLOUD:
                continue
            requested = requests[begin]
        row = now.clock - tables.first
        decided = True
        if tables.kind == GENETIC:
            best_met(tables, tables.estimates[row], tables.words[decisions], deployed, requested, kept)
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
        carry_out(models, server, evictions, prefetches, deployed, requested, kept)
        deployed[:] = kept
