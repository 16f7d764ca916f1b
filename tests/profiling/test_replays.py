"""The replay: it does what the simulator says, and measures what it cost; on fake networks whose times are exactly known."""

import io
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from numpy.testing import assert_allclose
from support import fake_backend
from support.fake_backend import (
    FOUR,
    GROWN,
    NETWORKS,
    PLAN,
    FakeBackend,
    count,
    forget,
    interrupted_at,
    logged,
    measure,
    names,
    one_sentence,
)  # fmt: skip

from edgecache import InputError, Scenario, load_catalogue, poisson_trace, simulate
from edgecache.catalogue import SHIPPED
from edgecache.demand import random_stream
from edgecache.figures import profiling
from edgecache.files import Journal
from edgecache.profiling.comparisons import compare, format_comparison
from edgecache.profiling.profile_files import companion
from edgecache.profiling.replays import proportionate, replay

POLICIES = ["lru", "ga", "optimal-online"]
# first executions take as long as later ones: then nothing is left that the simulator does not know
STEADY = {
    "a": (1_000, 30_000, 0.5, 0.125, 0.125),
    "b": (2_000, 50_000, 1.0, 0.25, 0.25),
    "c": (4_000, 70_000, 2.0, 0.5, 0.5),
    "d": (3_000, 40_000, 0.75, 1.0, 1.0),
}
TIGHT = {"gpu_memory_gb": 120_000 / 1e9, "bandwidth_gbps": 1e-5, "slots": 40}  # a link on which 1 kB takes 0.8 s


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of a profile of the steady networks."""
    with pytest.MonkeyPatch.context() as patch:
        return profiled(patch, tmp_path_factory.mktemp("steady"), STEADY)


@pytest.fixture
def steady(monkeypatch, tmp_path, written):
    """A folder with a copy of them."""
    fake_backend.install(monkeypatch, tmp_path / "log")
    return Path(shutil.copytree(written, tmp_path / "here"))


def profiled(monkeypatch, tmp_path, networks):
    fake_backend.install(monkeypatch, tmp_path / "log")
    folder = tmp_path / "here"
    folder.mkdir()
    measure(folder, FakeBackend(networks))
    forget()
    return folder


def server(folder, **changes):
    return proportionate(folder / "mine.csv", **(TIGHT | changes))


# ---- the default server


def test_the_default_server_by_hand(steady):
    scenario = proportionate(steady / "mine.csv")
    # as the paper's 120 of the 142.14 GB that the shipped catalogue needs, and 12 of 26.8 GB of GPU memory; but the largest fits
    assert scenario.storage_gb == pytest.approx(120 / 142.14 * 10_000 / 1e9)
    assert scenario.gpu_memory_gb == pytest.approx(12 / 26.8 * 190_000 / 1e9) and scenario.slots == 30
    assert scenario == Scenario(
        load_catalogue(steady / "mine.csv"), storage_gb=scenario.storage_gb, gpu_memory_gb=scenario.gpu_memory_gb, slots=30
    )
    shipped = load_catalogue()
    assert shipped.size_gb.sum() == pytest.approx(142.14) and shipped.gpu_memory_gb.sum() == pytest.approx(26.8)
    changed = proportionate(steady / "mine.csv", gpu_memory_gb=1.0, slots=3, w2=0.5)
    assert (changed.gpu_memory_gb, changed.slots, changed.w2, changed.storage_gb) == (1.0, 3, 0.5, scenario.storage_gb)


def test_the_default_server_holds_the_largest_network(monkeypatch, tmp_path):
    one = {"only": (7_000, 30_000, 0.5, 0.125, 0.125), "tiny": (10, 10, 0.5, 0.125, 0.125)}
    scenario = proportionate(profiled(monkeypatch, tmp_path, one) / "mine.csv")
    assert (scenario.storage_gb, scenario.gpu_memory_gb) == (7_000 / 1e9, 30_000 / 1e9) and scenario.fits_empty_server.all()


# ---- what is done, and what it takes


def test_where_times_are_as_profiled_the_prediction_is_exact(steady):
    table = replay(steady / "mine.csv", POLICIES, server(steady))
    assert_allclose(table["measured_s"], table["predicted_s"], rtol=1e-9)
    assert_allclose(table["load_s"], table["load_predicted_s"])
    assert_allclose(table["run_s"], table["run_predicted_s"])
    assert_allclose(table["memory_bytes"], table["memory_predicted_bytes"])
    assert (table["memory_bytes"] <= table["budget_bytes"] * (1 + 1e-9)).all() and (table["budget_bytes"] == 120_000).all()
    summary = compare(table)
    assert_allclose(summary[["error", "from_loads", "from_runs", "typical_error", "memory_error"]], 0, atol=1e-9)
    for row in summary.itertuples():
        means = simulate(server(steady), row.policy).means()
        assert row.measured_s == pytest.approx(means["service_delay_s"]) and row.hit_ratio == pytest.approx(means["hit_ratio"])
        assert row.requests == means["requests"]
    fetched = table["outcome"] == "fetched"
    sizes = table["service"].map({service: size for service, (size, *_) in STEADY.items()})
    assert_allclose(table["transmission_s"], np.where(fetched, 8 * sizes / 1e9 / 1e-5, 0))
    assert_allclose(table["measured_s"], table["transmission_s"] + table["load_s"] + table["run_s"])
    assert set(table.loc[fetched, "cold"]) == {"yes"} and set(table.loc[~fetched, "cold"]) == {""}
    assert table["policy"].nunique() == 3 and 0 < (~fetched).mean() < 1


def test_networks_are_loaded_and_unloaded_as_the_simulator_says(steady):
    scenario = server(steady)
    replay(steady / "mine.csv", POLICIES, scenario)
    done = pd.DataFrame(logged(), columns=["process", "step", "service"])
    builds, done = done[done["step"] == "build"], done[~done["step"].isin(["describe", "build", "prepare"])]
    assert sorted(builds["service"]) == sorted(STEADY), "once for all policies"
    assert done["process"].nunique() == 3, "each policy has a process of its own"
    for policy, (_, own) in zip(POLICIES, done.groupby("process", sort=False), strict=True):
        expected, held, evictions = [], set(), 0
        for event in simulate(scenario, policy).events.itertuples():
            gone = [name for name in event.evicted.split("; ") if name]
            expected += [("close", name) for name in gone]
            expected += [] if event.hit else [("load", event.model)]
            expected += [("infer", event.model)]
            held = (held - set(gone)) | {event.model}
            evictions += len(gone)
            assert sum(STEADY[name][1] for name in held) <= 120_000
        assert list(zip(own["step"], own["service"], strict=True)) == expected and evictions > 3
        loaded = set()
        for _, step, service in own.itertuples(index=False):
            assert (service in loaded) == (step != "load"), "nothing is loaded twice, run or unloaded without being loaded"
            loaded = loaded | {service} if step == "load" else loaded - {service} if step == "close" else loaded
        assert loaded == held


def test_all_policies_face_the_trace_of_the_seed(steady):
    scenario = server(steady)
    table = replay(steady / "mine.csv", POLICIES, scenario, seed=5)
    trace = poisson_trace(scenario, random_stream(5, 0, 0))
    assert list(dict.fromkeys(table["policy"])) == POLICIES
    for _, own in table.groupby("policy"):
        assert list(own["service"]) == [scenario.catalogue.services[model] for model in trace.model]
        assert list(own["slot"]) == list(trace.slot) and list(own["request"]) == list(range(len(trace)))
    other = replay(steady / "mine.csv", ["lru"], scenario, seed=6)
    assert list(other["service"]) != list(own["service"])


def test_the_policy_of_a_row_is_the_one_that_was_asked_for(steady):
    table = replay(steady / "mine.csv", ["fifo"], server(steady))
    events = simulate(server(steady), "fifo").events
    assert list(table["evicted"]) == list(events["evicted"]) and set(table["policy"]) == {"fifo"}
    assert list(table["outcome"] == "hit") == list(events["hit"])
    assert_allclose(table["predicted_s"], events["delay_s"])


def test_a_longer_first_execution_is_told_as_an_error_of_runs(monkeypatch, tmp_path):
    folder = profiled(monkeypatch, tmp_path, NETWORKS)  # the first takes twice as long as the later ones
    table = replay(folder / "mine.csv", ["lru"], proportionate(folder / "mine.csv", gpu_memory_gb=0.00021))
    fetched, later = table["outcome"] == "fetched", table["service"].map({name: row[-1] for name, row in NETWORKS.items()})
    assert_allclose(table["run_s"], later * (1 + fetched))
    assert_allclose(table["measured_s"] - table["predicted_s"], later * fetched)
    row = compare(table).iloc[0]
    assert row["from_loads"] == pytest.approx(0, abs=1e-9)
    assert row["from_runs"] == pytest.approx(row["error"])
    assert row["error"] == pytest.approx((later * fetched).sum() / table["predicted_s"].sum())


def test_on_a_gpu_its_memory_is_what_the_networks_take(monkeypatch, tmp_path):
    fake_backend.install(monkeypatch, tmp_path / "log")
    (tmp_path / "here").mkdir()
    measure(tmp_path / "here", FakeBackend(STEADY, device="cuda"))
    table = replay(tmp_path / "here/mine.csv", ["lru"], proportionate(tmp_path / "here/mine.csv", gpu_memory_gb=0.0012))
    assert_allclose(table["memory_bytes"], table["memory_predicted_bytes"])


def test_each_process_is_made_ready_before_it_loads(steady):
    """What it must do once, such as to import ONNX Runtime, would else be part of the first load's time and memory."""
    replay(steady / "mine.csv", ["lru", "fifo"], server(steady))
    ready = {process for process, step, _ in logged() if step == "describe"}
    loading = {process for process, step, _ in logged() if step == "load"}
    assert len(loading) == 2 and loading < ready, "each policy has its own, and one more built the networks"


def test_networks_that_are_not_asked_for_are_not_built(steady):
    scenario = server(steady, slots=3)
    table = replay(steady / "mine.csv", ["lru"], scenario)
    assert {service for _, step, service in logged() if step == "build"} == set(table["service"]) < set(STEADY)


def test_nothing_is_left_of_the_networks_whatever_happens(steady, tmp_path):
    replay(steady / "mine.csv", ["lru"], server(steady))
    assert names(steady) == FOUR
    with interrupted_at(12), pytest.raises(KeyboardInterrupt):
        replay(steady / "mine.csv", ["lru"], server(steady))
    assert names(steady) == FOUR
    PLAN["infer", "a", -1] = "kill"
    with pytest.raises(InputError, match="killed in infer of the network of 'a': most likely memory ran out"):
        replay(steady / "mine.csv", ["lru"], server(steady))
    assert names(steady) == FOUR
    PLAN.clear()
    replay(steady / "mine.csv", ["lru"], server(steady), networks=tmp_path / "kept")
    assert names(steady) == FOUR and names(tmp_path / "kept") == [f"{name}.bin" for name in sorted(STEADY)]


def test_a_replay_leaves_the_networks_of_a_run_on_the_same_file_alone(steady):
    """The temporary folder that `profile` fills while it measures anew is not the replay's to remove."""
    theirs = steady / f".mine-networks-{os.getppid()}.tmp"
    theirs.mkdir()
    (theirs / "a.bin").write_bytes(b"of the other run")
    with Journal(companion(steady / "mine.csv", "journal"), pytest.fail):
        replay(steady / "mine.csv", ["lru"], server(steady))
        assert theirs.exists() and (theirs / "a.bin").read_bytes() == b"of the other run"


# ---- what is refused


def test_a_network_of_another_size_than_was_measured_is_refused(steady):
    GROWN["c"] = 3
    with pytest.raises(InputError, match="the network of 'c' has 4003 bytes, but 4000 were measured: profile it again"):
        replay(steady / "mine.csv", ["lru"], server(steady))
    assert not count("load") and names(steady) == FOUR


def test_a_network_that_fits_no_server_is_refused(steady):
    with pytest.raises(InputError, match="the server cannot hold 'c' at all"):
        replay(steady / "mine.csv", ["lru"], server(steady, gpu_memory_gb=60_000 / 1e9))
    assert names(steady) == FOUR
    assert not count("load"), "the simulator knows it before anything is loaded"


def test_ones_own_models_must_be_named(monkeypatch, tmp_path):
    fake_backend.install(monkeypatch, tmp_path / "log")
    folder = tmp_path / "here"
    folder.mkdir()
    own = {name: str(tmp_path / f"{name}.onnx") for name in ("mine", "yours")}
    for file in own.values():
        with open(file, "wb") as opened:
            opened.write(b"x" * 100)
    measure(folder, FakeBackend(models=own))
    with pytest.raises(InputError, match="name the file of 'mine': --model mine=FILE"):
        replay(folder / "mine.csv", ["lru"])
    with pytest.raises(InputError, match="name the file of 'yours': --model yours=FILE"):
        replay(folder / "mine.csv", ["lru"], models={"mine": own["mine"]})
    table = replay(folder / "mine.csv", ["lru"], models=own)
    assert set(table["service"]) == {"mine", "yours"} and names(folder) == FOUR
    with open(own["yours"], "ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="'yours' has 104 bytes, but 100 were measured"):
        replay(folder / "mine.csv", ["lru"], models=own)


def test_the_catalogue_of_a_stopped_profile_can_be_replayed(monkeypatch, tmp_path):
    fake_backend.install(monkeypatch, tmp_path / "log")
    folder = tmp_path / "here"
    folder.mkdir()
    PLAN["load", "c", 0] = "input"
    with pytest.raises(InputError):
        measure(folder, FakeBackend(STEADY))
    table = replay(folder / "mine.partial.csv", ["lru"], proportionate(folder / "mine.partial.csv"))
    assert set(table["service"]) <= {"a", "b", "d"}
    assert_allclose(table["measured_s"], table["predicted_s"])
    assert "mine.csv" not in names(folder)


# ---- the command


def test_the_command_prints_the_comparison_and_writes_a_row_a_request(steady, run):
    code, out, err = run("replay", steady / "mine.csv", "--gpu-memory", "0.00012", "--slots", "12", "--seed", "3")
    assert (code, err) == (0, "")
    written = pd.read_csv(steady / "mine-replay.csv", keep_default_na=False)
    scenario = proportionate(steady / "mine.csv", gpu_memory_gb=0.00012, slots=12)
    expected = replay(steady / "mine.csv", POLICIES, scenario, seed=3)
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-5)
    assert out == f"{format_comparison(compare(pd.read_csv(steady / 'mine-replay.csv')))}\n"
    lines = pd.read_csv(io.StringIO(out), sep=r"\s{2,}", engine="python")
    assert len(lines) == 3 and names(steady) == sorted([*FOUR, "mine-replay.csv"])
    assert str(steady) not in (steady / "mine-replay.csv").read_text()


def test_the_command_takes_a_reading_and_settings(steady, run):
    arguments = ["--policies", "fifo, optimal-online", "--reading", "delay", "--set", "bandwidth_gbps=1e-5", "--slots", "20"]
    code, _, err = run("replay", steady / "mine.csv", *arguments)
    assert (code, err) == (0, "")
    table = pd.read_csv(steady / "mine-replay.csv", keep_default_na=False)
    scenario = proportionate(steady / "mine.csv", slots=20, bandwidth_gbps=1e-5).vary(reading="delay")
    for policy in ("fifo", "optimal-online"):
        events = simulate(scenario, policy).events
        own = table[table["policy"] == policy]
        assert list(own["evicted"]) == list(events["evicted"])
        assert_allclose(own["predicted_s"], events["delay_s"], rtol=1e-5)


BAD = [
    (["none.csv"], ["none.csv", "No such file"]),
    (["mine.csv", "--policies", "lru,optimal"], ["unknown policy 'optimal'"]),
    (["mine.csv", "--policies", ""], ["unknown policy ''"]),
    (["mine.csv", "--policies", "lru,lru"], ["each once"]),
    (["mine.csv", "--slots", "0"], ["slots is 0", "at least 1"]),
    (["mine.csv", "--gpu-memory", "-1"], ["gpu_memory_gb is -1", "above zero"]),
    (["mine.csv", "--gpu-memory", "nan"], ["gpu_memory_gb is nan"]),
    (["mine.csv", "--gpu-memory", "1e-9"], ["no model of the catalogue fits"]),
    (["mine.csv", "--gpu-memory", "0.00006"], ["the server cannot hold 'c' at all"]),
    (["mine.csv", "--storage", "0.0000035"], ["the server cannot hold 'c' at all"]),
    (["mine.csv", "--seed", "-1"], ["-1", "at least 0"]),
    (["mine.csv", "--reading", "closer"], ["unknown reading 'closer'", "did you mean 'closest'"]),
    (["mine.csv", "--set", "w2"], ["--set is 'w2'", "NAME=VALUE"]),
    (["mine.csv", "--set", "w3=1"], ["unknown parameter 'w3'"]),
    (["mine.csv", "--set", "slots=3"], ["--set is 'slots=3'", "--slots"]),
    (["mine.csv", "--set", "w1=1", "--set", "w1=2"], ["w1 is set twice"]),
    (["mine.csv", "--set", "arrival_rate=1e-9"], ["request"]),
    (["mine.csv", "--model", "a"], ["--model is 'a'", "NAME=VALUE"]),
    (["mine.csv", "--networks", "mine.csv"], ["mine.csv", "File exists"]),
    (["mine.csv", "mine.csv"], ["mine.csv"]),
]


@pytest.mark.parametrize(("arguments", "parts"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_options_are_one_sentence_and_exit_code_2(steady, run, monkeypatch, arguments, parts):
    monkeypatch.chdir(steady)
    before = {name: (steady / name).read_bytes() for name in FOUR}
    code, out, err = run("replay", *arguments)
    assert code == 2 and out == ""
    one_sentence(err, *parts)
    assert {name: (steady / name).read_bytes() for name in names(steady)} == before, "something was written"


def test_the_shipped_catalogue_is_no_profile(run):
    code, out, err = run("replay", SHIPPED)
    assert (code, out) == (2, "")
    one_sentence(err, "is no measured profile")


def test_a_replay_that_fails_leaves_the_older_table(steady, run):
    (steady / "mine-replay.csv").write_text("old")
    PLAN["infer", "a", -1] = "input"
    code, _, err = run("replay", steady / "mine.csv")
    assert code == 2
    one_sentence(err, "is no good")
    kept = [*FOUR, "mine-replay.csv", "mine-replay.partial.csv"]
    assert (steady / "mine-replay.csv").read_text() == "old" and names(steady) == sorted(kept)
    done = len(pd.read_csv(steady / "mine-replay.partial.csv"))
    assert 0 < done == count("infer") - 1, "what was finished before the failure"
    PLAN.clear()
    code, _, _ = run("replay", steady / "mine.csv")
    assert code == 0 and names(steady) == sorted([*FOUR, "mine-replay.csv"]), "nothing partial is left of an older one"


def test_a_profile_of_another_machine_is_not_replayed(steady):
    about = json.loads((steady / "mine-machine.json").read_text())
    about["machine"]["cores"] = 128
    (steady / "mine-machine.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="of another machine: its cores is 128, here it is"):
        replay(steady / "mine.csv", ["lru"])
    assert not count("load")


def test_measuring_anew_takes_the_older_catalogues_replay_away(monkeypatch, tmp_path):
    fake_backend.install(monkeypatch, tmp_path / "log")
    (tmp_path / "here").mkdir()
    measure(tmp_path / "here")
    (tmp_path / "here/mine-replay.csv").write_text("of the older catalogue")
    measure(tmp_path / "here")
    assert names(tmp_path / "here") == FOUR


# ---- the comparison


def by_hand():
    """Two requests of each of two policies."""
    columns = {
        "policy": ["lru", "ga", "lru", "ga"],
        "outcome": ["fetched", "fetched", "hit", "fetched"],
        "transmission_s": [1.0, 1.0, 0.0, 3.0],
        "load_predicted_s": [2.0, 2.0, 0.0, 4.0],
        "load_s": [3.0, 2.0, 0.0, 3.0],
        "run_predicted_s": [1.0, 1.0, 1.0, 1.0],
        "run_s": [1.5, 1.0, 0.5, 1.0],
        "memory_bytes": [3e9, 1e9, 2e9, 4e9],
        "memory_predicted_bytes": [2e9, 1e9, 2.5e9, 5e9],
        "budget_bytes": [6e9] * 4,
    }
    table = pd.DataFrame(columns)
    table["predicted_s"] = table["transmission_s"] + table["load_predicted_s"] + table["run_predicted_s"]
    table["measured_s"] = table["transmission_s"] + table["load_s"] + table["run_s"]
    return table


def test_the_comparison_by_hand():
    found = compare(by_hand()).set_index("policy")
    assert list(found.index) == ["lru", "ga"]
    lru, ga = found.loc["lru"], found.loc["ga"]
    # lru: predicted 4 and 1 s, measured 5.5 and 0.5 s; ga: predicted 4 and 8 s, measured 4 and 7 s
    expected = {
        "requests": (2, 2), "hit_ratio": (0.5, 0), "predicted_s": (2.5, 6), "measured_s": (3, 5.5), "error": (0.2, -1 / 12),
        "from_loads": (0.2, -1 / 12), "from_runs": (0, 0),
        "pace": (0.5, 0.5), "error_at_pace": (3 / 1.5 - 1, 5.5 / 4 - 1), "typical_error": ((0.375 + 0.5) / 2, 1 / 16),
        "memory_gb": (3, 4), "of_budget": (0.5, 4 / 6), "memory_error": (0.2, -0.2),
    }  # fmt: skip
    for column, (of_lru, of_ga) in expected.items():
        assert (lru[column], ga[column]) == pytest.approx((of_lru, of_ga)), column
    text = format_comparison(compare(by_hand()))
    line = next(line for line in text.splitlines() if line.split()[0] == "ga")
    assert " ".join(line.split()) == "ga 2 0.0% 6.000 s 5.500 s -8.3% -8.3% +0.0% 0.50 +37.5% 4.000 GB 67%"


def test_what_a_slower_machine_makes_of_the_error_is_told_apart():
    table = by_hand()
    table["run_s"], table["load_s"] = 1.5 * table["run_predicted_s"], 1.5 * table["load_predicted_s"]
    table["measured_s"] = table["transmission_s"] + table["load_s"] + table["run_s"]
    found = compare(table)
    assert_allclose(found["pace"], 1.5)
    assert_allclose(found["error_at_pace"], 0, atol=1e-12)
    assert_allclose(found["error"], [0.5 * 4 / 5, 0.5 * 8 / 12])  # of all but the transmission, 1 and 4 s


def test_policies_take_turns_but_on_a_gpu(steady, monkeypatch):
    """What disturbs the machine for a while then disturbs them alike; a GPU's memory may not hold the networks of all at once."""

    def turns():
        runs = [process for process, step, _ in logged() if step == "infer"]
        return sum(process != after for process, after in itertools.pairwise(runs)), len(runs)

    replay(steady / "mine.csv", ["lru", "fifo"], server(steady))
    changes, runs = turns()
    assert changes == runs - 1
    forget()
    about = json.loads((steady / "mine-machine.json").read_text())
    about["backend"] |= {"device": "cuda", "device_name": "Fake GPU"}
    (steady / "mine-machine.json").write_text(json.dumps(about))
    replay(steady / "mine.csv", ["lru", "fifo"], server(steady))
    changes, runs = turns()
    assert changes == 1 and runs > 20


def test_the_parts_of_the_error_add_up_to_it():
    rng = np.random.default_rng(0)
    table = pd.concat([by_hand()] * 20, ignore_index=True)
    for column in ("load_s", "run_s"):
        table[column] *= np.exp(0.3 * rng.standard_normal(len(table)))
    table["measured_s"] = table["transmission_s"] + table["load_s"] + table["run_s"]
    found = compare(table)
    assert_allclose(found["from_loads"] + found["from_runs"], found["error"], atol=1e-12)
    assert (found["error"].abs() > 0.01).all()


def test_the_figure_of_a_replay_says_what_the_table_says():
    table = by_hand()
    figure = profiling.replay(table, compare(table), "of two requests")
    bars, dots = figure.axes
    assert [text.get_text() for text in bars.texts] == ["+20.0%", "-8.3%"] and figure.get_supxlabel() == "of two requests"
    heights = np.array([patch.get_height() for patch in bars.patches]).reshape(2, 3, 2)  # predicted and measured, by phase
    assert_allclose(heights.sum(axis=1), [[2.5, 6], [3, 5.5]])
    assert_allclose(heights[0], [[0.5, 2], [1, 3], [1, 1]])
    points = {tuple(place) for offsets in dots.collections for place in offsets.get_offsets()}
    assert points == {(4, 5.5), (1, 0.5), (4, 4), (8, 7)} and dots.get_xlim() == dots.get_ylim()
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("name", ["mine-replay.csv", "mine-replay.partial.csv"])
def test_a_symbolic_link_is_not_replaced(steady, run, name):
    (steady / name).symlink_to(steady / "mine.csv")
    before = (steady / "mine.csv").read_bytes()
    code, out, err = run("replay", steady / "mine.csv")
    assert (code, out) == (2, "") and not logged()
    one_sentence(err, f"{steady / name} is a symbolic link")
    assert (steady / name).is_symlink() and (steady / "mine.csv").read_bytes() == before
