"""The figures: one function a kind of panel, each drawing any tidy table of the right columns; one style for all.

A policy keeps its colour, marker and label everywhere. Every function returns a matplotlib Figure, and `save` writes it as PNG and
PDF that are byte-identical from run to run.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from .delays import PHASES
from .policies import BOUNDS
from .style import FLOOR, LABELS, PHASE_STYLE, POLICY_STYLE, STYLE, WIDTH, bound_lines, drawn_policies, panels, stands_for
from .sweep import summarise

USERS = ("service_delay_s", "hit_ratio", "fetched_gb", "energy_kwh")  # what users feel, and what the operator pays for it


def save(figure: Figure, name: str, folder: str | Path) -> Figure:
    """Write `name`.png and `name`.pdf into the folder, whole or not at all, without dates or versions; returns the figure."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None, "Creator": None, "Producer": None})):
        part = folder / f"{name}.{ending}.part"
        try:
            with rc_context(STYLE):
                figure.savefig(part, format=ending, metadata=metadata)
            part.replace(folder / f"{name}.{ending}")
        finally:
            part.unlink(missing_ok=True)
        figure.set_layout_engine("none")  # laid out once: the second format and the notebook's display need not solve it again
    return figure


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


def service_delay(delays: pd.DataFrame, note: str, load: str = PHASE_STYLE["io"][1]) -> Figure:
    """Fig. 1: first and preloaded service delay of each service, stacked by phase, from `service_delays`; `note` says whence.

    `load` is what the phase `io` is called.
    """
    order = delays[delays["kind"] == "first"].sort_values("total", ascending=False)["service"]
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=7.4, height=3.8)
        for shift, kind in ((-0.2, "first"), (0.2, "preloaded")):
            own = delays[delays["kind"] == kind].set_index("service").loc[order]
            bottom = np.zeros(len(own))
            for phase in PHASES:
                axis.bar(np.arange(len(own)) + shift, own[phase], 0.36, bottom=bottom, color=PHASE_STYLE[phase][0],
                         edgecolor="0.25", linewidth=0.5, hatch="" if kind == "first" else "////")  # fmt: skip
                bottom += own[phase].to_numpy()
            spread = np.abs(own[["low", "high"]].to_numpy().T - own["total"].to_numpy())
            top = own["total"].to_numpy()
            if kind == "preloaded":
                for place, delay in enumerate(own["total"]):  # most of these bars are too low to be seen
                    axis.annotate(f"{delay:.2g}", (place + shift, own["high"].iloc[place]), (0, 2), textcoords="offset points",
                                  ha="center", fontsize=6.5)  # fmt: skip
            axis.errorbar(np.arange(len(own)) + shift, top, spread, fmt="none", ecolor="0.2", elinewidth=0.8, capsize=2)
        axis.set(ylabel="Service delay (s)", xticks=range(len(order)), xlim=(-0.6, len(order) - 0.4))
        axis.set_xticklabels([name.replace("_", " ") for name in order], rotation=30, ha="right", rotation_mode="anchor")
        axis.grid(axis="x", visible=False)
        labels = {phase: load if phase == "io" else label for phase, (_, label) in PHASE_STYLE.items()}
        handles = [Patch(facecolor=PHASE_STYLE[phase][0], edgecolor="0.25", label=label) for phase, label in labels.items()]
        handles += [Patch(facecolor="white", edgecolor="0.25", label="first service"),
                    Patch(facecolor="white", edgecolor="0.25", hatch="////", label="preloaded service")]  # fmt: skip
        axis.legend(handles=handles, loc="upper right")
        figure.supxlabel(note, fontsize=7, color="0.35")
    return figure


def convergence(log: pd.DataFrame, optimum: float) -> Figure:
    """Algorithm 1 at one miss: the lowest and the mean decision cost of each generation, and the optimum."""
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1)
        axis.axhline(optimum, color=POLICY_STYLE["exact"][0], linestyle="--", linewidth=1, label="Exact (optimum)")
        axis.plot(log["generation"], log["mean"], color="0.55", label="mean of the population")
        axis.plot(log["generation"], log["met"], color=POLICY_STYLE["ga"][0], marker="o", markersize=4, label="best met so far")
        axis.set(xlabel="Generation", ylabel="Cost of the decision\n($w_1$ s + $w_2$ GB)", ylim=(0, None))
        axis.legend(loc="upper right")
    return figure


def framework() -> Figure:
    """Fig. 2: the edge-cloud framework, and the way of a request through it."""
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(8.6, 4.3))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(0, 100), ylim=(0, 50))
        axis.axis("off")

        def box(x, y, width, height, text, face, weight="normal", size=8, top=False):
            axis.add_patch(FancyBboxPatch((x, y), width, height, "round,pad=0,rounding_size=1", facecolor=face, edgecolor="0.3"))
            axis.text(x + width / 2, y + height - 2.2 if top else y + height / 2, text, ha="center", va="center", fontsize=size,
                      fontweight=weight)  # fmt: skip

        def arrow(start, end, text, at, colour="0.15", ha="center", bend=0.0):
            axis.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour, linewidth=1.3,
                                           connectionstyle=f"arc3,rad={bend}"))  # fmt: skip
            axis.text(*at, text, ha=ha, va="center", fontsize=7.5, color=colour)

        miss, hit = POLICY_STYLE["ga"][0], POLICY_STYLE["lru"][0]
        box(2, 14, 14, 22, "Users", "#f4f4f4", "bold", 10, top=True)
        for row, text in enumerate(("text to image", "text to music", "speech recognition")):
            box(2.9, 27 - 5 * row, 12.2, 3.6, text, "white", size=6.5)
        box(31, 4, 36, 42, "Edge server", "#eaf2f8", "bold", 10, top=True)
        box(34, 31, 30, 10.5, "Deployed models  x(t)", "white", size=8, top=True)
        for column, text in enumerate(("GPT-2", "BLIP", "BERT", "free")):
            box(35.2 + 7 * column, 32.5, 6.4, 4.6, text, "#d5f0e3" if text != "free" else "#f4f4f4", size=7)
        box(34, 17.5, 30, 8.5, "Deployment decision at a miss\nwhich models stay: GA, Exact, LRU, ...", "white")
        box(34, 6, 30, 7.5, "storage $\\leq$ S,  GPU memory $\\leq$ G,\npower $\\leq$ E   (eqs. 1 to 3)", "white")
        box(84, 11, 14, 30, "Cloud server", "#fdf3e1", "bold", 10, top=True)
        for row, text in enumerate(("model 1", "model 2", "...", "model I")):
            box(85.5, 31.5 - 5.6 * row, 11, 4.2, text, "white", size=7)
        arrow((16, 34), (34, 37.5), "1  request", (24.5, 38.2))
        arrow((34, 32.5), (16, 29), "2  hit: waits k", (23.6, 33.2), hit)
        arrow((55, 31), (55, 26), "3  miss", (56.5, 28.5), miss, ha="left")
        arrow((64, 21.5), (84, 21.5), "4  ask for the model", (75.5, 19.5), miss)
        arrow((84, 27), (64, 33.5), "5  transmission 8 s / B", (75.5, 34), miss)
        arrow((49, 26), (49, 31), "evict, deploy", (47.8, 28.5), miss, ha="right")
        arrow((49, 17.5), (49, 13.5), "within", (50.5, 15.5), "0.35", ha="left")
        arrow((34, 31.4), (16, 18.5), "6  I/O l, then\ninference k", (25.4, 20.5), miss)
    return figure
