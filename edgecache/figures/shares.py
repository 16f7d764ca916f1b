"""Figures of how often claims hold (notebook 06): by the scope of a decision, and over random catalogues."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from ..claims.statements import SIMULATED
from .style import PALETTE, STYLE, add_note, panels

SCOPE_STYLE = {
    "evict": (PALETTE[7], "o", "evict: keep the requested model, evict others"),
    "bypass": (PALETTE[0], "s", "bypass: may also drop the requested model"),
    "prefetch": (PALETTE[1], "^", "prefetch: may also deploy others"),
    "free": (PALETTE[3], "D", "free: any deployment"),
}
READING_STYLE = {"literal": (PALETTE[0], "o"), "closest": (PALETTE[1], "s"), "delay": (PALETTE[2], "^")}
SAYS = {claim.name: claim.says for claim in SIMULATED}


def scopes(table: pd.DataFrame) -> Figure:
    """Draw in which share of the draws claims hold together, by scope: over all readings, and where the scope matters.

    Parameters
    ----------
    table : pandas.DataFrame
        data/results/readings-scopes.csv, from `claims.pairs.compare_scopes`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for any charge, and those of absence; bars: 95 % intervals.

    Examples
    --------
    >>> row = {"outcome": "headline", "charge": "any", "scope": "free", "draws": 9}
    >>> shares = {f"{which}{end}": 0.1 for which in ("first", "second") for end in ("", "_low", "_high")}
    >>> len(scopes(pd.DataFrame([row | shares])).axes)
    1
    """
    charges = [charge for charge in dict.fromkeys(table["charge"]) if charge not in ("eviction", "miss")]
    outcomes = list(dict.fromkeys(table["outcome"]))
    places = {scope: 0.3 - 0.2 * number for number, scope in enumerate(SCOPE_STYLE)}
    with rc_context(STYLE):
        figure, axes = panels(1, len(charges), width=2.8, height=0.9 + 0.55 * len(outcomes))
        for axis, charge in zip(axes, charges, strict=True):
            rows = table[table["charge"] == charge]
            for scope, (colour, marker, meaning) in SCOPE_STYLE.items():
                which = "first" if scope == "evict" else "second"
                some = rows.drop_duplicates("outcome") if scope == "evict" else rows[rows["scope"] == scope]
                y = np.array([-outcomes.index(outcome) for outcome in some["outcome"]]) + places[scope]
                share = 100 * some[[which, f"{which}_low", f"{which}_high"]].to_numpy(dtype=float).T
                axis.errorbar(share[0], y, xerr=[share[0] - share[1], share[2] - share[0]], color=colour, marker=marker,
                              markersize=5, linestyle="", linewidth=1, label=meaning)  # fmt: skip
            title = "all draws" if charge == "any" else f"charge: {charge}"
            axis.set_xscale("symlog", linthresh=0.05)
            axis.set(title=f"{title}\n{rows['draws'].iloc[0]:,} draws", xlabel="Share of draws (%)", xlim=(-0.004, 100),
                     xticks=[0, 0.1, 1, 10, 100], xticklabels=["0", "0.1", "1", "10", "100"],
                     yticks=[-place for place in range(len(outcomes))], yticklabels=[])  # fmt: skip
        axes[0].set_yticklabels(outcomes)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2 if len(charges) > 2 else 1)
        add_note(figure, "same draws and traces for every scope; bars: 95 % intervals (Clopper and Pearson)")
    return figure


def catalogues(shares: pd.DataFrame) -> Figure:
    """Draw in which share of random catalogues each claim holds.

    Parameters
    ----------
    shares : pandas.DataFrame
        From `claims.catalogues.shares_that_hold`.

    Returns
    -------
    matplotlib.figure.Figure
        A row per claim, a marker per reading: filled where the claim holds with the shipped catalogue.

    Examples
    --------
    >>> row = {"reading": "literal", "claim": SIMULATED[0].name, "shipped": True, "share": 1.0, "low": 0.9, "high": 1.0}
    >>> len(catalogues(pd.DataFrame([row])).axes)
    1
    """
    claims, readings = list(dict.fromkeys(shares["claim"])), list(dict.fromkeys(shares["reading"]))
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=7.16, height=0.9 + 0.3 * len(claims))
        for number, reading in enumerate(readings):
            colour, marker = READING_STYLE.get(reading, ("0.4", "v"))
            for row in shares[shares["reading"] == reading].itertuples():
                share, low, high = 100 * row.share, 100 * row.low, 100 * row.high
                y = -claims.index(row.claim) + 0.25 - 0.25 * number
                axis.errorbar(share, y, xerr=[[share - low], [high - share]], color=colour, marker=marker, markersize=5,
                              linewidth=1, markerfacecolor=colour if row.shipped else "white")  # fmt: skip
            axis.plot([], [], color=colour, marker=marker, linestyle="", label=reading)
        axis.plot([], [], color="0.4", marker="o", linestyle="", markerfacecolor="white", label="fails with the shipped catalogue")
        axis.set(xlabel="Random catalogues with which it holds (%)", xlim=(-2, 102),
                 yticks=[-place for place in range(len(claims))], yticklabels=[SAYS[claim] for claim in claims])  # fmt: skip
        figure.legend(loc="outside upper center", ncols=4)
        add_note(figure, "cells that nobody published vary within Table I; bars: 95 % intervals (Clopper and Pearson)")
    return figure
