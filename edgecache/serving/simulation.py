"""Play the requests of a trace on a server, event by event."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..demand import Trace
from ..errors import InputError, PolicyError, unknown
from ..policies import POLICIES, find_policy
from ..policies.ranks import EvictionPolicy, constant_rank
from .arrivals import Arrivals
from .choosers import PlannedServing
from .event_loop import play
from .models import ServedModels, Server
from .rules import SERVER_RULES, Chooser, ServerRule, no_rule
from .start import start_state
from .state import ASK, EVENT, NEEDS_LOADER, NOT_A_RANK, POOL, SERVED

Rule = str | EvictionPolicy | ServerRule | Chooser
_NOTHING = np.empty(0, dtype=np.int64)
_NOTHING.flags.writeable = False


class Play:
    """A server that is fed with requests, part by part, and says of each what it waited for.

    Memory grows with the requests in flight and with the largest part, not with the number of parts.

    Parameters
    ----------
    server : Server
        Its limits.
    models : ServedModels
        What it serves.
    rule : str, EvictionPolicy, ServerRule or Chooser
        Who must leave where room is needed: any eviction policy of the package, the rule of a deployed server, or an object that
        chooses the whole set that stays.
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
        if server.in_turn and (models.priority != models.priority[0]).any():
            raise InputError("a server that starts requests in turn knows no priorities; give all models the same")
        if isinstance(self.rule, Chooser) and (models.priority != models.priority[0]).any():
            raise InputError(f"{self.rule.name!r} chooses whole sets and knows no priorities; give all models the same")
        self.first, self.ended = 0, False
        self.state = start_state(server, models, self.rule, seed, log)

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
        rank: Any = constant_rank
        rule: Any = no_rule
        if isinstance(self.rule, EvictionPolicy):
            rank = self.rule.rank or constant_rank
        elif isinstance(self.rule, ServerRule):
            rule = self.rule.rank
        requests = (arrivals.time_s, arrivals.model, arrivals.service_s, following, self.first)
        while (ended := play(*requests, state, last, rank, rule)) == ASK:
            self._answer()
        if ended == NOT_A_RANK:
            raise PolicyError(f"policy {self.rule.name!r}, second {world['now'][0]:g}: a rank is not a number (NaN)")
        self.first += len(arrivals)
        self.ended = last
        if last and world["in_flight"][0]:
            raise AssertionError(f"{world['in_flight'][0]} requests wait for ever")  # room.py says why this cannot be
        served = state.out[: world["reported"][0]].copy()
        world["reported"] = 0
        return served

    def _answer(self) -> None:
        """Ask the chooser which models stay, and mark the others."""
        state, asked = self.state, int(self.state.world["asked"][0])
        loaded = state.units["stage"] >= NEEDS_LOADER
        kept = self.rule.choose(asked, loaded.copy(), state.models["requests"][:-1])  # type: ignore[union-attr]  # a Chooser
        kept = kept | (state.units["pinned"] == 1)
        kept[self.models.base[kept & (self.models.base >= 0)]] = True  # the base of a model that stays cannot leave
        state.units["chosen"] = loaded & ~kept
        state.units["answered"][asked] = 1

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

    Examples
    --------
    >>> import edgecache as ec
    >>> run = serve(Server(), ServedModels(ec.load_catalogue()), Arrivals([0.0], [6], [0.25]))
    >>> isinstance(run, ServingRun), run.delay_s.tolist()
    (True, [0.55])
    """

    server: Server
    models: ServedModels
    rule: EvictionPolicy | ServerRule | Chooser
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
    rule : str, EvictionPolicy, ServerRule or Chooser
        Who must leave where room is needed; see `Play`. A planner may be named too, and then plans for these arrivals.
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
    planner = POLICIES.get(rule) if isinstance(rule, str) and rule not in SERVER_RULES else None
    if planner is not None and not isinstance(planner, EvictionPolicy):
        rule = PlannedServing(planner, server, models, arrivals)
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


def _found(rule: Any) -> EvictionPolicy | ServerRule | Chooser:
    """The rule of that name, or the rule itself."""
    if isinstance(rule, ServerRule) or (isinstance(rule, Chooser) and not isinstance(rule, type)):
        return rule
    if isinstance(rule, str) and rule in SERVER_RULES:  # in full, where the package has a policy of that name too, its rank alone
        return SERVER_RULES[rule]
    if isinstance(rule, str) and rule not in POLICIES:
        raise unknown("rule", rule, dict.fromkeys((*SERVER_RULES, *POLICIES)))
    policy = find_policy(rule)
    if isinstance(policy, EvictionPolicy):
        return policy
    raise InputError(
        f"policy {policy.name!r} plans whole deployments; give it as PlannedServing({policy.name!r}, server, models, arrivals)"
    )
