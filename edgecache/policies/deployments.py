"""Every deployment that fits the server: the states over which the bounds plan, and the best decision once states have a worth.

States are numbered in the order of their index masks, the last model being the highest bit. So a state comes after all its subsets,
which fit too, and the best decision at a miss, over all subsets that may stay, takes one step a model: it keeps the whole
deployment, or it is the best decision of the deployment without one of its models.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from .knapsack import search

LIMIT = 20_000  # states


@dataclass(frozen=True, eq=False)
class Deployments:
    """The S deployments of H of the I models that fit the server; state 0 is the empty one.

    `after[D, r]` is the state once r was requested in state D and all of D stays: D and r, or -1 where that does not fit. For
    a model outside the head it is D itself if it fits beside D, and for a model that the cloud serves it is D.
    `without[D, h]` is D without the head's model number h; D itself where that model is not in D.
    """

    head: npt.NDArray[np.int64]  # the models that the states tell apart, ascending, (H,)
    members: npt.NDArray[np.bool_]  # which models each state holds, (S, I)
    after: npt.NDArray[np.int32]  # (S, I)
    without: npt.NDArray[np.int32]  # (S, H)
    first: npt.NDArray[np.int32]  # where each state's part of `subsets` begins, (S + 1,)
    subsets: npt.NDArray[np.int32]  # the states that are one model smaller; the last is without the highest model
    top: npt.NDArray[np.int64]  # the highest model of each state, -1 for the empty one, (S,)

    @classmethod
    def of(cls, needs: np.ndarray, capacities: np.ndarray, order: np.ndarray | None = None, limit: int = LIMIT) -> Any:
        """List all deployments that fit, for needs (3, I) and capacities (3,).

        Where more than `limit` fit: those of the first models in `order`, int (I,), as many models as stay within the limit;
        without an order None.
        """
        listed = _listed(needs.tobytes(), needs.shape[1], capacities.tobytes(), limit)
        return listed if listed is not None or order is None else cls._of_the_first(needs, capacities, order, limit)

    @classmethod
    def _of_the_first(cls, needs, capacities, order, limit):
        """The deployments of the first models in the order, as many models as stay within the limit."""
        fits, needs = (needs <= capacities[:, None]).all(axis=0), np.ascontiguousarray(needs.T)
        order = order[fits[order]]
        return cls._from(needs, capacities, fits, np.sort(order[: _enumerate(needs, capacities, fits, order, limit)[0]]), limit)

    @classmethod
    def _from(cls, needs, capacities, fits, head, limit):
        """The deployments of the models of a head; None where they are more than the limit."""
        count, after, without = _enumerate(needs, capacities, fits, head, limit)
        if count < len(head):
            return None
        smaller = without != np.arange(len(after))[:, None]
        members = np.zeros(after.shape, dtype=bool)
        members[:, head] = smaller
        first = np.append(0, smaller.sum(axis=1).cumsum()).astype(np.int32)
        top = np.full(len(after), -1)
        top[1:] = head[len(head) - 1 - smaller[1:, ::-1].argmax(axis=1)] if len(head) else top[1:]
        return cls(head, members, after, without, first, without[smaller], top)

    def __len__(self) -> int:
        return len(self.members)

    def state(self, deployed: npt.NDArray[np.bool_]) -> int:
        """The number of a deployment, bool (I,); models outside the head do not count."""
        return int(state_of(self.head, self.after, deployed))

    def best_decision(self, worth: np.ndarray, price: np.ndarray, state: int, requested: int, slack: float) -> int:
        """The state of least `worth` (S,) plus `price` (I,) of its members, among those that a miss in `state` may lead to.

        Among states within `slack` of the least: the one of fewest models, then of the lowest number.
        """
        return int(best_decision(self.head, self.after, self.without, worth, price, state, requested, slack))


@lru_cache(maxsize=8)
def _listed(needs: bytes, models: int, capacities: bytes, limit: int) -> Deployments | None:
    """All deployments that fit; kept, since every bound and every replication of a scenario asks for the same."""
    room = np.frombuffer(capacities)
    table = np.frombuffer(needs).reshape(3, models)
    fits = (table <= room[:, None]).all(axis=0)
    return Deployments._from(np.ascontiguousarray(table.T), room, fits, np.flatnonzero(fits), limit)  # noqa: SLF001, its own module


@njit(cache=True)
def state_of(head, after, deployed):
    """The number of a deployment, bool (I,); models outside the head do not count."""
    state = 0
    for model in head:
        if deployed[model]:
            state = after[state, model]
    return state


@njit(cache=True)
def _fits_beside(used, need, capacities):
    return used[0] + need[0] <= capacities[0] and used[1] + need[1] <= capacities[1] and used[2] + need[2] <= capacities[2]


@njit(cache=True)
def _enumerate(needs, capacities, fits, head, limit):  # noqa: C901, a compiled kernel
    """(How many of the head's models there are within the limit, `after`, `without`); the arrays are empty where not all are."""
    used, below, top = np.zeros((limit, 3)), np.zeros(limit, dtype=np.int32), np.full(limit, -1)
    count = 1
    for h in range(head.size):
        need, smaller = needs[head[h]], count
        for state in range(smaller):
            if _fits_beside(used[state], need, capacities):
                if count == limit:
                    return h, np.empty((0, 0), dtype=np.int32), np.empty((0, 0), dtype=np.int32)
                for r in range(3):
                    used[count, r] = used[state, r] + need[r]
                below[count], top[count] = state, h
                count += 1
    after = np.full((count, len(needs)), -1, dtype=np.int32)
    without = np.empty((count, head.size), dtype=np.int32)
    for state in range(1, count):
        after[below[state], head[top[state]]] = state
    outside = np.ones(len(needs), dtype=np.bool_)
    outside[head] = False
    for state in range(count):
        for h in range(head.size):
            if h > top[state]:
                without[state, h] = state
            elif h == top[state]:
                without[state, h], after[state, head[h]] = below[state], state
            else:  # by way of the subset without the highest model
                highest = head[top[state]]
                without[state, h] = after[without[below[state], h], highest]
                beside = after[below[state], head[h]]
                after[state, head[h]] = after[beside, highest] if beside >= 0 else -1
        for model in range(len(needs)):
            if outside[model] and (not fits[model] or _fits_beside(used[state], needs[model], capacities)):
                after[state, model] = state
    return head.size, after, without


@njit(cache=True)
def best_decision(head, after, without, worth, price, state, requested, slack):
    """Depth first over the subsets of the state that may stay: once for the least worth, once for the choice."""
    inside = head[without[state] != state]
    inside = inside[inside != requested]
    subset, choice = np.zeros(inside.size + 1, dtype=np.int64), np.zeros(inside.size + 1, dtype=np.int64)
    added = np.zeros(inside.size + 1)
    best, least, fewest = -1, np.inf, 0
    for choosing in (False, True):
        depth, arrived = 0, True
        choice[0] = 0
        while depth >= 0:
            if arrived:
                reached = after[subset[depth], requested]
                if reached < 0:  # nor would any larger subset fit
                    depth -= 1
                    arrived = False
                    continue
                total = worth[reached] + added[depth]
                if not choosing:
                    least = min(least, total)
                elif total <= least + slack and (best < 0 or depth < fewest or (depth == fewest and reached < best)):
                    best, fewest = reached, depth
            following = choice[depth]
            if following == inside.size:
                depth -= 1
                arrived = False
                continue
            choice[depth] += 1
            larger = after[subset[depth], inside[following]]
            arrived = larger >= 0
            if arrived:
                depth += 1
                subset[depth], added[depth] = larger, added[depth - 1] + price[inside[following]]
                choice[depth] = following + 1
    return best


@njit(cache=True)
def state_decision(tables, row, bit, deployed, requested, kept):
    """Fill `kept` (I,) with the best decision by the values of the states; False where a search needs too many nodes."""
    state = state_of(tables.head, tables.after, deployed)
    best = best_decision(
        tables.head, tables.after, tables.without, tables.values[row, bit], tables.price[min(row, len(tables.price) - 1)],
        state, requested, tables.slack,
    )  # fmt: skip
    kept[:] = False
    for h in range(tables.head.size):
        kept[tables.head[h]] = tables.without[best, h] != best
    kept[requested] = True
    if tables.head.size == deployed.size or tables.saves.size == 0:
        return True
    others = np.flatnonzero(deployed & ~np.isnan(tables.saves))
    if others.size == 0:
        return True
    needs, free = np.empty((3, others.size)), tables.capacities.copy()
    for r in range(3):
        for c in range(others.size):
            needs[r, c] = tables.needs[r, others[c]]
        for i in range(deployed.size):
            if kept[i]:
                free[r] -= tables.needs[r, i]
    chosen, gap = search(tables.saves[others], needs, free, tables.nodes)
    for c in range(others.size):
        kept[others[c]] = chosen[c]
    return gap == 0
