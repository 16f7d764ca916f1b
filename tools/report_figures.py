"""The gallery of the report: each figure with the notebook cell that saves it, its tables and its caption."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from report_markdown import text

from edgecache.errors import InputError
from edgecache.figures.output import source_tables


@dataclass(frozen=True)
class Figure:
    """A figure as the report shows it."""

    name: str
    notebook: str
    number: int  # of the cell that saves it
    cell: str  # its id
    tables: list[str]  # files in data/results
    caption: str  # the heading above it, and the first paragraph of the text before it
    printed: str  # the id of the cell that prints its numbers, or ""


def gallery(folder: Path, tables: list[str], notebooks: Mapping[str, NotebookNode]) -> list[Figure]:
    """The figures in the folder, in the order of the notebooks and of their cells.

    Raises InputError for a figure that no cell or several cells save, or whose table is missing.
    """
    figures = []
    for png in folder.glob("*.png"):
        notebook, number = _saving_cell(png, notebooks)
        sources = source_tables(png)
        for source in set(sources) - set(tables):
            raise InputError(f"figures/{png.name} is drawn from {source}, which is not in data/results")
        figures.append(_figure(png.stem, notebook, number, notebooks[notebook].cells, sources))
    return sorted(figures, key=lambda figure: (list(notebooks).index(figure.notebook), figure.number))


def _saving_cell(png: Path, notebooks: Mapping[str, NotebookNode]) -> tuple[str, int]:
    """The notebook and the number of the cell that calls save and has the figure's name as a string."""
    cells = [
        (notebook, number)
        for notebook, content in notebooks.items()
        for number, cell in enumerate(content.cells)
        if cell.cell_type == "code" and "save(" in cell.source and f'"{png.stem}"' in cell.source
    ]
    if len(cells) != 1:
        places = ", ".join(f"{notebook}, cell {number}" for notebook, number in cells) or "none"
        raise InputError(f"figures/{png.name} is saved by these cells: {places}; it must be one cell of one notebook")
    return cells[0]


def _figure(name: str, notebook: str, number: int, cells: list[NotebookNode], tables: list[str]) -> Figure:
    before = [cell.source for cell in cells[:number] if cell.cell_type == "markdown"]
    heading = re.findall(r"^#+ (.*)", "\n".join(before), re.MULTILINE)[-1:]
    paragraph = [part for part in before[-1].split("\n\n") if not part.startswith("#")][:1]
    caption = text(". ".join(heading + paragraph), notebook).rstrip(":")
    printed = [cell.id for cell in cells[number : number + 2] if any(output.get("name") for output in cell.get("outputs", []))]
    return Figure(name, notebook, number, cells[number].id, tables, caption, "".join(printed[:1]))
