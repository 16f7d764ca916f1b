"""Intervals cover and verdicts err as the committed tables say: a part is measured anew, on other replications and samples."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from edgecache import Scenario
from edgecache.claims import calibration, verdicts
from edgecache.claims.calibration import ANY, interval_coverage, simulate_pool, verdict_errors
from edgecache.claims.ledger import LOOKS, simulate_cells
from edgecache.claims.search import BEST_LOOKS
from edgecache.claims.statements import BASELINES, GRID, POLICIES, SIMULATED, Group, Statement, cells_of
from edgecache.claims.verdicts import LEAST, decisions

RESULTS = Path(__file__).parents[2] / "data/results"
READINGS = ("literal", "closest", "delay")


@pytest.fixture(scope="module")
def coverage():
    return pd.read_csv(RESULTS / "coverage.csv")


@pytest.fixture(scope="module")
def errors():
    return pd.read_csv(RESULTS / "verdict-errors.csv")


@pytest.fixture(scope="module")
def pools():
    """Replications that the committed tables did not use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "POOL_SEED", 6)
        patch.setattr(calibration, "DRAW_SEED", 7)
        return {reading: simulate_pool(Scenario.named(reading), 600, jobs=1) for reading in READINGS[:2]}


# ---- what the committed tables say


def test_every_interval_covers_within_two_points_of_what_it_says(coverage):
    quantities = [*(("cost", policy) for policy in POLICIES), *(("reduction", policy) for policy in BASELINES)]
    expected = {(reading, *quantity, size) for reading in READINGS for quantity in quantities for size in (30, 200)}
    assert set(coverage[["reading", "quantity", "policy", "replications"]].itertuples(index=False, name=None)) == expected
    assert len(coverage) == len(expected) and (coverage["samples"] >= 500).all()
    assert coverage["covered"].between(0.93, 0.97).all()
    assert_allclose(coverage[["covered", "below", "above"]].sum(axis=1), 1, rtol=1e-4)


def test_any_verdict_of_a_ledger_is_wrong_with_at_most_five_percent(errors):
    """From LEAST replications on, as the ledger and the second look use them; and 100 replications would be too few."""
    first = errors["looks"].astype(str).str.split().str[0].astype(int)
    enough = errors[(errors["claim"] == ANY) & (first >= LEAST)]
    for looks in (LOOKS, BEST_LOOKS, (LEAST,)):
        assert set(enough.loc[enough["looks"] == " ".join(map(str, looks)), "reading"]) == set(READINGS)
    assert (enough[["one", "every"]] <= 0.05).all(axis=None)
    assert errors.loc[(errors["claim"] == ANY) & (first == 100), "one"].max() > 0.05
    claims = errors[errors["claim"] != ANY].groupby(["reading", "looks"])["claim"]
    assert all(list(names) == [claim.name for claim in SIMULATED] for _, names in claims)


def test_other_methods_cover_less_at_thirty_replications():
    """As the docstring of `interval` says, which is why the intervals are what they are."""
    table = pd.read_csv(RESULTS / "interval-methods.csv")
    assert set(table["reading"]) == set(READINGS) and set(table["replications"]) == {30}
    worst, mean = (table.groupby(["quantity", "method"])["covered"].agg(how).unstack() for how in ("min", "mean"))
    assert set(worst.columns) == {"interval", "t", "percentile", "BCa"}
    for covered in (worst.loc[["cost"]], mean):  # the worst of the reductions, of 2,000 samples each, is a tie with the t interval
        assert (covered.drop(columns="interval").max(axis=1) < covered["interval"]).all()
    assert (worst[["percentile", "BCa"]] < 0.93).all(axis=None)


# ---- a part of it anew


@pytest.mark.parametrize("reading", READINGS[:2])
def test_intervals_cover_anew(pools, coverage, reading):
    found = interval_coverage(pools[reading], samples=4000)
    assert found["covered"].between(0.93, 0.97).all()
    committed = coverage[coverage["reading"] == reading].reset_index(drop=True)
    assert (found[["quantity", "policy", "replications"]] == committed[["quantity", "policy", "replications"]]).all(axis=None)
    assert_allclose(found["covered"], committed["covered"], atol=0.015)  # four standard errors of 4,000 samples


@pytest.mark.parametrize("reading", READINGS[:2])
def test_verdicts_err_anew(pools, errors, reading):
    found = verdict_errors(pools[reading], looks=((LEAST,),), stops=600).set_index("claim")
    assert found.loc[ANY, "one"] <= 0.05 and found.loc[ANY, "every"] <= 0.05
    committed = errors[(errors["reading"] == reading) & (errors["looks"] == str(LEAST))].set_index("claim")
    assert_allclose(found["one"], committed["one"], atol=0.02)


# ---- how it is measured


def test_coverage_counts_on_which_side_the_truth_is():
    """Every replication the same: the truth is met. One in a hundred costs much: samples without it lie below the truth."""
    cells = [("storage_gb", 120.0, policy) for policy in POLICIES]
    spiky = np.where(np.arange(1000) % 100, 1.0, 1000.0)
    pool = {cell: np.full(1000, 4.0) if cell[2] in ("lru", "proposed") else spiky for cell in cells}
    found = interval_coverage(pool, (30,), 500).set_index(["quantity", "policy"])
    assert (found.loc[[("cost", "lru"), ("reduction", "lru")], "covered"] == 1).all()
    missed = 0.99**30  # of samples without a spike
    assert found.loc[("cost", "fifo"), ["below", "above"]].tolist() == pytest.approx([0, missed], abs=0.06)


def one_claim(pool, looks, stops, monkeypatch, name):
    monkeypatch.setattr(calibration, "SIMULATED", [claim for claim in SIMULATED if claim.name == name])
    return verdict_errors(pool, [looks], stops).set_index("claim").loc[name]


@pytest.mark.parametrize("name", ["others-rise-with-gpu", "headline-ends", "almost-lowest-at-most"])
def test_errors_are_those_of_verdicts_on_costs_moved_to_the_bar(monkeypatch, name):
    """Each statement's margin as a cost of its own, moved to a mean of zero; the verdicts are those of `decisions`."""
    rng, looks, stops = np.random.default_rng(2), (20, 40), 400
    monkeypatch.setattr(calibration, "Test", partial(verdicts.Test, claims=1, alpha=0.9))  # so that there are errors to count
    pool = {cell: rng.lognormal(0, 1.5, 60) for cell in cells_of(SIMULATED)}
    claim = next(claim for claim in SIMULATED if claim.name == name)
    drawn = np.random.default_rng((calibration.DRAW_SEED, 0)).integers(60, size=(stops, looks[-1]))
    costs, groups, test, alone = {}, [], calibration.Test(looks=2, least=2), []
    for group in claim.groups(GRID):
        moved = []
        for statement in group.statements:
            number, margin = float(len(costs)), statement.margin(pool)
            a, b = ("slots", number, "proposed"), ("slots", number, "lru")
            costs |= {a: np.zeros((stops, looks[-1])), b: (margin - margin.mean())[drawn]}
            moved.append(Statement(a, b))
        groups.append(Group(group.needed, tuple(moved)))
    every = [decisions(groups, {cell: cost[:, :look] for cell, cost in costs.items()}, test) for look in looks]
    found = one_claim(pool, looks, stops, monkeypatch, name)
    assert found["every"] == pytest.approx(np.any(every, axis=(0, 1)).mean()) and found["every"] > 0

    # one statement stays; in its group as many are clear as are needed beside it, and in other groups all are true
    for group in groups:
        for single in group.statements:
            clear, rest = dict(costs), [statement for statement in group.statements if statement != single]
            for other in (statement for own in groups for statement in own.statements if statement != single):
                true = other not in rest or rest.index(other) < group.needed - 1
                clear[other.other] = np.full((stops, looks[-1]), 1.0 if true else -1.0)
            both = [decisions(groups, {cell: cost[:, :look] for cell, cost in clear.items()}, test) for look in looks]
            alone.append(np.any(both, axis=(0, 1)).mean())
    assert found["one"] == pytest.approx(max(alone)) and found["one"] > 0


def test_a_margin_that_never_varies_decides_nothing(monkeypatch):
    pool = {cell: np.full(50, 3.0) for cell in cells_of(SIMULATED)}
    found = one_claim(pool, (20,), 10, monkeypatch, "lowest-over-slots")
    assert found["one"] == found["every"] == 0


def test_the_pool_is_what_the_ledger_simulates_with_exact(monkeypatch):
    monkeypatch.setattr(calibration, "CHUNK", 2)
    pool, cells = simulate_pool(Scenario(), 5, jobs=1), cells_of(SIMULATED)
    expected = simulate_cells(Scenario(), cells, "exact", range(5), calibration.POOL_SEED)
    assert list(pool) == cells and all((pool[cell] == expected[cell]).all() for cell in cells)
