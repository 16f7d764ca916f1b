"""What a policy sees: the state that eviction policies rank by, and the decision that planners take at a miss."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numba import from_dtype, njit, types

from ..costs import active_cycle, deployment_cost, eviction_cost, switching_delay_s, total_cost
from ..demand import Trace
from ..errors import PolicyError, unknown, whole_number
from ..scenario import Scenario
from .deployments import LIMIT

# One record a model, what the loop touches most in front. Times are request numbers: the first request is 1, and 0 means never.
MODEL = np.dtype(
    [
        ("index", np.int64),
        ("place", np.int64),  # DEPLOYED, ABSENT or ON_CLOUD
        ("ahead", np.int64),  # neighbours in the queue of deployed models
        ("behind", np.int64),
        ("requests", np.int64),  # so far, the present one included
        ("requests_in_cache", np.int64),  # since it was deployed, the one that deployed it included
        ("last_request", np.int64),
        ("previous_request", np.int64),  # the one before the last
        ("next_request", np.int64),  # books.NEVER if there is none; kept for policies that are `offline`, else 0
        ("aging", np.float64),  # the server's aging at the model's last request
        ("size_gb", np.float64),
        ("gpu_memory_gb", np.float64),
        ("power_kw", np.float64),
        ("deployed_since", np.int64),
        ("io_delay_s", np.float64),
        ("inference_delay_s", np.float64),
        ("fetch_delay_s", np.float64),  # 8 s / B + l: what a miss waits more than a hit
        ("share", np.float64),  # of the empty server: the largest of its shares of storage, GPU memory and power
        ("popularity", np.float64),  # the true share of requests
    ],
    align=True,
)

# One record for the server.
SERVER = np.dtype(
    [
        ("clock", np.int64),  # requests so far, the present one included
        ("aging", np.float64),  # rank of the last evicted model, 0 before any
        ("seed", np.uint64),  # of the policy's random numbers
        ("evictions", np.int64),  # so far
        ("storage_gb", np.float64),  # still free
        ("gpu_memory_gb", np.float64),
        ("power_kw", np.float64),
        ("lfu_in_cache", np.int64),  # the reading `lfu`: 1 where counts start anew in the cache
    ],
    align=True,
)
MODEL_TYPE, SERVER_TYPE = from_dtype(MODEL), from_dtype(SERVER)
RANK_TYPE = types.float64(MODEL_TYPE, SERVER_TYPE)  # of a ranking function, see policies.py


@njit(types.float64(types.uint64, types.int64), cache=True)
def chance(word, draw):
    """A uniform number in [0, 1): draw number `draw` of the stream that the random `word` names.

    SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014) on a counter: compiled code then needs no generator, whose
    passing takes longer than a whole generation of the GA.
    """
    z = word + np.uint64(draw + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@dataclass(frozen=True, eq=False)
class Prices:
    """What a run's decisions have in common: computed once a run."""

    scenario: Scenario
    switching_delay_s: np.ndarray  # d = (4) + (5) + (6), (I,)
    holding_cost: np.ndarray  # w2 times the resource cost of each model, (I,)
    needs: np.ndarray  # GB, GB and kW of each model, (3, I)
    capacities: np.ndarray  # (3,)
    popularity: np.ndarray  # the true one, (I,)

    def __post_init__(self):
        for array in (self.switching_delay_s, self.holding_cost, self.needs, self.capacities, self.popularity):
            array.flags.writeable = False

    @classmethod
    def of(cls, scenario: Scenario, popularity: np.ndarray) -> "Prices":
        c = scenario.catalogue
        return cls(
            scenario,
            switching_delay_s(scenario),
            total_cost(0.0, deployment_cost(scenario, np.eye(len(c))), scenario.w1, scenario.w2),
            np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw]),
            scenario.capacities,
            popularity,
        )


@dataclass(frozen=True, eq=False)
class Decision:
    """A miss: model `requested` must be deployed, and which of the `deployed` models stay is to be decided.

    A planner's `decide(decision)` returns the deployment it chooses as bool (I,): the requested model, and any of the deployed
    ones that fit beside it. Arrays are (I,) and read-only; `rng` is the planner's own stream of random numbers.
    """

    prices: Prices
    requested: int
    deployed: np.ndarray
    requests: np.ndarray  # n_i so far, the present request included
    clock: int  # n, likewise
    slot: int
    rng: np.random.Generator

    def __post_init__(self):
        self.deployed.flags.writeable = False  # a planner that changed it in place would decide on what never was
        self.requests.flags.writeable = False

    @property
    def scenario(self) -> Scenario:
        return self.prices.scenario

    @cached_property
    def eviction_cost(self) -> np.ndarray:
        """What evicting each model costs, w1 d / a, (I,)."""
        p = self.prices
        cycle = active_cycle(p.scenario, self.requests, self.clock, self.slot, p.popularity)
        cost = total_cost(eviction_cost(p.switching_delay_s, cycle), 0.0, p.scenario.w1, p.scenario.w2)
        cost.flags.writeable = False
        return cost

    @property
    def holding_cost(self) -> np.ndarray:
        """What keeping each model costs, w2 (s + beta g), (I,)."""
        return self.prices.holding_cost

    @property
    def leaving_cost(self) -> np.ndarray:
        """What each model costs when it is not in the new deployment: `eviction_cost` where it is charged, else 0, (I,)."""
        if self.scenario.charge == "absence":
            return self.eviction_cost
        return np.where(self.deployed, self.eviction_cost, 0.0)

    @property
    def candidates(self) -> np.ndarray:
        """Indices, ascending, of the models that may stay or go: the deployed ones (the requested one is not)."""
        return np.flatnonzero(self.deployed)

    def cost(self, deployment: np.ndarray) -> np.ndarray:
        """(11) for this decision, deployments bool (..., I): w1 d / a over what is evicted plus w2 times the resource cost.

        Under `charge = absence` the sum runs over every model that is not deployed, not the evicted ones alone.
        """
        deployment = np.asarray(deployment, dtype=bool)
        return deployment @ self.holding_cost + ~deployment @ self.leaving_cost

    def fits(self, deployment: np.ndarray) -> np.ndarray:
        """(1) to (3) for deployments bool (..., I)."""
        return (np.asarray(deployment, dtype=bool) @ self.prices.needs.T <= self.prices.capacities).all(axis=-1)

    def check(self, deployment: np.ndarray, policy: str) -> np.ndarray:
        """The deployment as bool (I,). Raises PolicyError, saying which rule it breaks, if it is not allowed."""
        chosen, returned = deployment, "a sequence of sequences of unequal length"
        with suppress(ValueError):
            chosen = np.asarray(deployment)
            returned = (chosen.dtype, chosen.shape)
        if returned != (np.dtype(bool), self.deployed.shape):
            said = returned if isinstance(returned, str) else f"{returned[0]} of shape {returned[1]}"
            raise self._refused(policy, f"decide() returned {said}; it must return bool of shape {self.deployed.shape}")
        if not chosen[self.requested]:
            raise self._refused(policy, "the requested model is not in the chosen deployment")
        alien = chosen & ~self.deployed
        alien[self.requested] = False
        if alien.any():
            raise self._refused(policy, f"{self.name(alien.argmax())} was neither deployed nor requested and cannot be deployed")
        if not self.fits(chosen):
            used = self.prices.needs @ chosen
            s = self.scenario
            raise self._refused(
                policy,
                f"the chosen deployment takes {used[0]:.6g} GB storage, {used[1]:.6g} GB GPU memory and {used[2]:.6g} kW; "
                f"the server has {s.storage_gb:g} GB, {s.gpu_memory_gb:g} GB and {s.power_budget_kw:g} kW",
            )
        return chosen

    def _refused(self, policy: str, why: str) -> PolicyError:
        return PolicyError(f"policy {policy!r}, request {self.clock} (for {self.name(self.requested)}): {why}")

    def name(self, model: int) -> str:
        """The service's name."""
        return repr(self.scenario.catalogue.services[model])


pass


@runtime_checkable
class Policy(Protocol):
    """What every policy has: the `name` it goes by in tables and on the command line."""

    name: str


def prepared(policy: Policy, scenario: Scenario, trace: Trace) -> Policy:
    """The planner that `policy.prepare` makes for one run. Raises PolicyError where it is none."""
    planner = policy.prepare(scenario, trace)
    if not (isinstance(getattr(planner, "name", None), str) and callable(getattr(planner, "decide", None))):
        raise PolicyError(f"policy {policy.name!r}: prepare() returned {planner!r}, which is no planner with a name and decide()")
    return planner


pass


def aim(scenario: Scenario, goal: str) -> Scenario:
    """The scenario whose cost is the goal: the paper's `cost`, or the `delay` that misses add, the sum of their 8 s / B + l."""
    return scenario if goal == "cost" else scenario.vary(charge="miss", w1=1.0, w2=0.0, resource_basis="slot")


@dataclass(frozen=True)
class Bound:
    """A policy that some goal bounds: the paper's `cost`, or with other names the `delay`."""

    goal: str = "cost"
    limit: int = LIMIT
    name: str = ""
    label: str = ""
    about: str = ""
    names: ClassVar[dict[str, tuple[str, str, str]]]  # by goal: name, label and about

    def __post_init__(self):
        if self.goal not in self.names:
            raise unknown("goal", self.goal, self.names)
        whole_number(f"limit of {self.names[self.goal][0]}", self.limit)
        for field, default in zip(("name", "label", "about"), self.names[self.goal], strict=True):
            object.__setattr__(self, field, getattr(self, field) or default)
