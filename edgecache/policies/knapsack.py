"""The 0/1 knapsack of three resources, solved exactly by branch and bound."""

import numpy as np
from numba import njit

from ..errors import InputError

FEW, NODES = 20_000, 300_000_000  # nodes of the search before and after prices are asked of HiGHS: below a millisecond, seconds


def best_subset(worth: np.ndarray, needs: np.ndarray, free: np.ndarray, nodes: int = NODES) -> tuple[np.ndarray, float]:
    """The subset of most `worth` (n,) whose `needs` (3, n) fit what is `free` (3,): (bool (n,), how far it may be from the most).

    Among equal subsets the smallest, then that of the lowest index mask (the last index is the highest bit). The gap is 0 unless
    the search ended at `nodes` nodes. Microseconds for ten models; with all three resources tight, milliseconds for 500. Raises
    InputError where less than nothing is free, so that not even the empty subset fits.
    """
    chosen, gap = search(worth, needs, free, nodes if nodes < FEW else FEW)
    if gap == 0:
        return chosen, gap
    if gap == np.inf:
        raise InputError(f"nothing fits: {free[0]:g} GB storage, {free[1]:g} GB GPU memory and {free[2]:g} kW are free")
    if nodes > FEW:
        from scipy.optimize import linprog

        useful = (worth > 0) & (needs <= free[:, None]).all(axis=0)
        relaxed = linprog(-worth[useful], A_ub=needs[:, useful], b_ub=free, bounds=(0, 1), method="highs")
        prices = np.maximum(-relaxed.ineqlin.marginals, 0.0)
        chosen, gap = _branch_and_bound(worth, needs, free, prices, chosen, nodes)
    return chosen, gap


@njit(cache=True)
def _branch_and_bound(worth, needs, free, prices, start, nodes):  # noqa: C901, PLR0912, PLR0915, a compiled kernel
    """Depth first, from the subset `start` (n,) if there is one (Lagrangian relaxation: Fisher, Management Science 1981).

    At any prices (3,), no subset is worth more than all that is free at its price, plus each model's worth less the price of its
    needs where that is positive; a choice that departs from this sign loses its amount. Models that would lose most
    come first, so what is all but certain is settled at the top of the tree (a core problem: Balas and Zemel 1980). Without prices
    it takes its own: those of the best of four single constraints, each resource and their sum weighted by how far the models
    together exceed it. Of models alike in everything the later ones are tried only beside the earlier.
    """
    n = worth.size
    useful = np.empty(n, dtype=np.int64)
    m, asked = 0, np.zeros(3)
    for i in range(n):
        if worth[i] > 0 and needs[0, i] <= free[0] and needs[1, i] <= free[1] and needs[2, i] <= free[2]:
            useful[m] = i
            m += 1
            for r in range(3):
                asked[r] += needs[r, i]
    useful = useful[:m]
    best = np.zeros(n, dtype=np.bool_)
    value, need = np.empty(m), np.empty((m, 3))
    for j in range(m):
        value[j] = worth[useful[j]]
        for r in range(3):
            need[j, r] = needs[r, useful[j]]
    if prices.size == 0:
        prices = _own_prices(value, need, free, asked) if m > 6 else np.zeros(3)  # trying all of a few is faster
    spare, bound = np.empty(m), prices[0] * free[0] + prices[1] * free[1] + prices[2] * free[2]
    for j in range(m):
        spare[j] = value[j] - prices[0] * need[j, 0] - prices[1] * need[j, 1] - prices[2] * need[j, 2]
        bound += max(spare[j], 0.0)
    order = np.argsort(-np.abs(spare), kind="mergesort")  # stable: of equals the lower index comes first
    value, need, spare = value[order], need[order], spare[order]
    again = np.zeros(m, dtype=np.bool_)
    for j in range(1, m):
        again[j] = value[j] == value[j - 1] and (need[j] == need[j - 1]).all()

    slack = 1e-12 * value.sum()
    most, fewest = 0.0, 0
    if start.size:
        best[:] = start
        for i in useful:
            if start[i]:
                most += worth[i]
                fewest += 1
    taken, tried = np.zeros(n, dtype=np.bool_), np.zeros(m + 1, dtype=np.int64)
    room, gained, lost = np.empty((m + 1, 3)), np.zeros(m + 1), np.zeros(m + 1)
    room[0] = free
    depth = visited = 0
    while depth >= 0:
        if depth == m:
            if gained[depth] >= most - slack:
                total, kept = 0.0, 0
                for i in useful:  # in index order, so that equal subsets have equal sums
                    if taken[i]:
                        total += worth[i]
                        kept += 1
                if total > most or (total == most and (kept < fewest or (kept == fewest and _lower(taken, best)))):
                    most, fewest = total, kept
                    best[:] = taken
            depth -= 1
            continue
        if tried[depth] == 2:
            depth -= 1
            continue
        visited += 1
        if visited > nodes:
            return best, bound - most
        take = (spare[depth] > 0) == (tried[depth] == 0)  # first as the prices have it, then against them
        loss = lost[depth] + (abs(spare[depth]) if tried[depth] else 0.0)
        tried[depth] += 1
        if bound - loss < most - slack:
            continue
        if take:
            if again[depth] and not taken[useful[order[depth - 1]]]:
                continue
            if need[depth, 0] > room[depth, 0] or need[depth, 1] > room[depth, 1] or need[depth, 2] > room[depth, 2]:
                continue
        taken[useful[order[depth]]] = take
        for r in range(3):
            room[depth + 1, r] = room[depth, r] - take * need[depth, r]
        gained[depth + 1] = gained[depth] + take * value[depth]
        lost[depth + 1] = loss
        depth += 1
        tried[depth] = 0
    return best, 0.0


@njit(cache=True)
def search(worth, needs, free, nodes):
    """All that is worth keeping where it fits, else the search from nothing, with prices of its own."""
    useful, a, b, c = np.zeros(worth.size, dtype=np.bool_), 0.0, 0.0, 0.0
    for i in range(worth.size):
        if worth[i] > 0 and needs[0, i] <= free[0] and needs[1, i] <= free[1] and needs[2, i] <= free[2]:
            useful[i] = True
            a, b, c = a + needs[0, i], b + needs[1, i], c + needs[2, i]
    if 0 <= a <= free[0] and 0 <= b <= free[1] and 0 <= c <= free[2]:
        return useful, 0.0
    if free.min() < 0:
        return useful, np.inf
    return _branch_and_bound(worth, needs, free, np.zeros(0), np.zeros(0, dtype=np.bool_), nodes)


@njit(cache=True)
def _own_prices(value, need, free, asked):
    """Prices (3,) that solve the continuous knapsack of one constraint: the best of each resource and of their weighted sum."""
    prices, least = np.zeros(3), np.inf
    weights, single = np.zeros((4, 3)), np.zeros(3)
    for r in range(3):
        if asked[r] > free[r]:
            weights[r, r] = single[r] = 1 / free[r]
    weights[3] = np.maximum(asked - free, 0.0) * single**2
    for c in range(4):
        weight = need @ weights[c]
        left = (weights[c] * free).sum()
        if weight.sum() <= left:
            continue
        density = 0.0
        for j in np.argsort(-value / np.maximum(weight, 1e-300), kind="mergesort"):
            left -= weight[j]
            if left < 0:
                density = value[j] / weight[j]
                break
        tried = density * weights[c]
        bound = (tried * free).sum() + np.maximum(value - need @ tried, 0.0).sum()
        if bound < least:
            prices, least = tried, bound
    return prices


@njit(cache=True)
def _lower(taken, best):
    """Is `taken` a lower index mask than `best`, the last index being the highest bit?"""
    for i in range(taken.size - 1, -1, -1):
        if taken[i] != best[i]:
            return best[i]
    return False
