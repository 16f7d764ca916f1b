"""A target for what users wait, such as `p95=10s`, and whether a server meets it with confidence."""

import re
from dataclasses import dataclass

import numpy as np

from ..errors import InputError, unknown
from .arrivals import Arrivals
from .models import ServedModels, Server
from .simulation import Rule, ServingRun, serve
from .waits import DAY_S, MEASURES, PARTS, Waits

_UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SPELT = re.compile(r"p(\d+(?:\.\d+)?)=(\d+(?:\.\d+)?)(ms|s|min|h)")
LEAST_BLOCKS = 10  # of a part of the log, for an interval


@dataclass(frozen=True)
class Target:
    """A share of requests, and what they wait at most.

    Parameters
    ----------
    share : float
        Share of requests, such as 0.95.
    limit_s : float
        What these wait at most, s.
    measure : str
        `wait`, before a request is served, or `delay`, until its answer.

    Raises
    ------
    InputError
        For a share that is not between 0 and 1, or a limit that is not above 0.

    Examples
    --------
    >>> Target.spelt("p95=10s")
    Target(share=0.95, limit_s=10.0, measure='wait')
    """

    share: float
    limit_s: float
    measure: str = "wait"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"the share of a target is {self.share!r}; it must be above 0 and below 1")
        if not 0 < self.limit_s < np.inf:
            raise InputError(f"the limit of a target is {self.limit_s!r} s; it must be above 0")
        if self.measure not in MEASURES:
            raise unknown("measure", self.measure, MEASURES)

    @classmethod
    def spelt(cls, text: str, measure: str = "wait") -> "Target":
        """Read a target such as `p95=10s`, `p50=300ms` or `p99.9=2min`."""
        found = _SPELT.fullmatch(text.strip().lower())
        if not found:
            raise InputError(f"the target is {text!r}; it must be like p95=10s, with ms, s, min or h")
        return cls(float(found[1]) / 100, float(found[2]) * _UNITS[found[3]], measure)

    def waits(self, run: ServingRun) -> Waits:
        """Add up a run in blocks of a day, or of a tenth of the log where that is shorter."""
        time_s = run.requests["arrival_s"]
        span_s = float(time_s[-1] - time_s[0]) if len(time_s) else 0.0
        block_s = max(min(DAY_S, span_s / LEAST_BLOCKS), 1e-9)
        rows = run.requests.copy()
        rows["arrival_s"] -= time_s[0] if len(time_s) else 0.0
        return Waits(block_s, self.limit_s, self.measure).add(rows)

    def met(self, waits: Waits) -> bool:
        """Is at least that share within the limit, with 95 % confidence?"""
        return bool(waits.share_at_least() >= self.share)

    def limited_by(self, run: ServingRun) -> str:
        """Name the part of the delay that the requests beyond the limit spend most time in."""
        rows = run.requests
        late = rows[rows["wait_s"] + (rows["service_s"] if self.measure == "delay" else 0.0) > self.limit_s]
        parts = [part for part in PARTS if self.measure == "delay" or part != "service"]
        spent = [float(late[f"{part}_s"].sum()) for part in parts]
        return parts[int(np.argmax(spent))]

    def __str__(self) -> str:
        return f"p{100 * self.share:g} of the {self.measure} at most {self.limit_s:g} s"


def halves(arrivals: Arrivals) -> tuple[Arrivals, Arrivals]:
    """Split requests at the middle of their time.

    Parameters
    ----------
    arrivals : Arrivals
        At least two requests, not all at one time.

    Returns
    -------
    tuple of Arrivals
        The first half, on which a plan is made, and the second, on which it is checked.

    Examples
    --------
    >>> [len(half) for half in halves(Arrivals([0, 10, 90, 100], [0] * 4, [1] * 4))]
    [2, 2]
    """
    if len(arrivals) < 2 or arrivals.time_s[0] == arrivals.time_s[-1]:
        raise InputError(f"the log has {len(arrivals)} requests over no time; a plan needs two halves of a log")
    cut = np.searchsorted(arrivals.time_s, (arrivals.time_s[0] + arrivals.time_s[-1]) / 2, side="right")
    parts = [slice(None, cut), slice(cut, None)]
    first, second = (Arrivals(arrivals.time_s[part], arrivals.model[part], arrivals.service_s[part]) for part in parts)
    return first, second


@dataclass(frozen=True)
class Trial:
    """What became of requests on a server that was tried: their waits, and what keeps those that are late."""

    waits: Waits
    limit: str
    busy_s: float

    @classmethod
    def of(cls, target: Target, server: Server, models: ServedModels, arrivals: Arrivals, rule: Rule) -> "Trial":
        """Play the requests and add them up for a target."""
        run = serve(server, models, arrivals, rule)
        return cls(target.waits(run), target.limited_by(run), float(run.play.state.world["busy_s"][0]))
