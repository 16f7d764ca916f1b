"""Measure real networks on this machine: load cold, run first and again, unload, over and over; the procedure of Section II-B.

Every cycle goes through all services in an order of its own, so that what disturbs the machine for a while disturbs them alike,
and an interrupted run knows something of each. Results go to a journal as they come.
"""

import datetime
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from tqdm import tqdm

from ..errors import InputError, unknown
from ..files import Journal
from . import machine
from .network import Network
from .onnx.backend import OnnxBackend
from .profile import FILES, Profile, beside
from .torch.backend import TorchBackend
from .worker import Worker

PRESETS = {"quick": (3, 3), "standard": (10, 5), "paper": (30, 10)}  # cycles, executions a cycle
BACKENDS = {backend.name: backend for backend in (OnnxBackend, TorchBackend)}
BUSY = 0.5  # load average a core from which others disturb the measurement


def profile(
    backend,
    out: str | Path,
    *,
    preset: str = "quick",
    services: Sequence[str] | None = None,
    networks: Path | None = None,
    tdp_w: float | None = None,
    progress: bool = False,
    report: Callable[[str], None] = lambda told: None,
) -> Profile:
    """Measure the services' networks and write the catalogue to `out`, with records, summary and machine beside it.

    `networks`: where the networks are kept; without it they are made beside `out` and removed. `tdp_w`: the processor's rated
    power, W, from which energy is estimated in a column of its own. A run that was stopped goes on where it was when called again;
    what it has is in OUT.partial.csv meanwhile. Raises InputError for what cannot be measured, when all others have been.
    """
    out = Path(out).absolute()
    cycles, executions = _preset(preset)
    services = _services(backend, services)
    if tdp_w is not None and backend.device == "cuda":
        raise InputError(f"the TDP is {tdp_w:g} W of the processor; what a GPU draws cannot be estimated from it")
    if tdp_w is not None and not 0 < tdp_w < 1e5:
        raise InputError(f"the TDP is {tdp_w:g} W; it must be above zero and below 100,000")
    _check_out(out)
    if (busy := machine.load1() / (os.cpu_count() or 1)) > BUSY:
        report(f"the machine is busy, {busy:.1f} processes a core in the last minute: times will scatter, and may be too long")
    partial, failed = out.with_name(f"{out.stem}.partial.csv"), {}
    with _journal(beside(out, "journal"), report) as journal, temporary(networks, out) as folder, Worker(backend) as worker:
        about = {
            "complete": False,
            "preset": preset, "cycles": cycles, "executions": executions, "tdp_w": tdp_w,
            "measured_on": _now()[:10],
            "machine": machine.describe(_disk(backend, folder)),
            "backend": {"name": backend.name, **_plain(backend), **worker.describe()},
        }  # fmt: skip
        found: dict[str, Network] = {}
        keys: dict[str, list[str]] = {}  # of each service's cycles in the journal
        try:
            for service in tqdm(services, "building networks", leave=False, disable=not progress):
                try:
                    network = worker.build(service, folder)
                    keys[service] = [f"{_key(about, network)} {cycle}" for cycle in range(cycles)]
                    found[service] = network
                except InputError as error:
                    failed[service] = str(error)
            kept = sum(key in journal.done for service in found for key in keys[service])
            if kept:
                report(f"going on where an earlier run was stopped: {kept} of {cycles * len(found)} cycles are there")
            with tqdm(total=cycles * len(found), initial=kept, leave=False, disable=not progress) as bar:
                for cycle in range(cycles):
                    for service in np.random.default_rng(cycle).permutation(list(found)):
                        bar.set_description(f"cycle {cycle + 1} of {cycles}, {service}")
                        if keys[service][cycle] in journal.done:
                            continue
                        if service not in failed:
                            try:
                                rows = _cycle(worker, found[service], cycle, executions, tdp_w)
                            except InputError as error:
                                failed[service] = str(error)
                                worker.end()
                            else:
                                journal.add([(keys[service][cycle], rows)])
                        bar.update()
        except OSError as error:
            raise InputError(f"measuring stopped, what was finished is kept: {error.strerror or error}") from None
        finally:
            worker.end()
            about["networks"] = [_described(network) for network in found.values()]  # before they are removed
            if networks is None:  # now, for they may have filled the disk
                shutil.rmtree(folder, ignore_errors=True)
            done = {service: [key for key in keys[service] if key in journal.done] for service in found}
            rows = [row for service in done for key in done[service] for row in journal.done[key]]
            lacking = [service for service in services if len(done.get(service, [])) < cycles]
            about |= {"complete": not lacking, "missing": {name: failed.get(name, "interrupted") for name in lacking}}
            whole = len(found) + len(failed) == len(services)  # or building was stopped, and an earlier partial one may hold more
            if rows and (whole or not partial.exists()):
                measured = Profile(pd.DataFrame(rows), about).write(partial if lacking else out)
            if rows and lacking:
                report(f"what was measured so far is in {partial}; the same command goes on from there")
        if failed:
            raise InputError("; ".join(dict.fromkeys(failed.values())))
    # a replay of the catalogue that stood there is none of this one
    for stale in (beside(out, "journal"), beside(out, "replay.csv"), partial, *(beside(partial, name) for name in FILES)):
        stale.unlink(missing_ok=True)
    return measured


@contextmanager
def _journal(path: Path, report: Callable[[str], None]) -> Iterator[Journal]:
    """The journal of a run, of which nothing is left where nothing came of it."""
    with Journal(path, report) as journal:
        try:
            yield journal
        finally:
            if not journal.done:
                path.unlink(missing_ok=True)


@contextmanager
def temporary(networks: Path | None, out: Path) -> Iterator[Path]:
    """The folder of the networks: the user's own, which is kept, or a hidden one beside `out`, which is removed in the end.

    Those that killed processes left are removed at the next time.
    """
    for left in out.parent.glob(f".{glob.escape(out.stem)}-networks-*.tmp"):
        process = left.stem.rpartition("-")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    folder = (networks or out.with_name(f".{out.stem}-networks-{os.getpid()}.tmp")).absolute()
    try:
        yield folder
    finally:
        if networks is None:
            shutil.rmtree(folder, ignore_errors=True)


def _cycle(worker: Worker, network: Network, cycle: int, executions: int, tdp_w: float | None) -> list[dict]:
    """One load-offload cycle, a row a phase."""
    service = network.service
    rows = [("load", 0, worker.load(network, cycle))]
    rows += [("infer" if execution else "first", execution, worker.infer(service)) for execution in range(executions)]
    rows += [("unload", executions - 1, worker.unload(service))]
    found = []
    for phase, execution, row in rows:
        if tdp_w is not None:  # as if every core drew its part of the TDP while it is busy, and nothing else did
            row["energy_estimate_j"] = tdp_w * row["cpu_s"] / (os.cpu_count() or 1)
        found.append({"service": service, "cycle": cycle, "execution": execution, "phase": phase, **row, "at": _now()})
    return found


def _check_out(out: Path) -> None:
    """Raise InputError where the results could not be written, before anything is measured."""
    if out.suffix != ".csv":
        raise InputError(f"--out is {out.name}; it must be a file that ends in .csv")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out is {out}, whose folder cannot be made: {error.strerror}") from None
    for file in (out, *(beside(out, name) for name in FILES)):
        if file.is_dir():
            raise InputError(f"--out is {out}, but {file} is a folder; it must be a file, or nothing yet")


def _disk(backend, folder: Path) -> Path:
    """Where the networks are read from: the folder of the first of the user's own models, or `folder`, or what there is of it."""
    own = [Path(file) for file in getattr(backend, "own", {}).values()]
    place = own[0].absolute().parent if own else folder
    return next(path for path in (place, *place.parents) if path.exists())


def _preset(name: str) -> tuple[int, int]:
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]


def _services(backend, wanted: Sequence[str] | None) -> list[str]:
    """The services to measure: those asked for, or the user's own models, or all."""
    own = list(getattr(backend, "own", ()))
    services = list(wanted) if wanted is not None else own or list(backend.services)
    for service in services:
        if service not in backend.services:
            raise unknown("service", service, backend.services)
    if not services or len(set(services)) < len(services):
        raise InputError(f"services are {', '.join(services) or 'none'}; name at least one, and each once")
    return services


def _described(network: Network) -> dict:
    """What is told of a network: no paths, for they are of this machine."""
    said = {name: value for name, value in asdict(network).items() if name != "files"}
    size = 0
    with suppress(OSError):
        size = network.size_bytes
    return {**said, "share": None if network.share != network.share else network.share, "size_bytes": size}


def _plain(backend) -> dict:
    """The backend's settings; of the user's own models the names alone."""
    return {name: sorted(value) if name == "own" else value for name, value in asdict(backend).items()}


def _key(about: dict, network: Network) -> str:
    """What a result must have in common with this run to be taken over from an earlier one."""
    stamps = [os.path.getmtime(file) for file in network.files] if network.weights == "own" else []
    shared = [about[name] for name in ("executions", "machine", "backend", "tdp_w")]
    said = json.dumps([shared, _described(network), stamps], sort_keys=True, default=str)
    return f"{hashlib.sha256(said.encode()).hexdigest()[:12]} {network.service}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
