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
    and bound in the order of worth per share of the scarcest resource; a branch is cut when even its fractional relaxation, the
    least over each resource taken alone, is worth less than the best subset found.
    """
    best = worth > 0
    if (needs[:, best].sum(axis=1) <= free).all():
        return best
    useful = np.flatnonzero(best)
    m = useful.size
    density = np.empty((3, m))
    for r in range(3):
        for j in range(m):
            need = needs[r, useful[j]]
            density[r, j] = worth[useful[j]] * free[r] / need if need > 0 else np.inf
    scarcest = np.array([density[:, j].min() for j in range(m)])
    useful = useful[np.argsort(-scarcest, kind="mergesort")]  # from here on in the order of branching
    value, need = worth[useful], needs[:, useful]
    by_index = np.argsort(useful)
    by_density = np.empty((3, m), dtype=np.int64)
    for r in range(3):
        by_density[r] = np.argsort(-(value / np.maximum(need[r], 1e-300)), kind="mergesort")

    most, fewest, slack = -1.0, m, 1e-12 * value.sum()
    taken, option = np.zeros(m, dtype=np.bool_), np.ones(m + 1, dtype=np.int64)
    room, gained = np.empty((m + 1, 3)), np.zeros(m + 1)
    room[0] = free
    depth = 0
    while depth >= 0:
        if depth == m:
            total = 0.0
            for j in by_index:  # in index order, so that equal subsets have equal sums
                total += value[j] if taken[j] else 0.0
            count = taken.sum()
            if total > most or (total == most and (count < fewest or (count == fewest and _lower(taken, best, useful, by_index)))):
                most, fewest = total, count
                best[:] = False
                best[useful] = taken
            depth -= 1
            continue
        take = option[depth]  # first with this model, then without it, then back
        if take < 0:
            depth -= 1
            continue
        option[depth] -= 1
        if take and not (need[:, depth] <= room[depth]).all():
            continue
        if not take and gained[depth] + _relaxation(depth + 1, value, need, room[depth], by_density) < most - slack:
            continue
        taken[depth] = take
        room[depth + 1] = room[depth] - take * need[:, depth]
        gained[depth + 1] = gained[depth] + take * value[depth]
        depth += 1
        option[depth] = 1
    return best


@njit(cache=True)
def _relaxation(depth, value, need, room, by_density):
    """What the models from `depth` on could add at most: the least, over the resources, of its best fractional use."""
    least = np.inf
    for r in range(3):
        total, left = 0.0, room[r]
        for j in by_density[r]:
            if j < depth:
                continue
            if need[r, j] > left:
                total += value[j] * left / need[r, j]
                break
            left -= need[r, j]
            total += value[j]
        least = min(least, total)
    return least


@njit(cache=True)
def _lower(taken, best, useful, by_index):
    """Is `taken` a lower index mask than `best`, the last index being the highest bit?"""
    for j in by_index[::-1]:
        if taken[j] != best[useful[j]]:
            return best[useful[j]]
    return False
