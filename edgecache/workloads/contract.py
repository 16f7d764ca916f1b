"""The contract of a demand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ..demand import poisson_trace
from ..errors import InputError
from ..scenario import Scenario
from ..trace import Trace

# what a trace that is given, or read from a log, decides in place of the scenario
OWN_ORDER = ("slots", "arrival_rate", "rate_basis", "zipf", "popularity_order")
OWN = (*OWN_ORDER, "slot_length_s")


@runtime_checkable
class Demand(Protocol):
    """Draws a trace for a scenario from a random stream. Each replication has its own stream; all policies face its trace."""

    @property
    def name(self) -> str:
        """What tables call the demand."""
        ...

    def trace(self, scenario: Scenario, stream: np.random.SeedSequence) -> Trace:
        """The trace of that stream, for the models of the scenario's catalogue."""
        ...


@dataclass(frozen=True)
class PoissonZipf:
    """The paper's demand (Section IV-A): Poisson arrivals, independent models by Zipf.

    Examples
    --------
    >>> import edgecache as ec
    >>> table = ec.sweep({}, ["lru"], 2, demand=PoissonZipf(), jobs=1)
    >>> bool((table["total_cost"] == ec.sweep({}, ["lru"], 2, jobs=1)["total_cost"]).all())
    True
    """

    name: str = "poisson"

    def trace(self, scenario: Scenario, stream: np.random.SeedSequence) -> Trace:
        """See `poisson_trace`."""
        return poisson_trace(scenario, stream)


@dataclass(frozen=True, eq=False)
class GivenTrace:
    """One trace for every replication; only policies that draw random numbers differ between them."""

    given: Trace
    name: str = "trace"

    own = OWN

    def trace(self, scenario: Scenario, stream: np.random.SeedSequence) -> Trace:
        """The trace."""
        return self.given


def check_own(demand: Demand, varied: Sequence[str]) -> None:
    """Raise InputError where a parameter is varied that the demand decides itself."""
    for name in getattr(demand, "own", ()):
        if name in varied:
            raise InputError(f"{name} is varied, but the demand {demand.name!r} has its own; leave {name} out")
