"""The machine: what is cached, read and taken, against what the test itself read and took; what cannot be known is not made up."""

import errno
import gc
import json
import math
import mmap
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.disks import disk, file_system, in_memory

from edgecache.profiling import machine

PAGE, PAGES, MB = mmap.PAGESIZE, 512, 1 << 20
linux = pytest.mark.skipif(platform.system() != "Linux", reason="only Linux tells this")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with disk(tmp_path_factory.mktemp("disk")) as folder:
        yield folder


@pytest.fixture
def file(folder, request):
    """A file of some pages, the last of them not full, just written."""
    path = folder / f"{request.node.name[:40].replace('/', '-')}.bin"
    path.write_bytes(os.urandom(PAGES * PAGE - 5))
    yield str(path)
    path.unlink()


def read(file, pages):
    """Read a byte of each of the pages, and nothing ahead."""
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    for page in pages:
        os.pread(descriptor, 1, int(page) * PAGE)
    os.close(descriptor)


def test_what_was_just_written_is_cached_and_what_was_evicted_is_not(file):
    assert machine.cached_share([file]) == 1
    machine.evict([file])
    assert machine.cached_share([file]) == 0


def test_pages_that_are_read_are_cached_and_counted(file):
    machine.evict([file])
    chosen = np.random.default_rng(1).permutation(PAGES)[:100]
    before = machine.bytes_read()
    read(file, chosen)
    grown = machine.bytes_read() - before
    assert machine.cached_share([file]) == pytest.approx(100 / PAGES, abs=1e-12)
    assert 100 * PAGE <= grown <= 164 * PAGE, grown
    before = machine.bytes_read()
    read(file, chosen)
    assert machine.bytes_read() - before <= 64 * PAGE, "what is cached is not read from the disk"


@pytest.mark.skipif(not shutil.which("fincore"), reason="no fincore of util-linux")
def test_the_share_is_that_of_util_linux(file):
    rng = np.random.default_rng(2)
    for count in (0, 1, 37, PAGES):
        machine.evict([file])
        read(file, rng.permutation(PAGES)[:count])
        pages = subprocess.check_output(["fincore", "--noheadings", "--output", "PAGES", file], text=True)
        assert machine.cached_share([file]) == count / PAGES == int(pages) / PAGES


def test_the_share_of_several_files_is_of_their_pages(file, folder):
    small, empty = folder / "small.bin", folder / "empty.bin"
    small.write_bytes(b"x" * (PAGE + 1))
    empty.write_bytes(b"")
    machine.evict([file])
    assert machine.cached_share([file, str(small), str(empty)]) == pytest.approx(2 / (PAGES + 2), abs=1e-12)
    assert machine.cached_share([str(empty)]) == 0


def test_a_file_that_is_mapped_stays_cached(file):
    machine.evict([file])
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[page * PAGE] for page in range(PAGES)) >= 0
        machine.evict([file])
        assert machine.cached_share([file]) == 1
    machine.evict([file])
    assert machine.cached_share([file]) == 0


def test_a_file_in_memory_is_never_cold():
    with in_memory() as folder:
        path = folder / "file.bin"
        path.write_bytes(b"x" * PAGES * PAGE)
        before = machine.bytes_read()
        machine.evict([str(path)])
        assert machine.cached_share([str(path)]) == 1
        assert len(path.read_bytes()) == PAGES * PAGE and machine.bytes_read() - before <= 64 * PAGE


@pytest.fixture
def overlay(folder):
    """A folder of an overlay file system, as containers have; it is mounted where this process alone can look."""
    root = Path(tempfile.mkdtemp(dir=folder))
    for name in ("lower", "upper", "work", "merged"):
        (root / name).mkdir()
    mount = f"cd {root} && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged"
    command = ["unshare", "-rm", "sh", "-c", f"{mount} && echo mounted && exec sleep 60"]
    if not shutil.which("unshare"):
        pytest.skip("no unshare, so no overlay")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout.readline() != "mounted\n":
                pytest.skip(f"no overlay can be mounted here: {process.stderr.read().strip()}")
            yield Path(f"/proc/{process.pid}/root{root}/merged")
        finally:
            process.kill()


def test_on_an_overlay_what_is_cached_is_not_called_cold(overlay):
    path = overlay / "file.bin"
    path.write_bytes(os.urandom(PAGES * PAGE))
    share = machine.cached_share([str(path)])
    assert share == 1 or math.isnan(share), "all of it was just written, so all is cached"


class Deaf:
    """A C library whose calls fail."""

    def mincore(self, *_):
        return -1


def test_where_the_kernel_does_not_tell_the_share_is_unknown(file, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(machine, "_libc", Deaf)
        assert math.isnan(machine.cached_share([file]))
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert math.isnan(machine.cached_share([file]))


def test_where_nothing_can_be_evicted_nothing_is(file, monkeypatch):
    with monkeypatch.context() as patched:
        patched.delattr(os, "posix_fadvise")
        machine.evict([file])
    assert machine.cached_share([file]) == 1


@linux
def test_no_file_stays_open(file, monkeypatch):
    def opened():
        return len(os.listdir("/proc/self/fd"))

    before = opened()
    machine.evict([file])
    machine.cached_share([file])
    monkeypatch.setattr(os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        machine.evict([file])
    assert opened() == before


def without(monkeypatch, *names):
    """Take files away, as under a kernel without /proc."""
    read_text, exists = Path.read_text, Path.exists

    def gone(self, *arguments, **options):
        if str(self) in names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(self))
        return read_text(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", gone)
    monkeypatch.setattr(Path, "exists", lambda self: str(self) not in names and exists(self))


def test_without_proc_reads_and_anonymous_memory_are_unknown(monkeypatch):
    without(monkeypatch, "/proc/self/io", "/proc/self/status")
    assert machine.bytes_read() is None
    anonymous, resident = machine.memory_bytes()
    assert math.isnan(anonymous) and resident == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)


def test_a_kernel_that_counts_no_reads_is_not_believed_to_have_read_nothing(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda self: "rchar: 1\nwchar: 2\n")
    assert machine.bytes_read() is None
    monkeypatch.setattr(Path, "read_text", lambda self: (_ for _ in ()).throw(PermissionError(errno.EACCES, "denied")))
    assert machine.bytes_read() is None


@linux
def test_memory_sees_what_is_allocated_and_gives_it_back():
    machine.release_memory()
    anonymous, resident = machine.memory_bytes()
    held = np.ones(64 * MB, dtype=np.uint8)
    more, residing = machine.memory_bytes()
    assert held[-1] == 1 and 64 * MB <= more - anonymous <= 72 * MB and 64 * MB <= residing - resident <= 72 * MB
    del held
    machine.release_memory()
    assert all(abs(now - then) < 8 * MB for now, then in zip(machine.memory_bytes(), (anonymous, resident), strict=True))


def test_a_mapped_file_is_resident_and_not_anonymous(file):
    anonymous, resident = machine.memory_bytes()
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[page * PAGE] for page in range(PAGES)) >= 0
        more, residing = machine.memory_bytes()
        assert residing - resident >= 0.9 * PAGES * PAGE and abs(more - anonymous) < PAGES * PAGE / 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another, whose free memory is its own affair")
def test_free_memory_below_what_is_still_used_is_given_back():
    machine.release_memory()
    start, _ = machine.memory_bytes()
    pieces = [b"x" * 60_000 for _ in range(1000)]  # too small to be mapped on their own
    last = b"x" * 60_000
    pieces.clear()
    kept, _ = machine.memory_bytes()
    if kept - start < 30 * MB:
        pytest.skip("this C library gave the memory back by itself")
    machine.release_memory()
    assert machine.memory_bytes()[0] - start < 8 * MB and last


@linux
def test_garbage_that_refers_to_itself_is_collected():
    machine.release_memory()
    start, _ = machine.memory_bytes()
    gc.disable()
    try:
        knot = [np.ones(64 * MB, dtype=np.uint8)]
        knot.append(knot)
        del knot
        assert machine.memory_bytes()[0] - start > 30 * MB
        machine.release_memory()
        assert machine.memory_bytes()[0] - start < 8 * MB
    finally:
        gc.enable()


def test_the_load_is_the_systems_and_unknown_where_there_is_none(monkeypatch):
    assert machine.load1() == pytest.approx(os.getloadavg()[0], abs=0.2)
    with monkeypatch.context() as patched:
        patched.delattr(os, "getloadavg")
        assert math.isnan(machine.load1())


def test_a_load_that_cannot_be_obtained_is_unknown(monkeypatch):
    """What Python's documentation promises where /proc is not there."""

    def unobtainable():
        raise OSError("Load averages are unobtainable")

    monkeypatch.setattr(os, "getloadavg", unobtainable)
    assert math.isnan(machine.load1())


def test_the_description_is_true_and_complete(folder):
    told = machine.describe(folder)
    assert list(told) == ["cpu", "architecture", "cores", "memory_gb", "virtual", "system", "file_system", "python"]
    assert json.loads(json.dumps(told)) == told
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    assert told["memory_gb"] == pytest.approx(memory, abs=0.1) and told["cores"] == os.cpu_count()
    assert told["architecture"] == os.uname().machine and told["system"].startswith(f"{platform.system()} ") and told["cpu"]
    assert told["file_system"].removesuffix("4")[:3] == file_system(folder)[:3]


def test_the_description_has_no_name_of_the_machine_and_no_path(tmp_path, monkeypatch):
    secret = "xyzzy-secret"
    names = platform.uname()._replace(node=secret)
    monkeypatch.setattr(platform, "uname", lambda: names)
    monkeypatch.setattr(platform, "node", lambda: secret)
    (tmp_path / secret).mkdir()
    told = machine.describe(tmp_path / secret)
    assert secret not in str(told) and "/" not in "".join(str(value) for name, value in told.items() if name != "cpu")


def test_a_folder_that_is_not_there_yet_is_described(folder):
    assert machine.describe(folder / "not" / "yet")["file_system"] == machine.describe(folder)["file_system"]


def test_the_file_system_is_that_of_the_folder_behind_a_link(folder):
    link = folder / "link"
    with in_memory() as memory:
        link.symlink_to(memory)
        assert machine.describe(memory)["file_system"] == "tmpfs"
        assert machine.describe(link)["file_system"] == "tmpfs"


def test_whether_an_undescribed_processor_is_virtual_is_unknown(tmp_path, monkeypatch):
    without(monkeypatch, "/proc/cpuinfo")
    told = machine.describe(tmp_path)
    assert told["cpu"] == (platform.processor() or platform.machine())
    assert told["virtual"] is None, "nothing told that it is a real one"
