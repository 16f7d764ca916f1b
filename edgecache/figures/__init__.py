"""Figures: draw tidy tables, and compute nothing but their means and intervals.

`style` says how a policy looks everywhere: its colour, marker and label. Each other module has the figures of one notebook:
`profiling` (01), `system` (02), `sweeps` (03 and 04), `optimality` (05), `readings` (06), `workloads` (07) and
`runs` (the explorer).

To add a figure, write a function in its notebook's module: it takes a tidy table, draws inside `rc_context(STYLE)` on axes from
`style.panels`, and returns the Figure. The notebook passes that to `save`, which writes the files and records the table's name;
`tests/figures/test_committed_figures.py` needs one line that draws it again from the committed table.
"""

from ..errors import InputError

try:
    from .output import save
except ModuleNotFoundError as missing:
    raise InputError(f"figures need {missing.name}, which is not installed: pip install 'edgecache[notebooks]'") from None

__all__ = ["save"]
