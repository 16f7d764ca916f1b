"""Figures of what was measured: the note under Fig. 1's measured twin, and the replay beside its prediction."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..profiling.delays import PHASES
from ..profiling.profiles import Profile
from .style import PHASE_STYLE, POLICY_STYLE, STYLE, label, panels, stands_for

# the phases of a delay, and the columns of a replay that predict and measure each
REPLAYED = {
    "transmission": ("transmission (computed)", ("transmission_s", "transmission_s")),
    "io": ("load", ("load_predicted_s", "load_s")),
    "inference": ("inference", ("run_predicted_s", "run_s")),
}


def measured_note(profile: Profile, bandwidth_gbps: float) -> str:
    """What stands under the measured Fig. 1: of which machine, how often, what was computed, and how cold the loads were."""
    about, records = profile.about, profile.records
    loads = records["phase"] == "load"
    cold = (records.loc[loads, "cold"] == "yes").sum()
    scaled = about["backend"]["name"] == "onnx" or about["backend"].get("scale") == "small"
    random = "scaled-down networks with random weights" if scaled else "named architectures with random weights"
    kinds = {"random": random, "hub": "real weights", "own": "the user's own networks"}
    what = " and ".join(kinds[kind] for kind in dict.fromkeys(profile.networks["weights"]))
    return (
        f"measured on {profile.machine}:\n{what}, {about['cycles']} cycles of {about['executions']} executions, "
        f"{cold} of {loads.sum()} loads known to be cold;\n"
        f"transmission is computed, from the size on disk at {bandwidth_gbps:g} Gbit/s;\n"
        "bars: medians of each phase, numbers: preloaded delay, whiskers: 5th to 95th percentile of the sum"
    )


def replay(table: pd.DataFrame, summary: pd.DataFrame, note: str) -> Figure:
    """Mean delay of each policy as predicted and as measured, by phase, and every request's; from replay.replay and compared."""
    with rc_context(STYLE):
        figure, (bars, dots) = panels(1, 2, width=4.4, height=3.6)
        _means(bars, table, summary)
        _requests(dots, table)
        handles = [Patch(facecolor=PHASE_STYLE[phase][0], edgecolor="0.25", label=text) for phase, (text, _) in REPLAYED.items()]
        handles += [Patch(facecolor="white", edgecolor="0.25", label="predicted")]
        handles += [Patch(facecolor="white", edgecolor="0.25", hatch="////", label="measured, and by how much it differs")]
        figure.legend(handles=handles, loc="outside upper center", ncols=5, columnspacing=1.0)
        figure.supxlabel(note, fontsize=7, color="0.35")
    return figure


def _means(axis, table: pd.DataFrame, summary: pd.DataFrame):
    means = table.groupby("policy").mean(numeric_only=True).loc[summary["policy"]]
    places = np.arange(len(means))
    for kind, shift in enumerate((-0.2, 0.2)):
        bottom = np.zeros(len(means))
        for phase, (_, columns) in REPLAYED.items():
            style = {"color": PHASE_STYLE[phase][0], "edgecolor": "0.25", "linewidth": 0.5, "hatch": "////" if kind else ""}
            axis.bar(places + shift, means[columns[kind]], 0.36, bottom=bottom, **style)
            bottom += means[columns[kind]].to_numpy()
    for place, height, error in zip(places + shift, bottom, summary["error"], strict=True):
        axis.annotate(f"{error:+.1%}", (place, height), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axis.set(ylabel="Mean service delay (s)", xticks=places, xticklabels=[label(name) for name in means.index])
    axis.margins(y=0.12)
    axis.grid(axis="x", visible=False)


def _requests(axis, table: pd.DataFrame):
    for name, own in table.groupby("policy", sort=False):
        colour = POLICY_STYLE.get(stands_for(name), ("#882255",))[0]
        for outcome, marker, face in (("fetched", "o", colour), ("hit", "^", "none")):
            rows = own[own["outcome"] == outcome]
            axis.scatter(rows["predicted_s"], rows["measured_s"], s=22, marker=marker, facecolor=face, edgecolor=colour, alpha=0.8)
        axis.plot([], [], linestyle="", marker="s", color=colour, label=label(name))
    axis.plot([], [], linestyle="", marker="o", color="0.3", label="fetched")
    axis.plot([], [], linestyle="", marker="^", color="0.3", markerfacecolor="none", label="hit")
    waits = table[["predicted_s", "measured_s"]].to_numpy()
    ends = np.array([waits.min() * 0.8, waits.max() * 1.25])
    axis.plot(ends, ends, color="0.5", linewidth=1, zorder=0)
    labels = {"xlabel": "Predicted delay of a request (s)", "ylabel": "Measured delay of a request (s)"}
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, **labels)
    axis.legend(loc="upper left", fontsize=7)


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
