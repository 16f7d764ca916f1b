"""Equations 1 to 12 and every reading, on numbers worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.cases import make_catalogue, make_decision

from edgecache import READINGS, Exact, Scenario, Trace, costs, poisson_trace, simulate

# ---- the equations, one by one, on three models: s = 10, 20, 5 GB; g = 2, 3, 1 GB; e = 0.1, 0.2, 0.05 kW

SIZE, MEMORY, POWER = np.array([10.0, 20.0, 5.0]), np.array([2.0, 3.0, 1.0]), np.array([0.1, 0.2, 0.05])
DEPLOYED = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, 0]])


def test_equation_1_storage():
    # 10 + 20 = 30, 10 + 5 = 15, 35, 0
    assert_array_equal(costs.storage_fits(DEPLOYED, SIZE, 30), [True, True, False, True])
    assert_array_equal(costs.storage_fits(DEPLOYED, SIZE, 29.9), [False, True, False, True])


def test_equation_2_gpu_memory():
    # 2 + 3 = 5, 2 + 1 = 3, 6, 0
    assert_array_equal(costs.gpu_memory_fits(DEPLOYED, MEMORY, 5), [True, True, False, True])
    assert_array_equal(costs.gpu_memory_fits(DEPLOYED, MEMORY, 4.9), [False, True, False, True])


def test_equation_3_energy_counts_the_static_power():
    # 0.5 + 0.1 + 0.2 = 0.8, 0.5 + 0.15 = 0.65, 0.85, 0.5
    assert_array_equal(costs.energy_fits(DEPLOYED, POWER, 0.5, 0.81), [True, True, False, True])
    assert_array_equal(costs.energy_fits(DEPLOYED, POWER, 0.5, 0.7), [False, True, False, True])
    assert_array_equal(costs.energy_fits(DEPLOYED, POWER, 0.0, 0.31), [True, True, False, True])


def test_equations_4_to_6_delays_of_what_is_evicted():
    evicted = np.array([1, 0, 1])
    assert_allclose(costs.transmission_delay_s(evicted, SIZE, 10), [8, 0, 4])  # 8 x 10 / 10 and 8 x 5 / 10
    assert_allclose(costs.preloading_delay_s(evicted, np.array([4.0, 6.0, 2.0])), [4, 0, 2])
    assert_allclose(costs.inference_delay_s(evicted, np.array([1.0, 4.0, 0.5])), [1, 0, 0.5])


def test_equation_7_switching_cost():
    delay, cycle = np.array([13.0, 0.0, 6.5]), np.array([2.0, 7.0, 4.0])
    assert_allclose(costs.eviction_cost(delay, cycle), [6.5, 0, 1.625])
    assert_allclose(costs.switching_cost(delay, cycle), 8.125)
    assert_allclose(costs.switching_cost(np.stack([delay, 2 * delay]), cycle), [8.125, 16.25])


def test_equations_8_to_10_resource_cost():
    assert_allclose(costs.storage_cost(DEPLOYED, SIZE), [30, 15, 35, 0])
    assert_allclose(costs.gpu_memory_cost(DEPLOYED, MEMORY), [5, 3, 6, 0])
    assert_allclose(costs.resource_cost(30, 5, beta=1), 35)
    assert_allclose(costs.resource_cost(30, 5, beta=0.2), 31)


def test_equation_11_total_cost():
    assert_allclose(costs.total_cost(8, 35, w1=1, w2=1), 43)
    assert_allclose(costs.total_cost(8, 35, w1=0.5, w2=2), 74)


def test_equation_12_fitness_falls_as_the_cost_grows():
    assert_allclose(costs.fitness(np.array([0.25, 1.0, 8.0])), [4, 1, 0.125])


# ---- a run of eight requests under LRU, worked by hand
#
#        s GB   g GB    e kW   l s   k s    8 s/B   d = 8 s/B + l + k   (B = 4 Gbit/s, so 8 s/B = 2 s)
#   a      10      2    0.10     4   1         20     25
#   b      20      3    0.20     6   4         40     50
#   c       5      1    0.05     2   0.5       10     12.5
#   d     100      4    0.30    10   2.5      200    212.5   too large for 32 GB: the cloud serves it
#
# Any two of a, b, c fit 32 GB and 8 GB of GPU memory; all three (35 GB) do not. The server starts empty (cold).
#
#   slot  requests (numbers)     what happens                          deployed after the slot
#   0     a (1), b (2), a (3)    fetch a, fetch b, hit                 a b    30 GB, 5 GB
#   1     c (4)                  fetch c, evict b (last asked at 2)    a c    15 GB, 3 GB
#   2     none                                                         a c
#   3     d (5), b (6), b (7)    cloud; fetch b, evict a (3); hit      b c    25 GB, 4 GB
#   4     a (8)                  fetch a, evict c (last asked at 4)    a b    30 GB, 5 GB

CATALOGUE = make_catalogue(a=(10, 2, 0.10, 4, 1), b=(20, 3, 0.20, 6, 4), c=(5, 1, 0.05, 2, 0.5), d=(100, 4, 0.30, 10, 2.5))
A, B, C, D = range(4)
TRACE = Trace([0, 0, 0, 1, 3, 3, 3, 4], [A, B, A, C, D, B, B, A], 5, [0.4, 0.3, 0.2, 0.1])
SCENARIO = Scenario(
    CATALOGUE, storage_gb=32, gpu_memory_gb=8, bandwidth_gbps=4, slots=5, slot_length_s=120, arrival_rate=2, cloud_delay_s=7
)


def run(**readings):
    scenario = SCENARIO.vary(**readings)  # the trace as one of the scenario's demand
    trace = replace(TRACE, requests_per_slot=scenario.requests_per_slot, slot_length_s=scenario.slot_length_s)
    return simulate(scenario, "lru", trace=trace)


def test_what_happens_in_the_run():
    sim = run()
    events = sim.events
    assert events["hit"].tolist() == [False, False, True, False, False, False, True, False]
    assert events["cloud"].tolist() == [False, False, False, False, True, False, False, False]
    assert events["evicted"].tolist() == ["", "", "", "b", "", "a", "", "c"]
    assert events["fetched_gb"].tolist() == [10, 20, 0, 5, 0, 20, 0, 10]
    assert events["model"].tolist() == list("abacdbba")
    assert events["slot"].tolist() == [0, 0, 0, 1, 3, 3, 3, 4]
    assert sim.deployments.astype(int).tolist() == [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0]]
    slots = sim.slots
    assert slots["slot"].tolist() == [0, 1, 2, 3, 4]
    assert slots["requests"].tolist() == [3, 1, 0, 3, 1]
    assert slots["hits"].tolist() == [1, 0, 0, 1, 0]
    assert slots["cloud_requests"].tolist() == [0, 0, 0, 1, 0]
    assert slots["fetched_gb"].tolist() == [30, 5, 0, 20, 10]


def test_service_delay_leaves_the_cloud_out():
    sim = run()
    # k at a hit, d at a miss, 7 + 2.5 on the cloud
    assert_allclose(sim.events["delay_s"], [25, 50, 1, 12.5, 9.5, 50, 4, 25])
    # (25 + 50 + 1) / 3; 12.5; no request; (50 + 4) / 2, without the cloud's; 25
    assert_allclose(sim.slots["service_delay_s"], [76 / 3, 12.5, np.nan, 27, 25])
    assert_allclose(sim.means()["service_delay_s"], 167.5 / 7)  # 25 + 50 + 1 + 12.5 + 50 + 4 + 25 over seven requests


def test_energy_at_rated_power():
    # 0.3 kW and what is deployed: 0.6, 0.45, 0.45, 0.55, 0.6 kW for 120 s, a thirtieth of an hour
    assert_allclose(run().slots["energy_kwh"], [0.02, 0.015, 0.015, 0.55 / 30, 0.02])
    assert_allclose(run().means()["energy_kwh"], 2.65 / 30)
    # without static power, and slots twice as long
    varied = run(static_power_kw=0.0, slot_length_s=240)
    assert_allclose(varied.slots["energy_kwh"], [0.02, 0.01, 0.01, 0.5 / 30, 0.02])


def test_means_of_the_run():
    means = run().means()
    # switching 0 + 12.5 + 0 + 7.5 + 25/12 and resource 35 + 18 + 18 + 29 + 35, both over five slots, the empty one included
    assert_allclose(means["switching_cost"], (20 + 25 / 12) / 5)
    assert_allclose(means["resource_cost"], 27)
    assert_allclose(means["total_cost"], 31 + 5 / 12)
    assert_allclose(means["hit_ratio"], 2 / 8)  # a request on the cloud is a request, and no hit
    assert_allclose(means["fetched_gb"], 65)
    assert (means["requests"], means["cloud_requests"]) == (8, 1)


# d / a, by hand. Counts n_i and n at the moment of each booking:
#   evictions: b at request 4 (n_b = 1, slot 1), a at request 6 (n_a = 2, slot 3), c at request 8 (n_c = 1, slot 4)
#   slot ends: n = 3, 4, 4, 7, 8; absent c d | b d | b d | a d | c d
SWITCHING = {
    # (n_i + 1) / (n + 4) of d: 50 x 2/8; 25 x 3/10; 12.5 x 2/12
    ("eviction", "requests", "estimated"): [0, 12.5, 0, 7.5, 25 / 12],
    # p_i d: 50 x 0.3; 25 x 0.4; 12.5 x 0.2
    ("eviction", "requests", "true"): [0, 15, 0, 10, 2.5],
    # d (n_i + 1) / slots elapsed: 50 x 2/2; 25 x 3/4; 12.5 x 2/5
    ("eviction", "slots", "estimated"): [0, 50, 0, 18.75, 5],
    # the same shares, two requests a slot: a_i = 1 / (2 p_i) slots
    ("eviction", "slots", "true"): [0, 30, 0, 20, 5],
    # b is asked for 2 requests later (6), a 2 later (8), c never: 0 requests left, + 1
    ("eviction", "actual", "estimated"): [0, 25, 0, 12.5, 12.5],
    ("eviction", "actual", "true"): [0, 25, 0, 12.5, 12.5],
    # slot 0: (12.5 + 212.5) x 1/7; 1 and 2: 50 x 2/8 + 212.5 x 1/8; 3: 25 x 3/11 + 212.5 x 2/11; 4: (12.5 + 212.5) x 2/12
    ("absence", "requests", "estimated"): [225 / 7, 39.0625, 39.0625, 500 / 11, 37.5],
    # 12.5 x 0.2 + 21.25; 50 x 0.3 + 21.25; the same; 25 x 0.4 + 21.25; 12.5 x 0.2 + 21.25
    ("absence", "requests", "true"): [23.75, 36.25, 36.25, 31.25, 23.75],
    # (12.5 + 212.5) x 1/1; 50 x 2/2 + 212.5 x 1/2; 50 x 2/3 + 212.5 x 1/3; 25 x 3/4 + 212.5 x 2/4; (12.5 + 212.5) x 2/5
    ("absence", "slots", "estimated"): [225, 156.25, 312.5 / 3, 125, 90],
    ("absence", "slots", "true"): [47.5, 72.5, 72.5, 62.5, 47.5],
    # from the end of each slot. 0: c in 1, d in 2; 1 and 2: b in 2, d in 1; 3: a in 1, d never (1 left + 1); 4: never, 0 left + 1
    ("absence", "actual", "estimated"): [118.75, 237.5, 237.5, 131.25, 225],
    ("absence", "actual", "true"): [118.75, 237.5, 237.5, 131.25, 225],
    # 8 s/B + l of what is fetched: 24 + 46; 12; none; 46; 24. The cycle and the popularity do not enter
    ("miss", "requests", "estimated"): [70, 12, 0, 46, 24],
    ("miss", "slots", "true"): [70, 12, 0, 46, 24],
    ("miss", "actual", "estimated"): [70, 12, 0, 46, 24],
}


@pytest.mark.parametrize(("charge", "active_cycle", "popularity"), SWITCHING)
def test_switching_cost_of_each_reading(charge, active_cycle, popularity):
    sim = run(charge=charge, active_cycle=active_cycle, popularity=popularity)
    assert_allclose(sim.slots["switching_cost"], SWITCHING[charge, active_cycle, popularity], rtol=1e-12)


def test_rate_of_each_model_makes_active_cycles_in_slots_shorter():
    # 0.25 a model, four models: one request a slot, half of what SWITCHING has
    sim = run(active_cycle="slots", popularity="true", arrival_rate=0.25, rate_basis="model")
    assert_allclose(sim.slots["switching_cost"], [0, 15, 0, 10, 2.5])


RESOURCE = {
    # 30 + 5; 15 + 3; the same in the slot without requests; 25 + 4; 30 + 5
    ("absolute", "slot"): [35, 18, 18, 29, 35],
    ("absolute", "decision"): [35, 18, 0, 29, 35],  # slot 2 has no decision
    # 30/32 + 5/8; 15/32 + 3/8; 25/32 + 4/8
    ("capacity", "slot"): [1.5625, 0.84375, 0.84375, 1.28125, 1.5625],
    ("capacity", "decision"): [1.5625, 0.84375, 0, 1.28125, 1.5625],
}


@pytest.mark.parametrize(("resource_unit", "resource_basis"), RESOURCE)
def test_resource_cost_of_each_reading(resource_unit, resource_basis):
    sim = run(resource_unit=resource_unit, resource_basis=resource_basis)
    assert_allclose(sim.slots["resource_cost"], RESOURCE[resource_unit, resource_basis], rtol=1e-12)


def test_a_slot_of_hits_or_cloud_requests_has_no_decision():
    trace = Trace([0, 1, 2, 3], [A, A, D, B], 4, [0.25] * 4)
    sim = simulate(SCENARIO.vary(resource_basis="decision"), "lru", trace=trace)
    assert_allclose(sim.slots["resource_cost"], [12, 0, 0, 35])  # fetch a; hit; cloud; fetch b beside a


def test_weights():
    slots = run(w1=2, w2=0.5, beta=3).slots
    assert_allclose(slots["switching_cost"], [0, 25, 0, 15, 25 / 6])
    assert_allclose(slots["resource_cost"], [22.5, 12, 12, 18.5, 22.5])  # half of 30 + 3 x 5; 15 + 3 x 3; 25 + 3 x 4
    assert_allclose(slots["total_cost"], [22.5, 37, 12, 33.5, 22.5 + 25 / 6])
    nothing = run(w1=0, w2=0).slots
    assert_allclose(nothing[["switching_cost", "resource_cost", "total_cost"]], 0)


LFU_TRACE = Trace([0, 0, 0, 0, 0, 1, 2, 3], [A, A, B, B, B, C, A, C], 4, [0.25] * 4)


@pytest.mark.parametrize(
    ("lfu", "evicted", "switching"),
    [
        # request 6, c: a has 2 and b 3, evict a (25 x 3/10). 7, a: c has 1 and b 3, evict c (12.5 x 2/11). 8, c: a has 3 in all
        # and b 3, evict b, asked for longer ago (50 x 4/12)
        ("perfect", ["a", "c", "b"], [0, 7.5, 25 / 11, 50 / 3]),
        # 8, c: a's count started anew at 7, so it has 1 and b 3, evict a. Its share still counts every request: 25 x 4/12
        ("in_cache", ["a", "c", "a"], [0, 7.5, 25 / 11, 25 / 3]),
    ],
)
def test_lfu_of_each_reading(lfu, evicted, switching):
    sim = simulate(SCENARIO.vary(lfu=lfu), "lfu", trace=LFU_TRACE)
    assert sim.events["evicted"].tolist() == ["", "", "", "", "", *evicted]
    assert_allclose(sim.slots["switching_cost"], switching)


def test_lfu_in_cache_does_not_depend_on_the_reading():
    for lfu in READINGS["lfu"]:
        sim = simulate(SCENARIO.vary(lfu=lfu), "lfu-in-cache", trace=LFU_TRACE)
        assert sim.events["evicted"].tolist()[5:] == ["a", "c", "a"]


# ---- the decision at request 4 of the run: c is missing, a and b are deployed, n = (2, 1, 1, 0), slot 1


def decision(**readings):
    return make_decision(SCENARIO.vary(**readings), C, [A, B], [2, 1, 1, 0], slot=1, popularity=[0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    ("readings", "eviction_cost"),
    [
        ({}, [25 * 3 / 8, 50 * 2 / 8, 12.5 * 2 / 8, 212.5 / 8]),
        ({"w1": 4}, [25 * 3 / 2, 50, 12.5, 212.5 / 2]),
        ({"popularity": "true"}, [10, 15, 2.5, 21.25]),
        ({"active_cycle": "slots"}, [37.5, 50, 12.5, 106.25]),  # two slots elapsed: d (n_i + 1) / 2
        ({"active_cycle": "slots", "popularity": "true"}, [20, 30, 5, 42.5]),
        ({"active_cycle": "actual"}, [25 * 3 / 8, 50 * 2 / 8, 12.5 * 2 / 8, 212.5 / 8]),  # a decision cannot see the future
        ({"charge": "miss"}, [25 * 3 / 8, 50 * 2 / 8, 12.5 * 2 / 8, 212.5 / 8]),
    ],
)
def test_what_evicting_costs_in_a_decision(readings, eviction_cost):
    d = decision(**readings)
    assert_allclose(d.eviction_cost, eviction_cost)
    assert_allclose(d.leaving_cost, [*eviction_cost[:3], 0])  # only a, b and, once it is served, c can be evicted


@pytest.mark.parametrize(
    ("readings", "holding_cost"),
    [
        ({}, [12, 23, 6, 104]),
        ({"w2": 0.5, "beta": 3}, [8, 14.5, 4, 56]),
        ({"resource_unit": "capacity"}, [10 / 32 + 0.25, 20 / 32 + 0.375, 5 / 32 + 0.125, 100 / 32 + 0.5]),
        ({"resource_basis": "decision"}, [12, 23, 6, 104]),
    ],
)
def test_what_keeping_costs_in_a_decision(readings, holding_cost):
    assert_allclose(decision(**readings).holding_cost, holding_cost)


def test_cost_of_a_decision():
    deployments = np.array([[0, 0, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0]], dtype=bool)
    # hold c (6) and evict a and b (9.375 + 12.5); hold a and c (18) and evict b; hold b and c (29) and evict a
    assert_allclose(decision().cost(deployments), [27.875, 30.5, 38.375])
    assert_allclose(decision().cost(deployments[1]), 30.5)
    # under `absence` d is missing too, whatever is decided: + 212.5 / 8
    assert_allclose(decision(charge="absence").cost(deployments), [54.4375, 57.0625, 64.9375])


def test_fits_weighs_all_three_capacities():
    deployments = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0]], dtype=bool)
    assert_array_equal(decision().fits(deployments), [True, True, False])  # 15, 25 and 35 of 32 GB
    assert_array_equal(decision(storage_gb=40, gpu_memory_gb=3).fits(deployments), [True, False, False])  # 3, 4, 6 of 3 GB
    assert_array_equal(decision(storage_gb=40, energy_capacity_kw=0.5).fits(deployments), [True, False, False])  # 0.45, 0.55, 0.65
    assert decision(storage_gb=40).fits(deployments[2])


@pytest.mark.parametrize(
    ("readings", "kept"),
    [
        ({}, []),  # keeping a costs 12 and evicting it 9.375; b 23 and 12.5
        ({"resource_unit": "capacity"}, [B]),  # both are worth keeping, 8.8125 and 11.5, but 35 GB do not fit 32
        ({"resource_unit": "capacity", "storage_gb": 35}, [A, B]),
        ({"w2": 0.75}, [A]),  # 9 against 9.375; b 17.25 against 12.5
        ({"w2": 0.75, "charge": "absence"}, [A]),
        ({"active_cycle": "slots"}, [B]),  # 37.5 - 12 = 25.5 and 50 - 23 = 27, one of them fits
        ({"popularity": "true"}, []),
        ({"scope": "prefetch", "charge": "absence", "w2": 0.75}, [A]),  # d is too large: 212.5 / 8 < 0.75 x 104
    ],
)
def test_exact_decides_by_these_costs(readings, kept):
    assert np.flatnonzero(Exact().decide(decision(**readings))).tolist() == sorted([*kept, C])


@pytest.mark.parametrize(
    ("readings", "deployed"),
    [
        ({"scope": "bypass"}, []),  # holding c costs 6, evicting it 12.5 x 2/8 = 3.125
        ({"scope": "bypass", "w2": 0.5}, [A, C]),  # c: 3 against 3.125; a: 6 against 9.375; b is worth less, 11.5 against 12.5
        ({"scope": "bypass", "w2": 0.53, "storage_gb": 20}, [A]),  # c, 3.18 against 3.125, takes its 5 GB while it is served
        ({"scope": "free", "w2": 0.53, "storage_gb": 20}, [A]),
        # d, 10.4 against 26.5625, is worth more than a, and with b and c it fits 8 GB of GPU memory
        ({"scope": "free", "storage_gb": 200, "energy_capacity_kw": 9, "w2": 0.1, "charge": "absence"}, [B, C, D]),
    ],
)
def test_exact_decides_by_these_costs_in_other_scopes(readings, deployed):
    assert np.flatnonzero(Exact().decide(decision(**readings))).tolist() == deployed


def test_what_is_booked_does_not_change_what_is_decided():
    scenario = SCENARIO.vary(resource_unit="capacity", slots=60)
    trace = poisson_trace(scenario, 5)
    for policy in ("exact", "ga"):
        plain = simulate(scenario, policy, trace=trace)
        assert len(plain.evictions) > 20
        for readings in ({"charge": "miss"}, {"active_cycle": "actual"}, {"resource_basis": "decision"}):
            assert_array_equal(simulate(scenario.vary(**readings), policy, trace=trace).evictions, plain.evictions)


def test_every_reading_is_worked_above():
    """A reading added to the scenario needs its hand-worked numbers here."""
    assert READINGS == {
        "charge": ("eviction", "absence", "miss"),
        "active_cycle": ("requests", "slots", "actual"),
        "popularity": ("estimated", "true"),
        "resource_unit": ("absolute", "capacity"),
        "resource_basis": ("slot", "decision"),
        "lfu": ("perfect", "in_cache"),
        "rate_basis": ("server", "model"),
        "scope": ("evict", "bypass", "prefetch", "free"),  # and in policies/test_scopes.py
        "decides": ("miss", "request"),  # in policies/test_scopes.py
        "popularity_order": ("shuffled", "fixed"),  # in test_demand.py
    }
