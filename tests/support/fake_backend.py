"""A backend of small files and known times: its clock, memory and disk are numbers, so that nothing depends on the machine.

`install` has the measuring process forked from the test and replaces what it reads of the machine. The process adds a line to the
file `LOG` for each step; `PLAN` says which step fails: (step, service, number of earlier ones) -> a key of FAILURES.
"""

import errno
import math
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from edgecache.errors import InputError
from edgecache.profiling import measurement, profiles, worker
from edgecache.profiling.contract import Network, enough_room
from edgecache.profiling.onnx.backend import OnnxBackend
from edgecache.profiling.profiles import Profile

# bytes on disk and in memory; seconds of a load, of the first execution and of the later ones
NETWORKS = {
    "small": (1_000, 40_000, 0.5, 0.25, 0.125),
    "middle": (2_000, 80_000, 1.0, 0.5, 0.25),
    "large": (4_000, 120_000, 2.0, 1.0, 0.5),
}
LOG: list[Path] = []  # one or none
PLAN: dict[tuple[str, str, int], str] = {}
WARM: set[tuple[str, int]] = set()  # loads (service, how often before) that find their files in the page cache
GROWN: dict[str, int] = {}  # bytes that a network's file has more than its backend says
NOW = SimpleNamespace(clock=0.0, read=0, memory={}, watts=math.nan)  # of the measuring process


def _raise(error: Exception):
    raise error


FAILURES = {
    "input": lambda: _raise(InputError("the network of 'it' is no good")),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "memory": lambda: _raise(MemoryError()),
    "disk": lambda: _raise(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
    "bug": lambda: _raise(KeyError("a bug")),
    "hang": lambda: time.sleep(600),
    "slow": lambda: time.sleep(0.05),
}


def does(step: str, service: str):
    """Log it, and do what the plan says of it."""
    if not LOG:
        return
    before = count(step, service)
    with open(LOG[0], "a") as file:
        file.write(f"{os.getpid()} {step} {service}\n")
    FAILURES.get(PLAN.get((step, service, before)) or PLAN.get((step, service, -1)), lambda: None)()


def logged() -> list[tuple[str, str, str]]:
    """All that was done so far: the process, the step and the service."""
    return [tuple(line.split(" ", 2)) for line in LOG[0].read_text().splitlines()] if LOG and LOG[0].exists() else []


def count(step: str, service: str | None = None) -> int:
    return sum(done == step and service in (None, whose) for _, done, whose in logged())


FOUR = ["mine-machine.json", "mine-records.csv", "mine-summary.csv", "mine.csv"]


def measure(folder, backend=None, messages=None, **options):
    """A profile of the folder, on fake networks unless there is another backend."""
    report = [].append if messages is None else messages.append
    return measurement.profile(backend or FakeBackend(), folder / "mine.csv", report=report, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def one_sentence(err, *parts):
    """Check that standard error is one sentence of ours with these parts."""
    assert err.startswith("edgecache: ") and err.count("\n") == 1 and "Traceback" not in err, err
    for part in parts:
        assert part in err


@contextmanager
def interrupted_at(call, error=KeyboardInterrupt):
    """Ctrl-C at the k-th call (from 1) of the process that measures."""
    calls, real = [], worker.Worker._call

    def counted(self, *arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise error
        return real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.Worker, "_call", counted)
        yield calls


def forget():
    """Begin the log anew."""
    LOG[0].unlink(missing_ok=True)


@dataclass(frozen=True)
class FakeBackend:
    """Networks of NETWORKS' form, and the user's own: any file, with the times of `small`."""

    networks: Mapping[str, tuple] = field(default_factory=lambda: NETWORKS)
    device: str = "cpu"
    threads: int = 1
    models: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    name: ClassVar[str] = "fake"
    gpu: ClassVar[str] = ""

    def __post_init__(self):
        object.__setattr__(self, "device", "cpu" if self.device == "auto" else self.device)

    @property
    def services(self) -> tuple[str, ...]:
        return (*self.networks, *(name for name in self.models if name not in self.networks))

    def describe(self) -> dict[str, str]:
        """And do what a process must do once: here nothing, elsewhere to import what runs the networks."""
        does("describe", "-")
        return {"fake": "1.0", **({"device_name": "Fake GPU"} if self.device == "cuda" else {})}

    def build(self, service: str, folder: Path) -> Network:
        if service in self.models:
            does("build", service)
            return Network(service, "one of mine", (os.path.abspath(self.models[service]),), 10, "own")
        with enough_room(service, folder):
            does("build", service)
            file = folder / f"{service}.bin"
            file.write_bytes(bytes(self.networks[service][0] + GROWN.get(service, 0)))
            return Network(service, f"a {service} one", (str(file),), 250, "random", "Named", 1000)

    def load(self, network: Network) -> "FakeLoaded":
        does("load", network.service)
        found = FakeLoaded(network.service, self)
        NOW.clock += found.load_s
        NOW.read += len(b"".join(Path(file).read_bytes() for file in network.files))
        return found


class FakeLoaded:
    """See contract.Loaded."""

    def __init__(self, service: str, backend: FakeBackend):
        _, self.memory, self.load_s, self.first_s, self.infer_s = backend.networks.get(service, NETWORKS["small"])
        self.service, self.backend, self.runs = service, backend, 0
        NOW.memory[service] = self.memory

    def prepare(self, seed: int) -> None:
        does("prepare", f"{self.service}:{seed}")

    def infer(self) -> None:
        does("infer", self.service)
        NOW.clock += self.infer_s if self.runs else self.first_s
        self.runs += 1

    def gpu_memory_bytes(self) -> int | None:
        return 10 * self.memory if self.backend.device == "cuda" else None

    def close(self) -> None:
        does("close", self.service)
        NOW.clock += 0.0625
        del NOW.memory[self.service]


class FakeEnergy:
    """A counter of `NOW.watts` times the time that passes."""

    def __init__(self, gpu: bool):
        self.source, self.reason = ("", "no counter") if math.isnan(NOW.watts) else ("fake", "")

    def read(self) -> float:
        return NOW.watts * NOW.clock

    def between(self, before: float, after: float) -> float:
        return after - before


def install(patch, log: Path):
    """Have processes that measure forked, and see a machine of numbers; `patch` is pytest's monkeypatch."""

    def cached(files):
        return 1.0 if any((name := Path(file).stem, count("load", name)) in WARM for file in files) else 0.0

    def memory():
        return 1e6 + sum(NOW.memory.values()) / 2, 3e6 + sum(NOW.memory.values())

    for known in (PLAN, WARM, GROWN, NOW.memory):
        known.clear()
    NOW.clock, NOW.read, NOW.watts, LOG[:] = 0.0, 0, math.nan, [log]
    now = SimpleNamespace(perf_counter=lambda: NOW.clock, process_time=lambda: NOW.clock / 2)
    seen = SimpleNamespace(
        release_memory=lambda: None, evict=lambda files: None, cached_share=cached, memory_bytes=memory, load1=lambda: 0.5,
        bytes_read=lambda: NOW.read,
    )  # fmt: skip
    patch.setattr(worker, "get_context", lambda _: get_context("fork"))
    patch.setattr(worker, "time", now)
    patch.setattr(worker, "machine", seen)
    patch.setattr(worker, "Energy", FakeEnergy)
    patch.setattr(measurement.machine, "load1", lambda: 0.0)
    patch.setattr(profiles, "cycle_interval", lambda times: (times.min(), times.max()))  # the true one takes its time
    patch.setitem(measurement.BACKENDS, "fake", FakeBackend)


class WatchedBackend(OnnxBackend):
    """The real one. For each load it adds a line to a file: whether ONNX Runtime was imported before."""

    def load(self, network: Network):
        with open(os.environ["WATCHED_LOG"], "a") as file:
            file.write(f"{os.getpid()} {network.service} {'onnxruntime' in sys.modules}\n")
        return super().load(network)


# ---- a profile without any measuring

MACHINE = {
    "cpu": "Some CPU", "architecture": "x86_64", "cores": 4, "memory_gb": 8.0, "virtual": False, "system": "Linux 6.1",
    "file_system": "ext4", "python": "3.11.7",
}  # fmt: skip
TIMES = {"load": 2.0, "first": 1.0, "infer": 0.5, "unload": 0.1}


def made_profile(services=("text_to_speech", "text_understanding"), cycles=4, executions=3, seed=0, **backend) -> Profile:
    """A profile of random times: each service twice as slow as the one before, each cycle with a factor of its own."""
    rng, rows, networks = np.random.default_rng(seed), [], []
    for place, service in enumerate(services):
        named = {"named": "Named", "named_parameters": 1000, "share": 0.25, "weights": "random", "steps": 1}
        networks.append(
            {"service": service, "model": f"model {place}", "parameters": 250, "size_bytes": 10**6 * (place + 1)} | named
        )
        for cycle in range(cycles):
            factor = 2.0**place * np.exp(0.2 * rng.standard_normal())
            phases = [("load", 0), *(("infer" if run else "first", run) for run in range(executions)), ("unload", executions - 1)]
            for phase, execution in phases:
                wall = TIMES[phase] * factor * np.exp(0.02 * rng.standard_normal())
                rows.append({
                    "service": service, "cycle": cycle, "execution": execution, "phase": phase, "wall_s": wall, "cpu_s": wall / 2,
                    "read_bytes": 1e6 if phase == "load" else 0.0, "energy_j": math.nan, "no_energy": "no counter", "load1": 0.5,
                    "cached_before": 0.0 if phase == "load" else math.nan, "cold": "yes" if phase == "load" else math.nan,
                    "anonymous_bytes": 1e6, "resident_bytes": 2e6 * (place + 1) + 1000 * execution, "gpu_memory_bytes": math.nan,
                    "at": "2026-01-02T03:04:05+00:00",
                })  # fmt: skip
    about = {
        "complete": True, "preset": "quick", "cycles": cycles, "executions": executions, "tdp_w": None, "measured_on": "2026-01-02",
        "machine": MACHINE, "networks": networks, "missing": {},
        "backend": {"name": "onnx", "device": "cpu", "threads": 1, "models": [], "sizes": {}, "energy": "",
                    "no_energy": "no counter"} | backend,
    }  # fmt: skip
    return Profile(pd.DataFrame(rows), about)
