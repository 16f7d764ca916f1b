"""The views of the explorer: what each shows of one server, as a figure, a table, sentences, and a line of code for its numbers.

A view is a function of a Setting. It computes nothing itself: runs come from `simulate` and `sweep`, sentences from
`analysis.comparison` and `analysis.explanations`, figures from `figures`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.comparison import change, comparison, ranking, scarcity
from ..analysis.explanations import decision_at, evolution, explain
from ..errors import InputError, TooManyDeployments
from ..figures import runs as run_figures
from ..figures import system
from ..figures.style import BOUND_CLASSES, is_bound, label
from ..figures.sweeps import cloud_shares
from ..policies.exact import Exact
from ..results import CLOUD, HIT, MISS, Simulation
from ..scenario import Scenario
from ..simulator import simulate
from ..sweeps import sweep
from .markup import comparison_rows, scrolling

SWEEP_REQUESTS = 2100  # per point of a sweep, in 1 to 5 replications of each policy: under two seconds in all


@dataclass(frozen=True)
class Setting:
    """One server and demand, a seed, and the policies to compare."""

    scenario: Scenario
    seed: int
    policies: tuple[str, ...]
    call: str  # the code that makes the scenario, such as ec.Scenario(gpu_memory_gb=6)


@dataclass(frozen=True)
class View:
    """What a view shows. `rows` is HTML, the part of the table to read; `line` runs where edgecache is imported as ec."""

    figure: Figure
    table: pd.DataFrame
    sentences: tuple[str, ...]
    line: str
    rows: str = ""


@lru_cache(maxsize=64)
def simulated(scenario: Scenario, policy: str, seed: int) -> Simulation:
    """Simulate, and cache the last 64 results because all views use them."""
    return simulate(scenario, policy, seed)


def _require_policies(setting: Setting) -> None:
    if all(map(is_bound, setting.policies)):
        raise InputError("no policy is chosen to compare; choose one or more under Policies, bounds aside")


def _runs(setting: Setting) -> tuple[dict[str, Simulation], list[str], list[str]]:
    """The runs by the policy's name on this server, the policies chosen, and a sentence for each policy left out."""
    _require_policies(setting)
    runs, names, left_out = {}, [], []
    for name in setting.policies:
        try:
            run = simulated(setting.scenario, name, setting.seed)
            runs[run.policy] = run
            names.append(name)
        except TooManyDeployments as error:
            left_out.append(f"{label(name)} is left out: {error}.")
    return runs, names, [" ".join(left_out)] if left_out else []


def comparison_table(setting: Setting) -> pd.DataFrame:
    """The table that `compare` shows, for another setting to be compared with."""
    return comparison(_runs(setting)[0])


def compare(setting: Setting, before: pd.DataFrame | None = None, since: str = "", figure: Figure | None = None) -> View:
    """Show policies side by side; `before` is the pinned comparison, and `since` names what differs from there."""
    runs, names, left_out = _runs(setting)
    table, cloud = comparison(runs), _cloud_share(next(iter(runs.values())))
    sentences = [ranking(table), scarcity(table)]
    if cloud:
        sentences.append(f"The service delay leaves out {cloud:.0%} of the requests, more than on the default server.")
    if table["policy"].map(is_bound).any():
        sentences.append(f"Bounds hold {BOUND_CLASSES[setting.scenario.scope]}.")
    if before is not None and (changed := change(table, before)):
        sentences.append(f"{since} {changed}")
    line = f"ec.sweep({{}}, {names}, 1, {setting.call}, seed={setting.seed})"
    bars = run_figures.comparison_bars(table, before, figure, cloud)
    return View(bars, table, (*sentences, *left_out), line, comparison_rows(table, before))


def _cloud_share(run: Simulation) -> float:
    """The share of requests that the cloud serves, if it is more than the default server leaves it; else 0."""
    try:
        fits = Scenario(run.scenario.catalogue).fits_empty_server
    except InputError:  # the default server holds no model of this catalogue
        return 0.0
    on_cloud, by_default = (run.outcome == CLOUD).sum(), (~fits[run.trace.model]).sum()
    return float(on_cloud / len(run.trace)) if on_cloud > by_default else 0.0


def timeline(setting: Setting, policy: str, slot: int, figure: Figure | None = None) -> View:
    """Show the deployments of a policy over time, and explain its decisions in a slot."""
    run = simulated(setting.scenario, policy, setting.seed)
    counts = f"{(run.outcome == HIT).sum()} hits, {(run.outcome == MISS).sum()} misses and {len(run.evictions)} evictions"
    call = f"run = ec.simulate({setting.call}, {policy!r}, {setting.seed})"
    return View(
        run_figures.timeline(run, slot, figure),
        run.events,
        (f"{label(run.policy)}, {run.trace.slots} slots: {counts}.",),
        f"{call}; print(ec.explain(run, {slot})); run.events",
        scrolling("Decisions of the slot", explain(run, slot)._repr_html_()),
    )


def capacity(setting: Setting, figure: Figure | None = None) -> View:
    """Show what each policy has in use over time, against the limits."""
    runs, names, left_out = _runs(setting)
    columns = ["storage_gb", "gpu_memory_gb", "power_kw"]
    used = [pd.DataFrame(run.used, columns=columns).assign(policy=name).rename_axis("slot") for name, run in runs.items()]
    sentences = (scarcity(comparison(runs)), "Power includes the static power of the server.", *left_out)
    line = f"{{name: ec.simulate({setting.call}, name, {setting.seed}).used for name in {names}}}"
    return View(run_figures.capacity_use(runs, figure), pd.concat(used).reset_index(), sentences, line)


def convergence(setting: Setting, slot: int) -> View:
    """Show the generations of the GA at its first decision of a slot, with the random numbers of the run, and the optimum."""
    run = simulated(setting.scenario, "ga", setting.seed)
    missed = np.flatnonzero(run.outcome == MISS)
    if not len(missed):
        raise InputError("the GA decides nothing in this run, because nothing is missed")
    request = int(missed[np.abs(run.trace.slot[missed] - slot).argmin()])  # of the nearest slot with a miss
    here = run.trace.slot[request]
    nearest = "" if here == slot else f", the nearest with a miss to slot {slot}"
    decision, log = decision_at(run, request), evolution(run, request, setting.seed)
    optimum = float(decision.cost(Exact().decide(decision)))
    optimal = np.flatnonzero(np.isclose(log["met"], optimum, rtol=1e-9, atol=0))
    outcome = f"meets the optimum in generation {optimal[0]}" if len(optimal) else f"does not meet the optimum, {optimum:.4g}"
    service = setting.scenario.catalogue.services[decision.requested]
    sentence = (
        f"Request {request}, for {service}, is the first miss of slot {here}{nearest}; "
        f"models deployed then: {decision.deployed.sum()}. "
        f"The GA {outcome} and stops after generation {log['generation'].iloc[-1]}."
    )
    call = f"ec.simulate({setting.call}, 'ga', {setting.seed})"
    line = f"from edgecache.analysis.explanations import evolution; evolution({call}, {request}, {setting.seed})"
    return View(system.convergence(log.assign(optimum=optimum)), log, (sentence,), line)


def sweeping(setting: Setting, name: str, values: Sequence[float]) -> Iterator[float | View]:
    """Sweep over a parameter or the seed: yields the share done (0 to 1) after each point, and in the end the view."""
    _require_policies(setting)
    scenario, seeds = setting.scenario, name == "seed"
    present = setting.seed if seeds else getattr(scenario, name)
    points, impossible = _points(scenario, name, sorted({*values, present}))
    requests = np.mean([point.slots * point.requests_per_slot for point in points.values()])
    replications = int(np.clip(SWEEP_REQUESTS / requests / len(setting.policies), 1, 5))
    rows = []
    for done, (value, point) in enumerate(points.items(), 1):
        seed, vary = (int(value), {}) if seeds else (setting.seed, {name: [value]})
        rows.append(sweep(vary, setting.policies, replications, point, seed=seed, jobs=1, progress=False))
        if seeds:
            rows[-1].insert(0, name, value)
        yield done / len(points)
    table = pd.concat(rows, ignore_index=True)
    rest = f"{list(setting.policies)}, {replications}, {setting.call}"
    line = f"ec.sweep({{{name!r}: {list(points)}}}, {rest}, seed={setting.seed})"
    if seeds:
        line = f"{{seed: ec.sweep({{}}, {rest}, seed=seed) for seed in {list(points)}}}"
    sentences = _sweep_sentences(table, replications, impossible)
    yield View(run_figures.sweep_trends(table, present), table, sentences, line)


def _points(scenario: Scenario, name: str, values: Sequence[float]) -> tuple[dict[float, Scenario], dict[float, str]]:
    """The scenario at each value of a sweep, and the reason for each value that no server can have."""
    points, impossible = {}, {}
    for value in values:
        try:
            points[value] = scenario if name == "seed" else scenario.vary(**{name: value})  # type: ignore[arg-type] # no reading
        except InputError as error:
            impossible[value] = f"{error}"
    return points, impossible


def _sweep_sentences(table: pd.DataFrame, replications: int, impossible: dict[float, str]) -> tuple[str, ...]:
    sentences = [f"Each point: {replications} replication{'s' * (replications > 1)}, the same traces for every policy."]
    cloud = cloud_shares(table)
    if len(cloud):
        values = ", ".join(f"{value:g}" for value in cloud.index)
        sentences.append(
            f"Hollow markers, at {values}: the cloud serves up to {cloud.max():.0%} of the requests, more than at the default, "
            "because even an empty server could not hold their models. Costs and delays leave those requests out."
        )
    if impossible:
        worst = next(iter(impossible))
        left_out = ", ".join(f"{value:g}" for value in impossible)
        sentences.append(f"Left out: {left_out}. At {worst:g} {impossible[worst]}.")
    return tuple(sentences)
