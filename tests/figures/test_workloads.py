"""Figures of real workloads draw the numbers of their tables."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from numpy.testing import assert_allclose
from support.layout import lines_of, pixels, texts_outside

from edgecache import Scenario, simulate, sweep
from edgecache.analysis.delays import delay_distribution
from edgecache.analysis.demands import above_bound, summarise_demands
from edgecache.figures.style import POLICY_STYLE, STYLE
from edgecache.figures.workloads import IDLE, delay_ecdf, dial, excess, ranks


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
    assert not outside(figure)


def test_without_a_bound_there_is_no_line_for_it():
    table = pd.DataFrame({"policy": "lru", "delay_s": [1.0, 2.0], "share": [0.5, 1.0]})
    assert len(delay_ecdf(table).axes[0].lines) == 1


def outside(figure):
    """The texts that leave the page once it is drawn."""
    with rc_context(STYLE):
        pixels(figure, STYLE["savefig.dpi"])
    return texts_outside(figure)


DEMANDS = ["poisson", "bursts", "locality:repeat=0.8"]


@pytest.fixture(scope="module")
def runs():
    policies = ["lru", "lfu", "llama-swap", "exact", "clairvoyant", "optimal-online", "clairvoyant-delay", "optimal-online-delay"]
    return sweep({"demand": DEMANDS}, policies, 4, Scenario(slots=60), jobs=1, progress=False)


def test_the_dial_draws_means_and_the_bounds_of_each_outcome(runs):
    table = summarise_demands(runs, ["bursts"])
    means = table.set_index(["outcome", "policy", "demand"])["mean"].sort_index()
    figure = dial(table)
    for axis, outcome in zip(figure.axes, ("total_cost", "service_delay_all_s", "hit_ratio"), strict=True):
        lines = lines_of(axis)
        for label, policy in (("LRU", "lru"), ("llama-swap", "llama-swap"), ("Exact", "exact")):
            assert_allclose(lines[label].get_ydata(), means[outcome, policy].loc[DEMANDS])
        assert [text.get_text() for text in axis.get_xticklabels()] == DEMANDS
        assert ("Floor" in lines) == (outcome != "hit_ratio")
    cost, delay, _ = map(lines_of, figure.axes)
    assert_allclose(cost["Floor"].get_ydata(), means["total_cost", "clairvoyant"].loc[DEMANDS])
    assert_allclose(delay["Floor"].get_ydata(), means["service_delay_all_s", "clairvoyant-delay"].loc[DEMANDS])
    assert_allclose(delay["Best online"].get_ydata(), means["service_delay_all_s", "optimal-online-delay"].loc[DEMANDS])
    assert "of bursts: the middle 95 % of the replications" in figure._supxlabel.get_text().replace("\n", " ")
    assert not outside(figure)


def test_without_bounds_of_the_delay_the_bounds_of_the_cost_are_drawn(runs):
    """A cost that counts the delay alone has one floor for both."""
    table = summarise_demands(runs[~runs["policy"].str.endswith("-delay")])
    floor = lines_of(dial(table).axes[1])["Floor"].get_ydata()
    wanted = table[(table["policy"] == "clairvoyant") & (table["outcome"] == "service_delay_all_s")]["mean"]
    assert_allclose(floor, wanted)
    assert "the middle 95 %" not in dial(table)._supxlabel.get_text()


def test_ranks_are_those_of_the_means(runs):
    table = summarise_demands(runs)
    figure = ranks(pd.concat([table.assign(reading="literal"), table.assign(reading="delay")]))
    assert [axis.get_title() for axis in figure.axes] == ["reading: literal", "reading: delay"]
    lines = lines_of(figure.axes[0])
    assert set(lines) == {"LRU", "LFU", "llama-swap", "Exact"}  # no bounds
    cost = table[table["outcome"] == "total_cost"].pivot(index="policy", columns="demand", values="mean")
    for place, demand in enumerate(DEMANDS):
        order = sorted(("lru", "lfu", "llama-swap", "exact"), key=lambda name: cost.loc[name, demand])
        labels = {"lru": "LRU", "lfu": "LFU", "llama-swap": "llama-swap", "exact": "Exact"}
        assert [lines[labels[name]].get_ydata()[place] for name in order] == [1, 2, 3, 4]
    assert not outside(figure)


def test_the_excess_has_a_point_and_a_bar_per_demand(runs):
    table = above_bound(runs, ["lru", "llama-swap"], "clairvoyant-delay", resampled=["bursts"])
    figure = excess(table)
    for container, (_, rows) in zip(figure.axes[0].containers, table.groupby("policy", sort=False), strict=True):
        points, _, (bars,) = container.lines
        assert_allclose(points.get_ydata(), 100 * rows["excess"])
        ends = np.array([path.vertices[:, 1] for path in bars.get_paths()])
        assert_allclose(ends, 100 * rows[["low", "high"]])
    assert "of bursts: the middle 95 %" in figure._supxlabel.get_text().replace("\n", " ")
    assert not outside(figure)
