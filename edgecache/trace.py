"""The trace: which model each request asks for, and when.

A `Trace` says what it is: its requests, its slots, and its own rate, slot length and popularity. Costs are booked by these, not by
the demand of the scenario that plays it. It is drawn by a demand (see `demand` and workloads/), or made of a log (see logs/).
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .catalogue import Catalogue
from .errors import InputError, whole_number
from .logs.mapping import map_models
from .logs.reading import log_of_table
from .logs.request_log import RequestLog
from .logs.slots import slots_of
from .scenario import Scenario
from .trace_arrays import indices_of, moments, shares_of, whole_numbers

NEVER = 2**62  # the number of a request that does not come


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
    time_s : array of float, shape (N,), optional
        When each request comes: seconds from the start of the trace, ascending.
    duration_s : array of float, shape (N,), optional
        How long each request took where it was logged, s; NaN where the log does not say. No cost depends on it.

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
    time_s: Any = None  # float64 (N,), or None
    duration_s: Any = None  # float64 (N,), or None

    def __post_init__(self):
        whole_number("slots of a trace", self.slots)
        slot = whole_numbers("slot", self.slot)
        model = whole_numbers("model", indices_of(self.model, self.catalogue))
        if slot.shape != model.shape:
            raise InputError(f"a trace has one slot per request, but slot has shape {slot.shape} and model {model.shape}")
        if len(slot) and (slot[0] < 0 or slot[-1] >= self.slots or (np.diff(slot) < 0).any()):
            raise InputError(f"the slots of a trace must ascend from 0 to at most {self.slots - 1}")
        popularity = shares_of(self.popularity, model, self.catalogue)
        if len(model) and not (model.min() >= 0 and model.max() < len(popularity)):
            raise InputError(f"the models of a trace must lie between 0 and {len(popularity) - 1}")
        rate = len(slot) / int(self.slots) if self.requests_per_slot is None else self.requests_per_slot
        for name, value, least in (("requests_per_slot", rate, 0.0), ("slot_length_s", self.slot_length_s, 1e-12)):
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value < 1e12:
                raise InputError(f"{name} of a trace is {value!r}; it must be a number from {least:g} to 1e12")
        for name, array in (("slot", slot), ("model", model), ("popularity", popularity)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        for name in ("time_s", "duration_s"):
            object.__setattr__(self, name, moments(name, getattr(self, name), len(slot)))
        object.__setattr__(self, "slots", int(self.slots))
        object.__setattr__(self, "requests_per_slot", float(rate))
        object.__setattr__(self, "slot_length_s", float(self.slot_length_s))

    def __len__(self) -> int:
        return len(self.model)

    @classmethod
    def from_table(
        cls,
        frame: Any,
        *,
        time: str | None = None,
        model: str | None = None,
        where: Mapping[str, str] | None = None,
        time_unit: str | None = None,
        duration: str | None = None,
        **options: Any,
    ) -> Self:
        """Make a trace of a table of requests.

        Parameters
        ----------
        frame : DataFrame, mapping of columns, or pyarrow.Table
            One row per request. The rows need not be in order.
        time, model, where, time_unit, duration
            The columns and the rows to take: see `logs.reading.read_log`.
        **options
            The catalogue, the mapping and the slots: see `from_log`.

        Returns
        -------
        Trace

        Raises
        ------
        InputError
            As `read_log` and `from_log` raise it.

        Examples
        --------
        >>> import edgecache as ec
        >>> table = {"when": ["2024-05-10 12:00:00", "2024-05-10 12:01:30"], "model": ["text_to_image", "text_to_speech"]}
        >>> trace = ec.Trace.from_table(table, time="when", catalogue=ec.load_catalogue())
        >>> trace.slot.tolist(), trace.model.tolist(), trace.time_s.tolist()
        ([0, 1], [0, 6], [0.0, 90.0])
        """
        log = log_of_table(frame, time=time, model=model, where=where, time_unit=time_unit, duration=duration)
        return cls.from_log(log, **options)

    @classmethod
    def from_log(
        cls,
        log: RequestLog,
        catalogue: Catalogue | None = None,
        *,
        map: str | Path | Mapping[str, str] | None = None,
        missing: str = "error",
        slot_s: float = 60.0,
        requests_per_slot: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> Self:
        """Make a trace of a request log.

        Parameters
        ----------
        log : RequestLog
            What `read_log` returned.
        catalogue : Catalogue, optional
            The models. Without it the log's own models are numbered from the most requested one on.
        map, missing, rng
            Which model of the catalogue each model of the log is: see `logs.mapping.map_models`.
        slot_s : float
            Length of a slot, s.
        requests_per_slot : int, optional
            Cut the log into slots of so many requests instead.

        Returns
        -------
        Trace
            Its popularity is the share of each model within the log.

        Raises
        ------
        InputError
            Where the log names no models, where none is in the catalogue, or where the slots are too many.

        Examples
        --------
        >>> import edgecache as ec
        >>> log = log_of_table({"t": [0, 50, 70], "model": ["a", "b", "b"]})
        >>> ec.Trace.from_log(log, ec.load_catalogue(), slot_s=60).model.tolist()
        [1, 0, 0]
        """
        index, _ = map_models(log, catalogue, map, missing=missing, rng=rng)
        model = index[log.named]
        kept = slice(None) if (index >= 0).all() else model >= 0
        model, time_s = model[kept], log.time_s[kept]
        time_s = time_s - time_s[0]
        slot, slots, length = slots_of(time_s, slot_s, requests_per_slot, log.source)
        duration_s = None if log.duration_s is None else log.duration_s[kept]
        shares = np.bincount(model, minlength=len(log.models) if catalogue is None else len(catalogue))
        return cls(slot, model, slots, shares, catalogue=catalogue, slot_length_s=length, time_s=time_s, duration_s=duration_s)

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
