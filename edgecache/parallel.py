"""Run one function over many items, in processes that end when this one does, or on a Dask cluster."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

from .errors import InputError, require

Item = TypeVar("Item")
Result = TypeVar("Result")
WATCH_S = 0.5  # a worker looks this often whether its parent is still there


class WorkerKilled(InputError):
    """A worker process ended before its task did, most often because the machine ran out of memory."""


def run_parallel(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int = -1,
    *,
    progress: bool = False,
    description: str = "",
    ordered: bool = True,
    dask: str = "",
) -> Iterator[Result]:
    """Yield `function(item)` for every item.

    Workers end within a second of this process, however it ends. With one job everything runs in this process.

    Parameters
    ----------
    function : callable
        A function of one item, such as a `functools.partial`; pickled for the workers.
    items : iterable
        What the function is called with.
    jobs : int
        Number of processes; -1 is every core.
    progress : bool
        Show a progress bar on standard error; the environment variable TQDM_DISABLE=1 hides it.
    description : str
        The name of the items in the bar.
    ordered : bool
        Yield in the order of the items. Otherwise each result comes as soon as it is there.
    dask : str
        Address of a Dask scheduler that runs the tasks instead, such as `tcp://host:8786`.

    Yields
    ------
    object
        The results.

    Raises
    ------
    InputError
        For an impossible number of jobs, or a Dask scheduler that does not answer.
    WorkerKilled
        Where the operating system killed a worker.

    Examples
    --------
    >>> list(run_parallel(abs, [-1, 2, -3], jobs=1))
    [1, 2, 3]
    """
    check_jobs(jobs)
    return _results(function, list(items), jobs, progress, description, ordered, dask)


def check_jobs(jobs: object) -> None:
    """Raise InputError unless `jobs` is a number of processes, or negative as joblib counts them: -1 is every core."""
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0:
        raise InputError(f"jobs is {jobs!r}; it must be a whole number of processes, or -1 for every core")


def _results(
    function: Callable, items: list, jobs: int, progress: bool, description: str, ordered: bool, dask: str
) -> Iterator[Any]:
    from tqdm import tqdm

    # an explicit disable=False would overrule TQDM_DISABLE
    bar = tqdm(total=len(items), desc=description, leave=False, **({} if progress else {"disable": True}))
    with bar, ExitStack() as stack:
        if dask or (jobs != 1 and len(items) > 1):
            results = _in_workers(function, items, jobs, ordered, dask, stack)
        else:
            results = map(function, items)
        for result in results:
            bar.update()
            yield result


def _in_workers(function: Callable, items: list, jobs: int, ordered: bool, dask: str, stack: ExitStack) -> Iterator[Any]:
    """The results from worker processes; the connection to a Dask cluster stays open until `stack` is closed."""
    import joblib  # its import takes a tenth of a second
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if dask:
        backend = joblib.parallel_config("dask", client=stack.enter_context(_client(dask)))
    else:
        backend = joblib.parallel_config("loky", initializer=_end_with_parent, initargs=(os.getpid(),))
    with backend:
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator" if ordered else "generator_unordered")
    try:
        yield from parallel(joblib.delayed(function)(item) for item in items)
    except TerminatedWorkerError:
        raise WorkerKilled("a worker process was killed, most often for lack of memory: try fewer processes (--jobs)") from None


def _end_with_parent(parent: int) -> None:
    """Start a thread that ends this worker when its parent has ended, by whatever signal."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _client(address: str) -> Any:
    """A client of the Dask scheduler at the address, once the scheduler has a worker."""
    distributed = require("distributed", "cluster", "a Dask cluster")
    try:
        client = distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {address!r}: {error}") from None
    try:
        client.wait_for_workers(1, timeout=30)
    except TimeoutError:
        client.close()
        raise InputError(f"the Dask scheduler at {address!r} has no worker") from None
    return client
