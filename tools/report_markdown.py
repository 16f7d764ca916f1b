"""Markdown to HTML for the report: formulas as MathML, links to notebooks as links to their pages."""

import re
from pathlib import Path
from xml.etree import ElementTree

import jinja2
from bs4 import BeautifulSoup
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from edgecache.errors import InputError

PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}


def mathml(formula: str, display: str, where: str) -> str:
    """The MathML of a LaTeX formula; an InputError that names `where` it stands if the library does not understand all of it."""
    try:
        converted = convert(formula, display=display)
        understood = complete(formula, converted)
    except Exception:  # its errors have no class in common
        understood = False
    if not understood:
        raise InputError(f"{where}: cannot render the formula {formula.strip()!r}; it must be LaTeX that latex2mathml knows")
    return converted


def complete(formula: str, converted: str) -> bool:
    """Was all of the formula understood? The library passes unknown commands as names, missing arguments, and open braces."""
    parts = [(part, part.tag.rpartition("}")[2]) for part in ElementTree.fromstring(converted).iter()]
    unknown = [part for part, tag in parts if tag == "mi" and re.search(r"[\\{}]", part.text or "")]
    short = [tag for part, tag in parts if len(part) != PARTS.get(tag, len(part))]
    return not unknown and not short and len(re.findall(r"(?<!\\){", formula)) == len(re.findall(r"(?<!\\)}", formula))


class Renderer(IPythonRenderer):
    """The markdown of `where`: nbconvert's, but for formulas and for links to notebooks."""

    def __init__(self, where: str):
        super().__init__(escape=False, exclude_anchor_links=True)
        self.where = where

    def block_math(self, body: str) -> str:
        return mathml(body, "block", self.where)

    def inline_math(self, body: str) -> str:
        return mathml(body, "inline", self.where)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block", self.where)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, re.sub(r"^([\w-]+)\.ipynb", r"\1.html", url), title)


def html(markdown: str, where: str) -> str:
    """The markdown as HTML."""
    return MarkdownWithMath(renderer=Renderer(where)).render(markdown)


def text(markdown: str, where: str) -> str:
    """The markdown as one line of plain text."""
    return " ".join(BeautifulSoup(html(markdown, where), "html.parser").get_text().split())


class Exporter(HTMLExporter):
    """nbconvert's, with the templates of tools/report and the markdown above."""

    def __init__(self):
        here = str(Path(__file__).parent)
        super().__init__(template_name="report", template_file="notebook.html.j2", extra_template_basedirs=[here])

    @jinja2.pass_context
    def markdown2html(self, context, source: str) -> str:
        return html(source, context["resources"]["page"].name)
