"""The site of `make report`: whole, offline, readable at any width, true to the README and the notebooks; or refused."""

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
from support.browser import CHROMIUM, LOADED, NO_CHROMIUM, Visitor
from support.fake_backend import made_profile

from edgecache import InputError
from edgecache.profiling.comparisons import compare, format_comparison
from edgecache.profiling.profile_files import read_profile, write_profile

pytest.importorskip("sphinx", reason="the extra docs is not installed")
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "docs/extensions")]
import report  # noqa: E402
from mathml import mathml  # noqa: E402
from report_machine import write_page  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb") if path.stem != "index")
PARTS = ("docs", "notebooks", "figures", "data")
TABLES = ["profile.csv", "profile-records.csv", "profile-summary.csv", "profile-machine.json"]


def checkout(folder: Path) -> Path:
    """What the site is built of, copied."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part)
    for page in ROOT.glob("*.md"):
        shutil.copyfile(page, folder / page.name)
    for name in ("LICENSE", "CITATION.cff"):
        shutil.copyfile(ROOT / name, folder / name)
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


def profiled(folder: Path, replayed: bool = True) -> Path:
    """What `make profile` leaves in a folder."""
    write_profile(made_profile(), folder / "profile.csv")
    if replayed:
        played().to_csv(folder / "profile-replay.csv", index=False)
    return folder / "profile.csv"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site of a checkout in which `make profile` has run; Sphinx warns of nothing."""
    root = checkout(tmp_path_factory.mktemp("checkout"))
    (root / "build/profile").mkdir(parents=True)
    profiled(root / "build/profile")
    report.build(root / "build/report", root)
    assert sorted(path.name for path in (root / "build").iterdir()) == ["doctrees", "measured", "profile", "report"]
    return root / "build/report"


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    """The pages, by their paths; Sphinx's own page of search results, which a script fills, left out."""
    found = {str(path.relative_to(site)): path for path in sorted(site.rglob("*.html"))}
    return {name: BeautifulSoup(path.read_text(), "html.parser") for name, path in found.items() if name != "search.html"}


def test_there_is_a_page_for_every_notebook_and_every_page_of_docs(pages):
    for name in NOTEBOOKS:
        title = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"][0]["source"][0].strip("# \n")
        page = pages[f"notebooks/{name}.html"]
        assert [heading.get_text().removesuffix("¶").strip() for heading in page.select("main h1, article h1")] == [title]
    assert {str(path.relative_to(ROOT).with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")} <= set(pages)
    assert all(page.html["lang"] == "en" and page.title.get_text() for page in pages.values())
    assert pages["index.html"].select_one("meta[http-equiv]")["content"] == "0; url=README.html"


def test_the_front_page_begins_with_the_figure_and_leads_to_every_page(pages):
    front = pages["README.html"]
    first = front.select_one("article img")
    assert "headline-cost-and-delay" in first["src"] and len(first["alt"]) > 30
    assert first.find_parent("p").find_next_sibling("p").em
    linked = {unquote(link["href"]).split("#")[0] for link in front.select(".sidebar-tree a")}
    assert set(pages) - {"index.html", "README.html", "notebooks/index.html"} <= linked


def test_every_link_and_picture_resolves(site, pages):
    ids = {name: {part["id"] for part in page.select("[id]")} for name, page in pages.items()}
    followed = 0
    for name, page in pages.items():
        for part in page.select("article a[href], article img[src]"):
            target = urlsplit(part.get("href") or part.get("src"))
            if target.scheme:
                assert target.scheme in ("https", "data"), f"{name} links {part}"
                continue
            file = (site / name).parent / unquote(target.path) if target.path else site / name
            assert file.resolve().is_file(), f"{name} links {target.path}"
            other = str(file.resolve().relative_to(site.resolve()))
            if target.fragment and other in ids:
                assert unquote(target.fragment) in ids[other], f"{name} links {target.path}#{target.fragment}"
            followed += 1
    assert followed > 200


def test_nothing_is_loaded_from_another_host(site, pages):
    for name, page in pages.items():
        loaded = [part.get(key) for part in page.select("*") for key in ("src", "srcset", "data", "poster") if part.get(key)]
        loaded += [link["href"] for link in page.select("link[href]")]
        assert not [url for url in loaded if re.match(r"(\w+:)?//", url)], name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", sheet.read_text()), sheet.name


def test_figures_have_titles_and_pictures_are_described(pages):
    titles = pd.read_csv(ROOT / "tools/blocks/titles.csv")
    shown = [heading.get_text().removesuffix("¶") for heading in pages["docs/figures.html"].select("article h2")]
    assert len(shown) > 20 and set(shown) <= set(titles["title"])
    images = [image for name, page in pages.items() for image in page.select("article img")]
    assert len(images) > len(shown)
    assert not [image["alt"] for image in images if len(image["alt"]) < 8 or ".png" in image["alt"]]


def test_formulas_are_mathml_and_equations_have_their_numbers(pages):
    for name, page in pages.items():
        prose = [text for text in page.select_one("article, main").find_all(string=True) if not text.find_parent(["pre", "code"])]
        assert not [text for text in prose if re.search(r"\$[^$]+\$", text) or (text.find_parent("math") and "\\" in text)], name
    for name in ("docs/model.html", "notebooks/02-system-model.html"):
        assert [part["id"] for part in pages[name].select(".formula[id]")] == [f"eq-{number}" for number in range(1, 13)]


@pytest.mark.parametrize(
    "formula", [r"\frac{1", r"\frac{1}", r"\unknown x", r"\left( x", "x_", "a } b", "{a", r"\begin{aligned} a &= b \end{aligned}"]
)
def test_bad_formulas_are_refused(formula):
    with pytest.raises(ExtensionError, match=r"^07-new: cannot render the formula") as caught:
        mathml(formula, "block", "07-new")
    assert repr(formula) in str(caught.value) and "\n" not in str(caught.value)


def test_every_public_name_is_in_the_reference(pages):
    import edgecache

    shown = {part["id"] for part in pages["docs/api.html"].select("dt[id]")}
    tables = {"BOUNDS", "PAPER", "POLICIES", "READINGS", "__version__"}  # that is no function and no class
    assert {f"edgecache.{name}" for name in set(edgecache.__all__) - tables} <= shown
    assert len(pages["docs/modules.html"].select("dt[id]")) > 200


def test_what_was_measured_on_this_machine_is_shown_with_its_tables(site, pages):
    page, measured = pages["build/measured/index.html"], site.parent / "profile"
    text = page.select_one("article").get_text()
    for printed in (read_profile(measured / "profile.csv").report(), format_comparison(compare(played()))):
        assert " ".join(printed.split()) in " ".join(text.split())
    links = {link.get_text(): link["href"] for link in page.select("article a") if "_downloads" in link["href"]}
    for table in (*TABLES, "profile-replay.csv"):
        assert (site / "build/measured" / links[table]).read_bytes() == (measured / table).read_bytes()
    assert {"fig1-service-delay-here.pdf", "replay-here.pdf"} <= set(links) and len(page.select("article img")) == 2


def test_without_a_profile_the_page_says_what_to_run_and_without_a_replay_there_is_one_figure(tmp_path):
    write_page(tmp_path / "none/profile.csv", tmp_path / "page")
    assert "Run `make profile`" in (tmp_path / "page/index.md").read_text()
    (tmp_path / "profile").mkdir()
    write_page(profiled(tmp_path / "profile", replayed=False), tmp_path / "page")
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == sorted(
        ["fig1-service-delay-here.pdf", "fig1-service-delay-here.png", "index.md", *TABLES]
    )


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
def test_a_damaged_profile_is_one_sentence(tmp_path, damage):
    profile, (name, change) = profiled(tmp_path), DAMAGES[damage]
    file = tmp_path / name
    if change is None:
        file.unlink()
    else:
        file.write_text(change(file.read_text()))
    with pytest.raises((InputError, OSError)) as caught:
        write_page(profile, tmp_path / "page")
    assert "\n" not in str(caught.value) and "profile" in str(caught.value)


def test_a_warning_is_one_sentence_and_the_old_site_stays(tmp_path, monkeypatch, capsys):
    """With a small checkout, whose only page links to a page that is not there."""
    for part in PARTS:
        (tmp_path / part).mkdir()
        (tmp_path / part / "kept.txt").write_text("x")
    (tmp_path / "data/results").mkdir()
    (tmp_path / "data/results/kept.txt").write_text("x")
    for name in ("extensions", "static"):
        shutil.copytree(ROOT / "docs" / name, tmp_path / "docs" / name)
    shutil.copyfile(ROOT / "docs/conf.py", tmp_path / "docs/conf.py")
    (tmp_path / "README.md").write_text("# A page\n\nSee [another](nowhere.md).\n")
    (tmp_path / "build/report").mkdir(parents=True)
    (tmp_path / "build/report/index.html").write_text("old")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as stopped:
        report.main()
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and told.startswith("report: ") and told.count("\n") == 1 and "WARNING" in told
    assert (tmp_path / "build/report/index.html").read_text() == "old"
    assert not [path for path in (tmp_path / "build").iterdir() if path.name.startswith("report-")]


def test_without_a_checkout_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as stopped:
        report.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"report: there is nothing in {tmp_path / 'docs'}: the report needs a whole checkout\n"


# pages of every kind: the front page, formulas, wide tables, pictures, the reference, notebooks with and without widgets
ACCESSIBLE = (
    "README.html", "docs/model.html", "docs/claims.html", "docs/figures.html", "docs/api.html", "docs/guides/policy.html",
    "notebooks/02-system-model.html", "notebooks/05-optimality.html", "notebooks/explorer.html", "build/measured/index.html",
)  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
@pytest.mark.parametrize("width", [1280, 800, 390])
def test_the_site_reads_well_and_asks_nobody_for_anything(chromium, site, pages, width):
    visitor = Visitor(chromium, f"file://{site}/index.html", width)
    visitor.page.wait_for_url("**/README.html")
    if width == 1280:
        visitor.shoot("report")
    for name in pages:
        visitor.page.goto(f"file://{site}/{name}", wait_until="load" if name != "index.html" else "commit")
        if name == "index.html":
            visitor.page.wait_for_url("**/README.html")
        if width == 1280 and name in ACCESSIBLE:
            assert visitor.accessible() == [], name
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        assert visitor.page.evaluate(LOADED), name
    assert not visitor.wrong
    visitor.context.close()
