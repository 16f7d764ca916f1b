"""Files that are whole or absent; and the journal: nothing is computed twice, damage is mended, and a kill loses nothing."""

import errno
import fcntl
import json
import multiprocessing
import os
import resource
import signal
import time
import zlib
from collections import Counter
from contextlib import contextmanager
from functools import partial

import numpy as np
import pandas as pd
import pytest
from support.processes import wait_until_gone

from edgecache import InputError, files
from edgecache.claims import design as readings
from edgecache.claims import search
from edgecache.cli.main import cli
from edgecache.files import Journal, output_folder, replacing, write_table
from edgecache.parallel import WorkerKilled

COUNT = 7
FORKS = multiprocessing.get_context("forkserver")  # a process at once, whose parent has imported all that it needs
FORKS.set_forkserver_preload(["edgecache.claims.search"])


# ---- whole files


@contextmanager
def small_files(size):
    """No file may grow beyond that size: the operating system then refuses to write, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_is_replaced_as_a_whole_and_folders_are_made(tmp_path):
    path = tmp_path / "new/folder/note"
    for text in ("first", "second"):
        with replacing(path) as part:
            part.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text and os.listdir(path.parent) == ["note"]


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "note"
    path.write_text("old")
    with pytest.raises(TypeError, match="not int"), replacing(path) as part, open(part, "w") as file:
        file.writelines(["half", 2])
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["note"]


def test_symbolic_links_are_written_through(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "link.csv", tmp_path / "elsewhere/target.csv"
    link.symlink_to("elsewhere/target.csv")
    for value in (1, 2):  # the target is missing, then it is there
        write_table(pd.DataFrame({"a": [value]}), link)
        assert link.is_symlink() and target.read_text() == f"a\n{value}\n"
    assert os.listdir(tmp_path / "elsewhere") == ["target.csv"]


def test_a_disk_that_takes_no_more_names_the_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with small_files(1000), pytest.raises(OSError, match="too large") as raised:
        write_table(pd.DataFrame({"a": range(10_000)}), path)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["table.csv"]


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    with pytest.raises(OSError, match="directory") as raised:
        write_table(pd.DataFrame({"a": [1]}), tmp_path)
    assert raised.value.filename == str(tmp_path)


def test_without_a_checkout_readings_needs_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(files, "ROOT", tmp_path)
    with pytest.raises(InputError, match="name a folder for the results with --out"):
        cli.main(["readings"], standalone_mode=False)
    assert os.listdir(tmp_path) == [] and output_folder(tmp_path / "out") == tmp_path / "out"
    (tmp_path / "notebooks").mkdir()
    assert output_folder(None) == tmp_path


# ---- the journal


def line_of(key, value):
    """A line as the journal's docstring has it: a result with its checksum."""
    text = json.dumps([key, value]).encode()
    return f"{zlib.crc32(text):08x} ".encode() + text + b"\n"


def task(item):
    """What is computed of an item; a mark in its own file tells how often it was."""
    folder, number = item
    with open(folder / f"mark{number}", "a") as file:
        file.write("x")
    return [number**2, number / 3, None]


def unlucky(item):
    """Fails at item 4, after the journal has some of the others' results."""
    folder, number = item
    deadline = time.monotonic() + 60
    while number == 4 and (folder / "journal").read_bytes().count(b"\n") < 2:
        assert time.monotonic() < deadline, "no result came to the journal"
        time.sleep(0.01)
    if number == 4:
        raise ZeroDivisionError("item 4")
    return task(item)


@pytest.fixture
def marks(tmp_path):
    """How often each item was computed since it was last asked."""

    def marks():
        found = {int(file.name[4:]): len(file.read_text()) for file in tmp_path.glob("mark*")}
        for file in tmp_path.glob("mark*"):
            file.unlink()
        return found

    return marks


def run(folder, what=task, jobs=1, count=COUNT):
    """What the journal in the folder gives for the items 0 .. count - 1, and what it reported."""
    told, items = [], {str(number): (folder, number) for number in reversed(range(count))}
    with Journal(folder / "journal", told.append) as journal:
        return journal.run(what, items, jobs=jobs, description="items"), told


TRUTH = [[number**2, number / 3, None] for number in reversed(range(COUNT))]


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_are_in_the_items_order_and_nothing_is_computed_twice(tmp_path, marks, jobs):
    assert run(tmp_path, jobs=jobs, count=3) == (TRUTH[-3:], [])
    assert marks() == dict.fromkeys(range(3), 1)
    assert run(tmp_path, jobs=jobs) == (TRUTH, [])
    assert marks() == dict.fromkeys(range(3, COUNT), 1)
    assert run(tmp_path, jobs=jobs) == (TRUTH, []) and marks() == {}
    assert sorted((tmp_path / "journal").read_bytes().splitlines()) == sorted(
        line_of(str(number), value).rstrip() for number, value in zip(reversed(range(COUNT)), TRUTH, strict=True)
    )


def test_no_items_no_results_and_folders_are_made(tmp_path):
    with Journal(tmp_path / "new/folder/journal", pytest.fail) as journal:
        assert journal.run(task, {}, jobs=1) == []
    assert (tmp_path / "new/folder/journal").read_bytes() == b""


def test_numbers_come_back_as_they_were(tmp_path):
    values = [0.1, 1 / 3, 5e-324, float("inf"), -0.0, 1e300, 2**60, float("nan")]
    with Journal(tmp_path / "journal", pytest.fail) as journal:
        journal.add([("a", values)])
    with Journal(tmp_path / "journal", pytest.fail) as journal:
        assert repr(journal.done["a"]) == repr(values)


# ---- damage; the journal's lines 1 to 7 are of the items 6 to 0


def flipped(raw, line, place=20, bits=0x01):
    """The journal with a byte of a line (from 1) changed."""
    lines = [line + b"\n" for line in raw.split(b"\n")[:-1]]
    changed = bytearray(lines[line - 1])
    changed[place] ^= bits
    return b"".join([*lines[: line - 1], bytes(changed), *lines[line:]])


def to_return(raw, line):
    """The journal with a byte of a line made a carriage return, which ends no line of the journal."""
    return flipped(raw, line, 12, raw.split(b"\n")[line - 1][12] ^ ord("\r"))


GARBAGE = np.random.default_rng(0).bytes(400).replace(b"\n", b"").replace(b"\r", b"")
DAMAGES = {  # what becomes of the file, the lines that are reported, the items that are lost
    "cut in the last line": (lambda raw: raw[:-5], "7", {0}),
    "cut in the first line": (lambda raw: raw[:5], "1", set(range(7))),
    "a byte of a result flipped": (lambda raw: flipped(raw, 3), "3", {4}),
    "a byte of a checksum flipped": (lambda raw: flipped(raw, 2, 0), "2", {5}),
    "two lines damaged": (lambda raw: flipped(flipped(raw, 3), 6, 15, 0x80), "3, 6", {4, 1}),
    "the end of a line flipped": (lambda raw: flipped(raw, 2, -1), "2", {5, 4}),
    "every line damaged": (lambda raw: raw.replace(b" [", b" {"), "1, 2, 3, 4, 5 ...", set(range(7))),
    "garbage in the middle": (lambda raw: raw[:60] + GARBAGE + raw[60:], "2", {5}),
    "garbage at the end": (lambda raw: raw + GARBAGE, "8", set()),
    "nothing but garbage": (lambda raw: GARBAGE, "1", set(range(7))),
    "zeros where the disk was to write": (lambda raw: raw[:-40] + bytes(40), "6", {1, 0}),
    "an empty line": (lambda raw: raw.replace(b"\n", b"\n\n", 1), "2", set()),
    "the checksum of nothing": (lambda raw: b"00000000 \n" + raw, "1", set()),
    "a line that is no result": (lambda raw: b"%08x 1\n" % zlib.crc32(b"1") + raw, "1", set()),
    "a carriage return in a line": (lambda raw: flipped(to_return(raw, 2), 5), "2, 5", {5, 2}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_computed_again_and_mended(tmp_path, marks, damage):
    run(tmp_path)
    marks()
    path = tmp_path / "journal"
    change, lines, lost = DAMAGES[damage]
    raw = path.read_bytes()
    assert raw == b"".join(line_of(str(6 - place), value) for place, value in enumerate(TRUTH))
    path.write_bytes(change(raw))
    found, told = run(tmp_path)
    assert found == TRUTH and marks() == dict.fromkeys(lost, 1)
    assert len(told) == 1 and told[0].startswith(f"{path}, line {lines}:") and "computed again" in told[0]
    assert sorted(path.read_bytes().splitlines()) == sorted(raw.splitlines())
    assert run(tmp_path) == (TRUTH, []) and marks() == {}, "the file is whole"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["journal"]


def test_an_empty_file_is_no_damage(tmp_path, marks):
    (tmp_path / "journal").write_bytes(b"")
    assert run(tmp_path) == (TRUTH, []) and marks() == dict.fromkeys(range(COUNT), 1)


def test_a_journal_without_its_last_byte_has_lost_nothing(tmp_path, marks):
    run(tmp_path)
    marks()
    raw = (tmp_path / "journal").read_bytes()
    (tmp_path / "journal").write_bytes(raw[:-1])
    assert run(tmp_path) == (TRUTH, []) and marks() == {} and (tmp_path / "journal").read_bytes() == raw


def test_what_a_kill_amid_the_mending_left_does_no_harm(tmp_path):
    """The intact lines are written over the damaged file, which is cut then."""
    run(tmp_path)
    raw = (tmp_path / "journal").read_bytes()
    damaged = flipped(raw, 2)
    intact = b"".join(line for number, line in enumerate(raw.splitlines(keepends=True)) if number != 1)
    for place in (10, 60, len(intact) - 20, len(intact)):
        (tmp_path / "journal").write_bytes(intact[:place] + damaged[place:])
        assert run(tmp_path)[0] == TRUTH and run(tmp_path) == (TRUTH, [])


def ten_times(number):
    return [number] * 10


def test_a_disk_that_takes_no_more_names_the_journal_and_keeps_what_it_has(tmp_path):
    path = tmp_path / "journal"
    with Journal(path, pytest.fail) as journal, small_files(4096), pytest.raises(OSError, match="too large") as raised:
        journal.run(ten_times, {str(number): number for number in range(1000)}, jobs=1)
    assert raised.value.filename == str(path)
    with Journal(path, lambda _: None) as journal:
        assert len(journal.done) > 50 and all(value == [int(key)] * 10 for key, value in journal.done.items())


def stopping(error, item):
    """Fails at item 2 with this error."""
    if item[1] == 2:
        raise error
    return task(item)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WorkerKilled("a worker process was killed")], ids=["interrupt", "kill"])
def test_what_stops_a_run_says_how_much_is_kept(tmp_path, error):
    with pytest.raises(type(error)) as raised:
        run(tmp_path, partial(stopping, error))
    kept = f"4 of 7 items are kept in {tmp_path / 'journal'}"
    assert str(raised.value) == (f"{error}; {kept}" if str(error) else kept)
    assert run(tmp_path) == (TRUTH, [])


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_came_before_a_task_that_raises_is_kept(tmp_path, marks, jobs):
    with pytest.raises(ZeroDivisionError, match="item 4"):
        run(tmp_path, unlucky, jobs)
    marks()
    kept = [json.loads(line.split(b" ", 1)[1])[0] for line in (tmp_path / "journal").read_bytes().splitlines()]
    assert len(kept) >= 2 and "4" not in kept
    assert run(tmp_path) == (TRUTH, [])
    assert marks() == {number: 1 for number in range(COUNT) if str(number) not in kept}


# ---- one writes at a time


def holding(path, told):
    """Write the journal until it is killed."""
    with Journal(path, print):
        told.send("ready")
        time.sleep(600)


def test_a_second_writer_is_refused_and_changes_nothing(tmp_path):
    run(tmp_path)
    path = tmp_path / "journal"
    ours, theirs = FORKS.Pipe()
    first = FORKS.Process(target=holding, args=(path, theirs))
    first.start()
    try:
        assert ours.poll(60) and ours.recv() == "ready"
        raw = path.read_bytes() + b"damage"
        path.write_bytes(raw)  # the file that the first has open
        with pytest.raises(InputError, match="another process is writing") as raised:
            run(tmp_path)
        assert str(path) in str(raised.value) and path.read_bytes() == raw
    finally:
        first.kill()
        first.join()
    assert run(tmp_path)[0] == TRUTH, "the lock ends with its process"


def test_a_mended_journal_is_locked_too(tmp_path):
    run(tmp_path)
    with open(tmp_path / "journal", "ab") as file:
        file.write(b"damage")
    told = []
    with Journal(tmp_path / "journal", told.append), pytest.raises(InputError, match="another process"):
        Journal(tmp_path / "journal", pytest.fail)
    assert len(told) == 1


def test_a_journal_that_is_removed_while_it_is_opened_is_not_written(tmp_path, monkeypatch):
    path, lock = tmp_path / "journal", fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: (path.unlink(), lock(*arguments)))
    with pytest.raises(InputError, match="another process"):
        Journal(path, pytest.fail)


def test_of_two_that_mend_at_the_same_moment_one_is_refused(tmp_path, monkeypatch):
    # the second has opened the damaged file and not yet locked it while the first locks and mends it
    run(tmp_path)
    path, lock, opened = tmp_path / "journal", fcntl.flock, []
    with open(path, "ab") as file:
        file.write(b"damage")

    def late(*arguments):
        monkeypatch.setattr(fcntl, "flock", lock)
        opened.append(Journal(path, lambda _: None))
        return lock(*arguments)

    monkeypatch.setattr(fcntl, "flock", late)
    try:
        with pytest.raises(InputError, match="another process"):
            opened.append(Journal(path, lambda _: None))
    finally:
        for journal in opened:
            journal.file.close()


# ---- signals: the search goes on where it was, and its table is that of a search that was never stopped

DRAWS, BEST = 40, 12


def searching(folder, jobs):
    """A search of its own session."""
    os.setsid()
    search.judge_design(DRAWS, work=folder, report=print, jobs=jobs, progress=False)


def chosen_readings():
    """All of a small design."""
    return readings.under_every_scope(readings.latin_hypercube(BEST // 4))


def judging_again(folder, jobs):
    """A second look of its own session, at all of a design."""
    os.setsid()
    search.BEST_LOOKS = (2,)
    search.judge_again(chosen_readings(), work=folder, report=print, jobs=jobs, progress=False)


def lines(folder):
    """The lines of the only journal in the folder."""
    return b"".join(file.read_bytes() for file in folder.glob("*.jsonl")).splitlines(keepends=True)


def stopped_at(count, folder, what, jobs, with_signal):
    """Send a run the signal once its journal has so many lines; all its processes must end. The lines that it left."""
    run = FORKS.Process(target=what, args=(folder, jobs))
    run.start()
    deadline = time.monotonic() + 120
    try:
        while len(lines(folder)) < count:
            assert run.is_alive(), "it ended before it could be stopped"
            assert time.monotonic() < deadline, "it does not get on"
            time.sleep(0.002)
        os.kill(run.pid, with_signal)
    finally:
        if len(lines(folder)) < count:
            run.kill()
        run.join()
    wait_until_gone(-run.pid)
    return lines(folder)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    table = search.judge_design(DRAWS, work=folder, jobs=1, progress=False, report=pytest.fail)
    readings.write_readings(table, folder / "readings.parquet")
    return (folder / "readings.parquet").read_bytes()


STOPS = {1: [(1, signal.SIGKILL), (12, signal.SIGTERM)], 2: [(4, signal.SIGKILL)]}  # at how many lines, and by which signal


@pytest.mark.parametrize("jobs", STOPS)
def test_a_search_that_was_stopped_ends_with_the_same_bytes_and_computes_nothing_again(tmp_path, uninterrupted, jobs):
    work, before = tmp_path / "work", []
    for count, with_signal in STOPS[jobs]:
        left = stopped_at(count, work, searching, jobs, with_signal)
        assert count <= len(left) < DRAWS
        intact = [line for line in before if line.endswith(b"\n")]
        assert left[: len(intact)] == intact
        before = left
    table = search.judge_design(DRAWS, work=work, jobs=1, progress=False, report=lambda _: None)
    readings.write_readings(table, tmp_path / "readings.parquet")
    assert (tmp_path / "readings.parquet").read_bytes() == uninterrupted
    found = lines(work)
    intact = [line for line in before if line.endswith(b"\n")]
    assert found[: len(intact)] == intact
    # a draw computed again would have a second line
    assert Counter(json.loads(line[9:])[0] for line in found) == Counter(map(str, range(DRAWS)))


def test_a_second_look_that_was_killed_ends_with_the_same_table(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "BEST_LOOKS", (2,))
    monkeypatch.setattr(search, "fingerprint", search.fingerprint.__wrapped__)  # which knows of these looks
    chosen = chosen_readings()
    left = stopped_at(2, tmp_path / "killed", judging_again, 1, signal.SIGKILL)
    assert 2 <= len(left) < BEST
    some = partial(search.judge_again, chosen.iloc[:4], jobs=1, progress=False)
    found, truth = some(work=tmp_path / "killed", report=lambda _: None), some(work=tmp_path / "whole", report=pytest.fail)
    for name, table in (("found", found), ("truth", truth)):
        search.write_table(table, tmp_path / name)
    assert (tmp_path / "found").read_bytes() == (tmp_path / "truth").read_bytes()
    keys = Counter(json.loads(line[9:])[0] for line in lines(tmp_path / "killed"))
    rows = [json.dumps(list(row.values())) for row in chosen[list(readings.PARAMETERS)].to_dict("records")]
    assert set(keys.values()) == {1} and set(rows[:4]) <= set(keys)
