"""The reading `scope`: every planner against trying all that the scope allows, and the bounds of the scopes against each other."""

import functools
import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.every_run import every_run, small_trace
from scipy.optimize import Bounds, LinearConstraint, milp
from support.cases import hard_decision, make_catalogue, make_decision, one_each, random_readings, roomy_scenario

from edgecache import GA, POLICIES, READINGS, Exact, PolicyError, Scenario, poisson_trace, simulate
from edgecache.ensembles import outcomes
from edgecache.policies.clairvoyant import Clairvoyant
from edgecache.policies.lower_bound import lower_bound
from edgecache.policies.optimal_online import OptimalOnline

WIDE = ("bypass", "prefetch", "free")
CLASSES = [*itertools.product(READINGS["scope"], READINGS["decides"])][1:]  # what a decision may choose, and when it is taken
close = functools.partial(pytest.approx, rel=1e-9, abs=1e-9)


def test_eviction_policies_always_play_evict():
    rng = np.random.default_rng(0)
    scenario = roomy_scenario(rng, 6, slots=40)
    ranked = [name for name, policy in POLICIES.items() if hasattr(policy, "queue")]
    assert len(ranked) > 8
    for policy in ranked:
        runs = [simulate(scenario.vary(scope=scope, decides=decides), policy) for scope, decides in CLASSES]
        assert len({run.evictions.tobytes() for run in runs}) == 1
        assert len({run.means()["total_cost"] for run in runs}) == 1


@pytest.mark.parametrize("scope", WIDE)
def test_exact_against_all_that_is_allowed(scope):
    """Every deployment of the catalogue is tried; ties by fewest models, then by the lowest index mask."""
    rng = np.random.default_rng(WIDE.index(scope))
    bypassed = prefetched = 0
    for number in range(60):
        charge = READINGS["charge"][number % 3]
        d = hard_decision(rng, 8, int(rng.integers(0, 6)), charge=charge, scope=scope, w1=float(rng.choice([0.3, 2.0, 8.0])))
        every = np.array(list(itertools.product([False, True], repeat=8)))[:, ::-1]  # in the order of the index masks
        alien = every & ~d.deployed
        alien[:, d.requested] = False
        every = every[
            d.fits(every) & (every[:, d.requested] | d.scenario.may_bypass) & (~alien.any(axis=1) | d.scenario.may_prefetch)
        ]
        cost = d.cost(every)
        ties = np.flatnonzero(cost <= cost.min() + 1e-12)
        chosen = Exact().decide(d)
        assert_array_equal(chosen, every[ties[every[ties].sum(axis=1).argmin()]])
        assert d.check(chosen, "exact") is chosen
        bypassed += not chosen[d.requested]
        prefetched += (chosen & ~d.deployed & (np.arange(8) != d.requested)).any()
    assert (bypassed > 3) == (scope != "prefetch") and (prefetched > 3) == (scope != "bypass")


@pytest.mark.parametrize("scope", WIDE)
def test_exact_against_milp(scope):
    """A hundred models: a variable for each model, and one more for the room that the requested model takes while it is served."""
    rng = np.random.default_rng(10 + WIDE.index(scope))
    for charge in READINGS["charge"]:
        d = hard_decision(rng, 100, 60, charge=charge, scope=scope)
        gain = d.leaving_cost - d.holding_cost
        upper = d.allowed.astype(float)
        upper[d.requested] = 1
        lower = np.zeros(100)
        lower[d.requested] = not d.scenario.may_bypass
        beside = d.needs.copy()
        beside[:, d.requested] = 0
        room = LinearConstraint(beside, ub=d.capacities - d.needs[:, d.requested])
        found = milp(-gain, constraints=room, integrality=np.ones(100), bounds=Bounds(lower, upper), options={"mip_rel_gap": 0})
        assert float(d.cost(Exact().decide(d))) == pytest.approx(d.leaving_cost.sum() + found.fun, rel=1e-9)


@pytest.mark.parametrize(("scope", "decides"), CLASSES)
def test_no_sequence_of_decisions_costs_less(scope, decides):
    """Clairvoyant's plan, what is booked and the least of all sequences, priced by the second implementation, are the same."""
    rng = np.random.default_rng([20, CLASSES.index((scope, decides))])
    sequences = better = 0
    for _ in range(60):
        scenario = roomy_scenario(rng, 3, **random_readings(rng) | {"scope": scope, "decides": decides})
        requests = {"evict": 6, "bypass": 6, "prefetch": 5, "free": 4}[scope]
        trace = small_trace(rng, 3, int(rng.integers(requests - 1, requests + 1)), int(rng.integers(2, 7)))
        costs, delays = zip(*every_run(scenario, trace), strict=True)
        plan = Clairvoyant().prepare(scenario, trace)
        assert plan.cost == close(min(costs))
        assert simulate(scenario, "clairvoyant", trace=trace).means()["total_cost"] == close(min(costs))
        assert Clairvoyant("delay").prepare(scenario, trace).cost == close(min(delays))
        assert lower_bound(scenario, trace) <= plan.cost * (1 + 1e-9) + 1e-12
        sequences += len(costs)
        better += plan.cost < Clairvoyant().prepare(scenario.vary(scope="evict", decides="miss"), trace).cost * (1 - 1e-9)
    assert sequences > 300 and better > 5


@pytest.mark.parametrize(("scope", "decides"), CLASSES)
def test_decisions_follow_the_plan_on_longer_traces(scope, decides):
    """What Clairvoyant plans is what the simulator books, under any reading, also where it works its plan out in stretches."""
    rng = np.random.default_rng([30, CLASSES.index((scope, decides))])
    for _ in range(30):
        readings = random_readings(rng) | {"scope": scope, "decides": decides}
        scenario = roomy_scenario(rng, int(rng.integers(3, 9)), slots=60, **readings)
        trace = poisson_trace(scenario, int(rng.integers(2**32)))
        plan = Clairvoyant().prepare(scenario, trace)
        assert simulate(scenario, "clairvoyant", trace=trace).means()["total_cost"] == close(plan.cost)

        class Planned:
            name = "planned"
            decide = staticmethod(plan.decide)

        pairs = [("clairvoyant", Planned()), (Exact(), type("Called", (), {"name": "called", "decide": Exact().decide})())]
        for compiled, called in pairs:
            one, other = (simulate(scenario, policy, trace=trace) for policy in (compiled, called))
            assert_array_equal(one.evictions, other.evictions)
            assert_array_equal(one.prefetches, other.prefetches)


ORDER = [("free", "prefetch"), ("prefetch", "evict"), ("free", "bypass"), ("bypass", "evict")]
ORDER += [(f"{wide} at requests", f"{narrow} at requests") for wide, narrow in ORDER]
ORDER += [(f"{scope} at requests", scope) for scope in READINGS["scope"]]


def test_the_bounds_of_wider_scopes_are_lower():
    """Clairvoyant on a trace, OptimalOnline on average, and the lower bound below each, on 300 random scenarios."""
    rng = np.random.default_rng(40)
    lower = dict.fromkeys(ORDER, 0)
    for _ in range(300):
        readings = random_readings(rng) | {"popularity": "true", "resource_basis": "slot"}
        scenario = roomy_scenario(rng, int(rng.integers(1, 7)), slots=25, **readings)
        trace = poisson_trace(scenario, int(rng.integers(2**32)))
        servers = {scope: scenario.vary(scope=scope) for scope in READINGS["scope"]}
        servers |= {f"{scope} at requests": server.vary(decides="request") for scope, server in servers.items()}
        floor = {scope: Clairvoyant().prepare(server, trace).cost for scope, server in servers.items()}
        average = {scope: OptimalOnline().solve(server, trace.popularity).average_cost for scope, server in servers.items()}
        for scope, server in servers.items():
            assert lower_bound(server, trace, rounds=30) <= floor[scope] * (1 + 1e-9) + 1e-12, scope
        for wide, narrow in ORDER:
            assert floor[wide] <= floor[narrow] * (1 + 1e-9) + 1e-12
            assert average[wide] <= average[narrow] * (1 + 1e-7) + 1e-9
            lower[wide, narrow] += floor[wide] < floor[narrow] * (1 - 1e-6)
    assert min(lower.values()) > 30, lower


class ServeThenUnload:
    """Let the requested model go as soon as it is served."""

    name = "serve-then-unload"

    def decide(self, decision):
        return np.zeros(len(decision.deployed), dtype=bool)


def test_bypass_at_weights_of_one_costs_what_serve_then_unload_costs():
    """By hand from equation 7. Holding a model costs its gigabytes per slot, evicting it seconds: Exact keeps next to none."""
    scenario, kept = Scenario(scope="bypass"), 0
    for seed in range(20):
        trace = poisson_trace(scenario, seed)
        asked, cost = np.zeros(10), 0.0
        for clock, model in enumerate(trace.model, start=1):
            asked[model] += 1
            c = scenario.catalogue
            delay = 8 * c.size_gb[model] / 10 + c.io_delay_s[model] + c.inference_delay_s[model]
            cost += delay * (asked[model] + 1) / (clock + 10)
        unloading, exact = (simulate(scenario, policy, trace=trace) for policy in (ServeThenUnload(), Exact()))
        assert unloading.means()["total_cost"] == close(cost / scenario.slots)
        assert Clairvoyant().prepare(scenario, trace).cost <= cost / scenario.slots * (1 + 1e-12)
        kept += exact.deployments.any()
        assert exact.deployments.any() or exact.means()["total_cost"] == close(cost / scenario.slots)
    assert kept < 10


def test_a_bypass_and_a_prefetch_by_hand():
    """Room for two of a, b, c (1 GB each; d = 0.8 + 1 + 1 s). The planner prefetches c at a's miss, and b leaves at once."""
    catalogue = make_catalogue(**dict.fromkeys("abc", (1.0, 1.0, 0.1, 1.0, 1.0)))
    scenario = Scenario(catalogue, storage_gb=2, gpu_memory_gb=2, slots=4, scope="free", popularity="true", w2=0.5)
    trace = one_each(3, [0, 2, 1, 0])
    choices = {1: [0, 2], 3: [2], 4: [0, 2]}

    class Scripted:
        name = "scripted"

        def decide(self, decision):
            return np.isin(np.arange(3), choices[decision.clock])

    run = simulate(scenario, Scripted(), trace=trace)
    assert run.outcome.tolist() == [0, 1, 0, 0]  # the prefetched c is a hit
    assert run.prefetches.tolist() == [[1, 2]]
    assert run.evictions.tolist() == [[3, 0, 1], [3, 1, 1]]  # a makes room for b, which leaves as soon as it is served
    assert run.deployments.tolist() == [[True, False, True], [True, False, True], [False, False, True], [True, False, True]]
    assert run.slots["switching_cost"].tolist() == pytest.approx([0, 0, 2 * 2.8 / 3, 0])
    assert run.slots["resource_cost"].tolist() == [2, 2, 1, 2]  # 0.5 (1 GB + 1 GB) for each model
    assert run.slots["fetched_gb"].tolist() == [2, 0, 1, 1]
    assert run.events["prefetched"].tolist() == ["c", "", "", ""]
    assert run.slots["service_delay_s"].tolist() == pytest.approx([2.8, 1, 2.8, 2.8])  # nobody waits for c
    booked = simulate(scenario.vary(charge="miss"), Scripted(), trace=trace).slots["switching_cost"]
    assert booked.tolist() == pytest.approx([3.6, 0, 1.8, 1.8])  # 8 x size / B + l of each model deployed


@pytest.mark.parametrize(
    ("scope", "chosen", "why"),
    [
        ("evict", [1], "the requested model is not in the chosen deployment, as it must be under scope = evict"),
        ("prefetch", [1], "the requested model is not in the chosen deployment, as it must be under scope = prefetch"),
        ("bypass", [0, 2], "'c' was neither deployed nor requested and cannot be deployed under scope = bypass"),
        ("free", [1, 2], "the chosen deployment, with the requested model while it is served, takes 3 GB storage"),
    ],
)
def test_a_decision_beyond_the_scope_is_refused(scope, chosen, why):
    catalogue = make_catalogue(**dict.fromkeys("abc", (1.0, 1.0, 0.1, 1.0, 1.0)))
    scenario = Scenario(catalogue, storage_gb=2, gpu_memory_gb=2, scope=scope)
    decision = make_decision(scenario, 0, [1], [1, 1, 0])
    with pytest.raises(PolicyError, match=why):
        decision.check(np.isin(np.arange(3), chosen), "mine")


@pytest.mark.parametrize("scope", WIDE)
def test_ensembles_play_the_scope(scope):
    """Thousands of small runs are those of the simulator, for Exact and the GA."""
    scenario = Scenario.named("closest", scope=scope, slots=40)
    costs, delays = outcomes(scenario, [{}, {"storage_gb": 60}], ["exact", "ga", "lru"], range(2), 7)
    for place, storage in enumerate((120, 60)):
        for number, policy in enumerate(("exact", "ga", "lru")):
            for replication in range(2):
                means = simulate(scenario.vary(storage_gb=storage), policy, 7, replication=replication).means()
                assert costs[place, number, replication] == close(means["total_cost"])
                assert delays[place, number, replication] == close(means["service_delay_s"])


@pytest.mark.parametrize("scope", WIDE)
def test_the_ga_comes_near_the_optimum(scope):
    """Every gene is free under `free` and `prefetch`; the mean cost of its decisions stays within five percent of Exact's."""
    rng = np.random.default_rng(50)
    ratio = []
    for seed in range(40):
        d = hard_decision(rng, 10, int(rng.integers(0, 8)), charge="absence", scope=scope, seed=seed)
        chosen = GA(convergence=0).decide(d)
        d.check(chosen, "ga")
        ratio.append(float(d.cost(chosen) / d.cost(Exact().decide(d))))
    assert min(ratio) >= 1 - 1e-12 and np.mean(ratio) < 1.05


def test_what_was_deployed_before_a_miss_counts_decisions_at_hits():
    """A model prefetched or unloaded at a hit is seen at the next miss; by the log of events."""
    for seed in range(5):
        run = simulate(Scenario(scope="free", decides="request", charge="absence", w2=0.05, slots=60), "exact", seed)
        index = {service: place for place, service in enumerate(run.scenario.catalogue.services)}
        deployed, before = set(), []
        for event in run.events.itertuples():
            if not event.hit and not event.cloud:
                before.append(sorted(deployed))
                deployed.add(index[event.model])
            deployed |= {index[name] for name in event.prefetched.split("; ") if name}
            deployed -= {index[name] for name in event.evicted.split("; ") if name}
        assert [np.flatnonzero(row).tolist() for row in run.deployed_before] == before
        at_hits = run.events["hit"] & ((run.events["evicted"] != "") | (run.events["prefetched"] != ""))
        assert at_hits.any()
