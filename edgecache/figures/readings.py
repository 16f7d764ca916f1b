"""Figures of the claims (notebook 06): the ledger, the readings that support most claims, and what decides each claim."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..claims.design import MEASURES, RANGES, SLACKS
from ..claims.statements import BY_CONSTRUCTION, CLAIMS, FAILS, HEADLINE, HOLDS, SIMULATED, UNDECIDED
from ..scenario import READINGS
from .style import PALETTE, STYLE, add_note, panels

# green, red, grey of the same palette, told apart by lightness and by a letter too
VERDICT_STYLE = {HOLDS: ("#009e73", "✓"), FAILS: ("#d55e00", "✗"), UNDECIDED: ("0.72", "?"), BY_CONSTRUCTION: ("0.92", "=")}
SAYS = {claim.name: claim.says for claim in CLAIMS}
GRIDLESS = {**STYLE, "axes.grid": False}


def _legend(figure: Figure) -> None:
    handles = [Patch(facecolor=colour, label=f"{mark} {word}") for word, (colour, mark) in VERDICT_STYLE.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)


def ledger(table: pd.DataFrame) -> Figure:
    """Draw the ledger of claims: a row per claim, a column per reading.

    Parameters
    ----------
    table : pandas.DataFrame
        data/results/claims.csv, or what `claims.ledger.ledger` gives.

    Returns
    -------
    matplotlib.figure.Figure
        In each cell the verdict, and by how much the first of the two costs that decide is below or above the second.

    Examples
    --------
    >>> row = {"reading": "literal", "claim": CLAIMS[0].name, "verdict": HOLDS, "effect": 0.5, "replications": 30}
    >>> ledger(pd.DataFrame([row])).axes[0].texts[0].get_text()[0]
    '✓'
    """
    readings, claims = list(dict.fromkeys(table["reading"])), list(dict.fromkeys(table["claim"]))
    with rc_context(GRIDLESS):
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
        add_note(figure, note)
    return figure


def _change(effect: float) -> str:
    return f"{-effect:+.1%}".replace("-", "\N{MINUS SIGN}")


STRIPS = (
    "scope",
    "charge",
    "active_cycle",
    "resource_unit",
    "resource_basis",
)  # and w2 and arrival_rate: what the heat map shows of a reading


def heat_map(again: pd.DataFrame, named: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Draw claims by readings: the named readings, and the best of the search with their parameters.

    Parameters
    ----------
    again : pandas.DataFrame
        data/results/readings-best.csv: the verdicts of the best readings, by their `number`.
    named : pandas.DataFrame
        data/results/claims.csv: the verdicts of the named readings.
    table : pandas.DataFrame
        data/results/readings.parquet: the parameters of every reading.

    Returns
    -------
    matplotlib.figure.Figure
        Two maps of verdicts, and grey strips for the parameters.

    Examples
    --------
    >>> from edgecache.claims.design import read_readings
    >>> from edgecache.files import ROOT
    >>> again, named = (pd.read_csv(ROOT / "data/results" / name) for name in ("readings-best.csv", "claims.csv"))
    >>> len(heat_map(again, named, read_readings(ROOT / "data/results/readings.parquet")).axes)
    3
    """
    claims = [claim.name for claim in SIMULATED]
    wide = again.pivot(index="claim", columns="number", values="verdict").loc[claims]
    order = (wide == HOLDS).sum().sort_values(ascending=False, kind="stable").index
    order = sorted(order, key=lambda number: (-(wide[number] == HOLDS).sum(), *(wide[number] != HOLDS)))
    left = named.pivot(index="claim", columns="reading", values="verdict")[list(dict.fromkeys(named["reading"]))].loc[claims]
    with rc_context(GRIDLESS):
        figure = Figure(figsize=(10.5, 5.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=[0.9, 7], height_ratios=[len(claims), 6])
        axis = figure.add_subplot(grid[0, 0])
        _verdict_map(axis, left, "named")
        axis.set_yticks(range(len(claims)), [SAYS[name] for name in claims])
        axis.set_xticks(range(left.shape[1]), left.columns, rotation=90)
        counts = (wide[order] == HOLDS).sum()
        title = f"the {len(order)} best readings, {counts.max()} to {counts.min()} claims hold"
        _verdict_map(figure.add_subplot(grid[0, 1]), wide[order], title)
        _strips(figure.add_subplot(grid[1, 1]), table.loc[order])
        handles = [Patch(facecolor=colour, label=word) for word, (colour, _) in list(VERDICT_STYLE.items())[:3]]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _verdict_map(axis: Axes, verdicts: pd.DataFrame, title: str) -> None:
    """Draw verdicts as coloured cells, a row per claim, without tick labels."""
    colours = ListedColormap([colour for colour, _ in VERDICT_STYLE.values()])
    cells = verdicts.map([*VERDICT_STYLE].index).to_numpy(dtype=float)
    axis.imshow(cells, cmap=colours, vmin=0, vmax=3, aspect="auto", interpolation="none")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_yticks(np.arange(len(verdicts) + 1) - 0.5, minor=True)
    axis.grid(which="minor", axis="y", color="white", linewidth=1.0)
    axis.tick_params(which="both", length=0)
    axis.set_title(title, fontsize=9)


def _strips(axis: Axes, rows: pd.DataFrame) -> None:
    """Draw the parameters of readings as grey strips, a column per reading."""
    shades = [rows[name].astype(str).map(READINGS[name].index) / (len(READINGS[name]) - 1) for name in STRIPS]
    names = [f"{name}: {', '.join(READINGS[name])}" for name in STRIPS]
    for name in ("w2", "arrival_rate"):
        low, high = RANGES[name]
        shades.append(np.log(rows[name] / low) / np.log(high / low))
        names.append(f"{name}: {low:g} to {high:g}")
    axis.imshow(np.array(shades), cmap="Greys", vmin=-0.15, vmax=1.0, aspect="auto", interpolation="none")
    axis.set_xticks([])
    axis.set_yticks([])
    for place, name in enumerate(names):  # no tick labels: they would push the two columns apart
        axis.annotate(name, (0, place), (-4, 0), ("axes fraction", "data"), "offset points", ha="right", va="center",
                      fontsize=7, annotation_clip=False, in_layout=False)  # fmt: skip
    axis.set_xlabel("readings; the grey strips say what they are, from light to dark in the order given", fontsize=8)


PARAMETER_STYLE = {
    "w2": (PALETTE[0], "w2, weight of resources"),
    "resource_unit": (PALETTE[1], "resource_unit"),
    "resource_basis": (PALETTE[8], "resource_basis"),
    "charge": (PALETTE[3], "charge"),
    "arrival_rate": (PALETTE[2], "arrival_rate"),
    "zipf": (PALETTE[4], "zipf"),
    "catalogue": (PALETTE[5], "catalogue (its size)"),
    "scope": (PALETTE[6], "scope"),
    "other": ("0.35", "active_cycle, popularity, its order, lfu, beta"),
}
MEASURE_NAMES = dict(zip(MEASURES, ("least reduction", "largest reduction", "how much longer users wait"), strict=True))


def sensitivity(shares: pd.DataFrame) -> Figure:
    """Draw what decides each claim and measure: first-order shares of the variance, and the rest.

    Parameters
    ----------
    shares : pandas.DataFrame
        data/results/readings-sensitivity.csv: one `share` per `outcome` and `parameter`.

    Returns
    -------
    matplotlib.figure.Figure
        A stacked bar per claim and measure.

    Examples
    --------
    >>> from edgecache.files import ROOT
    >>> len(sensitivity(pd.read_csv(ROOT / "data/results/readings-sensitivity.csv")).axes)
    1
    """
    wide = shares.pivot(index="outcome", columns="parameter", values="share")
    wide["other"] = wide[[name for name in wide.columns if name not in PARAMETER_STYLE]].sum(axis=1)
    names = [name for name in (*SLACKS, *MEASURES) if name in wide.index][::-1]
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=8.6, height=4.6)
        left = np.zeros(len(names))
        for parameter, (colour, name) in PARAMETER_STYLE.items():
            share = 100 * wide.loc[names, parameter].to_numpy()
            axis.barh(range(len(names)), share, left=left, color=colour, label=name, height=0.75)
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
    """Draw the paper's reduction against ours: over all readings, and by how many of its trends a reading supports.

    Parameters
    ----------
    table : pandas.DataFrame
        data/results/readings.parquet: the reductions and slacks of every reading.
    marks : mapping of str to (float, float)
        The least and the largest reduction under named readings.

    Returns
    -------
    matplotlib.figure.Figure
        Left histograms of the reductions, right box plots.

    Examples
    --------
    >>> from edgecache.claims.design import read_readings
    >>> from edgecache.files import ROOT
    >>> len(headline(read_readings(ROOT / "data/results/readings.parquet"), {"literal": (0.6, 0.7)}).axes)
    2
    """
    with rc_context(STYLE):
        figure, (left, right) = panels(1, 2, width=4.8, height=3.9)
        bins = [*np.linspace(-25.0, 100.0, 51)]
        _histograms(left, table, bins)
        _marks(left, marks, bins)
        _reductions_by_trends(right, table)
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        note = (
            f"{len(table)} readings, 8 replications each, Exact as the proposed; left: reductions below {bins[0]:g} % are in the "
            "first bin; right: boxes are quartiles,\nwhiskers the 5th and 95th percentile; above them how many readings there are, "
            "and in how many of them every reduction lies in the paper's interval"
        )
        add_note(figure, note)
    return figure


def _histograms(axis: Axes, table: pd.DataFrame, bins: Sequence[float]) -> None:
    for name, colour, size in (("least_reduction", PALETTE[0], "least"), ("most_reduction", PALETTE[1], "largest")):
        values = np.clip(100 * table[name].to_numpy(dtype=float), bins[0], None)
        axis.hist(values, bins, histtype="stepfilled", color=colour, alpha=0.25)
        axis.hist(values, bins, histtype="step", color=colour, label=f"{size} reduction of a reading")
    axis.axvspan(*(100 * np.array(HEADLINE)), color="0.8", zorder=0, label="the paper: 56.06 to 76.73 %")


def _marks(axis: Axes, marks: Mapping[str, tuple[float, float]], bins: Sequence[float]) -> None:
    """Draw the named readings above the histograms, each from its least to its largest reduction."""
    height = axis.get_ylim()[1]
    for place, (name, (least, most)) in enumerate(marks.items()):
        y, right = height * (1.08 + 0.09 * place), most < 0.8
        axis.plot([100 * least, 100 * most], [y, y], color="0.1", marker="|", markersize=8, linewidth=2)
        axis.text(100 * most + 2 if right else 100 * least - 2, y, name, va="center", ha="left" if right else "right", fontsize=8)
    axis.set(xlabel="Reduction at 120 GB and 12 GB (%)", ylabel="Readings", xlim=(bins[0], bins[-1]),
             ylim=(0, height * (1.1 + 0.09 * len(marks))))  # fmt: skip


def _reductions_by_trends(axis: Axes, table: pd.DataFrame) -> None:
    trends = (table[list(TRENDS)] > 0).sum(axis=1)
    counts = sorted(trends.unique())
    groups = [100 * table["least_reduction"][trends == count].to_numpy(dtype=float) for count in counts]
    axis.axhspan(*(100 * np.array(HEADLINE)), color="0.8", zorder=0)
    boxes = axis.boxplot(groups, positions=counts, whis=(5, 95), showfliers=False, patch_artist=True, widths=0.6,
                         medianprops={"color": "black"})  # fmt: skip
    for box in boxes["boxes"]:
        box.set(facecolor=PALETTE[0], alpha=0.45)
    for count, group in zip(counts, groups, strict=True):
        inside = (table["headline-reduction"][trends == count] > 0).mean()
        axis.text(count, 112, f"{len(group)}\n{inside:.1%}", ha="center", va="top", fontsize=7)
    axis.set(xlabel=f"How many of the paper's {len(TRENDS)} trends the reading supports", xlim=(-0.7, max(counts) + 0.7),
             ylabel="Least reduction of a reading (%)", ylim=(-30, 114), yticks=range(-25, 101, 25))  # fmt: skip
