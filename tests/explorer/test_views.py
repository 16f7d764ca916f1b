"""The views: each shows numbers that its own line of code gives again, words of them, and one figure drawn anew in the old."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose
from support.cells import Page, run_line

from edgecache import BOUNDS, PAPER, POLICIES, InputError, Scenario, load_catalogue, sample_catalogue, simulate, sweep
from edgecache.analysis.comparison import comparison, ranking, scarcity
from edgecache.explorer.controls import DEFAULT
from edgecache.explorer.markup import COLUMNS, comparison_rows
from edgecache.explorer.views import (
    Setting,
    capacity,
    compare,
    comparison_table,
    convergence,
    simulated,
    sweeping,
    timeline,
)
from edgecache.figures import runs
from edgecache.figures.style import BOUND_CLASS, base_policy, label

SMALL = Setting(Scenario(slots=15, gpu_memory_gb=6), 2, ("lru", "ga", "clairvoyant"), "ec.Scenario(slots=15, gpu_memory_gb=6)")
OTHER = Setting(Scenario.named("delay", slots=10), 0, ("lfu-da", "ga", "lru", "exact"), "ec.Scenario.named('delay', slots=10)")
NOBODY = Setting(Scenario(slots=10, arrival_rate=0.1), 3, DEFAULT, "ec.Scenario(slots=10, arrival_rate=0.1)")  # asks
MISSED = 1  # a slot with a miss, in both
MANY = {40: ["lru", "ga", "optimal-online-approximate"], 100: ["lru", "ga"]}  # by models, who plays; bounds do not
TALLIED = ["total_cost", "switching_cost", "resource_cost", "service_delay_s", "hit_ratio", "fetched_gb", "energy_kwh", "requests"]


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """The lines leave `jobs` to sweep; here it starts no processes."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


def again(view):
    """What the view's line gives where edgecache is imported as ec, and nothing else is."""
    return run_line(f"import edgecache as ec; {view.line}")


def swept(setting, name, values):
    """(How much was done after each point, the view)."""
    *steps, view = sweeping(setting, name, values)
    return steps, view


def large(models, tmp_path, monkeypatch, **changes):
    """A setting with that many models, its catalogue in a file of the working directory."""
    monkeypatch.chdir(tmp_path)
    sample_catalogue(models, np.random.default_rng(models)).table().to_csv("mine.csv", index=False)
    scenario = Scenario(load_catalogue("mine.csv"), slots=10, arrival_rate=2.0, **changes)
    policies = [base_policy(name) for name in MANY[models]]
    said = ", ".join(f"{name}={value}" for name, value in {"slots": 10, "arrival_rate": 2.0, **changes}.items())
    return Setting(scenario, 1, (*policies, *DEFAULT[-2:]), f"ec.Scenario(ec.load_catalogue('mine.csv'), {said})")


@pytest.mark.parametrize("setting", [SMALL, OTHER, NOBODY], ids=["small", "other", "nobody"])
def test_the_line_of_a_comparison_gives_the_numbers_of_its_table(setting):
    view = compare(setting)
    found = again(view)
    assert found["policy"].tolist() == view.table["policy"].tolist() == list(setting.policies)
    assert_allclose(found[TALLIED], view.table[TALLIED], rtol=1e-12)
    pd.testing.assert_frame_equal(view.table, comparison_table(setting))


@pytest.mark.parametrize("setting", [SMALL, OTHER], ids=["small", "other"])
def test_the_line_of_a_timeline_gives_its_table_and_prints_why(setting, capsys):
    view = timeline(setting, "ga", MISSED)
    pd.testing.assert_frame_equal(again(view), view.table)
    printed = capsys.readouterr().out
    assert printed.startswith(f"Slot {MISSED}, policy ga") and "a miss" in printed
    run = simulate(setting.scenario, "ga", setting.seed)
    hits, misses = run.events["hit"].sum(), (~run.events["hit"] & ~run.events["cloud"]).sum()
    assert f": {hits} hits, {misses} misses and {len(run.evictions)} evictions." in view.sentences[0]


@pytest.mark.parametrize("setting", [SMALL, OTHER, NOBODY], ids=["small", "other", "nobody"])
def test_the_line_of_capacity_use_gives_the_numbers_of_its_table(setting):
    view = capacity(setting)
    for name, used in again(view).items():
        own = view.table[view.table["policy"] == name]
        assert own["slot"].tolist() == list(range(setting.scenario.slots))
        assert_allclose(own[["storage_gb", "gpu_memory_gb", "power_kw"]], used, rtol=1e-12)
    assert view.table["policy"].unique().tolist() == list(setting.policies)


@pytest.mark.parametrize("setting", [SMALL, OTHER], ids=["small", "other"])
def test_the_line_of_a_convergence_gives_its_table(setting):
    view = convergence(setting, MISSED)
    pd.testing.assert_frame_equal(again(view), view.table)
    assert f"first miss of slot {MISSED}" in view.sentences[0]


@pytest.mark.parametrize(("name", "values"), [("gpu_memory_gb", (3.0, 9.0)), ("slots", (10, 20)), ("seed", (0, 2, 5))])
def test_the_line_of_a_sweep_gives_the_numbers_of_its_table_with_the_present_value_among_them(name, values):
    steps, view = swept(SMALL, name, values)
    assert_allclose(steps, np.arange(1, len(steps) + 1) / len(steps))
    present = 2 if name == "seed" else getattr(SMALL.scenario, name)
    points = sorted({*values, present})
    assert view.table[name].unique().tolist() == points and len(steps) == len(points)
    found = again(view)
    if name == "seed":
        found = pd.concat([table.assign(seed=seed) for seed, table in found.items()])[["seed", *view.table.columns[1:]]]
    columns = [name, "replication", *TALLIED]
    assert found["policy"].tolist() == view.table["policy"].tolist()
    assert_allclose(found[columns], view.table[columns], rtol=1e-12)


def test_words_and_table_of_a_comparison_are_those_of_its_runs():
    view = compare(SMALL)
    table = comparison({name: simulate(SMALL.scenario, name, SMALL.seed) for name in SMALL.policies})
    pd.testing.assert_frame_equal(view.table, table)
    assert view.sentences == (ranking(table), scarcity(table), f"Bounds hold {BOUND_CLASS}.")


def test_a_comparison_held_against_another_says_since_when_and_shows_what_was():
    before = comparison_table(Setting(SMALL.scenario.vary(gpu_memory_gb=12), 2, SMALL.policies, ""))
    view = compare(SMALL, before, "Since then:")
    assert view.sentences[3].startswith("Since then: The ranking by cost")
    page, was = Page(view.rows), before.set_index("policy")
    assert f"was {was.loc['lru', 'total_cost']:.4g}" in page.text and len(page.all("span")) == len(COLUMNS) * 3
    assert "the pinned view" in [text.get_text() for text in view.figure.legends[0].get_texts()]
    assert "was" not in Page(compare(SMALL).rows).text


def test_bars_of_the_delay_are_hollow_where_the_cloud_serves_more_than_on_the_default_server():
    small = Setting(Scenario(slots=50, gpu_memory_gb=4), 0, ("lru", "ga"), "ec.Scenario(slots=50, gpu_memory_gb=4)")
    view = compare(small)
    share = view.table["cloud_requests"][0] / view.table["requests"][0]
    assert 0.02 < share < 0.98
    costs, delays, hits = view.figure.axes
    assert {to_hex(bar.get_facecolor()) for bar in delays.patches} == {"#ffffff"}
    assert "#ffffff" not in {to_hex(bar.get_facecolor()) for bar in (*costs.patches, *hits.patches)}
    assert f"{share:.0%} on the cloud left out" in delays.get_xlabel()
    assert f"The service delay leaves out {share:.0%} of the requests, more than on the default server." in view.sentences
    again = compare(SMALL, figure=view.figure)  # the server of 6 GB holds every model, one at a time
    assert "cloud" not in again.figure.axes[1].get_xlabel() + " ".join(again.sentences)
    assert "#ffffff" not in {to_hex(bar.get_facecolor()) for bar in again.figure.axes[1].patches}


def test_a_sweep_names_the_points_where_the_cloud_serves_more_than_at_the_default():
    view = swept(Setting(Scenario(slots=20), 0, ("lru",), "ec.Scenario(slots=20)"), "gpu_memory_gb", (3.0, 9.0))[1]
    share = view.table[view.table["gpu_memory_gb"] == 3]
    share = share["cloud_requests"].sum() / share["requests"].sum()
    assert f"Hollow markers, at 3: the cloud serves up to {share:.0%} of the requests" in view.sentences[1]
    assert "hollow" in view.figure._supxlabel.get_text()


def test_the_rows_to_read_have_the_share_of_the_cloud_and_the_delay_of_all_requests():
    table = comparison_table(SMALL).assign(cloud_share=0.25, service_delay_all_s=12.345)
    page = Page(comparison_rows(table, None))
    assert "Served by the cloud" in page.texts and "Delay of all requests (s)" in page.texts
    assert page.texts.count("25.0%") == page.texts.count("12.3") == len(table)


def test_the_rows_to_read_stand_from_the_cheapest_to_the_bounds_with_differences_to_the_best():
    view = compare(SMALL)
    text = [text for text in Page(view.rows).texts if text.strip()]
    own = view.table.set_index("policy")["total_cost"]
    names = [label(name) for name in ("ga", "lru", "clairvoyant")]
    assert own["ga"] < own["lru"] and [name for name in text if name in names] == names
    assert f"{own['lru']:.4g} ({100 * (own['lru'] / own['ga'] - 1):+.0f}%)" in text
    assert f"{own['clairvoyant']:.4g}" in text, "bounds are no worse or better by a share"


def test_without_a_request_every_view_says_so_and_nothing_is_not_a_number():
    for view in (compare(NOBODY), compare(NOBODY, comparison_table(SMALL), "Since:"), timeline(NOBODY, "ga", 0), capacity(NOBODY)):
        said = " ".join(view.sentences) + Page(view.rows).text
        assert "nan" not in said and "none%" not in said and "inf" not in said.replace("information", "")
        runs.png(view.figure)
    shown = [text.get_text() for text in compare(NOBODY).figure.axes[1].texts]
    assert set(shown) == {"no request"}
    assert len(swept(NOBODY, "w1", (0.0, 1.0))[1].table) == 2 * 5 * len(DEFAULT)


def test_without_costs_every_view_works_and_the_words_have_no_nan():
    free = Setting(Scenario(slots=10, w1=0, w2=0), 0, ("lru", "fifo", "ga"), "ec.Scenario(slots=10, w1=0, w2=0)")
    for view in (compare(free), compare(SMALL, comparison_table(free), "Since:"), compare(free, comparison_table(SMALL), "Since:")):
        assert "nan" not in " ".join(view.sentences) + view.rows and "inf" not in " ".join(view.sentences)
    assert "meets the optimum in generation 0" in convergence(free, 1).sentences[0]
    assert (swept(free, "w2", (0.0, 1.0))[1].table["total_cost"] >= 0).all()


def test_where_no_policy_is_chosen_a_sentence_says_so():
    for policies in ((), ("clairvoyant",), BOUNDS):
        setting = Setting(SMALL.scenario, 0, policies, SMALL.call)
        for view in (comparison_table, compare, capacity):
            with pytest.raises(InputError, match="no policy is chosen"):
                view(setting)
    with pytest.raises(InputError, match="no policy is chosen to compare"):
        swept(Setting(SMALL.scenario, 0, (), SMALL.call), "zipf", (1.0,))


def test_where_the_ga_decides_nothing_the_nearest_slot_with_a_miss_is_shown_and_named():
    run = simulate(SMALL.scenario, "ga", SMALL.seed)
    missed = set(run.events[~run.events["hit"]]["slot"])
    quiet = next(slot for slot in range(SMALL.scenario.slots) if slot not in missed)
    nearest = min(abs(slot - quiet) for slot in missed)
    words = convergence(SMALL, quiet).sentences[0]
    shown = int(re.search(rf"first miss of slot (\d+), the nearest with a miss to slot {quiet};", words)[1])
    assert shown in missed and abs(shown - quiet) == nearest


def test_every_policy_has_its_timeline_and_stands_in_a_comparison_of_all():
    everyone = Setting(SMALL.scenario, 2, tuple(POLICIES), SMALL.call)
    assert compare(everyone).table["policy"].tolist() == list(POLICIES)
    assert len(capacity(everyone).table) == len(POLICIES) * SMALL.scenario.slots
    for policy in ("random", "clairvoyant-delay", "optimal-online"):
        assert timeline(SMALL, policy, 3).sentences[0].startswith(f"{label(policy)}, 15 slots: ")


@pytest.mark.parametrize("models", [40, 100])
def test_with_many_models_bounds_are_left_out_with_the_reason_and_the_lines_still_run(models, tmp_path, monkeypatch):
    setting = large(models, tmp_path, monkeypatch)
    side_by_side, use = compare(setting), capacity(setting)
    for view in (side_by_side, use):
        assert view.table["policy"].unique().tolist() == MANY[models]
        for bound in DEFAULT[-2:]:
            assert f"{label(bound)} is left out: {bound} is limited to 20000 deployments" in view.sentences[-1]
    found = again(side_by_side)
    assert found["policy"].tolist() == side_by_side.table["policy"].tolist()
    assert_allclose(found[TALLIED], side_by_side.table[TALLIED])
    used = np.concatenate(list(again(use).values()))
    assert_allclose(used, use.table[["storage_gb", "gpu_memory_gb", "power_kw"]])


def test_with_many_models_decisions_are_shown_and_told_as_with_few(tmp_path, monkeypatch):
    models, setting = 100, large(100, tmp_path, monkeypatch)
    run = simulated(setting.scenario, "ga", 1)
    missed = int(run.trace.slot[0])
    view = convergence(setting, missed)
    pd.testing.assert_frame_equal(again(view), view.table)
    view = timeline(setting, "ga", missed)
    pd.testing.assert_frame_equal(again(view), view.table)
    axis = view.figure.axes[0]
    assert len(axis.get_yticklabels()) == runs.ROWS and f"{models - runs.ROWS} models" in axis.get_xlabel()
    asked = np.bincount(run.trace.model, minlength=models)
    shown = {text.get_text() for text in axis.get_yticklabels()}
    assert {run.scenario.catalogue.services[model].replace("_", " ") for model in np.flatnonzero(asked)} <= shown
    with pytest.raises(InputError, match="limited to 20000"):
        timeline(setting, "clairvoyant", 1)


def test_a_sweep_with_many_models_has_the_lower_bound_in_the_place_of_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("edgecache.explorer.views.SWEEP_REQUESTS", 1)
    view = swept(large(40, tmp_path, monkeypatch), "gpu_memory_gb", (1.0, 12.0, 20.0))[1]
    assert {"clairvoyant-bound", "clairvoyant-delay-bound"} <= set(view.table["policy"])
    assert_allclose(again(view)[TALLIED], view.table[TALLIED])
    runs.png(view.figure)


def test_a_sweep_leaves_out_what_no_server_can_be_and_says_why():
    setting = Setting(Scenario(slots=10), 0, ("lru",), "ec.Scenario(slots=10)")
    steps, view = swept(setting, "energy_capacity_kw", (0.1, 0.2, 0.8))
    assert view.table["energy_capacity_kw"].unique().tolist() == [0.8, 1.0] and steps == [0.5, 1.0]
    assert "Left out: 0.1, 0.2. At 0.1 static_power_kw is 0.3; it must be below energy_capacity_kw" in view.sentences[1]
    assert len(again(view)) == len(view.table)


@pytest.mark.parametrize(("slots", "replications"), [(10, 5), (300, 3), (1000, 1)])
def test_a_sweep_has_fewer_replications_of_longer_runs(slots, replications):
    setting = Setting(Scenario(slots=slots), 4, ("lru", "fifo"), "")
    view = swept(setting, "zipf", (0.8,))[1]
    assert view.sentences[0].startswith(f"Each point: {replications} replication{'s' * (replications > 1)},")
    plain = sweep({"zipf": [0.8]}, ("lru", "fifo"), replications, setting.scenario, seed=4, jobs=1, progress=False)
    pd.testing.assert_frame_equal(view.table, plain)


VIEWS = {
    "compare": lambda setting, figure=None: compare(setting, comparison_table(SMALL) if setting is OTHER else None, figure=figure),
    "timeline": lambda setting, figure=None: timeline(setting, "ga", MISSED, figure),
    "capacity": capacity,
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_figure_drawn_anew_in_the_old_one_is_the_figure_drawn_afresh(view):
    draw = VIEWS[view]
    afresh = [runs.png(draw(setting).figure) for setting in (SMALL, OTHER)]
    figure = draw(SMALL).figure
    for setting, image in ((OTHER, afresh[1]), (SMALL, afresh[0])):
        runs.png(figure)
        assert draw(setting, figure=figure).figure is figure
        assert runs.png(figure) == image
    assert afresh[0] != afresh[1] and afresh[0].startswith(b"\x89PNG\r\n")


def test_bars_of_a_comparison_are_the_costs_and_stand_from_the_cheapest():
    setting = Setting(SMALL.scenario, 2, PAPER, SMALL.call)
    view = compare(setting)
    axis, own = view.figure.axes[0], view.table.sort_values("total_cost", kind="stable")
    ends = np.zeros(len(own))
    for bars in axis.containers:
        ends += [bar.get_width() for bar in bars]
    assert_allclose(ends, own["total_cost"])
    assert [text.get_text() for text in axis.get_yticklabels()] == [label(name) for name in own["policy"]]


def test_a_timeline_draws_each_request_as_what_became_of_it():
    setting = Setting(Scenario(slots=40, gpu_memory_gb=4, w2=0.02), 1, ("lru",), "")
    view = timeline(setting, "lru", 0)
    drawn = {line.get_label(): len(line.get_xdata()) for line in view.figure.axes[0].lines}
    events = view.table
    cloud, hit = events["cloud"], events["hit"]
    assert cloud.any() and hit.any(), "or the case is too easy"
    assert drawn["hit"] == hit.sum() and drawn["miss"] == (~hit & ~cloud).sum() and drawn["served by the cloud"] == cloud.sum()
    assert drawn["eviction"] == sum(len(row.split("; ")) for row in events["evicted"] if row)
