"""Statistics of tables: worked by hand, against plain Python on random tables, and one sentence for every table that is none."""

import itertools
import statistics
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from edgecache import InputError, Scenario, box_statistics, reductions, summarise, sweep_by_slot
from edgecache.statistics import varied_parameters
from edgecache.sweeps import OUTCOMES

# ---- by hand

T1, T3 = 12.7062047, 3.1824463  # the 97.5 % points of the t distribution with 1 and with 3 degrees of freedom, from a table


def table_of(**costs):
    """A table of one cost a replication for each policy."""
    rows = [(n, name, cost) for name, values in costs.items() for n, cost in enumerate(values)]
    return pd.DataFrame(rows, columns=["replication", "policy", "total_cost"])


def test_summarise_by_hand():
    table = pd.concat([table_of(b=[1, 2, 3, 4], a=[5, 5, 5, 5]).assign(size=size) for size in (9, 3)])
    table.loc[table["size"] == 3, "total_cost"] *= 10
    table = table[["size", "replication", "policy", "total_cost"]]
    found = summarise(table)
    assert list(found.columns) == ["size", "policy", "mean", "low", "high"]
    assert list(zip(found["size"], found["policy"], strict=True)) == [
        (9, "b"),
        (9, "a"),
        (3, "b"),
        (3, "a"),
    ]  # in the table's order
    half = T3 * np.sqrt(5 / 3 / 4)  # 1, 2, 3, 4 are not skewed, so the interval is the t interval
    expected = [(2.5, 2.5 - half, 2.5 + half), (5, 5, 5), (25, 25 - 10 * half, 25 + 10 * half), (50, 50, 50)]
    assert_allclose(found[["mean", "low", "high"]], expected)


def test_summarise_another_outcome_without_a_varied_parameter():
    table = table_of(lru=[1, 3], ga=[2, 2]).assign(hit_ratio=[0.5, np.nan, 0.25, 0.75])
    found = summarise(table, "hit_ratio")
    assert list(found.columns) == ["policy", "mean", "low", "high"]
    assert found["policy"].tolist() == ["lru", "ga"]
    assert found["mean"].tolist() == [0.5, 0.5]
    assert np.isnan(found.loc[0, ["low", "high"]].astype(float)).all()  # one value is no interval
    # two values are never skewed: 0.5 +- 12.706 standard errors, each half of the difference
    assert_allclose(found.loc[1, ["low", "high"]].astype(float), [0.5 - T1 * 0.25, 0.5 + T1 * 0.25])


def test_reductions_by_hand():
    # means 2 against 4 and 8, ratio of means 1/2 and 1/4 (the mean of ratios would be another)
    table = table_of(ga=[1, 3], lru=[4, 4], fifo=[2, 14])
    found = reductions(table)
    assert list(found.columns) == ["baseline", "reduction", "low", "high"]
    assert found["baseline"].tolist() == ["lru", "fifo"]
    assert found["reduction"].tolist() == [0.5, 0.75]
    # against lru, which does not vary, the t interval of (1, 3) over 4: the standard error of the mean is 1
    assert_allclose(found.loc[0, ["low", "high"]].astype(float), [1 - (2 + T1) / 4, 1 - (2 - T1) / 4])
    # the mean of (2, 14) may be zero, by two values
    assert found.loc[1, ["low", "high"]].isna().all()


def test_reductions_are_paired():
    """Twice the cost in every replication is a reduction of one half without doubt, however the replications differ."""
    found = reductions(table_of(ga=[1, 50, 3, 17], lru=[2, 100, 6, 34]))
    assert_allclose(found.loc[0, ["reduction", "low", "high"]].astype(float), 0.5)


def test_reductions_of_another_policy_and_outcome():
    table = table_of(ga=[1, 3], lru=[4, 4]).rename(columns={"total_cost": "service_delay_s"})
    found = reductions(table, "lru", "service_delay_s")
    assert found["baseline"].tolist() == ["ga"]
    assert found["reduction"].tolist() == [-1.0]  # 1 - 4/2


def test_box_statistics_by_hand():
    table = pd.DataFrame({"size": 1, "replication": 0, "policy": "lru", "slot": range(21), "total_cost": np.arange(21.0)})
    more = table.assign(policy="ga", total_cost=7.0)
    more.loc[0, "total_cost"] = np.nan
    found = box_statistics(pd.concat([table, more], ignore_index=True))
    assert list(found.columns) == ["size", "policy", "whislo", "q1", "med", "q3", "whishi", "mean", "count"]
    expected = [(1, "lru", 1, 5, 10, 15, 19, 10, 21), (1, "ga", 7, 7, 7, 7, 7, 7, 20)]
    assert list(found.itertuples(index=False, name=None)) == expected


# ---- of a sweep


@pytest.fixture(scope="module")
def tables():
    vary = {"storage_gb": [60, 120], "charge": ["eviction", "miss"]}
    return sweep_by_slot(vary, ["random", "lru", "ga"], 3, Scenario(slots=25), seed=4, progress=False, jobs=1)


def test_box_statistics_pool_all_slots_of_all_replications(tables):
    _, slots = tables
    found = box_statistics(slots)
    assert len(found) == 12 and (found["count"] == 75).all()
    part = slots[(slots["storage_gb"] == 60) & (slots["charge"] == "miss") & (slots["policy"] == "ga")]["total_cost"]
    row = found[(found["storage_gb"] == 60) & (found["charge"] == "miss") & (found["policy"] == "ga")].iloc[0]
    assert_allclose([row[n] for n in ("whislo", "q1", "med", "q3", "whishi")], np.percentile(part, [5, 25, 50, 75, 95]))
    assert row["mean"] == pytest.approx(part.mean())


def test_summarise_agrees_with_the_replications(tables):
    means, _ = tables
    for outcome in OUTCOMES:
        found = summarise(means, outcome)
        assert len(found) == 12
        expected = means.groupby(["storage_gb", "charge", "policy"], sort=False)[outcome].mean()
        assert_allclose(found["mean"], expected)
        assert ((found["low"] <= found["mean"] * (1 + 1e-12)) & (found["mean"] <= found["high"] * (1 + 1e-12))).all()


# ---- random tables against plain Python


@st.composite
def random_tables(draw):
    """(A table, its varied parameters): one or two parameters, several policies and replications, now and then no outcome."""
    points = list(
        itertools.product(*(draw(st.sets(st.integers(1, 9), min_size=1, max_size=3)) for _ in range(draw(st.integers(0, 2)))))
    )
    policies, replications = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    rows = [
        (*point, replication, f"p{policy}", draw(st.one_of(st.floats(0.1, 100), st.just(np.nan), st.floats(0.1, 100))))
        for point in points
        for replication in range(replications)
        for policy in range(policies)
    ]
    varied = [f"v{number}" for number in range(len(points[0]))]
    return pd.DataFrame(rows, columns=[*varied, "replication", "policy", "cost"]), varied


def mean_of(values):
    values = [value for value in values if value == value]
    return statistics.fmean(values) if values else np.nan


@settings(max_examples=12, deadline=None)
@given(random_tables(), st.randoms(use_true_random=False))
def test_columns_after_the_replication_and_rows_in_any_order_give_the_same_statistics(case, random):
    table, varied = case
    assert varied_parameters(table, "cost") == varied
    found = summarise(table, "cost")
    for row in found.itertuples(index=False):
        same = table
        for name in [*varied, "policy"]:
            same = same[same[name] == getattr(row, name)]
        values = same["cost"].tolist()
        assert row.mean == pytest.approx(mean_of(values), nan_ok=True)
        assert not (row.low > row.mean * (1 + 1e-12) or row.high < row.mean * (1 - 1e-12))
    later = ["policy", "cost", "more"]
    random.shuffle(later)
    mixed = table.assign(more=1.0)[["policy", *varied, "replication", *(name for name in later if name != "policy")]]
    shuffled = table.assign(more=1.0)[[*varied, "replication", *later]]
    for other in (mixed, shuffled):
        assert_frame_equal(summarise(other, "cost"), found)
        assert_frame_equal(box_statistics(other, "cost"), box_statistics(table, "cost"))
    rows = list(range(len(table)))
    random.shuffle(rows)
    keys = [*varied, "policy"]
    anew = summarise(shuffled.iloc[rows], "cost").sort_values(keys, ignore_index=True)
    assert_frame_equal(anew, found.sort_values(keys, ignore_index=True))


@settings(max_examples=25, deadline=None)
@given(random_tables())
def test_reductions_are_of_the_replications_that_both_have(case):
    table, varied = case
    for name in varied:
        table = table[table[name] == table[name].iloc[0]]
    found = reductions(table, "p0", "cost").set_index("baseline")
    costs = {name: rows.set_index("replication")["cost"] for name, rows in table.groupby("policy")}
    assert sorted(found.index) == sorted(set(costs) - {"p0"})
    for name, row in found.iterrows():
        both = [n for n in costs["p0"].index if costs["p0"][n] == costs["p0"][n] and costs[name][n] == costs[name][n]]
        if both:
            assert row["reduction"] == pytest.approx(1 - mean_of(costs["p0"][both]) / mean_of(costs[name][both]))
        assert np.isnan(row["reduction"]) == (not both)
        assert np.isnan(row["low"]) == np.isnan(row["high"]) and (np.isnan(row["low"]) or len(both) > 1)
        assert not (row["low"] > row["reduction"] + 1e-9 or row["high"] < row["reduction"] - 1e-9)


# ---- what is no such table: one sentence


TABLE = pd.DataFrame(
    {
        "size": [9, 9, 9, 9, 3, 3, 3, 3],
        "replication": [0, 0, 1, 1] * 2,
        "policy": ["ga", "lru"] * 4,
        "total_cost": [1.0, 2, 3, 4, 5, 6, 7, 8],
        "hit_ratio": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    }
)
POINT = TABLE[TABLE["size"] == 9]
BROKEN = {
    "nothing": (None, "the table is a NoneType"),
    "a list": ([1, 2], "the table is a list"),
    "no rows": (POINT[:0], "the table has no rows"),
    "no columns": (pd.DataFrame(), "the table needs one column 'replication', once; its columns are none"),
    "no policy": (POINT.drop(columns="policy"), "the table needs one column 'policy'"),
    "no outcome": (POINT.drop(columns="total_cost"), "needs one column 'total_cost', once; its columns are size,"),
    "a column twice": (pd.concat([POINT, POINT[["policy"]]], axis=1), "the table needs one column 'policy'"),
    "two levels": (pd.concat({"a": POINT}, axis=1), "the table needs one column 'replication'"),
    "in the index": (POINT.set_index("replication"), "the table needs one column 'replication'"),
    "words": (POINT.assign(total_cost="much"), "the column 'total_cost' must have finite numbers"),
    "objects": (POINT.assign(total_cost=[1.0, "2", 3, 4]), "the column 'total_cost' must have finite numbers"),
    "truth": (POINT.assign(total_cost=True), "the column 'total_cost' must have finite numbers"),
    "complex": (POINT.assign(total_cost=1j), "the column 'total_cost' must have finite numbers"),
    "infinite": (POINT.assign(total_cost=[1.0, np.inf, 3, 4]), "the column 'total_cost' must have finite numbers"),
    "no replication": (POINT.assign(replication=[0, 0, np.nan, 1]), "'replication' must have whole numbers"),
    "words for replications": (POINT.assign(replication=["a", "a", "b", "b"]), "'replication' must have whole numbers"),
    "no name": (POINT.assign(policy=["ga", None] * 2), "the column 'policy' must have the names of policies"),
    "numbers for names": (POINT.assign(policy=[1, 2] * 2), "the column 'policy' must have the names of policies"),
    "no value": (POINT.assign(size=[9, 9, 9, np.nan]), "the column 'size' has missing values"),
    "lists": (POINT.assign(size=[[9]] * 4), "the columns size must have numbers or words"),
    "doubled": (pd.concat([POINT, POINT[1:2]]), "more than one row of size 9, replication 0, policy lru"),
    "the outcome in front": (POINT[["total_cost", "replication", "policy"]], "must stand before the column 'replication', once"),
    "another outcome in front": (
        POINT[["size", "hit_ratio", "replication", "policy", "total_cost"]],
        "most rows share the values of size, hit_ratio, policy with no other replication",
    ),
    "the parameter behind": (TABLE[["replication", "policy", "size", "total_cost"]], "more than one row of replication 0, policy"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("function", [summarise, reductions, box_statistics])
def test_what_is_no_table_of_a_sweep_is_refused(function, case):
    table, message = BROKEN[case]
    with pytest.raises(InputError) as error:
        function(table)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("function", [summarise, reductions])
def test_a_table_with_a_row_per_slot_is_for_box_statistics(function, tables):
    slots = tables[1][tables[1]["storage_gb"].eq(60) & tables[1]["charge"].eq("miss")]
    with pytest.raises(InputError, match=r"more than one row of .*; it seems to have one row per slot"):
        function(slots)
    with pytest.raises(InputError, match=r"more than one row of .* slot 3"):
        box_statistics(pd.concat([slots, slots[slots["slot"] == 3]]))
    assert (box_statistics(slots)["count"] == 75).all()


def test_reductions_are_of_one_point_and_of_policies_that_are_there():
    with pytest.raises(InputError, match=r"several points of a sweep over .*; reductions needs the rows of one point"):
        reductions(TABLE)
    with pytest.raises(InputError, match="unknown policy of this table 'lrru'; did you mean 'lru'"):
        reductions(POINT, "lrru")


def test_a_single_replication_has_a_reduction_without_an_interval():
    one = POINT[POINT["replication"] == 0].set_index("policy")["total_cost"]
    found = reductions(POINT[POINT["replication"] == 0]).set_index("baseline")
    assert_allclose(found["reduction"], 1 - one["ga"] / one[found.index])
    assert found[["low", "high"]].isna().all().all()


def test_a_baseline_that_costs_nothing_warns_of_nothing():
    free = POINT.assign(total_cost=[1.0, 0, 3, 0])
    assert reductions(free)["reduction"].tolist() == [-np.inf]


ODD = st.sampled_from([None, np.nan, np.inf, -1, 2.5, "word", "", True, (1, 2), [3], {}, 10**30, 1j, pd.NA, pd.Timestamp(0)])


@settings(max_examples=30, deadline=None)
@given(random_tables(), st.data())
def test_a_table_spoilt_in_any_way_raises_input_errors_alone(case, data):
    table = case[0].copy()
    for _ in range(data.draw(st.integers(1, 3))):
        column = data.draw(st.sampled_from([*table.columns]))
        spoil = data.draw(st.sampled_from(["cell", "column", "drop", "order", "rows", "again", "type"]))
        if spoil == "cell" and len(table):
            values = table[column].astype(object).tolist()
            values[data.draw(st.integers(0, len(values) - 1))] = data.draw(ODD)
            table = table.assign(**{column: pd.Series(values, index=table.index)})
        elif spoil == "column":
            odd = data.draw(ODD)
            table = table.assign(**{column: pd.Series([odd] * len(table), index=table.index, dtype=object)})
        elif spoil == "drop" and len(table.columns) > 1:
            table = table.drop(columns=column)
        elif spoil == "order":
            table = table[data.draw(st.permutations([*table.columns]))]
        elif spoil == "rows":
            table = table.iloc[data.draw(st.lists(st.integers(0, max(len(table) - 1, 0)), max_size=len(table)))]
        elif spoil == "type":
            with suppress(TypeError):  # lists are no categories
                table = table.astype({column: data.draw(st.sampled_from(["category", "object"]))})
        else:
            table = table.rename(columns={column: data.draw(st.sampled_from([*table.columns]))})
        if not table.columns.is_unique:
            break
    for function in (summarise, box_statistics, lambda table, outcome: reductions(table, "p0", outcome)):
        with suppress(InputError):
            function(table, "cost")
