"""Figures of real workloads: what users wait, as a distribution."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from .style import STYLE, add_note, is_bound, label, panels, policy_styles

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
        axes.set(xscale="log", xlabel="Service delay (s)", ylabel="Share of requests that wait no longer", ylim=(0, 1.02))
        axes.legend(loc="lower right", fontsize=7)
        add_note(figure, IDLE if slo_s is None else f"{IDLE}; vertical line: {slo_s:g} s")
    return figure
