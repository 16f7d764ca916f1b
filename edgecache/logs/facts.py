"""What a sequence of requests is like: how skewed, how bursty, and how often a model follows itself."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

HOUR_S = 3600.0
MOST_HOURS = 10_000_000  # that are counted: a thousand years
LEADERS = 10  # models whose inter-arrival times are told


@dataclass(frozen=True)
class LogFacts:
    """What a log is like. Poisson arrivals have a coefficient of variation of 1 and an hourly variance / mean of 1.

    Parameters
    ----------
    requests, models : int
        How many there are; no models where the log names none.
    span_s : float
        Seconds from the first request to the last.
    requests_per_s : float
        Mean rate over the span.
    zipf_exponent : float
        Exponent of Zipf's law over the models' ranks, by maximum likelihood; NaN with fewer than two models.
    top_share, top_ten_share : float
        Shares of the requests for the most requested model and for the ten most requested.
    repeats, independent_repeats : float
        How often a request asks for the same model as the one before, and how often it would if requests were independent.
    model_cv : tuple of float
        Coefficients of variation of the times between requests for the same model, of the ten most requested models.
    cv : float
        Coefficient of variation of the times between requests.
    hourly_dispersion : float
        Variance / mean of the requests per hour.
    empty_hours : float
        Share of the hours without a request.
    """

    requests: int
    models: int
    span_s: float
    requests_per_s: float
    zipf_exponent: float
    top_share: float
    top_ten_share: float
    repeats: float
    independent_repeats: float
    model_cv: tuple[float, ...]
    cv: float
    hourly_dispersion: float
    empty_hours: float

    def lines(self) -> list[str]:
        """The facts in words, a few lines."""
        days = self.span_s / 86_400
        span = f"{days:.1f} days" if days >= 2 else f"{self.span_s:,.0f} s"
        lines = [f"span {span}, rate {self.requests_per_s:.4g} requests/s"]
        if self.models:
            lines += [
                f"models {self.models:,}; the first takes {self.top_share:.1%}, the first ten {self.top_ten_share:.1%}; "
                f"Zipf exponent {self.zipf_exponent:.2f}",
                f"repeats of the same model {self.repeats:.3f}; independent requests would have {self.independent_repeats:.3f}",
            ]
        burst = f"burstiness (Poisson: 1): CV of all inter-arrival times {self.cv:.1f}, hourly variance/mean "
        lines.append(f"{burst}{self.hourly_dispersion:.1f}; hours without a request {self.empty_hours:.0%}")
        if self.model_cv:
            low, high = min(self.model_cv), max(self.model_cv)
            lines.append(
                f"CV of the inter-arrival times of one model, the {len(self.model_cv)} leading ones: {low:.1f} to {high:.1f}"
            )
        return lines


def measure(time_s: npt.NDArray[np.float64], model: npt.NDArray[np.int64] | None, models: int) -> LogFacts:
    """Measure a sequence of requests.

    Parameters
    ----------
    time_s : array of float, shape (N,)
        Ascending; N is at least 2.
    model : array of int, shape (N,), or None
        The model of each request, below `models`.
    models : int
        How many models there are.

    Returns
    -------
    LogFacts

    Examples
    --------
    >>> measure(np.arange(4.0), np.array([0, 0, 1, 0]), 2).repeats
    0.3333333333333333
    """
    span = float(time_s[-1] - time_s[0])
    hourly = _hourly(time_s - time_s[0])
    shares, repeats = np.ones(1), np.nan
    if model is not None:
        requests = np.bincount(model, minlength=models)
        shares = np.sort(requests[requests > 0])[::-1] / len(model)
        repeats = float(np.mean(model[1:] == model[:-1]))
    return LogFacts(
        requests=len(time_s),
        models=0 if model is None else len(shares),
        span_s=span,
        requests_per_s=len(time_s) / span if span else np.inf,
        zipf_exponent=zipf_exponent(shares),
        top_share=float(shares[0]) if model is not None else np.nan,
        top_ten_share=float(shares[:LEADERS].sum()) if model is not None else np.nan,
        repeats=repeats,
        independent_repeats=float((shares**2).sum()) if model is not None else np.nan,
        model_cv=() if model is None else model_cvs(time_s, model, models),
        cv=variation(np.diff(time_s)),
        hourly_dispersion=float(hourly.var() / hourly.mean()),
        empty_hours=float((hourly == 0).mean()),
    )


def _hourly(time_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Requests in each whole hour; in the only one where there is no whole hour."""
    hours = min(max(int(time_s[-1] // HOUR_S), 1), MOST_HOURS)
    return np.bincount((time_s[time_s < hours * HOUR_S] // HOUR_S).astype(np.int64), minlength=hours)


def model_cvs(time_s: npt.NDArray[np.float64], model: npt.NDArray[np.int64], models: int) -> tuple[float, ...]:
    """Coefficient of variation of the times between requests of each of the leading models, most requested first."""
    requests = np.bincount(model, minlength=models)
    leaders = np.argsort(-requests, kind="stable")[:LEADERS]
    return tuple(variation(np.diff(time_s[model == leader])) for leader in leaders if requests[leader] > 2)


def variation(gaps: npt.NDArray[np.float64]) -> float:
    """Coefficient of variation of times between requests; NaN where there is none, or all are zero."""
    mean = gaps.mean() if len(gaps) else 0.0
    return float(gaps.std() / mean) if mean else np.nan


def zipf_exponent(shares: npt.NDArray[np.float64]) -> float:
    """Exponent of Zipf's law by maximum likelihood over the ranks, from shares (M,) in descending order; NaN for one model.

    >>> ranks = np.arange(1, 11)
    >>> shares = ranks**-0.8 / (ranks**-0.8).sum()
    >>> round(zipf_exponent(shares), 3)
    0.8
    """
    if len(shares) < 2:
        return float("nan")
    log_rank = np.log(np.arange(1, len(shares) + 1))
    mean = float(shares @ log_rank)
    return float(minimize_scalar(lambda a: a * mean + np.log(np.exp(-a * log_rank).sum()), bounds=(0, 10), method="bounded").x)
