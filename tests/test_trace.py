"""A trace may say when its requests come and how long they took; what does not belong together is refused."""

import dataclasses

import numpy as np
import pytest

from edgecache import InputError, Scenario, Trace, simulate

TRACE = {"slot": [0, 0, 1], "model": [0, 1, 0], "slots": 2, "popularity": [0.5, 0.5]}


def test_times_and_durations_are_kept_read_only_and_cost_nothing():
    trace = Trace(**TRACE, time_s=[0, 30, 61.5], duration_s=[1, np.nan, 2])
    assert trace.time_s.tolist() == [0, 30, 61.5] and trace.duration_s[2] == 2
    assert not trace.time_s.flags.writeable and not trace.duration_s.flags.writeable
    plain = Trace(**TRACE)
    assert plain.time_s is None and plain.duration_s is None
    assert dataclasses.replace(trace, requests_per_slot=4.0).time_s.tolist() == trace.time_s.tolist()


WRONG = [
    ({"time_s": [0, 1]}, "time_s of a trace is [0, 1]; it must be one number of seconds per request"),
    ({"time_s": [0, 2, 1]}, "time_s of a trace is 1 at request 2, after 2; it must ascend"),
    ({"time_s": [-1, 2, 3]}, "time_s of a trace is -1 at request 0; it must be finite and at least zero"),
    ({"time_s": [0, np.nan, 3]}, "time_s of a trace is nan at request 1; it must be finite and at least zero"),
    ({"time_s": ["a", "b", "c"]}, "time_s of a trace is ['a', 'b', 'c']; it must be one number of seconds per request"),
    ({"duration_s": [0, np.inf, 3]}, "duration_s of a trace is inf at request 1; it must be finite and at least zero"),
    ({"duration_s": 3}, "duration_s of a trace is 3; it must be one number of seconds per request"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[str(changes) for changes, _ in WRONG])
def test_what_is_no_time_is_one_sentence(changes, message):
    with pytest.raises(InputError) as error:
        Trace(**TRACE, **changes)
    assert str(error.value) == message


def test_the_distribution_of_delays_by_hand():
    """One model of two fits: five misses of 25 + 5 + 2 = 32 s, and hits of 2 s."""
    from support.cases import make_catalogue

    both = make_catalogue(a=(31.25, 4, 0.1, 5, 2), b=(31.25, 4, 0.1, 5, 2))
    model = [0] * 50 + [1, 0, 1, 0] + [0] * 46
    run = simulate(Scenario(both, storage_gb=40), "lru", trace=Trace([0] * 100, model, 1, [0.5, 0.5]))
    assert sorted(run.request_delay_s)[94:96] == [2, 32]
    assert run.delays(slo_s=2.0) == {"delay_p50_s": 2.0, "delay_p95_s": 2.0, "delay_p99_s": 32.0, "within_slo": 0.95}
    assert np.isnan(run.delays()["within_slo"])
    empty = simulate(Scenario(both), "lru", trace=Trace([], [], 1, [0.5, 0.5]))
    assert all(np.isnan(value) for value in empty.delays(1.0).values())
