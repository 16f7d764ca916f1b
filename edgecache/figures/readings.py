"""The figures of the claims (notebook 06), in the style of figures.py; each draws committed tables."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..claims.design import MEASURES, RANGES, SLACKS
from ..claims.statements import BY_CONSTRUCTION, CLAIMS, FAILS, HEADLINE, HOLDS, SIMULATED, UNDECIDED
from ..scenario import READINGS
from .style import PALETTE, STYLE, panels

# green, red, grey of the same palette, told apart by lightness and by a letter too
VERDICT_STYLE = {HOLDS: ("#009e73", "✓"), FAILS: ("#d55e00", "✗"), UNDECIDED: ("0.72", "?"), BY_CONSTRUCTION: ("0.92", "=")}
SAYS = {claim.name: claim.says for claim in CLAIMS}
NEW_STYLE = {**STYLE, "axes.grid": False}


def _legend(figure: Figure):
    handles = [Patch(facecolor=colour, label=f"{mark} {word}") for word, (colour, mark) in VERDICT_STYLE.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)


def ledger(table: pd.DataFrame) -> Figure:
    """The ledger: a row a claim, a column a reading; how much less or more the first of the two costs that decide costs."""
    readings, claims = list(dict.fromkeys(table["reading"])), list(dict.fromkeys(table["claim"]))
    with rc_context(NEW_STYLE):
        figure, (axis,) = panels(1, 1, width=4.6 + 1.5 * len(readings), height=0.8 + 0.29 * len(claims))
        for (claim, reading), rows in table.groupby(["claim", "reading"], sort=False):
            row, x, y = rows.iloc[0], readings.index(reading), claims.index(claim)
            colour, mark = VERDICT_STYLE[row["verdict"]]
            axis.fill_between([x - 0.48, x + 0.48], y - 0.44, y + 0.44, color=colour, linewidth=0)
            share = f"{abs(row['effect']):.0%}" if not row["replications"] else _change(row["effect"])
            dark = row["verdict"] in (HOLDS, FAILS)
            axis.text(x, y, f"{mark}  {share}", ha="center", va="center", fontsize=8, color="white" if dark else "0.1")
        axis.set(
            xticks=range(len(readings)), xticklabels=readings, xlim=(-0.5, len(readings) - 0.5),
            yticks=range(len(claims)), yticklabels=[SAYS[name] for name in claims], ylim=(len(claims) - 0.5, -0.5),
        )  # fmt: skip
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        _legend(figure)
        note = (
            "a claim is decided by comparing two costs: by how much the first is below (\N{MINUS SIGN}) or above (+) the second;\n"
            "which two, with intervals and bars, is in claims.csv; = : the catalogue was calibrated to it, share of what is stated"
        )
        figure.supxlabel(note, fontsize=7, color="0.35")
    return figure


def _change(effect: float) -> str:
    return f"{-effect:+.1%}".replace("-", "\N{MINUS SIGN}")


STRIPS = (
    "charge",
    "active_cycle",
    "resource_unit",
    "resource_basis",
)  # and w2 and arrival_rate: what the heat map tells of a reading


def heat_map(again: pd.DataFrame, named: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Claims by readings: the named ones, and the best of the search with what they are, in the order of the claims that hold."""
    claims = [claim.name for claim in SIMULATED]
    wide = again.pivot(index="claim", columns="number", values="verdict").loc[claims]
    order = (wide == HOLDS).sum().sort_values(ascending=False, kind="stable").index
    order = sorted(order, key=lambda number: (-(wide[number] == HOLDS).sum(), *(wide[number] != HOLDS)))
    left = named.pivot(index="claim", columns="reading", values="verdict")[list(dict.fromkeys(named["reading"]))].loc[claims]
    colours = ListedColormap([colour for colour, _ in VERDICT_STYLE.values()])
    places = {word: place for place, word in enumerate(VERDICT_STYLE)}
    with rc_context(NEW_STYLE):
        figure = Figure(figsize=(10.5, 5.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=[0.9, 7], height_ratios=[len(claims), 6])
        for column, cells in ((0, left), (1, wide[order])):
            axis = figure.add_subplot(grid[0, column])
            axis.imshow(
                cells.map(places.get).to_numpy(dtype=float), cmap=colours, vmin=0, vmax=3, aspect="auto", interpolation="none"
            )
            axis.set_yticks(range(len(claims)), [SAYS[name] for name in claims] if column == 0 else [])
            axis.set_xticks(range(cells.shape[1]) if column == 0 else [], cells.columns if column == 0 else [], rotation=90)
            axis.tick_params(length=0)
            axis.set_yticks(np.arange(len(claims) + 1) - 0.5, minor=True)
            axis.grid(which="minor", axis="y", color="white", linewidth=1.0)
            axis.tick_params(which="minor", length=0)
            if column:
                counts = (wide[order] == HOLDS).sum()
                axis.set_title(f"the {len(order)} best readings, {counts.max()} to {counts.min()} claims hold", fontsize=9)
            else:
                axis.set_title("named", fontsize=9)
        axis = figure.add_subplot(grid[1, 1])
        own = table.loc[order]
        shades = [own[name].astype(str).map(READINGS[name].index) / (len(READINGS[name]) - 1) for name in STRIPS]
        names = [f"{name}: {', '.join(READINGS[name])}" for name in STRIPS]
        for name in ("w2", "arrival_rate"):
            low, high = RANGES[name]
            shades.append(np.log(own[name] / low) / np.log(high / low))
            names.append(f"{name}: {low:g} to {high:g}")
        axis.imshow(np.array(shades), cmap="Greys", vmin=-0.15, vmax=1.0, aspect="auto", interpolation="none")
        axis.set_xticks([])
        axis.set_yticks([])
        for place, name in enumerate(names):  # no tick labels: they would push the two columns apart
            axis.annotate(name, (0, place), (-4, 0), ("axes fraction", "data"), "offset points", ha="right", va="center",
                          fontsize=7, annotation_clip=False, in_layout=False)  # fmt: skip
        axis.set_xlabel("readings; the grey strips say what they are, from light to dark in the order given", fontsize=8)
        axis.tick_params(length=0)
        handles = [Patch(facecolor=colour, label=word) for word, (colour, _) in list(VERDICT_STYLE.items())[:3]]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


PARAMETER_STYLE = {
    "w2": (PALETTE[0], "w2, weight of resources"),
    "resource_unit": (PALETTE[1], "resource_unit"),
    "resource_basis": (PALETTE[8], "resource_basis"),
    "charge": (PALETTE[3], "charge"),
    "arrival_rate": (PALETTE[2], "arrival_rate"),
    "zipf": (PALETTE[4], "zipf"),
    "catalogue": (PALETTE[5], "catalogue (its size)"),
    "other": ("0.35", "active_cycle, popularity, lfu, beta"),
}
MEASURE_NAMES = dict(zip(MEASURES, ("least reduction", "largest reduction", "how much longer users wait"), strict=True))


def sensitivity(shares: pd.DataFrame) -> Figure:
    """What decides each claim and measure: stacked first-order shares of the variance, and what they leave."""
    wide = shares.pivot(index="outcome", columns="parameter", values="share")
    wide["other"] = wide[[name for name in wide.columns if name not in PARAMETER_STYLE]].sum(axis=1)
    names = [name for name in (*SLACKS, *MEASURES) if name in wide.index][::-1]
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=8.6, height=4.6)
        left = np.zeros(len(names))
        for parameter, (colour, told) in PARAMETER_STYLE.items():
            share = 100 * wide.loc[names, parameter].to_numpy()
            axis.barh(range(len(names)), share, left=left, color=colour, label=told, height=0.75)
            left += share
        rest = np.maximum(100 - left, 0)
        axis.barh(range(len(names)), rest, left=left, color="0.93", label="interactions, and which random catalogue", height=0.75)
        axis.set_yticks(range(len(names)), [SAYS.get(name, MEASURE_NAMES.get(name)) for name in names])
        axis.set(xlim=(0, 100), xlabel="Share of the variance over all readings (%)")
        axis.grid(axis="y", visible=False)
        figure.legend(loc="outside upper center", ncols=3)
    return figure


TRENDS = tuple(name for name in SLACKS if "falls" in name or "rise" in name)


def headline(table: pd.DataFrame, marks: Mapping[str, tuple[float, float]]) -> Figure:
    """The paper's reduction against ours over all readings, and against the number of its trends that a reading supports.

    `marks`: the least and the largest reduction under named readings.
    """
    with rc_context(STYLE):
        figure, (left, right) = panels(1, 2, width=4.8, height=3.9)
        bins = np.linspace(-25, 100, 51)
        for name, colour, told in (("least_reduction", PALETTE[0], "least"), ("most_reduction", PALETTE[1], "largest")):
            values = 100 * table[name].to_numpy(dtype=float)
            left.hist(np.clip(values, bins[0], None), bins, histtype="stepfilled", color=colour, alpha=0.25)
            left.hist(np.clip(values, bins[0], None), bins, histtype="step", color=colour, label=f"{told} reduction of a reading")
        left.axvspan(*(100 * np.array(HEADLINE)), color="0.8", zorder=0, label="the paper: 56.06 to 76.73 %")
        height = left.get_ylim()[1]
        for place, (name, (least, most)) in enumerate(marks.items()):
            y = height * (1.08 + 0.09 * place)
            left.plot([100 * least, 100 * most], [y, y], color="0.1", marker="|", markersize=8, linewidth=2)
            left.text(
                100 * most + 2 if most < 0.8 else 100 * least - 2,
                y,
                name,
                va="center",
                ha="left" if most < 0.8 else "right",
                fontsize=8,
            )
        left.set(xlabel="Reduction at 120 GB and 12 GB (%)", ylabel="Readings", xlim=(bins[0], bins[-1]),
                 ylim=(0, height * (1.1 + 0.09 * len(marks))))  # fmt: skip
        left.legend(loc="upper left", fontsize=7, bbox_to_anchor=(0.0, 0.86))
        trends = (table[list(TRENDS)] > 0).sum(axis=1)
        counts = sorted(trends.unique())
        groups = [100 * table["least_reduction"][trends == count].to_numpy(dtype=float) for count in counts]
        right.axhspan(*(100 * np.array(HEADLINE)), color="0.8", zorder=0)
        boxes = right.boxplot(groups, positions=counts, whis=(5, 95), showfliers=False, patch_artist=True, widths=0.6,
                              medianprops={"color": "black"})  # fmt: skip
        for box in boxes["boxes"]:
            box.set(facecolor=PALETTE[0], alpha=0.45)
        for count, group in zip(counts, groups, strict=True):
            inside = (table["headline-reduction"][trends == count] > 0).mean()
            right.text(count, 112, f"{len(group)}\n{inside:.1%}", ha="center", va="top", fontsize=7)
        right.set(xlabel=f"How many of the paper's {len(TRENDS)} trends the reading supports", xlim=(-0.7, max(counts) + 0.7),
                  ylabel="Least reduction of a reading (%)", ylim=(-30, 114), yticks=range(-25, 101, 25))  # fmt: skip
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        left.get_legend().remove()
        note = (
            f"{len(table)} readings, 8 replications each, Exact as the proposed; left: reductions below {bins[0]:g} % are in the "
            "first bin; right: boxes are quartiles,\nwhiskers the 5th and 95th percentile; above them how many readings there are, "
            "and in how many of them every reduction lies in the paper's interval"
        )
        figure.supxlabel(note, fontsize=7, color="0.35")
    return figure
