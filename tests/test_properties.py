"""What must hold whatever the server, the demand and the reading: hypothesis looks for a counterexample."""

from dataclasses import replace

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.cases import FEATURES, make_catalogue

from edgecache import GA, POLICIES, READINGS, EvictionPolicy, InputError, Scenario, poisson_trace, simulate, sweep_by_slot

# the same examples every time, so that a red test is a red test everywhere; the first call may compile for seconds
settings.register_profile(
    "edgecache", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("edgecache")

names = st.sampled_from(sorted(POLICIES))
ranks = st.sampled_from(sorted(name for name, p in POLICIES.items() if isinstance(p, EvictionPolicy) and name != "random"))
seeds = st.integers(0, 2**63)


def amount(low, high):
    """Numbers a scenario or catalogue takes: what is not zero is at least 1e-12."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False).map(lambda value: value if value >= 1e-12 else 0.0)


@st.composite
def catalogues(draw):
    row = st.tuples(amount(0.01, 60), amount(0.01, 8), amount(0, 0.6), amount(0, 90), amount(0, 40))
    rows = draw(st.lists(row, min_size=1, max_size=9))
    return make_catalogue(**{f"m{i}": row for i, row in enumerate(rows)})


@st.composite
def scenarios(draw, **fixed):
    words = {name: draw(st.sampled_from(words)) for name, words in READINGS.items()}
    numbers = {
        "storage_gb": amount(0.1, 150),
        "gpu_memory_gb": amount(0.1, 20),
        "energy_capacity_kw": amount(0.31, 2),
        "bandwidth_gbps": amount(0.1, 100),
        "cloud_delay_s": amount(0, 10),
        "slots": st.integers(1, 12),
        "slot_length_s": amount(0.1, 600),
        "arrival_rate": amount(0.05, 4),
        "zipf": amount(0, 3),
        "w1": amount(0, 10),
        "w2": amount(0, 10),
        "beta": amount(0, 10),
    }
    parameters = words | {name: draw(number) for name, number in numbers.items()} | fixed
    try:
        return Scenario(draw(catalogues()), **parameters)
    except InputError as error:  # the only combination that is none: not one model fits
        assert "no model of the catalogue fits" in str(error)  # noqa: PT017, most draws raise nothing
        assume(False)


def defined(scenario, *policies):
    """The scenario under a reading that all the policies are defined for: `optimal-online` needs resource_basis = slot."""
    return scenario.vary(resource_basis="slot") if "optimal-online" in policies else scenario


@given(scenarios(), names, seeds)
def test_capacities_are_never_exceeded(scenario, policy, seed):
    """At the end of every slot, and after every request: with one request a slot they are the same."""
    run = simulate(defined(scenario, policy), policy, seed)
    c = scenario.catalogue
    used = run.deployments @ np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw], axis=1)
    capacity = [scenario.storage_gb, scenario.gpu_memory_gb, scenario.energy_capacity_kw - scenario.static_power_kw]
    assert (used <= np.array(capacity) * (1 + 1e-8)).all()
    assert not run.deployments[:, ~scenario.fits_empty_server].any()


@given(scenarios(), names, seeds)
def test_nothing_is_negative_and_the_parts_add_up(scenario, policy, seed):
    run = simulate(defined(scenario, policy), policy, seed)
    slots, means = run.slots, run.means()
    for column in slots.columns:
        assert not (slots[column] < 0).any(), column
        assert np.isfinite(slots[column]).all() or column in ("service_delay_s", "service_delay_all_s", "cloud_share")
    assert np.allclose(slots["switching_cost"] + slots["resource_cost"], slots["total_cost"], rtol=1e-12, atol=0)
    assert np.isclose(means["switching_cost"] + means["resource_cost"], means["total_cost"], rtol=1e-12, atol=0)
    assert (slots["hits"] + slots["cloud_requests"] <= slots["requests"]).all()
    if means["requests"]:
        assert 0 <= means["hit_ratio"] <= 1
        assert means["hit_ratio"] <= 1 - means["cloud_requests"] / means["requests"] + 1e-12
    else:
        assert np.isnan(means["hit_ratio"])
    if means["requests"] > means["cloud_requests"]:
        c = scenario.catalogue
        most = (8 * c.size_gb / scenario.bandwidth_gbps + c.io_delay_s + c.inference_delay_s).max()
        assert c.inference_delay_s.min() * (1 - 1e-12) <= means["service_delay_s"] <= most * (1 + 1e-12)
    # it takes a request to fetch, and static power is always drawn
    assert ((slots["fetched_gb"] > 0) == (slots["requests"] > slots["hits"] + slots["cloud_requests"])).all()
    assert (slots["energy_kwh"] >= scenario.static_power_kw * scenario.slot_length_s / 3600 * (1 - 1e-12)).all()


@given(scenarios(), names, seeds)
def test_same_seed_same_run(scenario, policy, seed):
    first, second = (simulate(defined(scenario, policy), policy, seed).slots for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@settings(max_examples=12)
@given(scenarios(), st.lists(names, min_size=1, max_size=3, unique=True), st.integers(0, 2**31))
def test_same_table_at_one_and_two_workers(scenario, policies, seed):
    vary = {"arrival_rate": [scenario.arrival_rate, 2 * scenario.arrival_rate]}
    options = {"replications": 2, "scenario": defined(scenario, *policies), "seed": seed, "progress": False}
    alone, together = (sweep_by_slot(vary, policies, jobs=jobs, **options) for jobs in (1, 2))
    for one, two in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(one, two, check_exact=True)


@given(scenarios(), names, seeds, st.tuples(amount(1, 4), amount(1, 4), amount(1, 4)))
def test_a_larger_server_sends_no_more_requests_to_the_cloud(scenario, policy, seed, factors):
    larger = scenario.vary(
        storage_gb=scenario.storage_gb * factors[0],
        gpu_memory_gb=scenario.gpu_memory_gb * factors[1],
        energy_capacity_kw=scenario.energy_capacity_kw * factors[2],
    )
    small, large = (simulate(defined(server, policy), policy, seed) for server in (scenario, larger))
    assert large.means()["requests"] == small.means()["requests"]
    assert large.means()["cloud_requests"] <= small.means()["cloud_requests"]
    assert not (large.events["cloud"] & ~small.events["cloud"]).any()


@given(scenarios(), seeds, st.integers(1, 30))
def test_more_slots_only_append(scenario, seed, more):
    """A longer trace begins with the shorter one, and a longer run does too, but for what the future decides."""
    longer = scenario.vary(slots=scenario.slots + more)
    short, long = poisson_trace(scenario, seed), poisson_trace(longer, seed)
    assert np.array_equal(long.model[: len(short)], short.model)
    assert np.array_equal(long.slot[: len(short)], short.slot)
    columns = ["requests", "hits", "cloud_requests", "resource_cost", "fetched_gb", "energy_kwh", "service_delay_s"]
    for policy in ("random", "lfu", "exact"):
        first, second = (simulate(server, policy, seed).slots[columns] for server in (scenario, longer))
        pd.testing.assert_frame_equal(second.iloc[: scenario.slots], first, check_dtype=False, rtol=1e-12)


@given(scenarios(popularity="estimated", active_cycle="requests", charge="eviction"), names, seeds)
def test_weights_scale_the_costs_and_nothing_else(scenario, policy, seed):
    """Both weights doubled: the same decisions, twice the cost."""
    double = scenario.vary(w1=2 * scenario.w1, w2=2 * scenario.w2)
    first, second = (simulate(defined(server, policy), policy, seed) for server in (scenario, double))
    assert np.array_equal(first.outcome, second.outcome)
    assert np.array_equal(first.evictions, second.evictions)
    assert np.allclose(2 * first.by_slot["total_cost"], second.by_slot["total_cost"], rtol=1e-12)


@given(scenarios(charge="eviction", active_cycle="requests"), seeds)
def test_exact_is_never_beaten_in_its_own_decision(scenario, seed):
    """At every miss of a run under the GA, the exact decision costs no more than the GA's."""

    class Both:
        name = "both"

        def decide(self, decision):
            exact, ga = POLICIES["exact"].decide(decision), GA(generations=5).decide(decision)
            assert decision.cost(exact) <= decision.cost(ga) * (1 + 1e-12)
            assert decision.fits(exact) and decision.fits(ga)
            return ga

    simulate(scenario, Both(), seed)


@given(scenarios(), ranks, seeds)
def test_the_order_of_the_catalogue_is_no_matter_for_ranks(scenario, policy, seed):
    """Models listed backwards, the same demand: eviction policies but Random do the same to the same models."""
    c = scenario.catalogue
    backwards = make_catalogue(
        **{c.services[i]: tuple(getattr(c, feature)[i] for feature in FEATURES) for i in reversed(range(len(c)))}
    )
    trace = poisson_trace(scenario, seed)
    mirrored = replace(trace, model=len(c) - 1 - trace.model, popularity=trace.popularity[::-1])
    first = simulate(scenario, policy, trace=trace)
    second = simulate(scenario.vary(catalogue=backwards), policy, trace=mirrored)
    pd.testing.assert_frame_equal(first.events, second.events)
    pd.testing.assert_frame_equal(first.slots, second.slots)
