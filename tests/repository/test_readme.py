"""The README's numbers come from committed tables, and its code runs as written; the committed ledger is what its command gives."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from edgecache.claims import ledger
from edgecache.claims.statements import CLAIMS
from edgecache.cli.main import main
from edgecache.files import write_table
from edgecache.scenario import NAMED

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.strip()]


def test_numbers_are_those_of_the_committed_tables(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["readme.py", "--check"])
    runpy.run_path(str(ROOT / "tools/readme.py"), run_name="__main__")  # exits where they are others


def test_python_runs_as_written():
    shared = {}
    blocks = [text for kind, text in BLOCKS if kind == "python"]
    assert len(blocks) >= 3
    for text in blocks:
        exec(compile(text, "README.md", "exec"), shared)
    assert len(shared["table"]) == 2 * 2 * 2 * 5


EDGECACHE = [command for command in COMMANDS if command.startswith("edgecache")]
KINDS = {command.split()[1]: command for command in reversed(EDGECACHE)}  # the first of each subcommand


@pytest.mark.parametrize("command", [command for command in EDGECACHE if "claims" not in command])
def test_commands_run_as_written(command, capsys, monkeypatch):
    """The first of each subcommand in a process of its own, as a user runs it; the others differ in their options alone."""
    program, *arguments = shlex.split(command)
    if command in KINDS.values():
        done = subprocess.run([f"{sys.prefix}/bin/{program}", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        code, out, err = called(command, capsys, monkeypatch)
    assert code == 0, err
    assert out.strip()
    assert ("total_cost" in out) == ("simulate" in command)


def called(command, capsys, monkeypatch):
    """The exit code of a command in this process, and what it prints to standard output and error."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0, *capsys.readouterr()


def test_the_claims_command_gives_the_committed_ledger(tmp_path, capsys, monkeypatch):
    """The command runs as written, and what it simulates for that is what is committed; simulated once, for it takes a while.

    Written as `make readings` writes it, so to six digits; the slower readings are made by the same code.
    """
    (command,) = [command for command in EDGECACHE if "claims" in command]
    assert command == "edgecache claims --reading literal --format md"
    tables, whole = [], ledger.play_ledger

    def kept(*arguments, **setting):
        tables.append(whole(*arguments, **setting | {"jobs": 1}))  # the same at any number: test_ledger.py
        return tables[-1]

    monkeypatch.setattr(ledger, "play_ledger", kept)
    code, out, err = called(command, capsys, monkeypatch)
    assert (code, err) == (0, "") and out.count("\n") == len(CLAIMS) + 2 and "total_cost" not in out
    (table,) = tables
    given, committed = write_table(table, tmp_path / "claims.csv"), pd.read_csv(ROOT / "data/results/claims.csv")
    assert_frame_equal(committed[committed["reading"] == "literal"].reset_index(drop=True), given)
    assert list(dict.fromkeys(committed["reading"])) == list(NAMED)
    assert (committed.groupby("reading")["replications"].max() >= 200).all()


def test_make_commands_exist():
    makes = [command.split()[1] for command in COMMANDS if command.startswith("make")] + re.findall(r"`make (\w+)`", README)
    assert {"figures", "test", "bench", "lab"} <= set(makes)
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in makes:
        assert f"make {target} " in listed


def test_links_and_switches_exist():
    from edgecache import READINGS

    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    for switch, words in READINGS.items():
        assert f"| `{switch}` | {', '.join(f'`{word}`' for word in words)} |" in README
