"""The ledger's verdicts on made-up costs whose truth is known, claim by claim, and how often chance alone makes a wrong one."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom, ttest_1samp
from scipy.stats import t as student
from support.cases import make_catalogue
from support.claims import paper_cost

from edgecache import InputError, Scenario, sweep
from edgecache.claims import search, verdicts
from edgecache.claims.ledger import LOOKS, simulate_cells
from edgecache.claims.statements import SIMULATED, Group, Statement, cells_of
from edgecache.claims.verdicts import LEAST, by_construction, decisions, evidence, judge, verdict

POLICIES = ("random", "fifo", "lru", "lfu", "ga")  # GA is the proposed
POINTS = {
    "storage_gb": (60, 80, 120, 150, 180),
    "gpu_memory_gb": (6, 8, 12, 15, 18),
    "slots": (50, 100, 200, 400),
    "arrival_rate": (0.5, 1, 2, 4),
}
UNIT = {"storage_gb": "GB storage", "gpu_memory_gb": "GB GPU memory", "slots": "slots", "arrival_rate": "requests a slot"}
SIMULATED_CLAIMS = (
    "lowest-over-storage", "lowest-over-gpu", "proposed-falls-with-storage", "proposed-falls-with-gpu", "lfu-falls-with-storage",
    "lfu-falls-with-gpu", "others-rise-with-storage", "others-rise-with-gpu", "almost-lowest-at-most", "headline-reduction",
    "headline-ends", "stable-over-slots", "lowest-over-slots", "lowest-over-rates",
)  # fmt: skip


def made_up(parameter, means, replications=LEAST, own=0.01, common=0.3, seed=0):
    """A table as of `sweep`: each policy's mean cost at each point (or one for all) times luck, common to all and its own.

    A mean that is not given is 30, far above the proposed. Both kinds of luck are lognormal of mean 1.
    """
    rng, points = np.random.default_rng(seed), POINTS[parameter]
    shared = lucky(rng, common, replications)
    costs = {}
    for policy in POLICIES:
        mean = np.broadcast_to(means.get(policy, 30.0), len(points))
        for value, at_point in zip(points, mean, strict=True):
            costs[value, policy] = at_point * shared * lucky(rng, own, replications)
    rows = [
        (value, replication, policy, costs[value, policy][replication])
        for value, replication, policy in itertools.product(points, range(replications), POLICIES)
    ]
    return pd.DataFrame(rows, columns=[parameter, "replication", "policy", "total_cost"])


def lucky(rng, spread, size):
    return rng.lognormal(-(spread**2) / 2, spread, size)


# ---- every claim on costs that were made to hold it, to break it at a point, or to stand on its very edge


def lowest(parameter, unit):
    points = POINTS[parameter]
    last, middle = points[-1], points[1]
    yield "holds", "", {parameter: {"ga": 10, "lfu": 12, "lru": 14}}
    yield "holds", "", {parameter: {"ga": np.arange(10, 10 + len(points)), "lfu": np.arange(10.5, 10 + len(points))}}  # barely
    undercut = np.full(len(points), 14.0)
    undercut[1] = 9
    yield "fails", f"proposed against fifo at {middle:g} {unit}", {parameter: {"ga": 10, "fifo": undercut}}
    yield (
        "fails",
        f"proposed against lfu at {last:g} {unit}",
        {parameter: {"ga": 10, "lfu": undercut[[0, 2, 3, *range(4, len(points)), 1]]}},
    )
    level = np.full(len(points), 14.0)
    level[0] = 10
    yield "undecided", f"proposed against random at {points[0]:g} {unit}", {parameter: {"ga": 10, "random": level}}


def falls(policy, parameter, unit):
    ours, name = {"proposed": "ga", "lfu": "lfu"}[policy], policy
    a, b, c, d, e = POINTS[parameter]
    yield "holds", "", {parameter: {ours: [20, 16, 12, 10, 10]}}
    yield "holds", "", {parameter: {ours: [20, 10, 10.1, 10, 10.1]}}  # what rises by less than 2 % does not rise
    yield "fails", f"{name} at {c} against {b} {unit}", {parameter: {ours: [20, 16, 18, 10, 10]}}  # rises in between
    yield "fails", f"{name} at {e} against {d} {unit}", {parameter: {ours: [20, 18, 16, 14, 12]}}  # never settles
    yield "fails", f"{name} at {e} against {a} {unit}", {parameter: {ours: [10, 10, 10, 10, 10]}}  # never falls
    yield "fails", f"{name} at {b} against {a} {unit}", {parameter: {ours: [20, 30, 12, 10, 10]}}  # rises at first
    yield "undecided", f"{name} at {e} against {d} {unit}", {parameter: {ours: [20, 16, 12, 10, 9.8]}}  # 2 %: has it settled?
    yield "undecided", f"{name} at {e} against {a} {unit}", {parameter: {ours: [10, 9.95, 9.9, 9.85, 9.8]}}  # 2 %: does it fall?


def rises(parameter, unit):
    a, b, c, d, e = POINTS[parameter]
    rise = [10, 12, 14, 16, 18]
    three = {"random": rise, "fifo": rise, "lru": rise}
    yield "holds", "", {parameter: {"random": rise, "fifo": [10, 10.4, 10.8, 11.2, 11.6], "lru": [10, 14, 14.6, 15, 19], "lfu": 5}}
    yield "fails", "", {parameter: {policy: [10, 14, 14, 14, 14] for policy in three}}  # a plateau, as where GPU memory binds
    yield "fails", f"lru at {d} against {c} {unit}", {parameter: {**three, "lru": [10, 12, 14, 14, 16]}}  # a shorter one
    yield "fails", f"random at {e} against {d} {unit}", {parameter: {**three, "random": [10, 12, 14, 16, 16.1]}}  # at the end
    yield "fails", f"fifo at {d} against {c} {unit}", {parameter: {**three, "fifo": [10, 12, 14, 12, 16]}}
    yield "fails", "", {parameter: {**three, "lru": 10}}
    yield "fails", f"random at {b} against {a} {unit}", {parameter: {**three, "random": [18, 12, 18, 19, 20]}}
    yield "undecided", f"lru at {e} against {d} {unit}", {parameter: {**three, "lru": [10, 10.5, 11, 11.5, 11.73]}}
    yield "undecided", f"random at {d} against {c} {unit}", {parameter: {**three, "random": [10, 12, 14, 14.28, 16]}}


def almost_lowest():
    storage, gpu = "storage_gb", "gpu_memory_gb"
    below = {"ga": 10, "lfu": 5}
    yield "holds", "", {storage: {"ga": 10}, gpu: {"ga": 10}}
    yield "holds", "", {storage: below, gpu: {"ga": 10, "random": 9}}
    crossing = {"ga": 10, "lfu": 5, "lru": [5, 5, 5, 5, 11]}  # below two up to 150 GB, but one is meant at 180
    yield "holds", "", {storage: crossing, gpu: below}
    yield "fails", "proposed against fifo at 180 GB storage", {storage: {**below, "fifo": [14, 14, 14, 14, 9]}, gpu: below}
    yield "fails", "proposed against random at 18 GB GPU memory", {storage: below, gpu: {**below, "random": 9.5}}
    yield "undecided", "proposed against lru at 180 GB storage", {storage: {**below, "lru": 10}, gpu: below}


def reductions(*shares):
    """Costs at 120 GB of which the proposed's is less by these shares; elsewhere anything."""
    return {"storage_gb": {"ga": 10, **{p: [1, 999, 10 / (1 - share), 3, 2] for p, share in zip(POLICIES, shares, strict=False)}}}


def headline():
    yield "holds", "", reductions(0.58, 0.65, 0.70, 0.75)
    yield "holds", "", reductions(0.65, 0.66, 0.66, 0.67)  # all within, at neither end
    yield "fails", "proposed against fifo at 120 GB storage", reductions(0.6, 0.5, 0.7, 0.7)
    yield "fails", "proposed against random at 120 GB storage", reductions(0.8, 0.6, 0.7, 0.7)
    yield "fails", "proposed against lfu at 120 GB storage", reductions(0.6, 0.6, 0.7, -0.1)
    yield "undecided", "proposed against lru at 120 GB storage", reductions(0.6, 0.7, 0.5606, 0.7)
    yield "undecided", "proposed against lru at 120 GB storage", reductions(0.6, 0.7, 0.7673, 0.7)


def ends():
    yield "holds", "", reductions(0.57, 0.65, 0.70, 0.75)
    yield "holds", "", reductions(0.53, 0.65, 0.70, 0.80)  # within five points of both ends, though out of the interval
    yield "fails", "proposed against random at 120 GB storage", reductions(0.63, 0.66, 0.70, 0.75)  # the lower end is not reached
    yield "fails", "proposed against lfu at 120 GB storage", reductions(0.57, 0.62, 0.65, 0.70)  # nor here the upper
    yield "fails", "proposed against lru at 120 GB storage", reductions(0.57, 0.66, 0.45, 0.75)  # beyond the lower
    yield "fails", "proposed against lru at 120 GB storage", reductions(0.57, 0.66, 0.85, 0.75)  # beyond the upper
    yield "undecided", "proposed against fifo at 120 GB storage", reductions(0.66, 0.6106, 0.70, 0.75)
    yield "undecided", "proposed against fifo at 120 GB storage", reductions(0.57, 0.7173, 0.68, 0.65)


def stable():
    yield "holds", "", {"slots": {"ga": [10, 10.3, 9.8, 10.1], "lfu": [1, 9, 99, 999]}}
    yield "fails", "proposed at 200 against 50 slots", {"slots": {"ga": [10, 10.9, 13, 11.9]}}
    yield (
        "fails",
        "proposed at 400 against 50 slots",
        {"slots": {"ga": [10, 10.6, 11.2, 11.8]}},
    )  # no step exceeds 10 %, the whole does
    yield "fails", "proposed at 50 against 400 slots", {"slots": {"ga": [11.8, 11.2, 10.6, 10]}}
    yield "undecided", "proposed at 200 against 50 slots", {"slots": {"ga": [10, 10.4, 11, 10.6]}}


MADE = {
    "lowest-over-storage": lowest("storage_gb", UNIT["storage_gb"]),
    "lowest-over-gpu": lowest("gpu_memory_gb", UNIT["gpu_memory_gb"]),
    "lowest-over-slots": lowest("slots", UNIT["slots"]),
    "lowest-over-rates": lowest("arrival_rate", UNIT["arrival_rate"]),
    "proposed-falls-with-storage": falls("proposed", "storage_gb", UNIT["storage_gb"]),
    "proposed-falls-with-gpu": falls("proposed", "gpu_memory_gb", UNIT["gpu_memory_gb"]),
    "lfu-falls-with-storage": falls("lfu", "storage_gb", UNIT["storage_gb"]),
    "lfu-falls-with-gpu": falls("lfu", "gpu_memory_gb", UNIT["gpu_memory_gb"]),
    "others-rise-with-storage": rises("storage_gb", UNIT["storage_gb"]),
    "others-rise-with-gpu": rises("gpu_memory_gb", UNIT["gpu_memory_gb"]),
    "almost-lowest-at-most": almost_lowest(),
    "headline-reduction": headline(),
    "headline-ends": ends(),
    "stable-over-slots": stable(),
}
CASES = [
    pytest.param(name, *case, id=f"{name}-{case[0]}-{number}") for name, cases in MADE.items() for number, case in enumerate(cases)
]


def test_every_simulated_claim_has_cases_of_every_verdict():
    assert {claim.name for claim in SIMULATED} == set(SIMULATED_CLAIMS) == set(MADE)
    verdicts = {(case.values[0], case.values[1]) for case in CASES}
    assert verdicts == set(itertools.product(MADE, ("holds", "fails", "undecided")))


def judge_reading(name, means, test=None, **luck):
    """The row of this claim, from a table for each parameter."""
    tables = [made_up(parameter, costs, **{"seed": 10 * number, **luck}) for number, (parameter, costs) in enumerate(means.items())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdicts, "SIMULATED", [claim for claim in SIMULATED if claim.name == name])
        found = judge(tables, test=test)
    assert found["claim"].tolist() == [name]
    return found.iloc[0], tables


@pytest.mark.parametrize(("name", "word", "where", "means"), CASES)
def test_a_verdict_on_costs_made_for_it(name, word, where, means):
    found, tables = judge_reading(name, means)
    assert found["verdict"] == word
    assert found["replications"] == LEAST
    if where:
        assert found["where"] == where
    # the evidence is that of the named cells, read from the table by their words
    table = next(table for table in tables if UNIT[table.columns[0]] in found["where"])
    wide = table.pivot(index="replication", columns=[table.columns[0], "policy"], values="total_cost").rename(
        columns={"ga": "proposed"}
    )
    words = found["where"].removesuffix(" " + UNIT[table.columns[0]]).split()
    if "at" in words[1:2]:
        policy, first, second = words[0], float(words[2]), float(words[4])
        cost, other = wide[first, policy], wide[second, policy]
    else:
        cost, other = wide[float(words[4]), words[0]], wide[float(words[4]), words[2]]
    assert found["effect"] == pytest.approx(1 - cost.mean() / other.mean())
    assert found["beats"] == pytest.approx((cost < other).mean())
    assert found["low"] < found["effect"] < found["high"]


@pytest.mark.parametrize(("name", "word", "where", "means"), [case for case in CASES if case.values[1] != "undecided"])
def test_a_verdict_needs_more_than_a_few_noisy_replications(name, word, where, means):
    """The same costs, each policy's own luck now as large as the costs, and four replications."""
    found, _ = judge_reading(name, means, verdicts.Test(least=2), replications=4, own=1.0)
    assert found["verdict"] == "undecided"
    assert found["replications"] == 4


def test_a_verdict_does_not_depend_on_the_order_of_rows_or_the_unit_of_cost():
    for parameter, means in {"storage_gb": [20, 16, 18, 10, 10], "slots": [10, 10.9, 13, 11.9]}.items():
        table = made_up(parameter, {"ga": means})
        shuffled = table.sample(frac=1, random_state=1).assign(total_cost=lambda rows: rows["total_cost"] * 1e-7)
        pd.testing.assert_frame_equal(judge([table]), judge([shuffled]), rtol=1e-9)


def test_the_proposed_may_be_any_policy():
    table = made_up("slots", {"ga": 10, "lru": 5}).query("policy != 'random'").replace({"policy": {"lru": "random", "ga": "lru"}})
    table = pd.concat(
        [table, table[table["policy"] == "random"].assign(policy="exact", total_cost=lambda rows: rows["total_cost"] - 1)]
    )
    found = judge([table], "exact").set_index("claim")
    assert found.loc["lowest-over-slots", "verdict"] == "holds"
    assert judge([table[table["policy"] != "exact"]], "lfu").set_index("claim").loc["stable-over-slots", "verdict"] == "holds"


# ---- what the tables must be


def judged_claims(tables, proposed="ga"):
    """The names of the claims that are judged, and why each of the others is not."""
    table = judge(tables, proposed).set_index("claim")
    assert table.index.tolist() == list(SIMULATED_CLAIMS)
    without = table["verdict"] == "not judged"
    assert table.loc[without, ["effect", "low", "high", "bar", "beats"]].isna().all(axis=None)
    assert (table.loc[without, "replications"] == 0).all() and (table.loc[~without, "replications"] > 0).all()
    return set(table.index[~without]), table.loc[without, "where"].to_dict()


def test_a_claim_without_its_tables_has_a_row_that_says_which_are_missing():
    tables = {parameter: made_up(parameter, {"ga": 10}, replications=5) for parameter in POINTS}
    judged, reasons = zip(*(judged_claims([table]) for table in tables.values()), strict=True)
    judged, reasons = dict(zip(tables, judged, strict=True)), dict(zip(tables, reasons, strict=True))
    assert judged["slots"] == {"stable-over-slots", "lowest-over-slots"}
    assert judged["arrival_rate"] == {"lowest-over-rates"}
    assert judged["gpu_memory_gb"] == {name for name in SIMULATED_CLAIMS if name.endswith("-gpu")}
    headlines = {"headline-reduction", "headline-ends"}
    assert judged["storage_gb"] == {name for name in SIMULATED_CLAIMS if name.endswith("-storage")} | headlines
    assert reasons["slots"]["headline-ends"] == reasons["slots"]["almost-lowest-at-most"] == "no table over storage_gb"
    assert reasons["storage_gb"]["almost-lowest-at-most"] == "no table over gpu_memory_gb"
    both, _ = judged_claims([tables["storage_gb"], tables["gpu_memory_gb"]])
    assert both == judged["storage_gb"] | judged["gpu_memory_gb"] | {"almost-lowest-at-most"}
    assert judged_claims(tables.values()) == (set(SIMULATED_CLAIMS), {})
    assert judged_claims([])[1]["lowest-over-rates"] == "no table over arrival_rate"


def test_a_claim_without_its_policies_or_points_says_which_are_missing():
    table = made_up("storage_gb", {"ga": 10}, replications=5)
    judged, reasons = judged_claims([table.query("storage_gb != 120")])
    assert reasons["headline-reduction"] == reasons["headline-ends"] == "no runs at storage_gb=120"
    assert "lowest-over-storage" in judged
    judged, reasons = judged_claims([table.query("policy not in ('lfu', 'fifo')")])
    assert judged == {"proposed-falls-with-storage"}
    assert reasons["lowest-over-storage"] == "no runs of fifo, lfu over storage_gb"
    assert reasons["others-rise-with-storage"] == "no runs of fifo over storage_gb"
    assert judged_claims([table.query("storage_gb == 120")])[1]["lfu-falls-with-storage"] == (
        "storage_gb has 1 point, and the claim needs 2"
    )
    short = made_up("gpu_memory_gb", {"ga": 10}, replications=4)
    assert judged_claims([table, short])[1]["almost-lowest-at-most"] == "its tables differ in their numbers of replications"


def test_the_columns_of_judge():
    columns = ["claim", "section", "says", "verdict", "effect", "low", "high", "bar", "where", "beats", "replications"]
    assert judge([made_up("slots", {"ga": 10}, replications=3)]).columns.tolist() == columns


def one_bad(**change):
    return made_up("slots", {"ga": 10}, replications=5).assign(**change)


def test_tables_of_something_else_are_refused():
    good = made_up("slots", {"ga": 10}, replications=5)
    with pytest.raises(InputError, match=r"varies one of storage_gb, .*; this one varies zipf"):
        judge([good, good.rename(columns={"slots": "zipf"})])
    with pytest.raises(InputError, match="this one varies w2, slots"):
        judge([good.assign(w2=1.0)[["w2", *good.columns]]])
    with pytest.raises(InputError, match="this one varies nothing"):
        judge([good.query("slots == 50").drop(columns="slots")])
    with pytest.raises(InputError, match="unknown policy of this table 'exact'"):
        judge([good], "exact")


def bad_tables():
    good = made_up("slots", {"ga": 10}, replications=5)
    other = good["policy"].eq("lru")
    yield "a-replication-twice", pd.concat([good, good])
    yield "a-run-missing", good.drop(index=7)
    yield "policies-of-different-replications", good.assign(replication=good["replication"] + 5 * other)
    yield "a-cost-that-is-no-number", good.assign(total_cost=good["total_cost"].mask(other & good["replication"].eq(2)))
    for column in ("replication", "policy", "total_cost"):
        yield f"without-{column}", good.drop(columns=column)


@pytest.mark.parametrize("table", [pytest.param(table, id=name) for name, table in bad_tables()])
def test_tables_whose_runs_do_not_pair_are_refused(table):
    """Margins are paired by replication: what is there twice would count as more evidence than it is."""
    with pytest.raises(InputError):
        judge([table])


@pytest.mark.parametrize("parameter", POINTS)
def test_a_table_of_one_point_tells_no_trend(parameter):
    """One point neither falls, nor rises, nor is stable; that the proposed costs least there may be told."""
    table = made_up(parameter, {"ga": 10})
    found = judge([table[table[parameter] == POINTS[parameter][2]]])
    trends = found[found["claim"].str.contains("falls|rise|stable")]
    assert not trends["verdict"].isin(["holds", "fails"]).any()


def test_one_replication_decides_nothing():
    """Of a single replication no one can say what is beyond chance."""
    found = judge([made_up(parameter, {"ga": 10}, replications=1) for parameter in POINTS])
    assert set(found["verdict"]) == {"undecided"}


def test_without_a_test_the_means_decide():
    """Nothing is undecided then, not even one replication, and what is equal does not hold."""
    rng = np.random.default_rng(0)
    (a, b), luck = (("slots", 50, "proposed"), ("slots", 50, "lru")), lucky(rng, 0.5, 30)
    statement, at_most = Statement(a, b, 0.25), Statement(a, b, 0.25, at_most=True)
    for count in (1, 30):
        for share, words in ((0.74, ("holds", "fails")), (0.76, ("fails", "holds")), (0.75, ("fails", "fails"))):
            costs = {a: share * luck[:count], b: luck[:count]}
            assert (verdict([Group(1, (statement,))], costs)[0], verdict([Group(1, (at_most,))], costs)[0]) == words


# ---- the rule of a verdict


def hall(margins):
    """Hall's (1992) transformation of the t score, T + g (T**2 / 3 + 1 / 6) / sqrt(n) + g**2 T**3 / (27 n), as p values."""
    n, beyond = margins.shape[1], margins - margins.mean(axis=1, keepdims=True)
    score, skew = ttest_1samp(margins, 0, axis=1).statistic, (beyond**3).mean(axis=1) / margins.std(axis=1, ddof=1) ** 3
    return student.sf(score + skew * (score**2 / 3 + 1 / 6) / n**0.5 + skew**2 * score**3 / (27 * n), n - 1)


def rule(groups, costs, level):
    """The documented rule anew, from one-sided t tests of scipy, plain and corrected."""
    every = sum(len(statements) for _, statements in groups)
    held, failed = True, False
    for needed, statements in groups:
        spare = len(statements) - needed + 1
        margins = np.array([((1 - s.bar) * costs[s.other] - costs[s.cell]) * (-1 if s.at_most else 1) for s in statements])
        greater, less = (ttest_1samp(margins, 0, axis=1, alternative=way).pvalue for way in ("greater", "less"))
        true = (np.maximum(greater, hall(margins)) < level / spare).sum()
        false = (np.maximum(less, hall(-margins)) < level / every).sum()
        held, failed = held and true >= needed, failed or false >= spare
    return "holds" if held else "fails" if failed else "undecided"


def test_the_rule_of_a_verdict():
    """Random groups, of which some statements are true, some false and some near the edge; every verdict occurs."""
    rng, seen = np.random.default_rng(1), []
    for _ in range(250):
        size = int(rng.integers(1, 5))
        cells = [("slots", value, policy) for value in range(size) for policy in ("proposed", "lru")]
        luck = lucky(rng, 0.4, 12)
        costs = {cell: rng.choice([8.0, 10.0, 12.0], p=[0.5, 0.2, 0.3]) * luck * lucky(rng, 0.15, 12) for cell in cells}
        for value in range(size):
            costs["slots", value, "lru"] *= rng.choice([1.0, 1.3])
        statements = [
            Statement(("slots", value, "proposed"), ("slots", value, "lru"), rng.choice([0.0, 0.1]), bool(rng.random() < 0.1))
            for value in range(size)
        ]
        groups = [Group(int(rng.integers(1, size + 1)), tuple(statements)) for _ in range(rng.integers(1, 3))]
        test = verdicts.Test(claims=int(rng.integers(1, 4)), looks=int(rng.integers(1, 4)), alpha=rng.choice([0.05, 0.4]), least=2)
        seen.append(verdict(groups, costs, test)[0])
        assert seen[-1] == rule(groups, costs, test.alpha / (2 * test.claims * test.looks))
    assert min(map(seen.count, ("holds", "fails", "undecided"))) > 30


def test_the_level_of_a_verdict():
    assert verdicts.Test(claims=1, alpha=0.05).level == 0.025
    assert verdicts.Test(looks=3).level == pytest.approx(0.05 / 2 / 14 / 3)


def test_below_the_least_replications_nothing_is_decided():
    """However clear: a spike may not have occurred yet."""
    luck, (a, b) = np.random.default_rng(0).normal(1, 0.01, LEAST), (("slots", 50, "proposed"), ("slots", 50, "lru"))
    for count, word in ((2, "undecided"), (LEAST - 1, "undecided"), (LEAST, "holds")):
        costs = {a: luck[:count], b: 2 * luck[:count][::-1]}
        assert verdict([Group(1, (Statement(a, b),))], costs, verdicts.Test())[0] == word
    assert verdicts.Test(least=8).thresholds(7, 1, 2) == [np.inf, np.inf] and verdicts.Test(least=8).thresholds(8, 1)[0] < 9
    assert LOOKS[0] >= LEAST >= 100 and search.BEST_LOOKS[0] >= LEAST


def test_differences_of_rounding_are_none():
    """Costs equal but for the last digits, always to the same side, decide nothing."""
    a, b = ("slots", 50, "proposed"), ("slots", 50, "lru")
    costs = {a: np.linspace(1, 2, LEAST), b: np.linspace(1, 2, LEAST) * (1 + 1e-12)}
    assert verdict([Group(1, (Statement(a, b),))], costs, verdicts.Test(claims=1))[0] == "undecided"
    assert verdict([Group(1, (Statement(a, b),))], {**costs, b: costs[b] + 1e-6}, verdicts.Test(claims=1))[0] == "holds"


# ---- the evidence

A, B = ("storage_gb", 120.0, "proposed"), ("storage_gb", 120.0, "lru")


def test_evidence_by_hand():
    """Over a cost that does not vary, the t interval of (1, 3) with one degree of freedom, 2 +- 12.706."""
    found = evidence(Statement(A, B, 0.3), {A: np.array([1.0, 3.0]), B: np.array([4.0, 4.0])})
    where = "proposed against lru at 120 GB storage"
    ends = found.pop("low"), found.pop("high")
    assert found == {"effect": 0.5, "bar": 0.3, "where": where, "beats": 1.0}
    assert_allclose(ends, [0.5 - 12.7062 / 4, 0.5 + 12.7062 / 4], rtol=1e-5)
    later = evidence(
        Statement(A, ("storage_gb", 80.0, "proposed"), 0.1, True),
        {A: np.array([6.0]), ("storage_gb", 80.0, "proposed"): np.array([5.0])},
    )
    assert later["effect"] == pytest.approx(-0.2) and later["where"] == "proposed at 120 against 80 GB storage"
    assert np.isnan([later["low"], later["high"]]).all() and later["beats"] == 0.0  # of one replication no interval


def test_ties_count_half():
    costs = {A: np.array([1.0, 2.0, 3.0, 4.0, 5.0]), B: np.array([2.0, 2.0, 1.0, 9.0, 5.0])}
    assert evidence(Statement(A, B), costs)["beats"] == pytest.approx((1 + 0.5 + 0 + 1 + 0.5) / 5)
    assert evidence(Statement(B, A), costs)["beats"] == pytest.approx((0 + 0.5 + 1 + 0 + 0.5) / 5)


def test_the_interval_is_paired():
    """It is near that of a paired bootstrap, and much narrower than that of an unpaired one."""
    rng = np.random.default_rng(3)
    luck = lucky(rng, 0.4, 100)
    costs = {A: 3 * luck * lucky(rng, 0.1, 100), B: 5 * luck * lucky(rng, 0.1, 100)}
    draws, again = rng.integers(100, size=(2, 9999, 100))
    ends = np.percentile(1 - costs[A][draws].mean(axis=1) / costs[B][draws].mean(axis=1), [2.5, 97.5])
    found = evidence(Statement(A, B), costs)
    assert_allclose([found["low"], found["high"]], ends, atol=0.1 * np.ptp(ends))
    unpaired = np.percentile(1 - costs[A][draws].mean(axis=1) / costs[B][again].mean(axis=1), [2.5, 97.5])
    assert np.ptp(unpaired) > 2 * (found["high"] - found["low"])
    always = evidence(Statement(A, B), {A: luck, B: 4 * luck})  # a quarter in every replication
    assert_allclose([always["effect"], always["low"], always["high"]], 0.75)


# ---- the claims about the catalogue


def shipped():
    with open(Path(__file__).parents[2] / "data/catalogue.csv", newline="") as file:
        return [{name: float(row[name]) for name in row if name.endswith(("_gb", "_s"))} for row in csv.DictReader(file)]


def test_the_shipped_catalogue_meets_its_claims_by_construction():
    rows = shipped()
    fetch = [8 * row["size_gb"] / 10 + row["io_delay_s"] for row in rows]  # over 10 Gbit/s
    shares = [wait / (wait + row["inference_delay_s"]) for wait, row in zip(fetch, rows, strict=True)]
    spans = []
    for name, low, high in (("size_gb", 2, 50), ("gpu_memory_gb", 1, 6)):
        needs = [row[name] for row in rows]
        spans.append((max(needs) - min(needs)) / (high - low))
    found = pd.DataFrame(by_construction(Scenario())).set_index("claim")
    assert found["effect"].to_dict() == pytest.approx(
        {"demands-vary": min(spans), "first-delay": min(shares), "fetching-dominates": sum(shares) / len(shares)}
    )
    assert set(found["verdict"]) == {"by construction"} and set(found["replications"]) == {0}
    assert found["bar"].tolist() == [0.9, 0.5, 0.5]
    assert found[["low", "high", "beats"]].isna().all(axis=None)
    slow = pd.DataFrame(by_construction(Scenario(bandwidth_gbps=1.0))).set_index("claim")
    assert slow.loc["fetching-dominates", "effect"] > found.loc["fetching-dominates", "effect"]


def verdicts_of(**rows):
    return {row["claim"]: row["verdict"] for row in by_construction(Scenario(make_catalogue(**rows), energy_capacity_kw=9.0))}


def test_a_catalogue_that_does_not_meet_them_fails():
    small, large = (2, 1, 0.1, 1, 1), (50, 6, 0.1, 9, 1)
    holds = dict.fromkeys(["demands-vary", "first-delay", "fetching-dominates"], "by construction")
    assert verdicts_of(small=small, large=large) == holds
    # half of the range of storage, then of GPU memory
    assert verdicts_of(small=small, large=(26, 6, 0.1, 9, 1)) == holds | {"demands-vary": "fails"}
    assert verdicts_of(small=small, large=(50, 3.5, 0.1, 9, 1)) == holds | {"demands-vary": "fails"}
    # one service infers for longer than it is fetched, 2.6 s; then nearly all of the first delay is inference
    assert verdicts_of(small=(2, 1, 0.1, 1, 4), large=large) == holds | {"first-delay": "fails"}
    assert verdicts_of(small=(2, 1, 0.1, 1, 90), large=(50, 6, 0.1, 9, 90)) == holds | {
        "first-delay": "fails",
        "fetching-dominates": "fails",
    }


def test_needs_of_another_range_do_not_span_the_stated_one():
    """100 to 148 GB is as wide as 2 to 50 GB, and 11 to 16 GB as 1 to 6 GB."""
    assert verdicts_of(low=(100, 1, 0.1, 1, 1), high=(148, 6, 0.1, 9, 1), fits=(101, 2, 0.1, 1, 1))["demands-vary"] == "fails"
    assert verdicts_of(low=(2, 11, 0.1, 1, 1), high=(50, 16, 0.1, 9, 1))["demands-vary"] == "fails"


def test_evidence_in_words():
    found = {"effect": 0.614, "low": 0.59, "high": 0.638, "where": "proposed against lru at 120 GB storage", "replications": 200}
    assert verdicts.evidence_text(found) == "proposed against lru at 120 GB storage: 61.4% (59.0% to 63.8%) less"
    more = found | {"effect": -0.2, "low": -0.31, "high": -0.1}
    assert verdicts.evidence_text(more) == "proposed against lru at 120 GB storage: 20.0% (10.0% to 31.0%) more"
    assert verdicts.evidence_text(found | {"low": np.nan}) == "proposed against lru at 120 GB storage: 61.4% less"
    same = found | {"effect": 0.0, "low": 0.0, "high": 0.0, "where": "lru at 180 against 150 GB storage"}
    assert verdicts.evidence_text(same) == "lru at 180 against 150 GB storage: 0.0% difference in every replication"
    assert verdicts.evidence_text(found | {"replications": 0, "where": "share of the range"}) == "61%: share of the range"
    assert verdicts.evidence_text(found | {"effect": np.nan, "where": "no table over slots"}) == "no table over slots"


# ---- real tables


def test_a_sweep_of_the_shipped_scenario_is_judged_as_the_ledger_plays_it():
    """Each parameter of the grid swept by the ordinary simulator; costs, verdicts and evidence are those of the ledger."""
    cells, names = cells_of(SIMULATED), (*POLICIES[:4], "exact")
    grid = {parameter: sorted({value for name, value, _ in cells if name == parameter}) for parameter in POINTS}
    tables = [sweep({name: values}, names, 8, Scenario(), jobs=1, progress=False) for name, values in grid.items()]
    costs = simulate_cells(Scenario(), cells, "exact", range(8), 0)
    found = verdicts.costs_of(tables, "exact")
    assert set(found) == set(costs)
    for cell, cost in costs.items():
        assert_allclose(found[cell], cost, rtol=1e-9, atol=1e-9)
    test = verdicts.Test(alpha=0.5, least=8)
    rows = judge(tables, "exact", test).set_index("claim")
    assert rows.index.tolist() == [claim.name for claim in SIMULATED]
    for claim in SIMULATED:
        word, deciding = verdict(claim.groups(grid), costs, test)
        row = rows.loc[claim.name]
        assert row["verdict"] == word
        assert row["effect"] == pytest.approx(1 - costs[deciding.cell].mean() / costs[deciding.other].mean(), rel=1e-9)
    assert rows["verdict"].nunique() > 1


# ---- how often chance alone decides


SHORT = (10, 20, 40, 80)  # looks of a sequential stop that decides from 10 replications on; skewed costs need more, see below
NULLS = 1000
# At most 5 % of verdicts may be wrong, here 50 of 1,000. Were the true rate 5 %, more than 50 would come in 46 % of all seeds, and
# more than 62 in 5 % (see the next test). So 50 is stricter than a test of the rate would be. It is met not by luck, but by what
# the even split over looks leaves to spare where looks depend on each other: of a single claim about 30 of 1,000 are wrong.
ALLOWED = 50


def test_what_a_binomial_would_allow():
    assert binom.isf(0.05, NULLS, 0.05) == 62
    assert 0.4 < binom.sf(ALLOWED, NULLS, 0.05) < 0.5
    # more than 50 is what nearly no seed shows at the true rates of 3 %
    assert binom.sf(ALLOWED, NULLS, 0.03) < 0.001


def stopped(groups, costs, looks, test):
    """Of samples of costs (nulls, n) the verdict of a sequential stop, that of the first look that decides, and the look."""
    needed = {cell for group in groups for s in group.statements for cell in (s.cell, s.other)}
    nulls = len(costs[min(needed)])
    words, at = np.full(nulls, "undecided"), np.full(nulls, looks[-1])
    for look in looks:
        holds, fails = decisions(groups, {cell: costs[cell][:, :look] for cell in needed}, test)
        first = (words == "undecided") & (holds | fails)
        words[first], at[first] = np.where(holds, "holds", "fails")[first], look
    return words, at


def test_samples_are_decided_as_one_by_one():
    """The tests below decide a thousand samples at once; what a user calls decides one."""
    rng, test, seen = np.random.default_rng(5), verdicts.Test(looks=len(SHORT), least=10), set()
    costs = {cell: paper_cost(cell, POINTS) * lucky(rng, 0.5, (20, 12)) for cell in CELLS}
    for groups in GROUPS.values():
        holds, fails = decisions(groups, costs, test)
        for number in range(20):
            word, _ = verdict(groups, {cell: cost[number] for cell, cost in costs.items()}, test)
            assert (holds[number], fails[number] and not holds[number]) == (word == "holds", word == "fails")
            seen.add(word)
    assert {"holds", "undecided"} <= seen


def decided(groups, make, looks, test, seed=0, nulls=NULLS):
    """In how many nulls at the true edge, where `holds` and `fails` are both wrong, either comes out."""
    costs = make(np.random.default_rng(seed), (nulls, max(looks)))
    return (stopped(groups, costs, looks, test)[0] != "undecided").sum()


def gamma(shape):
    return lambda rng, n: rng.gamma(shape, 1 / shape, n)


def lognormal(spread):
    return lambda rng, n: lucky(rng, spread, n)


SKEWED = {"lognormal": lognormal(0.5), "wide-lognormal": lognormal(1.0), "gamma": gamma(2.0), "exponential": gamma(1.0)}
EQUAL = [Group(1, (Statement(A, B),))]


def alike(luck):
    """Both costs skewed alike, on top of luck in common."""

    def make(rng, n):
        common = rng.gamma(2.0, 1.0, n)
        return {A: common + luck(rng, n), B: common + luck(rng, n)}

    return make


@pytest.mark.parametrize("luck", SKEWED.values(), ids=SKEWED)
def test_equal_means_are_seldom_told_apart(luck):
    assert 0 < decided(EQUAL, alike(luck), SHORT, verdicts.Test(claims=1, looks=4, least=10)) <= ALLOWED


@pytest.mark.parametrize("bar", [0.5606, -0.02])
@pytest.mark.parametrize("luck", SKEWED.values(), ids=SKEWED)
def test_a_saving_of_the_very_bar_is_seldom_told_from_it(luck, bar):
    def make(rng, n):
        common = rng.gamma(4.0, 0.25, n)
        return {A: (1 - bar) * common * luck(rng, n), B: common * luck(rng, n)}

    groups = [Group(1, (Statement(A, B, bar, at_most=bar < 0),))]
    assert 0 < decided(groups, make, SHORT, verdicts.Test(claims=1, looks=4, least=10), seed=1) <= ALLOWED


def one_sided(name):
    """One cost varies, the other does not: the margin has the whole skew. Half of the nulls to either side."""

    def make(rng, n):
        common, skewed, first = rng.gamma(2.0, 1.0, n), SKEWED[name](rng, n), rng.random((n[0], 1)) < 0.5
        return {A: common + np.where(first, skewed, 1.0), B: common + np.where(first, 1.0, skewed)}

    return make


@pytest.mark.parametrize("name", SKEWED)
def test_skewed_margins_are_seldom_told_from_none_at_the_ledgers_looks(name):
    """The true rates are 3.2 to 3.8 %, from 20,000 nulls."""
    test = verdicts.Test(claims=1, looks=len(LOOKS))
    assert 0 < decided(EQUAL, one_sided(name), LOOKS, test, nulls=4 * NULLS) <= 4 * ALLOWED


def test_a_few_dozen_replications_are_too_few_for_rare_spikes():
    """Why Test has a `least`: of margins of skew 6 the spikes may not have occurred yet, and 7.7 % are decided wrongly."""
    test = verdicts.Test(claims=1, looks=2, least=2)
    assert decided(EQUAL, one_sided("wide-lognormal"), (20, 40), test, nulls=10 * NULLS) > 10 * NULLS * 0.06
    assert decided(EQUAL, one_sided("wide-lognormal"), (LEAST,), verdicts.Test(claims=1), nulls=4 * NULLS) <= binom.isf(
        0.01, 4 * NULLS, 0.05
    )


def test_peeking_without_the_correction_decides_too_often():
    """One look's level used at every of ten looks: it must exceed what the corrected test is held to, by far."""
    looks = range(10, 110, 10)
    assert decided(EQUAL, alike(gamma(2.0)), looks, verdicts.Test(claims=1, looks=1, least=2)) > 3 * ALLOWED
    assert decided(EQUAL, alike(gamma(2.0)), looks, verdicts.Test(claims=1, looks=len(looks), least=2)) <= ALLOWED
    assert decided(EQUAL, alike(gamma(2.0)), SHORT, verdicts.Test(claims=1, looks=1, least=2)) > 2 * ALLOWED  # four looks do it too


GROUPS = {claim.name: claim.groups(POINTS) for claim in SIMULATED}
CELLS = cells_of(SIMULATED, POINTS)


def ledgers(world, luck, common, nulls, looks, seed):
    """Of so many made-up ledgers the verdict on each claim, (nulls,), and the look."""
    rng, test = np.random.default_rng(seed), verdicts.Test(looks=len(looks), least=10)
    shared = lucky(rng, common, (nulls, looks[-1]))
    costs = {cell: world(cell) * shared * lucky(rng, luck, shared.shape) for cell in CELLS}
    return {name: stopped(groups, costs, looks, test) for name, groups in GROUPS.items()}


def wrong_ledgers(world, wrong, luck, common, nulls):
    """How many of so many ledgers have a wrong verdict, and the verdicts; `wrong` names those of each claim."""
    words = {name: words for name, (words, _) in ledgers(world, luck, common, nulls, SHORT, 2).items()}
    return np.any([np.isin(words[name], wrong[name]) for name in words], axis=0).sum(), words


DECIDED = ("holds", "fails")
# Where all policies cost the same at every point, chance alone: the proposed is neither below the others nor above them; no cost
# falls or rises; every cost is stable; and there is no reduction.
CHANCE = {
    "lowest-over-storage": DECIDED, "lowest-over-gpu": DECIDED, "lowest-over-slots": DECIDED, "lowest-over-rates": DECIDED,
    "almost-lowest-at-most": DECIDED,
    "proposed-falls-with-storage": ["holds"], "proposed-falls-with-gpu": ["holds"], "lfu-falls-with-storage": ["holds"],
    "lfu-falls-with-gpu": ["holds"], "others-rise-with-storage": ["holds"], "others-rise-with-gpu": ["holds"],
    "headline-reduction": ["holds"], "headline-ends": ["holds"],
    "stable-over-slots": ["fails"],
}  # fmt: skip


def test_a_ledger_of_chance_alone_is_seldom_wrong():
    """Where every policy costs the same everywhere. What is true of that is told: there is no reduction, and costs are stable."""
    count, words = wrong_ledgers(lambda cell: 10.0, CHANCE, 0.1, 0.3, NULLS)
    assert count <= ALLOWED
    assert (words["headline-reduction"] == "fails").all()
    assert (words["stable-over-slots"] == "holds").sum() > NULLS / 2


EDGE = {
    # fifo is level with the proposed at the first; at 120 and 12 reductions are .70, .667, .5606 (the lower end) and .7173 (near
    # the upper); lru's last rise is just 2 %; the proposed and lfu fall, the last step by just 2 %
    "storage_gb": {
        "proposed": [20, 16, 12, 10, 9.8], "random": [30, 35, 40, 45, 50], "fifo": [20, 30, 36, 40, 44],
        "lru": 12 / (1 - 0.5606) * np.array([0.9, 0.95, 1, 1.05, 1.071]), "lfu": [60, 50, 12 / (1 - 0.7173), 40, 39.2],
    },
    # lfu is below the proposed at 18 GB, lru level with it, so "almost lowest" is on its edge
    "gpu_memory_gb": {
        "proposed": [20, 16, 12, 10, 9.8], "random": [30, 35, 40, 45, 50], "fifo": [20, 30, 36, 40, 44],
        "lru": 9.8 * np.array([0.85, 0.9, 0.93, 1 / 1.02, 1]), "lfu": [16, 12, 10, 8 / 0.98, 8],
    },
    "slots": {"proposed": [10, 10, 10, 11], "random": 30, "fifo": 30, "lru": [10, 30, 30, 30], "lfu": 30},
    "arrival_rate": {"proposed": 10, "random": 30, "fifo": [10, 30, 30, 30], "lru": 30, "lfu": 30},
}  # fmt: skip


def test_a_ledger_of_claims_on_their_edge_is_seldom_wrong():
    """Every claim rests on one statement at its very bar, so that any verdict is wrong; but for one, which lfu breaks by far.

    Were the level not split over claims, 12.4 % of these ledgers would be wrong. As it is, about one in a thousand is.
    """
    world = {
        (parameter, value, policy): float(mean)
        for parameter, policies in EDGE.items()
        for policy, means in policies.items()
        for value, mean in zip(POINTS[parameter], np.broadcast_to(means, len(POINTS[parameter])), strict=True)
    }
    wrong = dict.fromkeys(SIMULATED_CLAIMS, DECIDED) | {"lowest-over-gpu": ["holds"]}
    count, words = wrong_ledgers(world.__getitem__, wrong, 0.05, 0.3, NULLS)
    assert 0 < count <= ALLOWED
    assert (words["lowest-over-gpu"] == "fails").all()


def test_a_clear_ledger_is_decided_at_the_first_look():
    """Power: twenty replications tell every claim of a world that is as the paper says."""
    found = ledgers(lambda cell: paper_cost(cell, POINTS), 0.003, 0.3, 100, SHORT[1:], 4)
    first = np.all([(words == "holds") & (look == SHORT[1]) for words, look in found.values()], axis=0)
    assert first.sum() >= 95
