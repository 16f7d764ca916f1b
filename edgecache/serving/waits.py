"""What users waited: means, percentiles and shares within a target, with intervals over blocks of days or over replications.

A `Waits` adds requests up in histograms, one per block, so that its memory does not grow with the number of requests. The bins are
half a percent wide: percentiles are exact to that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from ..errors import InputError, unknown
from .simulation import ServingRun
from .state import CLOUD

Floats = npt.NDArray[np.float64]

DAY_S = 86_400.0
_LEAST_S, _RATIO, _BINS = 1e-3, 1.005, 4_620  # the last bin ends above 10^7 s
_EDGES = np.r_[0.0, _LEAST_S * _RATIO ** np.arange(_BINS)]
RESAMPLES = 2_000
PARTS = ("queue", "fetch", "load", "service")
MEASURES = ("wait", "delay")


@dataclass(eq=False)
class Waits:
    """The waits of requests, added up per block.

    Parameters
    ----------
    block_s : float
        Length of a block of time, s: a day by default. Intervals are drawn over whole blocks.
    slo_s : float
        Target for the share of requests within it, s.
    measure : str
        What the target is about: `wait`, before a request is served, or `delay`, until its answer.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.serving import Arrivals, ServedModels, Server, serve
    >>> one = ServedModels(ec.Catalogue(("chat",), [4], [4], [0.2], [3.5], [8]))
    >>> waits = Waits(slo_s=5).add(serve(Server(), one, Arrivals([0, 1], [0, 0], [8, 8])).requests)
    >>> waits.mean("wait"), waits.mean("queue"), waits.share_within()
    (7.0, 4.0, 0.5)
    """

    block_s: float = DAY_S
    slo_s: float = np.inf
    measure: str = "wait"
    _sums: dict[int, Floats] = field(default_factory=dict, init=False)
    _counts: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise unknown("measure", self.measure, MEASURES)
        for name, value in (("block_s", self.block_s), ("slo_s", self.slo_s)):
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value > 0:
                raise InputError(f"{name} is {value!r}; it must be a number above 0")

    def add(self, served: npt.NDArray, block: int | None = None) -> "Waits":
        """Add requests, to the blocks of their arrival times, or as one `block` such as a replication. Returns itself."""
        blocks = (served["arrival_s"] // self.block_s).astype(int) if block is None else np.full(len(served), block)
        order = np.argsort(blocks, kind="stable")
        numbers, first = np.unique(blocks[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, first[1:]), strict=True):
            self._add_block(number, served[rows])
        for computed in ("_table", "_weights"):
            self.__dict__.pop(computed, None)
        return self

    def _add_block(self, number: int, served: npt.NDArray) -> None:
        """Add requests of one block."""
        counts = self._counts.setdefault(number, np.zeros((2, _BINS), dtype=np.int64))
        sums = self._sums.setdefault(number, np.zeros(len(PARTS) + 3))
        values = {"wait": served["wait_s"], "delay": served["wait_s"] + served["service_s"]}
        for row, measure in enumerate(MEASURES):
            counts[row] += np.bincount(_bin(values[measure]), minlength=_BINS)
        sums[: len(PARTS)] += [served[f"{part}_s"].sum() for part in PARTS]
        sums[len(PARTS) :] += [
            served["wait_s"].sum(),
            (values[self.measure] <= self.slo_s).sum(),
            (served["outcome"] == CLOUD).sum(),
        ]

    @cached_property
    def _table(self) -> tuple[Floats, Floats]:
        """Histograms (2, blocks, bins) and sums (blocks, parts + 3)."""
        numbers = sorted(self._counts)
        if not numbers:
            return np.zeros((2, 0, _BINS)), np.zeros((0, len(PARTS) + 3))
        counts = np.stack([self._counts[number] for number in numbers], axis=1).astype(float)
        return counts, np.stack([self._sums[number] for number in numbers])

    @cached_property
    def _weights(self) -> Floats:
        """How often each resample of the blocks holds each block, (RESAMPLES, blocks)."""
        blocks = len(self._counts)
        return np.random.default_rng(0).multinomial(blocks, np.full(blocks, 1 / max(blocks, 1)), RESAMPLES).astype(float)

    def __len__(self) -> int:
        return int(self._table[0][0].sum())

    @property
    def blocks(self) -> int:
        """How many blocks hold requests."""
        return len(self._counts)

    def mean(self, part: str) -> float:
        """Mean of `wait`, `delay`, or a part of them (`queue`, `fetch`, `load`, `service`), s."""
        return float(self._means(part)(np.ones((1, self.blocks)))[0])

    def quantile(self, share: float, measure: str | None = None) -> float:
        """The wait or delay that this share of requests does not exceed, s, to half a percent; NaN without requests."""
        return float(self._quantiles(share, measure or self.measure)(np.ones((1, self.blocks)))[0])

    def share_within(self) -> float:
        """Share of requests within the target; NaN without requests."""
        return float(self._shares(len(PARTS) + 1)(np.ones((1, self.blocks)))[0])

    def cloud_share(self) -> float:
        """Share of requests that the cloud served; NaN without requests."""
        return float(self._shares(len(PARTS) + 2)(np.ones((1, self.blocks)))[0])

    def interval(self, what: str | float, measure: str | None = None) -> tuple[float, float]:
        """The 95 % interval of a mean (its name), of a quantile (its share), or of `share_within` or `cloud_share`.

        Drawn over whole blocks: NaN with fewer than two. The ends are those of the expanded percentile bootstrap (Hesterberg: The
        American Statistician 69(4), 2015), which is as wide as a t interval where there are few blocks.
        """
        if self.blocks < 2:
            return np.nan, np.nan
        if not isinstance(what, str):
            statistic = self._quantiles(what, measure or self.measure)
        elif what in ("share_within", "cloud_share"):
            statistic = self._shares(len(PARTS) + (1 if what == "share_within" else 2))
        else:
            statistic = self._means(what)
        tail = stats.norm.cdf(np.sqrt(self.blocks / (self.blocks - 1)) * stats.t.ppf(0.025, self.blocks - 1))
        low, high = np.quantile(statistic(self._weights), [tail, 1 - tail])
        return float(low), float(high)

    def share_at_least(self, confidence: float = 0.95) -> float:
        """The share within the target that is exceeded with that confidence, one-sided; NaN with fewer than two blocks."""
        if self.blocks < 2:
            return np.nan
        degrees = self.blocks - 1
        tail = stats.norm.cdf(np.sqrt(self.blocks / degrees) * stats.t.ppf(1 - confidence, degrees))
        return float(np.quantile(self._shares(len(PARTS) + 1)(self._weights), tail))

    def resampled_means(self, part: str) -> Floats:
        """The mean of a part in each resample of the blocks: two `Waits` of the same blocks are resampled alike, (RESAMPLES,)."""
        return self._means(part)(self._weights)

    def _means(self, part: str) -> Callable[[Floats], Floats]:
        """The mean under weights of the blocks (B, blocks)."""
        columns = {name: [number] for number, name in enumerate(PARTS)} | {"wait": [len(PARTS)], "delay": [3, len(PARTS)]}
        if part not in columns:
            raise unknown("part of a delay", part, columns)
        return self._shares(*columns[part])

    def _shares(self, *columns: int) -> Callable[[Floats], Floats]:
        """Sums of columns over the number of requests, under weights of the blocks (B, blocks)."""
        counts, sums = self._table

        def statistic(weights: Floats) -> Floats:
            with np.errstate(invalid="ignore"):
                return weights @ sums[:, list(columns)].sum(axis=1) / (weights @ counts[0].sum(axis=1))

        return statistic

    def _quantiles(self, share: float, measure: str) -> Callable[[Floats], Floats]:
        """The quantile under weights of the blocks (B, blocks)."""
        if not 0 <= share <= 1:
            raise InputError(f"the share of a quantile is {share!r}; it must be from 0 to 1")
        counts = self._table[0][MEASURES.index(measure)]

        def statistic(weights: Floats) -> Floats:
            if not counts.size:
                return np.full(len(weights), np.nan)
            below = np.cumsum(weights @ counts, axis=1)
            place = np.array([np.searchsorted(row, max(share * row[-1], 0.5)) for row in below])
            return np.where(place > 0, _EDGES[place] * np.sqrt(_RATIO), 0.0)

        return statistic

    def summary(self) -> pd.DataFrame:
        """One row per outcome with its 95 % interval: columns `outcome`, `value`, `low`, `high`."""
        rows: list[tuple] = [("requests", len(self), np.nan, np.nan)]
        rows += [(f"mean_{part}_s", self.mean(part), *self.interval(part)) for part in ("wait", *PARTS, "delay")]
        for measure in MEASURES:
            rows += [
                (f"p{round(100 * share)}_{measure}_s", self.quantile(share, measure), *self.interval(share, measure))
                for share in (0.5, 0.95, 0.99)
            ]
        if np.isfinite(self.slo_s):
            rows.append((f"{self.measure}_within_slo", self.share_within(), *self.interval("share_within")))
        rows.append(("cloud_share", self.cloud_share(), *self.interval("cloud_share")))
        return pd.DataFrame(rows, columns=["outcome", "value", "low", "high"])


def _bin(values: Floats) -> npt.NDArray[np.int64]:
    """The bin of each value; bin 0 holds what is below a millisecond."""
    with np.errstate(divide="ignore"):
        place = np.floor(np.log(values / _LEAST_S) / np.log(_RATIO)) + 1
    return np.clip(place, 0, _BINS - 1).astype(np.int64)


def waits_of_replications(runs: Iterable[ServingRun], slo_s: float = np.inf, measure: str = "wait") -> Waits:
    """Add up replications, so that intervals are drawn over these.

    Parameters
    ----------
    runs : iterable of ServingRun
        One per replication.
    slo_s, measure
        As in `Waits`.

    Returns
    -------
    Waits

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.serving import Arrivals, ServedModels, Server, serve
    >>> one = ServedModels(ec.Catalogue(("chat",), [4], [4], [0.2], [3.5], [8]))
    >>> runs = [serve(Server(), one, Arrivals([0.0, later], [0, 0], [8, 8])) for later in (1.0, 100.0)]
    >>> waits_of_replications(runs).blocks
    2
    """
    waits = Waits(slo_s=slo_s, measure=measure)
    for number, run in enumerate(runs):
        waits.add(run.requests, number)
    return waits
