"""A server before its first request, as records for the compiled loop."""

import numpy as np
import numpy.typing as npt

from ..demand import random_stream
from ..errors import InputError
from ..policies.contract import ABSENT, MODEL, ON_CLOUD, SERVER
from ..policies.ranks import EvictionPolicy
from .memory import hold_base_file, hold_memory
from .models import ServedModels, Server
from .rules import Chooser, ServerRule, no_rule
from .state import (
    CHANNEL,
    EVENT,
    LOADED,
    LOGGED,
    NEVER,
    PACKAGE_RANK,
    POOL,
    QUEUE_ORDER,
    SERVED,
    SERVER_RULE,
    UNIT,
    WORLD,
    State,
)  # fmt: skip

_COUNT = 2**62  # for "no limit" of a count


def start_state(
    server: Server, models: ServedModels, rule: EvictionPolicy | ServerRule | Chooser, seed: np.random.SeedSequence | int, log: int
) -> State:
    """The state before the first request, with room for so many rows of the log and none yet for requests."""
    records, machine = _package_records(server, models, seed)
    parts = [np.zeros(size, kind) for size, kind in ((0, EVENT), (0, POOL), (0, SERVED), (log, LOGGED))]
    state = State(records, machine, _units(server, models), _world(server, rule), _channels(server), *parts)
    _load_pinned(state, models)
    return state


def _units(server: Server, models: ServedModels) -> npt.NDArray:
    """The models before the first request, UNIT (I,)."""
    units = np.zeros(len(models), UNIT)
    for name in ("parallel", "ttl_s", "priority", "batch", "batch_wait_s", "batch_cost", "read_gb", "weight", "pinned", "base"):
        units[name] = getattr(models, name)
    units["start_s"] = models.catalogue.io_delay_s
    units["name_order"] = np.argsort(np.argsort(models.catalogue.services))
    units["load_s"] = server.load_s(models)
    units["first"] = units["last"] = -1
    units["cutoff"] = NEVER
    for adapter in np.flatnonzero(models.base >= 0):  # a base stands in lines where the foremost of its adapters does
        base = models.base[adapter]
        units["priority"][base] = min(units["priority"][base], units["priority"][adapter])
    for name in ("fetch_from", "fetch_to", "load_from", "load_to"):
        units[name] = -np.inf
    return units


def _world(server: Server, rule: EvictionPolicy | ServerRule | Chooser) -> npt.NDArray:
    """The server before the first request, WORLD (1,)."""
    world = np.zeros(1, WORLD)
    limits = {"fetch_slots": "fetches_at_once", "load_slots": "loads_at_once", "most_resident": "most_loaded"}
    for name, limit in (*limits.items(), ("cloud_queue", "cloud_queue")):
        value = getattr(server, limit)
        world[name] = _COUNT if value == np.inf else int(value)
    for name in ("one_tier", "in_turn", "cloud_cold", "cloud_after_s", "cloud_delay_s"):
        world[name] = getattr(server, name)
    world["next_transfer"], world["barrier"] = np.inf, NEVER
    if isinstance(rule, Chooser):
        world["victims"], world["by_request"], world["asks"] = QUEUE_ORDER, 1, 1
    elif isinstance(rule, ServerRule):
        world["victims"], world["by_request"] = (QUEUE_ORDER if rule.rank is no_rule else SERVER_RULE), 1
    else:
        world["victims"], world["by_request"] = (PACKAGE_RANK if rule.rank else QUEUE_ORDER), rule.queue == "request"
    return world


def _channels(server: Server) -> npt.NDArray:
    """Link, disk and bus, idle, CHANNEL (3,)."""
    channels = np.zeros(3, CHANNEL)
    channels["rate"] = server.link_gbps / 8, server.disk_gb_per_s, server.bus_gb_per_s
    channels["next"], channels["job"] = np.inf, -1
    return channels


def _package_records(server: Server, models: ServedModels, seed: np.random.SeedSequence | int) -> tuple[npt.NDArray, npt.NDArray]:
    """The records that ranks of the package read, as the paper's loop begins with them: MODEL (I + 1,) and SERVER (1,)."""
    c, size = models.catalogue, len(models)
    records, machine = np.zeros(size + 1, MODEL), np.zeros(1, SERVER)
    records["index"] = np.arange(size + 1)
    records["ahead"][size] = records["behind"][size] = size
    for feature in ("size_gb", "gpu_memory_gb", "power_kw", "io_delay_s", "inference_delay_s"):
        records[feature][:size] = getattr(c, feature)
    fetch = 8 * c.size_gb / server.link_gbps + c.io_delay_s
    records["fetch_delay_s"][:size] = fetch
    capacities = np.array([server.disk_gb, server.gpu_memory_gb, server.power_budget_kw])
    share = (c.needs / capacities[:, None]).max(axis=0)
    records["share"][:size] = np.where(share > 0, share, 1e-12)
    records["popularity"][:size] = 1 / size
    records["place"][:size] = np.where(server.fits(models), ABSENT, ON_CLOUD)
    machine["seed"] = random_stream(seed).generate_state(1, np.uint64)
    for name, capacity in zip(("storage_gb", "gpu_memory_gb", "power_kw"), capacities, strict=True):
        machine[name] = capacity
    return records, machine


def _load_pinned(state: State, models: ServedModels) -> None:
    """Put the pinned models, with their bases, into memory, and files that are there from the start on disk."""
    pinned = models.pinned.astype(bool)
    pinned[models.base[pinned & (models.base >= 0)]] = True
    there = pinned | models.on_disk.astype(bool)
    size_gb = models.catalogue.size_gb
    if size_gb[there].sum() > state.server["storage_gb"][0]:
        raise InputError(
            f"the files on disk from the start take {size_gb[there].sum():g} GB; the disk has {state.server['storage_gb'][0]:g} GB"
        )
    state.units["has_file"], state.units["pinned"] = there, pinned
    state.server["storage_gb"] -= size_gb[there].sum()
    for index in np.flatnonzero(pinned):
        _hold_pinned(state, int(index))
    state.world["logged"] = 0  # the log begins with the first request


def _hold_pinned(state: State, index: int) -> None:
    """Load a pinned model before the first request."""
    hold_base_file(state, index)
    hold_memory(state, index)
    state.units["stage"][index] = LOADED
