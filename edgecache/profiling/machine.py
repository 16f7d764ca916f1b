"""The machine that measures: what of a file is cached, what was read, how much memory is taken, and what machine it is.

Linux tells all of it without root. Elsewhere a function returns NaN or None where it cannot know, and nothing is made up.
"""

import ctypes
import gc
import math
import mmap
import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

CACHESTAT = 451  # the number of the system call, the same on every architecture; Linux 6.5
PAGE = mmap.PAGESIZE


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Cached(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted"))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def evict(files: Iterable[str]) -> None:
    """Ask the kernel to drop the files from its page cache, dirty pages written first. Mapped pages stay; no root is needed."""
    if hasattr(os, "posix_fadvise"):
        for file in files:
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def cached_share(files: Iterable[str]) -> float:
    """Which share of the files' pages is in the page cache, by cachestat(2) or mincore(2); NaN where neither can tell."""
    cached = pages = 0
    for file in files:
        here = _cached_pages(file)
        if here is None:
            return math.nan
        cached, pages = cached + here, pages + -(-os.path.getsize(file) // PAGE)
    return cached / pages if pages else 0.0


def _cached_pages(file: str) -> int | None:
    """By both calls, the larger: cachestat says nothing is cached of a file on an overlay, which is the root of a container.

    Who neither owns a file nor may write it is not told.
    """
    if platform.system() != "Linux" or not (os.access(file, os.W_OK) or os.stat(file).st_uid == os.geteuid()):
        return None
    with open(file, "rb") as opened:
        found, whole = _Cached(), _Range(0, 0)  # to the end of the file
        known = _libc().syscall(CACHESTAT, opened.fileno(), ctypes.byref(whole), ctypes.byref(found), 0) == 0
        size = os.fstat(opened.fileno()).st_size
        if not size:
            return 0
        with mmap.mmap(opened.fileno(), size, prot=mmap.PROT_READ) as mapped:
            resident = np.zeros(-(-size // PAGE), dtype=np.uint8)
            address = np.frombuffer(mapped, dtype=np.uint8).ctypes.data
            pointers = (ctypes.c_void_p(address), ctypes.c_size_t(size), ctypes.c_void_p(resident.ctypes.data))
            told = _libc().mincore(*pointers) == 0
            return max([found.cached] * known + [int((resident & 1).sum())] * told, default=None)


def bytes_read() -> int | None:
    """What this process has had read from disks so far; None where the kernel does not tell."""
    with suppress(OSError):
        found = re.search(r"^read_bytes: (\d+)", Path("/proc/self/io").read_text(), re.MULTILINE)
        return int(found[1]) if found else None


def memory_bytes() -> tuple[float, float]:
    """Anonymous memory of this process (NaN but on Linux), and its resident set, which counts mapped files too."""
    with suppress(OSError):
        found = dict(re.findall(r"^(RssAnon|VmRSS):\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE))
        if len(found) == 2:
            return 1024.0 * int(found["RssAnon"]), 1024.0 * int(found["VmRSS"])
    return math.nan, float(psutil.Process().memory_info().rss)


def give_back() -> None:
    """Collect garbage and return free memory to the system, so that what is measured next begins from little."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc's own
        _libc().malloc_trim(0)


def load1() -> float:
    """The load average of the last minute, what else ran; NaN where it is not told."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return math.nan


def describe(folder: Path) -> dict[str, object]:
    """The machine and the file system of a folder, without its name or any path; None is what is not known."""
    said = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*: (.*)", said, re.MULTILINE)
    flags = re.search(r"^flags\s*:(.*)", said, re.MULTILINE)
    disks = [disk for disk in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(disk.mountpoint)]
    return {
        "cpu": model[1].strip() if model else platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "virtual": "hypervisor" in flags[1].split() if flags else None,
        "system": f"{platform.system()} {re.match('[0-9.]*', platform.release())[0]}",
        "file_system": max(disks, key=lambda disk: len(disk.mountpoint)).fstype if disks else "unknown",
        "python": platform.python_version(),
    }
