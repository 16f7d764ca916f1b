"""The command line: what it prints, and how it fails: one sentence, exit code 2, no traceback, nothing half-written."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from edgecache import POLICIES, Scenario, explain, load_catalogue, sample_catalogue, simulate
from edgecache.cli.main import main
from edgecache.cli.output import show

ROOT = Path(__file__).parents[2]
KEYS = [
    "policy", "total_cost", "total_cost_low", "total_cost_high", "switching_cost", "resource_cost",
    "service_delay_s", "service_delay_all_s", "hit_ratio", "cloud_share", "fetched_gb", "energy_kwh",
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


def test_policies_are_listed_a_line_each(run):
    code, out, err = run("policies")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(POLICIES)
    for line, policy in zip(lines, POLICIES.values(), strict=True):
        _, knows, about = line.split(maxsplit=2)
        assert (knows, about) == (policy.knows, policy.about) and len(about) > 20 and len(line) <= 130
    assert len({line.index(policy.about) for line, policy in zip(lines, POLICIES.values(), strict=True)}) == 1  # a column
    future = {line.split()[0] for line in lines if line.split()[1] == "future"}
    assert future == {"belady", "belady-cost", "clairvoyant", "clairvoyant-delay"}


NEW = [
    "lfu-da", "lru-2", "hyperbolic", "gdsf", "greedy-dual", "cremebrulee", "belady", "belady-cost",
    "llama-swap", "lemonade", "localai-largest", "ollama",
    "optimal-online", "clairvoyant", "optimal-online-delay", "clairvoyant-delay",
]  # fmt: skip


def test_policies_beyond_the_papers_simulate(run):
    code, out, err = run(*QUICK, "--policies", ", ".join(NEW), "--format", "csv", "--set", "w2=0.02")
    table = pd.read_csv(io.StringIO(out)).set_index("policy")
    assert (code, err) == (0, "") and list(table.index) == NEW
    for name in NEW:
        costs = [simulate(Scenario(slots=20, w2=0.02), name, replication=r).means()["total_cost"] for r in range(3)]
        assert table.loc[name, "total_cost"] == pytest.approx(np.mean(costs))
    for floor, outcome in (("clairvoyant", "total_cost"), ("clairvoyant-delay", "service_delay_s")):
        assert table.loc[floor, outcome] <= table[outcome].min() * (1 + 1e-9) < table[outcome].max()
    assert table["total_cost"].nunique() > 6


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A file of sixty models: a server of 120 GB holds more of their deployments than the bounds can look at."""
    path = tmp_path_factory.mktemp("catalogue") / "many.csv"
    sample_catalogue(60, np.random.default_rng(0)).table().to_csv(path, index=False)
    return path


def test_a_large_catalogue_has_bounds_of_other_names(run, many):
    """The approximation of optimal-online takes longer: see test_sweeps.py."""
    arguments = ["simulate", "--catalogue", many, "--slots", "8", "--replications", "2", "--set", "w2=0.02"]
    code, out, _ = run(*arguments, "--policies", "lru,clairvoyant,clairvoyant-delay", "--format", "json")
    rows = {row["policy"]: row for row in json.loads(out)}
    assert code == 0 and list(rows) == ["lru", "clairvoyant-bound", "clairvoyant-delay-bound"]
    lru, floor, wait = rows.values()
    assert floor["total_cost"] <= lru["total_cost"]
    assert floor["total_cost_low"] <= floor["total_cost"] <= floor["total_cost_high"]
    assert wait["service_delay_s"] <= lru["service_delay_s"]
    assert [key for key in KEYS if floor[key] is not None] == [*KEYS[:4], "cloud_share"]
    assert [key for key in KEYS if wait[key] is not None] == ["policy", "service_delay_s", "cloud_share"]
    code, out, _ = run(*arguments, "--policies", "clairvoyant")
    assert code == 0 and out.splitlines()[1].split()[0] == "clairvoyant-bound"
    assert len(re.findall(r" -(?!\S)", out)) == 7


# ---- explain


EXPLAIN = ["explain", "--policy", "lru", "--seed", "1", "--set", "w2=0.02", "--slots", "60"]


@pytest.fixture(scope="module")
def explained():
    """A slot with several decisions and the explanation of it that `EXPLAIN` should print."""
    played = simulate(Scenario(w2=0.02, slots=60), "lru", 1)
    slot = int(np.bincount(played.trace.slot[np.unique(played.evictions[:, 0]) - 1]).argmax())
    explanation = explain(played, slot)
    assert len(explanation.decisions) > 1
    return slot, explanation


def test_explain_in_text(run, explained):
    slot, explanation = explained
    code, out, err = run(*EXPLAIN, "--slot", slot)
    assert (code, err) == (0, "") and out == f"{explanation}\n"
    for part in (
        f"Slot {slot}, policy lru:",
        "a miss. There is no room. GPU memory: ",
        "lru evicted",
        "chosen_by",
        "optimal-online",
        "clairvoyant",
        "Used: storage",
    ):
        assert part in out


def test_explain_in_json(run, explained):
    slot, explanation = explained
    code, out, err = run(*EXPLAIN, "--slot", slot, "--format", "json")
    assert (code, err) == (0, "")
    found = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert list(found) == ["reasons", "alternatives", "resources"]
    for name, rows in found.items():
        table = getattr(explanation, name)
        assert len(rows) == len(table) > 0 and list(rows[0]) == list(table.columns)
        assert rows == [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False, name=None)]
    assert {type(row["binding"]) for row in found["resources"]} == {bool}


def test_explain_in_csv(run, explained):
    slot, explanation = explained
    code, out, err = run(*EXPLAIN, "--slot", slot, "--format", "csv")
    assert (code, err) == (0, "") and out.count("\n") == len(explanation.alternatives) + 1
    found = pd.read_csv(io.StringIO(out), keep_default_na=False)
    pd.testing.assert_frame_equal(found, explanation.alternatives, check_dtype=False)


def test_explain_takes_a_scenario_and_a_replication(run):
    code, out, _ = run("explain", "--slot", "3", "--policy", "exact", "--seed", "2", "--replication", "5", "--storage", "80")
    assert code == 0 and out == f"{explain(simulate(Scenario(storage_gb=80), 'exact', 2, replication=5), 3)}\n"


def test_explain_by_default_is_of_the_ga(run):
    code, out, _ = run("explain", "--slot", "0")
    assert code == 0 and out.startswith("Slot 0, policy ga: ")


def test_explain_a_slot_without_decisions(run):
    quiet = ["explain", "--slot", "3", "--arrival-rate", "1e-9"]
    assert run(*quiet)[:2] == (0, "Slot 3, policy ga: requests 0, hits 0, decisions 0. Nothing was decided.\n")
    assert json.loads(run(*quiet, "--format", "json")[1]) == {"reasons": [], "alternatives": [], "resources": []}
    header = "request,requested,without_room,kept,evicted,prefetched,switching_cost,resource_cost,cost,excess,chosen,chosen_by\n"
    assert run(*quiet, "--format", "csv")[1] == header


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
    (["simulate", "--arrival-rate", "1e9"], ["1e+09 requests per slot", "at most 1e8"]),
    (["simulate", "--replications", "99999999999"], ["replications is 99999999999", "at most 1000000"]),
    (["simulate", "--format", "xml"], ["--format", "xml", "json"]),
    (["simulate", "--storag", "3"], ["--storag", "--storage"]),
    (["simulat"], ["simulat", "simulate"]),
    (
        ["simulate", "--policies", "optimal-online", "--set", "resource_basis=decision"],
        ["optimal-online is not defined", "resource_basis"],
    ),
    (["simulate", "--policies", "gdfs"], ["unknown policy 'gdfs'", "did you mean 'gdsf'", "clairvoyant-delay"]),
    (["explain"], ["--slot"]),
    (["explain", "--slot", "100"], ["slot is 100", "slots 0 to 99"]),
    (["explain", "--slot", "-1"], ["slot is -1", "slots 0 to 99"]),
    (["explain", "--slot", "1.5"], ["--slot", "'1.5'"]),
    (["explain", "--slot", "two"], ["--slot", "'two'"]),
    (["explain", "--slot", "1", "--policy", "liru"], ["unknown policy 'liru'", "did you mean 'lru'"]),
    (["explain", "--slot", "1", "--replication", "-1"], ["replication", "-1", "at least 0"]),
    (["explain", "--slot", "1", "--seed", "-1"], ["seed", "-1", "at least 0"]),
    (["explain", "--slot", "1", "--format", "table"], ["--format", "table", "text"]),
    (["explain", "--slot", "1", "--set", "chrge=miss"], ["unknown parameter 'chrge'", "did you mean 'charge'"]),
    (["explain", "--slot", "1", "--policy", "optimal-online", "--set", "resource_basis=decision"], ["resource_basis"]),
    (["policies", "lru"], ["lru"]),
    (["reproduce", "--only", "03-resource-sweep"], ["unknown notebook", "did you mean '03-resource-sweeps'"]),
    (["reproduce", "--jobs", "0", "--only", "03"], ["--jobs is 0"]),
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
    code, _, err = run("reproduce", "--out", tmp_path / "file")
    assert code == 2 and "must be a folder" in err


def test_an_interrupt_is_said_and_kept_work_only_where_it_is_kept(run, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecache.sweeps.sweep", stop)
    assert run(*QUICK) == (130, "", "edgecache: interrupted\n")
    monkeypatch.setattr("edgecache.cli.reproduce.reproduce", stop)
    assert run("reproduce") == (130, "", "edgecache: interrupted; what was finished is kept\n")


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (MemoryError("Unable to allocate 7.45 GiB"), "this takes more memory than there is"),
        (BrokenProcessPool("a long story"), "a worker process was killed, most often for lack of memory"),
        (OSError(28, "No space left on device", "table.csv"), "table.csv: No space left on device"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failures_of_the_machine_are_one_sentence(run, monkeypatch, failure, sentence):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("edgecache.sweeps.sweep", fail)
    code, out, err = run(*QUICK)
    assert (code, out) == (2, "") and err.count("\n") == 1 and sentence in err


def test_a_fault_of_the_program_has_its_traceback(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr("edgecache.sweeps.sweep", fail)
    monkeypatch.setattr(sys, "argv", ["edgecache", *QUICK])
    with pytest.raises(RuntimeError, match="a fault"):
        main()


# ---- what a catalogue of others may hold


FOREIGN = "service,size_gb,gpu_memory_gb,power_kw,io_delay_s,inference_delay_s\n"
FOREIGN += "=1+1,60,1,0.1,1,1\n@sum,60,1,0.1,1,1\n-2,60,1,0.1,1,1\n+3,61,1,0.1,1,1\n"


@pytest.fixture
def foreign(tmp_path):
    """Arguments that explain a decision among models whose names a spreadsheet takes for formulas, and slots with decisions."""
    path = tmp_path / "foreign.csv"
    path.write_text(FOREIGN)
    arguments = ["explain", "--catalogue", path, "--policy", "lru", "--slots", "60", "--set", "w2=0.001"]
    played = simulate(Scenario(load_catalogue(path), slots=60, w2=0.001), "lru")
    slots = [slot for slot in range(60) if len(explain(played, slot).alternatives) > 1]
    return arguments, slots


def test_names_do_not_reach_a_spreadsheet_as_formulas(run, foreign):
    arguments, slots = foreign
    names = set()
    for slot in slots[:20]:
        table = pd.read_csv(io.StringIO(run(*arguments, "--slot", slot, "--format", "csv")[1]), keep_default_na=False)
        names |= set(table["requested"]) | set(table["kept"]) | set(table["evicted"])
        assert table["cost"].dtype == float
    assert {"'=1+1", "'@sum", "'-2"} <= names and not [name for name in names if name.startswith(("=", "@", "-", "+"))]


def test_names_do_not_reach_a_terminal_as_escape_codes(run, capsys):
    code, _, err = run("simulate", "--policies", "\x1b[31mred")
    assert code == 2 and "\x1b" not in err
    show("\x1b[31mred\x9b\rover\tit\nÄ 机器")
    assert capsys.readouterr().out == "\\x1b[31mred\\x9b\\rover\\tit\nÄ 机器\n"


# ---- in a process of its own


COMMAND = f"{sys.executable} -m edgecache"


def shell(line, **environment):
    """A line of the shell: exit code, standard output, standard error."""
    done = subprocess.run(["bash", "-c", line], check=False, env=os.environ | environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_reader_of_the_output_may_leave():
    code, out, err = shell(f"set -o pipefail; {COMMAND} policies | sleep 0")
    assert (code, out, err) == (0, "", "")


def test_a_closed_output_is_an_error():
    code, _, err = shell(f"{COMMAND} policies >&-")
    assert code == 2 and err == "edgecache: standard output is closed, so nothing can be printed\n"
    code, _, err = shell(f"{COMMAND} policies > /dev/full")
    assert code == 2 and err == "edgecache: output: No space left on device\n"


def test_closed_errors_and_input_are_no_error():
    code, out, _ = shell(f"{COMMAND} simulate --policies lru --slots 5 --replications 1 --format csv 2>&- <&-")
    assert code == 0 and out.startswith("policy,total_cost,")


def test_starting_is_quick_for_nothing_slow_is_imported():
    """Half a second is the promise; which modules are loaded is what decides it, and does not hang on the machine."""
    for arguments in (["--help"], ["--version"], ["policies"]):
        listing = f"import sys; sys.argv = ['edgecache', *{arguments}]\nfrom edgecache.cli.main import main\n"
        listing += "try: main()\nfinally: print({'numpy', 'pandas', 'numba', 'joblib'} & set(sys.modules), file=sys.stderr)"
        done = subprocess.run([sys.executable, "-c", listing], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "set()\n")


def test_neither_home_nor_package_can_be_written(tmp_path):
    """As in a container: Numba keeps what it compiles in a folder of the user's among the temporary ones."""
    package, home, temporary = tmp_path / "edgecache", tmp_path / "home", tmp_path / "temporary"
    package.mkdir()
    shutil.copy(ROOT / "edgecache/__init__.py", package)
    (package / "kernel.py").write_text("from numba import njit\n@njit('f8(f8)', cache=True)\ndef twice(x):\n    return 2 * x\n")
    home.mkdir()
    temporary.mkdir()
    package.chmod(0o555)
    home.chmod(0o555)
    environment = {"HOME": home, "TMPDIR": temporary, "PYTHONPATH": tmp_path, "XDG_CACHE_HOME": "", "PYTHONDONTWRITEBYTECODE": "1"}
    unprivileged = "setpriv --bounding-set=-dac_override " if os.geteuid() == 0 else ""  # root writes everywhere otherwise
    code = 'import os; from edgecache import kernel; print(kernel.twice(2), os.environ["NUMBA_CACHE_DIR"])'
    line = f"cd {home}; unset NUMBA_CACHE_DIR; {unprivileged}{sys.executable} -c '{code}'"
    environment = {name: str(value) for name, value in environment.items()}
    cache = temporary / f"edgecache-{os.getuid()}"
    assert shell(line, **environment) == (0, f"4.0 {cache}\n", "")
    assert cache.stat().st_mode & 0o777 == 0o700 and list(cache.rglob("*.nbc"))
    # another user may have made that folder, and would have Numba run what lies there
    cache.chmod(0o777)
    code, out, err = shell(line, **environment)
    private = out.split()[1]
    assert (code, err) == (0, "") and private != str(cache) and private.startswith(str(temporary))
    assert not os.path.exists(private), "removed at exit"


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
