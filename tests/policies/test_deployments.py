"""The deployments that fit, and the best decision among them, against trying all subsets."""

import itertools

import numpy as np
import pytest

from edgecache.policies.deployments import Deployments, best_decision
from edgecache.policies.planner_tables import ONLINE, PlannerTables


def small_server(rng, models):
    """Whole needs and capacities, so that sums are exact; now and then a model that no empty server could hold."""
    needs = rng.integers(0, 6, (3, models)).astype(float)
    capacities = rng.integers(4, 6 + 2 * models, 3).astype(float)
    needs[int(rng.integers(3)), rng.random(models) < 0.15] = 99
    return needs, capacities


def fits(subset, needs, capacities):
    return all(sum(need[i] for i in subset) <= capacity for need, capacity in zip(needs, capacities, strict=True))


def all_that_fit(models, needs, capacities):
    """Every deployment of these models that fits, by its index mask."""
    subsets = (frozenset(s) for n in range(len(models) + 1) for s in itertools.combinations(models, n))
    return sorted((s for s in subsets if fits(s, needs, capacities)), key=lambda s: sum(2**i for i in s))


def check(d, head, needs, capacities):
    """Every field against the definitions, for the deployments of the models in `head`."""
    states = all_that_fit(head, needs, capacities)
    assert d.head.tolist() == head
    assert [frozenset(np.flatnonzero(row).tolist()) for row in d.members] == states
    assert len(d) == len(states) and d.members.shape == (len(states), needs.shape[1])
    number = {subset: state for state, subset in enumerate(states)}
    for state, subset in enumerate(states):
        for r in range(needs.shape[1]):
            if not fits({r}, needs, capacities):
                expected = state  # the cloud serves it
            elif r in head:
                expected = number.get(subset | {r}, -1)
            else:
                expected = state if fits(subset | {r}, needs, capacities) else -1
            assert d.after[state, r] == expected, (subset, r)
        assert d.without[state].tolist() == [number[subset - {h}] for h in head]
        assert d.state(np.isin(np.arange(needs.shape[1]), list(subset))) == state


def test_all_deployments_against_all_subsets():
    rng = np.random.default_rng(1)
    clouds, sizes = 0, set()
    for _ in range(150):
        models = int(rng.integers(1, 8))
        needs, capacities = small_server(rng, models)
        head = [i for i in range(models) if fits({i}, needs, capacities)]
        check(Deployments.of(needs, capacities), head, needs, capacities)
        clouds += len(head) < models
        sizes.add(len(all_that_fit(head, needs, capacities)))
    assert clouds > 50 and len(sizes) > 30 and max(sizes) > 60


@pytest.mark.parametrize("resource", range(3))
def test_each_capacity_binds_alone(resource):
    needs = np.ones((3, 4))
    capacities = np.full(3, 4.0)
    capacities[resource] = 2
    d = Deployments.of(needs, capacities)
    assert len(d) == 1 + 4 + 6 and d.members.sum(axis=1).max() == 2
    check(d, [0, 1, 2, 3], needs, capacities)


def test_the_limit_is_the_number_of_deployments():
    """Up to the limit all, one more and it is none; and with an order those of its first models that stay within the limit."""
    rng = np.random.default_rng(2)
    shortened = 0
    for _ in range(60):
        models = int(rng.integers(2, 8))
        needs, capacities = small_server(rng, models)
        head = [i for i in range(models) if fits({i}, needs, capacities)]
        order = rng.permutation(models)
        count = len(all_that_fit(head, needs, capacities))
        for asked in (None, order):
            check(Deployments.of(needs, capacities, asked, limit=count), head, needs, capacities)
        if count == 1:
            continue
        assert Deployments.of(needs, capacities, limit=count - 1) is None
        for limit in {1, 2, count // 2, count - 1} - {0}:
            first = [i for i in order.tolist() if i in head]
            while len(all_that_fit(first, needs, capacities)) > limit:
                first.pop()
            check(Deployments.of(needs, capacities, order, limit), sorted(first), needs, capacities)
            shortened += 0 < len(first) < len(head)
    assert shortened > 60


def test_models_outside_the_head_do_not_count():
    needs, capacities = np.ones((3, 5)), np.full(3, 2.0)
    d = Deployments.of(needs, capacities, np.array([3, 1, 0, 2, 4]), limit=4)
    assert d.head.tolist() == [1, 3]
    assert d.state(np.array([True, True, False, False, True])) == d.state(np.array([False, True, False, False, False])) == 1
    assert d.after[:, 0].tolist() == [0, 1, 2, -1]  # beside both others it does not fit


def test_the_shipped_limit_is_where_it_says():
    """Fifteen models that all fit have 32,768 deployments, fourteen 16,384; the default limit lies between."""
    free = np.zeros((3, 15))
    assert Deployments.of(free, np.ones(3)) is None
    assert len(Deployments.of(free[:, :14], np.ones(3))) == 2**14
    assert Deployments.of(free, np.ones(3), np.arange(15)[::-1]).head.tolist() == list(range(1, 15))


def decide(d, worth, price, state, requested, slack=0.0):
    """The compiled best decision, where the price of a member is what holding it costs."""
    prices = {"held": price[None], "left": np.zeros((1, len(price))), "values": worth[None, None]}
    states = {"head": d.head, "after": d.after, "without": d.without, "size": d.size}
    tables = PlannerTables(ONLINE, np.empty((3, 0)), np.empty(3), **states, **prices, slack=slack)
    place = [*d.head, requested].index(requested)
    return best_decision(tables, 0, 0, state, place if place < len(d.head) else -1, requested)


def brute_decision(d, worth, price, state, requested, needs, capacities, slack):
    """The best decision by trying all: those within `slack` of the least, then fewest models, then the lowest number."""
    members = [frozenset(np.flatnonzero(row).tolist()) for row in d.members]
    options = []
    for n in range(len(members[state]) + 1):
        for kept in itertools.combinations(sorted(members[state]), n):
            if fits({*kept, requested}, needs, capacities):
                reached = members.index(frozenset(kept) | ({requested} & set(d.head.tolist())))
                options.append((worth[reached] + sum(price[i] for i in kept), n, reached))
    least = min(total for total, _, _ in options)
    return min((n, reached) for total, n, reached in options if total <= least + slack)[1], least, options


@pytest.mark.parametrize(("slack", "noise"), [(0.0, 0.0), (0.25, 0.0), (1e-6, 1e-9)])
def test_best_decision_against_brute_force(slack, noise):
    """Small whole worths make many decisions equal; those equal but for less than the slack tie as well."""
    rng = np.random.default_rng(3)
    tied = outside = forced = 0
    for _ in range(300):
        models = int(rng.integers(2, 9))
        needs, capacities = small_server(rng, models)
        fitting = [i for i in range(models) if fits({i}, needs, capacities)]
        d = Deployments.of(needs, capacities, rng.permutation(models), limit=int(rng.choice([4, 20_000])))
        worth = rng.integers(0, 4, len(d)) + noise * rng.uniform(-1, 1, len(d))
        price = rng.integers(-1, 2, models) + noise * rng.uniform(-1, 1, models)
        for state in rng.choice(len(d), 8):
            for requested in [i for i in fitting if not d.members[state, i]][:2]:
                expected, least, options = brute_decision(d, worth, price, state, requested, needs, capacities, slack)
                assert decide(d, worth, price, state, requested, slack) == expected
                tied += sum(total <= least + slack for total, _, _ in options) > 1
                outside += requested not in d.head
                forced += len(options) < 2 ** d.members[state].sum()
    assert tied > 500 and outside > 400 and forced > 500, (tied, outside, forced)


def test_the_price_is_of_what_stays():
    """Room for two of three: with equal worths the one of the lower price stays, and none where both cost something."""
    d = Deployments.of(np.ones((3, 3)), np.full(3, 2.0))
    both = d.state(np.array([True, True, False]))
    alone, worth = d.state(np.array([False, False, True])), np.zeros(len(d))
    for price, stays in (([-1, -2, 5], [1, 2]), ([-2, -1, 5], [0, 2]), ([1, 2, -9], [2]), ([-1, -1, 0], [0, 2])):
        best = decide(d, worth, np.array(price, dtype=float), both, 2)
        assert np.flatnonzero(d.members[best]).tolist() == stays
    worth[alone] = -5  # what the state is worth counts too
    assert decide(d, worth, np.array([-1.0, -2.0, 0.0]), both, 2) == alone
