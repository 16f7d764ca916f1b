"""Exact against brute force, its tie rule included, and against SciPy's mixed-integer solver."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.optimize import Bounds, LinearConstraint, milp
from support.cases import equal_catalogue, hard_decision, make_decision

from edgecache import Exact, InputError, Scenario, simulate
from edgecache.policies import exact
from edgecache.policies.knapsack import best_subset


def brute_force(worth, needs, free):
    """The best subset by trying all: most worth, then fewest models, then the lowest index mask."""
    subsets = (kept for n in range(len(worth) + 1) for kept in itertools.combinations(range(len(worth)), n))
    feasible = [kept for kept in subsets if (needs[:, list(kept)].sum(axis=1) <= free).all()]
    best = min(feasible, key=lambda kept: (-worth[list(kept)].sum(), len(kept), sum(2**i for i in kept)))
    return np.isin(np.arange(len(worth)), best)


@pytest.fixture(params=[20_000, 1], ids=["own prices", "prices of the linear program"])
def few(request, monkeypatch):
    """Both stages of the search: with prices of its own, and after that with those of HiGHS."""
    monkeypatch.setattr(exact, "FEW", request.param)


def test_best_subset_against_brute_force(few):
    """Worths of any kind, some below zero, so that there are no ties."""
    rng = np.random.default_rng(1)
    binding = 0
    for _ in range(300):
        n = int(rng.integers(0, 11))
        worth, needs = rng.normal(0.5, 1, n), rng.uniform(0, 1, (3, n))
        free = rng.uniform(0, 0.8, 3) * needs.sum(axis=1)
        found, gap = best_subset(worth, needs, free)
        assert gap == 0
        assert_array_equal(found, brute_force(worth, needs, free))
        binding += found.sum() < (worth > 0).sum()
    assert binding > 200


def test_ties_go_to_fewest_models_then_to_the_lowest_index_mask(few):
    """Small whole worths and needs make many subsets equal."""
    rng = np.random.default_rng(2)
    tied = 0
    for _ in range(400):
        n = int(rng.integers(3, 10))
        worth, needs = rng.integers(0, 3, n).astype(float), rng.integers(0, 3, (3, n)).astype(float)
        free = rng.integers(1, 7, 3).astype(float)
        expected = brute_force(worth, needs, free)
        assert_array_equal(best_subset(worth, needs, free)[0], expected)
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
    found, _ = best_subset(np.array(worth, dtype=float), np.tile(np.array(sizes, dtype=float), (3, 1)), np.full(3, float(room)))
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


def solved_by_milp(worth, needs, free):
    """The worth of the best subset by HiGHS, None where even the empty one does not fit."""
    found = milp(
        -worth,
        constraints=LinearConstraint(needs, ub=free),
        integrality=np.ones(len(worth)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    return -found.fun if found.success else None


def test_best_subset_against_milp_on_thousands():
    """Any number of binding resources, useless and huge models among them, and servers on which nothing fits."""
    rng = np.random.default_rng(12)
    infeasible, several = 0, 0
    for _ in range(2000):
        n = int(rng.integers(1, 15))
        worth, needs = rng.normal(1, 1, n), rng.exponential(1, (3, n)) * rng.choice([0.1, 1, 10], (1, n))
        free = rng.uniform(-0.03, 0.8, 3) * needs.sum(axis=1)
        expected = solved_by_milp(worth, needs, free)
        if expected is None:
            infeasible += 1
            with pytest.raises(InputError, match="nothing fits"):
                best_subset(worth, needs, free)
            continue
        found, gap = best_subset(worth, needs, free)
        assert gap == 0 and (needs @ found <= free).all()
        assert worth @ found == pytest.approx(expected, rel=1e-6, abs=1e-9)
        several += found.sum() > 1
    assert infeasible > 100 and several > 500


@pytest.mark.parametrize(("candidates", "count"), [(10, 40), (25, 40), (60, 15), (150, 6), (400, 2)])
def test_exact_against_milp(candidates, count):
    """Decisions on servers that grow with the number of models."""
    rng = np.random.default_rng(candidates)
    kept, bound = 0, np.zeros(3, dtype=int)
    for number in range(count):
        d = hard_decision(rng, candidates + 5, candidates, charge=["eviction", "absence"][number % 2])
        i = d.candidates
        free = d.capacities - d.needs[:, d.requested]
        found, gap = Exact().solve(d)
        assert gap == 0 and d.fits(found)
        least = d.cost(np.isin(np.arange(len(found)), d.requested)) - solved_by_milp(
            d.leaving_cost[i] - d.holding_cost[i], d.needs[:, i], free
        )
        # HiGHS may overfill by its tolerance
        assert d.cost(found) == pytest.approx(least, rel=1e-7), number
        kept += found.sum() - 1
        left = free - d.needs[:, found].sum(axis=1) + d.needs[:, d.requested]
        bound[np.argmin(left / d.capacities)] += 1
    assert kept > count and (bound > 0).sum() >= min(count, 3) - 1  # not always the same capacity binds


def test_a_search_that_ends_early_says_how_far_it_may_be_from_the_optimum():
    rng = np.random.default_rng(6)
    gaps = []
    for _ in range(20):
        d = hard_decision(rng, 70, 60)
        least = d.cost(Exact().decide(d))
        early, gap = Exact(nodes=300).solve(d)
        assert d.fits(early)
        assert least - 1e-9 <= d.cost(early) <= least + gap + 1e-9
        gaps.append(gap)
        if gap:
            with pytest.warns(UserWarning, match="exact stopped after 300 nodes, within"):
                Exact(nodes=300).decide(d)
    assert sum(gap > 0 for gap in gaps) > 10


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
