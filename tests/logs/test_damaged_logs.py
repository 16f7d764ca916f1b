"""Damaged logs of every format: whatever happens to a file, it is read, or refused in one sentence. Never another exception."""

import io
import warnings

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from support import logs
from support.logs import write

from edgecache import InputError, Trace, load_catalogue, read_log
from edgecache.logs.reading import log_of_table

TEXTS = (
    logs.GENTD26, logs.AZURE_FUNCTIONS, logs.AZURE_LLM_2023, logs.AZURE_LLM_2024, logs.MOONCAKE, logs.COPILOT, logs.LITELLM,
    logs.LLAMA_SWAP, logs.LLAMA_SWAP_ACCESS, logs.OLLAMA,
)  # fmt: skip
WORDS = (
    b'"',
    b"{",
    b"}",
    b",",
    b"\n",
    b"null",
    b"nan",
    b"1e400",
    b"-1",
    b"9" * 30,
    b"\xff",
    b";",
    b"[",
    b"2999-01-01",
    b"\0",
    b"1e18",
)


def parquet_bytes():
    target = io.BytesIO()
    parquet.write_table(pa.table({"time": [0.0, 1, 2] * 50, "model": ["a", "b", "c"] * 50}), target)
    return target.getvalue()


def damaged(content, rng):
    """The content with one to five bytes changed, cut out, put in, or doubled."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        at, how = int(rng.integers(len(content) + 1)), rng.integers(4)
        if how == 0:
            content[at : at + 1] = bytes([int(rng.integers(256))])
        elif how == 1:
            del content[at : at + int(rng.integers(1, 30))]
        elif how == 2:
            content[at:at] = WORDS[rng.integers(len(WORDS))]
        else:
            start = int(rng.integers(len(content) + 1))
            content[at:at] = content[start : start + int(rng.integers(1, 60))]
    return bytes(content)


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_log_is_read_or_refused_in_one_sentence(seed, tmp_path):
    rng = np.random.default_rng(seed)
    contents = [*(text.encode() for text in TEXTS), parquet_bytes()]
    read = refused = 0  # in one sentence
    for number in range(150):
        path = write(tmp_path, "log.gz" if number % 5 == 0 else "log", damaged(contents[rng.integers(len(contents))], rng))
        if number % 10 == 0:
            path.write_bytes(damaged(path.read_bytes(), rng))  # the compressed file itself
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                log = read_log(path)
                assert log.report() and (log.model is None or len(Trace.from_log(log, load_catalogue())))
        except InputError as error:
            refused += "\n" not in str(error)
        else:
            assert (np.diff(log.time_s) >= 0).all() and log.time_s[0] == 0 and np.isfinite(log.time_s).all()
            assert log.rows - len(log) == sum(log.dropped.values())
            read += 1
    assert read + refused == 150 and read > 5


ODD = {
    "bool": [True, False], "none": [None, None], "complex": [1j, 2j], "bytes": [b"1", b"2"], "lists": [[1], [2]],
    "huge": [10**30, 1], "mixed": ["1", 2], "object": [object(), 1], "old": ["1066-10-14", "1067-01-01"], "negative": [-5, -3],
}  # fmt: skip


@pytest.mark.parametrize("column", ["time", "model", "status"])
@pytest.mark.parametrize("kind", ODD)
def test_a_table_of_odd_types_is_read_or_refused_in_one_sentence(kind, column):
    table = {"time": [1, 2], "model": ["a", "b"], "status": ["x", "x"]} | {column: ODD[kind]}
    sentence = "table"
    try:
        assert len(log_of_table(table, where={"status": "x"})) == 2
    except InputError as error:
        sentence = str(error)
    assert sentence.startswith("table") and "\n" not in sentence


@pytest.mark.parametrize("table", [[], {}, None, "x", [1, 2], {"time": [1, 2], "model": ["a"]}], ids=str)
def test_what_is_no_table_of_requests(table):
    with pytest.raises(InputError, match=r"table: there are no columns|this is no table of requests|no column of times"):
        log_of_table(table)
