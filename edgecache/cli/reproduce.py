"""Run the notebooks as a batch with papermill: every figure into figures/, every table into data/results/.

Every notebook runs in a process of its own with a kernel, which may start workers for its sweeps. Whatever ends this process, by
whatever signal, ends them all: the environment variable RUN marks them.
"""

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from uuid import uuid4

from ..errors import InputError, require, unknown
from ..files import NOTEBOOKS, ROOT

RUN = "EDGECACHE_RUN"
OWN_ERRORS = ("InputError", "PolicyError", "WorkerKilled", "TooManyDeployments")  # their texts are sentences for the user
PUBLISHED = {"figures": "figures", "results": "data/results", "executed": "build/executed"}  # folder of a notebook -> of the output


def notebooks(only: str | None = None) -> list[Path]:
    """The numbered notebooks in order, or the one named `only`: `03-resource-sweeps`, `resource-sweeps` or `03`."""
    numbered = sorted(NOTEBOOKS.glob("[0-9][0-9]-*.ipynb"))
    if not numbered:
        raise InputError(f"there are no notebooks in {NOTEBOOKS}: reproduce works in a checkout of edgecache")
    if only is None:
        return numbered
    named = [path for path in numbered if only in (path.stem, path.stem[:2], path.stem[3:])]
    if not named:
        raise unknown("notebook", only, [path.stem for path in numbered])
    return named


def reproduce(*, only: str | None = None, jobs: int = -1, out: Path | None = None, dask: str = "") -> None:
    """Execute the notebooks, two at a time, with the parameters that stand in them, and print where the time went.

    Below `out` (default: the checkout) come figures/, data/results/ and the executed copies in build/executed/. The files of a
    notebook are moved there when the notebook has succeeded, so a run that ends early leaves nothing half-written. Raises
    InputError for bad options, for a folder that another run writes to, and for a notebook that fails.
    """
    chosen, started = notebooks(only), time.perf_counter()
    if jobs == 0:
        raise InputError("--jobs is 0; it must be a number of processes, or -1 for every core")
    if jobs == -1 and not dask:  # notebooks run two at a time, and processes of their own cost more than they save on few cores
        jobs = max((os.cpu_count() or 1) // min(2, len(chosen)), 1)
    for module in ("papermill", "psutil"):
        require(module, "notebooks", "edgecache reproduce")
    out = _output_folder(out or ROOT)
    print(f"running {', '.join(path.stem for path in chosen)}", flush=True)
    with _staging(out) as staging:
        tasks = [(path, staging / path.stem, {"jobs": jobs, "dask": dask}) for path in chosen]
        with closing(_executed(tasks)) as executed:
            for name, report in executed:
                _publish(staging / name, out)
                print(report, flush=True)
    print(f"all in {time.perf_counter() - started:.1f} s: figures in {out / 'figures'}, tables in {out / 'data/results'}")


def _output_folder(out: Path) -> Path:
    out = out.absolute()
    if out.exists() and not out.is_dir():
        raise InputError(f"--out is {out}, which is a file; it must be a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out is {out}, which cannot be made: {error.strerror}") from None
    return out


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder for unfinished files; while it is there, no other run may write to `out`."""
    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run of reproduce writes to {out}; wait until it ends, stop it, or use --out") from None
        except OSError:
            pass  # a file system without locks
        (out / "build").mkdir(exist_ok=True)
        for left in (out / "build").glob("staging-*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix="staging-", dir=out / "build"))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        os.close(handle)


def _publish(staging: Path, out: Path) -> None:
    """Move what a notebook has made to where it belongs."""
    for source, target in PUBLISHED.items():
        (out / target).mkdir(parents=True, exist_ok=True)
        for file in sorted((staging / source).glob("*")):
            file.replace(out / target / file.name)


def _executed(tasks: Sequence[tuple[Path, Path, dict]]) -> Generator[tuple[str, str], None, None]:
    """Run the notebooks; the name of each and where its time went, as they end. If one fails, the others end at once."""
    run = uuid4().hex
    os.environ |= {
        RUN: run,
        "JUPYTER_PREFER_ENV_PATH": "1",  # or a kernel of the user's may hijack the run
        # of the trackers that tidy up after workers that were killed
        "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
    }
    if not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"
    # processes, for papermill changes the working directory; two, for drawing keeps one core busy while sweeps use all; the last
    # notebooks have the longest sweeps, so they start first
    pool = ProcessPoolExecutor(min(2, len(tasks)), get_context("spawn"), initializer=_end_with_parent)
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # in the new processes too: this process ends them
        futures = [pool.submit(_execute, *task) for task in reversed(tasks)]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for done in as_completed(futures):
            yield done.result()
    except BaseException:
        _end_processes(run)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this process, its kernel and the kernel's workers when the parent has ended, by whatever signal."""
    os.environ[RUN] += f"-{os.getpid()}"  # of the kernel and its workers, but not of this process or others beside it

    parent = parent_process()

    def watch() -> None:
        connection.wait([parent.sentinel] if parent else [])
        _end_processes(os.environ[RUN])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_processes(run: str) -> None:
    """Kill every process that was started with a RUN that begins like this one, but this process."""
    import psutil

    def belongs(process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            trackers = any("resource_tracker" in word for word in process.cmdline())  # they tidy up after the others and end
            return process.pid != os.getpid() and process.environ().get(RUN, "").startswith(run) and not trackers
        return False

    while alive := [process for process in psutil.process_iter() if belongs(process)]:  # again: they may have started others
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=5)


def _execute(path: Path, staging: Path, parameters: dict) -> tuple[str, str]:
    """Run one notebook into the folder `staging`; its name and where the time went."""
    import logging

    import nbformat
    from nbclient.exceptions import DeadKernelError

    papermill = require("papermill", "notebooks", "edgecache reproduce")
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it reports is raised too
    os.environ["TQDM_POSITION"] = str(int(path.stem[:2]) % 2)  # the terminal's line for this notebook's progress bars
    parameters = _declared(path, parameters, papermill.inspect_notebook(str(path)))
    parameters |= {"figures_folder": str(staging / "figures"), "results_folder": str(staging / "results")}
    executed, started = staging / "executed" / path.name, time.perf_counter()
    executed.parent.mkdir(parents=True)
    try:
        notebook = papermill.execute_notebook(
            path, executed, parameters, kernel_name="python3", cwd=str(path.parent), progress_bar=False,
            extra_arguments=["--log-level=ERROR"],  # not the kernel's warning that loopback is not encrypted
            stderr_file=sys.stderr if sys.stderr.isatty() else None,
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        if error.ename in OWN_ERRORS:
            raise InputError(f"{path.name}, cell {error.exec_count}: {error.evalue}") from None
        failed = staging.parents[1] / f"failed-{path.name}"
        executed.replace(failed)
        raise InputError(f"{path.name}, cell {error.exec_count}: {error.ename}: {error.evalue} (see {failed})") from None
    except DeadKernelError:
        raise InputError(f"{path.name}: its kernel was killed, most often for lack of memory; try --jobs 1") from None
    for cell in notebook.cells:  # the copy keeps no progress bars
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if "\r" not in output.get("text", "")]
    nbformat.write(notebook, executed)
    return path.stem, _where_time_went(path.stem, notebook.cells, time.perf_counter() - started)


def _declared(path: Path, parameters: dict, declared: dict) -> dict:
    """The parameters that a notebook declares: one without a sweep has no `jobs` and `dask`. Any other must be there."""
    for name in parameters:
        if name not in declared and name not in ("jobs", "dask"):
            raise unknown(f"parameter of {path.name}", name, declared)
    return {name: value for name, value in parameters.items() if name in declared}


def _where_time_went(name: str, cells: Sequence, seconds: float) -> str:
    """The total, and the cells that took over a second, by their first line."""
    spent = [(cell.metadata.papermill.duration or 0.0, cell.source.splitlines()[0]) for cell in cells if cell.cell_type == "code"]
    rows = [f"    {took:5.1f} s  {line[:100]}" for took, line in spent if took >= 1.0]
    rest = seconds - sum(took for took, _ in spent if took >= 1.0)
    return "\n".join([f"{name}: {seconds:.1f} s, of which", *rows, f"    {rest:5.1f} s  starting the kernel and the other cells"])
