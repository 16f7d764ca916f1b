"""Exact against brute force, its tie rule included, and against SciPy's mixed-integer solver."""

import itertools

import numpy as np
import pytest
from cases import equal_catalogue, hard_decision, make_decision
from numpy.testing import assert_array_equal
from scipy.optimize import Bounds, LinearConstraint, milp

from edgecache import Exact, Scenario, simulate
from edgecache.optimal import best_subset


def brute_force(worth, needs, free):
    """The best subset by trying all: most worth, then fewest models, then the lowest index mask."""
    subsets = (kept for n in range(len(worth) + 1) for kept in itertools.combinations(range(len(worth)), n))
    feasible = [kept for kept in subsets if (needs[:, list(kept)].sum(axis=1) <= free).all()]
    best = min(feasible, key=lambda kept: (-worth[list(kept)].sum(), len(kept), sum(2**i for i in kept)))
    return np.isin(np.arange(len(worth)), best)


def test_best_subset_against_brute_force():
    """Worths of any kind, some below zero, so that there are no ties."""
    rng = np.random.default_rng(1)
    binding = 0
    for _ in range(300):
        n = int(rng.integers(0, 11))
        worth, needs = rng.normal(0.5, 1, n), rng.uniform(0, 1, (3, n))
        free = rng.uniform(0, 0.8, 3) * needs.sum(axis=1)
        found = best_subset(worth, needs, free)
        assert_array_equal(found, brute_force(worth, needs, free))
        binding += found.sum() < (worth > 0).sum()
    assert binding > 200


def test_ties_go_to_fewest_models_then_to_the_lowest_index_mask():
    """Small whole worths and needs make many subsets equal."""
    rng = np.random.default_rng(2)
    tied = 0
    for _ in range(400):
        n = int(rng.integers(3, 10))
        worth, needs = rng.integers(0, 3, n).astype(float), rng.integers(0, 3, (3, n)).astype(float)
        free = rng.integers(1, 7, 3).astype(float)
        expected = brute_force(worth, needs, free)
        assert_array_equal(best_subset(worth, needs, free), expected)
        reverse = brute_force(worth[::-1], needs[:, ::-1], free)[::-1]
        tied += not np.array_equal(reverse, expected)
    assert tied > 80  # counting only those that the index mask decides


@pytest.mark.parametrize(
    ("worth", "sizes", "room", "kept"),
    [
        ([3, 1, 2], [1, 1, 1], 2, [0, 2]),
        ([3, 1, 2], [2, 1, 1], 2, [0]),  # 3 alone or 1 + 2: fewest
        ([2, 2, 2], [1, 1, 1], 2, [0, 1]),  # the lowest mask, 011
        ([1, 2, 2, 1], [1, 1, 1, 1], 2, [1, 2]),
        ([1, 0, 1], [1, 1, 1], 9, [0, 2]),  # what is worth nothing goes
        ([-1, -2], [1, 1], 9, []),
        ([1, 1], [1, 1], 0, []),
        ([1, 5], [1, 0], 0, [1]),  # what needs nothing stays
        ([], [], 1, []),
    ],
)
def test_best_subset_by_hand(worth, sizes, room, kept):
    found = best_subset(np.array(worth, dtype=float), np.tile(np.array(sizes, dtype=float), (3, 1)), np.full(3, float(room)))
    assert np.flatnonzero(found).tolist() == kept


@pytest.mark.parametrize("readings", [{}, {"charge": "absence"}, {"active_cycle": "slots"}, {"w1": 1.0, "beta": 0.3}])
def test_exact_against_brute_force(readings):
    """Over the very cost of the decision, and only among what may be deployed."""
    rng = np.random.default_rng(3)
    for _ in range(25):
        candidates = int(rng.integers(0, 10))
        d = hard_decision(rng, candidates + 1 + int(rng.integers(0, 5)), candidates, **readings)
        options = np.zeros((2**candidates, len(d.deployed)), dtype=bool)
        options[:, d.candidates] = list(itertools.product([False, True], repeat=candidates))
        options[:, d.requested] = True
        options = options[d.fits(options)]
        found = Exact().decide(d)
        assert_array_equal(d.check(found, "exact"), found)
        assert_array_equal(found, options[d.cost(options).argmin()])


def test_ties_of_a_decision():
    """Equal models asked for equally often: keeping any two of m1 to m4 beside m0 costs the same."""
    scenario = Scenario(equal_catalogue(6), storage_gb=3, gpu_memory_gb=9, resource_unit="capacity", w1=9)
    d = make_decision(scenario, 0, [1, 2, 3, 4], [1] * 6)
    assert np.flatnonzero(Exact().decide(d)).tolist() == [0, 1, 2]
    # keeping costs 1/3 + 1/9; where evicting costs exactly as much, nothing stays: eviction costs w1 x 2.8 x 2 / 12
    even = scenario.vary(w1=(1 / 3 + 1 / 9) / make_decision(scenario, 0, [1], [1] * 6).eviction_cost[1] * 9)
    d = make_decision(even, 0, [1, 2], [1] * 6)
    np.testing.assert_allclose(d.eviction_cost, d.holding_cost)
    assert d.cost(Exact().decide(d)) == pytest.approx(d.cost(np.isin(np.arange(6), [0])))


def test_exact_against_milp():
    rng = np.random.default_rng(4)
    kept, bound = 0, np.zeros(3, dtype=int)
    for number in range(60):
        candidates = int(rng.integers(10, 41))
        d = hard_decision(rng, candidates + 5, candidates, charge=["eviction", "absence"][number % 2])
        i = d.candidates
        free = d.prices.capacities - d.prices.needs[:, d.requested]
        solved = milp(
            d.holding_cost[i] - d.leaving_cost[i],
            constraints=LinearConstraint(d.prices.needs[:, i], ub=free),
            integrality=np.ones(candidates),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0},
        )
        assert solved.success
        expected = np.zeros(len(d.deployed), dtype=bool)
        expected[i] = solved.x > 0.5
        expected[d.requested] = True
        found = Exact().decide(d)
        assert d.fits(found) and d.fits(expected)
        # HiGHS may overfill by its tolerance, never undercut what fits by more than rounding
        assert d.cost(found) == pytest.approx(d.cost(expected), rel=1e-9), number
        kept += found.sum() - 1
        left = free - d.prices.needs[:, found].sum(axis=1) + d.prices.needs[:, d.requested]
        bound[np.argmin(left / d.prices.capacities)] += 1
    assert kept > 300 and (bound > 5).all()  # each of the three capacities binds somewhere


def test_the_scale_of_costs_does_not_matter():
    """Weights a million times larger or smaller: the same decision."""
    rng = np.random.default_rng(9)
    for _ in range(10):
        state = rng.bit_generator.state
        chosen = []
        for scale in (1e-6, 1.0, 1e6):
            rng.bit_generator.state = state
            d = hard_decision(rng, 15, 12, w1=5 * scale, w2=scale)
            chosen.append(Exact().decide(d))
        assert_array_equal(chosen[0], chosen[1])
        assert_array_equal(chosen[2], chosen[1])


def test_nothing_is_deployed_yet():
    d = make_decision(Scenario(), 4, [], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    assert np.flatnonzero(Exact().decide(d)).tolist() == [4]


def test_exact_is_the_same_every_time():
    """It draws nothing: any seed of a planner's stream gives the same run on the same trace."""
    scenario = Scenario(resource_unit="capacity", slots=80)
    trace = simulate(scenario, "exact", 1).trace
    first, second = (simulate(scenario, "exact", seed, trace=trace) for seed in (1, 2))
    assert len(first.evictions) > 10
    assert_array_equal(first.evictions, second.evictions)


def test_weights_of_zero():
    free_to_evict = make_decision(Scenario(w1=0), 0, [3, 5], [1] * 10)
    assert np.flatnonzero(Exact().decide(free_to_evict)).tolist() == [0]
    free_to_keep = make_decision(Scenario(w2=0), 0, [3, 5], [1] * 10)
    assert np.flatnonzero(Exact().decide(free_to_keep)).tolist() == [0, 3, 5]
    nothing_costs = make_decision(Scenario(w1=0, w2=0), 0, [3, 5], [1] * 10)
    assert np.flatnonzero(Exact().decide(nothing_costs)).tolist() == [0]  # fewest models


def test_many_equal_models():
    """Every ten of 21 equal models tie, 352,716 ways: the first ten are the lowest mask."""
    scenario = Scenario(equal_catalogue(22), storage_gb=11, gpu_memory_gb=30, resource_unit="capacity", w1=9)
    d = make_decision(scenario, 0, range(1, 22), [1] * 22)
    assert np.flatnonzero(Exact().decide(d)).tolist() == list(range(11))
