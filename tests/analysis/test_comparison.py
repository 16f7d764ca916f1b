"""Policies side by side: means, use and crowding against plain replays, the sentences against tables worked by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.reference import reference
from support.cases import make_catalogue, one_each, random_readings, random_scenario

from edgecache import BOUNDS, GA, InputError, Scenario, simulate
from edgecache.analysis.comparison import change, comparison, crowding, differences, policies_of, ranking, scarcity
from edgecache.analysis.explanations import decision_at, evolution
from edgecache.demand import random_stream
from edgecache.results import MISS

RESOURCES = ("storage_gb", "gpu_memory_gb", "power_kw")
BOUND_ROWS = ("clairvoyant", "clairvoyant-bound", "optimal-online-approximate", "clairvoyant-delay")


def replay(scenario, trace, evicted):
    """(Which resources each miss overfills, what is in use after each slot), in plain Python; `evicted` lists models by request."""
    c = scenario.catalogue
    needs = [c.size_gb.tolist(), c.gpu_memory_gb.tolist(), c.power_kw.tolist()]
    room = [scenario.storage_gb, scenario.gpu_memory_gb, scenario.energy_capacity_kw - scenario.static_power_kw]
    deployed, crowded, used, request = set(), [], [], 0
    for slot in range(trace.slots):
        while request < len(trace) and trace.slot[request] == slot:
            model = int(trace.model[request])
            if model not in deployed and all(need[model] <= most * (1 + 1e-9) for need, most in zip(needs, room, strict=True)):
                wanted = deployed | {model}
                totals = [sum(need[i] for i in wanted) for need in needs]
                crowded.append([total > most * (1 + 1e-9) for total, most in zip(totals, room, strict=True)])
                deployed = wanted - set(evicted[request])
            request += 1
        totals = [sum(need[i] for i in deployed) for need in needs]
        used.append([totals[0], totals[1], totals[2] + scenario.static_power_kw])
    return crowded, used


def evicted_by(run):
    """The evicted models of each request, by the log of events."""
    names = run.scenario.catalogue.services
    return [[names.index(name) for name in row.split("; ") if name] for row in run.events["evicted"]]


def row(policy, cost, delay=1.0, hits=0.5, **more):
    """A policy of a comparison made up by hand."""
    usual = {"resource_cost": cost, "switching_cost": 0.0, "requests": 10, "cloud_requests": 0, "misses": 10}
    usual |= {f"used_{name}": 1.0 for name in RESOURCES} | {f"crowded_{name}": 0 for name in RESOURCES}
    return usual | {"policy": policy, "total_cost": cost, "service_delay_s": delay, "hit_ratio": hits} | more


def table(*rows):
    return pd.DataFrame(list(rows))


@pytest.mark.parametrize("policy", ["fifo", "lru", "lfu", "exact"])
def test_use_and_crowding_are_those_of_a_replay_that_shares_no_code(policy):
    met = Counter()
    for seed in range(25):
        rng = np.random.default_rng(seed)
        scenario = random_scenario(
            rng, int(rng.integers(1, 8)), **random_readings(rng) | {"slots": 8, "arrival_rate": 2.0, "scope": "evict"}
        )
        run = simulate(scenario, policy, seed)
        crowded, used = replay(scenario, run.trace, [event[2] for event in reference(scenario, run.trace, policy)["events"]])
        assert_array_equal(crowding(run), np.array(crowded, dtype=bool).reshape(-1, 3))
        assert_allclose(run.used, used, atol=1e-9)
        met.update(place for miss in crowded for place in range(3) if miss[place])
    assert min(met[place] for place in range(3)) > 5, "no resource is left untested"


@pytest.mark.parametrize("policy", ["random", "ga", "clairvoyant", "optimal-online-delay"])
def test_use_and_crowding_of_every_kind_of_policy_are_those_of_its_log_replayed(policy):
    for seed in range(10):
        rng = np.random.default_rng([seed, 1])
        scenario = random_scenario(
            rng, 6, **random_readings(rng) | {"slots": 8, "arrival_rate": 2.0, "resource_basis": "slot", "scope": "evict"}
        )
        run = simulate(scenario, policy, seed)
        crowded, used = replay(scenario, run.trace, evicted_by(run))
        assert_array_equal(crowding(run), np.array(crowded, dtype=bool).reshape(-1, 3))
        assert_allclose(run.used, used, atol=1e-9)


def test_what_is_used_adds_up_over_each_deployment_by_hand():
    run = simulate(Scenario(slots=15), "lru", 2)
    c = run.scenario.catalogue
    for slot, deployment in enumerate(run.deployments):
        storage = memory = 0.0
        power = run.scenario.static_power_kw
        for model, held in enumerate(deployment):
            if held:
                storage, memory, power = storage + c.size_gb[model], memory + c.gpu_memory_gb[model], power + c.power_kw[model]
        assert_allclose(run.used[slot], [storage, memory, power])


def test_a_model_that_fills_the_server_to_the_brim_does_not_crowd_it():
    catalogue = make_catalogue(a=(0.1, 1, 0, 1, 1), b=(0.2, 1, 0, 1, 1), c=(0.1, 1, 0, 1, 1))
    scenario = Scenario(catalogue, storage_gb=0.1 + 0.2, gpu_memory_gb=3, slots=3)
    run = simulate(scenario, "lru", trace=one_each(3, [1, 0, 2]))
    assert crowding(run).tolist() == [[False] * 3, [False] * 3, [True, False, False]]


def test_a_comparison_has_a_row_a_policy_with_its_means_its_use_and_its_counts():
    scenario = Scenario(slots=20)
    runs = {name: simulate(scenario, name, 1) for name in ("lru", "ga", "clairvoyant")}
    found = comparison(runs).set_index("policy")
    assert list(found.index) == list(runs)
    for name, run in runs.items():
        crowded, used = replay(scenario, run.trace, evicted_by(run))
        means = run.means()
        assert found.loc[name, list(means)].tolist() == list(means.values())
        assert_allclose(found.loc[name, [f"used_{resource}" for resource in RESOURCES]].astype(float), np.mean(used, axis=0))
        assert found.loc[name, [f"crowded_{resource}" for resource in RESOURCES]].tolist() == np.sum(crowded, axis=0).tolist()
        assert found.loc[name, "misses"] == len(crowded) == run.means()["requests"] - run.events["hit"].sum()


def test_a_comparison_without_a_single_request_counts_nothing():
    scenario = Scenario(slots=10, arrival_rate=0.1)
    seed = next(seed for seed in range(99) if not len(simulate(scenario, "lru", seed).trace))
    found = comparison({name: simulate(scenario, name, seed) for name in ("lru", "ga")})
    assert found["misses"].tolist() == found["crowded_storage_gb"].tolist() == [0, 0]
    assert found["service_delay_s"].isna().all() and np.isclose(found["used_power_kw"], 0.3).all()


def test_policies_are_the_rows_that_are_no_bounds_the_cheapest_first_and_equal_ones_in_their_order():
    rows = [row("lru", 3.0), row("fifo", 2.0), row("lfu", 3.0), *(row(name, 1.0) for name in BOUND_ROWS), row("ga", 2.0)]
    assert policies_of(table(*rows))["policy"].tolist() == ["fifo", "ga", "lru", "lfu"]
    assert not len(policies_of(table(*(row(name + end, 1.0) for name in BOUNDS for end in ("", "-approximate", "-bound")))))


def test_differences_are_to_the_best_policy_and_bounds_are_no_policy():
    found = differences(table(row("clairvoyant", 1.0, 0.5, 0.9), row("lru", 4.0, 2.0, 0.25), row("ga", 2.0, 3.0, 0.75)))
    assert found["policy"].tolist() == ["clairvoyant", "lru", "ga"]
    assert_allclose(found["total_cost"], [-0.5, 1.0, 0.0])
    assert_allclose(found["service_delay_s"], [-0.75, 0.0, 0.5])
    assert_allclose(found["hit_ratio"], [0.15, -0.5, 0.0])


def test_differences_without_a_request_a_cost_or_a_policy_are_not_numbers_and_warn_of_nothing():
    nothing = differences(table(row("lru", 0.0, np.nan, np.nan), row("ga", 0.0, np.nan, np.nan)))
    assert nothing.drop(columns="policy").isna().all(axis=None)
    assert differences(table(row("lru", 0.0), row("ga", 2.0)))["total_cost"].tolist()[1] == np.inf
    assert differences(table(row("clairvoyant", 1.0))).drop(columns="policy").isna().all(axis=None)


def test_the_ranking_says_who_costs_least_and_with_whom_users_wait_least():
    rows = [row("lru", 15.0, 2.0), row("clairvoyant", 5.0, 0.1), row("ga", 10.0, 3.0), row("lfu", 11.0, 2.5)]
    assert ranking(table(*rows)) == (
        "Proposed (GA) costs least, 10 per slot; then LFU (+10%), LRU (+50%). "
        "Users wait least with LRU, 2 s, and longest with Proposed (GA), 3 s."
    )


def test_the_ranking_of_one_policy_or_of_none_stands_alone():
    assert ranking(table(row("clairvoyant", 1.0), row("lru", 1.5))) == "LRU costs least, 1.5 per slot."
    assert ranking(table(row("clairvoyant", 1.0))) == ""


def test_the_ranking_says_no_nan_where_there_is_no_request_or_no_cost():
    for rows in ([row("lru", 0.0, np.nan), row("ga", 0.0, np.nan)], [row("lru", 0.0), row("ga", 0.0, 2.0)]):
        said = ranking(table(*rows))
        assert "LRU" in said and "Proposed (GA)" in said
        assert "nan" not in said and "inf" not in said
    assert "wait" not in ranking(table(row("lru", 0.0, np.nan), row("ga", 0.0, np.nan)))
    said = ranking(table(row("lru", 0.0), row("ga", 3.0)))
    assert "inf" not in said and "3" in said, "what is more than nothing has no share of it"


def test_the_ranking_calls_nobody_longest_where_all_wait_alike():
    rows = [row("lru", 1.0, 0.1 + 0.2), row("fifo", 2.0, 0.3), row("ga", 3.0, 0.3)]
    assert "longest" not in ranking(table(*rows)) and "0.3 s" in ranking(table(*rows))


def test_scarcity_names_the_resource_that_most_often_had_no_room():
    rows = [row("lru", 1.0, misses=10, crowded_gpu_memory_gb=6, crowded_storage_gb=1), row("clairvoyant", 1.0, misses=90)]
    rows += [row("ga", 1.0, misses=10, crowded_gpu_memory_gb=2, crowded_power_kw=3)]
    assert scarcity(table(*rows)) == (
        "GPU memory limits this server: at 40% of the misses it had no room for the requested model (storage: 5%, power: 15%)."
    )
    assert scarcity(table(row("lru", 1.0, crowded_storage_gb=5))).startswith("Storage limits this server: at 50% ")
    alike = row("lru", 1.0, crowded_storage_gb=5, crowded_power_kw=5)
    assert scarcity(table(alike)).startswith("Storage and power limit this server: at 50% of the misses they had no room")


def test_scarcity_says_where_nothing_is_scarce():
    for rows in ([row("lru", 1.0)], [row("lru", 1.0, misses=0)], [row("clairvoyant", 1.0, crowded_storage_gb=3)]):
        assert scarcity(table(*rows)).startswith("No resource is scarce")


def test_a_server_too_small_for_what_is_asked_for_is_not_called_large_enough():
    scenario = Scenario(gpu_memory_gb=1, slots=30)  # one model fits, all others are the cloud's
    runs = {name: simulate(scenario, name) for name in ("lru", "ga")}
    said, trace = scarcity(comparison(runs)), runs["lru"].trace
    large = sum(scenario.catalogue.gpu_memory_gb[model] > 1 for model in trace.model)
    assert "No resource is scarce" not in said and 0 < large < len(trace)
    assert said.startswith(f"{large} of {len(trace)} requests ({large / len(trace):.0%}) are for models that do not even fit")
    assert "For the others no resource is scarce: " in said


def test_a_change_says_who_moved_who_changed_most_and_who_least_and_why():
    before = table(row("lru", 10.0, 4.0, used_storage_gb=50, used_gpu_memory_gb=8), row("ga", 12.0), row("clairvoyant", 1.0))
    now = table(
        row("clairvoyant", 9.0),
        row("lru", 14.0, 5.0, resource_cost=13.0, switching_cost=1.0, used_storage_gb=60, used_gpu_memory_gb=9),
        row("ga", 12.5, 2.0, resource_cost=11.0, switching_cost=1.5, used_storage_gb=3, used_gpu_memory_gb=2),
    )
    assert change(now, before) == (
        "The ranking by cost changes: Proposed (GA) from 2 to 1, LRU from 1 to 2. "
        "LRU changes most: it holds 60 GB of storage instead of 50, 9 GB of GPU memory instead of 8. "
        "Per slot its resource cost is 3 higher, its switching cost 1 higher; its users wait 5 s instead of 4. "
        "Proposed (GA) changes least: it holds 3 GB of storage instead of 1, 2 GB of GPU memory instead of 1. "
        "Per slot its resource cost is 1 lower, its switching cost 1.5 higher; its users wait 2 s instead of 1."
    )


def test_a_change_says_what_stays_and_what_does_not_change():
    before, now = table(row("lru", 10.0), row("ga", 5.0)), table(row("lru", 11.0), row("ga", 5.0))
    said = change(now, before)
    assert said.startswith("The ranking by cost stays as it was. LRU changes most: ")
    assert said.endswith("Proposed (GA) does not change: it holds 1 GB of storage and 1 GB of GPU memory as before.")
    assert change(before, before) == "The ranking by cost stays as it was. No cost changes."
    free = table(row("lru", 0.0), row("ga", 0.0))
    assert change(free, free) == "The ranking by cost stays as it was. No cost changes."


def test_what_keeps_other_models_at_the_same_cost_is_not_said_to_keep_them_as_before():
    before = table(row("lru", 10.0, used_storage_gb=48.2), row("ga", 5.0))
    said = change(table(row("lru", 10.0, used_storage_gb=45.3), row("ga", 6.0)), before)
    assert "45.3" in said and "as before" not in said[said.index("LRU") :]


def test_a_change_compares_what_both_have_and_says_nothing_of_a_single_policy():
    before = table(row("fifo", 1.0), row("lru", 2.0), row("ga", 3.0), row("clairvoyant", 0.5))
    said = change(table(row("ga", 1.0), row("lru", 2.0), row("lfu", 0.1)), before)
    assert said.startswith("The ranking by cost changes: Proposed (GA) from 2 to 1, LRU from 1 to 2.") and "LFU" not in said
    for rows in ([row("lru", 1.0)], [row("lru", 1.0), row("clairvoyant", 0.1)], [row("clairvoyant", 1.0)], [row("random", 1.0)]):
        assert change(table(*rows), before) == ""


def test_equal_costs_push_nobody_down_the_ranking():
    before = table(row("lru", 1.0), row("fifo", 2.0), row("ga", 3.0))
    said = change(table(row("fifo", 5.0), row("ga", 5.0), row("lru", 5.0 * (1 + 1e-15))), before)
    assert "from 1 to" not in said, "nothing is cheaper than LRU"


def test_a_change_says_no_nan_where_no_one_asks_any_more():
    before, now = table(row("lru", 10.0), row("ga", 5.0)), table(row("lru", 0.0, np.nan, np.nan), row("ga", 0.0, np.nan, np.nan))
    for said in (change(now, before), change(before, now)):
        assert said and "nan" not in said


@pytest.mark.parametrize(("seed", "replication"), [(0, 0), (3, 1)])
def test_the_evolution_of_every_decision_is_the_one_that_the_run_decided_by(seed, replication):
    run = simulate(Scenario(slots=12, w2=0.02), "ga", seed, replication=replication)
    missed = np.flatnonzero(run.outcome == MISS)
    rng, afresh = (np.random.default_rng(random_stream(seed, replication, 1)) for _ in range(2))
    words, differs = afresh.bit_generator.state, 0
    assert len(missed) > 5
    for request in missed:
        decision = decision_at(run, request)
        chosen = decision.deployed.copy()
        chosen[decision.requested] = True
        chosen[run.evictions[run.evictions[:, 0] == request + 1, 1]] = False
        found, log = GA().evolve(replace(decision, rng=rng), record=True)  # one generator through the whole run
        assert_array_equal(found, chosen)
        own = evolution(run, int(request), seed, replication)
        pd.testing.assert_frame_equal(own, pd.DataFrame(log))
        assert_allclose(own["met"].iloc[-1], decision.cost(chosen), rtol=1e-12)
        afresh.bit_generator.state = words
        differs += not own.equals(pd.DataFrame(GA().evolve(replace(decision, rng=afresh), record=True)[1]))
    assert differs > 3


def test_an_evolution_is_of_a_miss_of_the_ga():
    run = simulate(Scenario(slots=12, w2=0.02), "ga", 0)
    hit = int(np.flatnonzero(run.outcome != MISS)[0])
    for wrong, request in ((run, hit), (simulate(Scenario(slots=12), "lru", 0), 0), (run, len(run.trace)), (run, -1)):
        with pytest.raises(InputError, match="no decision of the GA"):
            evolution(wrong, request, 0)


def test_where_the_delay_over_all_requests_is_there_the_sentences_take_it():
    rows = [row("lru", 1.0, 2.0, service_delay_all_s=9.0, cloud_requests=5), row("ga", 2.0, 4.0, service_delay_all_s=8.0)]
    assert ranking(table(*rows)).endswith("Users wait least with Proposed (GA), 8 s, and longest with LRU, 9 s.")
    assert "The cloud serves them; the cost does not count them." in scarcity(table(*rows))
    before = table(row("lru", 1.5, 3.0, service_delay_all_s=7.0), row("ga", 2.0, 4.0, service_delay_all_s=8.0))
    assert "its users wait 9 s instead of 7." in change(table(*rows), before)
