"""A process of its own that holds networks in memory and measures them; if it dies, nothing but its work is lost."""

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
from pathlib import Path

from ..errors import InputError
from . import machine
from .energy import Energy
from .network import Loaded, Network

COLD = 0.95  # of a network's size must have come from the disk


@dataclass
class Hands:
    """What runs in the process: one call a phase, each returning its measurements as a dict."""

    backend: object
    loaded: dict[str, Loaded] = field(default_factory=dict)
    before: dict[str, tuple[float, float]] = field(default_factory=dict)  # memory before each load

    def __post_init__(self):
        self.backend.describe()  # imports what it runs: in no load's time
        self.energy = Energy(getattr(self.backend, "gpu", "") if self.backend.device == "cuda" else "")

    def describe(self) -> dict:
        """Versions, and where energy comes from, or why it does not."""
        return {**self.backend.describe(), "energy": self.energy.source, "no_energy": self.energy.reason}

    def build(self, service: str, folder: Path) -> Network:
        network = self.backend.build(service, folder)
        machine.evict(network.files)  # written to the disk now, not while the next is measured
        return network

    def load(self, network: Network, seed: int) -> dict:
        """Cold, from disk to memory; the inputs of the executions are made afterwards, untimed."""
        machine.give_back()
        try:
            machine.evict(network.files)
            cached, size = machine.cached_share(network.files), network.size_bytes
        except OSError as error:
            name = Path(error.filename or network.files[0]).name
            raise InputError(f"the network of {network.service!r} cannot be loaded: {name}, {error.strerror}") from None
        self.before[network.service] = machine.memory_bytes()
        self.loaded[network.service], row = self._measured(lambda: self.backend.load(network))
        cold = cached == 0 and row["read_bytes"] >= COLD * size
        self.loaded[network.service].prepare(seed)
        machine.give_back()  # what the load needed but the network does not
        return {**row, "cached_before": cached, "cold": "yes" if cold else "unknown", **self._memory(network.service)}

    def infer(self, service: str) -> dict:
        _, row = self._measured(self.loaded[service].infer)
        return {**row, **self._memory(service)}

    def unload(self, service: str) -> dict:
        """Give the memory back; what nothing refers to any more is collected here."""
        gone = self.loaded.pop(service)

        def unload():
            gone.close()
            machine.give_back()

        _, row = self._measured(unload)
        return {**row, **self._memory(service)}

    def memory(self) -> float:
        """Bytes that are taken now: of a GPU by the networks, else the resident set, garbage given back first."""
        if self.backend.device == "cuda":
            return float(sum(network.gpu_memory_bytes() for network in self.loaded.values()))
        machine.give_back()
        return machine.memory_bytes()[1]

    def _memory(self, service: str) -> dict:
        """What the process has more in memory than before the load: anonymous, resident (mapped files too), and on the GPU."""
        (anonymous, resident), (was, resided) = machine.memory_bytes(), self.before[service]
        gpu = self.loaded[service].gpu_memory_bytes() if service in self.loaded else None
        gpu = math.nan if gpu is None else gpu
        return {"anonymous_bytes": anonymous - was, "resident_bytes": resident - resided, "gpu_memory_bytes": gpu}

    def _measured(self, action: Callable) -> tuple:
        """What the action returned, and time, reads and energy meanwhile."""
        load, read, joules = machine.load1(), machine.bytes_read(), self.energy.read()
        cpu, begin = time.process_time(), time.perf_counter()
        result = action()
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        joules, after = self.energy.between(joules, self.energy.read()), machine.bytes_read()
        row = {
            "wall_s": wall,
            "cpu_s": cpu,
            "read_bytes": math.nan if None in (read, after) else after - read,
            "energy_j": joules,
            "no_energy": (self.energy.reason or "a counter could not be read meanwhile") if math.isnan(joules) else "",
            "load1": load,
        }
        return result, row


class Worker:
    """The process, and its calls by name: `worker.load(network, seed)`. A context manager: it ends with its block.

    A call raises what it raised there, and InputError where the process died; the next call then starts another.
    """

    def __init__(self, backend):
        self.backend, self.process, self.pipe = backend, None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("_") or not hasattr(Hands, name):
            raise AttributeError(name)
        return lambda *arguments: self._call(name, *arguments)

    def _start(self):
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.backend), daemon=True)
        threads = {name: str(self.backend.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        before = {name: os.environ.get(name) for name in threads}
        os.environ |= threads
        main = threading.current_thread() is threading.main_thread()
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None  # what is ignored stays so in the process
        try:
            self.process.start()
        finally:
            if main:
                signal.signal(signal.SIGINT, handler)
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        theirs.close()

    def _call(self, name: str, *arguments):
        if self.process is None:
            self._start()
        try:
            self.pipe.send((name, arguments))
            failed, result = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(10)
            code = self.process.exitcode
            self.end()
            what = f"{name} of the network of {_service(arguments)!r}" if arguments else name
            if code == -signal.SIGKILL:
                raise InputError(f"the measuring process was killed in {what}: most likely there is too little memory") from None
            raise InputError(f"the measuring process died in {what}, with exit code {code}") from None
        if failed:
            raise result
        return result

    def end(self):
        """End the process, and with it all that it holds."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
        self.process = self.pipe = None


def _serve(pipe, backend) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process, in its own time
    hands = broken = None
    try:
        hands = Hands(backend)
    except Exception as error:
        broken = _sent(error, "starting")
    gc.freeze()  # what is there now is never garbage: collections look at the networks alone
    with suppress(EOFError, OSError):  # the parent has gone
        while True:
            name, arguments = pipe.recv()
            try:
                answer = (True, broken) if broken else (False, getattr(hands, name)(*arguments))
            except MemoryError:
                answer = (True, InputError(f"the network of {_service(arguments)!r} needs more memory than there is"))
            except Exception as error:
                answer = (True, _sent(error, f"{name} of {_service(arguments)!r}"))
            pipe.send(answer)


def _sent(error: Exception, what: str) -> Exception:
    """The error as the parent sees it: a sentence, or for a library's, which may not be sent, its words."""
    if isinstance(error, InputError):
        return error
    if isinstance(error, OSError):
        return InputError(f"{what}: {error.strerror or error}")
    return RuntimeError(f"{what}: {type(error).__name__}: {error}")


def _service(arguments: tuple) -> str:
    """Whose network a call is about."""
    return getattr(arguments[0], "service", arguments[0]) if arguments else "any"
