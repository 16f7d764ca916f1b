"""Arrivals: of a trace, drawn, and refused."""

import numpy as np
import pytest

from edgecache import InputError, Trace, load_catalogue
from edgecache.serving import Arrivals, drawn_service_times


def test_the_requests_of_a_slot_are_spread_over_it():
    catalogue = load_catalogue()
    trace = Trace([0, 2, 2], [1, 0, 3], 4, catalogue=catalogue, slot_length_s=60)
    arrivals = Arrivals.of_trace(trace, catalogue)
    assert arrivals.time_s.tolist() == [30.0, 135.0, 165.0] and arrivals.model.tolist() == [1, 0, 3]
    assert arrivals.service_s.tolist() == catalogue.inference_delay_s[[1, 0, 3]].tolist()
    assert Arrivals.of_trace(trace, catalogue, 2.0).service_s.tolist() == [2.0] * 3


def test_a_trace_that_knows_its_times_keeps_them():
    class Timed:
        slot, model, slot_length_s = np.array([0, 0]), np.array([1, 2]), 60.0
        time_s, duration_s = np.array([3.0, 9.0]), np.array([0.5, 7.0])

    arrivals = Arrivals.of_trace(Timed(), load_catalogue())
    assert arrivals.time_s.tolist() == [3.0, 9.0] and arrivals.service_s.tolist() == [0.5, 7.0]


@pytest.mark.parametrize(("distribution", "variation"), [("fixed", 0.0), ("exponential", 1.0), ("lognormal", 1.0)])
def test_service_times_have_the_mean_and_variation_that_they_say(distribution, variation):
    drawn = drawn_service_times(np.full(400_000, 3.0), distribution, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(3.0, rel=0.01) and drawn.std() / 3.0 == pytest.approx(variation, abs=0.02)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0.0], [0, 1], [1.0]), "one time, one model"),
        (([0.0], [0.5], [1.0]), "one time, one model"),
        (([0.0, -1.0], [0, 0], [1, 1]), "time_s of request 1 is -1"),
        (([2.0, 1.0], [0, 0], [1, 1]), "request 1 arrives before request 0"),
        (([0.0], [0], [np.nan]), "service_s of request 0 is nan"),
        (([0.0], [-1], [1.0]), "model of request 0 is -1"),
        ((["soon"], [0], [1.0]), "one time, one model"),
    ],
)
def test_wrong_arrivals_are_refused(columns, message):
    with pytest.raises(InputError, match=message):
        Arrivals(*columns)
