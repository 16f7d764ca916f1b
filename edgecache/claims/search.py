"""The search over readings: which of them supports which claim of the paper, and what decides it.

Every reading of a design is judged; those that hold most claims are judged again as the ledger does, with the GA and on other
traces; and the named readings get their ledgers, on traces that the search has not seen. Each result is in a journal as soon as
it is there, so what was killed goes on where it was.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from ..catalogue import SHIPPED
from ..errors import InputError, whole_number
from ..files import Journal, write_table
from ..scenario import NAMED, READINGS, Scenario
from .design import (
    COUNT,
    MEASURES,
    PARAMETERS,
    SLACKS,
    SWITCHES,
    design,
    judged,
    read_readings,
    scenario_of,
    write_readings,
)
from .ledger import ledger
from .statements import BY_CONSTRUCTION, FAILS, HOLDS, VERDICTS

# No replication serves twice: the search (1), the second look at the best, the design (3) and the ledger (0, as in every figure)
# have seeds of their own.
BEST_SEED, LEDGER_SEED = 2, 0
BEST, BEST_LOOKS = 200, (20, 40)
CHUNK = 8  # readings a task
LEAST = 100  # readings that a search is worth


def search(count: int = COUNT, *, work: Path, jobs: int = -1, progress: bool = True, report: Callable = print) -> pd.DataFrame:
    """Judge every reading of a design: its PARAMETERS, the slack of each claim, MEASURES, `held` (claims), and `missed`.

    `missed` is by how much the claims that do not hold miss, each at most 1, added up. Goes on from the journal below `work`.
    """
    whole_number("count", count, least=len(PARAMETERS), most=10_000_000)
    table = design(count)
    rows = {str(number): row for number, row in enumerate(table.to_dict("records"))}
    with Journal(work / f"search-{count}-{fingerprint()}.jsonl", report) as journal:
        found = journal.run(judged, rows, chunk=CHUNK, jobs=jobs, progress=progress, what="readings")
    table[[*SLACKS, *MEASURES]] = np.array(found, dtype=np.float32)
    slack = table[list(SLACKS)].to_numpy(dtype=float)
    missed = [float(f"{missed:.4g}") for missed in np.clip(-slack, 0, 1).sum(axis=1)]
    return table.assign(held=(slack > 0).sum(axis=1), missed=missed)


def best(table: pd.DataFrame, count: int = BEST) -> pd.DataFrame:
    """The readings that hold most claims, ties by what they miss; the index is their number in the design."""
    return table.sort_values(["held", "missed"], ascending=[False, True], kind="stable").head(count)


def reconsider(
    chosen: pd.DataFrame, *, work: Path, jobs: int = -1, progress: bool = True, report: Callable = print
) -> pd.DataFrame:
    """The ledger of each of these readings, the GA being the proposed, by the sequential stop and on traces of their own."""
    rows = {json.dumps(list(row.values())): row for row in chosen[list(PARAMETERS)].to_dict("records")}
    with Journal(work / f"best-{fingerprint()}.jsonl", report) as journal:
        found = journal.run(_reconsidered, rows, chunk=1, jobs=jobs, progress=progress, what="best readings")
    tables = [pd.DataFrame(rows).assign(number=int(number)) for number, rows in zip(chosen.index, found, strict=True)]
    return pd.concat(tables, ignore_index=True)


def closest(table: pd.DataFrame, again: pd.DataFrame) -> int:
    """The number of the reading that comes closest to the paper among those reconsidered with the shipped catalogue.

    The paper names its ten models, and the shipped catalogue describes them. Most claims that hold, then fewest that fail, then
    the least `missed` in the search.
    """
    counts = again.groupby("number")["verdict"].value_counts().unstack(fill_value=0).reindex(columns=VERDICTS, fill_value=0)
    counts = counts.join(table[["catalogue", "missed"]])
    shipped = counts[counts["catalogue"] == 0].sort_values([HOLDS, FAILS, "missed"], ascending=[False, True, True], kind="stable")
    if shipped.empty:
        raise InputError("no reading with the shipped catalogue is among the best: search more readings")
    return int(shipped.index[0])


def sensitivity(table: pd.DataFrame, jobs: int = 1) -> pd.DataFrame:
    """Which parameter decides each claim, and the headline: first-order indices by RBD-FAST (Tarantola et al. 2006; SALib).

    One row an outcome (a claim, held or not; a measure) and parameter: `share` is of the outcome's variance what the parameter
    explains alone, a few percent of it lost to the ten harmonics kept; `spread` its 95 % half width, wide, for it resamples half
    of the readings. What the shares leave to 1 is interactions, and which random catalogue it is. A claim that holds under all
    readings or none has no rows. Raises InputError below 100 readings, of which too few harmonics can be told.
    """
    whole_number("count of readings", len(table), least=LEAST)
    words = {name: pd.Categorical(table[name], READINGS[name]).codes for name in SWITCHES}
    numbers = table[list(PARAMETERS)].assign(**words).to_numpy(dtype=float)
    numbers = numbers.argsort(axis=0, kind="stable").argsort(
        axis=0, kind="stable"
    )  # ranks: how ties are sorted hangs on the processor
    problem = {"num_vars": len(PARAMETERS), "names": list(PARAMETERS), "bounds": [[0, 1]] * len(PARAMETERS)}
    outcomes = {name: (table[name] > 0).to_numpy(dtype=float) for name in SLACKS} | {
        name: table[name].to_numpy() for name in MEASURES
    }
    varied = {name: outcome for name, outcome in outcomes.items() if np.ptp(outcome) > 0}
    found = joblib.Parallel(n_jobs=jobs)(joblib.delayed(_first_order)(problem, numbers, outcome) for outcome in varied.values())
    rows = [(name, *row) for name, own in zip(varied, found, strict=True) for row in zip(PARAMETERS, *own, strict=True)]
    return pd.DataFrame(rows, columns=["outcome", "parameter", "share", "spread"])


def _first_order(problem: dict, numbers: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from SALib.analyze import rbd_fast

    with np.errstate(invalid="ignore"):  # resamples of a claim that almost never holds
        found = rbd_fast.analyze(problem, numbers, outcome, num_resamples=50, seed=0)
    return np.maximum(found["S1"], 0.0), np.asarray(found["S1_conf"])


def _reconsidered(parameters: dict) -> list[dict]:
    table = ledger(scenario_of(parameters), looks=BEST_LOOKS, seed=BEST_SEED, jobs=1, progress=False)
    table = table[table["claim"].isin(SLACKS)].drop(columns=["section", "says", "reading"])
    return table.to_dict("records")


@cache
def fingerprint() -> str:
    """What a journal's results depend on beside their parameters: the package's source, the shipped catalogue and NumPy."""
    source = sorted(Path(__file__).parents[1].rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in (*source, SHIPPED)) + np.__version__.encode()).hexdigest()[:16]


def find(
    results: Path, work: Path, *, count: int = COUNT, named: Sequence[str] = tuple(NAMED), jobs: int = -1, progress: bool = True
) -> None:
    """The whole search and the ledgers of the named readings, into `results`; their journals are in `work`.

    Writes readings.parquet (every reading), readings-best.csv (the best, judged again), readings-sensitivity.csv and claims.csv
    (the ledgers), and prints how the closest reading fared.
    """
    whole_number("count", count, least=LEAST, most=10_000_000)
    if jobs == 0:
        raise InputError("jobs is 0; it must be a number of processes, or -1 for every core")
    setting = {"work": work, "jobs": jobs, "progress": progress}
    table, path = search(count, **setting), results / "readings.parquet"
    if path.exists():
        try:
            read_readings(path)
        except InputError as error:
            print(f"{str(error).removesuffix(': run `make readings`')}; written anew", flush=True)
    write_readings(table, path)
    print(f"{count} readings judged by means, the best holds {table['held'].max()} of {len(SLACKS)} claims", flush=True)
    again = write_table(reconsider(best(table), **setting), results / "readings-best.csv")
    with Journal(work / f"named-{fingerprint()}.jsonl", print) as journal:
        found = journal.run(
            _named, {f"{name} {NAMED[name]}": name for name in named}, chunk=1, jobs=jobs, progress=progress, what="named readings"
        )
    claims = write_table(pd.concat([pd.DataFrame(rows) for rows in found], ignore_index=True), results / "claims.csv")
    write_table(sensitivity(table, jobs), results / "readings-sensitivity.csv")
    number = closest(table, again)
    held = again[again["number"] == number]["verdict"].eq(HOLDS).sum()
    print(f"closest: reading {number}, {table.loc[number, 'held']} claims by means, {held} with the GA and the sequential stop")
    print("  " + ", ".join(f"{name}={value}" for name, value in table.loc[number, list(PARAMETERS)].items()))
    for name, rows in claims[claims["verdict"] != BY_CONSTRUCTION].groupby("reading", sort=False):
        print(f"{name}: {rows['verdict'].eq(HOLDS).sum()} claims hold on {rows['replications'].max()} new replications", flush=True)


def _named(reading: str) -> list[dict]:
    return ledger(Scenario.named(reading), reading, seed=LEDGER_SEED, jobs=1, progress=False).to_dict("records")
