"""Exact: the optimum of the very decision that the genetic algorithm searches.

Every deployed model pays either way: its eviction cost if it goes, its holding cost if it stays. So a decision is a knapsack of
three resources in which keeping a model is worth the difference; models worth nothing go at once, and branch and bound picks
among the others.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from .decision import Decision


@dataclass(frozen=True)
class Exact:
    """The cheapest deployment at every miss; among equally cheap ones that of the fewest models, then of the lowest index mask.

    Good as the yardstick of any heuristic for the same decision. It is myopic: it plans this miss, not the next.
    """

    name: str = "exact"
    label: str = "Exact"

    def decide(self, decision: Decision) -> np.ndarray:
        """Bool (I,), the optimal deployment."""
        candidates, needs = decision.candidates, decision.prices.needs
        worth = (decision.eviction_cost - decision.holding_cost)[candidates]
        free = decision.prices.capacities - needs[:, decision.requested]
        chosen = np.zeros(len(decision.deployed), dtype=bool)
        chosen[candidates] = best_subset(worth, np.ascontiguousarray(needs[:, candidates]), free)
        chosen[decision.requested] = True
        return chosen


@njit(cache=True)
def best_subset(worth, needs, free):
    """The subset of most `worth` (n,) whose `needs` (3, n) fit what is `free` (3,), as bool (n,).

    Among equal subsets the smallest, then that of the lowest index mask (the last index is the highest bit). Depth-first branch
    and bound. The bound is the fractional optimum under one constraint, the sum of the resources that bind, each weighted by how
    far the useful models together exceed it (a surrogate relaxation: Glover, Operations Research 1968); models are tried in the
    order of worth over that weight, so the bound is one pass.
    """
    n = worth.size
    best = np.zeros(n, dtype=np.bool_)
    useful = np.empty(n, dtype=np.int64)
    m, total, asked = 0, 0.0, np.zeros(3)
    for i in range(n):
        if worth[i] > 0 and needs[0, i] <= free[0] and needs[1, i] <= free[1] and needs[2, i] <= free[2]:
            useful[m] = i
            m += 1
            total += worth[i]
            for r in range(3):
                asked[r] += needs[r, i]
    if asked[0] <= free[0] and asked[1] <= free[1] and asked[2] <= free[2]:
        for j in range(m):
            best[useful[j]] = True
        return best
    scale = np.zeros(3)
    for r in range(3):
        if asked[r] > free[r]:
            scale[r] = (asked[r] - free[r]) / free[r] ** 2
    density = np.empty(m)
    for j in range(m):
        weight = scale[0] * needs[0, useful[j]] + scale[1] * needs[1, useful[j]] + scale[2] * needs[2, useful[j]]
        density[j] = -worth[useful[j]] / weight if weight > 0 else -np.inf
    order = useful[np.argsort(density)]
    value, need, weight = np.empty(m), np.empty((m, 3)), np.empty(m)
    for j in range(m):
        value[j] = worth[order[j]]
        need[j] = needs[:, order[j]]
        weight[j] = (scale * need[j]).sum()

    most, fewest, slack = -1.0, m, 1e-12 * total
    taken, option = np.zeros(n, dtype=np.bool_), np.ones(m + 1, dtype=np.int64)
    room, gained = np.empty((m + 1, 3)), np.zeros(m + 1)
    room[0] = free
    depth = 0
    while depth >= 0:
        if depth == m:
            total, count = 0.0, 0
            for i in useful[:m]:  # in index order, so that equal subsets have equal sums
                if taken[i]:
                    total += worth[i]
                    count += 1
            if total > most or (total == most and (count < fewest or (count == fewest and _lower(taken, best)))):
                most, fewest = total, count
                best[:] = taken
            depth -= 1
            continue
        take = option[depth]  # first with this model, then without it, then back
        if take < 0:
            depth -= 1
            continue
        option[depth] -= 1
        left = room[depth]
        if take:
            if need[depth, 0] > left[0] or need[depth, 1] > left[1] or need[depth, 2] > left[2]:
                continue
        elif gained[depth] + _relaxation(depth + 1, value, weight, (scale * left).sum()) < most - slack:
            continue
        taken[order[depth]] = take
        for r in range(3):
            room[depth + 1, r] = left[r] - take * need[depth, r]
        gained[depth + 1] = gained[depth] + take * value[depth]
        depth += 1
        option[depth] = 1
    return best


@njit(cache=True)
def _relaxation(depth, value, weight, left):
    """What the models from `depth` on could add at most: the best fractional use of what is left of the weighted sum."""
    total = 0.0
    for j in range(depth, value.size):
        if weight[j] > left:
            return total + value[j] * max(left, 0.0) / weight[j]
        left -= weight[j]
        total += value[j]
    return total


@njit(cache=True)
def _lower(taken, best):
    """Is `taken` a lower index mask than `best`, the last index being the highest bit?"""
    for i in range(taken.size - 1, -1, -1):
        if taken[i] != best[i]:
            return best[i]
    return False
