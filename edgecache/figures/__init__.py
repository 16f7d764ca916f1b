"""Figures: how policies look everywhere, and one module for the figures of each notebook. They compute nothing."""

from .style import save

__all__ = ["save"]
