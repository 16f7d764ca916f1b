"""Files that are whole or absent: tables, any other file, and the journal that an interrupted computation goes on from."""

import errno
import fcntl
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from .errors import InputError
from .parallel import WorkerKilled, run_parallel

ROOT = Path(__file__).parents[1]  # the checkout, where there is one
NOTEBOOKS = ROOT / "notebooks"


def output_folder(out: Path | None) -> Path:
    """Return the absolute folder that a command writes to: `out`, or without it the checkout.

    Raises InputError where neither is there, for the folder of an installed package is no place for results.
    """
    if out is None and not NOTEBOOKS.is_dir():
        raise InputError("edgecache does not run from a checkout here; name a folder for the results with --out")
    return (out or ROOT).absolute()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to; when the block succeeds, that file replaces `path`.

    A symbolic link stays, and its target is replaced. Missing folders are made. When the block fails, `path` is unchanged.

    Parameters
    ----------
    path : str or Path
        The file to write.

    Yields
    ------
    Path
        `path` with `.part` at its end.

    Raises
    ------
    OSError
        Where the file cannot be written, such as on a full disk; the error names `path`.

    Examples
    --------
    >>> import tempfile
    >>> note = Path(tempfile.mkdtemp()) / "folder" / "note.txt"
    >>> with replacing(note) as part:
    ...     _ = part.write_text("whole")
    >>> note.read_text()
    'whole'
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        part.replace(target)
    except OSError as error:
        if error.filename in (None, str(part), part):
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def write_table(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Write a tidy CSV with 6 significant digits, and return the table as it was written.

    Figures are drawn from the returned table, so that they show the committed numbers and no machine's last digits.

    Parameters
    ----------
    table : DataFrame
        The table; its index is left out.
    path : str or Path
        The file, written by `replacing`.

    Returns
    -------
    DataFrame
        The file's content.

    Examples
    --------
    >>> import tempfile
    >>> write_table(pd.DataFrame({"cost": [1 / 3]}), Path(tempfile.mkdtemp()) / "costs.csv")["cost"][0]
    np.float64(0.333333)
    """
    with replacing(path) as part:
        table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")
    return pd.read_csv(path)


class Journal:
    """Results in a file, by key: a computation that was interrupted goes on from them.

    Each line is a result with its checksum. One process writes the file at a time, and a killed process loses nothing. The file
    reaches the disk at least once per second of writing.

    Parameters
    ----------
    path : Path
        The file. Missing folders are made.
    report : callable
        Receives one sentence if lines are damaged or cut short; their results are removed, and computed again.

    Attributes
    ----------
    done : dict
        The results so far.

    Raises
    ------
    InputError
        Where another process is writing the file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "squares.jsonl"
    >>> with Journal(path, print) as journal:
    ...     journal.add([("a", 1)])
    >>> with Journal(path, print) as journal:
    ...     journal.run(abs, {"a": -1, "b": -2}, jobs=1)
    [1, 2]
    """

    def __init__(self, path: Path, report: Callable[[str], None]):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.synced = path, 0.0
        self.done: dict[str, Any] = {}
        self.file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # noqa: SIM115, it stays open, and with it the lock
        if not _locked(self.file.fileno(), path):
            self.file.close()
            raise InputError(f"another process is writing {path}; wait until it ends, or stop it")
        content = self.file.read()
        lines = content.removesuffix(b"\n").split(b"\n") if content else []
        damaged = [number for number, line in enumerate(lines, start=1) if not self._read(line)]
        intact = b"".join(line + b"\n" for number, line in enumerate(lines, start=1) if number not in damaged)
        if damaged:
            some = ", ".join(map(str, damaged[:5])) + (" ..." if damaged[5:] else "")
            report(f"{path}, line {some}: damaged or cut short, to be computed again")
        if intact != content:  # mended in place, for the lock is on this very file
            self.file.seek(0)
            self.file.write(intact)
            self.file.truncate()
            self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):  # a full disk: `add` has raised it
            self.file.close()

    def _read(self, line: bytes) -> bool:
        """Take over the result of a line, if it is intact."""
        checksum, _, text = line.partition(b" ")
        try:
            if checksum != b"%08x" % zlib.crc32(text):
                return False
            key, value = json.loads(text)
            self.done[key] = value
        except (ValueError, TypeError):
            return False
        return True

    def add(self, results: Iterable[tuple[str, object]]) -> None:
        """Keep these results; after this returns, killing the process loses none of them.

        Parameters
        ----------
        results : iterable of (str, object)
            Keys and results, as JSON can write them.

        Raises
        ------
        OSError
            Where the file cannot be written; the error names it.
        """
        for key, value in results:
            text = json.dumps([key, value]).encode()
            self.file.write(b"%08x %s\n" % (zlib.crc32(text), text))
            self.done[key] = value
        try:
            self.file.flush()
            if time.monotonic() > self.synced + 1:
                os.fsync(self.file.fileno())
                self.synced = time.monotonic()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def run(
        self, task: Callable, items: Mapping[str, Any], *, jobs: int = -1, progress: bool = False, description: str = "results"
    ) -> list:
        """Compute `task(item)` for every item that has no result yet, and return the results of all.

        Parameters
        ----------
        task : callable
            A function of one item; its result is something that JSON can write.
        items : mapping
            The items by their keys.
        jobs : int
            Number of processes; -1 is every core.
        progress : bool
            Show a progress bar.
        description : str
            What the results are, in the plural.

        Returns
        -------
        list
            The results, in the order of the items.

        Raises
        ------
        KeyboardInterrupt, WorkerKilled
            As they came, saying also how many results are kept, and where.
        """
        missing = [(key, item) for key, item in items.items() if key not in self.done]
        results = run_parallel(partial(_keyed, task), missing, jobs, progress=progress, description=description, ordered=False)
        try:
            for result in results:
                self.add([result])
        except (KeyboardInterrupt, WorkerKilled) as error:
            kept = f"{sum(key in self.done for key in items)} of {len(items)} {description} are kept in {self.path}"
            raise type(error)("; ".join(filter(None, (str(error), kept)))) from None
        return [self.done[key] for key in items]


def _keyed(task: Callable, keyed: tuple[str, Any]) -> tuple[str, Any]:
    key, item = keyed
    return key, task(item)


def _locked(file: int, path: Path) -> bool:
    """Lock the file and say whether it worked, and whether `path` still names the file that was opened."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False
