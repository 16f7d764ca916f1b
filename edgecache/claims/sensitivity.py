"""Which parameter of a reading decides a claim: first-order sensitivity over the readings of the search.

The four readings of a draw share all but their scope, so draws are what is independent, and what is resampled.
"""

from functools import partial

import numpy as np
import pandas as pd

from ..errors import require, whole_number
from ..parallel import run_parallel
from ..scenario import READINGS
from .design import DRAWN, MEASURES, PARAMETERS, SCOPES, SLACKS, SWITCHES

LEAST = 100  # draws that a search is worth: fewer show too few harmonics
RESAMPLES = 50


def sensitivity(table: pd.DataFrame, jobs: int = 1) -> pd.DataFrame:
    """Estimate which parameter decides each claim, and the measures.

    Parameters
    ----------
    table : DataFrame
        The table of `search.judge_design`.
    jobs : int
        Number of processes; -1 is every core.

    Returns
    -------
    DataFrame
        One row per outcome (a claim, held or not; or a measure) and parameter. `share`: the part of the outcome's variance that
        the parameter explains alone. `spread`: the half width of its 95 % interval, wide, for it resamples half of the draws.
        What the shares leave to 1 are interactions, and the random catalogues. A claim that holds under all readings or none has
        no rows.

    Raises
    ------
    InputError
        Below 100 draws, which show too few harmonics; and where the extra `claims` is not installed.

    Notes
    -----
    The share of `scope` is the variance of the scopes' means over the variance of all readings. The other shares are first-order
    indices by RBD-FAST (Tarantola, Gatelli and Mara 2006), from SALib, of the mean over a draw's scopes, scaled to the variance of
    all readings. The ten harmonics that it keeps lose a few percent of a share.

    Examples
    --------
    >>> from edgecache.claims.design import latin_hypercube, under_every_scope
    >>> table = under_every_scope(latin_hypercube(100)).assign(**dict.fromkeys((*SLACKS, *MEASURES), 0.0))
    >>> found = sensitivity(table.assign(longer_wait=table["scope"] == "free"))
    >>> found[found["share"] > 0.01].round(6).to_dict("records")
    [{'outcome': 'longer_wait', 'parameter': 'scope', 'share': 1.0, 'spread': 0.0}]
    """
    whole_number("count of draws", len(table) // len(SCOPES), least=LEAST)
    require("SALib", "claims", "the sensitivity of claims")
    draws = table.iloc[:: len(SCOPES)]
    codes = {name: pd.Categorical(draws[name], READINGS[name]).codes for name in SWITCHES if name in DRAWN}
    numbers = draws[list(DRAWN)].assign(**codes).to_numpy(dtype=float)
    for _ in range(2):  # ranks, by a stable sort: how other sorts break ties depends on the processor
        numbers = numbers.argsort(axis=0, kind="stable")
    values = {name: table[name] > 0 for name in SLACKS} | {name: table[name] for name in MEASURES}
    varied = {
        name: column.to_numpy(dtype=float).reshape(-1, len(SCOPES)) for name, column in values.items() if column.nunique() > 1
    }
    results = run_parallel(partial(_first_order, numbers), varied.values(), jobs)
    rows = [(name, parameter, *found[parameter]) for name, found in zip(varied, results, strict=True) for parameter in PARAMETERS]
    return pd.DataFrame(rows, columns=["outcome", "parameter", "share", "spread"])


def _first_order(numbers: np.ndarray, outcome: np.ndarray) -> dict[str, tuple[float, float]]:
    """The first-order index of each parameter and the half width of its interval, from outcomes (draws, scopes)."""
    from SALib.analyze import rbd_fast

    outcome = (outcome - outcome.mean()) / outcome.std()
    mean = outcome.mean(axis=1)
    part = mean.var()  # of a variance of 1
    found = dict.fromkeys(DRAWN, (0.0, 0.0)) | {"scope": _share_of_scope(outcome)}
    if part > 1e-12:
        problem = {"num_vars": len(DRAWN), "names": list(DRAWN), "bounds": [[0, 1]] * len(DRAWN)}
        with np.errstate(invalid="ignore"):  # resamples of a claim that almost never holds
            indices = rbd_fast.analyze(problem, numbers, mean, num_resamples=RESAMPLES, seed=0)
        shares, spreads = part * np.maximum(indices["S1"], 0.0), part * np.asarray(indices["S1_conf"])
        found |= {name: (float(share), float(spread)) for name, share, spread in zip(DRAWN, shares, spreads, strict=True)}
    return found


def _share_of_scope(outcome: np.ndarray) -> tuple[float, float]:
    """The share of the scopes' means in a variance of 1, and the half width of its interval, from outcomes (draws, scopes)."""
    from scipy.stats import norm

    draws = len(outcome)
    times = np.random.default_rng(0).multinomial(draws // 2, np.full(draws, 1 / draws), size=RESAMPLES) / (draws // 2)
    weights = np.vstack([np.full(draws, 1 / draws), times])  # the draws themselves, then resamples of half of them
    means = weights @ outcome
    variance = (weights @ outcome**2).mean(axis=1) - means.mean(axis=1) ** 2
    shares = np.divide(means.var(axis=1), variance, out=np.full(len(weights), np.nan), where=variance > 1e-9)
    return float(shares[0]), float(norm.ppf(0.975) * np.nanstd(shares[1:], ddof=1))
