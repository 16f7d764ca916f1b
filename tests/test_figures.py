"""Figures are whole: nothing written in them leaves the page, and the same table gives the same bytes."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from edgecache import GA, box_statistics, figures, load_catalogue, profiling, sweep
from edgecache.policies import PAPER

MEANS, SLOTS = sweep({"storage_gb": [60, 120]}, PAPER, 2, by="both", jobs=1, progress=False)
DELAYS = profiling.service_delays(profiling.draw_records(load_catalogue(), np.random.default_rng(0), cycles=3))
NOTE = "drawn from the catalogue, not measured: 30 cycles of 10 executions at 10 Gbit/s, log-normal spread of 10%;"
BOXES = box_statistics(SLOTS)
FIGURES = {
    "trend": lambda: figures.trends(MEANS),
    "two trends": lambda: figures.trends(MEANS, ("total_cost", "service_delay_s")),
    "twin": lambda: figures.trends(MEANS, figures.USERS),
    "boxes": lambda: figures.cost_boxes(BOXES),
    "twin of boxes": lambda: figures.users_boxes(box_statistics(SLOTS, "service_delay_s"), box_statistics(MEANS, "hit_ratio")),
    "service delay": lambda: figures.service_delay(DELAYS, NOTE),
    "framework": figures.framework,
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_leaves_the_figure(name):
    figure = FIGURES[name]()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
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
        figures.save(FIGURES[name](), "figure", tmp_path / folder)
    for ending in ("png", "pdf"):
        assert (tmp_path / f"one/figure.{ending}").read_bytes() == (tmp_path / f"two/figure.{ending}").read_bytes()


def test_every_policy_of_the_paper_has_a_colour_of_its_own():
    colours = [figures.POLICY_STYLE[name][0] for name in (*PAPER, "exact")]
    assert len(set(colours)) == len(colours) and GA().name in figures.POLICY_STYLE
