"""Figures of real workloads (notebook 07): outcomes over a dial of demands, ranks, deployed rules, and waits as a distribution."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..listing import POLICY_TABLE
from .style import BEST_ONLINE, BOUND_CLASS, FLOOR, LABELS, STYLE, add_note, base_policy, is_bound, label, panels, policy_styles

OUTCOMES = {  # the label of each outcome, and its floor and best online policy
    "total_cost": (LABELS["total_cost"], ("clairvoyant", "optimal-online")),
    "service_delay_all_s": ("Mean delay of a request (s)", ("clairvoyant-delay", "optimal-online-delay")),
    "hit_ratio": (LABELS["hit_ratio"], ()),
}
IDLE = "delays of an idle server: no request waits for another"


def delay_ecdf(table: pd.DataFrame, slo_s: float | None = None) -> Figure:
    """Draw the share of requests that wait no longer than each delay, one step line per policy.

    Parameters
    ----------
    table : pandas.DataFrame
        What `analysis.delays.delay_distribution` returned.
    slo_s : float, optional
        A bound on the delay, s, drawn as a vertical line.

    Returns
    -------
    matplotlib.figure.Figure
        One panel with a logarithmic axis of delays.

    Examples
    --------
    >>> table = pd.DataFrame({"policy": "lru", "delay_s": [1.0, 30.0], "share": [0.7, 1.0]})
    >>> len(delay_ecdf(table, 10.0).axes[0].lines)
    2
    """
    with rc_context(STYLE):
        figure, (axes,) = panels(1, 1)
        styles = policy_styles(table)
        for policy, rows in table.groupby("policy", sort=False):
            bound = {"label": label(str(policy)), "color": "0.4", "linestyle": "--"}
            style = bound if is_bound(str(policy)) else styles[policy] | {"marker": ""}
            delays, shares = rows["delay_s"].to_numpy(), rows["share"].to_numpy()
            axes.step(np.append(delays[0], delays), np.append(0.0, shares), where="post", **style)
        if slo_s is not None:
            axes.axvline(slo_s, color="0.6", linewidth=0.8)
        axes.set(xscale="log", xlabel="Service delay (s)", ylabel="Share that waits no longer", ylim=(0, 1.02))
        axes.legend(loc="lower right", fontsize=7)
        add_note(figure, IDLE if slo_s is None else f"{IDLE}; vertical line: {slo_s:g} s")
    return figure


def dial(table: pd.DataFrame) -> Figure:
    """Draw the mean outcomes of every policy over a dial of demands, a panel per outcome.

    Parameters
    ----------
    table : pandas.DataFrame
        What `analysis.demands.summarise_demands` returned.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels: cost, delay and hit ratio. Bands are intervals; the floor and the best online policy of an outcome are
        lines behind the policies. A table without bounds of the delay has those of a cost that counts the delay alone.

    Examples
    --------
    >>> from edgecache import sweep
    >>> from edgecache.analysis.demands import summarise_demands
    >>> runs = sweep({"demand": ["poisson", "drift"]}, ["lru", "clairvoyant"], 2, jobs=1)
    >>> len(dial(summarise_demands(runs)).axes)
    3
    """
    demands = list(dict.fromkeys(table["demand"]))
    with rc_context(STYLE):
        figure, axes = panels(1, len(OUTCOMES), width=3.4, height=4.4)
        for axis, (outcome, (name, bounds)) in zip(axes, OUTCOMES.items(), strict=True):
            rows = table[table["outcome"] == outcome]
            for policy, style in policy_styles(table).items():
                _along(axis, rows[rows["policy"] == policy], demands, style | {"markersize": 4, "linewidth": 1.0})
            for bound, style in zip(bounds, (FLOOR, BEST_ONLINE), strict=False):
                known = rows["policy"].map(base_policy)
                own = rows[known == bound]
                _along(axis, own if len(own) else rows[known == bound.removesuffix("-delay")], demands, style)
            axis.set(ylabel=name)
            _name_demands(axis, demands)
        _logarithmic(axes[0])
        handles = dict(zip(*reversed(axes[1].get_legend_handles_labels()), strict=True))
        figure.legend(list(handles.values())[::-1], list(handles)[::-1], loc="outside right upper", fontsize=7)
        add_note(figure, _dial_note(table))
    return figure


def _along(axis: Axes, rows: pd.DataFrame, demands: list[str], style: dict) -> None:
    """Draw the means of one policy over the demands, with a band."""
    if not len(rows):
        return
    line = rows.set_index("demand").reindex(demands)
    places = np.arange(len(demands))
    axis.plot(places, line["mean"], **style)
    axis.fill_between(places, line["low"], line["high"], color=style["color"], alpha=0.06, linewidth=0)


def _logarithmic(axis: Axes) -> None:
    """Make the vertical axis logarithmic, with ticks at 1, 2 and 5 times the powers of ten."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    ticks = [step * 10.0**power for power in range(-6, 13) for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _name_demands(axis: Axes, demands: list[str]) -> None:
    """Write the names of the demands below an axis."""
    axis.set_xticks(range(len(demands)), demands, rotation=40, ha="right", rotation_mode="anchor", fontsize=7)
    axis.set_xlim(-0.3, len(demands) - 0.7)


def _dial_note(table: pd.DataFrame) -> str:
    """What the bands are, and among which policies the bounds hold."""
    note = f"bands: {_intervals(table, 'intervals of the mean')}\n{IDLE}\nfloor: every request known, {BOUND_CLASS}"
    return f"{note}\nbest online: mean popularity known; a bound only for independent requests whose true popularity prices them"


def _intervals(table: pd.DataFrame, what: str) -> str:
    """What the intervals of a table are, and under which demands they are the spread of the replications."""
    spread = list(dict.fromkeys(table.loc[table["interval"] == "spread", "demand"]))
    of_log = f"; of {' and '.join(spread)}: the middle 95 % of the replications, which all draw from one log" if spread else ""
    return f"95 % {what}{of_log}"


def ranks(table: pd.DataFrame, outcome: str = "total_cost") -> Figure:
    """Draw the rank of every policy over a dial of demands, a panel per reading; lines that cross are rankings that flip.

    Parameters
    ----------
    table : pandas.DataFrame
        Tables of `analysis.demands.summarise_demands` below one another, with a column `reading`.
    outcome : str
        The outcome to rank by; the least is rank 1.

    Returns
    -------
    matplotlib.figure.Figure
        Policies that know the past alone; each is named at the right end of its line.

    Examples
    --------
    >>> from edgecache import sweep
    >>> from edgecache.analysis.demands import summarise_demands
    >>> runs = sweep({"demand": ["poisson", "drift"]}, ["lru", "lfu"], 2, jobs=1)
    >>> axis = ranks(summarise_demands(runs).assign(reading="literal")).axes[0]
    >>> sorted(text.get_text() for text in axis.texts)
    ['LFU', 'LRU']
    """
    past = [name for name in table["policy"].unique() if name not in POLICY_TABLE or POLICY_TABLE[name].knows == "past"]
    rows = table[(table["outcome"] == outcome) & table["policy"].isin(past)]
    readings, demands = (list(dict.fromkeys(rows[name])) for name in ("reading", "demand"))
    with rc_context({**STYLE, "axes.grid": False}):
        figure, axes = panels(1, len(readings), width=5.2, height=4.2)
        for axis, reading in zip(axes, readings, strict=True):
            wide = rows[rows["reading"] == reading].pivot(index="policy", columns="demand", values="mean")[demands]
            placed = wide.rank(method="first")
            for policy, style in policy_styles(rows).items():
                place = placed.loc[policy].to_numpy()
                axis.plot(range(len(demands)), place, **(style | {"markersize": 5, "linewidth": 1.2}))
                axis.annotate(
                    style["label"], (len(demands) - 1, place[-1]), (6, 0), textcoords="offset points", va="center", fontsize=7
                )
            axis.set(title=f"reading: {reading}", ylabel="Rank, 1 has the least", yticks=range(1, len(placed) + 1))
            axis.invert_yaxis()
            _name_demands(axis, demands)
        what = OUTCOMES[outcome][0].replace("\n", " ").replace("Mean", "mean").replace("Average", "average")
        add_note(figure, f"ranked by the {what}; ranks of policies whose intervals overlap may be chance")
    return figure


def excess(table: pd.DataFrame) -> Figure:
    """Draw by how much policies exceed a bound, under each demand.

    Parameters
    ----------
    table : pandas.DataFrame
        What `analysis.demands.above_bound` returned.

    Returns
    -------
    matplotlib.figure.Figure
        One panel; a point per demand and policy with its interval.

    Examples
    --------
    >>> rows = [("poisson", "lru", 0.3, 0.2, 0.4, "mean"), ("poisson", "lemonade", 0.2, 0.1, 0.3, "mean")]
    >>> axis = excess(pd.DataFrame(rows, columns=["demand", "policy", "excess", "low", "high", "interval"])).axes[0]
    >>> [container.get_label() for container in axis.containers]
    ['LRU', 'Lemonade']
    """
    demands = list(dict.fromkeys(table["demand"]))
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=7.16, height=3.8)
        styles = policy_styles(table)
        policies = list(dict.fromkeys(table["policy"]))
        for place, policy in enumerate(policies):
            rows = table[table["policy"] == policy].set_index("demand").loc[demands]
            mean, low, high = (100 * rows[name].to_numpy() for name in ("excess", "low", "high"))
            across = np.arange(len(demands)) + 0.6 * (place / max(len(policies) - 1, 1) - 0.5)
            axis.errorbar(across, mean, yerr=np.maximum([mean - low, high - mean], 0), linestyle="", markersize=5, linewidth=0.8,
                          **styles[policy])  # fmt: skip
        axis.set(ylabel="Delay above the least possible (%)", ylim=(0, None))
        _name_demands(axis, demands)
        axis.set_xlim(-0.5, len(demands) - 0.5)
        figure.legend(loc="outside right upper", fontsize=7)
        bars = _intervals(table, "intervals on the same requests")
        add_note(figure, f"bars: {bars}\nleast possible: every request known, {BOUND_CLASS}\n{IDLE}")
    return figure
