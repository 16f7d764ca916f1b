"""Figures of single runs, for the explorer: policies side by side, deployments over time, use of each capacity, a sweep.

They are drawn while someone moves a slider. So margins are set by hand, because solving a layout takes longer than the simulation.
Each function takes a `figure` that it made before and draws in that one again, which saves half the time.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import AutoLocator, MaxNLocator, ScalarFormatter

from ..analysis.comparison import OUTCOMES, RESOURCES, differences
from ..results import CLOUD, HIT, MISS, Simulation
from .style import LABELS, PARTS, POLICY_STYLE, STYLE, base_policy, bound_lines, is_bound, label, policy_styles
from .sweeps import trends

WIDTH = 9.4  # inches
DPI = 110
ROWS = 30  # models that a timeline shows at most
HIT_COLOUR, MISS_COLOUR, DEPLOYED_COLOUR = "#0072b2", "#d55e00", "#c9dcec"  # colour-blind safe, and told apart by their shape
LIVE = STYLE | {"text.hinting": "none", "figure.dpi": DPI}


def png(figure: Figure) -> bytes:
    """Render a figure as it is.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        One of this module.

    Returns
    -------
    bytes
        A PNG file.

    Examples
    --------
    >>> png(Figure())[:4]
    b'\x89PNG'
    """
    file = io.BytesIO()
    with rc_context(LIVE):
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    return file.getvalue()


def _blank(
    figure: Figure | None, height: float, shape: tuple[int, int], wspace: float = 0.0, **margins: float
) -> tuple[Figure, list[Axes]]:
    """Make a figure of empty axes, or wipe the old one; margins in inches: left, right, bottom, top."""
    if figure is None:
        figure = Figure()
        FigureCanvasAgg(figure)
        figure.subplots(*shape, squeeze=False)
    for axis in figure.axes:
        for artist in (*axis.lines, *axis.patches, *axis.collections, *axis.texts):
            artist.remove()
        axis.containers.clear()
    figure.set_size_inches(WIDTH, height)
    figure.subplots_adjust(
        left=margins["left"] / WIDTH, right=1 - margins["right"] / WIDTH, bottom=margins["bottom"] / height,
        top=1 - margins["top"] / height, wspace=wspace, hspace=0.14,
    )  # fmt: skip
    return figure, figure.axes


def _legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], ncols: int = 7) -> None:
    """Put the legend on top; keep the old one if it has the same labels, because a label's look never changes."""
    if figure.legends and [text.get_text() for text in figure.legends[0].get_texts()] == labels:
        return
    figure.legends.clear()
    figure.legend(
        handles, labels, ncols=ncols, loc="upper left", bbox_to_anchor=(0, 1), columnspacing=1.3, handletextpad=0.4, fontsize=8
    )


def comparison_bars(
    means: pd.DataFrame, before: pd.DataFrame | None = None, figure: Figure | None = None, cloud_share: float = 0.0
) -> Figure:
    """Draw the policies of one run, a bar each, the cheapest on top: cost by its parts, mean service delay, hit ratio.

    Parameters
    ----------
    means : pandas.DataFrame
        From `analysis.comparison.comparison`: one row per policy.
    before : pandas.DataFrame, optional
        The same of another scenario, to be marked on the bars.
    figure : matplotlib.figure.Figure, optional
        A figure of this function, to draw in.
    cloud_share : float
        The share of requests that the cloud serves, where it serves more than at the default: the bars of the delay, which
        leave them out, are then hollow, and the axis says why.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels. Beside each bar stand its value and the difference to the best; bounds are lines across.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.analysis.comparison import comparison
    >>> run = ec.simulate(ec.Scenario(slots=10), "lru", seed=0)
    >>> comparison_bars(comparison({"lru": run})).axes[0].get_yticklabels()[0].get_text()
    'LRU'
    """
    styles = policy_styles(means)
    rows = means[means["policy"].isin(styles)].sort_values("total_cost", kind="stable", ignore_index=True)
    earlier = None if before is None else before.set_index("policy").reindex(rows["policy"])
    apart = differences(means).set_index("policy").loc[rows["policy"]]
    colours = [styles[name]["color"] for name in rows["policy"]]
    with rc_context(LIVE):
        figure, axes = _blank(figure, 1.15 + 0.29 * len(rows), (1, 3), 0.62, left=1.3, right=1.05, bottom=0.5, top=0.5)
        for axis, outcome in zip(axes, OUTCOMES, strict=True):
            hollow = outcome == "service_delay_s" and cloud_share > 0
            _bars(axis, rows, outcome, colours, hollow)
            for place, (value, more) in enumerate(zip(rows[outcome], apart[outcome], strict=True)):
                text = _value_label(outcome, value, more)
                axis.text(1.03, place, text, transform=axis.get_yaxis_transform(), va="center", fontsize=8)
            ends = [0.0, *rows[outcome], *_references(axis, means, earlier, outcome)]
            xlabel = LABELS[outcome].replace("\n", " ")
            _frame(axis, f"{xlabel}, {cloud_share:.0%} on the cloud left out" if hollow else xlabel, len(rows), np.nanmax(ends))
        axes[0].set_yticklabels([styles[name]["label"] for name in rows["policy"]], fontsize=9)
        entries = {text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
        handles = [Patch(facecolor="0.6"), Patch(facecolor="0.6", edgecolor="white", hatch="/////", linewidth=0), *entries.values()]
        _legend(figure, handles, [PARTS["resource_cost"], PARTS["switching_cost"], *entries], ncols=6)
    return figure


def _bars(axis: Axes, rows: pd.DataFrame, outcome: str, colours: list, hollow: bool) -> None:
    places = range(len(rows))
    if outcome == "total_cost":
        axis.barh(places, rows["resource_cost"], 0.7, color=colours)
        axis.barh(places, rows["switching_cost"], 0.7, left=rows["resource_cost"], color=colours, hatch="/////",
                  edgecolor="white", linewidth=0)  # fmt: skip
    elif hollow:
        axis.barh(places, rows[outcome], 0.7, color="white", edgecolor=colours, linewidth=1.4)
    else:
        axis.barh(places, rows[outcome], 0.7, color=colours)


def _references(axis: Axes, means: pd.DataFrame, earlier: pd.DataFrame | None, outcome: str) -> list[float]:
    """Draw the bounds as lines and the pinned view as markers; returns their values."""
    values = []
    for bound, style in bound_lines(means, outcome):
        axis.axvline(bound[outcome].iloc[0], **style)
        values.append(bound[outcome].iloc[0])
    if earlier is not None:
        axis.plot(earlier[outcome], range(len(earlier)), linestyle="", marker="d", markersize=6, color="white",
                  markeredgecolor="black", label="the pinned view")  # fmt: skip
        values += [*earlier[outcome]]
    return values


def _frame(axis: Axes, xlabel: str, rows: int, end: float) -> None:
    """Set label, limits and ticks of a panel of bars."""
    axis.set(xlabel=xlabel, xlim=(0, 1.04 * max(end, 1e-9)), yticks=range(rows), ylim=(rows - 0.4, -0.6), yticklabels=[])
    axis.xaxis.label.set_fontsize(8)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="both", length=0, labelsize=8)


def _value_label(outcome: str, value: float, more: float) -> str:
    """Write a value, and the difference to the best policy's."""
    if not np.isfinite(value):
        return "no request"
    if outcome == "hit_ratio":
        return f"{value:.1%}, best" if more >= 0 else f"{value:.1%}, {100 * more:.0f} points"
    return f"{value:.3g}, best" if not more > 0 else f"{value:.3g}, {more:+.0%}" if np.isfinite(more) else f"{value:.3g}"


def timeline(run: Simulation, slot: int, figure: Figure | None = None) -> Figure:
    """Draw which models are deployed at the end of each slot, every request, and every eviction.

    Parameters
    ----------
    run : edgecache.Simulation
        What happened.
    slot : int
        The slot to shade.
    figure : matplotlib.figure.Figure, optional
        A figure of this function, to draw in.

    Returns
    -------
    matplotlib.figure.Figure
        A row per model, the most requested on top, at most ROWS.

    Examples
    --------
    >>> import edgecache as ec
    >>> timeline(ec.simulate(ec.Scenario(slots=10), "lru", seed=0), 3).axes[0].get_xlabel()
    'Time slot'
    """
    trace, services = run.trace, run.scenario.catalogue.services
    order = np.argsort(-np.bincount(trace.model, minlength=len(services)), kind="stable")[:ROWS]
    row = np.full(len(services), -1)
    row[order] = np.arange(len(order))
    with rc_context(LIVE):
        figure, (axis,) = _blank(figure, 1.15 + 0.27 * len(order), (1, 1), left=1.75, right=0.1, bottom=0.5, top=0.4)
        axis.axvspan(slot - 0.5, slot + 0.5, color="0.86", zorder=0, label=f"slot {slot}")
        for model in order:
            change = np.diff(run.deployments[:, model].astype(np.int8), prepend=0, append=0)
            begin, end = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
            spans = list(zip(begin - 0.5, end - begin, strict=True))
            axis.broken_barh(spans, (row[model] - 0.36, 0.72), color=DEPLOYED_COLOUR, zorder=1)
        axis.plot(
            [], [], linestyle="", marker="s", markersize=8, color=DEPLOYED_COLOUR, zorder=1, label="deployed at the end of the slot"
        )
        for outcome, marker, colour, text in (
            (HIT, "o", HIT_COLOUR, "hit"), (MISS, "x", MISS_COLOUR, "miss"), (CLOUD, "^", "0.4", "served by the cloud"),
        ):  # fmt: skip
            shown = (run.outcome == outcome) & (row[trace.model] >= 0)
            if shown.any():
                axis.plot(trace.slot[shown], row[trace.model[shown]], linestyle="", marker=marker, markersize=4.5, color=colour,
                          label=text)  # fmt: skip
        gone = run.evictions[row[run.evictions[:, 1]] >= 0]
        axis.plot(trace.slot[gone[:, 0] - 1], row[gone[:, 1]], linestyle="", marker="|", markersize=11, markeredgewidth=1.6,
                  color="black", label="eviction")  # fmt: skip
        left = len(services) - len(order)
        axis.set(xlabel="Time slot" + f" ({left} models with fewer requests are not shown)" * (left > 0),
                 xlim=(-0.5, trace.slots - 0.5), ylim=(len(order) - 0.4, -0.6), yticks=range(len(order)))  # fmt: skip
        axis.set_yticklabels([services[model].replace("_", " ")[:24].replace("$", r"\$") for model in order])
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        _legend(figure, *axis.get_legend_handles_labels())
    return figure


def capacity_use(runs: Mapping[str, Simulation], figure: Figure | None = None) -> Figure:
    """Draw how much storage, GPU memory and power is in use at the end of each slot, a line per policy, and the limits.

    Parameters
    ----------
    runs : mapping of str to edgecache.Simulation
        Runs on one server, by policy.
    figure : matplotlib.figure.Figure, optional
        A figure of this function, to draw in.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per resource; the lines of bounds are dotted.

    Examples
    --------
    >>> import edgecache as ec
    >>> len(capacity_use({"lru": ec.simulate(ec.Scenario(slots=10), "lru", seed=0)}).axes)
    3
    """
    scenario = next(iter(runs.values())).scenario
    limits = (scenario.storage_gb, scenario.gpu_memory_gb, scenario.energy_capacity_kw)
    styles = {name: {"label": label(name), "color": POLICY_STYLE[base_policy(name)][0]} for name in runs if is_bound(name)}
    styles |= policy_styles(pd.DataFrame({"policy": list(runs)}))
    with rc_context(LIVE):
        rows = -(-(len(styles) + 1) // 7)
        figure, axes = _blank(figure, 4.6 + 0.2 * rows, (3, 1), left=0.75, right=0.1, bottom=0.5, top=0.2 + 0.2 * rows)
        for place, (axis, (title, unit), limit) in enumerate(zip(axes, RESOURCES.values(), limits, strict=True)):
            for name, style in styles.items():
                used, width = runs[name].used[:, place], 2.0 if name == "ga" else 1.2
                axis.plot(used, drawstyle="steps-mid", color=style["color"], linewidth=width,
                          linestyle=":" if is_bound(name) else "-", label=style["label"])  # fmt: skip
            axis.axhline(limit, color="black", linestyle="--", linewidth=1.2, label="limit")
            axis.set(ylabel=f"{title[0].upper()}{title[1:]}\n({unit})", ylim=(0, 1.12 * limit), xlim=(-0.5, len(used) - 0.5))
            axis.tick_params(labelbottom=place == len(axes) - 1)
        axes[-1].set_xlabel("Time slot")
        _legend(figure, *axes[0].get_legend_handles_labels())
    return figure


def sweep_trends(table: pd.DataFrame, present: float) -> Figure:
    """Draw cost and delay over a swept parameter, with the present value as a dotted line.

    Parameters
    ----------
    table : pandas.DataFrame
        As for `figures.sweeps.trends`.
    present : float
        Where the slider stands.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels of `figures.sweeps.trends`.

    Examples
    --------
    >>> import edgecache as ec
    >>> sweep_trends(ec.sweep({"w2": [0.1, 1.0]}, ["lru"], 1, jobs=1), 1.0).axes[0].texts[0].get_text()
    'present'
    """
    figure = trends(table, OUTCOMES[:2])
    for axis in figure.axes:
        axis.axvline(present, color="0.35", linestyle=":", linewidth=1.5, zorder=0.8)
        axis.annotate(
            "present", (present, 1), xycoords=axis.get_xaxis_transform(), ha="center", va="bottom", fontsize=7, color="0.35"
        )
        axis.xaxis.set_major_locator(AutoLocator())
        axis.xaxis.set_major_formatter(ScalarFormatter())
    return figure
