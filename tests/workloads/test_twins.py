"""Fitted twins: like the log that they were fitted to, in shares, CV, repeats and hours, and files that are whole or refused."""

import numpy as np
import pytest
from support.logs import REAL, needs_real_log

from edgecache import InputError, Scenario, read_log, sweep
from edgecache.logs.facts import measure
from edgecache.logs.reading import log_of_table
from edgecache.workloads.twin_fit import fit_twin
from edgecache.workloads.twins import Twin, read_twin, shipped_twin
from edgecache.workloads.words import find_demand

WITHIN = 0.05


def bursty_log(seed=0, sessions=1500):
    """Sessions at busy hours: each asks for one model of three, several times."""
    rng = np.random.default_rng(seed)
    hours = rng.choice(72, sessions, p=np.where(np.arange(72) % 24 < 8, 1, 9) / np.where(np.arange(72) % 24 < 8, 1, 9).sum())
    starts = hours * 3600 + rng.random(sessions) * 3600
    sizes, models = rng.geometric(0.3, sessions), rng.choice(3, sessions, p=[0.6, 0.3, 0.1])
    times = np.concatenate([start + np.cumsum(rng.exponential(60, size)) for start, size in zip(starts, sizes, strict=True)])
    return log_of_table({"time": times, "model": np.repeat([f"m{m}" for m in models], sizes)})


@pytest.fixture(scope="module")
def fitted():
    log = bursty_log()
    return log, fit_twin(log, "sessions")


def test_a_twin_agrees_with_its_log(fitted):
    log, twin = fitted
    check = twin.check(log, draws=10).set_index("quantity")
    assert check["ratio"].drop("hourly variance / mean").between(1 - WITHIN, 1 + WITHIN).all(), check
    assert check.loc["hourly variance / mean", "ratio"] == pytest.approx(1, abs=2 * WITHIN)
    assert check.loc["repeats", "log"] == log.facts.repeats
    drawn = twin.log(np.random.default_rng(3))
    assert sorted(drawn.requests, reverse=True) == sorted(log.requests, reverse=True)


def test_the_check_is_not_blind(fitted):
    """A twin of the shuffled log fails it, in repeats and in CV: the figures measure what they say."""
    log, _ = fitted
    order = np.random.default_rng(0).permutation(len(log))
    shuffled = log_of_table({"time": log.time_s, "model": [log.models[m] for m in log.model[order]]})
    check = fit_twin(shuffled, "shuffled").check(log, draws=5).set_index("quantity")["ratio"]
    assert check["repeats"] < 0.8 and check["first model's share"] == pytest.approx(1)


def test_a_twin_is_a_demand_like_a_log(fitted):
    _, twin = fitted
    traces = [twin.trace(Scenario(), np.random.SeedSequence(seed)) for seed in (0, 0, 1)]
    assert (traces[0].model == traces[1].model).all() and len(traces[0]) == len(traces[2])
    assert (traces[0].time_s != traces[2].time_s).any()
    with pytest.raises(InputError, match="zipf is varied, but the demand 'sessions' has its own"):
        sweep({"zipf": [1, 2]}, ["lru"], 1, demand=twin, jobs=1)


def test_written_and_read_back(fitted, tmp_path):
    _, twin = fitted
    twin.write(tmp_path / "twin.json")
    again = read_twin(tmp_path / "twin.json")
    assert again.requests == twin.requests and again.hourly == twin.hourly and again.mixing == twin.mixing
    assert np.allclose(np.concatenate(again.log_gaps), np.concatenate(twin.log_gaps), atol=6e-4)
    (tmp_path / "bad.json").write_text('{"name": "x"}')
    for path, message in (("bad.json", "this is no twin"), ("none.json", "there is no such twin")):
        with pytest.raises(InputError, match=message):
            read_twin(tmp_path / path)


def test_too_little_to_fit():
    with pytest.raises(InputError, match="a twin is fitted to at least 100 requests over 2 hours"):
        fit_twin(log_of_table({"time": [0.0, 1.0], "model": ["a", "b"]}), "small")


def test_the_shipped_twin_needs_no_network():
    twin = find_demand("gentd26")
    assert isinstance(twin, Twin) and sum(twin.requests) == 26_392 and len(twin.requests) == 79 and len(twin.hourly) == 553
    facts = twin.log(np.random.default_rng(0)).facts
    assert facts.repeats == pytest.approx(0.256, rel=0.1) and facts.top_ten_share == pytest.approx(0.874, abs=0.001)
    trace = twin.trace(Scenario(), np.random.SeedSequence(0))
    assert len(trace) == 23_060 and trace.slots > 33_000


@needs_real_log
def test_the_shipped_twin_is_what_the_fit_gives():
    shipped, again = shipped_twin("gentd26"), fit_twin(read_log(REAL), "gentd26")
    assert again.requests == shipped.requests and again.hourly == shipped.hourly
    assert np.allclose(np.concatenate(again.log_gaps), np.concatenate(shipped.log_gaps), atol=0.01)


@needs_real_log
def test_the_shipped_twin_is_like_gentd26():
    log = read_log(REAL)
    check = shipped_twin("gentd26").check(log, draws=20)
    assert check["ratio"].between(1 - WITHIN, 1 + WITHIN).all(), check
    assert measure(log.time_s, log.model, 79).repeats == check.set_index("quantity").loc["repeats", "log"]
