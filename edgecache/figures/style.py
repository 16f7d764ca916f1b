"""How the figures look: colour, marker and label of each policy, axis labels with units, panels, and the note below a figure."""

import itertools
import textwrap

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ..listing import POLICY_TABLE
from ..policies import BOUNDS

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
    "llama-swap": ("#b5651d", "<"),
    "lemonade": ("#c9a800", ">"),
    "localai-largest": ("#4d7c0f", "v"),
    "ollama": ("#6b7280", "^"),
    "belady": ("#7a6a53", "H"),
    "belady-cost": ("#a08d71", "8"),
    "optimal-online": ("#5e3c99", "s"),
    "clairvoyant": ("0.25", "s"),
    "optimal-online-delay": ("#9a7fd1", "s"),
    "clairvoyant-delay": ("0.55", "s"),
}
# the floor and the best online policy of each outcome, drawn behind the policies
BOUND_LINES = {"total_cost": ("clairvoyant", "optimal-online"), "service_delay_s": ("clairvoyant-delay", "optimal-online-delay")}
FLOOR = {"label": "Floor", "color": "0.25", "linewidth": 1.0}
BEST_ONLINE = {"label": "Best online", "color": POLICY_STYLE["optimal-online"][0], "linewidth": 1.2, "linestyle": "--"}
# every figure with a bound says among which policies it is one
BOUND_CLASSES = {  # by the reading `scope`
    "evict": "among policies that decide at misses, keep the requested model, and neither prefetch nor unload when idle",
    "bypass": "among policies that decide at misses, and neither prefetch nor unload when idle",
    "prefetch": "among policies that decide at misses, keep the requested model, and do not unload when idle",
    "free": "among policies that decide at misses, and do not unload when idle",
}
BOUND_CLASS = BOUND_CLASSES["evict"]
KNOWLEDGE_MARK = {name: {"past": "", "popularity": " *", "future": " **"}[entry.knows] for name, entry in POLICY_TABLE.items()}
PHASE_STYLE = {
    "transmission": ("#88ccee", "transmission (8 \N{MULTIPLICATION SIGN} size / B)"),
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
NOTE_LETTERS = 18  # of a note, per inch of the figure's width


def panels(rows: int, columns: int, width: float = WIDTH, height: float = 3.1) -> tuple[Figure, np.ndarray]:
    """Make a figure of panels, each `width` by `height` inches; returns it and its axes, row by row."""
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def add_note(figure: Figure, text: str) -> None:
    """Write a note below the figure, each of its lines broken where the figure ends."""
    letters = int(NOTE_LETTERS * figure.get_figwidth())
    figure.supxlabel("\n".join(textwrap.fill(line, letters) for line in text.split("\n")), fontsize=7, color="0.35")


def base_policy(name: str) -> str:
    """The policy behind a name in a table: a bound on a large server carries `-approximate` or `-bound`."""
    return name.removesuffix("-approximate").removesuffix("-bound")


def is_bound(name: str) -> bool:
    """Is this a bound, exact or not, and no policy to compare?"""
    return base_policy(name) in BOUNDS


def label(name: str) -> str:
    """The name of a policy in figures."""
    inexact = ", approximate" if name.endswith("-approximate") else ", lower bound" if name.endswith("-bound") else ""
    return f"{getattr(POLICY_TABLE.get(base_policy(name)), 'label', name)}{inexact}"


def bound_lines(table: pd.DataFrame, outcome: str) -> list[tuple[pd.DataFrame, dict]]:
    """The rows of an outcome's floor and of its best online policy, where the table has them, each with its line's style."""
    lines = []
    for bound, style in zip(BOUND_LINES.get(outcome, ()), (FLOOR, BEST_ONLINE), strict=False):
        rows = table[table["policy"].map(base_policy) == bound]
        inexact = sorted({label(name).removeprefix(label(bound)) for name in rows["policy"]})
        if len(rows):
            lines.append((rows, style | {"label": style["label"] + "".join(inexact)}))
    return lines


def policy_styles(table: pd.DataFrame) -> dict[str, dict]:
    """Label, colour and marker of each policy in the table, bounds left out; the paper's proposal last, to be drawn on top."""
    names = [name for name in table["policy"].unique() if not is_bound(name)]
    names.sort(key=lambda name: [*reversed(POLICY_STYLE)].index(name) if name in POLICY_STYLE else -1)
    spare = itertools.cycle([(colour, "v") for colour in ("#882255", "#117733", "#44aa99", "#aa4499")])
    styles = {}
    for name in names:
        colour, marker = POLICY_STYLE.get(name) or next(spare)
        styles[name] = {"label": label(name), "color": colour, "marker": marker}
    return styles
