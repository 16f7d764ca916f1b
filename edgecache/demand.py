"""The demand: which model each request asks for, and when.

A `Trace` says what it is: its requests, its slots, and its own rate, slot length and popularity. Costs are booked by these, not by
the demand of the scenario that plays it. `poisson_trace` draws one as Section IV-A of the paper has it.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .catalogue import Catalogue
from .errors import InputError, unknown, whole_number
from .scenario import Scenario

NEVER = 2**62  # the number of a request that does not come
ROUNDING = 1e-9  # a sum of shares this close to one is one


@dataclass(frozen=True, eq=False)
class Trace:
    """A sequence of requests over time slots.

    Parameters
    ----------
    slot : array of int, shape (N,)
        The slot of each request, ascending from 0.
    model : array of int or of str, shape (N,)
        The model that each request asks for: its index in the catalogue, or its name where `catalogue` is given.
    slots : int
        How many slots there are, empty ones included.
    popularity : array of float, shape (I,), optional
        The true share of requests of each model. Counts are normalised. Without it: the shares within the trace.
    catalogue : Catalogue, optional
        The models. Needed where models are named, or where there is no popularity to count them by.
    requests_per_slot : float, optional
        The mean number of requests per slot. Without it: that of the trace.
    slot_length_s : float
        How long a slot lasts, in seconds. Energy is booked by it.

    Raises
    ------
    InputError
        Where the arrays do not belong together, or a value is none that a trace may have.

    Examples
    --------
    >>> import edgecache as ec
    >>> catalogue = ec.load_catalogue()
    >>> trace = ec.Trace([0, 0, 2], ["text_to_image", "text_to_speech", "text_to_image"], 3, catalogue=catalogue)
    >>> len(trace), trace.requests_per_slot, float(trace.popularity.max().round(3))
    (3, 1.0, 0.667)
    """

    slot: Any  # int64 (N,) once it is made
    model: Any  # int64 (N,) once it is made
    slots: int
    popularity: Any = None  # float (I,) once it is made
    _: KW_ONLY
    catalogue: Catalogue | None = None
    requests_per_slot: Any = None  # float once it is made
    slot_length_s: float = 60.0

    def __post_init__(self):
        whole_number("slots of a trace", self.slots)
        slot = _indices("slot", self.slot)
        model = _indices("model", _named(self.model, self.catalogue))
        if slot.shape != model.shape:
            raise InputError(f"a trace has one slot per request, but slot has shape {slot.shape} and model {model.shape}")
        if len(slot) and (slot[0] < 0 or slot[-1] >= self.slots or (np.diff(slot) < 0).any()):
            raise InputError(f"the slots of a trace must ascend from 0 to at most {self.slots - 1}")
        popularity = _popularity(self.popularity, model, self.catalogue)
        if len(model) and not (model.min() >= 0 and model.max() < len(popularity)):
            raise InputError(f"the models of a trace must lie between 0 and {len(popularity) - 1}")
        rate = len(slot) / int(self.slots) if self.requests_per_slot is None else self.requests_per_slot
        for name, value, least in (("requests_per_slot", rate, 0.0), ("slot_length_s", self.slot_length_s, 1e-12)):
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value < 1e12:
                raise InputError(f"{name} of a trace is {value!r}; it must be a number from {least:g} to 1e12")
        for name, array in (("slot", slot), ("model", model), ("popularity", popularity)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "slots", int(self.slots))
        object.__setattr__(self, "requests_per_slot", float(rate))
        object.__setattr__(self, "slot_length_s", float(self.slot_length_s))

    def __len__(self) -> int:
        return len(self.model)

    @cached_property
    def next_request(self) -> npt.NDArray[np.int64]:
        """Number of the next request for the same model after each request, (N,); the first is 1, NEVER where there is none."""
        order = np.argsort(self.model, kind="stable")
        following = np.full(len(self), NEVER)
        again = self.model[order[1:]] == self.model[order[:-1]]
        following[order[:-1][again]] = order[1:][again] + 1
        following.flags.writeable = False
        return following

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """Model and number of each request in one ascending key, (N,)."""
        order = np.argsort(self.model, kind="stable")
        return self.model[order] * (len(self) + 1) + order

    def requests_until(self, clock: npt.ArrayLike, model: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """How many requests after request number `clock` until `model` is asked for again; requests left + 1 if never.

        `clock` 0 is the start. The two broadcast together.
        """
        count, keys = len(self), self._places
        clock, model = np.broadcast_arrays(clock, model)
        place = np.searchsorted(keys, model * (count + 1) + clock)
        following = np.append(keys, -1)[place] - model * (count + 1)
        following = np.where((place < len(keys)) & (following < count), following, count)
        return following + 1 - clock

    def for_scenario(self, scenario: Scenario) -> "Trace":
        """The trace itself. Raises InputError where its models are not those of the scenario's catalogue."""
        models, catalogue = len(self.popularity), scenario.catalogue
        if models != len(catalogue):
            raise InputError(f"the trace has {models} models, but the catalogue has {len(catalogue)}")
        if self.catalogue is not None and self.catalogue.services != catalogue.services:
            pairs = zip(self.catalogue.services, catalogue.services, strict=True)
            place, names = next((place, pair) for place, pair in enumerate(pairs) if pair[0] != pair[1])
            raise InputError(f"the trace is for another catalogue: its model {place} is {names[0]!r}, here it is {names[1]!r}")
        return self


def _named(models: Any, catalogue: Catalogue | None) -> Any:
    """The indices of models that are given by name; indices as they are."""
    if isinstance(models, np.ndarray) and models.dtype.kind not in "OSUT":
        return models
    names = models.tolist() if isinstance(models, np.ndarray) else models
    if not isinstance(names, Sequence) or not any(isinstance(name, str) for name in names):
        return models
    if catalogue is None:
        raise InputError("the models of the trace are named; give its catalogue, or their indices")
    index = {service: number for number, service in enumerate(catalogue.services)}
    for name in names:
        if name not in index:
            raise unknown("model of the trace", name, catalogue.services)
    return [index[name] for name in names]


def _indices(name: str, values: Any) -> npt.NDArray[np.int64]:
    """Whole numbers as int64 (N,), copied."""
    try:
        array = np.array(values)
        whole = array.ndim == 1 and (array.dtype.kind in "iu" or not array.size)
    except ValueError:
        whole = False
    if not whole:
        raise InputError(f"{name} of a trace is {_shortened(values)}; it must be a sequence of whole numbers, one per request")
    return array.astype(np.int64)


def _popularity(given: Any, model: npt.NDArray[np.int64], catalogue: Catalogue | None) -> npt.NDArray[np.float64]:
    """Shares (I,) that sum to one: those given, or those of the trace."""
    if given is None:
        if catalogue is None:
            raise InputError("a trace needs the popularity of its models, or the catalogue to count them by")
        if len(model) and not (model.min() >= 0 and model.max() < len(catalogue)):
            raise InputError(f"the models of a trace must lie between 0 and {len(catalogue) - 1}")
        given = np.bincount(model, minlength=len(catalogue)) if len(model) else np.ones(len(catalogue))
    try:
        shares = np.array(given, dtype=float)
    except (TypeError, ValueError):
        shares = np.empty((0, 0))
    if shares.ndim != 1 or not shares.size or not (np.isfinite(shares) & (shares >= 0)).all() or not 0 < shares.sum() < np.inf:
        raise InputError(
            f"popularity of a trace is {_shortened(given)}; it must be one finite number of at least zero per model, not all zero"
        )
    if catalogue is not None and len(shares) != len(catalogue):
        raise InputError(f"popularity of a trace has {len(shares)} numbers, but its catalogue has {len(catalogue)} models")
    return shares if abs(shares.sum() - 1) <= ROUNDING else shares / shares.sum()


def _shortened(values: Any) -> str:
    """What was given, on one line of moderate length."""
    text = " ".join(repr(values).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


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
