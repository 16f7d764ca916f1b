"""The figure of cost against delay (notebook 05)."""

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.tradeoff import FLOOR, ONLINE, OWN_WEIGHT, POLICY
from .style import BEST_ONLINE, BOUND_CLASS, KNOWLEDGE_MARK, POLICY_STYLE, STYLE, add_note, label, panels
from .style import FLOOR as FLOOR_STYLE

NAMED_WEIGHTS = {0.0: (2, 7), 0.2: (-44, -9), 0.3: (4, 4), 0.5: (4, 4), 1.0: (6, 3)}  # of the resources, and where they are written
X, Y = "total_cost", "service_delay_all_s"


def cost_against_delay(points: pd.DataFrame) -> Figure:
    """Draw each policy as a point, the fronts of the best possible, and the proposed method under other weights.

    Parameters
    ----------
    points : pandas.DataFrame
        From `analysis.tradeoff.summarise_tradeoff`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel; bars: 95 % intervals.

    Examples
    --------
    >>> from edgecache import Scenario
    >>> from edgecache.analysis import tradeoff
    >>> runs = tradeoff.tradeoff(["lru"], Scenario(slots=20), waiting=[0, 1], w2=[0.1], replications=2, jobs=1)
    >>> len(cost_against_delay(tradeoff.summarise_tradeoff(runs)).axes)
    1
    """
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=7.16, height=4.3)
        for kind, style in ((FLOOR, FLOOR_STYLE), (ONLINE, BEST_ONLINE)):
            front = points[points["kind"] == kind].sort_values(X)
            axis.plot(front[X], front[Y], **style)
        _weights(axis, points[points["kind"] == OWN_WEIGHT].sort_values("weight"))
        for row in points[points["kind"] == POLICY].itertuples():
            colour, marker = POLICY_STYLE.get(row.policy, ("0.5", "o"))
            mark = KNOWLEDGE_MARK.get(row.policy, "")
            across = [[row.total_cost - row.total_cost_low], [row.total_cost_high - row.total_cost]]
            along = [[getattr(row, Y) - getattr(row, f"{Y}_low")], [getattr(row, f"{Y}_high") - getattr(row, Y)]]
            axis.errorbar(row.total_cost, getattr(row, Y), xerr=across, yerr=along, color=colour, marker=marker, markersize=6,
                          linestyle="", linewidth=0.6, markerfacecolor="white" if mark else colour,
                          label=f"{label(row.policy)}{mark}")  # fmt: skip
        axis.set(xlabel="Mean cost per slot (weighted cost)", ylabel="Mean delay of a request (s)", xlim=(0, None))
        figure.legend(loc="outside right upper", fontsize=7)
        add_note(
            figure,
            f"bars: 95 % intervals; hollow: knows the popularity (*) or the future (**)\nfloor and best online: {BOUND_CLASS}",
        )
    return figure


def _weights(axis: Axes, curve: pd.DataFrame) -> None:
    """Draw the proposed method under other weights of the resources, some of them named."""
    colour, _ = POLICY_STYLE["ga"]
    axis.plot(curve[X], curve[Y], color=colour, linewidth=1.2, linestyle="-", label="Proposed, its decisions under other w2")
    for weight, offset in NAMED_WEIGHTS.items():
        row = curve.loc[(curve["weight"] - weight).abs().idxmin()]
        axis.plot(row[X], row[Y], color=colour, marker=".", markersize=5)
        axis.annotate(f"w2 = {row['weight']:.2g}", (row[X], row[Y]), xytext=offset, textcoords="offset points", fontsize=7)
