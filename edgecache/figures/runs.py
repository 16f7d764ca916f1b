"""Figures of single runs, for looking at one server closely: policies compared, deployments, capacity use.

They are drawn while someone moves a slider. So margins are set by hand, for solving a layout takes longer than the simulation,
and each function takes a `figure` that it made before and draws in that anew, which saves half the time. `png` renders one.
"""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import AutoLocator, MaxNLocator, ScalarFormatter

from ..analysis.comparison import OUTCOMES, RESOURCES, differences
from ..policies import BOUNDS
from ..results import CLOUD, HIT, MISS, Simulation
from .style import LABELS, PARTS, POLICY_STYLE, STYLE, bound_lines, drawn_policies, label, stands_for
from .sweeps import trends

WIDTH = 9.4  # inches
DPI = 110
ROWS = 30  # models that a timeline shows at most
SERVED, MISSED = "#0072b2", "#d55e00"  # requests; colour-blind safe, and told apart by their shape
LIVE = STYLE | {"text.hinting": "none", "figure.dpi": DPI}
_LEGEND = {"loc": "upper left", "bbox_to_anchor": (0, 1), "columnspacing": 1.3, "handletextpad": 0.4, "fontsize": 8}


def png(figure: Figure) -> bytes:
    """The figure as it is, a PNG file."""
    file = io.BytesIO()
    with rc_context(LIVE):
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    return file.getvalue()


def _blank(figure: Figure | None, height: float, shape: tuple[int, int], wspace: float = 0.0, **margins: float):
    """A figure of empty axes, new or the old one wiped, and its axes; margins in inches: left, right, bottom, top."""
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


def _legend(figure: Figure, handles: list, labels: list[str], ncols: int):
    """The legend on top, the old one where it says the same: what a label looks like never changes."""
    if figure.legends and [text.get_text() for text in figure.legends[0].get_texts()] == labels:
        return
    figure.legends.clear()
    figure.legend(handles, labels, ncols=ncols, **_LEGEND)


def compared(means: pd.DataFrame, before: pd.DataFrame | None = None, figure: Figure | None = None) -> Figure:
    """Policies of one run, a bar each, the cheapest on top: cost by its parts, mean service delay, hit ratio.

    Beside each bar its value and the difference to the best; bounds are lines across. `before`, such a table of another scenario,
    is marked on the bars.
    """
    styles = drawn_policies(means)
    real = means[means["policy"].isin(styles)].sort_values("total_cost", kind="stable", ignore_index=True)
    apart = differences(means).set_index("policy").loc[real["policy"]]
    was = None if before is None else before.set_index("policy").reindex(real["policy"])
    places, colours = np.arange(len(real)), [styles[name]["color"] for name in real["policy"]]
    with rc_context(LIVE):
        figure, axes = _blank(figure, 1.15 + 0.29 * len(real), (1, 3), 0.62, left=1.3, right=1.05, bottom=0.5, top=0.5)
        for axis, outcome in zip(axes, OUTCOMES, strict=True):
            if outcome == "total_cost":
                axis.barh(places, real["resource_cost"], 0.7, color=colours)
                axis.barh(places, real["switching_cost"], 0.7, left=real["resource_cost"], color=colours, hatch="/////",
                          edgecolor="white", linewidth=0)  # fmt: skip
            else:
                axis.barh(places, real[outcome], 0.7, color=colours)
            for place, (value, more) in enumerate(zip(real[outcome], apart[outcome], strict=True)):
                axis.text(1.03, place, _told(outcome, value, more), transform=axis.get_yaxis_transform(), va="center", fontsize=8)
            bounds = bound_lines(means, outcome)
            for rows, style in bounds:
                axis.axvline(rows[outcome].iloc[0], **style)
            if was is not None:
                axis.plot(was[outcome], places, linestyle="", marker="d", markersize=6, color="white", markeredgecolor="black",
                          label="the pinned view")  # fmt: skip
            values = [*real[outcome], *(was[outcome] if was is not None else []), *(rows[outcome].iloc[0] for rows, _ in bounds)]
            axis.set(xlabel=LABELS[outcome].replace("\n", " "), xlim=(0, 1.04 * max(np.nanmax([*values, 0]), 1e-9)), yticks=places)
            axis.set(ylim=(len(real) - 0.4, -0.6), yticklabels=[])
            axis.xaxis.label.set_fontsize(8)
            axis.xaxis.set_major_locator(MaxNLocator(4))
            axis.grid(axis="y", visible=False)
            axis.tick_params(axis="both", length=0, labelsize=8)
        axes[0].set_yticklabels([styles[name]["label"] for name in real["policy"]], fontsize=9)
        found = {text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
        handles = [Patch(facecolor="0.6"), Patch(facecolor="0.6", edgecolor="white", hatch="/////", linewidth=0), *found.values()]
        _legend(figure, handles, [PARTS["resource_cost"], PARTS["switching_cost"], *found], ncols=6)
    return figure


def _told(outcome: str, value: float, more: float) -> str:
    if not np.isfinite(value):
        return "no request"
    if outcome == "hit_ratio":
        return f"{value:.1%}, best" if more >= 0 else f"{value:.1%}, {100 * more:.0f} points"
    return f"{value:.3g}, best" if not more > 0 else f"{value:.3g}, {more:+.0%}" if np.isfinite(more) else f"{value:.3g}"


def timeline(run: Simulation, slot: int, figure: Figure | None = None) -> Figure:
    """Which models are deployed at the end of each slot, each request as a hit or a miss, evictions, and the slot looked at.

    A row a model, the most requested on top, ROWS at most.
    """
    trace, services = run.trace, run.scenario.catalogue.services
    order = np.argsort(-np.bincount(trace.model, minlength=len(services)), kind="stable")[:ROWS]
    row = np.full(len(services), -1)
    row[order] = np.arange(len(order))
    deployed = {"color": "#c9dcec", "zorder": 1}
    with rc_context(LIVE):
        figure, (axis,) = _blank(figure, 1.15 + 0.27 * len(order), (1, 1), left=1.75, right=0.1, bottom=0.5, top=0.4)
        axis.axvspan(slot - 0.5, slot + 0.5, color="0.86", zorder=0, label=f"slot {slot}")
        for model in order:
            change = np.diff(run.deployments[:, model].astype(np.int8), prepend=0, append=0)
            begin, end = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
            axis.broken_barh(np.stack([begin - 0.5, end - begin], axis=1), (row[model] - 0.36, 0.72), **deployed)
        axis.plot([], [], linestyle="", marker="s", markersize=8, label="deployed at the end of the slot", **deployed)
        for what, marker, colour, text in (
            (HIT, "o", SERVED, "hit"), (MISS, "x", MISSED, "miss"), (CLOUD, "^", "0.4", "served by the cloud"),
        ):  # fmt: skip
            shown = (run.outcome == what) & (row[trace.model] >= 0)
            if shown.any():
                axis.plot(trace.slot[shown], row[trace.model[shown]], linestyle="", marker=marker, markersize=4.5, color=colour,
                          label=text)  # fmt: skip
        gone = run.evictions[row[run.evictions[:, 1]] >= 0]
        axis.plot(trace.slot[gone[:, 0] - 1], row[gone[:, 1]], linestyle="", marker="|", markersize=11, markeredgewidth=1.6,
                  color="black", label="eviction")  # fmt: skip
        left = len(services) - len(order)
        axis.set(xlabel="Time slot" + f" ({left} models that are asked for less are not shown)" * (left > 0),
                 xlim=(-0.5, trace.slots - 0.5), ylim=(len(order) - 0.4, -0.6), yticks=range(len(order)))  # fmt: skip
        axis.set_yticklabels([services[model].replace("_", " ")[:24].replace("$", r"\$") for model in order])
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        _legend(figure, *axis.get_legend_handles_labels(), ncols=7)
    return figure


def capacity_use(runs: Mapping[str, Simulation], figure: Figure | None = None) -> Figure:
    """How much storage, GPU memory and power is in use at the end of each slot, a line a policy, and the limits."""
    scenario = next(iter(runs.values())).scenario
    limits = (scenario.storage_gb, scenario.gpu_memory_gb, scenario.energy_capacity_kw)
    styles = {
        name: {"label": label(name), "color": POLICY_STYLE[stands_for(name)][0]} for name in runs if stands_for(name) in BOUNDS
    }
    styles |= drawn_policies(pd.DataFrame({"policy": list(runs)}))
    with rc_context(LIVE):
        rows = -(-(len(styles) + 1) // 7)
        figure, axes = _blank(figure, 4.6 + 0.2 * rows, (3, 1), left=0.75, right=0.1, bottom=0.5, top=0.2 + 0.2 * rows)
        for place, (axis, (title, unit), limit) in enumerate(zip(axes, RESOURCES.values(), limits, strict=True)):
            for name, style in styles.items():
                used, width = runs[name].used[:, place], 2.0 if name == "ga" else 1.2
                axis.plot(used, drawstyle="steps-mid", color=style["color"], linewidth=width,
                          linestyle=":" if stands_for(name) in BOUNDS else "-", label=style["label"])  # fmt: skip
            axis.axhline(limit, color="black", linestyle="--", linewidth=1.2, label="limit")
            axis.set(ylabel=f"{title[0].upper()}{title[1:]}\n({unit})", ylim=(0, 1.12 * limit), xlim=(-0.5, len(used) - 0.5))
            axis.tick_params(labelbottom=place == len(axes) - 1)
        axes[-1].set_xlabel("Time slot")
        _legend(figure, *axes[0].get_legend_handles_labels(), ncols=7)
    return figure


def swept(table: pd.DataFrame, present: float) -> Figure:
    """Cost and delay over a swept parameter, the table's first column, and where it stands at present; see `figures.trends`."""
    figure = trends(table, OUTCOMES[:2])
    for axis in figure.axes:
        axis.axvline(present, color="0.35", linestyle=":", linewidth=1.5, zorder=0.8)
        axis.annotate(
            "present", (present, 1), xycoords=axis.get_xaxis_transform(), ha="center", va="bottom", fontsize=7, color="0.35"
        )
        axis.xaxis.set_major_locator(AutoLocator())
        axis.xaxis.set_major_formatter(ScalarFormatter())
    return figure
