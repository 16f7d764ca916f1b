"""Figures as files: whole, the same bytes at every run, with the names of their tables; and what happens without matplotlib."""

import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from edgecache.figures import save
from edgecache.figures.output import source_tables


def drawing():
    figure = Figure(figsize=(2, 1), layout="constrained")
    figure.subplots().plot([1, 2], [3, 5], label="a line")
    return figure


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        save(drawing(), "figure", tmp_path / folder)
    for ending in ("png", "pdf"):
        assert (tmp_path / f"one/figure.{ending}").read_bytes() == (tmp_path / f"two/figure.{ending}").read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["figure.pdf", "figure.png"]


@pytest.mark.parametrize(
    ("tables", "recorded"),
    [(None, ["figure.csv"]), ((), []), (["a.csv"], ["a.csv"]), (["b.parquet", "a.csv"], ["b.parquet", "a.csv"])],
)
def test_a_figure_keeps_the_names_of_its_tables(tmp_path, tables, recorded):
    save(drawing(), "figure", tmp_path, tables)
    assert source_tables(tmp_path / "figure.png") == recorded


def test_what_cannot_be_written_leaves_the_old_files(tmp_path):
    save(drawing(), "figure", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    broken = drawing()
    broken.savefig = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        save(broken, "figure", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("room", "missing"), [("figures", "matplotlib"), ("figures", "seaborn"), ("explorer", "ipywidgets")])
def test_a_missing_package_is_named_in_one_sentence(room, missing):
    code = f"""
import sys
sys.modules[{missing!r}] = None
import edgecache as ec
try:
    import edgecache.{room}
except ec.InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"needs {missing}" in done.stdout.replace("need ", "needs ") and "pip install 'edgecache[notebooks]'" in done.stdout
    assert done.stdout.count("\n") == 1


def test_the_core_loads_without_packages_for_drawing():
    code = """
import sys
import edgecache as ec
ec.simulate, ec.sweep, ec.explain, ec.summarise, ec.write_table
print(sorted({"matplotlib", "seaborn", "ipywidgets", "PIL"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
