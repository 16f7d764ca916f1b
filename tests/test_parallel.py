"""Tasks in worker processes: results, workers that are killed, and workers whose parent is."""

import os
import signal
import subprocess
import sys
import time

import pytest
from support.processes import wait_until_gone

from edgecache import InputError
from edgecache.parallel import WorkerKilled, run_parallel


def slow_square(number):
    """Later items are faster, so that they are done first."""
    time.sleep(max(0.2 - number / 10, 0))
    return number**2, os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_items(jobs):
    numbers, processes = zip(*run_parallel(slow_square, range(5), jobs), strict=True)
    assert numbers == (0, 1, 4, 9, 16)
    assert (os.getpid() in processes) == (jobs == 1)


def test_or_as_soon_as_they_are_there():
    numbers = [number for number, _ in run_parallel(slow_square, [0, 1, 2, 3], 2, ordered=False)]
    assert sorted(numbers) == [0, 1, 4, 9] and numbers[-1] != 9


def test_one_item_or_none_needs_no_worker():
    assert next(run_parallel(slow_square, [3]))[1] == os.getpid() and list(run_parallel(slow_square, [])) == []


class Bar:
    """In place of a progress bar."""

    def __init__(self, **setting):
        self.setting, self.count = setting, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self):
        self.count += 1


@pytest.mark.parametrize("progress", [False, True])
def test_progress_counts_items(monkeypatch, progress):
    bars = []
    monkeypatch.setattr("tqdm.tqdm", lambda **setting: bars.append(Bar(**setting)) or bars[-1])
    results = run_parallel(abs, range(3), 1, progress=progress, description="squares")
    counts = [bars[0].count for _ in results]
    assert counts == [1, 2, 3] and (bars[0].setting["total"], bars[0].setting["desc"]) == (3, "squares")
    assert ("disable" in bars[0].setting) != progress  # where it is shown, TQDM_DISABLE=1 still hides it


@pytest.mark.parametrize("jobs", [0, True, 1.5, None, "2"])
def test_impossible_jobs_are_refused_at_once(jobs):
    with pytest.raises(InputError, match=f"jobs is {jobs!r}; it must be a whole number of processes"):
        run_parallel(abs, [1, 2], jobs)


def test_a_task_that_raises_raises_here():
    with pytest.raises(ZeroDivisionError):
        list(run_parallel(reciprocal, [1, 0], 2))


def reciprocal(number):
    return 1 / number


def killed_for_memory(number):
    """As the operating system kills a process when memory runs out."""
    if number:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_sentence_and_the_next_run_has_new_ones():
    with pytest.raises(WorkerKilled, match=r"^a worker process was killed, most often for lack of memory: .* \(--jobs\)$"):
        list(run_parallel(killed_for_memory, [0, 1], 2))
    assert list(run_parallel(abs, [-1, -2], 2)) == [1, 2]


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"^a Dask cluster needs distributed: pip install 'edgecache\[cluster\]'$"):
        list(run_parallel(abs, [1], dask="tcp://127.0.0.1:1"))


SLEEPERS = """
import os, time
from edgecache.parallel import run_parallel

def sleep(number):
    print(os.getpid(), flush=True)
    time.sleep(600 * (number > 1))

list(run_parallel(sleep, range(4), 2))
"""


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent_and_close_its_output(with_signal):
    parent = subprocess.Popen([sys.executable, "-c", SLEEPERS], stdout=subprocess.PIPE, text=True)
    workers = {int(parent.stdout.readline()) for _ in range(4)}
    parent.send_signal(with_signal)
    assert parent.communicate(timeout=30)[0] == "" and parent.returncode == -with_signal
    wait_until_gone(*workers)
    assert 1 <= len(workers) <= 2
