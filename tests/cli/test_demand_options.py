"""The demand on the command line: a log in one line, words, published traces, and what was read on standard error."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
from support.logs import GENTD26, MOONCAKE, REAL, needs_real_log, write

from edgecache import Scenario, explain, load_catalogue, read_log, simulate, sweep
from edgecache.cli.main import main
from edgecache.workloads.logged import LoggedDemand

SERVICES = load_catalogue().services
HEAD = "when,service,status\n"
ROWS = "".join(
    f"2024-05-{1 + i // 40:02} {i // 2 % 24:02}:{i % 60:02}:00,{SERVICES[i * i % 7]},{'ok' if i % 9 else 'no'}\n"
    for i in range(400)
)
OPTIONS = ("--time", "when", "--where", "status=ok")


@pytest.fixture
def run(capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgecache", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def own(tmp_path):
    return write(tmp_path, "own.csv", HEAD + ROWS)


def test_a_log_is_one_line_and_says_what_was_read(run, own):
    code, out, err = run("simulate", "--trace", own, *OPTIONS, "--policies", "lru,lfu", "--format", "json")
    rows = json.loads(out)
    demand = LoggedDemand(read_log(own, time="when", where={"status": "ok"}))
    for row in rows:
        means = simulate(Scenario(), row["policy"], demand=demand).means()
        assert row["total_cost"] == pytest.approx(means["total_cost"]) and row["total_cost_low"] is None
    assert code == 0
    for part in (
        f"{own}: columns, a table of requests",
        "rows 400, requests 355; dropped: 45 whose status is not ok",
        "times: wall clock, first request 2024-05-01 ",
        "repeats of the same model",
        "models to the catalogue: by name",
        "the log is played once, as it is, so there is no interval: --blocks 1d or --map shuffled resamples it",
    ):
        assert part in err
    assert "requests stood behind a later one and were sorted by time" in err


def test_intervals_say_what_they_hold(run, own):
    arguments = ("simulate", "--trace", own, *OPTIONS, "--policies", "lru", "--format", "json", "--replications", "4")
    code, out, err = run(*arguments, "--blocks", "1d", "--map", "shuffled")
    row = json.loads(out)[0]
    assert code == 0 and row["total_cost_low"] < row["total_cost"] < row["total_cost_high"]
    assert "intervals hold: which days came (9 blocks of 86,400 s, drawn with replacement); which service each of the log's" in err
    assert "models is. They are the middle 95 % of the replications" in err
    demand = LoggedDemand(read_log(own, time="when", where={"status": "ok"}), block_s=86_400.0, map="shuffled")
    costs = sweep({}, ["lru"], 4, demand=demand, jobs=1)["total_cost"]
    assert [row["total_cost_low"], row["total_cost_high"]] == pytest.approx(np.quantile(costs, [0.025, 0.975]))
    code, out, err = run(*arguments)
    row = json.loads(out)[0]
    assert code == 0 and row["total_cost_low"] == row["total_cost_high"]
    assert "the log is the same in every replication: an interval holds the policies' own random numbers alone" in err


def test_the_shuffled_order_is_one_word(run, own):
    code, out, err = run("simulate", "--trace", own, *OPTIONS, "--order", "shuffled", "--policies", "lru", "--replications", "3")
    assert code == 0 and "intervals hold: in which order the models are requested (shuffled)" in err and len(out.splitlines()) == 2


def test_slots_of_time_or_of_requests(run, own):
    base = ("simulate", "--trace", own, *OPTIONS, "--policies", "lru", "--format", "json")
    log = read_log(own, time="when", where={"status": "ok"})
    for options, demand in (
        (("--slot", "1h"), LoggedDemand(log, slot_s=3600.0)),
        (("--slot-length", "3600"), LoggedDemand(log, slot_s=3600.0)),
        (("--requests-per-slot", "5"), LoggedDemand(log, requests_per_slot=5)),
        (("--set", "slot_length_s=30"), LoggedDemand(log, slot_s=30.0)),
    ):
        row = json.loads(run(*base, *options)[1])[0]
        assert row["total_cost"] == pytest.approx(simulate(Scenario(), "lru", demand=demand).means()["total_cost"])


def test_a_known_format_by_rank_and_by_a_table(run, tmp_path):
    path = write(tmp_path, "g.csv", GENTD26)
    code, out, err = run("simulate", "--trace", path, "--policies", "lru", "--format", "json")
    assert code == 0 and "gentd26" in err and "by rank, the most requested model first, in the catalogue's order" in err
    table = write(tmp_path, "map.csv", f"model,service\nM0,{SERVICES[9]}\nM1,{SERVICES[8]}\n")
    code, out, err = run("explain", "--trace", path, "--map", table, "--slot", "0", "--policy", "lru")
    assert code == 0 and f"Request 0 for {SERVICES[9]}, a miss." in out and "by the table" in err


def test_explain_is_that_of_the_log(run, own):
    code, out, _ = run("explain", "--trace", own, *OPTIONS, "--slot-length", "6h", "--slot", "2", "--policy", "lru")
    demand = LoggedDemand(read_log(own, time="when", where={"status": "ok"}), slot_s=6 * 3600.0)
    assert code == 0 and out == f"{explain(simulate(Scenario(), 'lru', demand=demand), 2)}\n"


def test_arrivals_alone_need_models(run, tmp_path):
    path = write(tmp_path, "m.jsonl", MOONCAKE)
    code, out, err = run("simulate", "--trace", path, "--policies", "lru")
    assert code == 2 and out == "" and "draw the models by Zipf: models='zipf' (--models zipf)" in err.splitlines()[-1]
    code, out, err = run("simulate", "--trace", path, "--policies", "lru", "--models", "zipf", "--replications", "3", "--zipf", "1")
    assert code == 0 and "intervals hold: which model each request asks for (drawn; the log names none)" in err


def test_words(run):
    code, out, err = run(
        "simulate", "--demand", "gamma:cv=4+locality", "--policies", "lru", "--replications", "3", "--format", "json"
    )
    table = sweep({}, ["lru"], 3, demand="gamma:cv=4+locality", jobs=1)
    assert (code, err) == (0, "") and json.loads(out)[0]["total_cost"] == pytest.approx(table["total_cost"].mean())
    code, out, err = run("simulate", "--demand", "gentd26", "--policies", "lru", "--replications", "2", "--format", "csv")
    assert code == 0 and len(pd.read_csv(io.StringIO(out))) == 1 and "intervals hold: when the twin's requests come" in err


def test_delays_as_a_distribution(run):
    _, out, _ = run("simulate", "--policies", "lru", "--replications", "4", "--slo", "10s", "--format", "json")
    row = json.loads(out)[0]
    table = sweep({}, ["lru"], 4, slo_s=10.0, jobs=1)
    for name in ("delay_p50_s", "delay_p95_s", "delay_p99_s", "within_slo"):
        assert row[name] == pytest.approx(table[name].mean())
    _, out, _ = run("simulate", "--policies", "lru", "--replications", "4", "--format", "json")
    assert "within_slo" not in out


BAD = [
    (("--trace", "none.csv"), "none.csv: No such file or directory"),
    (("--trace", "OWN", "--time", "wen"), "unknown column 'wen'; did you mean 'when'? Known: when, service, status"),
    (("--trace", "OWN", "--where", "status"), "--where is 'status'; it must be NAME=VALUE"),
    (("--trace", "OWN", *OPTIONS, "--slot", "1w"), "--slot-length is '1w'; it must be a number above zero with s, m, h or d"),
    (("--trace", "OWN", *OPTIONS, "--blocks", "30d"), "less than 2 blocks of 2,592,000 s; take shorter blocks"),
    (("--trace", "OWN", *OPTIONS, "--map", "names"), "map is 'names'; it must be rank, shuffled, name, or a CSV file"),
    (("--trace", "OWN", *OPTIONS, "--demand", "gamma"), "--trace and --demand gamma are both given; a run has one demand"),
    (("--trace", "OWN", *OPTIONS, "--arrival-rate", "2"), "--arrival-rate is given, but the demand 'log' has its own"),
    (("--trace", "OWN", *OPTIONS, "--set", "rate_basis=model"), "--set rate_basis is given, but the demand 'log' has its own"),
    (
        ("--trace", "OWN", *OPTIONS, "--slot", "60", "--set", "slot_length_s=30"),
        "--set slot_length_s is given, but the demand 'log'",
    ),
    (("--map", "rank"), "--map is an option of --trace; name a request log with --trace FILE"),
    (("--demand", "gama"), "unknown demand 'gama'; did you mean 'gamma'?"),
    (("--demand", "gentd26", "--slots", "50"), "--slots is given, but the demand 'gentd26' has its own"),
    (("--slo", "0"), "--slo is '0'; it must be a number above zero"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_bad_input_is_one_sentence_and_code_2(run, own, options, message):
    code, out, err = run("simulate", "--policies", "lru", *(own if option == "OWN" else option for option in options))
    last = err.splitlines()[-1]
    assert (code, out) == (2, "") and last.startswith("edgecache: ") and message in last


# ---- edgecache traces


def test_traces_are_listed_with_what_is_on_disk(run, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECACHE_TRACES", str(tmp_path))
    code, out, err = run("traces")
    assert (code, err) == (0, "") and out.startswith(f"Folder: {tmp_path}")
    assert "\ngentd26 (not on disk; names the models)\n" in out and "cite: " in out and "licence: CC-BY 4.0" in out
    (tmp_path / "lora_request_trace.csv").write_text(GENTD26)
    assert "\ngentd26 (on disk; names the models)\n" in run("traces")[1]
    code, out, err = run("simulate", "--trace", "gentd26", "--policies", "lru")
    assert code == 0 and "requests 3; dropped" in err
    code, out, err = run("traces", "gentd26")
    assert code == 2 and "does not have the sha256 of gentd26" in err
    code, out, err = run("traces", "azure-functions-2021")
    assert code == 2 and "is fetched by hand from https://" in err


@needs_real_log
def test_the_real_log_in_one_line(run):
    code, out, err = run("simulate", "--trace", REAL, "--policies", "lru,lfu,clairvoyant", "--format", "csv", "--slo", "10s")
    table = pd.read_csv(io.StringIO(out)).set_index("policy")
    assert code == 0 and "rows 26,823, requests 26,392" in err and "3,332 requests for 69 models beyond" in err
    assert table["total_cost"].idxmin() == "clairvoyant" and table["within_slo"].between(0.4, 0.9).all()
