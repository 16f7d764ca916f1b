"""Policies of one run side by side: what each costs and uses, how far it is from the best, and why that differs from before."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..policies import BOUNDS, POLICIES
from ..results import Simulation

OUTCOMES = ("total_cost", "service_delay_s", "hit_ratio")
RESOURCES = {"storage_gb": ("storage", "GB"), "gpu_memory_gb": ("GPU memory", "GB"), "power_kw": ("power", "kW")}
_BOUNDS = frozenset(name + ending for name in BOUNDS for ending in ("", "-approximate", "-bound"))


def comparison(runs: Mapping[str, Simulation]) -> pd.DataFrame:
    """One row a policy: `Simulation.means`, what it had in use on average, and how often a resource had no room.

    `used_storage_gb`, `used_gpu_memory_gb`, `used_power_kw` (the static power included) are means over slots; `misses` counts the
    decisions, `crowded_...` those at which everything deployed and the requested model together would have overfilled the resource.
    """
    rows = []
    for run in runs.values():
        used, crowded = run.used.mean(axis=0), crowding(run)
        use = {f"used_{name}": float(mean) for name, mean in zip(RESOURCES, used, strict=True)}
        counts = {f"crowded_{name}": int(count) for name, count in zip(RESOURCES, crowded.sum(axis=0), strict=True)}
        rows.append({"policy": run.policy, **run.means(), **use, "misses": len(crowded), **counts})
    return pd.DataFrame(rows)


def crowding(run: Simulation) -> np.ndarray:
    """At each miss, had storage, GPU memory and power no room for the requested model beside all that was deployed? (misses, 3)."""
    held = run.deployed_before.astype(np.int64)
    held[np.arange(len(held)), run.trace.model[run.misses]] += 1
    return held @ run.scenario.catalogue.needs.T > run.scenario.capacities


def policies_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that are policies and no bounds, the cheapest first."""
    real = np.array([name not in _BOUNDS for name in table["policy"]])
    order = np.argsort(np.where(real, table["total_cost"], np.inf), kind="stable")[: real.sum()]
    return table.iloc[order].reset_index(drop=True)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """How far each row of a comparison is from the best policy in it, bounds left out.

    Of cost and delay the share more than the least, of the hit ratio what it is less than the most.
    """
    best = policies_of(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {name: table[name] / best[name].min() - 1 for name in OUTCOMES[:2]}
    return pd.DataFrame({"policy": table["policy"], **found, "hit_ratio": table["hit_ratio"] - best["hit_ratio"].max()})


def ranking(table: pd.DataFrame) -> str:
    """Who costs least, and with whom users wait least, in two sentences."""
    own, apart = policies_of(table), differences(table).set_index("policy")
    if not len(own):
        return ""
    tied = [name for name in own["policy"] if _same(table, "total_cost", name, own["policy"][0])]
    costs = zip(own["policy"], own["total_cost"], strict=True)
    others = [f"{_name(name)} ({_percent(apart.loc[name, 'total_cost'], cost)})" for name, cost in costs if name not in tied]
    then = f"; then {', '.join(others)}" if others else ""
    said = f"{_listed(tied)} cost{'s' * (len(tied) == 1)} least, {own['total_cost'][0]:.3g} a slot{then}."
    waits = own.dropna(subset="service_delay_s").sort_values("service_delay_s", kind="stable", ignore_index=True)
    if len(waits) < 2:
        return said
    first, last = waits.iloc[0], waits.iloc[-1]
    if _same(table, "service_delay_s", first["policy"], last["policy"]):
        return f"{said} Users wait {first['service_delay_s']:.3g} s with each."
    return (
        f"{said} Users wait least with {_name(first['policy'])}, {first['service_delay_s']:.3g} s, "
        f"and longest with {_name(last['policy'])}, {last['service_delay_s']:.3g} s."
    )


def scarcity(table: pd.DataFrame) -> str:
    """What the server cannot hold at all, and which resource had no room for newcomers, over all policies of the comparison."""
    own = policies_of(table)
    misses, said, none = own["misses"].sum(), "", "No resource is scarce: "
    cloud, requests = int(table["cloud_requests"].iloc[0]), int(table["requests"].iloc[0])
    if cloud:
        said, none = (
            f"{cloud} of {requests} requests are for models that this server could not hold even if it were empty: the cloud "
            "serves them, and neither costs nor delays count them. ",
            "Of the others: ",
        )
    if not misses:
        return f"{said}{none}nothing was missed."
    shares = {words: own[f"crowded_{name}"].sum() / misses for name, (words, _) in RESOURCES.items()}
    most = [words for words, share in shares.items() if share == max(shares.values())]
    if not max(shares.values()):
        return f"{said}{none}at every miss there was room for the requested model beside what was deployed."
    rest = " and ".join(f"{words} at {share:.0%}" for words, share in shares.items() if words not in most)
    here = (
        f"What limits this server is its {' and '.join(most)}: {'it' if len(most) == 1 else 'they'} had no room for the requested"
    )
    return f"{said}{here} model at {max(shares.values()):.0%} of the misses{', ' + rest if rest else ''}."


def change(table: pd.DataFrame, before: pd.DataFrame) -> str:
    """Where the ranking by cost differs from that of another comparison, and why: who changed most, and who least."""
    both = [name for name in policies_of(table)["policy"] if name in set(before["policy"])]
    if len(both) < 2:
        return ""
    now, then = table.set_index("policy").loc[both], before.set_index("policy").loc[both]
    places = [(name, _place(then["total_cost"], name), _place(now["total_cost"], name)) for name in both]
    moved = [f"{_name(name)} from {was} to {place}" for name, was, place in places if was != place]
    said = f"The ranking by cost changes: {', '.join(moved)}." if moved else "The ranking by cost stays as it was."
    shift = (now["total_cost"] - then["total_cost"]).abs()
    if shift.max() <= 1e-9 * max(then["total_cost"].abs().max(), 1e-300):
        return f"{said} No cost changes."
    reasons = [_reason(shift.idxmax(), "most", now, then)]
    if shift.min() < 0.999 * shift.max():
        reasons.append(_reason(shift.idxmin(), "least", now, then))
    return " ".join([said, *reasons])


def _reason(name: str, word: str, now: pd.DataFrame, then: pd.DataFrame) -> str:
    now, then = now.loc[name], then.loc[name]
    resources = list(RESOURCES.items())[:2]
    if all(now[column] == then[column] for column in ("total_cost", *(f"used_{resource}" for resource, _ in resources))):
        stays = " and ".join(f"{now[f'used_{resource}']:.3g} {unit} of {words}" for resource, (words, unit) in resources)
        return f"{_name(name)} does not change: it keeps {stays} as before."
    kept, evicted = (_more(now[part] - then[part]) for part in ("resource_cost", "switching_cost"))
    held = ", ".join(
        f"{now[f'used_{resource}']:.3g} {unit} of {words} instead of {then[f'used_{resource}']:.3g}"
        for resource, (words, unit) in resources
    )
    said = f"{_name(name)} changes {word}: it keeps {held}; what it keeps costs {kept} a slot, what it evicts {evicted}"
    waits = now["service_delay_s"], then["service_delay_s"]
    if np.isnan(waits).any():
        return f"{said}."
    return f"{said}, and its users wait {waits[0]:.3g} s instead of {waits[1]:.3g}."


def _place(costs: pd.Series, name: str) -> int:
    """The rank of a policy by cost; equal ones, but for rounding, share it."""
    return 1 + int((costs < costs[name] * (1 - 1e-9)).sum())


def _more(amount: float) -> str:
    return f"{abs(amount):.3g} {'more' if amount > 0 else 'less'}" if amount else "as much"


def _percent(share: float, cost: float) -> str:
    if not np.isfinite(share):  # of nothing
        return f"{cost:.3g}"
    return f"{share:+.0%}" if share >= 0.005 else f"+{100 * share:.1g}%"


def _same(table: pd.DataFrame, outcome: str, one: str, other: str) -> bool:
    values = table.set_index("policy")[outcome]
    return bool(np.isclose(values[one], values[other], rtol=1e-9, atol=1e-12))


def _listed(names: list[str]) -> str:
    names = [_name(name) for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _name(policy: str) -> str:
    return getattr(POLICIES.get(policy), "label", policy)
