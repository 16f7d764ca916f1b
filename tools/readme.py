"""Write the generated parts of README.md and docs/ from the committed tables and the code; with --check, only compare.

A part stands between `<!-- NAME: written by `make readme` from SOURCE -->` and `<!-- end -->`. `BLOCKS` has its function.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import fill

from blocks import ROOT, citation, figures, ledger, measured, outcomes, reference, search

from edgecache.errors import InputError

BLOCKS: dict[str, Callable[[], str]] = {
    "results": outcomes.results,
    "gap": outcomes.gap,
    "claims": ledger.claims_line,
    "cite": citation.cite,
    "switches": reference.switches,
    "numbers": reference.numbers,
    "named": reference.named,
    "policies": reference.policies,
    "catalogue": reference.catalogue,
    "fields": reference.fields,
    "layers": reference.layers,
    "rooms": reference.rooms,
    "api": reference.api,
    "figures": figures.figures,
    "ledger": ledger.claims,
    "errors": ledger.errors,
    "coverage": ledger.coverage,
    "search": search.search,
    "scopes": search.scopes,
    "shrink": search.shrink,
    "catalogues": search.catalogues,
    "profile": measured.profile,
    "replay": measured.replay,
    "speed": measured.speed,
}
MARK = re.compile(r"(<!-- ([a-z]+): written by [^>]*-->\n).*?(<!-- end -->)", re.DOTALL)
WHOLE = {"break_long_words": False, "break_on_hyphens": False}
PICTURE = re.compile(r"figures/([\w-]+)\.(?:png|svg)\b")


def pages() -> list[Path]:
    """The pages that have generated parts."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if MARK.search(page.read_text())]


def written(text: str) -> str:
    """The page with its generated parts renewed and the pictures that are committed. Raises InputError for an unknown part."""
    for name in MARK.findall(text):
        if name[1] not in BLOCKS:
            raise InputError(f"there is no generated part {name[1]!r}; there are {', '.join(BLOCKS)}")
    text = MARK.sub(lambda found: f"{found[1]}\n{wrapped(BLOCKS[found[2]]())}\n\n{found[3]}", text)
    return PICTURE.sub(lambda found: f"figures/{path.name}" if (path := figures.picture(found[1])) else found[0], text)


def wrapped(block: str) -> str:
    """A block with its sentences broken into lines; tables, code, headings and pictures stay."""
    parts = re.split(r"\n\n(?![^`]*\n```)", block)
    return "\n\n".join(part if part.startswith(("|", "`" * 3, "#", "!", "-")) else fill(part, 130, **WHOLE) for part in parts)


def main() -> None:
    """Write every page, or with --check leave with a sentence where one is out of date."""
    for page in pages():
        text, name = page.read_text(), page.relative_to(ROOT)
        try:
            new = written(text)
        except (InputError, OSError) as error:
            sys.exit(f"{name}: {error}")
        if "--check" not in sys.argv:
            page.write_text(new)
        elif new != text:
            sys.exit(f"{name} does not match the tables and the code: run `make readme`")


if __name__ == "__main__":
    main()
