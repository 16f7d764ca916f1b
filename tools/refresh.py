"""Execute the notebooks and write the copies to commit: executed, and nothing in them that changes by itself.

The files are as JupyterLab saves them, so opening one there does not mark it as changed.
"""

import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def refresh(path: Path) -> None:
    """Execute in place: stable cell ids, no timings, no widget state, no progress bars, one text output a stream."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}},
        record_timing=False, store_widget_state=False, coalesce_streams=True, extra_arguments=["--log-level=ERROR"],
    ).execute()  # fmt: skip
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{path.stem[:2]}-{number:02d}"
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)  # lives as long as its kernel
            for mime, text in output.get("data", {}).items():
                if isinstance(text, str) and mime.startswith("text/"):
                    output["data"][mime] = re.sub(r" at 0x[0-9a-f]+", " at 0x0", text)
    write(notebook, path)


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook with the metadata that JupyterLab gives it: the kernel, and the language as the kernel describes it."""
    from ipykernel.ipkernel import IPythonKernel

    notebook.metadata = {"kernelspec": KERNEL, "language_info": IPythonKernel.language_info}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.write(notebook, path)


if __name__ == "__main__":
    os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "TQDM_DISABLE": "1"}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if len(sys.argv) == 1 or any(name in path.stem for name in sys.argv[1:]):
            print(path.name, flush=True)
            if path.stem == "index":  # it has nothing to execute
                write(nbformat.read(path, as_version=4), path)
            else:
                refresh(path)
