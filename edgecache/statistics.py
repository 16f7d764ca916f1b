"""Statistics of the tables that `sweep` returns: means with intervals, paired reductions, and what a box plot draws.

Such a table has the columns `replication`, `policy`, one or more outcomes, and, before `replication`, the varied parameters. The
other columns may stand in any order. `varied_parameters` checks all this once, for every function here.
"""

import numpy as np
import pandas as pd

from .errors import InputError, unknown
from .intervals import interval, ratio_of_means

QUANTILES = {"whislo": 0.05, "q1": 0.25, "med": 0.5, "q3": 0.75, "whishi": 0.95}  # Matplotlib's names of a box's parts


def varied_parameters(table: pd.DataFrame, outcome: str, *, per_slot: bool = False) -> list[str]:
    """Check a table for statistics of an outcome; return its varied parameters, the columns before `replication` but for `policy`.

    A table has one row per replication and policy at each value of the varied parameters; where `per_slot`, it may have one per
    slot, with a column `slot`. Raises InputError for a missing column, an outcome that is not numeric, a missing value in another
    column, doubled rows, and columns before `replication` that are no varied parameters.
    """
    _check_columns(table, outcome)
    columns = list(table.columns)
    varied = [name for name in columns[: columns.index("replication")] if name != "policy"]
    keys = [*varied, "replication", "policy"]
    if outcome in keys or len(set(keys)) < len(keys):
        raise InputError(f"the varied parameters must stand before the column 'replication', once; these are {_listed(varied)}")
    _check_values(table, keys, outcome)
    _check_rows(table, varied, [*keys, "slot"] if per_slot and "slot" in columns and "slot" not in varied else keys)
    return varied


def _check_columns(table: pd.DataFrame, outcome: str) -> None:
    """Raise InputError unless there are rows, and the columns that every table has."""
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"the table is a {type(table).__name__}; it must be a pandas table, such as sweep returns")
    columns = list(table.columns)
    for name in ("replication", "policy", outcome):
        if columns.count(name) != 1:
            raise InputError(f"the table needs one column {name!r}, once; its columns are {_listed(columns)}")
    if not len(table):
        raise InputError("the table has no rows")


def _check_values(table: pd.DataFrame, keys: list[str], outcome: str) -> None:
    """Raise InputError for a column of a wrong type, or with values missing that must not."""
    kind = table[outcome].dtype
    if not pd.api.types.is_numeric_dtype(kind) or kind.kind in "bc" or np.isinf(table[outcome].astype(float)).any():
        raise InputError(f"the column {outcome!r} must have finite numbers, or NaN where there is none")
    if not pd.api.types.is_integer_dtype(table["replication"].dtype):
        raise InputError("the column 'replication' must have whole numbers")
    if not all(isinstance(name, str) for name in table["policy"].unique()):
        raise InputError("the column 'policy' must have the names of policies")
    for name in keys:
        if table[name].isna().any():
            raise InputError(f"the column {name!r} has missing values")


def _check_rows(table: pd.DataFrame, varied: list[str], keys: list[str]) -> None:
    """Raise InputError for rows that are there twice, and where the columns of the varied parameters cannot be these."""
    try:
        doubled = table[table.duplicated(keys)]
        runs = table[[*varied, "replication", "policy"]].drop_duplicates()
        replications = runs.groupby([*varied, "policy"], sort=False, observed=True).size()
    except TypeError:
        raise InputError(f"the columns {_listed(varied)} must have numbers or words") from None
    if len(doubled):
        row = ", ".join(f"{name} {value}" for name, value in doubled[keys].iloc[0].items())
        hint = "; it seems to have one row per slot" if "slot" in table and "slot" not in keys else ""
        raise InputError(f"the table has more than one row of {row}{hint}")
    if replications.median() == 1 and runs["replication"].nunique() > 1:
        raise InputError(
            f"most rows share the values of {_listed([*varied, 'policy'])} with no other replication; "
            "only varied parameters may stand before the column 'replication'"
        )


def _listed(names: list) -> str:
    return ", ".join(map(str, names)) or "none"


def summarise(table: pd.DataFrame, outcome: str = "total_cost") -> pd.DataFrame:
    """Compute the mean of an outcome over replications, with its 95 % interval.

    Parameters
    ----------
    table
        As `sweep` returns it, one row per replication.
    outcome
        The column to summarise.

    Returns
    -------
    DataFrame
        One row per value of the varied parameters and policy, in the table's order: those columns, `mean`, `low` and `high`. NaN is
        left out.

    Raises
    ------
    InputError
        As `varied_parameters` raises it.

    Examples
    --------
    >>> table = pd.DataFrame({"replication": [0, 1], "policy": "lru", "total_cost": [20.0, 22.0]})
    >>> summarise(table)["mean"].tolist()
    [21.0]

    Notes
    -----
    The interval is that of `intervals.interval`.
    """
    keys = [*varied_parameters(table, outcome), "policy"]
    group = table.groupby(keys, sort=False, observed=True).ngroup()
    runs = pd.DataFrame({"group": group, "replication": table["replication"], "outcome": table[outcome].astype(float)})
    wide = runs.pivot(index="group", columns="replication", values="outcome")
    low, high = interval(wide.to_numpy())
    return table[keys].drop_duplicates(ignore_index=True).assign(mean=wide.mean(axis=1).to_numpy(), low=low, high=high)


def reductions(table: pd.DataFrame, policy: str = "ga", outcome: str = "total_cost") -> pd.DataFrame:
    """Compute by which share a policy costs less than each other one.

    Parameters
    ----------
    table
        As `sweep` returns it, one row per replication, for one value of every varied parameter.
    policy
        The policy that is compared with all others.
    outcome
        The column to compare.

    Returns
    -------
    DataFrame
        One row per other policy, `baseline`: the `reduction`, which is 1 - ratio of the means, and its paired 95 % interval from
        `low` to `high`. A replication counts where both policies have the outcome.

    Raises
    ------
    InputError
        As `varied_parameters` raises it, and for an unknown policy, or several points of a sweep.

    Examples
    --------
    >>> table = pd.DataFrame({"replication": [0, 0, 1, 1], "policy": ["ga", "lru"] * 2, "total_cost": [1.0, 4.0, 3.0, 4.0]})
    >>> reductions(table)["reduction"].tolist()
    [0.5]

    Notes
    -----
    The interval is that of `intervals.ratio_of_means`. It is NaN for a single replication, and where the baseline's mean is too
    uncertain to bound it.
    """
    varied = varied_parameters(table, outcome)
    names = table["policy"].unique()
    if policy not in names:
        raise unknown("policy of this table", policy, names)
    if varied and len(table[varied].drop_duplicates()) > 1:
        raise InputError(f"the table has several points of a sweep over {_listed(varied)}; reductions needs the rows of one point")
    wide = table.astype({outcome: float}).pivot(index="replication", columns="policy", values=outcome)
    others = [name for name in names if name != policy]
    baselines = wide[others].to_numpy().T
    ratio, low, high = ratio_of_means(np.broadcast_to(wide[policy], baselines.shape), baselines)
    return pd.DataFrame({"baseline": others, "reduction": 1 - ratio, "low": 1 - high, "high": 1 - low})


def box_statistics(table: pd.DataFrame, outcome: str = "total_cost") -> pd.DataFrame:
    """Compute what a box plot draws.

    Parameters
    ----------
    table
        As `sweep` returns it, one row per replication or one per slot.
    outcome
        The column to summarise; NaN is left out.

    Returns
    -------
    DataFrame
        One row per value of the varied parameters and policy, over all their rows: whiskers at the 5th and 95th percentile
        (`whislo`, `whishi`), quartiles (`q1`, `med`, `q3`), `mean` and `count`.

    Raises
    ------
    InputError
        As `varied_parameters` raises it.

    Examples
    --------
    >>> table = pd.DataFrame({"replication": 0, "policy": "lru", "slot": range(21), "total_cost": range(21)})
    >>> box_statistics(table)[["whislo", "med", "whishi", "count"]].values.tolist()
    [[1.0, 10.0, 19.0, 21.0]]
    """
    keys = [*varied_parameters(table, outcome, per_slot=True), "policy"]
    grouped = table.dropna(subset=[outcome]).groupby(keys, sort=False, observed=True)[outcome]
    boxes = pd.DataFrame({name: grouped.quantile(share) for name, share in QUANTILES.items()})
    return boxes.assign(mean=grouped.mean(), count=grouped.size()).reset_index()
