"""Rules that choose the whole set that stays loaded: llama-swap's groups and its solver, and the planners of the package."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..accounting import Charges
from ..demand import Trace
from ..errors import InputError, unknown
from ..policies import find_policy
from ..policies.contract import Decision, Planner, Policy, planner_of
from ..scenario import Scenario
from .arrivals import Arrivals
from .models import ServedModels, Server

Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SwapSets:
    """Choose among sets of models that may run together, at the least cost of what must stop: llama-swap's solver.

    Of the sets with the requested model, the one counts whose absent models that run cost least to stop, the first of equals. A
    model that is in no set runs alone.

    Parameters
    ----------
    services : sequence of str
        The models, in the order of the catalogue.
    sets : sequence of collections of str
        Models that may run together; so may any part of them.
    evict_costs : dict of str to float, optional
        What it costs to stop a model; 1 where nothing is said.
    name : str
        What tables call the rule.

    Examples
    --------
    >>> rule = SwapSets(["chat", "code", "speech"], [["chat", "speech"], ["code"]])
    >>> rule.choose(1, np.array([True, False, True]), np.zeros(3, int)).tolist()
    [False, True, False]

    Notes
    -----
    mostlygeek/llama-swap, config.example.yaml, `matrix`: solver behaviour, steps 1 to 6.
    """

    services: Sequence[str]
    sets: Sequence[Collection[str]]
    evict_costs: Mapping[str, float] | None = None
    name: str = "llama-swap-solver"

    def __post_init__(self) -> None:
        for service in (*(name for group in self.sets for name in group), *(self.evict_costs or {})):
            if service not in self.services:
                raise unknown("model of a set", service, self.services)

    def choose(self, requested: int, loaded: Chosen, requests: npt.NDArray[np.int64]) -> Chosen:
        """The requested model with those of the cheapest set that run, bool (I,)."""
        costs = np.array([(self.evict_costs or {}).get(service, 1.0) for service in self.services])
        best, least = np.zeros(len(self.services), dtype=bool), np.inf
        for group in self.sets:
            members = np.isin(self.services, list(group))
            cost = costs[loaded & ~members].sum()
            if members[requested] and cost < least:
                best, least = members, cost
        kept = loaded & best
        kept[requested] = True
        return kept


@dataclass(frozen=True)
class SwapGroup:
    """A group of llama-swap.

    Parameters
    ----------
    members : collection of str
        Its models.
    swap : bool
        Only one of its models runs at a time.
    exclusive : bool
        Running one of its models stops all other groups, but persistent ones.
    persistent : bool
        Other groups do not stop its models.

    Examples
    --------
    >>> SwapGroup(["chat", "code"]).exclusive
    True
    """

    members: Collection[str]
    swap: bool = True
    exclusive: bool = True
    persistent: bool = False


@dataclass(frozen=True)
class SwapGroups:
    """Choose by the groups of llama-swap; models of no group form one that swaps and is exclusive.

    Parameters
    ----------
    services : sequence of str
        The models, in the order of the catalogue.
    groups : sequence of SwapGroup
        Groups, no model in two.
    name : str
        What tables call the rule.

    Examples
    --------
    >>> rule = SwapGroups(["chat", "code", "speech"], [SwapGroup(["speech"], persistent=True)])
    >>> rule.choose(1, np.array([True, False, True]), np.zeros(3, int)).tolist()
    [False, True, True]

    Notes
    -----
    mostlygeek/llama-swap, configuration of groups: swap, exclusive, persistent.
    """

    services: Sequence[str]
    groups: Sequence[SwapGroup]
    name: str = "llama-swap-groups"

    def __post_init__(self) -> None:
        members = [service for group in self.groups for service in group.members]
        for service in members:
            if service not in self.services:
                raise unknown("model of a group", service, self.services)
            if members.count(service) > 1:
                raise InputError(f"the model {service!r} is in two groups; it may be in one")

    def choose(self, requested: int, loaded: Chosen, requests: npt.NDArray[np.int64]) -> Chosen:
        """The requested model with those that its group, and others, let run, bool (I,)."""
        named = {service for group in self.groups for service in group.members}
        rest = SwapGroup([service for service in self.services if service not in named])
        own = next(group for group in (*self.groups, rest) if self.services[requested] in group.members)
        kept = loaded.copy()
        for group in (*self.groups, rest):
            members = np.isin(self.services, list(group.members))
            if (group is own and own.swap) or (group is not own and own.exclusive and not group.persistent):
                kept &= ~members
        kept[requested] = True
        return kept


class PlannedServing:
    """A planner of the package (`ga`, `exact`, `optimal-online`, ...) that decides which models stay in GPU memory.

    Parameters
    ----------
    policy : str or Policy
        The planner.
    server, models, arrivals
        Whom it plans for. A policy that knows the popularity knows that of these arrivals.
    slot_length_s : float
        Length of the time slots that it counts in.
    reading : str
        The named reading whose costs it minimises.

    Raises
    ------
    InputError
        For a policy that is no planner, and for models with pins, priorities or bases, which planners do not know.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.serving import Arrivals, serve
    >>> models, server = ServedModels(ec.load_catalogue()), Server(gpu_memory_gb=6)
    >>> arrivals = Arrivals([0.0, 100.0, 200.0], [0, 1, 2], [4, 1, 15])
    >>> serve(server, models, arrivals, PlannedServing("ga", server, models, arrivals)).wait_s.round(2).tolist()
    [40.37, 1.8, 12.95]
    """

    def __init__(
        self,
        policy: str | Policy,
        server: Server,
        models: ServedModels,
        arrivals: Arrivals,
        slot_length_s: float = 60.0,
        reading: str = "delay",
    ):
        if models.pinned.any() or (models.base >= 0).any() or (models.priority != models.priority[0]).any():
            raise InputError("planners know neither pinned models, priorities nor bases; choose an eviction policy")
        limits = [min(limit, 1e9) for limit in (server.disk_gb, server.gpu_memory_gb, server.power_budget_kw, server.link_gbps)]
        slot = (arrivals.time_s // slot_length_s).astype(int)
        slots = int(slot[-1]) + 1 if len(slot) else 1
        scenario = Scenario.named(
            reading, catalogue=models.catalogue, storage_gb=limits[0], gpu_memory_gb=limits[1], energy_capacity_kw=limits[2],
            static_power_kw=0.0, bandwidth_gbps=limits[3], slots=slots, slot_length_s=slot_length_s,
        )  # fmt: skip
        trace = Trace(slot, arrivals.model, slots, catalogue=models.catalogue, slot_length_s=slot_length_s)
        planner: Any = planner_of(find_policy(policy), scenario, trace)
        if not isinstance(planner, Planner):
            raise InputError(f"{planner.name!r} is no planner")
        self.name, self.planner, self.charges = planner.name, planner, Charges.of(scenario, trace)
        self.rng = np.random.default_rng(0)

    def choose(self, requested: int, loaded: Chosen, requests: npt.NDArray[np.int64]) -> Chosen:
        """The deployment that the planner decides on, checked, bool (I,)."""
        clock = int(requests.sum())
        slot = int(self.charges.trace.slot[clock - 1])
        decision = Decision(self.charges, requested, loaded, requests.copy(), clock, slot, self.rng)
        return decision.check(self.planner.decide(decision), self.name)
