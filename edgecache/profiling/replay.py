"""Replay on real files: the simulator's decisions on a trace, and a process that really loads, runs and unloads the networks.

A hit runs a network that is in memory. A miss evicts what the policy evicts, loads the requested network cold from disk and runs
it. Transmission from the cloud is computed on both sides, 8 s / B. So the prediction misses what one number a model cannot say: how
loads and executions vary, the longer first execution, what networks in one memory do to each other, and that a machine is not
always as fast as when it was profiled. The policies take turns, request by request, so that this disturbs them alike.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..catalogue import load_catalogue
from ..costs import preloading_delay_s, transmission_delay_s
from ..demand import poisson_trace, random_stream
from ..errors import InputError
from ..files import write_table
from ..results import MISS, Simulation
from ..scenario import Scenario
from ..simulator import simulate
from . import machine
from .measure import BACKENDS, temporary
from .network import Network
from .profile import Profile, read_profile, read_table
from .worker import Worker

POLICIES = ("lru", "ga", "optimal-online")
SHARES = (120 / 142.14, 12 / 26.8)  # of the catalogue's storage and GPU memory that the default server of the paper has


def proportionate(profile: str | Path, **changes) -> Scenario:
    """A server for a measured catalogue in the proportions of the paper's to the shipped one, and 30 slots."""
    catalogue = load_catalogue(profile)
    needs = (catalogue.size_gb, catalogue.gpu_memory_gb)
    room = [max(share * need.sum(), need.max()) for share, need in zip(SHARES, needs, strict=True)]
    return Scenario(**{"catalogue": catalogue, "storage_gb": room[0], "gpu_memory_gb": room[1], "slots": 30} | changes)


def replay(
    profile: str | Path,
    policies: Sequence = POLICIES,
    scenario: Scenario | None = None,
    *,
    seed: int = 0,
    networks: Path | None = None,
    own: dict[str, str] | None = None,
    partial: Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Play one trace under each policy against the networks of a measured profile; one row a request.

    `predicted_s` and `measured_s` are what the request waits, `transmission_s` computed in both; `load_s` and `run_s` were
    measured, `load_predicted_s` and `run_predicted_s` are the catalogue's. `memory_bytes` is what the networks in memory take
    after the request, under a budget of `budget_bytes`. The scenario is by default that of `proportionate`. `networks`: where
    they are kept, see profiling.profile. Every policy has a process, and so the budget, of its own; on a GPU, whose memory may
    not hold as much, they play one after the other. What a replay that is stopped has done is written to `partial`. Raises
    InputError where the networks or the machine are not those that were measured.
    """
    path, rows = Path(profile).absolute(), []
    measured, scenario = read_profile(path), scenario or proportionate(profile)
    trace = poisson_trace(scenario, random_stream(seed, 0, 0))
    names = [getattr(policy, "name", policy) for policy in policies]
    if not names or len(set(names)) < len(names):
        raise InputError(f"policies are {', '.join(names) or 'none'}; name at least one, and each once")
    if not len(trace):
        raise InputError(f"the trace of {scenario.slots} slots has no request; a replay needs more slots, or a higher arrival rate")
    if not (fits := scenario.fits_empty_server[trace.model]).all():
        service = scenario.catalogue.services[trace.model[fits.argmin()]]
        raise InputError(f"the server cannot hold {service!r} at all; a replay needs one that every model fits")
    runs = [simulate(scenario, policy, seed, trace) for policy in policies]
    backend = _backend(measured, own or {})
    here = machine.describe(path.parent)
    for name in ("cpu", "cores", "memory_gb"):
        if (known := measured.about["machine"][name]) != here[name]:
            raise InputError(f"the profile is of another machine, of {name} {known} and not {here[name]}; profile this one first")
    asked = [scenario.catalogue.services[model] for model in np.unique(trace.model)]
    with temporary(networks, path) as folder, ExitStack() as stack:
        with Worker(backend) as worker:
            found = _networks(worker, measured, asked, folder)
        plays = [_play(run, stack.enter_context(Worker(backend)), found) for run in runs]
        if backend.device == "cuda":
            played = itertools.chain.from_iterable(plays)
        else:
            played = itertools.chain.from_iterable(zip(*plays, strict=True))
        try:
            rows.extend(tqdm(played, "replay", total=len(runs) * len(trace), leave=False, disable=not progress))
        except BaseException:
            if rows and partial:
                write_table(pd.DataFrame(rows), partial)
            raise
    return pd.DataFrame(rows)


def _backend(profile: Profile, own: dict[str, str]):
    """The backend that a profile was measured with."""
    settings = profile.about["backend"]
    backend = BACKENDS[settings["name"]]
    missing = [service for service in settings.get("own", []) if service not in own]
    if missing:
        raise InputError(
            f"the profile was measured on models of your own; name the file of {missing[0]!r}: --model {missing[0]}=FILE"
        )
    known = {f.name: settings[f.name] for f in fields(backend) if f.name in settings and f.name != "own"}
    return backend(**known, **({"own": own} if own else {}))


def _networks(worker: Worker, profile: Profile, services: Sequence[str], folder: Path) -> dict[str, Network]:
    """The networks by service, built anew. Raises InputError where one is not what the profile says."""
    found = {}
    for service in services:
        found[service] = worker.build(service, folder)
        known = profile.networks.loc[service, "size_bytes"]
        if found[service].size_bytes != known:
            raise InputError(
                f"the network of {service!r} has {found[service].size_bytes} bytes, but {known} were measured: profile it anew"
            )
    return found


def _play(run: Simulation, worker: Worker, networks: dict[str, Network]) -> Iterator[dict]:
    """Do what the run did with real networks, a request and its row at a time; the worker then ends."""
    catalogue, trace = run.scenario.catalogue, run.trace
    sent = transmission_delay_s(1, catalogue.size_gb, run.scenario.bandwidth_gbps)
    loading = preloading_delay_s(1, catalogue.io_delay_s)
    deployed = np.zeros(len(catalogue), dtype=bool)
    empty = worker.memory()
    for clock, model in enumerate(trace.model):
        service, outcome = catalogue.services[model], run.outcome[clock]
        evicted = run.evictions[run.evictions[:, 0] == clock + 1, 1]
        deployed[evicted], deployed[model] = False, True
        gone = [catalogue.services[other] for other in evicted]
        for other in gone:
            worker.unload(other)
        missed = outcome == MISS
        load = worker.load(networks[service], clock) if missed else {"wall_s": 0.0, "cold": ""}
        ran = worker.infer(service)
        predicted = run.request_delay_s[clock]
        yield {
            "policy": run.policy,
            "request": clock,
            "slot": trace.slot[clock],
            "service": service,
            "outcome": "fetched" if missed else "hit",
            "evicted": "; ".join(gone),
            "predicted_s": predicted,
            "measured_s": sent[model] * missed + load["wall_s"] + ran["wall_s"],
            "transmission_s": sent[model] * missed,
            "load_predicted_s": loading[model] * missed,
            "load_s": load["wall_s"],
            "run_predicted_s": catalogue.inference_delay_s[model],
            "run_s": ran["wall_s"],
            "cold": load["cold"],
            "memory_bytes": worker.memory() - empty,
            "memory_predicted_bytes": 1e9 * catalogue.gpu_memory_gb[deployed].sum(),
            "budget_bytes": 1e9 * run.scenario.gpu_memory_gb,
        }
    worker.end()


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Per policy the mean delay as predicted and as measured, the error, and which part of it loads and executions make.

    `error` is measured over predicted less one; `from_loads` and `from_runs` add up to it. `pace` is how much longer executions
    at hits took than when they were profiled, their median over all policies, and `error_at_pace` what error is left if all of
    the prediction but the transmission is stretched by it: what a machine that is slower or faster now does not explain; NaN
    without a hit. `typical_error` is the median over the requests of each one's own error, up or down. `memory_gb` is the largest
    that was measured, `memory_error` compares it with the largest predicted one, `of_budget` with the budget.
    """
    hits = table[table["outcome"] == "hit"]
    pace = (hits["run_s"] / hits["run_predicted_s"]).median()
    rows = []
    for policy, own in table.groupby("policy", sort=False):
        predicted, measured = own["predicted_s"].mean(), own["measured_s"].mean()
        sent = own["transmission_s"].mean()
        rows.append(
            {
                "policy": policy,
                "requests": len(own),
                "hit_ratio": (own["outcome"] == "hit").mean(),
                "predicted_s": predicted,
                "measured_s": measured,
                "error": measured / predicted - 1,
                "from_loads": (own["load_s"] - own["load_predicted_s"]).mean() / predicted,
                "from_runs": (own["run_s"] - own["run_predicted_s"]).mean() / predicted,
                "pace": pace,
                "error_at_pace": measured / (sent + pace * (predicted - sent)) - 1,
                "typical_error": (own["measured_s"] / own["predicted_s"] - 1).abs().median(),
                "memory_gb": own["memory_bytes"].max() / 1e9,
                "of_budget": own["memory_bytes"].max() / own["budget_bytes"].max(),
                "memory_error": own["memory_bytes"].max() / own["memory_predicted_bytes"].max() - 1,
            }
        )
    return pd.DataFrame(rows)


def read_replay(path: Path) -> pd.DataFrame:
    """The table of a replay that was written. Raises InputError where it is damaged."""
    numbers = ("request", "predicted_s", "measured_s", "transmission_s", "load_predicted_s", "load_s", "run_predicted_s", "run_s")
    numbers += ("memory_bytes", "memory_predicted_bytes", "budget_bytes")
    try:
        return read_table(path, ("policy", "service", "outcome"), numbers)
    except OSError as error:
        raise InputError(f"cannot read the replay {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"the replay {path} is damaged: {' '.join(str(error).split())}; replay it anew") from None


def told(summary: pd.DataFrame) -> str:
    """The comparison as a table to read."""
    shown = summary[["policy", "requests"]].copy()
    shapes = {
        "hit_ratio": "{:.1%}", "predicted_s": "{:.3f} s", "measured_s": "{:.3f} s", "error": "{:+.1%}", "from_loads": "{:+.1%}",
        "from_runs": "{:+.1%}", "pace": "{:.2f}", "error_at_pace": "{:+.1%}", "memory_gb": "{:.3f} GB", "of_budget": "{:.0%}",
    }  # fmt: skip
    for column, shape in shapes.items():
        shown[column.removesuffix("_s").removesuffix("_gb").replace("_", " ")] = summary[column].map(shape.format)
    return shown.to_string(index=False)
