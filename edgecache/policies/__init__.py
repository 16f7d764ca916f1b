"""Policies: who decides what leaves the server.

*Eviction policies* rank the deployed models, and the lowest rank leaves until the requested model fits: see `ranks`.
*Planners* choose the whole deployment at a miss: any object with a `name` and a method `decide(decision)`, see `contract`.
To add an eviction policy, decorate a function of a model and the server with `edgecache.eviction_policy`.
"""

from ..errors import InputError, unknown
from .clairvoyant import Clairvoyant
from .contract import Policy
from .exact import Exact
from .genetic import GA
from .optimal_online import OptimalOnline
from .ranks import EVICTION_POLICIES, EvictionPolicy
from .server_ranks import SERVER_POLICIES

POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        *EVICTION_POLICIES,
        *SERVER_POLICIES,
        GA(),
        Exact(),
        OptimalOnline(),
        Clairvoyant(),
        OptimalOnline("delay"),
        Clairvoyant("delay"),
    )
}
COMPILED = (GA, Exact, OptimalOnline, Clairvoyant)  # the planners whose decisions the compiled loop takes itself
PAPER = ("random", "fifo", "lru", "lfu", "ga")  # the five of the paper's figures
BOUNDS = ("optimal-online", "clairvoyant", "optimal-online-delay", "clairvoyant-delay")  # of the cost, then of the delay


def find_policy(policy: str | Policy) -> Policy:
    """The policy of that name, or the policy itself. Raises InputError for an unknown name, or for what is no policy."""
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise unknown("policy", policy, POLICIES)
        return POLICIES[policy]
    plans = any(callable(getattr(policy, method, None)) for method in ("decide", "prepare"))
    decides = isinstance(policy, Policy) and plans and not isinstance(policy, type)
    if isinstance(policy, EvictionPolicy) or decides:
        return policy
    raise InputError(
        f"{policy!r} is no policy: a policy is a name ({', '.join(POLICIES)}), a function made one by @eviction_policy, "
        "or an object with a name and a method decide(decision) or prepare(scenario, trace)"
    )
