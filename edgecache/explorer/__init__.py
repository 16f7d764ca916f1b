"""Explorer: sliders, views and words over the simulator, in a notebook or as a page."""

from .explorer import Explorer

__all__ = ["Explorer"]
