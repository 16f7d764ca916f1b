"""What a log is like: against values known by construction, and against the published facts of GenTD26."""

import numpy as np
import pytest
from support.cases import equal_catalogue
from support.logs import REAL, needs_real_log

from edgecache import POLICIES, Scenario, Trace, load_catalogue, lower_bound, read_log, simulate
from edgecache.logs.facts import measure, variation, zipf_exponent
from edgecache.workloads.contract import GivenTrace


def test_a_poisson_log_has_a_burstiness_of_one():
    rng = np.random.default_rng(0)
    time_s, model = np.cumsum(rng.exponential(10.0, 100_000)), rng.integers(0, 4, 100_000)
    facts = measure(time_s, model, 4)
    assert facts.cv == pytest.approx(1, abs=0.02) and facts.hourly_dispersion == pytest.approx(1, abs=0.2)
    assert facts.repeats == pytest.approx(0.25, abs=0.01) and facts.independent_repeats == pytest.approx(0.25, abs=0.001)
    assert facts.model_cv == pytest.approx([1] * 4, abs=0.05) and facts.requests_per_s == pytest.approx(0.1, rel=0.02)
    assert facts.empty_hours == 0.0


def test_a_log_by_hand():
    facts = measure(np.array([0.0, 3600.0, 3601.0, 10800.0]), np.array([0, 1, 1, 0]), 2)
    assert (facts.requests, facts.models, facts.span_s) == (4, 2, 10800)
    assert facts.repeats == 1 / 3 and facts.independent_repeats == 0.5 and facts.top_share == 0.5
    assert facts.hourly_dispersion == np.var([1, 2, 0]) / 1 and facts.empty_hours == 1 / 3  # whole hours of 1, 2 and 0 requests
    assert facts.cv == variation(np.array([3600.0, 1.0, 7199.0]))


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.4])
def test_the_zipf_exponent_is_found_again(exponent):
    shares = np.arange(1.0, 80) ** -exponent
    assert zipf_exponent(shares / shares.sum()) == pytest.approx(exponent, abs=1e-3)


def test_no_model_and_no_time_between():
    facts = measure(np.zeros(3), None, 0)
    assert facts.models == 0 and np.isnan(facts.repeats) and np.isnan(facts.cv) and facts.requests_per_s == np.inf
    assert "repeats" not in "".join(facts.lines())
    assert np.isnan(zipf_exponent(np.ones(1)))


# ---- GenTD26, where it is


@pytest.fixture(scope="module")
def real():
    return read_log(REAL)


@needs_real_log
def test_the_facts_of_gentd26(real):
    assert real.format == "gentd26" and real.rows == 26_823
    assert len(real) == 26_392 and len(real.models) == 79 and sum(real.dropped.values()) == 431
    facts = real.facts
    assert round(facts.repeats, 3) == 0.256 and round(facts.independent_repeats, 3) == 0.147
    assert round(facts.top_share, 3) == 0.312 and round(facts.top_ten_share, 3) == 0.874 and round(facts.zipf_exponent, 2) == 1.43
    assert round(facts.empty_hours, 2) == 0.33
    assert min(facts.model_cv) > 3.6


@needs_real_log
def test_lru_of_ten_and_of_five_equal_models_on_gentd26(real):
    """0.8993 and 0.7371 in the real order, 0.545 to 0.549 where the order is shuffled."""
    models = equal_catalogue(len(real.models))
    trace = Trace.from_log(real, models, map="rank")

    def hits(room, trace):
        return simulate(Scenario(models, storage_gb=room, gpu_memory_gb=1e3), "lru", trace=trace).means()["hit_ratio"]

    assert round(hits(10, trace), 4) == 0.8993 and round(hits(5, trace), 4) == 0.7371
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(trace))
        assert 0.543 <= hits(5, Trace(trace.slot, trace.model[order], trace.slots, trace.popularity)) <= 0.551


@needs_real_log
def test_every_policy_plays_a_week_of_gentd26_above_its_bounds(real):
    """The ten most requested models as the catalogue's ten. No policy that keeps what it serves undercuts Clairvoyant."""
    week = Trace.from_log(real, load_catalogue(), map="rank")
    part = week.slot < 7 * 24 * 60
    trace = Trace(week.slot[part], week.model[part], 7 * 24 * 60, week.popularity)
    costs = {name: simulate(Scenario(), name, trace=trace).means()["total_cost"] for name in POLICIES}
    floor = costs["clairvoyant"]
    assert lower_bound(Scenario(), trace) <= floor * (1 + 1e-9)
    assert all(floor <= cost * (1 + 1e-9) for cost in costs.values())
    assert GivenTrace(trace).trace(Scenario(), np.random.SeedSequence(0)) is trace
