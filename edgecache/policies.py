"""The policies: who decides what leaves the server.

An eviction policy ranks the deployed models, and the simulator evicts the lowest until the requested one fits. Ties go to the front
of a queue, which stands in the order of deployment or of the last request; a policy without a rank evicts that front. A ranking
function takes a model and the server, records with the fields of decision.MODEL and decision.SERVER, and returns a number. To
add one, here or in a notebook cell:

    @eviction_policy
    def largest_first(model, server):
        return -model.size_gb

A planner decides the whole deployment at once: any object with a `name` and a method `decide(decision)`, see decision.Decision.
"""

import dis
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numba import njit

from .decision import RANK_TYPE, chance
from .errors import InputError, PolicyError, unknown
from .genetic import GA
from .optimal import Exact


@runtime_checkable
class Policy(Protocol):
    """What every policy has: the `name` it goes by in tables and on the command line."""

    name: str


@dataclass(frozen=True)
class EvictionPolicy:
    """Evict the lowest `rank`, ties the front of the `queue` first; without a rank, its front."""

    name: str
    label: str
    queue: str = "request"  # the order of the queue: of each model's last `request`, or of its `deployment`
    rank: Callable | None = None  # compiled to decision.RANK_TYPE


def eviction_policy(function: Callable) -> EvictionPolicy:
    """Make a ranking function a policy of its name (`largest_first` becomes `largest-first`), ties to the least recently used.

    Raises PolicyError for a function that does not compile, or that writes to the state: a rank is read only.
    """
    if not inspect.isfunction(function):
        raise InputError(f"{function!r} is no ranking function: eviction_policy takes a function of a model and the server")
    name = function.__name__.strip("_").replace("_", "-")
    if any(step.opname in ("STORE_ATTR", "STORE_SUBSCR", "DELETE_ATTR") for step in dis.get_instructions(function)):
        raise PolicyError(f"policy {name!r} writes to the state it ranks by; a rank may only read it")
    try:
        return EvictionPolicy(name, function.__name__.replace("_", " "), rank=njit(RANK_TYPE, error_model="numpy")(function))
    except Exception as error:  # Numba's own, and whatever else it meets in a function it cannot compile
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if not line.startswith(("Failed in", "During", "File", "[", "-"))), lines[0])
        if isinstance(error, KeyError):
            reason = f"a model or server has no field {reason}"
        raise PolicyError(f"policy {name!r} does not compile: {reason}") from None


@njit(RANK_TYPE, cache=True)
def front(model, server):
    """The rank of a policy that has none."""
    return 0.0


@njit(RANK_TYPE, cache=True)
def _random(model, server):
    return chance(server.seed + np.uint64(server.clock), model.index)


@njit(RANK_TYPE, cache=True)
def _lfu(model, server):
    return model.requests_in_cache if server.lfu_in_cache else model.requests


@njit(RANK_TYPE, cache=True)
def _lfu_in_cache(model, server):
    return model.requests_in_cache


POLICIES = {
    policy.name: policy
    for policy in (
        EvictionPolicy("random", "Random", rank=_random),
        EvictionPolicy("fifo", "FIFO", queue="deployment"),
        EvictionPolicy("lru", "LRU"),
        EvictionPolicy("lfu", "LFU", rank=_lfu),  # perfect or in-cache, as the scenario reads it
        EvictionPolicy("lfu-in-cache", "LFU in cache", rank=_lfu_in_cache),
        GA(),
        Exact(),
    )
}
PAPER = ("random", "fifo", "lru", "lfu", "ga")  # the five of the paper's figures


def find_policy(policy: str | Policy) -> Policy:
    """The policy of that name, or the policy itself. Raises InputError for an unknown name, or for what is no policy."""
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise unknown("policy", policy, POLICIES)
        return POLICIES[policy]
    decides = isinstance(policy, Policy) and callable(getattr(policy, "decide", None)) and not isinstance(policy, type)
    if isinstance(policy, EvictionPolicy) or decides:
        return policy
    raise InputError(
        f"{policy!r} is no policy: a policy is a name ({', '.join(POLICIES)}), a function made one by @eviction_policy, "
        "or an object with a name and a method decide(decision)"
    )
