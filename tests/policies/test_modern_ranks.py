"""The policies beyond the paper's: against plain Python written from their definitions, and a case of each traced by hand."""

from fractions import Fraction

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_array_equal
from support.cases import equal_catalogue, make_catalogue, make_trace, one_each, random_scenario

from edgecache import POLICIES, EvictionPolicy, Scenario, eviction_policy, poisson_trace, simulate
from edgecache.accounting import Charges
from edgecache.loop import DONE, deploy, serve
from edgecache.policies.contract import DEPLOYED
from edgecache.simulator import empty_server
from edgecache.trace import NEVER


@eviction_policy
def in_seven(model, server):
    """Evicts what is asked for in seven requests, or nearest to that."""
    return abs(model.next_request - server.clock - 7)


MODERN = [
    POLICIES[name]
    for name in (
        "lfu-da",
        "lru-2",
        "hyperbolic",
        "gdsf",
        "greedy-dual",
        "cremebrulee",
        "belady",
        "belady-cost",
        "llama-swap",
        "lemonade",
        "localai-largest",
        "ollama",
    )
]
BY_RANK = [policy for policy in POLICIES.values() if isinstance(policy, EvictionPolicy)]


def name_of(policy):
    return policy.name


# ---- the definitions, in plain Python and exact fractions


def evictions_by_definition(policy, scenario, requests):
    """(request, model, resources that were short) of each eviction, requests and models as numbers, the first request being 1.

    As the sources put them: where there is a priority K it is given at each request, K = L + value of the request, L being the
    K of the last evicted; the others are worth what they are when room is made. The lowest goes, ties to the least recently
    requested, until the newcomer fits. A size is the largest share of the server's storage, GPU memory and power.
    """
    c = scenario.catalogue
    models, resources = range(len(c)), range(3)
    rooms = [Fraction(room) for room in (scenario.storage_gb, scenario.gpu_memory_gb, scenario.power_budget_kw)]
    needs = [[Fraction(need[i]) for need in (c.size_gb, c.gpu_memory_gb, c.power_kw)] for i in models]
    size = [max(needs[i][r] / rooms[r] for r in resources) for i in models]
    wait = [8 * Fraction(c.size_gb[i]) / Fraction(scenario.bandwidth_gbps) + Fraction(c.io_delay_s[i]) for i in models]
    asked = [[] for _ in models]  # numbers of the requests for each model, kept after its eviction
    since, priority, inflation, log = {}, {}, 0, []  # since when a model is deployed; K; L

    def short(held):
        return [r for r in resources if sum(needs[i][r] for i in held) > rooms[r] * (1 + Fraction(1, 10**9))]

    def frequency(i):
        return sum(request >= since[i] for request in asked[i])

    def distance(i):
        return requests[now:].index(i) + 1 if i in requests[now:] else NEVER - now

    given = {
        "lfu-da": frequency,
        "gdsf": lambda i: frequency(i) / size[i],
        "greedy-dual": lambda i: frequency(i) * wait[i] / size[i],
    }
    worth = {
        "lru-2": lambda i: asked[i][-2] if len(asked[i]) > 1 else 0,
        "hyperbolic": lambda i: Fraction(frequency(i), now - since[i]),
        "cremebrulee": lambda i: Fraction(len(asked[i]), now) * wait[i] / size[i],
        "belady": lambda i: -distance(i),
        "belady-cost": lambda i: wait[i] / (size[i] * distance(i)),
        "in-seven": lambda i: abs(distance(i) - 7),
        "llama-swap": lambda i: wait[i],
        "lemonade": lambda i: -Fraction(now - asked[i][-1]) / wait[i],
        "localai-largest": lambda i: -c.size_gb[i],
        "ollama": lambda i: i,
    }.get(policy, lambda i: priority[i])
    for now, requested in enumerate(requests, start=1):
        asked[requested].append(now)
        if short([requested]):
            continue  # the cloud's
        while requested not in since and (lacking := short([*since, requested])):
            _, _, victim = min((worth(i), asked[i][-1], i) for i in since)
            inflation = worth(victim)
            del since[victim]
            log.append((now, victim, lacking))
        since.setdefault(requested, now)
        if policy in given:
            priority[requested] = inflation + given[policy](requested)
    return log


def tight(rng, **changes):
    """A random server that all three resources bind, and its trace."""
    scenario = random_scenario(rng, int(rng.integers(4, 13)), **({"slots": 50, "arrival_rate": 2.0} | changes))
    return scenario, poisson_trace(scenario, int(rng.integers(2**32)))


@pytest.mark.parametrize("policy", [*MODERN, in_seven], ids=name_of)
def test_evictions_are_those_of_the_definition(policy):
    rng = np.random.default_rng(31)
    alone, largest = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    for number in range(60):
        scenario, trace = tight(rng)
        expected = evictions_by_definition(policy.name, scenario, trace.model.tolist())
        found = [(clock, model) for clock, model, _ in simulate(scenario, policy, trace=trace).evictions.tolist()]
        assert found == [(clock, model) for clock, model, _ in expected], f"scenario {number}"
        c = scenario.catalogue
        shares = np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw]) / scenario.capacities[:, None]
        for _, model, lacking in expected:
            alone[lacking] += len(lacking) == 1
            largest[shares[:, model].argmax()] += 1
    assert (alone > 100).all() and (largest > 100).all()  # each resource alone forces evictions, and is what a victim's size is


def test_the_random_servers_tell_all_policies_apart():
    rng = np.random.default_rng(31)
    policies = [*BY_RANK, in_seven]
    differ = np.zeros((len(policies), len(policies)), dtype=int)
    for _ in range(60):
        scenario, trace = tight(rng)
        logs = [simulate(scenario, policy, trace=trace).evictions.tolist() for policy in policies]
        differ += [[one != other for one in logs] for other in logs]
    assert (differ[~np.eye(len(policies), dtype=bool)] > 20).all()


@pytest.mark.parametrize("policy", ["gdsf", "greedy-dual", "cremebrulee", "belady-cost"])
def test_ties_go_to_the_least_recently_requested_whatever_the_rounding(policy):
    """Whole GB and seconds: many ranks are equal as fractions, and not as floating-point numbers."""
    rng = np.random.default_rng(5)
    for number in range(40):
        rows = {f"m{i}": (float(rng.integers(1, 4)), 1, 0, float(rng.integers(0, 3)), 1) for i in range(10)}
        room = int(rng.integers(4, 12))
        scenario = Scenario(make_catalogue(**rows), storage_gb=room, gpu_memory_gb=100, bandwidth_gbps=8, slots=150)
        trace = one_each(10, rng.integers(0, 10, 150))
        expected = [(clock, model) for clock, model, _ in evictions_by_definition(policy, scenario, trace.model.tolist())]
        found = [(clock, model) for clock, model, _ in simulate(scenario, policy, trace=trace).evictions.tolist()]
        assert found == expected, f"scenario {number}"


def test_where_models_are_equal_costs_and_sizes_do_not_count():
    """Belady by cost is Belady then, and the CremeBrulee style LFU."""
    rng = np.random.default_rng(8)
    for _ in range(40):
        requests = rng.integers(0, 10, 150)
        scenario = Scenario(
            equal_catalogue(10, 0.3), storage_gb=0.3 * int(rng.integers(2, 8)), gpu_memory_gb=100, slots=len(requests)
        )
        runs = {
            name: simulate(scenario, name, trace=one_each(10, requests)).evictions.tolist()
            for name in ("belady", "belady-cost", "cremebrulee", "lfu")
        }
        assert runs["belady-cost"] == runs["belady"] and runs["cremebrulee"] == runs["lfu"]
        assert len(runs["lfu"]) > 10


def test_no_policy_hits_more_than_belady_where_models_are_equal():
    """And the clairvoyant for delay hits as often: an optimum found in quite another way."""
    rng = np.random.default_rng(9)
    better = 0
    for seed in range(15):
        requests = rng.integers(0, 7, 60)
        scenario = Scenario(equal_catalogue(7), storage_gb=int(rng.integers(2, 6)), gpu_memory_gb=100, slots=len(requests))
        hits = {
            name: simulate(scenario, name, seed, one_each(7, requests)).events["hit"].sum()
            for name in POLICIES
            if not name.startswith("optimal-online")
        }
        assert hits["belady"] == hits["clairvoyant-delay"] == max(hits.values())
        better += hits["belady"] > max(hits[name] for name in ("lru", "lfu", "lfu-da", "lru-2", "hyperbolic", "gdsf"))
    assert better > 10


# ---- the future


def test_next_requests_against_brute_force():
    rng = np.random.default_rng(6)
    for _ in range(60):
        models, requests = int(rng.integers(1, 8)), int(rng.integers(0, 25))
        trace = make_trace(models, rng.integers(0, models, requests))
        asked = trace.model.tolist()
        expected = [asked.index(i, k + 1) + 1 if i in asked[k + 1 :] else NEVER for k, i in enumerate(asked)]
        assert_array_equal(trace.next_request, expected)
        coming = np.minimum(trace.next_request, requests + 1) - np.arange(1, requests + 1)
        assert_array_equal(coming, trace.requests_until(np.arange(requests) + 1, asked))


def test_next_request_is_the_distance_that_the_books_know():
    """At every miss of a server that holds half the models, for each deployed one."""
    trace = poisson_trace(Scenario(slots=200), 3)
    scenario = Scenario(make_catalogue(**{f"m{i}": (1 if i % 2 else 99, 1, 0, 0, 0) for i in range(10)}), storage_gb=5, slots=200)
    models, server = empty_server(Charges.of(scenario, trace), np.random.SeedSequence(0))
    outcome, misses = np.empty(len(trace), dtype=np.uint8), 0
    while (requested := serve(trace.model, trace.next_request, models, server, outcome, True)) != DONE:
        deploy(models, server, requested)
        deployed, clock = np.flatnonzero(models["place"] == DEPLOYED), server["clock"][0]
        coming = np.minimum(models["next_request"][deployed], len(trace) + 1) - clock
        assert_array_equal(coming, trace.requests_until(clock, deployed))
        misses += 1
    assert misses == 5


@njit
def seen_ahead(model, server):
    return model.next_request - server.clock


def test_a_policy_may_read_the_next_request():
    @eviction_policy
    def by_field(model, server):
        return -model.next_request

    @eviction_policy
    def nearest(model, server):
        """Belady upside down, with the word next_request in its docstring."""
        soon = model.next_request
        return soon if soon > 3 else 3

    assert by_field.offline and nearest.offline and in_seven.offline
    scenario, trace = tight(np.random.default_rng(5))
    assert (
        simulate(scenario, by_field, trace=trace).evictions.tolist() == simulate(scenario, "belady", trace=trace).evictions.tolist()
    )


@pytest.mark.parametrize("how", ["by key", "by helper"])
def test_a_policy_may_read_the_next_request_in_another_way(how):
    @eviction_policy
    def by_key(model, server):
        return -model["next_request"]

    @eviction_policy
    def by_helper(model, server):
        return -seen_ahead(model, server)

    policy = {"by key": by_key, "by helper": by_helper}[how]
    assert policy.offline
    scenario, trace = tight(np.random.default_rng(5))
    assert (
        simulate(scenario, policy, trace=trace).evictions.tolist() == simulate(scenario, "belady", trace=trace).evictions.tolist()
    )


def test_belady_alone_is_offline():
    assert [policy.name for policy in BY_RANK if policy.offline] == ["belady", "belady-cost"]


@pytest.mark.parametrize("policy", BY_RANK, ids=name_of)
def test_who_does_not_know_the_future_does_not_act_on_it(policy):
    """A short run is the start of a longer one, but for the policies that call themselves offline."""
    same = []
    for seed in range(12):
        short, long = (simulate(Scenario(slots=slots), policy, seed).slots.iloc[:40] for slots in (40, 90))
        same.append(short.equals(long))
    assert not all(same) if policy.offline else all(same)


# ---- one traced case each


def evicted(policy, room, requests, **models):
    """What was evicted at each request, as "a b" or "", for models of name=(GB, s of I/O); a GB takes a second to fetch."""
    catalogue = make_catalogue(**{name: (size, 1, 0, io, 1) for name, (size, io) in models.items()})
    scenario = Scenario(catalogue, storage_gb=room, gpu_memory_gb=100, bandwidth_gbps=8, slots=len(requests))
    trace = one_each(len(models), [list(models).index(name) for name in requests])
    return simulate(scenario, policy, trace=trace).events["evicted"].str.replace(";", "").tolist()


EQUAL = dict.fromkeys("abcx", (1, 0))
UNEQUAL = {"a": (1, 2), "b": (2, 8), "c": (3, 0), "d": (2, 2)}  # what they wait by GB: 3, 5, 1 and 2 s


def test_lfu_da_forgets_what_was_popular():
    # a has K = 3, b 1. For c b goes, L = 1, c enters with 2. For b c goes, L = 2, b enters with 3. For c: a and b have 3 each,
    # a was asked for longer ago and goes, though LFU would keep it for ever
    assert evicted("lfu-da", 2, "aaabcbc", **EQUAL) == ["", "", "", "", "b", "c", "a"]
    assert evicted("lfu-in-cache", 2, "aaabcbc", **EQUAL) == ["", "", "", "", "b", "c", "b"]


def test_lru_2_goes_by_the_last_request_but_one_and_remembers_it():
    # a was asked for twice, b once: b goes for c though it came later. For b again: a's last but one is 1, c has none and goes.
    # For c: a's is 1, b's is 3, before its eviction, so a goes
    assert evicted("lru-2", 2, "aabcbc", **EQUAL) == ["", "", "", "b", "c", "a"]
    # asked for once each: the least recently used
    assert evicted("lru-2", 2, "abcx", **EQUAL) == ["", "", "a", "b"]


def test_hyperbolic_counts_requests_a_time_deployed():
    # For c: a has 3 requests in 4, b 1 in 1: a goes. For a: b has 1 in 2, c 1 in 1: b goes. a is asked for again. For b: a has 2
    # in 2, c 1 in 3: c goes
    assert evicted("hyperbolic", 2, "aaabcaab", **EQUAL) == ["", "", "", "", "a", "b", "", "c"]
    # For c: a has 2 in 4, b 1 in 2, x 1 in 1: of a and b the least recently used
    assert evicted("hyperbolic", 3, "aabxc", **EQUAL) == ["", "", "", "", "a"]


def test_gdsf_weighs_frequency_by_size_and_ages():
    # K by GB: a 1, b 1/2, c 1/3. For d c goes, L = 1/3, d enters with 5/6. For c b goes, L = 1/2, c enters with 5/6. d again:
    # 1/2 + 2/2. For b c goes, L = 5/6, b enters with 4/3. For c: a 1 goes, which frees too little, then b 4/3; d has 3/2
    assert evicted("gdsf", 6, "abcdcdbc", **UNEQUAL) == ["", "", "", "c", "b", "", "c", "a b"]


def test_greedy_dual_weighs_frequency_by_wait_and_size_and_ages():
    # K: a 3, b 5, c 1. For d c goes, L = 1, d enters with 1 + 2. a again: 1 + 2 x 3. For c: d 3 goes, L = 3, c enters with 3 + 1.
    # For d: c 4 goes, L = 4, d enters with 4 + 2. For c: a 7, b 5, d 6: b goes, dear as it is, for it is old
    assert evicted("greedy-dual", 6, "abcdacdc", **UNEQUAL) == ["", "", "", "c", "", "d", "c", "b"]


def test_cremebrulee_weighs_all_requests_so_far_by_wait_and_size():
    # Requests x wait / GB: a 3, b 5, c 1: for d c goes. For c: d 2 goes. c is asked for twice more: 4 x 1. For d: a 3 goes, which
    # frees too little, then c 4. For c: b 5, d 2 x 2, which remembers its first request: d goes, freeing enough
    assert evicted("cremebrulee", 6, "abcdcccdc", **UNEQUAL) == ["", "", "", "c", "d", "", "", "a c", "d"]


def test_belady_evicts_the_furthest():
    # For c: a comes fourth, b fifth: b goes. For b: a comes no more and goes, c comes sixth
    assert evicted("belady", 2, "abcabc", **EQUAL) == ["", "", "b", "", "a", ""]
    # none comes again: the least recently used
    assert evicted("belady", 2, "abacx", **EQUAL) == ["", "", "", "b", "a"]


def test_belady_by_cost_weighs_wait_and_size_by_the_distance():
    # For d: c comes next, 1 / 1; a in two requests, 3 / 2; b in three, 5 / 3: c goes. For c: a 3 / 1, b 5 / 2, d never: d goes
    assert evicted("belady-cost", 6, "abcdcab", **UNEQUAL) == ["", "", "", "c", "d", "", ""]
    # the furthest is b, and then none comes again and d is the least recently used
    assert evicted("belady", 6, "abcdcab", **UNEQUAL) == ["", "", "", "b", "", "", "d"]
