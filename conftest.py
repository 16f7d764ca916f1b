"""Settings that must stand before any kernel starts, and in which order the files are run."""

import os

os.environ["TQDM_DISABLE"] = "1"  # progress bars would differ from run to run
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # or a kernel of the user's may hijack the notebooks

# Side by side, a file that takes long must not be begun last, or all but one process wait for it. xdist by itself begins with the
# files of most tests; these begin, in this order, whatever their number of tests, and the others come as they are collected.
LONG = (
    "04-robustness", "03-resource-sweeps", "test_browser", "test_site", "test_notebook_parameters", "05-optimality", "07-workloads",
    "test_measure", "test_measurement", "test_reproduce", "test_statements_and_verdicts", "test_readme", "test_commands",
    "test_sweeps", "test_files", "test_optimal_online", "test_ranks", "test_onnx_backend", "01-profiling", "02-system-model",
    "06-readings", "test_packaging", "test_random_worlds",
)  # fmt: skip


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
