"""The committed tables of the claims: the frozen reading is the one found, and the ledger is what the code gives today."""

from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from edgecache import READINGS, Scenario, claims, search
from edgecache.ledger import ledger
from edgecache.named import NAMED
from edgecache.readings import MEASURES, PARAMETERS, SLACKS, design, judged, read_readings, scenario_of
from edgecache.scenario import OPEN
from edgecache.sweep import write_table

RESULTS = Path(__file__).parent.parent / "data/results"


@pytest.fixture(scope="module")
def table():
    return read_readings(RESULTS / "readings.parquet")


def test_the_readings_are_those_of_the_design_each_once(table):
    assert len(table) >= 20_000
    assert not table.duplicated(list(PARAMETERS)).any()
    drawn = design(len(table))
    assert (table[list(PARAMETERS)].astype(str) == drawn.astype(str)).all(axis=None)


@pytest.mark.parametrize("number", [0, 4321, 15693, 19999])
def test_a_row_is_what_judging_its_reading_gives_today(table, number):
    row = table.loc[number]
    assert row[[*SLACKS, *MEASURES]].tolist() == pytest.approx(judged(row[list(PARAMETERS)].to_dict()), rel=1e-6)


def test_closest_is_the_reading_that_the_search_found(table):
    number = search.closest(table, pd.read_csv(RESULTS / "readings-best.csv"))
    assert Scenario.named("closest") == scenario_of(table.loc[number, list(PARAMETERS)].to_dict())
    assert set(NAMED["closest"]) <= {*READINGS, *OPEN}
    text = (Path(claims.__file__).parent / "named.py").read_text()
    assert f"reading {number} of the {len(table):,}" in text


def test_the_committed_ledger_is_what_the_command_simulates_today(tmp_path):
    """Written as `make readings` writes it, so to six digits; the slower readings are made by the same code."""
    given = write_table(ledger(Scenario.named("literal"), "literal", progress=False), tmp_path / "claims.csv")
    committed = pd.read_csv(RESULTS / "claims.csv")
    assert_frame_equal(committed[committed["reading"] == "literal"].reset_index(drop=True), given)
    assert list(dict.fromkeys(committed["reading"])) == list(NAMED)
    assert (committed.groupby("reading")["replications"].max() >= 200).all()
