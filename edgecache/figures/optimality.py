"""Figures of how far each policy is from the best possible (notebook 05).

Possible means: for a policy that decides at misses, keeps the requested model, and neither prefetches nor unloads when idle.
"""

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .style import BOUND_CLASS, LABELS, PALETTE, STYLE, add_note, panels

PART_STYLE = {
    "solver": (PALETTE[3], "o", "solver error: GA - Exact"),
    "myopia": ("black", "*", "myopia: Exact - best online"),
    "future": ("#5e3c99", "s", "not knowing the future: best online - floor"),
}


def gap_split(splits: pd.DataFrame) -> Figure:
    """Draw the parts of the GA's gap to the floor, a panel per swept parameter.

    Parameters
    ----------
    splits : pandas.DataFrame
        Tables of `analysis.gaps.split_gap`, below one another: a row per `parameter`, `value` and `part`.

    Returns
    -------
    matplotlib.figure.Figure
        The parts add up to the distance between the GA and the floor.

    Examples
    --------
    >>> rows = [("storage_gb", 60, part, 1.0, 0.5, 1.5) for part in PART_STYLE]
    >>> len(gap_split(pd.DataFrame(rows, columns=["parameter", "value", "part", "mean", "low", "high"])).axes)
    1
    """
    parameters = list(dict.fromkeys(splits["parameter"]))
    with rc_context(STYLE):
        figure, axes = panels(1, len(parameters), width=3.3)
        for axis, parameter in zip(axes, parameters, strict=True):
            table = splits[splits["parameter"] == parameter]
            for part, (colour, marker, meaning) in PART_STYLE.items():
                line = table[table["part"] == part]
                axis.plot(line["value"], line["mean"], color=colour, marker=marker, markersize=5, linewidth=1.4, label=meaning)
                axis.fill_between(line["value"], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0)
            axis.axhline(0, color="0.3", linewidth=0.6)
            axis.set_xlabel(LABELS[parameter].replace(" of the edge server", ""))
        axes[0].set_ylabel("Cost above the floor, by cause\n($w_1$ s + $w_2$ GB per slot)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3 if len(parameters) > 2 else 1)
        note = "bands: 95 % intervals of the paired difference; the parts add up to the distance between GA and floor"
        add_note(figure, f"{note}\nfloor and best online: {BOUND_CLASS}")
    return figure


def certificate(shares: pd.DataFrame) -> Figure:
    """Draw how often the GA has met the optimum of a decision, by evaluations, and what enumeration needs.

    Parameters
    ----------
    shares : pandas.DataFrame
        From `analysis.gaps.optimal_share`: a row per `case` and number of `evaluations`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel, a curve per case; dotted: the median number of subsets that enumeration tries.

    Examples
    --------
    >>> rows = [("small", evaluations, 1.0, 7, 16) for evaluations in (50, 100)]
    >>> columns = ["case", "evaluations", "optimal", "decisions", "enumeration"]
    >>> len(certificate(pd.DataFrame(rows, columns=columns)).axes)
    1
    """
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=6.4, height=3.8)
        cases = shares.groupby("case", sort=False)
        for colour, marker, (case, line) in zip(PALETTE, "s^DoPXv<>*", cases, strict=False):
            name = f"{case} ({line['decisions'].iloc[0]} decisions)"
            axis.plot(line["evaluations"], line["optimal"], color=colour, marker=marker, markevery=5, markersize=4, label=name)
            axis.axvline(line["enumeration"].iloc[0], color=colour, linestyle=":", linewidth=1.4)
        axis.plot([], [], color="0.3", linestyle=":", label="enumeration of all subsets (median)")
        axis.set(xscale="log", ylim=(0, 1.03), xlabel="Evaluations of the cost per decision",
                 ylabel="Share of decisions whose\noptimum the GA has met")  # fmt: skip
        figure.legend(loc="outside upper center", ncols=2, fontsize=7.5)
    return figure


METHOD_STYLE = {
    "milp": (PALETTE[0], "s", "milp (HiGHS)"),
    "GA": (PALETTE[3], "o", "GA (default)"),
    "Exact": ("black", "*", "Exact"),
}


def growth(scaling: pd.DataFrame) -> Figure:
    """Draw the time of a decision and its cost above the optimum, by number of models.

    Parameters
    ----------
    scaling : pandas.DataFrame
        data/results/scaling.csv, which `make bench` writes: a row per number of `models`, `server` and `method`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel of times per server, and one panel of costs.

    Examples
    --------
    >>> rows = [(10, "fixed", method, 1.0, 0.5, 2.0, 0.0) for method in METHOD_STYLE]
    >>> len(growth(pd.DataFrame(rows, columns=["models", "server", "method", "ms", "ms_low", "ms_high", "gap"])).axes)
    2
    """
    servers = list(dict.fromkeys(scaling["server"]))
    with rc_context(STYLE):
        figure, axes = panels(1, len(servers) + 1, width=3.2, height=3.4)
        for axis, server in zip(axes, servers, strict=False):
            for method, (colour, marker, name) in METHOD_STYLE.items():
                line = scaling[(scaling["server"] == server) & (scaling["method"] == method)]
                axis.plot(line["models"], line["ms"], color=colour, marker=marker, markersize=5, label=name)
                axis.fill_between(line["models"], line["ms_low"], line["ms_high"], color=colour, alpha=0.15, linewidth=0)
            axis.set(xscale="log", yscale="log", title=f"{server}: time", xlabel="Models in the catalogue")
            axis.set_ylim(0.7 * scaling["ms_low"].min(), 1.4 * scaling["ms_high"].max())
        axes[0].set_ylabel("Time of a decision (ms)")
        last = axes[-1]
        for server, line_style in zip(servers, (":", "-", "--"), strict=False):
            for order, (method, (colour, marker, _)) in enumerate(METHOD_STYLE.items()):
                line = scaling[(scaling["server"] == server) & (scaling["method"] == method)]
                last.plot(
                    line["models"], 100 * line["gap"], color=colour, marker=marker, markersize=9 - 2 * order, linestyle=line_style
                )
            last.plot([], [], color="0.3", linestyle=line_style, label=server)
        last.legend(loc="upper left", fontsize=7)
        last.set_yscale("symlog", linthresh=1)
        last.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
        last.set(xscale="log", title="cost", xlabel="Models in the catalogue", ylim=(-0.15, None),
                 ylabel="Cost above the optimum (%)")  # fmt: skip
        ticks = sorted(scaling["models"].unique())
        for axis in axes:
            axis.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=7)
            axis.minorticks_off()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        add_note(figure, "medians; bands: fastest to slowest decision; measured by make bench")
    return figure


RESOURCE_STYLE = {
    "storage_gb": ("#e69f00", "storage"),
    "gpu_memory_gb": ("#56b4e9", "GPU memory"),
    "energy_capacity_kw": ("#cc79a7", "power"),
}


def capacity_map(table: pd.DataFrame) -> Figure:
    """Draw which limit costs most over storage and GPU memory, a panel per `case`.

    Parameters
    ----------
    table : pandas.DataFrame
        From `analysis.gaps.capacity_map`, with a column `case`: a row per server and resource.

    Returns
    -------
    matplotlib.figure.Figure
        Colour: the limit that costs most. Number: by how much the average cost falls without it, %.

    Examples
    --------
    >>> rows = [(60.0, 6.0, resource, 0.1, True, "one") for resource in RESOURCE_STYLE]
    >>> columns = ["storage_gb", "gpu_memory_gb", "resource", "share", "binding", "case"]
    >>> capacity_map(pd.DataFrame(rows, columns=columns)).axes[0].texts[0].get_text()
    '10+'
    """
    cases = list(dict.fromkeys(table["case"]))
    with rc_context({**STYLE, "axes.grid": False}):
        figure, axes = panels(1, len(cases), width=4.2, height=3.9)
        for axis, case in zip(axes, cases, strict=True):
            rows = table[table["case"] == case]
            storage, gpu_memory = sorted(rows["storage_gb"].unique()), sorted(rows["gpu_memory_gb"].unique())
            for (s, g), cell in rows.groupby(["storage_gb", "gpu_memory_gb"]):
                _map_cell(axis, storage.index(s), gpu_memory.index(g), cell)
            axis.set(title=case, xlabel="Storage (GB)", xlim=(-0.5, len(storage) - 0.5), ylim=(-0.5, len(gpu_memory) - 0.5),
                     xticks=range(len(storage)), xticklabels=[f"{s:g}" for s in storage],
                     yticks=range(len(gpu_memory)), yticklabels=[f"{g:g}" for g in gpu_memory])  # fmt: skip
        axes[0].set_ylabel("GPU memory (GB)")
        handles = [Patch(facecolor=colour, label=name) for colour, name in RESOURCE_STYLE.values()]
        handles.append(Patch(facecolor="0.92", label="no single limit costs anything"))
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
        note = "colour: the limit that costs the best online policy most; numbers: % of its average cost saved without the limit; "
        add_note(figure, f"{note}+: others bind too\nbest online: {BOUND_CLASS}")
    return figure


def _map_cell(axis: Axes, x: int, y: int, cell: pd.DataFrame) -> None:
    """Draw one server of the capacity map, from its rows."""
    worst = cell.loc[cell["share"].idxmax()]
    binds = bool(worst["binding"])
    colour = RESOURCE_STYLE[worst["resource"]][0] if binds else "0.92"
    axis.fill_between([x - 0.5, x + 0.5], y - 0.5, y + 0.5, color=colour, linewidth=0,
                      alpha=0.35 + 0.65 * min(worst["share"] / 0.3, 1) if binds else 1)  # fmt: skip
    if binds:
        percent, others = 100 * worst["share"], "+" if cell["binding"].sum() > 1 else ""
        share = f"{percent:.0f}" if percent >= 0.5 else "<1"
        axis.text(x, y, f"{share}{others}", ha="center", va="center", fontsize=6)
