"""Reading logs: files of any kind give the same log, bad ones one sentence, and a log that is written and read back is the same."""

import json
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pyarrow import parquet
from support.logs import write

from edgecache import InputError, Trace, load_catalogue, read_log, read_trace
from edgecache.logs import columns
from edgecache.logs.log_files import open_log
from edgecache.logs.reading import log_of_table

TABLE = pd.DataFrame({"when": [3.5, 0.0, 1.25, 1.25], "what": ["b", "a", "c", "a"]})


def same(log, other):
    assert_allclose(log.time_s, other.time_s, rtol=0, atol=1e-6)
    assert_array_equal(log.model, other.model)
    assert log.models == other.models


@pytest.mark.parametrize("kind", ["csv", "semicolons", "tabs", "csv.gz", "jsonl", "jsonl.gz", "json", "parquet", "arrow"])
def test_every_kind_of_file_gives_the_same_log(kind, tmp_path):
    wanted = log_of_table(TABLE, time="when", model="what")
    assert wanted.time_s.tolist() == [0, 1.25, 1.25, 3.5] and [wanted.models[m] for m in wanted.model] == ["a", "c", "a", "b"]
    assert wanted.out_of_order == 3
    rows = "".join(json.dumps(row) + "\n" for row in TABLE.to_dict("records"))
    if kind == "arrow":
        return same(log_of_table(pa.Table.from_pandas(TABLE), time="when", model="what"), wanted)
    if kind == "parquet":
        path = tmp_path / "log.parquet"
        parquet.write_table(pa.Table.from_pandas(TABLE), path)
    elif kind.startswith("json"):
        path = write(tmp_path, f"log.{kind}", json.dumps(TABLE.to_dict("records")) if kind == "json" else rows)
    else:
        separator = {"semicolons": ";", "tabs": "\t"}.get(kind, ",")
        path = write(tmp_path, f"log.{kind}", TABLE.to_csv(index=False, sep=separator))
    return same(read_log(path, time="when", model="what"), wanted)


TIMES = {
    "ISO": ["2024-05-10 12:00:00", "2024-05-10 12:00:01", "2024-05-10 12:01:00"],
    "T and Z": ["2024-05-10T12:00:00Z", "2024-05-10T12:00:01Z", "2024-05-10T12:01:00Z"],
    "zones": ["2024-05-10T12:00:00+00:00", "2024-05-10T14:00:01+02:00", "2024-05-10T07:01:00-05:00"],
    "seven digits": ["2024-05-10 12:00:00.0000000", "2024-05-10 12:00:01.0000000", "2024-05-10 12:01:00.0000000"],
    "mixed": ["2024-05-10 12:00", "2024-05-10T12:00:01.000Z", "2024-05-10 12:01:00"],
    "epoch s": [1715342400, 1715342401, 1715342460],
    "epoch ms": [1715342400000, 1715342401000, 1715342460000],
    "epoch us": [1715342400000000, 1715342401000000, 1715342460000000],
    "epoch ns": [1715342400000000000, 1715342401000000000, 1715342460000000000],
    "epoch s, text": ["1715342400.0", "1715342401.0", "1715342460.0"],
    "timestamps": pd.to_datetime(["2024-05-10 12:00:00", "2024-05-10 12:00:01", "2024-05-10 12:01:00"]),
    "timestamps with a zone": pd.to_datetime(["2024-05-10 14:00:00", "2024-05-10 14:00:01", "2024-05-10 14:01:00"]).tz_localize(
        "Europe/Rome"
    ),
    "seconds": [7, 8, 67],
    "seconds as text": ["7", "8", "67"],
}


@pytest.mark.parametrize("form", TIMES)
def test_times_in_any_form(form):
    log = log_of_table({"time": TIMES[form], "model": ["a", "b", "a"]})
    assert_allclose(log.time_s, [0, 1, 60], atol=1e-6)
    assert (log.start is None) == form.startswith("seconds")
    if log.start is not None:
        assert abs(log.start - np.datetime64("2024-05-10T12:00:00")) < np.timedelta64(1, "us")


def test_the_unit_of_numbers_may_be_named():
    log = log_of_table({"time": [0, 1500], "model": ["a", "b"]}, time_unit="ms")
    assert log.time_s.tolist() == [0, 1.5]
    with pytest.raises(InputError, match="unknown unit of times 'min'; known: auto, s, ms, us, ns"):
        log_of_table({"time": [0, 1500], "model": ["a", "b"]}, time_unit="min")


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 5), st.booleans()), min_size=2, max_size=40),
    st.sampled_from(["csv", "jsonl", "parquet"]),
)
@settings(max_examples=60, deadline=None)
def test_a_log_written_and_read_back_is_the_same(tmp_path_factory, rows, kind):
    """Rows are sorted by time, ties by their order, and what does not succeed is dropped; a plain sort is the oracle."""
    frame = pd.DataFrame(
        {
            "time": [t / 1000 for t, _, _ in rows],
            "model": [f"m{m}" for _, m, _ in rows],
            "status": ["ok" if fine else "no" for _, _, fine in rows],
        }
    )
    kept = sorted((row for row in rows if row[2]), key=lambda row: row[0])
    path = tmp_path_factory.mktemp("log") / f"log.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        parquet.write_table(pa.Table.from_pandas(frame), path)
    if len(kept) < 2:
        with pytest.raises(InputError, match=r"no request is left of|only one request is left of"):
            read_log(path, where={"status": "ok"})
        return
    log = read_log(path, where={"status": "ok"})
    assert_allclose(log.time_s, [(t - kept[0][0]) / 1000 for t, _, _ in kept], atol=1e-6)
    assert [log.models[m] for m in log.model] == [f"m{m}" for _, m, _ in kept]
    assert sum(log.dropped.values()) == len(rows) - len(kept) and log.rows == len(rows)


def test_a_trace_is_one_line(tmp_path):
    path = write(tmp_path, "log.csv", "time,model\n0,text_to_image\n59,text_to_speech\n130,text_to_image\n")
    trace = read_trace(path, load_catalogue())
    assert trace.slot.tolist() == [0, 0, 2] and trace.slots == 3 and trace.slot_length_s == 60
    assert trace.time_s.tolist() == [0, 59, 130] and trace.popularity[0] == pytest.approx(2 / 3)
    by_count = read_trace(path, load_catalogue(), requests_per_slot=2)
    assert by_count.slot.tolist() == [0, 0, 1] and by_count.slot_length_s == 65
    table = Trace.from_table(pd.read_csv(path), catalogue=load_catalogue())
    assert_array_equal(table.model, trace.model)


# ---- bad input: one sentence with the file, the line and the value

HEAD = "time,model\n"
BAD = {
    "empty": ("", r"log: the file is empty"),
    "blank": ("\n \n", r"log: the file is empty"),
    "header alone": (HEAD, r"log: there is a header, but no request"),
    "binary": (b"\x7fELF\0\0\1", r"log: this is a binary file; a request log is CSV"),
    "prose": ("to be or not to be, she said\nthat is it, indeed\n", r"log: no column of times was found; name one of to be or not"),
    "one word": ("hello\nworld\n", r"log: no column of times was found; name one of hello with time= \(--time\)"),
    "no model": ("time,user\n1,a\n", r"log: no column of models was found; name one of time, user with model= \(--model\)"),
    "twice": ("time,model,time\n1,a,1\n", r"log, header: the column 'time' is there twice"),
    "bad time": (HEAD + "2024-05-10 12:00:00,a\nnoon,b\n", r"log, line 3: time is 'noon'; it is no time"),
    "infinite": (HEAD + "1,a\ninf,b\n", r"log, line 3: time is 'inf'; it is not finite"),
    "mixed epochs": (
        HEAD + "1715342400000,a\n5,b\n",
        r"log, line 3: time is '5'; the latest time, 1715342400000, is in ms since 1970",
    ),
    "future": (HEAD + "2024-05-10 12:00:00,a\n2999-05-10 12:00:00,b\n", r"log, line 3: time is .*2999.*; it lies in the future"),
    "future epoch": (HEAD + "9000000000,a\n9000000001,b\n", r"log, line 2: time is '9000000000'; it lies in the future"),
    "cells": (HEAD + "1,a\n2,b\n3,c,d\n", r"log, line 4: 3 cells, but the header has 2"),
    "one request": (HEAD + "1,a\n", r"log: only one request is left of 1 rows \(the log has one\); a trace needs at least two"),
    "no times": (HEAD + ",a\n,b\n", r"log: no request is left of 2 rows \(2 without a time\)"),
    "no models": (HEAD + "1,\n2,\n", r"log: no request is left of 2 rows \(2 without a model\)"),
    "broken JSON": ('{"time": 1, "model": "a"}\n{"time": 2, "mo', r"log, line 2: .* is no JSON object"),
    "a list of nothing": ("[ {}\n", r"log: this is no JSON"),
    "gzip cut short": (b"\x1f\x8b\x08\x00", r"log: the file is cut short or damaged"),
    "parquet cut short": (b"PAR1aaaa", r"log: the file is cut short or damaged"),
    "unknown server": ('time=1 level=INFO msg="hello"\n', r"log: these lines are neither CSV nor JSON nor a server's log"),
    "no requests": (
        '[GIN] 2025/07/01 - 18:00:09 | 200 | 1s | ::1 | GET "/"\n',
        r"log: no line is a request with a time that ollama",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_sentence(case, tmp_path):
    content, message = BAD[case]
    path = tmp_path / "log"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as error:
        read_log(path)
    assert "\n" not in str(error.value) and str(error.value).startswith(str(path))


def test_all_failed(tmp_path):
    path = write(tmp_path, "log.csv", "time,model,status\n1,a,FAILED\n2,b,FAILED\n")
    with pytest.raises(InputError, match=r"no request is left of 2 rows \(2 whose status is not SUCCEED\)"):
        read_log(path, where={"status": "SUCCEED"})


def test_wrong_names_of_columns(tmp_path):
    path = write(tmp_path, "log.csv", "time,model,status\n1,a,FAILED\n2,b,FAILED\n")
    for options in ({"time": "tme"}, {"model": "modl"}, {"where": {"stat": "x"}}):
        with pytest.raises(InputError, match=r"log.csv: unknown column '\w+'; did you mean '\w+'\? Known: time, model, status"):
            read_log(path, **options)


def test_a_column_of_a_million_models_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "MOST_MODELS", 1000)
    path = write(tmp_path, "log.csv", HEAD + "".join(f"{i},r{i}\n" for i in range(1001)))
    message = "the column 'model' has 1,001 distinct values, such as 'r0'; at most 1,000 models are taken, so it seems to number"
    with pytest.raises(InputError, match=message):
        read_log(path)


@pytest.mark.parametrize("name", ["missing.csv", "folder", "/dev/zero"])
def test_what_is_no_file(name, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"No such file or directory|this is no file"):
        read_log(tmp_path / name)


def test_an_altered_gzip_is_damaged(tmp_path):
    path = write(tmp_path, "log.csv.gz", HEAD + "".join(f"{i},a\n" for i in range(400_000)))
    path.write_bytes(path.read_bytes()[:-2000])
    assert open_log(path).kind == "csv"  # its beginning is whole
    with pytest.raises(InputError, match=r"log.csv.gz: the file is cut short or damaged|cannot be read"):
        read_log(path)


def test_what_is_no_table():
    with pytest.raises(InputError, match="table: this is no table of requests"):
        log_of_table(7)
    with pytest.raises(InputError, match="table, row 2: time is 'b'"):
        log_of_table({"time": ["2024-01-01", "b"], "model": ["x", "y"]})


def test_the_future_is_a_day_ahead_of_this_machine():
    near = time.time() + 3600
    assert len(log_of_table({"time": [near, near + 1], "model": ["a", "b"]})) == 2
