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


def test_a_trace_that_knows_its_times_and_durations_keeps_them():
    catalogue = load_catalogue()
    trace = Trace([0, 0, 1], [1, 2, 2], 2, catalogue=catalogue, time_s=[3.0, 9.0, 70.0], duration_s=[0.5, np.nan, 7.0])
    arrivals = Arrivals.of_trace(trace, catalogue)
    assert arrivals.time_s.tolist() == [3.0, 9.0, 70.0] and arrivals.service_s.tolist() == [0.5, 15.0, 7.0]
    drawn = Arrivals.of_trace(trace, catalogue, "exponential", seed=1)
    assert drawn.service_s[[0, 2]].tolist() == [0.5, 7.0] and drawn.service_s[1] not in (15.0, 0.0)
    assert drawn.service_s.tolist() == Arrivals.of_trace(trace, catalogue, "exponential", seed=1).service_s.tolist()
    with pytest.raises(InputError, match="unknown distribution of service times 'normal'"):
        Arrivals.of_trace(trace, catalogue, "normal")


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
