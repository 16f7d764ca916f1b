"""The sliders of the explorer, in the groups that an edge operator thinks in, and its views and defaults."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import ipywidgets as W
import numpy as np

from ..errors import InputError
from ..policies import PAPER
from ..scenario import NAMED, Scenario


def _grid(low: float, high: float, step: float) -> tuple[float, ...]:
    count = round((high - low) / step) + 1
    return tuple(round(float(value), 9) for value in np.linspace(low, high, count))


def _integers(low: int, high: int, step: int) -> tuple[int, ...]:
    return tuple(range(low, high + 1, step))


@dataclass(frozen=True)
class Control:
    """A slider: its parameter, group, label and stops, and the values of a sweep over it."""

    name: str
    group: str
    text: str
    stops: tuple[float, ...]
    sweep: tuple[float, ...]


_WEIGHTS = (0.0, 0.001, 0.002, 0.005, *_grid(0.01, 0.1, 0.01), *_grid(0.15, 1.0, 0.05), *_grid(1.1, 2.0, 0.1))
CONTROLS = (
    Control("storage_gb", "Server", "Storage (GB)", _grid(5, 200, 5), (10.0, 30.0, *_grid(50, 200, 15))),
    Control("gpu_memory_gb", "Server", "GPU memory (GB)", _grid(1, 24, 0.5), _grid(2, 24, 2)),
    Control("energy_capacity_kw", "Server", "Energy limit (kW)", _grid(0.35, 2, 0.05), _grid(0.4, 2, 0.2)),
    Control("bandwidth_gbps", "Link", "Bandwidth (Gbit/s)", _grid(0.5, 40, 0.5), (0.5, 2.5, *_grid(5, 40, 5))),
    Control("arrival_rate", "Demand", "Requests per slot", _grid(0.1, 3.5, 0.1), _grid(0.35, 3.5, 0.35)),
    Control("zipf", "Demand", "Zipf exponent", _grid(0, 2.5, 0.1), _grid(0, 2.5, 0.25)),
    Control("slots", "Demand", "Time slots", _integers(10, 150, 10), _integers(15, 150, 15)),
    Control("seed", "Demand", "Seed", _integers(0, 30, 1), _integers(0, 11, 1)),
    Control("w1", "Preferences", "Switching, w1", _WEIGHTS, _grid(0, 2, 0.2)),
    Control("w2", "Preferences", "Resources, w2", _WEIGHTS, (0.0, 0.01, 0.05, *_grid(0.1, 0.5, 0.1), *_grid(0.75, 2.0, 0.25))),
    Control("beta", "Preferences", "GPU memory, beta", _WEIGHTS, _grid(0, 2, 0.2)),
)
SCOPES = {
    "evict": "only evict",
    "bypass": "also drop the requested model",
    "prefetch": "also prefetch others",
    "free": "choose any deployment",
}
GROUPS = ("Server", "Link", "Demand", "Preferences", "Policies")
VIEWS = {
    "compare": "Policies compared",
    "timeline": "Deployments over time",
    "capacity": "Capacity use",
    "sweep": "Sweep a slider",
    "convergence": "Inside the GA",
}
DEFAULT = (*reversed(PAPER), "clairvoyant", "clairvoyant-delay")


def slider(control: Control, **look: Any) -> W.SelectionSlider:
    """The slider of a control, at the scenario's default; the values of the named readings are among its stops."""
    named = {getattr(Scenario.named(name), control.name, 0) for name in NAMED}
    value = getattr(Scenario(), control.name, 0)
    return W.SelectionSlider(options=_options({*control.stops, *named}), value=value, description=control.text, **look)


def move(slider: W.SelectionSlider, name: str, value: Any) -> None:
    """Move a slider to a value, and add a stop there if it has none. Raises InputError for a value out of its range."""
    stops = [stop for _, stop in slider.options]
    integers = all(isinstance(stop, int) for stop in stops)
    number = isinstance(value, Integral if integers else Real) and not isinstance(value, bool)
    if not number or not stops[0] <= value <= stops[-1]:
        kind = "whole numbers " if integers else ""
        raise InputError(f"{name} is {value!r}; its slider takes {kind}from {stops[0]:g} to {stops[-1]:g}")
    if value not in stops:
        slider.options = _options({*stops, int(value) if integers else float(value)})
    slider.value = value


def _options(stops: set[float]) -> list[tuple[str, float]]:
    return [(f"{stop:g}", stop) for stop in sorted(stops)]
