"""The procedure: what is measured in which order, what an interrupt leaves, how it fails; on fake networks, and some real ones."""

import json
import multiprocessing
import os
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper
from pandas.testing import assert_frame_equal
from support import fake_backend
from support.fake_backend import (
    FOUR,
    GROWN,
    NETWORKS,
    NOW,
    PLAN,
    WARM,
    FakeBackend,
    WatchedBackend,
    count,
    forget,
    interrupted_at,
    logged,
    measure,
    names,
    one_sentence,
)  # fmt: skip

from edgecache import InputError, Scenario, load_catalogue, simulate
from edgecache.cli.main import main
from edgecache.profiling import measurement, read_profile, worker
from edgecache.profiling.replays import proportionate, replay

KEPT = ["mine-journal", *(name.replace("mine", "mine.partial", 1) for name in FOUR)]
CALLS = 1 + 3 + 9 * 5  # of the process in a quick run: describe, build, and load, three executions, unload of nine cycles
FORKS = multiprocessing.get_context("fork")


def about(folder, name="mine"):
    return json.loads((folder / f"{name}-machine.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


# ---- what is measured, and in which order


def test_every_cycle_has_every_service_once_in_an_order_of_its_own(fake):
    measure(fake, preset="standard")
    loads = [service for _, step, service in logged() if step == "load"]
    orders = [tuple(loads[begin : begin + 3]) for begin in range(0, len(loads), 3)]
    assert len(orders) == 10 and all(sorted(order) == sorted(NETWORKS) for order in orders)
    assert len(set(orders)) >= 3 and len({order[0] for order in orders}) == 3
    forget()
    measure(fake, preset="standard")
    assert loads == [service for _, step, service in logged() if step == "load"], "the orders are the same at every run"


def test_a_network_is_alone_in_memory_and_goes_through_its_phases(fake):
    measure(fake)
    done = [(step, service.split(":")[0]) for _, step, service in logged() if step not in ("describe", "build")]
    size = len(("load", "prepare", "infer", "infer", "infer", "close"))
    for begin in range(0, len(done), size):
        cycle = done[begin : begin + size]
        assert [step for step, _ in cycle] == ["load", "prepare", "infer", "infer", "infer", "close"]
        assert len({service for _, service in cycle}) == 1
    assert len(done) == 9 * size and count("build") == 3
    seeds = Counter(service for _, step, service in logged() if step == "prepare")
    assert seeds == {f"{service}:{cycle}": 1 for service in NETWORKS for cycle in range(3)}, "each cycle has inputs of its own"
    assert len({process for process, *_ in logged()}) == 1


@pytest.mark.parametrize(("preset", "cycles", "executions"), [("quick", 3, 3), ("standard", 10, 5), ("paper", 30, 10)])
def test_the_presets_and_their_rows(fake, preset, cycles, executions):
    services = ["middle", "small"] if preset == "paper" else None
    profile = measure(fake, preset=preset, services=services)
    services = services or list(NETWORKS)
    records = pd.read_csv(fake / "mine-records.csv")
    assert_frame_equal(records, profile.records)
    assert profile.services == services and len(records) == len(services) * cycles * (executions + 2)
    expected = [("load", 0), ("first", 0), *(("infer", run) for run in range(1, executions)), ("unload", executions - 1)]
    for (_, _), own in records.groupby(["service", "cycle"]):
        assert list(zip(own["phase"], own["execution"], strict=True)) == expected
    assert sorted(records["cycle"].unique()) == list(range(cycles))
    found = about(fake)
    assert (found["preset"], found["cycles"], found["executions"]) == (preset, cycles, executions)
    assert (found["complete"], found["missing"]) == (True, {}) and names(fake) == FOUR


def test_what_is_measured_is_what_the_networks_took(fake):
    profile = measure(fake)
    for service, (size, memory, load, first, infer) in NETWORKS.items():
        own = profile.records[profile.records["service"] == service].set_index("phase")
        for phase, seconds in (("load", load), ("first", first), ("infer", infer), ("unload", 0.0625)):
            assert (own.loc[phase, "wall_s"] == seconds).all() and (own.loc[phase, "cpu_s"] == seconds / 2).all()
        assert (own.loc["load", "read_bytes"] == size).all() and (own.loc["load", "cold"] == "yes").all()
        assert (own.loc[["load", "first", "infer"], "resident_bytes"] == memory).all()
        assert (own.loc["first", "anonymous_bytes"] == memory / 2).all()
        assert (own.loc["unload", "resident_bytes"] == 0).all() and own["gpu_memory_bytes"].isna().all()
        assert own["energy_j"].isna().all() and (own["no_energy"] == "no counter").all()
    catalogue = load_catalogue(fake / "mine.csv")
    assert catalogue.services == tuple(NETWORKS)
    for column, values in zip(("size_gb", "gpu_memory_gb", "io_delay_s"), zip(*NETWORKS.values(), strict=True), strict=False):
        assert_allclose(getattr(catalogue, column), np.array(values) / (1e9 if column.endswith("gb") else 1))
    assert_allclose(catalogue.inference_delay_s, [infer for *_, infer in NETWORKS.values()])
    network = about(fake)["networks"][0]
    assert network == {
        "service": "small", "model": "a small one", "parameters": 250, "weights": "random", "repository": "", "named": "Named",
        "named_parameters": 1000, "steps": 1, "share": 0.25, "size_bytes": 1000,
    }  # fmt: skip


def test_loads_from_the_page_cache_are_not_called_cold(fake):
    WARM.update({("small", 1), ("large", 0), ("large", 1), ("large", 2)})
    records = measure(fake).records
    loads = records[records["phase"] == "load"].pivot(index="service", columns="cycle", values="cold")
    assert list(loads.loc["small"]) == ["yes", "unknown", "yes"]
    assert set(loads.loc["large"]) == {"unknown"} and set(loads.loc["middle"]) == {"yes"}
    assert sorted(records.loc[records["cold"] == "unknown", "cached_before"]) == [1.0] * 4


def test_energy_is_measured_where_there_is_a_counter(fake):
    NOW.watts = 40.0
    profile = measure(fake)
    assert_allclose(profile.records["energy_j"], 40 * profile.records["wall_s"], rtol=1e-5)
    assert_allclose(load_catalogue(fake / "mine.csv").power_kw, 0.04, rtol=1e-5)
    assert set(pd.read_csv(fake / "mine.csv")["power_kw_status"]) == {"measured"}
    assert about(fake)["backend"]["energy"] == "fake" and profile.records["no_energy"].isna().all()


def test_of_a_tdp_an_estimate_is_made_in_a_column_of_its_own(fake):
    profile = measure(fake, tdp_w=65.0)
    cores = os.cpu_count()
    assert_allclose(profile.records["energy_estimate_j"], 65 * profile.records["cpu_s"] / cores, rtol=1e-5)
    assert profile.records["energy_j"].isna().all()
    table = pd.read_csv(fake / "mine.csv")
    assert_allclose(table["power_kw"], 65 / 2 / cores / 1000, rtol=1e-5)  # its processor is busy half of the time
    assert set(table["power_kw_status"]) == {"estimated"} and about(fake)["tdp_w"] == 65.0


def test_on_a_gpu_its_memory_counts(fake):
    profile = measure(fake, FakeBackend(device="cuda"))
    assert_allclose(load_catalogue(fake / "mine.csv").gpu_memory_gb, [4e-4, 8e-4, 1.2e-3])
    assert profile.load_label.startswith("load: disk to GPU memory") and "Fake GPU" in profile.report()


def test_a_busy_machine_is_told(fake, monkeypatch):
    messages = []
    measure(fake, messages=messages)
    assert messages == []
    monkeypatch.setattr(measurement.machine, "load1", lambda: 3.0 * os.cpu_count())
    measure(fake, messages=messages)
    assert len(messages) == 1 and "busy, 3.0 processes per core" in messages[0]


# ---- stopped, and going on


def check_partial(folder, finished):
    """What a stopped run left: `finished` cycles of services in the journal and, where there are any, in OUT.partial.csv."""
    journal = (folder / "mine-journal").read_bytes().splitlines() if (folder / "mine-journal").exists() else []
    assert len(journal) == finished
    if not finished:
        assert set(names(folder)) <= {"mine-journal"}
        return
    assert names(folder) == KEPT
    found = about(folder, "mine.partial")
    profile = read_profile(folder / "mine.partial.csv")
    done = profile.records.groupby("service")["cycle"].nunique()
    assert done.sum() == finished and found["complete"] is False
    assert set(found["missing"]) == {service for service in NETWORKS if done.get(service, 0) < 3}
    largest = load_catalogue(folder / "mine.partial.csv")
    server = {"storage_gb": largest.size_gb.max(), "gpu_memory_gb": largest.gpu_memory_gb.max()}
    assert len(simulate(Scenario(largest, **server), "ga").trace) > 0


def content(folder):
    """What a finished run wrote, without the times of day."""
    tables = {file.name: pd.read_csv(file) for file in folder.glob("*.csv")}
    return {name: table.drop(columns="at", errors="ignore") for name, table in tables.items()}, about(folder)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        fake_backend.install(patch, folder / "log")
        (folder / "here").mkdir()
        measure(folder / "here")
    return content(folder / "here")


# in describe, in a build, in the first load, when a cycle is finished, in the midst, in the last call
@pytest.mark.parametrize("call", [1, 3, 5, 10, 12, 26, CALLS])
def test_an_interrupt_keeps_finished_cycles_and_the_same_command_measures_the_others(fake, uninterrupted, call):
    messages = []
    with interrupted_at(call), pytest.raises(KeyboardInterrupt):
        measure(fake, messages=messages)
    finished = max(call - 5, 0) // 5
    check_partial(fake, finished)
    if finished:
        assert set(about(fake, "mine.partial")["missing"].values()) == {"interrupted"}
        assert messages == [f"the finished cycles are in {fake / 'mine.partial.csv'}; the same command continues from there"]
    forget()
    messages.clear()
    with interrupted_at(0) as calls:
        measure(fake, messages=messages)
    assert count("load") == count("close") == 9 - finished and len(calls) == CALLS - 5 * finished
    assert messages == ([f"continuing an interrupted run: {finished} of 9 cycles are there"] if finished else [])
    assert names(fake) == FOUR
    (tables, found), (expected, whole) = content(fake), uninterrupted
    assert found == whole and list(tables) and set(tables) == set(expected)
    for name, table in tables.items():
        assert_frame_equal(table, expected[name])


def test_a_run_may_be_stopped_again_and_again(fake, uninterrupted):
    for finished in (2, 4, 6):
        with interrupted_at(4 + 5 * 2 + 3), pytest.raises(KeyboardInterrupt):
            measure(fake)
        check_partial(fake, finished)
    forget()
    measure(fake)
    assert count("load") == 9 - 6 and names(fake) == FOUR
    assert_frame_equal(content(fake)[0]["mine.csv"], uninterrupted[0]["mine.csv"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, FileNotFoundError(2, "No such file or directory")])
def test_stopped_between_a_build_and_what_comes_after(fake, monkeypatch, error):
    """There a network is known, but not yet by which key its results go."""
    with interrupted_at(20), pytest.raises(KeyboardInterrupt):
        measure(fake)
    real = measurement._journal_key

    def key(about, network):
        if network.service == "large":
            raise error
        return real(about, network)

    with monkeypatch.context() as patch:
        patch.setattr(measurement, "_journal_key", key)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else InputError):
            measure(fake)
    assert not list(fake.glob(".*"))
    forget()
    measure(fake)
    assert count("load") == 9 - 3 and names(fake) == FOUR


def test_an_older_catalogue_stays_until_the_new_one_is_whole(fake):
    measure(fake)
    before = {name: (fake / name).read_bytes() for name in FOUR}
    with interrupted_at(20), pytest.raises(KeyboardInterrupt):
        measure(fake, FakeBackend(threads=2))
    assert {name: (fake / name).read_bytes() for name in FOUR} == before and names(fake) == sorted(FOUR + KEPT)
    measure(fake, FakeBackend(threads=2))
    assert names(fake) == FOUR and about(fake)["backend"]["threads"] == 2


SLOWER = {service: (size, memory, load, 2 * first, infer) for service, (size, memory, load, first, infer) in NETWORKS.items()}
OTHERS = {  # what is another: of the backend, of the command
    "threads": ({"threads": 2}, {}),
    "a setting of the backend": ({"networks": SLOWER}, {}),
    "an estimate": ({}, {"tdp_w": 65.0}),
    "another estimate": ({}, {"tdp_w": 15.0}),
    "executions": ({}, {"preset": "standard"}),
}


@pytest.mark.parametrize("other", OTHERS)
def test_with_other_settings_all_is_measured_anew(fake, other):
    first = {"tdp_w": 65.0} if other == "another estimate" else {}
    with interrupted_at(30), pytest.raises(KeyboardInterrupt):
        measure(fake, **first)
    forget()
    settings, options = OTHERS[other]
    measure(fake, FakeBackend(**settings), **options)
    assert count("load") == (30 if other == "executions" else 9) and names(fake) == FOUR


def test_a_network_of_another_size_is_measured_anew_and_the_others_are_not(fake):
    with interrupted_at(5 + 5 * 6), pytest.raises(KeyboardInterrupt):
        measure(fake)
    assert len((fake / "mine-journal").read_bytes().splitlines()) == 6
    GROWN["middle"] = 1
    forget()
    measure(fake)
    assert Counter(service for _, step, service in logged() if step == "load") == {"small": 1, "middle": 3, "large": 1}
    assert about(fake)["networks"][1]["size_bytes"] == 2001


def test_models_of_the_users_own_are_measured_anew_where_their_files_changed(fake, tmp_path):
    files = {name: str(tmp_path / f"{name}.onnx") for name in ("mine", "yours")}
    for file in files.values():
        Path(file).write_bytes(b"x" * 100)
    backend = FakeBackend(models=files)
    with interrupted_at(1 + 2 + 1 + 5 * 4), pytest.raises(KeyboardInterrupt):
        measure(fake, backend)
    forget()
    os.utime(files["yours"], (1, 1))  # as long as before
    profile = measure(fake, backend)
    assert Counter(service for _, step, service in logged() if step == "load") == {"mine": 1, "yours": 3}
    assert profile.services == ["mine", "yours"] and names(fake) == FOUR, "without others being asked for, only one's own"
    assert about(fake)["backend"]["models"] == ["mine", "yours"] and [Path(file).exists() for file in files.values()] == [True] * 2
    assert str(tmp_path) not in "".join((fake / name).read_text() for name in FOUR)


def test_a_stopped_build_does_not_make_the_partial_catalogue_poorer(fake):
    with interrupted_at(1 + 3 + 5 * 6 + 1), pytest.raises(KeyboardInterrupt):
        measure(fake)
    assert read_profile(fake / "mine.partial.csv").services == list(NETWORKS)
    with interrupted_at(3), pytest.raises(KeyboardInterrupt):  # while the second network is built
        measure(fake)
    assert read_profile(fake / "mine.partial.csv").services == list(NETWORKS), "what was finished is kept"


@pytest.mark.parametrize("name", ["7", "007", "NA", "True", "a/b", "x, ü"])
def test_whatever_ones_own_model_is_called(fake, run, tmp_path, name):
    """What is written is read again, and a name must not become a number, or nothing."""
    model = ["--model", f"{name}={tmp_path / 'mine.onnx'}"]
    (tmp_path / "mine.onnx").write_bytes(b"x" * 100)
    code, out, _ = run("profile", "--backend", "fake", *model, "--out", fake / "mine.csv")
    assert code == 0 and name in out and names(fake) == FOUR
    assert read_profile(fake / "mine.csv").services == [name] and load_catalogue(fake / "mine.csv").services == (name,)
    code, _, err = run("replay", fake / "mine.csv", *model, "--policies", "lru")
    assert (code, err) == (0, "")


def test_damage_of_the_journal_is_told_and_measured_again(fake, uninterrupted):
    with interrupted_at(30), pytest.raises(KeyboardInterrupt):
        measure(fake)
    journal = fake / "mine-journal"
    journal.write_bytes(journal.read_bytes()[:-9])
    forget()
    messages = []
    measure(fake, messages=messages)
    assert count("load") == 9 - 4 and "mine-journal, line 5: damaged or cut short" in messages[0]
    assert_frame_equal(content(fake)[0]["mine.csv"], uninterrupted[0]["mine.csv"])


# ---- what fails


def test_a_service_that_fails_stops_no_other_and_is_measured_the_next_time(fake, run):
    PLAN["load", "middle", 0] = "input"
    command = ["profile", "--backend", "fake", "--out", fake / "mine.csv"]
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    *told, last = err.splitlines(keepends=True)
    one_sentence(last, "the network of 'it' is no good")
    assert [line for line in told if "mine.partial.csv" in line]
    check_partial(fake, 6)
    assert about(fake, "mine.partial")["missing"] == {"middle": "the network of 'it' is no good"}
    assert count("load", "middle") == 1, "it is not tried again and again"
    PLAN.clear()
    forget()
    code, out, err = run(*command)
    assert code == 0 and "middle" in out and count("load") == count("load", "middle") == 3 and names(fake) == FOUR


@pytest.mark.parametrize(("step", "place", "kept"), [("build", 0, 6), ("infer", 4, 7), ("close", 2, 8)])
def test_whatever_step_fails_finished_cycles_are_kept(fake, step, place, kept):
    PLAN[step, "large", place] = "input"
    with pytest.raises(InputError, match="is no good"):
        measure(fake)
    check_partial(fake, kept)
    PLAN.clear()
    forget()
    measure(fake)
    assert count("load") == 9 - kept and names(fake) == FOUR


def test_when_all_fail_there_is_a_sentence_and_nothing_to_keep(fake):
    PLAN.update({("build", service, 0): "input" for service in NETWORKS})
    with pytest.raises(InputError) as raised:
        measure(fake)
    assert str(raised.value) == "the network of 'it' is no good", "what is the same is said once"
    assert names(fake) == [], "an empty journal is of no use"


def test_the_process_that_goes_on_is_made_ready_before_it_loads(fake):
    """What it must do once, such as to import ONNX Runtime, would else be part of the next load's time and memory."""
    PLAN["load", "middle", 0] = "input"
    with pytest.raises(InputError):
        measure(fake)
    first = {}
    for process, step, _ in logged():
        first.setdefault(process, step)
    assert len(first) > 1 and set(first.values()) == {"describe"}


@pytest.mark.parametrize(
    ("how", "parts"),
    [
        ("kill", ["killed in infer of the network of 'large'", "memory ran out"]),
        ("exit", ["died in infer of the network of 'large'", "exit code 3"]),
        ("memory", ["the network of 'large' needs more memory than there is"]),
    ],
)
def test_when_the_process_dies_or_memory_ends_the_others_are_measured(fake, run, how, parts):
    PLAN["infer", "large", 1] = how
    code, _, err = run("profile", "--backend", "fake", "--out", fake / "mine.csv")
    assert code == 2
    one_sentence(err.splitlines(keepends=True)[-1], *parts)
    check_partial(fake, 6)
    assert about(fake, "mine.partial")["missing"].keys() == {"large"}
    PLAN.clear()
    forget()
    assert run("profile", "--backend", "fake", "--out", fake / "mine.csv")[0] == 0
    assert count("load") == 3 and names(fake) == FOUR


def test_a_full_disk_is_told_and_leaves_nothing_half_written(fake, run):
    PLAN["build", "large", 0] = "disk"
    code, _, err = run("profile", "--backend", "fake", "--out", fake / "mine.csv")
    assert code == 2
    one_sentence(err.splitlines(keepends=True)[-1], "disk is full", "'large'", "MB are free")
    check_partial(fake, 6)


@pytest.mark.parametrize("step", ["load", "infer", "close"])
def test_an_error_of_the_system_while_measuring_is_one_sentence(fake, run, step):
    """A file that cannot be read any more, or a disk that fills up."""
    PLAN[step, "large", 1] = "disk"
    code, _, err = run("profile", "--backend", "fake", "--out", fake / "mine.csv")
    assert code == 2
    one_sentence(err.splitlines(keepends=True)[-1], "large", "No space left on device")


def test_a_process_that_cannot_be_made_ready_says_why(fake, capfd):
    PLAN["describe", "-", -1] = "input"
    with pytest.raises(InputError, match="the network of 'it' is no good"):
        measure(fake)
    assert "Traceback" not in capfd.readouterr().err and names(fake) == []


def test_a_bug_is_told_as_one_and_what_was_finished_is_kept(fake):
    PLAN["load", "large", 1] = "bug"
    with pytest.raises(RuntimeError, match="load of 'large': KeyError: 'a bug'"):
        measure(fake)
    finished = len((fake / "mine-journal").read_bytes().splitlines())
    assert finished >= 1
    check_partial(fake, finished)
    PLAN.clear()
    forget()
    measure(fake)
    assert count("load") == 9 - finished


# ---- the command in a process of its own; forked, so that it begins at once


def started(folder, *arguments, limit=0, backend="fake"):
    """The command on fake networks, its output in the file `said`; no file may have more than `limit` bytes."""

    def command():
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.stdout = sys.stderr = open(folder.parent / "said", "w")  # noqa: SIM115
        sys.argv = ["edgecache", "profile", "--backend", backend, "--out", str(folder / "mine.csv"), *map(str, arguments)]
        main()

    process = FORKS.Process(target=command)
    process.start()
    return process


def until(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.is_alive() if hasattr(process, "is_alive") else process.poll() is None, "it ended before"
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.01)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whom", ["the process", "its group"])
def test_a_signal_ends_it_and_keeps_what_was_finished(fake, sign, whom):
    PLAN["infer", "small", 3] = "hang"  # in its second cycle
    process = started(fake)
    try:
        until(lambda: count("infer", "small") == 4, process)
        family = psutil.Process(process.pid).children(recursive=True)
        (os.kill if whom == "the process" else os.killpg)(process.pid, sign)
        process.join(30)
        assert process.exitcode == 130
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.is_alive() else None
    *_, last = (fake.parent / "said").read_text().splitlines(keepends=True)
    one_sentence(last, "interrupted; what was finished is kept")
    finished = len((fake / "mine-journal").read_bytes().splitlines())
    assert finished >= 3
    check_partial(fake, finished)
    PLAN.clear()
    forget()
    measure(fake)
    assert count("load") == 9 - finished and names(fake) == FOUR


def test_a_second_run_of_the_same_out_is_refused_and_does_the_first_no_harm(fake, run, tmp_path):
    PLAN["infer", "small", 0] = PLAN["infer", "middle", 0] = PLAN["infer", "large", 0] = "hang"
    process = started(fake)
    try:
        until(lambda: count("infer"), process)
        before = {path: path.stat().st_mtime_ns for path in fake.rglob("*")}
        assert any(path.suffix == ".bin" for path in before)
        code, out, err = run("profile", "--backend", "fake", "--out", fake / "mine.csv")
        assert (code, out) == (2, "")
        one_sentence(err, "another process is writing", "mine-journal")
        assert {path: path.stat().st_mtime_ns for path in fake.rglob("*")} == before
        assert run("profile", "--backend", "fake", "--services", "none", "--out", fake / "mine.csv")[0] == 2
    finally:
        os.kill(process.pid, signal.SIGINT)
        process.join(30)
    assert process.exitcode == 130


@pytest.mark.parametrize("limit", [500, 1500, 6000])
def test_a_disk_that_fills_up_while_results_are_written(fake, uninterrupted, limit):
    """First the network does not fit, then the journal."""
    process = started(fake, "--services", "small", "--preset", "standard", limit=limit)
    process.join(60)
    said = (fake.parent / "said").read_text()
    assert process.exitcode == 2, said
    one_sentence(said.splitlines(keepends=True)[-1])
    stopped = f"measuring stopped at {fake / 'mine-journal'}: File too large; what was finished is kept"
    assert ("disk is full" if limit == 500 else stopped) in said
    assert not [name for name in names(fake) if name.endswith((".part", ".tmp"))], "nothing half-written is left"
    for name in ("mine", "mine.partial"):
        if (fake / f"{name}.csv").exists():
            load_catalogue(fake / f"{name}.csv")
            read_profile(fake / f"{name}.csv")
    assert not (fake / "mine.csv").exists()
    measure(fake, services=["small"], preset="standard")
    assert names(fake) == FOUR and about(fake)["complete"]


@pytest.mark.parametrize("name", ["mine.csv", "my profile.csv"])
def test_the_server_that_is_proposed_holds_every_model_and_can_be_simulated(fake, run, tmp_path, name):
    (tmp_path / "mine.onnx").write_bytes(b"x" * 1234)
    command = ["profile", "--backend", "fake", "--model", f"mine={tmp_path / 'mine.onnx'}", "--out", fake / name]
    code, out, _ = run(*command)
    assert code == 0
    proposed = shlex.split(out.strip().splitlines()[-1].partition("edgecache ")[2])
    code, _, err = run(*proposed, "--replications", "2", "--policies", "lru")
    assert (code, err) == (0, "")


# ---- where the networks are kept


def test_networks_are_kept_where_the_user_says(fake, tmp_path):
    mine = tmp_path / "networks"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    measure(fake, networks=mine)
    assert names(mine) == ["large.bin", "middle.bin", "notes.txt", "small.bin"] and names(fake) == FOUR
    with interrupted_at(20), pytest.raises(KeyboardInterrupt):
        measure(fake, networks=mine)
    assert "large.bin" in names(mine)
    measure(fake, networks=mine)
    assert (mine / "notes.txt").read_text() == "mine" and names(fake) == FOUR


def test_networks_in_a_folder_that_is_not_there_yet(fake, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    code, _, _ = run("profile", "--backend", "fake", "--out", "here/mine.csv", "--networks", "new/nets")
    assert code == 0 and names(tmp_path / "new/nets") == ["large.bin", "middle.bin", "small.bin"] and names(fake) == FOUR


def test_what_a_kill_left_of_networks_is_removed(fake):
    stale = fake / f".mine-networks-{2**22 + 1}.tmp"  # of a process that there cannot be
    stale.mkdir()
    (stale / "small.bin").write_bytes(b"half")
    (stale / "other.bin").write_bytes(b"whole")
    measure(fake)
    assert names(fake) == FOUR and about(fake)["networks"][0]["size_bytes"] == 1000


# ---- bad input


def test_where_torch_is_not_installed_its_backend_says_how(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.chdir(tmp_path)
    for arguments in (["--backend", "torch"], ["--weights", "hub"]):
        code, out, err = run("profile", *arguments)
        assert (code, out) == (2, "")
        one_sentence(err, "pip install", "torch")
    assert names(tmp_path) == []


BAD = [
    (["--preset", "fast"], ["unknown preset 'fast'", "quick, standard, paper"]),
    (["--preset", "papr"], ["did you mean 'paper'"]),
    (["--services", "text_to_sound"], ["unknown service 'text_to_sound'", "did you mean"]),
    (["--services", "text_to_speech,text_to_speech"], ["each once"]),
    (["--services", ""], ["unknown service ''"]),
    (["--backend", "onx"], ["unknown backend 'onx'", "did you mean 'onnx'", "torch"]),
    (["--device", "cuda"], ["device is 'cuda'", "cpu alone", "torch"]),
    (["--device", "gpu"], ["device is 'gpu'"]),
    (["--backend", "onnx", "--weights", "hub"], ["--weights is 'hub'", "torch"]),
    (["--weights", "real"], ["--weights is 'real'"]),
    (["--scale", "tiny"], ["--scale", "torch"]),
    (["--scale", "small"], ["--scale", "torch"]),
    (["--steps", "3"], ["--steps", "torch"]),
    (["--backend", "torch", "--model", "a=b.onnx"], ["--model is 'a=b.onnx'", "onnx"]),
    (["--backend", "torch", "--size", "a=3"], ["--size is 'a=3'", "onnx"]),
    (["--model", "mine.onnx"], ["--model is 'mine.onnx'", "NAME=VALUE"]),
    (["--model", "=mine.onnx"], ["--model is '=mine.onnx'", "NAME=VALUE"]),
    (["--model", "a="], ["--model is 'a='", "NAME=VALUE"]),
    (["--model", "a=x.onnx", "--model", "a=y.onnx"], ["--model is 'a=y.onnx'", "twice"]),
    (["--size", "tokens"], ["--size is 'tokens'", "NAME=VALUE"]),
    (["--size", "tokens=many"], ["--size is 'tokens=many'", "whole number"]),
    (["--size", "tokens=0"], ["--size is 'tokens=0'", "at least 1"]),
    (["--size", "tokens=-3"], ["--size is 'tokens=-3'", "at least 1"]),
    (["--size", "tokens=2.5"], ["--size is 'tokens=2.5'", "whole number"]),
    (["--size", "tokens=²"], ["--size is 'tokens=²'", "whole number"]),
    (["--tdp", "0"], ["TDP is 0 W", "above zero"]),
    (["--tdp", "-5"], ["TDP is -5 W", "above zero"]),
    (["--tdp", "nan"], ["TDP is nan W", "above zero"]),
    (["--tdp", "inf"], ["TDP is inf W", "below 100,000"]),
    (["--tdp", "much"], ["--tdp", "'much'"]),
    (["--threads", "0"], ["threads is 0", "at least 1"]),
    (["--threads", "1.5"], ["--threads", "'1.5'"]),
    (["--out", "mine.txt"], ["--out is mine.txt", "ends in .csv"]),
    (["--out", "folder"], ["--out is folder", ".csv"]),
    (["--preste", "quick"], ["--preste", "--preset"]),
]


@pytest.mark.parametrize(("arguments", "parts"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_options_are_one_sentence_and_exit_code_2(run, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worker.Worker, "_start", lambda self: pytest.fail("it began to measure"))
    code, out, err = run("profile", *arguments)
    assert code == 2 and out == ""
    one_sentence(err, *parts)
    assert names(tmp_path) == [], "something was written"


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("none.onnx", ["none.onnx", "No such file"]),
        ("model.pt", ["model.pt", "must be a file that ends in .onnx"]),
        ("noise.onnx", ["noise.onnx", "no ONNX file"]),
        ("folder.onnx", ["folder.onnx"]),
    ],
)
def test_models_that_cannot_be_read(run, fake, monkeypatch, model, parts):
    """By the real backend, in a process that is forked."""
    monkeypatch.chdir(fake)
    (fake / "noise.onnx").write_bytes(b"noise" * 100)
    (fake / "folder.onnx").mkdir()
    code, out, err = run("profile", "--model", f"mine={model}", "--out", "mine.csv")
    assert (code, out) == (2, "")
    one_sentence(err, "'mine'", *parts)
    assert names(fake) == ["folder.onnx", "noise.onnx"], "something was written"


def test_a_folder_that_is_a_file(run, fake):
    (fake / "file").write_text("mine")
    code, out, err = run("profile", "--backend", "fake", "--out", fake / "file/mine.csv")
    assert (code, out) == (2, "")
    one_sentence(err, str(fake / "file"))
    code, out, err = run("profile", "--backend", "fake", "--networks", fake / "file", "--out", fake / "mine.csv")
    assert (code, out) == (2, "")
    one_sentence(err, str(fake / "file"), "File exists")
    assert names(fake) == ["file"] and (fake / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["mine.csv", "mine-records.csv", "mine-machine.json", "mine-journal"])
def test_a_folder_in_the_way_of_a_file_is_told_before_anything_is_measured(run, fake, name):
    (fake / name).mkdir()
    code, out, err = run("profile", "--backend", "fake", "--out", fake / "mine.csv")
    assert (code, out) == (2, "")
    one_sentence(err.splitlines(keepends=True)[-1], str(fake))
    assert (fake / name).is_dir() and not list(fake.glob("*.part")) and not list(fake.glob(".*"))
    assert not count("load"), "minutes of measuring, in vain"
    assert names(fake) == [name]


@pytest.mark.parametrize("name", ["mine.csv", "mine-records.csv", "mine-machine.json", "mine.partial.csv", "mine-journal"])
@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_is_not_replaced(run, fake, tmp_path, name, there):
    target = tmp_path / "elsewhere"
    if there:
        target.write_text("mine")
    (fake / name).symlink_to(target)
    code, out, err = run("profile", "--backend", "fake", "--out", fake / "mine.csv")
    assert (code, out) == (2, "") and not logged()
    one_sentence(err, f"{fake / name} is a symbolic link")
    assert names(fake) == [name] and (fake / name).readlink() == target
    assert target.read_text() == "mine" if there else not target.exists()


@pytest.mark.parametrize("package", ["onnxruntime", "onnx"])
def test_a_missing_package_is_named_with_its_extra(run, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    code, out, err = run("profile", "--out", tmp_path / "mine.csv")
    assert (code, out) == (2, "") and names(tmp_path) == []
    one_sentence(err, f"{package} cannot be imported", "pip install 'edgecache[profile]'")


def test_the_room_is_imported_without_its_backends():
    code = "import sys; from edgecache.profiling import profile, read_profile; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "edgecache.profiling.torch.backend" in loaded and not {"onnxruntime", "onnx", "torch"} & set(loaded)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write")
@pytest.mark.parametrize("out", ["/proc/mine.csv", "/proc/new/mine.csv"])
def test_a_folder_that_cannot_be_written(run, fake, out):
    code, printed, err = run("profile", "--backend", "fake", "--out", out)
    assert (code, printed) == (2, "")
    one_sentence(err, "/proc/")
    assert not logged()


# ---- real networks, in processes of their own

REAL = ["text_to_speech", "mine"]


def write_model(path, size=2300):
    """A user's own model, `size` x `size` numbers times a vector: 21 MB, faster written than any of the ten."""
    weights = numpy_helper.from_array(np.random.default_rng(0).standard_normal((size, size), dtype=np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "own", [x], [y], [weights])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString())
    return path


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A quick profile of two real networks by the command line, killed after its first cycle and begun again, and what is known."""
    folder, model = tmp_path_factory.mktemp("real"), write_model(tmp_path_factory.mktemp("models") / "own-model.onnx")
    command = [sys.executable, "-m", "edgecache", "profile", "--services", ",".join(REAL), "--model", f"mine={model}", "--out",
               folder / "mine.csv"]  # fmt: skip
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    journal = folder / "mine-journal"
    try:
        until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 1, first)
        family = psutil.Process(first.pid).children(recursive=True)
    finally:
        first.kill()
        first.communicate()
    _, alive = psutil.wait_procs(family, timeout=20)
    kept = [json.loads(line[9:])[1] for line in journal.read_bytes().split(b"\n")[:-1]]
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(
        folder=folder, model=model, out=done.stdout, err=done.stderr, kept=kept, left=left, family=family, alive=alive,
        code=first.returncode, process=first.pid,
    )  # fmt: skip


def test_nobody_is_left_behind_by_sigkill_and_the_next_run_goes_on(measured):
    assert measured.code == -signal.SIGKILL and measured.family and not measured.alive, "who measures ends with its parent"
    temporary = f".mine-networks-{measured.process}.tmp"
    networks = ["text_to_speech-0.onnx", "text_to_speech-1.onnx"]
    assert measured.left == [temporary, *(f"{temporary}/{name}" for name in networks), "mine-journal"], "nobody could remove it"
    assert 1 <= len(measured.kept) < 6 and f"{len(measured.kept)} of 6 cycles are there" in measured.err
    assert names(measured.folder) == FOUR
    records = read_profile(measured.folder / "mine.csv").records
    for rows in measured.kept:  # what was finished was not measured anew
        own = records[(records["service"] == rows[0]["service"]) & (records["cycle"] == rows[0]["cycle"])]
        assert_allclose(own["wall_s"], [row["wall_s"] for row in rows], rtol=1e-5)
        assert list(own["at"]) == [row["at"] for row in rows]


def test_real_networks_become_a_catalogue(measured):
    folder, out = measured.folder, measured.out
    profile, catalogue = read_profile(folder / "mine.csv"), load_catalogue(folder / "mine.csv")
    assert out.startswith(f"{profile.report()}\n") and catalogue.services == tuple(REAL)
    records = profile.records
    assert len(records) == 2 * 3 * 5 and (records["wall_s"] > 0).all()
    assert 0.018 < catalogue.size_gb[0] < 0.03 and catalogue.size_gb[1] == pytest.approx(2300**2 * 4e-9, rel=0.01)
    # what is loaded is about as large as the file, and most of it is there as soon as the load is over
    loads = records[records["phase"] == "load"].set_index("service")
    for service, size in zip(REAL, catalogue.size_gb * 1e9, strict=True):
        assert (loads.loc[service, "resident_bytes"] > 0.8 * size).all()
    cold = loads[loads["cold"] == "yes"]
    assert (cold["cached_before"] == 0).all() and (cold["read_bytes"] >= 0.95e9 * catalogue.size_gb.min()).all()
    unloaded = records[records["phase"] == "unload"].set_index("service")["resident_bytes"]
    assert unloaded["mine"].median() < 0.5 * loads.loc["mine", "resident_bytes"].median()
    assert (catalogue.gpu_memory_gb > 0.8 * catalogue.size_gb).all()


def test_nothing_that_is_written_has_a_path_or_the_name_of_the_machine(measured):
    folder = measured.folder
    written = "".join((folder / name).read_text() for name in FOUR)
    hosts = {socket.gethostname(), socket.getfqdn()} - {"localhost"}
    for secret in (str(folder), str(Path.home()), str(Path(__file__).parents[2]), "/tmp/", ".tmp", ".onnx", *hosts):
        assert secret not in written, secret
    assert not [word for word in ("/home", "/root", "/var", "/usr") if word in written]


def test_real_networks_are_replayed(measured, monkeypatch, tmp_path):
    folder = measured.folder
    monkeypatch.setitem(measurement.BACKENDS, "onnx", WatchedBackend)
    monkeypatch.setenv("WATCHED_LOG", str(tmp_path / "log"))
    table = replay(folder / "mine.csv", ["lru"], proportionate(folder / "mine.csv", slots=12), models={"mine": str(measured.model)})
    assert (table["run_s"] > 0).all() and names(folder) == FOUR
    fetched = table["outcome"] == "fetched"
    assert fetched.any() and (table.loc[fetched, "load_s"] > 0).all() and (table.loc[~fetched, "load_s"] == 0).all()
    assert (table["memory_bytes"] > 10e6).all()
    loads = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert [service for _, service, _ in loads] == list(table.loc[fetched, "service"])
    assert len({process for process, *_ in loads}) == 1
    assert {ready for *_, ready in loads} == {"True"}, "a load's time and memory are those of an import too"


def test_a_disk_without_room_for_a_real_network(fake):
    process = started(fake, "--services", "text_to_speech", limit=5_000_000, backend="onnx")
    process.join(60)
    assert process.exitcode == 2
    *_, last = (fake.parent / "said").read_text().splitlines(keepends=True)
    one_sentence(last, "disk is full", "'text_to_speech'", "MB are free")
    assert set(names(fake)) <= {"mine-journal"}, "the network is removed"
