"""Measure real networks: load cold, run first and again, unload, over and over; the procedure of Section II-B of the paper.

Every cycle visits all services in a random order of its own. So a disturbance of the machine affects all services alike, and an
interrupted run knows something of each. Results go to a journal as they come.
"""

import datetime
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..errors import InputError, unknown
from ..files import Journal
from . import machine
from .contract import Backend, Network
from .onnx.backend import OnnxBackend
from .profile_files import FILES, check_writable, companion, naming, write_profile
from .profiles import Profile
from .torch.backend import TorchBackend
from .worker import Row, Worker

PRESETS = {"quick": (3, 3), "standard": (10, 5), "paper": (30, 10)}  # cycles, executions per cycle
BACKENDS: dict[str, Callable[..., Backend]] = {"onnx": OnnxBackend, "torch": TorchBackend}
BUSY = 0.5  # load average per core above which other processes disturb the measurement
Report = Callable[[str], None]


def profile(
    backend: Backend,
    out: str | Path,
    *,
    preset: str = "quick",
    services: Sequence[str] | None = None,
    networks: Path | None = None,
    tdp_w: float | None = None,
    progress: bool = False,
    report: Report = lambda message: None,
) -> Profile:
    """Measure the networks of a backend and write their catalogue.

    An interrupted run leaves its finished cycles in OUT.partial.csv; the same call continues it.

    Parameters
    ----------
    backend : Backend
        Writes and runs the networks, for example `OnnxBackend()`.
    out : str or pathlib.Path
        The catalogue to write, a .csv file; records, summary and machine are its companions.
    preset : {"quick", "standard", "paper"}
        Cycles and executions per cycle: 3 of 3, 10 of 5 or 30 of 10.
    services : sequence of str, optional
        By default the user's own models, or all services of the backend.
    networks : pathlib.Path, optional
        A folder where the networks are kept. By default they are removed afterwards.
    tdp_w : float, optional
        The processor's rated power, W, from which a separate column estimates energy.
    progress : bool
    report : callable
        Receives messages about a busy machine, a continued run, a partial result.

    Returns
    -------
    Profile

    Raises
    ------
    InputError
        For wrong arguments at once; for networks that cannot be measured after all others have been.

    Examples
    --------
    >>> from edgecache.profiling.onnx.backend import OnnxBackend
    >>> profile(OnnxBackend(), "mine.csv", services=["text_to_speech"])  # doctest: +SKIP
    """
    out = Path(out).absolute()
    partial = out.with_name(f"{out.stem}.partial.csv")
    partial_files = [partial, *(companion(partial, name) for name in FILES)]
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    services = _chosen_services(backend, services)
    _check_tdp(tdp_w, backend.device)
    _check_out(out, *partial_files)
    if (busy := machine.load1() / (os.cpu_count() or 1)) > BUSY:
        report(f"the machine is busy, {busy:.1f} processes per core in the last minute: times may be too long and will scatter")
    journal_file = companion(out, "journal")
    with _journal(journal_file, report) as journal, network_folder(networks, out) as folder, Worker(backend) as worker:
        run = _Run(worker, journal, services, *PRESETS[preset], tdp_w, progress, report)
        run.about |= {
            "complete": False,
            "preset": preset, "cycles": run.cycles, "executions": run.executions, "tdp_w": tdp_w,
            "measured_on": _now()[:10],
            "machine": machine.describe(_disk(backend, folder)),
            "backend": {"name": backend.name, **_settings(backend), **worker.describe()},
        }  # fmt: skip
        try:
            with naming(journal_file):
                run.build_networks(folder)
                run.measure()
        except OSError as error:
            raise InputError(f"measuring stopped at {error.filename}: {error.strerror}; what was finished is kept") from None
        finally:
            worker.end()
            run.about["networks"] = [_description(network) for network in run.networks.values()]
            if networks is None:
                shutil.rmtree(folder, ignore_errors=True)  # before the results are written: networks may have filled the disk
            measured = run.write(out, partial)
        if run.failures:
            raise InputError("; ".join(dict.fromkeys(run.failures.values())))
    for stale in (journal_file, companion(out, "replay.csv"), *partial_files):  # a replay of the older catalogue is stale too
        stale.unlink(missing_ok=True)
    return measured


@dataclass
class _Run:
    """A measurement in progress: its settings, its networks, and its failures by service."""

    worker: Worker
    journal: Journal
    services: list[str]
    cycles: int
    executions: int
    tdp_w: float | None
    progress: bool
    report: Report
    about: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)  # the journal's key of each cycle of a service
    failures: dict[str, str] = field(default_factory=dict)

    def build_networks(self, folder: Path) -> None:
        for service in tqdm(self.services, "building networks", leave=False, disable=not self.progress):
            try:
                network = self.worker.build(service, folder)
                key = _journal_key(self.about, network)
                self.keys[service] = [f"{key} {cycle}" for cycle in range(self.cycles)]
                self.networks[service] = network
            except InputError as error:
                self.failures[service] = str(error)

    def finished(self) -> dict[str, list[str]]:
        """Keys of the finished cycles by service."""
        return {name: [key for key in self.keys.get(name, []) if key in self.journal.done] for name in self.services}

    def measure(self) -> None:
        """Measure the cycles that are not in the journal; a service that fails stops no other."""
        kept, total = sum(map(len, self.finished().values())), self.cycles * len(self.networks)
        if kept:
            self.report(f"continuing an interrupted run: {kept} of {total} cycles are there")
        with tqdm(total=total, initial=kept, leave=False, disable=not self.progress) as bar:
            for cycle in range(self.cycles):
                for service in np.random.default_rng(cycle).permutation(list(self.networks)):
                    bar.set_description(f"cycle {cycle + 1} of {self.cycles}, {service}")
                    if self.keys[service][cycle] not in self.journal.done:
                        if service not in self.failures:
                            self._measure_cycle(service, cycle)
                        bar.update()

    def _measure_cycle(self, service: str, cycle: int) -> None:
        try:
            rows = self._rows(self.networks[service], cycle)
        except InputError as error:
            self.failures[service] = str(error)
            self.worker.end()
        else:
            self.journal.add([(self.keys[service][cycle], rows)])

    def _rows(self, network: Network, cycle: int) -> list[Row]:
        """Measure one load-offload cycle; one row per phase."""
        service, worker = network.service, self.worker
        phases = [("load", 0, worker.load(network, cycle))]
        phases += [("infer" if number else "first", number, worker.infer(service)) for number in range(self.executions)]
        phases += [("unload", self.executions - 1, worker.unload(service))]
        rows = []
        for phase, execution, row in phases:
            if self.tdp_w is not None:  # as if each core drew its part of the TDP while it is busy, and nothing else did
                row["energy_estimate_j"] = self.tdp_w * row["cpu_s"] / (os.cpu_count() or 1)
            rows.append({"service": service, "cycle": cycle, "execution": execution, "phase": phase, **row, "at": _now()})
        return rows

    def profile(self) -> Profile:
        """The finished cycles as a profile, which says what is missing."""
        finished = self.finished()
        missing = [service for service, keys in finished.items() if len(keys) < self.cycles]
        self.about |= {"complete": not missing, "missing": {name: self.failures.get(name, "interrupted") for name in missing}}
        return Profile(
            pd.DataFrame([row for keys in finished.values() for key in keys for row in self.journal.done[key]]), self.about
        )

    def write(self, out: Path, partial: Path) -> Profile:
        """Write the finished cycles to `out`, or to `partial` while some are missing. Returns them as a profile."""
        measured, target = self.profile(), out if self.about["complete"] else partial
        building_ended = {*self.networks, *self.failures} == set(self.services)
        if len(measured.records) and (building_ended or not partial.exists()):  # else an earlier partial file may hold more
            measured = write_profile(measured, target)
        if len(measured.records) and target == partial:
            self.report(f"the finished cycles are in {partial}; the same command continues from there")
        return measured


@contextmanager
def _journal(path: Path, report: Report) -> Iterator[Journal]:
    """The journal of a run; an empty one is removed."""
    with Journal(path, report) as journal:
        try:
            yield journal
        finally:
            if not journal.done:
                path.unlink(missing_ok=True)


@contextmanager
def network_folder(networks: Path | None, out: Path) -> Iterator[Path]:
    """The folder of the networks: the user's, which is kept, or a hidden temporary one in the folder of `out`.

    Temporary folders of killed processes are removed, too.
    """
    import psutil

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


def _check_out(out: Path, *others: Path) -> None:
    """Raise InputError where the results could not be written, before anything is measured."""
    if out.suffix != ".csv":
        raise InputError(f"--out is {out.name}; it must be a file that ends in .csv")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out is {out}, but its folder cannot be made: {error.strerror}") from None
    check_writable(out, *(companion(out, name) for name in (*FILES, "journal")), *others)


def _check_tdp(tdp_w: float | None, device: str) -> None:
    if tdp_w is not None and device == "cuda":
        raise InputError(f"the TDP is {tdp_w:g} W of the processor; it gives no estimate of a GPU's energy")
    if tdp_w is not None and not 0 < tdp_w < 1e5:
        raise InputError(f"the TDP is {tdp_w:g} W; it must be above zero and below 100,000")


def _disk(backend: Backend, folder: Path) -> Path:
    """Where the networks are read from: the folder of the user's first model, or the nearest existing parent of `folder`."""
    models = [Path(file).absolute().parent for file in backend.models.values()]
    place = models[0] if models else folder
    return next(path for path in (place, *place.parents) if path.exists())


def _chosen_services(backend: Backend, services: Sequence[str] | None) -> list[str]:
    """The services to measure: those asked for, or the user's own models, or all."""
    chosen = list(services) if services is not None else list(backend.models) or list(backend.services)
    for service in chosen:
        if service not in backend.services:
            raise unknown("service", service, backend.services)
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(f"services are {', '.join(chosen) or 'none'}; name at least one, and each once")
    return chosen


def _description(network: Network) -> dict[str, Any]:
    """Describe a network without its paths, which are of this machine."""
    row = {name: value for name, value in asdict(network).items() if name != "files"}
    size = 0
    with suppress(OSError):
        size = network.size_bytes
    return {**row, "share": network.share if network.named_parameters else None, "size_bytes": size}


def _settings(backend: Backend) -> dict[str, Any]:
    """The settings of a backend; of the user's own models only the names."""
    return {name: sorted(value) if name == "models" else value for name, value in asdict(backend).items()}


def _journal_key(about: dict[str, Any], network: Network) -> str:
    """A key of what two runs must have in common for one to use the other's results."""
    stamps = [os.path.getmtime(file) for file in network.files] if network.weights == "own" else []
    shared = [about[name] for name in ("executions", "machine", "backend", "tdp_w")]
    text = json.dumps([shared, _description(network), stamps], sort_keys=True, default=str)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:12]} {network.service}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
