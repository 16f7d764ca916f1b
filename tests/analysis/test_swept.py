"""One parameter swept: the tables of `sweep` and `box_statistics`, and every mistake before anything runs."""

import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from edgecache import InputError, Scenario, box_statistics, sweep, sweep_by_slot, sweeps
from edgecache.analysis.swept import Experiment

SHORT = Scenario(slots=12)
POLICIES = ["lru", "ga", "clairvoyant"]


@pytest.mark.parametrize("parameter", ["storage_gb", "slots"])
@pytest.mark.parametrize("boxes", [[40, 20], [20, 30, 40]], ids=["some", "all"])
def test_tables_are_those_of_the_sweep(parameter, boxes):
    values, quiet = [20, 30, 40], {"progress": False, "jobs": 1}
    swept = Experiment(parameter, values[::-1], boxes, 2, SHORT, POLICIES, seed=5).play(jobs=1)
    assert_frame_equal(swept.means, sweep({parameter: values}, POLICIES, 2, SHORT, seed=5, **quiet))
    means, slots = sweep_by_slot({parameter: boxes}, POLICIES, 2, SHORT, seed=5, **quiet)
    assert_frame_equal(swept.cost_boxes, box_statistics(slots))
    for outcome, table in (("service_delay_s", slots), ("hit_ratio", means)):
        own = swept.user_boxes[swept.user_boxes["outcome"] == outcome].drop(columns="outcome")
        assert_frame_equal(own.reset_index(drop=True), box_statistics(table, outcome))


def test_what_changes_over_a_sweep_by_hand():
    rows = [(storage, 0, policy, cost) for storage, costs in ((1, (4, 2)), (2, (5, 2)), (3, (5, 2))) for policy, cost in
            zip(("lru", "ga", "clairvoyant"), (*costs, storage), strict=True)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["storage_gb", "replication", "policy", "total_cost"])
    swept = Experiment("storage_gb", [60], [60], 1, SHORT, POLICIES).play(jobs=1)
    by_hand = type(swept)(table, swept.cost_boxes, swept.user_boxes)
    assert by_hand.settled_from() == 2, "the floor is no policy"
    assert_allclose(by_hand.change()["change"], [0.25, 0])
    assert list(by_hand.change().index) == ["lru", "ga"]
    assert by_hand.wide()["clairvoyant"].to_dict() == {1: 1, 2: 2, 3: 3}


def test_tables_are_written_and_come_back_as_written(tmp_path):
    swept = Experiment("storage_gb", [60], [60], 1, SHORT, POLICIES).play(jobs=1)
    written = swept.written(tmp_path, "means", "costs", "users")
    for table, name in ((written.means, "means"), (written.cost_boxes, "costs"), (written.user_boxes, "users")):
        assert_frame_equal(table, pd.read_csv(tmp_path / f"{name}.csv"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": [90]}, r"^distributions are wanted at storage_gb = 90, but the sweep has only \[60, 120\]$"),
        ({"boxes": 60}, r"^storage_gb is 60; a sweep needs a list of values"),
        ({"boxes": []}, r"^nothing to sweep over: storage_gb has no values$"),
        ({"values": [60, 60]}, "needs each value once"),
        ({"values": [-1]}, "storage_gb"),
        ({"parameter": "storage"}, "unknown parameter 'storage'"),
        ({"replications": 0}, "replications is 0"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_runs(changes, message, monkeypatch):
    ran = []
    monkeypatch.setattr(sweeps, "_cells", lambda *_: ran.append(1))
    setting = {"parameter": "storage_gb", "values": [60, 120], "boxes": [60], "replications": 1, **changes}
    with pytest.raises(InputError, match=message):
        Experiment(**setting)
    assert not ran
