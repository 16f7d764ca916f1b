"""The report: whole, offline, true to the README and the notebooks, and refused where a piece is wrong."""

import json
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure

from edgecache.errors import InputError
from edgecache.figures import save
from edgecache.figures.output import source_tables

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import report  # noqa: E402
from report_figures import gallery  # noqa: E402
from report_markdown import mathml  # noqa: E402

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb") if path.stem != "index")
FIGURES = sorted(path.stem for path in (ROOT / "figures").glob("*.png"))
TABLES = sorted(path.name for path in (ROOT / "data/results").iterdir())


def checkout(folder: Path) -> Path:
    """What the report reads of the checkout, copied."""
    for part in ("notebooks", "figures", "data/results"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copyfile(ROOT / "README.md", folder / "README.md")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    root = checkout(tmp_path_factory.mktemp("checkout"))
    report.build(root / "build/report", root)
    return root / "build/report"


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    return {path.name: BeautifulSoup(path.read_text(), "html.parser") for path in sorted(site.glob("*.html"))}


def test_there_is_a_page_for_every_notebook_and_nothing_is_left_over(site, pages):
    assert sorted(pages) == sorted(["index.html", *(f"{name}.html" for name in NOTEBOOKS)])
    assert sorted(path.name for path in site.parent.iterdir()) == ["report"]
    for name in NOTEBOOKS:
        title = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"][0]["source"][0].strip("# \n")
        page = pages[f"{name}.html"]
        assert [heading.get_text() for heading in page.select("h1")] == [title]
        assert title in page.title.get_text() and page.html["lang"] == "en" and page.main


def test_every_link_and_anchor_resolves(site, pages):
    ids = {name: [part["id"] for part in page.select("[id]")] for name, page in pages.items()}
    assert all(len(found) == len(set(found)) for found in ids.values())
    followed = 0
    for name, page in pages.items():
        for part in page.select("a[href], img[src], link[href], [aria-describedby]"):
            target = urlsplit(part.get("href") or part.get("src") or f"#{part['aria-describedby']}")
            if not target.scheme:
                assert not target.path.startswith("/")
                file = unquote(target.path) or name
                assert (site / file).is_file(), f"{name} links {file}"
                assert not target.fragment or target.fragment in ids[file], f"{name} links {file}#{target.fragment}"
                followed += 1
            if "aria-describedby" in part.attrs:
                assert part["aria-describedby"] in ids[name]
    assert followed > 5 * len(FIGURES)


def test_nothing_is_loaded_from_another_host_and_no_script_runs(site, pages):
    for name, page in pages.items():
        assert not page.select("script, iframe, object, embed, base, [onclick], [onload], style"), name
        loaded = [part.get(key) for part in page.select("*") for key in ("src", "srcset", "data", "poster") if part.get(key)]
        loaded += [part["href"] for part in page.select("link")]
        assert not [url for url in loaded if re.match(r"(\w+:)?//", url)], name
        assert {urlsplit(link["href"]).scheme for link in page.select("a[href]")} <= {"", "https"}, name
    assert not re.search(r"url\(|@import|//", re.sub(r"/\*.*?\*/", "", (site / "report.css").read_text()))


def test_the_gallery_has_every_figure_once_with_its_notebook_and_tables(site, pages):
    cards = pages["index.html"].select(".figures figure")
    assert sorted(card["id"] for card in cards) == FIGURES
    for card in cards:
        name, links = card["id"], [link["href"] for link in card.select("a")]
        assert links[:2] == [f"figures/{name}.png", f"figures/{name}.pdf"] and card.img["src"] == links[0]
        assert card.img["alt"].startswith(name.replace("-", " ")) and card.img["loading"] == "lazy"
        notebook, cell = re.fullmatch(r"([\w-]+)\.html#cell-([\w-]+)", links[2]).groups()
        cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]
        assert f'"{name}"' in "".join(next(found["source"] for found in cells if found["id"] == cell))
        tables = [link.removeprefix("tables/") for link in links if link.startswith("tables/")]
        assert set(tables) <= set(TABLES) and tables == source_tables(ROOT / f"figures/{name}.png")
    order = [card.select("a")[2]["href"] for card in cards]
    assert order == sorted(order)


def test_figures_are_found_by_the_cell_that_saves_them_and_others_refused(tmp_path):
    def cell(name):
        return nbformat.v4.new_code_cell(f'table = read("{name}.csv")\nsave(\n    draw(table),\n    "{name}",\n    folder,\n)')

    for name, tables in (("x-a", None), ("y", ["x-a.csv"]), ("x", ())):
        save(Figure(), name, tmp_path, tables)
    mention = nbformat.v4.new_code_cell('tables = {"y": 1, "x-a": 2}')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Why?"), mention, cell("y"), cell("x-a"), cell("x")])
    found = gallery(tmp_path, ["x-a.csv"], {"07": notebook})
    assert [(figure.name, figure.number, figure.tables) for figure in found] == [
        ("y", 2, ["x-a.csv"]),
        ("x-a", 3, ["x-a.csv"]),
        ("x", 4, []),
    ]
    with pytest.raises(InputError, match=r"07, cell (\d), 08, cell \1"):
        gallery(tmp_path, ["x-a.csv"], {"07": notebook, "08": notebook})
    with pytest.raises(InputError, match=r"is drawn from x-a\.csv, which is not in data/results"):
        gallery(tmp_path, ["z.csv"], {"07": notebook})
    save(Figure(), "z", tmp_path)
    with pytest.raises(InputError, match=r"figures/z\.png is saved by these cells: none"):
        gallery(tmp_path, ["x-a.csv", "z.csv"], {"07": notebook})


def test_images_are_described(pages):
    images = [image for page in pages.values() for image in page.select("img")]
    assert len(images) > len(FIGURES)
    assert not [image["alt"] for image in images if len(image["alt"]) < 15 or "No description" in image["alt"]]
    described = pages["05-optimality.html"].select("img[aria-describedby]")
    assert len(described) >= 5


def test_the_main_results_are_those_of_the_readme(pages):
    main = pages["index.html"].main
    rows = [[cell.get_text() for cell in row.select("th, td")] for row in main.select("tr")]
    told = " ".join(main.get_text().split())
    blocks = re.findall(r"<!-- (\w+): written by [^>]*-->\n(.*?)<!-- end -->", (ROOT / "README.md").read_text(), re.DOTALL)
    blocks = {name: re.sub(r"[`🟩🟥⬜◽]", "", text) for name, text in blocks}
    expected = [line for name in ("gap", "results", "claims") for line in blocks[name].splitlines() if line.startswith("| ")]
    assert rows == [[cell.strip() for cell in line.strip("|").split("|")] for line in expected]
    assert len(rows) > 20
    for name in ("gap", "claims", "search"):
        for paragraph in blocks[name].strip().split("\n\n"):
            assert paragraph.startswith("|") or " ".join(paragraph.split()) in told


def test_formulas_are_mathml(pages):
    for name, page in pages.items():
        prose = [text for text in page.main.find_all(string=True) if not text.find_parent(["pre", "code"])]
        assert not [text for text in prose if "$" in text or (text.find_parent("math") and "\\" in text)], name
    shown = pages["02-system-model.html"].select('math[display="block"]')
    assert [formula.select("mtext")[-1].get_text() for formula in shown] == [f"({number})" for number in range(1, 13)]
    assert len(pages["02-system-model.html"].select('math[display="inline"]')) > 20


@pytest.mark.parametrize(
    "formula", [r"\frac{1", r"\frac{1}", r"\unknown x", r"\left( x", "x_", "a } b", "{a", r"\begin{aligned} a &= b \end{aligned}"]
)
def test_bad_formulas_are_refused(formula):
    with pytest.raises(InputError, match=r"^07-new: cannot render the formula") as caught:
        mathml(formula, "block", "07-new")
    assert repr(formula) in str(caught.value) and "\n" not in str(caught.value)


def test_a_bad_formula_stops_the_build_and_leaves_the_old_site(tmp_path):
    root = checkout(tmp_path)
    path = root / "notebooks/01-profiling.ipynb"
    path.write_text(path.read_text().replace("Section II of the paper", r"Section $\\frac{1$ of the paper", 1))
    (root / "build/report").mkdir(parents=True)
    (root / "build/report/index.html").write_text("old")
    with pytest.raises(InputError, match="01-profiling: cannot render the formula"):
        report.build(root / "build/report", root)
    assert [path.name for path in (root / "build").iterdir()] == ["report"]
    assert (root / "build/report/index.html").read_text() == "old"


def test_a_page_shows_the_outputs_that_the_notebook_was_committed_with(pages):
    for name in NOTEBOOKS:
        cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", []) if output["output_type"] == "stream"]
        shown = pages[f"{name}.html"].get_text().split()
        for output in outputs:
            words = "".join(output["text"]).split()
            assert any(shown[place : place + len(words)] == words for place in range(len(shown))), name


def test_two_builds_are_identical(site):
    first = {path.relative_to(site): path.read_bytes() for path in site.rglob("*.*")}
    report.build(site, site.parent.parent)
    assert {path.relative_to(site): path.read_bytes() for path in site.rglob("*.*")} == first


def test_what_is_missing_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as caught:
        report.main()
    said = f"report: there is nothing in {tmp_path / 'notebooks'}: the report needs a checkout in which `make figures` has run\n"
    assert (caught.value.code, capsys.readouterr().err) == (2, said)
    checkout(tmp_path)
    (tmp_path / "figures/fig2-framework.pdf").unlink()
    with pytest.raises(SystemExit) as caught:
        report.main()
    said = f"report: {tmp_path / 'figures/fig2-framework.pdf'}: No such file or directory\n"
    assert (caught.value.code, capsys.readouterr().err) == (2, said)
    with pytest.raises(InputError, match=r"README\.md has 3 of its generated parts"):
        report.results((ROOT / "README.md").read_text().replace("<!-- gap:", "<!-- gone:"))
