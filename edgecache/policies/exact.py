"""Exact: the optimum of the very decision that the genetic algorithm searches, at any number of models.

Every deployed model pays either way: its eviction cost if it goes, its holding cost if it stays. So a decision is a knapsack of
three resources in which keeping a model is worth the difference; models worth nothing go at once, and branch and bound picks
among the others.
"""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import whole_number
from ..listing import POLICY_TABLE
from .contract import Decision
from .knapsack import NODES, best_subset


@dataclass(frozen=True)
class Exact:
    """The cheapest deployment at every miss; among equally cheap ones that of the fewest models, then of the lowest index mask.

    It is myopic: it plans this miss, not the next. A search that ends at `nodes` nodes warns of the gap that may remain.
    """

    nodes: int = NODES
    name: str = "exact"
    label: str = POLICY_TABLE["exact"].label
    knows: ClassVar[str] = POLICY_TABLE["exact"].knows
    about: str = POLICY_TABLE["exact"].about

    def __post_init__(self):
        whole_number("nodes of exact", self.nodes)

    def decide(self, decision: Decision) -> np.ndarray:
        """Bool (I,), the optimal deployment."""
        chosen, gap = self.solve(decision)
        if gap > 0:
            cost = float(decision.cost(chosen))
            warnings.warn(f"exact stopped after {self.nodes} nodes, within {gap / max(cost, gap):.2g} of the optimum", stacklevel=2)
        return chosen

    def solve(self, decision: Decision) -> tuple[np.ndarray, float]:
        """(The deployment, bool (I,), by how much its cost may exceed the optimum: 0 where that is proven)."""
        candidates, needs = decision.candidates, decision.prices.needs
        worth = (decision.eviction_cost - decision.holding_cost)[candidates]
        free = decision.prices.capacities - needs[:, decision.requested]
        chosen = np.zeros(len(decision.deployed), dtype=bool)
        chosen[candidates], gap = best_subset(worth, np.ascontiguousarray(needs[:, candidates]), free, self.nodes)
        chosen[decision.requested] = True
        return chosen, gap
