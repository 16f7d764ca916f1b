"""Which of the paper's claims hold: the ledger, and how often its verdicts and intervals are wrong."""

import pandas as pd

from edgecache.claims.ledger import LOOKS
from edgecache.claims.verdicts import evidence_text

from . import RESULTS, listed, markdown_table, number_range

MARKS = {"holds": "🟩", "fails": "🟥", "undecided": "⬜", "by construction": "◽"}


def _simulated() -> pd.DataFrame:
    table = pd.read_csv(RESULTS / "claims.csv")
    return table[table["verdict"] != "by construction"]


def claims_line() -> str:
    """How many claims hold under each named reading."""
    table = _simulated()
    readings = table.groupby("reading", sort=False)
    held = [f"{rows['verdict'].eq('holds').sum()} under the reading `{name}`" for name, rows in readings]
    return (
        f"Of {table['claim'].nunique()} claims that we simulate, these hold: {listed(held)}. The reading `closest` was chosen for "
        "holding most. [The ledger](docs/claims.md) has each claim."
    )


def claims() -> str:
    """The ledger: each claim's verdict under the named readings, and what decides it under the first."""
    table, simulated = pd.read_csv(RESULTS / "claims.csv"), _simulated()
    readings, rows = list(dict.fromkeys(table["reading"])), []
    for claim in dict.fromkeys(table["claim"]):
        found = table[table["claim"] == claim].set_index("reading")
        verdicts = [f"{MARKS[found.loc[name, 'verdict']]} {found.loc[name, 'verdict']}" for name in readings]
        first = found.loc[readings[0]]
        rows.append((f"{first['says']} ({first['section']})", *verdicts, evidence_text(first)))
    titles = ("the paper says (section)", *(f"`{name}`" for name in readings), f"what decides it under `{readings[0]}`")
    counts = simulated.groupby("reading", sort=False)["verdict"].agg(lambda words: (words == "holds").sum())
    most = simulated.groupby("reading", sort=False)["replications"].max()
    held = listed(f"{counts[name]} under `{name}` (up to {most[name]} replications)" for name in readings)
    return f"{markdown_table(titles, rows)}\n\nOf the {simulated['claim'].nunique()} simulated claims these hold: {held}."


def errors() -> str:
    """How often any verdict of a ledger is wrong, as measured."""
    table = pd.read_csv(RESULTS / "verdict-errors.csv")
    looks = " ".join(map(str, LOOKS))
    found = table[(table["looks"].astype(str) == looks) & (table["claim"] == "any claim")].set_index("reading")
    rows = [(f"`{reading}`", f"{row['one']:.1%}", f"{row['every']:.1%}") for reading, row in found.iterrows()]
    titles = ("reading", "one statement of each claim at its bar", "every statement at its bar")
    return (
        f"Share of {found['stops'].iloc[0]:,} simulated ledgers with any wrong verdict; each looks at {listed(map(str, LOOKS))} "
        f"replications:\n\n{markdown_table(titles, rows)}"
    )


def coverage() -> str:
    """How often the 95 % intervals of costs and reductions cover the truth, as measured."""
    table = pd.read_csv(RESULTS / "coverage.csv")
    shares = [f"{number_range(rows['covered'])} of samples of {size} replications" for size, rows in table.groupby("replications")]
    return (
        f"The 95 % intervals of costs and of reductions cover the truth in {listed(shares)}, over "
        f"{listed(f'`{name}`' for name in dict.fromkeys(table['reading']))} ({table['samples'].iloc[0]:,} samples each)."
    )
