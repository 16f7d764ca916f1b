"""What the compiled loop reads of the planners of this package."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..accounting import Charges
from .contract import Decision, Deployment, Floats

# The planners of this package also decide in compiled code: the simulator's loop reads these tables.
EXACT, GENETIC, ONLINE, CLAIRVOYANT = range(4)
_NO_INDEX, _NO_COST = np.empty((0, 0), dtype=np.int32), np.empty(0)
_NO_COST.flags.writeable = False  # as the charges are: the compiled loop knows arrays by their kind


class PlannerTables(NamedTuple):
    """What the compiled loop needs of a planner, for the decisions from request number `first` on; I models, S states.

    Exact and the GA use the estimates, the bounds use the states of `deployments` and their values.
    """

    kind: int  # EXACT, GENETIC, ONLINE or CLAIRVOYANT
    needs: Floats  # (3, I)
    capacities: Floats  # (3,)
    first: int = 1  # the request number of row 0 of `estimates`, `values`, `held` and `left`
    may_bypass: bool = False  # may the requested model go as soon as it is served?
    may_prefetch: bool = False  # may models be deployed that nobody requested?
    hits_decide: bool = False  # is there a decision at every hit too?
    estimates: Floats = np.empty((0, 0))  # cost of evicting each model, (rows, I)
    holding: Floats = _NO_COST  # cost of keeping each model, (I,)
    charges_absence: bool = False  # does every undeployed model pay?
    nodes: int = 0  # of Exact's search, before it is left to Exact.decide
    words: npt.NDArray[np.uint64] = np.empty((0, 0, 0), dtype=np.uint64)  # the GA's random words, (decisions, generations + 1, P)
    tournament: int = 0
    crossover: float = 0.0
    mutation: float = 0.0
    convergence: int = 0
    head: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)  # the tables of deployments.Deployments
    after: npt.NDArray[np.int32] = _NO_INDEX
    without: npt.NDArray[np.int32] = _NO_INDEX
    size: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
    values: Floats = np.empty((0, 0, 0))  # value of each state, (rows, bits, S)
    held: Floats = np.empty((0, 0))  # what holding each model costs until the next request, (rows, I)
    left: Floats = np.empty((0, 0))  # what evicting each model costs, (rows, I)
    fetching: Floats = np.empty(0)  # what deploying each model costs, (I,)
    slack: float = 0.0  # values this close are equal
    same_slot: Deployment = np.empty(0, dtype=np.bool_)  # is the next request in the same slot? (rows,)
    saves: Floats = np.empty(0)  # worth of keeping each model that no state tells apart, (I,); NaN for the others


def tables_of_estimates(kind: int, charges: Charges, clock: int, last: int) -> PlannerTables:
    """What Exact and the GA have in common: the tables for the decisions after request number `clock` up to `last`."""
    scenario = charges.scenario
    return PlannerTables(
        kind,
        scenario.catalogue.needs,
        scenario.capacities,
        clock + 1,
        scenario.may_bypass,
        scenario.may_prefetch,
        charges.hits_decide,
        estimates=charges.estimates(clock + 1, last),
        holding=charges.holding,
        charges_absence=charges.charges_absence,
    )


class Compilable(Protocol):
    """A planner of one run whose decisions the compiled loop takes from tables."""

    @property
    def name(self) -> str:
        """The name that the policy goes by on this server."""
        ...

    def decide(self, decision: Decision) -> Deployment:
        """The chosen deployment, bool (I,), where the compiled loop leaves a decision to Python."""
        ...

    def tables(self, clock: int, decisions: int) -> tuple[PlannerTables, int]:
        """The tables from request number `clock` and so many decisions on, and the request number until which they hold."""
        ...
