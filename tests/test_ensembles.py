"""Many runs at once against the ordinary simulator, run by run."""

import itertools
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal
from support.cases import (
    KeepWhatFits,
    equal_catalogue,
    make_catalogue,
    random_readings,
    random_scenario,
    roomy_scenario,
)

from edgecache import (
    GA,
    PAPER,
    POLICIES,
    READINGS,
    Clairvoyant,
    EvictionPolicy,
    Exact,
    InputError,
    PolicyError,
    Scenario,
    eviction_policy,
    sample_catalogue,
    simulate,
)
from edgecache.ensembles import Ensemble, outcomes

RANKS = [name for name, policy in POLICIES.items() if isinstance(policy, EvictionPolicy) and not policy.offline]
QUICK = GA(population=9, generations=7, convergence=3)


def one_by_one(scenario, points, policies, replications, seed=0):
    """What `outcomes` should give, from one `simulate` a run."""
    found = np.empty((2, len(points), len(policies), len(replications)))
    for (p, point), (k, policy), (r, replication) in itertools.product(*map(enumerate, (points, policies, replications))):
        means = simulate(scenario.vary(**point), policy, seed, replication=replication).means()
        found[:, p, k, r] = means["total_cost"], means["service_delay_s"]
    return found


def assert_same(scenario, points, policies, replications, seed=0):
    found = outcomes(scenario, points, policies, replications, seed)
    expected = one_by_one(scenario, points, policies, replications, seed)
    assert_allclose(found, expected, rtol=1e-9, atol=1e-9)  # NaN equals NaN
    return found


# ---- against simulate


@pytest.mark.parametrize("seed", range(14))
def test_random_scenarios_with_every_policy(seed):
    """The first seven have one to seven models, the others many; some points are alike but for the capacities."""
    rng = np.random.default_rng(seed)
    models = seed + 1 if seed < 7 else int(rng.integers(8, 26))
    scenario = random_scenario(rng, models, **random_readings(rng))
    points = [
        {},
        {"storage_gb": scenario.storage_gb * 1.5},
        {"storage_gb": scenario.storage_gb * 1.5, "gpu_memory_gb": scenario.gpu_memory_gb * 1.7},
        {"slots": scenario.slots + 6, "gpu_memory_gb": scenario.gpu_memory_gb * 1.3},
        {"gpu_memory_gb": scenario.gpu_memory_gb * 1.3, "slots": scenario.slots + 6},
        {"arrival_rate": 4.0, "zipf": 1.3, "energy_capacity_kw": scenario.energy_capacity_kw * 1.4},
        {"zipf": 0.0},
    ]
    found = assert_same(scenario, points, [*RANKS, "exact", "ga", QUICK], [0, 5])
    assert_array_equal(found[:, 3], found[:, 4])


@pytest.mark.parametrize("active_cycle", READINGS["active_cycle"])
@pytest.mark.parametrize("charge", READINGS["charge"])
def test_every_combination_of_readings(charge, active_cycle):
    rest = {name: words for name, words in READINGS.items() if name not in ("charge", "active_cycle")}
    scenario = random_scenario(np.random.default_rng(1), 7, slots=9, arrival_rate=2.0, charge=charge, active_cycle=active_cycle)
    points = [{}, {"storage_gb": scenario.storage_gb * 1.6, "slots": 14}]
    costs = set()
    for words in itertools.product(*rest.values()):
        reading = scenario.vary(**dict(zip(rest, words, strict=True)))
        found = assert_same(reading, points, ["lfu", "random", "exact", QUICK], [2])
        costs |= set(np.round(found[0].ravel(), 6))
    assert len(costs) > 16  # the readings do differ


def test_the_paper_s_policies_on_the_shipped_scenario():
    points = [{"storage_gb": 60.0}, {"gpu_memory_gb": 18.0}, {"slots": 50}, {"arrival_rate": 4.0}]
    found = assert_same(Scenario(), points, [*PAPER, "exact"], [0, 1], seed=9)
    assert len(np.unique(found[0])) > 20


def test_models_that_fit_no_server_are_served_by_the_cloud():
    """At 10 GB of storage the large model is the cloud's, at 40 GB it is not: points that differ in their capacities alone."""
    catalogue = make_catalogue(small=(5, 1, 0.1, 2, 1), other=(6, 2, 0.1, 3, 2), large=(30, 3, 0.2, 9, 4))
    scenario = Scenario(catalogue, zipf=0.3, arrival_rate=2.0, slots=40, cloud_delay_s=7.0)
    points = [{"storage_gb": 10.0}, {"storage_gb": 40.0}, {"storage_gb": 40.0, "gpu_memory_gb": 2.0}]
    clouds = [simulate(scenario.vary(**point), "lru").means()["cloud_requests"] for point in points]
    assert clouds[0] == clouds[2] > 10 and clouds[1] == 0
    found = assert_same(scenario, points, ["random", "lru", "hyperbolic", "exact", QUICK], [0, 3])
    assert (found[1, 0] != found[1, 1]).all()


def test_without_requests_there_is_no_delay():
    """Of forty traces some are empty; and where every request is the cloud's there is no delay either."""
    quiet = Scenario(slots=2, arrival_rate=0.3)
    found = assert_same(quiet, [{}, {"storage_gb": 60.0}], ["fifo", "lru-2", "exact", QUICK], range(40))
    empty = np.isnan(found[1])
    assert 10 < empty[0, 0].sum() < 30 and (empty == empty[0, 0]).all()
    assert (found[0][empty] == 0).all() and (found[0][~empty] > 0).all()
    rare = make_catalogue(small=(5, 1, 0.1, 2, 1), large=(99, 3, 0.2, 9, 4))
    found = assert_same(Scenario(rare, storage_gb=9.0, slots=3, zipf=3.0), [{}], ["lru", "exact", QUICK], range(30))
    assert np.isnan(found[1, 0, 0]).any()


def test_nothing_is_asked_for_at_all():
    found = outcomes(Scenario(slots=1, arrival_rate=1e-9), [{}], ["random", "exact", QUICK], [0, 1])
    assert (found[0] == 0).all() and np.isnan(found[1]).all()


def test_models_of_no_popularity():
    """A popularity that is zero but for rounding: what is never asked for is infinitely far away."""
    for active_cycle in READINGS["active_cycle"]:
        scenario = Scenario(popularity="true", charge="absence", slots=20, active_cycle=active_cycle)
        assert_same(scenario, [{"zipf": 1500.0}, {}], ["lru", "exact", QUICK], [0])


def test_points_that_vary_all_that_they_may():
    """Capacities, slots, arrival rate and popularity, each beside points that leave it; under rates of each model too."""
    values = {
        "storage_gb": (30.0, 90.0), "gpu_memory_gb": (7.0, 20.0), "energy_capacity_kw": (0.8, 2.0),
        "slots": (1, 44), "arrival_rate": (0.1, 3.0), "zipf": (0.0, 2.0),
    }  # fmt: skip
    points = [{name: value} for name, both in values.items() for value in both]
    points += [dict(zip(values, point, strict=True)) for point in zip(*values.values(), strict=True)]
    for basis in READINGS["rate_basis"]:
        scenario = Scenario(slots=20, resource_unit="capacity", w1=5.0, rate_basis=basis, active_cycle="slots", popularity="true")
        found = assert_same(scenario, points, ["lfu", "gdsf", "exact", QUICK], [1, 6])
        assert len(np.unique(found[0, :, 0, 0])) > 10


def test_by_hand():
    """Two equal models of 1 GB on a server for one: a miss waits 8 / 8 + 1 + 1 = 3 s, a hit 1 s; holding one costs 2 a slot."""
    scenario = Scenario(equal_catalogue(2), storage_gb=1.0, bandwidth_gbps=8.0, slots=60, charge="miss", arrival_rate=3.0)
    (cost,), (delay,) = outcomes(scenario, [{}], ["lru"], [0])[:, 0]
    run = simulate(scenario, "lru")
    misses = 1 + np.count_nonzero(np.diff(run.trace.model))
    quiet = run.trace.slot[0]  # slots before the first request
    assert cost[0] == pytest.approx((2 * misses + 2 * (60 - quiet)) / 60)
    assert delay[0] == pytest.approx(1 + 2 * misses / len(run.trace))


# ---- what is asked for together


def test_replications_do_not_depend_on_which_others_are_asked_for():
    """Traces of more slots in between leave the shorter ones as they were, though they draw from the same stream."""
    scenario, points, policies = Scenario(slots=25), [{}, {"storage_gb": 60.0}, {"slots": 90}], ["random", "lfu", "exact", QUICK]
    numbers = [31, 2, 700, 7]
    together = outcomes(scenario, points, policies, numbers, seed=3)
    for place, number in enumerate(numbers):
        assert_array_equal(outcomes(scenario, points, policies, [number], seed=3)[..., 0], together[..., place])
    assert_array_equal(outcomes(scenario, points, policies, numbers[::-1], seed=3), together[..., ::-1])
    assert_allclose(together, one_by_one(scenario, points, policies, numbers, seed=3), rtol=1e-9)
    assert len(np.unique(together[0, 0, 0])) == 4
    assert (outcomes(scenario, points, policies, numbers, seed=4) != together).any(axis=(0, 1, 2)).all()


def test_points_and_policies_do_not_depend_on_which_others_are_asked_for():
    scenario, policies = Scenario(slots=25), ["random", "lru", QUICK, "exact"]
    points = [{"slots": 40}, {"storage_gb": 60.0}, {"slots": 40, "storage_gb": 60.0}, {}, {"storage_gb": 60.0}]
    together = outcomes(scenario, points, policies, range(3))
    assert together.shape == (2, 5, 4, 3)
    for (p, point), (k, policy) in itertools.product(enumerate(points), enumerate(policies)):
        assert_array_equal(outcomes(scenario, [point], [policy], range(3))[:, 0, 0], together[:, p, k])


def test_a_ga_of_other_settings_is_another_policy():
    """The two differ where the default finds the optimum and two random individuals do not."""
    scenario = Scenario(sample_catalogue(25, np.random.default_rng(0)), slots=60, resource_unit="capacity", w1=5.0)
    found = assert_same(scenario, [{}], ["ga", GA(population=2, generations=0), "exact"], [0, 1, 2])
    assert (found[0, 0, 1] != found[0, 0, 0]).all()


# ---- policies of one's own


def largest_first(model, server):
    return -model.size_gb if server.clock % 3 else model.last_request


def test_a_ranking_function_that_may_ask_for_the_future():
    assert_same(Scenario(slots=30), [{}, {"storage_gb": 60.0}], [eviction_policy(largest_first)], [0, 2])


@pytest.mark.parametrize("queue", ["request", "deployment"])
def test_a_ranking_function_said_to_know_the_past(queue):
    policy = replace(eviction_policy(largest_first), offline=False, queue=queue)
    found = assert_same(Scenario(slots=30), [{}, {"storage_gb": 60.0}], [policy, "lru"], [0, 4])
    assert (found[0, :, 0] != found[0, :, 1]).any()


@dataclass(frozen=True)
class Tame(GA):
    name: str = "tame"


BY_DEAP = GA(name="by-deap", operators=GA().toolbox)


@pytest.mark.parametrize(
    "policy",
    ["clairvoyant", "clairvoyant-delay", "optimal-online", "belady", "belady-cost", KeepWhatFits(), Clairvoyant(), Tame(), BY_DEAP],
    ids=[
        "clairvoyant",
        "its-delay",
        "optimal-online",
        "belady",
        "belady-cost",
        "planner",
        "an-object",
        "a-GA-of-ones-own",
        "by-DEAP",
    ],
)
def test_policies_that_play_one_run_at_a_time(policy):
    assert_same(Scenario(slots=12), [{}, {"gpu_memory_gb": 6.0}], ["lru", policy], [0, 3])


# ---- scopes


@pytest.mark.parametrize("charge", READINGS["charge"])
def test_a_scope_counts_for_one_call_alone(charge):
    """Policies and scopes in any order, with and without a scope: each call is the run of that scenario, whatever came before."""
    rng = np.random.default_rng(READINGS["charge"].index(charge))
    scenario = roomy_scenario(rng, 6, slots=15, charge=charge, scope="bypass")
    points, seed = [{}, {"gpu_memory_gb": 0.6 * scenario.gpu_memory_gb}], 4
    servers = [scenario.vary(**point) for point in points]
    ensemble = Ensemble(servers, [1, 3], seed)
    policies = (POLICIES["exact"], QUICK, POLICIES["random"], Clairvoyant(), KeepWhatFits())
    calls = [(policy, scope) for policy in policies for scope in (None, *READINGS["scope"])]
    expected = {
        (policy, scope): one_by_one(scenario.vary(scope=scope or "bypass"), points, [policy], [1, 3], seed)[:, :, 0]
        for policy, scope in calls
    }
    for place in rng.permutation(2 * len(calls)) % len(calls):
        assert_allclose(ensemble.play(*calls[place]), expected[calls[place]], rtol=1e-9, atol=1e-9)
    assert ensemble.servers is servers and {server.scope for server in servers} == {"bypass"}
    costs = {policy: {round(expected[policy, scope][0].sum(), 6) for scope in READINGS["scope"]} for policy in policies}
    assert len(costs[policies[0]]) > 1 and len(costs[policies[3]]) > 1  # a planner's scopes do differ
    assert len(costs[policies[2]]) == 1  # an eviction policy has none


def test_a_scope_counts_where_exact_needs_more_nodes_than_are_compiled():
    scenario = random_scenario(np.random.default_rng(3), 40, slots=20, arrival_rate=3.0, resource_unit="capacity", w1=5.0)
    ensemble, hasty = Ensemble([scenario], [0]), Exact(nodes=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for scope in ("free", "evict", "bypass"):
            expected = one_by_one(scenario.vary(scope=scope), [{}], [hasty], [0])[:, :, 0]
            assert_allclose(ensemble.play(hasty, scope), expected, rtol=1e-9)


@pytest.mark.parametrize("policy", ["exact", "lru"])
def test_an_unknown_scope_is_refused(policy):
    with pytest.raises(InputError, match="unknown scope 'evit'; did you mean 'evict'"):
        Ensemble([Scenario(slots=5)], [0]).play(POLICIES[policy], "evit")


# ---- bad input


def test_unknown_policies_and_points():
    with pytest.raises(InputError, match="unknown policy 'lruu'"):
        outcomes(Scenario(), [{}], ["lruu"], [0])
    for point in ({"storage": 60}, {"replication": 1}):
        with pytest.raises(InputError, match=f"unknown parameter .*'{next(iter(point))}'"):
            outcomes(Scenario(), [{}, point], ["lru"], [0])
    with pytest.raises(InputError, match="no model of the catalogue fits"):
        outcomes(Scenario(), [{}, {"storage_gb": 0.1}], ["lru"], [0])
    with pytest.raises(InputError, match="replication is -1"):
        outcomes(Scenario(), [{}], ["lru"], [-1])


def test_a_rank_that_is_no_number():
    @eviction_policy
    def late(model, server):
        return np.nan if server.clock > 60 else 1.0

    policy = replace(late, offline=False)
    with pytest.raises(PolicyError, match="policy 'late': a rank is not a number"):
        outcomes(Scenario(), [{}], [policy], [0])
    assert_same(Scenario(slots=20), [{}], [policy], [0])  # it is one up to the sixtieth request


@njit
def _spoil(model):
    model.size_gb = 100.0
    return 0.0


def test_a_rank_that_overfills_the_server_is_refused_as_by_simulate():
    @eviction_policy
    def spoiling(model, server):
        return _spoil(model)

    policy = replace(spoiling, offline=False)
    with pytest.raises(PolicyError, match="policy 'spoiling' writes to the state"):
        simulate(Scenario(), policy)
    with pytest.raises(PolicyError, match="policy 'spoiling' writes to the state"):
        outcomes(Scenario(), [{}], [policy], [0])


def test_exact_keeps_to_its_nodes():
    """A search of one node warns and may end short of the optimum, here it does."""
    scenario = random_scenario(np.random.default_rng(3), 40, slots=60, arrival_rate=3.0, resource_unit="capacity", w1=5.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        hasty = one_by_one(scenario, [{}], [Exact(nodes=1)], [0])
        assert hasty[0] > 2 * one_by_one(scenario, [{}], ["exact"], [0])[0]
        assert_allclose(outcomes(scenario, [{}], [Exact(nodes=1)], [0]), hasty, rtol=1e-9)


@pytest.mark.parametrize("replication", [1.0, True], ids=["float", "bool"])
def test_a_replication_that_is_no_whole_number_is_refused_whatever_was_asked_before(replication):
    outcomes(Scenario(slots=3), [{}], ["lru"], [1])
    with pytest.raises(InputError, match="seed or replication is"):
        outcomes(Scenario(slots=3), [{}], ["lru"], [replication])
