"""A real browser on the explorer's page: what the labels say is what happens, and nothing else does.

Debian's chromium, driven by playwright; screenshots go to build/screenshots/.
"""

import http.client
import re
import signal
import socket
import subprocess
import sys
import uuid
from io import StringIO
from pathlib import Path

import pandas as pd
import psutil
import pytest
from support.browser import CHROMIUM, NO_CHROMIUM, Visitor

import edgecache as ec
from edgecache.explorer.controls import CONTROLS, DEFAULT, VIEWS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
GOOD = "service,size_gb,gpu_memory_gb,power_kw,io_delay_s,inference_delay_s\nsmall,2,1,0.01,0.5,0.2\nlarge <b>,30,5,0.3,20,9\n"
FOCUSED = """(() => {
    const e = document.activeElement;
    return e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.title || e.tagName;
})()"""
# what a client says that speaks the kernel's protocol, and the kinds of answers that it gets within two seconds
SPEAK = """([address, session]) => new Promise(done => {
    const socket = new WebSocket(address), kinds = [];
    const say = (kind, content) => socket.send(JSON.stringify({
        channel: "shell", content, metadata: {}, parent_header: {}, buffers: [],
        header: {msg_id: kind, msg_type: kind, session, username: "", version: "5.3", date: new Date().toISOString()},
    }));
    socket.onmessage = event => {
        const heard = JSON.parse(event.data);
        if (heard.parent_header.session === session) kinds.push(heard.msg_type);
    };
    socket.onopen = () => {
        say("execute_request", {code: "print('heard')", silent: false, store_history: false, user_expressions: {},
                                allow_stdin: false, stop_on_error: true});
        say("kernel_info_request", {});
        setTimeout(() => { socket.close(); done(kinds); }, 2000);
    };
})"""
BAD = GOOD.replace("2,1,0.01", "2,-1,0.01")


@pytest.fixture(scope="module")
def server():
    """The port of `edgecache app`, in its own process as users start it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "edgecache", "app", "--no-browser", "--port", str(port)]
    app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert f"http://127.0.0.1:{port}/" in app.stdout.readline()
    yield port
    app.send_signal(signal.SIGINT)
    assert app.wait(20) in (0, 130)


@pytest.fixture(scope="module")
def visitor(chromium, server):
    found = Visitor(chromium, f"http://127.0.0.1:{server}/").ready()
    yield found
    assert not found.wrong
    found.context.close()


@pytest.fixture
def page(visitor):
    """The visitor's page as it was at the start."""
    visitor.page.get_by_role("button", name="Reset").click()
    visitor.says("ec.Scenario(), seed=0)")
    visitor.page.wait_for_function("document.querySelector('.edgecache img')?.alt.startsWith('Policies compared')")
    return visitor


def _cost(scenario: ec.Scenario, policy: str) -> str:
    return f"{ec.simulate(scenario, policy, 0).means()['total_cost']:.4g}"


def test_dragging_a_slider_shows_what_simulate_says(page):
    handle = page.slider("GPU memory (GB)")
    assert page.rows()["LFU"][0].startswith(_cost(ec.Scenario(), "lfu"))
    box, track = handle.bounding_box(), handle.locator("xpath=ancestor::*[contains(@class,'noUi-target')]").bounding_box()
    page.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.page.mouse.down()
    page.page.mouse.move(track["x"] + 0.22 * track["width"], box["y"] + box["height"] / 2, steps=12)
    page.page.mouse.up()
    dragged = float(handle.get_attribute("aria-valuetext"))
    assert 3 < dragged < 9
    page.says(f"gpu_memory_gb={dragged!r}")  # the last of the moves has come and been drawn
    for policy, label in (("lfu", "LFU"), ("ga", "Proposed (GA)"), ("random", "Random")):
        assert page.rows()[label][0].startswith(_cost(ec.Scenario(gpu_memory_gb=dragged), policy))
        assert f"was {_cost(ec.Scenario(), policy)}" in page.rows()[label][0]
    words = page.page.locator(".edgecache .view").inner_text()
    assert f"GPU memory (GB) 12 to {dragged:g}" in words and "Proposed (GA) does not change" in words
    page.shoot("explorer")


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_every_slider_moves_by_key_and_sets_what_its_label_says(page, control):
    handle = page.slider(control.text)
    before = handle.get_attribute("aria-valuetext")
    handle.focus()
    page.page.keyboard.press("ArrowRight")
    line = page.says(f"{control.name}=" if control.name != "seed" else "seed=1")
    value = re.search(rf"{control.name}=([\d.]+)", line)[1]
    assert f"{float(value):g}" == handle.get_attribute("aria-valuetext") != before


def test_views_show_what_they_are_called(page):
    pictures = set()
    for name in VIEWS:
        if name != "compare":
            page.view(name)
        pictures.add(page.page.locator(".edgecache img").get_attribute("src"))
        assert page.page.locator(".edgecache img").evaluate("image => image.complete && image.naturalWidth > 400")
        if name in ("compare", "timeline", "sweep"):  # the others have no table and no control of their own
            assert page.accessible() == []
        if name != "compare":
            page.shoot(f"explorer-{name}")
    assert len(pictures) == len(VIEWS)


def test_an_eviction_is_explained_on_selection(page):
    page.view("timeline")
    page.page.get_by_label("Policy shown").select_option("LFU")
    page.says("'lfu', 0)")
    page.page.get_by_role("button", name="Next eviction").click()
    run = ec.simulate(ec.Scenario(), "lfu", 0)
    slots = run.trace.slot[run.evictions[:, 0] - 1]
    slot = slots[slots > ec.simulate(ec.Scenario(), "ga", 0).trace.slot[0]].min()
    page.says(f"ec.explain(run, {slot})")
    assert ec.explain(run, slot)._heading() in page.page.locator(".edgecache .scroll").inner_text()


def test_a_sweep_shows_its_progress_and_the_next_change_cancels_it(page):
    page.page.get_by_role("button", name=VIEWS["sweep"]).click()
    page.page.wait_for_selector(".widget-hprogress", state="visible")
    page.slider("Zipf exponent").focus()
    page.page.keyboard.press("PageUp")  # past the stops of the named readings
    stop = page.slider("Zipf exponent").get_attribute("aria-valuetext")
    line = page.says(f"zipf={stop}")
    assert float(stop) > 0.8
    assert line.startswith("import edgecache as ec; ec.sweep({'gpu_memory_gb'")
    page.page.wait_for_selector(".widget-hprogress", state="hidden")
    page.page.get_by_label("Sweep over").select_option("Zipf exponent")
    assert "ec.sweep({'zipf': [" in page.says("{'zipf'")


def test_policies_come_and_go_with_their_boxes(page):
    page.box("GDSF").check()
    page.says("'gdsf'")
    assert page.rows()["GDSF"][0].startswith(_cost(ec.Scenario(), "gdsf"))
    page.box("LRU").uncheck()
    page.page.wait_for_function("!document.querySelector('.edgecache tbody').innerText.includes('LRU')")
    assert len(page.rows()) == len(DEFAULT)


def test_a_reading_moves_the_sliders_that_it_sets(page):
    page.page.get_by_label("Reading").select_option("closest")
    page.says("ec.Scenario.named('closest')")
    closest = ec.Scenario.named("closest")
    for control in CONTROLS:
        if control.name in ("w2", "beta", "arrival_rate", "zipf"):
            assert page.slider(control.text).get_attribute("aria-valuetext") == f"{getattr(closest, control.name):g}"
    assert page.rows()["LFU"][0].startswith(_cost(closest, "lfu"))


def test_a_bad_catalogue_says_why_beside_the_control_and_a_good_one_is_used(page):
    page.upload("bad.csv", BAD)
    page.page.wait_for_selector(".group [role=alert]")
    told = page.page.locator(".group", has_text="Demand").locator("[role=alert]").inner_text()
    assert "bad.csv, row 1" in told and "gpu_memory_gb is -1" in told
    assert page.rows()["LFU"][0].startswith(_cost(ec.Scenario(), "lfu"))
    page.upload("good.csv", GOOD)
    page.says("catalogue=ec.load_catalogue('good.csv')")
    assert "good.csv: 2 models, 32 GB" in page.page.locator(".group", has_text="Demand").inner_text()
    from edgecache.catalogue import parse_catalogue

    mine = ec.Scenario(catalogue=parse_catalogue(GOOD.encode(), "good.csv"))
    assert page.rows()["LFU"][0].startswith(_cost(mine, "lfu"))
    page.view("timeline")
    assert page.page.locator(".edgecache b", has_text="large").count() == 0  # names are text, never HTML
    page.page.get_by_role("button", name="Shipped catalogue").click()
    page.page.wait_for_function("!document.querySelector('.edgecache .code code').textContent.includes('good.csv')")


def test_table_figure_and_code_can_be_taken_away(page):
    with page.page.expect_download() as download:
        page.page.get_by_role("link", name="Table as CSV").click()
    table = pd.read_csv(StringIO(Path(download.value.path()).read_text()))
    expected = ec.sweep({}, list(DEFAULT), 1, ec.Scenario(), seed=0, jobs=1, progress=False)
    shared = [column for column in expected if column in table]
    table, expected = (rows[shared].sort_values("policy", ignore_index=True) for rows in (table, expected))
    pd.testing.assert_frame_equal(table, expected, check_exact=False, rtol=1e-8, check_dtype=False)
    with page.page.expect_download() as download:
        page.page.get_by_role("link", name="Figure as PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG") and download.value.suggested_filename.endswith(".png")
    page.page.get_by_role("button", name="Copy: The numbers").click()
    assert page.page.evaluate("navigator.clipboard.readText()") == page.says("ec.sweep")


def test_every_control_is_reached_with_the_tab_key(page):
    page.page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(75):
        page.page.keyboard.press("Tab")
        reached.add(page.page.evaluate(FOCUSED).strip())
    wanted = {control.text for control in CONTROLS} | set(VIEWS.values())
    wanted |= {
        "Reading",
        "Pin this view",
        "Reset",
        "Shipped catalogue",
        "Table as CSV",
        "Figure as PNG",
        "Copy: The numbers",
        "GDSF",
    }
    wanted |= {"The policies compared"}
    assert wanted <= {name.lstrip("■ ").strip() for name in reached}
    assert any("Upload" in name for name in reached)


def test_the_page_reads_well_on_a_narrow_screen(chromium, server, page):
    page.page.set_viewport_size({"width": 800, "height": 1000})
    page.page.wait_for_timeout(300)
    assert page.accessible() == []
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    boxes = [page.page.locator(f".edgecache .{part}").bounding_box() for part in ("controls", "view")]
    assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"] - 1  # below one another
    page.shoot("explorer-narrow")
    page.page.set_viewport_size({"width": 1280, "height": 900})


def test_two_visitors_at_once_do_not_mix(chromium, server, page):
    other = Visitor(chromium, f"http://127.0.0.1:{server}/").ready()
    other.slider("Storage (GB)").focus()
    other.page.keyboard.press("Home")
    page.slider("GPU memory (GB)").focus()
    page.page.keyboard.press("Home")
    other.box("GDSF").check()
    assert "gpu_memory_gb=1.0" in page.says("gpu_memory_gb=1.0") and "storage_gb" not in page.says("gpu_memory_gb")
    theirs = other.says("'gdsf'")
    assert "storage_gb=5.0" in theirs and "gpu_memory_gb" not in theirs and "gdsf" not in page.says("gpu")
    assert page.rows()["LFU"][0].startswith(_cost(ec.Scenario(gpu_memory_gb=1), "lfu"))
    assert other.rows()["LFU"][0].startswith(_cost(ec.Scenario(storage_gb=5), "lfu"))
    assert not other.wrong
    kernels = _kernels(server)
    other.context.unroute_all()  # what is said in leaving does not pass playwright's routes
    other.page.goto("about:blank")  # who leaves takes the kernel along
    page.page.wait_for_timeout(100)
    for _ in range(100):
        if _kernels(server) == kernels - 1:
            break
        page.page.wait_for_timeout(100)
    assert _kernels(server) == kernels - 1
    assert not other.wrong
    other.context.close()


def _kernels(port: int) -> int:
    """How many kernels the server at the port has."""
    (server,) = {found.pid for found in psutil.net_connections() if found.status == "LISTEN" and found.laddr.port == port}
    children = [child for child in psutil.Process(server).children() if child.status() != psutil.STATUS_ZOMBIE]
    return sum("ipykernel_launcher" in " ".join(child.cmdline()) for child in children)


def _get(port: int, path: str, **headers) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    return connection.getresponse().status


def test_nothing_but_the_widgets_reaches_the_kernel(server, visitor, page):
    """A client that speaks the kernel's protocol on the page's own connection is not heard when it asks to execute code."""
    (address,) = [url for url in visitor.frames if "/channels" in url][-1:]
    kinds = page.page.evaluate(SPEAK, [address.split("?")[0], uuid.uuid4().hex])
    assert "kernel_info_reply" in kinds  # so the connection is one
    assert not {"execute_reply", "execute_input", "stream"} & set(kinds)
    for path in ("/api/contents", "/api/kernels", "/api/sessions", "/api/terminals", "/voila/tree", "/voila/files/explorer.ipynb",
                 "/voila/files/../pyproject.toml", "/lab"):  # fmt: skip
        assert _get(server, path) in (302, 403, 404), path
    assert _get(server, "/voila/files/explorer.ipynb") in (403, 404)
    assert _get(server, "/", Host="somewhere.example") == 403  # a name that someone points to 127.0.0.1


def test_no_code_is_shown_and_the_page_listens_on_this_machine_alone(server, page):
    assert page.page.locator(".jp-InputArea, .jp-CodeMirrorEditor, .highlight").count() == 0
    listening = {found.laddr.ip for found in psutil.net_connections() if found.status == "LISTEN" and found.laddr.port == server}
    assert listening == {"127.0.0.1"}


def test_a_taken_port_is_told(server, capsys):
    command = [sys.executable, "-m", "edgecache", "app", "--no-browser", "--port", str(server)]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2 and found.stdout == "" and found.stderr.count("\n") == 1
    assert f"port {server} is taken" in found.stderr


def test_without_a_port_the_next_free_one_is_taken_and_the_page_says_so(chromium):
    from edgecache.explorer.app import PORT

    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        except OSError:
            pass  # someone else has it, which is as good
        app = subprocess.Popen([sys.executable, "-m", "edgecache", "app", "--no-browser"], stdout=subprocess.PIPE, text=True)
        told = app.stdout.readline()
        try:
            assert f"Port {PORT} is taken" in told
            found = Visitor(chromium, re.search(r"http://127[\d.:]+/", told)[0], wait="commit")
            assert f"Port {PORT} is taken" in found.page.get_by_role("status").first.inner_text()
            found.context.close()
        finally:
            app.send_signal(signal.SIGINT)
            app.wait(20)
