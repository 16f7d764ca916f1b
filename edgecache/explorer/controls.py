"""The explorer's controls: which there are, in the groups that an edge operator thinks in."""

from dataclasses import dataclass
from html import escape
from numbers import Integral, Real

import ipywidgets as W
import numpy as np
from matplotlib.colors import to_hex

from ..errors import InputError
from ..figures.style import POLICY_STYLE, label
from ..policies import PAPER
from ..scenario import NAMED, Scenario


def _grid(low: float, high: float, step: float) -> tuple[float, ...]:
    count = round((high - low) / step) + 1
    return tuple(round(float(value), 9) for value in np.linspace(low, high, count))


def _whole(low: int, high: int, step: int) -> tuple[int, ...]:
    return tuple(range(low, high + 1, step))


@dataclass(frozen=True)
class Control:
    """A slider: the parameter it sets, the group it stands in, its stops, and those of a sweep over it."""

    name: str
    group: str
    text: str
    stops: tuple[float, ...]
    swept: tuple[float, ...]


_WEIGHTS = (0.0, 0.001, 0.002, 0.005, *_grid(0.01, 0.1, 0.01), *_grid(0.15, 1.0, 0.05), *_grid(1.1, 2.0, 0.1))
CONTROLS = (
    Control("storage_gb", "Server", "Storage (GB)", _grid(5, 200, 5), (10.0, 30.0, *_grid(50, 200, 15))),
    Control("gpu_memory_gb", "Server", "GPU memory (GB)", _grid(1, 24, 0.5), _grid(2, 24, 2)),
    Control("energy_capacity_kw", "Server", "Energy limit (kW)", _grid(0.35, 2, 0.05), _grid(0.4, 2, 0.2)),
    Control("bandwidth_gbps", "Link", "Bandwidth (Gbit/s)", _grid(0.5, 40, 0.5), (0.5, 2.5, *_grid(5, 40, 5))),
    Control("arrival_rate", "Demand", "Requests a slot", _grid(0.1, 3.5, 0.1), _grid(0.35, 3.5, 0.35)),
    Control("zipf", "Demand", "Zipf exponent", _grid(0, 2.5, 0.1), _grid(0, 2.5, 0.25)),
    Control("slots", "Demand", "Time slots", _whole(10, 150, 10), _whole(15, 150, 15)),
    Control("seed", "Demand", "Seed", _whole(0, 30, 1), _whole(0, 11, 1)),
    Control("w1", "Preferences", "Switching, w1", _WEIGHTS, _grid(0, 2, 0.2)),
    Control("w2", "Preferences", "Resources, w2", _WEIGHTS, (0.0, 0.01, 0.05, *_grid(0.1, 0.5, 0.1), *_grid(0.75, 2.0, 0.25))),
    Control("beta", "Preferences", "GPU memory, beta", _WEIGHTS, _grid(0, 2, 0.2)),
)
GROUPS = ("Server", "Link", "Demand", "Preferences", "Policies")
VIEWS = {
    "compare": "Policies compared",
    "timeline": "Deployments over time",
    "capacity": "Capacity use",
    "sweep": "Sweep a slider",
    "convergence": "Inside the GA",
}
DEFAULT = (*reversed(PAPER), "clairvoyant", "clairvoyant-delay")


def slider(control: Control, **look) -> W.SelectionSlider:
    """The slider of a control, at the scenario's default; with its stops the values of the named readings."""
    named = {getattr(Scenario.named(name), control.name, 0) for name in NAMED}
    stops = sorted({*control.stops, *named})
    value = getattr(Scenario(), control.name, 0)
    return W.SelectionSlider(options=_shown(stops), value=value, description=control.text, **look)


def put(slider: W.SelectionSlider, name: str, value: float) -> None:
    """Move a slider to a value, with a stop there where it has none. Raises InputError for a value out of its range."""
    stops = [stop for _, stop in slider.options]
    whole = all(isinstance(stop, int) for stop in stops)
    kind, words = (Integral, "whole numbers ") if whole else (Real, "")
    if isinstance(value, bool) or not isinstance(value, kind) or not stops[0] <= value <= stops[-1]:
        raise InputError(f"{name} is {value!r}; its slider takes {words}from {stops[0]:g} to {stops[-1]:g}")
    if value not in stops:
        slider.options = _shown(sorted([*stops, int(value) if whole else float(value)]))
    slider.value = value


def _shown(stops: list[float]) -> list[tuple[str, float]]:
    return [(f"{stop:g}", stop) for stop in stops]


def swatch(policy: str) -> str:
    """A policy's name behind its colour, HTML."""
    colour = to_hex(POLICY_STYLE[policy][0])
    return f'<span aria-hidden="true" style="color:{colour}">&#9632;</span> {escape(label(policy))}'
