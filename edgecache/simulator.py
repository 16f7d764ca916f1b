"""The simulator: play a trace against a policy, request by request.

The compiled loop of loop.py serves the requests. At a miss it asks an eviction policy for ranks, or a planner of this package for
its decision, both in compiled code. Any other planner is a Python object whose `decide` is called, and checked, at every miss.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from .accounting import Charges
from .demand import Trace, random_stream
from .errors import InputError, PolicyError
from .loop import DONE, FULL, NOT_A_RANK, NOTHING, carry_out, play_planner, play_queue, play_ranks, play_rising_ranks, serve
from .policies import COMPILED, find_policy
from .policies.contract import (
    ABSENT,
    DEPLOYED,
    MODEL,
    ON_CLOUD,
    SERVER,
    Decision,
    Planner,
    Policy,
    planner_of,
)
from .policies.planner_tables import Compilable
from .policies.ranks import EvictionPolicy
from .results import CLOUD, HIT, MISS, Simulation
from .scenario import Scenario
from .workloads.contract import Demand
from .workloads.words import find_demand

# what is free on the server, and what a model needs of it
RESOURCES = {"storage_gb": "size_gb", "gpu_memory_gb": "gpu_memory_gb", "power_kw": "power_kw"}
Array = np.ndarray


def simulate(
    scenario: Scenario,
    policy: str | Policy,
    seed: np.random.SeedSequence | int = 0,
    trace: Trace | None = None,
    replication: int = 0,
    demand: str | Demand | None = None,
) -> Simulation:
    """Play one replication of a scenario with a policy.

    Parameters
    ----------
    scenario : Scenario
        The server, the demand and the readings.
    policy : str or Policy
        A name of POLICIES, or a policy of one's own.
    seed : SeedSequence or int
        Every policy faces the same trace under the same seed and replication.
    trace : Trace, optional
        Requests to play in place of those that the scenario's demand draws. Its own rate and slot length count.
    replication : int
        Number of the replication below the seed.
    demand : str or Demand, optional
        What draws the trace: a word such as `gamma:cv=4`, or an object; the paper's demand by default. See `workloads`.

    Returns
    -------
    Simulation

    Raises
    ------
    PolicyError
        Where the policy breaks the decision rule.
    InputError
        For an unknown policy, or a trace of another catalogue.

    Examples
    --------
    >>> import edgecache as ec
    >>> run = ec.simulate(ec.Scenario(), "lru")
    >>> round(run.means()["total_cost"], 2), len(run.evictions)
    (59.58, 52)
    """
    policy = find_policy(policy)
    if trace is not None and demand is not None:
        raise InputError("trace and demand are given; a run has one demand")
    return Game.of(scenario, seed, replication, trace, find_demand(demand)).play(policy)


@dataclass(frozen=True, eq=False)
class Game:
    """One replication of a scenario, ready for any number of policies: they share its trace and what its events cost."""

    charges: Charges
    policy_stream: np.random.SeedSequence

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        seed: np.random.SeedSequence | int = 0,
        replication: int = 0,
        trace: Trace | None = None,
        demand: str | Demand | None = None,
    ) -> Self:
        """The game of that seed and replication, on the trace given or on the one that the demand draws, the paper's by default."""
        drawn, stream = random_stream(seed, replication, 0), random_stream(seed, replication, 1)
        return cls(Charges.of(scenario, find_demand(demand).trace(scenario, drawn) if trace is None else trace), stream)

    def play(self, policy: Policy) -> Simulation:
        """Play the trace with a policy."""
        trace, state = self.charges.trace, _State.of(*self._empty_server, len(self.charges.trace))
        if isinstance(policy, EvictionPolicy):
            self._play_ranks(policy, len(trace), state)
            return self._simulation(policy.name, state)
        rng = np.random.default_rng(self.policy_stream)
        compiled = policy.compiled(self.charges, rng) if isinstance(policy, COMPILED) else None
        if compiled is not None:
            name = self._play_compiled(compiled, state)
        else:
            name = self._play_object(planner_of(policy, self.charges.scenario, trace), rng, state)
        return self._simulation(name, state)

    def _simulation(self, policy: str, state: "_State") -> Simulation:
        now = state.server[0]
        evictions, prefetches = state.evictions[: now["evictions"]].copy(), state.prefetches[: now["prefetches"]].copy()
        return Simulation(self.charges, policy, state.outcome, evictions, prefetches)

    def state_at(self, policy: EvictionPolicy, request: int) -> tuple[np.ndarray, np.ndarray]:
        """The models and the server just before a request (from 0), as the policy's rank sees them: MODEL (I + 1,), SERVER (1,)."""
        state = _State.of(*self._empty_server, request)
        self._play_ranks(policy, request, state)
        state.server["clock"] = request + 1
        return state.models, state.server

    @cached_property
    def _empty_server(self) -> tuple[np.ndarray, np.ndarray]:
        return empty_server(self.charges, self.policy_stream)

    def _play_ranks(self, policy: EvictionPolicy, last: int, state: "_State") -> None:
        """Play an eviction policy up to request number `last`.

        Raises PolicyError where a rank is no number, or wrote to the state that it ranks by.
        """
        models, server, outcome, evictions, _ = state.parts
        requests, by_request = self.charges.trace.model[:last], policy.queue == "request"
        if policy.rank is None:
            play_queue(requests, models, server, outcome, evictions, by_request)
        elif policy.rising:
            play_rising_ranks(requests, models, server, outcome, evictions, policy.rank)
        else:
            following = self.charges.trace.next_request[:last] if policy.offline else NOTHING
            ended = play_ranks(requests, following, models, server, outcome, evictions, policy.rank, by_request)
            if ended == NOT_A_RANK:
                raise PolicyError(f"policy {policy.name!r}, request {server['clock'][0]}: a rank is not a number (NaN)")
        held = models["place"][:-1] == DEPLOYED
        for (name, need), capacity in zip(RESOURCES.items(), self.charges.scenario.capacities, strict=True):
            if abs(server[name][0] + models[need][:-1][held].sum() - capacity) > 1e-6 * (1 + capacity):
                raise PolicyError(f"policy {policy.name!r} writes to the state it ranks by, and overfilled the server")

    def _play_compiled(self, planner: Compilable, state: "_State") -> str:
        """Play a planner of this package in the compiled loop, which leaves it the decisions that take long. Returns its name."""
        trace, decisions, clock = self.charges.trace, 0, 0
        while clock < len(trace):
            tables, last = planner.tables(clock, decisions)
            undecided = play_planner(trace.model[:last], *state.parts, tables)
            if undecided == FULL:
                state.make_room()
            elif undecided != DONE:
                self._decide(planner, undecided, state)
            outcome = state.outcome[clock : state.server["clock"][0]]
            decisions += int((outcome != CLOUD if self.charges.hits_decide else outcome == MISS).sum())
            clock = int(state.server["clock"][0])
        return planner.name

    def _play_object(self, planner: Planner, rng: np.random.Generator, state: "_State") -> str:
        """Play a planner that is a Python object, and check each of its decisions. Returns its name."""
        requests = self.charges.trace.model
        for stop in range(1, len(requests) + 1) if self.charges.hits_decide else [len(requests)]:
            while (requested := serve(requests[:stop], NOTHING, state.models, state.server, state.outcome, False)) != DONE:
                self._decide(planner, requested, state, rng)
            if self.charges.hits_decide and state.outcome[stop - 1] == HIT:
                self._decide(planner, int(requests[stop - 1]), state, rng)
        return planner.name

    def _decide(self, planner: Planner, requested: int, state: "_State", rng: np.random.Generator | None = None) -> None:
        """Let a planner decide at the miss of a model, check its decision, and carry it out."""
        models, server = state.models, state.server
        size, clock = models.size - 1, int(server["clock"][0])
        deployed = models["place"][:size] == DEPLOYED
        decision = Decision(
            self.charges,
            requested,
            deployed,
            models["requests"][:size].copy(),
            clock,
            int(self.charges.trace.slot[clock - 1]),
            rng or np.random.default_rng(0),  # compiled planners draw nothing where they leave a decision to this
        )
        chosen = np.array(decision.check(planner.decide(decision), planner.name))
        if server["prefetches"][0] + size > len(state.prefetches):
            state.make_room()
        carry_out(models, server, state.evictions, state.prefetches, np.array(deployed), requested, chosen)


@dataclass(eq=False)
class _State:
    """What the compiled loop reads and writes."""

    models: Array  # MODEL (I + 1,)
    server: Array  # SERVER (1,)
    outcome: Array  # uint8 (N,)
    evictions: Array  # log, one row (clock, model, requests) each
    prefetches: Array  # log, (clock, model)

    @classmethod
    def of(cls, models: Array, server: Array, requests: int) -> Self:
        """A copy of the state, with room to play so many requests."""
        logs = np.empty((requests, 3), dtype=np.int64), np.empty((0, 2), dtype=np.int64)
        return cls(models.copy(), server.copy(), np.empty(requests, dtype=np.uint8), *logs)

    @property
    def parts(self) -> tuple[Array, Array, Array, Array, Array]:
        """All of it."""
        return self.models, self.server, self.outcome, self.evictions, self.prefetches

    def make_room(self) -> None:
        """Make room for the prefetches of at least one more decision, and for evicting what they deploy."""
        rows = len(self.prefetches) + self.models.size
        self.prefetches = np.concatenate([self.prefetches, np.empty((rows, 2), dtype=np.int64)])
        self.evictions = np.concatenate([self.evictions, np.empty((rows, 3), dtype=np.int64)])


def empty_server(charges: Charges, stream: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """The state before the first request: MODEL (I + 1,) and SERVER (1,)."""
    scenario, c, size = charges.scenario, charges.scenario.catalogue, len(charges.scenario.catalogue)
    models, server = np.zeros(size + 1, dtype=MODEL), np.zeros(1, dtype=SERVER)
    models["index"] = np.arange(size + 1)
    models["ahead"][size] = models["behind"][size] = size
    for feature in ("size_gb", "gpu_memory_gb", "power_kw", "io_delay_s", "inference_delay_s"):
        models[feature][:size] = getattr(c, feature)
    models["fetch_delay_s"][:size] = charges.fetch_delay_s
    models["popularity"][:size] = charges.trace.popularity
    models["share"][:size] = (c.needs / scenario.capacities[:, None]).max(axis=0)
    models["place"][:size] = np.where(scenario.fits_empty_server, ABSENT, ON_CLOUD)
    server["seed"] = stream.generate_state(1, np.uint64)
    for free, capacity in zip(RESOURCES, scenario.capacities, strict=True):
        server[free] = capacity
    server["lfu_in_cache"] = scenario.lfu == "in_cache"
    return models, server
