"""The figures: one function a kind of panel, each drawing any tidy table of the right columns; one style for all.

A policy keeps its colour, marker and label everywhere. Every function returns a matplotlib Figure, and `save` writes it as PNG and
PDF that are byte-identical from run to run.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from .policies import BOUNDS, POLICIES
from .profiling import PHASES
from .sweep import summarise

_PALETTE = sns.color_palette("colorblind")
# colour (colour-blind safe) and marker of each policy; the paper's own method in front
POLICY_STYLE = {
    "ga": (_PALETTE[3], "o"),
    "lfu": (_PALETTE[0], "s"),
    "lru": (_PALETTE[2], "^"),
    "fifo": (_PALETTE[1], "D"),
    "random": (_PALETTE[7], "X"),
    "exact": ("black", "*"),
    "lfu-in-cache": (_PALETTE[9], "P"),
    "lfu-da": ("#1f4e79", "p"),
    "lru-2": ("#6bbf59", "v"),
    "hyperbolic": (_PALETTE[8], "d"),
    "gdsf": (_PALETTE[4], "<"),
    "greedy-dual": (_PALETTE[5], ">"),
    "cremebrulee": (_PALETTE[6], "h"),
    "belady": ("#7a6a53", "H"),
    "belady-cost": ("#a08d71", "8"),
    "optimal-online": ("#5e3c99", "s"),
    "clairvoyant": ("0.25", "s"),
    "optimal-online-delay": ("#9a7fd1", "s"),
    "clairvoyant-delay": ("0.55", "s"),
}
# what bounds each outcome, drawn behind the policies: the floor, then the best that an online policy can do
BOUND_LINES = {"total_cost": ("clairvoyant", "optimal-online"), "service_delay_s": ("clairvoyant-delay", "optimal-online-delay")}
BOUND_LABELS = ("Floor", "Best online")
_BOUND_STYLE = (
    {"color": "0.25", "linewidth": 1.0},
    {"color": POLICY_STYLE["optimal-online"][0], "linewidth": 1.2, "linestyle": "--"},
)
PHASE_STYLE = {
    "transmission": ("#88ccee", "transmission (8 s / B)"),
    "io": ("#aa4499", "I/O: disk to GPU memory"),
    "inference": ("#ddcc77", "inference"),
}
LABELS = {
    "storage_gb": "Storage capacity of the edge server (GB)",
    "gpu_memory_gb": "GPU memory of the edge server (GB)",
    "slots": "Number of time slots",
    "arrival_rate": "Request arrival rate (requests per slot)",
    "arrival_rate_per_model": "Request arrival rate (requests per slot and model)",
    "total_cost": "Average cost per slot\n($w_1$ s + $w_2$ GB)",
    "service_delay_s": "Mean service delay (s)",
    "hit_ratio": "Hit ratio",
    "fetched_gb": "Backhaul (GB fetched per slot)",
    "energy_kwh": "Energy (kWh per slot)",
}
STYLE = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "pdf.fonttype": 42,
    "svg.hashsalt": "edgecache",
}
WIDTH = 4.6  # inches, of a panel
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


def _panels(rows: int, columns: int, width: float = WIDTH, height: float = 3.1):
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def _policies(table: pd.DataFrame) -> dict[str, dict]:
    """Label, colour and marker of each policy in the table but the bounds; the paper's proposal last, to be drawn on top."""
    names = [name for name in table["policy"].unique() if _bound(name) not in BOUNDS]
    names.sort(key=lambda name: [*reversed(POLICY_STYLE)].index(name) if name in POLICY_STYLE else -1)
    spare = iter([(colour, "v") for colour in (_PALETTE[4], _PALETTE[5], _PALETTE[6], _PALETTE[8])] * len(names))
    found = {}
    for name in names:
        colour, marker = POLICY_STYLE.get(name) or next(spare)
        found[name] = {"label": getattr(POLICIES.get(name), "label", name), "color": colour, "marker": marker}
    return found


def _bound(name: str) -> str:
    """The policy that a name in a table stands for: where a server is too large, bounds are approximate or only bounded."""
    return name.removesuffix("-approximate").removesuffix("-bound")


def _bounds(axis, summary: pd.DataFrame, outcome: str):
    """The floor of an outcome, shaded below, and the best online policy; with their own 95 % bands."""
    for bound, label, style in zip(BOUND_LINES.get(outcome, ()), BOUND_LABELS, _BOUND_STYLE, strict=False):
        line = summary[[_bound(name) == bound for name in summary["policy"]]].dropna()
        if line.empty:
            continue
        x = line.iloc[:, 0]
        inexact = {name.removeprefix(bound) for name in line["policy"]} - {""}
        label += "".join({"-approximate": ", approximate", "-bound": ", lower bound"}[ending] for ending in sorted(inexact))
        axis.plot(x, line["mean"], label=label, zorder=1.5, **style)
        if bound.startswith("clairvoyant"):
            axis.fill_between(x, 0, line["mean"], color="0.93", linewidth=0, zorder=0.5)
        axis.fill_between(x, line["low"], line["high"], color=style["color"], alpha=0.12, linewidth=0)


def _legend(figure: Figure, axis, columns: int):
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=columns, columnspacing=1.0, handletextpad=0.4)


def _trend(axis, table: pd.DataFrame, outcome: str, xlabel: str):
    parameter = table.columns[0]
    summary = summarise(table, outcome)
    _bounds(axis, summary, outcome)
    for order, (name, style) in enumerate(_policies(table).items()):
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
        figure, axes = _panels(len(outcomes) // columns, columns)
        for axis, outcome in zip(axes, outcomes, strict=True):
            _trend(axis, table, outcome, xlabel or table.columns[0])
        _legend(figure, axes[0], columns=4 if columns == 1 else 7)
        _band_note(figure, table)
    return figure


def _band_note(figure: Figure, table: pd.DataFrame):
    notes = [f"bands: 95 % bootstrap intervals of the mean over {table['replication'].nunique()} replications"]
    notes.append("marker sizes tell coinciding curves apart")
    if table["policy"].map(_bound).isin(BOUNDS).any():
        notes.append(_BOUND_NOTE)
    between = ";\n" if figure.get_figwidth() < 2 * WIDTH else "; "
    figure.supxlabel(between.join(notes), fontsize=7, color="0.35")


_BOUND_NOTE = "floor: all requests known; best online: popularity known"


def _boxes(axis, boxes: pd.DataFrame, outcome: str, xlabel: str, ylabel: str):
    """Grouped box plots from box statistics, the means of the outcome's bounds as lines across each group."""
    parameter = boxes.columns[0]
    values = sorted(boxes[parameter].unique())
    policies = dict(reversed(_policies(boxes).items()))
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
    for bound, label, style in zip(BOUND_LINES.get(outcome, ()), BOUND_LABELS, _BOUND_STYLE, strict=False):
        means = boxes[boxes["policy"] == bound].set_index(parameter)["mean"]
        for place, value in enumerate(values):
            if value in means.index:
                ends = [place - 0.46, place + 0.46]
                axis.plot(ends, [means[value]] * 2, label="" if place else label, zorder=0.6, **style)
    axis.set(xlabel=LABELS[xlabel], ylabel=ylabel, xticks=range(len(values)), xticklabels=[f"{value:g}" for value in values])
    axis.grid(axis="x", visible=False)


_BOX_NOTE = "boxes: quartiles, line: median, dot: mean, whiskers: 5th to 95th percentile"


def cost_boxes(boxes: pd.DataFrame, xlabel: str | None = None) -> Figure:
    """Fig. 3c/d, 4b/d: the distribution of the cost of a slot over all slots of all replications, from `box_statistics`."""
    with rc_context(STYLE):
        figure, (axis,) = _panels(1, 1, width=6.4)
        _boxes(axis, boxes, "total_cost", xlabel or boxes.columns[0], "Cost of a slot ($w_1$ s + $w_2$ GB)")
        axis.set_ylim(bottom=0)
        figure.legend(loc="outside upper center", ncols=4, columnspacing=1.0, handletextpad=0.4)
        figure.supxlabel(
            f"{_BOX_NOTE}, over all slots of all replications\nlines across: means; {_BOUND_NOTE}", fontsize=7, color="0.35"
        )
    return figure


def users_boxes(delays: pd.DataFrame, hits: pd.DataFrame, xlabel: str | None = None) -> Figure:
    """The twin of `cost_boxes`: mean service delay of a slot with requests, and the hit ratio of a replication."""
    with rc_context(STYLE):
        figure, axes = _panels(1, 2, width=5.4)
        _boxes(axes[0], delays, "service_delay_s", xlabel or delays.columns[0], "Mean service delay of a slot (s)")
        _boxes(axes[1], hits, "hit_ratio", xlabel or hits.columns[0], "Hit ratio of a replication")
        axes[0].set_ylim(bottom=0)
        axes[1].set_ylim(0, 1)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=7, columnspacing=1.0, handletextpad=0.4)
        note = f"{_BOX_NOTE}; left: over all slots with a request, right: over replications\nlines across: means; {_BOUND_NOTE}"
        figure.supxlabel(note, fontsize=7, color="0.35")
    return figure


def service_delay(delays: pd.DataFrame, note: str) -> Figure:
    """Fig. 1: first and preloaded service delay of each service, stacked by phase, from `service_delays`; `note` says whence."""
    order = delays[delays["kind"] == "first"].sort_values("total", ascending=False)["service"]
    with rc_context(STYLE):
        figure, (axis,) = _panels(1, 1, width=7.4, height=3.8)
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
        handles = [Patch(facecolor=colour, edgecolor="0.25", label=label) for colour, label in PHASE_STYLE.values()]
        handles += [Patch(facecolor="white", edgecolor="0.25", label="first service"),
                    Patch(facecolor="white", edgecolor="0.25", hatch="////", label="preloaded service")]  # fmt: skip
        axis.legend(handles=handles, loc="upper right")
        figure.supxlabel(note, fontsize=7, color="0.35")
    return figure


def convergence(log: pd.DataFrame, optimum: float) -> Figure:
    """Algorithm 1 at one miss: the lowest and the mean decision cost of each generation, and the optimum."""
    with rc_context(STYLE):
        figure, (axis,) = _panels(1, 1)
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
