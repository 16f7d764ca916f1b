"""Measure how often intervals cover the truth and how often verdicts are wrong, on the costs of the shipped scenario.

Writes data/results/coverage.csv and verdict-errors.csv, the tables of `edgecache.claims.calibration` for three named readings, and
interval-methods.csv, which compares the intervals with others. It takes minutes. A test measures a part of it anew.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap
from scipy.stats import t as student

from edgecache import Scenario, write_table
from edgecache.claims.calibration import interval_coverage, simulate_pool, verdict_errors
from edgecache.claims.statements import BASELINES, CENTRE, POLICIES
from edgecache.intervals import interval, ratio_of_means
from edgecache.parallel import run_parallel

RESULTS = Path(__file__).parent.parent / "data/results"
READINGS = ("literal", "closest", "delay")
SIZE, SAMPLES, RESAMPLES = 30, 2_000, 999
Ends = tuple[np.ndarray, np.ndarray]


def t_interval(values: np.ndarray) -> Ends:
    """The t interval of the mean."""
    error = student.isf(0.025, values.shape[1] - 1) * values.std(axis=1, ddof=1) / values.shape[1] ** 0.5
    return values.mean(axis=1) - error, values.mean(axis=1) + error


def t_ratio(a: np.ndarray, b: np.ndarray) -> Ends:
    """The t interval of a ratio of means, by linearisation at the estimated ratio (delta method)."""
    ratio = (a.mean(axis=1) / b.mean(axis=1))[:, None]
    return t_interval(ratio + (a - ratio * b) / b.mean(axis=1, keepdims=True))


def resampled(method: str, statistic: Callable, *values: np.ndarray) -> Ends:
    """An interval of SciPy's bootstrap."""
    found = bootstrap(values, statistic, n_resamples=RESAMPLES, batch=100, paired=True, axis=-1, method=method, rng=0)
    return found.confidence_interval.low, found.confidence_interval.high


def mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean."""
    return values.mean(axis=axis)


def ratio(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """The ratio of means."""
    return a.mean(axis=axis) / b.mean(axis=axis)


COSTS = {"interval": interval, "t": t_interval} | {m: partial(resampled, m, mean) for m in ("percentile", "BCa")}
RATIOS = {"interval": lambda a, b: ratio_of_means(a, b)[1:], "t": t_ratio} | {
    m: partial(resampled, m, ratio) for m in ("percentile", "BCa")
}


def methods(pool: dict) -> pd.DataFrame:
    """How often each method covers a policy's cost, and its ratio to the proposed's, at SIZE replications."""
    centre = {policy: pool["storage_gb", CENTRE["storage_gb"], policy] for policy in POLICIES}
    drawn = np.random.default_rng(8).integers(len(centre["proposed"]), size=(SAMPLES, SIZE))
    cases = [("cost", policy, COSTS, (cost,), cost.mean()) for policy, cost in centre.items()]
    for policy in BASELINES:
        pair = centre["proposed"], centre[policy]
        cases.append(("reduction", policy, RATIOS, pair, pair[0].mean() / pair[1].mean()))
    rows = []
    for quantity, policy, table, costs, truth in cases:
        for name, method in table.items():
            low, high = method(*(cost[drawn] for cost in costs))
            rows.append((quantity, policy, SIZE, name, ((low <= truth) & (truth <= high)).mean(), SAMPLES))
    return pd.DataFrame(rows, columns=["quantity", "policy", "replications", "method", "covered", "samples"])


def measure(reading: str) -> list[pd.DataFrame]:
    """The three tables of a reading."""
    pool = simulate_pool(Scenario.named(reading), jobs=1)
    tables = [interval_coverage(pool), verdict_errors(pool), methods(pool)]
    for table in tables:
        table.insert(0, "reading", reading)
    return tables


if __name__ == "__main__":
    measured = zip(*run_parallel(measure, READINGS, progress=True, description="readings"), strict=True)
    for name, tables in zip(("coverage", "verdict-errors", "interval-methods"), measured, strict=True):
        print(write_table(pd.concat(tables, ignore_index=True), RESULTS / f"{name}.csv").to_string())
