"""Where tests of real files stand: on a file system whose page cache Linux tells and empties, or nowhere."""

import platform
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

DISKS = ("ext2/ext3", "xfs", "btrfs", "f2fs")  # ext4 is called ext2/ext3, too
SHARED_MEMORY = Path("/dev/shm")


def file_system(folder):
    """What coreutils call it, or nothing where that cannot be known."""
    if platform.system() != "Linux":
        return ""
    return subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=False).stdout.strip()


@contextmanager
def disk(folder):
    """The folder if it is on a disk, else a temporary one in build/, which git ignores; skips where that is none either."""
    if file_system(folder) in DISKS:
        yield folder
        return
    build = Path(__file__).parents[2] / "build"
    build.mkdir(exist_ok=True)
    if (found := file_system(build)) not in DISKS:
        pytest.skip(f"no disk on which the page cache can be emptied: {found or platform.system()}")
    with tempfile.TemporaryDirectory(dir=build, prefix=".test-") as made:
        yield Path(made)


@contextmanager
def in_memory():
    """A folder on tmpfs."""
    if file_system(SHARED_MEMORY) != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs here")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as made:
        yield Path(made)
