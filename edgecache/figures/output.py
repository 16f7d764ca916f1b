"""Figures as files: written whole, the same bytes at every run, with the names of the tables that they are drawn from."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from ..files import replacing
from .style import STYLE


def save(figure: Figure, name: str, folder: str | Path, tables: Sequence[str] | None = None) -> Figure:
    """Write a figure as PNG and PDF, whole or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write. Its layout is fixed afterwards, so that later drawing need not solve it again.
    name : str
        File name without ending.
    folder : str or Path
        Where to write; made if it does not exist.
    tables : sequence of str, optional
        File names of the tables that the figure is drawn from: by default the one of the figure's name, `()` for a drawing
        without data. The PNG keeps them, and `source_tables` reads them.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, for a notebook to show.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from edgecache.figures import output, system
    >>> folder = mkdtemp()
    >>> _ = output.save(system.framework(), "fig2-framework", folder, tables=["made-up.csv"])
    >>> output.source_tables(f"{folder}/fig2-framework.png")
    ['made-up.csv']

    Notes
    -----
    The files hold neither dates nor versions: the same table gives the same bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    source = ", ".join([f"{name}.csv"] if tables is None else tables)
    png = {"Software": None} | ({"Source": source} if source else {})
    for ending, metadata in (("png", png), ("pdf", {"CreationDate": None, "Creator": None, "Producer": None})):
        with replacing(folder / f"{name}.{ending}") as part, rc_context(STYLE):
            figure.savefig(part, format=ending, metadata=metadata)
        figure.set_layout_engine("none")
    return figure


def source_tables(png: str | Path) -> list[str]:
    """Read which tables a PNG is drawn from, as `save` recorded them.

    Parameters
    ----------
    png : str or Path
        A file that `save` wrote.

    Returns
    -------
    list of str
        File names, empty for a drawing without data.

    Examples
    --------
    See `save`.
    """
    with Image.open(png) as image:
        source = image.info.get("Source", "")
    return source.split(", ") if source else []
