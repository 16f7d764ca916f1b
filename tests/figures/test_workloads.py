"""The figure of delays as a distribution."""

import pandas as pd
from numpy.testing import assert_allclose

from edgecache import Scenario, simulate
from edgecache.analysis.delays import delay_distribution
from edgecache.figures.style import POLICY_STYLE
from edgecache.figures.workloads import IDLE, delay_ecdf


def test_every_policy_is_a_step_line_through_its_table():
    table = delay_distribution([simulate(Scenario(slots=40), policy) for policy in ("lru", "llama-swap", "clairvoyant")])
    figure = delay_ecdf(table, slo_s=10.0)
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines[:3]] == ["LRU", "llama-swap", "Clairvoyant"] and len(lines) == 4
    for line, (_, rows) in zip(lines, table.groupby("policy", sort=False), strict=False):
        assert_allclose(line.get_xdata()[1:], rows["delay_s"])
        assert_allclose(line.get_ydata()[1:], rows["share"])
    assert lines[0].get_color() == POLICY_STYLE["lru"][0] and lines[3].get_xdata()[0] == 10.0
    assert figure._supxlabel.get_text().replace("\n", " ") == f"{IDLE}; vertical line: 10 s"


def test_without_a_bound_there_is_no_line_for_it():
    table = pd.DataFrame({"policy": "lru", "delay_s": [1.0, 2.0], "share": [0.5, 1.0]})
    assert len(delay_ecdf(table).axes[0].lines) == 1
