"""Demands made of other demands: shuffled, or a random stretch."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgecache import InputError, Scenario, Trace, load_catalogue, sweep
from edgecache.workloads.contract import Demand, GivenTrace
from edgecache.workloads.derived import Shuffled, Stretch
from edgecache.workloads.twins import shipped_twin
from edgecache.workloads.words import find_demand

SCENARIO = Scenario(slots=40)
SLOT = np.repeat(np.arange(0, 40, 2), 3)
WHOLE = Trace(
    SLOT, np.arange(60) % 7, 40, catalogue=load_catalogue(), time_s=SLOT * 60.0 + np.tile([0.0, 10.0, 59.0], 20),
    duration_s=np.arange(60.0),
)  # fmt: skip


def stream(seed):
    return np.random.SeedSequence(seed)


def test_a_stretch_is_a_part_of_its_trace():
    starts = set()
    for seed in range(60):
        part = Stretch(GivenTrace(WHOLE), 10).trace(SCENARIO, stream(seed))
        first = int(part.duration_s[0])  # the number of its first request in the whole
        number = np.arange(first, first + len(part))
        assert_array_equal(part.duration_s, number)
        assert_array_equal(part.model, WHOLE.model[number])
        shift = WHOLE.slot[first] - part.slot[0]
        assert_array_equal(part.slot, WHOLE.slot[number] - shift)
        assert_array_equal(part.time_s, WHOLE.time_s[number] - 60.0 * shift)
        assert part.slots == 10 and len(part) == 15  # every second slot has three requests
        assert part.requests_per_slot == WHOLE.requests_per_slot and (part.popularity == WHOLE.popularity).all()
        starts.add(int(shift))
    assert min(starts) <= 2 and max(starts) >= 28


def test_a_stretch_has_a_request_where_there_is_one():
    lonely = Trace([3999], [0], 4000, catalogue=load_catalogue())
    assert [len(Stretch(GivenTrace(lonely), 100).trace(SCENARIO, stream(seed))) for seed in range(5)] == [1] * 5
    empty = Trace([], [], 40, np.ones(10), catalogue=load_catalogue(), time_s=[])
    assert len(Stretch(GivenTrace(empty), 10).trace(SCENARIO, stream(0))) == 0


def test_shuffling_keeps_times_shares_and_pairs_of_model_and_duration():
    shuffled = Shuffled(GivenTrace(WHOLE)).trace(SCENARIO, stream(0))
    assert_array_equal(shuffled.time_s, WHOLE.time_s)
    assert_array_equal(np.bincount(shuffled.model), np.bincount(WHOLE.model))
    assert_array_equal(shuffled.model, shuffled.duration_s.astype(int) % 7)
    assert (shuffled.model != WHOLE.model).any()
    assert_array_equal(Shuffled(GivenTrace(WHOLE)).trace(SCENARIO, stream(0)).model, shuffled.model)


def test_they_are_demands_and_say_what_varies():
    twin = shipped_twin("gentd26")
    demand = Stretch(Shuffled(twin, "mixed"), 1440)
    assert isinstance(demand, Demand) and demand.name == "mixed" and demand.own == twin.own and not demand.resamples
    assert demand.varies == (
        *twin.varies,
        "in which order the models are requested (shuffled)",
        "which stretch of 1,440 slots is played",
    )
    assert Shuffled(find_demand("gamma")).varies is None
    table = sweep({"demand": [demand, Stretch(twin, 1440)]}, ["lru"], 2, jobs=1, progress=False)
    assert table["demand"].tolist() == ["mixed", "mixed", "gentd26", "gentd26"] and (table["slots"] == 1440).all()


def test_a_stretch_longer_than_its_trace_is_refused():
    with pytest.raises(InputError, match="the demand 'trace' has 40 slots; a stretch of 41 needs as many"):
        Stretch(GivenTrace(WHOLE), 41).trace(SCENARIO, stream(0))
    with pytest.raises(InputError, match="slots of a stretch is 0"):
        Stretch(GivenTrace(WHOLE), 0)
