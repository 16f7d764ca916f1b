"""Eviction policies: rank the deployed models; the simulator evicts the lowest rank until the requested model fits.

Ties go to the front of a queue, which stands in the order of deployment or of the last request; ranks within one part in 10^12 are
tied, so that rounding decides nothing. A policy without a rank evicts that front. A rank takes a model and the server, records with
the fields of contract.MODEL and contract.SERVER, and returns a number.
"""

import dis
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from ..errors import InputError, PolicyError
from ..listing import POLICY_TABLE
from .contract import RANK_TYPE, uniform


@dataclass(frozen=True)
class EvictionPolicy:
    """Evict the model of the lowest rank, ties from the front of the queue; without a rank, that front.

    Parameters
    ----------
    name, label
        What tables and the command line, and what figures call the policy.
    about
        What it does and when it is good, in one line.
    queue
        The order of the queue: of each model's last `request`, or of its `deployment`.
    rank
        A function of a model and the server, compiled to `contract.RANK_TYPE`; None for a policy that has no rank.
    offline
        May the rank ask for the future, a model's `next_request`?
    rising
        Is the rank a whole number that changes at the model's own requests alone, and only rises? The simulator then keeps a heap.

    Examples
    --------
    >>> import edgecache as ec
    >>> ec.POLICIES["fifo"].queue, ec.POLICIES["fifo"].rank, ec.POLICIES["belady"].knows
    ('deployment', None, 'future')
    """

    name: str
    label: str
    about: str = ""
    queue: str = "request"
    rank: Callable | None = None
    offline: bool = False
    rising: bool = False

    @property
    def knows(self) -> str:
        """The knowledge that it goes by: the `past`, or the `future`."""
        return "future" if self.offline else "past"


def eviction_policy(function: Callable) -> EvictionPolicy:
    """Make a policy of a ranking function, as a decorator.

    Parameters
    ----------
    function
        Takes a model and the server, and returns a number. The model of the lowest number is evicted first, ties by the earliest
        last request. The function may ask for the future, a model's `next_request`.

    Returns
    -------
    EvictionPolicy
        Named as the function (`largest_first` becomes `largest-first`); its docstring's first line is what the policy is about.

    Raises
    ------
    PolicyError
        Where the function does not compile, or writes to the state: a rank may only read it.

    Examples
    --------
    >>> import edgecache as ec
    >>> @ec.eviction_policy
    ... def largest_first(model, server):
    ...     return -model.size_gb
    >>> largest_first.name, len(ec.simulate(ec.Scenario(slots=20), largest_first).evictions)
    ('largest-first', 8)
    """
    if not inspect.isfunction(function):
        raise InputError(f"{function!r} is no ranking function: eviction_policy takes a function of a model and the server")
    name = function.__name__.strip("_").replace("_", "-")
    if any(step.opname in ("STORE_ATTR", "STORE_SUBSCR", "DELETE_ATTR") for step in dis.get_instructions(function)):
        raise PolicyError(f"policy {name!r} writes to the state it ranks by; a rank may only read it")
    try:
        about = (function.__doc__ or "").strip().split("\n")[0]
        rank = njit(RANK_TYPE, error_model="numpy")(function)
        return EvictionPolicy(name, function.__name__.replace("_", " "), about, rank=rank, offline=True)
    except Exception as error:  # Numba's own, and whatever else it meets in a function it cannot compile
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if not line.startswith(("Failed in", "During", "File", "[", "-"))), lines[0])
        if isinstance(error, KeyError):
            reason = f"a model or server has no field {reason}"
        raise PolicyError(f"policy {name!r} does not compile: {reason}") from None


@njit(RANK_TYPE, cache=True)
def constant_rank(model, server):
    """Rank every model alike: evict in the order of the queue (FIFO, LRU)."""
    return 0.0


@njit(RANK_TYPE, cache=True)
def _random(model, server):
    return uniform(server.seed + np.uint64(server.clock), model.index)


@njit(RANK_TYPE, cache=True)
def _lfu(model, server):
    return model.requests_in_cache if server.lfu_in_cache else model.requests


@njit(RANK_TYPE, cache=True)
def _lfu_in_cache(model, server):
    return model.requests_in_cache


# Where a source divides by an object's size, these divide by the model's `share` of the server, the largest over the three
# resources (the dominant share of Ghodsi et al., NSDI 2011): where one resource binds, that is the size in it.


@njit(RANK_TYPE, cache=True)
def _lfu_da(model, server):
    """LFU with dynamic aging (Arlitt, Cherkasova, Dilley, Friedrich, Jin: ACM SIGMETRICS PER 27(4), 2000).

    What was popular once does not stay for ever: counts start from the rank of the last evicted.
    """
    return model.aging + model.requests_in_cache


@njit(RANK_TYPE, cache=True)
def _gdsf(model, server):
    """Greedy-Dual-Size-Frequency (Cherkasova: HP Laboratories HPL-98-69R1, 1998), at equal costs.

    As in GreedyDual-Size (Cao, Irani: USITS 1997) the newcomer's clock is that after the evictions, and it is never refused.
    """
    return model.aging + model.requests_in_cache / model.share


@njit(RANK_TYPE, cache=True)
def _greedy_dual(model, server):
    """Greedy-Dual keep-alive caching (Fuerst, Sharma: FaasCache, ASPLOS 2021): clock + frequency x cost / size.

    The cost is what a miss waits more than a hit, 8 s / B + l; where they take memory for the size, this takes the share.
    """
    return model.aging + model.requests_in_cache * model.fetch_delay_s / model.share


@njit(RANK_TYPE, cache=True)
def _lru_2(model, server):
    """LRU-K with K = 2 (O'Neil, O'Neil, Weikum: SIGMOD 1993), history kept after eviction: the last request but one.

    A model that was asked for once goes first.
    """
    return model.previous_request


@njit(RANK_TYPE, cache=True)
def _hyperbolic(model, server):
    """Hyperbolic caching (Blankstein, Sen, Freedman: USENIX ATC 2017): requests a time since the deployment."""
    return model.requests_in_cache / (server.clock - model.deployed_since)


@njit(RANK_TYPE, cache=True)
def _cremebrulee(model, server):
    """In the style of CremeBrulee (Ogden, Gilman, Walls, Guo: ACSOS 2021, the paper's reference [5]): reuse x load cost / size.

    The reuse is the model's share of all requests so far. Theirs knows one resource, and takes the largest victims first.
    """
    return model.requests / server.clock * model.fetch_delay_s / model.share


@njit(RANK_TYPE, cache=True)
def _belady(model, server):
    """Belady's MIN (IBM Systems Journal 5(2), 1966): the furthest next request goes first."""
    return -model.next_request


@njit(RANK_TYPE, cache=True)
def _belady_cost(model, server):
    """Belady's rule weighed by cost and size: what a miss would wait, over the share held and the time until the next request.

    A heuristic: with costs and sizes the optimum is no ranking. See Clairvoyant in offline.py for that.
    """
    return model.fetch_delay_s / (model.share * (model.next_request - server.clock))


def listed(name: str, rank: Callable | None = None, queue: str = "request", rising: bool = False) -> EvictionPolicy:
    """A policy of POLICY_TABLE with its rank."""
    entry = POLICY_TABLE[name]
    return EvictionPolicy(name, entry.label, entry.about, queue, rank, offline=entry.knows == "future", rising=rising)


EVICTION_POLICIES = (
    listed("random", _random),
    listed("fifo", queue="deployment"),
    listed("lru"),
    listed("lfu", _lfu, rising=True),
    listed("lfu-in-cache", _lfu_in_cache, rising=True),
    listed("lfu-da", _lfu_da, rising=True),
    listed("lru-2", _lru_2, rising=True),
    listed("hyperbolic", _hyperbolic),
    listed("gdsf", _gdsf),
    listed("greedy-dual", _greedy_dual),
    listed("cremebrulee", _cremebrulee),
    listed("belady", _belady),
    listed("belady-cost", _belady_cost),
)
