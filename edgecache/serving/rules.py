"""Rules of deployed servers: which idle model leaves first. Each names the document or code that it was taken from."""

from collections.abc import Callable
from dataclasses import dataclass

from numba import njit

from .state import RULE_TYPE


@njit(RULE_TYPE, cache=True)
def no_rule(model, unit, now):
    """Rank every model alike."""
    return 0.0


@dataclass(frozen=True)
class ServerRule:
    """Unload the idle model of the lowest rank first; of equal ranks, the one requested longest ago.

    Parameters
    ----------
    name, label, about
        What the command line and figures call the rule, and what it does.
    source
        Where it is written down.
    rank
        A function of a model (`policies.contract.MODEL`), its unit (`state.UNIT`) and the time in seconds, compiled to
        `state.RULE_TYPE`.

    Examples
    --------
    >>> ServerRule("any", "Any", "ranks all alike", "none").rank is no_rule
    True
    """

    name: str
    label: str
    about: str
    source: str
    rank: Callable = no_rule
