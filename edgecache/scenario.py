"""The scenario: everything that a simulation depends on except the policy and the seed, in one frozen object.

Vary it with `scenario.vary(storage_gb=80)`. The paper's text leaves some rules and numbers open. A *reading* fixes one of the
rules; READINGS lists them all, the literal choice first. NAMED gives sets of readings a name: `Scenario.named("delay")`.
"""

import dataclasses
import functools
import numbers
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .catalogue import Catalogue, load_catalogue
from .errors import InputError, unknown

# Each reading and the words it may take; the first is the default.
READINGS = {
    "charge": ("eviction", "absence", "miss"),
    "active_cycle": ("requests", "slots", "actual"),
    "popularity": ("estimated", "true"),
    "resource_unit": ("absolute", "capacity"),
    "resource_basis": ("slot", "decision"),
    "lfu": ("perfect", "in_cache"),
    "rate_basis": ("server", "model"),
    "scope": ("evict", "bypass", "prefetch", "free"),
    "decides": ("miss", "request"),
    "popularity_order": ("shuffled", "fixed"),
}
OPEN = ("w1", "w2", "beta", "arrival_rate", "zipf")  # the numbers that the paper's text leaves open
# What each named reading changes of the defaults, see Scenario.named.
NAMED: dict[str, dict[str, Any]] = {
    "literal": {},
    # reading 11811 of the 48,000 of `make readings`: of those with the shipped catalogue, the one of most claims in the second
    # look. data/results/readings.parquet has it, and a test holds the two together.
    "closest": {
        "charge": "absence",
        "popularity": "true",
        "scope": "free",
        "popularity_order": "fixed",
        "w2": 0.1013,
        "beta": 0.408,
        "arrival_rate": 0.7894,
        "zipf": 0.8365,
    },
    "delay": {"charge": "miss", "w2": 0.0},
}
POSITIVE = ("storage_gb", "gpu_memory_gb", "energy_capacity_kw", "bandwidth_gbps", "arrival_rate", "slot_length_s")
LARGEST = 1e12  # any number here: far beyond any server, and no sum or product of such numbers overflows
MOST = 1e8  # requests, and slots times models: tables of this size fit a laptop's memory


def _refuse_unknown_names(cls: Any) -> Any:
    """Make a dataclass raise the one clear sentence for an unknown parameter; its signature stays visible."""
    init = cls.__init__

    @functools.wraps(init)
    def __init__(self: Any, *values: Any, **parameters: Any) -> None:
        for name in parameters:
            if name not in cls.__dataclass_fields__:
                raise unknown("parameter", name, cls.__dataclass_fields__)
        init(self, *values, **parameters)

    cls.__init__ = __init__
    return cls


@_refuse_unknown_names
@dataclass(frozen=True)
class Scenario:
    """One edge server, its link, its demand, and how the paper is read.

    Parameters
    ----------
    catalogue
        The models that may be deployed; the paper's ten services by default.
    storage_gb
        S: storage of the server, GB.
    gpu_memory_gb
        G: GPU memory of the server, GB.
    energy_capacity_kw
        E: rated power of the server, kW.
    static_power_kw
        E_0: power that the server draws whatever is deployed, kW; below `energy_capacity_kw`.
    bandwidth_gbps
        B: bandwidth of the link from the cloud, Gbit/s.
    cloud_delay_s
        Delay, beside the inference, of a request that the cloud serves, s. The cloud serves the models that do not even fit an
        empty server.
    slots
        T: number of time slots.
    slot_length_s
        Length of a slot, s; only the energy depends on it.
    arrival_rate
        lambda: mean number of requests per slot (see `rate_basis`).
    rate_basis
        Reading: `arrival_rate` counts the requests for the whole `server`, or for each `model`.
    zipf
        Exponent of the Zipf popularity; 0 makes all models equally popular.
    w1
        Weight of the switching cost in the total cost, eq. 11.
    w2
        Weight of the resource cost in the total cost, eq. 11.
    beta
        Weight of GPU memory against storage in the resource cost, eq. 10.
    charge
        Reading: the switching cost is charged for each `eviction`, for each slot of `absence` of each model, or for what each
        `miss` fetches.
    active_cycle
        Reading: the active cycle of eq. 7 is estimated in `requests` or in `slots`, or it is the `actual` number of requests until
        the model is requested again.
    popularity
        Reading: the active cycle uses the popularity `estimated` from past requests, or the `true` one.
    resource_unit
        Reading: the resource cost counts GB (`absolute`), or shares of the server's `capacity`.
    resource_basis
        Reading: the resource cost is charged in every `slot`, or only in slots with a `decision`.
    lfu
        Reading: the request counts of LFU survive an eviction (`perfect`), or start anew at each deployment (`in_cache`).
    scope
        Reading: what a planner may choose at a miss. `evict`: keep the requested model and evict others. `bypass`: besides, let
        the requested model go as soon as it is served. `prefetch`: keep the requested model, and deploy any other models. `free`:
        any deployment. The requested model must fit beside the chosen deployment while it is served. Eviction policies always
        play `evict`.
    decides
        Reading: a planner decides at every `miss`, or at every `request` that the edge serves. The second lets it unload idle
        models at a hit too. Eviction policies always decide at misses.
    popularity_order
        Reading: the popularity ranks are `shuffled` over the models in every replication, or `fixed` in the catalogue's order.
        A catalogue with weights needs no ranks.

    Raises
    ------
    InputError
        One sentence with the parameter, its value and what is allowed: for unknown names, values out of range, servers that no
        model of the catalogue fits, and more requests or slots than memory holds.

    Examples
    --------
    >>> scenario = Scenario(storage_gb=80, charge="miss")
    >>> scenario.vary(storage_gb=60).storage_gb
    60.0
    >>> int(scenario.fits_empty_server.sum())
    10

    Notes
    -----
    Symbols and defaults are those of the paper's Sections II to IV where it states them. docs/model.md lists the rest.
    """

    catalogue: Catalogue = field(default_factory=load_catalogue)
    # the server and its link
    storage_gb: float = 120.0
    gpu_memory_gb: float = 12.0
    energy_capacity_kw: float = 1.0
    static_power_kw: float = 0.3
    bandwidth_gbps: float = 10.0
    cloud_delay_s: float = 0.0
    # demand
    slots: int = 100
    slot_length_s: float = 60.0
    arrival_rate: float = 1.0
    rate_basis: str = "server"
    zipf: float = 0.8
    # preferences
    w1: float = 1.0
    w2: float = 1.0
    beta: float = 1.0
    # readings
    charge: str = "eviction"
    active_cycle: str = "requests"
    popularity: str = "estimated"
    resource_unit: str = "absolute"
    resource_basis: str = "slot"
    lfu: str = "perfect"
    scope: str = "evict"
    decides: str = "miss"
    popularity_order: str = "shuffled"

    def __post_init__(self) -> None:
        if not isinstance(self.catalogue, Catalogue):
            raise InputError(f"catalogue is {self.catalogue!r}; it must be a Catalogue (see load_catalogue)")
        for parameter in dataclasses.fields(self)[1:]:
            name, value = parameter.name, getattr(self, parameter.name)
            if name not in READINGS:
                object.__setattr__(self, name, _number(name, value, whole=parameter.type is int))
            elif not isinstance(value, str) or value not in READINGS[name]:
                raise unknown(name, value, READINGS[name])
        self._check_limits()

    def _check_limits(self) -> None:
        """Raise InputError for values that do not go together."""
        if self.slots < 1:
            raise InputError(f"slots is {self.slots}; it must be at least 1")
        if self.slots * len(self.catalogue) > MOST:
            raise InputError(
                f"slots is {self.slots} and the catalogue has {len(self.catalogue)} models; slots times models must be at most 1e8"
            )
        if self.slots * self.requests_per_slot > MOST:
            raise InputError(
                f"slots is {self.slots} at {self.requests_per_slot:g} requests per slot; the requests must be at most 1e8"
            )
        if self.static_power_kw >= self.energy_capacity_kw:
            raise InputError(
                f"static_power_kw is {self.static_power_kw:g}; it must be below energy_capacity_kw, {self.energy_capacity_kw:g}"
            )
        if not self.fits_empty_server.any():
            storage, gpu_memory, power = self.catalogue.needs.min(axis=1)
            raise InputError(
                f"no model of the catalogue fits a server of {self.storage_gb:g} GB storage, {self.gpu_memory_gb:g} GB GPU "
                f"memory and {self.power_budget_kw:g} kW for models: the smallest needs are {storage:g} GB, "
                f"{gpu_memory:g} GB and {power:g} kW"
            )

    @classmethod
    def named(cls, reading: str, **changes: Any) -> Self:
        """Make the default scenario under a named reading.

        Parameters
        ----------
        reading
            `literal` is the default: the simplest reading of every word of the paper, not the one that flatters its method.
            `closest` supports the most of the paper's claims among the readings that `make readings` tried with the shipped
            catalogue and judged again. `delay` counts what users wait for and nothing else: 8 s / B + l at every miss.
        **changes
            Parameters to change besides.

        Returns
        -------
        Scenario
            The scenario.

        Raises
        ------
        InputError
            For a reading of no such name, and as Scenario raises it.

        Examples
        --------
        >>> Scenario.named("delay", slots=50).charge
        'miss'
        """
        return cls().vary(reading=reading, **changes)

    def vary(self, *, reading: str | None = None, **changes: Any) -> Self:
        """Copy the scenario with some parameters changed.

        Parameters
        ----------
        reading
            A named reading. It sets every reading and every open number (w1, w2, beta, arrival_rate, zipf) before the changes.
        **changes
            Parameters to change.

        Returns
        -------
        Scenario
            The copy; the original stays as it was.

        Raises
        ------
        InputError
            As Scenario raises it.

        Examples
        --------
        >>> Scenario().vary(w2=0.5, slots=10).w2
        0.5
        """
        if reading is not None:
            if not isinstance(reading, str) or reading not in NAMED:
                raise unknown("reading", reading, NAMED)
            defaults = {parameter.name: parameter.default for parameter in dataclasses.fields(self)}
            changes = {name: defaults[name] for name in (*READINGS, *OPEN)} | NAMED[reading] | changes
        return dataclasses.replace(self, **changes)

    @property
    def may_bypass(self) -> bool:
        """May a decision let the requested model go as soon as it is served? See `scope`."""
        return self.scope in ("bypass", "free")

    @property
    def may_prefetch(self) -> bool:
        """May a decision deploy models that nobody requested? See `scope`."""
        return self.scope in ("prefetch", "free")

    @property
    def power_budget_kw(self) -> float:
        """Power that the deployed models may draw together: E - E_0, kW."""
        return self.energy_capacity_kw - self.static_power_kw

    @property
    def requests_per_slot(self) -> float:
        """Mean number of requests per slot over all models."""
        return self.arrival_rate * (len(self.catalogue) if self.rate_basis == "model" else 1)

    @property
    def fits_empty_server(self) -> npt.NDArray[np.bool_]:
        """Which models an empty server could hold, (I,); the cloud serves the others."""
        return np.all(self.catalogue.needs <= self.capacities[:, None], axis=0)

    @property
    def capacities(self) -> npt.NDArray[np.float64]:
        """Storage (GB), GPU memory (GB) and power for models (kW), each with room for rounding errors of sums, (3,)."""
        return np.array([self.storage_gb, self.gpu_memory_gb, self.power_budget_kw]) * (1 + 1e-9)


def _number(name: str, value: Any, whole: bool) -> float | int:
    """Check a numeric parameter; return it as an int or a float."""
    kind: Any = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool | np.bool) or not isinstance(value, kind):
        raise InputError(f"{name} is {value!r}; it must be {'a whole number' if whole else 'a number'}")
    may_be_zero = name not in POSITIVE
    if not (1 / LARGEST <= value < LARGEST or (value == 0 and may_be_zero)):
        least = "at least" if may_be_zero else "above"
        raise InputError(f"{name} is {value}; it must be finite and {least} zero, and between 1e-12 and 1e12 where it is not zero")
    return int(value) if whole else float(value)
