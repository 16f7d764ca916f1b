"""Every deployment that fits the server: the states over which the bounds plan, and the best decision once states have a worth.

States are numbered in the order of their index masks, the last model being the highest bit. So a state comes after all its subsets,
which fit too, and the best decision at a miss, over all subsets that may stay, takes one step a model: it keeps the whole
deployment, or it is the best decision of the deployment without one of its models.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

LIMIT = 20_000  # states


@dataclass(frozen=True, eq=False)
class Deployments:
    """The S deployments of the models in `head` (H of all I) that fit; state 0 is the empty one.

    `after[D, r]` is the state when r was requested in state D and all of D stays: D and r, or -1 where that does not fit. For
    a model outside the head it is D itself if it fits beside D, and for one that the cloud serves it is D.
    `without[D, h]` is D without the head's model number h, D itself where that is not in it.
    """

    head: np.ndarray  # the models that the states tell apart, ascending, int64 (H,)
    members: np.ndarray  # which models each state holds, bool (S, I)
    after: np.ndarray  # int32 (S, I)
    without: np.ndarray  # int32 (S, H)

    @classmethod
    def of(cls, needs: np.ndarray, capacities: np.ndarray, order: np.ndarray | None = None, limit: int = LIMIT):
        """All deployments that fit, for needs (3, I) and capacities (3,).

        Where more than `limit` do, those of the first models in `order`, int (I,), as many models as stay within the limit; None
        without an order.
        """
        fits, needs = (needs <= capacities[:, None]).all(axis=0), np.ascontiguousarray(needs.T)
        head = np.flatnonzero(fits)
        whole, after, without = _enumerate(needs, capacities, fits, head, limit)
        if whole < len(head):
            if order is None:
                return None
            order = order[fits[order]]
            head = np.sort(order[: _enumerate(needs, capacities, fits, order, limit)[0]])
            _, after, without = _enumerate(needs, capacities, fits, head, limit)
        members = np.zeros(after.shape, dtype=bool)
        members[:, head] = without != np.arange(len(after))[:, None]
        return cls(head, members, after, without)

    def __len__(self) -> int:
        return len(self.members)

    def state(self, deployed: np.ndarray) -> int:
        """The number of a deployment, bool (I,); models outside the head do not count."""
        state = 0
        for model in self.head[deployed[self.head]]:
            state = int(self.after[state, model])
        return state

    def best_decision(self, worth: np.ndarray, price: np.ndarray, state: int, requested: int, slack: float) -> int:
        """The state of least `worth` (S,) plus `price` (I,) of its members, among those that a miss in `state` may lead to.

        Among those within `slack` of it the one of the fewest models, then of the lowest number.
        """
        return _best_decision(self.head, self.after, self.without, worth, price, state, requested, slack)


@njit(cache=True)
def _fits_beside(used, need, capacities):
    return used[0] + need[0] <= capacities[0] and used[1] + need[1] <= capacities[1] and used[2] + need[2] <= capacities[2]


@njit(cache=True)
def _enumerate(needs, capacities, fits, head, limit):
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
def _best_decision(head, after, without, worth, price, state, requested, slack):
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
