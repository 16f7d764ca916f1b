"""A Sphinx extension: formulas as MathML, which browsers draw without a script or a font from elsewhere."""

import re
from xml.etree import ElementTree

from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

TAG = re.compile(r"\\tag\{(\w+)\}")
PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}


def mathml(formula: str, display: str, where: str) -> str:
    """The MathML of a LaTeX formula. Raises ExtensionError, naming `where` it stands, if the library does not know all of it."""
    try:
        converted = convert(formula, display=display)
        understood = complete(formula, converted)
    except Exception:  # its errors have no class in common
        understood = False
    if not understood:
        raise ExtensionError(f"{where}: cannot render the formula {formula.strip()!r}; it must be LaTeX that latex2mathml knows")
    return converted


def complete(formula: str, converted: str) -> bool:
    """Was all of the formula understood? The library passes unknown commands as names, missing arguments, and open braces."""
    parts = [(part, part.tag.rpartition("}")[2]) for part in ElementTree.fromstring(converted).iter()]
    unknown = [part for part, tag in parts if tag == "mi" and re.search(r"[\\{}]", part.text or "")]
    short = [tag for part, tag in parts if len(part) != PARTS.get(tag, len(part))]
    return not unknown and not short and len(re.findall(r"(?<!\\){", formula)) == len(re.findall(r"(?<!\\)}", formula))


def _inline(translator, node) -> None:
    translator.body.append(mathml(node.astext(), "inline", translator.builder.current_docname))
    raise _skip()


def _block(translator, node) -> None:
    text, number = TAG.sub("", node.astext()), TAG.search(node.astext())
    formula = mathml(text, "block", translator.builder.current_docname)
    name = f"({number[1]})" if number else ""
    label = f"Equation {number[1]}" if number else "Formula"
    anchor = f' id="eq-{number[1]}"' if number else ""
    translator.body.append(
        f'<div class="formula" role="group" tabindex="0" aria-label="{label}"{anchor}>{formula}<span>{name}</span></div>'
    )
    raise _skip()


def _skip() -> Exception:
    from docutils.nodes import SkipNode

    return SkipNode()


def setup(app: Sphinx) -> dict:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
