"""The ledger's runs: replications are added until every verdict is decided, or a cap is reached."""

import itertools
from collections.abc import Sequence

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from ..ensembles import outcomes
from ..errors import InputError
from ..scenario import Scenario
from .statements import BASELINES, CENTRE, GRID, SIMULATED, UNDECIDED, Cell, Claim
from .verdicts import Test, by_construction, evidence, row, verdict

LOOKS = (200, 400, 800)  # replications at which a named reading's verdicts are looked at
CHUNK = 10  # replications a task


def ledger(
    scenario: Scenario,
    reading: str = "",
    *,
    proposed: str = "ga",
    looks: Sequence[int] = LOOKS,
    seed: int = 0,
    jobs: int = -1,
    progress: bool = True,
) -> pd.DataFrame:
    """The verdict on every claim under a reading, from simulations at the points of GRID on the same traces, the rest at CENTRE.

    At each look the claims that are decided keep their verdict and their replications, and the points that none of the others needs
    are played no more. Columns: those of `claims.judge`, and `reading`. The same at any number of `jobs`. Raises InputError for
    looks that do not ascend from at least 2.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0:
        raise InputError(f"jobs is {jobs!r}; it must be a whole number of processes, or -1 for every core")
    if not looks or looks[0] < 2 or any(b <= a for a, b in itertools.pairwise(looks)):
        raise InputError(f"looks are {looks!r}; they must be ascending numbers of replications, the first at least 2")
    costs: dict[Cell, np.ndarray] = {}
    rows: dict[str, dict] = {}
    played = 0
    bar = tqdm(
        total=looks[-1], unit="replication", desc=reading or "claims", leave=False, **({} if progress else {"disable": True})
    )
    with bar, joblib.Parallel(n_jobs=jobs, return_as="generator") as parallel:
        for look in looks:
            undecided = [claim for claim in SIMULATED if rows.get(claim.name, {}).get("verdict", UNDECIDED) == UNDECIDED]
            cells = cells_of(undecided)
            chunks = [range(begin, min(begin + CHUNK, look)) for begin in range(played, look, CHUNK)]
            parts = []
            for part in parallel(joblib.delayed(play)(scenario, cells, proposed, chunk, seed) for chunk in chunks):
                parts.append(part)
                bar.update(len(next(iter(part.values()))))
            for cell in cells:
                costs[cell] = np.concatenate([costs.get(cell, np.empty(0)), *(part[cell] for part in parts)])
            for claim in undecided:
                word, deciding = verdict(claim.groups(GRID), costs, Test(looks=len(looks)))
                rows[claim.name] = {"verdict": word, "deciding": deciding, "look": look}
            played = look
            if all(found["verdict"] != UNDECIDED for found in rows.values()):
                break
    table = by_construction(scenario)
    for claim in SIMULATED:
        found = rows[claim.name]
        first = {cell: costs[cell][: found["look"]] for cell in (found["deciding"].cell, found["deciding"].other)}
        table.append(row(claim, found["verdict"], evidence(found["deciding"], first), found["look"]))
    return pd.DataFrame(table).assign(reading=reading)


def cells_of(claims: Sequence[Claim]) -> list[Cell]:
    """Every cell that a claim is about, each once."""
    statements = [statement for claim in claims for statement in claim.statements()]
    return list(dict.fromkeys(cell for statement in statements for cell in (statement.cell, statement.other)))


def play(
    scenario: Scenario, cells: Sequence[Cell], proposed: str, replications: Sequence[int], seed: int
) -> dict[Cell, np.ndarray]:
    """The total cost of those cells in each replication, (n,) each."""
    points = {cell[:2]: CENTRE | {cell[0]: cell[1]} for cell in cells}
    distinct = [dict(point) for point in dict.fromkeys(tuple(point.items()) for point in points.values())]
    costs = outcomes(scenario, distinct, (*BASELINES, proposed), replications, seed)[0]
    names = (*BASELINES, "proposed")
    return {cell: costs[distinct.index(points[cell[:2]]), names.index(cell[2])] for cell in cells}
