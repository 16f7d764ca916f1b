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
    for name, part in (("results", results()), ("speed", speed())):
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
