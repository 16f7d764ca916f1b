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

from .contract import Decision, Deployment
from .knapsack import best_subset, search
from .planner_tables import PlannerTables

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
    size: npt.NDArray[np.int64]  # how many models each state holds, (S,)

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
        return cls(head, members, after, without, first, without[smaller], top, smaller.sum(axis=1))

    def __len__(self) -> int:
        return len(self.members)

    def state(self, deployed: npt.NDArray[np.bool_]) -> int:
        """The number of a deployment, bool (I,); models outside the head do not count."""
        return int(state_of(self.head, self.after, deployed))


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
def reach(after, without, size, place, cost, leaving, fetching, may_bypass, may_prefetch, slack, least, choice):
    """Find where a decision ends best, from every state v that it keeps of the old deployment with the requested model.

    `cost` (S,) is that of ending in each state, and `place` the requested model's in the head. From v the requested model may
    leave, at the cost `leaving`, and other models may be prefetched, at the cost `fetching` (I,). A superset has a higher number,
    so one pass from the highest state down takes one step a model. Fills `least` (S,) with the costs, and `choice` (S,) with the
    states: of those within `slack` the one of fewest models (`size`), then of the lowest number.
    """
    for v in range(cost.size - 1, -1, -1):
        if place >= 0 and without[v, place] == v:
            continue
        low, best = cost[v], v
        if may_bypass and place >= 0:
            other = without[v, place]
            if cost[other] + leaving <= low + slack:
                low, best = cost[other] + leaving, other
        if may_prefetch:
            for model in range(after.shape[1]):
                larger = after[v, model]
                if larger <= v:
                    continue
                other, total = choice[larger], least[larger] + fetching[model]
                fewer = size[other] < size[best] or (size[other] == size[best] and other < best)
                if total < low - slack or (fewer and total <= low + slack):
                    low, best = total, other
        least[v], choice[v] = low, best


@njit(cache=True)
def best_decision(tables, row, bit, state, place, requested):  # noqa: C901, PLR0912, PLR0915, a compiled kernel
    """The state in which the decision at a miss in `state` ends best; `place` is the requested model's in the head, -1 outside.

    Depth first over the subsets of the state that may stay: once for the least cost, once for the choice. Among choices within the
    tables' slack of the least: the one of fewest models, then of the lowest number.
    """
    t, values = tables, tables.values[row, bit]
    held, left = t.held[min(row, len(t.held) - 1)], t.left[min(row, len(t.left) - 1)]
    holding, leaving = (held[requested], left[requested]) if place >= 0 else (0.0, 0.0)
    states = values.size if t.may_prefetch else 0
    least, choice = np.empty(states), np.empty(states, dtype=np.int32)
    if t.may_prefetch:
        cost = np.zeros(states)
        for v in range(1, states):
            h = t.head.size - 1
            while t.without[v, h] == v:
                h -= 1
            cost[v] = cost[t.without[v, h]] + held[t.head[h]]
        for v in range(states):  # beside a requested model outside the head only what fits may be prefetched
            cost[v] = cost[v] + values[v] if t.after[v, requested] >= 0 or place >= 0 else np.inf
        reach(t.after, t.without, t.size, place, cost, leaving, t.fetching, t.may_bypass, True, t.slack, least, choice)
    inside = t.head[t.without[state] != state]
    inside = inside[inside != requested]
    subset, tried = np.zeros(inside.size + 1, dtype=np.int64), np.zeros(inside.size + 1, dtype=np.int64)
    keeping, saving = np.zeros(inside.size + 1), np.zeros(inside.size + 1)  # held and left, added up over the subset
    best, lowest = -1, np.inf
    for choosing in (False, True):
        depth, arrived = 0, True
        tried[0] = 0
        while depth >= 0:
            if arrived:
                reached = t.after[subset[depth], requested]
                if reached < 0:  # nor would any larger subset fit
                    depth -= 1
                    arrived = False
                    continue
                for leaves in (False, True):
                    if t.may_prefetch:
                        end, total = choice[reached], least[reached]
                    elif leaves:
                        end, total = subset[depth], values[subset[depth]] + keeping[depth] + leaving
                    else:
                        end, total = reached, values[reached] + keeping[depth] + holding
                    total -= saving[depth]
                    if not choosing:
                        lowest = min(lowest, total)
                    elif total <= lowest + t.slack and (
                        best < 0 or t.size[end] < t.size[best] or (t.size[end] == t.size[best] and end < best)
                    ):
                        best = end
                    if t.may_prefetch or not t.may_bypass or place < 0:
                        break
            following = tried[depth]
            if following == inside.size:
                depth -= 1
                arrived = False
                continue
            tried[depth] += 1
            larger = t.after[subset[depth], inside[following]]
            arrived = larger >= 0
            if arrived:
                depth += 1
                subset[depth], tried[depth] = larger, following + 1
                keeping[depth] = keeping[depth - 1] + held[inside[following]]
                saving[depth] = saving[depth - 1] + left[inside[following]]
    return best


@njit(cache=True)
def state_decision(tables, row, bit, deployed, requested, kept):  # noqa: C901, a compiled kernel
    """Fill `kept` (I,) with the best decision by the values of the states; False where a search needs too many nodes."""
    state, place = state_of(tables.head, tables.after, deployed), -1
    for h in range(tables.head.size):
        if tables.head[h] == requested:
            place = h
    best = best_decision(tables, row, bit, state, place, requested)
    kept[:] = False
    for h in range(tables.head.size):
        kept[tables.head[h]] = tables.without[best, h] != best
    if place < 0:
        kept[requested] = not tables.may_bypass or tables.saves[requested] > 0
    if tables.head.size == deployed.size or tables.saves.size == 0:
        return True
    may_stay = deployed & ~np.isnan(tables.saves)
    may_stay[requested] = False
    others = np.flatnonzero(may_stay)
    if others.size == 0:
        return True
    needs, free = np.empty((3, others.size)), tables.capacities.copy()
    for r in range(3):
        for c in range(others.size):
            needs[r, c] = tables.needs[r, others[c]]
        for i in range(deployed.size):
            if kept[i] or i == requested:
                free[r] -= tables.needs[r, i]
    chosen, gap = search(tables.saves[others], needs, free, tables.nodes)
    for c in range(others.size):
        kept[others[c]] = chosen[c]
    return gap == 0


def decide_by_state(tables: PlannerTables, row: int, bit: int, decision: Decision) -> Deployment:
    """The best decision by the values of the states, bool (I,), however many nodes a search takes."""
    chosen = np.zeros(len(decision.deployed), dtype=bool)
    if not state_decision(tables, row, bit, decision.deployed, decision.requested, chosen):
        others = np.setdiff1d(np.flatnonzero(decision.deployed & ~np.isnan(tables.saves)), decision.requested)
        chosen[others] = False
        served = chosen.copy()
        served[decision.requested] = True
        free = decision.capacities - decision.needs @ served
        chosen[others], _ = best_subset(tables.saves[others], np.ascontiguousarray(decision.needs[:, others]), free)
    return chosen
