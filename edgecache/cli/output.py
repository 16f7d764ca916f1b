"""What the commands print: tables in several formats, and text that is safe to show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a cell that begins so for a formula


def show(text: str, *, err: bool = False, newline: bool = True) -> None:
    """Print text; control characters, such as the escape codes of a terminal, are printed as `\\x1b`."""
    safe = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    click.echo(safe, err=err, nl=newline)


def show_rows(rows: Sequence[dict], style: str) -> None:
    """Print rows, one dictionary each, as `table`, `json`, `csv` or `md` (a Markdown table)."""
    import pandas as pd

    if style == "csv":
        show_csv(pd.DataFrame(rows))
    elif style == "json":
        clean = [{key: None if pd.isna(value) else value for key, value in row.items()} for row in rows]  # JSON has no NaN
        show(json.dumps(clean, indent=2, allow_nan=False))
    elif style == "md":
        lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
        show("\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        show(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-"))


def show_csv(table: pd.DataFrame, names: Iterable[str] = ()) -> None:
    """Print a table as CSV; in the columns `names` a cell that a spreadsheet would take for a formula begins with '."""
    safe = {name: [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in table[name]] for name in names}
    show(table.assign(**safe).to_csv(index=False, lineterminator="\n", float_format="%.10g"), newline=False)
