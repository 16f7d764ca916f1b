"""The notebooks with other parameters, by papermill from three folders: they run, or say in one sentence what they need."""

import shutil
from pathlib import Path

import pandas as pd
import papermill
import pytest

from edgecache import PAPER, Scenario, sweep, write_table

ROOT = Path(__file__).parents[2]
SMALL = {"replications": 1, "jobs": 1}
SWEEPS = SMALL | {
    "slots_swept": [9, 4], "boxes_slots": [4], "arrival_rate": [0.5], "boxes_arrival_rate": [0.5],
    "arrival_rate_per_model": [0.3, 0.1], "boxes_arrival_rate_per_model": [0.3, 0.1], "zipf": 0.0,
}  # fmt: skip
CASES = {  # notebook: its parameters, and the folder that papermill works in
    "01-profiling": ({"replications": 1, "cycles": 2, "executions": 2, "spread": 2.0}, ROOT),
    "02-system-model": ({"replications": 1, "models": 12, "seed": 4}, None),
    "03-resource-sweeps": (
        SMALL | {"storage_gb": [90, 30], "boxes_storage_gb": [30], "gpu_memory_gb": [5], "boxes_gpu_memory_gb": [5], "zipf": 1.5},
        ROOT / "notebooks",
    ),
    "04-robustness": (SWEEPS, None),
}


def played(name: str, parameters: dict, cwd: Path, out: Path):
    """Run a notebook; figures and tables go below `out`."""
    folders = {"figures_folder": str(out / "figures"), "results_folder": str(out / "results")}
    setting = {"kernel_name": "python3", "progress_bar": False, "cwd": str(cwd)}
    return papermill.execute_notebook(ROOT / f"notebooks/{name}.ipynb", None, parameters | folders, **setting)


@pytest.mark.parametrize("name", CASES)
def test_other_parameters_from_other_folders(name, tmp_path):
    parameters, cwd = CASES[name]
    played(name, parameters, cwd or tmp_path, tmp_path / "out")
    committed = {f'"{path.stem}"' for path in (ROOT / "figures").glob("*.png")}
    source = (ROOT / f"notebooks/{name}.ipynb").read_text().replace('\\"', '"')
    expected = sorted(figure.strip('"') for figure in committed if figure in source)
    assert sorted(path.stem for path in (tmp_path / "out/figures").glob("*.png")) == expected
    if name == "03-resource-sweeps":
        table = pd.read_csv(tmp_path / "out/results/fig3a-cost-vs-storage.csv")
        own = sweep({"storage_gb": [30, 90]}, PAPER, 1, Scenario(zipf=1.5), jobs=1, progress=False)
        expected = write_table(own, tmp_path / "own.csv")
        pd.testing.assert_frame_equal(table[table["policy"].isin(PAPER)].reset_index(drop=True), expected)
    shutil.rmtree(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["own.csv"]), "nothing stays in the working folder"


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("01-profiling", {"executions": 1}, "executions is 1; it must be a whole number, at least 2"),
        ("03-resource-sweeps", {"storage_gb": [60, 180]},
         "distributions are wanted at storage_gb = 80, but the sweep has only [60, 180]"),
        ("04-robustness", {"boxes_arrival_rate_per_model": [9]},
         "distributions are wanted at arrival_rate = 9, but the sweep has only [0.05, 0.1, 0.2, 0.3, 0.4, 0.5]"),
        ("04-robustness", {"replications": 0}, "replications is 0; it must be a whole number, at least 1, at most 1000000"),
    ],
)  # fmt: skip
def test_what_a_notebook_needs_is_one_sentence_before_anything_runs(name, parameters, sentence, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError) as failed:
        played(name, parameters, tmp_path, tmp_path / "out")
    assert (failed.value.ename, failed.value.evalue, failed.value.exec_count) == ("InputError", sentence, 4)
    assert not list(tmp_path.iterdir())
