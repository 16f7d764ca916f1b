"""Cost against delay: no policy lies below the floor's front, and every point is what the policy's own run books."""

import numpy as np
import pytest
from support.cases import roomy_scenario

from edgecache import POLICIES, Clairvoyant, Exact, InputError, OptimalOnline, Scenario, poisson_trace, sample_catalogue, simulate
from edgecache.accounting import Charges
from edgecache.analysis.tradeoff import FLOOR, ONLINE, OWN_WEIGHT, POLICY, best_delay_at, summarise_tradeoff, tradeoff
from edgecache.results import MISS


@pytest.fixture(scope="module")
def table():
    return tradeoff(list(POLICIES), Scenario(slots=60), waiting=[0.0, 0.5, 3.0, 1e6], w2=[0.0, 0.3, 1.0], replications=6, jobs=1)


def waited(scenario, run):
    """What misses add to the delay, s."""
    c = scenario.catalogue
    return float((8 * c.size_gb / scenario.bandwidth_gbps + c.io_delay_s)[run.trace.model[run.outcome == MISS]].sum())


@pytest.mark.parametrize("scope", ["evict", "free"])
def test_the_floor_minimises_cost_and_waiting_together(scope):
    """On every trace no policy has less of cost + waiting x delay; the planned sum is what is booked."""
    rng = np.random.default_rng(1)
    for _ in range(12):
        scenario = roomy_scenario(rng, 6, slots=30, scope=scope, charge=str(rng.choice(["eviction", "absence"])))
        trace, waiting = poisson_trace(scenario, int(rng.integers(2**32))), float(rng.uniform(0.1, 9))
        plan = Clairvoyant(waiting=waiting).prepare(scenario, trace)
        runs = {name: simulate(scenario, name, trace=trace) for name in POLICIES}
        runs["weighed"] = simulate(scenario, Clairvoyant(waiting=waiting), trace=trace)
        prefetched = scenario.catalogue.size_gb * 8 / scenario.bandwidth_gbps + scenario.catalogue.io_delay_s
        sums = {
            name: run.means()["total_cost"]
            + waiting * (waited(scenario, run) + prefetched[run.prefetches[:, 1]].sum()) / trace.slots
            for name, run in runs.items()
        }
        assert sums["weighed"] == pytest.approx(plan.cost)
        assert min(sums.values()) >= plan.cost * (1 - 1e-9)


def test_the_best_online_policy_minimises_both_on_average():
    """Against planners for other prices, on one long run."""
    scenario = Scenario(popularity="true", w2=0.1, slots=20_000)
    trace = poisson_trace(scenario, 0)
    sums = {}
    for waiting in (0.0, 0.3, 1.0, 3.0, 10.0):
        run = simulate(scenario, OptimalOnline(waiting=waiting), trace=trace)
        sums[waiting] = run.means()["total_cost"] + 1.0 * waited(scenario, run) / trace.slots
    assert min(sums, key=sums.get) == 1.0
    assert OptimalOnline(waiting=1.0).prepare(scenario, trace).average_cost == pytest.approx(sums[1.0], rel=0.02)


def test_ends_of_the_fronts_are_the_bounds_of_cost_and_delay(table):
    means = table.groupby(["kind", "policy", "weight"], dropna=False)[["total_cost", "service_delay_all_s"]].mean()
    for kind, policy in ((FLOOR, "clairvoyant"), (ONLINE, "optimal-online")):
        front = means.loc[kind, policy]
        assert front["total_cost"].iloc[0] == pytest.approx(means.loc[POLICY, policy]["total_cost"].iloc[0])
        twin = means.loc[POLICY, f"{policy}-delay"]["service_delay_all_s"].iloc[0]
        assert front["service_delay_all_s"].iloc[-1] == pytest.approx(twin, rel=1e-3)
        assert front["total_cost"].is_monotonic_increasing
    assert means.loc[FLOOR, "clairvoyant"]["service_delay_all_s"].is_monotonic_decreasing


def test_points_are_the_runs_own_means_and_other_weights_change_only_decisions(table):
    scenario = Scenario(slots=60)
    for replication in (0, 5):
        rows = table[table["replication"] == replication]
        for name in ("lru", "ga", "clairvoyant-delay"):
            row = rows[(rows["kind"] == POLICY) & (rows["policy"] == name)].iloc[0]
            means = simulate(scenario, name, replication=replication).means()
            assert row["total_cost"] == means["total_cost"] and row["service_delay_all_s"] == means["service_delay_all_s"]
        own = rows[rows["kind"] == OWN_WEIGHT].set_index("weight")
        assert own.loc[1.0, "total_cost"] == simulate(scenario, "exact", replication=replication).means()["total_cost"]
        lighter = simulate(scenario.vary(w2=0.3), Exact(), replication=replication).means()
        assert own.loc[0.3, "service_delay_all_s"] == lighter["service_delay_all_s"]
        # booked at the scenario's own weight: 1 in place of 0.3
        assert own.loc[0.3, "total_cost"] == pytest.approx(lighter["switching_cost"] + lighter["resource_cost"] / 0.3)


def test_the_front_is_read_between_its_points(table):
    points = summarise_tradeoff(table)
    front = points[points["kind"] == FLOOR].sort_values("total_cost")
    cost, delay = front["total_cost"].to_numpy(), front["service_delay_all_s"].to_numpy()
    assert best_delay_at(points, (cost[1] + cost[2]) / 2) == pytest.approx((delay[1] + delay[2]) / 2)
    assert best_delay_at(points, cost[-1] * 2) == delay[-1] and np.isnan(best_delay_at(points, cost[0] / 2))
    for row in points[points["kind"] == POLICY].itertuples():
        assert row.service_delay_all_s >= best_delay_at(points, row.total_cost) * 0.97, row.policy  # a chord of four points


def test_nothing_is_booked_with_the_price_of_waiting():
    scenario = Scenario(slots=30)
    run = simulate(scenario, Clairvoyant(waiting=2.0))
    assert run.charges == run.charges and run.charges.waiting == 0
    assert Charges.of(scenario, run.trace).waiting == 0


@pytest.mark.parametrize("waiting", [-1, float("nan"), float("inf"), "1", None])
def test_a_price_of_waiting_is_a_number(waiting):
    with pytest.raises(InputError, match=r"waiting of clairvoyant is .*; it must be a number from 0 to 1e12"):
        Clairvoyant(waiting=waiting)


def test_no_bound_on_a_large_server_is_refused():
    scenario = Scenario(
        sample_catalogue(30, np.random.default_rng(0)), storage_gb=900, gpu_memory_gb=90, energy_capacity_kw=9, slots=5
    )
    with pytest.raises(InputError, match="clairvoyant is limited to 20000 deployments"):
        tradeoff([], scenario, waiting=[1.0], w2=[], replications=1, jobs=1)
    with pytest.raises(InputError, match="clairvoyant has no bound on a trace"):
        Clairvoyant(waiting=1.0).bound(scenario, poisson_trace(scenario, 0))
