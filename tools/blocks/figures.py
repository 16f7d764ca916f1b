"""The figures by title: what each shows, its picture, and the tables and the notebook behind it."""

from pathlib import Path

import pandas as pd

from edgecache.errors import InputError
from edgecache.figures.output import source_tables

from . import RESULTS, ROOT

FIGURES = ROOT / "figures"
TITLES = Path(__file__).parent / "titles.csv"  # figure, the notebook that draws it, its title, and what it shows


def picture(stem: str) -> Path | None:
    """The file of a figure that is committed: SVG before PNG; None where there is none."""
    return next((path for path in (FIGURES / f"{stem}.svg", FIGURES / f"{stem}.png") if path.exists()), None)


def figures() -> str:
    """Every committed figure under its title. Raises InputError for a figure without a title."""
    drawn = {path.stem for ending in ("png", "svg") for path in FIGURES.glob(f"*.{ending}")}
    titles = pd.read_csv(TITLES, dtype=str).set_index("figure")
    if untitled := sorted(drawn - set(titles.index)):
        raise InputError(f"the figure {untitled[0]} has no title: add a row to tools/blocks/titles.csv")
    parts = []
    for row in titles.itertuples():
        if path := picture(row.Index):
            links = [f"[notebook {row.notebook[:2]}](../notebooks/{row.notebook}.ipynb)"]
            links += [f"[{name}](../data/results/{name})" for name in _tables(path)]
            parts.append(f"## {row.title}\n\n{row.shows} {', '.join(links)}.\n\n![{row.title}](../figures/{path.name})")
    return "\n\n".join(parts)


def _tables(path: Path) -> list[str]:
    """The tables that a figure is drawn from, as far as they are committed."""
    named = source_tables(path) if path.suffix == ".png" else [f"{path.stem}.csv"]
    return [name for name in named if (RESULTS / name).exists()]
