"""The search over readings: which of them supports which claim of the paper.

Every draw of a design is judged by means, under each scope. The best readings are judged again as the ledger does, with the GA and
on other traces. The named readings get their ledgers on traces that the search has not seen. Journals keep each result as soon as
it is there, so a search that was stopped goes on where it was.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..ensembles import outcomes
from ..errors import InputError, require, whole_number
from ..files import Journal, write_table
from ..parallel import check_jobs
from ..scenario import NAMED, Scenario
from . import catalogues, ledger, pairs
from .design import (
    COUNT,
    DRAWN,
    MEASURES,
    PARAMETERS,
    RANGES,
    SCOPES,
    SEEDS,
    SLACKS,
    judge_draw,
    latin_hypercube,
    random_generator,
    read_readings,
    scenario_of,
    under_every_scope,
    write_readings,
)
from .sensitivity import LEAST, sensitivity
from .statements import BASELINES, BY_CONSTRUCTION, CENTRE, FAILS, GRID, HOLDS, SIMULATED, VERDICTS, cells_of
from .verdicts import Test, by_construction, evidence, verdict

# No replication serves twice: the search (1), the second look at the best, the design (3) and the ledger (0, as in every figure)
# have seeds of their own.
BEST_SEED, LEDGER_SEED = 2, 0
BEST, BEST_LOOKS = 40, (200,)
ANY = "closest-any"  # the reading of most claims with any catalogue; it is no word of `--reading`, for its catalogue is random
PROBES = 12  # draws of a design that has every word of every switch equally often


def judge_design(
    count: int = COUNT, *, work: Path, report: Callable[[str], None], jobs: int = -1, progress: bool = True
) -> pd.DataFrame:
    """Judge every draw of a design by its means, under every scope.

    Parameters
    ----------
    count : int
        Number of draws. There are four readings to each, one for each scope.
    work : Path
        The folder of the journal, from which an earlier search of as many draws goes on.
    report : callable
        Receives sentences, such as one on a damaged journal.
    jobs : int
        Number of processes; -1 is every core.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per reading: PARAMETERS, the slack of each claim, MEASURES, `held` (number of claims), and `missed`: by how much
        the claims that do not hold miss, each at most 1, added up.

    Raises
    ------
    InputError
        For an impossible count, or where another process writes the journal.
    """
    whole_number("count", count, least=len(PARAMETERS), most=10_000_000)
    draws = latin_hypercube(count)
    rows = {str(number): row for number, row in enumerate(draws.to_dict("records"))}
    with Journal(work / f"search-{count}-{fingerprint()}.jsonl", report) as journal:
        results = journal.run(judge_draw, rows, jobs=jobs, progress=progress, description="draws, four readings each")
    table = under_every_scope(draws)
    table[[*SLACKS, *MEASURES]] = np.array(results, dtype=np.float32).reshape(len(table), -1)
    slack = table[list(SLACKS)].to_numpy(dtype=float)
    missed = [float(f"{missed:.4g}") for missed in np.clip(-slack, 0, 1).sum(axis=1)]
    return table.assign(held=(slack > 0).sum(axis=1), missed=missed)


def best_readings(table: pd.DataFrame, count: int = BEST) -> pd.DataFrame:
    """Return the readings that hold most claims, ties by what they miss; the index is their number in the design.

    Half of them have the shipped catalogue, the others a random one. Where a wider scope changes no slack of a draw, its reading
    is the same as that of the narrower scope, which stands for both.
    """
    distinct = table[~table.duplicated([*DRAWN, *SLACKS])]
    ranked = distinct.sort_values(["held", "missed"], ascending=[False, True], kind="stable")
    shipped = ranked[ranked["catalogue"] == 0].head((count + 1) // 2)
    return ranked.loc[ranked.index.isin(shipped.index.union(ranked[ranked["catalogue"] > 0].head(count // 2).index))]


def judge_again(
    chosen: pd.DataFrame, *, work: Path, report: Callable[[str], None], jobs: int = -1, progress: bool = True
) -> pd.DataFrame:
    """Judge readings as the ledger does: with the GA, by the sequential stop, and on traces of their own.

    `chosen` are rows of `judge_design`; the result has the rows of their ledgers, and the reading's index in `chosen` as `number`.
    """
    rows = {json.dumps(list(row.values())): row for row in chosen[list(PARAMETERS)].to_dict("records")}
    with Journal(work / f"best-{fingerprint()}.jsonl", report) as journal:
        results = journal.run(_judged_again, rows, jobs=jobs, progress=progress, description="best readings")
    tables = [pd.DataFrame(rows).assign(number=int(number)) for number, rows in zip(chosen.index, results, strict=True)]
    return pd.concat(tables, ignore_index=True)


def closest_reading(table: pd.DataFrame, again: pd.DataFrame, *, any_catalogue: bool = False) -> int:
    """Find the reading that comes closest to the paper.

    The paper names its ten models, and the shipped catalogue describes them. Closest are most claims that hold, then fewest that
    fail, then the least `missed` in the search.

    Parameters
    ----------
    table : DataFrame
        The table of `judge_design`.
    again : DataFrame
        The table of `judge_again`.
    any_catalogue : bool
        Whether readings with a random catalogue count too. The one found then is called `closest-any`; without, it is the named
        reading `closest`.

    Returns
    -------
    int
        The reading's number in the design.

    Raises
    ------
    InputError
        Where no such reading was judged again.
    """
    counts = again.groupby("number")["verdict"].value_counts().unstack(fill_value=0).reindex(columns=VERDICTS, fill_value=0)
    counts = counts.join(table[["catalogue", "missed"]])
    ranked = counts.sort_values([HOLDS, FAILS, "missed"], ascending=[False, True, True], kind="stable")
    ranked = ranked if any_catalogue else ranked[ranked["catalogue"] == 0]
    if ranked.empty:
        raise InputError("no reading with the shipped catalogue is among the best: search more readings")
    return int(ranked.index[0])


def _judged_again(parameters: dict) -> list[dict]:
    """The rows of a reading's ledger on the simulated claims."""
    table = ledger.play_ledger(scenario_of(parameters), looks=BEST_LOOKS, seed=BEST_SEED, jobs=1, progress=False)
    table = table[table["claim"].isin(SLACKS)].drop(columns=["section", "says", "reading"])
    return table.to_dict("records")


def _named_ledger(reading: str) -> list[dict]:
    """The rows of a named reading's ledger."""
    scenario = Scenario.named(reading)
    return ledger.play_ledger(scenario, reading, seed=LEDGER_SEED, jobs=1, progress=False).to_dict("records")


def _ledger_of(parameters: dict) -> list[dict]:
    """The rows of the ledger of `closest-any`, on the same traces as those of the named readings."""
    return ledger.play_ledger(scenario_of(parameters), ANY, seed=LEDGER_SEED, jobs=1, progress=False).to_dict("records")


@cache
def fingerprint() -> str:
    """Return a digest of what a journal's results depend on beside their own parameters.

    It is of behaviour, not of source: the judgement of a few readings that have every word of every switch, the GA's costs, the
    verdicts on made-up costs, and the settings of search and ledger. So an edited docstring keeps a search, and a changed cost,
    policy, catalogue or claim begins a new one.
    """
    behaviour: list[tuple] = []
    for row in latin_hypercube(PROBES).to_dict("records"):
        centre = [CENTRE | {"slots": 20}]
        for scope in SCOPES:
            costs = outcomes(scenario_of(row).vary(scope=scope), centre, (*BASELINES, "exact", "ga"), [0], BEST_SEED)
            behaviour.append((scope, [f"{value:.9g}" for value in costs.ravel()]))
        behaviour.append((row, judge_draw(row, 1)))
    generator = random_generator(0)
    made_up = {cell: generator.lognormal(size=ledger.LOOKS[0]) for cell in cells_of(SIMULATED)}
    behaviour += [(claim.name, claim.section, claim.says, claim.groups(GRID)) for claim in SIMULATED]
    behaviour += [verdict(claim.groups(GRID), made_up, Test()) for claim in SIMULATED]
    behaviour.append((evidence(SIMULATED[0].statements()[0], made_up), by_construction(Scenario())))
    behaviour.append((PARAMETERS, RANGES, SEEDS, BEST_SEED, BEST_LOOKS, LEDGER_SEED, ledger.LOOKS, Test()))
    return hashlib.sha256(repr(behaviour).encode()).hexdigest()[:16]


def search_readings(
    results: Path,
    work: Path,
    *,
    report: Callable[[str], None],
    count: int = COUNT,
    named: Sequence[str] = tuple(NAMED),
    jobs: int = -1,
    progress: bool = True,
) -> None:
    """Search the readings, judge the best again, and play the ledgers of the named readings.

    Parameters
    ----------
    results : Path
        The folder for readings.parquet (every reading), readings-scopes.csv (the scopes compared), readings-best.csv (the best,
        judged again), readings-sensitivity.csv, claims.csv (the ledgers), claims-any.csv (that of `closest-any`) and
        readings-catalogues.csv (other catalogues).
    work : Path
        The folder of the journals.
    report : callable
        Receives sentences on what was found.
    count : int
        Number of draws, each judged under four scopes.
    named : sequence of str
        The named readings.
    jobs : int
        Number of processes; -1 is every core. The files are the same at any number.
    progress : bool
        Show progress bars.

    Raises
    ------
    InputError
        For an impossible count or number of jobs, or where the extra `claims` is not installed.
    """
    whole_number("count", count, least=LEAST, most=10_000_000)
    check_jobs(jobs)
    for module in ("pyarrow", "SALib"):
        require(module, "claims", "the search over readings")
    table = judge_design(count, work=work, report=report, jobs=jobs, progress=progress)
    _report_damage(results / "readings.parquet", report)
    write_readings(table, results / "readings.parquet")
    write_table(pairs.compare_scopes(table), results / "readings-scopes.csv")
    report(f"{len(table)} readings judged by means, the best holds {table['held'].max()} of {len(SLACKS)} claims")
    again = judge_again(best_readings(table), work=work, report=report, jobs=jobs, progress=progress)
    again = write_table(again, results / "readings-best.csv")
    with Journal(work / f"named-{fingerprint()}.jsonl", report) as journal:
        readings = {f"{name} {NAMED[name]}": name for name in named}
        ledgers = journal.run(_named_ledger, readings, jobs=jobs, progress=progress, description="named readings")
    claims = write_table(pd.concat([pd.DataFrame(rows) for rows in ledgers], ignore_index=True), results / "claims.csv")
    write_table(sensitivity(table, jobs), results / "readings-sensitivity.csv")
    row = table.loc[closest_reading(table, again, any_catalogue=True), list(PARAMETERS)].to_dict()
    with Journal(work / f"any-{fingerprint()}.jsonl", report) as journal:
        (rows,) = journal.run(_ledger_of, {json.dumps(list(row.values())): row}, jobs=jobs, progress=progress, description=ANY)
    write_table(pd.DataFrame(rows), results / "claims-any.csv")
    with Journal(work / f"catalogues-{fingerprint()}.jsonl", report) as journal:
        varied = catalogues.judge_catalogues(journal, named, jobs=jobs, progress=progress)
    write_table(varied, results / "readings-catalogues.csv")
    _report_closest(table, again, claims, report)


def _report_damage(path: Path, report: Callable[[str], None]) -> None:
    """Report that an earlier table is damaged, if it is; it is then written again."""
    try:
        if path.exists():
            read_readings(path)
    except InputError as error:
        report(f"{str(error).removesuffix(': run `make readings`')}; written anew")


def _report_closest(table: pd.DataFrame, again: pd.DataFrame, claims: pd.DataFrame, report: Callable[[str], None]) -> None:
    """Report the closest reading, and how many claims hold under it and under the named readings."""
    number = closest_reading(table, again)
    held = again[again["number"] == number]["verdict"].eq(HOLDS).sum()
    report(f"closest: reading {number}, {table.loc[number, 'held']} claims by means, {held} with the GA and the sequential stop")
    report("  " + ", ".join(f"{name}={value}" for name, value in table.loc[number, list(PARAMETERS)].items()))
    for name, rows in claims[claims["verdict"] != BY_CONSTRUCTION].groupby("reading", sort=False):
        report(f"{name}: {rows['verdict'].eq(HOLDS).sum()} claims hold on {rows['replications'].max()} new replications")
