"""Comparisons of counts: of two settings on the same draws, and of the search with the second look."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..errors import InputError
from ..scenario import READINGS
from .design import SCOPES, SLACKS
from .statements import FAILS, HOLDS, UNDECIDED


def paired_shares(first: npt.ArrayLike, second: npt.ArrayLike) -> dict[str, float]:
    """Compare how often something holds under two settings that were tried on the same draws.

    Parameters
    ----------
    first, second
        Whether it holds in each draw, (n,), under the one and under the other setting; paired.

    Returns
    -------
    dict
        The numbers of draws where it holds under `both`, under `first_only`, `second_only` or `neither`. For `first` and `second`
        the share of draws, with its 95 % interval (`first_low`, `first_high` and so on). `p_value`: how probable it is that the
        numbers of `first_only` and `second_only` differ this much, if each such draw were equally likely to be either.

    Raises
    ------
    InputError
        For what are not two lists of truth values of one length, at least one long.

    Examples
    --------
    >>> found = paired_shares([True, True, False, False, False, False], [True, False, True, True, True, True])
    >>> found["both"], found["first_only"], found["second_only"], found["neither"], found["p_value"]
    (1, 1, 4, 0, 0.375)

    Notes
    -----
    The exact test of McNemar (Psychometrika 12, 1947) and the intervals of Clopper and Pearson, from SciPy. These intervals cover
    95 % or more, and none observed in n draws still has an upper end above zero.
    """
    from scipy.stats import binomtest

    one, other = np.asarray(first), np.asarray(second)
    if one.dtype != bool or other.dtype != bool or one.ndim != 1 or one.shape != other.shape or not one.size:
        raise InputError(
            f"a paired comparison needs two lists of truth values of one length, not {one.dtype} of the shape {one.shape} and "
            f"{other.dtype} of the shape {other.shape}"
        )
    first_only, second_only = int((one & ~other).sum()), int((other & ~one).sum())
    found: dict[str, float] = {
        "both": int((one & other).sum()),
        "first_only": first_only,
        "second_only": second_only,
        "neither": int((~one & ~other).sum()),
    }
    for name, holds in (("first", one), ("second", other)):
        test = binomtest(int(holds.sum()), holds.size)
        low, high = test.proportion_ci(0.95, method="exact")
        found |= {name: float(test.statistic), f"{name}_low": float(low), f"{name}_high": float(high)}
    differ = first_only + second_only
    return found | {"p_value": float(binomtest(first_only, differ).pvalue) if differ else 1.0}


def _both_fall(resource: str) -> tuple[str, ...]:
    return tuple(f"{policy}-falls-with-{resource}" for policy in ("proposed", "lfu"))


TOGETHER = {  # the claims that must hold together, by what we call them
    "headline": ("headline-reduction",),
    "proposed and LFU fall with storage": _both_fall("storage"),
    "proposed and LFU fall with GPU memory": _both_fall("gpu"),
    "headline, both fall with storage": ("headline-reduction", *_both_fall("storage")),
    "headline, both fall with GPU memory": ("headline-reduction", *_both_fall("gpu")),
    "headline, both fall with both": ("headline-reduction", *_both_fall("storage"), *_both_fall("gpu")),
    "LFU falls, others rise with GPU memory": ("lfu-falls-with-gpu", "others-rise-with-gpu"),
}
LIGHT = 0.5  # w2 below which resources weigh little


def compare_scopes(table: pd.DataFrame) -> pd.DataFrame:
    """Compare how often claims hold together under `scope = evict` and under each other scope, on the same draws.

    Parameters
    ----------
    table : DataFrame
        The table of `search.judge_design`.

    Returns
    -------
    DataFrame
        One row per `outcome` of TOGETHER, `charge` (`any`, one of its words, or `absence` where w2 is below LIGHT) and other
        `scope`; the columns of `paired_shares`, where `evict` comes first.

    Examples
    --------
    >>> readings = pd.DataFrame({"scope": SCOPES, "charge": "miss", "w2": 1.0, **dict.fromkeys(SLACKS, [-1.0, 1.0, 1.0, 1.0])})
    >>> compare_scopes(readings)[["outcome", "charge", "scope", "second_only"]].head(1).to_dict("records")
    [{'outcome': 'headline', 'charge': 'any', 'scope': 'bypass', 'second_only': 1}]
    """
    rows = []
    groups = {"any": table} | {charge: table[table["charge"] == charge] for charge in READINGS["charge"]}
    groups[f"absence, w2 < {LIGHT:g}"] = table[(table["charge"] == "absence") & (table["w2"] < LIGHT)]
    for outcome, claims in TOGETHER.items():
        for charge, group in ((charge, group) for charge, group in groups.items() if len(group)):
            holds = (group[list(claims)] > 0).all(axis=1).to_numpy().reshape(-1, len(SCOPES))
            for place, scope in enumerate(SCOPES[1:], start=1):
                shares = paired_shares(holds[:, 0], holds[:, place])
                rows.append({"outcome": outcome, "charge": charge, "scope": scope, "draws": len(holds), **shares})
    return pd.DataFrame(rows)


def shrinkage(table: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Compute what the second look leaves of the claims that readings held in the search.

    Parameters
    ----------
    table : DataFrame
        The table of `search.judge_design`.
    again : DataFrame
        The table of `search.judge_again`.

    Returns
    -------
    DataFrame
        One row per number of claims `held` in the search, and how many `readings` of these were judged again. Per reading, of the
        claims held in the search, the mean numbers that hold again (`holds`), are `undecided`, and fail (`fails`): they add up to
        `held`. `gained`: the mean number of claims that hold although they did not in the search.

    Notes
    -----
    Three things shrink the count. The best were chosen by it, so luck that helped them is gone. A verdict of the second look is
    beyond chance, one of the search is not. And the search plays Exact, the second look the GA.

    Examples
    --------
    >>> table = pd.DataFrame(dict.fromkeys(SLACKS, [-1.0])).assign(held=2)
    >>> table.loc[0, list(SLACKS[:2])] = 1.0
    >>> verdicts = ["holds", "fails", "holds", *["undecided"] * (len(SLACKS) - 3)]
    >>> again = pd.DataFrame({"number": 0, "claim": SLACKS, "verdict": verdicts})
    >>> shrinkage(table, again).iloc[0].to_dict()
    {'held': 2.0, 'readings': 1.0, 'holds': 1.0, 'undecided': 0.0, 'fails': 1.0, 'gained': 1.0}
    """
    words = again.pivot(index="number", columns="claim", values="verdict")[list(SLACKS)]
    before = table.loc[words.index, list(SLACKS)].to_numpy() > 0
    counts = pd.DataFrame({word: (before & (words == word).to_numpy()).sum(axis=1) for word in (HOLDS, UNDECIDED, FAILS)})
    counts["gained"] = (~before & (words == HOLDS).to_numpy()).sum(axis=1)
    grouped = counts.groupby(before.sum(axis=1))
    found = grouped.mean().rename_axis("held").reset_index()
    found.insert(1, "readings", grouped.size().to_numpy())
    return found
