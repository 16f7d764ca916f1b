"""Policies under several demands: outcomes with intervals, and the pairs of policies whose order changes between demands."""

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import InputError, unknown
from ..intervals import interval, ratio_of_means
from ..workloads.resampling import spread

Floats = npt.NDArray[np.float64]
# each outcome, and the column of a sweep that it is a mean over; None: the replications count alike
OUTCOMES = {"total_cost": None, "service_delay_all_s": "requests", "hit_ratio": "requests"}


def summarise_demands(table: pd.DataFrame, resampled: Collection[str] = ()) -> pd.DataFrame:
    """Compute the mean cost, delay and hit ratio of every policy under every demand, with 95 % intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        What `sweep({"demand": [...]}, ...)` returned.
    resampled : collection of str
        Demands whose replications are drawn from one log. Their interval is the middle 95 % of the replications, because an
        interval of the mean would shrink with replications that add nothing to the log.

    Returns
    -------
    DataFrame
        One row per `demand`, `policy` and `outcome`: `mean`, `low`, `high`, and `interval`: of the `mean`, or `spread`. Delays and
        hits are means over all requests of all replications. Bounds without a number are left out.

    Raises
    ------
    InputError
        Where the table has no demands.

    Examples
    --------
    >>> import edgecache as ec
    >>> table = summarise_demands(ec.sweep({"demand": ["poisson", "drift"]}, ["lru"], 3, jobs=1))
    >>> len(table)
    6
    """
    rows = []
    for (demand, policy), runs in _groups(table):
        for outcome, weight in OUTCOMES.items():
            values = runs[outcome].to_numpy(dtype=float)
            known = ~np.isnan(values)
            if known.any():
                counts = np.ones(len(values)) if weight is None else runs[weight].to_numpy(dtype=float)
                kind = "spread" if demand in resampled else "mean"
                rows.append((demand, policy, outcome, *_mean(values[known], counts[known], kind), kind))
    return pd.DataFrame(rows, columns=["demand", "policy", "outcome", "mean", "low", "high", "interval"])


def above_bound(
    table: pd.DataFrame,
    policies: Collection[str],
    bound: str,
    outcome: str = "service_delay_all_s",
    resampled: Collection[str] = (),
) -> pd.DataFrame:
    """Compute by which share policies exceed a bound, on the same traces.

    Parameters
    ----------
    table, resampled
        As for `summarise_demands`.
    policies : collection of str
        The policies to compare.
    bound : str
        The bound, such as `clairvoyant`; a policy of the table.
    outcome : str
        `total_cost` or `service_delay_all_s`.

    Returns
    -------
    DataFrame
        One row per `demand` and `policy`: `excess`, which is the ratio of the means - 1, its interval `low` to `high`, and
        `interval`: of the `mean`, or `spread`.

    Raises
    ------
    InputError
        For an unknown outcome or policy, and where the table has no demands.

    Examples
    --------
    >>> import edgecache as ec
    >>> runs = ec.sweep({"demand": ["poisson"]}, ["lru", "clairvoyant"], 5, jobs=1)
    >>> bool(above_bound(runs, ["lru"], "clairvoyant", "total_cost")["excess"].iloc[0] > 0)
    True
    """
    sums, rows = _sums(table, outcome), []
    for name in (*policies, bound):
        if name not in set(table["policy"]):
            raise unknown("policy of this table", name, table["policy"].unique())
    for demand in dict.fromkeys(table["demand"]):
        for policy in policies:
            pair = pd.concat([sums[demand, policy], sums[demand, bound]], axis=1).dropna().to_numpy()
            ratio, low, high = map(float, ratio_of_means(pair[:, 0], pair[:, 1]))
            if demand in resampled:
                low, high = spread(pair[:, 0] / pair[:, 1])
            rows.append((demand, policy, ratio - 1, low - 1, high - 1, "spread" if demand in resampled else "mean"))
    return pd.DataFrame(rows, columns=["demand", "policy", "excess", "low", "high", "interval"])


def compare_policies(table: pd.DataFrame, outcome: str = "total_cost", resampled: Collection[str] = ()) -> pd.DataFrame:
    """Compare every two policies under every demand, on the same traces.

    Parameters
    ----------
    table, resampled
        As for `summarise_demands`.
    outcome : str
        One of OUTCOMES.

    Returns
    -------
    DataFrame
        One row per `demand` and pair `first`, `second`: the mean `difference` first - second of a replication, its interval `low`
        to `high`, and `beats`: `first`, `second` or `neither`, which of them has less where the interval leaves out zero. Delays
        and hits are sums over the requests of a replication.

    Raises
    ------
    InputError
        For an unknown outcome, and where the table has no demands.

    Examples
    --------
    >>> import edgecache as ec
    >>> table = compare_policies(ec.sweep({"demand": ["poisson"]}, ["lru", "exact"], 5, jobs=1))
    >>> table[["first", "second", "beats"]].values.tolist()
    [['lru', 'exact', 'second']]
    """
    sums, rows = _sums(table, outcome), []
    demands, policies = (list(dict.fromkeys(key[place] for key in sums)) for place in (0, 1))
    for demand in demands:
        for place, first in enumerate(policies):
            for second in policies[place + 1 :]:
                apart = (sums[demand, first] - sums[demand, second]).dropna().to_numpy()
                low, high = spread(apart) if demand in resampled else map(float, interval(apart))
                beats = "first" if high < 0 else "second" if low > 0 else "neither"
                rows.append((demand, first, second, float(apart.mean()) if len(apart) else np.nan, low, high, beats))
    return pd.DataFrame(rows, columns=["demand", "first", "second", "difference", "low", "high", "beats"])


def flips(pairs: pd.DataFrame) -> pd.DataFrame:
    """Find the pairs of policies of which one has less under one demand and the other under another, beyond chance.

    Parameters
    ----------
    pairs : pandas.DataFrame
        What `compare_policies` returned.

    Returns
    -------
    DataFrame
        One row per pair that flips: `first`, `second`, and the demands under which `first` and `second` have less, joined by `;`.

    Examples
    --------
    >>> rows = [("poisson", "lfu", "lru", "first"), ("drift", "lfu", "lru", "second"), ("twin", "lfu", "lru", "neither")]
    >>> flips(pd.DataFrame(rows, columns=["demand", "first", "second", "beats"])).values.tolist()
    [['lfu', 'lru', 'poisson', 'drift']]
    """
    rows = []
    for (first, second), pair in pairs.groupby(["first", "second"], sort=False):
        where = [pair.loc[pair["beats"] == word, "demand"] for word in ("first", "second")]
        if all(map(len, where)):
            rows.append((first, second, *("; ".join(demands) for demands in where)))
    return pd.DataFrame(rows, columns=["first", "second", "first has less", "second has less"])


def _mean(values: Floats, counts: Floats, kind: str) -> tuple[float, float, float]:
    """The mean of the replications, each counted so many times, and its interval of that kind."""
    mean, low, high = ratio_of_means(values * counts, counts)
    if kind == "spread":
        return float(mean), *spread(values)
    if (counts == 1).all():
        low, high = interval(values)
    return float(mean), float(low), float(high)


def _sums(table: pd.DataFrame, outcome: str) -> dict[tuple[str, str], pd.Series]:
    """The outcome of each replication by demand and policy; delays and hits added up over its requests."""
    if outcome not in OUTCOMES:
        raise unknown("outcome", outcome, OUTCOMES)
    weight, sums = OUTCOMES[outcome], {}
    for key, runs in _groups(table):
        values = runs.set_index("replication")
        sums[key] = values[outcome] * (values[weight] if weight else 1.0)
    return sums


def _groups(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """The rows of each demand and policy, in the table's order. Raises InputError where the table has no demands."""
    for name in ("demand", "policy", "replication"):
        if name not in table:
            raise InputError(f"the table has no column {name!r}; it must be what sweep({{'demand': [...]}}, ...) returned")
    for (demand, policy), runs in table.groupby(["demand", "policy"], sort=False):
        yield (str(demand), str(policy)), runs
