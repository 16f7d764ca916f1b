"""What could have been decided at a miss: the allowed deployments, and what a larger server would have saved."""

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..policies.contract import Decision
from ..policies.exact import Exact
from ..policies.knapsack import best_subset

ALL_SUBSETS = 8  # up to so many models every alternative is listed, at most 512
STEPS = {"storage": (1.0, "GB"), "GPU memory": (1.0, "GB"), "power": (0.1, "kW")}  # by how much each capacity grows
USE = ["request", "resource", "unit", "capacity", "held", "asked", "short_by", "used", "step", "saves", "binding"]


def resource_use(decision: Decision, chosen: NDArray[np.bool_]) -> list[tuple]:
    """Compute one row of the columns USE per resource, for the deployment that was chosen; see `Explanation.resources`."""
    scenario, needs, capacities = decision.scenario, decision.needs, decision.capacities
    held, asked, used = needs @ decision.deployed, needs[:, decision.requested], needs @ chosen
    least, rows = float(decision.cost(Exact().decide(decision))), []
    limits = (scenario.storage_gb, scenario.gpu_memory_gb, scenario.power_budget_kw)
    for place, (resource, (step, unit)) in enumerate(STEPS.items()):
        more = capacities.copy()
        more[place] += step
        larger = replace(decision, capacities=more)
        saves = least - float(larger.cost(Exact().decide(larger)))
        saves = saves if saves > 1e-9 * max(abs(least), 1e-300) else 0.0
        wanted = held[place] + asked[place]
        short_by = wanted - limits[place] if wanted > capacities[place] else 0.0
        use = (limits[place], held[place], asked[place], short_by, used[place])
        rows.append((decision.clock - 1, resource, unit, *use, step, saves, saves > 0))
    return rows


def allowed_deployments(decision: Decision) -> NDArray[np.bool_]:
    """List the deployments that could be chosen, (A, I): all, or with many models the best with each and the best without it."""
    kept = _beside_the_requested(decision)
    kept[:, decision.requested] = True
    if not decision.scenario.may_bypass:
        return kept
    gone = kept.copy()
    gone[:, decision.requested] = False
    return np.concatenate([kept, gone])


def _beside_the_requested(decision: Decision) -> NDArray[np.bool_]:
    """What may be deployed beside the requested model, (A, I)."""
    candidates, needs = decision.candidates, decision.needs
    size, n = len(decision.deployed), len(candidates)
    if n <= ALL_SUBSETS:
        subsets = np.zeros((2**n, size), dtype=bool)
        subsets[:, candidates] = list(itertools.product([False, True], repeat=n))
        return subsets[decision.fits(subsets)]
    worth = (decision.leaving_cost - decision.holding_cost)[candidates]
    free = decision.capacities - needs[:, decision.requested]
    best = []
    for place, model in enumerate(candidates):
        others = np.delete(np.arange(n), place)
        for stays in (False, True):
            left = free - stays * needs[:, model]
            if (left >= 0).all():
                chosen = np.zeros(size, dtype=bool)
                chosen[candidates[others]], _ = best_subset(worth[others], np.ascontiguousarray(needs[:, candidates[others]]), left)
                chosen[model] = stays
                best.append(chosen)
    return np.array(best)
