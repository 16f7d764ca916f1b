"""Sweeps: the tables' shape and order, and the same numbers everywhere."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from support.cases import random_scenario

from edgecache import (
    GA,
    PAPER,
    InputError,
    PolicyError,
    Scenario,
    eviction_policy,
    lower_bound,
    poisson_trace,
    sample_catalogue,
    simulate,
    summarise,
    sweep,
    sweep_by_slot,
    sweeps,
    write_table,
)
from edgecache.errors import TooManyDeployments
from edgecache.intervals import interval
from edgecache.policies import POLICIES as EVERY
from edgecache.policies import find_policy
from edgecache.sweeps import OUTCOMES

QUIET = {"progress": False, "jobs": 1}
SCENARIO = Scenario(slots=25)
VARY = {"storage_gb": [60, 120], "charge": ["eviction", "miss"]}
POLICIES = ["random", "lru", "ga"]


@pytest.fixture(scope="module")
def tables():
    return sweep_by_slot(VARY, POLICIES, 3, SCENARIO, seed=4, **QUIET)


# ---- shape, columns, order


def test_one_row_for_each_point_replication_and_policy(tables):
    means, _ = tables
    assert list(means.columns[:4]) == ["storage_gb", "charge", "replication", "policy"]
    assert set(OUTCOMES) | {"requests", "cloud_requests"} <= set(means.columns[4:])
    expected = [(s, c, r, p) for s in (60, 120) for c in ("eviction", "miss") for r in range(3) for p in POLICIES]
    assert list(means.iloc[:, :4].itertuples(index=False, name=None)) == expected
    assert list(means.index) == list(range(36))


def test_one_row_for_each_slot(tables):
    means, slots = tables
    assert list(slots.columns[:5]) == ["storage_gb", "charge", "replication", "policy", "slot"]
    assert list(slots.columns[5:8]) == ["requests", "hits", "cloud_requests"]
    assert len(slots) == 25 * len(means)
    assert slots["slot"].tolist() == list(range(25)) * 36
    assert_frame_equal(slots.iloc[::25, :4].reset_index(drop=True), means.iloc[:, :4], check_dtype=False)


def test_rows_are_those_of_simulate(tables):
    means, slots = tables
    for row in (0, 10, 35):
        label = means.iloc[row]
        scenario = SCENARIO.vary(storage_gb=label["storage_gb"], charge=label["charge"])
        run = simulate(scenario, label["policy"], 4, replication=int(label["replication"]))
        for name, value in run.means().items():
            assert label[name] == value or (np.isnan(label[name]) and np.isnan(value)), name
        part = slots.iloc[25 * row : 25 * (row + 1), 4:].reset_index(drop=True)
        assert_frame_equal(part, run.slots, check_exact=True)


def test_slots_aggregate_to_replications(tables):
    means, slots = tables
    grouped = slots.groupby(["storage_gb", "charge", "replication", "policy"], sort=False)
    for cost in ("total_cost", "switching_cost", "resource_cost"):
        assert_allclose(grouped[cost].mean(), means[cost], rtol=1e-12)
    for total in ("fetched_gb", "energy_kwh", "requests", "cloud_requests"):
        assert_allclose(grouped[total].sum(), means[total], rtol=1e-12)
    assert_allclose(grouped["hits"].sum() / grouped["requests"].sum(), means["hit_ratio"], rtol=1e-12)
    served = slots["requests"] - slots["cloud_requests"]
    waited = (slots["service_delay_s"] * served).groupby([slots[key] for key in grouped.keys], sort=False).sum()
    delay = waited.to_numpy() / (means["requests"] - means["cloud_requests"])
    assert_allclose(delay, means["service_delay_s"], rtol=1e-12)


def test_by_gives_one_of_both(tables):
    options = dict(vary=VARY, policies=POLICIES, replications=3, scenario=SCENARIO, seed=4, **QUIET)
    assert_frame_equal(sweep(**options), tables[0], check_exact=True)
    assert_frame_equal(sweep(**options), tables[0], check_exact=True)


def test_slots_may_differ_between_points():
    means, slots = sweep_by_slot({"slots": [3, 7]}, ["lru"], 2, **QUIET)
    assert means["slots"].tolist() == [3, 3, 7, 7]
    assert slots["slot"].tolist() == [*range(3)] * 2 + [*range(7)] * 2


@eviction_policy
def busy(model, server):
    return model.requests * server.clock


@pytest.mark.parametrize("reading", ["literal", "closest", "delay"])
def test_points_that_differ_in_slots_are_those_of_simulate(reading):
    """The sweep plays the longest trace alone where it can; every point must be what a run of that length gives."""
    scenario = Scenario.named(reading)
    policies = [*EVERY, busy]
    means, slots = sweep_by_slot({"slots": [40, 5, 90]}, policies, 2, scenario, seed=3, **QUIET)
    assert means["slots"].drop_duplicates().tolist() == [40, 5, 90]
    for (length, replication, name), row in means.groupby(["slots", "replication", "policy"]):
        run = simulate(scenario.vary(slots=length), busy if name == "busy" else name, 3, replication=replication)
        assert run.means() == row[list(run.means())].iloc[0].to_dict()
        own = slots[(slots["slots"] == length) & (slots["replication"] == replication) & (slots["policy"] == name)]
        assert_frame_equal(own[run.slots.columns].reset_index(drop=True), run.slots)


def test_a_policy_that_looks_at_the_whole_trace_is_played_at_every_length():
    class Looks:
        name = "looks"

        def prepare(self, scenario, trace):
            seen.append(trace.slots)
            return replace(GA(), name="looks")

    seen = []
    sweep({"slots": [5, 9]}, [Looks()], 1, **QUIET)
    assert seen == [5, 9]


def test_every_policy_and_point_faces_the_same_luck(tables):
    means, _ = tables
    for _, part in means.groupby("replication"):
        assert part["requests"].nunique() == 1
    assert means["requests"].nunique() > 1


def test_defaults():
    table = sweep(replications=2, scenario=Scenario(slots=5), **QUIET)
    assert list(table.columns[:2]) == ["replication", "policy"]
    assert table["policy"].tolist() == [*PAPER, *PAPER]
    assert list(PAPER) == ["random", "fifo", "lru", "lfu", "ga"]


def test_fewer_replications_are_the_first_of_many():
    few, many = (sweep(None, ["random"], n, SCENARIO, **QUIET) for n in (2, 5))
    assert_frame_equal(many.iloc[:2], few, check_exact=True)
    assert many["total_cost"].nunique() == 5


def test_another_seed_another_table():
    first, second = (sweep(None, ["lru"], 2, SCENARIO, seed=seed, **QUIET) for seed in (0, 1))
    assert not first["requests"].equals(second["requests"]) or not first["total_cost"].equals(second["total_cost"])


def test_same_numbers_at_any_number_of_processes(tables):
    for jobs in (2, -1):
        means, slots = sweep_by_slot(VARY, POLICIES, 3, SCENARIO, seed=4, progress=False, jobs=jobs)
        assert_frame_equal(means, tables[0], check_exact=True)
        assert_frame_equal(slots, tables[1], check_exact=True)


class OnAWorker:
    """A planner that works on a Dask worker only."""

    name = "on-a-worker"

    def decide(self, decision):
        from distributed import get_worker

        assert get_worker().address
        chosen = np.zeros(len(decision.deployed), dtype=bool)
        chosen[decision.requested] = True
        return chosen


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="the extra edgecache[cluster] is not installed")
    with distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as cluster:
        yield cluster


def test_same_numbers_on_a_dask_cluster(tables, cluster):
    means, slots = sweep_by_slot(VARY, POLICIES, 3, SCENARIO, seed=4, progress=False, dask=cluster.scheduler_address)
    assert_frame_equal(means, tables[0], check_exact=True)
    assert_frame_equal(slots, tables[1], check_exact=True)


def test_a_dask_cluster_does_the_work(cluster):
    there = sweep(None, [OnAWorker()], 2, SCENARIO, progress=False, dask=cluster.scheduler_address)
    assert there["policy"].tolist() == ["on-a-worker"] * 2
    with pytest.raises(ValueError, match="No worker"):
        sweep(None, [OnAWorker()], 1, SCENARIO, **QUIET)


def test_a_sweep_leaves_its_dask_cluster(cluster):
    """Its client is closed: else it goes on knocking, and complains at exit, when the cluster has gone."""
    before = set(cluster.scheduler.clients)
    sweep(None, ["lru"], 1, SCENARIO, progress=False, dask=cluster.scheduler_address)
    assert set(cluster.scheduler.clients) == before


def test_progress_bar_is_shown_when_asked():
    """In a process of its own: the tests set TQDM_DISABLE, which tqdm reads as it is imported."""
    code = "from edgecache import Scenario, sweep\nfor shown in (True, False):\n"
    code += "    sweep(None, ['lru'], 2, Scenario(slots=5), jobs=1, progress=shown)\n    import sys; print('|', file=sys.stderr)"
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    shown, silent, _ = done.stderr.split("|\n")
    assert "runs" in shown and "0/2" in shown
    assert silent == ""


# ---- servers too large for the bounds


ONLINE = ["random", "lru", "gdsf", "belady-cost", "ga", "exact", "optimal-online", "optimal-online-delay"]
FEW = {name: replace(find_policy(name), limit=300) for name in ONLINE[-2:]}  # their plans are quick then
FLOORS = ["clairvoyant", "clairvoyant-delay"]
FLOOR_OF = {"clairvoyant-bound": "total_cost", "clairvoyant-delay-bound": "service_delay_s"}


@pytest.fixture(scope="module")
def large():
    """Sixty models: more deployments fit than the bounds can look at, at 120 GB; at 4 GB they are exact."""
    scenario = Scenario(sample_catalogue(60, np.random.default_rng(0)), slots=20, w2=0.02, cloud_delay_s=3.0)
    policies = [FEW.get(name, name) for name in (*ONLINE, *FLOORS)]
    return scenario, sweep({"storage_gb": [4, 120]}, policies, 2, scenario, **QUIET)


def test_a_server_too_large_for_the_bounds_has_lower_bounds_and_approximations(large):
    scenario, table = large
    plain, small = [*ONLINE, *FLOORS], table[table["storage_gb"] == 4]
    assert small["policy"].tolist() == plain * 2 and small[list(OUTCOMES)].notna().all().all()
    inexact = ["optimal-online-approximate", "optimal-online-delay-approximate", *FLOOR_OF]
    assert table[table["storage_gb"] == 120]["policy"].tolist() == [*ONLINE[:-2], *inexact] * 2
    for replication in range(2):
        rows = table[(table["storage_gb"] == 120) & (table["replication"] == replication)].set_index("policy")
        for bound, outcome in FLOOR_OF.items():
            others = rows.drop(index=FLOOR_OF)[outcome]
            assert 0 < rows.loc[bound, outcome] <= others.min() * (1 + 1e-9)
            assert rows.loc[bound, [name for name in OUTCOMES if name not in (outcome, "cloud_share")]].isna().all()
            assert rows.loc[bound, outcome] > others.min() / 4  # a bound that says something
        assert rows["requests"].nunique() == 1 and (rows["slots"] == 20).all()
        trace = simulate(scenario.vary(storage_gb=120), "lru", replication=replication).trace
        assert rows.loc["clairvoyant-bound", "requests"] == len(trace)
        assert rows.loc["clairvoyant-bound", "total_cost"] == pytest.approx(lower_bound(scenario.vary(storage_gb=120), trace))


def test_summarise_goes_over_bounds(large):
    _, table = large
    for outcome in ("total_cost", "service_delay_s"):
        found = summarise(table, outcome).set_index(["storage_gb", "policy"])
        assert list(found.index) == list(table[["storage_gb", "policy"]].drop_duplicates().itertuples(index=False, name=None))
        expected = table.groupby(["storage_gb", "policy"], sort=False)[outcome].mean()
        assert_allclose(found["mean"], expected)
        assert found["mean"].isna().sum() == 1  # the other outcome's bound
        (bound,) = [name for name, own in FLOOR_OF.items() if own == outcome]
        values = table[table["policy"] == bound][outcome]
        assert_allclose(found.loc[(120, bound), ["low", "high"]].astype(float), np.stack(interval(values)))


@pytest.mark.parametrize("policy", FLOORS)
def test_a_lower_bound_has_no_slots(large, policy):
    with pytest.raises(TooManyDeployments, match=f"{policy} is limited to 20000 deployments that fit the server") as error:
        sweep_by_slot(None, ["lru", policy], 1, large[0], **QUIET)
    assert isinstance(error.value, InputError) and "\n" not in str(error.value)


def test_approximations_have_slots(large):
    slots = sweep_by_slot(None, [FEW["optimal-online"]], 1, large[0], **QUIET)[1]
    assert set(slots["policy"]) == {"optimal-online-approximate"} and len(slots) == 20


# ---- bad arguments: one sentence, before anything runs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replications": 0}, "replications is 0; it must be a whole number, at least 1"),
        ({"replications": 2.5}, "replications is 2.5"),
        ({"replications": True}, "replications is True"),
        ({"seed": -1}, "seed is -1; it must be a whole number, at least 0"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"jobs": 0}, "jobs is 0; it must be a whole number of processes, or -1"),
        ({"jobs": 1.5}, "jobs is 1.5"),
        ({"policies": []}, "policies are missing; name at least one, and each once"),
        ({"policies": ["lru", "lru"]}, "policies are lru, lru; name at least one, and each once"),
        ({"policies": ["lru", "liru"]}, "unknown policy 'liru'; did you mean 'lru'"),
        ({"vary": {"storage": [1]}}, "unknown parameter 'storage'; did you mean 'storage_gb'"),
        ({"vary": {"storage_gb": []}}, "nothing to sweep over: storage_gb has no values"),
        ({"vary": {"storage_gb": [60, -1]}}, "storage_gb is -1; it must be finite and above zero"),
        ({"vary": {"storage_gb": [60, float("nan")]}}, "storage_gb is nan"),
        ({"vary": {"charge": ["evictions"]}}, "unknown charge 'evictions'; did you mean 'eviction'"),
        ({"vary": {"storage_gb": [1.5]}}, "no model of the catalogue fits a server of 1.5 GB storage"),
        ({"vary": {"w1": [-0.5]}}, "w1 is -0.5; it must be finite and at least zero"),
        ({"vary": {"slots": [0]}}, "slots is 0; it must be at least 1"),
        ({"vary": {"slots": [10.5]}}, "slots is 10.5; it must be a whole number"),
        (
            {"policies": ["lru", "optimal-online"], "vary": {"resource_basis": ["slot", "decision"]}},
            "optimal-online is not defined",
        ),
        ({"dask": "tcp://127.0.0.1:9"}, "no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        ({"dask": "no address"}, "no Dask scheduler answers at 'no address'"),
    ],
    ids=lambda value: next(iter(value.items())).__repr__() if isinstance(value, dict) else "",
)
def test_bad_arguments(arguments, message, monkeypatch):
    if "dask" in arguments:
        distributed = pytest.importorskip("distributed", reason="the extra edgecache[cluster] is not installed")
        client = distributed.Client
        monkeypatch.setattr(distributed, "Client", lambda address, timeout: client(address, timeout=0.5))
    ran = []
    monkeypatch.setattr(sweeps, "_cells", lambda *_: ran.append(1))
    with pytest.raises(InputError) as error:
        sweep(**{"replications": 1, **QUIET, **arguments})
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not ran


def test_a_single_value_is_not_a_list_of_values():
    with pytest.raises(InputError, match="storage_gb"):
        sweep({"storage_gb": 60}, ["lru"], 1, **QUIET)


def test_a_policys_error_ends_the_sweep():
    class Lazy:
        name = "lazy"

        def decide(self, decision):
            return decision.deployed

    with pytest.raises(PolicyError, match=r"policy 'lazy', request 1 .* the requested model is not in"):
        sweep(None, ["lru", Lazy()], 1, **QUIET)


# ---- tables on disk


def test_write_table_rounds_to_six_significant_digits(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    table = pd.DataFrame(
        {"policy": ["lru", "ga"], "count": [1234567890, 2], "cost": [1234567.891, 0.000123456789], "none": [np.nan, 1 / 3]}
    )
    written = write_table(table, path)
    assert path.read_bytes() == b"policy,count,cost,none\nlru,1234567890,1.23457e+06,\nga,2,0.000123457,0.333333\n"
    assert written["cost"].tolist() == [1.23457e06, 0.000123457]
    assert written["count"].tolist() == [1234567890, 2]
    assert list(path.parent.iterdir()) == [path]
    assert table["cost"][0] == 1234567.891  # the argument stays as it was


def test_write_table_is_whole_or_not_at_all(tmp_path):
    class Unwritable:
        def __str__(self):
            raise OSError("disk full")

    path = tmp_path / "table.csv"
    write_table(pd.DataFrame({"a": [1.5]}), path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        write_table(pd.DataFrame({"a": [*range(200_000), Unwritable()]}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]  # nor a half-written one beside it


def test_write_table_twice_is_the_same_file(tmp_path, tables):
    for name in ("first.csv", "second.csv"):
        write_table(tables[0], tmp_path / name)
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()


def test_write_table_keeps_what_was_rounded(tmp_path, tables):
    """What is returned, written again, is the same file: figures drawn from either are the same."""
    written = write_table(tables[0], tmp_path / "first.csv")
    write_table(written, tmp_path / "second.csv")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    assert_frame_equal(written, tables[0], rtol=1e-5, check_dtype=False)


def test_random_catalogues_sweep_too():
    scenario = random_scenario(np.random.default_rng(1), 30, slots=40, arrival_rate=2.0)
    table = sweep({"arrival_rate": [0.5, 4.0]}, ["fifo", "exact"], 2, scenario, **QUIET)
    requests = table.groupby("arrival_rate")["requests"].mean()
    assert requests[4.0] > 3 * requests[0.5] > 0


def test_a_demand_whose_longer_trace_begins_otherwise_is_played_at_every_length():
    """Here the last slot comes first, so no shorter trace begins a longer one."""

    class Backwards:
        name, own = "backwards", ()

        def trace(self, scenario, seed):
            drawn = poisson_trace(scenario, seed)
            return replace(drawn, slot=scenario.slots - 1 - drawn.slot[::-1], model=drawn.model[::-1])

    table = sweep({"slots": [10, 30]}, ["lru", "ga"], 2, demand=Backwards(), slo_s=5.0, **QUIET)
    for length in (10, 30):
        alone = sweep({"slots": [length]}, ["lru", "ga"], 2, demand=Backwards(), slo_s=5.0, **QUIET)
        assert_frame_equal(table[table["slots"] == length].reset_index(drop=True), alone)
