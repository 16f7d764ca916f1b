"""The machine that measures: cached share of files, bytes read, memory, load average, and a description of the machine.

Linux gives all of this without root. Elsewhere a function returns NaN or None where the system does not know the value.
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

PAGE = mmap.PAGESIZE


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def evict(files: Iterable[str]) -> None:
    """Ask the kernel to drop the files from its page cache, after writing dirty pages. Mapped pages stay; no root is needed."""
    if hasattr(os, "posix_fadvise"):
        for file in files:
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def cached_share(files: Iterable[str]) -> float:
    """Share of the files' pages in the page cache, by mincore(2); NaN where that does not work."""
    cached = pages = 0
    for file in files:
        file_cached = _cached_pages(file)
        if file_cached is None:
            return math.nan
        cached, pages = cached + file_cached, pages + -(-os.path.getsize(file) // PAGE)
    return cached / pages if pages else 0.0


def _cached_pages(file: str) -> int | None:
    """Count a file's cached pages; the kernel tells only a user who owns the file or may write it."""
    if platform.system() != "Linux" or not (os.access(file, os.W_OK) or os.stat(file).st_uid == os.geteuid()):
        return None
    size = os.path.getsize(file)
    if not size:
        return 0
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), size, prot=mmap.PROT_READ) as mapped:
        resident = np.zeros(-(-size // PAGE), dtype=np.uint8)
        address = np.frombuffer(mapped, dtype=np.uint8).ctypes.data
        pointers = (ctypes.c_void_p(address), ctypes.c_size_t(size), ctypes.c_void_p(resident.ctypes.data))
        return int((resident & 1).sum()) if _libc().mincore(*pointers) == 0 else None


def bytes_read() -> int | None:
    """Bytes that this process has read from disks so far; None where the kernel does not count them."""
    with suppress(OSError):
        if count := re.search(r"^read_bytes: (\d+)", Path("/proc/self/io").read_text(), re.MULTILINE):
            return int(count[1])
    return None


def memory_bytes() -> tuple[float, float]:
    """Anonymous memory of this process (NaN outside Linux) and its resident set, which includes mapped files; bytes."""
    with suppress(OSError):
        sizes = dict(re.findall(r"^(RssAnon|VmRSS):\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE))
        if len(sizes) == 2:
            return 1024.0 * int(sizes["RssAnon"]), 1024.0 * int(sizes["VmRSS"])
    import psutil

    return math.nan, float(psutil.Process().memory_info().rss)


def release_memory() -> None:
    """Collect garbage and return free memory to the system, so that the next measurement starts from little."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has malloc_trim
        _libc().malloc_trim(0)


def load1() -> float:
    """Load average of the last minute; NaN where the system has none."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return math.nan


def describe(folder: Path) -> dict[str, object]:
    """Describe the machine and the file system of a folder, without host name or paths; unknown values are None."""
    import psutil

    processor = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*: (.*)", processor, re.MULTILINE)
    flags = re.search(r"^flags\s*:(.*)", processor, re.MULTILINE)
    disks = [disk for disk in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(disk.mountpoint)]
    return {
        "cpu": model[1].strip() if model else platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "virtual": "hypervisor" in flags[1].split() if flags else None,
        "system": f"{platform.system()} {re.sub('[^0-9.].*', '', platform.release())}",
        "file_system": max(disks, key=lambda disk: len(disk.mountpoint)).fstype if disks else "unknown",
        "python": platform.python_version(),
    }
