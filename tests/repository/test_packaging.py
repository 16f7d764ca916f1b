"""What stands beside the package: the lock, environment.yml, the notebooks as committed, and their parameters."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "notebooks/index.ipynb"
NOTEBOOKS = sorted(set(INDEX.parent.glob("*.ipynb")) - {INDEX})  # in reading order


def test_the_lock_names_no_host_and_pins_every_hash():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pins = re.split(r"\n(?=\S)", lock.strip())
    assert len(pins) > 50
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)
    locked = {pin.split("==")[0] for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    extras = project["project"]["optional-dependencies"]
    assert "torch" in extras  # the one extra that is not locked: which build of torch fits is the user's to choose
    wanted += [name for extra, names in extras.items() for name in names if extra != "torch"]
    assert {re.match(r"[\w.-]+", requirement).group() for requirement in wanted} <= locked


def test_environment_yml_is_up_to_date():
    subprocess.run([sys.executable, ROOT / "tools/environment.py", "--check"], check=True)
    packages = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert any(isinstance(name, str) and name.startswith("matplotlib-base") for name in packages)


def test_the_version_is_one_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## {version} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_code_is_formatted_and_linted():
    for command in (["check"], ["format", "--check"]):
        subprocess.run([f"{sys.prefix}/bin/ruff", *command, "-q", ROOT], check=True)


def test_imports_run_one_way():
    """The contract of import-linter in pyproject.toml: which room may import which."""
    subprocess.run([f"{sys.prefix}/bin/lint-imports", "--no-cache"], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_executed_and_normalised(path):
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), "run `make notebooks`"
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    texts = [output for output in outputs if output["output_type"] == "stream" or "text/plain" in output.get("data", {})]
    assert len(texts) >= 5, "nbval compares text alone"
    assert "widgets" not in notebook["metadata"] and not [cell for cell in code if "execution" in cell["metadata"]]
    parameters = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert len(parameters) == 1
    title = notebook["cells"][0]["source"]
    assert "".join(title).splitlines()[0].endswith("?"), "a notebook answers one question"


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem[:2].isdigit()], ids=lambda path: path.stem)
def test_full_size_parameters_are_known_and_give_at_least_30_replications_a_point(path):
    import papermill

    declared = papermill.inspect_notebook(str(path))
    full = yaml.safe_load((ROOT / "notebooks/params" / f"{path.stem}.yaml").read_text())
    assert set(full) <= set(declared)
    assert {"figures_folder", "results_folder"} <= set(declared)
    if "jobs" in declared:
        assert full["replications"] >= 30


def test_the_index_links_every_notebook_in_reading_order_with_its_question():
    cells = json.loads(INDEX.read_text())["cells"]
    assert {cell["cell_type"] for cell in cells} == {"markdown"}
    text = "\n".join("".join(cell["source"]) for cell in cells)
    rows = re.findall(r"^\| \[.*?\]\((.*?)\) \| (.*?) \|", text, re.MULTILINE)
    questions = {path.name: json.loads(path.read_text())["cells"][0]["source"][0].strip("# \n") for path in NOTEBOOKS}
    questions.setdefault("explorer.ipynb", "Why does a smaller GPU change the ranking?")  # until it is there
    assert rows == list(questions.items())
    assert [target for target in re.findall(r"\]\((.*?)\)", text) if target.endswith(".ipynb")] == list(questions)
    assert "(../README.md)" in text and "(../build/report/index.html)" in text
