"""Demands made of other demands: their models in a shuffled order, or a random stretch of their slots."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..demand import random_stream
from ..errors import InputError, whole_number
from ..scenario import Scenario
from ..trace import Trace
from .contract import OWN_ORDER, Demand


@dataclass(frozen=True, eq=False)
class Shuffled:
    """A demand with its models in a random order: the same times and the same requests per model, but no order among them.

    Parameters
    ----------
    demand : Demand
        What draws the trace.
    name : str
        What tables call the shuffled demand.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.workloads.words import find_demand
    >>> given = find_demand("locality:repeat=0.9")
    >>> stream = np.random.SeedSequence(0)
    >>> traces = [demand.trace(ec.Scenario(slots=5000), stream) for demand in (given, Shuffled(given))]
    >>> [round(float((trace.model[1:] == trace.model[:-1]).mean()), 1) for trace in traces]
    [0.9, 0.1]
    """

    demand: Demand
    name: str = "shuffled"

    @property
    def own(self) -> tuple[str, ...]:
        """The parameters of a scenario that the demand decides."""
        return getattr(self.demand, "own", ())

    @property
    def varies(self) -> tuple[str, ...] | None:
        """What differs between replications, in words; None for independent draws of a generator."""
        inner = getattr(self.demand, "varies", None)
        return None if inner is None else (*inner, "in which order the models are requested (shuffled)")

    @property
    def resamples(self) -> bool:
        """Do replications draw from one log, so that their spread is what it leaves uncertain?"""
        return getattr(self.demand, "resamples", False)

    def trace(self, scenario: Scenario, stream: np.random.SeedSequence) -> Trace:
        """The trace of that stream. A request's duration goes with its model."""
        trace = self.demand.trace(scenario, stream)
        order = np.random.default_rng(random_stream(stream, 5)).permutation(len(trace))
        duration_s = None if trace.duration_s is None else trace.duration_s[order]
        return _changed(trace, model=trace.model[order], duration_s=duration_s)


@dataclass(frozen=True, eq=False)
class Stretch:
    """A random stretch of a demand: so many slots in a row, from a slot that the seed draws.

    Parameters
    ----------
    demand : Demand
        What draws the whole trace, of at least so many slots.
    slots : int
        Length of the stretch, in slots.
    name : str
        What tables call it; the demand's name by default.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.workloads.twins import shipped_twin
    >>> trace = Stretch(shipped_twin("gentd26"), 1440).trace(ec.Scenario(), np.random.SeedSequence(0))
    >>> trace.slots, bool(len(trace) < 26_392)
    (1440, True)

    Notes
    -----
    The popularity and the rate of the trace are those of the whole: what a server knows of its demand in the long run.
    """

    demand: Demand
    slots: int
    name: str = ""

    def __post_init__(self):
        whole_number("slots of a stretch", self.slots)
        object.__setattr__(self, "name", self.name or self.demand.name)

    @property
    def own(self) -> tuple[str, ...]:
        """The parameters of a scenario that the demand decides."""
        return getattr(self.demand, "own", OWN_ORDER)

    @property
    def varies(self) -> tuple[str, ...]:
        """What differs between replications, in words."""
        return (*(getattr(self.demand, "varies", None) or ()), f"which stretch of {self.slots:,} slots is played")

    @property
    def resamples(self) -> bool:
        """Do replications draw from one log, so that their spread is what it leaves uncertain?"""
        return getattr(self.demand, "resamples", False)

    def trace(self, scenario: Scenario, stream: np.random.SeedSequence) -> Trace:
        """The trace of that stream."""
        trace = self.demand.trace(scenario, stream)
        if trace.slots < self.slots:
            raise InputError(
                f"the demand {self.demand.name!r} has {trace.slots:,} slots; a stretch of {self.slots:,} needs as many"
            )
        rng = np.random.default_rng(random_stream(stream, 6))
        first = np.searchsorted(trace.slot, np.arange(trace.slots + 1))  # the first request of each slot, or after it
        busy = np.flatnonzero(first[self.slots :] > first[: -self.slots])  # a log may have long gaps; stretches have requests
        start = int(rng.choice(busy)) if len(busy) else 0
        taken = slice(first[start], first[start + self.slots])
        time_s, duration_s = (None if column is None else column[taken] for column in (trace.time_s, trace.duration_s))
        if time_s is not None and len(time_s):
            # slots of equal numbers of requests do not begin at multiples of their mean length
            time_s = time_s - min(start * trace.slot_length_s, time_s[0])
        part = {"slot": trace.slot[taken] - start, "model": trace.model[taken], "time_s": time_s, "duration_s": duration_s}
        return _changed(trace, slots=self.slots, **part)


def _changed(trace: Trace, **changes: Any) -> Trace:
    """A trace with some of its columns changed; its popularity, rate and slot length stay."""
    kept = ("slot", "model", "slots", "popularity", "catalogue", "requests_per_slot", "slot_length_s", "time_s", "duration_s")
    return Trace(**{name: getattr(trace, name) for name in kept} | changes)
