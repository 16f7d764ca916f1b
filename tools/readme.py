"""Write the numbers of README.md from the committed tables; with --check, only say whether they are up to date."""

import re
import sys
from pathlib import Path

import pandas as pd

from edgecache import summarise

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "data/results"


def results() -> str:
    """What each policy costs and gives at 120 GB and 12 GB."""
    table = pd.read_csv(RESULTS / "fig3a-cost-vs-storage.csv")
    table = table[table["storage_gb"] == 120]
    cost = summarise(table).set_index("policy")
    means = table.groupby("policy")[["service_delay_s", "hit_ratio", "fetched_gb", "energy_kwh"]].mean()
    reductions = pd.read_csv(RESULTS / "reductions.csv").set_index("baseline")
    lines = [
        "| policy | mean cost a slot (95 %) | GA costs less by (95 %) | service delay | hit ratio | fetched | energy |",
        "|---|---|---|---|---|---|---|",
    ]
    for policy in ("ga", "lfu", "lru", "fifo", "random"):
        c, m = cost.loc[policy], means.loc[policy]
        less = "" if policy == "ga" else "{reduction:.1%} ({low:.1%} to {high:.1%})".format(**reductions.loc[policy])
        lines.append(
            f"| {policy} | {c['mean']:.1f} ({c['low']:.1f} to {c['high']:.1f}) | {less} | {m['service_delay_s']:.1f} s "
            f"| {m['hit_ratio']:.1%} | {m['fetched_gb']:.0f} GB | {m['energy_kwh']:.2f} kWh |"
        )
    return "\n".join(lines)


def gap() -> str:
    """How far the GA is from the floor of the cost and of the delay, and what closes the gap, at 120 GB and 12 GB."""
    split = pd.read_csv(RESULTS / "optimality-gap-split-estimated.csv")
    split = split[(split["parameter"] == "storage_gb") & (split["value"] == 120)].set_index("part")
    whole = split.loc["whole"]
    solver, myopia, future = (split.loc[part, "mean"] / whole["mean"] for part in ("solver", "myopia", "future"))
    table = pd.read_csv(RESULTS / "fig3a-cost-vs-storage.csv")
    means = table[table["storage_gb"] == 120].groupby("policy")[["total_cost", "service_delay_s"]].mean()
    cost, delay = means["total_cost"], means["service_delay_s"]
    waits, least, online = delay["ga"], delay["clairvoyant-delay"], delay["optimal-online-delay"]
    best = cost[["random", "fifo", "lru", "lfu"]].min() / cost["clairvoyant"] - 1
    most = waits / least - 1
    return (
        f"At 120 GB and 12 GB the GA costs {whole['share']:.1%} more than the floor, {whole['mean']:.2f} a slot (95 %: "
        f"{whole['low']:.2f} to {whole['high']:.2f}), where the best baseline costs {best:.0%} more: {solver:.0%} of that gap is "
        f"solver error; {myopia:.0%} is deciding one miss at a time by an estimated popularity, and planning for the long run by "
        f"the true one closes it (`optimal-online`, {cost['optimal-online']:.1f} a slot against {cost['ga']:.1f}); {future:.0%} is "
        "not knowing the next requests.\n"
        f"But its users wait {waits:.1f} s where {least:.1f} s is possible, {most:.0%} more, and no better solver of its decisions "
        f"would help them: what closes {(waits - online) / (waits - least):.0%} of this gap is to minimise the delay itself "
        f"(`optimal-online-delay`, {online:.1f} s)."
    )


def speed() -> str:
    """What `make bench` last measured."""
    table = pd.read_csv(RESULTS / "benchmarks.csv", keep_default_na=False)
    lines = ["| what | ours | reference | unit | ratio | required | met |", "|---|---|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        numbers = [f"{float(row[name]):.3g}" if row[name] != "" else "" for name in ("ours", "reference", "ratio")]
        lines.append(
            f"| {row['what']} | {numbers[0]} | {numbers[1]} | {row['unit']} | {numbers[2]} | {row['required']} | {row['met']} |"
        )
    return "\n".join(lines)


def written(text: str) -> str:
    """The README with its generated parts renewed."""
    for name, part in (("gap", gap()), ("results", results()), ("speed", speed())):
        mark = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end -->)", re.DOTALL)
        text = mark.sub(lambda found, part=part: f"{found[1]}\n{part}\n\n{found[2]}", text)
    return text


if __name__ == "__main__":
    file = ROOT / "README.md"
    text = file.read_text()
    if "--check" not in sys.argv:
        file.write_text(written(text))
    elif written(text) != text:
        sys.exit("README.md does not match data/results: run `make readme`")
