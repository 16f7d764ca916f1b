"""The HTML of the explorer: the table to read, pictures, downloads, and lines of code to copy. All names in it are escaped."""

import base64
from html import escape

import ipywidgets as W
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from ..analysis.comparison import differences, policies_of
from ..figures.style import POLICY_STYLE, is_bound, label

COLUMNS = {  # of the comparison, with title and format
    "total_cost": ("Cost per slot", "{:.4g}"),
    "switching_cost": ("switching part", "{:.3g}"),
    "resource_cost": ("resource part", "{:.4g}"),
    "service_delay_s": ("Service delay at the edge (s)", "{:.3g}"),
    "cloud_share": ("Served by the cloud", "{:.1%}"),
    "service_delay_all_s": ("Delay of all requests (s)", "{:.3g}"),
    "hit_ratio": ("Hit ratio", "{:.1%}"),
    "used_storage_gb": ("Storage used (GB)", "{:.3g}"),
    "used_gpu_memory_gb": ("GPU memory used (GB)", "{:.3g}"),
    "crowded_gpu_memory_gb": ("Misses without room on the GPU", "{:.0f}"),
}


def comparison_rows(table: pd.DataFrame, before: pd.DataFrame | None) -> str:
    """The comparison as a table to read: each number, its difference to the best, and its value in the pinned view."""
    columns = {name: COLUMNS[name] for name in COLUMNS if name in table}
    order = [*policies_of(table)["policy"], *(name for name in table["policy"] if is_bound(name))]
    apart, values = (frame.set_index("policy").to_dict("index") for frame in (differences(table), table))
    earlier = {} if before is None else before.set_index("policy").to_dict("index")
    rows = []
    for policy in order:
        rows.append(f'<tr><th scope="row">{escape(label(policy))}</th>')
        for column, (_, form) in columns.items():
            cell = form.format(values[policy][column]) + _difference(column, apart[policy].get(column, 0.0), policy)
            was = f'<span class="was">was {form.format(earlier[policy][column])}</span>' if policy in earlier else ""
            rows.append(f"<td>{cell}{was}</td>".replace("nan%", "none").replace("nan", "none"))
        rows.append("</tr>")
    return scrolling("The policies compared", f"<table>{_head(columns)}<tbody>{''.join(rows)}</tbody></table>")


def _head(columns: dict[str, tuple[str, str]]) -> str:
    titles = "".join(f'<th scope="col">{title}</th>' for title, _ in columns.values())
    return f'<thead><tr><th scope="col">Policy</th>{titles}</tr></thead>'


def _difference(column: str, more: float, policy: str) -> str:
    """The difference to the best policy, in brackets; bounds have none."""
    if not more or not np.isfinite(more) or is_bound(policy):
        return ""
    return f" ({100 * more:+.0f}{' points' if column == 'hit_ratio' else '%'})"


def scrolling(title: str, html: str) -> str:
    """A region that scrolls by itself where the page is too narrow, with the keyboard too."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">{html}</div>'


def picture(png: bytes, text: str) -> str:
    """An image with its alternative text."""
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def downloads(view: str, table: pd.DataFrame, png: bytes) -> str:
    """Links that hold the table as CSV and the figure as PNG."""
    csv = table.to_csv(index=False, float_format="%.10g", lineterminator="\n").encode()
    links = [
        f'<a class="download" download="edgecache-{view}.{ending}" href="data:{kind};base64,{base64.b64encode(content).decode()}">'
        f"{text}</a>"
        for ending, kind, content, text in (
            ("csv", "text/csv", csv, "Table as CSV"),
            ("png", "image/png", png, "Figure as PNG"),
        )
    ]
    return f"<p>{' '.join(links)}</p>"


def copyable(title: str, line: str) -> str:
    """A line of code and a button that copies it."""
    copy = "navigator.clipboard.writeText(this.parentElement.querySelector('code').textContent); this.textContent = 'Copied'"
    button = f'<button type="button" aria-label="Copy: {title}" onclick="{copy}">Copy</button>'
    return f'<div class="code">{button} <span>{title}:</span> <code>{escape(line)}</code></div>'


def paragraphs(sentences: tuple[str, ...]) -> str:
    """Text below the picture, a paragraph per sentence."""
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def problem(message: str) -> str:
    """An error, announced to screen readers."""
    return f'<p class="problem" role="alert">{escape(message)}</p>'


def swatch(policy: str) -> str:
    """A policy's name behind its colour."""
    colour = to_hex(POLICY_STYLE[policy][0])
    return f'<span aria-hidden="true" style="color:{colour}">&#9632;</span> {escape(label(policy))}'


def classed(widget: W.Widget, name: str) -> W.Widget:
    """The widget with a class for the style sheet."""
    widget.add_class(name)
    return widget
