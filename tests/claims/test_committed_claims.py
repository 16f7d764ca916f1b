"""The committed tables of the claims: the frozen reading is the one found, and rows are what the code gives today.

That the ledger is what its command gives today is in test_readme.py, which runs the command.
"""

from pathlib import Path

import pandas as pd
import pytest

from edgecache import READINGS, Scenario, scenario
from edgecache.claims import search
from edgecache.claims.design import MEASURES, PARAMETERS, SLACKS, judge_reading, latin_hypercube, read_readings, scenario_of
from edgecache.scenario import NAMED, OPEN

RESULTS = Path(__file__).parents[2] / "data/results"


@pytest.fixture(scope="module")
def table():
    return read_readings(RESULTS / "readings.parquet")


def test_the_readings_are_those_of_the_design_each_once(table):
    assert len(table) >= 20_000
    assert not table.duplicated(list(PARAMETERS)).any()
    drawn = latin_hypercube(len(table))
    assert (table[list(PARAMETERS)].astype(str) == drawn.astype(str)).all(axis=None)


@pytest.mark.parametrize("number", [0, 4321, 15693, 19999])
def test_a_row_is_what_judging_its_reading_gives_today(table, number):
    row = table.loc[number]
    assert row[[*SLACKS, *MEASURES]].tolist() == pytest.approx(judge_reading(row[list(PARAMETERS)].to_dict()), rel=1e-6)


def test_closest_is_the_reading_that_the_search_found(table):
    number = search.closest_reading(table, pd.read_csv(RESULTS / "readings-best.csv"))
    assert Scenario.named("closest") == scenario_of(table.loc[number, list(PARAMETERS)].to_dict())
    assert set(NAMED["closest"]) <= {*READINGS, *OPEN}
    text = Path(scenario.__file__).read_text()
    assert f"reading {number} of the {len(table):,}" in text
