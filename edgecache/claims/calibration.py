"""How often intervals cover the truth and how often verdicts are wrong, on the costs of the shipped scenario.

A pool of replications is simulated once. Samples are drawn from it with replacement, so the means of the pool are the truth. For
the verdicts the truth is moved to the bar of a statement, where `holds` and `fails` are both wrong: no truth is harder to judge.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..intervals import interval, ratio_of_means
from ..parallel import run_parallel
from ..scenario import Scenario
from .ledger import simulate_cells
from .statements import BASELINES, CENTRE, GRID, POLICIES, SIMULATED, Cell, Group, cells_of
from .verdicts import Test, margin_scores

Pool = Mapping[Cell, np.ndarray]  # the costs of each cell in all replications of the pool, (N,)
POOL, POOL_SEED, DRAW_SEED = 4_000, 4, 5
SIZES, SAMPLES = (30, 200), 20_000  # replications per sample, and number of samples, of the intervals
LOOKS = ((100,), (200,), (400,), (800,), (100, 200, 400, 800), (200, 400, 800))  # of the sequential stops of the verdicts
STOPS = 4_000  # sequential stops that are drawn
BATCH = 200  # samples that are drawn at once
CHUNK = 100  # replications per task
ANY = "any claim"


def simulate_pool(scenario: Scenario, count: int = POOL, *, jobs: int = -1, progress: bool = False) -> dict[Cell, np.ndarray]:
    """Simulate the total cost of every cell of the claims, with Exact as the proposed policy.

    Parameters
    ----------
    scenario : Scenario
        The reading.
    count : int
        Number of replications.
    jobs : int
        Number of processes; -1 is every core.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict
        The costs of each cell, (count,).

    Examples
    --------
    >>> pool = simulate_pool(Scenario(), 2, jobs=1)
    >>> pool["storage_gb", 120.0, "lru"].shape
    (2,)

    Notes
    -----
    Exact stands for the GA, which finds its optimum in nearly every decision and takes longer.
    """
    task = partial(simulate_cells, scenario, cells_of(SIMULATED), "exact", seed=POOL_SEED)
    chunks = [range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
    parts = list(run_parallel(task, chunks, jobs, progress=progress, description="pool"))
    return {cell: np.concatenate([part[cell] for part in parts]) for cell in parts[0]}


def interval_coverage(pool: Pool, sizes: Sequence[int] = SIZES, samples: int = SAMPLES) -> pd.DataFrame:
    """Measure how often the 95 % intervals of costs and of reductions cover the truth, at 120 GB and 12 GB.

    Parameters
    ----------
    pool : mapping
        As `simulate_pool` returns it.
    sizes : sequence of int
        Numbers of replications per sample.
    samples : int
        Number of samples.

    Returns
    -------
    DataFrame
        One row per quantity (`cost` of a policy, `reduction` against a baseline) and size. `covered`, `below` and `above` are the
        shares of samples whose interval covers the truth, and whose interval the truth is below or above.

    Examples
    --------
    >>> pool = {("storage_gb", 120.0, policy): np.array([1.0, 2.0, 3.0]) for policy in POLICIES}
    >>> interval_coverage(pool, sizes=(2,), samples=10)["quantity"].value_counts().to_dict()
    {'cost': 5, 'reduction': 4}
    """
    centre = {policy: pool["storage_gb", CENTRE["storage_gb"], policy] for policy in POLICIES}
    ours, rows = centre["proposed"], list[tuple]()
    for size in sizes:
        drawn = np.random.default_rng((DRAW_SEED, size)).integers(len(ours), size=(samples, size))
        for policy, cost in centre.items():
            rows.append(("cost", policy, size, *_covered(*interval(cost[drawn]), cost.mean())))
        for policy in BASELINES:
            _, low, high = ratio_of_means(ours[drawn], centre[policy][drawn])
            rows.append(("reduction", policy, size, *_covered(1 - high, 1 - low, 1 - ours.mean() / centre[policy].mean())))
    columns = ["quantity", "policy", "replications", "covered", "below", "above"]
    return pd.DataFrame(rows, columns=columns).assign(samples=samples)


def _covered(low: np.ndarray, high: np.ndarray, truth: float) -> tuple[float, float, float]:
    """The share of intervals that cover the truth, and the shares that the truth is below and above."""
    below, above = float((truth < low).mean()), float((truth > high).mean())
    return float(((low <= truth) & (truth <= high)).mean()), below, above


class _Scores(NamedTuple):
    """The smaller and the larger of the two scores of each statement of a group, (looks, statements, stops)."""

    group: Group
    least: np.ndarray
    most: np.ndarray


def verdict_errors(pool: Pool, looks: Sequence[Sequence[int]] = LOOKS, stops: int = STOPS) -> pd.DataFrame:
    """Measure how often a verdict is wrong where the truth is at the bar.

    Parameters
    ----------
    pool : mapping
        As `simulate_pool` returns it.
    looks : sequence of sequence of int
        The sequential stops: at how many replications each looks.
    stops : int
        Number of times that each stop is drawn.

    Returns
    -------
    DataFrame
        One row per sequential stop and claim, and one for any claim. `one`: the share of wrong verdicts where one statement is at
        its bar and the others are clear, for the worst choice of the one. `every`: the share where every statement is at its bar.

    Examples
    --------
    >>> pool = {cell: np.arange(1.0, 9.0) for cell in cells_of(SIMULATED)}
    >>> verdict_errors(pool, looks=((4,),), stops=5)["claim"].iloc[-1]
    'any claim'
    """
    numbers = sorted({look for stop in looks for look in stop})
    drawn = np.random.default_rng((DRAW_SEED, 0)).integers(len(next(iter(pool.values()))), size=(stops, numbers[-1]))
    wrong: dict[tuple[int, ...], dict[str, tuple[np.ndarray, np.ndarray]]] = {tuple(stop): {} for stop in looks}
    for claim in SIMULATED:
        found = [_group_scores(group, pool, drawn, numbers) for group in claim.groups(GRID)]
        for stop, of_claims in wrong.items():
            of_claims[claim.name] = _decided(found, numbers, stop)
    rows = []
    for stop, of_claims in wrong.items():
        one, every = (np.any([pair[kind] for pair in of_claims.values()], axis=0) for kind in (0, 1))
        for name, pair in (*of_claims.items(), (ANY, (one, every))):
            rows.append((" ".join(map(str, stop)), name, *(float(own.mean()) for own in pair)))
    return pd.DataFrame(rows, columns=["looks", "claim", "one", "every"]).assign(stops=stops)


def _group_scores(group: Group, pool: Pool, drawn: np.ndarray, numbers: Sequence[int]) -> _Scores:
    """The scores of a group's statements at each number of replications, each margin moved to a mean of zero."""
    scores = np.empty((2, len(numbers), len(group.statements), len(drawn)))
    for place, statement in enumerate(group.statements):
        margin = statement.margin(pool)
        margin = margin - margin.mean() if np.ptp(margin) > 0 else np.zeros_like(margin)
        for first in range(0, len(drawn), BATCH):
            sample = margin[drawn[first : first + BATCH]]
            for look, number in enumerate(numbers):
                both = margin_scores(sample[:, :number])
                scores[:, look, place, first : first + BATCH] = np.minimum(*both), np.maximum(*both)
    return _Scores(group, *scores)


def _decided(found: Sequence[_Scores], numbers: Sequence[int], stop: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Whether a sequential stop decides: where only the worst statement is at its bar, and where every one is; each (stops,)."""
    test, count = Test(looks=len(stop), least=2), sum(len(scores.group.statements) for scores in found)
    decisive: list[list[np.ndarray]] = [[] for _ in found]
    every = []
    for look in stop:
        place, held, failed = numbers.index(look), [], []
        for scores, single in zip(found, decisive, strict=True):
            needed, spare = scores.group.needed, len(scores.group.statements) - scores.group.needed + 1
            above, below = test.thresholds(look, spare, count)
            true, false = scores.least[place] > above, scores.most[place] < -below
            single.append(true | false)
            held.append(true.sum(axis=0) >= needed)
            failed.append(false.sum(axis=0) >= spare)
        every.append(np.all(held, axis=0) | np.any(failed, axis=0))
    one = np.concatenate([np.any(single, axis=0) for single in decisive])
    return one[one.mean(axis=1).argmax()], np.any(every, axis=0)
