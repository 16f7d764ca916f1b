"""What a drawn figure shows: its texts, those that leave the page, and its labelled lines."""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg


def pixels(figure, dpi=160):
    """The pixels of a figure as `figures.save` writes them, int (height, width, 3); its layout is fixed afterwards."""
    file = io.BytesIO()
    figure.savefig(file, format="rgba", dpi=dpi)
    figure.set_layout_engine("none")
    figure.set_dpi(dpi)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    return np.frombuffer(file.getvalue(), np.uint8).reshape(height, width, 4)[..., :3].astype(int)


def texts_of(figure):
    """Every visible text of a drawn figure; ticks beyond the ends of an axis are not drawn."""
    beyond = {
        tick.label1
        for panel in figure.axes
        for axis in (panel.xaxis, panel.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return [text for text in found if text.get_visible() and text.get_text() and text not in beyond]


def texts_outside(figure):
    """The texts that leave the page by more than a pixel."""
    page = figure.bbox
    boxes = {text.get_text(): text.get_window_extent() for text in texts_of(figure)}
    return [
        text
        for text, box in boxes.items()
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1
    ]


def lines_of(axis):
    """The lines of a panel that have a label, by label."""
    return {line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")}
