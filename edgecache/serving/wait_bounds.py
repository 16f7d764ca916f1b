"""The least mean wait that any rule can reach with a given memory: what no eviction policy, planner or time-out goes below."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .arrivals import Arrivals
from .models import ServedModels, Server

Floats = npt.NDArray[np.float64]

WINDOWS, ASCENTS = 500, 150


def least_mean_wait(server: Server, models: ServedModels, arrivals: Arrivals) -> float:
    """Bound the mean wait from below, for every rule that loads a model only once a request waits for it.

    Parameters
    ----------
    server : Server
        Its GPU memory and rates count, and its cloud.
    models : ServedModels
        Memory and load times.
    arrivals : Arrivals
        The requests, all known beforehand.

    Returns
    -------
    float
        No rule's mean wait is less, s; NaN without requests.

    Examples
    --------
    With room for all, each model is loaded once; with room for one, somebody waits again.

    >>> import edgecache as ec
    >>> two = ServedModels(ec.Catalogue(("a", "b"), [4, 4], [4, 4], [0.2, 0.2], [8, 8], [1, 1]))
    >>> arrivals = Arrivals([0, 100, 200, 300], [0, 1, 0, 1], [1, 1, 1, 1])
    >>> least_mean_wait(Server(gpu_memory_gb=8), two, arrivals), round(least_mean_wait(Server(gpu_memory_gb=4), two, arrivals), 2)
    (4.0, 5.96)

    Notes
    -----
    A request waits for a load of L seconds unless its model, of g GB, stays in memory throughout the gap since the model's request
    before, which takes g x gap of the server's memory x time. Delaying that earlier request by d seconds shortens the gap by d. So
    for any prices p(t) of memory x time, each at most 1 / g, the sum of waits is at least the sum over requests of the lesser of L
    and g x the price of the gap, less the price of all memory x time (Lagrangian relaxation). Prices are constant between some
    hundred moments and sought by mirror ascent; any prices give a valid bound. Queues, the disk, bases and busy models are left
    out, so the bound may be far below.
    """
    count = len(arrivals)
    if not count:
        return np.nan
    held, pinned = server.fits(models), models.pinned.astype(bool)
    load_s = np.where(pinned, 0.0, server.load_s(models))
    escape = server.cloud_cold or np.isfinite(server.cloud_after_s) or np.isfinite(server.cloud_queue)
    most_s = np.where(held, np.minimum(load_s, server.cloud_delay_s) if escape else load_s, server.cloud_delay_s)[arrivals.model]
    memory = models.catalogue.gpu_memory_gb[arrivals.model]
    room_gb = server.gpu_memory_gb - models.catalogue.gpu_memory_gb[pinned].sum()
    before = _request_before(arrivals.model)
    gapped = (before >= 0) & (held & ~pinned)[arrivals.model]
    compulsory = most_s[~gapped].sum()
    last = np.flatnonzero(gapped)
    if not np.isfinite(room_gb) or not len(last) or memory[last].max() <= 0:
        return float(compulsory) / count
    gaps = _Gaps(before[last], last, memory[last], most_s[last], arrivals.time_s, max(room_gb, 0.0))
    return float(compulsory + gaps.best()) / count


def _request_before(model: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number of each request's last before for the same model, -1 if there is none, (N,)."""
    order = np.argsort(model, kind="stable")
    before = np.full(len(model), -1)
    again = model[order[1:]] == model[order[:-1]]
    before[order[1:][again]] = order[:-1][again]
    return before


@dataclass(frozen=True)
class _Gaps:
    """Gaps between requests `first` and `last` for one model: what keeping it takes, and what it saves."""

    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    memory_gb: Floats
    saved_s: Floats
    time_s: Floats
    room_gb: float

    def best(self) -> float:
        """The highest bound that was found on the waits of these requests, s."""
        steps_s = np.diff(self.time_s, append=self.time_s[-1])
        starts = np.unique(np.linspace(0, len(steps_s) - 1, WINDOWS).astype(int))
        window = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(steps_s)]))
        length_s = np.add.reduceat(steps_s, starts)
        highest = 1.0 / self.memory_gb.max()
        prices, bound = np.full(len(starts), 1e-3 * highest), 0.0
        for step in range(ASCENTS):
            value, taken = self._value(prices, steps_s, window, starts, length_s)
            bound = max(bound, value)
            excess = taken / np.maximum(self.room_gb * length_s, 1e-12) - 1.0
            prices = np.minimum(prices * np.exp(0.6 * np.clip(excess, -1.0, 1.0) / np.sqrt(1.0 + 0.2 * step)), highest)
        return bound

    def _value(
        self, prices: Floats, steps_s: Floats, window: npt.NDArray, starts: npt.NDArray, length_s: Floats
    ) -> tuple[float, Floats]:
        """The bound under these prices, s, and the memory x time that is then taken in each window, GB s."""
        paid = np.r_[0.0, np.cumsum(prices[window] * steps_s)][: len(steps_s)]
        keeping = self.memory_gb * (paid[self.last] - paid[self.first])
        kept = keeping < self.saved_s
        value = np.minimum(keeping, self.saved_s).sum() - self.room_gb * (prices * length_s).sum()
        count = len(steps_s)
        begun = np.bincount(self.first[kept], self.memory_gb[kept], count)
        ended = np.bincount(self.last[kept], self.memory_gb[kept], count)
        return float(value), np.add.reduceat(np.cumsum(begun - ended) * steps_s, starts)
