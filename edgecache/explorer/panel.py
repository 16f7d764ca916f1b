"""The widgets of the explorer and where they stand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ipywidgets as W

from ..errors import unknown
from ..figures.style import label
from ..listing import POLICY_TABLE
from ..scenario import NAMED
from .controls import CONTROLS, GROUPS, SCOPES, VIEWS, slider
from .markup import classed, swatch

CSS = (Path(__file__).parent / "page/explorer.css").read_text()
ROW = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 10px"}


class Panel(W.VBox):
    """All widgets, without behaviour.

    `sliders`, `policies` and `settings` have them by name; `settings` are what the constructor of Explorer and its state line set.
    """

    def __init__(self) -> None:
        look: dict[str, Any] = {"style": {"description_width": "126px"}, "layout": W.Layout(width="auto")}
        self.sliders = {control.name: slider(control, **look) for control in CONTROLS}
        for name, widget in self.sliders.items():
            setattr(self, name, widget)
        self.reading = W.Dropdown(options=list(NAMED), description="Reading", **look)
        scopes = [(text, scope) for scope, text in SCOPES.items()]
        self.scope = W.Dropdown(options=scopes, value="evict", description="A decision may", **look)
        self.policies = {
            name: W.Checkbox(description=swatch(name), description_allow_html=True, indent=False, tooltip=POLICY_TABLE[name].about,
                             layout=W.Layout(width="auto"))
            for name in POLICY_TABLE
        }  # fmt: skip
        self.upload = W.FileUpload(accept=".csv", description="Upload a catalogue (CSV)", layout=W.Layout(width="auto"))
        self.shipped = _button("Shipped catalogue")
        self.view = W.ToggleButtons(
            options=[(text, name) for name, text in VIEWS.items()], value="compare", style={"button_width": "auto"}
        )
        policies = [(label(name), name) for name in POLICY_TABLE]
        self.policy_shown = _dropdown("Policy shown", policies, "ga")
        self.slot = W.IntSlider(max=99, description="Slot shown", style={"description_width": "80px"})
        self.earlier, self.later = _button("Eviction before"), _button("Next eviction")
        self.over = _dropdown("Sweep over", [(c.text, c.name) for c in CONTROLS], "gpu_memory_gb")
        self.progress = W.FloatProgress(max=1, description="Sweeping", layout=W.Layout(width="260px", visibility="hidden"))
        self.pin = _button("Pin this view", "Compare later views with this one")
        self.reset = _button("Reset", "Back to the start")
        self.catalogue, self.status, self.picture, self.sentences, self.rows, self.downloads = (W.HTML() for _ in range(6))
        self.settings: dict[str, Any] = {
            "view": self.view, "reading": self.reading, "policy_shown": self.policy_shown, "slot": self.slot, "over": self.over,
            "scope": self.scope, **self.sliders,
        }  # fmt: skip
        sides = W.Box([classed(self._controls(), "controls"), classed(self._view(), "view")])
        super().__init__([W.HTML(f"<style>{CSS}</style>"), classed(sides, "sides")])
        self.add_class("edgecache")

    def _controls(self) -> W.Box:
        groups: dict[str, list[W.Widget]] = {
            group: [self.sliders[c.name] for c in CONTROLS if c.group == group] for group in GROUPS
        }
        groups["Demand"] += [W.HBox([self.upload, self.shipped], layout=W.Layout(flex_flow="row wrap")), self.catalogue]
        groups["Preferences"][:0] = [self.reading, self.scope]
        groups["Policies"] = [classed(W.Box(list(self.policies.values())), "policies")]
        return W.Box([classed(W.VBox([W.HTML(f"<h2>{name}</h2>"), *widgets]), "group") for name, widgets in groups.items()])

    def _view(self) -> W.Box:
        self.slot_row = W.HBox([self.policy_shown, self.slot, self.earlier, self.later], layout=W.Layout(**ROW))
        self.sweep_row = W.HBox([self.over, self.progress], layout=W.Layout(**ROW))
        top = W.HBox([self.view, self.pin, self.reset], layout=W.Layout(**ROW))
        return W.VBox([top, self.slot_row, self.sweep_row, self.status, self.picture, self.sentences, self.rows, self.downloads])

    def require_known(self, policies: Sequence[str], values: dict[str, Any]) -> None:
        """Raise InputError for a control, an option or a policy that does not exist."""
        for name, value in values.items():
            if name not in self.settings:
                raise unknown("control", name, [*self.settings, "policies", "catalogue"])
            if name in ("view", "reading", "policy_shown", "over", "scope"):
                options = [option[-1] if isinstance(option, tuple) else option for option in self.settings[name].options]
                if value not in options:
                    raise unknown(name, value, options)
        for name in policies:
            if name not in self.policies:
                raise unknown("policy", name, self.policies)

    def show_rows_of(self, view: str) -> None:
        """Show the rows of controls that a view uses, and hide the others."""
        self.slot_row.layout.display = "" if view in ("timeline", "convergence") else "none"
        self.policy_shown.layout.display = "" if view == "timeline" else "none"
        self.sweep_row.layout.display = "" if view == "sweep" else "none"
        self.progress.layout.visibility = "hidden"


def _button(text: str, tooltip: str = "") -> W.Button:
    return W.Button(description=text, tooltip=tooltip, layout=W.Layout(width="auto"))


def _dropdown(text: str, options: Sequence[tuple[str, str]], value: str) -> W.Dropdown:
    return W.Dropdown(options=options, value=value, description=text, style={"description_width": "84px"})
