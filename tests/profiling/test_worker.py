"""The process that measures: what its rows say, against what was really read and taken, and how it dies."""

import gc
import math
import mmap
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest
from support.disks import disk, in_memory

from edgecache import InputError
from edgecache.profiling.contract import Network
from edgecache.profiling.onnx.backend import OnnxBackend
from edgecache.profiling.worker import Worker

MB = 1 << 20
SIZE, SMALLEST = 24 * MB, "text_to_speech"
ROW = ["wall_s", "cpu_s", "read_bytes", "energy_j", "no_energy", "load1"]
MEMORY = ["anonymous_bytes", "resident_bytes", "gpu_memory_bytes"]
linux = pytest.mark.skipif(platform.system() != "Linux", reason="only Linux tells this")


class Unsendable(Exception):
    """As some libraries have them: it cannot be made anew from its arguments."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def fail(service, seed):
    """What a network whose service says so does to its process; `seed` is what it was prepared with."""
    if service == "told":
        raise InputError(f"prepared with {seed}")
    if service == "unsendable":
        raise Unsendable("this", "that")
    if service == "greedy":
        raise MemoryError
    if service == "exits":
        os._exit(3)
    if service == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Held:
    """A network in memory that is nothing but its bytes."""

    service: str
    held: object
    pieces: list = field(default_factory=list)

    def prepare(self, seed):
        self.seed = seed
        time.sleep(0.3 if self.service == "slow" else 0)

    def infer(self):
        fail(self.service, self.seed)
        if self.service == "waits":
            time.sleep(0.2)
        begin = time.process_time()
        while self.service == "works" and time.process_time() - begin < 0.2:
            sum(range(1000))
        if self.service == "hangs":
            Path(self.held).write_text("begun")
            time.sleep(60)
        if self.service == "grows":
            self.pieces.append(np.ones(8 * MB, dtype=np.uint8))

    def gpu_memory_bytes(self):
        return 123 if self.service == "gpu" else None

    def close(self):
        self.held, self.pieces = None, []


@dataclass(frozen=True)
class Bench:
    """A backend whose networks are files of random bytes; what they do depends on the service. And one of the real ones."""

    threads: int = 3
    device: str = "cpu"
    name: ClassVar[str] = "bench"
    gpu: ClassVar[str] = ""

    def describe(self):
        return {"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS"), "cwd": os.getcwd()}

    def build(self, service, folder):
        fail(service, None)
        return OnnxBackend().build(service, folder)

    def load(self, network):
        if network.model != "bench":
            return OnnxBackend().load(network)
        (file,) = network.files
        if network.service in ("mapped", "half"):
            with open(file, "rb") as opened:
                if network.service == "half":
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # nothing is read ahead
                    return Held("half", opened.read(network.size_bytes // 2))
                mapped = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
                sum(mapped[:: mmap.PAGESIZE])
                return Held("mapped", mapped)
        if network.service == "hangs":
            return Held("hangs", f"{file}.begun")
        with open(file, "rb") as opened:
            loaded = Held(network.service, bytearray(opened.read()))
        if network.service == "knot":
            loaded.pieces += [loaded.held, loaded.pieces]
        return loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with disk(tmp_path_factory.mktemp("worker")) as folder:
        yield folder


@pytest.fixture(scope="module")
def path(folder):
    path = folder / "network.bin"
    path.write_bytes(np.random.default_rng(0).bytes(SIZE))
    return path


@pytest.fixture(scope="module")
def network(path):
    return lambda service, path=path: Network(service, "bench", (str(path),), SIZE // 4)


@pytest.fixture(scope="module")
def worker():
    with Worker(Bench()) as worker:
        yield worker
    assert worker.process is None


def cycle(worker, network, executions=1, seed=0):
    """A load, executions, and an unload: their rows."""
    load = worker.load(network, seed)
    return load, [worker.infer(network.service) for _ in range(executions)], worker.unload(network.service)


@pytest.fixture(scope="module")
def real(worker, folder):
    """A real network, built there and measured twice: the first load also imports."""
    built = worker.build(SMALLEST, folder / "real")
    cycle(worker, built)
    return built, cycle(worker, built, 3)


def plausible(row):
    assert 0 <= row["wall_s"] < 20 and 0 <= row["cpu_s"] < 20
    assert math.isnan(row["energy_j"]) == bool(row["no_energy"]) and not row["energy_j"] < 0
    assert row["load1"] >= 0 and row["read_bytes"] >= 0


def test_rows_have_the_promised_columns_and_plausible_values(real):
    _, (load, infers, unload) = real
    assert list(load) == [*ROW, "cached_before", "cold", *MEMORY]
    for row in (*infers, unload):
        assert list(row) == [*ROW, *MEMORY]
    for row in (load, *infers, unload):
        plausible(row)
        assert math.isnan(row["gpu_memory_bytes"])
    assert load["wall_s"] > 0.005 and all(row["wall_s"] > 0.001 and row["cpu_s"] > 0 for row in infers)


@linux
def test_a_real_network_is_read_from_the_disk_taken_into_memory_and_given_up(real):
    network, (load, infers, unload) = real
    assert load["cold"] == "yes" and load["cached_before"] == 0
    assert 0.95 * network.size_bytes <= load["read_bytes"] <= 1.3 * network.size_bytes
    for row in (load, *infers):
        assert 0.9 * 4 * network.parameters <= row["anonymous_bytes"] <= 4 * network.size_bytes
        assert row["resident_bytes"] >= row["anonymous_bytes"] - MB
    assert abs(unload["anonymous_bytes"]) < 0.25 * network.size_bytes
    assert all(row["read_bytes"] < network.size_bytes / 10 for row in infers), "what is in memory is not read again"


def test_a_network_is_the_same_whichever_process_builds_it(real, tmp_path):
    here = OnnxBackend().build(SMALLEST, tmp_path)
    assert [Path(file).read_bytes() for file in here.files] == [Path(file).read_bytes() for file in real[0].files]


@linux
def test_memory_and_reads_are_those_of_the_network_exactly(worker, network):
    for _ in range(2):
        load, (infer,), unload = cycle(worker, network("plain"))
        assert load["cold"] == "yes" and SIZE <= load["read_bytes"] < SIZE + 4 * MB
        for row in (load, infer):
            assert row["anonymous_bytes"] == pytest.approx(SIZE, abs=2 * MB)
            assert row["resident_bytes"] == pytest.approx(SIZE, abs=4 * MB)
        assert abs(unload["anonymous_bytes"]) < 2 * MB and abs(unload["resident_bytes"]) < 4 * MB


@linux
def test_a_mapped_network_is_resident_and_not_anonymous(worker, network):
    load, _, unload = cycle(worker, network("mapped"))
    assert load["cold"] == "yes", "reads by mapping count"
    assert abs(load["anonymous_bytes"]) < 2 * MB and load["resident_bytes"] == pytest.approx(SIZE, abs=4 * MB)
    assert abs(unload["resident_bytes"]) < 4 * MB


@linux
def test_garbage_that_refers_to_itself_is_gone_after_the_unload(worker, network):
    load, _, unload = cycle(worker, network("knot"))
    assert load["anonymous_bytes"] > SIZE - 2 * MB and abs(unload["anonymous_bytes"]) < 2 * MB


@linux
def test_two_networks_side_by_side_have_memory_of_their_own(worker, network):
    one, two = network("grows"), network("plain")
    worker.load(one, 0)
    assert worker.load(two, 0)["anonymous_bytes"] == pytest.approx(SIZE, abs=2 * MB)
    assert worker.infer("grows")["anonymous_bytes"] == pytest.approx(2 * SIZE + 8 * MB, abs=4 * MB), (
        "of the process, since its load"
    )
    assert abs(worker.unload("plain")["anonymous_bytes"] - 8 * MB) < 2 * MB
    assert abs(worker.unload("grows")["anonymous_bytes"]) < 2 * MB


@linux
def test_memory_is_the_resident_set_of_the_process(worker, network):
    before = worker.memory()
    assert before == pytest.approx(psutil.Process(worker.process.pid).memory_info().rss, abs=4 * MB)
    worker.load(network("plain"), 0)
    assert worker.memory() - before == pytest.approx(SIZE, abs=4 * MB)
    worker.unload("plain")
    assert abs(worker.memory() - before) < 4 * MB


@linux
def test_a_load_of_what_others_hold_in_memory_is_not_called_cold(worker, network, path):
    with open(path, "rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        load, _, _ = cycle(worker, network("plain"))
    assert load["cold"] == "unknown" and load["cached_before"] == 1 and load["read_bytes"] < SIZE / 10
    gc.collect()
    assert cycle(worker, network("plain"))[0]["cold"] == "yes"


@linux
def test_a_load_of_what_others_hold_a_little_of_is_not_called_cold(worker, network, path):
    with open(path, "rb") as opened, mmap.mmap(opened.fileno(), 16 * mmap.PAGESIZE, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        load, _, _ = cycle(worker, network("plain"))
    assert load["cold"] == "unknown" and 0 < load["cached_before"] < 0.5


@linux
def test_a_load_from_memory_is_not_called_cold(worker, network, path):
    with in_memory() as shared:
        copy = shared / "network.bin"
        copy.write_bytes(path.read_bytes())
        load, _, _ = cycle(worker, network("plain", copy))
    assert load["cold"] == "unknown" and load["cached_before"] == 1 and load["read_bytes"] < SIZE / 10


@linux
def test_a_load_that_reads_half_is_not_called_cold(worker, network):
    """As of a library that maps weights and reads them later."""
    load, _, _ = cycle(worker, network("half"))
    assert load["cold"] == "unknown" and load["cached_before"] == 0 and load["read_bytes"] < 0.95 * SIZE


def test_time_waited_is_no_time_computed(worker, network):
    _, (waited,), _ = cycle(worker, network("waits"))
    assert 0.2 <= waited["wall_s"] < 5 and waited["cpu_s"] < 0.1
    _, (worked,), _ = cycle(worker, network("works"))
    assert 0.2 <= worked["cpu_s"] < 0.4 and worked["wall_s"] > 0.19


def test_making_the_inputs_is_not_timed_and_gets_the_seed(worker, network):
    begin = time.perf_counter()
    load = worker.load(network("slow"), 0)
    assert time.perf_counter() - begin - load["wall_s"] >= 0.3
    worker.unload("slow")
    worker.load(network("told"), 41)
    with pytest.raises(InputError, match=r"^prepared with 41$"):
        worker.infer("told")
    worker.unload("told")


def test_memory_of_a_gpu_is_told_while_it_is_taken(worker, network):
    load, (infer,), unload = cycle(worker, network("gpu"))
    assert load["gpu_memory_bytes"] == infer["gpu_memory_bytes"] == 123 and math.isnan(unload["gpu_memory_bytes"])


def test_the_description_is_of_the_process_and_says_where_energy_comes_from(worker):
    before = dict(os.environ)
    told = worker.describe()
    assert told["pid"] == worker.process.pid != os.getpid() and told["cwd"] == os.getcwd()
    assert told["threads"] == "3" and dict(os.environ) == before
    assert bool(told["energy"]) != bool(told["no_energy"])


def test_the_environment_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    other = Worker(Bench())

    class Process:
        def __init__(self, **_):
            pass

        def start(self):
            assert os.environ["MKL_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "3"
            raise OSError("no process can be started")

    monkeypatch.setattr("multiprocessing.context.SpawnContext.Process", Process)
    with pytest.raises(OSError, match="no process"):
        other.describe()
    assert os.environ["MKL_NUM_THREADS"] == "7" and "OMP_NUM_THREADS" not in os.environ


# what fails, and what dies


def test_errors_arrive_in_one_sentence_and_the_process_lives_on(worker, network):
    pid = worker.describe()["pid"]
    for service, kind, said in (
        ("unsendable", RuntimeError, "infer of 'unsendable': Unsendable: this and that"),
        ("greedy", InputError, "the network of 'greedy' needs more memory than there is"),
        ("told", InputError, "prepared with 0"),
    ):
        worker.load(network(service), 0)
        with pytest.raises(kind) as raised:
            worker.infer(service)
        assert str(raised.value) == said and isinstance(raised.value, kind)
        worker.unload(service)
    with pytest.raises(InputError, match=r"^prepared with None$"):
        worker.build("told", Path("unused"))
    with pytest.raises(RuntimeError, match=r"^infer of 'never loaded': KeyError"):
        worker.infer("never loaded")
    assert worker.describe()["pid"] == pid


def test_a_network_whose_file_vanished_is_told(worker, network, folder):
    """As where a folder of networks is tidied up between two cycles; what is no InputError ends in a traceback."""
    with pytest.raises(InputError, match="gone") as raised:
        worker.load(network("gone", folder / "gone.bin"), 0)
    assert "\n" not in str(raised.value)


def ended(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_for(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_a_process_that_is_killed_in_a_call_is_told_and_another_takes_over(worker, network, path):
    """As the kernel kills where memory is out."""
    mark = Path(f"{path}.begun")
    worker.load(network("hangs"), 0)
    pid = worker.process.pid

    def kill():
        wait_for(mark.exists, "the call has not begun")
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    begin = time.monotonic()
    with pytest.raises(InputError) as raised:
        worker.infer("hangs")
    killer.join()
    assert time.monotonic() - begin < 15
    assert str(raised.value) == ("the measuring process was killed in infer of the network of 'hangs': most likely memory ran out")
    assert ended(pid) and worker.process is None
    assert worker.load(network("plain"), 0)["wall_s"] > 0 and worker.process.pid != pid
    with pytest.raises(RuntimeError, match=r"infer of .hangs.: KeyError"):
        worker.infer("hangs")
    worker.unload("plain")


def test_a_process_that_exits_or_was_killed_between_calls_is_told(worker, network):
    with pytest.raises(InputError, match=r"^the measuring process died in build of the network of 'exits', with exit code 3$"):
        worker.build("exits", Path("unused"))
    assert worker.process is None
    worker.describe()
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.join()
    with pytest.raises(InputError, match=r"was killed in load of the network of 'plain': most likely memory ran out"):
        worker.load(network("plain"), 0)
    worker.end()
    worker.end()


PARENT = """
import signal, sys
from test_worker import Bench
from edgecache.profiling.worker import Worker
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
worker = Worker(Bench())
print("begun", flush=True)
print(worker.describe()["pid"], flush=True)
for line in sys.stdin:
    print(worker.describe()["pid"], flush=True)
"""


@pytest.fixture
def parent():
    """A process with a worker, in a group of its own as a command in a terminal is; it has just begun to start the worker."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    }
    with subprocess.Popen([sys.executable, "-c", PARENT], **pipes, text=True, env=environment, start_new_session=True) as parent:
        try:
            assert parent.stdout.readline() == "begun\n"
            yield parent
        finally:
            parent.kill()


@linux
def test_a_worker_outlives_an_interrupt_and_ends_with_its_parent(parent):
    pid = int(parent.stdout.readline())
    assert os.getpgid(pid) == parent.pid
    os.killpg(parent.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    assert parent.stdout.readline() == "interrupted\n"
    time.sleep(0.2)
    parent.stdin.write("again\n")
    parent.stdin.flush()
    assert int(parent.stdout.readline()) == pid, "the process that was interrupted answers"
    parent.kill()
    parent.wait()
    wait_for(lambda: ended(pid), "the worker lives on without its parent")
    assert parent.stderr.read() == ""


@linux
def test_a_worker_that_is_interrupted_while_it_starts_prints_nothing(parent):
    """The parent decides what an interrupt means; a traceback of its worker is none of the user's."""
    for _ in range(3):
        time.sleep(0.3)
        os.killpg(parent.pid, signal.SIGINT)
    lines = iter(parent.stdout.readline, "")
    assert next((line for line in lines if line != "interrupted\n"), "").strip().isdecimal(), parent.stderr.read()[-500:]
    parent.kill()
    assert parent.stderr.read() == ""
