"""What decides a claim, on tables whose truth is known."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from SALib.analyze import rbd_fast

from edgecache import READINGS, InputError
from edgecache.claims.design import DRAWN, MEASURES, RANGES, SCOPES, SLACKS, SWITCHES, latin_hypercube, under_every_scope
from edgecache.claims.sensitivity import LEAST, sensitivity


def synthetic(outcome, count=1500, seed=0):
    """A table of the search in which every claim and measure is an `outcome` of the design and of luck; luck first."""
    table, rng = under_every_scope(latin_hypercube(count)), np.random.default_rng(seed)
    values = {name: outcome(table, rng) for name in (*SLACKS[:1], *MEASURES[:1])}
    rest = dict.fromkeys((*SLACKS[1:], *MEASURES[1:]), -1.0)
    return table.assign(**{name: np.asarray(value, dtype=np.float32) for name, value in (values | rest).items()})


def shares(table, name, column="share"):
    with pytest.MonkeyPatch.context() as patch:
        if column == "share":  # which needs no resamples, and they take most of the time
            patch.setattr("SALib.analyze.rbd_fast.bootstrap", lambda *_: 0.0)
        found = sensitivity(table).set_index(["outcome", "parameter"])[column]
    assert set(found.index.get_level_values("outcome")) <= {SLACKS[0], MEASURES[0]}
    return found[name]


def correlation_ratio(label, outcome):
    """Variance of the groups' means over the variance: a category's first-order index by its definition."""
    groups = pd.Series(np.asarray(outcome, dtype=float)).groupby(np.asarray(label))
    return groups.transform("mean").var() / pd.Series(np.asarray(outcome, dtype=float)).var()


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_that_decides_all_has_all(name):
    # the middle word stands out, so no trend over the words decides; ten harmonics hold 96 % of a step, and 92 % of two
    worth = dict(zip(READINGS[name], (0.5, -1.0, 1.5, 0.0), strict=False))
    found = shares(synthetic(lambda table, rng: table[name].map(worth)), MEASURES[0])
    assert found[name] == pytest.approx(1, abs=0.08) and found.drop(name).max() < 0.03


@pytest.mark.parametrize("name", RANGES)
def test_a_number_that_decides_all_has_all(name):
    found = shares(synthetic(lambda table, rng: table[name].rank()), MEASURES[0])
    assert found[name] > 0.98 and found.drop(name).max() < 0.03


def test_where_nothing_decides_none_has_a_share():
    table = synthetic(lambda table, rng: rng.normal(size=len(table)))
    for name in (SLACKS[0], MEASURES[0]):
        assert shares(table, name).max() < 0.03
        assert shares(table, name, "spread").between(0.001, 0.05).all()


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switchs_share_is_the_correlation_ratio(name):
    chance = dict(zip(READINGS[name], (0.2, 0.9, 0.4, 0.1), strict=False))
    table = synthetic(lambda table, rng: np.where(rng.random(len(table)) < table[name].map(chance), 0.3, -0.3))
    truth = correlation_ratio(table[name], table[SLACKS[0]] > 0)
    assert 0.2 < truth < 0.7
    assert shares(table, SLACKS[0])[name] == pytest.approx(truth, abs=0.05)
    assert shares(table, MEASURES[0])[name] == pytest.approx(correlation_ratio(table[name], table[MEASURES[0]]), abs=0.05)


def test_the_shares_of_a_sum_are_those_of_its_variances():
    def outcome(table, rng):
        return 2.0 * (table["lfu"] == "perfect") + np.log(table["w2"]) / np.ptp(np.log(table["w2"]))

    truth = np.array([1.0, 1 / 12])  # of a fair coin of 0 and 2, and of the uniform distribution
    found = shares(synthetic(outcome), MEASURES[0])
    assert_allclose(found[["lfu", "w2"]], truth / truth.sum(), atol=0.05)
    assert found.drop(["lfu", "w2"]).max() < 0.03


def test_an_interaction_has_no_first_order_share():
    table = synthetic(lambda table, rng: np.where((table["lfu"] == "perfect") == (table["popularity"] == "true"), 1.0, -1.0))
    assert shares(table, SLACKS[0]).max() < 0.03


def test_a_claim_depends_on_its_slack_by_its_sign_alone():
    # its size is decided by w2, whether it holds by lfu
    table = synthetic(lambda table, rng: np.where(table["lfu"] == "perfect", 1, -1) * table["w2"])
    found = shares(table, SLACKS[0])
    assert found["lfu"] > 0.9 and found["w2"] < 0.03


def test_a_slack_of_nothing_is_a_claim_that_does_not_hold():
    table = synthetic(lambda table, rng: np.where(table["lfu"] == "perfect", 1e-6, 0.0))
    assert shares(table, SLACKS[0])["lfu"] > 0.9


def test_what_is_the_same_under_all_readings_has_no_rows():
    table = synthetic(lambda table, rng: np.full(len(table), 2.0), 100)
    assert list(sensitivity(table).columns) == ["outcome", "parameter", "share", "spread"] and sensitivity(table).empty


def test_sensitivity_is_the_same_on_every_processor(monkeypatch):
    # NumPy's default sort breaks ties by the processor's vector instructions, and most parameters are all ties
    table = synthetic(lambda table, rng: rng.normal(size=len(table)) + (table["lfu"] == "perfect"), 500)
    found = sensitivity(table)
    monkeypatch.setattr(np, "argsort", partial(np.argsort, kind="stable"))
    assert_allclose(sensitivity(table)["share"], found["share"], rtol=1e-9, atol=1e-12)


def test_sensitivity_is_the_same_at_any_number_of_jobs():
    """What else runs in parallel, journals and ledgers, is compared in test_files.py and test_ledger.py."""
    table = synthetic(lambda table, rng: rng.normal(size=len(table)), 100)
    assert_frame_equal(sensitivity(table, 2), sensitivity(table, 1))


def test_the_least_count_of_draws_has_shares_and_fewer_are_refused():
    # the bias correction of RBD-FAST divides by nothing at some small counts
    table = synthetic(lambda table, rng: rng.normal(size=len(table)), LEAST)
    assert shares(table, MEASURES[0]).between(0, 1).all()
    with pytest.raises(InputError, match=f"count of draws is {LEAST - 1}"):
        sensitivity(table.iloc[: -len(SCOPES)])


# ---- the four readings of a draw


def test_draws_are_what_is_counted_and_resampled():
    """Where the scope changes nothing, four readings per draw are worth no more than one."""
    table = synthetic(lambda table, rng: np.repeat(rng.normal(size=400), len(SCOPES)) + (table["lfu"] == "perfect"), 400)
    draws = table.iloc[:: len(SCOPES)]
    codes = draws[list(DRAWN)].apply(
        lambda column: pd.Categorical(column, READINGS[column.name]).codes if column.name in SWITCHES else column
    )
    problem = {"num_vars": len(DRAWN), "names": list(DRAWN), "bounds": [[0, 1]] * len(DRAWN)}
    ranks = codes.rank(method="first").to_numpy()
    expected = rbd_fast.analyze(problem, ranks, draws[MEASURES[0]].to_numpy(dtype=float), num_resamples=50, seed=0)
    found = sensitivity(table).set_index(["outcome", "parameter"]).loc[MEASURES[0]]
    assert_allclose(found.loc[list(DRAWN), "share"], np.maximum(expected["S1"], 0), rtol=1e-9, atol=1e-9)
    assert_allclose(found.loc[list(DRAWN), "spread"], expected["S1_conf"], rtol=1e-9)
    assert_allclose(found.loc["scope"].to_numpy(dtype=float), 0, atol=1e-9)


def test_the_scope_and_what_is_drawn_share_the_variance_of_their_sum():
    worth = dict(zip(SCOPES, (0.0, 1.0, 0.5, 3.0), strict=True))
    found = shares(synthetic(lambda table, rng: table["scope"].map(worth) + 2.0 * (table["lfu"] == "perfect")), MEASURES[0])
    truth = np.array([np.var(list(worth.values())), 1.0])  # and the variance of a fair coin of 0 and 2
    assert_allclose(found[["scope", "lfu"]], truth / truth.sum(), atol=0.03)
    assert found.drop(["scope", "lfu"]).max() < 0.02


def test_the_spread_of_the_scope_s_share_is_that_of_half_the_draws():
    def table(seed, count):
        return synthetic(lambda table, rng: rng.normal(size=len(table)) + 0.8 * (table["scope"] == "free"), count, seed)

    fresh = [table(seed, 200) for seed in range(60)]
    alone = [correlation_ratio(readings["scope"], readings[MEASURES[0]]) for readings in fresh]
    spread = sensitivity(table(60, 400)).set_index(["outcome", "parameter"]).loc[(MEASURES[0], "scope"), "spread"]
    assert spread == pytest.approx(1.96 * np.std(alone, ddof=1), rel=0.35)  # each is known to a tenth
