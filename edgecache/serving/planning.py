"""What to buy: the least GPU memory, link, disk and parallelism that meet a target, and what one unit more of each would bring.

The search goes one resource at a time, the others as large as they may be, then as small as they were found: the plan is the
least in each resource given those before. It is made on the first half of the log and checked on the second; where it fails
there, one resource grows or, if that does not do, all of them, until it holds on both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from .arrivals import Arrivals
from .cards import Card
from .models import ServedModels, Server
from .simulation import Rule
from .targets import Target, Trial, halves

RESOURCES = ("gpu_memory_gb", "link_gbps", "disk_gb", "parallel")  # in the order in which each is made as small as may be
UNITS = {"gpu_memory_gb": "GB", "disk_gb": "GB", "link_gbps": "Gbit/s", "parallel": "place"}
LINKS_GBPS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 40.0, 100.0)
PLACES = (1, 2, 4, 8, 16)
STEPS = 16  # of memory and disk, between the largest model and all of them


@dataclass(frozen=True)
class Plan:
    """What a target needs.

    Parameters
    ----------
    target : Target
        The target.
    needs : dict of str to float
        The least of each resource; empty where nothing meets the target.
    server, models
        Those of the plan, or the largest that were tried.
    halves : DataFrame
        One row per half of the log: `half`, `requests`, `share_within`, `share_at_least` (95 % confidence), `p50_s`, `p95_s`,
        `p99_s`, `mean_s`, `met`.
    prices : DataFrame
        One row per resource that may grow: `resource`, `have`, `next`, what a unit more changes, `mean_s_per_unit` with its 95 %
        interval `low`, `high`, and `share_within` at `next`.
    limit : str
        Where nothing meets the target, the part of the delay that keeps it: `queue`, `fetch`, `load` or `service`.
    card : Card, optional
        The cheapest card that meets the target, where cards were given.
    cards : DataFrame
        One row per card: what it would do.

    Examples
    --------
    >>> import edgecache as ec
    >>> models, target = ServedModels(ec.load_catalogue()), Target.spelt("p50=1s")
    >>> arrivals = Arrivals([100.0 * k for k in range(40)], [k % 2 for k in range(40)], [1.0] * 40)
    >>> plan_server(target, models, arrivals).needs["gpu_memory_gb"]
    6.0
    """

    target: Target
    needs: dict[str, float]
    server: Server
    models: ServedModels
    halves: pd.DataFrame
    prices: pd.DataFrame
    limit: str = ""
    card: Card | None = None
    cards: pd.DataFrame | None = None


class _Search:
    """Servers that were tried on the halves of a log."""

    def __init__(self, target: Target, models: ServedModels, arrivals: Arrivals, server: Server, rule: Rule):
        self.target, self.models, self.server, self.rule = target, models, server, rule
        self.parts = halves(arrivals)
        self.known: dict[tuple, Trial] = {}

    def of(self, needs: dict[str, float]) -> tuple[Server, ServedModels]:
        """The server and the models of these resources."""
        limits: dict[str, Any] = {name: needs[name] for name in RESOURCES[:3]}
        return replace(self.server, **limits), self.models.vary(parallel=int(needs["parallel"]))

    def play(self, needs: dict[str, float], half: int) -> Trial:
        """What became of a half of the log."""
        key = (*(needs[name] for name in RESOURCES), half)
        if key not in self.known:
            self.known[key] = Trial.of(self.target, *self.of(needs), self.parts[half], self.rule)
        return self.known[key]

    def met(self, needs: dict[str, float], half: int) -> bool:
        """Is the target met on a half?"""
        return self.target.met(self.play(needs, half).waits)

    def least(self, needs: dict[str, float], name: str, grid: Sequence[float]) -> float:
        """The least of one resource that meets the target on the first half; the last of the grid does."""
        low, high = -1, len(grid) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.met(needs | {name: grid[middle]}, 0):
                high = middle
            else:
                low = middle
        return grid[high]


def grids_of(models: ServedModels, server: Server, cards: Sequence[Card] = ()) -> dict[str, list[float]]:
    """List the sizes of each resource that a plan tries, ascending.

    Parameters
    ----------
    models : ServedModels
        The smallest memory and disk hold the largest model; the largest hold all.
    server : Server
        What it limits is not exceeded.
    cards : sequence of Card
        Where they are given, GPU memory is theirs.

    Returns
    -------
    dict of str to list of float

    Examples
    --------
    >>> import edgecache as ec
    >>> grids_of(ServedModels(ec.load_catalogue()), Server(link_gbps=10))["link_gbps"]
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
    """
    memory = sorted({card.memory_gb for card in cards}) or _sizes(
        models.memory_gb, models.catalogue.gpu_memory_gb, server.gpu_memory_gb
    )
    link = [rate for rate in LINKS_GBPS if rate < server.link_gbps] + [server.link_gbps] * bool(np.isfinite(server.link_gbps))
    return {
        "gpu_memory_gb": memory,
        "link_gbps": link,
        "disk_gb": _sizes(models.disk_gb, models.catalogue.size_gb, server.disk_gb),
        "parallel": [float(places) for places in PLACES],
    }


def _sizes(each: np.ndarray, columns: np.ndarray, limit: float) -> list[float]:
    """Whole GB from what the largest model needs up to what all need together, at most the limit."""
    least, most = float(np.ceil(each.max())), float(np.ceil(columns.sum()))
    if limit < least:
        return [limit]
    sizes = sorted({float(np.ceil(size)) for size in np.geomspace(max(least, 1.0), max(most, 1.0), STEPS)})
    return [size for size in sizes if size < limit] + ([limit] if limit < most else [])


def plan_server(
    target: Target,
    models: ServedModels,
    arrivals: Arrivals,
    server: Server | None = None,
    rule: Rule = "lru",
    cards: Sequence[Card] = (),
) -> Plan:
    """Find the least server that meets a target on both halves of a log.

    Parameters
    ----------
    target : Target
        What users may wait.
    models : ServedModels
        What is served; `parallel` is planned.
    arrivals : Arrivals
        The log.
    server : Server, optional
        Limits that no plan exceeds, and everything that is not planned, such as the disk's rate. By default there is no limit.
    rule : str, EvictionPolicy or ServerRule
        Who must leave where room is needed.
    cards : sequence of Card
        Cards to choose from; the cheapest that meets the target is taken.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        For a log of a single moment.

    Examples
    --------
    >>> import edgecache as ec
    >>> models = ServedModels(ec.load_catalogue())
    >>> arrivals = Arrivals([100.0 * k for k in range(40)], [4] * 40, [30.0] * 40)
    >>> plan_server(Target.spelt("p95=10s", "delay"), models, arrivals).limit
    'service'
    """
    search = _Search(target, models, arrivals, server or Server(), rule)
    grids = grids_of(models, search.server, cards)
    most = {name: grid[-1] for name, grid in grids.items()}
    failing = next((half for half in (0, 1) if not search.met(most, half)), None)
    if failing is not None:
        limit = search.play(most, failing).limit
        return Plan(target, {}, *search.of(most), _halves(search, most), _no_prices(), limit, None, _cards(search, most, cards))
    needs = dict(most)
    candidates = _cheapest_first(cards, grids)
    for name, grid in (candidates | {name: grids[name] for name in RESOURCES if name not in candidates}).items():
        needs[name] = _first_met(search, needs, name, grid) if name in candidates else search.least(needs, name, grid)
    while not search.met(needs, 1):
        needs = _raised(search, needs, grids)
    card = min((card for card in cards if card.memory_gb == needs["gpu_memory_gb"]), key=lambda card: card.price, default=None)
    table = _cards(search, needs, cards)
    return Plan(target, needs, *search.of(needs), _halves(search, needs), _prices(search, needs, grids), "", card, table)


def _cheapest_first(cards: Sequence[Card], grids: dict[str, list[float]]) -> dict[str, list[float]]:
    """The memory of the cards in the order of their prices, where there are cards."""
    if not cards:
        return {}
    memory = [card.memory_gb for card in sorted(cards, key=lambda card: (card.price, -card.memory_gb))]
    return {"gpu_memory_gb": list(dict.fromkeys(memory))}


def _first_met(search: _Search, needs: dict[str, float], name: str, grid: Sequence[float]) -> float:
    """The first of these sizes that meets the target on the first half; one of them does."""
    return next(size for size in grid if search.met(needs | {name: size}, 0))


def _raised(search: _Search, needs: dict[str, float], grids: dict[str, list[float]]) -> dict[str, float]:
    """More of one resource where that meets the target on both halves, the last one first; otherwise more of each."""
    higher = {name: grid[min(grid.index(needs[name]) + 1, len(grid) - 1)] for name, grid in grids.items()}
    for name in reversed(RESOURCES):
        one = needs | {name: higher[name]}
        if one != needs and search.met(one, 1) and search.met(one, 0):
            return one
    return higher if higher != needs else {name: grid[-1] for name, grid in grids.items()}


def _halves(search: _Search, needs: dict[str, float]) -> pd.DataFrame:
    """What these resources do on either half."""
    rows = []
    for half in (0, 1):
        waits = search.play(needs, half).waits
        measure = search.target.measure
        quantiles = {f"p{round(100 * share)}_s": waits.quantile(share) for share in (0.5, 0.95, 0.99)}
        shares = {"share_within": waits.share_within(), "share_at_least": waits.share_at_least()}
        met = search.target.met(waits)
        rows.append({"half": half + 1, "requests": len(waits), **shares, **quantiles, "mean_s": waits.mean(measure), "met": met})
    return pd.DataFrame(rows)


def _no_prices() -> pd.DataFrame:
    return pd.DataFrame(columns=["resource", "unit", "have", "next", "mean_s_per_unit", "low", "high", "share_within"])


def _prices(search: _Search, needs: dict[str, float], grids: dict[str, list[float]]) -> pd.DataFrame:
    """What the next size of each resource changes per unit, on the half that the plan was checked on."""
    rows = []
    now, measure = search.play(needs, 1).waits, search.target.measure
    for name, grid in grids.items():
        larger = next((after for before, after in pairwise(grid) if before == needs[name]), None)
        if larger is None or not np.isfinite(larger):
            continue
        then = search.play(needs | {name: larger}, 1).waits
        units = larger - needs[name]
        change = then.mean(measure) - now.mean(measure)
        low, high = np.quantile(then.resampled_means(measure) - now.resampled_means(measure), [0.025, 0.975])
        rows.append((name, UNITS[name], needs[name], larger, change / units, low / units, high / units, then.share_within()))
    return pd.DataFrame(rows, columns=_no_prices().columns)


def _cards(search: _Search, needs: dict[str, float], cards: Sequence[Card]) -> pd.DataFrame | None:
    """What each card would do with the other resources of the plan, over both halves."""
    rows = []
    for card in sorted(cards, key=lambda card: card.price):
        own = needs | {"gpu_memory_gb": card.memory_gb}
        played = [search.play(own, half) for half in (0, 1)]
        busy_h = sum(trial.busy_s for trial in played) / 3600
        rows.append(
            {
                "card": card.card, "memory_gb": card.memory_gb, "price": card.price, "watts": card.watts,
                "met": all(search.target.met(trial.waits) for trial in played),
                "share_within": min(trial.waits.share_within() for trial in played),
                "busy_kwh": card.watts / 1000 * busy_h, "source": card.source,
            }
        )  # fmt: skip
    return pd.DataFrame(rows) if rows else None
