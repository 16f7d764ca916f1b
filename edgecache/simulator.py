"""The simulator: play a trace against a policy, request by request.

The compiled loop knows requests, deployments and evictions and nothing of costs: books.py keeps those afterwards, from the log of
what happened. The policy is a compiled ranking function (the loop evicts the lowest rank until the
requested model fits) or a planner, a Python object whose `decide` is called at every miss.
"""

import numpy as np
from numba import njit, types

from .costs import fetch_delay_s
from .demand import Trace, for_catalogue, next_requests, poisson_trace, random_stream
from .errors import PolicyError
from .policies import find_policy
from .policies.contract import MODEL, MODEL_TYPE, RANK_TYPE, SERVER, SERVER_TYPE, Decision, Policy, Prices, prepared
from .policies.ranks import EvictionPolicy, front
from .results import CLOUD, HIT, MISS, Simulation
from .scenario import Scenario

DEPLOYED, ABSENT, ON_CLOUD = 1, 0, -1  # a model's place; ON_CLOUD: no empty server could hold it
RESOURCES = {"storage_gb": "size_gb", "gpu_memory_gb": "gpu_memory_gb", "power_kw": "power_kw"}  # what is free: what a model needs
DONE, NO_RANK = -1, -2  # why the loop returned, when it was not for a miss
_MODELS, _SERVER, _LOG = MODEL_TYPE[::1], SERVER_TYPE[::1], types.int64[:, ::1]
_REQUESTS = types.Array(types.int64, 1, "C", readonly=True)
NOTHING = np.empty(0, dtype=np.int64)
NOTHING.flags.writeable = False
_INLINED = {"cache": True, "inline": "always"}  # left to LLVM, the loop is an eighth slower


@njit(types.void(_MODELS, types.int64), **_INLINED)
def _leave_queue(models, index):
    model = models[index]
    models[model.ahead].behind = model.behind
    models[model.behind].ahead = model.ahead


@njit(types.void(_MODELS, types.int64), **_INLINED)
def _join_queue(models, index):
    """Append a model to the queue; the record after the last model is its fixed point, before the front and after the back."""
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
    """Serve the requests from `server.clock` on, up to the next that the edge misses: returns its model, or DONE at the end.

    `following` has the number of each request's next for the same model, or nothing where no one asks for the future. The deployed
    models stand in a queue, in the order of their deployment or `by_request` of their last request.
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


@njit(
    types.int64(
        _REQUESTS, _REQUESTS, _MODELS, _SERVER, types.uint8[::1], _LOG, types.FunctionType(RANK_TYPE), types.boolean, types.boolean
    ),
    cache=True,
)  # fmt: skip
def play(requests, following, models, server, outcome, evictions, rank, ranked, by_request):
    """Play to the end with an eviction policy; returns DONE, or NO_RANK at a rank that is not a number.

    A miss evicts the front of the queue, or where `ranked` the model of the lowest rank and of equal ones the foremost, until the
    requested model fits.
    """
    now = server[0]
    queue = models.size - 1
    while True:
        requested = serve(requests, following, models, server, outcome, by_request)
        if requested == DONE:
            return DONE
        model = models[requested]
        while model.size_gb > now.storage_gb or model.gpu_memory_gb > now.gpu_memory_gb or model.power_kw > now.power_kw:
            victim = models[queue].behind
            if ranked:
                lowest = below = np.inf
                candidate = victim
                while candidate != queue:
                    value = rank(models[candidate], now)
                    if value != value:
                        return NO_RANK
                    if value < below:
                        victim, lowest = candidate, value
                        below = value - 1e-12 * abs(value)  # what is nearer is equal, but for rounding
                    candidate = models[candidate].behind
                now.aging = lowest
            evict(models, server, evictions, victim)
        deploy(models, server, requested)


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
    demand, luck = random_stream(seed, replication, 0), random_stream(seed, replication, 1)
    trace = poisson_trace(scenario, demand) if trace is None else for_catalogue(trace, scenario)
    size = len(scenario.catalogue)
    models, server = start(scenario, trace, luck)
    outcome = np.empty(len(trace), dtype=np.uint8)
    evictions = np.empty((len(trace), 3), dtype=np.int64)
    if isinstance(policy, EvictionPolicy):
        rank, by_request = policy.rank or front, policy.queue == "request"
        following = next_requests(trace) if policy.offline else NOTHING
        if play(trace.model, following, models, server, outcome, evictions, rank, policy.rank is not None, by_request) == NO_RANK:
            raise PolicyError(f"policy {policy.name!r}, request {server['clock'][0]}: a rank is not a number (NaN)")
        used = [models[need][models["place"] == DEPLOYED].sum() for need in RESOURCES.values()]
        if not np.allclose([server[free][0] for free in RESOURCES], scenario.capacities - used, rtol=1e-6, atol=1e-6):
            raise PolicyError(f"policy {policy.name!r} writes to the state it ranks by, and overfilled the server")
    else:
        prices, rng = Prices.of(scenario, trace.popularity), np.random.default_rng(luck)
        if hasattr(policy, "prepare"):
            policy = prepared(policy, scenario, trace)
        while (requested := serve(trace.model, NOTHING, models, server, outcome, False)) != DONE:
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


def start(scenario: Scenario, trace: Trace, luck: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """The state before the first request: an empty server. MODEL (I + 1,) and SERVER (1,)."""
    c, size = scenario.catalogue, len(scenario.catalogue)
    models, server = np.zeros(size + 1, dtype=MODEL), np.zeros(1, dtype=SERVER)
    models["index"] = np.arange(size + 1)
    models["ahead"][size] = models["behind"][size] = size
    for feature in ("size_gb", "gpu_memory_gb", "power_kw", "io_delay_s", "inference_delay_s"):
        models[feature][:size] = getattr(c, feature)
    models["fetch_delay_s"][:size] = fetch_delay_s(scenario)
    models["popularity"][:size] = trace.popularity
    models["share"][:size] = (np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw]) / scenario.capacities[:, None]).max(axis=0)
    models["place"][:size] = np.where(scenario.fits_empty_server, ABSENT, ON_CLOUD)
    server["seed"] = luck.generate_state(1, np.uint64)
    for free, capacity in zip(RESOURCES, scenario.capacities, strict=True):
        server[free] = capacity
    server["lfu_in_cache"] = scenario.lfu == "in_cache"
    return models, server
