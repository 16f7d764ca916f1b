"""The distance to the best possible: gaps and shares worked by hand, certificates read off DEAP's log, limits that must bind."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from support.cases import hard_decision, make_catalogue, make_decision

from edgecache import GA, Exact, InputError, OptimalOnline, Scenario, sample_catalogue, simulate, sweep
from edgecache.analysis.gaps import PARTS, capacity_map, certificate, decisions_met, optimal_share, split_gap
from edgecache.demand import random_stream, zipf_popularity
from edgecache.intervals import interval
from edgecache.results import MISS

# ---- the gap and its parts


def gap_table(**costs):
    """A sweep over storage of 60 and 120 GB: of each policy the costs of three replications at 60 GB, then at 120 GB."""
    cells = list(itertools.product([60, 120], range(3)))
    rows = [(*cell, name, cost) for name, values in costs.items() for cell, cost in zip(cells, values, strict=True)]
    return pd.DataFrame(rows, columns=["storage_gb", "replication", "policy", "total_cost"])


BY_HAND = {
    "ga": [12.0, 14.0, 16.0, 5.0, 5.0, 8.0],
    "exact": [11.0, 13.0, 12.0, 5.0, 5.0, 5.0],
    "optimal-online": [11.5, 10.0, 9.5, 4.0, 5.0, 6.0],
    "clairvoyant": [8.0, 8.0, 8.0, 4.0, 3.0, 2.0],
    "lru": [99.0, 98.0, 97.0, 96.0, 95.0, 94.0],
}


def test_split_gap_by_hand():
    found = split_gap(gap_table(**BY_HAND))
    assert list(found.columns) == ["value", "part", "mean", "low", "high", "share", "parameter"]
    assert list(found[["value", "part"]].itertuples(index=False, name=None)) == list(itertools.product([60, 120], PARTS))
    assert set(found["parameter"]) == {"storage_gb"}
    # differences at 60 GB: 1, 1, 4; -0.5, 3, 2.5; 3.5, 2, 1.5; 4, 6, 8; at 120 GB: 0, 0, 3; 1, 0, -1; 0, 2, 4; 1, 2, 6
    assert_allclose(found["mean"], [2, 5 / 3, 7 / 3, 6, 1, 0, 2, 3])
    assert_allclose(found["share"], [2 / 8, 5 / 24, 7 / 24, 6 / 8, 1 / 3, 0, 2 / 3, 1])
    # the ends are those of the differences at 60 and at 120 GB, see test_intervals.py
    differences = [[1, 1, 4], [-0.5, 3, 2.5], [3.5, 2, 1.5], [4, 6, 8], [0, 0, 3], [1, 0, -1], [0, 2, 4], [1, 2, 6]]
    assert_allclose(found[["low", "high"]].T, interval(differences))
    # 4, 6, 8 have no skew: 6 +- the 97.5 % point of t with two degrees of freedom times a standard error
    assert_allclose(found.loc[3, ["low", "high"]].astype(float), [6 - 4.3026527 * 2 / 3**0.5, 6 + 4.3026527 * 2 / 3**0.5])


def test_the_parts_add_up_to_the_whole():
    policies = list(dict.fromkeys(name for pair in PARTS.values() for name in pair))
    table = sweep({"w2": [0.01, 1.0]}, policies, 3, Scenario(slots=30), progress=False, jobs=1)
    for outcome in ("total_cost", "service_delay_s"):
        wide = split_gap(table, outcome).pivot(index="value", columns="part", values="mean")
        assert_allclose(wide[["solver", "myopia", "future"]].sum(axis=1), wide["whole"], atol=1e-12)
        means = table.groupby(["w2", "policy"])[outcome].mean().unstack()
        assert_allclose(wide["whole"], means["ga"] - means["clairvoyant"], atol=1e-12)
        assert wide["whole"].abs().min() > 1e-6


def test_split_gap_is_paired():
    """Where the GA costs one more in every replication, its interval has no width, however the replications differ."""
    costs = np.array([3.0, 50.0, 700.0, 1.0, 80.0, 4.0])
    table = gap_table(**{"ga": costs + 1, "exact": costs, "optimal-online": costs, "clairvoyant": costs})
    solver = split_gap(table).query("part == 'solver'")
    assert_allclose(solver[["mean", "low", "high"]], 1)


@pytest.mark.parametrize("policy", ["ga", "exact", "optimal-online", "clairvoyant"])
def test_split_gap_names_the_policy_that_is_missing(policy):
    with pytest.raises(InputError, match=f"unknown policy of this table '{policy}'"):
        split_gap(gap_table(**{name: costs for name, costs in BY_HAND.items() if name != policy}))


def test_split_gap_is_along_one_parameter():
    table = gap_table(**BY_HAND)
    with pytest.raises(InputError, match="one parameter, but this table varies none"):
        split_gap(table[table["storage_gb"] == 60].drop(columns="storage_gb"))
    with pytest.raises(InputError, match="one parameter, but this table varies w2, storage_gb"):
        split_gap(pd.concat([table.assign(w2=w2)[["w2", *table.columns]] for w2 in (1, 2)]))


# ---- the certificate


def test_decisions_met_are_the_misses_of_exact():
    scenario = Scenario(slots=40, w2=0.02)
    runs = [simulate(scenario, "exact", 5, replication=replication) for replication in range(3)]
    expected = [(run, request) for run in runs for request in np.flatnonzero(run.outcome == MISS)]
    found = decisions_met(scenario, 3, 5)
    assert len(found) == len(expected) > 30
    for decision, (run, request) in zip(found, expected, strict=True):
        assert (decision.clock, decision.requested) == (request + 1, run.trace.model[request])
    evictions = sum(int((decision.deployed & ~Exact().decide(decision)).sum()) for decision in found)
    assert evictions == sum(len(run.evictions) for run in runs)


def least_cost(decision):
    """The optimum by trying every subset."""
    best = np.inf
    for stays in itertools.product([False, True], repeat=len(decision.candidates)):
        chosen = np.zeros(len(decision.deployed), dtype=bool)
        chosen[decision.candidates] = stays
        chosen[decision.requested] = True
        if decision.fits(chosen):
            best = min(best, float(decision.cost(chosen)))
    return best


def some_hard_decisions():
    return [hard_decision(np.random.default_rng(seed), 14, 4 + seed, seed=seed) for seed in range(9)]


@pytest.mark.parametrize("ga", [None, GA(population=8, generations=12, convergence=0)], ids=["default", "small"])
def test_certificate_is_the_first_generation_that_met_the_optimum(ga):
    found = certificate(some_hard_decisions(), ga)
    assert list(found.columns) == ["deployed", "enumeration", "evaluations"]
    assert found["deployed"].tolist() == list(range(4, 13)) and found["enumeration"].tolist() == [2**n for n in range(4, 13)]
    same, expected = ga or GA(convergence=0), []  # the same decisions anew: a GA draws from the decision's random numbers
    for decision in some_hard_decisions():
        best, (_, log) = least_cost(decision), same.evolve(decision, record=True)
        met = [row["evaluations"] for row in log if row["met"] <= best + 1e-9]
        expected.append(met[0] if met else np.nan)
    assert_allclose(found["evaluations"], expected, equal_nan=True)
    assert found["evaluations"].max() > same.population  # not at once
    assert found["evaluations"].isna().any() == (ga is not None)  # the small one gives up on some


def test_the_certificates_ga_does_not_stop_early():
    """On some decisions the GA meets the optimum after more than ten generations without a better individual."""

    def met(ga):
        return certificate([hard_decision(np.random.default_rng(seed), 20, 16, seed=seed) for seed in (8, 14, 17)], ga)[
            "evaluations"
        ]

    assert met(GA()).isna().any() and met(None).notna().all()
    assert_allclose(met(None), met(GA(convergence=0)))


def test_certificate_of_a_ga_that_never_meets_the_optimum():
    """Fifty random individuals do not solve a knapsack of thirty models."""
    decisions = [hard_decision(np.random.default_rng(seed), 40, 30, seed=seed) for seed in range(5)]
    found = certificate(decisions, GA(generations=0))
    assert found["evaluations"].isna().all() and found["enumeration"].tolist() == [2.0**30] * 5


def test_certificate_of_a_decision_that_needs_no_search():
    """With one model deployed, half of the first fifty individuals are optimal; with none, all are."""
    scenario = Scenario(make_catalogue(a=(1, 1, 0, 1, 1), b=(1, 1, 0, 1, 1)))
    decisions = [make_decision(scenario, 0, deployed, [1, 1]) for deployed in ([1], [])]
    found = certificate(decisions)
    assert list(found.itertuples(index=False, name=None)) == [(1, 2.0, 50.0), (0, 1.0, 50.0)]


def test_optimal_share_by_hand():
    certificates = pd.DataFrame(
        {
            "deployed": [3, 3, 5, 6, 2],
            "enumeration": [8.0, 8.0, 32.0, 64.0, 4.0],
            "evaluations": [4.0, 8.0, 12.0, np.nan, 4.0],
            "case": ["b", "b", "b", "b", "a"],
        }
    )
    found = optimal_share(certificates, GA(population=4, generations=2, convergence=0))
    assert list(found.columns) == ["case", "decisions", "enumeration", "evaluations", "optimal"]
    expected = [("b", 4, 20.0, 4, 0.25), ("b", 4, 20.0, 8, 0.5), ("b", 4, 20.0, 12, 0.75)]
    expected += [("a", 1, 4.0, 4, 1.0), ("a", 1, 4.0, 8, 1.0), ("a", 1, 4.0, 12, 1.0)]
    assert list(found.itertuples(index=False, name=None)) == expected


def test_optimal_share_goes_over_every_generation_of_the_default():
    found = optimal_share(pd.DataFrame({"case": ["a"], "enumeration": [2.0], "evaluations": [100.0]}))
    assert found["evaluations"].tolist() == list(range(50, 2600, 50))
    assert found["optimal"].tolist() == [0.0] + [1.0] * 50


# ---- what is scarce


def two_alike(**changes):
    """Two models of 4 GB, 2 GB and 0.2 kW on ample servers; a miss waits 8 * 4 / 8 + 1 = 5 s, holding one costs 0.06 a slot."""
    c = make_catalogue(a=(4, 2, 0.2, 1, 7), b=(4, 2, 0.2, 1, 7))
    fixed = {"w2": 0.01, "bandwidth_gbps": 8.0, "charge": "miss", "arrival_rate": 3.0, "zipf": 1.0}
    return Scenario(c, **{**fixed, "energy_capacity_kw": 9.0, "static_power_kw": 0.3, **changes})


LIMITS = {"storage_gb": (7.9, 9.0, 1.0), "gpu_memory_gb": (9.0, 3.9, 1.0), "energy_capacity_kw": (9.0, 9.0, 0.69)}


@pytest.mark.parametrize("binding", LIMITS)
@pytest.mark.parametrize("goal", ["cost", "delay"])
def test_the_limit_that_keeps_one_of_two_models_away_binds_by_hand(binding, goal):
    """With room for one of two, popular 2/3 and 1/3, each change of mind misses: 2 * 2/3 * 1/3 of 3 requests a slot, 5 s each."""
    storage, gpu_memory, power = LIMITS[binding]
    found = capacity_map([storage], [gpu_memory], two_alike(energy_capacity_kw=power), goal=goal, popularities=2, jobs=1)
    assert list(found.columns) == ["storage_gb", "gpu_memory_gb", "resource", "share", "binding"]
    assert found["resource"].tolist() == list(LIMITS) and set(found["storage_gb"]) == {storage}
    assert dict(zip(found["resource"], found["binding"], strict=True)) == {name: name == binding for name in LIMITS}
    missed = 3 * 4 / 9 * 5
    share = 1.0 if goal == "delay" else 1 - 2 * 0.06 / (0.06 + missed)
    assert_allclose(found["share"], [share * (name == binding) for name in LIMITS], rtol=1e-6)


def test_nothing_binds_where_two_limits_do_together_or_none_does():
    """Lifting one of two that bind alike helps nobody; and where all fits there is nothing to lift."""
    assert not capacity_map([7.9], [3.9], two_alike(), popularities=1, jobs=1)["binding"].any()
    assert not capacity_map([8.0], [4.0], two_alike(), popularities=1, jobs=1)["binding"].any()


def test_costs_that_do_not_compare_are_refused():
    with pytest.raises(InputError, match="resource_unit is 'capacity'"):
        capacity_map([7.9], [9.0], two_alike(resource_unit="capacity"), jobs=1)
    found = capacity_map([7.9], [9.0], two_alike(resource_unit="capacity"), goal="delay", popularities=1, jobs=1)
    assert_allclose(found["share"], [1, 0, 0])  # resources do not count


def test_a_server_too_large_for_the_best_online_policy_is_refused():
    scenario = Scenario(sample_catalogue(40, np.random.default_rng(0)))
    with pytest.raises(InputError, match=r"60 GB, .* is too large for optimal-online"):
        capacity_map([60.0], [3.0], scenario, popularities=1, jobs=1)


def test_scarcity_is_what_lifting_each_limit_saves():
    scenario = Scenario(sample_catalogue(6, np.random.default_rng(4)), w2=0.02, arrival_rate=2.0, energy_capacity_kw=0.9)
    c, storage_gb, gpu_memory_gb = scenario.catalogue, [50.0, 110.0], [6.0, 12.0]
    found = capacity_map(storage_gb, gpu_memory_gb, scenario, popularities=3, seed=8, jobs=1)
    orders = [np.random.default_rng(random_stream(8, k)).permutation(zipf_popularity(6, scenario.zipf)) for k in range(3)]

    def average(**server):
        varied = scenario.vary(**server)
        return np.mean([OptimalOnline().solve(varied, popularity).average_cost for popularity in orders])

    ample = {
        "storage_gb": c.size_gb.sum() + 1,
        "gpu_memory_gb": c.gpu_memory_gb.sum() + 1,
        "energy_capacity_kw": c.power_kw.sum() + scenario.static_power_kw + 1,
    }
    expected = []
    for storage, gpu_memory in itertools.product(storage_gb, gpu_memory_gb):
        server = {"storage_gb": storage, "gpu_memory_gb": gpu_memory}
        for resource, enough in ample.items():
            share = 1 - average(**(server | {resource: enough})) / average(**server)
            expected.append((storage, gpu_memory, resource, share))
    assert list(found.iloc[:, :3].itertuples(index=False, name=None)) == [row[:3] for row in expected]
    assert_allclose(found["share"], [row[3] for row in expected], atol=1e-6)
    assert found["binding"].tolist() == [row[3] > 1e-6 for row in expected]
    assert 0 < found["binding"].mean() < 1
