"""Measure how often intervals cover the truth and how often verdicts are wrong, on the costs of the shipped scenario.

Writes data/results/coverage.csv and data/results/verdict-errors.csv, the tables of `edgecache.claims.calibration` for three named
readings. It takes minutes. A test measures a part of it anew.
"""

from pathlib import Path

import pandas as pd

from edgecache import Scenario, write_table
from edgecache.claims.calibration import interval_coverage, simulate_pool, verdict_errors
from edgecache.parallel import run_parallel

RESULTS = Path(__file__).parent.parent / "data/results"
READINGS = ("literal", "closest", "delay")


def measure(reading: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables of a reading."""
    pool = simulate_pool(Scenario.named(reading), jobs=1)
    tables = interval_coverage(pool), verdict_errors(pool)
    for table in tables:
        table.insert(0, "reading", reading)
    return tables


if __name__ == "__main__":
    coverage, errors = zip(*run_parallel(measure, READINGS, progress=True, description="readings"), strict=True)
    for name, tables in (("coverage", coverage), ("verdict-errors", errors)):
        table = write_table(pd.concat(tables, ignore_index=True), RESULTS / f"{name}.csv")
        print(table.to_string())
