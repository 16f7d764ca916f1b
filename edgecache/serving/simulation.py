"""Play the requests of a trace on a server, event by event."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..demand import Trace, random_stream
from ..errors import InputError, PolicyError
from ..policies import find_policy
from ..policies.contract import ABSENT, DEPLOYED, MODEL, ON_CLOUD, SERVER
from ..policies.ranks import EvictionPolicy, constant_rank
from .event_loop import play
from .models import Arrivals, ServedModels, Server
from .rules import ServerRule, no_rule
from .state import (
    ASK,
    CHANNEL,
    EVENT,
    LOADED,
    LOGGED,
    NEVER,
    NOT_A_RANK,
    PACKAGE_RANK,
    POOL,
    QUEUE_ORDER,
    SERVED,
    SERVER_RULE,
    UNIT,
    WORLD,
    State,
)

Rule = str | EvictionPolicy | ServerRule
_NOTHING = np.empty(0, dtype=np.int64)
_NOTHING.flags.writeable = False
_COUNT = 2**62  # for "no limit" of a count


class Play:
    """A server that is fed with requests, part by part, and says of each what it waited for.

    Memory grows with the requests in flight and with the largest part, not with the number of parts.

    Parameters
    ----------
    server : Server
        Its limits.
    models : ServedModels
        What it serves.
    rule : str, EvictionPolicy or ServerRule
        Who must leave where room is needed: any eviction policy of the package, or the rule of a deployed server.
    seed : SeedSequence or int
        Of the policy `random`.
    log : int
        How many fetches, loads, evictions, time-outs and deletions to keep in `events`.

    Examples
    --------
    >>> import edgecache as ec
    >>> play = Play(Server(gpu_memory_gb=12), ServedModels(ec.load_catalogue()))
    >>> served = play.feed(Arrivals([0.0, 1.0], [0, 0], [8.0, 8.0]), last=True)
    >>> served["wait_s"].round(2).tolist()
    [40.37, 47.37]
    """

    def __init__(
        self, server: Server, models: ServedModels, rule: Rule = "lru", seed: np.random.SeedSequence | int = 0, log: int = 0
    ):
        self.server, self.models, self.rule = server, models, _found(rule)
        self.first, self.ended = 0, False
        units, world, channels = _units(models), _world(server, self.rule), _channels(server)
        records, machine = _package_records(server, models, seed)
        parts = [np.zeros(size, kind) for size, kind in ((0, EVENT), (0, POOL), (0, SERVED), (log, LOGGED))]
        self.state = State(records, machine, units, world, channels, *parts)
        _load_pinned(self.state, models)

    def feed(self, arrivals: Arrivals, last: bool = False, following: npt.NDArray[np.int64] = _NOTHING) -> npt.NDArray:
        """Play on through these requests.

        Parameters
        ----------
        arrivals : Arrivals
            The next requests, none before those already played.
        last : bool
            Do no more come? Then play on until every request has left.
        following : array of int, shape (N,), optional
            Number (from 1) of each request's next for the same model, for policies that know the future.

        Returns
        -------
        structured array of `state.SERVED`
            The requests that left meanwhile, in the order in which they left.
        """
        if self.ended:
            raise InputError("the last requests were played already; begin a new Play")
        if len(arrivals) and arrivals.model.max() >= len(self.models):
            raise InputError(f"a request asks for model {arrivals.model.max()}, but there are {len(self.models)} models")
        if len(arrivals) and arrivals.time_s[0] < self.state.world["now"][0]:
            raise InputError(f"a request arrives at {arrivals.time_s[0]:g} s, before the last one of the part before")
        self._grow(len(arrivals))
        state, world = self.state, self.state.world
        rank, rule = constant_rank, no_rule
        if isinstance(self.rule, EvictionPolicy):
            rank = self.rule.rank or constant_rank
        else:
            rule = self.rule.rank
        ended = play(arrivals.time_s, arrivals.model, arrivals.service_s, following, self.first, state, last, rank, rule)
        if ended == NOT_A_RANK:
            raise PolicyError(f"policy {self.rule.name!r}, second {world['now'][0]:g}: a rank is not a number (NaN)")
        assert ended != ASK
        self.first += len(arrivals)
        self.ended = last
        if last and world["in_flight"][0]:
            raise AssertionError(f"{world['in_flight'][0]} requests wait for ever")  # room.py says why this cannot be
        served = state.out[: world["reported"][0]].copy()
        world["reported"] = 0
        return served

    def _grow(self, coming: int) -> None:
        """Make room for the requests in flight and those that come, and for their events."""
        state, world = self.state, self.state.world
        in_flight, old = int(world["in_flight"][0]), state.pool
        if in_flight + coming > len(old):
            pool = np.zeros(in_flight + coming, POOL)
            pool[: len(old)] = old
            # the chain of free records ended at number len(old), which now exists
            pool["next"][len(old) :] = np.arange(len(old) + 1, len(pool) + 1)
            heap = np.zeros(len(pool) + 4 * len(self.models) + 8, EVENT)
            heap[: len(state.heap)] = state.heap
            state = state._replace(pool=pool, heap=heap)
        if in_flight + coming > len(state.out):
            state = state._replace(out=np.zeros(in_flight + coming, SERVED))
        self.state = state

    @property
    def events(self) -> npt.NDArray:
        """What happened to models, structured array of `state.LOGGED`, as far as the log holds it."""
        return self.state.log[: self.state.world["logged"][0]]


@dataclass(frozen=True, eq=False)
class ServingRun:
    """What became of the requests of one trace.

    Parameters
    ----------
    server, models, rule
        Who served them.
    requests : structured array of `state.SERVED`, shape (N,)
        One row per request, in the order of arrival.
    events : structured array of `state.LOGGED`
        Fetches, loads, evictions, time-outs and deletions of files.
    play : Play
        The server at the end.
    """

    server: Server
    models: ServedModels
    rule: EvictionPolicy | ServerRule
    requests: npt.NDArray
    events: npt.NDArray
    play: Play

    @property
    def wait_s(self) -> npt.NDArray[np.float64]:
        """How long each request waited before it was served, (N,)."""
        return self.requests["wait_s"]

    @property
    def delay_s(self) -> npt.NDArray[np.float64]:
        """How long each request waited and was served, (N,)."""
        return self.requests["wait_s"] + self.requests["service_s"]


def serve(
    server: Server, models: ServedModels, arrivals: Arrivals, rule: Rule = "lru", seed: np.random.SeedSequence | int = 0
) -> ServingRun:
    """Play all requests of a trace on a server.

    Parameters
    ----------
    server : Server
        Its limits.
    models : ServedModels
        What it serves.
    arrivals : Arrivals
        The requests.
    rule : str, EvictionPolicy or ServerRule
        Who must leave where room is needed.
    seed : SeedSequence or int
        Of the policy `random`.

    Returns
    -------
    ServingRun

    Raises
    ------
    InputError
        For an unknown rule, or pinned models that leave no room for another.

    Examples
    --------
    Loading takes 3.5 s and serving 8 s; the second request waits for the load and for the first.

    >>> import edgecache as ec
    >>> one = ec.Catalogue(("chat",), [4], [4], [0.2], [3.5], [8])
    >>> serve(Server(gpu_memory_gb=12), ServedModels(one), Arrivals([0, 1], [0, 0], [8, 8])).wait_s.tolist()
    [3.5, 10.5]
    """
    play = Play(server, models, rule, seed, log=14 * len(arrivals) + 4 * len(models))
    following = _NOTHING
    if isinstance(play.rule, EvictionPolicy) and play.rule.offline:
        following = Trace(np.zeros(len(arrivals), int), arrivals.model, 1, np.ones(len(models))).next_request
    served = play.feed(arrivals, last=True, following=following)
    requests = np.empty_like(served)
    requests[served["request"]] = served
    return ServingRun(server, models, play.rule, requests, play.events, play)


def serve_parts(
    server: Server, models: ServedModels, parts: Iterable[Arrivals], rule: Rule = "lru", seed: np.random.SeedSequence | int = 0
) -> Iterator[npt.NDArray]:
    """Play a trace that comes in parts, in memory that does not grow with their number.

    Parameters
    ----------
    server, models, rule, seed
        As in `serve`.
    parts : iterable of Arrivals
        The requests, in order.

    Yields
    ------
    structured array of `state.SERVED`
        The requests that left during a part.

    Examples
    --------
    >>> import edgecache as ec
    >>> parts = (Arrivals([hour * 3600.0], [0], [8.0]) for hour in range(3))
    >>> sum(len(served) for served in serve_parts(Server(), ServedModels(ec.load_catalogue()), parts))
    3
    """
    play = Play(server, models, rule, seed)
    for part in parts:
        yield play.feed(part)
    yield play.feed(Arrivals([], [], []), last=True)


def _found(rule: Any) -> EvictionPolicy | ServerRule:
    """The rule of that name, or the rule itself."""
    if isinstance(rule, ServerRule):
        return rule
    policy = find_policy(rule)
    if isinstance(policy, EvictionPolicy):
        return policy
    raise InputError(f"policy {policy.name!r} plans whole deployments; serve takes an eviction policy or the rule of a server")


def _units(models: ServedModels) -> npt.NDArray:
    """The models before the first request, UNIT (I,)."""
    units = np.zeros(len(models), UNIT)
    for name in ("parallel", "ttl_s", "priority", "batch", "batch_wait_s", "batch_cost", "read_gb", "weight", "pinned", "base"):
        units[name] = getattr(models, name)
    units["start_s"] = units["load_s"] = models.catalogue.io_delay_s
    units["first"] = units["last"] = -1
    units["cutoff"] = NEVER
    for adapter in np.flatnonzero(models.base >= 0):  # a base stands in lines where the foremost of its adapters does
        base = models.base[adapter]
        units["priority"][base] = min(units["priority"][base], units["priority"][adapter])
    for name in ("fetch_from", "fetch_to", "load_from", "load_to"):
        units[name] = -np.inf
    return units


def _world(server: Server, rule: EvictionPolicy | ServerRule) -> npt.NDArray:
    """The server before the first request, WORLD (1,)."""
    world = np.zeros(1, WORLD)
    limits = {"fetch_slots": "fetches_at_once", "load_slots": "loads_at_once", "most_resident": "most_loaded"}
    for name, limit in (*limits.items(), ("cloud_queue", "cloud_queue")):
        value = getattr(server, limit)
        world[name] = _COUNT if value == np.inf else int(value)
    for name in ("one_tier", "cloud_cold", "cloud_after_s", "cloud_delay_s"):
        world[name] = getattr(server, name)
    world["next_transfer"] = np.inf
    if isinstance(rule, ServerRule):
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
        hold_pinned(state, index)


def hold_pinned(state: State, index: int) -> None:
    """Load a pinned model before the first request."""
    from .requests import hold_base_file, hold_memory

    hold_base_file(state, index)
    hold_memory(state, index)
    state.units["stage"][index] = LOADED
