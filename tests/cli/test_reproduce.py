"""`edgecache reproduce` on small notebooks: what it leaves, and that everything ends with it, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
import pytest

from edgecache.cli import reproduce
from edgecache.errors import InputError

SIGNALS_A_SHELL_MAY_IGNORE = (signal.SIGINT, signal.SIGTERM)  # and pytest's workers do
# a kernel with a worker that does not end by itself when the kernel does
LONG = """import os, pathlib, subprocess, time
pathlib.Path(figures_folder).mkdir(parents=True)
pathlib.Path(figures_folder, "half.png").write_text("")
subprocess.run(["sleep", "300"])"""
MAKES = "import pathlib; pathlib.Path({kind}_folder).mkdir(parents=True); pathlib.Path({kind}_folder, {name!r}).write_text('1')"


def write_notebook(folder: Path, name: str, *cells: str) -> None:
    """A notebook with the parameters that reproduce gives, and these cells."""
    parameters = "\n".join(("figures_folder = '.'", "results_folder = '.'", "jobs = 1", "dask = ''"))
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=kernel, cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@dataclass
class Run:
    """`edgecache reproduce` of the notebooks in a folder, in a process of its own."""

    process: subprocess.Popen
    out: Path

    @classmethod
    def start(cls, notebooks: Path, out: Path, *arguments: str) -> "Run":
        code = (
            "import pathlib, signal, sys\n"
            f"for number in {tuple(map(int, SIGNALS_A_SHELL_MAY_IGNORE))}: signal.signal(number, signal.SIG_DFL)\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from edgecache.cli import main, reproduce\n"
            f"reproduce.NOTEBOOKS = pathlib.Path({str(notebooks)!r})\n"
            f"sys.argv = ['edgecache', 'reproduce', '--out', {str(out)!r}, *{arguments!r}]\n"
            "main.main()\n"
        )
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return cls(subprocess.Popen([sys.executable, "-c", code], **pipes, start_new_session=True), out)

    def family(self) -> list[psutil.Process]:
        """All processes of the run, once the worker of its kernel is at work."""
        deadline = time.monotonic() + 120
        while True:
            family = psutil.Process(self.process.pid).children(recursive=True)
            if any(process.name() == "sleep" for process in family):
                return family
            assert time.monotonic() < deadline and self.process.poll() is None, "no worker has started"
            time.sleep(0.05)

    def ended(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err.strip()


@pytest.fixture
def working(tmp_path):
    """A run whose only notebook works for minutes, and all its processes."""
    write_notebook(tmp_path / "notebooks", "01-long", LONG)
    run = Run.start(tmp_path / "notebooks", tmp_path / "out")
    family = run.family()
    yield run, family
    for process in [*family, run.process]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def still_running(family, seconds=15):
    return psutil.wait_procs(family, timeout=seconds)[1]


def test_the_files_of_all_notebooks_are_published_and_nothing_else_is_left(tmp_path):
    left = tmp_path / "out/build/staging-old/01-figure"  # by a run that was killed
    left.mkdir(parents=True)
    (left / "half.png").write_text("")
    write_notebook(tmp_path / "notebooks", "01-figure", MAKES.format(kind="figures", name="fig.png"))
    write_notebook(tmp_path / "notebooks", "02-table", MAKES.format(kind="results", name="table.csv"))
    run = Run.start(tmp_path / "notebooks", tmp_path / "out")
    assert run.ended() == (0, "")
    executed = ["build/executed/01-figure.ipynb", "build/executed/02-table.ipynb"]
    assert files(tmp_path / "out") == [*executed, "data/results/table.csv", "figures/fig.png"]
    assert not list((tmp_path / "out/build").glob("staging-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupt_ends_everything_at_once_and_leaves_nothing_half_written(working, number):
    run, family = working
    if number == signal.SIGINT:
        os.killpg(run.process.pid, number)  # as a terminal does
    else:
        second = Run.start(run.out.parent / "notebooks", run.out)
        code, err = second.ended()
        assert code == 2 and err.count("\n") == 0 and f"another run of reproduce writes to {run.out}" in err
        run.process.send_signal(number)
    assert run.ended() == (130, "edgecache: interrupted; what was finished is kept")
    assert not still_running(family) and not files(run.out)


def test_everything_ends_with_a_parent_that_is_killed(working):
    run, family = working
    run.process.kill()
    assert not still_running(family)
    assert not [name for name in files(run.out) if "staging-" not in name]


def test_a_killed_process_of_a_notebook_is_one_sentence(working):
    run, family = working
    (kernel,) = [process for process in family if any("ipykernel" in word for word in process.cmdline())]
    kernel.parent().kill()
    code, err = run.ended()
    assert code == 2 and err.count("\n") == 0 and "a worker process was killed, most often for lack of memory" in err
    assert not still_running(family) and not files(run.out)


# ---- one notebook, in this process


@pytest.fixture
def execute(tmp_path):
    def execute(*cells, **parameters):
        write_notebook(tmp_path / "notebooks", "03-short", *cells)
        staging = tmp_path / "out/build/staging-1/03-short"
        return reproduce._execute(tmp_path / "notebooks/03-short.ipynb", staging, {"jobs": 1, "dask": "", **parameters})

    return execute


def test_a_killed_kernel_is_one_sentence(execute, tmp_path):
    with pytest.raises(InputError, match=r"^03-short\.ipynb: its kernel was killed, most often for lack of memory; try --jobs 1$"):
        execute("import os; os.kill(os.getpid(), 9)")


def test_a_notebook_that_fails_is_one_sentence_and_kept_to_look_at(execute, tmp_path):
    failed = tmp_path / "out/build/failed-03-short.ipynb"
    with pytest.raises(InputError) as error:
        execute(MAKES.format(kind="figures", name="fig.png"), "1 / 0")
    assert str(error.value) == f"03-short.ipynb, cell 4: ZeroDivisionError: division by zero (see {failed})"
    assert "ZeroDivisionError" in failed.read_text()


def test_bad_input_in_a_notebook_is_its_sentence(execute, tmp_path):
    with pytest.raises(InputError, match=r"^03-short\.ipynb, cell 3: no scheduler at nowhere$"):
        execute("from edgecache.errors import InputError; raise InputError(f'no scheduler at {dask}')", dask="nowhere")
    assert not list((tmp_path / "out/build").glob("failed-*"))


def test_a_notebook_without_a_sweep_is_given_no_jobs():
    path, declared = Path("03-short.ipynb"), {"figures_folder": None, "replications": None}
    assert reproduce._declared(path, {"replications": 3, "jobs": 1, "dask": ""}, declared) == {"replications": 3}
    with pytest.raises(InputError, match=r"unknown parameter of 03-short\.ipynb 'replication'; did you mean"):
        reproduce._declared(path, {"replication": 3}, declared)
