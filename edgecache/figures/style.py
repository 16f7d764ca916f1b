"""How the figures look: a policy's colour, marker and label everywhere, axis labels with their units, one style, the panels."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import rc_context
from matplotlib.figure import Figure

from ..files import replacing
from ..policies import BOUNDS, POLICIES

PALETTE = sns.color_palette("colorblind")
# colour (colour-blind safe) and marker of each policy; the paper's own method in front
POLICY_STYLE = {
    "ga": (PALETTE[3], "o"),
    "lfu": (PALETTE[0], "s"),
    "lru": (PALETTE[2], "^"),
    "fifo": (PALETTE[1], "D"),
    "random": (PALETTE[7], "X"),
    "exact": ("black", "*"),
    "lfu-in-cache": (PALETTE[9], "P"),
    "lfu-da": ("#1f4e79", "p"),
    "lru-2": ("#6bbf59", "v"),
    "hyperbolic": (PALETTE[8], "d"),
    "gdsf": (PALETTE[4], "<"),
    "greedy-dual": (PALETTE[5], ">"),
    "cremebrulee": (PALETTE[6], "h"),
    "belady": ("#7a6a53", "H"),
    "belady-cost": ("#a08d71", "8"),
    "optimal-online": ("#5e3c99", "s"),
    "clairvoyant": ("0.25", "s"),
    "optimal-online-delay": ("#9a7fd1", "s"),
    "clairvoyant-delay": ("0.55", "s"),
}
# what bounds each outcome, drawn behind the policies: the floor, then the best that an online policy can do
BOUND_LINES = {"total_cost": ("clairvoyant", "optimal-online"), "service_delay_s": ("clairvoyant-delay", "optimal-online-delay")}
FLOOR = {"label": "Floor", "color": "0.25", "linewidth": 1.0}
BEST_ONLINE = {"label": "Best online", "color": POLICY_STYLE["optimal-online"][0], "linewidth": 1.2, "linestyle": "--"}
PHASE_STYLE = {
    "transmission": ("#88ccee", "transmission (8 s / B)"),
    "io": ("#aa4499", "I/O: disk to GPU memory"),
    "inference": ("#ddcc77", "inference"),
}
LABELS = {
    "storage_gb": "Storage capacity of the edge server (GB)",
    "gpu_memory_gb": "GPU memory of the edge server (GB)",
    "energy_capacity_kw": "Energy capacity of the edge server (kW)",
    "bandwidth_gbps": "Bandwidth from the cloud (Gbit/s)",
    "slots": "Number of time slots",
    "arrival_rate": "Request arrival rate (requests per slot)",
    "arrival_rate_per_model": "Request arrival rate (requests per slot and model)",
    "zipf": "Zipf exponent of the popularity",
    "w1": "Weight of the switching cost $w_1$",
    "w2": "Weight of the resource cost $w_2$",
    "beta": "Weight of GPU memory against storage $\\beta$",
    "seed": "Seed of the random numbers",
    "total_cost": "Average cost per slot\n($w_1$ s + $w_2$ GB)",
    "service_delay_s": "Mean service delay (s)",
    "hit_ratio": "Hit ratio",
    "fetched_gb": "Backhaul (GB fetched per slot)",
    "energy_kwh": "Energy (kWh per slot)",
}
PARTS = {"resource_cost": "resource cost (what is kept)", "switching_cost": "switching cost (what is evicted)"}
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


def panels(rows: int, columns: int, width: float = WIDTH, height: float = 3.1) -> tuple[Figure, np.ndarray]:
    """A figure of that many panels, each so wide and high (inches), and its axes, row by row."""
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def stands_for(name: str) -> str:
    """The policy behind a name in a table: where a server is too large, a bound is approximate or only bounded, and named so."""
    return name.removesuffix("-approximate").removesuffix("-bound")


def label(name: str) -> str:
    """What a policy is called in figures."""
    inexact = ", approximate" if name.endswith("-approximate") else ", lower bound" if name.endswith("-bound") else ""
    return f"{getattr(POLICIES.get(stands_for(name)), 'label', name)}{inexact}"


def bound_lines(table: pd.DataFrame, outcome: str) -> list[tuple[pd.DataFrame, dict]]:
    """The rows of the floor of an outcome and of the best online policy, where the table has them, and the style of each line."""
    found = []
    for bound, style in zip(BOUND_LINES.get(outcome, ()), (FLOOR, BEST_ONLINE), strict=False):
        rows = table[table["policy"].map(stands_for) == bound]
        inexact = sorted({label(name).removeprefix(label(bound)) for name in rows["policy"]})
        if len(rows):
            found.append((rows, style | {"label": style["label"] + "".join(inexact)}))
    return found


def drawn_policies(table: pd.DataFrame) -> dict[str, dict]:
    """Label, colour and marker of each policy in the table but the bounds; the paper's proposal last, to be drawn on top."""
    names = [name for name in table["policy"].unique() if stands_for(name) not in BOUNDS]
    names.sort(key=lambda name: [*reversed(POLICY_STYLE)].index(name) if name in POLICY_STYLE else -1)
    spare = itertools.cycle([(colour, "v") for colour in ("#882255", "#117733", "#44aa99", "#aa4499")])
    found = {}
    for name in names:
        colour, marker = POLICY_STYLE.get(name) or next(spare)
        found[name] = {"label": label(name), "color": colour, "marker": marker}
    return found


pass


def save(figure: Figure, name: str, folder: str | Path) -> Figure:
    """Write `name`.png and `name`.pdf into the folder, whole or not at all, without dates or versions; returns the figure."""
    for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None, "Creator": None, "Producer": None})):
        with replacing(Path(folder) / f"{name}.{ending}") as part, rc_context(STYLE):
            figure.savefig(part, format=ending, metadata=metadata)
        figure.set_layout_engine("none")  # laid out once: the second format and the notebook's display need not solve it again
    return figure
