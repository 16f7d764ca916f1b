"""What an operator's server serves: its models and its limits."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..catalogue import Catalogue
from ..errors import InputError, unknown

Floats = npt.NDArray[np.float64]

# What may be said per model: (default, least, most, whole number?).
_PER_MODEL: dict[str, tuple[float, float, float, bool]] = {
    "parallel": (1, 1, 1_000_000, True),
    "ttl_s": (np.inf, 0, np.inf, False),
    "priority": (0, -1_000_000, 1_000_000, True),
    "batch": (1, 1, 1_000_000, True),
    "batch_wait_s": (0, 0, 1e9, False),
    "batch_cost": (0, 0, 1, False),
    "read_gb": (0, 0, 1e9, False),
    "weight": (1, 1e-9, 1e9, False),
    "pinned": (0, 0, 1, True),
    "on_disk": (0, 0, 1, True),
}


@dataclass(frozen=True, eq=False)
class ServedModels:
    """The `I` models that a server offers, and how it serves each.

    Parameters
    ----------
    catalogue : Catalogue
        Sizes (GB), GPU memory (GB), power while running (kW), load time from disk (s) and service time (s) of each model.
    parallel : int or sequence of int
        How many requests, or batches, a model serves at once. Like each of the following, one value for all or one per model.
    ttl_s : float
        Idle time-out: an unused model is unloaded after so many seconds; infinite by default.
    priority : int
        Place in every line: a model of a lower number goes before all of a higher one.
    batch, batch_wait_s, batch_cost
        Up to `batch` requests of one model start together. An incomplete batch starts once its oldest request has waited
        `batch_wait_s`. A batch of n takes the longest service time x (1 + batch_cost (n - 1)).
    read_gb : float
        GB that a load reads from the disk and copies over the bus, shared with other loads. The catalogue's load time comes on top
        and shares nothing.
    weight : float
        How dear a reload is, for the rules that ask for it.
    pinned : bool
        Loaded from the start, and never unloaded.
    on_disk : bool
        On disk from the start.
    base : dict of str to str
        For an adapter, the model that it needs in memory besides itself: `{"adapter": "base"}`.

    Raises
    ------
    InputError
        For a value that is not allowed, or a base that is unknown or an adapter itself.

    Examples
    --------
    >>> import edgecache as ec
    >>> models = ServedModels(ec.load_catalogue(), ttl_s=300.0, pinned=[True] + [False] * 9)
    >>> models.ttl_s[:2].tolist(), models.pinned[:2].tolist()
    ([300.0, 300.0], [1, 0])
    """

    catalogue: Catalogue
    parallel: Any = None
    ttl_s: Any = None
    priority: Any = None
    batch: Any = None
    batch_wait_s: Any = None
    batch_cost: Any = None
    read_gb: Any = None
    weight: Any = None
    pinned: Any = None
    on_disk: Any = None
    base: Any = None

    def __post_init__(self) -> None:
        for name, (default, least, most, whole) in _PER_MODEL.items():
            given = getattr(self, name)
            values = self._column(name, default if given is None else given, whole)
            bad = np.flatnonzero(~((values >= least) & (values <= most)))
            if bad.size:
                service = self.catalogue.services[bad[0]]
                raise InputError(f"{name} of {service!r} is {values[bad[0]]:g}; it must be from {least:g} to {most:g}")
            object.__setattr__(self, name, values)
        if (low := np.flatnonzero(self.batch_wait_s * (self.batch == 1))).size:
            raise InputError(f"batch_wait_s of {self.catalogue.services[low[0]]!r} needs a batch of at least 2")
        object.__setattr__(self, "base", self._bases())

    def _column(self, name: str, given: Any, whole: bool) -> npt.NDArray:
        """One value per model, read-only (I,)."""
        try:
            values = np.broadcast_to(np.asarray(given, dtype=float), (len(self.catalogue),)).copy()
        except (TypeError, ValueError):
            raise InputError(f"{name} is {given!r}; it must be one number, or one per model ({len(self.catalogue)})") from None
        if whole and not (np.isfinite(values) & (values == np.round(values))).all():
            raise InputError(f"{name} is {given!r}; it must be a whole number, or one per model")
        values = values.astype(np.int64) if whole else values
        values.flags.writeable = False
        return values

    def _bases(self) -> npt.NDArray[np.int64]:
        """Index of each model's base, -1 without one, (I,)."""
        services = self.catalogue.services
        index = {service: number for number, service in enumerate(services)}
        base = np.full(len(services), -1, dtype=np.int64)
        given = self.base or {}
        for adapter, name in given.items():
            for service in (adapter, name):
                if service not in index:
                    raise unknown("model in base", service, services)
            if adapter == name or name in given:
                raise InputError(f"the base of {adapter!r} is {name!r}, which is an adapter itself; a base must be a whole model")
            base[index[adapter]] = index[name]
        base.flags.writeable = False
        return base

    def vary(self, **changes: Any) -> "ServedModels":
        """The same models with some settings changed."""
        services = self.catalogue.services
        bases = {services[adapter]: services[self.base[adapter]] for adapter in np.flatnonzero(self.base >= 0)}
        return replace(self, **({"base": bases} | changes))

    @cached_property
    def memory_gb(self) -> Floats:
        """GPU memory that each model takes together with its base, (I,)."""
        return self._with_base(self.catalogue.gpu_memory_gb)

    @cached_property
    def disk_gb(self) -> Floats:
        """Disk that each model takes together with its base, (I,)."""
        return self._with_base(self.catalogue.size_gb)

    def _with_base(self, column: Floats) -> Floats:
        return column + np.where(self.base >= 0, column[self.base], 0.0)

    def __len__(self) -> int:
        return len(self.catalogue)


@dataclass(frozen=True)
class Server:
    """The limits of a server. Infinite means that there is no such limit.

    Parameters
    ----------
    gpu_memory_gb, disk_gb
        Budgets of loaded models and of files, GB.
    link_gbps
        Rate of the link to the cloud, Gbit/s; fetches that run at once share it alike.
    disk_gb_per_s, bus_gb_per_s
        Rates of the disk and of the bus to the GPU, GB/s; loads that run at once share them alike. They move `read_gb` per load.
    loads_at_once, fetches_at_once
        How many loads and fetches run at once; 1 is one by one. The others wait in the order of the requests that need them.
    most_loaded
        How many models may be in GPU memory.
    power_budget_kw
        What all models in GPU memory may draw together, equation (3) of the paper.
    one_tier
        A model that leaves GPU memory leaves the disk too, as the paper has it.
    in_turn
        While a model waits for GPU memory, no request that came later starts, not even at a model that is loaded. Models must then
        have one priority.
    idle_kw, step_kw
        Power that is always drawn, and what is drawn in addition while any model is loaded. Running models draw theirs besides.
    cloud_delay_s
        What a request waits for the cloud to begin.
    cloud_cold
        Requests that find their model not loaded are served by the cloud, while the model is loaded for later ones.
    cloud_after_s
        A request that has waited so long is served by the cloud.
    cloud_queue
        A request that finds so many others waiting for its model is served by the cloud.

    Notes
    -----
    A model that the empty server cannot hold is always served by the cloud. Every request is served here or by the cloud; none is
    dropped.

    Raises
    ------
    InputError
        For a value that is not allowed.

    Examples
    --------
    >>> Server(gpu_memory_gb=24, link_gbps=1).gpu_memory_gb
    24.0
    """

    gpu_memory_gb: float = np.inf
    disk_gb: float = np.inf
    link_gbps: float = np.inf
    disk_gb_per_s: float = np.inf
    bus_gb_per_s: float = np.inf
    loads_at_once: float = 1
    fetches_at_once: float = 1
    most_loaded: float = np.inf
    power_budget_kw: float = np.inf
    one_tier: bool = False
    in_turn: bool = False
    idle_kw: float = 0.0
    step_kw: float = 0.0
    cloud_delay_s: float = 0.0
    cloud_cold: bool = False
    cloud_after_s: float = np.inf
    cloud_queue: float = np.inf

    def __post_init__(self) -> None:
        least = {"loads_at_once": 1, "fetches_at_once": 1, "most_loaded": 1, "cloud_queue": 1}
        above_zero = {"gpu_memory_gb", "disk_gb", "link_gbps", "disk_gb_per_s", "bus_gb_per_s", "power_budget_kw"}
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if field.type == "bool" or isinstance(field.default, bool):
                if not isinstance(value, bool | np.bool_):
                    raise InputError(f"{name} is {value!r}; it must be True or False")
                continue
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            low = least.get(name, 0)
            if not number or not value >= low or (name in above_zero and value == 0):
                raise InputError(
                    f"{name} is {value!r}; it must be a number {'above 0' if name in above_zero else f'of at least {low}'}"
                )
            if name in least and value != np.inf and value != round(value):
                raise InputError(f"{name} is {value!r}; it must be a whole number")
            object.__setattr__(self, name, float(value))

    def load_s(self, models: ServedModels) -> Floats:
        """How long each load takes on a server that does nothing else, s, (I,)."""
        read = models.read_gb / self.disk_gb_per_s + models.read_gb / self.bus_gb_per_s
        return models.catalogue.io_delay_s + read

    def fits(self, models: ServedModels) -> npt.NDArray[np.bool_]:
        """Which models the server can hold beside those that are pinned, (I,).

        Raises InputError where the pinned models do not fit together, or leave no room for a model that fits without them.
        """
        c, base = models.catalogue, models.base
        count = np.where(base >= 0, 2, 1)
        power = c.power_kw + np.where(base >= 0, c.power_kw[base], 0.0)
        alone = self._within(models.memory_gb, models.disk_gb, count, power)
        pinned = models.pinned.astype(bool)
        if not pinned.any():
            return alone
        pinned[base[pinned & (base >= 0)]] = True  # the base of a pinned adapter stays too
        kept = [float(column[pinned].sum()) for column in (c.gpu_memory_gb, c.size_gb, np.ones(len(c)), c.power_kw)]
        if not self._within(*(np.array([value]) for value in kept))[0]:
            raise InputError(f"the pinned models take {kept[0]:g} GB of GPU memory and {kept[1]:g} GB of disk; {self._limits()}")
        needs = []
        for column in (c.gpu_memory_gb, c.size_gb, np.ones(len(c)), c.power_kw):
            more = np.where(pinned, 0.0, column)
            needs.append(more + np.where(base >= 0, more[base], 0.0))
        beside = self._within(*(need + value for need, value in zip(needs, kept, strict=True)))
        if (shut_out := np.flatnonzero(alone & ~beside)).size:
            first = shut_out[0]
            raise InputError(
                f"the pinned models take {kept[0]:g} GB of GPU memory and {kept[1]:g} GB of disk, so {c.services[first]!r} "
                f"({models.memory_gb[first]:g} GB and {models.disk_gb[first]:g} GB) can never be loaded; {self._limits()}"
            )
        return alone

    def _within(self, memory: Floats, disk: Floats, count: Floats, power: Floats) -> npt.NDArray[np.bool_]:
        limits = (self.gpu_memory_gb, self.disk_gb, self.most_loaded, self.power_budget_kw)
        return np.logical_and.reduce([need <= limit for need, limit in zip((memory, disk, count, power), limits, strict=True)])

    def _limits(self) -> str:
        return f"the server has {self.gpu_memory_gb:g} GB and {self.disk_gb:g} GB"
