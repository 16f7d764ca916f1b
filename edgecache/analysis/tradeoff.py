"""Cost against delay: where each policy lies, and how near the best possible comes to both.

The best possible is the set of means that minimise `cost + waiting x delay`, where `waiting` is the cost of each second. It is the
convex front: what lies below it no policy of the bound's class reaches, on average.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from ..accounting import Charges
from ..intervals import interval
from ..parallel import run_parallel
from ..policies import POLICIES
from ..policies.clairvoyant import Clairvoyant
from ..policies.exact import Exact
from ..policies.optimal_online import OptimalOnline
from ..results import Simulation
from ..scenario import Scenario
from ..simulator import Game

WAITING = (0.0, *(float(f"{weight:.3g}") for weight in np.geomspace(0.2, 60, 28)), 1e4)  # cost per second that users wait
W2 = (0.0, 0.02, 0.05, 0.08, *(number / 100 for number in range(10, 50, 2)), *(number / 20 for number in range(10, 21)))
COLUMNS = ["kind", "policy", "weight", "total_cost", "service_delay_all_s"]
POLICY, ONLINE, FLOOR, OWN_WEIGHT = "policy", "best online", "floor", "proposed over w2"


def tradeoff(
    policies: Sequence[str],
    scenario: Scenario | None = None,
    *,
    waiting: Sequence[float] = WAITING,
    w2: Sequence[float] = W2,
    replications: int = 200,
    seed: int = 0,
    jobs: int = -1,
) -> pd.DataFrame:
    """Simulate the cost and the delay of policies, of the best possible, and of the proposed method under other weights.

    Parameters
    ----------
    policies : sequence of str
        Names of policies.
    scenario : Scenario, optional
        The server and its reading, under which every run is booked.
    waiting : sequence of float
        Costs of a second, one per point of the fronts.
    w2 : sequence of float
        Weights of the resource cost by which the proposed method decides, in place of the scenario's. Exact stands for it.
    replications : int
        Number of runs, on the same traces for all.
    seed : int
        Seed of the runs.
    jobs : int
        Number of processes; -1 is every core.

    Returns
    -------
    DataFrame
        One row per replication and point: its `kind` (POLICY, ONLINE, FLOOR or OWN_WEIGHT), the `policy`, the `weight` of waiting
        or of the resources (NaN for a policy as it is), `total_cost` per slot, and `service_delay_all_s` of all requests.

    Raises
    ------
    InputError
        Where more deployments fit the server than the bounds can plan for.

    Examples
    --------
    >>> table = tradeoff(["lru"], Scenario(slots=20), waiting=[0, 1], w2=[0.1], replications=2, jobs=1)
    >>> table.groupby("kind").size().to_dict()
    {'best online': 4, 'floor': 4, 'policy': 2, 'proposed over w2': 2}
    """
    task = partial(_one_replication, policies, scenario or Scenario(), waiting, w2, seed)
    rows = run_parallel(task, range(replications), jobs)
    return pd.DataFrame([row for some in rows for row in some], columns=["replication", *COLUMNS])


def _one_replication(policies, scenario, waiting, w2, seed, replication) -> list[tuple]:  # type: ignore[no-untyped-def]
    game = Game.of(scenario, seed, replication)
    runs = [(POLICY, np.nan, game.play(POLICIES[name])) for name in policies]
    for kind, bound in ((ONLINE, OptimalOnline), (FLOOR, Clairvoyant)):
        runs += [(kind, cost, game.play(bound(waiting=cost))) for cost in waiting]
    for weight in w2:
        varied = Game(Charges(scenario.vary(w2=weight), game.charges.trace), game.policy_stream).play(Exact())
        booked = Simulation(game.charges, "exact", varied.outcome, varied.evictions, varied.prefetches)
        runs.append((OWN_WEIGHT, weight, booked))
    rows = []
    for kind, weight, run in runs:
        means = run.means()
        rows.append((replication, kind, run.policy, weight, means["total_cost"], means["service_delay_all_s"]))
    return rows


def summarise_tradeoff(table: pd.DataFrame) -> pd.DataFrame:
    """Average the points over replications.

    Parameters
    ----------
    table : DataFrame
        From `tradeoff`.

    Returns
    -------
    DataFrame
        One row per point: `kind`, `policy`, `weight`, and for `total_cost` and `service_delay_all_s` the mean, and its 95 %
        interval from `..._low` to `..._high`.

    Examples
    --------
    >>> table = tradeoff(["lru"], Scenario(slots=20), waiting=[0], w2=[0.1], replications=2, jobs=1)
    >>> summarise_tradeoff(table)["kind"].tolist()
    ['policy', 'best online', 'floor', 'proposed over w2']
    """
    points = table.groupby(COLUMNS[:3], sort=False, dropna=False)
    rows = []
    for key, runs in points:
        row = dict(zip(COLUMNS[:3], key, strict=True))
        for outcome in COLUMNS[3:]:
            low, high = interval(runs[outcome].to_numpy())
            row |= {outcome: runs[outcome].mean(), f"{outcome}_low": float(low), f"{outcome}_high": float(high)}
        rows.append(row)
    return pd.DataFrame(rows)


def best_delay_at(points: pd.DataFrame, cost: float, kind: str = FLOOR) -> float:
    """Interpolate the least delay at a cost on a front; NaN where no point of the front costs as little.

    Parameters
    ----------
    points : DataFrame
        From `summarise_tradeoff`.
    cost : float
        The mean cost per slot.
    kind : str
        Which front: FLOOR or ONLINE.

    Returns
    -------
    float
        Mean delay, s. Between two points of the front a policy that plays either at random reaches the line between them.

    Examples
    --------
    >>> columns = ["kind", "total_cost", "service_delay_all_s"]
    >>> front = pd.DataFrame([("floor", 10.0, 8.0), ("floor", 20.0, 4.0)], columns=columns)
    >>> best_delay_at(front, 15.0), best_delay_at(front, 30.0), best_delay_at(front, 5.0)
    (6.0, 4.0, nan)
    """
    front = points[points["kind"] == kind].sort_values("total_cost")
    delay = np.minimum.accumulate(front["service_delay_all_s"].to_numpy())
    return float(np.interp(cost, front["total_cost"], delay, left=np.nan))
