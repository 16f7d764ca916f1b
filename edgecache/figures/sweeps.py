"""Figures of sweeps (notebooks 03 and 04): trends over a parameter, and distributions as box plots, for operator and users."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..scenario import Scenario
from ..statistics import summarise
from .style import BOUND_CLASS, FLOOR, LABELS, STYLE, WIDTH, add_note, base_policy, bound_lines, panels, policy_styles

USERS = ("service_delay_s", "hit_ratio", "fetched_gb", "energy_kwh")  # what users feel, and what the operator pays beside the cost


def digest(table: pd.DataFrame, outcome: str = "total_cost") -> str:
    """Write the means of a trend as text, to 4 digits: nbval compares text, and cannot compare pixels.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per value of its first column, replication and policy, as `edgecache.sweep` gives it.
    outcome : str
        The column to average.

    Returns
    -------
    str
        A line per value, a column per policy.

    Examples
    --------
    >>> import edgecache as ec
    >>> digest(ec.sweep({"w2": [0.0]}, ["lru"], 1, ec.Scenario(slots=5), jobs=1), "hit_ratio").split()
    ['policy', 'lru', 'w2', '0.0', '0.2']
    """
    wide = summarise(table, outcome).pivot(index=table.columns[0], columns="policy", values="mean")
    return wide[list(dict.fromkeys(table["policy"]))].map("{:.4g}".format).to_string()


def cloud_shares(table: pd.DataFrame) -> pd.Series:
    """Find the points of a sweep at which the cloud serves more requests than at the default.

    Costs and delays leave out what the cloud serves, so a server that holds fewer models looks better there than it is.

    Parameters
    ----------
    table : pandas.DataFrame
        As for `trends`.

    Returns
    -------
    pandas.Series
        The share of requests that the cloud serves, by value of the table's first column, at those points alone. The default is
        the value of `Scenario()`, or where the sweep does not have it, the point with the least share.

    Examples
    --------
    >>> import edgecache as ec
    >>> cloud_shares(ec.sweep({"gpu_memory_gb": [2, 12]}, ["lru"], 1, jobs=1)).round(2).to_dict()
    {2: 0.75}
    """
    parameter = table.columns[0]
    counts = table.groupby(parameter)[["cloud_requests", "requests"]].sum()
    shares = (counts["cloud_requests"] / counts["requests"]).fillna(0.0)
    return shares[shares > shares.get(getattr(Scenario(), parameter, None), shares.min()) + 1e-12]


def trends(table: pd.DataFrame, outcomes: Sequence[str] = ("total_cost",), xlabel: str | None = None) -> Figure:
    """Draw Fig. 3a/b, 4a/c and their twins: means over the first column of a table, a panel per outcome.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per value of its first column, replication and policy, as `edgecache.sweep` gives it.
    outcomes : sequence of str
        Columns to draw: one, or an even number. Backhaul and energy are sums in the table, and are drawn per slot.
    xlabel : str, optional
        Key of `style.LABELS` for the horizontal axis; the first column's name by default.

    Returns
    -------
    matplotlib.figure.Figure
        Bands are 95 % intervals of the mean. Where the table has bounds of an outcome, its panel shows them behind the policies;
        they are bounds among policies that decide at misses, keep the requested model, and neither prefetch nor unload when idle.
        Markers are hollow at the points of `cloud_shares`.

    Examples
    --------
    >>> import edgecache as ec
    >>> figure = trends(ec.sweep({"storage_gb": [60, 120]}, ["lru", "lfu"], 1, jobs=1), ("total_cost", "service_delay_s"))
    >>> len(figure.axes)
    2
    """
    table = table.assign(**{name: table[name] / table["slots"] for name in ("fetched_gb", "energy_kwh")})
    columns, cloud = min(len(outcomes), 2), cloud_shares(table)
    with rc_context(STYLE):
        figure, axes = panels(len(outcomes) // columns, columns)
        for axis, outcome in zip(axes, outcomes, strict=True):
            _trend(axis, table, outcome, xlabel or table.columns[0], cloud)
        _legend(figure, axes, columns=4 if columns == 1 else 7)
        add_note(figure, _trend_note(figure, table, cloud))
    return figure


def _trend(axis: Axes, table: pd.DataFrame, outcome: str, xlabel: str, cloud: pd.Series) -> None:
    parameter = table.columns[0]
    summary = summarise(table, outcome)
    _bounds(axis, summary, outcome)
    for order, (name, style) in enumerate(policy_styles(table).items()):
        line = summary[summary["policy"] == name]
        # markers shrink in the order of drawing, so that curves on top of each other can still be told apart
        size, width = (6, 2.2) if name == "ga" else (max(9 - 1.5 * order, 4), 1.3)
        axis.plot(
            line[parameter], line["mean"], markersize=size, linewidth=width, markeredgecolor="white", markeredgewidth=0.4, **style
        )
        if len(cloud):
            hollow = line[line[parameter].isin(cloud.index)]
            axis.plot(hollow[parameter], hollow["mean"], linestyle="", marker=style["marker"], markersize=size,
                      markeredgecolor=style["color"], markerfacecolor="white")  # fmt: skip
        axis.fill_between(line[parameter], line["low"], line["high"], color=style["color"], alpha=0.15, linewidth=0)
    ticks = sorted(summary[parameter].unique())
    axis.set(xlabel=LABELS[xlabel], ylabel=LABELS[outcome], xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
    axis.set_ylim(0, min(1.0, axis.get_ylim()[1] * 1.15) if outcome == "hit_ratio" else None)


def _bounds(axis: Axes, summary: pd.DataFrame, outcome: str) -> None:
    """Draw the floor of an outcome, shaded below, and the best online policy, each with its 95 % band."""
    for line, style in bound_lines(summary.dropna(subset="mean"), outcome):
        x = line.iloc[:, 0]
        axis.plot(x, line["mean"], zorder=1.5, **style)
        if style["color"] == FLOOR["color"]:
            axis.fill_between(x, 0, line["mean"], color="0.93", linewidth=0, zorder=0.5)
        axis.fill_between(x, line["low"], line["high"], color=style["color"], alpha=0.12, linewidth=0)


def _legend(figure: Figure, axes: Iterable[Axes], columns: int) -> None:
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    handles, labels = list(entries.values()), list(entries)
    columns = columns if max(map(len, labels)) < 20 else (columns + 1) // 2  # bounds that are not exact have long names
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=columns, columnspacing=1.0, handletextpad=0.4)


BOUND_NOTE = {
    "clairvoyant": "floor: every request known",
    "optimal-online": "best online: true popularity known, a bound only where costs are booked by it",
}


def _trend_note(figure: Figure, table: pd.DataFrame, cloud: pd.Series) -> str:
    between = "\n" if figure.get_figwidth() < 2 * WIDTH else " "
    note = f"bands: 95 % intervals of the mean over {table['replication'].nunique()} replications;{between}"
    note += "marker sizes tell coinciding curves apart"
    bounds = {name.removesuffix("-delay") for name in map(base_policy, table["policy"].unique())} & BOUND_NOTE.keys()
    if bounds:
        note += "\n" + "; ".join(text for name, text in BOUND_NOTE.items() if name in bounds)
        note += f"; {'both' if len(bounds) > 1 else 'a bound'} {BOUND_CLASS}"
    if len(cloud):
        note += f"\nhollow: the cloud serves more requests than at the default, up to {cloud.max():.0%}; "
        note += "costs and delays leave them out"
    return note


def _boxes(axis: Axes, boxes: pd.DataFrame, outcome: str, xlabel: str, ylabel: str) -> None:
    """Draw grouped box plots, and the means of the outcome's bounds as lines across each group."""
    parameter = boxes.columns[0]
    values = sorted(boxes[parameter].unique())
    policies = dict(reversed(policy_styles(boxes).items()))
    width = 0.8 / len(policies)
    for place, (name, style) in enumerate(policies.items()):
        rows = boxes[boxes["policy"] == name].set_index(parameter).loc[values]
        artists = axis.bxp(
            rows[["whislo", "q1", "med", "q3", "whishi", "mean"]].to_dict("records"),
            positions=np.arange(len(values)) + (place - (len(policies) - 1) / 2) * width,
            widths=0.85 * width, showfliers=False, showmeans=True, patch_artist=True, manage_ticks=False,
            medianprops={"color": "black", "linewidth": 1.2}, whiskerprops={"color": "0.3"}, capprops={"color": "0.3"},
            meanprops={"marker": "o", "markersize": 3, "markerfacecolor": "white", "markeredgecolor": "0.1", "mew": 0.5},
        )  # fmt: skip
        for box in artists["boxes"]:
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
_ACROSS_NOTE = f"lines across: mean floor (every request known), mean best online (popularity known), {BOUND_CLASS}"


def cost_boxes(boxes: pd.DataFrame, xlabel: str | None = None) -> Figure:
    """Draw Fig. 3c/d, 4b/d: the distribution of the cost of a slot over all slots of all replications.

    Parameters
    ----------
    boxes : pandas.DataFrame
        From `edgecache.box_statistics` of a sweep by slot: one row per value of its first column and policy.
    xlabel : str, optional
        Key of `style.LABELS` for the horizontal axis; the first column's name by default.

    Returns
    -------
    matplotlib.figure.Figure
        A group of boxes per value; the means of the bounds are lines across each group.

    Examples
    --------
    >>> import edgecache as ec
    >>> _, slots = ec.sweep_by_slot({"storage_gb": [60, 120]}, ["lru", "lfu"], 1, jobs=1)
    >>> len(cost_boxes(ec.box_statistics(slots)).axes)
    1
    """
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=6.4)
        _boxes(axis, boxes, "total_cost", xlabel or boxes.columns[0], "Cost of a slot ($w_1$ s + $w_2$ GB)")
        axis.set_ylim(bottom=0)
        figure.legend(loc="outside upper center", ncols=4, columnspacing=1.0, handletextpad=0.4)
        add_note(figure, f"{_BOX_NOTE}, over all slots of all replications\n{_ACROSS_NOTE}")
    return figure


def users_boxes(boxes: pd.DataFrame, xlabel: str | None = None) -> Figure:
    """Draw the twin of `cost_boxes`: mean service delay of a slot with requests, and hit ratio of a replication.

    Parameters
    ----------
    boxes : pandas.DataFrame
        From `edgecache.box_statistics`, with a column `outcome`: of `service_delay_s` by slot, and of `hit_ratio` by replication.
    xlabel : str, optional
        Key of `style.LABELS` for the horizontal axes; the first column's name by default.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels, each like that of `cost_boxes`.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.analysis.swept import Experiment
    >>> users_boxes(Experiment("storage_gb", [60, 120], [60, 120], 2).play(jobs=1).user_boxes).axes[1].get_ylabel()
    'Hit ratio of a replication'
    """
    delays, hits = (boxes[boxes["outcome"] == outcome] for outcome in ("service_delay_s", "hit_ratio"))
    with rc_context(STYLE):
        figure, axes = panels(1, 2, width=5.4)
        _boxes(axes[0], delays, "service_delay_s", xlabel or delays.columns[0], "Mean service delay of a slot (s)")
        _boxes(axes[1], hits, "hit_ratio", xlabel or hits.columns[0], "Hit ratio of a replication")
        axes[0].set_ylim(bottom=0)
        axes[1].set_ylim(0, 1)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=7, columnspacing=1.0, handletextpad=0.4)
        add_note(figure, f"{_BOX_NOTE}; left: over all slots with a request, right: over replications\n{_ACROSS_NOTE}")
    return figure
