"""The explorer without a kernel: controls, readings, pins, uploads, sweeps, what it says of itself and what can be taken away."""

import asyncio
import base64
import datetime
import io
import re

import ipywidgets as W
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.testing import assert_allclose
from support.cases import make_catalogue
from support.cells import Page, run_line
from traitlets import TraitError

from edgecache import InputError, Scenario, load_catalogue, sample_catalogue, simulate
from edgecache.catalogue import SHIPPED
from edgecache.explorer import views
from edgecache.explorer.controls import CONTROLS, DEFAULT, VIEWS
from edgecache.explorer.explorer import LARGEST, Explorer
from edgecache.figures import runs
from edgecache.figures.style import label
from edgecache.scenario import NAMED, OPEN

IMAGE = b"\x89PNG, as good as any where nobody looks"
QUICK = {"slots": 10, "policies": ["lru", "ga"]}
HEADER = "service,size_gb,gpu_memory_gb,power_kw,io_delay_s,inference_delay_s\n"
GOOD = (HEADER + "small,5,1,0.05,1,1\nmiddle,20,3,0.1,5,2\nlarge,60,6,0.2,20,4\n").encode()
EVIL = ["<img src=x onerror=alert(1)>", "<script>alert(1)</script>", '&lt;b&gt; "quoted" \'n', "</code></div><a href=x>"]
EVIL_FILE = "\"><img src=x onerror=alert('file')>.csv"  # a slash would part it from its folder


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """The lines leave `jobs` to sweep; here it starts no processes."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setattr(views, "SWEEP_REQUESTS", 20)


@pytest.fixture
def undrawn(monkeypatch):
    """Nobody looks at the pictures: the figures stay empty and are not rendered."""
    monkeypatch.setattr(runs, "png", lambda figure: IMAGE)
    for name in ("comparison_bars", "timeline", "capacity_use", "sweep_trends"):
        monkeypatch.setattr(runs, name, lambda *arguments, **more: Figure())


def problem(explorer):
    """The sentence that stands where the figure would be, if any; never one that admits a defect."""
    said = Page(explorer.status.value).text
    assert "defect" not in said, said
    return said


def shown(explorer):
    """What there is to see: all HTML on the page but the style sheet."""
    found, queue = [], [explorer]
    while queue:
        widget = queue.pop()
        queue += getattr(widget, "children", ())
        if isinstance(widget, W.HTML) and "<style>" not in widget.value:
            found.append(widget.value)
    return found


def state(explorer):
    """Everything that is set."""
    return {name: control.value for name, control in explorer.settings.items()} | {"policies": tuple(explorer.names)}


def reopened(explorer):
    """The explorer that the state line opens."""
    return run_line(repr(explorer))


def links(explorer):
    """What the links of the page hold, by file name: (type, content)."""
    found = {}
    for link in Page(explorer.downloads.value).all("a"):
        kind, content = re.fullmatch(r"data:([a-z/]+);base64,(.*)", link["href"]).groups()
        found[link["download"]] = kind, base64.b64decode(content, validate=True)
    return found


def upload(explorer, name, content):
    """As the browser does it."""
    file = {"name": name, "type": "text/csv", "size": len(content), "content": memoryview(content)}
    explorer.upload.value = (file | {"last_modified": datetime.datetime.now(datetime.UTC)},)


def test_every_stop_of_every_slider_gives_its_scenario_or_a_sentence(undrawn):
    """The scenario at every stop; the view at the ends, and on both sides of where a server becomes impossible."""
    needy = make_catalogue(a=(30, 3, 0.1, 1, 1), b=(60, 5, 0.2, 9, 1), c=(150, 11, 0.4, 30, 2))
    explorer, limited = Explorer(slots=10, view="capacity", policies=["lru"]), set()
    explorer._models = needy
    for control in CONTROLS:
        slider = explorer.sliders[control.name]
        start, stops = slider.value, [stop for _, stop in slider.options]
        assert set(control.stops) <= set(stops) and stops == sorted(stops)
        possible = []
        for stop in stops:
            with explorer._quietly():
                slider.value = stop
            try:
                assert control.name == "seed" or getattr(explorer.scenario, control.name) == stop
                possible.append(True)
            except InputError:
                possible.append(False)
        edges = {0, len(stops) - 1, *np.flatnonzero(np.diff(possible)), *(1 + np.flatnonzero(np.diff(possible)))}
        for edge in edges:
            slider.value = stops[edge]
            explorer._redraw()
            if possible[edge]:
                assert not problem(explorer) and len(explorer.table) == explorer.slots.value
            else:
                limited.add(control.name)
                assert problem(explorer).startswith("no model of the catalogue fits")
                assert explorer.figure is None and explorer.table.empty and not explorer.line and not explorer.picture.value
        slider.value = start
    assert limited == {"storage_gb", "gpu_memory_gb", "energy_capacity_kw"}


def test_every_view_is_drawn_at_both_ends_of_the_sliders(monkeypatch):
    monkeypatch.setattr(runs, "png", lambda figure: IMAGE)
    explorer, others = Explorer(slots=10, policies=["lru", "ga", "clairvoyant"]), ["timeline", "capacity", "compare", "convergence"]
    for turn, control in enumerate(CONTROLS):
        start = explorer.sliders[control.name].value
        for shift, end in enumerate((0, -1)):
            stop = explorer.sliders[control.name].options[end][1]
            explorer._set(**{control.name: stop, "view": others[(2 * turn + shift + turn // 2) % 4]})
            if problem(explorer):
                assert problem(explorer).startswith("the GA decides nothing here")
            else:
                assert explorer.picture.value and len(explorer.text) > 20 and explorer.line
        explorer._set(**{control.name: start, "view": "compare"})
        assert not problem(explorer)


def test_sliders_have_a_stop_at_every_default_and_named_value(undrawn):
    explorer = Explorer(**QUICK)
    for control in CONTROLS:
        stops = [stop for _, stop in explorer.sliders[control.name].options]
        for reading in NAMED:
            assert getattr(Scenario.named(reading), control.name, 0) in stops
    assert explorer.scenario == Scenario(slots=10)


@pytest.mark.parametrize("reading", NAMED)
def test_a_reading_by_name_sets_exactly_what_it_names(undrawn, reading):
    explorer = Explorer(**QUICK)
    for other in (*NAMED, reading) if reading == "literal" else (reading,):  # wherever one comes from
        explorer.reading.value = other
        assert explorer.scenario == Scenario.named(other, slots=10)
        assert [explorer.sliders[name].value for name in OPEN] == [getattr(Scenario.named(other), name) for name in OPEN]
    assert run_line(f"import edgecache as ec; {explorer.setting.call}") == explorer.scenario
    assert Explorer(reading=reading, w2=0.5, **QUICK).scenario == Scenario.named(reading, slots=10, w2=0.5)


@pytest.mark.parametrize("view", VIEWS)
def test_the_line_on_the_page_runs_on_its_own_and_gives_the_table(undrawn, view):
    start = {**QUICK, "reading": "closest", "gpu_memory_gb": 7.3, "over": "w2", "policy_shown": "lru"}
    explorer = Explorer(view=view, seed=3, **start)
    found, table = run_line(explorer.line), explorer.table
    if view == "capacity":
        found = pd.concat([pd.DataFrame(used, columns=["storage_gb", "gpu_memory_gb", "power_kw"]) for used in found.values()])
        table = table[found.columns]
    numbers = [name for name in found.columns if name in table.columns and name != "policy"]
    assert len(numbers) >= 3 and len(found) == len(table)
    for name in numbers:
        assert found[name].tolist() == pytest.approx(table[name].tolist()) if found[name].dtype != object else True


STATES = [
    {},
    {"view": "timeline", "policy_shown": "lru", "slot": 7, "slots": 10, "policies": ["lru"]},
    {"view": "convergence", "reading": "closest", "zipf": 1.0, "slots": 20, "slot": 3, "policies": ["ga"]},
    {"view": "sweep", "over": "seed", "reading": "delay", "policies": ["fifo", "lru"], "seed": 30, "slots": 10},
    {"view": "capacity", "slots": 10, "gpu_memory_gb": 7.123, "w2": 1 / 3, "bandwidth_gbps": 39.99, "reading": "literal"},
]


@pytest.mark.parametrize("start", STATES, ids=lambda start: start.get("view", "default"))
def test_the_state_line_opens_an_equal_explorer(undrawn, start):
    explorer = Explorer(**start)
    for name, value in start.items():
        assert (explorer.names if name == "policies" else explorer.settings[name].value) == value
    other = reopened(explorer)
    if start.get("view") in ("timeline", "convergence"):
        assert state(other) == state(explorer)
    assert state(other) | {"slot": 0} == state(explorer) | {"slot": 0}
    assert repr(other) == repr(explorer) and other.line == explorer.line and other.scenario == explorer.scenario
    pd.testing.assert_frame_equal(other.table, explorer.table)
    assert repr(explorer) in Page(explorer.downloads.value).texts


def test_the_state_line_of_moved_controls_opens_an_equal_explorer(undrawn):
    explorer = Explorer(**QUICK)
    explorer.reading.value = "delay"
    explorer.w1.value, explorer.storage_gb.value, explorer.view.value = 0.5, 60, "timeline"
    explorer.policies["gdsf"].value, explorer.policies["ga"].value = True, False
    explorer.policy_shown.value, explorer.slot.value = "gdsf", 4
    other = reopened(explorer)
    assert state(other) == state(explorer) and other.scenario == explorer.scenario
    assert repr(other) == repr(explorer) and other.text == explorer.text


def test_numbers_of_numpy_and_paths_start_it_as_plain_ones_do(undrawn, tmp_path):
    explorer = Explorer(gpu_memory_gb=np.float64(6), storage_gb=60, **QUICK)
    assert reopened(explorer).scenario == Scenario(slots=10, gpu_memory_gb=6, storage_gb=60)
    path = tmp_path / "mine.csv"
    path.write_bytes(GOOD)
    assert reopened(Explorer(catalogue=path, **QUICK)).scenario.catalogue == load_catalogue(path)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"gpu_memory_gb": 25}, "gpu_memory_gb is 25; its slider takes from 1 to 24"),
        ({"gpu_memory_gb": 0.99}, "from 1 to 24"),
        ({"gpu_memory_gb": float("nan")}, "gpu_memory_gb is nan"),
        ({"gpu_memory_gb": "6"}, "gpu_memory_gb is '6'"),
        ({"w1": True}, "w1 is True"),
        ({"w2": -0.1}, "from 0 to 2"),
        ({"slots": 10.5}, "takes whole numbers from 10 to 150"),
        ({"slots": 9}, "takes whole numbers from 10 to 150"),
        ({"seed": 31}, "seed is 31; its slider takes whole numbers from 0 to 30"),
        ({"slot": 10, "slots": 10}, "slot is 10; it must be a whole number, at least 0, at most 9"),
        ({"slot": 1.0}, "slot is 1.0"),
        ({"view": "comparison"}, "unknown view 'comparison'; did you mean 'compare'"),
        ({"reading": "literl"}, "did you mean 'literal'"),
        ({"policy_shown": "nobody"}, "unknown policy_shown 'nobody'"),
        ({"over": "static_power_kw"}, "unknown over"),
        ({"policies": ["ga", "lruu"]}, "unknown policy 'lruu'; did you mean 'lru'"),
        ({"storage": 60}, "unknown control 'storage'; did you mean 'storage_gb'"),
        ({"catalogue": "nowhere.csv"}, "cannot read the catalogue nowhere.csv"),
    ],
)
def test_what_no_control_takes_is_said(undrawn, start, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Explorer(**start)


def test_a_value_that_is_no_stop_leaves_a_slider_where_it_was(undrawn):
    explorer = Explorer(**QUICK)
    before = state(explorer)
    for name, value in (("gpu_memory_gb", 1000), ("slots", 11), ("w1", -1)):
        with pytest.raises(TraitError):
            explorer.sliders[name].value = value
    assert state(explorer) == before and not problem(explorer)


def test_fewer_slots_take_the_slot_policy_shown_along(undrawn):
    explorer = Explorer(view="timeline", slot=99, policies=["lru"])
    explorer.slots.value = 20
    assert explorer.slot.value == explorer.slot.max == 19 and not problem(explorer)
    assert "ec.explain(run, 19)" in explorer.line
    explorer.slots.value = 50
    assert explorer.slot.max == 49 and explorer.slot.value == 19


def test_reset_brings_back_how_it_started(undrawn):
    start = {"view": "capacity", "reading": "closest", "gpu_memory_gb": 7.3, "slots": 20, "policies": ["lru", "fifo"]}
    explorer, same = Explorer(**start), Explorer(**start)
    explorer.reading.value, explorer.view.value, explorer.over.value = "delay", "timeline", "w1"
    for name in ("gpu_memory_gb", "slots", "seed", "zipf", "beta"):
        explorer.sliders[name].index = 0
    upload(explorer, "mine.csv", GOOD)
    explorer.policies["lru"].value = explorer.policies["fifo"].value = False
    explorer.policy_shown.value, explorer.slot.value = "lru", 3
    explorer.reset.click()
    assert state(explorer) == state(same) and repr(explorer) == repr(same) and explorer.text == same.text
    assert explorer.catalogue.value == same.catalogue.value and explorer.scenario == same.scenario
    pd.testing.assert_frame_equal(explorer.table, same.table)
    explorer.view.value = "compare"
    assert "pinned" not in explorer.text, "the view is pinned anew"


def test_what_follows_a_pin_is_held_against_it(undrawn):
    explorer = Explorer(**QUICK)
    first = explorer.table.set_index("policy")
    assert "pinned" not in explorer.text and "was" not in Page(explorer.rows.value).text
    explorer.gpu_memory_gb.value = 4
    assert "Since the pinned view (GPU memory (GB) 12 to 4): The ranking by cost" in explorer.text
    assert f"was {first.loc['ga', 'total_cost']:.4g}" in Page(explorer.rows.value).text
    explorer.pin.click()
    assert "pinned" not in explorer.text
    explorer.gpu_memory_gb.value, explorer.w2.value = 12, 0.5
    assert "Since the pinned view (GPU memory (GB) 4 to 12, Resources, w2 1 to 0.5):" in explorer.text
    explorer.w2.value, explorer.gpu_memory_gb.value = 1, 4
    assert "pinned" not in explorer.text, "back where it was pinned"


def test_another_seed_is_not_passed_off_as_a_change_of_the_server(undrawn):
    explorer = Explorer(**QUICK)
    explorer.gpu_memory_gb.value, explorer.seed.value = 4, 5
    since = re.search(r"Since the pinned view \((.*)\):", explorer.text).group(1)
    assert "GPU memory (GB) 12 to 4" in since and "Seed 0 to 5" in since


def test_what_could_not_be_pinned_at_the_start_breaks_nothing(undrawn, tmp_path):
    path = tmp_path / "large.csv"
    path.write_text(HEADER + "a,150,3,0.1,1,1\nb,160,4,0.1,1,1\n")
    for start in ({"policies": []}, {"policies": ["clairvoyant"]}, {"catalogue": str(path)}):
        explorer = Explorer(slots=10, **start)
        assert problem(explorer) and explorer.figure is None
        explorer.policies["lru"].value = explorer.policies["fifo"].value = True
        explorer.storage_gb.value = 200
        assert not problem(explorer) and explorer.text and explorer.figure is not None
        explorer.pin.click()
        explorer.storage_gb.value = 195
        assert "Since the pinned view (Storage (GB) 200 to 195):" in explorer.text


def test_a_catalogue_too_large_for_the_usual_server_works_on_a_larger_one(undrawn, tmp_path, monkeypatch):
    explorer = Explorer(storage_gb=200, gpu_memory_gb=24, reading="delay", **QUICK)
    upload(explorer, "large.csv", (HEADER + "a,150,13,0.1,1,1\nb,160,14,0.1,1,1\n").encode())
    assert not problem(explorer) and len(explorer.scenario.catalogue) == 2 and explorer.scenario.storage_gb == 200
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large.csv").write_text(HEADER + "a,150,13,0.1,1,1\nb,160,14,0.1,1,1\n")
    assert reopened(explorer).scenario == explorer.scenario == run_line(f"import edgecache as ec; {explorer.setting.call}")


@pytest.mark.parametrize(("view", "policy_shown"), [("timeline", "lru"), ("convergence", "lru")])
def test_stepping_goes_from_eviction_to_eviction_and_stays_at_the_ends(undrawn, view, policy_shown):
    explorer = Explorer(view=view, policy_shown=policy_shown, slots=20, slot=0, policies=["lru"], w2=0.02)
    run = simulate(explorer.scenario, policy_shown if view == "timeline" else "ga", 0)
    slots = sorted({int(run.trace.slot[clock - 1]) for clock in run.evictions[:, 0]} - {0})
    assert len(slots) > 3 and len(slots) < 19
    for slot in (*slots, slots[-1]):
        explorer.later.click()
        assert explorer.slot.value == slot and (view != "timeline" or f"ec.explain(run, {slot})" in explorer.line)
    for slot in (*slots[-2::-1], slots[0]):
        explorer.earlier.click()
        assert explorer.slot.value == slot
    assert not problem(explorer)


def test_it_starts_at_the_first_eviction_of_the_ga(undrawn):
    explorer = Explorer(policies=["lru"], slots=20, w2=0.02)
    run = simulate(explorer.scenario, "ga", 0)
    assert explorer.slot.value == min(slot for slot in run.trace.slot[run.evictions[:, 0] - 1] if slot > 0)


def test_an_uploaded_catalogue_is_played_from_then_on_and_the_shipped_one_comes_back(undrawn, tmp_path, monkeypatch):
    explorer = Explorer(**QUICK)
    first = explorer.table
    upload(explorer, "mine.csv", GOOD)
    assert explorer.scenario.catalogue.services == ("small", "middle", "large")
    assert Page(explorer.catalogue.value).text == "mine.csv: 3 models, 85 GB" and explorer.upload.value == ()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_bytes(GOOD)
    assert_allclose(run_line(explorer.line)["total_cost"], explorer.table["total_cost"])
    other = reopened(explorer)
    assert other.scenario == explorer.scenario and repr(other) == repr(explorer)
    upload(explorer, "mine.csv", GOOD.replace(b"60,6", b"50,6"))  # the same name, mended
    assert explorer.scenario.catalogue.size_gb[2] == 50
    explorer.shipped.click()
    assert explorer.scenario.catalogue == load_catalogue() and "Shipped catalogue: 10 models" in explorer.catalogue.value
    pd.testing.assert_frame_equal(explorer.table, first)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n"),
    ],
    ids=["BOM", "CRLF", "CR", "both"],
)
def test_catalogues_of_any_system_are_taken(undrawn, content):
    explorer = Explorer(**QUICK)
    upload(explorer, "mine.csv", content)
    assert explorer.scenario.catalogue.services == ("small", "middle", "large") and not problem(explorer)
    assert explorer.scenario.catalogue.inference_delay_s.tolist() == [1, 2, 4]


BAD = {
    "empty": (b"", "the catalogue bad.csv is empty"),
    "blank": (b"\n \r\n\t\n", "the catalogue bad.csv is empty"),
    "header": (HEADER.encode(), "it has a header but no model"),
    "binary": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "it is not a text file"),
    "zeros": (GOOD + b"\0", "it is a binary file"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "cannot read the catalogue bad.csv"),
    "semicolons": (GOOD.replace(b",", b";"), "commas must separate"),
    "column": (GOOD.replace(b"size_gb", b"size"), "unknown column 'size'"),
    "word": (GOOD.replace(b"60,6", b"much,6"), "row 3 (large): size_gb is 'much'"),
    "infinite": (GOOD.replace(b"60,6", b"1e400,6"), "size_gb is inf"),
    "negative": (GOOD.replace(b"60,6", b"-60,6"), "size_gb is -60"),
    "twice": (GOOD + GOOD.splitlines()[-1], "the catalogue names the service 'large' twice"),
    "quote": (GOOD + b'"open,1,1,1,1,1\n', "cannot read the catalogue bad.csv, line"),
    "short": (GOOD + b"more,1\n", "2 cells, but the header has 6"),
    "cell": (HEADER.encode() + b"x" * 200_000 + b",1,1,1,1,1\n", "cannot read the catalogue bad.csv"),
    "bytes": (GOOD + b" " * LARGEST, f"a catalogue may have {LARGEST}"),
    "models": ((HEADER + "".join(f"m{i},1,1,0,0,0\n" for i in range(1001))).encode(), "1001 models"),
}


def test_what_is_no_catalogue_is_said_beside_the_control_and_changes_nothing(undrawn):
    explorer = Explorer(**QUICK)
    before, table = repr(explorer), explorer.table
    for name, (content, message) in BAD.items():
        upload(explorer, "bad.csv", content)
        said = Page(explorer.catalogue.value)
        assert message in said.text and said.text.endswith("The catalogue stays as it was."), name
        assert said.all("p") == [{"class": "problem", "role": "alert"}] and "defect" not in said.text
        assert repr(explorer) == before and explorer.table is table and not problem(explorer) and explorer.upload.value == ()
    upload(explorer, "good.csv", GOOD)
    assert "problem" not in explorer.catalogue.value


def test_a_catalogue_of_which_no_model_fits_is_said_where_the_figure_would_be(undrawn):
    explorer = Explorer(**QUICK)
    upload(explorer, "large.csv", (HEADER + "huge,5000,90,9,1,1\n").encode())
    for view in VIEWS:
        explorer.view.value = view
        assert problem(explorer).startswith("no model of the catalogue fits") and explorer.figure is None
    explorer.later.click()
    explorer.pin.click()
    assert problem(explorer).startswith("no model of the catalogue fits")
    explorer.shipped.click()
    assert not problem(explorer)


def test_names_in_a_catalogue_are_text_wherever_they_are_shown(undrawn):
    explorer = Explorer(**QUICK)
    rows = "".join('"' + name.replace('"', '""') + f'",{5 + i},{1 + i},0.05,1,1\n' for i, name in enumerate(EVIL))
    upload(explorer, EVIL_FILE, (HEADER + rows).encode())
    assert explorer.scenario.catalogue.services == tuple(EVIL) and EVIL_FILE in Page(explorer.catalogue.value).text
    seen, allowed = (
        "",
        {"p", "b", "h2", "div", "img", "table", "thead", "tbody", "tr", "th", "td", "span", "a", "button", "code", "br"},
    )
    for view, slots in (("timeline", range(10)), ("convergence", range(10)), ("compare", [0]), ("capacity", [0]), ("sweep", [0])):
        explorer.view.value = view
        for slot in slots:
            explorer.slot.value = slot
            assert not problem(explorer) or view == "convergence"
            for html in shown(explorer):
                page = Page(html)
                seen += page.text + "".join(image["alt"] for image in page.all("img"))
                assert {tag for tag, _ in page.tags} <= allowed
                assert not [attributes for tag, attributes in page.tags if set(attributes) & {"onerror", "onload"}]
                assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
                assert all(link["href"].startswith("data:") for link in page.all("a"))
    assert all(name in seen for name in (*EVIL, "alert('file')"))
    upload(explorer, EVIL_FILE, b"")
    assert EVIL_FILE in Page(explorer.catalogue.value).text and not Page(explorer.catalogue.value).all("img")
    upload(explorer, "x.csv", (HEADER + '"<script>alert(2)</script>",x,1,1,1,1\n').encode())
    assert "<script>alert(2)</script>" in Page(explorer.catalogue.value).text


def test_names_that_look_like_formulas_are_drawn_as_they_are():
    explorer = Explorer(view="timeline", **QUICK)
    for names in (("$x^$", "b"), ("a$b$", "c_d"), ("$", "a\\b"), ("{", "%")):
        upload(explorer, "mine.csv", (HEADER + "".join(f"{name},5,2,0.05,1,1\n" for name in names)).encode())
        assert not problem(explorer) and explorer.picture.value


@pytest.mark.parametrize("models", [1, 40])
def test_a_catalogue_of_one_model_or_of_many_works_in_every_view(models, monkeypatch):
    monkeypatch.setattr(runs, "png", lambda figure: IMAGE)
    monkeypatch.setattr(views, "SWEEP_REQUESTS", 1)
    explorer = Explorer(slots=10, policies=["lru", "ga", *DEFAULT[-2:]], over="energy_capacity_kw")
    content = sample_catalogue(models, np.random.default_rng(models)).table().to_csv(index=False).encode()
    upload(explorer, "many.csv", content)
    for view in VIEWS:
        explorer.view.value = view
        if view == "convergence":
            explorer.slot.value = int(views.simulated(explorer.scenario, "ga", 0).trace.slot[0])
        assert not problem(explorer) and explorer.picture.value and len(explorer.table) and explorer.line
        if view in ("compare", "capacity") and models > 1:
            for bound in DEFAULT[-2:]:
                assert f"{label(bound)} is left out: {bound} is limited to 20000 deployments" in explorer.text
            assert set(explorer.table["policy"]) == {"lru", "ga"}
        if view == "sweep" and models > 1:
            assert {"clairvoyant-bound", "clairvoyant-delay-bound"} <= set(explorer.table["policy"])
    if models > 1:
        explorer.view.value, explorer.policy_shown.value = "timeline", "clairvoyant"
        assert problem(explorer).startswith("clairvoyant is limited to 20000")


@pytest.mark.parametrize("view", VIEWS)
def test_links_hold_the_table_and_the_figure_and_the_alternative_text_tells_it(view):
    explorer = Explorer(view=view, slots=10, policies=["lru"], over="energy_capacity_kw")
    kind, content = links(explorer)[f"edgecache-{view}.csv"]
    table = pd.read_csv(io.BytesIO(content), keep_default_na=False)
    assert kind == "text/csv" and table.columns.tolist() == explorer.table.columns.tolist()
    for name in table:
        own = explorer.table[name].tolist()
        assert table[name].tolist() == (pytest.approx(own) if explorer.table[name].dtype.kind in "fi" else own)
    kind, content = links(explorer)[f"edgecache-{view}.png"]
    (image,) = Page(explorer.picture.value).all("img")
    assert kind == "image/png" and content == runs.png(explorer.figure)
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,"), validate=True) == content
    height, width, _ = imread(io.BytesIO(content), format="png").shape
    assert width > 400 and height > 100
    assert image["alt"] == f"{VIEWS[view]}: {explorer.text}" and len(explorer.text) > 20
    assert Page(explorer.sentences.value).texts == explorer.text.split("\n")
    assert explorer.line in Page(explorer.downloads.value).texts


def test_a_sweep_without_a_loop_is_done_at_once(undrawn):
    explorer = Explorer(view="sweep", **QUICK)
    assert explorer.task is None and explorer.progress.layout.visibility == "hidden"
    *_, view = views.sweeping(explorer.setting, "gpu_memory_gb", next(c.sweep for c in CONTROLS if c.name == "gpu_memory_gb"))
    pd.testing.assert_frame_equal(explorer.table, view.table)
    for control in CONTROLS:
        explorer.over.value = control.name
        assert not problem(explorer) and explorer.table.columns[0] == control.name
        assert set(control.sweep) <= set(explorer.table[control.name])


def test_a_sweep_in_a_loop_lets_others_in_after_each_point_while_its_progress_grows(undrawn):
    async def scene():
        explorer, progress, turns = Explorer(**QUICK), [], 0
        explorer.progress.observe(lambda change: progress.append((change["new"], explorer.progress.layout.visibility)), "value")
        explorer.view.value = "sweep"
        assert explorer.task is not None and explorer.figure is None and not explorer.picture.value, "nothing of another view"
        while not explorer.task.done():
            await asyncio.sleep(0)
            turns += 1
        await explorer.settled()
        return explorer, [value for value, _ in progress], {seen for _, seen in progress[1:]}, turns

    explorer, progress, seen, turns = asyncio.run(scene())
    points = explorer.table["gpu_memory_gb"].nunique()
    assert_allclose(progress, np.arange(1, points + 1) / points)
    assert turns >= points and seen == {"visible"} and explorer.progress.layout.visibility == "hidden"
    assert not problem(explorer) and explorer.picture.value


def test_a_change_ends_the_sweep_under_way_and_the_result_is_of_the_last_setting(undrawn):
    async def scene():
        explorer, lines = Explorer(view="sweep", **QUICK), []
        await explorer.settled()
        explorer.downloads.observe(lambda change: lines.append(explorer.line), "value")
        tasks = []
        for seed in (1, 2, 3):
            explorer.seed.value = seed
            tasks.append(explorer.task)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        explorer.over.value = "w2"
        tasks.append(explorer.task)
        await explorer.settled()
        return explorer, lines, [task.cancelled() for task in tasks]

    explorer, lines, cancelled = asyncio.run(scene())
    assert cancelled == [True, True, True, False]
    assert [line for line in lines if line] == [explorer.line] and "{'w2': " in explorer.line and "seed=3)" in explorer.line
    *_, view = views.sweeping(explorer.setting, "w2", next(c.sweep for c in CONTROLS if c.name == "w2"))
    pd.testing.assert_frame_equal(explorer.table, view.table)


def test_leaving_a_sweep_under_way_ends_it_and_it_shows_nothing_later(undrawn):
    async def scene():
        explorer = Explorer(**QUICK)
        explorer.view.value = "sweep"
        task = explorer.task
        await asyncio.sleep(0)
        explorer.view.value = "capacity"
        shown = explorer.line
        await asyncio.sleep(0.01)
        return explorer, task, shown

    explorer, task, shown = asyncio.run(scene())
    assert task.cancelled() and explorer.task is None and explorer.line == shown and ".used for name" in shown
    assert explorer.progress.layout.visibility == "hidden" and explorer.sweep_row.layout.display == "none"


@pytest.mark.parametrize("view", VIEWS)
def test_after_an_error_no_figure_of_something_else_stands_there(undrawn, view, monkeypatch):
    async def scene():
        explorer = Explorer(view=view, **QUICK)
        await explorer.settled()
        line = explorer.line
        assert explorer.figure is not None and line
        with monkeypatch.context() as broken:
            if view in ("timeline", "convergence"):
                broken.setattr(views, "simulated", lambda *_: 1 / 0)
                explorer.seed.value = 1
                said = "this is a defect of edgecache, ZeroDivisionError: division by zero"
            else:
                explorer._set(policies=[])
                said = "no policy is chosen to compare"
            await explorer.settled()
            assert said in Page(explorer.status.value).text
            assert explorer.figure is None and explorer.table.empty and explorer.text == explorer.line == ""
            assert not (explorer.picture.value + explorer.sentences.value + explorer.rows.value + explorer.downloads.value)
            assert Page(explorer.status.value).all("p") == [{"class": "problem", "role": "alert"}]
            assert explorer.progress.layout.visibility == "hidden"
        explorer._set(policies=QUICK["policies"], seed=0)
        await explorer.settled()
        assert explorer.line == line and not problem(explorer) and explorer.picture.value

    asyncio.run(scene())


def test_two_explorers_share_nothing_but_the_runs(undrawn):
    one, two = Explorer(**QUICK), Explorer(**QUICK)
    before, words, stops = repr(two), two.text, two.sliders["gpu_memory_gb"].options
    one._set(gpu_memory_gb=7.123, reading="closest", view="timeline", policies=["fifo"])
    upload(one, "mine.csv", GOOD)
    one.pin.click()
    assert repr(two) == before and two.text == words and two.sliders["gpu_memory_gb"].options == stops
    assert two.scenario == Scenario(slots=10) and two.catalogue.value != one.catalogue.value
    assert repr(Explorer(**QUICK)) == before
    two.gpu_memory_gb.value = 4
    assert "Since the pinned view (GPU memory (GB) 12 to 4):" in two.text
    assert "gpu_memory_gb=7.123" in repr(one)


def test_explorers_draw_in_figures_of_their_own():
    one, two = Explorer(**QUICK), Explorer(**QUICK)
    assert one.figure is not two.figure
    image = two.picture.value
    one.gpu_memory_gb.value = 4
    assert two.picture.value == image != one.picture.value
    assert base64.b64encode(runs.png(two.figure)).decode() in image


def test_spoiling_a_table_spoils_no_other(undrawn):
    explorer = Explorer(**QUICK)
    for view in ("compare", "timeline", "capacity", "convergence"):
        explorer.view.value = view
        kept = explorer.table.copy()
        explorer.table.iloc[:, 0] = explorer.table.iloc[0, 0]
        explorer.table[:] = explorer.table.iloc[[0] * len(kept)].to_numpy()
        explorer.view.value = "sweep" if view != "compare" else "capacity"
        explorer.view.value = view
        pd.testing.assert_frame_equal(explorer.table, kept)


def test_controls_that_a_view_has_no_use_for_are_hidden(undrawn):
    explorer = Explorer(**QUICK)
    visible = {}
    for view in VIEWS:
        explorer.view.value = view
        visible[view] = [box.layout.display != "none" for box in (explorer.slot_row, explorer.policy_shown, explorer.sweep_row)]
    assert visible == {
        "compare": [False, False, False],
        "timeline": [True, True, False],
        "capacity": [False, False, False],
        "sweep": [False, False, True],
        "convergence": [True, False, False],
    }


def test_the_shipped_catalogue_by_its_path_is_an_upload_of_it(undrawn):
    explorer = Explorer(**QUICK)
    upload(explorer, "shipped.csv", SHIPPED.read_bytes())
    assert explorer.scenario == Scenario(slots=10) and explorer.text == Explorer(**QUICK).text
