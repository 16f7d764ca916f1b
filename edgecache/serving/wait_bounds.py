"""The least mean wait that any rule can reach with a given memory: what no eviction policy, planner or time-out goes below."""

import numpy as np
from scipy.optimize import minimize_scalar

from .arrivals import Arrivals
from .models import ServedModels, Server


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
    With room for all, each model is loaded once; with room for one, either request of the second round waits at least as well.

    >>> import edgecache as ec
    >>> two = ServedModels(ec.Catalogue(("a", "b"), [4, 4], [4, 4], [0.2, 0.2], [8, 8], [1, 1]))
    >>> arrivals = Arrivals([0, 100, 200, 300], [0, 1, 0, 1], [1, 1, 1, 1])
    >>> least_mean_wait(Server(gpu_memory_gb=8), two, arrivals), round(least_mean_wait(Server(gpu_memory_gb=4), two, arrivals), 2)
    (4.0, 5.0)

    Notes
    -----
    A request waits for a load of L seconds unless its model, of g GB, stays in memory throughout the gap since the model's request
    before, which takes g x gap of the server's memory x time; delaying that earlier request by d seconds shortens the gap by d. For
    any price p of memory x time, the sum of waits is at least the sum of min(L, min(p g, 1) gap) less p x memory x time (Lagrangian
    relaxation); the best price is sought. Queues, the disk, bases and busy models are left out, so the bound may be far below.
    Without delays it is the relaxation of memory to memory x time that PFOO-L makes (Berger, Beckmann, Harchol-Balter: SIGMETRICS
    2018).
    """
    count = len(arrivals)
    if not count:
        return np.nan
    held = server.fits(models)
    pinned = models.pinned.astype(bool)
    load_s = np.where(pinned, 0.0, server.load_s(models))
    escape = server.cloud_cold or np.isfinite(server.cloud_after_s) or np.isfinite(server.cloud_queue)
    most_s = np.where(held, np.minimum(load_s, server.cloud_delay_s) if escape else load_s, server.cloud_delay_s)
    order = np.argsort(arrivals.model, kind="stable")
    model, time_s = arrivals.model[order], arrivals.time_s[order]
    again = np.r_[False, model[1:] == model[:-1]]
    gap_s = np.where(again, np.diff(time_s, prepend=0.0), np.inf)
    most = most_s[model]
    priced = held[model] & ~pinned[model]
    memory = models.catalogue.gpu_memory_gb[model]
    room = server.gpu_memory_gb - models.catalogue.gpu_memory_gb[pinned].sum()
    span_s = float(arrivals.time_s[-1] - arrivals.time_s[0])

    def waits(price: float) -> float:
        with np.errstate(invalid="ignore"):
            kept = np.where(priced, np.where(again, np.minimum(price * memory, 1.0) * gap_s, np.inf), np.inf)
        return float(np.minimum(most, kept).sum() - (price * room * span_s if price else 0.0))

    best = waits(0.0)
    if np.isfinite(room) and span_s > 0 and room > 0:
        found = minimize_scalar(lambda power: -waits(10.0**power), bounds=(-12.0, 3.0), method="bounded", options={"xatol": 1e-4})
        best = max(best, -float(found.fun))
    return max(best, 0.0) / count
