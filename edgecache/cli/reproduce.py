"""Run the notebooks as a batch with papermill: every figure into figures/, every table into data/results/."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing import active_children, get_context
from pathlib import Path

import psutil
import yaml

from ..errors import InputError, unknown
from ..files import NOTEBOOKS, ROOT


def notebooks(only: str | None = None) -> list[Path]:
    """The numbered notebooks in order, or the one named `only`: `03-resource-sweeps`, `resource-sweeps` or `03`."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]-*.ipynb"))
    if not found:
        raise InputError(f"there are no notebooks in {NOTEBOOKS}: reproduce works in a checkout of edgecache")
    if only is None:
        return found
    named = [path for path in found if only in (path.stem, path.stem[:2], path.stem[3:])]
    if not named:
        raise unknown("notebook", only, [path.stem for path in found])
    return named


def reproduce(*, quick: bool = False, only: str | None = None, jobs: int = -1, out: Path | None = None, dask: str = "") -> None:
    """Execute the notebooks, two at a time, at full size or `quick`, and print where the time went.

    Below `out` (the checkout; `quick`: build/quick) come figures/, data/results/ and the executed copies, build/executed/. What a
    notebook makes is put there when the whole notebook has succeeded, so an interrupted run leaves nothing half-written.
    """
    chosen, started = notebooks(only), time.perf_counter()
    out = (out or (ROOT / "build/quick" if quick else ROOT)).absolute()
    if jobs == 0:
        raise InputError("--jobs is 0; it must be a number of processes, or -1 for every core")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out is {out}, which is a file; it must be a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out is {out}, which cannot be made: {error.strerror}") from None
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # or a kernel of the user's may hijack the run
    if not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"
    # of the trackers that tidy up after workers when an interrupt has ended them
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker:UserWarning"
    print(f"running {', '.join(path.stem for path in chosen)}", flush=True)
    tasks = [(path, out, {**({} if quick else _full_size(path)), "jobs": jobs, "dask": dask}) for path in chosen]
    # processes, for papermill changes the working directory; two, for drawing keeps one core busy while sweeps use all; the last
    # notebooks have the longest sweeps, so they start first
    with get_context("spawn").Pool(min(2, len(tasks)), initializer=_leave_interrupts_to_the_parent) as pool:
        try:
            for done in pool.imap_unordered(_run, reversed(tasks)):
                print(done, flush=True)
        except BaseException:
            workers = [psutil.Process(worker.pid) for worker in active_children() if "SpawnPoolWorker" in worker.name]
            for child in [child for worker in workers for child in worker.children()]:
                _end(child)  # kernels, and the sweeps' workers, which would outlive them
            pool.terminate()
            raise
        finally:
            shutil.rmtree(out / "build/staging", ignore_errors=True)
    print(f"all in {time.perf_counter() - started:.1f} s: figures in {out / 'figures'}, tables in {out / 'data/results'}")


def _end(process: psutil.Process) -> None:
    """Kill a process and its descendants; suspended first, so that it starts no other that would live on."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if any("resource_tracker" in word for word in process.cmdline()):
            return  # they tidy up after the others
        process.suspend()
        for child in process.children():
            _end(child)
        process.kill()


def _full_size(path: Path) -> dict:
    return yaml.safe_load((NOTEBOOKS / "params" / f"{path.stem}.yaml").read_text()) or {}


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends the workers, and with them their kernels


def _run(task: tuple[Path, Path, dict]) -> str:
    import nbformat
    import papermill

    path, out, parameters = task
    os.environ["TQDM_POSITION"] = str(int(path.stem[:2]) % 2)  # the terminal's line for this notebook's progress bars
    staging = out / "build" / "staging" / path.stem
    shutil.rmtree(staging, ignore_errors=True)
    parameters |= {"figures_folder": str(staging / "figures"), "results_folder": str(staging / "results")}
    declared = papermill.inspect_notebook(str(path))
    for name in list(parameters):
        if name in ("jobs", "dask") and name not in declared:
            del parameters[name]  # a notebook without a sweep
        elif name not in declared:
            raise unknown(f"parameter of {path.name}", name, declared)
    executed = staging / path.name
    executed.parent.mkdir(parents=True)
    started = time.perf_counter()
    try:
        notebook = papermill.execute_notebook(
            path, executed, parameters, kernel_name="python3", cwd=str(path.parent), progress_bar=False,
            extra_arguments=["--log-level=ERROR"],  # not the kernel's warning that loopback is not encrypted
            stderr_file=sys.stderr if sys.stderr.isatty() else None,
        )  # fmt: skip
        for cell in notebook.cells:  # the copy keeps no progress bars
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if "\r" not in output.get("text", "")]
        nbformat.write(notebook, executed)
        for source, target in (("figures", "figures"), ("results", "data/results")):
            (out / target).mkdir(parents=True, exist_ok=True)
            for file in sorted((staging / source).glob("*")):
                file.replace(out / target / file.name)
        (out / "build/executed").mkdir(parents=True, exist_ok=True)
        executed.replace(out / "build/executed" / path.name)
    except papermill.PapermillExecutionError as error:
        if error.ename in ("InputError", "PolicyError"):
            raise InputError(f"{path.name}, cell {error.exec_count}: {error.evalue}") from None
        raise RuntimeError(f"{path.name}: {error}") from None  # papermill's own does not travel between processes
    return _where_time_went(path.stem, notebook.cells, time.perf_counter() - started)


def _where_time_went(name: str, cells: Sequence, seconds: float) -> str:
    """The total, and the cells that took over a second, by their first line."""
    spent = [(cell.metadata.papermill.duration or 0.0, cell.source.splitlines()[0]) for cell in cells if cell.cell_type == "code"]
    rows = [f"    {took:5.1f} s  {line[:100]}" for took, line in spent if took >= 1.0]
    rest = seconds - sum(took for took, _ in spent if took >= 1.0)
    return "\n".join([f"{name}: {seconds:.1f} s, of which", *rows, f"    {rest:5.1f} s  starting the kernel and the other cells"])
