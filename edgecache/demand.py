"""The demand: what draws a trace. `poisson_trace` draws one as Section IV-A of the paper has it; workloads/ has others."""

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .scenario import Scenario
from .trace import Trace


def zipf_popularity(models: int, exponent: float) -> npt.NDArray[np.float64]:
    """Shares of requests that fall as 1 / rank**exponent, the most popular model first.

    Returns
    -------
    array of float, shape (models,)
        Shares that sum to one.

    Examples
    --------
    >>> zipf_popularity(3, 1.0).round(3).tolist()
    [0.545, 0.273, 0.182]
    """
    weights = np.arange(1, models + 1) ** -float(exponent)
    return weights / weights.sum()


def random_stream(seed: np.random.SeedSequence | int, *key: int) -> np.random.SeedSequence:
    """The random stream of that key below the seed: the same at every call, where `SeedSequence.spawn` counts its calls."""
    if not isinstance(seed, np.random.SeedSequence):
        for number in (seed, *key):
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
                raise InputError(f"seed or replication is {number!r}; it must be a whole number, at least 0")
        seed = np.random.SeedSequence(int(seed))
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key))


class Draws:
    """The random numbers behind the demand of one seed, from which the trace of every scenario is made.

    Ranks, arrivals and models have a random stream each. So a trace of more slots begins with the shorter trace of the same seed,
    and the points of a sweep share their random numbers as far as they can (common random numbers).
    """

    def __init__(self, seed: np.random.SeedSequence | int):
        self.streams = [random_stream(seed, i) for i in range(3)]
        self.rate, self.arrived, self.drawn = -1.0, np.empty(0, dtype=np.int64), np.empty(0)
        self.ranked = np.empty(0, dtype=np.int64)

    def popularity(self, scenario: Scenario) -> npt.NDArray[np.float64]:
        """The share of requests of each model, (I,): by the catalogue's weights, else Zipf's (Section IV-A of the paper).

        The Zipf ranks are shuffled over the models, or under `popularity_order = fixed` follow the catalogue's order.
        """
        size, weight = len(scenario.catalogue), scenario.catalogue.weight
        if weight is not None:
            return weight / weight.sum()
        if scenario.popularity_order == "fixed":
            return zipf_popularity(size, scenario.zipf)
        if size != len(self.ranked):
            self.ranked = np.random.default_rng(self.streams[0]).permutation(size)
        return zipf_popularity(size, scenario.zipf)[self.ranked]

    def arrivals(self, scenario: Scenario) -> npt.NDArray[np.int64]:
        """How many requests arrive in each slot, a Poisson process, (T,)."""
        rate, slots = scenario.requests_per_slot, scenario.slots
        if rate != self.rate or slots > len(self.arrived):
            self.rate, self.arrived = rate, np.random.default_rng(self.streams[1]).poisson(rate, slots)
        return self.arrived[:slots]

    def uniform(self, requests: int) -> npt.NDArray[np.float64]:
        """The number that chooses the model of each request, between 0 and 1, (N,)."""
        if requests > len(self.drawn):
            self.drawn = np.random.default_rng(self.streams[2]).random(requests)
        return self.drawn[:requests]

    def trace(self, scenario: Scenario) -> Trace:
        """The trace of this seed."""
        popularity, arrivals = self.popularity(scenario), self.arrivals(scenario)
        slot = np.repeat(np.arange(scenario.slots), arrivals)
        model = np.searchsorted(popularity.cumsum()[:-1], self.uniform(len(slot)), side="right")
        return Trace(
            slot,
            model,
            scenario.slots,
            popularity,
            requests_per_slot=scenario.requests_per_slot,
            slot_length_s=scenario.slot_length_s,
        )


def poisson_trace(scenario: Scenario, seed: np.random.SeedSequence | int) -> Trace:
    """Draw the trace of one seed: Poisson arrivals, models by Zipf (Section IV-A of the paper).

    Parameters
    ----------
    scenario : Scenario
        Its slots, arrival rate, exponent and catalogue.
    seed : SeedSequence or int
        The same seed gives the same trace.

    Returns
    -------
    Trace

    Examples
    --------
    >>> import edgecache as ec
    >>> len(ec.poisson_trace(ec.Scenario(), 0))
    90
    """
    return Draws(seed).trace(scenario)
