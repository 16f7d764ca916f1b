"""What figures show of tables: lines, boxes and markers where the numbers are, bounds behind them, the cloud's part marked."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose
from support.layout import lines_of, pixels, texts_of, texts_outside

from edgecache import BOUNDS, GA, PAPER, POLICIES, Scenario, box_statistics, sweep, sweep_by_slot
from edgecache.analysis import gaps
from edgecache.analysis.tradeoff import FLOOR, ONLINE, POLICY, summarise_tradeoff
from edgecache.analysis.tradeoff import tradeoff as play_tradeoff
from edgecache.claims.catalogues import shares_that_hold
from edgecache.claims.design import SCOPES as SCOPE_NAMES
from edgecache.claims.design import SLACKS
from edgecache.claims.pairs import compare_scopes
from edgecache.figures import optimality, style, sweeps, tradeoff
from edgecache.figures import shares as share_figures

QUIET = {"progress": False, "jobs": 1}
CHEAP = Scenario(w2=0.05, slots=30)
BOUNDED, BOUNDED_SLOTS = sweep_by_slot({"storage_gb": [60, 120]}, [*PAPER, "exact", *BOUNDS], 3, CHEAP, **QUIET)
BOUNDED_BOXES = box_statistics(BOUNDED_SLOTS)
LIMITED = [replace(POLICIES[name], limit=20) for name in BOUNDS]  # on any server too large for them
INEXACT = sweep({"storage_gb": [60, 120]}, [*PAPER, *LIMITED], 2, CHEAP, **QUIET)
ALL = sweep({}, list(POLICIES), 2, CHEAP, **QUIET)
SPLIT = gaps.split_gap(BOUNDED)
POINTS = summarise_tradeoff(play_tradeoff(list(POLICIES), CHEAP, waiting=[0, 2, 50], w2=[0.0, 0.5, 1.0], replications=3, jobs=1))
SIGNS = np.random.default_rng(0).choice([-1.0, 1.0], (80, len(SLACKS)), p=[0.2, 0.8])
SCOPES = compare_scopes(pd.DataFrame(SIGNS, columns=SLACKS).assign(scope=np.tile(SCOPE_NAMES, 20), charge="absence", w2=1.0))
CATALOGUES = shares_that_hold(pd.DataFrame(SIGNS, columns=SLACKS).assign(catalogue=range(80), reading="literal"))
CASES = ("ten services, default", "ten services, w2 = 0.01", "20 random models, w2 = 0.001", "100 random models, w2 = 0.001")
SERVERS = {"fixed": 1, "growing": 2, "synthetic": 0.5}  # and how slow, and how much the GA loses there
SCALING = pd.DataFrame(
    [
        (models, server, method, *(models * slow * SERVERS[server] * np.array([1, 0.5, 3])), gap * SERVERS[server])
        for models in (10, 20, 50, 100, 200, 500, 1000)
        for server in SERVERS
        for method, slow, gap in (("Exact", 0.01, 0.0), ("GA", 0.1, models / 2000), ("milp", 1.0, 0.0))
    ],
    columns=["models", "server", "method", "ms", "ms_low", "ms_high", "gap"],
)


@cache
def certificates():
    return gaps.certificate(gaps.decisions_met(CHEAP, 1)[:20])


@cache
def shares():
    return gaps.optimal_share(pd.concat([certificates().assign(case=case) for case in CASES]))


def split_of(*parameters):
    return pd.concat([SPLIT.assign(parameter=parameter) for parameter in parameters])


def of_all():
    return ALL.assign(storage_gb=60)[["storage_gb", *ALL.columns]]


def cloudy():
    """A sweep in which the cloud serves some requests at 60 GB, few at 100 GB, and none at the default of 120 GB."""
    counts = {60: 40, 100: 10, 120: 0}
    rows = pd.concat([BOUNDED[BOUNDED["storage_gb"] == 60].assign(storage_gb=value, requests=100, cloud_requests=count)
                      for value, count in counts.items()], ignore_index=True)  # fmt: skip
    return rows[rows["policy"].isin([*PAPER, "clairvoyant"])]


# the figures of the committed tables are looked at in test_committed_figures.py; these are the others
FIGURES = {
    "two trends and inexact bounds": lambda: sweeps.trends(INEXACT, ("total_cost", "service_delay_s")),
    "trend and inexact bounds": lambda: sweeps.trends(INEXACT),
    "trends of all": lambda: sweeps.trends(of_all(), ("total_cost", "service_delay_s")),
    "trend without bounds": lambda: sweeps.trends(BOUNDED[BOUNDED["policy"].isin(PAPER)]),
    "trend with a cloud": lambda: sweeps.trends(cloudy()),
    "gap split of two": lambda: optimality.gap_split(split_of("storage_gb", "arrival_rate")),
    "gap split of one": lambda: optimality.gap_split(split_of("storage_gb")),
    "cost against delay": lambda: tradeoff.cost_against_delay(POINTS),
    "scopes": lambda: share_figures.scopes(SCOPES),
    "catalogues": lambda: share_figures.catalogues(CATALOGUES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_leaves_the_figure(name):
    figure = FIGURES[name]()
    pixels(figure)
    assert len(texts_of(figure)) > 5 and not texts_outside(figure)


def test_text_that_leaves_a_figure_is_noticed():
    figure = FIGURES["gap split of one"]()
    figure.text(0.9, 0.5, "a text that is far too long for what is left of the figure")
    pixels(figure)
    assert texts_outside(figure) == ["a text that is far too long for what is left of the figure"]


def test_every_policy_has_a_style_of_its_own():
    styles = [(to_hex(colour), marker) for colour, marker in (style.POLICY_STYLE[name] for name in POLICIES)]
    assert len(set(styles)) == len(styles) == len(style.POLICY_STYLE)
    assert set(style.POLICY_STYLE) == set(POLICIES)
    assert len({policy.label for policy in POLICIES.values()}) == len(POLICIES)
    colours = [style.POLICY_STYLE[name][0] for name in (*PAPER, "exact")]
    assert len(set(colours)) == len(colours) and GA().name in style.POLICY_STYLE


# ---- bounds, and what the cloud serves


def note_of(figure):
    return " ".join(figure._supxlabel.get_text().split())


def test_every_figure_with_a_bound_names_the_policies_that_it_bounds():
    drawn = [sweeps.trends(BOUNDED), sweeps.trends(INEXACT, sweeps.USERS), sweeps.cost_boxes(BOUNDED_BOXES), *(
        optimality.gap_split(split_of("storage_gb")), tradeoff.cost_against_delay(POINTS))]  # fmt: skip
    for figure in drawn:
        assert "among policies that decide at misses, keep the requested model, and neither prefetch nor unload" in note_of(figure)
    assert "among policies" not in note_of(FIGURES["trend without bounds"]())
    only_floor = note_of(sweeps.trends(BOUNDED[BOUNDED["policy"].isin([*PAPER, "clairvoyant"])]))
    assert "floor: every request known" in only_floor and "best online" not in only_floor


def test_points_where_the_cloud_serves_more_than_at_the_default_are_hollow_and_named():
    table = cloudy()
    assert sweeps.cloud_shares(table).to_dict() == {60: 0.4, 100: 0.1}
    figure = sweeps.trends(table, ("total_cost", "service_delay_s"))
    assert "hollow: the cloud serves more requests than at the default, up to 40%; costs and delays leave them out" in note_of(
        figure
    )
    for axis, outcome in zip(figure.axes, ("total_cost", "service_delay_s"), strict=True):
        hollow = [line for line in axis.get_lines() if to_hex(line.get_markerfacecolor()) == "#ffffff"]
        means = table.groupby(["policy", "storage_gb"])[outcome].mean()
        assert len(hollow) == len(PAPER)
        for line, name in zip(hollow, style.policy_styles(table), strict=True):
            assert to_hex(line.get_markeredgecolor()) == to_hex(style.POLICY_STYLE[name][0])
            assert_allclose(line.get_xydata(), [(value, means[name, value]) for value in (60, 100)])


def test_no_point_is_hollow_where_the_cloud_serves_no_more_than_at_the_default():
    assert not len(sweeps.cloud_shares(BOUNDED))
    everywhere = cloudy().assign(cloud_requests=40)
    assert not len(sweeps.cloud_shares(everywhere))
    assert not [line for line in sweeps.trends(everywhere).axes[0].get_lines() if line.get_markerfacecolor() == "white"]
    without_default = cloudy()[lambda rows: rows["storage_gb"] < 120]
    assert sweeps.cloud_shares(without_default).to_dict() == {60: 0.4}, "compared with the least share"


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
        first = lines_of(axis)[label]
        across = [
            line
            for line in axis.get_lines()
            if (line.get_color(), line.get_linestyle()) == (first.get_color(), first.get_linestyle())
        ]
        across = [line for line in across if line.get_zorder() == first.get_zorder()]
        assert_allclose([line.get_ydata() for line in across], [[means[60]] * 2, [means[120]] * 2])
        assert_allclose([np.mean(line.get_xdata()) for line in across], [0, 1])
        assert first.get_zorder() < min(box.get_zorder() for box in boxes)


def test_one_replication_has_lines_but_no_bands():
    table = BOUNDED[BOUNDED["replication"] == 0]
    (axis,) = sweeps.trends(table).axes
    drawn = {label: line.get_ydata().tolist() for label, line in lines_of(axis).items()}
    labels = {POLICIES[name].label: name for name in (*PAPER, "exact")} | {"Floor": "clairvoyant", "Best online": "optimal-online"}
    assert drawn == {label: table[table["policy"] == name]["total_cost"].tolist() for label, name in labels.items()}
    assert sweeps.trends(table[table["policy"].isin(PAPER)]).axes[0].get_lines()


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
    (axis,) = optimality.certificate(shares()).axes
    curves = [line for line in axis.get_lines() if len(line.get_xdata()) == 51]
    assert_allclose([line.get_ydata() for line in curves], [shares()[shares()["case"] == case]["optimal"] for case in CASES])
    dotted = [line.get_xdata()[0] for line in axis.get_lines() if len(line.get_xdata()) == 2]
    assert_allclose(dotted, [certificates()["enumeration"].median()] * len(CASES))


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


def test_cost_against_delay_draws_its_points_and_fronts():
    (axis,) = tradeoff.cost_against_delay(POINTS).axes
    lines = lines_of(axis)
    for name, kind in (("Floor", FLOOR), ("Best online", ONLINE)):
        front = POINTS[POINTS["kind"] == kind].sort_values("total_cost")
        assert_allclose(lines[name].get_xydata(), front[["total_cost", "service_delay_all_s"]])
    drawn = {container.get_label(): container.lines[0] for container in axis.containers}
    for row in POINTS[POINTS["kind"] == POLICY].itertuples():
        mark = {"past": "", "popularity": " *", "future": " **"}[POLICIES[row.policy].knows]
        line = drawn[f"{POLICIES[row.policy].label}{mark}"]
        assert_allclose(line.get_xydata(), [[row.total_cost, row.service_delay_all_s]])
        assert to_hex(line.get_color()) == to_hex(style.POLICY_STYLE[row.policy][0])
        assert (line.get_markerfacecolor() == "white") == bool(mark)
    assert {text.get_text() for text in axis.texts} == {"w2 = 0", "w2 = 0.5", "w2 = 1"}


def test_scopes_and_catalogues_draw_their_shares():
    for axis, charge in zip(share_figures.scopes(SCOPES).axes, ("any", "absence"), strict=True):
        rows = SCOPES[SCOPES["charge"] == charge]
        drawn = {container.get_label().split(":")[0]: container.lines[0] for container in axis.containers}
        assert_allclose(drawn["evict"].get_xdata(), 100 * rows["first"].iloc[::3])
        for scope in ("bypass", "prefetch", "free"):
            assert_allclose(drawn[scope].get_xdata(), 100 * rows[rows["scope"] == scope]["second"])
    (axis,) = share_figures.catalogues(CATALOGUES).axes
    found = [
        (container.lines[0].get_xdata()[0], container.lines[0].get_markerfacecolor() == "white") for container in axis.containers
    ]
    assert found == [(100 * row.share, not row.shipped) for row in CATALOGUES.itertuples()]


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
