"""The files of a profile and of a replay: what is written is read back; what is damaged, in whichever place, is refused."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from support.fake_backend import FOUR, made_profile

from edgecache import InputError, load_catalogue
from edgecache.catalogue import SHIPPED
from edgecache.figures import profiling
from edgecache.profiling import profiles
from edgecache.profiling.comparisons import compare, format_comparison, read_replay
from edgecache.profiling.profile_files import companion, read_profile, write_profile

KEY = ["service", "cycle", "execution", "phase"]
EXAMPLE = Path(__file__).parents[2] / "data/profiles/example.csv"


def test_what_is_written_is_read_back_and_written_again_the_same(tmp_path):
    written = write_profile(made_profile(), tmp_path / "mine.csv")
    assert sorted(file.name for file in tmp_path.iterdir()) == FOUR
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    found = read_profile(tmp_path / "mine.csv")
    assert_frame_equal(found.records, written.records)
    assert found.about == written.about
    assert_frame_equal(found.summary, written.summary)
    write_profile(found, tmp_path / "mine.csv")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert_frame_equal(pd.read_csv(tmp_path / "mine-summary.csv"), found.summary, rtol=1e-5)
    json.loads((tmp_path / "mine-machine.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert read_profile(str(tmp_path / "mine.csv")).services == found.services


def test_companion():
    assert companion(Path("a/mine.csv"), "records.csv") == Path("a/mine-records.csv")
    assert companion(Path("a/mine.partial.csv"), "machine.json") == Path("a/mine.partial-machine.json")


def cut(text):
    """Without the last line's end, which goes from within the times to `at`."""
    whole, last = text.rstrip("\n").rsplit("\n", 1)
    return f"{whole}\n{','.join(last.split(',')[:4])}"


def about(change):
    """A damage of the machine: what `change` makes of it."""
    return lambda text: json.dumps(change(json.loads(text)))


DAMAGES = {  # of which file, and what becomes of its text; None: it is removed
    "no records": ("records.csv", None),
    "no machine": ("machine.json", None),
    "empty records": ("records.csv", lambda text: ""),
    "records without a row": ("records.csv", lambda text: text.splitlines()[0] + "\n"),
    "records without times": ("records.csv", lambda text: text.replace("wall_s", "wally")),
    "records without memory": ("records.csv", lambda text: text.replace("resident_bytes", "resident")),
    "records cut short in a row": ("records.csv", cut),
    "records of other cells": ("records.csv", lambda text: text + "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r\n"),
    "times that are words": ("records.csv", lambda text: text.replace("0,0,load,", "0,0,load,slow", 1)),
    "records of a service without a network": ("records.csv", lambda text: text.replace("text_to_speech", "text_to_speeches")),
    "records that are bytes": ("records.csv", lambda text: b"\xff\xfe\x00\x80" + text.encode()),
    "an empty machine": ("machine.json", lambda text: ""),
    "a machine cut short": ("machine.json", lambda text: text[: len(text) // 2]),
    "a machine that is bytes": ("machine.json", lambda text: b"\xff\xfe\x00\x80"),
    "a machine that is a list": ("machine.json", lambda text: "[]"),
    "a machine that is a number": ("machine.json", lambda text: "3"),
    "a machine that is nothing": ("machine.json", lambda text: "null"),
    "no networks": ("machine.json", about(lambda found: {key: value for key, value in found.items() if key != "networks"})),
    "networks that are none": ("machine.json", about(lambda found: found | {"networks": []})),
    "a machine without its parts": ("machine.json", about(lambda found: found | {"machine": {}})),
    "a backend without a name": ("machine.json", about(lambda found: found | {"backend": {}})),
}


def refused(folder):
    """Whether a profile is refused, in one sentence; one that is read must be of use, without a gap or a negative number."""
    try:
        profile = read_profile(folder / "mine.csv")
    except InputError as error:
        if str(folder / "mine.csv") not in str(error) or "\n" in str(error):
            raise
        return True
    medians = profile.summary["median_s"]
    assert (medians > 0).all() and np.isfinite(medians).all() and not profile.records.duplicated(KEY).any()
    texts = profile.report() + profiling.measured_note(profile, 10.0) + profile.load_label
    assert not re.search(r"\b(nan|inf)\b|-\d+\.\d", texts, re.IGNORECASE), texts
    profile.catalogue().to_csv(folder / "catalogue.csv", index=False)
    load_catalogue(folder / "catalogue.csv")
    return False


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a profile without damage."""
    folder = tmp_path_factory.mktemp("whole")
    write_profile(made_profile(), folder / "mine.csv")
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_in_one_sentence(tmp_path, whole, damage):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    name, change = DAMAGES[damage]
    file = tmp_path / f"mine-{name}"
    if change is None:
        file.unlink()
    else:
        found = change(file.read_text())
        file.write_bytes(found if isinstance(found, bytes) else found.encode())
    assert refused(tmp_path), f"it was read:\n{read_profile(tmp_path / 'mine.csv').records.tail(3)}"


def test_a_catalogue_that_was_not_measured_is_no_profile(tmp_path):
    with pytest.raises(InputError, match=r"data/catalogue\.csv is no measured profile: .*catalogue-machine\.json cannot be read"):
        read_profile(SHIPPED)
    with pytest.raises(InputError, match=r"none\.csv is no measured profile"):
        read_profile(tmp_path / "none.csv")


def test_a_write_that_fails_leaves_whole_files_alone(tmp_path, monkeypatch):
    write_profile(made_profile(), tmp_path / "mine.csv")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "mine-machine.json").unlink()
    (tmp_path / "mine-machine.json").mkdir()  # in the way
    with pytest.raises(OSError, match=r"mine-machine\.json"):
        write_profile(made_profile(seed=1), tmp_path / "mine.csv")
    assert sorted(file.name for file in tmp_path.iterdir()) == FOUR, "no part is left"
    assert (tmp_path / "mine.csv").read_bytes() == before["mine.csv"], "the catalogue comes last"


# ---- every place of the files, with every kind of wrong value


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A small profile without the bootstrap, which takes its time."""
    monkeypatch.setattr(profiles, "cycle_interval", lambda times: (times.min(), times.max()))
    write_profile(made_profile(["text_to_speech"], cycles=2, executions=2), tmp_path / "mine.csv")
    return tmp_path


def places(value, path=()):
    """The path of every value of a JSON file that is no object or list itself."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    return [place for key, item in inner for place in places(item, (*path, key))] if inner is not None else [path]


def put(value, path, new):
    """The JSON value with another one at a path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


WRONG = {
    "text": (None, 3, [], {}),
    "count": (None, "3", -1, 1.5, True, float("nan"), 10**30),
    "number": ("3", -1.0, True, [], float("inf")),
}
REQUIRED = {
    "cpu": "text", "cores": "count", "memory_gb": "number", "virtual": "number", "file_system": "text", "system": "text",
    "name": "text", "device": "text", "threads": "count", "energy": "text", "no_energy": "text", "service": "text", "model": "text",
    "parameters": "count", "weights": "text", "named": "text", "share": "number", "size_bytes": "count", "cycles": "count",
    "executions": "count",
}  # fmt: skip


def test_wrong_types_in_the_machines_file_are_refused(quick):
    file = quick / "mine-machine.json"
    machine = json.loads(file.read_text())
    needed = [path for path in places(machine) if path[-1] in REQUIRED]
    assert len(needed) == len(REQUIRED)
    for path in needed:
        for value in WRONG[REQUIRED[path[-1]]]:
            if path[-1] == "virtual" and value is True:
                continue
            file.write_text(json.dumps(put(machine, path, value)))
            assert refused(quick), f"{path} may be {value!r}"
        with pytest.raises(InputError, match=f"mine-machine.json, .*{path[-1]}"):
            read_profile(quick / "mine.csv")
    for path in set(places(machine)) - set(needed):
        for value in (None, "x"):
            file.write_text(json.dumps(put(machine, path, value)))
            refused(quick)  # or it is of use


def test_wrong_cells_of_the_records_are_refused(quick):
    file = quick / "mine-records.csv"
    records = pd.read_csv(file, dtype=str, keep_default_na=False)
    for column in records:
        needed = column in ("wall_s", "cpu_s", "cycle", "execution", "phase", "service")
        for row, value in enumerate(("x", "", "-1", "nan", "inf", "-inf", "1e400", "True") if needed else ("x", "-1")):
            changed = records.copy()
            changed.loc[row, column] = value
            changed.to_csv(file, index=False)
            assert refused(quick) or not needed, f"{column} may be {value!r}"


def test_doubled_and_missing_rows_are_refused(quick):
    file = quick / "mine-records.csv"
    head, *rows = file.read_text().splitlines()
    for number, row in enumerate(rows):
        slower = row.replace(",text", "").split(",")
        slower[4] = "7.5"
        for changed in ([*rows, row], [*rows, ",".join(slower)], rows[:number] + rows[number + 1 :]):
            file.write_text("\n".join([head, *changed, ""]))
            assert refused(quick)
    file.write_text("\n".join([head, *rows[: len(rows) // 2], ""]))
    assert not refused(quick), "a whole cycle may be missing: the profile was stopped"
    machine = json.loads((quick / "mine-machine.json").read_text())
    (quick / "mine-machine.json").write_text(json.dumps(machine | {"networks": machine["networks"] * 2}))
    assert refused(quick)


def test_damaged_replays_are_refused(tmp_path):
    file = tmp_path / "replay.csv"
    table = pd.read_csv(companion(EXAMPLE, "replay.csv"), dtype=str, keep_default_na=False).head(9)
    table.to_csv(file, index=False)
    sentence = format_comparison(compare(read_replay(file)))
    assert "nan" not in sentence
    for column in ("predicted_s", "measured_s", "load_s", "run_s", "request", "memory_bytes"):
        for row, value in enumerate(("", "x", "nan", "inf", "True")):
            changed = table.copy()
            changed.loc[row, column] = value
            changed.to_csv(file, index=False)
            with pytest.raises(InputError, match=f"replay.csv, row {row + 1}: {column} is .*; it must be a number"):
                read_replay(file)
    pd.concat([table, table.iloc[[4]]]).to_csv(file, index=False)
    with pytest.raises(InputError, match="is there twice"):
        read_replay(file)
    table.assign(measured_s="-1").to_csv(file, index=False)
    with pytest.raises(InputError, match="measured_s is -1; it must be a number above zero"):
        read_replay(file)


def test_a_full_disk_is_told_with_the_files_name(tmp_path, monkeypatch):
    """An error of a write, unlike that of an open, does not know its file."""
    for name in FOUR:

        def full(source, target=None, name=name, real=os.replace):
            if Path(target or "").name == name:
                raise OSError(28, "No space left on device")
            return real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            patch.setattr(Path, "replace", full)
            with pytest.raises(OSError, match="No space left") as raised:
                write_profile(made_profile(["text_to_speech"], cycles=1), tmp_path / "mine.csv")
        assert Path(raised.value.filename).name == name
