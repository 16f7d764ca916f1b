"""Replay a trace with real networks: a process loads, runs and unloads them as the simulator decides.

A hit runs a network that is in memory. A miss evicts what the policy evicts, loads the requested network cold from disk and runs
it. Transmission from the cloud is computed on both sides, as 8 x size / bandwidth. The difference to the prediction shows what
two numbers per model leave out: the variation of loads and executions, longer first executions, effects of networks on each
other, and changes of the machine's pace. Policies take turns, request by request, so that disturbances affect them alike.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..catalogue import load_catalogue
from ..costs import preloading_delay_s, transmission_delay_s
from ..demand import Trace, poisson_trace, random_stream
from ..errors import InputError
from ..files import write_table
from ..results import MISS, Simulation
from ..scenario import Scenario
from ..simulator import simulate
from . import machine
from .contract import Backend, Network
from .measurement import BACKENDS, network_folder
from .profile_files import read_profile
from .profiles import Profile
from .worker import Worker

DEFAULT_POLICIES = ("lru", "ga", "optimal-online")
SERVER_SHARES = (120 / 142.14, 12 / 26.8)  # the paper's default server as shares of its catalogue's storage and GPU memory


def proportionate(catalogue: str | Path, **changes: Any) -> Scenario:
    """Make a scenario whose server is as small for a catalogue as the paper's server is for the shipped one.

    Parameters
    ----------
    catalogue : str or pathlib.Path
        A catalogue file, such as `profile` writes.
    **changes
        Any parameters of `Scenario`.

    Returns
    -------
    Scenario
        With 30 slots by default.

    Raises
    ------
    InputError
        For a file that is no catalogue, and for wrong parameters.

    Examples
    --------
    >>> from edgecache.catalogue import SHIPPED
    >>> server = proportionate(SHIPPED)
    >>> round(server.storage_gb, 6), round(server.gpu_memory_gb, 6), server.slots
    (120.0, 12.0, 30)
    """
    models = load_catalogue(catalogue)
    needs = (models.size_gb, models.gpu_memory_gb)
    storage, memory = (max(share * need.sum(), need.max()) for share, need in zip(SERVER_SHARES, needs, strict=True))
    return Scenario(**{"catalogue": models, "storage_gb": storage, "gpu_memory_gb": memory, "slots": 30} | changes)


def replay(
    profile: str | Path,
    policies: Sequence[Any] = DEFAULT_POLICIES,
    scenario: Scenario | None = None,
    *,
    seed: int = 0,
    networks: Path | None = None,
    models: Mapping[str, str] | None = None,
    partial: Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Play one trace under each policy with the networks of a measured profile.

    Parameters
    ----------
    profile : str or pathlib.Path
        The catalogue that `profile` wrote on this machine.
    policies : sequence
        Names or policies, as `simulate` takes them.
    scenario : Scenario, optional
        By default that of `proportionate`. Its GPU memory is the memory budget of the networks.
    seed : int
    networks : pathlib.Path, optional
        A folder where the networks are kept. By default they are removed afterwards.
    models : mapping, optional
        The user's own model files by service, where the profile is of such models.
    partial : pathlib.Path, optional
        Where an interrupted replay writes its finished requests.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        One row per request and policy. `predicted_s` and `measured_s` are delays, with `transmission_s` computed in both;
        `load_s` and `run_s` are measured, `load_predicted_s` and `run_predicted_s` come from the catalogue. `memory_bytes` is
        the memory of all loaded networks after the request.

    Raises
    ------
    InputError
        Where the networks or the machine differ from the measured ones, or the trace cannot be replayed.

    Notes
    -----
    Each policy has its own process and budget. On a GPU, whose memory may be too small for all, policies play in sequence.

    Examples
    --------
    >>> replay("mine.csv", ["lru"])  # doctest: +SKIP
    """
    path = Path(profile).absolute()
    measured, scenario = read_profile(path), scenario or proportionate(profile)
    trace = poisson_trace(scenario, random_stream(seed, 0, 0))
    runs = _simulated(scenario, policies, seed, trace)
    backend = _backend(measured, models or {})
    _check_machine(measured, path.parent)
    services = [scenario.catalogue.services[model] for model in np.unique(trace.model)]
    rows: list[dict[str, Any]] = []
    with network_folder(networks, path) as folder, ExitStack() as stack:
        with Worker(backend) as worker:
            built = _networks(worker, measured, services, folder)
        plays = [_play(run, stack.enter_context(Worker(backend)), built) for run in runs]
        turns = itertools.chain.from_iterable(plays if backend.device == "cuda" else zip(*plays, strict=True))
        try:
            rows.extend(tqdm(turns, "replay", total=len(runs) * len(trace), leave=False, disable=not progress))
        except BaseException:
            if rows and partial:
                write_table(pd.DataFrame(rows), partial)
            raise
    return pd.DataFrame(rows)


def _simulated(scenario: Scenario, policies: Sequence[Any], seed: int, trace: Trace) -> list[Simulation]:
    """Simulate each policy. Raises InputError for policies or a trace that cannot be replayed."""
    names = [getattr(policy, "name", policy) for policy in policies]
    if not names or len(set(names)) < len(names):
        raise InputError(f"policies are {', '.join(names) or 'none'}; name at least one, and each once")
    if not len(trace):
        raise InputError(f"the trace of {scenario.slots} slots has no request; a replay needs more slots, or a higher arrival rate")
    if not (fits := scenario.fits_empty_server[trace.model]).all():
        service = scenario.catalogue.services[trace.model[fits.argmin()]]
        raise InputError(f"the server cannot hold {service!r} at all; a replay needs a server that every model fits")
    return [simulate(scenario, policy, seed, trace) for policy in policies]


def _backend(profile: Profile, models: Mapping[str, str]) -> Backend:
    """Make the backend that a profile was measured with."""
    settings = profile.about["backend"]
    if settings["name"] not in BACKENDS:
        raise InputError(f"the profile is of the backend {settings['name']!r}; a replay knows {', '.join(BACKENDS)}")
    make = BACKENDS[settings["name"]]
    if missing := [service for service in settings.get("models", []) if service not in models]:
        raise InputError(f"the profile is of your own models; name the file of {missing[0]!r}: --model {missing[0]}=FILE")
    known = {name: settings[name] for name in signature(make).parameters if name in settings and name != "models"}
    return make(**known, **({"models": models} if models else {}))


def _check_machine(profile: Profile, folder: Path) -> None:
    """Raise InputError where a profile was measured on another machine."""
    here = machine.describe(folder)
    for name in ("cpu", "cores", "memory_gb"):
        if (measured := profile.about["machine"][name]) != here[name]:
            raise InputError(
                f"the profile is of another machine: its {name} is {measured}, here it is {here[name]}; profile this one first"
            )


def _networks(worker: Worker, profile: Profile, services: Sequence[str], folder: Path) -> dict[str, Network]:
    """Build the networks again, by service. Raises InputError where one has another size than the profile's."""
    networks = {}
    for service in services:
        networks[service] = worker.build(service, folder)
        size, measured = networks[service].size_bytes, profile.networks.loc[service, "size_bytes"]
        if size != measured:
            raise InputError(f"the network of {service!r} has {size} bytes, but {measured} were measured: profile it again")
    return networks


def _play(run: Simulation, worker: Worker, networks: dict[str, Network]) -> Iterator[dict[str, Any]]:
    """Do with real networks what the run did, one request and its row at a time; then end the worker."""
    catalogue, trace = run.scenario.catalogue, run.trace
    transmission = transmission_delay_s(1, catalogue.size_gb, run.scenario.bandwidth_gbps)
    loading = preloading_delay_s(1, catalogue.io_delay_s)
    deployed = np.zeros(len(catalogue), dtype=bool)
    empty = worker.memory()
    for clock, model in enumerate(trace.model):
        service, missed = catalogue.services[model], run.outcome[clock] == MISS
        evicted = run.evictions[run.evictions[:, 0] == clock + 1, 1]
        deployed[evicted], deployed[model] = False, True
        evicted_services = [catalogue.services[other] for other in evicted]
        for other in evicted_services:
            worker.unload(other)
        load = worker.load(networks[service], clock) if missed else {"wall_s": 0.0, "cold": ""}
        execution = worker.infer(service)
        yield {
            "policy": run.policy, "request": clock, "slot": trace.slot[clock], "service": service,
            "outcome": "fetched" if missed else "hit", "evicted": "; ".join(evicted_services),
            "predicted_s": run.request_delay_s[clock],
            "measured_s": transmission[model] * missed + load["wall_s"] + execution["wall_s"],
            "transmission_s": transmission[model] * missed,
            "load_predicted_s": loading[model] * missed, "load_s": load["wall_s"],
            "run_predicted_s": catalogue.inference_delay_s[model], "run_s": execution["wall_s"],
            "cold": load["cold"],
            "memory_bytes": worker.memory() - empty,
            "memory_predicted_bytes": 1e9 * catalogue.gpu_memory_gb[deployed].sum(),
            "budget_bytes": 1e9 * run.scenario.gpu_memory_gb,
        }  # fmt: skip
    worker.end()
