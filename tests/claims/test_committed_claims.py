"""The committed tables of the claims: the frozen reading is the one found, and tables are what the code gives today.

That the ledger is what its command gives today is in test_readme.py, which runs the command.
"""

from pathlib import Path

import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from edgecache import READINGS, Scenario, scenario
from edgecache.claims import search
from edgecache.claims.design import (
    MEASURES,
    PARAMETERS,
    SCOPES,
    SLACKS,
    judge_draw,
    latin_hypercube,
    read_readings,
    scenario_of,
    under_every_scope,
)
from edgecache.claims.pairs import compare_scopes
from edgecache.claims.sensitivity import sensitivity
from edgecache.claims.statements import CENTRE
from edgecache.ensembles import outcomes
from edgecache.scenario import NAMED, OPEN

RESULTS = Path(__file__).parents[2] / "data/results"


@pytest.fixture(scope="module")
def table():
    return read_readings(RESULTS / "readings.parquet")


@pytest.fixture(scope="module")
def again():
    return pd.read_csv(RESULTS / "readings-best.csv")


def test_the_readings_are_those_of_the_design_each_once(table):
    assert len(table) >= 40_000
    assert not table.duplicated(list(PARAMETERS)).any()
    drawn = under_every_scope(latin_hypercube(len(table) // len(SCOPES)))
    assert (table[list(PARAMETERS)].astype(str) == drawn.astype(str)).all(axis=None)


@pytest.mark.parametrize("share", [0.0, 0.31, 0.62, 0.9999])
def test_four_rows_are_what_judging_their_draw_gives_today(table, share):
    draws = latin_hypercube(len(table) // len(SCOPES))
    number = int(share * len(draws))
    rows = table.loc[len(SCOPES) * number : len(SCOPES) * (number + 1) - 1, [*SLACKS, *MEASURES]]
    assert_allclose(rows.to_numpy(dtype=float), judge_draw(draws.loc[number].to_dict()), rtol=1e-6)


def test_the_comparison_of_the_scopes_is_that_of_the_table(table):
    assert_frame_equal(pd.read_csv(RESULTS / "readings-scopes.csv"), compare_scopes(table), rtol=1e-5)


def test_the_shares_are_those_of_the_table(table, monkeypatch):
    monkeypatch.setattr("SALib.analyze.rbd_fast.bootstrap", lambda *_: 0.0)  # of no use to the shares, and slow
    found, shown = sensitivity(table), pd.read_csv(RESULTS / "readings-sensitivity.csv")
    assert_frame_equal(shown[["outcome", "parameter"]], found[["outcome", "parameter"]])
    assert_allclose(shown["share"], found["share"], rtol=1e-4, atol=1e-8)


def test_the_best_of_the_table_were_judged_again(table, again):
    assert list(dict.fromkeys(again["number"])) == list(search.best_readings(table).index)
    assert list(again["claim"]) == list(SLACKS) * again["number"].nunique()
    assert again["replications"].isin(search.BEST_LOOKS).all()


def test_a_second_look_is_what_the_genetic_algorithm_costs_today(table, again):
    row = again[again["claim"] == "headline-reduction"].set_index("number").loc[search.closest_reading(table, again)]
    scenario, (_, _, baseline, *_) = scenario_of(table.loc[row.name, list(PARAMETERS)].to_dict()), row["where"].split()
    cost = outcomes(scenario, [CENTRE], ["ga", baseline], range(row["replications"]), search.BEST_SEED)[0, 0].mean(axis=1)
    assert row["effect"] == pytest.approx(1 - cost[0] / cost[1], rel=1e-5)


def test_every_named_reading_has_its_ledger():
    claims = pd.read_csv(RESULTS / "claims.csv")
    assert list(dict.fromkeys(claims["reading"])) == list(NAMED)
    assert claims.groupby("reading")["claim"].nunique().eq(17).all()


def test_closest_is_the_reading_that_the_search_found(table, again):
    number = search.closest_reading(table, again)
    assert Scenario.named("closest") == scenario_of(table.loc[number, list(PARAMETERS)].to_dict())
    assert set(NAMED["closest"]) <= {*READINGS, *OPEN}
    text = Path(scenario.__file__).read_text()
    assert f"reading {number} of the {len(table):,}" in text
