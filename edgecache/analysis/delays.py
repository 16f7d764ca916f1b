"""What users wait, as a distribution: the share of requests that each delay is enough for."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..errors import InputError
from ..results import Simulation


def delay_distribution(runs: Iterable[Simulation]) -> pd.DataFrame:
    """Tabulate the empirical distribution of the delay of each policy, over the requests of all of its runs.

    Parameters
    ----------
    runs : iterable of Simulation
        Runs of any policies, such as the replications of each.

    Returns
    -------
    DataFrame
        `policy`, `delay_s` ascending within the policy, and `share`, the share of requests that wait no longer. A model has few
        delays, so the table is short. The cloud's requests count. Delays are those of an idle server: no queueing.

    Raises
    ------
    InputError
        Where no run has a request.

    Examples
    --------
    >>> import edgecache as ec
    >>> table = delay_distribution([ec.simulate(ec.Scenario(), "lru", replication=r) for r in range(3)])
    >>> float(table["share"].iloc[-1]), bool(table["delay_s"].is_monotonic_increasing)
    (1.0, True)
    """
    waited: dict[str, list[np.ndarray]] = {}
    for run in runs:
        waited.setdefault(run.policy, []).append(run.request_delay_s)
    tables = []
    for policy, parts in waited.items():
        delays, counts = np.unique(np.concatenate(parts), return_counts=True)
        if len(delays):
            tables.append(pd.DataFrame({"policy": policy, "delay_s": delays, "share": np.cumsum(counts) / counts.sum()}))
    if not tables:
        raise InputError("no run has a request, so there is no delay to tabulate")
    return pd.concat(tables, ignore_index=True)
