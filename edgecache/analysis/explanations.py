"""Explain a decision: what was chosen, what the alternatives would have cost, what the bounds would have done, what was scarce."""

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape

import numpy as np
import pandas as pd

from ..demand import random_stream
from ..errors import InputError
from ..policies import POLICIES
from ..policies.contract import Decision
from ..policies.exact import Exact
from ..policies.knapsack import best_subset
from ..results import HIT, MISS, Simulation

ALL_SUBSETS = 8  # up to so many deployed models every alternative is listed, at most 256
STEPS = {"storage": (1.0, "GB"), "GPU memory": (1.0, "GB"), "power": (0.1, "kW")}  # by how much each capacity grows
COSTS = ("switching_cost", "resource_cost", "cost", "excess")
ALTERNATIVES = ("request", "requested", "kept", "evicted", *COSTS, "chosen", "chosen_by")
YARDSTICKS = ("exact", "optimal-online", "clairvoyant")


def explain(run: Simulation, slot: int) -> "Explanation":
    """Explain every decision, that is every miss, of a slot of a run. Raises InputError for a slot that the run does not have."""
    if isinstance(slot, bool) or not isinstance(slot, int | np.integer) or not 0 <= slot < run.trace.slots:
        raise InputError(f"slot is {slot!r}; the run has slots 0 to {run.trace.slots - 1}")
    missed = np.flatnonzero((run.outcome == MISS) & (run.trace.slot == slot))
    return Explanation(run, int(slot), tuple(decision_at(run, int(request)) for request in missed))


def decision_at(run: Simulation, request: int) -> Decision:
    """The decision at the miss of a request (from 0), as the policy met it."""
    trace, place = run.trace, int(np.searchsorted(run.misses, request))
    requests = np.bincount(trace.model[: request + 1], minlength=len(trace.popularity))
    rng = np.random.default_rng(0)  # no policy of the table that explains draws from it
    deployed = run.deployed_before[place].copy()
    return Decision(run.charges, int(trace.model[request]), deployed, requests, request + 1, int(trace.slot[request]), rng)


def evolution(run: Simulation, request: int, seed: np.random.SeedSequence | int = 0, replication: int = 0) -> pd.DataFrame:
    """How the GA came to its decision at the miss of a request: a row a generation, as `GA.evolve` logs it.

    `run` was simulated with `ga`, this seed and replication; the chances drawn here are those that the run drew. Raises InputError
    where the run is another policy's or the request was no miss.
    """
    ga = POLICIES["ga"]
    if run.policy != ga.name or not 0 <= request < len(run.trace) or run.outcome[request] != MISS:
        raise InputError(f"request {request} of {run.policy!r} is no decision of the GA's")
    rng = np.random.default_rng(random_stream(seed, replication, 1))
    rng.bit_generator.advance(int((run.outcome[:request] == MISS).sum()) * (ga.generations + 1) * ga.population)
    return pd.DataFrame(ga.evolve(replace(decision_at(run, request), rng=rng), record=True)[1])


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """The decisions of one slot. Print it, show it in a notebook, or take its tables `alternatives` and `resources`.

    Costs are those of the decision (eq. 11 for this miss), which GA and Exact minimise: they estimate the active cycle, and
    readings that book something else later (`charge = miss`, `active_cycle = actual`) do not change them.
    """

    run: Simulation
    slot: int
    decisions: tuple[Decision, ...]

    @cached_property
    def alternatives(self) -> pd.DataFrame:
        """One row a deployment that could have been chosen, the cheapest first.

        `request` (from 0), `kept` and `evicted`, the weighted `switching_cost` and `resource_cost`, their sum `cost`, its `excess`
        over the least, whether it was `chosen`, and `chosen_by`: this run's policy, exact, optimal-online, clairvoyant. Every
        subset where at most 8 models were deployed; beyond, the best in which each model stays and the best in which it goes.
        """
        names = np.array(self.run.scenario.catalogue.services, dtype=object)
        planners = self._yardsticks[0]
        tables = []
        for decision in self.decisions:
            chosen = self._chosen(decision)
            others = [(name, planner.decide(decision)) for name, planner in planners.items() if name != self.run.policy]
            choices = [(self.run.policy, chosen), *others]
            deployments = np.unique(np.vstack([*(choice for _, choice in choices), _alternatives(decision)]), axis=0)
            cost, resource = decision.cost(deployments), deployments @ decision.holding_cost
            stayed, gone = decision.deployed & deployments, decision.deployed & ~deployments
            table = pd.DataFrame(
                {
                    "request": decision.clock - 1,
                    "requested": names[decision.requested],
                    "kept": ["; ".join(names[row]) for row in stayed],
                    "evicted": ["; ".join(names[row]) for row in gone],
                    "switching_cost": cost - resource,
                    "resource_cost": resource,
                    "cost": cost,
                    "excess": cost - cost.min(),
                    "chosen": (deployments == chosen).all(axis=1),
                    "chosen_by": ["; ".join(name for name, choice in choices if (choice == row).all()) for row in deployments],
                }
            )
            tables.append(table.iloc[np.lexsort((deployments.sum(axis=1), cost))])
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=ALTERNATIVES)

    @cached_property
    def resources(self) -> pd.DataFrame:
        """One row a resource and decision: its capacity, what the chosen deployment uses, and what more of it would have saved.

        The shadow price is found by solving again with 1 GB (power: 0.1 kW) more: `saves` is how much less the optimal decision
        would have cost. A resource is `binding` where that is more than nothing.
        """
        rows = []
        for decision in self.decisions:
            used = decision.needs @ self._chosen(decision)
            least = decision.cost(Exact().decide(decision))
            for place, (resource, (step, unit)) in enumerate(STEPS.items()):
                more = decision.capacities.copy()
                more[place] += step
                larger = replace(decision, capacities=more)
                saves = float(least - larger.cost(Exact().decide(larger)))
                saves = saves if saves > 1e-9 * max(abs(least), 1e-300) else 0.0
                capacity = round(decision.capacities[place] / (1 + 1e-9), 9)
                rows.append((decision.clock - 1, resource, unit, capacity, used[place], step, saves, saves > 0))
        return pd.DataFrame(rows, columns=["request", "resource", "unit", "capacity", "used", "step", "saves", "binding"])

    @cached_property
    def _yardsticks(self) -> tuple[dict, list[str]]:
        """The planners to compare with, and why some are missing."""
        planners, missing = {"exact": Exact()}, []
        for name in YARDSTICKS[1:]:
            try:
                planner = POLICIES[name].prepare(self.run.scenario, self.run.trace)
                planners[planner.name] = planner
            except InputError as error:
                missing.append(str(error))
        return planners, missing

    def _chosen(self, decision: Decision) -> np.ndarray:
        gone = self.run.evictions[self.run.evictions[:, 0] == decision.clock, 1]
        chosen = decision.deployed.copy()
        chosen[decision.requested] = True
        chosen[gone] = False
        return chosen

    def __repr__(self) -> str:
        parts = [self._heading()]
        for decision in self.decisions:
            parts += [self._story(decision), self._shown(decision).to_string(index=False), self._scarcity(decision)]
        return "\n\n".join(parts + self._yardsticks[1] * bool(self.decisions))

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{escape(self._heading())}</b></p>"]
        for decision in self.decisions:
            table = self._shown(decision).to_html(index=False, border=0)
            parts.append(f"<p>{escape(self._story(decision))}</p>{table}<p>{self._scarcity(decision)}</p>")
        parts += [f"<p>{reason}</p>" for reason in self._yardsticks[1] * bool(self.decisions)]
        return "\n".join(parts)

    def _heading(self) -> str:
        here = self.run.trace.slot == self.slot
        counts = f"requests {here.sum()}, hits {(self.run.outcome[here] == HIT).sum()}, decisions {len(self.decisions)}"
        heading = f"Slot {self.slot}, policy {self.run.policy}: {counts}."
        if self.decisions:
            return heading
        slots = np.unique(self.run.trace.slot[self.run.outcome == MISS])
        after, before = slots[slots > self.slot][:1], slots[slots < self.slot][-1:]
        near = " and ".join(str(number) for number in [*before, *after])
        return heading + (f" Nothing was decided; nearest: slot {near}." if near else " Nothing was decided.")

    def _story(self, decision: Decision) -> str:
        names = self.run.scenario.catalogue.services
        table = self.alternatives[self.alternatives["request"] == decision.clock - 1]
        own = table[table["chosen"]].iloc[0]
        did = f"evicted {own['evicted']}" if own["evicted"] else "evicted nothing"
        kept = f"kept {own['kept']}" if own["kept"] else "kept nothing else"
        verdict = (
            "no alternative is cheaper"
            if own["excess"] <= 1e-9 * abs(own["cost"])
            else (f"the cheapest costs {table['cost'].min():.4g}, {own['excess']:.4g} less")
        )
        return (
            f"Request {decision.clock - 1} for {names[decision.requested]}, a miss. {self.run.policy} {did}, {kept}: "
            f"cost {own['cost']:.4g} = switching {own['switching_cost']:.4g} + resources {own['resource_cost']:.4g}; {verdict}."
        )  # fmt: skip

    def _shown(self, decision: Decision, most: int = 8) -> pd.DataFrame:
        """The cheapest alternatives and those that someone chose."""
        table = self.alternatives[self.alternatives["request"] == decision.clock - 1]
        table = table[(np.arange(len(table)) < most) | (table["chosen_by"] != "")]
        shown = table[["evicted", *COSTS, "chosen_by"]].copy()
        for column in COSTS:
            shown[column] = shown[column].map("{:.4g}".format)
        return shown.replace({"evicted": {"": "nothing"}, "chosen_by": {"": "-"}})

    def _scarcity(self, decision: Decision) -> str:
        rows = self.resources[self.resources["request"] == decision.clock - 1]
        use = ", ".join(f"{row.resource} {row.used:.4g} of {row.capacity:.4g} {row.unit}" for row in rows.itertuples())
        scarce = rows[rows["binding"]].itertuples()
        steps = [f"{row.step:g} {row.unit} more {row.resource}" for row in rows.itertuples()]
        saved = "; ".join(f"{row.step:g} {row.unit} more {row.resource} would have saved {row.saves:.4g}" for row in scarce)
        scarcity = f"Binding: {saved}." if saved else f"Nothing was binding: {' or '.join(steps)} would have saved nothing."
        return f"Used: {use}. {scarcity}"


def _alternatives(decision: Decision) -> np.ndarray:
    """Deployments that could be chosen, bool (A, I): all, or with many models the best with and without each."""
    candidates, needs = decision.candidates, decision.needs
    size, n = len(decision.deployed), len(candidates)
    if n <= ALL_SUBSETS:
        found = np.zeros((2**n, size), dtype=bool)
        found[:, candidates] = list(itertools.product([False, True], repeat=n))
        found[:, decision.requested] = True
        return found[decision.fits(found)]
    worth = (decision.eviction_cost - decision.holding_cost)[candidates]
    free = decision.capacities - needs[:, decision.requested]
    found = []
    for place, model in enumerate(candidates):
        others = np.delete(np.arange(n), place)
        for stays in (False, True):
            left = free - stays * needs[:, model]
            if (left >= 0).all():
                chosen = np.zeros(size, dtype=bool)
                chosen[candidates[others]], _ = best_subset(worth[others], np.ascontiguousarray(needs[:, candidates[others]]), left)
                chosen[[decision.requested, model]] = True, stays
                found.append(chosen)
    return np.array(found)
