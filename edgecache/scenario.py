"""The scenario: everything a simulation depends on but the policy and the seed, in one frozen object.

Vary it with `scenario.vary(storage_gb=80)`. The readings, what the paper's lost symbols leave open, are the fields whose type
is a choice of words; the first word is the default and the most literal. Some readings have a name: `Scenario.named("delay")`.
"""

import dataclasses
import numbers
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from .catalogue import Catalogue, load_catalogue
from .errors import InputError, unknown

pass

# Each reading and the words it may take; the first is the default.
READINGS = {
    "charge": ("eviction", "absence", "miss"),
    "active_cycle": ("requests", "slots", "actual"),
    "popularity": ("estimated", "true"),
    "resource_unit": ("absolute", "capacity"),
    "resource_basis": ("slot", "decision"),
    "lfu": ("perfect", "in_cache"),
    "rate_basis": ("server", "model"),
}
# What each named reading changes of the defaults: switches, and the numbers that the paper leaves open.
NAMED = {
    "literal": {},  # the default: the simplest reading of every word, not the one that flatters
    # reading 2535 of the 20,000 of `make readings`: of those with the shipped catalogue the one of most claims;
    # data/results/readings.parquet has it, and a test holds the two together
    "closest": {
        "charge": "absence",
        "active_cycle": "slots",
        "popularity": "true",
        "w2": 0.2515,
        "beta": 0.8582,
        "arrival_rate": 3.329,
        "zipf": 1.514,
    },
    "delay": {"charge": "miss", "w2": 0.0},  # what users wait for: 8 s / B + l at every miss, and nothing else
}
OPEN = ("w1", "w2", "beta", "arrival_rate", "zipf")  # the numbers that the paper's text leaves open
LARGEST = 1e12  # of any number here: far beyond any server, and no sum or product of such numbers overflows
MOST_REQUESTS = 1e8  # of a trace: what memory holds with ease
POSITIVE = ("storage_gb", "gpu_memory_gb", "energy_capacity_kw", "bandwidth_gbps", "arrival_rate", "slot_length_s")


@dataclass(frozen=True)
class Scenario:
    """One edge server, its link, its demand and how the paper is read.

    Raises InputError, naming the parameter, its value and what is allowed, for unknown names, values out of range and
    servers that not a single model of the catalogue fits.
    """

    catalogue: Catalogue = field(default_factory=load_catalogue)
    # the server and its link
    storage_gb: float = 120.0  # S
    gpu_memory_gb: float = 12.0  # G
    energy_capacity_kw: float = 1.0  # E, rated power of the server
    static_power_kw: float = 0.3  # E_0, drawn whatever is deployed
    bandwidth_gbps: float = 10.0  # B, from the cloud, Gbit/s
    cloud_delay_s: float = 0.0  # extra delay of a request served by the cloud (a model no empty server could hold)
    # demand
    slots: int = 100  # T
    slot_length_s: float = 60.0
    arrival_rate: float = 1.0  # lambda, mean requests a slot (see rate_basis)
    rate_basis: str = "server"  # the rate is of the whole `server`, or of each `model`
    zipf: float = 0.8  # exponent of the popularity; 0 makes all models equally popular
    # preferences
    w1: float = 1.0  # weight of the switching cost
    w2: float = 1.0  # weight of the resource cost
    beta: float = 1.0  # weight of GPU memory against storage, eq. 10
    # readings
    charge: str = "eviction"  # switching is charged per `eviction`, slot of `absence`, or `miss`
    active_cycle: str = "requests"  # a_i in requests (1/p_i), in `slots`, or the `actual` distance to the next request
    popularity: str = "estimated"  # p_i from the request history, or the `true` one
    resource_unit: str = "absolute"  # resources in GB, or as shares of the server's `capacity`
    resource_basis: str = "slot"  # resources are charged every slot, or in slots with a `decision`
    lfu: str = "perfect"  # LFU's counts survive eviction, or start anew `in_cache`

    def __new__(cls, /, *_, **parameters):
        for name in parameters:
            if name not in cls.__dataclass_fields__:
                raise unknown("parameter", name, cls.__dataclass_fields__)
        return super().__new__(cls)

    def __post_init__(self):
        if not isinstance(self.catalogue, Catalogue):
            raise InputError(f"catalogue is {self.catalogue!r}; it must be a Catalogue (see load_catalogue)")
        for f in dataclasses.fields(self)[1:]:
            value = getattr(self, f.name)
            if f.name in READINGS:
                if not isinstance(value, str) or value not in READINGS[f.name]:
                    raise unknown(f.name, value, READINGS[f.name])
            else:
                object.__setattr__(self, f.name, _checked(f.name, f.type, value))
        if self.slots > MOST_REQUESTS or self.slots * self.requests_per_slot > MOST_REQUESTS:
            raise InputError(
                f"slots is {self.slots} at {self.requests_per_slot:g} requests a slot; slots and requests must each be at most 1e8"
            )
        if self.static_power_kw >= self.energy_capacity_kw:
            raise InputError(
                f"static_power_kw is {self.static_power_kw:g}; it must be below energy_capacity_kw, {self.energy_capacity_kw:g}"
            )
        if not self.fits_empty_server.any():
            c = self.catalogue
            raise InputError(
                f"no model of the catalogue fits a server of {self.storage_gb:g} GB storage, {self.gpu_memory_gb:g} GB GPU "
                f"memory and {self.power_budget_kw:g} kW for models: the smallest needs are {c.size_gb.min():g} GB, "
                f"{c.gpu_memory_gb.min():g} GB and {c.power_kw.min():g} kW"
            )

    @classmethod
    def named(cls, reading: str, **changes) -> Self:
        """The default scenario under a reading of NAMED, with some parameters changed."""
        return cls().vary(reading=reading, **changes)

    def vary(self, *, reading: str | None = None, **changes) -> Self:
        """The same scenario with some parameters changed; a `reading` of NAMED sets every switch and open number first."""
        if reading is not None:
            if not isinstance(reading, str) or reading not in NAMED:
                raise unknown("reading", reading, NAMED)
            words = {name: self.__dataclass_fields__[name].default for name in (*READINGS, *OPEN)}
            changes = words | NAMED[reading] | changes
        return dataclasses.replace(self, **changes)

    @property
    def power_budget_kw(self) -> float:
        """What the deployed models may draw together: E - E_0, kW."""
        return self.energy_capacity_kw - self.static_power_kw

    @property
    def requests_per_slot(self) -> float:
        """Mean requests a slot over all models."""
        return self.arrival_rate * (len(self.catalogue) if self.rate_basis == "model" else 1)

    @property
    def fits_empty_server(self) -> np.ndarray:
        """Which models an empty server could hold, bool (I,); the cloud serves the others."""
        c = self.catalogue
        needs = np.stack([c.size_gb, c.gpu_memory_gb, c.power_kw])
        return (needs <= self.capacities[:, None]).all(axis=0)

    @property
    def capacities(self) -> np.ndarray:
        """Storage (GB), GPU memory (GB) and power for models (kW), each with room for rounding errors of sums, (3,)."""
        return np.array([self.storage_gb, self.gpu_memory_gb, self.power_budget_kw]) * (1 + 1e-9)


def _checked(name: str, kind: type, value: object) -> float | int:
    wanted = numbers.Integral if kind is int else numbers.Real
    if isinstance(value, bool | np.bool) or not isinstance(value, wanted):
        raise InputError(f"{name} is {value!r}; it must be {'a whole number' if kind is int else 'a number'}")
    if not 0 <= value < LARGEST or (value == 0 and name in POSITIVE) or 0 < value < 1 / LARGEST:
        least = "above" if name in POSITIVE else "at least"
        shown = value if isinstance(value, numbers.Integral) else f"{value:g}"
        raise InputError(f"{name} is {shown}; it must be finite and {least} zero, and between 1e-12 and 1e12 where it is not zero")
    if name == "slots" and value < 1:
        raise InputError(f"slots is {value}; it must be at least 1")
    return kind(value)
