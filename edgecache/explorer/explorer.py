"""The explorer: sliders over one server, and at once what its policies cost, keep and evict.

`Explorer()` in a notebook cell shows it; `make app` serves it as a page. Here are the widgets; what they show is in views.py.
"""

import asyncio
import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

import ipywidgets as W
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..catalogue import load_catalogue, parse_catalogue
from ..errors import InputError, unknown, whole_number
from ..figures import runs
from ..figures.style import label
from ..policies import POLICIES
from ..scenario import NAMED, OPEN, Scenario
from . import views
from .controls import CONTROLS, DEFAULT, GROUPS, VIEWS, put, slider, swatch
from .views import Setting, View

LARGEST, MOST_MODELS = 1_000_000, 1000  # bytes and models of an uploaded catalogue
CSS = (Path(__file__).parent / "page/explorer.css").read_text()


class Explorer(W.VBox):
    """Sliders, views and words over one edge server.

    Start it anywhere: `Explorer(view="sweep", reading="delay", catalogue="mine.csv", gpu_memory_gb=6, policies=["ga", "lru"])`.
    Every control is an attribute by its parameter's name (`explorer.gpu_memory_gb.value = 6`); what the present view shows is in
    `figure`, `table`, `words` and `line`. Raises InputError for a name or a value that no control takes.
    """

    def __init__(self, *, catalogue: str = "", **start):
        self.figure: Figure | None = None
        self.table, self.words, self.line = pd.DataFrame(), "", ""
        self.task: asyncio.Task | None = None  # the sweep under way
        self._shipped = load_catalogue()
        self._drawn: dict[str, Figure] = {}  # by view, to be drawn in anew
        self._seen = ""  # the view that stands there
        self._quiet = False  # do changes wait for each other?
        self._models, self._file = (load_catalogue(catalogue) if catalogue else self._shipped), str(catalogue)
        self._first, self.pinned = (self._models, self._file), None
        self._build()
        self.catalogue.value = self._about_catalogue()
        sides = W.Box([_classed(self._controls(), "controls"), _classed(self._view(), "view")])
        super().__init__([W.HTML(f"<style>{CSS}</style>"), _classed(sides, "sides")])
        self.add_class("edgecache")
        named = Scenario().vary(reading=start.get("reading", "literal"))
        usual = {name: control.value for name, control in self.settings.items()} | {name: getattr(named, name) for name in OPEN}
        self._start = usual | {"policies": DEFAULT} | start
        self._set(**self._start)
        if "slot" not in start:
            self._step(1)
            self._start["slot"] = self.slot.value
        self._pin()

    def __repr__(self) -> str:
        return self._state()

    @property
    def scenario(self) -> Scenario:
        """What the controls say. Raises InputError where no server can be so."""
        values = {name: slider.value for name, slider in self.sliders.items() if name != "seed"}
        return Scenario().vary(reading=self.reading.value, catalogue=self._models, **values)

    @property
    def names(self) -> list[str]:
        """The policies to compare."""
        return [name for name, box in self.policies.items() if box.value]

    async def settled(self) -> None:
        """Wait until the sweep under way, if any, has ended."""
        while self.task is not None and not self.task.done():
            await asyncio.wait([self.task])

    # The widgets.

    def _build(self):
        look = {"style": {"description_width": "126px"}, "layout": W.Layout(width="auto")}
        self.sliders = {c.name: slider(c, **look) for c in CONTROLS}
        self.reading = W.Dropdown(options=list(NAMED), description="Reading", **look)
        self.policies = {
            name: W.Checkbox(
                description=swatch(name),
                description_allow_html=True,
                indent=False,
                tooltip=policy.about,
                layout=W.Layout(width="auto"),
            )
            for name, policy in POLICIES.items()
        }
        self.upload = W.FileUpload(accept=".csv", description="Upload a catalogue (CSV)", layout=W.Layout(width="auto"))
        self.shipped = W.Button(description="Shipped catalogue", layout=W.Layout(width="auto"))
        self.catalogue = W.HTML()
        self.view = W.ToggleButtons(
            options=[(text, name) for name, text in VIEWS.items()], value="compare", style={"button_width": "auto"}
        )
        self.looked_at = W.Dropdown(options=[(label(name), name) for name in POLICIES], value="ga", description="Policy looked at",
                                    style={"description_width": "104px"})  # fmt: skip
        self.slot = W.IntSlider(max=99, description="Slot looked at", style={"description_width": "94px"})
        self.earlier = W.Button(description="Eviction before", layout=W.Layout(width="auto"))
        self.later = W.Button(description="Next eviction", layout=W.Layout(width="auto"))
        self.over = W.Dropdown(options=[(c.text, c.name) for c in CONTROLS], value="gpu_memory_gb", description="Sweep over",
                               style={"description_width": "80px"})  # fmt: skip
        self.progress = W.FloatProgress(max=1, description="Sweeping", layout=W.Layout(width="260px", visibility="hidden"))
        self.pin = W.Button(
            description="Pin this view", tooltip="Compare what comes with what is now", layout=W.Layout(width="auto")
        )
        self.reset = W.Button(description="Reset", tooltip="Back to how it started", layout=W.Layout(width="auto"))
        self.status, self.picture, self.told, self.rows, self.take = (W.HTML() for _ in range(5))
        # what the constructor and `_state` know by name
        self.settings = {name: getattr(self, name) for name in ("view", "reading", "looked_at", "slot", "over")} | self.sliders
        vars(self).update(self.sliders)
        for widget in (*self.settings.values(), *self.policies.values()):
            widget.observe(self._changed, "value")
        self.upload.observe(self._uploaded, "value")
        self.shipped.on_click(self._ship)
        self.earlier.on_click(lambda _: self._step(-1))
        self.later.on_click(lambda _: self._step(1))
        self.pin.on_click(self._pin)
        self.reset.on_click(self._reset)

    def _controls(self) -> W.Box:
        own = {group: [self.sliders[c.name] for c in CONTROLS if c.group == group] for group in GROUPS}
        own["Demand"] += [W.HBox([self.upload, self.shipped], layout=W.Layout(flex_flow="row wrap")), self.catalogue]
        own["Preferences"].insert(0, self.reading)
        own["Policies"] = [_classed(W.Box(list(self.policies.values())), "policies")]
        return W.Box([_classed(W.VBox([W.HTML(f"<h2>{group}</h2>"), *own[group]]), "group") for group in GROUPS])

    def _view(self) -> W.Box:
        row = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 10px"}
        self.looking = W.HBox([self.looked_at, self.slot, self.earlier, self.later], layout=W.Layout(**row))
        self.sweeping = W.HBox([self.over, self.progress], layout=W.Layout(**row))
        top = W.HBox([self.view, self.pin, self.reset], layout=W.Layout(**row))
        return W.VBox([top, self.looking, self.sweeping, self.status, self.picture, self.told, self.rows, self.take])

    # What happens when a control is moved.

    def _changed(self, change):
        if self._quiet:
            return
        if change["owner"] is self.reading:
            self._set(reading=change["new"])
        else:
            self._redraw()

    def _set(self, policies: Sequence[str] | None = None, **values):
        """Set several controls, then draw once. A reading sets the numbers that the paper leaves open, too."""
        for name, value in values.items():
            if name not in self.settings:
                raise unknown("control", name, [*self.settings, "policies", "catalogue"])
            if name in ("view", "reading", "looked_at", "over"):
                known = [option[-1] if isinstance(option, tuple) else option for option in self.settings[name].options]
                if value not in known:
                    raise unknown(name, value, known)
        for name in policies or ():
            if name not in self.policies:
                raise unknown("policy", name, self.policies)
        if "reading" in values:
            named = Scenario.named(values["reading"])
            values = {name: getattr(named, name) for name in OPEN} | values
        with self._quietly():
            for name, value in values.items():
                if name in self.sliders:
                    put(self.sliders[name], name, value)
            slots = self.slots.value
            whole_number("slot", values.get("slot", 0), least=0, most=slots - 1)
            self.slot.max = slots - 1
            for name in values.keys() - self.sliders.keys():
                self.settings[name].value = values[name]
            for name, box in self.policies.items():
                box.value = box.value if policies is None else name in policies
        self._redraw()

    def _reset(self, _=None):
        self._models, self._file = self._first
        self.catalogue.value = self._about_catalogue()
        self._set(**self._start)
        self._pin()

    def _pin(self, _=None):
        """Keep the present comparison, for later ones to be held against."""
        with self._telling():
            self.pinned, self.pinned_scenario, self.pinned_seed = None, self.scenario, self.seed.value
            self.pinned = views.compared(self.setting)
        self._redraw()

    def _step(self, direction: int):
        """Look at the next slot in which the policy looked at evicts, or the one before."""
        with self._telling():
            policy = self.looked_at.value if self.view.value == "timeline" else "ga"
            run = views.played(self.scenario, policy, self.seed.value)
            slots = np.unique(run.trace.slot[run.evictions[:, 0] - 1])
            slots = slots[slots > self.slot.value] if direction > 0 else slots[slots < self.slot.value][::-1]
            if len(slots):
                self.slot.value = int(slots[0])

    def _uploaded(self, change):
        for file in change["new"]:
            self.take_catalogue(Path(file["name"]).name, bytes(file["content"]))
        if change["new"]:
            self.upload.value = ()  # the same file may come again, mended

    def take_catalogue(self, name: str, content: bytes) -> None:
        """Go on with the catalogue in the bytes of a CSV file, or say beside the control why not and keep the one there is."""
        try:
            if len(content) > LARGEST:
                raise InputError(f"{name} has {len(content)} bytes; a catalogue may have {LARGEST}")
            models = parse_catalogue(content, name)
            if len(models) > MOST_MODELS:
                raise InputError(f"{name} has {len(models)} models; the explorer takes {MOST_MODELS}")
            self._models, self._file = models, name
        except InputError as error:
            self.catalogue.value = f'<p class="problem" role="alert">{escape(str(error))}. The catalogue stays as it was.</p>'
        else:
            self.catalogue.value = self._about_catalogue()
            self._redraw()

    def _ship(self, _=None):
        self._models, self._file = self._shipped, ""
        self.catalogue.value = self._about_catalogue()
        self._redraw()

    def _about_catalogue(self) -> str:
        return (
            f"<p>{escape(self._file or 'Shipped catalogue')}: {len(self._models)} models, {self._models.size_gb.sum():.4g} GB</p>"
        )

    @contextmanager
    def _quietly(self):
        """Controls that move in here draw nothing."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    @contextmanager
    def _telling(self):
        """Show an error where the figure would be: in a page, nobody sees an exception of a callback."""
        try:
            yield
        except InputError as error:
            self._fail(str(error))
        except Exception as error:  # a defect, which must not leave a figure of something else standing
            self._fail(f"this is a defect of edgecache, {type(error).__name__}: {error}")

    def _clear(self):
        self.figure, self.table, self.words, self.line, self._seen = None, pd.DataFrame(), "", "", ""
        self.status.value = self.picture.value = self.told.value = self.rows.value = self.take.value = ""

    def _fail(self, message: str):
        self._clear()
        self.progress.layout.visibility = "hidden"
        self.status.value = f'<p class="problem" role="alert">{escape(message)}</p>'

    @property
    def setting(self) -> Setting:
        """What the views are of."""
        return Setting(self.scenario, self.seed.value, tuple(self.names), self._said())

    def _redraw(self):
        if self.task is not None:
            self.task.cancel()
            self.task = None
        view = self.view.value
        self.looking.layout.display = "" if view in ("timeline", "convergence") else "none"
        self.looked_at.layout.display = "" if view == "timeline" else "none"
        self.sweeping.layout.display = "" if view == "sweep" else "none"
        self.progress.layout.visibility = "hidden"
        with self._telling():
            setting, drawn = self.setting, self._drawn.get(view)
            with self._quietly():
                self.slot.max = setting.scenario.slots - 1
            if view == "compare":
                other = self.pinned is not None and (setting.scenario, setting.seed) != (self.pinned_scenario, self.pinned_seed)
                self._show(views.compare(setting, self.pinned if other else None, self._since() if other else "", drawn))
            elif view == "timeline":
                self._show(views.timeline(setting, self.looked_at.value, self.slot.value, drawn))
            elif view == "capacity":
                self._show(views.capacity(setting, drawn))
            elif view == "convergence":
                self._show(views.convergence(setting, self.slot.value))
            else:
                old = self.picture.value if self._seen == view else ""  # nothing else of another setting may stand meanwhile
                self._clear()
                self.picture.value, self._seen = old, view if old else ""
                self.status.value = "<p>The sweep before, until this one is done.</p>" if old else ""
                self._sweep(views.sweeping(setting, *self._swept()))

    def _swept(self) -> tuple[str, tuple]:
        """The parameter to sweep over, and its values."""
        return next((c.name, c.swept) for c in CONTROLS if c.name == self.over.value)

    def _sweep(self, steps: Iterator[float | View]):
        """Take the steps of a sweep: in a kernel one by one, so that it hears of changes in between; else at once."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            for step in steps:
                self._stepped(step)
        else:
            self.task = loop.create_task(self._walk(steps))

    async def _walk(self, steps: Iterator[float | View]):
        with self._telling():
            for step in steps:
                self._stepped(step)
                await asyncio.sleep(0)

    def _stepped(self, step: float | View):
        if isinstance(step, View):
            self._show(step)
            self.progress.layout.visibility = "hidden"
        else:
            self.progress.value, self.progress.layout.visibility = step, "visible"

    def _since(self) -> str:
        """What is other than in the pinned view."""
        now, then = self.scenario, self.pinned_scenario
        pairs = [(c.text, getattr(then, c.name), getattr(now, c.name)) for c in CONTROLS if c.name != "seed"]
        pairs.append(("Seed", self.pinned_seed, self.seed.value))
        differ = [f"{text} {old:g} to {new:g}" for text, old, new in pairs if old != new]
        return f"Since the pinned view ({', '.join(differ)}):" if differ else "Since the pinned view:"

    def _show(self, view: View):
        self.figure, self.table, self.words = view.figure, view.table, "\n".join(view.words)
        self.line, name = f"import edgecache as ec; {view.line}", self.view.value
        self._drawn[name], self._seen = view.figure, name
        image = base64.b64encode(runs.png(view.figure)).decode()
        csv = base64.b64encode(view.table.to_csv(index=False, float_format="%.10g", lineterminator="\n").encode()).decode()
        self.status.value, self.rows.value = "", view.rows
        self.picture.value = f'<img alt="{escape(VIEWS[name])}: {escape(self.words)}" src="data:image/png;base64,{image}">'
        self.told.value = "".join(f"<p>{escape(words)}</p>" for words in view.words)
        self.take.value = (
            f'<p><a class="download" download="edgecache-{name}.csv" href="data:text/csv;base64,{csv}">Table as CSV</a> '
            f'<a class="download" download="edgecache-{name}.png" href="data:image/png;base64,{image}">Figure as PNG</a></p>'
            f"{_copyable('The numbers', self.line)}{_copyable('This view', self._state())}"
        )

    # The code that tells where one is.

    def _said(self) -> str:
        """The scenario as a call: the named reading, and what differs from it."""
        reading, scenario = self.reading.value, self.scenario
        named = Scenario.named(reading)
        differ = {
            name: getattr(scenario, name)
            for name in self.sliders
            if name != "seed" and getattr(scenario, name) != getattr(named, name)
        }
        said = [f"{name}={value!r}" for name, value in differ.items()]
        if self._file:
            said.append(f"catalogue=ec.load_catalogue({self._file!r})")
        return (
            f"ec.Scenario({', '.join(said)})" if reading == "literal" else f"ec.Scenario.named({', '.join([repr(reading), *said])})"
        )

    def _state(self) -> str:
        """The call that opens the explorer on the present view."""
        named = Scenario.named(self.reading.value)
        usual = {"view": "compare", "reading": "literal", "looked_at": "ga", "slot": None, "over": "gpu_memory_gb", "seed": 0}
        said = {"catalogue": self._file} if self._file else {}
        for name, control in self.settings.items():
            if control.value != (usual[name] if name in usual else getattr(named, name)):
                said[name] = control.value
        if self.view.value not in ("timeline", "convergence"):
            said.pop("slot", None)
        if set(self.names) != set(DEFAULT):
            said["policies"] = self.names
        arguments = ", ".join(f"{name}={value!r}" for name, value in said.items())
        return f"from edgecache.explorer import Explorer; Explorer({arguments})"


def _classed(widget: W.Widget, name: str) -> W.Widget:
    widget.add_class(name)
    return widget


def _copyable(what: str, line: str) -> str:
    """A line of code and a button that copies it."""
    copy = "navigator.clipboard.writeText(this.parentElement.querySelector('code').textContent); this.textContent = 'Copied'"
    button = f'<button type="button" aria-label="Copy: {what}" onclick="{copy}">Copy</button>'
    return f'<div class="code">{button} <span>{what}:</span> <code>{escape(line)}</code></div>'
