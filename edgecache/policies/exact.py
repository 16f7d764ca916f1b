"""Exact: the optimum of the decision that the genetic algorithm searches, at any number of models.

Every model pays either way: its leaving cost if it is not deployed, its holding cost if it is. So a decision is a knapsack of
three resources, in which deploying a model is worth the difference. Models worth nothing leave at once; branch and bound picks
among the others. The requested model takes its room in any case, while it is served. So where the reading `scope` lets it go
afterwards, that is a choice of its own.
"""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from ..accounting import Charges
from ..errors import whole_number
from ..listing import POLICY_TABLE
from .contract import Decision, Deployment
from .knapsack import FEW, NODES, best_subset, search
from .planner_tables import EXACT, PlannerTables, tables_of_estimates

CELLS = 4_000_000  # of a table of estimates, at most


@dataclass(frozen=True)
class Exact:
    """Choose the cheapest deployment at every miss, ties by fewest models, then by the lowest index mask.

    Exact is myopic: it plans this miss, not the next.

    Parameters
    ----------
    nodes : int
        Nodes of the branch and bound after which the search stops and warns of the gap that may remain.
    name, label, about : str
        What tables, figures and the command line call the policy, and what it is about.

    Raises
    ------
    InputError
        Where `nodes` is no whole number of at least 1.

    Examples
    --------
    >>> import edgecache as ec
    >>> round(ec.simulate(ec.Scenario(), ec.Exact()).means()["total_cost"], 3)
    21.517
    """

    nodes: int = NODES
    name: str = "exact"
    label: str = POLICY_TABLE["exact"].label
    knows: ClassVar[str] = POLICY_TABLE["exact"].knows
    about: str = POLICY_TABLE["exact"].about

    def __post_init__(self):
        whole_number("nodes of exact", self.nodes)

    def decide(self, decision: Decision) -> Deployment:
        """The optimal deployment, bool (I,)."""
        chosen, gap = self.solve(decision)
        if gap > 0:
            cost = float(decision.cost(chosen))
            warnings.warn(f"exact stopped after {self.nodes} nodes, within {gap / max(cost, gap):.2g} of the optimum", stacklevel=2)
        return chosen

    def solve(self, decision: Decision) -> tuple[Deployment, float]:
        """The deployment, bool (I,), and by how much its cost may exceed the optimum: 0 where that is proven."""
        candidates, needs = decision.candidates, decision.needs
        worth = decision.leaving_cost - decision.holding_cost
        free = decision.capacities - needs[:, decision.requested]
        chosen = np.zeros(len(decision.deployed), dtype=bool)
        chosen[candidates], gap = best_subset(worth[candidates], np.ascontiguousarray(needs[:, candidates]), free, self.nodes)
        chosen[decision.requested] = not decision.scenario.may_bypass or worth[decision.requested] > 0
        return chosen, gap

    def compiled(self, charges: Charges, rng: np.random.Generator) -> "ExactTables":
        """The planner of one run for the compiled loop."""
        return ExactTables(self, charges)


class ExactTables:
    """Exact for one run: the estimated eviction costs, as many requests at a time as fit in CELLS numbers."""

    def __init__(self, policy: Exact, charges: Charges):
        self.name, self.decide, self.charges = policy.name, policy.decide, charges
        self.few = min(policy.nodes, FEW)

    def tables(self, clock: int, decisions: int) -> tuple[PlannerTables, int]:
        """The tables for the decisions after request number `clock`, and the request number until which they hold."""
        charges, count = self.charges, len(self.charges.trace)
        last = min(count, clock + max(CELLS // len(charges.holding), 1))
        return tables_of_estimates(EXACT, charges, clock, last)._replace(nodes=self.few), last


@njit(cache=True)
def exact_decision(tables, estimate, deployed, requested, kept):
    """Fill `kept` (I,) with the optimal deployment; False where the search needs more than the tables' nodes."""
    may_stay = np.ones_like(deployed) if tables.may_prefetch else deployed.copy()
    may_stay[requested] = False
    candidates = np.flatnonzero(may_stay)
    needs, worth, free = np.empty((3, candidates.size)), np.empty(candidates.size), np.empty(3)
    for c in range(candidates.size):
        leaving = estimate[candidates[c]] if deployed[candidates[c]] or tables.charges_absence else 0.0
        worth[c] = leaving - tables.holding[candidates[c]]
        for r in range(3):
            needs[r, c] = tables.needs[r, candidates[c]]
    for r in range(3):
        free[r] = tables.capacities[r] - tables.needs[r, requested]
    chosen, gap = search(worth, needs, free, tables.nodes)
    kept[:] = False
    for c in range(candidates.size):
        kept[candidates[c]] = chosen[c]
    kept[requested] = not tables.may_bypass or estimate[requested] > tables.holding[requested]
    return gap == 0
