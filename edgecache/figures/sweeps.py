"""The figures: one function a kind of panel, each drawing any tidy table of the right columns; one style for all.

A policy keeps its colour, marker and label everywhere. Every function returns a matplotlib Figure, and `save` writes it as PNG and
PDF that are byte-identical from run to run.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from ..policies import BOUNDS
from ..statistics import summarise
from .style import FLOOR, LABELS, STYLE, WIDTH, bound_lines, drawn_policies, panels, stands_for

USERS = ("service_delay_s", "hit_ratio", "fetched_gb", "energy_kwh")  # what users feel, and what the operator pays for it


def digest(table: pd.DataFrame, outcome: str = "total_cost") -> str:
    """A trend's lines as text, rounded to 4 digits: what nbval compares, since it cannot compare pixels."""
    wide = summarise(table, outcome).pivot(index=table.columns[0], columns="policy", values="mean")
    return wide[list(dict.fromkeys(table["policy"]))].map("{:.4g}".format).to_string()


def _bounds(axis, summary: pd.DataFrame, outcome: str):
    """The floor of an outcome, shaded below, and the best online policy; with their own 95 % bands."""
    for line, style in bound_lines(summary.dropna(subset="mean"), outcome):
        x = line.iloc[:, 0]
        axis.plot(x, line["mean"], zorder=1.5, **style)
        if style["color"] == FLOOR["color"]:
            axis.fill_between(x, 0, line["mean"], color="0.93", linewidth=0, zorder=0.5)
        axis.fill_between(x, line["low"], line["high"], color=style["color"], alpha=0.12, linewidth=0)


def _legend(figure: Figure, axes, columns: int):
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    handles, labels = list(found.values()), list(found)
    columns = columns if max(map(len, labels)) < 20 else (columns + 1) // 2  # bounds that are not exact have long names
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=columns, columnspacing=1.0, handletextpad=0.4)


def _trend(axis, table: pd.DataFrame, outcome: str, xlabel: str):
    parameter = table.columns[0]
    summary = summarise(table, outcome)
    _bounds(axis, summary, outcome)
    for order, (name, style) in enumerate(drawn_policies(table).items()):
        line = summary[summary["policy"] == name]
        # markers shrink in the order of drawing, so that curves on top of each other can still be told apart
        size, width = (6, 2.2) if name == "ga" else (max(9 - 1.5 * order, 4), 1.3)
        axis.plot(
            line[parameter], line["mean"], markersize=size, linewidth=width, markeredgecolor="white", markeredgewidth=0.4, **style
        )
        axis.fill_between(line[parameter], line["low"], line["high"], color=style["color"], alpha=0.15, linewidth=0)
    ticks = sorted(summary[parameter].unique())
    axis.set(xlabel=LABELS[xlabel], ylabel=LABELS[outcome], xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
    axis.set_ylim(0, min(1.0, axis.get_ylim()[1] * 1.15) if outcome == "hit_ratio" else None)


def trends(table: pd.DataFrame, outcomes: Sequence[str] = ("total_cost",), xlabel: str | None = None) -> Figure:
    """Fig. 3a/b, 4a/c and their twins: means against the first column of a table with one row a replication, a panel an outcome.

    Bands are 95 % intervals of the mean. Backhaul and energy, sums in the table, are drawn per slot. Where the table has bounds of
    an outcome, its panel shows them behind the policies.
    """
    table = table.assign(**{name: table[name] / table["slots"] for name in ("fetched_gb", "energy_kwh")})
    columns = min(len(outcomes), 2)
    with rc_context(STYLE):
        figure, axes = panels(len(outcomes) // columns, columns)
        for axis, outcome in zip(axes, outcomes, strict=True):
            _trend(axis, table, outcome, xlabel or table.columns[0])
        _legend(figure, axes, columns=4 if columns == 1 else 7)
        _band_note(figure, table)
    return figure


def _band_note(figure: Figure, table: pd.DataFrame):
    bands = f"bands: 95 % bootstrap intervals of the mean over {table['replication'].nunique()} replications;"
    between = "\n" if figure.get_figwidth() < 2 * WIDTH else " "
    note = f"{bands}{between}marker sizes tell coinciding curves apart"
    if table["policy"].map(stands_for).isin(BOUNDS).any():
        note += "\n" + between.join(_BOUND_NOTES)
    figure.supxlabel(note, fontsize=7, color="0.35")


_BOUND_NOTES = (
    "floor: with every request known; best online: with the true popularity",
    "known, a bound only where costs are booked by the true one",
)


def _boxes(axis, boxes: pd.DataFrame, outcome: str, xlabel: str, ylabel: str):
    """Grouped box plots from box statistics, the means of the outcome's bounds as lines across each group."""
    parameter = boxes.columns[0]
    values = sorted(boxes[parameter].unique())
    policies = dict(reversed(drawn_policies(boxes).items()))
    width = 0.8 / len(policies)
    for place, (name, style) in enumerate(policies.items()):
        own = boxes[boxes["policy"] == name].set_index(parameter).loc[values]
        drawn = axis.bxp(
            own[["whislo", "q1", "med", "q3", "whishi", "mean"]].to_dict("records"),
            positions=np.arange(len(values)) + (place - (len(policies) - 1) / 2) * width,
            widths=0.85 * width, showfliers=False, showmeans=True, patch_artist=True, manage_ticks=False,
            medianprops={"color": "black", "linewidth": 1.2}, whiskerprops={"color": "0.3"}, capprops={"color": "0.3"},
            meanprops={"marker": "o", "markersize": 3, "markerfacecolor": "white", "markeredgecolor": "0.1", "mew": 0.5},
        )  # fmt: skip
        for box in drawn["boxes"]:
            box.set(facecolor=style["color"], edgecolor="0.3", linewidth=0.7)
        axis.plot([], [], linestyle="", marker="s", markersize=7, color=style["color"], label=style["label"])
    for rows, style in bound_lines(boxes, outcome):
        for mean, value in zip(rows["mean"], rows[parameter], strict=True):
            place = values.index(value)
            axis.plot(
                [place - 0.46, place + 0.46], [mean, mean], zorder=0.6, **(style | {"label": "" if place else style["label"]})
            )
    axis.set(xlabel=LABELS[xlabel], ylabel=ylabel, xticks=range(len(values)), xticklabels=[f"{value:g}" for value in values])
    axis.grid(axis="x", visible=False)


_BOX_NOTE = "boxes: quartiles, line: median, dot: mean, whiskers: 5th to 95th percentile"
_ACROSS_NOTE = "lines across: mean floor, with every request known; mean best online, with the true popularity known"


def cost_boxes(boxes: pd.DataFrame, xlabel: str | None = None) -> Figure:
    """Fig. 3c/d, 4b/d: the distribution of the cost of a slot over all slots of all replications, from `box_statistics`."""
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=6.4)
        _boxes(axis, boxes, "total_cost", xlabel or boxes.columns[0], "Cost of a slot ($w_1$ s + $w_2$ GB)")
        axis.set_ylim(bottom=0)
        figure.legend(loc="outside upper center", ncols=4, columnspacing=1.0, handletextpad=0.4)
        figure.supxlabel(f"{_BOX_NOTE}, over all slots of all replications\n{_ACROSS_NOTE}", fontsize=7, color="0.35")
    return figure


def users_boxes(delays: pd.DataFrame, hits: pd.DataFrame, xlabel: str | None = None) -> Figure:
    """The twin of `cost_boxes`: mean service delay of a slot with requests, and the hit ratio of a replication."""
    with rc_context(STYLE):
        figure, axes = panels(1, 2, width=5.4)
        _boxes(axes[0], delays, "service_delay_s", xlabel or delays.columns[0], "Mean service delay of a slot (s)")
        _boxes(axes[1], hits, "hit_ratio", xlabel or hits.columns[0], "Hit ratio of a replication")
        axes[0].set_ylim(bottom=0)
        axes[1].set_ylim(0, 1)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=7, columnspacing=1.0, handletextpad=0.4)
        note = f"{_BOX_NOTE}; left: over all slots with a request, right: over replications\n{_ACROSS_NOTE}"
        figure.supxlabel(note, fontsize=7, color="0.35")
    return figure
