"""Each known format by a small synthetic file in its schema: no option is needed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support import logs
from support.logs import write

from edgecache import InputError, Trace, load_catalogue, read_log
from edgecache.logs.formats import FORMATS
from edgecache.logs.reading import log_of_table

# name of the format: file name, content, times, models (None: it names none), durations
KNOWN = {
    "gentd26": ("a.csv", logs.GENTD26, [0, 0, 90], ["M0", "M1", "M0"], [32, 3.5, 4]),
    "azure-functions-2021": ("a.txt", logs.AZURE_FUNCTIONS, [0, 8, 10], ["A", "B", "A"], [0.5, 12, 0.25]),
    "azure-llm": ("a.csv", logs.AZURE_LLM_2023, [0, 0.052, 1.0520001], None, None),
    "mooncake": ("a.jsonl", logs.MOONCAKE, [0, 0.25, 3], None, None),
    "copilot-agents-2026": ("a.jsonl.gz", logs.COPILOT, [0, 4.25, 8], ["Model B", "Model A", "Model A"], [0.5, 1.5, 0.7]),
    "litellm": ("a.csv", logs.LITELLM, [0, 4.875], ["gpt-a", "gpt-b"], [2, 0.5]),
    "llama-swap": ("a.json", logs.LLAMA_SWAP, [0, 1.5], ["qwen", "llama"], [1.2, 0.8]),
    "llama-swap-access": ("a.log", logs.LLAMA_SWAP_ACCESS, [0, 12], ["qwen", "llama"], [2.5, 0.5]),
    "ollama": ("server.log", logs.OLLAMA, [0, 12], None, [62.5, 5.5]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_format_needs_no_option(name, tmp_path):
    file, content, times, models, durations = KNOWN[name]
    log = read_log(write(tmp_path, file, content))
    assert log.format == name
    assert_allclose(log.time_s, times, atol=1e-7)
    if models is None:
        assert log.model is None and log.facts.models == 0
        with pytest.raises(InputError, match="says when requests arrive, but not which model each asks for"):
            Trace.from_log(log, load_catalogue())
    else:
        assert [log.models[model] for model in log.model] == models
    if durations is None:
        assert log.duration_s is None
    else:
        assert_allclose(log.duration_s, durations)
    assert log.report().startswith(f"{tmp_path / file}: {name}, ")


def test_every_format_of_columns_has_a_fixture():
    assert {f.name for f in FORMATS} <= set(KNOWN)


def test_fractions_and_zones_of_azure_2024(tmp_path):
    log = read_log(write(tmp_path, "a.csv", logs.AZURE_LLM_2024))
    assert_allclose(log.time_s, [0, 0.00993, 1.50993])
    assert log.out_of_order == 1 and log.start == np.datetime64("2024-05-10T00:00:00")


def test_what_is_dropped_is_counted(tmp_path):
    log = read_log(write(tmp_path, "a.csv", logs.GENTD26))
    assert log.rows == 5 and log.dropped == {"whose predict_status is not SUCCEED": 1, "without a model": 1}
    assert "dropped: 1 whose predict_status is not SUCCEED; 1 without a model" in log.report()
    swap = read_log(write(tmp_path, "a.log", logs.LLAMA_SWAP_ACCESS))
    assert swap.rows == 4 and swap.dropped == {"lines that are no request": 2}


def test_columns_of_a_known_format_may_be_exchanged(tmp_path):
    path = write(tmp_path, "a.csv", logs.GENTD26)
    log = read_log(path, model="groupId", where={"predict_status": ["SUCCEED", "FAILED"]})
    assert log.models == ("G0", "G1") and len(log) == 5
    with pytest.raises(
        InputError, match="the sessions of copilot-agents-2026 have columns of their own; name no other, such as 'x'"
    ):
        read_log(write(tmp_path, "c.jsonl", logs.COPILOT), model="x")


def test_a_named_duration_is_in_seconds_and_a_negative_one_is_none(tmp_path):
    table = {"t": [0, 1, 2], "model": ["a", "b", "a"], "took": [4.0, -1.0, None]}
    assert_allclose(log_of_table(table, duration="took").duration_s, [4.0, np.nan, np.nan])
    assert log_of_table(table).duration_s is None
    swap = read_log(write(tmp_path, "a.csv", "timestamp,model,duration_ms,s\n0,a,500,7\n9,a,600,8\n"), duration="s")
    assert swap.format == "llama-swap" and swap.duration_s.tolist() == [7.0, 8.0]
    with pytest.raises(InputError, match="the column 'took' holds durations that are no numbers"):
        read_log(write(tmp_path, "b.csv", "t,model,took\n0,a,long\n1,b,short\n"), duration="took")
