"""What the search over readings found, under every scope, and what rests on the catalogue's calibrated cells."""

import pandas as pd

from edgecache.claims.catalogues import shares_that_hold
from edgecache.claims.design import MEASURES, SCOPES, SLACKS, read_readings
from edgecache.claims.pairs import shrinkage
from edgecache.claims.search import closest_reading
from edgecache.claims.statements import SIMULATED
from edgecache.figures.readings import TRENDS

from . import RESULTS, listed, markdown_table, number_range

TRENDS_TOGETHER = {
    "all trends": TRENDS,
    "the falling trends of the proposed method and of LFU": [name for name in SLACKS if "falls" in name],
}
SAYS = {claim.name: claim.says for claim in SIMULATED}


def _tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return read_readings(RESULTS / "readings.parquet"), pd.read_csv(RESULTS / "readings-best.csv")


def search() -> str:
    """How many readings were tried, the most that one holds, and how the closest one fared on a second and third look."""
    table, again = _tables()
    claims = pd.read_csv(RESULTS / "claims.csv")
    number, most, every = closest_reading(table, again), table["held"].max(), int((table["held"] == len(SLACKS)).sum())
    judged = again[again["number"] == number]
    fresh = claims[claims["reading"] == "closest"]
    return (
        f"{len(table):,} readings were tried: {len(table) // len(SCOPES):,} draws, each under every scope. "
        f"{every or 'None'} of them {'supports' if every < 2 else 'support'} all {len(SLACKS)} claims. The most is {most}, by the "
        f"means of a few replications, reached by {(table['held'] == most).sum():,} readings.\n\n"
        f"The reading with the shipped catalogue that comes closest holds {table.loc[number, 'held']} claims by those means, and "
        f"{judged['verdict'].eq('holds').sum()} with the genetic algorithm on {judged['replications'].max()} other replications. "
        f"The named reading `closest` holds {fresh['verdict'].eq('holds').sum()} on up to {fresh['replications'].max()} "
        "replications that no part of the search has seen. That last number is the one to quote: the others were selected for "
        "being high."
    )


def scopes() -> str:
    """How often the headline, the trends and both hold, by what a decision may choose, on the same draws."""
    table = pd.read_csv(RESULTS / "readings-scopes.csv")
    table = table[table["charge"] == "any"]
    rows, never = [], []
    for outcome, found in table.groupby("outcome", sort=False):
        by_scope = found.set_index("scope")
        counts = [int(found[["both", "first_only"]].iloc[0].sum())]
        counts += [int(by_scope.loc[scope, ["both", "second_only"]].sum()) for scope in SCOPES[1:]]
        rows.append((outcome, *(f"{count:,}" for count in counts)))
        never += [outcome] if not any(counts) else []
    titles = ("what holds together", *(f"`{scope}`" for scope in SCOPES))
    fills = any("LFU falls" in outcome for outcome in never)
    why = " LFU falls while the others rise in none: all four fill the server, so they hold about as much." if fills else ""
    return (
        f"Number of draws, of {table['draws'].iloc[0]:,}, in which claims hold together, by scope:\n\n"
        f"{markdown_table(titles, rows)}\n\n{_exclude()}{why}"
    )


def _exclude() -> str:
    """Whether the headline and the trends exclude each other, and under which scopes."""
    table, _ = _tables()
    sentences = []
    for what, claims in TRENDS_TOGETHER.items():
        both = table[(table["headline-reduction"] > 0) & (table[list(claims)] > 0).all(axis=1)]
        if both.empty:
            sentences.append(f"No reading tried has the paper's headline together with {what}, under any scope.")
        else:
            counts = both["scope"].astype(str).value_counts()
            held = listed(f"{counts[scope]} under `{scope}`" for scope in SCOPES if scope in counts)
            none = [f"`{scope}`" for scope in SCOPES if scope not in counts]
            rest = f", and none under {listed(none)}" if none else ""
            sentences.append(f"Readings with the headline together with {what}: {held}{rest}.")
    return " ".join(sentences)


def shrink() -> str:
    """What the second look leaves of the claims that readings held in the search."""
    table, again = _tables()
    titles = ("held in the search", "readings", "hold again", "undecided", "fail", "gained")
    forms = dict.fromkeys(("held", "readings"), "{:.0f}") | dict.fromkeys(("holds", "undecided", "fails", "gained"), "{:.1f}")
    found = shrinkage(table, again).sort_values("held", ascending=False).to_dict("records")
    rows = [[form.format(row[name]) for name, form in forms.items()] for row in found]
    return markdown_table(titles, rows)


def catalogues() -> str:
    """In how many random catalogues each claim holds."""
    table = pd.read_csv(RESULTS / "readings-catalogues.csv")
    shares = shares_that_hold(table)
    readings, rows = list(dict.fromkeys(shares["reading"])), []
    for claim in SLACKS:
        found = shares[shares["claim"] == claim].set_index("reading")
        cells = [
            f"{'yes' if row['shipped'] else 'no'}; {row['share']:.0%} ({row['low']:.0%} to {row['high']:.0%})"
            for row in (found.loc[name] for name in readings)
        ]
        rows.append((SAYS[claim], *cells))
    random = table[table["catalogue"] > 0]
    least, largest, _ = MEASURES
    titles = ("claim", *(f"`{name}`" for name in readings))
    literal = random[random["reading"] == readings[0]]
    return (
        f"{random['catalogue'].nunique()} random catalogues. Each cell: whether the claim holds with the shipped catalogue, then "
        f"the share of random ones with which it holds.\n\n{markdown_table(titles, rows)}\n\n"
        f"Under `{readings[0]}` the least reduction is {number_range(literal[least], '{:.0%}')}, the largest "
        f"{number_range(literal[largest], '{:.0%}')}."
    )
