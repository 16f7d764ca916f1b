"""Named readings: what a name sets and what it leaves, in scenarios, in sweeps and on the command line; and the claims' table."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from support.cases import random_scenario

from edgecache import POLICIES, READINGS, InputError, Scenario, load_catalogue, scenario, simulate, sweep, sweeps
from edgecache.claims import design, ledger, search
from edgecache.claims.statements import CLAIMS, SIMULATED
from edgecache.cli.main import main
from edgecache.costs import fetch_delay_s
from edgecache.scenario import NAMED, OPEN

SET = (*READINGS, *OPEN)  # what a name sets
QUIET = {"progress": False, "jobs": 1}


def fields(s):
    return {name: getattr(s, name) for name in s.__dataclass_fields__}


def another(seed):
    """A scenario of which nothing is the default."""
    s = random_scenario(np.random.default_rng(seed), 6, w1=3.0, w2=0.7, beta=4.0, slots=17)
    return s.vary(**{name: words[-1] for name, words in READINGS.items()})


# ---- scenarios


@pytest.mark.parametrize("name", NAMED)
def test_a_name_sets_every_switch_and_open_number_and_leaves_the_rest(name):
    for before in (Scenario(), another(1), another(2)):
        found = fields(before.vary(reading=name))
        assert {key: found[key] for key in SET} == {key: getattr(Scenario(), key) for key in SET} | NAMED[name]
        rest = set(found) - set(SET)
        assert {"catalogue", "storage_gb", "gpu_memory_gb", "slots", "bandwidth_gbps"} <= rest
        assert {key: found[key] for key in rest} == {key: getattr(before, key) for key in rest}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_scenario_is_the_default_under_that_reading(name):
    assert Scenario.named(name) == Scenario(**NAMED[name]) == Scenario().vary(reading=name)
    assert Scenario.named(name, slots=7, catalogue=another(1).catalogue) == Scenario(another(1).catalogue, slots=7, **NAMED[name])


@pytest.mark.parametrize("name", NAMED)
def test_what_is_asked_for_wins_over_the_name(name):
    changes = {
        "charge": "absence",
        "lfu": "in_cache",
        "w1": 7.0,
        "w2": 0.25,
        "beta": 3.0,
        "arrival_rate": 2.5,
        "zipf": 1.5,
        "slots": 9,
    }
    for found in (Scenario.named(name, **changes), another(3).vary(reading=name, **changes)):
        assert {key: getattr(found, key) for key in changes} == changes
        others = set(SET) - set(changes)
        assert {key: getattr(found, key) for key in others} == {key: getattr(Scenario.named(name), key) for key in others}


def test_without_a_name_nothing_is_set():
    assert another(1).vary(reading=None) == another(1).vary() == another(1)


def test_literal_is_the_default_and_the_names_differ():
    assert Scenario.named("literal") == Scenario() and next(iter(NAMED)) == "literal"
    assert len({Scenario.named(name) for name in NAMED}) == len(NAMED) >= 2


@pytest.mark.parametrize("name", NAMED)
def test_a_name_changes_nothing_but_switches_and_open_numbers(name):
    assert set(NAMED[name]) <= set(SET)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("dely", ["unknown reading 'dely'", "did you mean 'delay'", "literal"]),
        ("Literal", ["'Literal'", "did you mean 'literal'"]),
        ("", ["unknown reading ''", "known: literal"]),
        (3, ["unknown reading 3", "literal, closest, delay"]),
        (["delay"], ["unknown reading ['delay']"]),
    ],
    ids=str,
)
def test_an_unknown_name_is_refused_in_a_sentence(name, parts):
    for make in (lambda: Scenario.named(name), lambda: Scenario().vary(reading=name)):
        with pytest.raises(InputError) as raised:
            make()
        assert "\n" not in str(raised.value) and all(part in str(raised.value) for part in parts)


def test_a_reading_is_no_parameter_of_the_scenario_itself():
    with pytest.raises(InputError, match="unknown parameter 'reading'"):
        Scenario(reading="delay")


# ---- what users wait for


@pytest.mark.parametrize("policy", ["random", "lru", "ga", "exact", "gdsf"])
@pytest.mark.parametrize("seed", [0, 5])
def test_delay_is_what_users_wait_for_beyond_inference(policy, seed):
    # the second server is too small for some models, which are then served by the cloud at no wait of their own
    for server in (Scenario(), random_scenario(np.random.default_rng(seed), 7, cloud_delay_s=0.0, slots=60)):
        s = server.vary(reading="delay")
        run = simulate(s, policy, seed)
        events, c = run.events, s.catalogue
        model = events["model"].map({service: i for i, service in enumerate(c.services)}).to_numpy()
        missed = ~(events["hit"] | events["cloud"])
        fetch = 8 * c.size_gb / s.bandwidth_gbps + c.io_delay_s
        waits = np.where(missed, fetch[model], 0.0)
        by_slot = np.bincount(events["slot"], waits, minlength=s.slots)
        assert missed.sum() > 3 and not missed.all()
        assert_allclose(run.slots["total_cost"], by_slot, rtol=1e-12, atol=1e-9)
        assert run.means()["total_cost"] == pytest.approx(by_slot.mean())
        # that is the requests' delays but for the inference, which no policy can change
        assert run.means()["total_cost"] * s.slots == pytest.approx((events["delay_s"] - c.inference_delay_s[model]).sum())
        assert_allclose(fetch, fetch_delay_s(s))


# ---- sweeps

POLICIES_OF_SWEEP = ["random", "lru", "exact"]


@pytest.mark.parametrize("before", [Scenario(slots=25), another(4)], ids=["defaults", "another"])
def test_a_sweep_over_readings_is_a_sweep_of_each(before):
    table = sweep({"reading": list(NAMED)}, POLICIES_OF_SWEEP, 3, before, seed=2, **QUIET)
    assert list(table.columns[:3]) == ["reading", "replication", "policy"]
    assert list(dict.fromkeys(table["reading"])) == list(NAMED)
    for name in NAMED:
        own = sweep({}, POLICIES_OF_SWEEP, 3, before.vary(reading=name), seed=2, **QUIET)
        assert_frame_equal(table[table["reading"] == name].drop(columns="reading").reset_index(drop=True), own)
    assert table.groupby("reading")["total_cost"].sum().nunique() == len(NAMED)


def test_what_a_sweep_varies_beside_wins_over_the_reading_in_either_order():
    for vary in ({"reading": list(NAMED), "w2": [0.5, 2.0]}, {"w2": [0.5, 2.0], "reading": list(NAMED)}):
        table = sweep(vary, ["lru"], 2, Scenario(slots=25), **QUIET)
        assert list(table.columns[:2]) == list(vary) and len(table) == 4 * len(NAMED)
        for (name, w2), runs in table.groupby(["reading", "w2"]):
            costs = [simulate(Scenario.named(name, w2=w2, slots=25), "lru", replication=r).means()["total_cost"] for r in range(2)]
            assert_allclose(runs["total_cost"], costs, rtol=1e-12)


def test_a_sweep_over_an_unknown_reading_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(sweeps, "run_parallel", pytest.fail)
    with pytest.raises(InputError, match="unknown reading 'dely'; did you mean 'delay'"):
        sweep({"reading": ["literal", "dely"]}, ["lru"], 1, **QUIET)


# ---- the command line


def command(*arguments):
    """The exit code and what is printed to standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["edgecache", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
    return stopped.value.code or 0, out.getvalue(), err.getvalue()


SIMULATE = ["simulate", "--slots", "20", "--replications", "3", "--policies", "lru,exact", "--format", "json"]


def settings(parameters):
    """The options that set these parameters one by one."""
    options = {"arrival_rate": "--arrival-rate", "zipf": "--zipf"}
    return [
        word
        for name, value in parameters.items()
        for word in ((options[name], value) if name in options else ("--set", f"{name}={value}"))
    ]


def test_simulating_a_reading_is_simulating_what_it_sets():
    code, out, err = command(*SIMULATE, "--reading", "delay")
    assert (code, err) == (0, "") and len(json.loads(out)) == 2
    assert out == command(*SIMULATE, "--set", "charge=miss", "--set", "w2=0")[1] != command(*SIMULATE)[1]
    for name in NAMED:
        assert command(*SIMULATE, "--reading", name)[1] == command(*SIMULATE, *settings(NAMED[name]))[1], name


@pytest.fixture
def made_up(monkeypatch):
    """A reading that sets everything an option does."""
    reading = {"charge": "miss", "w1": 2.0, "w2": 0.5, "beta": 3.0, "arrival_rate": 2.0, "zipf": 1.7}
    monkeypatch.setitem(scenario.NAMED, "made-up", reading)
    return reading


GIVEN = {  # options beside the reading, and what they set
    "nothing": ([], {}),
    "numbers": (["--arrival-rate", "0.5", "--zipf", "0.1"], {"arrival_rate": 0.5, "zipf": 0.1}),
    "the defaults, said": (["--arrival-rate", "1.0", "--zipf", "0.8"], {"arrival_rate": 1.0, "zipf": 0.8}),
    "words": (["--set", "charge=absence", "--set", "w1=1"], {"charge": "absence", "w1": 1}),
    "the server": (["--storage", "80", "--gpu-memory", "9"], {"storage_gb": 80, "gpu_memory_gb": 9}),
}


@pytest.mark.parametrize("given", GIVEN)
def test_options_given_win_over_the_reading_and_others_do_not(made_up, given):
    options, changes = GIVEN[given]
    for arguments in (["--reading", "made-up", *options], [*options, "--reading", "made-up"]):
        code, out, _ = command(*SIMULATE, *arguments)
        s = Scenario(**({"slots": 20} | made_up | changes))
        costs = [simulate(s, "lru", replication=r).means()["total_cost"] for r in range(3)]
        assert code == 0 and json.loads(out)[0]["total_cost"] == pytest.approx(np.mean(costs), rel=1e-12)


def test_a_reading_keeps_the_users_catalogue(tmp_path):
    file = tmp_path / "own.csv"
    load_catalogue().table().iloc[:4].to_csv(file, index=False)
    _, out, _ = command(*SIMULATE, "--reading", "delay", "--catalogue", file)
    s = Scenario.named("delay", catalogue=load_catalogue(file), slots=20)
    costs = [simulate(s, "lru", replication=r).means()["total_cost"] for r in range(3)]
    assert json.loads(out)[0]["total_cost"] == pytest.approx(np.mean(costs), rel=1e-12)


def test_decisions_are_explained_under_a_reading():
    explained = ["explain", "--slot", "4", "--policy", "exact", "--seed", "3", "--format", "json"]
    code, out, _ = command(*explained, "--reading", "delay")
    assert code == 0 and out == command(*explained, "--set", "charge=miss", "--set", "w2=0")[1] != command(*explained)[1]


BAD = {
    "simulate --reading dely": ["unknown reading 'dely'", "did you mean 'delay'"],
    "explain --slot 1 --reading nonsense": ["unknown reading 'nonsense'", "literal, "],
    "claims --reading nonsense": ["unknown reading 'nonsense'", "literal, "],
    "claims --reading": ["--reading"],
    "simulate --set reading=delay": ["'reading=delay'", "--reading"],
    "simulate --reading delay --set w2=1 --set w2=2": ["w2 is set twice"],
    "simulate --reading delay --set chrge=miss": ["did you mean 'charge'"],
    "claims --format csv": ["--format", "csv", "json"],
    "claims --jobs 0": ["jobs", "0"],
    "claims --jobs many": ["--jobs", "'many'"],
    "claims literal": ["literal"],
    "readings --count 3": ["count is 3", "at least"],
    "readings --count 1e3": ["--count", "'1e3'"],
    "readings --jobs 0": ["jobs", "0"],
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, arguments):
    words = arguments.split()
    code, out, err = command(*words, *(["--out", tmp_path / "out"] if words[0] == "readings" else []))
    assert (code, out) == (2, "") and err.startswith("edgecache: ") and err.count("\n") == 1
    assert all(part in err for part in BAD[arguments])
    assert not [file for file in tmp_path.rglob("*") if file.is_file()], "something was half-written"


def test_help_names_the_readings_that_there_are():
    for name in ("simulate", "explain", "claims"):
        code, out, _ = command(name, "--help")
        shown = " ".join(out.split())
        assert code == 0 and all(reading in shown for reading in NAMED)
        # and no other
        said = shown.split("named reading", 1)[1].split(":", 1)[1].split(".", 1)[0]
        words = said.replace("(the default)", "").replace(" or ", ", ").split(",")
        assert {word.strip() for word in words if word.strip()} == set(NAMED)


def test_the_search_is_asked_for_what_the_options_say(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(search, "search_readings", lambda *places, **setting: asked.append((places, setting)))
    assert command("readings", "--count", "77", "--jobs", "2", "--out", tmp_path)[0] == 0
    (results, work), setting = asked[0]
    assert (results, work) == (tmp_path / "data/results", tmp_path / "build/readings")
    assert (setting["count"], setting["jobs"], setting["progress"]) == (77, 2, False)
    assert command("readings")[0] == 0 and asked[1][1]["count"] == design.COUNT


# ---- the claims' table, simulated once

KEYS = ["claim", "section", "verdict", "effect", "low", "high", "reading"]


@pytest.fixture(scope="module")
def claims():
    """What `edgecache claims` prints as json, with the ledger that it is of: one of two short looks, of the numbers it is given."""
    tables, whole = [], ledger.play_ledger

    def kept(*arguments, **setting):
        assert "looks" not in setting  # the ledger's own, which test_readme.py simulates
        tables.append(whole(*arguments, looks=(20, 40), **setting | {"jobs": 1}))
        return tables[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "play_ledger", kept)
        printed = command("claims", "--reading", "delay", "--format", "json")
    return printed, tables[0]


@pytest.fixture
def as_before(claims, monkeypatch):
    """The same ledger, not simulated again."""
    monkeypatch.setattr(ledger, "play_ledger", lambda *_, **__: claims[1])
    return claims[1]


def rows_of(printed):
    return json.loads(printed[1], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_claims_in_json_have_exactly_the_promised_keys(claims):
    printed, _ = claims
    assert (printed[0], printed[2]) == (0, "")
    rows = rows_of(printed)
    assert [list(row) for row in rows] == [KEYS] * len(CLAIMS)
    assert [row["claim"] for row in rows] == [claim.name for claim in CLAIMS]
    assert [row["section"] for row in rows] == [claim.section for claim in CLAIMS]
    assert {row["reading"] for row in rows} == {"delay"}


def test_claims_about_the_catalogue_read_by_construction_and_have_no_interval(claims):
    simulated = {claim.name for claim in SIMULATED}
    for row in rows_of(claims[0]):
        if row["claim"] in simulated:
            assert row["verdict"] in ("holds", "fails", "undecided") and row["low"] <= row["effect"] <= row["high"]
        else:
            assert row["verdict"] == "by construction" and row["low"] is None and row["high"] is None and row["effect"] > 0
    assert len(simulated) == len(CLAIMS) - 3


def test_claims_in_json_are_the_ledgers_numbers_and_a_runs_own(claims):
    printed, table = claims
    for row, own in zip(rows_of(printed), table.to_dict("records"), strict=True):
        assert all(row[key] == own[key] for key in ("claim", "verdict", "effect"))
    # one number by the way that a user would go: the proposed against the baseline that decides at the largest storage
    row = table.set_index("claim").loc["almost-lowest-at-most"]
    policy, parameter = row["where"].split()[2], "storage_gb" if "storage" in row["where"] else "gpu_memory_gb"
    assert policy in POLICIES and row["where"].startswith("proposed against")
    server = Scenario.named("delay", **{parameter: 180 if parameter == "storage_gb" else 18})
    runs = sweep({}, [policy, "ga"], 20, server, **QUIET).groupby("policy")["total_cost"].mean()
    assert abs(1 - runs["ga"] / runs[policy] - row["effect"]) < 0.05  # 20 replications of 20 or 40


def test_claims_in_markdown_are_a_table_with_as_many_rows(claims, as_before):
    code, out, err = command("claims", "--reading", "delay", "--format", "md")
    lines = out.splitlines()
    assert (code, err) == (0, "") and len(lines) == len(CLAIMS) + 2
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {5} and all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert cells[0] == ["claim", "section", "verdict", "evidence", "replications"] and set(cells[1]) == {"---"}
    for row, own in zip(cells[2:], as_before.to_dict("records"), strict=True):
        assert row[:3] == [own["claim"], own["section"], own["verdict"]] and row[4] == str(own["replications"])
        share = f"{abs(own['effect']):.{1 if own['replications'] else 0}%}"
        assert own["where"] in row[3] and share in row[3] and "nan" not in row[3]


def test_claims_as_a_table_have_the_same_columns(claims, as_before):
    code, out, _ = command("claims", "--reading", "delay")
    lines = out.splitlines()
    assert code == 0 and lines[0].split() == ["claim", "section", "verdict", "evidence", "replications"]
    assert [line.split()[0] for line in lines[1:]] == list(as_before["claim"])
    assert [line.split()[-1] for line in lines[1:]] == [str(n) for n in as_before["replications"]]


def test_claims_are_of_the_literal_reading_by_default(monkeypatch, claims):
    asked = []

    def recorded(scenario, reading, **_):
        asked.append((scenario, reading))
        return claims[1]

    monkeypatch.setattr(ledger, "play_ledger", recorded)
    for arguments, name in product([("--format", "json"), ("--format", "md")], ["", *NAMED]):
        assert command("claims", *arguments, *(["--reading", name] if name else []))[0] == 0
        assert asked[-1] == (Scenario.named(name or "literal"), name or "literal")
