"""Explanations: every decision as the policy met it, its alternatives and what was scarce, against plain Python and by hand."""

import itertools
from collections import Counter
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.cases import KeepWhatFits, equal_catalogue, make_catalogue, make_trace, one_each, random_readings, random_scenario

from edgecache import GA, POLICIES, Exact, InputError, Scenario, explain, sample_catalogue, simulate
from edgecache.analysis.alternatives import ALL_SUBSETS

POLICIES_EXPLAINED = [
    "random", "lru", "gdsf", "belady-cost", "ga", "exact",
    "optimal-online", "optimal-online-delay", "clairvoyant", "clairvoyant-delay",
]  # fmt: skip
MORE = {"storage": 1.0, "GPU memory": 1.0, "power": 0.1}


def random_run(policy, seed, models=7, **changes):
    """A run on a small crowded server under random readings; in every other one resources weigh little, so that models stay."""
    rng = np.random.default_rng(seed)
    readings = random_readings(rng) | {"slots": 10, "arrival_rate": 2.0, "scope": "evict"}
    readings |= {"w1": 1.0, "w2": 0.01} if seed % 2 else {}
    if str(policy).startswith("optimal-online"):
        readings["resource_basis"] = "slot"
    return simulate(random_scenario(rng, models, **readings, **changes), policy, seed)


def misses(run):
    """(request, requested, deployed before it, evicted) of each miss, by name, from the log of events."""
    deployed = set()
    for event in run.events.itertuples():
        if not event.hit and not event.cloud:
            evicted = set(event.evicted.split("; ")) - {""}
            yield event.request, event.model, frozenset(deployed), evicted
            deployed = deployed - evicted | {event.model}


def plain_costs(run, request):
    """Eqs. 4 to 11 in plain Python: by name, what leaving and what holding each model costs at the request."""
    s, c, trace = run.scenario, run.scenario.catalogue, run.trace
    asked = Counter(trace.model[: request + 1].tolist())
    leaving, holding = {}, {}
    for i, name in enumerate(c.services):
        delay = 8 * c.size_gb[i] / s.bandwidth_gbps + c.io_delay_s[i] + c.inference_delay_s[i]
        if s.popularity == "true":
            rate = s.arrival_rate * (len(c) if s.rate_basis == "model" else 1)
            often = trace.popularity[i] * (rate if s.active_cycle == "slots" else 1)
        elif s.active_cycle == "slots":
            often = (asked[i] + 1) / (trace.slot[request] + 1)
        else:
            often = (asked[i] + 1) / (request + 1 + len(c))
        leaving[name] = s.w1 * delay * often
        storage, memory = (s.storage_gb, s.gpu_memory_gb) if s.resource_unit == "capacity" else (1, 1)
        holding[name] = s.w2 * (c.size_gb[i] / storage + s.beta * c.gpu_memory_gb[i] / memory)
    return leaving, holding


def needs_of(run, names):
    """GB, GB and kW that models take together."""
    c = run.scenario.catalogue
    places = [c.services.index(name) for name in names]
    return [sum(float(feature[i]) for i in places) for feature in (c.size_gb, c.gpu_memory_gb, c.power_kw)]


def every_choice(run, request, requested, deployed, more=(0, 0, 0)):
    """(switching, resource cost) of every subset of the deployed models that may stay, by what stays."""
    s, (leaving, holding) = run.scenario, plain_costs(run, request)
    rooms = (s.storage_gb + more[0], s.gpu_memory_gb + more[1], s.energy_capacity_kw - s.static_power_kw + more[2])
    found = {}
    for count in range(len(deployed) + 1):
        for kept in map(frozenset, itertools.combinations(deployed, count)):
            if all(used <= room * (1 + 1e-9) for used, room in zip(needs_of(run, kept | {requested}), rooms, strict=True)):
                absent = set(s.catalogue.services) - kept - {requested} if s.charge == "absence" else deployed - kept
                found[kept] = sum(leaving[name] for name in absent), sum(holding[name] for name in kept | {requested})
    return found


def names_in(cell):
    return frozenset(cell.split("; ")) - {""}


def rows_of(explanation, request):
    table = explanation.alternatives
    return table[table["request"] == request]


# ---- the decision


class Witness:
    """A planner that plays another one, and keeps the decisions it meets."""

    def __init__(self, planner):
        self.name, self.planner, self.decisions = planner.name, planner, []

    def decide(self, decision):
        self.decisions.append(decision)
        return self.planner.decide(decision)


@pytest.mark.parametrize("planner", [KeepWhatFits(), Exact(), GA(population=4, generations=2)], ids=lambda planner: planner.name)
@pytest.mark.parametrize("seed", range(4))
def test_the_decision_is_the_one_that_the_policy_met(planner, seed):
    witness = Witness(planner)
    run = random_run(witness, seed)
    rebuilt = [decision for slot in range(run.trace.slots) for decision in explain(run, slot).decisions]
    assert len(rebuilt) == len(witness.decisions) > 3
    for ours, met in zip(rebuilt, witness.decisions, strict=True):
        assert (ours.requested, ours.clock, ours.slot) == (met.requested, met.clock, met.slot)
        for name in ("deployed", "requests", "eviction_cost", "holding_cost", "leaving_cost", "needs", "capacities"):
            assert_array_equal(getattr(ours, name), getattr(met, name), err_msg=name)
        assert ours.scenario == met.scenario


@pytest.mark.parametrize("policy", POLICIES_EXPLAINED)
def test_the_decision_is_the_one_in_the_events(policy):
    run = random_run(policy, 3)
    names = run.scenario.catalogue.services
    rebuilt = [decision for slot in range(run.trace.slots) for decision in explain(run, slot).decisions]
    for decision, (request, requested, deployed, _) in zip(rebuilt, misses(run), strict=True):
        assert (decision.clock - 1, names[decision.requested], decision.slot) == (request, requested, run.trace.slot[request])
        assert {names[i] for i in np.flatnonzero(decision.deployed)} == deployed
        asked = Counter(run.trace.model[: request + 1].tolist())
        assert decision.requests.tolist() == [asked[i] for i in range(len(names))]


# ---- alternatives


def test_a_policy_of_a_yardsticks_name_is_shown_as_it_chose():
    class Mine(KeepWhatFits):
        name = "exact"

    run = simulate(Scenario(slots=10), Mine(), 1)
    request, _, deployed, _ = next(miss for miss in misses(run) if miss[2] and not miss[3])
    explanation = explain(run, int(run.trace.slot[request]))
    (own,) = [row for row in rows_of(explanation, request).itertuples() if row.chosen]
    assert names_in(own.kept) == deployed and own.evicted == "" and own.excess > 0
    assert "exact evicted nothing" in str(explanation)


@pytest.mark.parametrize("policy", POLICIES_EXPLAINED)
def test_alternatives_are_all_that_fit_and_cost_what_plain_python_says(policy):
    several, met = 0, [(run, miss) for run in (random_run(policy, seed) for seed in range(5)) for miss in [*misses(run)][:8]]
    for run, (request, requested, deployed, evicted) in met:
        explanation = explain(run, int(run.trace.slot[request]))
        table, expected = rows_of(explanation, request), every_choice(run, request, requested, deployed)
        several += len(expected) > 2
        found = {names_in(row.kept): row for row in table.itertuples()}
        assert set(found) == set(expected) and len(table) == len(expected)
        for kept, (switching, resource) in expected.items():
            row = found[kept]
            assert names_in(row.evicted) == deployed - kept and row.requested == requested
            assert_allclose([row.switching_cost, row.resource_cost], [switching, resource], rtol=1e-9, atol=1e-9)
            assert row.cost == pytest.approx(row.switching_cost + row.resource_cost)
        assert table["cost"].is_monotonic_increasing
        assert_allclose(table["excess"], table["cost"] - min(map(sum, expected.values())), atol=1e-9)
        assert (table["excess"] >= 0).all()
        # who chose what: the run's policy what the events say, the exact policy a cheapest
        choosers = Counter(name for cell in table["chosen_by"] for name in names_in(cell))
        assert set(choosers.values()) == {1}
        assert names_in(found[deployed - evicted].chosen_by) >= {run.policy}
        assert [kept for kept, row in found.items() if row.chosen] == [deployed - evicted]
        exact = next(row for row in found.values() if "exact" in names_in(row.chosen_by))
        assert exact.excess == pytest.approx(0, abs=1e-9 * max(exact.cost, 1))
        bounds = {"exact", "clairvoyant"} | ({"optimal-online"} if run.scenario.resource_basis == "slot" else set())
        assert set(choosers) == bounds | {run.policy}
        (decision,) = [met for met in explanation.decisions if met.clock == request + 1]
        for name in bounds - {"exact"}:
            kept = POLICIES[name].prepare(run.scenario, run.trace).decide(decision) & decision.deployed
            named = frozenset(run.scenario.catalogue.services[i] for i in np.flatnonzero(kept))
            assert name in names_in(found[named].chosen_by)
    assert several > 3


def crowded_run(policy, seed, models):
    """A run in which most models are worth keeping, and most of them fit."""
    c = sample_catalogue(models, np.random.default_rng(seed))
    room = {"storage_gb": 0.8 * c.size_gb.sum(), "gpu_memory_gb": 0.8 * c.gpu_memory_gb.sum()}
    power = 0.3 + 0.8 * c.power_kw.sum()
    return simulate(Scenario(c, **room, energy_capacity_kw=power, w2=0.0002, slots=25, arrival_rate=4.0, zipf=0.3), policy, seed)


@pytest.mark.parametrize("policy", ["lru", "exact"])
def test_with_many_models_the_best_with_and_without_each(policy):
    run, tight = crowded_run(policy, 1, 13), 0
    crowded = [miss for miss in misses(run) if len(miss[2]) > ALL_SUBSETS][:2]
    assert len(crowded) == 2
    for request, requested, deployed, evicted in crowded:
        expected = {kept: sum(cost) for kept, cost in every_choice(run, request, requested, deployed).items()}
        tight += len(expected) < 2 ** len(deployed)
        table = rows_of(explain(run, int(run.trace.slot[request])), request)
        found = {names_in(row.kept): row for row in table.itertuples()}
        assert len(found) == len(table) < len(expected)
        assert_allclose([row.cost for row in found.values()], [expected[kept] for kept in found], rtol=1e-9)
        assert table["cost"].is_monotonic_increasing and table["excess"].iloc[0] == 0
        assert {name for row in found.values() for name in names_in(row.chosen_by)} >= {run.policy, "exact"}
        assert run.policy in names_in(found[deployed - evicted].chosen_by)
        wanted = set()
        for model, stays in itertools.product(deployed, (False, True)):
            least = min((cost for kept, cost in expected.items() if (model in kept) == stays), default=None)
            if least is not None:  # the best of its kind is in the table
                wanted |= {kept for kept, cost in expected.items() if cost <= least * (1 + 1e-9)}
                assert min(row.cost for kept, row in found.items() if (model in kept) == stays) == pytest.approx(least)
        assert all(kept in wanted or row.chosen_by for kept, row in found.items())
    assert tight


def test_eight_deployed_models_have_every_alternative_and_nine_have_not():
    run = simulate(Scenario(equal_catalogue(10), slots=10), KeepWhatFits(), trace=one_each(10, range(10)))
    for request in range(10):
        table = explain(run, request).alternatives
        assert len(table) == 2**request if request <= 8 else len(table) < 2 * request + 3
    assert run.deployments[-1].all()


# ---- reasons: what the policy saw


RANKS = {
    "lfu": lambda m, server: m.in_cache if server.lfu == "in_cache" else m.requests,
    "lfu-in-cache": lambda m, server: m.in_cache,
    "lfu-da": lambda m, server: m.aging + m.in_cache,
    "gdsf": lambda m, server: m.aging + m.in_cache / m.share,
    "greedy-dual": lambda m, server: m.aging + m.in_cache * m.fetch / m.share,
    "lru-2": lambda m, server: m.previous,
    "hyperbolic": lambda m, server: m.in_cache / (server.clock - m.since),
    "cremebrulee": lambda m, server: m.requests / server.clock * m.fetch / m.share,
    "llama-swap": lambda m, server: m.fetch,
    "lemonade": lambda m, server: (m.last - server.clock) / m.fetch,
    "localai-largest": lambda m, server: -m.size,
    "ollama": lambda m, server: m.index,
    "belady": lambda m, server: -m.following,
    "belady-cost": lambda m, server: m.fetch / (m.share * (m.following - server.clock)),
}


def plain_ranks(run):
    """At each miss the rank of each deployed model by name, by the formulas that the policies' docstrings cite."""
    s, c, trace, rank = run.scenario, run.scenario.catalogue, run.trace, RANKS[run.policy]
    capacity = (s.storage_gb, s.gpu_memory_gb, s.power_budget_kw)
    models = [
        SimpleNamespace(
            requests=0,
            last=0,
            share=max(np.divide(needs, capacity)),
            fetch=8 * needs[0] / s.bandwidth_gbps + c.io_delay_s[i],
            size=needs[0],
            index=i,
        )
        for i, needs in enumerate(zip(c.size_gb, c.gpu_memory_gb, c.power_kw, strict=True))
    ]  # fmt: skip
    deployed, aging, evictions = set(), 0.0, run.evictions.tolist()
    for clock, requested in enumerate(trace.model.tolist(), start=1):
        models[requested].requests += 1
        if run.outcome[clock - 1] == 0:
            for i in deployed:
                models[i].following = next((n for n in range(clock + 1, len(trace) + 1) if trace.model[n - 1] == i), 2**62)
            ranks = {i: rank(models[i], SimpleNamespace(clock=clock, lfu=s.lfu)) for i in deployed}
            yield clock - 1, {c.services[i]: value for i, value in ranks.items()}
            for _, gone, _ in [eviction for eviction in evictions if eviction[0] == clock]:
                aging = ranks[gone]
                deployed.remove(gone)
            deployed.add(requested)
            models[requested].in_cache, models[requested].since = 0, clock
        if requested in deployed:
            model = models[requested]
            model.in_cache, model.previous, model.last, model.aging = model.in_cache + 1, model.last, clock, aging


def explained(run, request):
    """The explanation of the slot of a request, made once."""
    slot = int(run.trace.slot[request])
    if (id(run), slot) not in EXPLAINED:
        EXPLAINED[id(run), slot] = explain(run, slot)  # it keeps the run, and so its id
    return EXPLAINED[id(run), slot]


EXPLAINED = {}
RANKED = [name for name, policy in POLICIES.items() if getattr(policy, "rank", None) and name != "random"]


@pytest.mark.parametrize("policy", RANKED)
def test_ranks_are_those_of_the_formulas_and_the_lowest_are_evicted(policy):
    chosen = 0
    for seed in range(4):
        run = random_run(policy, seed, models=9)
        for request, ranks in plain_ranks(run):
            table = explained(run, request).reasons
            table = table[table["request"] == request]
            assert sorted(table["model"]) == sorted(ranks) and table["rank"].is_monotonic_increasing
            assert_allclose(table["rank"].astype(float), [ranks[name] for name in table["model"]], rtol=1e-6)
            assert not table["evicted"].astype(int).diff().gt(0).any(), "one is evicted that ranks above one that stays"
            chosen += 0 < table["evicted"].sum() < len(table)
    assert chosen > 5


@pytest.mark.parametrize("policy", POLICIES)
def test_reasons_have_the_last_use_and_the_costs_of_every_deployed_model(policy):
    if policy not in RANKED:
        assert "rank" not in explain(simulate(Scenario(slots=4), policy), 0).reasons
    run = random_run(policy, 3)
    events = run.events
    for request, requested, deployed, evicted in itertools.islice(misses(run), 30):
        table = explained(run, request).reasons
        table = table[table["request"] == request]
        leaving, holding = plain_costs(run, request)
        assert set(table["model"]) == deployed and set(table["model"][table["evicted"]]) == evicted
        for row in table.itertuples():
            asked = events[(events["model"] == row.model) & (events["request"] < request)]
            assert row.requested == requested and row.requests == len(asked)
            assert (row.last_request, row.last_slot) == (asked["request"].iloc[-1], asked["slot"].iloc[-1])
            assert row.deployed_since == asked["request"][~asked["hit"]].iloc[-1]
            assert_allclose([row.eviction_cost, row.holding_cost], [leaving[row.model], holding[row.model]])
        if policy in ("lru", "fifo"):
            queue = table["last_request" if policy == "lru" else "deployed_since"]
            assert queue.is_monotonic_increasing and not table["evicted"].astype(int).diff().gt(0).any()


SEEN = {
    "lru": "lru goes by the last request, the earliest first: b (request 1, slot 1), evicted; a (request 2, slot 2), kept.",
    "fifo": "fifo goes by the deployment, the earliest first: a (since request 0), evicted; b (since request 1), kept.",
    "lfu": "lfu goes by the number of requests, the fewest first: b (1), evicted; a (2), kept.",
    "belady": "belady goes by the next request, the furthest first: b (never), evicted; a (request 4), kept.",
    "hyperbolic": "hyperbolic goes by its rank, the lowest first: b (0.5), evicted; a (0.6667), kept.",
    "random": "random evicts at random.",
    # 4 (1 + 1) / (4 + 3), and 4 (2 + 1) / (4 + 3), against 4 x 0.01
    "exact": "Evicting each model costs, against holding it: b (1.143 against 0.04), evicted; a (1.714 against 0.04), kept.",
}


@pytest.mark.parametrize("policy", SEEN)
def test_a_decision_by_hand_says_first_what_has_no_room_and_how_the_policy_sees_each_model(policy):
    c = make_catalogue(a=(2, 2, 0.1, 1, 1), b=(2, 2, 0.1, 1, 1), c=(2, 2.5, 0.1, 1, 1))
    scenario = Scenario(c, storage_gb=5.5, gpu_memory_gb=5, w2=0.01, bandwidth_gbps=8.0, slots=5)
    explanation = explain(simulate(scenario, policy, trace=one_each(3, [0, 1, 0, 2, 0])), 3)
    lacking = "storage: 4 GB held + 2 GB requested > 5.5 GB; GPU memory: 4 GB held + 2.5 GB requested > 5 GB."
    first = f"Request 3 for c, a miss. There is no room. {lacking}\n{SEEN[policy]}\n{policy} evicted "
    assert first in str(explanation)
    assert first.replace("\n", "<br/>").replace(">", "&gt;").replace("<br/&gt;", "<br/>") in explanation._repr_html_()
    assert set(explanation.alternatives["without_room"]) == {"storage; GPU memory"}


def test_where_there_is_room_an_eviction_policy_needs_no_reason_and_nothing_deployed_none():
    run = simulate(Scenario(equal_catalogue(3), slots=3), "lru", trace=one_each(3, [0, 1, 2]))
    for slot in range(3):
        explanation = explain(run, slot)
        said = f"Request {slot} for m{slot}, a miss. There is room for it beside all deployed models.\nlru evicted nothing"
        assert said in str(explanation)
        assert len(explanation.reasons) == slot and not explanation.reasons["evicted"].any()


def test_a_long_list_of_models_is_cut_short_after_those_evicted():
    run = simulate(Scenario(equal_catalogue(12), storage_gb=11, slots=12), KeepWhatFits(), trace=one_each(12, range(12)))
    text = str(explain(run, 11))
    assert text.split("holding it: ")[1].partition("\n")[0].count("; ") == 9 and "; and 2 more, kept." in text
    assert "m10 (" in text and "), evicted; and" in text, "the evicted one is named, however far behind"


@pytest.mark.parametrize("scope", ["bypass", "prefetch", "free"])
def test_alternatives_are_all_that_the_scope_allows(scope):
    """By plain Python, from the log: whether the requested model may go, and other models may come."""
    told = Counter()
    for seed in range(6):
        run = simulate(random_run("exact", seed).scenario.vary(scope=scope, charge="absence", w1=1.0), "exact", seed)
        deployed, names = set(), set(run.scenario.catalogue.services)
        for event in run.events.itertuples():
            if event.hit or event.cloud:
                continue
            table = rows_of(explain(run, event.slot), event.request)
            leaving, holding = plain_costs(run, event.request)
            others = (names if scope != "bypass" else deployed) - {event.model}
            costs = {}
            for count, stays in itertools.product(range(len(others) + 1), (True, False)):
                for beside in itertools.combinations(sorted(others), count):
                    after, served = {*beside, event.model} if stays else set(beside), {*beside, event.model}
                    room = (run.scenario.storage_gb, run.scenario.gpu_memory_gb, run.scenario.power_budget_kw)
                    fits = all(used <= most * (1 + 1e-9) for used, most in zip(needs_of(run, served), room, strict=True))
                    if fits and (stays or scope != "prefetch"):
                        costs[frozenset(after)] = sum(holding[name] if name in after else leaving[name] for name in names)
            assert len(table) == len(costs)
            for row in table.itertuples():
                after = names_in(row.kept) | names_in(row.prefetched) | ({event.model} - names_in(row.evicted))
                assert row.cost == pytest.approx(costs[after])
                assert names_in(row.evicted) == (deployed | {event.model}) - after
            chosen = table[table["chosen"]].iloc[0]
            assert names_in(chosen["evicted"]) == names_in(event.evicted) and chosen["excess"] == pytest.approx(0, abs=1e-9)
            assert names_in(chosen["prefetched"]) == names_in(event.prefetched)
            told.update(bypassed=event.model in names_in(event.evicted), prefetched=bool(event.prefetched))
            deployed = (deployed | {event.model} | names_in(event.prefetched)) - names_in(event.evicted)
    assert (told["bypassed"] > 3) == (scope != "prefetch") and (told["prefetched"] > 3) == (scope != "bypass")


# ---- resources


def test_resources_are_what_more_of_each_would_save():
    seen = Counter()
    for seed, policy in enumerate(["lru", "exact", "random", "gdsf", "ga", "clairvoyant", "fifo", "lfu"]):
        run = random_run(policy, seed)
        s = run.scenario
        capacity = {"storage": s.storage_gb, "GPU memory": s.gpu_memory_gb, "power": s.energy_capacity_kw - s.static_power_kw}
        for request, requested, deployed, evicted in itertools.islice(misses(run), 8):
            table = explain(run, int(run.trace.slot[request])).resources
            rows = {row.resource: row for row in table[table["request"] == request].itertuples()}
            assert list(rows) == list(MORE) and [row.unit for row in rows.values()] == ["GB", "GB", "kW"]
            used = dict(zip(MORE, needs_of(run, deployed - evicted | {requested}), strict=True))
            least = min(map(sum, every_choice(run, request, requested, deployed).values()))
            for place, (resource, step) in enumerate(MORE.items()):
                row, more = rows[resource], np.zeros(3)
                more[place] = step
                saves = least - min(map(sum, every_choice(run, request, requested, deployed, more).values()))
                assert (row.step, row.capacity) == (step, pytest.approx(capacity[resource]))
                assert row.used == pytest.approx(used[resource])
                held, asked = needs_of(run, deployed)[place], needs_of(run, [requested])[place]
                assert (row.held, row.asked) == (pytest.approx(held), pytest.approx(asked))
                lacks = held + asked > capacity[resource] * (1 + 1e-9)
                assert row.short_by == (pytest.approx(held + asked - capacity[resource]) if lacks else 0)
                assert row.saves == pytest.approx(saves, rel=1e-6, abs=1e-9 * max(least, 1)) and row.saves >= 0
                assert row.binding == (saves > 1e-9 * least)
                seen[resource, bool(row.binding)] += 1
    assert all(seen[resource, True] and seen[resource, False] for resource in MORE), seen


def three_alike(**changes):
    """The third of three models misses, each 2 GB, 2 GB and 0.1 kW; switching takes 8 * 2 / 8 + 1 + 1 = 4 s, holding costs 4 w2."""
    c = make_catalogue(a=(2, 2, 0.1, 1, 1), b=(2, 2, 0.1, 1, 1), c=(2, 2, 0.1, 1, 1))
    ample = {"storage_gb": 100.0, "gpu_memory_gb": 100.0, "energy_capacity_kw": 10.3, "static_power_kw": 0.3, "w2": 0.01}
    scenario = Scenario(c, **(ample | changes), bandwidth_gbps=8.0, slots=4)
    return explain(simulate(scenario, "exact", trace=one_each(3, [0, 0, 1, 2])), 3)


@pytest.mark.parametrize(
    ("resource", "limit", "text"),
    [
        ("storage", {"storage_gb": 5.0}, "Binding: 1 GB more storage would have saved 1.103."),
        ("GPU memory", {"gpu_memory_gb": 5.0}, "Binding: 1 GB more GPU memory would have saved 1.103."),
        ("power", {"energy_capacity_kw": 0.55}, "Binding: 0.1 kW more power would have saved 1.103."),
    ],
)
def test_a_limit_that_binds_by_hand(resource, limit, text):
    """Two of three fit: a stays, whose eviction would cost 4 * (2 + 1) / (4 + 3), and b goes for 4 * (1 + 1) / (4 + 3)."""
    explanation = three_alike(**limit)
    best = explanation.alternatives.iloc[0]
    assert (best["requested"], best["kept"], best["evicted"]) == ("c", "a", "b")
    assert_allclose([best["switching_cost"], best["resource_cost"]], [4 * 2 / 7, 2 * 0.04])
    rows = explanation.resources.set_index("resource")
    assert rows["binding"].to_dict() == {name: name == resource for name in MORE}
    assert rows["saves"].to_dict() == pytest.approx({name: (8 / 7 - 0.04) * (name == resource) for name in MORE})
    assert_allclose(rows["used"], [4, 4, 0.2])
    assert text in str(explanation) and text in explanation._repr_html_()


def test_a_limit_binds_as_long_as_keeping_is_worth_more_than_holding_costs():
    """b's eviction costs 8 / 7 = 1.143, holding it 1.12 or 1.16."""
    saves = three_alike(gpu_memory_gb=5.0, w2=0.28).resources.set_index("resource")["saves"]
    assert saves.to_dict() == pytest.approx({"storage": 0, "GPU memory": 8 / 7 - 1.12, "power": 0})
    assert not three_alike(gpu_memory_gb=5.0, w2=0.29).resources["binding"].any()


def test_where_all_fit_nothing_binds():
    explanation = three_alike()
    assert explanation.alternatives.iloc[0]["evicted"] == ""
    assert (explanation.resources["saves"] == 0).all() and not explanation.resources["binding"].any()
    assert "Nothing was binding: 1 GB more storage or 1 GB more GPU memory or 0.1 kW more power would have saved nothing" in str(
        explanation
    )


# ---- slots


def test_a_slot_without_decisions_names_the_nearest():
    trace = make_trace(4, [0], [1, 0], [0, 1], [], [1], [2], [], [3], [])
    run = simulate(Scenario(equal_catalogue(4), slots=9), "lru", trace=trace)
    text = str(explain(run, 2))
    assert text.startswith("Slot 2, policy lru: requests 2, hits 2, decisions 0. Nothing was decided") and "1 and 5" in text
    assert "5 and 7" in str(explain(run, 6)) and "1 and 5" in str(explain(run, 4))
    last = str(explain(run, 8))
    assert "requests 0, hits 0, decisions 0" in last and "7" in last.split("nearest")[1] and "and" not in last.split("nearest")[1]
    assert str(explain(run, 3)) in explain(run, 3)._repr_html_()
    for slot in (2, 3, 6, 8):
        explanation = explain(run, slot)
        assert explanation.decisions == () and len(explanation.alternatives) == len(explanation.resources) == 0
        for table in ("reasons", "alternatives", "resources"):
            assert list(getattr(explanation, table)) == list(getattr(explain(run, 1), table))
    assert [len(explain(run, slot).decisions) for slot in range(9)] == [1, 1, 0, 0, 0, 1, 0, 1, 0]


def test_a_run_without_decisions():
    c = make_catalogue(small=(1, 1, 0, 1, 1), large=(500, 1, 0, 1, 1))
    text = str(explain(simulate(Scenario(c, slots=2), "lru", trace=make_trace(2, [1], [1])), 1))
    assert text == "Slot 1, policy lru: requests 1, hits 0, decisions 0. Nothing was decided."


@pytest.mark.parametrize("slot", [-1, 4, 10**30, 1.0, 1.5, float("nan"), True, "1", None], ids=repr)
def test_a_slot_that_the_run_does_not_have(slot):
    run = simulate(Scenario(slots=4), "lru")
    with pytest.raises(InputError) as error:
        explain(run, slot)
    assert str(error.value) == f"slot is {slot!r}; the run has slots 0 to 3"


def test_any_whole_number_is_a_slot():
    run = simulate(Scenario(slots=4), "lru")
    assert str(explain(run, np.int32(3))) == str(explain(run, 3))


# ---- bounds that are missing, and what is shown


def test_under_decision_basis_the_text_says_why_optimal_online_is_missing():
    run = simulate(Scenario(slots=20, resource_basis="decision"), "lru", 1)
    slot = next(int(run.trace.slot[request]) for request, _, deployed, _ in misses(run) if len(deployed) > 1)
    explanation = explain(run, slot)
    choosers = {name for cell in explanation.alternatives["chosen_by"] for name in names_in(cell)}
    assert choosers == {"lru", "exact", "clairvoyant"}
    for text in (str(explanation), explanation._repr_html_()):
        assert text.count("optimal-online is not defined under resource_basis = decision") == 1


def test_on_a_large_server_the_text_says_why_clairvoyant_is_missing():
    run = simulate(Scenario(sample_catalogue(60, np.random.default_rng(0)), slots=10, w2=0.01), "lru")
    explanation = explain(run, next(int(run.trace.slot[request]) for request, _, deployed, _ in misses(run) if deployed))
    choosers = {name for cell in explanation.alternatives["chosen_by"] for name in names_in(cell)}
    assert choosers == {"lru", "exact", "optimal-online-approximate"}
    assert str(explanation).count("clairvoyant is limited to 20000 deployments") == 1


def test_text_and_html_have_the_essentials():
    run = simulate(Scenario(w2=0.02, slots=60), "lru", 1)
    counts = Counter(int(run.trace.slot[request]) for request, *_, evicted in misses(run) if evicted)
    slot = max(counts, key=counts.get)
    explanation = explain(run, slot)
    text, html = str(explanation), explanation._repr_html_()
    here = [miss for miss in misses(run) if run.trace.slot[miss[0]] == slot]
    assert len(here) == len(explanation.decisions) > 1
    own = explanation.alternatives[["lru" in names_in(cell) for cell in explanation.alternatives["chosen_by"]]]
    for shown in (text, html):
        assert f"Slot {slot}, policy lru: requests {(run.trace.slot == slot).sum()}, " in shown
        for (request, requested, deployed, evicted), row in zip(here, own.itertuples(), strict=True):
            went = ", ".join(name for name in run.scenario.catalogue.services if name in evicted) or "nothing"
            assert f"Request {request} for {requested}, a miss. " in shown and f"lru evicted {went} and kept " in shown
            assert f"That costs {row.cost:.4g} = switching {row.switching_cost:.4g} + resources {row.resource_cost:.4g}" in shown
            told = f"{row.excess:.4g} less" if row.excess else "No alternative is cheaper"
            assert told in shown.split(f"Request {request} ")[1].split("Request")[0] and deployed
        assert "storage" in shown and "of 120 GB" in shown and "of 0.7 kW" in shown
    page = ElementTree.fromstring(f"<div>{html}</div>")  # well-formed, with a table a decision
    tables = page.findall(".//table")
    assert len(tables) == len(here)
    for table, (request, *_) in zip(tables, here, strict=True):
        rows = rows_of(explanation, request)
        shown = ((np.arange(len(rows)) < 8) | (rows["chosen_by"] != "")).sum()
        assert len(table.findall("./tbody/tr")) == shown
        heads = [cell.text for cell in table.findall("./thead/tr/th")]
        assert heads == ["evicted", "switching_cost", "resource_cost", "cost", "excess", "chosen_by"]
        assert {"lru", "exact", "optimal-online", "clairvoyant"} <= set("; ".join(table.itertext()).replace("\n", "").split("; "))
