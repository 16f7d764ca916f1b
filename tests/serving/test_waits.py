"""Means, percentiles and intervals of waits."""

import numpy as np
import pandas as pd
import pytest

from edgecache import Catalogue, InputError
from edgecache.serving import Arrivals, ServedModels, Server, Waits, serve, serve_parts, waits_of_replications
from edgecache.serving.state import CLOUD, HIT, SERVED


def served(waits, arrivals=None, service=1.0, outcome=HIT):
    rows = np.zeros(len(waits), SERVED)
    rows["wait_s"] = rows["queue_s"] = waits
    rows["arrival_s"] = np.zeros(len(waits)) if arrivals is None else arrivals
    rows["service_s"], rows["outcome"] = service, outcome
    return rows


def test_percentiles_are_those_of_the_waits_to_half_a_percent():
    waits = np.random.default_rng(0).lognormal(2, 2, 50_001)
    added = Waits().add(served(waits, service=3.0))
    for share in (0.0, 0.05, 0.5, 0.95, 0.99, 1.0):
        assert added.quantile(share) == pytest.approx(np.quantile(waits, share), rel=0.0055, abs=1e-3)
        assert added.quantile(share, "delay") == pytest.approx(np.quantile(waits, share) + 3.0, rel=0.0055)
    assert added.mean("wait") == pytest.approx(waits.mean()) and added.mean("delay") == pytest.approx(waits.mean() + 3)
    assert len(added) == 50_001


def test_no_wait_is_exactly_zero():
    added = Waits().add(served(np.r_[np.zeros(96), np.full(4, 5.0)]))
    assert added.quantile(0.95) == 0.0 and added.quantile(0.97) == pytest.approx(5.0, rel=0.0055)


def test_the_share_within_a_target_is_exact_and_counts_the_cloud():
    rows = np.r_[served([1.0, 2.0, 2.0, 3.0]), served([0.5], outcome=CLOUD)]
    assert Waits(slo_s=2.0).add(rows).share_within() == 0.8
    assert Waits(slo_s=2.0, measure="delay").add(rows).share_within() == 0.4
    assert Waits().add(rows).cloud_share() == 0.2


def test_adding_in_parts_is_adding_at_once():
    rng = np.random.default_rng(1)
    rows = served(rng.exponential(3, 999), np.sort(rng.uniform(0, 9e5, 999)))
    whole, parts = Waits().add(rows), Waits()
    for part in np.array_split(rows, 7):
        parts.add(part)
        parts.mean("wait")  # what was computed is computed anew
    pd.testing.assert_frame_equal(parts.summary(), whole.summary())
    assert whole.blocks == 11


def test_intervals_cover_the_truth_where_days_differ():
    """Means of 12 days whose own mean varies: the expanded interval covers 90 to 98 of a hundred times."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        days = np.repeat(np.arange(12), 20)
        waits = np.repeat(rng.gamma(4, 1, 12), 20) * rng.exponential(1, 240)
        low, high = Waits(block_s=1.0).add(served(waits, days)).interval("wait")
        covered += low <= 4.0 <= high
    assert 180 <= covered <= 197


def test_one_block_has_no_interval_and_no_request_no_mean():
    assert np.isnan(Waits().add(served([1.0, 2.0])).interval("wait")).all()
    assert np.isnan(Waits().mean("wait")) and np.isnan(Waits().quantile(0.5)) and len(Waits()) == 0


def test_replications_are_blocks():
    one = ServedModels(Catalogue(("a",), [1], [1], [0], [1], [1]))
    runs = [serve(Server(), one, Arrivals([0.0, k], [0, 0], [2, 2])) for k in (0.5, 1.0, 50.0)]
    waits = waits_of_replications(runs, slo_s=2.0)
    assert waits.blocks == 3 and waits.mean("wait") == pytest.approx((1 + 2.5 + 1 + 2 + 1 + 0) / 6)
    assert waits.share_within() == pytest.approx(5 / 6)


def test_parts_of_a_wait_add_up():
    rng = np.random.default_rng(3)
    models = ServedModels(Catalogue(tuple("abcd"), [1] * 4, [2] * 4, [0] * 4, [1] * 4, [1] * 4))
    arrivals = Arrivals(np.cumsum(rng.exponential(2, 400)), rng.integers(0, 4, 400), rng.exponential(1, 400))
    waits = Waits(block_s=100.0)
    for part in serve_parts(Server(gpu_memory_gb=4, link_gbps=4), models, [arrivals]):
        waits.add(part)
    total = sum(waits.mean(part) for part in ("queue", "fetch", "load", "service"))
    assert total == pytest.approx(waits.mean("delay")) and min(waits.mean(part) for part in ("queue", "fetch", "load")) > 0


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="unknown measure 'waiting'"):
        Waits(measure="waiting")
    with pytest.raises(InputError, match="slo_s is -1; it must be a number above 0"):
        Waits(slo_s=-1)
    with pytest.raises(InputError, match="unknown part of a delay 'fetching'"):
        Waits().add(served([1.0])).mean("fetching")
    with pytest.raises(InputError, match=r"share of a quantile is 95; it must be from 0 to 1"):
        Waits().quantile(95)
