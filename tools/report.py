"""Build a static site in build/report/: the executed notebooks, the main results and a gallery of the figures, for any browser.

It needs no network and no JavaScript, is put in place whole or not at all, and is byte-identical from run to run.
"""

import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from pygments.formatters import HtmlFormatter
from report_figures import Figure, gallery
from report_machine import measured_here
from report_markdown import Exporter, html

from edgecache.errors import InputError

ROOT = Path(__file__).parent.parent


@dataclass
class Page:
    """A notebook as the site shows it."""

    name: str
    notebook: nbformat.NotebookNode
    figures: tuple[Figure, ...] = ()

    @property
    def title(self) -> str:
        return self.notebook.cells[0].source.splitlines()[0].removeprefix("# ")


def results(readme: str) -> tuple[str, list[tuple[str, str]]]:
    """The README's first paragraph, and its generated parts with the headings that they stand under, as HTML."""
    sections = []
    for part in re.split(r"^(?=## )|(?<=<!-- end -->)", readme, flags=re.MULTILINE):
        heading = re.match(r"## (.*)\n", part)
        block = re.search(r"<!-- (gap|results|claims|search): [^>]*-->\n(.*?)<!-- end -->", part, re.DOTALL)
        if block:
            markdown = part[heading.end() if heading else 0 : block.start()] + block[2]
            # coloured by the style sheet, for many fonts lack the signs
            markdown = re.sub(r"[🟩🟥⬜◽] (by construction|holds|fails|undecided)", r'<span class="\1">\1</span>', markdown)
            sections.append((heading[1] if heading else "", html(markdown, "README.md")))
    if len(sections) != 4:
        raise InputError(
            f"README.md has {len(sections)} of its generated parts gap, results, claims and search; it must have all 4"
        )
    return html(readme.split("\n\n")[1], "README.md"), sections


def tidied(page: str) -> str:
    """The page with its wide parts in regions that a keyboard can scroll, and without what pandas adds for notebooks."""
    soup = BeautifulSoup(page, "html.parser")
    for style in soup.select("main style"):
        style.decompose()
    for corner in soup.select("th"):
        if not corner.get_text(strip=True):
            corner.name = "td"
    for table in soup.select("main table"):
        del table["border"]
        table.wrap(soup.new_tag("div", attrs={"class": "wide", "role": "group", "tabindex": "0", "aria-label": "Table"}))
    for block in soup.select("main pre"):
        block.attrs |= {"role": "group", "tabindex": "0", "aria-label": "Code" if block.find_parent("details") else "Printed"}
    return str(soup)


def build(out: Path, root: Path):
    """Build the site of the checkout `root` into `out`, which is replaced once everything is there."""
    notebooks = [path for path in (root / "notebooks").glob("*.ipynb") if path.stem != "index"]
    tables = sorted(path.name for path in (root / "data/results").glob("*"))
    figures = sorted((root / "figures").glob("*.png"))
    for folder, files in (("notebooks", notebooks), ("figures", figures), ("data/results", tables)):
        if not files:
            raise InputError(f"there is nothing in {root / folder}: the report needs a checkout in which `make figures` has run")
    in_order = sorted(notebooks, key=lambda path: (not path.stem[:2].isdigit(), path.stem))
    pages = [Page(path.stem, nbformat.read(path, as_version=4)) for path in in_order]
    shown = gallery(root / "figures", tables, {page.name: page.notebook for page in pages})
    for page in pages:
        page.figures = tuple(figure for figure in shown if figure.notebook == page.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="report-", dir=out.parent) as folder:
        site = Path(folder) / "new"
        copy_files(site, root)
        write_pages(site, pages, root)
        if out.exists():
            out.rename(Path(folder) / "old")
        site.rename(out)


def copy_files(site: Path, root: Path):
    """Copy the figures and the tables."""
    figures = sorted((root / "figures").glob("*.png"))
    copied = {
        "figures": [path.with_suffix(ending) for path in figures for ending in (".png", ".pdf")],
        "tables": (root / "data/results").glob("*"),
    }
    for kind, files in copied.items():
        (site / kind).mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, site / kind / file.name)


def write_pages(site: Path, pages: list[Page], root: Path):
    """Write the style sheet, the index with the main results, and a page per notebook."""
    css = (Path(__file__).parent / "report/report.css").read_text()
    (site / "report.css").write_text(css + HtmlFormatter(style="xcode").get_style_defs(".highlight") + "\n")
    here = measured_here(root / "build/profile/profile.csv", site)
    about, sections = results((root / "README.md").read_text())
    exporter = Exporter()
    index = exporter.environment.get_template("gallery.html.j2")
    (site / "index.html").write_text(tidied(index.render(about=about, sections=sections, pages=pages, here=here)))
    for before, page, after in zip([None, *pages[:-1]], pages, [*pages[1:], None], strict=True):
        text, _ = exporter.from_notebook_node(page.notebook, {"page": page, "before": before, "after": after})
        (site / f"{page.name}.html").write_text(tidied(text))


def main():
    """Build it; what is missing or wrong is one sentence on standard error and exit code 2."""
    try:
        build(ROOT / "build/report", ROOT)
    except (InputError, OSError) as error:
        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"report: {message}", file=sys.stderr)
        sys.exit(2)
    print(ROOT / "build/report/index.html")


if __name__ == "__main__":
    main()
