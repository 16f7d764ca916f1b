"""A trace says what it is: its own rate, slot length and popularity count, names are taken, and what is no trace is refused."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from support.cases import make_catalogue

from edgecache import (
    POLICIES,
    READINGS,
    Catalogue,
    Clairvoyant,
    InputError,
    OptimalOnline,
    Scenario,
    Trace,
    load_catalogue,
    poisson_trace,
    simulate,
)
from edgecache.demand import zipf_popularity
from edgecache.trace import NEVER

BOTH_FIT = make_catalogue(a=(30, 4, 0.1, 5, 2), b=(30, 4, 0.1, 5, 2))
TRACE = {"slot": [0, 0, 1], "model": [0, 1, 0], "slots": 2, "popularity": [0.5, 0.5]}


@pytest.mark.parametrize("policy", ["lru", "exact", "optimal-online", "clairvoyant", "ga"])
@pytest.mark.parametrize("rate", [1.0, 50.0])
def test_two_models_that_both_fit_cost_what_they_occupy_at_any_rate_of_the_scenario(policy, rate):
    """2,000 requests, 50 per slot: after the first two requests nothing happens, and holding both costs 2 x (30 + 4) per slot."""
    model = np.random.default_rng(0).integers(0, 2, 2000)
    trace = Trace(np.repeat(np.arange(40), 50), model, 40, [0.5, 0.5])
    slow = make_catalogue(a=(30, 4, 0.1, 600, 2), b=(30, 4, 0.1, 600, 2))  # so that no planner wants to evict
    run = simulate(Scenario(slow, arrival_rate=rate), policy, trace=trace)
    assert run.means()["total_cost"] == pytest.approx(68.0)
    assert len(run.evictions) == 0


def test_a_trace_of_the_default_scenario_s_own_demand_changes_nothing():
    scenario = Scenario(slots=40, active_cycle="slots", popularity="true")
    drawn = poisson_trace(scenario, 3)
    asked = dataclasses.replace(drawn)
    for policy in ("optimal-online", "exact"):
        assert simulate(scenario, policy, trace=asked).means() == simulate(scenario, policy, trace=drawn).means()


def test_energy_and_the_active_cycle_in_slots_are_those_of_the_trace():
    scenario = Scenario(BOTH_FIT, storage_gb=40, active_cycle="slots", popularity="true", w2=0.0)
    trace = Trace([0, 0, 0, 1], [0, 1, 0, 1], 2, [0.5, 0.5], slot_length_s=3600.0)
    run = simulate(scenario, "lru", trace=trace)
    # one 0.1 kW model beside 0.3 kW, two hours; each of three evictions costs d / a with a = 1 / (2 per slot x 0.5) = 1 slot
    assert run.means()["energy_kwh"] == pytest.approx(0.8)
    assert run.means()["switching_cost"] == pytest.approx(3 * (8 * 30 / 10 + 5 + 2) / 2)
    other = dataclasses.replace(trace, requests_per_slot=4.0)
    assert simulate(scenario, "lru", trace=other).means()["switching_cost"] == pytest.approx(6 * (8 * 30 / 10 + 5 + 2) / 2)


def test_the_plan_of_a_run_is_that_of_its_trace_s_rate():
    scenario = Scenario(popularity="true", arrival_rate=1.0)
    trace = poisson_trace(scenario.vary(arrival_rate=6.0), 1)
    plan = OptimalOnline().prepare(scenario, trace)
    assert plan.average_cost == pytest.approx(OptimalOnline().solve(scenario.vary(arrival_rate=6.0), trace.popularity).average_cost)


def test_names_and_indices_are_the_same_trace():
    catalogue = load_catalogue()
    names = [catalogue.services[i] for i in (3, 0, 3, 9)]
    named = Trace([0, 1, 1, 4], names, 5, catalogue=catalogue)
    indexed = Trace([0, 1, 1, 4], [3, 0, 3, 9], 5, named.popularity)
    assert_array_equal(named.model, indexed.model)
    assert_array_equal(Trace([0, 1, 1, 4], np.array(names), 5, catalogue=catalogue).model, indexed.model)
    assert named.popularity[3] == 0.5
    assert named.requests_per_slot == indexed.requests_per_slot == 0.8


def test_counts_are_normalised_and_shares_stay_as_they_are():
    assert Trace(**TRACE | {"popularity": [3, 1]}).popularity.tolist() == [0.75, 0.25]
    shares = np.array([0.1] * 3 + [0.7])
    assert_array_equal(Trace([0], [1], 1, shares).popularity, shares)


WRONG = [
    ({"slot": [0.9, 1.0, 1.0]}, "slot of a trace is [0.9, 1.0, 1.0]; it must be a sequence of whole numbers"),
    ({"model": [0, 1.9, 0]}, "model of a trace is [0, 1.9, 0]; it must be a sequence of whole numbers"),
    ({"model": [True, False, True]}, "model of a trace is [True, False, True]; it must be a sequence of whole numbers"),
    ({"model": ["a", "b", "a"]}, "the models of the trace are named; give its catalogue, or their indices"),
    ({"model": [0, float("nan"), 0]}, "model of a trace is [0, nan, 0]; it must be"),
    ({"model": [0, 1]}, "a trace has one slot per request, but slot has shape (3,) and model (2,)"),
    ({"model": [0, 2, 0]}, "the models of a trace must lie between 0 and 1"),
    ({"slot": [1, 0, 1]}, "the slots of a trace must ascend from 0 to at most 1"),
    ({"slot": [0, 1, 2]}, "the slots of a trace must ascend from 0 to at most 1"),
    ({"slots": 3.5}, "slots of a trace is 3.5; it must be a whole number"),
    ({"slots": None}, "slots of a trace is None; it must be a whole number"),
    ({"slots": float("nan")}, "slots of a trace is nan; it must be a whole number"),
    ({"slots": 0}, "slots of a trace is 0; it must be a whole number, at least 1"),
    (
        {"popularity": [0, 0]},
        "popularity of a trace is [0, 0]; it must be one finite number of at least zero per model",
    ),
    ({"popularity": [1, -1]}, "popularity of a trace is [1, -1]; it must be"),
    ({"popularity": [1, float("inf")]}, "popularity of a trace is [1, inf]; it must be"),
    ({"popularity": "half"}, "popularity of a trace is 'half'; it must be"),
    ({"popularity": None}, "a trace needs the popularity of its models, or the catalogue to count them by"),
    ({"requests_per_slot": -1}, "requests_per_slot of a trace is -1; it must be a number from 0"),
    ({"slot_length_s": 0}, "slot_length_s of a trace is 0; it must be a number from 1e-12"),
    ({"model": ["a", "c", "a"], "catalogue": BOTH_FIT}, "unknown model of the trace 'c'; known: a, b"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[str(changes) for changes, _ in WRONG])
def test_what_is_no_trace_is_one_sentence(changes, message):
    with pytest.raises(InputError) as error:
        Trace(**TRACE | changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trace_for_another_catalogue_is_refused():
    trace = Trace([0], ["a"], 1, catalogue=BOTH_FIT)
    other = make_catalogue(a=(30, 4, 0.1, 5, 2), c=(30, 4, 0.1, 5, 2))
    with pytest.raises(InputError, match="the trace is for another catalogue: its model 1 is 'b', here it is 'c'"):
        simulate(Scenario(other), "lru", trace=trace)
    with pytest.raises(InputError, match="the trace has 2 models, but the catalogue has 10"):
        simulate(Scenario(), Clairvoyant(), trace=Trace(**TRACE))


@given(st.lists(st.integers(0, 3), max_size=25))
def test_next_requests_against_brute_force(models):
    trace = Trace([0] * len(models), models, 1, [0.25] * 4)
    for k, model in enumerate(models):
        later = [j + 1 for j in range(k + 1, len(models)) if models[j] == model]
        assert trace.next_request[k] == (later[0] if later else NEVER)
    for clock, model in itertools.product(range(len(models) + 1), range(4)):
        later = [j + 1 - clock for j in range(clock, len(models)) if models[j] == model]
        assert trace.requests_until(clock, model) == (later[0] if later else len(models) + 1 - clock)


def test_popularity_is_shuffled_or_in_the_catalogue_s_order():
    shares = zipf_popularity(10, 0.8)
    for seed in range(5):
        assert_array_equal(poisson_trace(Scenario(popularity_order="fixed"), seed).popularity, shares)
        shuffled = poisson_trace(Scenario(), seed).popularity
        assert_array_equal(np.sort(shuffled)[::-1], shares)
        assert not np.array_equal(shuffled, shares)


def test_weights_of_the_catalogue_take_the_place_of_zipf():
    """Weights 1 and 0: the second model is never asked for."""
    rows = load_catalogue().table().head(2)
    for order in READINGS["popularity_order"]:
        catalogue = Catalogue(**rows.rename(columns={"service": "services"}).to_dict("list"), weight=[1, 0])
        scenario = Scenario(catalogue, popularity_order=order)
        trace = poisson_trace(scenario, 3)
        assert trace.popularity.tolist() == [1, 0] and not trace.model.any() and len(trace) > 50
        assert poisson_trace(Scenario(dataclasses.replace(catalogue, weight=[1, 3])), 3).popularity.tolist() == [0.25, 0.75]
        for policy in POLICIES:
            assert simulate(scenario, policy, trace=trace).means()["cloud_requests"] == 0
