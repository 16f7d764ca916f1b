"""The generated sentences follow the tables, whichever way these come out."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edgecache.claims.design import MEASURES, SCOPES, SLACKS, latin_hypercube, under_every_scope, write_readings
from edgecache.claims.ledger import LOOKS
from edgecache.claims.pairs import compare_scopes
from edgecache.scenario import NAMED

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import readme  # noqa: E402
from blocks import ledger, listed, markdown_table, number_range, outcomes, reference, search  # noqa: E402

DRAWS = 6


def found_by_search(folder, **held):
    """The tables of a search of 24 readings. Claims that are not named hold in none; `held` says in which rows one holds."""
    table = under_every_scope(latin_hypercube(DRAWS)).assign(catalogue=0)
    slack = pd.DataFrame(-1.0, index=table.index, columns=list(SLACKS), dtype=np.float32)
    for claim, rows in held.items():
        slack.loc[rows, claim.replace("_", "-")] = 0.5
    table[list(SLACKS)] = slack
    table[list(MEASURES)] = np.float32(0.5)
    table = table.assign(held=(slack > 0).sum(axis=1), missed=1.0)
    write_readings(table, folder / "readings.parquet")
    compare_scopes(table).to_csv(folder / "readings-scopes.csv", index=False)
    again = pd.DataFrame(
        {"number": np.repeat([4, 5], len(SLACKS)), "claim": [*SLACKS, *SLACKS], "verdict": "fails", "replications": 200}
    )
    again.loc[again["number"] == 5, "verdict"] = ["holds", *["undecided"] * (len(SLACKS) - 1)]
    again.to_csv(folder / "readings-best.csv", index=False)
    claims = pd.DataFrame({"claim": SLACKS, "reading": "closest", "verdict": "holds", "replications": 400})
    claims.to_csv(folder / "claims.csv", index=False)


@pytest.fixture
def results(tmp_path, monkeypatch):
    for module in (search, ledger, outcomes):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    return tmp_path


def test_the_search_in_words(results):
    found_by_search(results, headline_reduction=[4, 5], stable_over_slots=[5])
    text = search.search()
    assert "24 readings were tried: 6 draws, each under every scope. None of them supports all" in text
    assert "The most is 2, by the means of a few replications, reached by 1 readings" in text
    assert "holds 2 claims by those means, and 1 with the genetic algorithm on 200 other replications" in text
    assert f"holds {len(SLACKS)} on up to 400 replications" in text
    assert search.shrink().splitlines()[2:] == ["| 2 | 1 | 0.0 | 2.0 | 0.0 | 1.0 |", "| 1 | 1 | 0.0 | 0.0 | 1.0 | 0.0 |"]


FALLING = dict.fromkeys(name.replace("-", "_") for name in SLACKS if "falls" in name)
RISING = dict.fromkeys(name.replace("-", "_") for name in SLACKS if "rise" in name)


def test_headline_and_trends_exclude_each_other_only_if_the_tables_say_so(results):
    every = range(len(SCOPES) * DRAWS)
    found_by_search(results, headline_reduction=[0], **dict.fromkeys(FALLING, every[1:]))
    text = search.scopes()
    assert "No reading tried has the paper's headline together with all trends, under any scope." in text
    assert "No reading tried has the paper's headline together with the falling trends" in text
    found_by_search(results, headline_reduction=[3, 7], **dict.fromkeys(FALLING, every))
    text = search.scopes()
    assert "together with all trends, under any scope." in text
    assert "of the proposed method and of LFU: 2 under `free`, and none under `evict`, `bypass` and `prefetch`." in text
    assert "| headline | 0 | 0 | 0 | 2 |" in text
    found_by_search(results, headline_reduction=every, **dict.fromkeys(FALLING, every), **{claim: [0] for claim in RISING})
    assert "Readings with the headline together with all trends: 1 under `evict`" in search.scopes()


def test_catalogues_in_words(results):
    rows = [(name, number, *[1.0 if number < 3 else -1.0] * len(SLACKS), 0.25, 0.75, 0.0) for name in NAMED for number in range(5)]
    pd.DataFrame(rows, columns=["reading", "catalogue", *SLACKS, *MEASURES]).to_csv(
        results / "readings-catalogues.csv", index=False
    )
    text = search.catalogues()
    assert text.startswith("4 random catalogues.") and text.count("yes; 50% (7% to 93%)") == len(NAMED) * len(SLACKS)
    assert "the least reduction is 25%, the largest 75%" in text


def test_errors_are_those_of_the_looks_that_the_ledger_takes(results):
    looks = " ".join(map(str, LOOKS))
    rows = [
        ("literal", "100", "any claim", 0.9, 0.9),
        ("literal", looks, "other", 0.8, 0.8),
        ("literal", looks, "any claim", 0.03, 0.01),
    ]
    pd.DataFrame(rows, columns=["reading", "looks", "claim", "one", "every"]).assign(stops=4000).to_csv(
        results / "verdict-errors.csv", index=False
    )
    text = ledger.errors()
    assert "4,000 simulated ledgers" in text and "| `literal` | 3.0% | 1.0% |" in text and "90" not in text


def test_users_that_do_not_wait_longest_are_not_said_to(results):
    delays = {"ga": 30.0, "random": 20.0, "fifo": 21.0, "lru": 22.0, "lfu": 23.0, "clairvoyant-delay": 10.0}
    rows = [{"storage_gb": 120, "policy": policy, "service_delay_all_s": delay} for policy, delay in delays.items()]
    pd.DataFrame(rows).to_csv(results / "fig3a-cost-vs-storage.csv", index=False)
    assert outcomes._waiting() == (
        "With the proposed method users wait 30.0 s on average, longer than with any baseline; the least possible in the floor's "
        "class is 10.0 s."
    )
    rows[1]["service_delay_all_s"] = 31.0
    pd.DataFrame(rows[:-1]).to_csv(results / "fig3a-cost-vs-storage.csv", index=False)
    assert outcomes._waiting() == "With the proposed method users wait 30.0 s on average."


def test_small_parts():
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
    assert number_range([0.5, 0.1]) == "10.0% to 50.0%" and number_range([0.5, 0.5001]) == "50.0%"
    assert markdown_table(["a", "b"], [(1, "x|y")]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"
    assert readme.wrapped("| a |\n\n" + "word " * 40).count("\n") == 3
    assert readme.wrapped("```text\na\n\nb\n```") == "```text\na\n\nb\n```"


def test_every_reading_and_number_is_explained():
    assert "| `scope` | `evict`, `bypass`, `prefetch`, `free` | what a planner may choose at a miss." in reference.switches()
    assert all(row.split("|")[4].strip() for row in reference.numbers().splitlines()[2:])
    assert "| `last_request` | the last |" in reference.fields()
