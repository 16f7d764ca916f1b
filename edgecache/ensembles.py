"""Ensembles: thousands of small runs in a few compiled calls, for searches over scenarios.

The runs are those of simulator.py and their costs those of results.py. What is saved is the Python between them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types

from .accounting import Charges
from .demand import Draws, random_stream
from .errors import InputError, PolicyError, unknown
from .loop import DONE, NOT_A_RANK, NOTHING, play_planner, play_queue, play_ranks, play_rising_ranks
from .policies import find_policy
from .policies.contract import DEPLOYED, MODEL_TYPE, RANK_TYPE, SERVER_TYPE, Policy
from .policies.exact import Exact
from .policies.genetic import GA
from .policies.knapsack import FEW
from .policies.planner_tables import EXACT, GENETIC, PlannerTables
from .policies.ranks import EvictionPolicy, constant_rank
from .results import add_up
from .scenario import Scenario
from .simulator import Game, empty_server

Floats = npt.NDArray[np.float64]
QUEUE, SCANNED, RISING = range(3)
OVERFILLED = -3
CAPACITIES = ("storage_gb", "gpu_memory_gb", "energy_capacity_kw")  # points that differ in these alone share their traces
POINTS = (*CAPACITIES, "slots", "arrival_rate", "zipf")  # what the points may differ in


def outcomes(
    scenario: Scenario,
    points: Sequence[Mapping[str, Any]],
    policies: Sequence[str | Policy],
    replications: Sequence[int],
    seed: int = 0,
) -> Floats:
    """Play every policy at every point in every replication.

    Parameters
    ----------
    scenario : Scenario
        What the points have in common.
    points : sequence of mapping
        What each point changes in the scenario, such as ``{"storage_gb": 80}``: parameters of POINTS.
    policies : sequence of str or Policy
        Eviction policies that know the past alone, Exact and the GA play in compiled calls, other policies one run at a time.
    replications : sequence of int
        Numbers of the replications.
    seed : int
        As for `simulate`.

    Returns
    -------
    array of float, shape (2, points, policies, replications)
        The `total_cost` and the `service_delay_s` of `Simulation.means`.

    Raises
    ------
    InputError
        Where nothing is to be played, and what Scenario and `simulate` raise.

    Examples
    --------
    >>> import edgecache as ec
    >>> outcomes(ec.Scenario(), [{"storage_gb": 80}], ["lru", "exact"], range(2))[0].round(1).tolist()
    [[[59.0, 49.3], [21.5, 18.3]]]
    """
    for name, given in (("points", points), ("policies", policies), ("replications", replications)):
        if not len(given):
            raise InputError(f"{name} is empty; it needs at least one")
    for name in (name for point in points for name in point):
        if name not in POINTS:
            raise unknown("parameter of an ensemble's points", name, POINTS)
    players = [find_policy(policy) for policy in policies]
    ensemble = Ensemble([scenario.vary(**point) for point in points], replications, seed)
    return np.stack([ensemble.play(player) for player in players], axis=2)


class _Runs(NamedTuple):
    """All runs as arrays: J traces end to end with N requests and T slots in all, P points, R runs, I models."""

    models: npt.NDArray[np.int64]  # the model of each request, (N,)
    slots: npt.NDArray[np.int64]  # its slot within its trace, (N,)
    first: npt.NDArray[np.int64]  # where the requests of each trace begin, (J + 1,)
    first_slot: npt.NDArray[np.int64]  # where its slots begin, (J + 1,)
    popularity: Floats  # (J, I)
    estimates: Floats  # what a decision takes each eviction to cost, (N, I)
    evicting: Floats  # what each eviction is booked at, (N, I)
    absent: Floats  # what each absence is booked at, (T, I) or (0, I)
    state: np.ndarray  # the models of an empty server, MODEL (P, I + 1)
    server: np.ndarray  # SERVER (P, 1)
    holding: Floats  # (P, I)
    capacities: Floats  # (P, 3)
    needs: Floats  # (3, I)
    size_gb: Floats  # (I,)
    power_kw: Floats  # (I,)
    fetching: Floats  # (I,)
    fetch_delay_s: Floats  # (I,)
    inference_delay_s: Floats  # (I,)
    cloud_delay_s: float
    charges_absence: bool
    decisions_only: bool
    hits_decide: bool
    trace: npt.NDArray[np.int64]  # of each run, (R,)
    point: npt.NDArray[np.int64]  # (R,)
    seed: npt.NDArray[np.uint64]  # (R,)


_I1, _F1, _F2 = types.int64[::1], types.float64[::1], types.float64[:, ::1]
_SEEN_I1, _SEEN_F1, _SEEN_F2 = (
    types.Array(kind, dimensions, "C", readonly=True)
    for kind, dimensions in ((types.int64, 1), (types.float64, 1), (types.float64, 2))
)
_RUNS = types.NamedTuple(
    (
        _SEEN_I1, _I1, _I1, _I1, _F2, _F2, _F2, _F2, MODEL_TYPE[:, ::1], SERVER_TYPE[:, ::1],
        _SEEN_F2, _F2, _SEEN_F2, _SEEN_F1, _SEEN_F1,
        _F1, _F1, _SEEN_F1, types.float64, types.boolean, types.boolean, types.boolean, _I1, _I1, types.uint64[::1],
    ),
    _Runs,
)  # fmt: skip


class Ensemble:
    """The runs of all points and replications, the points in turn; ready for any number of policies.

    Parameters
    ----------
    servers : sequence of Scenario
        One per point. They differ in parameters of POINTS alone.
    replications : sequence of int
        Numbers of the replications.
    seed : int
        As for `simulate`.

    Examples
    --------
    >>> import edgecache as ec
    >>> Ensemble([ec.Scenario(slots=20)], range(2)).play(ec.POLICIES["exact"], scope="bypass").shape
    (2, 1, 2)
    """

    def __init__(self, servers: Sequence[Scenario], replications: Sequence[int], seed: int = 0):
        self.servers, self.replications, self.seed = servers, replications, seed
        self.shape = len(servers), len(replications)
        # points that differ in capacities alone share their traces, and what events cost
        shared: dict[tuple, list[Charges]] = {}
        for server in servers:
            demand = server.slots, server.arrival_rate, server.zipf
            if demand not in shared:
                shared[demand] = [Charges.of(server, _draws(seed, number).trace(server)) for number in replications]
        self.charges = [charges for group in shared.values() for charges in group]
        group = [[*shared].index((server.slots, server.arrival_rate, server.zipf)) for server in servers]
        self.trace = (np.array(group)[:, None] * len(replications) + np.arange(len(replications))).ravel()
        self.runs = self._runs()

    def play(self, policy: Policy, scope: str | None = None) -> Floats:
        """The cost and the delay of every run of a policy, (2, points, replications).

        `scope` stands in for the reading of that name, in this call alone. It changes what a planner may decide, never what is
        booked, so the runs of all scopes share their traces and charges.
        """
        servers = self.servers if scope is None else [server.vary(scope=scope) for server in self.servers]
        if isinstance(policy, EvictionPolicy) and not policy.offline:
            results = self._play_ranks(policy)
        elif type(policy) is Exact:
            tables = self._tables(EXACT, servers[0])._replace(nodes=min(policy.nodes, FEW))
            results = _play_planner(self.runs, np.arange(len(self.trace)), tables)
            if np.isnan(results[:, 0]).any():  # a search needs more nodes than the compiled one may take
                results = self._play_one_by_one(policy, servers)
        elif type(policy) is GA and policy.operators is None:
            results = self._play_genetic(policy, servers[0])
        else:
            results = self._play_one_by_one(policy, servers)
        return results.T.reshape(2, *self.shape)

    def _play_ranks(self, policy: EvictionPolicy) -> Floats:
        kind = QUEUE if policy.rank is None else RISING if policy.rising else SCANNED
        results = np.empty((len(self.trace), 2))
        ended = _play_ranks(self.runs, policy.rank or constant_rank, kind, policy.queue == "request", results)
        if ended == NOT_A_RANK:
            raise PolicyError(f"policy {policy.name!r}: a rank is not a number (NaN)")
        if ended == OVERFILLED:
            raise PolicyError(f"policy {policy.name!r} writes to the state it ranks by, and overfilled the server")
        return results

    def _play_genetic(self, policy: GA, server: Scenario) -> Floats:
        """One replication at a time, for a run takes many random words; the points of a replication take the same."""
        results, shape = np.empty((len(self.trace), 2)), (policy.generations + 1, policy.population)
        tournament, crossover, mutation, convergence = policy.settings
        tables = self._tables(GENETIC, server)._replace(
            tournament=tournament, crossover=crossover, mutation=mutation, convergence=convergence
        )
        for place, number in enumerate(self.replications):
            runs = np.arange(place, len(self.trace), len(self.replications))
            longest = max(len(self.charges[trace].trace) for trace in self.trace[runs])
            words = np.random.default_rng(_policy_stream(self.seed, number)).bit_generator.random_raw(longest * shape[0] * shape[1])
            results[runs] = _play_planner(self.runs, runs, tables._replace(words=words.reshape(longest, *shape)))
        return results

    def _play_one_by_one(self, policy: Policy, servers: Sequence[Scenario]) -> Floats:
        """Any policy, by the ordinary simulator; one server per point."""
        results = np.empty((len(self.trace), 2))
        for run, (trace, point) in enumerate(zip(self.trace, self.runs.point, strict=True)):
            charges, number = (
                Charges(servers[point], self.charges[trace].trace),
                self.replications[run % len(self.replications)],
            )
            means = Game(charges, _policy_stream(self.seed, number)).play(policy).means()
            results[run] = means["total_cost"], means["service_delay_s"]
        return results

    def _tables(self, kind: int, server: Scenario) -> PlannerTables:
        """What the runs of a planner have in common; any of the servers will do."""
        return PlannerTables(
            kind,
            self.runs.needs,
            self.runs.capacities[0],
            may_bypass=server.may_bypass,
            may_prefetch=server.may_prefetch,
            hits_decide=self.runs.hits_decide,
            charges_absence=self.runs.charges_absence,
        )

    def _runs(self) -> _Runs:
        """The runs as arrays."""
        traces, servers = [charges.trace for charges in self.charges], self.servers
        by_point = [Charges(server, traces[0]) for server in servers]
        empty = [empty_server(charges, np.random.SeedSequence(0)) for charges in by_point]
        c, one = servers[0].catalogue, self.charges[0]
        seeds = [_policy_stream(self.seed, number).generate_state(1, np.uint64)[0] for number in self.replications]
        estimates = np.concatenate([charges.estimates(1, len(charges.trace)) for charges in self.charges])
        return _Runs(
            _read_only(np.concatenate([trace.model for trace in traces])),
            np.concatenate([trace.slot for trace in traces]),
            np.append(0, np.cumsum([len(trace) for trace in traces])),
            np.append(0, np.cumsum([trace.slots for trace in traces])),
            np.stack([trace.popularity for trace in traces]),
            estimates,
            estimates
            if one.books_estimates
            else np.concatenate([np.array(charges.evicting_table, order="C") for charges in self.charges]),
            np.concatenate([charges.absent for charges in self.charges]),
            np.stack([models for models, _ in empty]),
            np.stack([server for _, server in empty]),
            _read_only(np.stack([charges.holding for charges in by_point])),
            np.stack([server.capacities for server in servers]),
            c.needs,
            c.size_gb,
            c.power_kw,
            one.fetching,
            one.fetch_delay_s,
            c.inference_delay_s,
            one.scenario.cloud_delay_s,
            one.charges_absence,
            one.decisions_only,
            one.hits_decide,
            self.trace,
            np.repeat(np.arange(len(servers)), len(self.replications)),
            np.tile(np.array(seeds, dtype=np.uint64), len(servers)),
        )


@njit(types.Tuple((MODEL_TYPE[::1], SERVER_TYPE[::1]))(_RUNS, types.int64), cache=True)
def _start(runs, run):
    """The state of a run before its first request."""
    models, server = runs.state[runs.point[run]].copy(), runs.server[runs.point[run]].copy()
    server[0].seed = runs.seed[run]
    for i in range(runs.size_gb.size):
        models[i].popularity = runs.popularity[runs.trace[run], i]
    return models, server


_LOG = types.int64[:, ::1]


@njit(types.void(_RUNS, types.int64, SERVER_TYPE[::1], types.uint8[::1], _LOG, _LOG, types.float64[::1]), cache=True)
def _settle(runs, run, server, outcome, evictions, prefetches, result):
    """The mean cost per slot and the mean delay of the requests that the edge served."""
    trace, log = runs.trace[run], evictions[: server[0].evictions]
    begin, end, first_slot, last_slot = runs.first[trace], runs.first[trace + 1], runs.first_slot[trace], runs.first_slot[trace + 1]
    evicting = np.empty(len(log))
    for number in range(len(log)):
        evicting[number] = runs.evicting[begin + log[number, 0] - 1, log[number, 1]]
    absent = runs.absent[first_slot:last_slot] if len(runs.absent) else runs.absent
    total = add_up(
        runs.slots[begin:end], runs.models[begin:end], outcome, log, prefetches[: server[0].prefetches], last_slot - first_slot,
        evicting, runs.fetching, runs.holding[runs.point[run]], absent, runs.decisions_only, runs.hits_decide, runs.fetch_delay_s,
        runs.inference_delay_s, runs.cloud_delay_s, runs.size_gb, runs.power_kw, np.empty((0, 9)),
    )  # fmt: skip
    result[0] = (total[4] + total[5]) / (last_slot - first_slot)
    result[1] = total[6] / (end - begin - total[3]) if end - begin > total[3] else np.nan


@njit(types.boolean(_RUNS, types.int64, MODEL_TYPE[::1], SERVER_TYPE), cache=True)
def _adds_up(runs, point, models, now):
    """Is what is free on the server what the deployed models leave of it?"""
    free = (now.storage_gb, now.gpu_memory_gb, now.power_kw)
    for r in range(3):
        left = runs.capacities[point, r] - free[r]
        for i in range(runs.size_gb.size):
            if models[i].place == DEPLOYED:
                left -= runs.needs[r, i]
        if abs(left) > 1e-6 * (1 + runs.capacities[point, r]):
            return False
    return True


@njit(types.int64(_RUNS, types.FunctionType(RANK_TYPE), types.int64, types.boolean, types.float64[:, ::1]), cache=True)
def _play_ranks(runs, rank, kind, by_request, results):
    """Play every run with an eviction policy; DONE, NOT_A_RANK or OVERFILLED."""
    longest = np.diff(runs.first).max()
    outcome, evictions = np.empty(longest, dtype=np.uint8), np.empty((longest, 3), dtype=np.int64)
    nothing = np.empty((0, 2), dtype=np.int64)
    for run in range(runs.trace.size):
        requests = runs.models[runs.first[runs.trace[run]] : runs.first[runs.trace[run] + 1]]
        models, server = _start(runs, run)
        log = outcome[: requests.size], evictions
        if kind == QUEUE:
            play_queue(requests, models, server, log[0], evictions, by_request)
        elif kind == RISING:
            play_rising_ranks(requests, models, server, log[0], evictions, rank)
        elif play_ranks(requests, NOTHING, models, server, log[0], evictions, rank, by_request) == NOT_A_RANK:
            return NOT_A_RANK
        if not _adds_up(runs, runs.point[run], models, server[0]):
            return OVERFILLED
        _settle(runs, run, server, log[0], evictions, nothing, results[run])
    return DONE


@njit(cache=True)
def _play_planner(runs, chosen, common):
    """Play these runs with Exact or the GA; their costs and delays, (runs, 2), NaN where a search needs too many nodes."""
    longest, results = np.diff(runs.first).max(), np.empty((chosen.size, 2))
    prefetches = np.empty((longest * runs.size_gb.size if common.may_prefetch else 0, 2), dtype=np.int64)  # never full
    outcome, evictions = np.empty(longest, dtype=np.uint8), np.empty((longest + len(prefetches), 3), dtype=np.int64)
    for number, run in enumerate(chosen):
        point, begin, end = runs.point[run], runs.first[runs.trace[run]], runs.first[runs.trace[run] + 1]
        models, server = _start(runs, run)
        t = common
        tables = PlannerTables(
            t.kind, t.needs, runs.capacities[point], t.first, t.may_bypass, t.may_prefetch, t.hits_decide,
            runs.estimates[begin:end], runs.holding[point], t.charges_absence, t.nodes, t.words, t.tournament, t.crossover,
            t.mutation, t.convergence, t.head, t.after, t.without, t.size, t.values, t.held, t.left, t.fetching, t.slack,
            t.same_slot, t.saves,
        )  # fmt: skip
        if play_planner(runs.models[begin:end], models, server, outcome[: end - begin], evictions, prefetches, tables) != DONE:
            results[number] = np.nan
        else:
            _settle(runs, run, server, outcome[: end - begin], evictions, prefetches, results[number])
    return results


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@lru_cache(maxsize=256, typed=True)
def _draws(seed: int, replication: int) -> Draws:
    return Draws(random_stream(seed, replication, 0))


@lru_cache(maxsize=256, typed=True)
def _policy_stream(seed: int, replication: int) -> np.random.SeedSequence:
    return random_stream(seed, replication, 1)
