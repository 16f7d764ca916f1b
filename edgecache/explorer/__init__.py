"""Explorer: sliders over one edge server, in a notebook or as a page, for whoever asks "what if".

`controls` lists the sliders, `views` computes what each view shows, `panel` has the widgets, `markup` the HTML, `state` the lines
of code that lead back to a view, and `explorer` ties them together. `app` serves the explorer as a page.

To add a slider, add a row to `controls.CONTROLS`. To add a view, write a function in `views` that returns a View, name it in
`controls.VIEWS`, and call it in `Explorer._draw`.
"""

from ..errors import InputError

try:
    from .explorer import Explorer
except ModuleNotFoundError as missing:
    raise InputError(f"the explorer needs {missing.name}, which is not installed: pip install 'edgecache[notebooks]'") from None

__all__ = ["Explorer"]
