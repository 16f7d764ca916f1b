"""README.md and docs/: numbers come from committed tables, code runs as written, links lead somewhere, sentences are short."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pandas.testing import assert_frame_equal

from edgecache.claims import ledger
from edgecache.claims.statements import CLAIMS
from edgecache.cli.main import main
from edgecache.errors import InputError
from edgecache.files import write_table
from edgecache.scenario import NAMED, READINGS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import metadata  # noqa: E402
import readme  # noqa: E402

GENERATED = readme.pages()
COMMUNITY = [ROOT / f"{name}.md" for name in ("CONTRIBUTING", "CODE_OF_CONDUCT", "SECURITY")]
PAGES = [ROOT / "README.md", *COMMUNITY, *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = {page: CODE.findall(page.read_text()) for page in PAGES}
README = (ROOT / "README.md").read_text()


def named(page):
    """The page as the tests' names have it."""
    return str(page.relative_to(ROOT))


def prose(text):
    """A page's paragraphs and list items, without what is generated, code, tables, formulas, pictures and headings."""
    text = CODE.sub("\n\n", readme.MARK.sub("\n\n", text))
    text = re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)
    text = re.sub(r"^(\||#|!\[).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n|^\s*(?:- |\d+\. )", text, flags=re.MULTILINE) if part.strip()]


@pytest.mark.parametrize("page", GENERATED, ids=named)
def test_numbers_are_those_of_the_committed_tables(page):
    text = page.read_text()
    assert readme.written(text) == text, "run `make readme`"


def test_every_generated_part_is_shown_once_and_an_unknown_one_is_refused():
    shown = [name for page in GENERATED for _, name, _ in readme.MARK.findall(page.read_text())]
    assert sorted(shown) == sorted(readme.BLOCKS)
    with pytest.raises(InputError, match="no generated part 'gone'"):
        readme.written("<!-- gone: written by hand -->\n<!-- end -->\n")


def test_a_changed_number_is_noticed():
    text = README.replace(re.search(r"\| Proposed \(GA\) \| ([\d.]+)", README)[1], "1.0", 1)
    assert text != README and readme.written(text) == readme.written(README)


def test_a_picture_is_the_one_that_is_committed(tmp_path, monkeypatch):
    from blocks import figures

    monkeypatch.setattr(figures, "FIGURES", tmp_path)
    (tmp_path / "some-figure.svg").write_text("<svg/>")
    assert readme.written("![x](figures/some-figure.png) ![y](../figures/other.png)") == (
        "![x](figures/some-figure.svg) ![y](../figures/other.png)"
    )
    with pytest.raises(InputError, match="the figure some-figure has no title"):
        figures.figures()


@pytest.mark.parametrize("page", [page for page in PAGES if any(kind == "python" for kind, _ in BLOCKS[page])], ids=named)
def test_python_runs_as_written(page):
    shared = {}
    for kind, text in BLOCKS[page]:
        if kind == "python":
            exec(compile(text, page.name, "exec"), shared)


COMMANDS = {
    (page, line.split("#")[0].strip())
    for page in PAGES
    for kind, text in BLOCKS[page]
    if kind == "sh"
    for line in text.splitlines()
    if line.strip()
}
EDGECACHE = sorted(command for _, command in COMMANDS if command.startswith("edgecache"))
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
    makes = {command.split()[1] for _, command in COMMANDS if command.startswith("make")}
    makes |= {name for page in PAGES for name in re.findall(r"`make (\w+)`", page.read_text())}
    assert {"figures", "test", "bench", "lab"} <= makes
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in makes:
        assert f"make {target} " in listed


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files(page):
    """Sphinx checks anchors when the site is built."""
    for target in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", CODE.sub("", page.read_text())):
        assert (page.parent / target).exists(), target


def test_every_switch_is_on_the_page_of_the_model():
    text = (ROOT / "docs/model.md").read_text()
    for switch, words in READINGS.items():
        assert f"| `{switch}` | {', '.join(f'`{word}`' for word in words)} |" in text


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_sentences_are_short(page):
    """At most 25 words; a formula or a piece of code counts as one."""
    for part in prose(page.read_text()):
        short = re.sub(r"\$[^$]*\$|`[^`]*`", "x", part)
        for sentence in re.split(r"(?<=[.?!:;])[*\"”)]*\s+(?=[A-Z`*\[x])", short):
            assert len(sentence.split()) <= 25, sentence


def test_the_readme_is_about_900_words_and_begins_with_the_figure_and_the_two_commands():
    text = re.sub(r"^\|.*$", "", re.sub(r"```bibtex.*?```", "", README, flags=re.DOTALL), flags=re.MULTILINE)
    assert 600 <= len(text.split()) <= 950
    places = [README.index(part) for part in ("![", "make figures", "make test", "## What comes out", "## Which claims hold")]
    assert places == sorted(places) and places[0] < 400
    table = [line for line in README.split("<!-- results")[1].split("<!-- end")[0].splitlines() if line.startswith("| ")]
    assert len(table) == 2 + 5


def test_the_readme_has_every_notebook_in_reading_order():
    rows = re.findall(r"^\| \[([\w-]+)\]\(notebooks/\1\.ipynb\)", README, re.MULTILINE)
    assert rows == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb") if path.stem != "index")


def test_metadata_is_that_of_pyproject(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["metadata.py", "--check"])
    metadata.main()  # exits where they are others
    project, citation = metadata.PROJECT, yaml.safe_load((ROOT / "CITATION.cff").read_text())
    codemeta, zenodo = (json.loads((ROOT / name).read_text()) for name in ("codemeta.json", ".zenodo.json"))
    assert codemeta["version"] == zenodo["version"] == citation["version"] == project["version"]
    assert codemeta["softwareRequirements"] == project["dependencies"]
    doi = citation["references"][0]["doi"]
    assert codemeta["referencePublication"]["identifier"].endswith(doi)
    assert zenodo["related_identifiers"][0]["identifier"] == doi
    for part in (doi, project["version"], citation["title"]):
        assert part in README.split("## Cite")[1]


def test_metadata_of_another_version_is_noticed(monkeypatch):
    monkeypatch.setitem(metadata.PROJECT, "version", "99.0")
    monkeypatch.setattr(sys, "argv", ["metadata.py", "--check"])
    with pytest.raises(LookupError, match=r"no heading '## 99\.0"):
        metadata.main()
