"""The generated parts of README.md and docs/: each function returns one block of Markdown, made from committed tables or the code.

To add a block, write a function here, name it in `BLOCKS` of tools/readme.py, and put `<!-- NAME: written by `make readme` from
SOURCE -->` and `<!-- end -->` into a page.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "data/results"


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def listed(words: Iterable[str]) -> str:
    """Words as in a sentence: a, b and c."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def number_range(values: Iterable[float], form: str = "{:.1%}") -> str:
    """The least and the largest of some numbers, or the one number where both look alike."""
    numbers = sorted(values)
    low, high = form.format(numbers[0]), form.format(numbers[-1])
    return low if low == high else f"{low} to {high}"
