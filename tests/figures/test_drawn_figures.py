"""Figures are whole: nothing written in them leaves the page, and the same table gives the same bytes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from edgecache import BOUNDS, GA, PAPER, POLICIES, Scenario, box_statistics, load_catalogue, sweep
from edgecache.analysis import gaps
from edgecache.claims.design import read_readings
from edgecache.figures import optimality, readings, sweeps
from edgecache.profiling import delays

QUIET = {"progress": False, "jobs": 1}
MEANS, SLOTS = sweep({"storage_gb": [60, 120]}, PAPER, 2, by="both", **QUIET)
DELAYS = delays.service_delays(delays.draw_records(load_catalogue(), np.random.default_rng(0), cycles=3))
NOTE = "drawn from the catalogue, not measured: 30 cycles of 10 executions at 10 Gbit/s, log-normal spread of 10%;"
BOXES = box_statistics(SLOTS)
CHEAP = Scenario(w2=0.05, slots=30)
BOUNDED, BOUNDED_SLOTS = sweep({"storage_gb": [60, 120]}, [*PAPER, "exact", *BOUNDS], 3, CHEAP, by="both", **QUIET)
BOUNDED_BOXES = box_statistics(BOUNDED_SLOTS)
LIMITED = [replace(POLICIES[name], limit=20) for name in BOUNDS]  # on any server too large for them
INEXACT = sweep({"storage_gb": [60, 120]}, [*PAPER, *LIMITED], 2, CHEAP, **QUIET)
ALL = sweep({}, list(POLICIES), 2, CHEAP, **QUIET)
SPLIT = gaps.split_gap(BOUNDED)
CASES = ("ten services, default", "ten services, w2 = 0.01", "20 random models, w2 = 0.001", "100 random models, w2 = 0.001")
FOUND = gaps.certificate(gaps.decisions_met(CHEAP, 1)[:20])
SHARES = gaps.optimal_share(pd.concat([FOUND.assign(case=case) for case in CASES]))
SCARCE = gaps.capacity_map([60, 120], [6, 12], Scenario(w2=0.02), popularities=1, jobs=1)
SERVERS = {"fixed": 1, "growing": 2, "synthetic": 0.5}  # and how slow, and how much the GA loses there
SCALING = pd.DataFrame(
    [
        (
            models,
            server,
            method,
            models // 2,
            *(models * slow * SERVERS[server] * np.array([1, 0.5, 3])),
            gap * SERVERS[server],
            left,
        )
        for models in (10, 20, 50, 100, 200, 500, 1000)
        for server in SERVERS
        for method, slow, gap, left in (("Exact", 0.01, 0.0, 0.0), ("GA", 0.1, models / 2000, np.nan), ("milp", 1.0, 0.0, 1e-5))
    ],
    columns=["models", "server", "method", "deployed", "ms", "ms_low", "ms_high", "gap", "left"],
)


def split_of(*parameters):
    return pd.concat([SPLIT.assign(parameter=parameter) for parameter in parameters])


def map_of(*cases):
    return pd.concat([SCARCE.assign(case=case) for case in cases])


FIGURES = {
    "trend": lambda: sweeps.trends(MEANS),
    "two trends": lambda: sweeps.trends(MEANS, ("total_cost", "service_delay_s")),
    "twin": lambda: sweeps.trends(MEANS, sweeps.USERS),
    "boxes": lambda: sweeps.cost_boxes(BOXES),
    "twin of boxes": lambda: sweeps.users_boxes(box_statistics(SLOTS, "service_delay_s"), box_statistics(MEANS, "hit_ratio")),
    "service delay": lambda: sweeps.service_delay(DELAYS, NOTE),
    "framework": sweeps.framework,
    "trend and bounds": lambda: sweeps.trends(BOUNDED),
    "two trends and bounds": lambda: sweeps.trends(BOUNDED, ("total_cost", "service_delay_s")),
    "twin and bounds": lambda: sweeps.trends(BOUNDED, sweeps.USERS),
    "trend and inexact bounds": lambda: sweeps.trends(INEXACT),
    "two trends and inexact bounds": lambda: sweeps.trends(INEXACT, ("total_cost", "service_delay_s")),
    "trends of all": lambda: sweeps.trends(
        ALL.assign(storage_gb=60)[["storage_gb", *ALL.columns]], ("total_cost", "service_delay_s")
    ),
    "boxes and bounds": lambda: sweeps.cost_boxes(BOUNDED_BOXES),
    "twin of boxes and bounds": lambda: sweeps.users_boxes(
        box_statistics(BOUNDED_SLOTS, "service_delay_s"), box_statistics(BOUNDED, "hit_ratio")
    ),
    "gap split": lambda: optimality.gap_split(split_of("storage_gb", "gpu_memory_gb", "slots", "arrival_rate")),
    "gap split of two": lambda: optimality.gap_split(split_of("storage_gb", "arrival_rate")),
    "certificate": lambda: optimality.certificate(SHARES),
    "growth": lambda: optimality.growth(SCALING),
    "ranking": lambda: optimality.ranking(ALL),
    "inexact ranking": lambda: optimality.ranking(INEXACT[INEXACT["storage_gb"] == 60].drop(columns="storage_gb")),
    "capacity map": lambda: optimality.capacity_map(map_of("cost, weights 1", "cost, w2 = 0.03", "delay alone")),
}


RESULTS = Path(__file__).parents[2] / "data/results"


def committed(name):
    return pd.read_csv(RESULTS / name)


def readings_table():
    return read_readings(RESULTS / "readings.parquet")


FIGURES |= {
    "ledger": lambda: readings.ledger(committed("claims.csv")),
    "heat map": lambda: readings.heat_map(committed("readings-best.csv"), committed("claims.csv"), readings_table()),
    "sensitivity": lambda: readings.sensitivity(committed("readings-sensitivity.csv")),
    "headline": lambda: readings.headline(readings_table(), {"literal": (0.6, 0.62), "closest": (0.04, 0.9)}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_leaves_the_figure(name):
    figure = FIGURES[name]()
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    page = figure.bbox
    axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    beyond = {  # labels of ticks beyond the axis' ends, which are not drawn
        tick.label1
        for axis in axes
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    texts = [text for text in found if text.get_visible() and text.get_text() and text not in beyond]
    assert len(texts) > 5
    for text in texts:
        box = text.get_window_extent(canvas.get_renderer())
        inside = box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1
        assert inside, text.get_text()


@pytest.mark.parametrize("name", ["trend", "service delay"])
def test_the_same_table_gives_the_same_bytes(name, tmp_path):
    for folder in ("one", "two"):
        sweeps.save(FIGURES[name](), "figure", tmp_path / folder)
    for ending in ("png", "pdf"):
        assert (tmp_path / f"one/figure.{ending}").read_bytes() == (tmp_path / f"two/figure.{ending}").read_bytes()


def test_every_policy_of_the_paper_has_a_colour_of_its_own():
    colours = [sweeps.POLICY_STYLE[name][0] for name in (*PAPER, "exact")]
    assert len(set(colours)) == len(colours) and GA().name in sweeps.POLICY_STYLE


def test_every_policy_has_a_style_of_its_own():
    styles = [(to_hex(colour), marker) for colour, marker in (sweeps.POLICY_STYLE[name] for name in POLICIES)]
    assert len(set(styles)) == len(styles) == len(sweeps.POLICY_STYLE)
    assert set(sweeps.POLICY_STYLE) == set(POLICIES)
    assert len({policy.label for policy in POLICIES.values()}) == len(POLICIES)


# ---- bounds stand behind the policies


def lines_of(axis):
    """The lines of a panel that have a label, by label."""
    return {line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")}


FLOORS = {"total_cost": ("clairvoyant", "optimal-online"), "service_delay_s": ("clairvoyant-delay", "optimal-online-delay")}


@pytest.mark.parametrize("outcome", FLOORS)
@pytest.mark.parametrize(
    ("table", "labels", "endings"),
    [
        (BOUNDED, ("Floor", "Best online"), ("", "")),
        (INEXACT, ("Floor, lower bound", "Best online, approximate"), ("-bound", "-approximate")),
    ],
    ids=["exact", "inexact"],
)
def test_bounds_are_lines_at_their_means_behind_the_policies(table, labels, endings, outcome):
    (axis,) = sweeps.trends(table, (outcome,)).axes
    lines = lines_of(axis)
    own = [name for name in table["policy"].unique() if name in (*PAPER, "exact")]
    assert set(lines) == {POLICIES[name].label for name in own} | set(labels)
    means = table.groupby(["policy", "storage_gb"])[outcome].mean()
    for label, bound, ending in zip(labels, FLOORS[outcome], endings, strict=True):
        assert_allclose(lines[label].get_xdata(), [60, 120])
        assert_allclose(lines[label].get_ydata(), means[bound + ending])
        assert lines[label].get_zorder() < min(lines[POLICIES[name].label].get_zorder() for name in own)
    for name in own:
        assert_allclose(lines[POLICIES[name].label].get_ydata(), means[name])
        assert (lines[labels[0]].get_ydata() <= lines[POLICIES[name].label].get_ydata() * (1 + 1e-9)).all()
    assert max(band.get_zorder() for band in axis.collections) < min(line.get_zorder() for line in lines.values())


def test_bounds_are_drawn_where_they_bound_only():
    figure = sweeps.trends(BOUNDED, sweeps.USERS)
    policies = {POLICIES[name].label for name in (*PAPER, "exact")}
    drawn = dict(zip(sweeps.USERS, (set(lines_of(axis)) for axis in figure.axes), strict=True))
    assert drawn["service_delay_s"] == policies | {"Floor", "Best online"}
    assert all(drawn[outcome] == policies for outcome in sweeps.USERS if outcome != "service_delay_s")


def test_bounds_cross_the_boxes_at_their_means():
    (axis,) = sweeps.cost_boxes(BOUNDED_BOXES).axes
    boxes = [patch for patch in axis.patches if patch.get_zorder() > 1]
    assert len(boxes) == 2 * len([*PAPER, "exact"])
    for label, bound in zip(("Floor", "Best online"), FLOORS["total_cost"], strict=True):
        means = BOUNDED_SLOTS[BOUNDED_SLOTS["policy"] == bound].groupby("storage_gb")["total_cost"].mean()
        style = lines_of(axis)[label]
        across = [
            line
            for line in axis.get_lines()
            if (line.get_color(), line.get_linestyle()) == (style.get_color(), style.get_linestyle())
        ]
        across = [line for line in across if line.get_zorder() == style.get_zorder()]
        assert_allclose([line.get_ydata() for line in across], [[means[60]] * 2, [means[120]] * 2])
        assert_allclose([np.mean(line.get_xdata()) for line in across], [0, 1])
        assert style.get_zorder() < min(box.get_zorder() for box in boxes)


def test_one_replication_has_lines_but_no_bands():
    table = BOUNDED[BOUNDED["replication"] == 0]
    (axis,) = sweeps.trends(table).axes
    drawn = {label: line.get_ydata().tolist() for label, line in lines_of(axis).items()}
    labels = {POLICIES[name].label: name for name in (*PAPER, "exact")} | {"Floor": "clairvoyant", "Best online": "optimal-online"}
    assert drawn == {label: table[table["policy"] == name]["total_cost"].tolist() for label, name in labels.items()}
    assert sweeps.trends(MEANS[MEANS["replication"] == 0]).axes[0].get_lines()


# ---- the figures of the gaps


def test_the_gaps_figure_draws_its_table():
    first, second = optimality.gap_split(split_of("storage_gb", "slots")).axes
    for axis in (first, second):
        lines = [line for line in axis.get_lines() if len(line.get_xdata()) == 2 and line.get_marker() != "None"]
        parts = [SPLIT[SPLIT["part"] == part] for part in ("solver", "myopia", "future")]
        assert_allclose([line.get_ydata() for line in lines], [part["mean"] for part in parts])
        assert_allclose([line.get_xdata() for line in lines], [part["value"] for part in parts])
    assert (first.get_xlabel(), second.get_xlabel()) == ("Storage capacity (GB)", "Number of time slots")


def test_the_certificate_draws_its_table():
    (axis,) = optimality.certificate(SHARES).axes
    curves = [line for line in axis.get_lines() if len(line.get_xdata()) == 51]
    assert_allclose([line.get_ydata() for line in curves], [SHARES[SHARES["case"] == case]["optimal"] for case in CASES])
    dotted = [line.get_xdata()[0] for line in axis.get_lines() if len(line.get_xdata()) == 2]
    assert_allclose(dotted, [FOUND["enumeration"].median()] * len(CASES))


def test_growth_draws_its_table():
    *times, loss = optimality.growth(SCALING).axes
    colour = lines_of(times[0])["GA (default)"].get_color()
    lost = [line for line in loss.get_lines() if line.get_color() == colour and len(line.get_xdata())]
    for axis, line, server in zip(times, lost, SERVERS, strict=True):
        for label, method in (("Exact", "Exact"), ("GA (default)", "GA"), ("milp (HiGHS)", "milp")):
            own = SCALING[(SCALING["server"] == server) & (SCALING["method"] == method)]
            assert_allclose(lines_of(axis)[label].get_xydata(), own[["models", "ms"]])
        assert server in axis.get_title() and server in lines_of(loss)
        assert line.get_linestyle() == lines_of(loss)[server].get_linestyle()
        assert_allclose(line.get_ydata(), np.array([0.5, 1, 2.5, 5, 10, 25, 50]) * SERVERS[server])
    assert len({line.get_linestyle() for line in lost}) == len(lost)


def test_the_ranking_is_in_order_and_says_who_knows():
    figure = optimality.ranking(ALL)
    knows = {"belady": "**", "belady-cost": "**", "optimal-online": "*", "optimal-online-delay": "*"}
    knows |= {"clairvoyant": "**", "clairvoyant-delay": "**"}
    for axis, outcome in zip(figure.axes, ("total_cost", "service_delay_s"), strict=True):
        means = ALL.groupby("policy")[outcome].mean()
        points = sorted((line.get_ydata()[0], line.get_xdata()[0], line) for line in axis.get_lines() if line.get_marker() != "|")
        assert_allclose([x for _, x, _ in points], sorted(means, reverse=True))
        names = {f"{POLICIES[name].label} {knows.get(name, '')}".strip(): name for name in POLICIES}
        for text, (_, x, line) in zip(axis.get_yticklabels(), points, strict=True):
            name = names[text.get_text()]
            assert x == pytest.approx(means[name])
            assert (line.get_marker(), to_hex(line.get_color())) == (
                sweeps.POLICY_STYLE[name][1],
                to_hex(sweeps.POLICY_STYLE[name][0]),
            )
            assert (line.get_markerfacecolor() == "white") == (name in knows)


def test_the_capacity_map_by_hand():
    """Four servers: storage costs most, GPU memory alone, little of power, and nothing."""
    shares = {(1, 5): (0.3, 0.1, 0.0), (2, 5): (0.0, 0.6, 0.0), (1, 7): (0.0, 0.0, 0.004), (2, 7): (0.0, 0.0, 0.0)}
    rows = [
        (*server, resource, share, share > 0)
        for server, values in shares.items()
        for resource, share in zip(gaps.CAPACITIES, values, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["storage_gb", "gpu_memory_gb", "resource", "share", "binding"])
    (axis,) = optimality.capacity_map(table.assign(case="one")).axes
    assert {tuple(text.get_position()): text.get_text() for text in axis.texts} == {(0, 0): "30+", (1, 0): "60", (0, 1): "<1"}
    found = {}
    for cell in axis.collections:
        (x, y), alpha = cell.get_paths()[0].get_extents().get_points().mean(axis=0), cell.get_alpha()
        found[x, y] = to_hex(cell.get_facecolor()[0]), alpha
    colours = {resource: to_hex(colour) for resource, (colour, _) in optimality.RESOURCE_STYLE.items()}
    assert found == {
        (0, 0): (colours["storage_gb"], 1),
        (1, 0): (colours["gpu_memory_gb"], 1),
        (0, 1): (colours["energy_capacity_kw"], pytest.approx(0.35, abs=0.01)),
        (1, 1): (to_hex("0.92"), 1),
    }
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "2"]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["5", "7"]
