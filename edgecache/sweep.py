"""Sweeps: scenarios x policies x replications, in parallel, into one tidy table; and the statistics of such tables."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from .errors import InputError
from .policies import PAPER, Policy, find_policy
from .scenario import Scenario
from .simulator import simulate

OUTCOMES = ("total_cost", "switching_cost", "resource_cost", "service_delay_s", "hit_ratio", "fetched_gb", "energy_kwh")


def sweep(
    vary: Mapping[str, Iterable] | None = None,
    policies: Sequence[str | Policy] = PAPER,
    replications: int = 30,
    scenario: Scenario | None = None,
    *,
    seed: int = 0,
    by: str = "replication",
    jobs: int = -1,
    dask: str = "",
    progress: bool = True,
) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    """Run every combination of the values in `vary` with every policy and replication, into one tidy table.

    `vary` maps parameters of the scenario to values, such as `{"storage_gb": [60, 120, 180]}`. Columns: those parameters,
    `replication`, `policy`, then by "replication" those of Simulation.means, by "slot" those of Simulation.slots; by "both" gives
    the two tables. Every policy faces the same traces. The tables are the same at any number of `jobs` (-1: every core), and on the
    Dask cluster at the address `dask`. Raises InputError for unknown parameters, values or policies before anything runs.
    """
    scenario, vary = scenario or Scenario(), {name: list(values) for name, values in (vary or {}).items()}
    if by not in ("replication", "slot", "both"):
        raise InputError(f"by is {by!r}; it must be 'replication', 'slot' or 'both'")
    whole_number("replications", replications)
    whole_number("seed", seed, least=0)
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0:
        raise InputError(f"jobs is {jobs!r}; it must be a whole number of processes, or -1 for every core")
    policies = [find_policy(policy) for policy in policies]
    names = [policy.name for policy in policies]
    if not names or len(set(names)) < len(names):
        raise InputError(f"policies are {', '.join(names) or 'missing'}; name at least one, and each once")
    points = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    if not points:
        raise InputError(f"nothing to sweep over: {', '.join(name for name in vary if not vary[name])} has no values")
    cells = list(itertools.product([(point, scenario.vary(**point)) for point in points], range(replications)))
    tasks = (joblib.delayed(_cell)(varied, policies, seed, replication, by) for (_, varied), replication in cells)
    with _backend(dask):
        done = joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)
        runs = list(tqdm(done, total=len(cells), disable=not progress, unit="run", desc=", ".join(vary) or "runs", leave=False))
    labels = [{**point, "replication": replication, "policy": name} for (point, _), replication in cells for name in names]
    means = pd.DataFrame([{**label, **run[0]} for label, run in zip(labels, itertools.chain(*runs), strict=True)])
    if by == "replication":
        return means
    books = [run[1] for run in itertools.chain(*runs)]
    repeats = [len(book["slot"]) for book in books]
    slots = pd.DataFrame({column: np.repeat([label[column] for label in labels], repeats) for column in labels[0]})
    slots = slots.assign(**{column: np.concatenate([book[column] for book in books]) for column in books[0]})
    return slots if by == "slot" else (means, slots)


def _cell(scenario, policies, seed, replication, by) -> list[tuple[dict, dict | None]]:
    """One scenario and replication: the means, and where asked for the slots, of every policy."""
    runs = [simulate(scenario, policy, seed, replication=replication) for policy in policies]
    return [(run.means(), None if by == "replication" else run.books) for run in runs]


def _backend(dask: str):
    if not dask:
        return joblib.parallel_config("loky")
    try:
        from distributed import Client
    except ImportError:
        raise InputError("a Dask cluster needs the extra: pip install 'edgecache[cluster]'") from None
    try:
        client = Client(dask, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {dask!r}: {error}") from None
    return joblib.parallel_config("dask", client=client, wait_for_workers_timeout=30)


def whole_number(name: str, value: object, least: int = 1):
    """Raise InputError unless the value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number, at least {least}")


def interval(values: np.ndarray, *, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval (percentile, 10,000 resamples) of the mean of values (n,); NaN is left out, and so is n < 2."""
    from scipy.stats import bootstrap

    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return np.nan, np.nan
    found = bootstrap((values,), np.mean, n_resamples=9999, confidence_level=level, method="percentile", rng=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def summarise(table: pd.DataFrame, outcome: str = "total_cost") -> pd.DataFrame:
    """Mean over replications and its 95 % bootstrap interval, one row per varied parameter and policy, in the table's order."""
    keys = [column for column in table.columns[: table.columns.get_loc("policy") + 1] if column != "replication"]
    rows = []
    for group, part in table.groupby(keys, sort=False):
        low, high = interval(part[outcome])
        rows.append((*group, part[outcome].mean(), low, high))
    return pd.DataFrame(rows, columns=[*keys, "mean", "low", "high"])


def reductions(table: pd.DataFrame, policy: str = "ga", outcome: str = "total_cost") -> pd.DataFrame:
    """By which share `policy` costs less than each other policy: 1 - ratio of means, with a paired bootstrap 95 % interval."""
    from scipy.stats import bootstrap

    wide = table.pivot(index="replication", columns="policy", values=outcome)
    rows = []
    for other in [name for name in table["policy"].unique() if name != policy]:
        pair = (wide[policy].to_numpy(), wide[other].to_numpy())
        found = bootstrap(pair, _reduction, n_resamples=9999, paired=True, method="percentile", rng=0)
        rows.append((other, _reduction(*pair), found.confidence_interval.low, found.confidence_interval.high))
    return pd.DataFrame(rows, columns=["baseline", "reduction", "low", "high"])


def _reduction(ours, other, axis=-1):
    return 1 - ours.mean(axis=axis) / other.mean(axis=axis)


def box_statistics(table: pd.DataFrame, outcome: str = "total_cost") -> pd.DataFrame:
    """What a box plot draws: quartiles, mean, and whiskers at the 5th and 95th percentile, per varied parameter and policy."""
    keys = [column for column in table.columns[: table.columns.get_loc("policy") + 1] if column != "replication"]
    shares = {"whislo": 0.05, "q1": 0.25, "med": 0.5, "q3": 0.75, "whishi": 0.95}
    grouped = table.dropna(subset=[outcome]).groupby(keys, sort=False)[outcome]
    boxes = pd.DataFrame({name: grouped.quantile(share) for name, share in shares.items()})
    return boxes.assign(mean=grouped.mean(), count=grouped.size()).reset_index()


def write_table(table: pd.DataFrame, path) -> None:
    """Write a tidy CSV, numbers rounded to 6 significant digits, whole or not at all."""
    from pathlib import Path

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")
    part.replace(path)
