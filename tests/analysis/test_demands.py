"""Policies under several demands: pooled means, paired comparisons, and flips, against sums by hand."""

import numpy as np
import pandas as pd
import pytest

from edgecache import InputError, sweep
from edgecache.analysis.demands import above_bound, compare_policies, flips, summarise_demands

# two replications of 1 and 3 requests: a waits 10 and 2 s, b 4 and 4 s
TWO = pd.DataFrame(
    {
        "demand": "x",
        "replication": [0, 0, 1, 1],
        "policy": ["a", "b"] * 2,
        "total_cost": [5.0, 6.0, 7.0, 9.0],
        "service_delay_all_s": [10.0, 4.0, 2.0, 4.0],
        "hit_ratio": [0.0, 1.0, 1.0, 0.0],
        "requests": [1, 1, 3, 3],
    }
)


@pytest.fixture(scope="module")
def runs():
    return sweep({"demand": ["poisson", "locality:repeat=0.8"]}, ["lru", "lfu", "exact", "clairvoyant"], 20, jobs=1, progress=False)


def test_delays_and_hits_are_means_over_requests_and_costs_over_replications():
    means = summarise_demands(TWO).set_index(["policy", "outcome"])["mean"]
    assert means["a", "total_cost"] == 6.0 and means["b", "total_cost"] == 7.5
    assert means["a", "service_delay_all_s"] == (10 + 6) / 4 and means["a", "hit_ratio"] == 3 / 4


def test_a_resampled_demand_has_the_spread_of_its_replications(runs):
    table = summarise_demands(runs, ["poisson"])
    row = table[(table["demand"] == "poisson") & (table["policy"] == "lru") & (table["outcome"] == "total_cost")].iloc[0]
    costs = runs[(runs["demand"] == "poisson") & (runs["policy"] == "lru")]["total_cost"]
    assert [row["low"], row["high"]] == pytest.approx(np.quantile(costs, [0.025, 0.975])) and row["interval"] == "spread"
    other = table[table["demand"] != "poisson"]
    assert set(other["interval"]) == {"mean"} and (other["low"] <= other["mean"]).all() and (other["mean"] <= other["high"]).all()


def test_pairs_have_the_difference_of_sums():
    row = compare_policies(TWO, "service_delay_all_s").iloc[0]
    assert row["difference"] == ((10 - 4) + (6 - 12)) / 2 and row["beats"] == "neither"
    assert compare_policies(TWO, "total_cost")["difference"].iloc[0] == -1.5


def test_the_better_of_a_pair_is_found(runs):
    pairs = compare_policies(runs)
    assert len(pairs) == 2 * 6
    for row in pairs.itertuples():
        wide = runs[runs["demand"] == row.demand].pivot(index="replication", columns="policy", values="total_cost")
        apart = (wide[row.first] - wide[row.second]).mean()
        assert row.difference == pytest.approx(apart) and row.low <= apart <= row.high
        assert row.beats == ("first" if row.high < 0 else "second" if row.low > 0 else "neither")
    known = pairs[(pairs["second"] == "clairvoyant")]
    assert set(known["beats"]) == {"second"}  # the floor beats all


def test_a_flip_needs_both_directions():
    words = {("d1", "b"): "first", ("d2", "b"): "second", ("d3", "b"): "first", ("d1", "c"): "first", ("d2", "c"): "neither"}
    rows = [(demand, "a", second, beats) for (demand, second), beats in words.items()]
    table = flips(pd.DataFrame(rows, columns=["demand", "first", "second", "beats"]))
    assert table.to_numpy().tolist() == [["a", "b", "d1; d3", "d2"]]


def test_the_excess_over_a_bound(runs):
    assert above_bound(TWO, ["a"], "b", "total_cost")["excess"].iloc[0] == pytest.approx(6 / 7.5 - 1)
    table = above_bound(runs, ["lru", "exact"], "clairvoyant", "total_cost", ["poisson"])
    assert len(table) == 4 and (table["excess"] > 0).all() and (table["low"] <= table["excess"]).all()


def test_wrong_tables_and_names_are_refused(runs):
    with pytest.raises(InputError, match="the table has no column 'demand'"):
        summarise_demands(runs.drop(columns="demand"))
    with pytest.raises(InputError, match="unknown outcome 'hits'"):
        compare_policies(runs, "hits")
    with pytest.raises(InputError, match="unknown policy of this table 'lrru'; did you mean 'lru'"):
        above_bound(runs, ["lrru"], "clairvoyant")
