"""What stands beside the package: the lock, environment.yml, the notebooks as committed, and their parameters."""

import ast
import doctest
import inspect
import io
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import edgecache

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INDEX = ROOT / "notebooks/index.ipynb"
NOTEBOOKS = sorted(set(INDEX.parent.glob("*.ipynb")) - {INDEX})  # in reading order


@pytest.mark.parametrize("lock", ["requirements.lock", "tools/uv.txt"])
def test_locks_name_no_host_and_pin_every_hash(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    pins = re.split(r"\n(?=\S)", text.strip())
    assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)


def test_the_lock_holds_the_core_and_every_extra_but_torch():
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    assert "torch" in extras  # the one extra that is not locked: which build of torch fits is the user's to choose
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    wanted += [requirement for extra, names in extras.items() for requirement in names if extra != "torch"]
    assert len(locked) > 50 and {re.match(r"[\w.-]+", requirement).group() for requirement in wanted} <= locked | {"edgecache"}


def test_the_core_is_small_and_all_holds_every_extra():
    core = {re.match(r"[\w.-]+", requirement).group() for requirement in PROJECT["project"]["dependencies"]}
    assert core == {"numpy", "scipy", "pandas", "numba", "deap", "joblib", "tqdm", "click"}
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(everything.removeprefix("edgecache[").rstrip("]").split(",")) == set(extras) - {"all", "test", "torch"}


CORE_MODULES = """
import sys
class Core:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Core())
import edgecache, edgecache.cli.main
for name in edgecache.__all__:
    getattr(edgecache, name)
for command in {commands!r}:
    sys.argv = ["edgecache", *command]
    try:
        edgecache.cli.main.main()
    except SystemExit as stopped:
        print(command[0], stopped.code, file=sys.stderr)
"""


def test_the_core_alone_runs_and_names_the_extra_that_a_command_needs(tmp_path, monkeypatch):
    """In a process that finds none of the packages of the extras."""
    log = tmp_path / "own.csv"
    log.write_text("time,model\n0,a\n1,b\n")
    missing = {"jupyterlab", "seaborn", "matplotlib", "papermill", "ipywidgets", "nbval", "nbformat", "nbclient", "yaml", "psutil"}
    missing |= {"SALib", "pyarrow", "pooch", "onnx", "onnxruntime", "voila", "dask", "distributed", "bs4", "latex2mathml"}
    quick = ["--slots", "5", "--policies", "lru", "--replications", "1"]
    commands = [["simulate", *quick], ["explain", "--slot", "0"], ["policies"], ["reproduce"], ["app"], ["traces"]]
    commands += [["simulate", *quick, "--demand", "gamma:cv=3+drift"], ["simulate", "--trace", str(log)]]
    commands += [["traces", "gentd26"]]
    monkeypatch.setenv("EDGECACHE_TRACES", str(tmp_path))
    code = CORE_MODULES.format(missing=missing, commands=commands)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [
        "simulate 0", "explain 0", "policies 0",
        "edgecache: edgecache reproduce needs papermill: pip install 'edgecache[notebooks]'", "reproduce 2",
        "edgecache: the page needs voila: pip install 'edgecache[app]'", "app 2",
        "traces 0", "simulate 0",
        "edgecache: reading a request log needs pyarrow: pip install 'edgecache[traces]'", "simulate 2",
        "edgecache: downloading a trace needs pooch: pip install 'edgecache[traces]'", "traces 2",
    ]  # fmt: skip


def test_environment_yml_is_up_to_date():
    subprocess.run([sys.executable, ROOT / "tools/environment.py", "--check"], check=True)
    packages = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert any(isinstance(name, str) and name.startswith("matplotlib-base") for name in packages)


def test_the_version_is_one_everywhere():
    version = PROJECT["project"]["version"]
    assert edgecache.__version__ == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## {version} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_code_is_formatted_and_linted():
    for command in (["check"], ["format", "--check"]):
        subprocess.run([f"{sys.prefix}/bin/ruff", *command, "-q", ROOT], check=True)


def test_imports_run_one_way():
    """The contract of import-linter in pyproject.toml: which room may import which."""
    subprocess.run([f"{sys.prefix}/bin/lint-imports", "--no-cache"], cwd=ROOT, check=True)


def test_one_module_branches_on_how_costs_are_charged():
    """accounting.py and the estimate in costs.py; a demand or a bound may only refuse a reading."""
    branching = {
        str(path.relative_to(ROOT / "edgecache"))
        for path in (ROOT / "edgecache").rglob("*.py")
        if re.search(r"\.(charge|active_cycle|popularity) (==|!=) \"", path.read_text())
    }
    assert branching == {"accounting.py", "costs.py"}


def test_types_are_right(tmp_path):
    """Mypy, as pyproject.toml configures it, finds no error in the package."""
    done = subprocess.run(
        [f"{sys.prefix}/bin/mypy", "--cache-dir", tmp_path], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


# ---- what a reader of the package finds: every public name of the root and of a room


def public_names():
    """(module, name) of the root's and every room's `__all__`."""
    rooms = [
        edgecache,
        *(import_module(f"edgecache.{room.name}") for room in pkgutil.iter_modules(edgecache.__path__) if room.ispkg),
    ]
    return [(room, name) for room in rooms for name in getattr(room, "__all__", ())]


def test_the_root_shows_what_type_checkers_see():
    """Names are imported on first use; the block for type checkers, the table of modules and `__all__` must agree."""
    (block,) = [node for node in ast.parse(Path(edgecache.__file__).read_text()).body if isinstance(node, ast.If)]
    imported = {
        alias.name: f"edgecache.{node.module}" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(imported) | {"__version__"} == set(edgecache.__all__) == set(dir(edgecache))
    for name, module in imported.items():
        assert getattr(edgecache, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match="module 'edgecache' has no attribute 'simulat'"):
        edgecache.simulat  # noqa: B018, the access is the test


@pytest.mark.parametrize(("room", "name"), public_names(), ids=lambda value: getattr(value, "__name__", value))
def test_public_names_have_numpydoc_docstrings(room, name):
    public = getattr(room, name)
    if not callable(public):
        return  # a table or a text
    text = inspect.getdoc(public) or ""
    summary = text.split("\n")[0]
    assert summary.endswith(".") and len(summary.split()) <= 25, "a summary of one sentence"
    sections = set(re.findall(r"^(\w[\w ]*)\n-{3,}$", text, re.MULTILINE))
    if isinstance(public, type) and issubclass(public, Exception):
        return
    signature = inspect.signature(public)
    wanted = {"Examples"} | ({"Parameters"} if signature.parameters and "Attributes" not in sections else set())  # of a dataclass
    if not isinstance(public, type) and signature.return_annotation not in (None, "None"):
        wanted.add("Yields" if "Yields" in sections else "Returns")
    assert wanted <= sections, f"{room.__name__}.{name} has no section {', '.join(sorted(wanted - sections))}"
    for parameter in signature.parameters.values() if "Parameters" in sections else ():
        assert re.search(rf"^\*{{0,2}}([\w, *]*, )?\*{{0,2}}{parameter.name}\b", text, re.MULTILINE), (
            f"{parameter.name} is not described"
        )


def modules():
    found = (module.name for module in pkgutil.walk_packages(edgecache.__path__, "edgecache."))
    return [name for name in found if name != "edgecache.__main__"]


def test_examples_in_docstrings_run(monkeypatch):
    """In the checkout, whose data they read; an example that writes a file makes a temporary folder."""
    monkeypatch.chdir(ROOT)
    tried, failed = 0, []
    for name in modules():
        try:
            module = import_module(name)
        except ImportError:
            continue  # an extra that is not installed
        with redirect_stdout(io.StringIO()) as printed:
            results = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        tried += results.attempted
        failed += [printed.getvalue()] if results.failed else []
    assert not failed, "\n".join(failed)
    assert tried > 0


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


NUMBERED = [path for path in NOTEBOOKS if path.stem[:2].isdigit()]


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_a_notebook_by_hand_overwrites_nothing_that_is_committed_and_has_the_size_of_the_figures(path):
    import papermill

    declared = {name: parameter["default"] for name, parameter in papermill.inspect_notebook(str(path)).items()}
    assert declared["figures_folder"] == '"../build/figures"'
    assert declared.get("results_folder") == '"../build/data/results"' or "write_table" not in path.read_text()
    assert int(declared["replications"]) >= (200 if path.stem[:2] in ("03", "04") else 100)


def test_there_is_one_size():
    """No second set of parameters, and no word about which size one is looking at."""
    assert not (ROOT / "notebooks/params").exists()
    texts = [
        *NOTEBOOKS,
        INDEX,
        ROOT / "README.md",
        ROOT / "Makefile",
        *(ROOT / "tools").rglob("*.*"),
        *(ROOT / "edgecache/cli").glob("*.py"),
    ]
    for path in texts:
        if path.suffix in (".ipynb", ".md", ".py", ".j2", ""):
            assert not re.search(r"quick size|full[ -]size|build/quick|full run", path.read_text()), path.name


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_a_notebook_has_its_answer_under_its_title_and_ends_with_what_we_see(path):
    cells = json.loads(path.read_text())["cells"]
    first = "".join(cells[0]["source"]).split("\n")
    assert first[1] == "" and first[4] == "" and all(re.fullmatch(r"\*\*.*\*\*", line) for line in first[2:4])
    headings = [
        line
        for cell in cells
        if cell["cell_type"] == "markdown"
        for line in "".join(cell["source"]).split("\n")
        if line[:3] == "## "
    ]
    assert headings[-1] == "## What we see"


@pytest.mark.parametrize("path", [*NOTEBOOKS, INDEX], ids=lambda path: path.stem)
def test_notebooks_are_saved_as_jupyterlab_saves_them(path):
    """Byte for byte, with the metadata that it adds; then opening one does not mark it as changed."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    assert nbformat.writes(notebook) + "\n" == path.read_text()
    assert notebook.metadata["kernelspec"] == {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    assert set(notebook.metadata) == {"kernelspec", "language_info"} and notebook.nbformat_minor == 5
    described = {"codemirror_mode", "file_extension", "mimetype", "name", "nbconvert_exporter", "pygments_lexer", "version"}
    assert set(notebook.metadata["language_info"]) == described


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
