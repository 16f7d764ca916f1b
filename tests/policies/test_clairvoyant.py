"""Clairvoyant and its lower bound against trying every sequence of decisions, priced by a second implementation of the books."""

import functools
import itertools

import numpy as np
import pytest
from oracles.every_run import every_run, small_trace, subsets
from scipy.optimize import linprog
from scipy.sparse import csr_array
from support.cases import equal_catalogue, make_catalogue, make_decision, random_readings, roomy_scenario

from edgecache import POLICIES, READINGS, InputError, Scenario, Trace, poisson_trace, sample_catalogue, simulate
from edgecache.policies.clairvoyant import Clairvoyant
from edgecache.policies.lower_bound import lower_bound
from edgecache.policies.optimal_online import OptimalOnline

MONEY = ("charge", "active_cycle", "popularity", "resource_unit", "resource_basis")  # the readings that change what is booked
COMBINATIONS = [dict(zip(MONEY, words, strict=True)) for words in itertools.product(*(READINGS[name] for name in MONEY))]
close = functools.partial(pytest.approx, rel=1e-9, abs=1e-9)


def weights(rng):
    return {name: float(rng.choice([0.0, 1.0, rng.uniform(0.1, 9)], p=[0.2, 0.2, 0.6])) for name in ("w1", "w2", "beta")}


def waits(scenario):
    c = scenario.catalogue
    return 8 * c.size_gb / scenario.bandwidth_gbps + c.io_delay_s


@pytest.mark.parametrize("readings", COMBINATIONS, ids=lambda readings: "-".join(readings.values()))
def test_no_sequence_of_decisions_costs_less(readings):
    """What is prepared, what is booked and the least of all sequences are the same."""
    rng = np.random.default_rng(COMBINATIONS.index(readings))
    sequences = 0
    while sequences < 120:
        models = int(rng.integers(3, 6))
        scenario = roomy_scenario(rng, models, **readings, **weights(rng))
        trace = small_trace(rng, models, int(rng.integers(5, 8)), int(rng.integers(2, 7)))
        costs, delays = zip(*every_run(scenario, trace), strict=True)
        assert Clairvoyant().prepare(scenario, trace).cost == close(min(costs))
        assert simulate(scenario, "clairvoyant", trace=trace).means()["total_cost"] == close(min(costs))
        assert Clairvoyant("delay").prepare(scenario, trace).cost == close(min(delays))
        sequences += len(costs)


def test_goal_delay_adds_up():
    """The twin's prepared cost is what its misses wait, 8 s / B + l each, and no sequence waits less."""
    rng = np.random.default_rng(200)
    for _ in range(40):
        models = int(rng.integers(2, 6))
        scenario = roomy_scenario(rng, models, **random_readings(rng) | {"scope": "evict"})
        trace = small_trace(rng, models, 8, 5)
        run = simulate(scenario, "clairvoyant-delay", trace=trace)
        added = waits(scenario)[trace.model[run.outcome == 0]].sum()
        assert added / trace.slots == close(min(delay for _, delay in every_run(scenario, trace)))
        assert Clairvoyant("delay").prepare(scenario, trace).cost == close(added / trace.slots)


# ---- a second implementation of the least cost, for longer traces and for any state


def ledger(scenario, trace):
    """Three functions in plain Python: the fetching and evicting at a miss, the end of a slot, and the least cost from a state."""
    s, c, n = scenario, scenario.catalogue, len(trace)
    models, asked = range(len(c)), trace.model.tolist()
    fetch = [8 * c.size_gb[i] / s.bandwidth_gbps + c.io_delay_s[i] for i in models]
    room = (s.storage_gb, s.gpu_memory_gb, s.energy_capacity_kw - s.static_power_kw)
    needs = list(zip(c.size_gb, c.gpu_memory_gb, c.power_kw, strict=True))

    def fits(held):
        return all(sum(needs[i][j] for i in held) <= room[j] * (1 + 1e-9) for j in range(3))

    def eviction(i, clock, slot):
        """w1 d / a of model i after the first `clock` requests."""
        if s.active_cycle == "actual":
            inverse = 1 / next((k - clock + 1 for k in range(clock, n) if asked[k] == i), n - clock + 1)
        elif s.popularity == "true":
            inverse = trace.popularity[i] * (trace.requests_per_slot if s.active_cycle == "slots" else 1)
        elif s.active_cycle == "slots":
            inverse = (asked[:clock].count(i) + 1) / (slot + 1)
        else:
            inverse = (asked[:clock].count(i) + 1) / (clock + len(c))
        return s.w1 * (fetch[i] + c.inference_delay_s[i]) * inverse

    def miss(k, held, kept):
        if s.charge == "eviction":
            return sum(eviction(i, k + 1, trace.slot[k]) for i in held - kept)
        return s.w1 * fetch[asked[k]] if s.charge == "miss" else 0.0

    @functools.cache
    def slot_end(k, slot, held, decided):
        """After the first k requests."""
        absent = sum(eviction(i, k, slot) for i in models if i not in held) if s.charge == "absence" else 0.0
        if s.resource_basis == "decision" and not decided:
            return absent
        gb, gpu = sum(c.size_gb[i] for i in held), sum(c.gpu_memory_gb[i] for i in held)
        if s.resource_unit == "capacity":
            gb, gpu = gb / s.storage_gb, gpu / s.gpu_memory_gb
        return absent + s.w2 * (gb + s.beta * gpu)

    @functools.cache
    def least(k, slot, held, decided):
        """The least cost to the end, before request k in that slot."""
        if slot == trace.slots:
            return 0.0
        if k == n or trace.slot[k] > slot:
            return slot_end(k, slot, held, decided) + least(k, slot + 1, held, False)
        if asked[k] in held or not fits({asked[k]}):
            return least(k + 1, slot, held, decided)
        feasible = (frozenset(kept | {asked[k]}) for kept in subsets(held))
        return min(miss(k, held, kept) + least(k + 1, slot, kept, True) for kept in feasible if fits(kept))

    return miss, least, fits


@pytest.mark.parametrize("requests", [0, 1, 2, 3, 10, 50])
def test_longer_traces(requests):
    """The states kept on the way, every sqrt(N)-th, make no difference."""
    rng = np.random.default_rng(requests)
    for readings in COMBINATIONS[requests % 5 :: 5]:
        models = int(rng.integers(1, 6))
        scenario = roomy_scenario(rng, models, **readings, **weights(rng))
        trace = small_trace(rng, models, requests, 1 + requests // 2)
        _, least, _ = ledger(scenario, trace)
        expected = close(least(0, 0, frozenset(), False) / trace.slots)
        assert Clairvoyant().prepare(scenario, trace).cost == expected
        assert simulate(scenario, "clairvoyant", trace=trace).means()["total_cost"] == expected


def test_decisions_from_any_state():
    """Asked in any order and about states off its own path, it still does what costs least from there."""
    rng = np.random.default_rng(300)
    matters = 0
    for number, readings in enumerate(COMBINATIONS):
        models = int(rng.integers(3, 6))
        scenario = roomy_scenario(rng, models, **readings | {"resource_unit": "capacity"}, w1=float(rng.uniform(0.5, 9)))
        trace = small_trace(rng, models, 12, 6)
        plan = Clairvoyant().prepare(scenario, trace)
        miss, least, fits = ledger(scenario, trace)
        states = [frozenset(held) for held in subsets(range(models)) if fits(held)]
        for k in rng.permutation(len(trace)):
            r, slot = int(trace.model[k]), int(trace.slot[k])
            if not fits({r}):
                continue
            for held in [held for held in states if r not in held]:
                n = np.bincount(trace.model[: k + 1], minlength=models)
                d = make_decision(scenario, r, held, n, slot=slot, popularity=trace.popularity)
                assert d.clock == k + 1
                kept = frozenset(np.flatnonzero(d.check(plan.decide(d), "clairvoyant")).tolist())
                feasible = [frozenset(kept | {r}) for kept in subsets(held) if fits(kept | {r})]
                costs = {y: miss(k, held, y) + least(k + 1, slot, y, True) for y in feasible}
                assert costs[kept] == close(min(costs.values())), (number, k, held)
                matters += max(costs.values()) > 1.01 * min(costs.values())
    assert matters > 1000


def test_a_planner_may_join_late():
    """After decisions at random, the clairvoyant's cost the least from there, as booked."""
    rng = np.random.default_rng(301)

    class Late:
        name = "late"

        def __init__(self, plan, until):
            self.plan, self.until, self.path = plan, until, []

        def decide(self, decision):
            if decision.clock > self.until:
                return self.plan.decide(decision)
            options = [
                np.isin(np.arange(len(decision.deployed)), [*kept, decision.requested]) for kept in subsets(decision.candidates)
            ]
            options = [option for option in options if decision.fits(option)]
            chosen = options[rng.integers(len(options))]
            self.path.append(
                (decision.clock - 1, frozenset(decision.candidates.tolist()), frozenset(np.flatnonzero(chosen).tolist()))
            )
            return chosen

    for readings in COMBINATIONS:
        if readings["resource_basis"] == "decision" or readings["charge"] == "absence":
            continue  # what the first half costs depends on slot ends
        models = int(rng.integers(3, 6))
        scenario = roomy_scenario(rng, models, **readings, **(weights(rng) | {"w2": 0.0}))
        trace = small_trace(rng, models, 20, 9)
        late = Late(Clairvoyant().prepare(scenario, trace), until=10)
        booked = simulate(scenario, late, trace=trace).means()["total_cost"] * trace.slots
        miss, least, _ = ledger(scenario, trace)
        paid = sum(miss(*step) for step in late.path)
        held = late.path[-1][2] if late.path else frozenset()
        assert booked == close(paid + least(10, int(trace.slot[10]), held, False))


# ---- the floor of every policy


def test_no_policy_undercuts_it():
    """On the same trace, under every reading; nor its twin in what misses wait."""
    rng = np.random.default_rng(400)
    worse = dict.fromkeys(POLICIES, 0)
    for readings in COMBINATIONS:
        scenario = roomy_scenario(rng, int(rng.integers(3, 9)), slots=25, **readings, **weights(rng))
        trace = poisson_trace(scenario, int(rng.integers(2**32)))
        floor, least = (Clairvoyant(goal).prepare(scenario, trace).cost for goal in ("cost", "delay"))
        for policy in POLICIES:
            if policy == "optimal-online" and scenario.resource_basis == "decision":
                continue  # not defined there
            run = simulate(scenario, policy, 5, trace=trace)
            cost, waited = run.means()["total_cost"], waits(scenario)[trace.model[run.outcome == 0]].sum() / trace.slots
            assert cost >= floor * (1 - 1e-9), (policy, readings)
            assert waited >= least * (1 - 1e-9), (policy, readings)
            assert policy != "clairvoyant" or cost == close(floor)
            assert policy != "clairvoyant-delay" or waited == close(least)
            worse[policy] += cost > 1.001 * floor + 1e-9
    assert worse.pop("clairvoyant") == 0
    assert min(worse.values()) > 10, worse


@pytest.mark.parametrize(
    "readings",
    [
        {},
        {"charge": "absence", "active_cycle": "actual"},
        {"charge": "miss", "resource_basis": "decision"},
        {"charge": "eviction", "active_cycle": "actual", "popularity": "true", "resource_basis": "decision"},
    ],
)
def test_a_long_trace(readings):
    """5,000 requests: what is prepared is what is booked, and the bound lies below."""
    scenario = Scenario(slots=2500, arrival_rate=2.0, resource_unit="capacity", w1=3.0, **readings)
    trace = poisson_trace(scenario, 6)
    assert len(trace) == pytest.approx(5000, rel=0.05)
    prepared = Clairvoyant().prepare(scenario, trace).cost
    run = simulate(scenario, "clairvoyant", trace=trace)
    assert run.means()["total_cost"] == pytest.approx(prepared, rel=1e-12)
    assert len(run.evictions) > 300
    assert prepared < 0.99 * simulate(scenario, "exact", trace=trace).means()["total_cost"]


# ---- edges


def test_a_single_model():
    """Once fetched it stays, under every reading; the bound is exact."""
    rng = np.random.default_rng(500)
    for readings in COMBINATIONS:
        scenario = roomy_scenario(rng, 1, **readings, **weights(rng))
        trace = small_trace(rng, 1, 6, 5)
        cost = Clairvoyant().prepare(scenario, trace).cost
        assert cost == close(simulate(scenario, "fifo", trace=trace).means()["total_cost"])
        assert lower_bound(scenario, trace) == close(cost)


@pytest.mark.parametrize("charge", READINGS["charge"])
def test_no_requests(charge):
    """Nothing is deployed, and only absence costs: of each model every slot, d times one request less a slot."""
    scenario = Scenario(make_catalogue(a=(5, 1, 0, 2, 3), b=(10, 1, 0, 4, 5)), charge=charge, popularity="true", w1=2.0)
    trace = Trace([], [], 7, [0.25, 0.75])
    expected = 2 * ((8 * 5 / 10 + 2 + 3) * 0.25 + (8 * 10 / 10 + 4 + 5) * 0.75) if charge == "absence" else 0
    assert Clairvoyant().prepare(scenario, trace).cost == close(expected)
    assert Clairvoyant("delay").prepare(scenario, trace).cost == 0
    assert simulate(scenario, "clairvoyant", trace=trace).means()["total_cost"] == close(expected)
    assert lower_bound(scenario, trace) == close(expected)


@pytest.mark.parametrize("policy", ["clairvoyant", "clairvoyant-delay"])
def test_it_refuses_above_the_limit(policy):
    """Fourteen models of which all fit have 16,384 deployments, fifteen 32,768."""
    rows = {f"m{i}": (1, 0.5, 0.01, 1, 1) for i in range(15)}
    scenario = Scenario(make_catalogue(**rows), slots=30)
    with pytest.raises(InputError, match=f"^{policy} is limited to 20000 deployments .*edgecache.lower_bound has no such limit$"):
        simulate(scenario, policy)
    assert (
        simulate(scenario.vary(storage_gb=14, catalogue=make_catalogue(**dict(list(rows.items())[:14]))), policy).policy == policy
    )
    small = scenario.vary(storage_gb=2)  # none, one or two of fifteen
    trace = poisson_trace(small, 1)
    assert Clairvoyant(limit=1 + 15 + 105).prepare(small, trace).cost > 0
    with pytest.raises(InputError, match="clairvoyant is limited to 120 deployments"):
        Clairvoyant(limit=120).prepare(small, trace)


# ---- the lower bound


def relaxation(scenario, trace):
    """The bound's best prices, by linear programming in plain Python: each model may leave at any later request.

    A variable for each request and each later one until which its model is held; the capacities are shared, the prices their duals.
    """
    s, c, n = scenario, scenario.catalogue, len(trace)
    wait, asked = waits(s), trace.model.tolist()
    room = (s.storage_gb, s.gpu_memory_gb, s.energy_capacity_kw - s.static_power_kw)
    needs = list(zip(c.size_gb, c.gpu_memory_gb, c.power_kw, strict=True))
    unit = (s.storage_gb, s.gpu_memory_gb) if s.resource_unit == "capacity" else (1, 1)
    ends = np.bincount(trace.slot, minlength=trace.slots).cumsum()  # how many requests there were by the end of each slot

    def leave(i, clock, slot):
        estimate = (asked[:clock].count(i) + 1) / ((slot + 1) if s.active_cycle == "slots" else (clock + len(c)))
        if s.active_cycle == "actual":
            estimate = 1 / next((k - clock + 1 for k in range(clock, n) if asked[k] == i), n - clock + 1)
        return s.w1 * (wait[i] + c.inference_delay_s[i]) * estimate

    fixed, cost, entries, demands = 0.0, [], [], 0
    if s.charge == "absence":
        fixed = sum(leave(i, ends[t], t) for t in range(trace.slots) for i in range(len(c)))
    for k, i in enumerate(asked):
        if any(need > capacity * (1 + 1e-9) for need, capacity in zip(needs[i], room, strict=True)):
            continue
        if s.charge == "miss" and i not in asked[:k]:
            fixed += s.w1 * wait[i]
        again, held = next((j for j in range(k + 1, n) if asked[j] == i), n), 0.0
        for until in range(k + 1, again + 1):
            for t in np.flatnonzero(ends == until):
                held += s.w2 * (c.size_gb[i] / unit[0] + s.beta * c.gpu_memory_gb[i] / unit[1])
                held -= leave(i, until, t) if s.charge == "absence" else 0
            total = held
            if until < again and s.charge == "eviction":
                total += leave(i, until + 1, trace.slot[until])
            if until < again < n and s.charge == "miss":
                total += s.w1 * wait[i]
            entries += [(3 * j + r, len(cost), needs[i][r] / room[r]) for j in range(k, until) for r in range(3)]
            entries.append((3 * n + demands, len(cost), 1.0))
            cost.append(total)
        demands += 1
    row, column, value = zip(*entries, strict=True)
    table = csr_array((value, (row, column)), shape=(3 * n + demands, len(cost)))
    found = linprog(cost, A_ub=table[: 3 * n], b_ub=np.ones(3 * n), A_eq=table[3 * n :], b_eq=np.ones(demands))
    assert found.success
    return (fixed + found.fun) / trace.slots


BOUNDED = list(itertools.product(READINGS["charge"], READINGS["active_cycle"], (0.3, 2.0)))


def test_the_bound_is_what_its_relaxation_allows():
    """Valid, and close to the best bound that prices of the capacities give."""
    rng = np.random.default_rng(600)
    found = []
    for charge, active_cycle, w2 in BOUNDED:
        readings = {"charge": charge, "active_cycle": active_cycle, "resource_unit": "capacity"}
        scenario = roomy_scenario(rng, int(rng.integers(4, 8)), w2=w2, **readings)
        trace = small_trace(rng, len(scenario.catalogue), 60, 40)
        best, bound = relaxation(scenario, trace), lower_bound(scenario, trace)
        assert bound > 0.9 * best
        found.append((bound, best, Clairvoyant().prepare(scenario, trace).cost))
    bounds, relaxed, least = np.array(found).T
    assert (bounds <= relaxed * (1 + 1e-6)).all() and (relaxed <= least * (1 + 1e-6)).all()
    assert bounds.sum() > 0.99 * relaxed.sum()
    assert bounds.sum() > 0.75 * least.sum()  # measured: 0.85


def test_the_bound_where_only_evictions_cost():
    rng = np.random.default_rng(601)
    bounds, relaxed = np.zeros(9), np.zeros(9)
    for number in range(9):
        scenario = roomy_scenario(rng, 6, active_cycle=READINGS["active_cycle"][number % 3], w2=0.0)
        trace = small_trace(rng, 6, 60, 40)
        bounds[number], relaxed[number] = lower_bound(scenario, trace), relaxation(scenario, trace)
    assert (bounds <= relaxed * (1 + 1e-6) + 1e-9).all()
    assert bounds.sum() > 0.9 * relaxed.sum() > 0


def test_the_bound_is_below_the_optimum():
    """Under every reading; weak, as it says, where only slots with a decision are charged."""
    rng = np.random.default_rng(602)
    shares = {basis: [] for basis in READINGS["resource_basis"]}
    for readings in COMBINATIONS:
        scenario = roomy_scenario(rng, int(rng.integers(3, 8)), slots=60, w1=rng.uniform(0.1, 9), w2=1.0, **readings)
        trace = poisson_trace(scenario, int(rng.integers(2**32)))
        floor = Clairvoyant().prepare(scenario, trace).cost
        for rounds in (1, 30, 300):
            bound = lower_bound(scenario, trace, rounds)
            assert bound <= floor * (1 + 1e-9), (readings, rounds)
        shares[scenario.resource_basis].append(bound / floor)
    assert np.mean(shares["slot"]) > 0.7 and np.mean(shares["decision"]) > 0.5  # measured: 0.79 and 0.67


@pytest.mark.parametrize("charge", ["miss", "absence"])
def test_the_bound_is_exact_where_all_fits_and_holding_is_free(charge):
    """Then all that was ever asked for stays."""
    rng = np.random.default_rng(603)
    for active_cycle in READINGS["active_cycle"]:
        scenario = roomy_scenario(rng, 5, charge=charge, active_cycle=active_cycle, w2=0.0, slots=30)
        scenario = scenario.vary(storage_gb=999, gpu_memory_gb=999, energy_capacity_kw=999)
        trace = poisson_trace(scenario, 3)
        cost = Clairvoyant().prepare(scenario, trace).cost
        assert lower_bound(scenario, trace) == close(cost)
        assert cost == close(simulate(scenario, "fifo", trace=trace).means()["total_cost"])
        if charge == "miss":
            assert cost == close(waits(scenario)[np.unique(trace.model)].sum() / trace.slots)


def test_equal_models_need_no_more_than_belady():
    """Of equal sizes and delays, evicting the furthest request is optimal, and the relaxed problem has whole solutions."""
    rng = np.random.default_rng(604)
    for room in (1, 2, 3, 5):
        scenario = Scenario(equal_catalogue(8), storage_gb=room, charge="miss", w2=0.0)
        trace = small_trace(rng, 8, 150, 60)
        cost = Clairvoyant().prepare(scenario, trace).cost
        assert cost == close(simulate(scenario, "belady", trace=trace).means()["total_cost"])
        assert room == 1 or cost < 0.9 * simulate(scenario, "lru", trace=trace).means()["total_cost"]
        assert 0.98 * cost < lower_bound(scenario, trace) < cost * (1 + 1e-9)


@pytest.mark.parametrize(
    "readings",
    [
        {"w1": 20.0},
        {"w1": 20.0, "active_cycle": "actual", "popularity": "true"},
        {"charge": "absence", "resource_unit": "capacity"},
        {"charge": "miss", "resource_unit": "capacity", "w2": 5.0},
    ],
)
def test_the_bound_knows_no_limit(readings):
    """Sixty models: too many for the optimum, and no policy is below the bound."""
    server = {"storage_gb": 300, "gpu_memory_gb": 60, "energy_capacity_kw": 2.0}
    scenario = Scenario(sample_catalogue(60, np.random.default_rng(605)), slots=200, arrival_rate=2.0, **server, **readings)
    trace = poisson_trace(scenario, 4)
    with pytest.raises(InputError, match="lower_bound has no such limit"):
        Clairvoyant().prepare(scenario, trace)
    bound = lower_bound(scenario, trace)
    policies = [policy for policy in POLICIES if not policy.startswith(("clairvoyant", "optimal-online"))]
    for policy in [*policies, OptimalOnline(limit=500), OptimalOnline("delay", limit=500)]:
        assert 0 < bound <= simulate(scenario, policy, trace=trace).means()["total_cost"] * (1 + 1e-9), policy


def test_a_policy_outside_the_class_undercuts_the_floor():
    """README: "serve, then unload" pays a fraction of the floor under the literal reading; its cost by hand, from equation 7."""
    scenario = Scenario()
    for seed in range(5):
        trace = poisson_trace(scenario, seed)
        asked, cost = np.zeros(10), 0.0
        for clock, model in enumerate(trace.model, start=1):  # no slot ends with a model deployed
            asked[model] += 1
            c = scenario.catalogue
            delay = 8 * c.size_gb[model] / scenario.bandwidth_gbps + c.io_delay_s[model] + c.inference_delay_s[model]
            cost += delay * (asked[model] + 1) / (clock + 10)
        assert 0.1 < cost / scenario.slots / Clairvoyant().prepare(scenario, trace).cost < 0.5
