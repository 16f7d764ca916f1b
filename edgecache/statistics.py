"""Statistics of tidy tables: means with intervals, paired reductions, and what a box plot draws."""

import numpy as np
import pandas as pd

from .errors import InputError, unknown


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % bootstrap interval (percentile, 9,999 resamples) of the mean over the last axis of values (..., n), NaN left out.

    Low and high, each (...); NaN where fewer than two values are left.
    """
    from scipy.stats import bootstrap

    values = np.asarray(values, dtype=float)
    if np.isnan(values).any():
        rows = values.reshape(-1, values.shape[-1])
        ends = np.array([interval(row[~np.isnan(row)]) for row in rows])
        return ends[:, 0].reshape(values.shape[:-1]), ends[:, 1].reshape(values.shape[:-1])
    if values.shape[-1] < 2:
        return np.full(values.shape[:-1], np.nan), np.full(values.shape[:-1], np.nan)
    found = bootstrap((values,), np.mean, n_resamples=9999, batch=500, axis=-1, method="percentile", rng=0)
    return found.confidence_interval.low, found.confidence_interval.high


def summarise(table: pd.DataFrame, outcome: str = "total_cost") -> pd.DataFrame:
    """Mean over replications and its 95 % bootstrap interval, one row per varied parameter and policy, in the table's order."""
    keys = _keys(table)
    wide = table.pivot(index=keys, columns="replication", values=outcome).loc[_groups(table, keys)]
    low, high = interval(wide.to_numpy())
    return pd.DataFrame({"mean": wide.mean(axis=1), "low": low, "high": high}).reset_index()


def _keys(table: pd.DataFrame) -> list[str]:
    """The varied parameters and the policy: the columns up to `policy`, but for the replication."""
    return [column for column in table.columns[: table.columns.get_loc("policy") + 1] if column != "replication"]


def _groups(table: pd.DataFrame, keys: list[str]) -> pd.Index:
    groups = table[keys].drop_duplicates()
    return pd.Index(groups["policy"]) if len(keys) == 1 else pd.MultiIndex.from_frame(groups)


def reductions(table: pd.DataFrame, policy: str = "ga", outcome: str = "total_cost") -> pd.DataFrame:
    """By which share `policy` costs less than each other policy: 1 - ratio of means, with a paired bootstrap 95 % interval."""
    from scipy.stats import bootstrap

    if policy not in set(table["policy"]):
        raise unknown("policy of this table", policy, table["policy"].unique())
    if table.duplicated(["replication", "policy"]).any() or table["replication"].nunique() < 2:
        raise InputError("reductions needs a table of one point of a sweep and at least two replications")
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
    keys = _keys(table)
    shares = {"whislo": 0.05, "q1": 0.25, "med": 0.5, "q3": 0.75, "whishi": 0.95}
    grouped = table.dropna(subset=[outcome]).groupby(keys, sort=False)[outcome]
    boxes = pd.DataFrame({name: grouped.quantile(share) for name, share in shares.items()})
    return boxes.assign(mean=grouped.mean(), count=grouped.size()).reset_index()
