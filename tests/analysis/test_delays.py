"""The distribution of delays: against counting, and against the quantiles of the runs."""

import numpy as np
import pytest

from edgecache import InputError, Scenario, Trace, simulate
from edgecache.analysis.delays import delay_distribution


def test_shares_are_what_counting_says():
    runs = [simulate(Scenario(slots=50), policy, replication=r) for policy in ("lru", "ga") for r in range(3)]
    table = delay_distribution(runs)
    assert table["policy"].unique().tolist() == ["lru", "ga"]
    for policy, rows in table.groupby("policy"):
        waited = np.concatenate([run.request_delay_s for run in runs if run.policy == policy])
        assert rows["share"].tolist() == [np.mean(waited <= delay) for delay in rows["delay_s"]]
        assert rows["share"].iloc[-1] == 1


def test_the_quantiles_of_one_run_are_on_the_curve():
    run = simulate(Scenario(slots=80), "lfu")
    table, delays = delay_distribution([run]), run.delays(slo_s=20)
    for name, share in (("delay_p50_s", 0.5), ("delay_p95_s", 0.95), ("delay_p99_s", 0.99)):
        assert delays[name] == table.loc[table["share"] >= share, "delay_s"].min()
    assert delays["within_slo"] == table.loc[table["delay_s"] <= 20, "share"].max()


def test_no_request_no_table():
    with pytest.raises(InputError, match="no run has a request"):
        delay_distribution([simulate(Scenario(), "lru", trace=Trace([], [], 1, np.ones(10)))])
