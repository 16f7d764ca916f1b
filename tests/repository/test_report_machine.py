"""The report's section on this machine: there where `make profile` has run, whole, linked, the same at every build; or refused."""

import json
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from support.fake_backend import made_profile

from edgecache import InputError
from edgecache.profiling.comparisons import compare, format_comparison
from edgecache.profiling.profile_files import read_profile, write_profile

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import report  # noqa: E402
from report_machine import measured_here  # noqa: E402

TABLES = ["profile.csv", "profile-records.csv", "profile-summary.csv", "profile-machine.json"]
HERE = {"fig1-service-delay-here": TABLES, "replay-here": ["profile-replay.csv"]}


def checkout(folder: Path) -> Path:
    """The least that a report can be built of: a notebook, its figures and tables, and the README."""
    for part in ("notebooks", "figures", "data/results", "build"):
        (folder / part).mkdir(parents=True)
    name = "02-system-model"
    shutil.copyfile(ROOT / f"notebooks/{name}.ipynb", folder / f"notebooks/{name}.ipynb")
    code = (ROOT / f"notebooks/{name}.ipynb").read_text()
    for figure in (ROOT / "figures").glob("*.p*"):
        if f'\\"{figure.stem}\\"' in code:
            shutil.copyfile(figure, folder / "figures" / figure.name)
    for table in (ROOT / "data/results").glob("algorithm1*"):
        shutil.copyfile(table, folder / "data/results" / table.name)
    shutil.copyfile(ROOT / "README.md", folder / "README.md")
    return folder


def played() -> pd.DataFrame:
    """A replay without any: two policies, six requests each."""
    rng, rows = np.random.default_rng(0), []
    for policy in ("lru", "ga"):
        for request in range(6):
            missed = request % 2 == 0
            parts = {"transmission_s": 0.5 * missed, "load_predicted_s": 1.0 * missed, "run_predicted_s": 0.25}
            load, ran = (parts[f"{name}_predicted_s"] * np.exp(0.1 * rng.standard_normal()) for name in ("load", "run"))
            rows.append({
                "policy": policy, "request": request, "slot": request, "service": "text_to_speech",
                "outcome": "fetched" if missed else "hit", "evicted": "", "predicted_s": sum(parts.values()),
                "measured_s": parts["transmission_s"] + load + ran, **parts, "load_s": load, "run_s": ran, "cold": "yes",
                "memory_bytes": 1e9, "memory_predicted_bytes": 1.1e9, "budget_bytes": 2e9,
            })  # fmt: skip
    return pd.DataFrame(rows)


def profiled(root: Path, replayed: bool = True) -> Path:
    """The checkout after `make profile`."""
    write_profile(made_profile(), root / "build/profile/profile.csv")
    if replayed:
        played().to_csv(root / "build/profile/profile-replay.csv", index=False)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A checkout with a profile, and the report that was built there."""
    folder = tmp_path_factory.mktemp("checkout")
    (checkout(folder) / "build/profile").mkdir()
    report.build(profiled(folder) / "build/report", folder)
    return folder


@pytest.fixture
def index(root) -> BeautifulSoup:
    return BeautifulSoup((root / "build/report/index.html").read_text(), "html.parser")


def test_the_section_has_both_figures_with_their_tables_and_numbers(root, index):
    site, heading = root / "build/report", index.find("h2", string="Measured on this machine")
    assert heading and "make profile" in heading.find_next("p").get_text()
    profile = read_profile(root / "build/profile/profile.csv")
    for name, tables in HERE.items():
        card = index.find("figure", id=name)
        links = [link["href"] for link in card.select("a")]
        assert links == [f"figures/{name}.png", f"figures/{name}.pdf", *(f"tables/{table}" for table in tables)]
        assert card.img["src"] == links[0] and len(card.img["alt"]) > 30
        assert index.find(id=card.img["aria-describedby"]).name == "pre"
        for table in tables:
            assert (site / "tables" / table).read_bytes() == (root / "build/profile" / table).read_bytes()
        assert (site / f"figures/{name}.png").read_bytes()[:4] == b"\x89PNG" and (site / f"figures/{name}.pdf").stat().st_size
    assert profile.machine in index.find("figure", id="fig1-service-delay-here").get_text()
    for name, printed in (("fig1-service-delay-here", profile.report()), ("replay-here", format_comparison(compare(played())))):
        shown = index.find(id=f"printed-{name}").get_text()
        assert shown.split() == printed.split() and shown.count("\n") == printed.count("\n")


def test_it_stands_before_the_figures_of_the_notebooks_and_is_none_of_them(index):
    headings = [heading.get_text() for heading in index.select("main h2")]
    assert headings.index("Measured on this machine") == headings.index("The figures") - 1
    assert not {card["id"] for card in index.select(".figures figure")} & set(HERE)


def test_every_link_resolves_and_every_name_is_there_once(root, index):
    ids = [part["id"] for part in index.select("[id]")]
    assert len(ids) == len(set(ids))
    section = index.find("h2", string="Measured on this machine").find_next_siblings()
    followed = 0
    for part in (found for sibling in section for found in sibling.select("a[href], img[src], [aria-describedby]")):
        target = urlsplit(part.get("href") or part.get("src") or "")
        assert not target.scheme and not target.path.startswith("/")
        assert (root / "build/report" / (unquote(target.path) or "index.html")).is_file(), target.path
        assert part.get("aria-describedby", ids[0]) in ids
        followed += 1
    assert followed >= 2 * 2 + 5
    page = (root / "build/report/index.html").read_text()
    assert str(root) not in page and not re.search(r"<(script|iframe|style)", page)


def test_without_a_profile_there_is_no_section(root, tmp_path):
    """And a site that had one loses it with the profile."""
    with_one = root / "build/report"
    folder = checkout(tmp_path)
    shutil.copytree(with_one, folder / "build/report")
    report.build(folder / "build/report", folder)
    page = (folder / "build/report/index.html").read_text()
    assert "Measured on this machine" not in page and "-here" not in page
    files = {path.relative_to(folder / "build/report") for path in (folder / "build/report").rglob("*.*")}
    with_files = {path.relative_to(with_one) for path in with_one.rglob("*.*")}
    assert {path.name for path in with_files - files} == {
        *(f"{name}.{ending}" for name in HERE for ending in ("png", "pdf")), *TABLES, "profile-replay.csv",
    }  # fmt: skip


def test_without_a_replay_there_is_its_figure_no_more(root, tmp_path):
    for folder in ("tables", "figures"):
        (tmp_path / "site" / folder).mkdir(parents=True)
    (tmp_path / "build/profile").mkdir(parents=True)
    shown = measured_here(profiled(tmp_path, replayed=False) / "build/profile/profile.csv", tmp_path / "site")
    assert [figure.name for figure in shown] == ["fig1-service-delay-here"] and shown[0].tables == tuple(TABLES)
    assert sorted(path.name for path in (tmp_path / "site/tables").iterdir()) == sorted(TABLES)
    assert sorted(path.name for path in (tmp_path / "site/figures").iterdir()) == [
        "fig1-service-delay-here.pdf", "fig1-service-delay-here.png",
    ]  # fmt: skip
    assert measured_here(tmp_path / "none/profile.csv", tmp_path / "site") == []


DAMAGES = {  # which file, and what becomes of it; None: it is removed
    "no machine": ("profile-machine.json", None),
    "a machine without networks": ("profile-machine.json", lambda text: json.dumps(json.loads(text) | {"networks": []})),
    "records of other cells": ("profile-records.csv", lambda text: text + "," * 30 + "\n"),
    "no summary": ("profile-summary.csv", None),
    "an empty replay": ("profile-replay.csv", lambda text: ""),
    "a replay without measurements": ("profile-replay.csv", lambda text: text.replace("measured_s", "measured")),
    "a replay without rows": ("profile-replay.csv", lambda text: text.splitlines()[0] + "\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_profile_is_one_sentence_and_the_old_site_stays(root, tmp_path, monkeypatch, capsys, damage):
    for part in ("notebooks", "figures", "data", "build/profile", "README.md"):
        (shutil.copytree if (root / part).is_dir() else shutil.copyfile)(root / part, tmp_path / part)
    (tmp_path / "build/report").mkdir()
    (tmp_path / "build/report/index.html").write_text("old")
    name, change = DAMAGES[damage]
    file = tmp_path / "build/profile" / name
    if change is None:
        file.unlink()
    else:
        file.write_text(change(file.read_text()))
    monkeypatch.setattr(report, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as stopped:
        report.main()
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and err.startswith("report: ") and err.count("\n") == 1
    assert "build/profile/profile" in err
    assert (tmp_path / "build/report/index.html").read_text() == "old"
    assert sorted(path.name for path in (tmp_path / "build").iterdir()) == ["profile", "report"], "nothing half-built is left"


def test_a_damaged_profile_is_an_input_error(tmp_path):
    (tmp_path / "profile.csv").write_text("service\n")
    with pytest.raises(InputError, match="is no measured profile"):
        measured_here(tmp_path / "profile.csv", tmp_path)
