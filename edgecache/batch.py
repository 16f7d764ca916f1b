"""Many runs at once: the mean cost and delay of thousands of small simulations, for searches over scenarios.

`outcomes` gives two of the numbers of `simulate(...).means()` in a fraction of the time: the loops are those of simulator.py, with
Exact's and the GA's decisions compiled in, and what every event costs is tabled beforehand by the equations of costs.py. It keeps
no books.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numba import njit, types

from . import costs
from .demand import Draws, Trace, random_stream
from .errors import InputError, PolicyError, unknown
from .policies import find_policy
from .policies.contract import MODEL_TYPE, RANK_TYPE, SERVER_TYPE, Policy
from .policies.exact import Exact
from .policies.genetic import GA
from .policies.genetic_compiled import best_met
from .policies.knapsack import NODES, _search
from .policies.ranks import EvictionPolicy, front
from .scenario import Scenario
from .simulator import CLOUD, DEPLOYED, DONE, MISS, NO_RANK, NOTHING, deploy, evict, play, serve, start

_F1, _F2 = (types.Array(types.float64, dimensions, "C", readonly=True) for dimensions in (1, 2))
_I1 = types.Array(types.int64, 1, "C", readonly=True)
SPOILT = -3  # a rank wrote to the state
_MODELS, _SERVER, _LOG = MODEL_TYPE[::1], SERVER_TYPE[::1], types.int64[:, ::1]
# Many traces: the requests (N,) of all, their slots (N,); where each trace's requests and slots begin (J + 1,); are resources
# charged in slots with a decision only; what an event costs, empty where the reading does not charge it: an eviction at each clock
# 0 .. of each trace (N + J, I), a miss (I,), a slot's absence (slots of all traces, I); the waits for a fetch and for an inference
# (I,).
_TABLES = types.Tuple((_I1, _I1, _I1, _I1, types.boolean, _F2, _F1, _F2, _F1, _F1))


@njit(types.void(_TABLES, types.int64, _F1, _SERVER, types.uint8[::1], _LOG, types.float64[::1]), cache=True)
def _account(tables, trace, holding, server, outcome, evictions, result):
    """What a run cost a slot and its requests waited on average: (total cost, service delay), from the log of its events."""
    requests, slots, first, first_slot, at_decisions, leaving, missed, away, fetch, inference = tables
    begin, size, count = first[trace], fetch.size, first[trace + 1] - first[trace]
    periods = first_slot[trace + 1] - first_slot[trace]
    deployed = np.zeros(size, dtype=np.bool_)
    cost, waited, served, clock, gone = 0.0, 0.0, 0, 0, 0
    for slot in range(periods):
        decided = False
        while clock < count and slots[begin + clock] == slot:
            model = requests[begin + clock]
            if outcome[clock] != CLOUD:
                waited += inference[model]
                served += 1
            if outcome[clock] == MISS:
                deployed[model] = decided = True
                waited += fetch[model]
                if missed.size:
                    cost += missed[model]
            clock += 1
            while gone < server[0].evictions and evictions[gone, 0] == clock:
                deployed[evictions[gone, 1]] = False
                if leaving.size:
                    cost += leaving[begin + trace + clock, evictions[gone, 1]]
                gone += 1
        for i in range(size):
            if deployed[i]:
                cost += holding[i] if decided or not at_decisions else 0.0
            elif away.size:
                cost += away[first_slot[trace] + slot, i]
    result[0] = cost / periods
    result[1] = waited / served if served else np.nan


@njit(
    types.int64(
        _TABLES, _I1, _I1, MODEL_TYPE[:, ::1], _F2, SERVER_TYPE[:, ::1], types.uint64[::1], _F2,
        types.FunctionType(RANK_TYPE), types.boolean, types.boolean, types.float64[:, ::1],
    ),
    cache=True,
)  # fmt: skip
def _play_all(tables, traces, points, models, popularity, servers, seeds, holding, rank, ranked, by_request, results):
    """Play every run with an eviction policy; DONE, NO_RANK or SPOILT."""
    requests, _, first = tables[0], tables[1], tables[2]
    longest = np.diff(first).max()
    outcome, evictions = np.empty(longest, dtype=np.uint8), np.empty((longest, 3), dtype=np.int64)
    for run in range(traces.size):
        trace, point = traces[run], points[run]
        own, server = models[point].copy(), servers[point].copy()
        server[0].seed = seeds[run]
        for i in range(popularity.shape[1]):
            own[i].popularity = popularity[trace, i]
        asked = requests[first[trace] : first[trace + 1]]
        if play(asked, NOTHING, own, server, outcome[: asked.size], evictions, rank, ranked, by_request) == NO_RANK:
            return NO_RANK
        storage, gpu_memory, power = server[0].storage_gb, server[0].gpu_memory_gb, server[0].power_kw
        for i in range(popularity.shape[1]):
            if own[i].place == DEPLOYED:
                storage += models[point, i].size_gb
                gpu_memory += models[point, i].gpu_memory_gb
                power += models[point, i].power_kw
        empty = servers[point, 0]
        wrong = max(abs(storage - empty.storage_gb), abs(gpu_memory - empty.gpu_memory_gb), abs(power - empty.power_kw))
        if wrong > 1e-6 * (1 + empty.storage_gb + empty.gpu_memory_gb + empty.power_kw):
            return SPOILT
        _account(tables, trace, holding[point], server, outcome, evictions, results[run])
    return DONE


@njit(cache=True)
def _plan_all(
    tables, traces, points, models, servers, needs, capacities, holding, estimate, absence, nodes, words, settings, results
):
    """Play every run with the GA, on the `words` of its chances, or where there are none with Exact."""
    requests, first = tables[0], tables[2]
    longest, size = np.diff(first).max(), holding.shape[1]
    outcome, evictions = np.empty(longest, dtype=np.uint8), np.empty((longest, 3), dtype=np.int64)
    tournament, crossover, mutation, convergence = settings
    for run in range(traces.size):
        trace, point = traces[run], points[run]
        own, server = models[point].copy(), servers[point].copy()
        asked = requests[first[trace] : first[trace + 1]]
        met, deployed = 0, np.zeros(size, dtype=np.bool_)
        while True:
            requested = serve(asked, NOTHING, own, server, outcome[: asked.size], False)
            if requested == DONE:
                break
            cost = estimate[first[trace] + trace + server[0].clock]
            if words.size:
                left = cost if absence else np.where(deployed, cost, 0.0)
                kept = best_met(
                    deployed, requested, needs, capacities[point], holding[point], left, words[met],
                    tournament, crossover, mutation, convergence,
                )  # fmt: skip
                met += 1
            else:
                candidates = np.flatnonzero(deployed)
                needed = np.empty((3, candidates.size))
                worth = np.empty(candidates.size)
                for c in range(candidates.size):
                    worth[c] = cost[candidates[c]] - holding[point, candidates[c]]
                    needed[:, c] = needs[:, candidates[c]]
                chosen, _ = _search(worth, needed, capacities[point] - needs[:, requested], nodes)
                kept = np.zeros(size, dtype=np.bool_)
                for c in range(candidates.size):
                    kept[candidates[c]] = chosen[c]
            for i in range(size):
                if deployed[i] and not kept[i]:
                    evict(own, server, evictions, i)
                    deployed[i] = False
            deploy(own, server, requested)
            deployed[requested] = True
        _account(tables, trace, holding[point], server, outcome, evictions, results[run])


@njit(cache=True)
def _histories(requests, first, size):
    """Of every trace at clock 0 .. its end: how often each model was asked for so far, and in how many requests it is again."""
    rows = requests.size + first.size - 1
    asked, ahead = np.zeros((rows, size), dtype=np.int64), np.empty((rows, size), dtype=np.int64)
    for trace in range(first.size - 1):
        begin, end, row = first[trace], first[trace + 1], first[trace] + trace
        for clock in range(1, end - begin + 1):
            asked[row + clock] = asked[row + clock - 1]
            asked[row + clock, requests[begin + clock - 1]] += 1
        ahead[row + end - begin] = 1  # requests left + 1
        for clock in range(end - begin - 1, -1, -1):
            ahead[row + clock] = ahead[row + clock + 1] + 1
            ahead[row + clock, requests[begin + clock]] = 1
    return asked, ahead


@njit(cache=True)
def _demand(arrivals, first_slot, uniform, popularity):
    """The requests and slots (N,) of all traces, as `Draws.trace` makes them."""
    count = arrivals.sum()
    requests, slots, clock = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64), 0
    for trace in range(popularity.shape[0]):
        shares = popularity[trace].cumsum()
        for slot in range(first_slot[trace + 1] - first_slot[trace]):
            for _ in range(arrivals[first_slot[trace] + slot]):
                model = 0
                while model < shares.size - 1 and shares[model] <= uniform[clock]:
                    model += 1
                requests[clock], slots[clock] = model, slot
                clock += 1
    return requests, slots


def _tables(groups: Sequence[Scenario], draws: Sequence[Draws]) -> tuple[np.ndarray, np.ndarray, tuple]:
    """Of each group's traces in turn: popularity (J, I), what a decision takes an eviction to cost (N + J, I), and `_TABLES`."""
    s, size, runs = groups[0], len(groups[0].catalogue), len(draws)
    arrivals = [draw.arrivals(group) for group in groups for draw in draws]
    lengths = np.array([arrived.sum() for arrived in arrivals])
    first = np.append(0, lengths.cumsum())
    first_slot = np.append(0, np.cumsum([len(arrived) for arrived in arrivals]))
    popularity = np.stack([draw.popularity(group) for group in groups for draw in draws])
    uniform = np.concatenate([draws[number % runs].uniform(length) for number, length in enumerate(lengths)])
    requests, slots = _demand(np.concatenate(arrivals), first_slot, uniform, popularity)
    asked, ahead = _histories(requests, first, size)
    delay, fetch = costs.switching_delay_s(s), costs.fetch_delay_s(s)

    def price(cycle):
        return costs.total_cost(costs.eviction_cost(delay, cycle), 0.0, s.w1, s.w2)

    def cycles(rows, clock, slot, counts):
        """The active cycle that the reading estimates at these rows of the histories, `counts` of them in each trace."""
        found, ends = np.empty((len(rows), size)), np.append(0, np.cumsum(counts))
        shares = np.repeat(popularity, counts, axis=0) if s.popularity == "true" else np.zeros((len(rows), 1))
        for number, group in enumerate(groups):
            own = slice(ends[number * runs], ends[(number + 1) * runs])
            found[own] = costs.active_cycle(group, asked[rows[own]], clock[own, None], slot[own, None], shares[own])
        return found

    every = np.arange(len(asked))
    clock = every - np.repeat(first[:-1] + np.arange(len(lengths)), lengths + 1)
    estimate = price(cycles(every, clock, np.insert(slots, first[:-1], 0), lengths + 1))  # no decision is taken at clock 0
    leaving, missed, away = np.empty((0, size)), np.empty(0), np.empty((0, size))
    if s.charge == "eviction":
        leaving = price(ahead) if s.active_cycle == "actual" else estimate
    elif s.charge == "absence":
        ends = np.concatenate([arrived.cumsum() for arrived in arrivals])
        rows = ends + np.repeat(first[:-1] + np.arange(len(lengths)), np.diff(first_slot))
        periods = np.concatenate([np.arange(len(arrived)) for arrived in arrivals])
        away = price(ahead[rows] if s.active_cycle == "actual" else cycles(rows, ends, periods, np.diff(first_slot)))
    else:
        missed = costs.total_cost(fetch, 0.0, s.w1, s.w2)
    by_decision = s.resource_basis == "decision"
    tables = (requests, slots, first, first_slot, by_decision, leaving, missed, away, fetch, s.catalogue.inference_delay_s)
    return popularity, estimate, tables


CAPACITIES = ("storage_gb", "gpu_memory_gb", "energy_capacity_kw")  # points that differ in these alone have the same traces
POINTS = (*CAPACITIES, "slots", "arrival_rate", "zipf")  # what the points of a batch may differ in


def outcomes(
    scenario: Scenario,
    points: Sequence[Mapping],
    policies: Sequence[str | Policy],
    replications: Sequence[int],
    seed: int = 0,
) -> np.ndarray:
    """`total_cost` and `service_delay_s` as `simulate` gives them, to rounding: (2, points, policies, replications).

    A point changes some of POINTS in the scenario, such as {"storage_gb": 80}. Policies: `exact`, `ga`, and ranks that are not
    `offline` (those of @eviction_policy are, for they may ask for the future). Raises InputError for others, and what Scenario and
    simulate raise.
    """
    for name, given in (("points", points), ("policies", policies), ("replications", replications)):
        if not len(given):
            raise InputError(f"{name} is empty; a batch needs at least one of each")
    policies = [find_policy(policy) for policy in policies]
    for policy in policies:
        if type(policy) not in (EvictionPolicy, GA, Exact) or getattr(policy, "offline", getattr(policy, "operators", None)):
            raise InputError(f"policy {policy.name!r} is not among those that play in batches: ranks of the past, exact and ga")
    for name in (name for point in points for name in point):
        if name not in POINTS:
            raise unknown("parameter of a batch's points", name, POINTS)
    servers = [scenario.vary(**point) for point in points]
    groups: dict[tuple, list[Scenario]] = {}
    for server in servers:
        groups.setdefault((server.slots, server.arrival_rate, server.zipf), []).append(server)
    runs, draws = len(replications), [_draws(seed, replication) for replication in replications]
    popularity, estimate, tables = _tables([members[0] for members in groups.values()], draws)
    group = [[*groups].index((server.slots, server.arrival_rate, server.zipf)) for server in servers]
    traces = (np.array(group)[:, None] * runs + np.arange(runs)).ravel()  # of each run, the points in turn
    places = np.repeat(np.arange(len(points)), runs)

    c, ones = scenario.catalogue, np.eye(len(scenario.catalogue))
    nothing = Trace([], [], 1, popularity[0])
    started = [start(server, nothing, np.random.SeedSequence(0)) for server in servers]
    models, states = np.stack([models for models, _ in started]), np.stack([state for _, state in started])
    holding = np.stack([costs.total_cost(0.0, costs.deployment_cost(server, ones), server.w1, server.w2) for server in servers])
    capacities = np.stack([server.capacities for server in servers])
    needs = np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw])
    plan = (models, states, needs, capacities, holding, estimate, scenario.charge == "absence")
    found = np.empty((len(policies), len(points), runs, 2))
    for policy, results in zip(policies, found, strict=True):
        flat = results.reshape(-1, 2)
        if isinstance(policy, EvictionPolicy):
            seeds = np.array([_luck(seed, replication).generate_state(1, np.uint64)[0] for replication in replications])
            how = (policy.rank or front, policy.rank is not None, policy.queue == "request")
            seeds = np.tile(seeds, len(points))
            ended = _play_all(tables, traces, places, models, popularity, states, seeds, holding, *how, flat)
            if ended == NO_RANK:
                raise PolicyError(f"policy {policy.name!r}: a rank is not a number (NaN)")
            if ended == SPOILT:
                raise PolicyError(f"policy {policy.name!r} writes to the state it ranks by, and overfilled the server")
        elif isinstance(policy, Exact):
            _plan_all(tables, traces, places, *plan, policy.nodes, np.empty((0, 0, 0), dtype=np.uint64), GA().settings, flat)
        else:
            for number, replication in enumerate(replications):  # one by one, for the chances of a run are many
                own, mine = np.empty((len(points), 2)), traces[number::runs]
                shape = (max(np.diff(tables[2])[mine].max(), 1), policy.generations + 1, policy.population)
                words = np.random.default_rng(_luck(seed, replication)).bit_generator.random_raw(int(np.prod(shape))).reshape(shape)
                _plan_all(tables, mine, np.arange(len(points)), *plan, NODES, words, policy.settings, own)
                results[:, number] = own
    return found.transpose(3, 1, 0, 2)


@lru_cache(maxsize=256, typed=True)
def _draws(seed: int, replication: int) -> Draws:
    return Draws(random_stream(seed, replication, 0))


@lru_cache(maxsize=256, typed=True)
def _luck(seed: int, replication: int) -> np.random.SeedSequence:
    return random_stream(seed, replication, 1)
