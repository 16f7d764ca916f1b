"""Slots of a log: equal spans or equal numbers of requests; durations as one writes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecache import InputError
from edgecache.logs.slots import seconds_of, slots_of


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30), st.integers(1, 900))
def test_slots_of_equal_spans_by_hand(times, length):
    time_s = np.sort(np.array(times, dtype=float))
    slot, slots, slot_length_s = slots_of(time_s, length, None, "log")
    assert slot.tolist() == [int(t) // length for t in sorted(times)]
    assert slots == slot[-1] + 1 and slot_length_s == length


@given(st.integers(1, 50), st.integers(1, 60))
def test_slots_of_so_many_requests(requests, each):
    slot, slots, length = slots_of(np.arange(requests) * 3.0, 60.0, each, "log")
    counts = np.bincount(slot, minlength=slots)
    assert (counts[:-1] == each).all() and 0 < counts[-1] <= each
    assert length == pytest.approx(3.0 * (requests - 1) / slots or 1.0)


def test_too_many_slots_and_no_length():
    with pytest.raises(InputError, match="log: 1,000,000,000 s are 1,000,000,001 slots of 1 s; at most 100,000,000 are allowed"):
        slots_of(np.array([0.0, 1e9]), 1.0, None, "log")
    for length in (0, -1, "60s", True, np.nan):
        with pytest.raises(InputError, match="the length of a slot is"):
            slots_of(np.array([0.0, 1e9]), length, None, "log")
    with pytest.raises(InputError, match="requests_per_slot is 0; it must be a whole number, at least 1"):
        slots_of(np.array([0.0]), 60.0, 0, "log")


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("5m", 300), ("1.5h", 5400), ("1d", 86400), ("90", 90), (" 2 MIN ", 120)]
)
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "0s", "-1s", "1w", "one", "1 s s", "nan", "inf"])
def test_what_is_no_duration(text):
    with pytest.raises(InputError, match=r"a duration is .*; it must be a number above zero with s, m, h or d behind it"):
        seconds_of(text)
