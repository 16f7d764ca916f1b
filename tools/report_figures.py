"""Which cell of which notebook saves a figure, and which tables it is drawn from: read from the notebooks' code."""

import ast
import re
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from report_markdown import text

from edgecache.errors import InputError


@dataclass(frozen=True)
class Figure:
    """A figure as the report shows it."""

    name: str
    notebook: str
    number: int  # of the cell that saves it
    cell: str  # its id
    tables: list[str]  # the files in data/results that it is drawn from
    says: str  # the heading that it stands under, and what the notebook says before it
    printed: str  # the id of the cell that prints its numbers, or ""


class Drawings(ast.NodeVisitor):
    """Follows tables through a notebook's assignments to the calls of `save(figure, name, folder)` that draw them.

    An expression comes from the tables whose files it names, or else from those that its variables come from. `saved` has of each
    call the pattern of the figure's name, the number of its cell, and its tables.
    """

    def __init__(self, notebook: NotebookNode, tables: list[str]):
        self.tables, self.origin, self.saved = tables, {}, []
        for self.number, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                self.visit(ast.parse(TransformerManager().transform_cell(cell.source)))

    def behind(self, node: ast.AST) -> list[str]:
        patterns = [pattern(part).rpartition("/")[2] for part in ast.walk(node)]
        named = [table for table in self.tables if any(re.fullmatch(pattern, table) for pattern in patterns)]
        used = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
        return named or sorted({table for name in used for table in self.origin.get(name, [])})

    def assign(self, target: ast.AST, value: ast.AST):
        found = self.behind(value)
        names = [part.id for part in ast.walk(target) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
        self.origin |= dict.fromkeys(names, found)

    def visit_Assign(self, node):
        self.generic_visit(node)
        self.assign(ast.Tuple(node.targets), node.value)

    def visit_For(self, node):
        self.assign(node.target, node.iter)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        """Pass over functions: their variables are their own."""

    def visit_Call(self, node):
        self.generic_visit(node)
        if "save" in (getattr(node.func, "attr", ""), getattr(node.func, "id", "")) and len(node.args) > 1:
            self.saved.append((pattern(node.args[1]), self.number, self.behind(node.args[0])))


def pattern(node: ast.AST) -> str:
    """The regular expression of what a string or f-string in code can be; of anything else, one that matches nothing."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(pattern(part) if isinstance(part, ast.Constant) else ".+" for part in node.values)
    return "(?!)"


def gallery(names: list[str], tables: list[str], notebooks: dict[str, NotebookNode]) -> list[Figure]:
    """The figures of those names, in the order of the notebooks and of their cells."""
    calls = [(name, *call) for name, notebook in notebooks.items() for call in Drawings(notebook, tables).saved]
    found = []
    for name in names:
        literal = [call for call in calls if call[1] == re.escape(name)]
        saved = literal or [call for call in calls if re.fullmatch(call[1], name)]
        if len(saved) != 1:
            places = ", ".join(f"{notebook}, cell {number}" for notebook, _, number, _ in saved) or "none"
            raise InputError(f"figures/{name}.png is saved by these cells: {places}; it must be one cell of one notebook")
        notebook, _, number, drawn = saved[0]
        cells = notebooks[notebook].cells
        before = [cell.source for cell in cells[:number] if cell.cell_type == "markdown"]
        heading = re.findall(r"^#+ (.*)", "\n".join(before), re.MULTILINE)[-1:]
        words = [part for part in before[-1].split("\n\n") if not part.startswith("#")][:1]
        says = text(". ".join(heading + words), notebook).rstrip(":")
        printed = [cell.id for cell in cells[number : number + 2] if any(out.get("name") for out in cell.get("outputs", []))]
        own = [table for table in drawn if table == f"{name}.csv"]  # an f-string may be any table
        found.append(Figure(name, notebook, number, cells[number].id, own or drawn, says, "".join(printed[:1])))
    return sorted(found, key=lambda figure: (list(notebooks).index(figure.notebook), figure.number))
