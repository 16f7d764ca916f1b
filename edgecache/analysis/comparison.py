"""Policies of one server side by side, as a table and in words: what each costs and uses, what is scarce, and what changed.

Every sentence is made from the table of `comparison`, so the words cannot disagree with the numbers.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..policies import BOUNDS, POLICIES
from ..results import Simulation

OUTCOMES = ("total_cost", "service_delay_s", "hit_ratio")
RESOURCES = {"storage_gb": ("storage", "GB"), "gpu_memory_gb": ("GPU memory", "GB"), "power_kw": ("power", "kW")}
_BOUNDS = frozenset(name + ending for name in BOUNDS for ending in ("", "-approximate", "-bound"))


def comparison(runs: Mapping[str, Simulation]) -> pd.DataFrame:
    """Tabulate runs on one server.

    Parameters
    ----------
    runs
        What `simulate` returned for each policy, on the same trace.

    Returns
    -------
    DataFrame
        One row per policy: the columns of `Simulation.means`; `used_storage_gb`, `used_gpu_memory_gb` and `used_power_kw`, means
        over slots, the static power included; the number of `misses`; and for each resource, `crowded_...`: at how many misses the
        deployed models and the requested one together would have overfilled it.

    Examples
    --------
    >>> from edgecache import Scenario, simulate
    >>> comparison({name: simulate(Scenario(slots=5), name) for name in ("lru", "ga")})["policy"].tolist()
    ['lru', 'ga']
    """
    rows = []
    for run in runs.values():
        used, crowded = run.used.mean(axis=0), crowding(run)
        use = {f"used_{name}": float(mean) for name, mean in zip(RESOURCES, used, strict=True)}
        counts = {f"crowded_{name}": int(count) for name, count in zip(RESOURCES, crowded.sum(axis=0), strict=True)}
        rows.append({"policy": run.policy, **run.means(), **use, "misses": len(crowded), **counts})
    return pd.DataFrame(rows)


def crowding(run: Simulation) -> NDArray[np.bool_]:
    """Find the misses at which storage, GPU memory or power has no room for the requested model beside all others, (misses, 3)."""
    held = run.deployed_before.astype(np.int64)
    held[np.arange(len(held)), run.trace.model[run.misses]] += 1
    return held @ run.scenario.catalogue.needs.T > run.scenario.capacities


def policies_of(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a comparison that are policies, not bounds, the cheapest first."""
    real = np.array([name not in _BOUNDS for name in table["policy"]])
    order = np.argsort(np.where(real, table["total_cost"], np.inf), kind="stable")[: real.sum()]
    return table.iloc[order].reset_index(drop=True)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Compute the distance of every row to the best policy that is no bound.

    Parameters
    ----------
    table
        As `comparison` returns it.

    Returns
    -------
    DataFrame
        One row per policy: `total_cost` and `service_delay_s` as shares above the least, `hit_ratio` as the difference to the most.

    Examples
    --------
    >>> table = pd.DataFrame({"policy": ["lru", "ga"], "total_cost": [3, 2], "service_delay_s": [4, 5], "hit_ratio": [0.5, 0.25]})
    >>> differences(table)["total_cost"].tolist()
    [0.5, 0.0]
    """
    best = policies_of(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = {name: table[name] / best[name].min() - 1 for name in OUTCOMES[:2]}
    return pd.DataFrame({"policy": table["policy"], **shares, "hit_ratio": table["hit_ratio"] - best["hit_ratio"].max()})


def ranking(table: pd.DataFrame) -> str:
    """Say which policy costs least, and with which one users wait least.

    Parameters
    ----------
    table
        As `comparison` returns it.

    Returns
    -------
    str
        Two sentences, or fewer where there is nothing to compare.

    Examples
    --------
    >>> table = pd.DataFrame({"policy": ["lru", "ga"], "total_cost": [3, 2], "service_delay_s": [4, 5], "hit_ratio": [0.5, 0.25]})
    >>> ranking(table)
    'Proposed (GA) costs least, 2 per slot; then LRU (+50%). Users wait least with LRU, 4 s, and longest with Proposed (GA), 5 s.'
    """
    policies = policies_of(table)
    if not len(policies):
        return ""
    costs, shares = policies.set_index("policy")["total_cost"], differences(table).set_index("policy")["total_cost"]
    least = [name for name in costs.index if _equal(costs[name], costs.iloc[0])]
    others = [f"{_label(name)} ({_percent(shares[name], costs[name])})" for name in costs.index if name not in least]
    then = f"; then {', '.join(others)}" if others else ""
    cost = f"{_listed(least)} cost{'s' * (len(least) == 1)} least, {costs.iloc[0]:.3g} per slot{then}."
    delay = _delay(table)
    waits = policies.dropna(subset=[delay]).sort_values(delay, kind="stable").set_index("policy")[delay]
    if len(waits) < 2:
        return cost
    if _equal(waits.iloc[0], waits.iloc[-1]):
        return f"{cost} Users wait {waits.iloc[0]:.3g} s with each."
    first, last = (f"{_label(waits.index[place])}, {waits.iloc[place]:.3g} s" for place in (0, -1))
    return f"{cost} Users wait least with {first}, and longest with {last}."


def scarcity(table: pd.DataFrame) -> str:
    """Say how much the server cannot hold at all, and which resource limits it.

    Parameters
    ----------
    table
        As `comparison` returns it.

    Returns
    -------
    str
        One or two sentences, over all policies of the table that are no bounds.

    Examples
    --------
    >>> from edgecache import Scenario, simulate
    >>> scarcity(comparison({"lru": simulate(Scenario(slots=2), "lru")}))
    'No resource is scarce: at every miss there was room for the requested model.'
    """
    policies, served = policies_of(table), _cloud(table)
    nothing = f"{served}For the others no resource is scarce:" if served else "No resource is scarce:"
    misses = policies["misses"].sum()
    if not misses:
        return f"{nothing} there was no miss."
    shares = {noun: policies[f"crowded_{name}"].sum() / misses for name, (noun, _) in RESOURCES.items()}
    if not any(shares.values()):
        return f"{nothing} at every miss there was room for the requested model."
    return served + _limits(shares)


def _limits(shares: Mapping[str, float]) -> str:
    """Say which resource most often has no room, from the share of misses of each."""
    most = max(shares.values())
    limits = [noun for noun, share in shares.items() if share == most]
    rest = ", ".join(f"{noun}: {share:.0%}" for noun, share in shares.items() if noun not in limits)
    nouns, verb, pronoun = " and ".join(limits), *(("limits", "it") if len(limits) == 1 else ("limit", "they"))
    return (
        f"{nouns[0].upper()}{nouns[1:]} {verb} this server: at {most:.0%} of the misses {pronoun} had no room for the requested "
        f"model{f' ({rest})' if rest else ''}."
    )


def _cloud(table: pd.DataFrame) -> str:
    """Say how many requests the cloud serves; nothing where it serves none."""
    cloud, requests = int(table["cloud_requests"].iloc[0]), int(table["requests"].iloc[0])
    if not cloud:
        return ""
    counted = "the cost does not count" if "service_delay_all_s" in table else "neither cost nor delay counts"
    return (
        f"{cloud} of {requests} requests ({cloud / requests:.0%}) are for models that do not even fit this server when it is "
        f"empty. The cloud serves them; {counted} them. "
    )


def change(table: pd.DataFrame, before: pd.DataFrame) -> str:
    """Say where the ranking by cost differs from that of another comparison, and why.

    Parameters
    ----------
    table
        As `comparison` returns it.
    before
        Another such table, of another server or demand.

    Returns
    -------
    str
        Whose place changes, which policy's cost changes most and which one's least; nothing where fewer than two policies are in
        both tables.

    Examples
    --------
    >>> from edgecache import Scenario, simulate
    >>> table = comparison({name: simulate(Scenario(slots=2), name) for name in ("lru", "fifo")})
    >>> change(table, table)
    'The ranking by cost stays as it was. No cost changes.'
    """
    both = [name for name in policies_of(table)["policy"] if name in set(before["policy"])]
    if len(both) < 2:
        return ""
    now, then = table.set_index("policy").loc[both], before.set_index("policy").loc[both]
    places = [(name, _place(then["total_cost"], name), _place(now["total_cost"], name)) for name in both]
    moved = [f"{_label(name)} from {was} to {place}" for name, was, place in places if was != place]
    ranks = f"The ranking by cost changes: {', '.join(moved)}." if moved else "The ranking by cost stays as it was."
    shift = (now["total_cost"] - then["total_cost"]).abs()
    if shift.max() <= 1e-9 * max(then["total_cost"].abs().max(), 1e-300):
        return f"{ranks} No cost changes."
    most, least = str(shift.idxmax()), str(shift.idxmin())
    reasons = [_reason(most, "most", now.loc[most], then.loc[most])]
    if shift[least] < 0.999 * shift[most]:
        reasons.append(_reason(least, "least", now.loc[least], then.loc[least]))
    return " ".join([ranks, *reasons])


def _reason(policy: str, most: str, now: pd.Series, then: pd.Series) -> str:
    """Say what a policy, whose cost changes `most` or least, holds and pays now."""
    uses = [(f"used_{name}", *RESOURCES[name]) for name in ("storage_gb", "gpu_memory_gb")]
    if all(now[column] == then[column] for column in ("total_cost", *(column for column, _, _ in uses))):
        stays = " and ".join(f"{now[column]:.3g} {unit} of {noun}" for column, noun, unit in uses)
        return f"{_label(policy)} does not change: it holds {stays} as before."
    held = ", ".join(f"{now[column]:.3g} {unit} of {noun} instead of {then[column]:.3g}" for column, noun, unit in uses)
    resource, switching = (_more(now[part] - then[part]) for part in ("resource_cost", "switching_cost"))
    costs = f"Per slot its resource cost is {resource}, its switching cost {switching}"
    delay = _delay(now) if _delay(now) in then else "service_delay_s"
    waits = "" if np.isnan([now[delay], then[delay]]).any() else f"; its users wait {now[delay]:.3g} s instead of {then[delay]:.3g}"
    return f"{_label(policy)} changes {most}: it holds {held}. {costs}{waits}."


def _delay(table: pd.DataFrame | pd.Series) -> str:
    """Choose the column of the delay: over all requests where the table has that, else over those that the edge served."""
    return "service_delay_all_s" if "service_delay_all_s" in table else "service_delay_s"


def _place(costs: pd.Series, policy: str) -> int:
    """Rank a policy by cost; costs that are equal but for rounding share a place."""
    return 1 + int((costs < costs[policy] * (1 - 1e-9)).sum())


def _more(amount: float) -> str:
    return f"{abs(amount):.3g} {'higher' if amount > 0 else 'lower'}" if amount else "the same"


def _percent(share: float, cost: float) -> str:
    """Show a share above the least cost; the cost itself where the least is zero."""
    if not np.isfinite(share):
        return f"{cost:.3g}"
    return f"{share:+.0%}" if share >= 0.005 else f"+{100 * share:.1g}%"


def _equal(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=1e-9, atol=1e-12))


def _listed(policies: Sequence[str]) -> str:
    labels = [_label(policy) for policy in policies]
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def _label(policy: str) -> str:
    return getattr(POLICIES.get(policy), "label", policy)
