"""Every committed figure is what its committed tables give, drawn again now, and no text leaves it."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from PIL import Image
from support.layout import pixels, texts_of, texts_outside

from edgecache import PAPER, Scenario, reductions, sweep
from edgecache.claims.catalogues import shares_that_hold
from edgecache.claims.design import read_readings
from edgecache.figures import optimality, profiling, readings, shares, sweeps, system, workloads
from edgecache.figures.output import source_tables
from edgecache.figures.style import STYLE
from edgecache.figures.tradeoff import cost_against_delay
from edgecache.profiling.comparisons import compare, read_replay
from edgecache.profiling.profile_files import companion, read_profile

ROOT = Path(__file__).parents[2]
RESULTS, PROFILE = ROOT / "data/results", ROOT / "data/profiles/example.csv"
FIGURES = sorted(path.stem for path in (ROOT / "figures").glob("*.png"))
PER_MODEL = "arrival_rate_per_model"


@cache
def table(name):
    return read_readings(RESULTS / name) if name.endswith(".parquet") else pd.read_csv(RESULTS / f"{name}.csv")


def trend(name, outcomes=("total_cost",), xlabel=None):
    return lambda: sweeps.trends(table(name), outcomes, xlabel)


def boxes(name, xlabel=None):
    return lambda: sweeps.cost_boxes(table(name), xlabel)


def users(name, xlabel=None):
    return lambda: sweeps.users_boxes(table(name), xlabel)


def drawn_delays():
    note = (
        "drawn from the catalogue, not measured: 30 cycles of 10 executions at 10 Gbit/s, "
        "log-normal spread of 10%;\n"
        "bars: medians of each phase, numbers: preloaded delay, whiskers: 5th to 95th percentile of the sum"
    )
    return profiling.service_delay(table("fig1-service-delay"), note)


def measured_delays():
    measured = read_profile(PROFILE)
    return profiling.service_delay(
        table("fig1-service-delay-measured"), profiling.measured_note(measured, 10.0), measured.load_label
    )


def replayed():
    requests, summary = table("replay-predicted-and-measured"), compare(read_replay(companion(PROFILE, "replay.csv")))
    note = f"one trace of {summary['requests'].iloc[0]} requests against real networks on {read_profile(PROFILE).machine}"
    return profiling.replay(requests, summary, note)


def headline():
    closest = reductions(sweep({}, PAPER, 200, Scenario.named("closest"), jobs=1, progress=False))  # as notebook 06 does
    marks = {"literal": table("reductions"), "closest": closest}
    return readings.headline(
        table("readings.parquet"), {name: tuple(rows["reduction"].agg(["min", "max"])) for name, rows in marks.items()}
    )


REDRAWN = {
    "fig1-service-delay": drawn_delays,
    "fig1-service-delay-measured": measured_delays,
    "fig2-framework": system.framework,
    "fig3a-cost-vs-storage": trend("fig3a-cost-vs-storage"),
    "fig3a-users-vs-storage": trend("fig3a-cost-vs-storage", sweeps.USERS),
    "fig3b-cost-vs-gpu-memory": trend("fig3b-cost-vs-gpu-memory"),
    "fig3b-users-vs-gpu-memory": trend("fig3b-cost-vs-gpu-memory", sweeps.USERS),
    "fig3c-cost-distribution-vs-storage": boxes("fig3c-cost-distribution-vs-storage"),
    "fig3c-users-distribution-vs-storage": users("fig3c-users-distribution-vs-storage"),
    "fig3d-cost-distribution-vs-gpu-memory": boxes("fig3d-cost-distribution-vs-gpu-memory"),
    "fig3d-users-distribution-vs-gpu-memory": users("fig3d-users-distribution-vs-gpu-memory"),
    "fig4a-cost-vs-slots": trend("fig4a-cost-vs-slots"),
    "fig4a-users-vs-slots": trend("fig4a-cost-vs-slots", sweeps.USERS),
    "fig4b-cost-distribution-vs-slots": boxes("fig4b-cost-distribution-vs-slots"),
    "fig4b-users-distribution-vs-slots": users("fig4b-users-distribution-vs-slots"),
    "fig4c-cost-vs-arrival-rate": trend("fig4c-cost-vs-arrival-rate"),
    "fig4c-users-vs-arrival-rate": trend("fig4c-cost-vs-arrival-rate", sweeps.USERS),
    "fig4c-equal-cost-vs-arrival-rate-per-model": trend("fig4c-equal-cost-vs-arrival-rate-per-model", xlabel=PER_MODEL),
    "fig4c-equal-users-vs-arrival-rate-per-model": trend("fig4c-equal-cost-vs-arrival-rate-per-model", sweeps.USERS, PER_MODEL),
    "fig4d-cost-distribution-vs-arrival-rate": boxes("fig4d-cost-distribution-vs-arrival-rate"),
    "fig4d-users-distribution-vs-arrival-rate": users("fig4d-users-distribution-vs-arrival-rate"),
    "fig4d-equal-cost-distribution-vs-arrival-rate-per-model": boxes(
        "fig4d-equal-cost-distribution-vs-arrival-rate-per-model", PER_MODEL
    ),
    "fig4d-equal-users-distribution-vs-arrival-rate-per-model": users(
        "fig4d-equal-users-distribution-vs-arrival-rate-per-model", PER_MODEL
    ),
    "headline-cost-and-delay-vs-gpu-memory": trend("fig3b-cost-vs-gpu-memory", ("total_cost", "service_delay_s")),
    "algorithm1-convergence": lambda: system.convergence(table("algorithm1-convergence")),
    "optimality-gap-split": lambda: optimality.gap_split(table("optimality-gap-split")),
    "optimality-gap-split-estimated": lambda: optimality.gap_split(table("optimality-gap-split-estimated")),
    "optimality-ga-certificate": lambda: optimality.certificate(table("optimality-ga-certificate")),
    "optimality-growth": lambda: optimality.growth(table("scaling")),
    "optimality-tradeoff": lambda: cost_against_delay(table("optimality-tradeoff")),
    "optimality-capacity-map": lambda: optimality.capacity_map(table("optimality-capacity-map")),
    "readings-ledger": lambda: readings.ledger(table("claims")),
    "readings-heat-map": lambda: readings.heat_map(table("readings-best"), table("claims"), table("readings.parquet")),
    "readings-sensitivity": lambda: readings.sensitivity(table("readings-sensitivity")),
    "readings-headline": headline,
    "readings-scopes": lambda: shares.scopes(table("readings-scopes")),
    "readings-catalogues": lambda: shares.catalogues(shares_that_hold(table("readings-catalogues"))),
    "replay-predicted-and-measured": replayed,
    "workloads-delay-ecdf": lambda: workloads.delay_ecdf(table("workloads-delay-ecdf"), 10.0),
    "workloads-deployed": lambda: workloads.excess(table("workloads-deployed")),
    "workloads-dial-delay": lambda: workloads.dial(table("workloads-dial-delay")),
    "workloads-dial-literal": lambda: workloads.dial(table("workloads-dial-literal")),
    "workloads-ranks": lambda: workloads.ranks(table("workloads-ranks")),
}


def test_every_committed_figure_is_redrawn():
    assert sorted(REDRAWN) == FIGURES == sorted(path.stem for path in (ROOT / "figures").glob("*.pdf"))


@pytest.mark.parametrize("name", FIGURES)
def test_a_committed_figure_is_what_its_tables_give(name):
    """Nearly every pixel is equal; a few may differ where another processor rounds otherwise."""
    with rc_context(STYLE):
        figure = REDRAWN[name]()
        redrawn = pixels(figure, STYLE["savefig.dpi"])
    committed = np.asarray(Image.open(ROOT / f"figures/{name}.png").convert("RGB"), dtype=int)
    assert redrawn.shape == committed.shape
    apart = (np.abs(redrawn - committed).max(axis=2) > 8).mean()
    assert apart < 1e-4, f"figures/{name}.png is stale: {apart:.2%} of its pixels differ"
    assert len(texts_of(figure)) > 5 and not texts_outside(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_a_committed_figure_names_its_tables(name):
    """By the rules of data/README.md: the table of its name, and for twins and the headline that of their sweep."""
    tables = {
        "fig2-framework": [],
        "headline-cost-and-delay-vs-gpu-memory": ["fig3b-cost-vs-gpu-memory.csv"],
        "optimality-growth": ["scaling.csv"],
        "readings-ledger": ["claims.csv"],
        "readings-heat-map": ["readings-best.csv", "claims.csv", "readings.parquet"],
        "readings-headline": ["readings.parquet"],
    }
    own = name.replace("-users-vs", "-cost-vs")
    assert source_tables(ROOT / f"figures/{name}.png") == tables.get(name, [f"{own}.csv"])


def test_a_stale_figure_is_noticed(monkeypatch):
    stale = table("fig3a-cost-vs-storage").assign(total_cost=lambda rows: 1.01 * rows["total_cost"])
    monkeypatch.setitem(REDRAWN, "fig3a-cost-vs-storage", lambda: sweeps.trends(stale))
    with pytest.raises(AssertionError, match=r"fig3a-cost-vs-storage\.png is stale"):
        test_a_committed_figure_is_what_its_tables_give("fig3a-cost-vs-storage")
