"""The contract every policy keeps, the package's and a user's own, and one traced case of each eviction policy."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare
from support.cases import KeepWhatFits, equal_catalogue, make_catalogue, one_each, random_readings, random_scenario

from edgecache import GA, PAPER, POLICIES, EvictionPolicy, InputError, PolicyError, Scenario, eviction_policy, simulate, sweep
from edgecache.policies import find_policy


@eviction_policy
def largest_first(model, server):
    return -model.size_gb


@eviction_policy
def cheap_to_fetch_again(model, server):
    return model.fetch_delay_s * model.requests / (1 + server.clock - model.last_request) + server.aging


EVERY_POLICY = [*POLICIES.values(), largest_first, cheap_to_fetch_again, KeepWhatFits()]


def name_of(policy):
    return policy.name


@pytest.mark.parametrize("made", [None, "lru", POLICIES["lru"], type("Nameless", (), {"decide": lambda self, decision: None})()])
def test_what_prepares_no_planner_is_refused(made):
    class Confused:
        name = "confused"

        def prepare(self, scenario, trace):
            return made

    with pytest.raises(PolicyError, match=r"'confused'.*prepare\(\) returned .*no planner"):
        simulate(Scenario(), Confused())


def test_a_planner_may_be_prepared_for_its_run():
    class Told:
        name = "told"

        def prepare(self, scenario, trace):
            self.given = scenario, trace
            return KeepWhatFits()

    told, scenario = Told(), Scenario(slots=20)
    run = simulate(scenario, told, 3)
    assert told.given == (scenario, run.trace) and run.policy == "keep-what-fits"
    assert_array_equal(run.evictions, simulate(scenario, KeepWhatFits(), 3).evictions)


# ---- the contract


@pytest.fixture(scope="module", params=EVERY_POLICY, ids=name_of)
def runs(request):
    """Runs of a policy on small servers with all readings mixed, each with its `replay`; the cloud serves what does not fit."""
    rng = np.random.default_rng(11)
    runs = []
    for seed in range(25):
        scenario = random_scenario(rng, int(rng.integers(1, 13)), slots=30, **random_readings(rng))
        if request.param.name == "optimal-online":  # it refuses the other reading
            scenario = scenario.vary(resource_basis="slot")
        runs.append(simulate(scenario, request.param, seed))
    assert sum(len(run.evictions) for run in runs) > 100
    assert sum((run.events["cloud"]).sum() for run in runs) > 20
    return [(run, list(replay(run))) for run in runs]


def replay(run):
    """From the table of events alone, the deployed models (indices) before and after each request."""
    index = {service: i for i, service in enumerate(run.scenario.catalogue.services)}
    deployed = set()
    for event in run.events.itertuples():
        before, evicted = frozenset(deployed), [index[service] for service in event.evicted.split("; ") if service]
        assert len(set(evicted)) == len(evicted) and (before | {index[event.model]}).issuperset(evicted)
        if not event.hit and not event.cloud:
            deployed.add(index[event.model])
        deployed |= {index[service] for service in event.prefetched.split("; ") if service}
        deployed -= set(evicted)
        yield event, index[event.model], before, frozenset(deployed)


def test_never_overfills(runs):
    for run, steps in runs:
        s, c = run.scenario, run.scenario.catalogue
        held = np.array([[i in deployed for i in range(len(c))] for *_, deployed in steps]).reshape(len(steps), len(c))
        assert (held @ c.size_gb <= s.storage_gb * (1 + 1e-8)).all()
        assert (held @ c.gpu_memory_gb <= s.gpu_memory_gb * (1 + 1e-8)).all()
        assert (s.static_power_kw + held @ c.power_kw <= s.energy_capacity_kw * (1 + 1e-8)).all()


def test_a_request_finds_its_model_or_leaves_it_deployed(runs):
    for run, steps in runs:
        for event, model, before, after in steps:
            if event.cloud:
                assert not run.scenario.fits_empty_server[model] and before == after
                assert not event.hit and event.fetched_gb == 0
            else:
                assert run.scenario.fits_empty_server[model]
                assert event.hit == (model in before)
                assert model in after or (decides_freely(run) and run.scenario.may_bypass and not event.hit)


def decides_freely(run):
    """Is the policy a planner, which follows the reading `scope`? Eviction policies always play `evict`."""
    return not any(isinstance(policy, EvictionPolicy) and policy.name == run.policy for policy in EVERY_POLICY)


def test_hits_change_nothing_and_only_planners_prefetch(runs):
    for run, steps in runs:
        for event, model, before, after in steps:
            if event.hit:
                assert before == after and event.fetched_gb == 0
            prefetched = after - before - {model}
            assert not prefetched or (decides_freely(run) and run.scenario.may_prefetch)
            if not event.hit and not event.cloud:
                assert event.fetched_gb == pytest.approx(run.scenario.catalogue.size_gb[[model, *prefetched]].sum())


def test_deployments_are_those_at_the_end_of_each_slot(runs):
    for run, steps in runs:
        deployed, expected = frozenset(), []
        for slot in range(run.scenario.slots):
            for event, _, _, after in steps:
                if event.slot == slot:
                    deployed = after
            expected.append([i in deployed for i in range(len(run.scenario.catalogue))])
        assert_array_equal(run.deployments, expected)


def test_delays_and_slots_and_means_agree_with_the_events(runs):
    for run, _ in runs:
        s, c, slots, events = run.scenario, run.scenario.catalogue, run.slots, run.events
        model = events["model"].map({service: i for i, service in enumerate(c.services)}).to_numpy(dtype=int)
        wait = 8 * c.size_gb / s.bandwidth_gbps + c.io_delay_s
        missed = ~events["hit"] & ~events["cloud"]
        delay = c.inference_delay_s[model] + np.where(missed, wait[model], 0) + np.where(events["cloud"], s.cloud_delay_s, 0)
        assert_allclose(events["delay_s"], delay)
        assert slots["slot"].tolist() == list(range(s.slots))
        edge = events[~events["cloud"]]

        def by_slot(part, column, how, s=s):
            return part.groupby("slot")[column].agg(how).reindex(range(s.slots))

        assert slots["requests"].tolist() == by_slot(events, "hit", "size").fillna(0).tolist()
        assert slots["hits"].tolist() == by_slot(events, "hit", "sum").fillna(0).tolist()
        assert slots["cloud_requests"].tolist() == by_slot(events, "cloud", "sum").fillna(0).tolist()
        assert_allclose(slots["fetched_gb"], by_slot(events, "fetched_gb", "sum").fillna(0))
        assert_allclose(slots["service_delay_s"], by_slot(edge, "delay_s", "mean"))
        assert_allclose(slots["energy_kwh"], (s.static_power_kw + run.deployments @ c.power_kw) * s.slot_length_s / 3600)
        assert_allclose(slots["switching_cost"] + slots["resource_cost"], slots["total_cost"])
        means = run.means()
        for cost in ("total_cost", "switching_cost", "resource_cost"):
            assert_allclose(means[cost], slots[cost].mean())
        for total in ("fetched_gb", "energy_kwh", "requests", "cloud_requests"):
            assert_allclose(means[total], slots[total].sum())
        if len(events):
            assert_allclose(means["hit_ratio"], events["hit"].mean())
        assert_allclose(means["service_delay_s"], edge["delay_s"].mean() if len(edge) else np.nan)


def test_evictions_log_the_requests_so_far(runs):
    for run, _ in runs:
        for clock, model, requests in run.evictions:
            assert requests == (run.trace.model[:clock] == model).sum()
        assert (np.diff(run.evictions[:, 0]) >= 0).all()


@pytest.mark.parametrize("policy", EVERY_POLICY, ids=name_of)
def test_same_seed_same_run(policy):
    scenario = random_scenario(np.random.default_rng(4), 12, slots=80, arrival_rate=2.0)
    first, again, other = (simulate(scenario, policy, seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.slots, again.slots, check_exact=True)
    pd.testing.assert_frame_equal(first.events, again.events, check_exact=True)
    assert len(first.evictions) > 10
    assert not np.array_equal(first.trace.model, other.trace.model)
    assert_array_equal(first.trace.model, simulate(scenario, "fifo", 3).trace.model)  # every policy faces the same trace


@pytest.mark.parametrize("policy", EVERY_POLICY, ids=name_of)
def test_evicts_only_when_it_must_or_may(policy):
    """Eviction policies evict nothing that could stay after the last victim; all are quiet while everything fits."""
    scenario = random_scenario(np.random.default_rng(4), 12, slots=80, arrival_rate=2.0)
    c = scenario.catalogue
    run = simulate(scenario, policy)
    if isinstance(policy, EvictionPolicy):
        last = {clock: model for clock, model, _ in run.evictions}
        clocks = {event.request + 1: after for event, _, _, after in replay(run)}
        for clock, model in last.items():
            held = [*clocks[clock], model]
            needs = c.size_gb[held].sum(), c.gpu_memory_gb[held].sum(), c.power_kw[held].sum()
            assert (np.array(needs) > scenario.capacities).any()
        roomy = scenario.vary(storage_gb=1e4, gpu_memory_gb=1e3, energy_capacity_kw=1e2)
        assert len(simulate(roomy, policy).evictions) == 0
        assert simulate(roomy, policy).means()["hit_ratio"] > run.means()["hit_ratio"]


def test_optimal_online_refuses_what_depends_on_the_position_in_a_slot():
    scenario = SMALL.vary(resource_basis="decision")
    with pytest.raises(InputError, match="optimal-online is not defined under resource_basis = decision"):
        simulate(scenario, "optimal-online", trace=SMALL_TRACE)
    assert len(simulate(scenario, "optimal-online-delay", trace=SMALL_TRACE).events) == 6  # no resources in what it minimises


def test_the_table_of_policies():
    ranks = ["lfu-da", "lru-2", "hyperbolic", "gdsf", "greedy-dual", "cremebrulee", "belady", "belady-cost"]
    servers = ["llama-swap", "lemonade", "localai-largest", "ollama"]
    bounds = ["optimal-online", "clairvoyant", "optimal-online-delay", "clairvoyant-delay"]
    assert list(POLICIES) == ["random", "fifo", "lru", "lfu", "lfu-in-cache", *ranks, *servers, "ga", "exact", *bounds]
    assert all(policy.name == name and policy.label for name, policy in POLICIES.items())
    assert set(PAPER) < set(POLICIES)
    assert [find_policy(name) for name in PAPER] == [POLICIES[name] for name in PAPER]
    assert len({policy.label for policy in POLICIES.values()}) == len(POLICIES)


@pytest.mark.parametrize("policy", [p for p in POLICIES.values() if isinstance(p, EvictionPolicy)], ids=name_of)
def test_what_a_policy_is_about_is_one_line(policy):
    assert policy.about.strip() == policy.about != ""
    assert "\n" not in policy.about and len(policy.about) < 132


def test_what_a_users_policy_is_about_is_the_first_line_of_its_docstring():
    @eviction_policy
    def oldest(model, server):
        """Evicts the longest deployed.

        And says more.
        """
        return model.deployed_since

    assert oldest.about == "Evicts the longest deployed."
    assert largest_first.about == ""


# ---- one traced case each. Equal models of 1 GB on a server for two or three of them


def evicted(policy, room, requests, lfu="perfect"):
    """What was evicted at each request for one of six equal models, as "m0 m1" or ""."""
    scenario = Scenario(equal_catalogue(6), storage_gb=room, gpu_memory_gb=100, slots=len(requests), lfu=lfu)
    return simulate(scenario, policy, trace=one_each(6, requests)).events["evicted"].tolist()


def test_fifo_ignores_hits():
    # 0 came before 1 and goes first though it was asked for since; then 1, then 2
    assert evicted("fifo", 2, [0, 1, 0, 0, 2, 3, 4]) == ["", "", "", "", "m0", "m1", "m2"]
    # 0 comes again at the fifth request, behind 2
    assert evicted("fifo", 2, [0, 1, 0, 2, 0, 3]) == ["", "", "", "m0", "m1", "m2"]


def test_lru_counts_hits():
    # 1 was asked for longest ago, then 0, then 2
    assert evicted("lru", 2, [0, 1, 0, 0, 2, 3, 4]) == ["", "", "", "", "m1", "m0", "m2"]


def test_lfu_perfect_remembers_and_breaks_ties_by_the_last_request():
    # counts 0: 2, 1: 1 -> evict 1. For 1 again: 0 has 2, 2 has 1 -> evict 2. For 2: 0 and 1 have 2 each, 0 was asked for longer
    # ago -> evict 0. For 0: 1 and 2 have 2 each, 1 was asked for longer ago -> evict 1
    assert evicted("lfu", 2, [0, 0, 1, 2, 1, 2, 0]) == ["", "", "", "m1", "m2", "m0", "m1"]


def test_lfu_in_cache_forgets_and_breaks_ties_by_the_last_request():
    # as above, but 1 comes back with a count of one: for 2 evict 1 (1) and not 0 (2); then, for 1 once more, evict 2
    for policy, lfu in (("lfu", "in_cache"), ("lfu-in-cache", "perfect"), ("lfu-in-cache", "in_cache")):
        assert evicted(policy, 2, [0, 0, 1, 2, 1, 2, 1], lfu) == ["", "", "", "m1", "m2", "m1", "m2"]
    # all three asked for once: 0 is the least recently used
    assert evicted("lfu-in-cache", 3, [0, 1, 2, 3, 4]) == ["", "", "", "m0", "m1"]
    # 0 and 1 asked for twice each, 1 less recently; 2 once
    assert evicted("lfu-in-cache", 3, [0, 1, 2, 1, 0, 3, 3, 4, 4, 5]) == ["", "", "", "", "", "m2", "", "m1", "", "m0"]


def test_as_many_are_evicted_as_needed():
    c = make_catalogue(a=(2, 1, 0, 0, 0), b=(1, 1, 0, 0, 0), c=(3, 1, 0, 0, 0), d=(4, 1, 0, 0, 0))
    scenario = Scenario(c, storage_gb=6, gpu_memory_gb=10, slots=5)
    # a b c fill 6 GB; b again; d needs 4: LRU evicts a (2) and c (3); FIFO a, b and c, for 3 GB are not enough
    for policy, gone in (("lru", "a; c"), ("fifo", "a; b; c"), ("largest-first", "c; a")):
        chosen = largest_first if policy == "largest-first" else policy
        assert simulate(scenario, chosen, trace=one_each(4, [0, 1, 2, 1, 3])).events["evicted"].tolist() == ["", "", "", "", gone]


@pytest.mark.parametrize("scarce", ["storage_gb", "gpu_memory_gb", "energy_capacity_kw"])
def test_each_capacity_alone_forces_evictions(scarce):
    c = make_catalogue(a=(1, 1, 0.1, 0, 0), b=(1, 1, 0.1, 0, 0), c=(1, 1, 0.1, 0, 0))
    room = {"storage_gb": 9, "gpu_memory_gb": 9, "energy_capacity_kw": 9.0, "static_power_kw": 0.0, "slots": 3}
    scarcity = {"storage_gb": 2, "gpu_memory_gb": 2, "energy_capacity_kw": 0.2}
    trace = one_each(3, [0, 1, 2])
    assert simulate(Scenario(c, **room), "lru", trace=trace).events["evicted"].tolist() == ["", "", ""]
    tight = Scenario(c, **(room | {scarce: scarcity[scarce]}))
    assert simulate(tight, "lru", trace=trace).events["evicted"].tolist() == ["", "", "a"]


def test_random_evicts_every_deployed_model_equally_often():
    rng = np.random.default_rng(0)
    requests = rng.integers(0, 6, 60_000)
    scenario = Scenario(equal_catalogue(6), storage_gb=5, gpu_memory_gb=100, slots=len(requests))
    run = simulate(scenario, "random", 7, trace=one_each(6, requests))
    clocks, victims = run.evictions[:, 0], run.evictions[:, 1]
    assert len(victims) > 9000
    # five of six models are deployed: the victim's place among them by index, and by the order of the last request
    last, by_index, by_age = np.zeros(6), [], []
    done = 0
    for clock, victim in zip(clocks, victims, strict=True):
        for now in range(done, clock):
            last[requests[now]] = now
        done = clock
        others = [i for i in range(6) if i != requests[clock - 1]]
        by_index.append(others.index(victim))
        by_age.append(sorted(others, key=last.__getitem__).index(victim))
    for places in (by_index, by_age):
        assert chisquare(np.bincount(places, minlength=5)).pvalue > 1e-3
    # and independently of the victim before: 25 pairs of places
    pairs = 5 * np.array(by_age[:-1]) + np.array(by_age[1:])
    assert chisquare(np.bincount(pairs, minlength=25)).pvalue > 1e-3


def test_random_makes_every_pair_equally_likely():
    """Two victims for one request: all pairs of five models, over many seeds."""
    c = make_catalogue(**{f"m{i}": (1, 1, 0, 1, 1) for i in range(5)}, big=(2, 1, 0, 1, 1))
    scenario = Scenario(c, storage_gb=5, gpu_memory_gb=100, slots=6)
    trace = one_each(6, [0, 1, 2, 3, 4, 5])
    pairs = [tuple(sorted(simulate(scenario, "random", seed, trace=trace).evictions[:, 1])) for seed in range(2000)]
    counts = [pairs.count(pair) for pair in itertools.combinations(range(5), 2)]
    assert sum(counts) == 2000
    assert chisquare(counts).pvalue > 1e-3


def test_user_rank_sees_every_feature_and_the_clock():
    """A rank that rebuilds LRU, and one that rebuilds FIFO, from the state; every documented field can be read."""

    @eviction_policy
    def my_lru(model, server):
        return model.last_request

    @eviction_policy
    def my_fifo(model, server):
        return model.deployed_since

    @eviction_policy
    def everything(model, server):
        known = model.index + model.place + model.requests + model.requests_in_cache + model.deployed_since + model.aging
        needs = model.size_gb + model.gpu_memory_gb + model.power_kw + model.io_delay_s + model.inference_delay_s
        left = server.storage_gb + server.gpu_memory_gb + server.power_kw + server.clock + server.aging + server.evictions
        past = model.last_request + model.previous_request
        return known + needs + left + past + model.fetch_delay_s + model.popularity + model.share + model.next_request

    scenario = random_scenario(np.random.default_rng(8), 12, slots=200)
    assert len(simulate(scenario, "lru").evictions) > 30
    assert_array_equal(simulate(scenario, my_lru).evictions, simulate(scenario, "lru").evictions)
    assert_array_equal(simulate(scenario, my_fifo).evictions, simulate(scenario, "fifo").evictions)
    assert len(simulate(scenario, everything).evictions) > 30
    assert (my_lru.name, my_lru.label) == ("my-lru", "my lru")


def test_aging_term_is_the_rank_of_the_last_victim():
    """server.aging and model.aging suffice for LFU with dynamic aging, worked by hand on a server for two."""

    @eviction_policy
    def lfu_da(model, server):
        return model.aging + model.requests_in_cache

    # requests 0 0 1: ranks 0 + 2, 0 + 1. 2: evict 1, aging 1, and 2 enters with 1 + 1. 3: ranks 2 (m0, asked for longer ago) and
    # 2 (m2): evict m0, aging 2, and 3 enters with 2 + 1. 4: ranks 2 (m2) and 3 (m3): evict m2
    assert evicted(lfu_da, 2, [0, 0, 1, 2, 3, 4]) == ["", "", "", "m1", "m0", "m2"]
    # 2: evict 1, aging 1. 0 again: 1 + 3. 3: evict m2 (2), aging 2, and 3 enters with 2 + 1. 4: ranks 4 (m0) and 3 (m3): evict m3
    assert evicted(lfu_da, 2, [0, 0, 1, 2, 0, 3, 4]) == ["", "", "", "m1", "", "m2", "m3"]


# ---- policies that break the rules


class Planner:
    """A planner that decides by the given function of the decision."""

    def __init__(self, decide, name="naughty"):
        self.decide, self.name = decide, name


def stay_and_add(decision):
    chosen = decision.deployed.copy()
    chosen[decision.requested] = True
    return chosen


def drop_the_requested(decision):
    return np.zeros(len(decision.deployed), dtype=bool)


def prefetch(decision):
    chosen = stay_and_add(decision)
    chosen[(decision.requested + 1) % len(chosen)] = True
    return chosen


SMALL = Scenario(equal_catalogue(6), storage_gb=2, gpu_memory_gb=100, slots=6)
SMALL_TRACE = one_each(6, [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("decide", "words"),
    [
        (stay_and_add, ["takes 3 GB storage", "the server has 2 GB", "request 3", "m2"]),
        (drop_the_requested, ["the requested model is not", "request 1", "m0"]),
        (prefetch, ["'m1' was neither deployed nor requested", "request 1"]),
        (lambda decision: stay_and_add(decision).astype(int), ["int64 of shape (6,)", "must return bool of shape (6,)"]),
        (lambda decision: stay_and_add(decision)[:3], ["bool of shape (3,)", "must return bool of shape (6,)"]),
        (lambda decision: stay_and_add(decision)[None], ["bool of shape (1, 6)"]),
        (lambda decision: None, ["object of shape ()"]),
        (lambda decision: [decision.requested], ["int64 of shape (1,)"]),
        (lambda decision: [[True], [True, False]], ["must return bool of shape (6,)"]),
    ],
    ids=["overfills", "drops", "prefetches", "dtype", "length", "dimensions", "none", "index", "ragged"],
)
def test_a_planner_that_breaks_the_rules_is_named(decide, words):
    with pytest.raises(PolicyError) as error:
        simulate(SMALL, Planner(decide), trace=SMALL_TRACE)
    message = str(error.value)
    assert "policy 'naughty'" in message and "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("scarce", ["gpu_memory_gb", "energy_capacity_kw"])
def test_a_planner_may_not_overfill_gpu_memory_or_power(scarce):
    c = make_catalogue(a=(1, 1, 0.1, 0, 0), b=(1, 1, 0.1, 0, 0))
    room = {"storage_gb": 9, "gpu_memory_gb": 9, "energy_capacity_kw": 9.0, "static_power_kw": 0.0, "slots": 2}
    tight = Scenario(c, **(room | {scarce: {"gpu_memory_gb": 1.5, "energy_capacity_kw": 0.15}[scarce]}))
    with pytest.raises(PolicyError, match=r"takes 2 GB storage, 2 GB GPU memory and 0\.2 kW"):
        simulate(tight, Planner(stay_and_add), trace=one_each(2, [0, 1]))


def test_a_planner_that_decides_in_place_cannot_overfill():
    """A planner that changes `decision.deployed` and returns it is refused, or its evictions take place."""

    def drop_in_place(decision):
        chosen = decision.deployed
        for model in decision.candidates:
            chosen[model] = False
        chosen[decision.requested] = True
        return chosen

    try:
        run = simulate(SMALL, Planner(drop_in_place), trace=SMALL_TRACE)
    except (PolicyError, ValueError):
        return
    assert run.deployments.sum(axis=1).tolist() == [1] * 6
    assert len(run.evictions) == 5


def test_what_a_planner_sees_is_read_only():
    planner = KeepWhatFits()
    simulate(SMALL, planner, trace=SMALL_TRACE)
    decision = planner.decisions[-1]
    for name in ("deployed", "requests", "holding_cost", "eviction_cost"):
        assert not getattr(decision, name).flags.writeable, name
    for array in (decision.needs, decision.capacities, decision.charges.switching_delay_s, decision.charges.trace.popularity):
        assert not array.flags.writeable


def test_what_a_planner_sees_is_the_state_at_the_miss():
    planner = KeepWhatFits()
    simulate(SMALL, planner, trace=one_each(6, [0, 1, 0, 2, 5]))
    seen = [(d.requested, d.candidates.tolist(), d.requests.tolist(), d.clock, d.slot) for d in planner.decisions]
    assert seen == [
        (0, [], [1, 0, 0, 0, 0, 0], 1, 0),
        (1, [0], [1, 1, 0, 0, 0, 0], 2, 1),
        (2, [0, 1], [2, 1, 1, 0, 0, 0], 4, 3),
        (5, [0, 2], [2, 1, 1, 0, 0, 1], 5, 4),
    ]


def test_a_rank_that_is_no_number():
    @eviction_policy
    def nobody_knows(model, server):
        return np.nan

    with pytest.raises(PolicyError, match=r"policy 'nobody-knows', request 3: a rank is not a number"):
        simulate(SMALL, nobody_knows, trace=SMALL_TRACE)


def test_a_rank_that_divides_by_zero_is_infinite_or_no_number():
    @eviction_policy
    def infinite(model, server):
        return 1.0 / (model.requests - model.requests)

    @eviction_policy
    def undefined(model, server):
        return (model.requests - model.requests) / (model.size_gb - model.size_gb)

    simulate(SMALL, infinite, trace=SMALL_TRACE)
    with pytest.raises(PolicyError, match=r"policy 'undefined', request 3: a rank is not a number"):
        simulate(SMALL, undefined, trace=SMALL_TRACE)


def test_infinite_ranks_are_ranks():
    @eviction_policy
    def forever(model, server):
        return np.inf

    @eviction_policy
    def last_first(model, server):
        return -np.inf if model.index == server.clock - 2 else np.inf

    assert evicted(forever, 2, [0, 1, 2, 3]) == ["", "", "m0", "m1"]
    assert evicted(last_first, 2, [0, 1, 2, 3]) == ["", "", "m1", "m2"]


def test_a_rank_that_writes_to_the_state():
    with pytest.raises(PolicyError, match=r"policy 'cheating' writes to the state"):

        @eviction_policy
        def cheating(model, server):
            model.requests = 0
            return 1.0

    with pytest.raises(PolicyError, match=r"policy 'cheating' writes to the state"):

        @eviction_policy
        def cheating(model, server):
            server["clock"] += 1
            return 1.0


def test_a_rank_that_overfills_through_a_helper():
    """What a compiled helper writes is not seen in the rank's own code; an overfilled server is still an error."""

    @njit
    def make_room(server):
        server.storage_gb = 1e9

    @eviction_policy
    def expanding(model, server):
        make_room(server)
        return model.last_request

    with pytest.raises(PolicyError, match="policy 'expanding'"):
        simulate(SMALL, expanding, trace=SMALL_TRACE)


def unknown_field(model, server):
    return model.colour


def unknown_name(model, server):
    return model.size_gb * not_defined_anywhere  # noqa: F821


def words(model, server):
    return "first"


def one_argument(model):
    return 1.0


def calls_python(model, server):
    return len(open(model.index).read())


@pytest.mark.parametrize("function", [unknown_field, unknown_name, words, one_argument, calls_python], ids=lambda f: f.__name__)
def test_a_rank_that_does_not_compile(function):
    with pytest.raises(PolicyError) as error:
        eviction_policy(function)
    message = str(error.value)
    assert repr(function.__name__.replace("_", "-")) in message
    assert "\n" not in message and len(message) < 300


def test_a_rank_that_does_not_compile_says_why():
    with pytest.raises(PolicyError, match="colour"):
        eviction_policy(unknown_field)
    with pytest.raises(PolicyError, match="not_defined_anywhere"):
        eviction_policy(unknown_name)


class NoDecide:
    name = "no-decide"


class NoName:
    def decide(self, decision):
        return stay_and_add(decision)


@pytest.mark.parametrize(
    "policy",
    [NoDecide(), NoName(), 3, None, unknown_field, GA],
    ids=lambda thing: getattr(thing, "__name__", type(thing).__name__),
)
def test_what_is_no_policy(policy):
    with pytest.raises(InputError, match="is no policy: a policy is a name"):
        simulate(SMALL, policy)


@pytest.mark.parametrize(("typed", "meant"), [("lruu", "lru"), ("LRU", "lru"), ("rnadom", "random"), ("exakt", "exact")])
def test_an_unknown_name_suggests_the_nearest(typed, meant):
    with pytest.raises(InputError, match=rf"unknown policy '{typed}'; did you mean '{meant}'\? Known: random, fifo, lru"):
        simulate(SMALL, typed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 1}, "population of the GA is 1; it must be a whole number, at least 2"),
        ({"generations": -1}, "generations of the GA is -1"),
        ({"tournament": 2.5}, "tournament of the GA is 2.5"),
        ({"crossover": 1.5}, "crossover of the GA is 1.5; it must be a probability"),
        ({"mutation": float("nan")}, "mutation of the GA is nan"),
    ],
)
def test_settings_of_the_ga(settings, message):
    with pytest.raises(InputError, match=message):
        GA(**settings)


# ---- in parallel


class LargestGoes:
    """A user's planner; `sweep` sends it to other processes."""

    name = "largest-goes"

    def decide(self, decision):
        chosen = decision.deployed.copy()
        chosen[decision.requested] = True
        size = decision.scenario.catalogue.size_gb
        while not decision.fits(chosen):
            kept = [i for i in np.flatnonzero(chosen) if i != decision.requested]
            chosen[max(kept, key=lambda i: (size[i], -i))] = False
        return chosen


def test_a_users_policy_runs_in_two_processes():
    @eviction_policy
    def largest_by_rank(model, server):
        return -model.size_gb

    policies = [largest_by_rank, LargestGoes(), "lru"]
    options = {"policies": policies, "replications": 3, "seed": 2, "progress": False}
    scenario = random_scenario(np.random.default_rng(3), 10, slots=100)
    alone = sweep(scenario=scenario, jobs=1, **options)
    together = sweep(scenario=scenario, jobs=2, **options)
    pd.testing.assert_frame_equal(alone, together, check_exact=True)
    # the two are one policy written twice, sizes being distinct
    by_policy = {name: part.drop(columns="policy").reset_index(drop=True) for name, part in together.groupby("policy")}
    pd.testing.assert_frame_equal(by_policy["largest-by-rank"], by_policy["largest-goes"])
    assert not by_policy["lru"].equals(by_policy["largest-goes"])


def test_a_rule_broken_in_another_process_is_the_same_error():
    with pytest.raises(PolicyError, match="policy 'naughty'"):
        sweep(scenario=SMALL, policies=[Planner(drop_the_requested)], replications=2, jobs=2, progress=False)


def test_a_policy_can_be_renamed():
    twin = dataclasses.replace(POLICIES["lru"], name="my-lru")
    table = sweep(scenario=SMALL, policies=["lru", twin], replications=2, jobs=1, progress=False)
    assert table["policy"].tolist() == ["lru", "my-lru"] * 2
