"""The command line: what it prints, and how it fails: one sentence, exit code 2, no traceback, nothing half-written."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest

from edgecache import Scenario, simulate
from edgecache.__main__ import main

KEYS = [
    "policy", "total_cost", "total_cost_low", "total_cost_high", "switching_cost", "resource_cost",
    "service_delay_s", "hit_ratio", "fetched_gb", "energy_kwh",
]  # fmt: skip
QUICK = ["simulate", "--slots", "20", "--replications", "3"]


@pytest.fixture
def run(capsys, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgecache", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


def test_json_has_the_promised_keys_and_the_simulators_numbers(run):
    code, out, err = run(*QUICK, "--policies", "lru,ga", "--format", "json", "--seed", "4", "--storage", "80")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert [list(row) for row in rows] == [KEYS, KEYS]
    assert [row["policy"] for row in rows] == ["lru", "ga"]
    runs = [simulate(Scenario(slots=20, storage_gb=80), "lru", 4, replication=r).means() for r in range(3)]
    for key in ("total_cost", "service_delay_s", "hit_ratio", "fetched_gb"):
        assert rows[0][key] == pytest.approx(np.mean([r[key] for r in runs]), rel=1e-9)
    assert rows[0]["total_cost_low"] <= rows[0]["total_cost"] <= rows[0]["total_cost_high"]


def test_csv_and_table_have_the_same_columns(run):
    code, out, _ = run(*QUICK, "--policies", "fifo,exact", "--format", "csv")
    table = pd.read_csv(io.StringIO(out))
    assert code == 0 and list(table.columns) == KEYS and list(table["policy"]) == ["fifo", "exact"]
    code, out, _ = run(*QUICK, "--policies", "fifo,exact")
    assert code == 0 and out.splitlines()[0].split() == KEYS and len(out.splitlines()) == 3


def test_one_replication_has_no_interval(run):
    _, out, _ = run("simulate", "--slots", "20", "--replications", "1", "--policies", "lru", "--format", "json")
    assert json.loads(out)[0]["total_cost_low"] is None


def test_no_requests_at_all(run):
    code, out, _ = run(*QUICK, "--policies", "lru,ga", "--arrival-rate", "1e-9", "--format", "json")
    row = json.loads(out)[0]
    assert code == 0 and row["hit_ratio"] is None and row["total_cost"] == 0.0


def test_a_users_catalogue_and_any_other_parameter(run, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("service,size_gb,gpu_memory_gb,power_kw,io_delay_s,inference_delay_s\na,1,1,0.1,1,1\nb,2,1,0.1,1,1\n")
    code, out, _ = run(*QUICK, "--catalogue", own, "--policies", "lru", "--set", "charge=miss", "--set", "w2=0", "--format", "json")
    # everything fits: each model misses once, at 8 s/B + l, and stays; seed 0 asks for both
    assert code == 0 and json.loads(out)[0]["total_cost"] == pytest.approx((0.8 + 1 + 1.6 + 1) / 20)


BAD = [
    (["simulate", "--catalogue", "none.csv"], ["none.csv", "No such file"]),
    (["simulate", "--policies", "lru,exat"], ["unknown policy 'exat'", "did you mean 'exact'"]),
    (["simulate", "--policies", ""], ["unknown policy ''"]),
    (["simulate", "--policies", "lru,lru"], ["each once"]),
    (["simulate", "--storage", "1"], ["no model of the catalogue fits", "1 GB"]),
    (["simulate", "--storage", "nan"], ["storage_gb is nan", "finite"]),
    (["simulate", "--storage", "lots"], ["--storage", "'lots'"]),
    (["simulate", "--gpu-memory", "-1"], ["gpu_memory_gb is -1", "above zero"]),
    (["simulate", "--slots", "0"], ["slots is 0", "at least 1"]),
    (["simulate", "--slots", "2.5"], ["--slots", "'2.5'"]),
    (["simulate", "--replications", "0"], ["replications is 0", "at least 1"]),
    (["simulate", "--seed", "-1"], ["seed is -1", "at least 0"]),
    (["simulate", "--arrival-rate", "inf"], ["arrival_rate is inf", "finite"]),
    (["simulate", "--set", "w2=-1"], ["w2 is -1", "at least zero"]),
    (["simulate", "--set", "chrge=miss"], ["unknown parameter 'chrge'", "did you mean 'charge'"]),
    (["simulate", "--set", "charge"], ["NAME=VALUE"]),
    (["simulate", "--set", "cls=3"], ["unknown parameter 'cls'"]),
    (["simulate", "--set", "storage_gb=80"], ["'storage_gb=80'", "--storage"]),
    (["simulate", "--set", "catalogue=a.csv"], ["--catalogue"]),
    (["simulate", "--set", "w1=1", "--set", "w1=2"], ["w1 is set twice"]),
    (["simulate", "--set", "w1=1e308"], ["w1 is 1e+308", "1e12"]),
    (["simulate", "--set", "bandwidth_gbps=1e-320"], ["bandwidth_gbps is", "1e-12"]),
    (["simulate", "--slots", "99999999999999999999"], ["slots is 99999999999999999999"]),
    (["simulate", "--slots", "999999999"], ["slots is 999999999", "at most 1e8"]),
    (["simulate", "--arrival-rate", "1e9"], ["1e+09 requests a slot", "at most 1e8"]),
    (["simulate", "--replications", "99999999999"], ["replications is 99999999999", "at most 1000000"]),
    (["simulate", "--format", "xml"], ["--format", "xml", "json"]),
    (["simulate", "--storag", "3"], ["--storag", "--storage"]),
    (["simulat"], ["simulat", "simulate"]),
    (["reproduce", "--only", "03-resource-sweep"], ["unknown notebook", "did you mean '03-resource-sweeps'"]),
    (["reproduce", "--jobs", "0", "--quick", "--only", "03"], ["--jobs is 0"]),
]


@pytest.mark.parametrize(("arguments", "parts"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_code_2(run, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "reproduce":
        arguments = [*arguments, "--out", tmp_path / "out"]
    code, out, err = run(*arguments)
    assert code == 2 and out == ""
    assert err.startswith("edgecache: ") and err.count("\n") == 1 and "Traceback" not in err
    for part in parts:
        assert part in err
    assert not [file for file in tmp_path.rglob("*") if file.is_file()], "something was half-written"


def test_out_that_is_a_file(run, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run("reproduce", "--quick", "--out", tmp_path / "file")
    assert code == 2 and "must be a folder" in err


def test_no_dask_scheduler(run, tmp_path):
    code, _, err = run("reproduce", "--quick", "--only", "03", "--out", tmp_path, "--dask", "tcp://127.0.0.1:1")
    assert code == 2 and "no Dask scheduler answers at 'tcp://127.0.0.1:1'" in err
    assert not list(tmp_path.rglob("*.png"))


def test_an_interrupt_ends_everything_at_once_and_leaves_nothing_half_written(tmp_path):
    command = [sys.executable, "-m", "edgecache", "reproduce", "--only", "03", "--out", tmp_path]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not any("loky" in " ".join(child.cmdline()) for child in psutil.Process(run.pid).children(recursive=True)):
        assert time.monotonic() < deadline, "no sweep has started"
        time.sleep(0.2)
    family = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err.strip()) == (130, "edgecache: interrupted; what was finished is kept")
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_module_and_command_are_the_same():
    outputs = [
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in ([sys.executable, "-m", "edgecache"], [f"{sys.prefix}/bin/edgecache"])
    ]
    assert outputs[0] == outputs[1] and "simulate" in outputs[0] and "reproduce" in outputs[0]


def test_importing_the_package_imports_no_plotting_library():
    heavy = (
        "import sys, edgecache; print([name for name in ('seaborn', 'matplotlib', 'scipy.stats', 'dask') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_reproduce_on_a_dask_cluster_gives_the_same_files(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        for out, arguments in (("here", []), ("cluster", ["--dask", cluster.scheduler_address])):
            command = [sys.executable, "-m", "edgecache", "reproduce", "--quick", "--only", "03", "--out", tmp_path / out]
            subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL)
    files = sorted(path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("*.*") if path.suffix != ".ipynb")
    assert len([path for path in files if path.suffix == ".csv"]) >= 7 and len([p for p in files if p.suffix == ".png"]) >= 9
    for path in files:
        assert (tmp_path / "here" / path).read_bytes() == (tmp_path / "cluster" / path).read_bytes(), path
