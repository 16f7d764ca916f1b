"""How a policy sees the deployed models at a decision: the last use, the rank or the costs by which it chooses what to evict."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..policies import POLICIES
from ..policies.contract import Decision
from ..policies.ranks import EvictionPolicy
from ..results import MISS, Simulation
from ..simulator import Game
from ..trace import NEVER

COLUMNS = [
    "request", "requested", "model", "evicted", "last_request", "last_slot", "requests", "deployed_since", "eviction_cost",
    "holding_cost",
]  # fmt: skip


def _next_request(row: dict) -> str:
    """Say which request Belady's rank, the number of the next request with a minus, stands for."""
    return "never" if row["rank"] <= -NEVER else f"request {-row['rank'] - 1:.0f}"


# How an eviction policy orders the models, and how one model reads; any other ranking policy goes by the last line.
ORDERS: dict[str, tuple[str, Callable[[dict], str]]] = {
    "fifo": ("the deployment, the earliest first", "since request {deployed_since}".format_map),
    "lru": ("the last request, the earliest first", "request {last_request}, slot {last_slot}".format_map),
    "lfu": ("the number of requests, the fewest first", "{rank:g}".format_map),
    "lfu-in-cache": ("the number of requests since the deployment, the fewest first", "{rank:g}".format_map),
    "belady": ("the next request, the furthest first", _next_request),
    "": ("its rank, the lowest first", "{rank:.4g}".format_map),
}
MOST = 8  # models that a sentence names


def _eviction_policy(run: Simulation) -> EvictionPolicy | None:
    """Find the policy of a run; None for planners and for a user's own policies, of which a run has the name alone."""
    policy = POLICIES.get(run.policy)
    return policy if isinstance(policy, EvictionPolicy) else None


def columns_of(run: Simulation) -> list[str]:
    """List the columns of `models_seen`: COLUMNS, and for a policy with a rank `rank`, but for Random's draws."""
    policy = _eviction_policy(run)
    return [*COLUMNS, "rank"] if policy and policy.rank and policy.name != "random" else [*COLUMNS]


def models_seen(run: Simulation, decision: Decision, chosen: NDArray[np.bool_]) -> list[dict]:
    """Describe the deployed models at a decision, those first that the policy would evict first; see `Explanation.reasons`."""
    names, trace, request, deployed = (
        run.scenario.catalogue.services,
        run.trace,
        decision.clock - 1,
        np.flatnonzero(decision.deployed),
    )
    before = trace.model[:request]
    fetched = np.where(run.outcome[:request] == MISS, before, -1)
    rows = []
    for model in deployed:
        last = int(np.flatnonzero(before == model)[-1]) if model in before else -1  # never requested: it was prefetched
        seen = (bool(~chosen[model]), last, int(trace.slot[last]) if last >= 0 else -1, int(decision.requests[model]))
        costs = (float(decision.eviction_cost[model]), float(decision.holding_cost[model]))
        since = np.append(np.flatnonzero(fetched == model), run.prefetches[run.prefetches[:, 1] == model, 0] - 1)
        values = (request, names[decision.requested], names[model], *seen, int(since[since < request].max()), *costs)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    policy = _eviction_policy(run)
    if policy is None:
        return sorted(rows, key=lambda row: row["eviction_cost"] - row["holding_cost"])
    queue = "last_request" if policy.queue == "request" else "deployed_since"
    if policy.rank and "rank" in columns_of(run):
        rows = [row | {"rank": rank} for row, rank in zip(rows, _ranks(run, policy, policy.rank, decision), strict=True)]
    return sorted(rows, key=lambda row: (row.get("rank", 0), row[queue]))


def _ranks(run: Simulation, policy: EvictionPolicy, rank: Callable, decision: Decision) -> list[float]:
    """Compute the rank of each deployed model: replay the run up to the decision, and call the policy's compiled rank."""
    models, server = Game(run.charges, np.random.SeedSequence(0)).state_at(policy, decision.clock - 1)
    return [float(rank(models[model], server[0])) for model in np.flatnonzero(decision.deployed)]


def sentence(run: Simulation, seen: list[dict]) -> str:
    """Say by what the policy chose, from the rows of `models_seen`; nothing where no choice was to be made."""
    policy = _eviction_policy(run)
    if not seen or (policy and not any(row["evicted"] for row in seen)):
        return ""
    if run.policy == "random":
        return "random evicts at random."
    order, form = _order(run, policy)
    named = [row for place, row in enumerate(seen) if row["evicted"] or place < MOST]
    models = [f"{row['model']} ({form(row)}), {'evicted' if row['evicted'] else 'kept'}" for row in named]
    more = f"; and {len(seen) - len(named)} more, kept" if len(named) < len(seen) else ""
    return f"{order}: {'; '.join(models)}{more}."


def _order(run: Simulation, policy: EvictionPolicy | None) -> tuple[str, Callable[[dict], str]]:
    """Say how the policy orders the models; and what shows the place of one of them."""
    if policy is None:
        return "Evicting each model costs, against holding it", "{eviction_cost:.4g} against {holding_cost:.4g}".format_map
    in_cache = policy.name == "lfu" and run.scenario.lfu == "in_cache"
    order, form = ORDERS.get("lfu-in-cache" if in_cache else policy.name, ORDERS[""])
    return f"{run.policy} goes by {order}", form
