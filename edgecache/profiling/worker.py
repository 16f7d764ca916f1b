"""The process that holds networks in memory and measures them. If it dies, only its current work is lost."""

import gc
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError
from . import machine
from .contract import Backend, Loaded, Network
from .energy import Energy

COLD = 0.95  # a load is cold only if at least this share of the network's size came from the disk
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Row = dict[str, Any]  # measurements of one phase by column
Result = TypeVar("Result")


@dataclass
class Measurer:
    """The code that runs in the process: one method per phase, each of which returns its measurements."""

    backend: Backend
    loaded: dict[str, Loaded] = field(default_factory=dict)
    baselines: dict[str, tuple[float, float]] = field(default_factory=dict)  # memory before the load of each network

    def __post_init__(self) -> None:
        self.backend.describe()  # imports the libraries now, so that no load's time includes that
        self.energy = Energy(self.backend.gpu if self.backend.device == "cuda" else "")

    def describe(self) -> dict[str, str]:
        return {**self.backend.describe(), "energy": self.energy.source, "no_energy": self.energy.reason}

    def build(self, service: str, folder: Path) -> Network:
        network = self.backend.build(service, folder)
        machine.evict(network.files)  # writes them to the disk now, not while the next network is measured
        return network

    def load(self, network: Network, seed: int) -> Row:
        """Load a network cold from the disk; then make the inputs of its executions, which is not timed."""
        machine.release_memory()
        try:
            machine.evict(network.files)
            cached, size = machine.cached_share(network.files), network.size_bytes
        except OSError as error:
            name = Path(error.filename or network.files[0]).name
            raise InputError(f"the network of {network.service!r} cannot be loaded: {name}, {error.strerror}") from None
        self.baselines[network.service] = machine.memory_bytes()
        self.loaded[network.service], row = self._measured(lambda: self.backend.load(network))
        cold = cached == 0 and row["read_bytes"] >= COLD * size
        self.loaded[network.service].prepare(seed)
        machine.release_memory()  # memory that the load needed but the network does not
        return {**row, "cached_before": cached, "cold": "yes" if cold else "unknown", **self._memory(network.service)}

    def infer(self, service: str) -> Row:
        _, row = self._measured(self.loaded[service].infer)
        return {**row, **self._memory(service)}

    def unload(self, service: str) -> Row:
        """Free a network's memory, and collect what nothing refers to any more."""
        network = self.loaded.pop(service)

        def unload() -> None:
            network.close()
            machine.release_memory()

        _, row = self._measured(unload)
        return {**row, **self._memory(service)}

    def memory(self) -> float:
        """Memory in use now, bytes: the networks' on a GPU, else the resident set after garbage collection."""
        if self.backend.device == "cuda":
            return float(sum(network.gpu_memory_bytes() or 0 for network in self.loaded.values()))
        machine.release_memory()
        return machine.memory_bytes()[1]

    def _memory(self, service: str) -> Row:
        """Growth of the process's memory since before the load (anonymous, resident with mapped files), and GPU memory."""
        anonymous, resident = (now - then for now, then in zip(machine.memory_bytes(), self.baselines[service], strict=True))
        gpu = self.loaded[service].gpu_memory_bytes() if service in self.loaded else None
        return {"anonymous_bytes": anonymous, "resident_bytes": resident, "gpu_memory_bytes": math.nan if gpu is None else gpu}

    def _measured(self, action: Callable[[], Result]) -> tuple[Result, Row]:
        """Run an action. Returns its result, and the time, reads and energy that it took."""
        load1, read_before, energy_before = machine.load1(), machine.bytes_read(), self.energy.read()
        cpu_start, start = time.process_time(), time.perf_counter()
        result = action()
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        energy, read_after = self.energy.between(energy_before, self.energy.read()), machine.bytes_read()
        read = math.nan if read_before is None or read_after is None else read_after - read_before
        no_energy = (self.energy.reason or "a counter became unreadable meanwhile") if math.isnan(energy) else ""
        row = {"wall_s": wall, "cpu_s": cpu, "read_bytes": read, "energy_j": energy, "no_energy": no_energy, "load1": load1}
        return result, row


class Worker:
    """A `Measurer` in a process of its own; its methods are called there. A context manager: the process ends with the block.

    A call raises the exception that the method raised there. It raises InputError where the process died; the next call then
    starts another process.
    """

    def __init__(self, backend: Backend):
        self.backend = backend
        self.process: BaseProcess | None = None
        self.pipe: Connection | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def describe(self) -> dict[str, str]:
        return self._call("describe")

    def build(self, service: str, folder: Path) -> Network:
        return self._call("build", service, folder)

    def load(self, network: Network, seed: int) -> Row:
        return self._call("load", network, seed)

    def infer(self, service: str) -> Row:
        return self._call("infer", service)

    def unload(self, service: str) -> Row:
        return self._call("unload", service)

    def memory(self) -> float:
        return self._call("memory")

    def end(self) -> None:
        """End the process; this frees all memory that it holds."""
        if self.process is not None and self.pipe is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
        self.process = self.pipe = None

    def _start(self) -> tuple[BaseProcess, Connection]:
        """Start the process with its number of threads in its environment; it ignores Ctrl-C, as its parent does meanwhile."""
        context = get_context("spawn")
        pipe, remote = context.Pipe()
        process = context.Process(target=_serve, args=(remote, self.backend), daemon=True)
        before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ |= dict.fromkeys(THREAD_VARIABLES, str(self.backend.threads))
        main = threading.current_thread() is threading.main_thread()
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
        try:
            process.start()
        finally:
            if main:
                signal.signal(signal.SIGINT, handler)
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        remote.close()
        self.process, self.pipe = process, pipe
        return process, pipe

    def _call(self, method: str, *arguments: Any) -> Any:
        process, pipe = (self.process, self.pipe) if self.process and self.pipe else self._start()
        try:
            pipe.send((method, arguments))
            failed, result = pipe.recv()
        except (EOFError, OSError):
            process.join(10)
            code = process.exitcode
            self.end()
            call = f"{method} of the network of {_service(arguments)!r}" if arguments else method
            if code == -signal.SIGKILL:
                raise InputError(f"the measuring process was killed in {call}: most likely memory ran out") from None
            raise InputError(f"the measuring process died in {call}, with exit code {code}") from None
        if failed:
            raise result
        return result


def _serve(pipe: Connection, backend: Backend) -> None:
    """Answer calls in the process until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this process ends
    measurer: Measurer | None = None
    broken: Exception | None = None
    try:
        measurer = Measurer(backend)
    except Exception as error:
        broken = _sendable(error, "starting")
    gc.freeze()  # objects that exist now are never garbage: later collections look at the networks alone
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            method, arguments = pipe.recv()
            try:
                answer = (True, broken) if broken else (False, getattr(measurer, method)(*arguments))
            except MemoryError:
                answer = (True, InputError(f"the network of {_service(arguments)!r} needs more memory than there is"))
            except Exception as error:
                answer = (True, _sendable(error, f"{method} of {_service(arguments)!r}"))
            pipe.send(answer)


def _sendable(error: Exception, call: str) -> Exception:
    """Turn an error into one that can be pickled; a library's own exception often cannot."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError):
        return InputError(f"{call}: {error.strerror or error}")
    return RuntimeError(f"{call}: {type(error).__name__}: {error}")


def _service(arguments: tuple) -> str:
    """Name the service that a call is about."""
    return getattr(arguments[0], "service", arguments[0]) if arguments else "any"
