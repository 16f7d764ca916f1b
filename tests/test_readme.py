"""The README's numbers come from committed tables, and its code runs as written."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.strip()]


def test_numbers_are_those_of_the_committed_tables():
    subprocess.run([sys.executable, ROOT / "tools/readme.py", "--check"], check=True)


def test_python_runs_as_written():
    shared = {}
    blocks = [text for kind, text in BLOCKS if kind == "python"]
    assert len(blocks) >= 3
    for text in blocks:
        exec(compile(text, "README.md", "exec"), shared)
    assert len(shared["table"]) == 2 * 2 * 2 * 5


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("edgecache")])
def test_commands_run_as_written(command):
    program, *arguments = shlex.split(command)
    done = subprocess.run([f"{sys.prefix}/bin/{program}", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert ("total_cost" in done.stdout) == ("simulate" in command)


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
