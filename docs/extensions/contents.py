"""A Sphinx extension: the contents of the site, and pages that work by keyboard and with nothing from elsewhere."""

import re
from pathlib import Path

from bs4 import BeautifulSoup
from sphinx.application import Sphinx

CONTENTS = """

```{toctree}
:hidden:
:caption: The paper, questioned

docs/model
docs/claims
docs/figures
```

```{toctree}
:hidden:
:caption: Notebooks
:glob:

notebooks/0*
notebooks/explorer
```

```{toctree}
:hidden:
:caption: Guides

docs/guides/explorer
docs/guides/policy
docs/guides/catalogue
docs/guides/log
docs/guides/server
docs/guides/machine
docs/guides/cluster
docs/guides/paper
```

```{toctree}
:hidden:
:caption: Reference

docs/architecture
docs/api
docs/modules
docs/profiling
docs/benchmarks
build/measured/index
data/README
```

```{toctree}
:hidden:
:caption: The project

CONTRIBUTING
CODE_OF_CONDUCT
SECURITY
CHANGELOG
```
"""
WIDE = {"pre": "Code", "div.table-wrapper": "Table", "div.output": "Output"}
VERDICT = re.compile("[🟩🟥⬜◽] (by construction|holds|fails|undecided)")
LANDMARKS = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="The site">',
    '<aside class="toc-drawer': '<aside aria-label="This page" class="toc-drawer',
}
REDIRECT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>edgecache</title>
<meta http-equiv="refresh" content="0; url=README.html"></head>
<body><main><h1>edgecache</h1><a href="README.html">To the site</a></main></body></html>
"""


def add_contents(app: Sphinx, docname: str, content: list[str]) -> None:
    """Give the front page, which is README.md, the contents of the site."""
    if docname == app.config.root_doc:
        content[0] += CONTENTS


def tidy(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Let a keyboard scroll every wide part of the page, and drop what pandas adds for notebooks."""
    if "body" not in context:
        return
    body = VERDICT.sub(r'<span class="verdict \1">\1</span>', context["body"])  # for many fonts lack the signs
    soup = BeautifulSoup(body, "html.parser")
    for style in soup.select("style"):
        style.decompose()
    for corner in soup.select("th"):
        if not corner.get_text(strip=True):
            corner.name = "td"
    for table in soup.select("table"):
        del table["border"]
        if not table.find_parent(class_="table-wrapper"):
            table.wrap(soup.new_tag("div", attrs={"class": "table-wrapper"}))
    for picture in soup.select(".cell_output img"):
        heading = picture.find_previous(["h1", "h2", "h3"])
        picture["alt"] = f"Figure: {heading.get_text().removesuffix('#').strip()}" if heading else "Figure of this notebook"
    for selector, label in WIDE.items():
        for part in soup.select(selector):
            part.attrs |= {"role": "group", "tabindex": "0", "aria-label": label}
    context["body"] = str(soup)


def keep_columns(app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """Show an indented part of a module's docstring as it stands."""
    for number, line in enumerate(lines[:-2]):
        if what == "module" and line.endswith(":") and not lines[number + 1] and lines[number + 2].startswith("    "):
            lines[number] = f"{line}:"


def finish(app: Sphinx, error: Exception | None) -> None:
    """Lead from index.html to the front page, and tell assistive technology what the theme's parts are."""
    if error is not None:
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text()
        for found, better in LANDMARKS.items():
            text = text.replace(found, better)
        page.write_text(text)
    (Path(app.outdir) / "index.html").write_text(REDIRECT)


def setup(app: Sphinx) -> dict:
    """Register all this."""
    app.connect("source-read", add_contents)
    app.connect("html-page-context", tidy, priority=900)
    app.connect("autodoc-process-docstring", keep_columns)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
