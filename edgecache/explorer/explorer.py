"""The explorer: sliders over one server, and at once what its policies cost, keep and evict."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..catalogue import load_catalogue, parse_catalogue
from ..errors import InputError, whole_number
from ..figures import runs
from ..scenario import OPEN, Scenario
from . import markup, state, views
from .controls import CONTROLS, DEFAULT, VIEWS, move
from .panel import Panel
from .views import Setting, View

LARGEST, MOST_MODELS = 1_000_000, 1000  # bytes and models of an uploaded catalogue


class Explorer(Panel):
    """Show sliders over one edge server, and what its policies cost, keep and evict.

    Parameters
    ----------
    catalogue : str or Path, optional
        A catalogue in CSV; the shipped one by default.
    **start
        Where to begin: `view`, `reading`, `policy_shown`, `slot`, `over` (the parameter of a sweep), `policies`, `seed`, and any
        parameter of a slider. The widget of each is an attribute of that name: `explorer.gpu_memory_gb.value = 6` moves a slider.

    Attributes
    ----------
    figure, table, text, line
        What the present view shows: its figure, its table, its sentences, and a line of code that gives the same numbers.
    scenario : edgecache.Scenario
        What the sliders say.

    Raises
    ------
    InputError
        For a name or a value that no control takes.

    Examples
    --------
    >>> from edgecache.explorer import Explorer
    >>> explorer = Explorer(gpu_memory_gb=6, slots=10, policies=["lru", "ga"])
    >>> explorer.table["policy"].tolist()
    ['lru', 'ga']
    >>> explorer
    from edgecache.explorer import Explorer; Explorer(gpu_memory_gb=6.0, slots=10, policies=['lru', 'ga'])

    Notes
    -----
    In a notebook, end a cell with the explorer to show it; `make app` serves it as a page.
    """

    def __init__(self, *, catalogue: str | Path = "", **start: Any) -> None:
        super().__init__()
        self.figure: Figure | None = None
        self.table, self.text, self.line = pd.DataFrame(), "", ""
        self.task: asyncio.Task | None = None  # the sweep under way
        self._figures: dict[str, Figure] = {}  # by view, to draw in again
        self._view_shown = ""
        self._quiet = False  # set while several controls move
        self._shipped = load_catalogue()
        self._models, self._file = (load_catalogue(catalogue) if catalogue else self._shipped), str(catalogue)
        self._first, self.pinned = (self._models, self._file), None
        self._describe_catalogue()
        self._observe()
        named = Scenario().vary(reading=start.get("reading", "literal"))
        usual = {name: control.value for name, control in self.settings.items()}
        usual |= {name: getattr(named, name) for name in (*OPEN, "scope")}
        self._start = usual | {"policies": DEFAULT} | start
        self._set(**self._start)
        if "slot" not in start:
            self._step(1)
            self._start["slot"] = self.slot.value
        self._pin()

    def __repr__(self) -> str:
        return state.explorer_call({name: w.value for name, w in self.settings.items()}, self.names, self._file)

    @property
    def scenario(self) -> Scenario:
        """The scenario that the sliders describe. Raises InputError where no server can be so."""
        values = {name: slider.value for name, slider in self.sliders.items() if name != "seed"}
        return Scenario().vary(reading=self.reading.value, catalogue=self._models, scope=self.scope.value, **values)

    @property
    def names(self) -> list[str]:
        """The policies to compare."""
        return [name for name, box in self.policies.items() if box.value]

    @property
    def setting(self) -> Setting:
        """What the views show."""
        scenario = self.scenario
        call = state.scenario_call(self.reading.value, scenario, self._file)
        return Setting(scenario, self.seed.value, tuple(self.names), call)

    async def settled(self) -> None:
        """Wait until the sweep under way, if any, has ended."""
        while self.task is not None and not self.task.done():
            await asyncio.wait([self.task])

    def _observe(self) -> None:
        for widget in (*self.settings.values(), *self.policies.values()):
            widget.observe(self._changed, "value")
        self.upload.observe(self._uploaded, "value")
        self.shipped.on_click(lambda _: self._take(self._shipped, ""))
        self.earlier.on_click(lambda _: self._step(-1))
        self.later.on_click(lambda _: self._step(1))
        self.pin.on_click(lambda _: self._pin())
        self.reset.on_click(lambda _: self._reset())

    def _changed(self, change: dict) -> None:
        if self._quiet:
            return
        if change["owner"] is self.reading:
            self._set(reading=change["new"])
        else:
            self._redraw()

    def _set(self, policies: Sequence[str] | None = None, **values: Any) -> None:
        """Set several controls, then draw once. A reading sets the scope, and the numbers that the paper leaves open, too."""
        self.require_known(policies or (), values)
        if "reading" in values:
            named = Scenario.named(values["reading"])
            values = {name: getattr(named, name) for name in (*OPEN, "scope")} | values
        with self._quietly():
            self._move(values)
            for name, box in self.policies.items():
                box.value = box.value if policies is None else name in policies
        self._redraw()

    def _move(self, values: dict[str, Any]) -> None:
        for name, slider in self.sliders.items():
            if name in values:
                move(slider, name, values[name])
        whole_number("slot", values.get("slot", 0), least=0, most=self.slots.value - 1)
        self.slot.max = self.slots.value - 1
        for name, value in values.items():
            if name not in self.sliders:
                self.settings[name].value = value

    def _reset(self) -> None:
        self._models, self._file = self._first
        self._describe_catalogue()
        self._set(**self._start)
        self._pin()

    def _pin(self) -> None:
        """Keep the present comparison, for later ones to be compared with."""
        with self._showing_errors():
            self.pinned, self.pinned_scenario, self.pinned_seed = None, self.scenario, self.seed.value
            self.pinned = views.comparison_table(self.setting)
        self._redraw()

    def _step(self, direction: int) -> None:
        """Show the next slot in which the policy shown evicts, or the one before."""
        with self._showing_errors():
            policy = self.policy_shown.value if self.view.value == "timeline" else "ga"
            run = views.simulated(self.scenario, policy, self.seed.value)
            slots = np.unique(run.trace.slot[run.evictions[:, 0] - 1])
            slots = slots[slots > self.slot.value] if direction > 0 else slots[slots < self.slot.value][::-1]
            if len(slots):
                self.slot.value = int(slots[0])

    def _uploaded(self, change: dict) -> None:
        for file in change["new"]:
            self.use_catalogue(Path(file["name"]).name, bytes(file["content"]))
        if change["new"]:
            self.upload.value = ()  # so that the same file may come again

    def use_catalogue(self, name: str, content: bytes) -> None:
        """Use the catalogue in the bytes of a CSV file; if it cannot be read, say so beside the control and keep the old one."""
        try:
            if len(content) > LARGEST:
                raise InputError(f"{name} has {len(content)} bytes; a catalogue may have {LARGEST}")
            models = parse_catalogue(content, name)
            if len(models) > MOST_MODELS:
                raise InputError(f"{name} has {len(models)} models; the explorer takes {MOST_MODELS}")
        except InputError as error:
            self.catalogue.value = markup.problem(f"{error}. The catalogue stays as it was.")
        else:
            self._take(models, name)

    def _take(self, models: Any, file: str) -> None:
        self._models, self._file = models, file
        self._describe_catalogue()
        self._redraw()

    def _describe_catalogue(self) -> None:
        name = escape(self._file or "Shipped catalogue")
        self.catalogue.value = f"<p>{name}: {len(self._models)} models, {self._models.size_gb.sum():.4g} GB</p>"

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Move controls without drawing."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    @contextmanager
    def _showing_errors(self) -> Iterator[None]:
        """Show an error in the place of the figure: in a page, nobody sees an exception of a callback."""
        try:
            yield
        except InputError as error:
            self._fail(str(error))
        except Exception as error:  # a defect; the figure of another setting must not stay
            self._fail(f"this is a defect of edgecache, {type(error).__name__}: {error}")

    def _fail(self, message: str) -> None:
        self._clear()
        self.progress.layout.visibility = "hidden"
        self.status.value = markup.problem(message)

    def _clear(self) -> None:
        self.figure, self.table, self.text, self.line, self._view_shown = None, pd.DataFrame(), "", "", ""
        for html in (self.status, self.picture, self.sentences, self.rows, self.downloads):
            html.value = ""

    def _redraw(self) -> None:
        if self.task is not None:
            self.task.cancel()
            self.task = None
        self.show_rows_of(self.view.value)
        with self._showing_errors():
            setting = self.setting
            with self._quietly():
                self.slot.max = setting.scenario.slots - 1
            self._draw(self.view.value, setting)

    def _draw(self, view: str, setting: Setting) -> None:
        figure = self._figures.get(view)
        if view == "compare":
            self._show(views.compare(setting, *self._pinned_comparison(setting), figure))
        elif view == "timeline":
            self._show(views.timeline(setting, self.policy_shown.value, self.slot.value, figure))
        elif view == "capacity":
            self._show(views.capacity(setting, figure))
        elif view == "convergence":
            self._show(views.convergence(setting, self.slot.value))
        else:
            before = self.picture.value if self._view_shown == view else ""  # a picture of another view must not stay
            self._clear()
            self.picture.value, self._view_shown = before, view if before else ""
            self.status.value = "<p>The sweep before, until this one is done.</p>" if before else ""
            values = next(control.sweep for control in CONTROLS if control.name == self.over.value)
            self._sweep(views.sweeping(setting, self.over.value, values))

    def _pinned_comparison(self, setting: Setting) -> tuple[pd.DataFrame | None, str]:
        """The pinned comparison and what changed since, where something did."""
        if self.pinned is None or (setting.scenario, setting.seed) == (self.pinned_scenario, self.pinned_seed):
            return None, ""
        return self.pinned, state.changes_since(self.pinned_scenario, self.pinned_seed, setting.scenario, setting.seed)

    def _sweep(self, steps: Iterator[float | View]) -> None:
        """Take the steps of a sweep: in a kernel one by one, so that changes are noticed in between; else at once."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            for step in steps:
                self._take_step(step)
        else:
            self.task = loop.create_task(self._walk(steps))

    async def _walk(self, steps: Iterator[float | View]) -> None:
        with self._showing_errors():
            for step in steps:
                self._take_step(step)
                await asyncio.sleep(0)

    def _take_step(self, step: float | View) -> None:
        if isinstance(step, View):
            self._show(step)
            self.progress.layout.visibility = "hidden"
        else:
            self.progress.value, self.progress.layout.visibility = step, "visible"

    def _show(self, view: View) -> None:
        name = self.view.value
        self.figure, self.table, self.text = view.figure, view.table, "\n".join(view.sentences)
        self.line = f"import edgecache as ec; {view.line}"
        self._figures[name], self._view_shown = view.figure, name
        png = runs.png(view.figure)
        self.status.value, self.rows.value = "", view.rows
        self.picture.value = markup.picture(png, f"{VIEWS[name]}: {self.text}")
        self.sentences.value = markup.paragraphs(view.sentences)
        lines = markup.copyable("The numbers", self.line) + markup.copyable("This view", repr(self))
        self.downloads.value = markup.downloads(name, view.table, png) + lines
