"""A journal: results as they come, a line each with its checksum, so that what was killed goes on where it was."""

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import joblib
import pandas as pd
from tqdm import tqdm

from .errors import InputError

ROOT = Path(__file__).parents[1]  # the checkout, where there is one
NOTEBOOKS = ROOT / "notebooks"


class Journal:
    """The results in a file, by key; one process writes it at a time.

    A line that is damaged, or cut short because its writer was killed, is left out and told to `report`. Raises InputError where
    another process is writing the file.
    """

    def __init__(self, path: Path, report: Callable[[str], None]):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.done, kept, damaged = {}, [], []
        self.file = open(path, "a+b")  # noqa: SIM115, it stays open, and with it the lock
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.file.close()
            raise InputError(f"another process is writing {path}; wait until it ends, or stop it") from None
        if not path.exists() or os.fstat(self.file.fileno()).st_ino != path.stat().st_ino:  # mended by another since it was opened
            self.file.close()
            raise InputError(f"another process is writing {path}; wait until it ends, or stop it")
        self.file.seek(0)
        *lines, rest = self.file.read().split(b"\n")
        for number, line in enumerate(lines, start=1):
            checksum, _, text = line.partition(b" ")
            try:
                if checksum != b"%08x" % zlib.crc32(text):
                    raise ValueError
                key, value = json.loads(text)
                self.done[key] = value
            except (ValueError, TypeError):
                damaged.append(number)
                continue
            kept.append(line + b"\n")
        if rest:
            damaged.append(len(lines) + 1)
        if damaged:
            some = ", ".join(map(str, damaged[:5])) + (" ..." if damaged[5:] else "")
            report(f"{path}, line {some}: damaged or cut short, to be computed again")
            part = path.with_name(path.name + ".part")
            part.write_bytes(b"".join(kept))
            renewed = open(part, "ab")  # noqa: SIM115
            fcntl.flock(renewed, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.replace(path)
            self.file.close()
            self.file = renewed

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):  # a full disk: `add` has said so
            self.file.close()

    def add(self, results: Iterable[tuple[str, object]]) -> None:
        """Keep these results; after this returns, killing the process loses none of them."""
        lines = []
        for key, value in results:
            text = json.dumps([key, value]).encode()
            lines.append(b"%08x %s\n" % (zlib.crc32(text), text))
            self.done[key] = value
        self.file.write(b"".join(lines))
        self.file.flush()

    def run(self, task: Callable, items: Mapping[str, object], *, chunk: int, jobs: int, progress: bool, what: str) -> list:
        """task(item) for every item that has no result yet, in parallel, `chunk` at a time; all results, in the items' order."""
        missing = [key for key in items if key not in self.done]
        chunks = [missing[begin : begin + chunk] for begin in range(0, len(missing), chunk)]
        tasks = (joblib.delayed(_each)(task, [(key, items[key]) for key in keys]) for keys in chunks)
        bar = tqdm(
            total=len(items), initial=len(items) - len(missing), desc=what, leave=False, **({} if progress else {"disable": True})
        )
        with bar:
            for found in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks):
                self.add(found)
                bar.update(len(found))
        return [self.done[key] for key in items]


def _each(task: Callable, items: Sequence[tuple]) -> list[tuple]:
    return [(key, task(item)) for key, item in items]


def write_table(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Write a tidy CSV, numbers rounded to 6 significant digits, whole or not at all; returns the table as written.

    Figures are drawn from what is returned, so that they show the committed numbers and no machine's last digits.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return pd.read_csv(path)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, which takes its name once all is written and is removed if that fails."""
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
