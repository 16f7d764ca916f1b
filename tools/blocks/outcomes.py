"""What the policies cost at 120 GB of storage and 12 GB of GPU memory, and how far the proposed method is from the floor."""

import pandas as pd

from edgecache import PAPER, summarise
from edgecache.listing import POLICY_TABLE

from . import RESULTS, listed, markdown_table

PARTS = {"solver": "solver error", "myopia": "deciding one miss at a time", "future": "the unknown future"}


def _at_default_server() -> pd.DataFrame:
    table = pd.read_csv(RESULTS / "fig3a-cost-vs-storage.csv")
    return table[table["storage_gb"] == 120]


def results() -> str:
    """What each of the paper's policies costs, and what users get."""
    table = _at_default_server()
    cost = summarise(table).set_index("policy")
    means = table.groupby("policy")[["service_delay_all_s", "cloud_share", "hit_ratio", "fetched_gb"]].mean()
    reductions = pd.read_csv(RESULTS / "reductions.csv").set_index("baseline")
    low, high = reductions[["paper_low", "paper_high"]].iloc[0]
    rows = []
    for policy in ("ga", *(name for name in PAPER if name != "ga")):
        c, m = cost.loc[policy], means.loc[policy]
        less = "" if policy == "ga" else "{reduction:.1%} ({low:.1%} to {high:.1%})".format(**reductions.loc[policy])
        given = (f"{m['service_delay_all_s']:.1f} s", f"{m['cloud_share']:.1%}", f"{m['hit_ratio']:.0%}")
        fetched = f"{m['fetched_gb']:.0f} GB"
        rows.append((POLICY_TABLE[policy].label, f"{c['mean']:.1f} ({c['low']:.1f} to {c['high']:.1f})", less, *given, fetched))
    titles = ("policy", "cost per slot", "proposed costs less by", "mean delay", "served by the cloud", "hits", "fetched")
    count, slots = table["replication"].nunique(), table["slots"].iloc[0]
    return (
        f"At 120 GB of storage and 12 GB of GPU memory, under the literal reading; {count} replications of {slots} slots, with "
        f"95 % intervals. The paper reports reductions of {low:.2%} to {high:.2%}.\n\n{markdown_table(titles, rows)}"
    )


def gap() -> str:
    """How far the proposed method is from the floor, why, what another scope gives, and how long users wait."""
    split = pd.read_csv(RESULTS / "optimality-gap-default.csv").set_index("part")
    scopes = summarise(pd.read_csv(RESULTS / "optimality-scopes.csv"))
    floor = scopes[scopes["policy"] == "clairvoyant"].set_index(["decides", "scope"])
    whole = split.loc["whole"]
    causes = [f"{name} {_with_interval(split.loc[part])}" for part, name in PARTS.items()]
    classes = ("miss", "evict"), ("miss", "free"), ("request", "free")
    evict, free, widest = ("{mean:.1f} ({low:.1f} to {high:.1f})".format(**floor.loc[place]) for place in classes)
    return (
        f"The proposed method costs {whole['share']:.1%} more than the floor: {whole['mean']:.2f} per slot ({whole['low']:.2f} to "
        f"{whole['high']:.2f}). This gap has three parts: {listed(causes)}. The floor is {evict} where a decision may only "
        f"evict, and {free} where it may choose freely. It is {widest} where policies may choose freely at hits too. {_waiting()}"
    )


def _with_interval(part: pd.Series) -> str:
    """A mean with its interval; alone where all replications have the same."""
    interval = f" ({part['low']:.2f} to {part['high']:.2f})" if part["low"] < part["high"] else ""
    return f"{part['mean']:.2f}{interval}"


def _waiting() -> str:
    """How long users wait with the proposed method."""
    delay = _at_default_server().groupby("policy")["service_delay_all_s"].mean()
    longest = ", longer than with any baseline" if delay[list(PAPER)].idxmax() == "ga" else ""
    least = "clairvoyant-delay"
    possible = f"; the least possible in the floor's class is {delay[least]:.1f} s" if least in delay else ""
    return f"With the proposed method users wait {delay['ga']:.1f} s on average{longest}{possible}."
