"""Generated demands: arrivals of some kind, and a choice of models of some kind."""

from dataclasses import dataclass, field

import numpy as np

from ..demand import Draws, random_stream
from ..scenario import Scenario
from ..trace import Trace
from .arrivals import Arrivals, Poisson
from .choices import Choice, Independent


@dataclass(frozen=True)
class GeneratedDemand:
    """Arrivals of the scenario's rate, and models of the scenario's popularity.

    Parameters
    ----------
    arrivals : Arrivals
        When requests come: see `arrivals`.
    choice : Choice
        Which model each asks for: see `choices`.
    name : str
        What tables call the demand.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.workloads.arrivals import Gamma
    >>> demand = GeneratedDemand(Gamma(cv=4))
    >>> trace = demand.trace(ec.Scenario(slots=1000), np.random.SeedSequence(0))
    >>> trace.requests_per_slot, trace.slots
    (1.0, 1000)
    """

    arrivals: Arrivals = field(default_factory=Poisson)
    choice: Choice = field(default_factory=Independent)
    name: str = "generated"

    def trace(self, scenario: Scenario, stream: np.random.SeedSequence) -> Trace:
        """The trace of that stream."""
        times = self.arrivals.times(scenario, np.random.default_rng(random_stream(stream, 1)))
        popularity = Draws(stream).popularity(scenario)
        model, shares = self.choice.models(popularity, times, np.random.default_rng(random_stream(stream, 2)))
        return Trace(
            np.minimum(times.astype(np.int64), scenario.slots - 1),
            model,
            scenario.slots,
            shares,
            requests_per_slot=scenario.requests_per_slot,
            slot_length_s=scenario.slot_length_s,
            time_s=times * scenario.slot_length_s,
        )
