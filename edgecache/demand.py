"""The demand: who asks for which model, and when."""

from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .scenario import Scenario


@dataclass(frozen=True, eq=False)
class Trace:
    """A sequence of requests over `slots` time slots. Raises InputError when the arrays do not belong together.

    `slot` and `model` are int64 of shape (N,), the slots ascending; `popularity`, float (I,), is each model's true share of
    the requests (what the history only estimates).
    """

    slot: np.ndarray
    model: np.ndarray
    slots: int
    popularity: np.ndarray

    def __post_init__(self):
        for name, kind in (("slot", np.int64), ("model", np.int64), ("popularity", float)):
            array = np.array(getattr(self, name), dtype=kind)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.slots < 1 or not (np.isfinite(self.popularity) & (self.popularity >= 0)).all():
            raise InputError("a trace needs at least one slot, and a popularity of finite shares of at least zero")
        if self.slot.shape != self.model.shape or self.slot.ndim != 1:
            raise InputError(f"a trace has one slot a request, but slot is {self.slot.shape} and model is {self.model.shape}")
        if len(self) and (self.slot[0] < 0 or self.slot[-1] >= self.slots or (np.diff(self.slot) < 0).any()):
            raise InputError(f"the slots of a trace must ascend from 0 to at most {self.slots - 1}")
        if len(self) and not (self.model.min() >= 0 and self.model.max() < len(self.popularity)):
            raise InputError(f"the models of a trace must lie between 0 and {len(self.popularity) - 1}")

    def __len__(self) -> int:
        return len(self.model)


def for_catalogue(trace: Trace, scenario: Scenario) -> Trace:
    """The trace; raises InputError where it has another number of models than the scenario's catalogue."""
    models, size = len(trace.popularity), len(scenario.catalogue)
    if models != size:
        raise InputError(f"the trace has {models} models, but the catalogue has {size}")
    return trace


def zipf_popularity(models: int, exponent: float) -> np.ndarray:
    """Shares of requests that fall as 1 / rank**exponent, most popular first; float (models,), sums to one."""
    weights = np.arange(1, models + 1) ** -float(exponent)
    return weights / weights.sum()


def random_stream(seed: np.random.SeedSequence | int, *key: int) -> np.random.SeedSequence:
    """The stream of that key below the seed: the same at every call, where `seed.spawn` counts its calls."""
    if not isinstance(seed, np.random.SeedSequence):
        for number in (seed, *key):
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
                raise InputError(f"seed or replication is {number!r}; it must be a whole number, at least 0")
        seed = np.random.SeedSequence(int(seed))
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key))


class Draws:
    """The random numbers behind the demand of one seed, from which every scenario's trace is made; kept to be asked for again.

    Ranks, arrivals and models have a random stream each, so a trace of more slots begins with the shorter one of the same
    seed: points of a sweep share as much luck as they can.
    """

    def __init__(self, seed: np.random.SeedSequence | int):
        self.streams = [random_stream(seed, i) for i in range(3)]
        self.rate, self.arrived, self.drawn = -1.0, np.empty(0, dtype=np.int64), np.empty(0)

    def popularity(self, scenario: Scenario) -> np.ndarray:
        """Zipf popularity (Section IV-A of the paper), the ranks shuffled over the models, (I,)."""
        ranks = zipf_popularity(len(scenario.catalogue), scenario.zipf)
        return np.random.default_rng(self.streams[0]).permutation(ranks)

    def arrivals(self, scenario: Scenario) -> np.ndarray:
        """How many requests arrive in each slot, a Poisson process, (T,)."""
        rate, slots = scenario.requests_per_slot, scenario.slots
        if rate != self.rate or slots > len(self.arrived):
            self.rate, self.arrived = rate, np.random.default_rng(self.streams[1]).poisson(rate, slots)
        return self.arrived[:slots]

    def uniform(self, requests: int) -> np.ndarray:
        """What chooses the model of each request, between 0 and 1, (N,)."""
        if requests > len(self.drawn):
            self.drawn = np.random.default_rng(self.streams[2]).random(requests)
        return self.drawn[:requests]

    def trace(self, scenario: Scenario) -> Trace:
        """The trace of this seed."""
        popularity, arrivals = self.popularity(scenario), self.arrivals(scenario)
        slot = np.repeat(np.arange(scenario.slots), arrivals)
        model = np.searchsorted(popularity.cumsum()[:-1], self.uniform(len(slot)), side="right")
        return Trace(slot, model, scenario.slots, popularity)


def poisson_trace(scenario: Scenario, seed: np.random.SeedSequence | int) -> Trace:
    """The trace of one seed, see Draws."""
    return Draws(seed).trace(scenario)


pass

NEVER = 2**62  # the number of a request that does not come


def next_requests(trace: Trace) -> np.ndarray:
    """The number (the first is 1) of the next request for the same model, after each request; NEVER if there is none; (N,)."""
    order = np.argsort(trace.model, kind="stable")
    following = np.full(len(trace), NEVER)
    again = trace.model[order[1:]] == trace.model[order[:-1]]
    following[order[:-1][again]] = order[1:][again] + 1
    following.flags.writeable = False
    return following


def requests_until_next(trace: Trace, clock, model) -> np.ndarray:
    """How many requests after request number `clock` (0: the start) `model` is asked for again, or requests left + 1 if never."""
    order = np.lexsort((np.arange(len(trace)), trace.model))
    keys = trace.model[order] * (len(trace) + 1) + order
    clock, model = np.broadcast_arrays(clock, model)
    found = np.searchsorted(keys, model * (len(trace) + 1) + clock)
    following = np.append(keys, -1)[found] - model * (len(trace) + 1)
    following = np.where((found < len(keys)) & (following < len(trace)), following, len(trace))
    return following + 1 - clock
