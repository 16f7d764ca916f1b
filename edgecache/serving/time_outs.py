"""How long to keep an idle model: fixed times, the best time for the gaps that were seen, and rent or buy.

Keeping a model for a second costs `hold_per_s`, loading it again costs `reload`, in one unit, such as seconds of waiting or
kWh. A gap is the time from when a model becomes idle to its next request.
"""

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .arrivals import Arrivals
from .models import ServedModels, Server

Floats = npt.NDArray[np.float64]


def keep_alive_cost(gaps_s: npt.ArrayLike, time_out_s: float, hold_per_s: float, reload: float) -> float:
    """Compute what a time-out costs over given gaps.

    Parameters
    ----------
    gaps_s : array of float, shape (n,)
        Idle times, s; infinite where no request follows.
    time_out_s : float
        The model is unloaded after so long.
    hold_per_s, reload : float
        Cost of keeping it for a second, and of loading it again.

    Returns
    -------
    float
        The sum over gaps of `hold_per_s` min(gap, time-out), and `reload` where the gap is longer.

    Examples
    --------
    >>> keep_alive_cost([10.0, 100.0], 30.0, 1.0, 50.0)
    90.0
    """
    gaps = _gaps(gaps_s)
    held = np.minimum(gaps, time_out_s)
    ended = np.isfinite(gaps)
    return float((hold_per_s * held[np.isfinite(held)]).sum() + reload * (ended & (gaps > time_out_s)).sum())


def least_keep_alive_cost(gaps_s: npt.ArrayLike, hold_per_s: float, reload: float) -> float:
    """Compute what keeping and loading cost at least, for one who knows each gap beforehand.

    Parameters
    ----------
    gaps_s : array of float, shape (n,)
        Idle times, s; infinite where no request follows.
    hold_per_s, reload : float
        As in `keep_alive_cost`.

    Returns
    -------
    float
        The sum over gaps of the lesser of keeping and loading again.

    Examples
    --------
    >>> least_keep_alive_cost([10.0, 100.0], 1.0, 50.0)
    60.0
    """
    gaps = _gaps(gaps_s)
    return float(np.minimum(hold_per_s * gaps[np.isfinite(gaps)], reload).sum())


def rent_or_buy_time_out(hold_per_s: float, reload: float) -> float:
    """Choose the time-out at which keeping has cost as much as loading again.

    Parameters
    ----------
    hold_per_s, reload : float
        As in `keep_alive_cost`.

    Returns
    -------
    float
        The time-out, s: infinite where keeping costs nothing.

    Examples
    --------
    >>> rent_or_buy_time_out(0.5, 50.0)
    100.0

    Notes
    -----
    The ski-rental rule (Karlin, Manasse, Rudolph, Sleator: Algorithmica 3, 1988): it costs at most twice the least, whatever the
    gaps, and no rule without chance does better for all of them.
    """
    return reload / hold_per_s if hold_per_s > 0 else np.inf


def hazard_time_out(gaps_s: npt.ArrayLike, hold_per_s: float, reload: float) -> float:
    """Choose the one time-out that costs least over the gaps that were seen.

    Parameters
    ----------
    gaps_s : array of float, shape (n,)
        Idle times that were seen, s; infinite where no request followed.
    hold_per_s, reload : float
        As in `keep_alive_cost`.

    Returns
    -------
    float
        The time-out, s; that of `rent_or_buy_time_out` where no gap was seen.

    Examples
    --------
    Most requests follow within 10 s, the others after 1000 s: it pays to wait for the former alone.

    >>> hazard_time_out([5.0, 8.0, 10.0, 1000.0], 1.0, 50.0)
    10.0

    Notes
    -----
    It is where the hazard rate of the gaps, the chance per second that a request comes now if none came so far, falls below
    `hold_per_s` / `reload`; of several such places, the best. Only zero and the gaps themselves need be tried: between two gaps the
    cost rises with the time-out.
    """
    gaps = np.sort(_gaps(gaps_s))
    if not len(gaps):
        return rent_or_buy_time_out(hold_per_s, reload)
    finite = gaps[np.isfinite(gaps)]
    tried = np.unique(np.r_[0.0, finite])
    served = np.searchsorted(finite, tried, side="right")
    costs = hold_per_s * (np.r_[0.0, finite.cumsum()][served] + (len(gaps) - served) * tried) + reload * (len(finite) - served)
    return float(tried[np.argmin(costs)])


def idle_gaps(arrivals: Arrivals, model: int) -> Floats:
    """List the idle times of a model that is always loaded and serves all requests at once.

    Parameters
    ----------
    arrivals : Arrivals
        The requests.
    model : int
        Index of the model.

    Returns
    -------
    array of float
        Each time without a request, s; the last, after the last request, is infinite.

    Examples
    --------
    >>> idle_gaps(Arrivals([0, 10, 50], [0, 0, 0], [8, 8, 8]), 0).tolist()
    [2.0, 32.0, inf]
    """
    mine = arrivals.model == model
    ends = np.maximum.accumulate(arrivals.time_s[mine] + arrivals.service_s[mine])
    gaps = np.r_[arrivals.time_s[mine][1:], np.inf] - ends if mine.any() else np.empty(0)
    return gaps[gaps > 0]


def time_outs_of(server: Server, models: ServedModels, arrivals: Arrivals, hold_per_gb_s: float, rule: str = "hazard") -> Floats:
    """Choose a time-out for each model, from requests that were seen.

    Parameters
    ----------
    server, models
        They tell how long each load takes; waiting for it is the cost of a reload, s.
    arrivals : Arrivals
        The requests that were seen.
    hold_per_gb_s : float
        What keeping a GB of GPU memory for a second costs, in seconds of waiting.
    rule : str
        `hazard` or `rent-or-buy`.

    Returns
    -------
    array of float, shape (I,)
        For `ServedModels(ttl_s=...)`.

    Examples
    --------
    >>> import edgecache as ec
    >>> one = ServedModels(ec.Catalogue(("chat",), [4], [4], [0.2], [20], [8]))
    >>> time_outs_of(Server(), one, Arrivals([0, 10, 500], [0, 0, 0], [8, 8, 8]), 0.1).tolist()
    [2.0]
    """
    hold, reload = hold_per_gb_s * models.memory_gb, server.load_s(models)
    if rule == "rent-or-buy":
        return np.array([rent_or_buy_time_out(*pair) for pair in zip(hold, reload, strict=True)])
    if rule != "hazard":
        raise InputError(f"unknown rule of time-outs {rule!r}; known: hazard, rent-or-buy")
    return np.array([hazard_time_out(idle_gaps(arrivals, model), hold[model], reload[model]) for model in range(len(models))])


def _gaps(values: npt.ArrayLike) -> Floats:
    """Gaps as floats (n,); raise InputError for one that is negative or no number."""
    gaps = np.asarray(values, dtype=float)
    if gaps.ndim != 1 or not (gaps >= 0).all():
        raise InputError("gaps must be one sequence of numbers of at least 0")
    return gaps
