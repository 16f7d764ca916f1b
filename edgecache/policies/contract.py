"""The contract between policies and the simulator: the state that ranks read, the decision that planners take, and who is which."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from numba import from_dtype, njit, types

from ..accounting import Charges
from ..demand import Trace
from ..errors import InputError, PolicyError, unknown, whole_number
from ..scenario import Scenario

Floats = npt.NDArray[np.float64]
Deployment = npt.NDArray[np.bool_]

DEPLOYED, ABSENT, ON_CLOUD = 1, 0, -1  # where a model is; ON_CLOUD: no empty server could hold it

# One record per model; the fields that the loop touches most stand in front. Times are request numbers from 1; 0 means never.
MODEL = np.dtype(
    [
        ("index", np.int64),
        ("place", np.int64),  # DEPLOYED, ABSENT or ON_CLOUD
        ("ahead", np.int64),  # neighbours in the queue of deployed models
        ("behind", np.int64),
        ("requests", np.int64),  # so far, the present one included
        ("requests_in_cache", np.int64),  # since its deployment, the request that deployed it included
        ("last_request", np.int64),
        ("previous_request", np.int64),  # the last but one
        ("next_request", np.int64),  # demand.NEVER if there is none; kept for policies that are `offline`, else 0
        ("aging", np.float64),  # the server's aging at the model's last request
        ("size_gb", np.float64),
        ("gpu_memory_gb", np.float64),
        ("power_kw", np.float64),
        ("deployed_since", np.int64),
        ("io_delay_s", np.float64),
        ("inference_delay_s", np.float64),
        ("fetch_delay_s", np.float64),  # 8 size / B + l: how much longer a miss waits than a hit
        ("share", np.float64),  # the largest of the model's shares of the empty server's storage, GPU memory and power
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
        ("prefetches", np.int64),
        ("storage_gb", np.float64),  # free now
        ("gpu_memory_gb", np.float64),
        ("power_kw", np.float64),
        ("lfu_in_cache", np.int64),  # the reading `lfu`: 1 where counts start anew in the cache
    ],
    align=True,
)
MODEL_TYPE, SERVER_TYPE = from_dtype(MODEL), from_dtype(SERVER)
RANK_TYPE = types.float64(MODEL_TYPE, SERVER_TYPE)  # the signature of a rank, see ranks.py


@njit(types.float64(types.uint64, types.int64), cache=True)
def uniform(word, draw):
    """A uniform number in [0, 1): draw number `draw` of the stream that the random `word` names.

    SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014) on a counter. Compiled code then needs no generator object,
    and passing one takes longer than a generation of the genetic algorithm.
    """
    z = word + np.uint64(draw + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@dataclass(frozen=True, eq=False)
class Decision:
    """A miss: the requested model is deployed and served, and the deployment from then on is to be decided.

    Under the reading `decides = request` there is one at every hit too. The requested model is then among the deployed ones.

    Parameters
    ----------
    charges : Charges
        What events cost under the scenario's reading.
    requested : int
        Index of the requested model.
    deployed : array of bool, shape (I,)
        The models deployed just before. Read-only.
    requests : array of int, shape (I,)
        How often each model was asked for so far, the present request included. Read-only.
    clock : int
        How many requests there were so far, the present one included.
    slot : int
        The present slot.
    rng : numpy.random.Generator
        The planner's own stream of random numbers.
    capacities : array of float, shape (3,), optional
        Storage (GB), GPU memory (GB) and power (kW) for models; those of the scenario by default.

    Notes
    -----
    A planner's `decide(decision)` returns the deployment that it chooses as bool (I,). The reading `scope` says what it may choose:
    by default the requested model, and any of the deployed models that fit beside it. Its cost is equation 11 for this miss.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.analysis.explanations import decision_at
    >>> decision = decision_at(ec.simulate(ec.Scenario(), "lru"), 4)
    >>> int(decision.deployed.sum()), bool(decision.fits(decision.deployed))
    (3, True)
    """

    charges: Charges
    requested: int
    deployed: Deployment
    requests: npt.NDArray[np.int64]
    clock: int
    slot: int
    rng: np.random.Generator
    capacities: Floats = None  # type: ignore[assignment]  # always an array once it is made

    def __post_init__(self):
        self.deployed.flags.writeable = False  # a planner that changed it in place would decide on what never was
        self.requests.flags.writeable = False
        if self.capacities is None:
            object.__setattr__(self, "capacities", self.scenario.capacities)
        self.capacities.flags.writeable = False  # its choice is checked against these

    @property
    def scenario(self) -> Scenario:
        """The server, its readings and its catalogue."""
        return self.charges.scenario

    @property
    def needs(self) -> Floats:
        """Storage (GB), GPU memory (GB) and power (kW) of each model, (3, I)."""
        return self.scenario.catalogue.needs

    @cached_property
    def eviction_cost(self) -> Floats:
        """Cost of evicting each model, w1 d / a with the estimated active cycle a, (I,)."""
        cost = self.charges.estimated(self.requests, self.clock, self.slot)
        cost.flags.writeable = False
        return cost

    @property
    def holding_cost(self) -> Floats:
        """Cost of keeping each model, w2 (s + beta g), (I,)."""
        return self.charges.holding

    @property
    def leaving_cost(self) -> Floats:
        """Cost of each model when it is not in the new deployment, (I,): `eviction_cost` where that is charged, else 0.

        An eviction is charged for the models that were deployed, and for the requested one.
        """
        if self.charges.charges_absence:
            return self.eviction_cost
        leaving = np.where(self.deployed, self.eviction_cost, 0.0)
        leaving[self.requested] = self.eviction_cost[self.requested]
        return leaving

    @property
    def allowed(self) -> Deployment:
        """Which models may be deployed beside the requested one, (I,): those that are, or where it may prefetch, all that fit."""
        fits = np.all(self.needs <= self.capacities[:, None], axis=0)
        allowed = fits if self.scenario.may_prefetch else self.deployed.copy()
        allowed[self.requested] = False
        return allowed

    @property
    def candidates(self) -> npt.NDArray[np.int64]:
        """Indices, ascending, of the `allowed` models."""
        return np.flatnonzero(self.allowed)

    def cost(self, deployment: npt.ArrayLike) -> Floats:
        """Cost (11) of deployments bool (..., I): w1 d / a over the evicted models plus w2 times the resource cost.

        Under `charge = absence` the sum runs over every model that is not deployed.
        """
        deployment = np.asarray(deployment, dtype=bool)
        return deployment @ self.holding_cost + ~deployment @ self.leaving_cost

    def fits(self, deployment: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Do deployments bool (..., I) satisfy the constraints (1) to (3), together with the requested model while it is served?"""
        served = np.array(deployment, dtype=bool)
        served[..., self.requested] = True
        return np.all(served @ self.needs.T <= self.capacities, axis=-1)

    def check(self, deployment: object, policy: str) -> Deployment:
        """The deployment as bool (I,). Raises PolicyError, naming the rule that it breaks, if it is not allowed."""
        chosen, returned = np.empty(0, dtype=bool), "a sequence of sequences of unequal length"
        with suppress(ValueError):
            chosen = np.asarray(deployment)
            returned = f"{chosen.dtype} of shape {chosen.shape}"
        if chosen.dtype != bool or chosen.shape != self.deployed.shape:
            raise self._refused(policy, f"decide() returned {returned}; it must return bool of shape {self.deployed.shape}")
        scope = f"under scope = {self.scenario.scope}"
        if not chosen[self.requested] and not self.scenario.may_bypass:
            raise self._refused(policy, f"the requested model is not in the chosen deployment, as it must be {scope}")
        alien = chosen & ~self.allowed
        alien[self.requested] = False
        if alien.any() and not self.scenario.may_prefetch:
            alien_name = self.name(alien.argmax())
            raise self._refused(policy, f"{alien_name} was neither deployed nor requested and cannot be deployed {scope}")
        if not self.fits(chosen):
            used, s = self.needs @ chosen + self.needs[:, self.requested] * ~chosen[self.requested], self.scenario
            served = "" if chosen[self.requested] else ", with the requested model while it is served,"
            raise self._refused(
                policy,
                f"the chosen deployment{served} takes {used[0]:.6g} GB storage, {used[1]:.6g} GB GPU memory and {used[2]:.6g} kW; "
                f"the server has {s.storage_gb:g} GB, {s.gpu_memory_gb:g} GB and {s.power_budget_kw:g} kW",
            )
        return chosen

    def _refused(self, policy: str, why: str) -> PolicyError:
        return PolicyError(f"policy {policy!r}, request {self.clock} (for {self.name(self.requested)}): {why}")

    def name(self, model: int | np.integer) -> str:
        """The service of a model, in quotes."""
        return repr(self.scenario.catalogue.services[model])


@runtime_checkable
class Policy(Protocol):
    """What every policy has: the `name` that tables and the command line call it by."""

    @property
    def name(self) -> str:
        """The name."""
        ...


@runtime_checkable
class Planner(Policy, Protocol):
    """Chooses the whole deployment at a miss."""

    def decide(self, decision: Decision) -> Deployment:
        """The chosen deployment, bool (I,)."""
        ...


@runtime_checkable
class Preparing(Policy, Protocol):
    """Makes a planner for one run, which may look into the trace."""

    def prepare(self, scenario: Scenario, trace: Trace) -> Planner:
        """The planner of this run."""
        ...


def planner_of(policy: Policy, scenario: Scenario, trace: Trace) -> Planner:
    """The planner of one run: the policy itself, or the one that it prepares. Raises PolicyError where that is no planner."""
    planner = policy.prepare(scenario, trace) if isinstance(policy, Preparing) else policy
    if not (isinstance(planner, Planner) and isinstance(planner.name, str)):
        raise PolicyError(f"policy {policy.name!r}: prepare() returned {planner!r}, which is no planner with a name and decide()")
    return planner


@dataclass(frozen=True)
class Bound:
    """A policy that is the best possible for a goal within its class: the paper's `cost`, or the `delay` that users wait."""

    goal: str = "cost"
    limit: int = 20_000  # deployments
    name: str = ""
    label: str = ""
    about: str = ""
    waiting: float = 0.0  # cost of each second that users wait for a model, added to the goal `cost`
    names: ClassVar[dict[str, tuple[str, str, str]]] = {}  # by goal: name, label and about

    def __post_init__(self):
        if self.goal not in self.names:
            raise unknown("goal", self.goal, self.names)
        whole_number(f"limit of {self.names[self.goal][0]}", self.limit)
        if not isinstance(self.waiting, int | float) or not 0 <= self.waiting < 1e12:
            raise InputError(f"waiting of {self.names[self.goal][0]} is {self.waiting!r}; it must be a number from 0 to 1e12")
        for field, default in zip(("name", "label", "about"), self.names[self.goal], strict=True):
            object.__setattr__(self, field, getattr(self, field) or default)

    def admit(self, scenario: Scenario) -> None:
        """Raise InputError for a reading that the bound is not defined under. By default there is none."""

    def bound(self, scenario: Scenario, trace: Trace) -> dict[str, float]:
        """A lower bound on the goal's outcome, at any size. Raises InputError where there is none."""
        raise InputError(f"{self.name} has no bound on a trace")

    def goal_charges(self, charges: Charges) -> Charges:
        """The charges whose sum is the goal: those of the reading and of waiting, or for `delay` 8 size / B + l at every miss."""
        if self.goal == "cost":
            return replace(charges, waiting=self.waiting) if self.waiting else charges
        return Charges(charges.scenario.vary(charge="miss", w1=1.0, w2=0.0, resource_basis="slot"), charges.trace)
