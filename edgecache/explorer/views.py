"""The explorer's views: what each shows of one server, as a figure, a table, words, and the line of code that gives the numbers.

A view is a function of a Setting; explorer.py has the widgets that make one. It computes nothing: runs come from `simulate` and
`sweep`, words from comparison.py and explain.py, figures from run_figures.py and figures.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.comparison import change, comparison, differences, policies_of, ranking, scarcity
from ..analysis.explanations import decision_at, evolution, explain
from ..errors import InputError, TooManyDeployments
from ..figures import runs as run_figures
from ..figures import system
from ..figures.style import label, stands_for
from ..policies import BOUNDS
from ..policies.exact import Exact
from ..results import HIT, MISS, Simulation
from ..scenario import Scenario
from ..simulator import simulate
from ..sweeps import sweep

REQUESTS = (
    2100  # a sweep simulates about so many requests a point, 1 to 5 replications of each policy, to take less than two seconds
)


@dataclass(frozen=True)
class Setting:
    """One server and demand, a seed, and the policies to compare."""

    scenario: Scenario
    seed: int
    policies: tuple[str, ...]
    said: str  # the call that makes the scenario, such as ec.Scenario(gpu_memory_gb=6)


@dataclass(frozen=True)
class View:
    """What is to be seen. `rows` is HTML, what is worth reading of the table; `line` runs where edgecache is imported as ec."""

    figure: Figure
    table: pd.DataFrame
    words: tuple[str, ...]
    line: str
    rows: str = ""


@lru_cache(maxsize=64)
def played(scenario: Scenario, policy: str, seed: int) -> Simulation:
    """A run; those of late are kept, for the views share them."""
    return simulate(scenario, policy, seed)


def _checked(setting: Setting) -> None:
    if not set(map(stands_for, setting.policies)) - set(BOUNDS):
        raise InputError("no policy is chosen to compare; choose one or more under Policies, bounds aside")


def _runs(setting: Setting) -> tuple[dict[str, Simulation], list[str], str]:
    """The runs, by the name that each policy goes by on this server; which policies those are; and who is left out and why."""
    _checked(setting)
    runs, names, missing = {}, [], []
    for name in setting.policies:
        try:
            run = played(setting.scenario, name, setting.seed)
            runs[run.policy] = run
            names.append(name)
        except TooManyDeployments as error:
            missing.append(f"{label(name)} is left out: {error}.")
    return runs, names, " ".join(missing)


def compared(setting: Setting) -> pd.DataFrame:
    """The comparison that `compare` shows, and that another setting's may be held against."""
    return comparison(_runs(setting)[0])


def compare(setting: Setting, before: pd.DataFrame | None = None, since: str = "", figure: Figure | None = None) -> View:
    """Policies side by side; `before` is another comparison to hold it against, and `since` says what differs from there."""
    runs, names, missing = _runs(setting)
    table = comparison(runs)
    words = [ranking(table), scarcity(table)]
    if before is not None and (changed := change(table, before)):
        words.append(f"{since} {changed}")
    line = f"ec.sweep({{}}, {names}, 1, {setting.said}, seed={setting.seed})"
    drawn = run_figures.compared(table, before, figure)
    return View(drawn, table, (*words, *filter(None, [missing])), line, _rows(table, before))


def timeline(setting: Setting, policy: str, slot: int, figure: Figure | None = None) -> View:
    """The deployments of a policy over time, and why it decided as it did in a slot."""
    run = played(setting.scenario, policy, setting.seed)
    counts = f"{(run.outcome == HIT).sum()} hits, {(run.outcome == MISS).sum()} misses and {len(run.evictions)} evictions"
    call = f"run = ec.simulate({setting.said}, {policy!r}, {setting.seed})"
    return View(
        run_figures.timeline(run, slot, figure),
        run.events,
        (f"{label(run.policy)}, {run.trace.slots} slots: {counts}.",),
        f"{call}; print(ec.explain(run, {slot})); run.events",
        _scrolling("Decisions of the slot", explain(run, slot)._repr_html_()),
    )


def capacity(setting: Setting, figure: Figure | None = None) -> View:
    """What the policies compared have in use over time, against the limits."""
    runs, names, missing = _runs(setting)
    columns = ["storage_gb", "gpu_memory_gb", "power_kw"]
    used = [pd.DataFrame(run.used, columns=columns).assign(policy=name).rename_axis("slot") for name, run in runs.items()]
    words = (scarcity(comparison(runs)), "Power includes what the server draws whatever is deployed.", *filter(None, [missing]))
    line = f"{{name: ec.simulate({setting.said}, name, {setting.seed}).used for name in {names}}}"
    return View(run_figures.capacity_use(runs, figure), pd.concat(used).reset_index(), words, line)


def convergence(setting: Setting, slot: int) -> View:
    """The generations of the GA at its first decision of a slot, with the chances that the run drew, and the optimum."""
    run = played(setting.scenario, "ga", setting.seed)
    missed = np.flatnonzero(run.outcome == MISS)
    if not len(missed):
        raise InputError("the GA decides nothing in this run, for nothing is missed")
    request = int(missed[np.abs(run.trace.slot[missed] - slot).argmin()])  # where nothing is missed in the slot, the nearest
    here = run.trace.slot[request]
    nearest = "" if here == slot else f", the nearest with a miss to slot {slot}"
    decision, log = decision_at(run, request), evolution(run, request, setting.seed)
    least = decision.cost(Exact().decide(decision))
    optimal = np.flatnonzero(np.isclose(log["met"], least, rtol=1e-9, atol=0))
    found = f"meets the optimum in generation {optimal[0]}" if len(optimal) else f"does not meet the optimum, {least:.4g}"
    service = setting.scenario.catalogue.services[decision.requested]
    words = (
        f"Request {request}, for {service}, is the first miss of slot {here}{nearest}; "
        f"models deployed then: {decision.deployed.sum()}. The GA {found} and stops after generation {log['generation'].iloc[-1]}.",
    )
    call = f"ec.simulate({setting.said}, 'ga', {setting.seed})"
    line = f"from edgecache.analysis.explanations import evolution; evolution({call}, {request}, {setting.seed})"
    return View(system.convergence(log, least), log, words, line)


def sweeping(setting: Setting, name: str, values: Sequence[float]) -> Iterator[float | View]:
    """A sweep over a parameter or the seed: after each point how much is done (0 to 1), and in the end the view."""
    _checked(setting)
    scenario, seeds = setting.scenario, name == "seed"
    present = setting.seed if seeds else getattr(scenario, name)
    values = sorted({*values, present})
    points, impossible = {}, {}
    for value in values:
        try:
            points[value] = scenario if seeds else scenario.vary(**{name: value})
        except InputError as error:
            impossible[value] = f"{error}"
    requests = np.mean([point.slots * point.requests_per_slot for point in points.values()])
    replications = int(np.clip(REQUESTS / requests / len(setting.policies), 1, 5))
    rows = []
    for done, (value, point) in enumerate(points.items(), 1):
        seed, vary = (value, {}) if seeds else (setting.seed, {name: [value]})
        rows.append(sweep(vary, setting.policies, replications, point, seed=seed, jobs=1, progress=False))
        if seeds:
            rows[-1].insert(0, name, value)
        yield done / len(points)
    table = pd.concat(rows, ignore_index=True)
    words = [f"Each point: {replications} replication{'s' * (replications > 1)}, the same traces for every policy."]
    cloud = (table["cloud_requests"] / table["requests"]).groupby(table[name]).mean()
    if (cloud > 0).any():
        words.append(
            f"At {', '.join(f'{value:g}' for value in cloud[cloud > 0].index)} the server could not hold every model even if it "
            f"were empty: the cloud serves up to {cloud.max():.0%} of the requests, which neither costs nor delays count."
        )
    if impossible:
        worst = next(iter(impossible))
        words.append(f"Left out: {', '.join(f'{value:g}' for value in impossible)}. At {worst:g} {impossible[worst]}.")
    rest = f"{list(setting.policies)}, {replications}, {setting.said}"
    line = f"ec.sweep({{{name!r}: {list(points)}}}, {rest}, seed={setting.seed})"
    if seeds:
        line = f"{{seed: ec.sweep({{}}, {rest}, seed=seed) for seed in {list(points)}}}"
    yield View(run_figures.swept(table, present), table, tuple(words), line)


COLUMNS = {
    "total_cost": ("Cost a slot", "{:.4g}"),
    "switching_cost": ("of it switching", "{:.3g}"),
    "resource_cost": ("of it resources", "{:.4g}"),
    "service_delay_s": ("Service delay (s)", "{:.3g}"),
    "hit_ratio": ("Hit ratio", "{:.1%}"),
    "used_storage_gb": ("Storage used (GB)", "{:.3g}"),
    "used_gpu_memory_gb": ("GPU memory used (GB)", "{:.3g}"),
    "crowded_gpu_memory_gb": ("Misses without room on the GPU", "{:.0f}"),
}


def _rows(table: pd.DataFrame, before: pd.DataFrame | None) -> str:
    """The comparison as a table to read: each number, its difference to the best, and what it was before."""
    order = [*policies_of(table)["policy"], *(name for name in table["policy"] if stands_for(name) in BOUNDS)]
    apart, own = differences(table).set_index("policy").to_dict("index"), table.set_index("policy").to_dict("index")
    was = {} if before is None else before.set_index("policy").to_dict("index")
    lines = []
    for name in order:
        cells = [f'<th scope="row">{escape(label(name))}</th>']
        for column, (_, form) in COLUMNS.items():
            cell, more = form.format(own[name][column]), apart[name].get(column, 0)
            if more and np.isfinite(more) and stands_for(name) not in BOUNDS:
                cell += f" ({100 * more:+.0f}{' points' if column == 'hit_ratio' else '%'})"
            if name in was:
                cell += f'<span class="was">was {form.format(was[name][column])}</span>'
            cells.append(f"<td>{cell.replace('nan%', 'none').replace('nan', 'none')}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f'<th scope="col">{title}</th>' for title, _ in COLUMNS.values())
    head = f'<table><thead><tr><th scope="col">Policy</th>{heads}</tr></thead>'
    return _scrolling("The policies compared", f"{head}<tbody>{''.join(lines)}</tbody></table>")


def _scrolling(title: str, html: str) -> str:
    """A region that scrolls by itself where the page is too narrow, with the keyboard too."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">{html}</div>'
