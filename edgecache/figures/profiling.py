"""Figures of delays (notebook 01): Fig. 1 from the catalogue or as measured, and a replay against its prediction."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..profiling.delays import PHASES
from ..profiling.profiles import Profile
from .style import PHASE_STYLE, POLICY_STYLE, STYLE, add_note, base_policy, label, panels

# the phases of a delay, and the columns of a replay that predict and measure each
REPLAYED = {
    "transmission": ("transmission (computed)", ("transmission_s", "transmission_s")),
    "io": ("load", ("load_predicted_s", "load_s")),
    "inference": ("inference", ("run_predicted_s", "run_s")),
}


def measured_note(profile: Profile, bandwidth_gbps: float) -> str:
    """Write the note below the measured Fig. 1: the machine, the counts, what was computed, and how cold the loads were.

    Parameters
    ----------
    profile : edgecache.profiling.profile.Profile
        What was measured.
    bandwidth_gbps : float
        The link from the cloud, of which the transmission is computed.

    Returns
    -------
    str
        A few lines for `service_delay`.

    Examples
    --------
    >>> from edgecache.files import ROOT
    >>> from edgecache.profiling import read_profile
    >>> measured_note(read_profile(ROOT / "data/profiles/example.csv"), 10.0).splitlines()[2]
    'transmission is computed, from the size on disk at 10 Gbit/s;'
    """
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
    """Draw the delays of a replay as predicted and as measured: means per policy and phase, and every request.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per policy and request, from `profiling.replay.replay`.
    summary : pandas.DataFrame
        One row per policy, with its relative `error`.
    note : str
        The source line below the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Left the means, stacked by phase; right the requests.

    Examples
    --------
    >>> parts = dict.fromkeys(["transmission_s", "load_predicted_s", "load_s", "run_predicted_s", "run_s"], 1.0)
    >>> requests = pd.DataFrame([{"policy": "lru", "outcome": "hit", "predicted_s": 3.0, "measured_s": 3.0, **parts}])
    >>> len(replay(requests, pd.DataFrame({"policy": ["lru"], "error": [0.0]}), "made up").axes)
    2
    """
    with rc_context(STYLE):
        figure, (bars, dots) = panels(1, 2, width=4.4, height=3.6)
        _means(bars, table, summary)
        _requests(dots, table)
        handles = [Patch(facecolor=PHASE_STYLE[phase][0], edgecolor="0.25", label=text) for phase, (text, _) in REPLAYED.items()]
        handles += [Patch(facecolor="white", edgecolor="0.25", label="predicted")]
        handles += [Patch(facecolor="white", edgecolor="0.25", hatch="////", label="measured, and by how much it differs")]
        figure.legend(handles=handles, loc="outside upper center", ncols=5, columnspacing=1.0)
        add_note(figure, note)
    return figure


def _means(axis: Axes, table: pd.DataFrame, summary: pd.DataFrame) -> None:
    means = table.groupby("policy").mean(numeric_only=True).loc[summary["policy"]]
    places = np.arange(len(means))
    for kind, shift in enumerate((-0.2, 0.2)):
        bottom = np.zeros(len(means))
        for phase, (_, columns) in REPLAYED.items():
            axis.bar(places + shift, means[columns[kind]], 0.36, bottom=bottom, color=PHASE_STYLE[phase][0], edgecolor="0.25",
                     linewidth=0.5, hatch="////" if kind else "")  # fmt: skip
            bottom += means[columns[kind]].to_numpy()
    for place, height, error in zip(places + shift, bottom, summary["error"], strict=True):
        axis.annotate(f"{error:+.1%}", (place, height), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axis.set(ylabel="Mean service delay (s)", xticks=places, xticklabels=[label(name) for name in means.index])
    axis.margins(y=0.12)
    axis.grid(axis="x", visible=False)


def _requests(axis: Axes, table: pd.DataFrame) -> None:
    for name, replayed in table.groupby("policy", sort=False):
        colour = POLICY_STYLE.get(base_policy(name), ("#882255",))[0]
        for outcome, marker, face in (("fetched", "o", colour), ("hit", "^", "none")):
            rows = replayed[replayed["outcome"] == outcome]
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
    """Draw Fig. 1: first and preloaded service delay of each service, stacked by phase.

    Parameters
    ----------
    delays : pandas.DataFrame
        From `profiling.delays.service_delays`: one row per service and kind, in seconds.
    note : str
        The source line below the figure.
    load : str
        The legend's name for the phase `io`.

    Returns
    -------
    matplotlib.figure.Figure
        Two bars per service, the longest first delay on the left.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.profiling.delays import draw_records, service_delays
    >>> delays = service_delays(draw_records(ec.load_catalogue(), np.random.default_rng(0), cycles=2))
    >>> service_delay(delays, "drawn, not measured").axes[0].get_xticklabels()[0].get_text()
    'text to video'
    """
    order = delays[delays["kind"] == "first"].sort_values("total", ascending=False)["service"]
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, width=7.4, height=3.8)
        _delay_bars(axis, delays[delays["kind"] == "first"].set_index("service").loc[order], -0.2, "")
        preloaded = delays[delays["kind"] == "preloaded"].set_index("service").loc[order]
        _delay_bars(axis, preloaded, 0.2, "////")
        for place, (delay, high) in enumerate(
            zip(preloaded["total"], preloaded["high"], strict=True)
        ):  # most bars are too low to see
            axis.annotate(f"{delay:.2g}", (place + 0.2, high), (0, 2), textcoords="offset points", ha="center", fontsize=6.5)
        axis.set(ylabel="Service delay (s)", xticks=range(len(order)), xlim=(-0.6, len(order) - 0.4))
        axis.set_xticklabels([name.replace("_", " ") for name in order], rotation=30, ha="right", rotation_mode="anchor")
        axis.grid(axis="x", visible=False)
        labels = {phase: load if phase == "io" else label for phase, (_, label) in PHASE_STYLE.items()}
        handles = [Patch(facecolor=PHASE_STYLE[phase][0], edgecolor="0.25", label=label) for phase, label in labels.items()]
        handles += [Patch(facecolor="white", edgecolor="0.25", label="first service"),
                    Patch(facecolor="white", edgecolor="0.25", hatch="////", label="preloaded service")]  # fmt: skip
        axis.legend(handles=handles, loc="upper right")
        add_note(figure, note)
    return figure


def _delay_bars(axis: Axes, rows: pd.DataFrame, shift: float, hatch: str) -> None:
    """Draw one bar per service, stacked by phase, with a whisker from `low` to `high`."""
    places, bottom = np.arange(len(rows)) + shift, np.zeros(len(rows))
    for phase in PHASES:
        axis.bar(
            places, rows[phase], 0.36, bottom=bottom, color=PHASE_STYLE[phase][0], edgecolor="0.25", linewidth=0.5, hatch=hatch
        )
        bottom += rows[phase].to_numpy()
    spread = np.abs(rows[["low", "high"]].to_numpy().T - rows["total"].to_numpy())
    axis.errorbar(places, rows["total"].to_numpy(), spread, fmt="none", ecolor="0.2", elinewidth=0.8, capsize=2)
