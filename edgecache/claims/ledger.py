"""The ledger: the verdict on every claim under a reading. Replications are added until every verdict is decided."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ..ensembles import outcomes
from ..errors import InputError
from ..parallel import check_jobs, run_parallel
from ..scenario import Scenario
from .statements import BASELINES, GRID, SIMULATED, UNDECIDED, Cell, SimulatedClaim, Statement, cells_of, points_of
from .verdicts import Test, by_construction, evidence, ledger_row, verdict

LOOKS = (200, 400, 800)  # replications at which a named reading's verdicts are looked at
CHUNK = 10  # replications per task


def play_ledger(
    scenario: Scenario,
    reading: str = "",
    *,
    proposed: str = "ga",
    looks: Sequence[int] = LOOKS,
    seed: int = 0,
    jobs: int = -1,
    progress: bool = True,
) -> pd.DataFrame:
    """Judge every claim under a reading, from as many simulations as the verdicts need.

    Parameters
    ----------
    scenario : Scenario
        The reading. The claims say at which storage, GPU memory and slots it is played; the arrival rate is the scenario's own.
    reading : str
        The reading's name, for the column `reading`.
    proposed : str
        The policy that counts as the paper's, `ga` or `exact`.
    looks : sequence of int
        Numbers of replications at which the verdicts are looked at. A claim that is decided keeps its verdict, and the points that
        no other claim needs are played no more.
    seed : int
        Seed of the traces, the same for all policies.
    jobs : int
        Number of processes; -1 is every core. The table is the same at any number.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per claim, with the columns of `judge` and `reading`.

    Raises
    ------
    InputError
        For looks that do not ascend from at least 2, and for what `jobs` and `proposed` cannot be.

    Examples
    --------
    >>> table = play_ledger(Scenario(), "literal", proposed="exact", looks=(2,), jobs=1, progress=False)
    >>> table.loc[0, ["claim", "verdict", "reading"]].tolist()
    ['demands-vary', 'by construction', 'literal']
    """
    check_jobs(jobs)
    _check_looks(looks)
    costs: dict[Cell, np.ndarray] = {}
    decided: dict[str, tuple[str, Statement, int]] = {}  # the verdict on a claim, the statement that decides it, and the look
    for begin, look in itertools.pairwise((0, *looks)):
        undecided = [claim for claim in SIMULATED if decided.get(claim.name, (UNDECIDED,))[0] == UNDECIDED]
        if not undecided:
            break
        task = partial(simulate_cells, scenario, cells_of(undecided), proposed, seed=seed)
        description = f"{reading or 'claims'} to replication {look}"
        parts = list(run_parallel(task, _chunks(begin, look), jobs, progress=progress, description=description))
        for cell in parts[0]:
            costs[cell] = np.concatenate([costs.get(cell, np.empty(0)), *(part[cell] for part in parts)])
        for claim in undecided:
            decided[claim.name] = (*verdict(claim.groups(GRID), costs, Test(looks=len(looks))), look)
    rows = by_construction(scenario) + [_row(claim, *decided[claim.name], costs) for claim in SIMULATED]
    return pd.DataFrame(rows).assign(reading=reading)


def _check_looks(looks: Sequence[int]) -> None:
    if not looks or looks[0] < 2 or any(b <= a for a, b in itertools.pairwise(looks)):
        raise InputError(f"looks are {looks!r}; they must be ascending numbers of replications, the first at least 2")


def _chunks(begin: int, end: int) -> list[range]:
    """The replications of each task."""
    return [range(first, min(first + CHUNK, end)) for first in range(begin, end, CHUNK)]


def _row(claim: SimulatedClaim, word: str, deciding: Statement, look: int, costs: Mapping[Cell, np.ndarray]) -> dict:
    """The row of a claim, with the evidence of the replications up to the look that decided it."""
    played = {cell: costs[cell][:look] for cell in (deciding.cell, deciding.other)}
    return ledger_row(claim, word, evidence(deciding, played), look)


def simulate_cells(
    scenario: Scenario, cells: Sequence[Cell], proposed: str, replications: Sequence[int], seed: int
) -> dict[Cell, np.ndarray]:
    """Simulate the total cost of cells in these replications, with the policy `proposed` as the paper's."""
    points, place = points_of(cells)
    costs = outcomes(scenario, points, (*BASELINES, proposed), replications, seed)[0]
    return {cell: costs[place[cell]] for cell in cells}
