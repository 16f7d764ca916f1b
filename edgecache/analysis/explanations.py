"""Explain a decision: why an eviction was needed, what each alternative costs, what the optimum and the bounds choose."""

from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..demand import random_stream
from ..errors import InputError
from ..policies.clairvoyant import Clairvoyant
from ..policies.contract import Decision
from ..policies.exact import Exact
from ..policies.genetic import GA
from ..policies.optimal_online import OptimalOnline
from ..results import HIT, MISS, Simulation
from . import reasons
from .alternatives import USE, allowed_deployments, resource_use

COSTS = ["switching_cost", "resource_cost", "cost", "excess"]
ALTERNATIVES = ["request", "requested", "without_room", "kept", "evicted", "prefetched", *COSTS, "chosen", "chosen_by"]


def explain(run: Simulation, slot: int) -> "Explanation":
    """Explain every decision of a slot, that is, every miss.

    Parameters
    ----------
    run
        What `simulate` returned.
    slot
        The slot, from 0.

    Returns
    -------
    Explanation
        Print it, show it in a notebook, or take its tables.

    Raises
    ------
    InputError
        For a slot that the run does not have.

    Examples
    --------
    >>> from edgecache import Scenario, simulate
    >>> print(explain(simulate(Scenario(slots=3), "lru"), 1))  # doctest: +ELLIPSIS
    Slot 1, policy lru: requests 1, hits 0, decisions 1.
    ...
    """
    if isinstance(slot, bool) or not isinstance(slot, int | np.integer) or not 0 <= slot < run.trace.slots:
        raise InputError(f"slot is {slot!r}; the run has slots 0 to {run.trace.slots - 1}")
    missed = np.flatnonzero((run.outcome == MISS) & (run.trace.slot == slot))
    return Explanation(run, int(slot), tuple(decision_at(run, int(request)) for request in missed))


def decision_at(run: Simulation, request: int) -> Decision:
    """Rebuild the decision that the policy met.

    Parameters
    ----------
    run
        What `simulate` returned.
    request
        The request, from 0, a miss.

    Returns
    -------
    Decision
        What was deployed and requested then. Its random numbers are not those of the run.

    Examples
    --------
    >>> from edgecache import Scenario, simulate
    >>> decision_at(simulate(Scenario(slots=3), "lru"), 0).deployed.any()
    np.False_
    """
    trace, place = run.trace, int(np.searchsorted(run.misses, request))
    requests = np.bincount(trace.model[: request + 1], minlength=len(trace.popularity))
    rng = np.random.default_rng(0)  # no policy of the table that explains draws from it
    deployed = run.deployed_before[place].copy()
    return Decision(run.charges, int(trace.model[request]), deployed, requests, request + 1, int(trace.slot[request]), rng)


def evolution(run: Simulation, request: int, seed: np.random.SeedSequence | int = 0, replication: int = 0) -> pd.DataFrame:
    """Log how the GA came to its decision.

    Parameters
    ----------
    run
        What `simulate` returned for the policy `ga`.
    request
        The request, from 0, a miss.
    seed, replication
        Those of the run; so the random numbers are those that the run drew.

    Returns
    -------
    DataFrame
        One row per generation, as `GA.evolve` logs it.

    Raises
    ------
    InputError
        Where the run is another policy's, or the request was no miss.

    Examples
    --------
    >>> from edgecache import Scenario, simulate
    >>> evolution(simulate(Scenario(slots=3), "ga"), 0)["generation"].tolist()[:3]
    [0, 1, 2]
    """
    ga = GA()
    if run.policy != ga.name or not 0 <= request < len(run.trace) or run.outcome[request] != MISS:
        raise InputError(f"request {request} of {run.policy!r} is no decision of the GA")
    bits = np.random.PCG64(random_stream(seed, replication, 1))
    bits.advance(int((run.outcome[:request] == MISS).sum()) * (ga.generations + 1) * ga.population)
    return pd.DataFrame(ga.evolve(replace(decision_at(run, request), rng=np.random.Generator(bits)), record=True)[1])


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """The decisions of one slot, explained.

    Parameters
    ----------
    run
        What `simulate` returned.
    slot
        The slot, from 0.
    decisions
        One per miss of the slot, in order.

    Notes
    -----
    Under `decides = request` planners decide at hits too; these decisions are not explained.

    Costs are those of the decision, eq. 11 for this miss, which GA and Exact minimise. They estimate the active cycle; readings
    that book something else later (`charge = miss`, `active_cycle = actual`) do not change them. Requests are counted from 0.
    """

    run: Simulation
    slot: int
    decisions: tuple[Decision, ...]

    @cached_property
    def reasons(self) -> pd.DataFrame:
        """How the policy sees the deployed models: one row per decision and deployed model, the first to evict first.

        `request`, `requested`, `model`, whether it was `evicted`, its last use (`last_request`, `last_slot`), the number of
        `requests` for it, the request that deployed it (`deployed_since`), its `eviction_cost`, its `holding_cost`, and its `rank`
        where the policy has one. The last use is -1 for a model that was prefetched and never requested.
        """
        rows = [row for decision in self.decisions for row in reasons.models_seen(self.run, decision, self._chosen(decision))]
        return pd.DataFrame(rows, columns=reasons.columns_of(self.run))

    @cached_property
    def alternatives(self) -> pd.DataFrame:
        """The deployments that could have been chosen: one row per decision and deployment, the cheapest first.

        `request`, `requested`, the resources `without_room` for it, `kept`, `evicted` and `prefetched` models, the weighted
        `switching_cost` and `resource_cost`, their sum `cost`, its `excess` over the least, whether it was `chosen`, and
        `chosen_by`: this run's policy, exact, optimal-online, clairvoyant. It has every deployment where at most 8 models may
        stay or be prefetched. Beyond, it has the best deployment with each model and the best without it.
        """
        tables = [self._alternatives(decision) for decision in self.decisions]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=ALTERNATIVES)

    @cached_property
    def resources(self) -> pd.DataFrame:
        """The server's use: one row per decision and resource.

        Its `capacity`; what the deployed models `held`, what the requested model `asked`, and by how much both together exceed the
        capacity, `short_by`; what the chosen deployment `used`. Its shadow price: how much less the optimal decision would have
        cost with a `step` more of it, `saves`. It is `binding` where that is more than nothing.
        """
        rows = [row for decision in self.decisions for row in resource_use(decision, self._chosen(decision))]
        return pd.DataFrame(rows, columns=USE)

    def _alternatives(self, decision: Decision) -> pd.DataFrame:
        names = np.array(self.run.scenario.catalogue.services, dtype=object)
        chosen = self._chosen(decision)
        others = [(name, planner.decide(decision)) for name, planner in self._planners[0].items() if name != self.run.policy]
        choices = [(self.run.policy, chosen), *others]
        deployments = np.unique(np.vstack([*(choice for _, choice in choices), allowed_deployments(decision)]), axis=0)
        cost, resource = decision.cost(deployments), deployments @ decision.holding_cost
        had = decision.deployed.copy()
        had[decision.requested] = True  # while it is served
        short = self.resources[(self.resources["request"] == decision.clock - 1) & (self.resources["short_by"] > 0)]
        table = pd.DataFrame(
            {
                "request": decision.clock - 1,
                "requested": names[decision.requested],
                "without_room": "; ".join(short["resource"]),
                "kept": ["; ".join(names[row]) for row in decision.deployed & deployments],
                "evicted": ["; ".join(names[row]) for row in had & ~deployments],
                "prefetched": ["; ".join(names[row]) for row in deployments & ~had],
                "switching_cost": cost - resource,
                "resource_cost": resource,
                "cost": cost,
                "excess": cost - cost.min(),
                "chosen": (deployments == chosen).all(axis=1),
                "chosen_by": ["; ".join(name for name, choice in choices if (choice == row).all()) for row in deployments],
            }
        )
        return table.iloc[np.lexsort((deployments.sum(axis=1), cost))]

    @cached_property
    def _planners(self) -> tuple[dict[str, Any], list[str]]:
        """The planners to compare with, and why some are missing."""
        planners: dict[str, Any] = {"exact": Exact()}
        missing = []
        for bound in (OptimalOnline(), Clairvoyant()):
            try:
                planner = bound.prepare(self.run.scenario, self.run.trace)
                planners[planner.name] = planner
            except InputError as error:
                missing.append(str(error))
        return planners, missing

    def _chosen(self, decision: Decision) -> NDArray[np.bool_]:
        """The deployment that the policy chose."""
        chosen = decision.deployed.copy()
        chosen[decision.requested] = True
        chosen[self.run.prefetches[self.run.prefetches[:, 0] == decision.clock, 1]] = True
        chosen[self.run.evictions[self.run.evictions[:, 0] == decision.clock, 1]] = False
        return chosen

    def __repr__(self) -> str:
        parts = [self._heading()]
        for decision in self.decisions:
            parts += ["\n".join(self._story(decision)), self._shown(decision).to_string(index=False), self._scarcity(decision)]
        return "\n\n".join(parts + self._planners[1] * bool(self.decisions))

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{escape(self._heading())}</b></p>"]
        for decision in self.decisions:
            parts += [
                f"<p>{'<br/>'.join(map(escape, self._story(decision)))}</p>",
                self._shown(decision).to_html(index=False, border=0),
            ]
            parts.append(f"<p>{escape(self._scarcity(decision))}</p>")
        return "\n".join(parts + [f"<p>{escape(reason)}</p>" for reason in self._planners[1] * bool(self.decisions)])

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

    def _story(self, decision: Decision) -> list[str]:
        """Say why an eviction was needed, how the policy chose, and what that costs; a sentence or two each."""
        request, policy = decision.clock - 1, self.run.policy
        use = self.resources[self.resources["request"] == request]
        short = [
            f"{row.resource}: {row.held:.4g} {row.unit} held + {row.asked:.4g} {row.unit} requested > {row.capacity:.4g} {row.unit}"
            for row in use[use["short_by"] > 0].itertuples()
        ]
        room = f"There is no room. {'; '.join(short)}." if short else "There is room for it beside all deployed models."
        seen = reasons.sentence(self.run, self.reasons[self.reasons["request"] == request].to_dict("records"))
        table = self.alternatives[self.alternatives["request"] == request]
        chosen = table[table["chosen"]].iloc[0]
        evicted, kept, prefetched = (chosen[which].replace("; ", ", ") for which in ("evicted", "kept", "prefetched"))
        did = f"{policy} evicted {evicted or 'nothing'} and kept {kept or 'nothing else'}"
        did += f", and prefetched {prefetched}" if prefetched else ""
        parts = f"switching {chosen['switching_cost']:.4g} + resources {chosen['resource_cost']:.4g}"
        verdict = "No alternative is cheaper."
        if chosen["excess"] > 1e-9 * abs(chosen["cost"]):
            verdict = f"The cheapest alternative costs {table['cost'].min():.4g}, {chosen['excess']:.4g} less."
        service = self.run.scenario.catalogue.services[decision.requested]
        first = f"Request {request} for {service}, a miss. {room}"
        return [first, *filter(None, [seen]), f"{did}. That costs {chosen['cost']:.4g} = {parts}. {verdict}"]

    def _shown(self, decision: Decision, most: int = 8) -> pd.DataFrame:
        """The cheapest alternatives and those that someone chose."""
        table = self.alternatives[self.alternatives["request"] == decision.clock - 1]
        table = table[(np.arange(len(table)) < most) | (table["chosen_by"] != "")]
        prefetched = ["prefetched"] if self.run.scenario.may_prefetch else []
        shown = table[["evicted", *prefetched, *COSTS, "chosen_by"]].copy()
        for column in COSTS:
            shown[column] = shown[column].map("{:.4g}".format)
        return shown.replace({"evicted": {"": "nothing"}, "prefetched": {"": "nothing"}, "chosen_by": {"": "-"}})

    def _scarcity(self, decision: Decision) -> str:
        rows = self.resources[self.resources["request"] == decision.clock - 1]
        use = ", ".join(f"{row.resource} {row.used:.4g} of {row.capacity:.4g} {row.unit}" for row in rows.itertuples())
        scarce = rows[rows["binding"]].itertuples()
        steps = [f"{row.step:g} {row.unit} more {row.resource}" for row in rows.itertuples()]
        saved = "; ".join(f"{row.step:g} {row.unit} more {row.resource} would have saved {row.saves:.4g}" for row in scarce)
        scarcity = f"Binding: {saved}." if saved else f"Nothing was binding: {' or '.join(steps)} would have saved nothing."
        return f"Used: {use}. {scarcity}"
