"""The request loop and the books against independent witnesses: libcachesim, and tests/reference.py."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.reference import reference
from scipy.stats import chisquare, poisson
from support.cases import FEATURES, make_catalogue, make_trace, random_readings, random_scenario

from edgecache import POLICIES, READINGS, Catalogue, InputError, Scenario, Trace, poisson_trace, sample_catalogue, simulate
from edgecache.demand import zipf_popularity

# ---- request by request against libcachesim: storage alone binds, sizes are whole MB


def storage_only(rng):
    """A server of some models, 2 to 40, of whole MB, and a random trace; sizes may be all equal, and some models oversize."""
    models = int(rng.integers(2, 41))
    room_mb = int(rng.integers(1_000, 100_000))
    sizes_mb = rng.integers(1, int(room_mb * rng.choice([0.15, 0.6, 1.3])), models)
    if rng.random() < 0.25:
        sizes_mb[:] = max(1, room_mb // int(rng.integers(1, models + 1)))
    sizes_mb[rng.integers(models)] = rng.integers(1, room_mb + 1)  # one at least fits
    if rng.random() < 0.2:
        sizes_mb[rng.integers(models)] = room_mb  # and fills it
        sizes_mb[0] = 1
    popularity = rng.permutation(zipf_popularity(models, rng.uniform(0, 1.5)))
    requests = rng.choice(models, size=400, p=popularity)
    if rng.random() < 0.3:  # runs of one model: counts grow in step, so ties abound
        requests = np.repeat(rng.permutation(np.tile(np.arange(models), 400 // models + 1)), 2)[:400]
    free = {"gpu_memory_gb": np.full(models, 1e-6), "power_kw": np.zeros(models)}
    catalogue = Catalogue(
        tuple(f"m{i}" for i in range(models)),
        size_gb=sizes_mb / 1000,
        io_delay_s=np.zeros(models),
        inference_delay_s=np.ones(models),
        **free,
    )
    scenario = Scenario(catalogue, storage_gb=room_mb / 1000, slots=1)
    return scenario, Trace(np.zeros(400, dtype=int), requests, 1, popularity), sizes_mb.tolist(), room_mb


NEVER = 2**63 - 1  # libcachesim's next request of what is not asked for again


def next_times(requests):
    """When each request's model is asked for next, walking backwards: what libcachesim's Belady must be told."""
    upcoming, times = {}, [NEVER] * len(requests)
    for clock in reversed(range(len(requests))):
        times[clock] = upcoming.get(requests[clock], NEVER)
        upcoming[requests[clock]] = clock
    return times


@pytest.mark.parametrize(("policy", "oracle"), [("lru", "LRU"), ("fifo", "FIFO"), ("lfu-in-cache", "LFU"), ("belady", "Belady")])
def test_hits_are_those_of_libcachesim(policy, oracle):
    """Hits, misses and what is too large, request by request.

    Belady may evict another model than libcachesim among those never asked for again, where ours evicts the least recently
    requested first: those go before all others in both, so no hit depends on it.
    """
    libcachesim = pytest.importorskip("libcachesim", reason="libcachesim has wheels for Linux on x86-64 only")
    rng = np.random.default_rng(2024)
    request = libcachesim.Request()
    hits, oversize, evictions = 0, 0, 0
    for number in range(240):
        scenario, trace, sizes_mb, room_mb = storage_only(rng)
        cache = getattr(libcachesim, oracle)(cache_size=room_mb, hashpower=10)
        expected = np.zeros(len(trace), dtype=bool)
        times = next_times(trace.model.tolist())
        for clock, model in enumerate(trace.model.tolist()):
            request.obj_id, request.obj_size, request.clock_time = model + 1, sizes_mb[model], clock
            request.next_access_vtime = times[clock]
            expected[clock] = cache.get(request)
        run = simulate(scenario, policy, trace=trace)
        found = run.events["hit"].to_numpy()
        assert_array_equal(found, expected, err_msg=f"trace {number}, first at request {np.argmax(found != expected) + 1}")
        assert run.means()["cloud_requests"] == sum(sizes_mb[model] > room_mb for model in trace.model)
        hits, oversize, evictions = hits + expected.sum(), oversize + run.means()["cloud_requests"], evictions + len(run.evictions)
    assert 0.2 < hits / (240 * 400) < 0.8 and oversize > 1000 and evictions > 10_000  # the traces put something to the test


# ---- everything against tests/reference.py

COLUMNS = (
    "requests",
    "hits",
    "cloud_requests",
    "switching_cost",
    "resource_cost",
    "total_cost",
    "service_delay_s",
    "fetched_gb",
    "energy_kwh",
)


def assert_same_as_reference(scenario, trace, policy):
    run, expected = simulate(scenario, policy, trace=trace), reference(scenario, trace, policy)
    slots = run.slots
    assert set(COLUMNS) <= set(slots.columns)
    for column in COLUMNS:
        assert_allclose(slots[column], expected[column], rtol=1e-9, atol=1e-9, err_msg=column)
    means = run.means()
    for name, value in expected["means"].items():
        assert_allclose(means[name], value, rtol=1e-9, atol=1e-9, err_msg=name)
    services = scenario.catalogue.services
    events = run.events
    for event, (hit, cloud, evicted, prefetched, _) in zip(events.itertuples(), expected["events"], strict=True):
        assert (event.hit, event.cloud) == (hit, cloud)
        assert set(filter(None, event.evicted.split("; "))) == {services[model] for model in evicted}
        assert set(filter(None, event.prefetched.split("; "))) == {services[model] for model in prefetched}
    assert_allclose(events["delay_s"], [delay for *_, delay in expected["events"]], rtol=1e-9)
    return run


@pytest.mark.parametrize("policy", ["fifo", "lru", "lfu", "lfu-in-cache", "exact"])
def test_runs_are_those_of_the_reference(policy):
    rng = np.random.default_rng(77)
    evictions, cloud, idle = 0, 0, 0
    for seed in range(200):
        readings = random_readings(rng) | {"decides": READINGS["decides"][seed % 2]}
        scenario = random_scenario(rng, int(rng.integers(1, 10)), **readings)
        run = assert_same_as_reference(scenario, poisson_trace(scenario, seed), policy)
        evictions += len(run.evictions)
        cloud += run.means()["cloud_requests"]
        idle += (run.slots["requests"] == 0).sum()
    assert evictions > 500 and cloud > 100 and idle > 100


@pytest.mark.parametrize("policy", ["fifo", "lru", "lfu", "lfu-in-cache", "exact"])
def test_longer_runs_are_those_of_the_reference(policy):
    """Fewer, longer ones: counts and popularity get to matter, and more models stay deployed."""
    rng = np.random.default_rng(5)
    for seed in range(4):
        scenario = random_scenario(rng, 10, slots=60, arrival_rate=2.0, resource_unit="capacity", w1=3.0)
        assert len(assert_same_as_reference(scenario, poisson_trace(scenario, seed), policy).evictions) > 5


@pytest.mark.parametrize("charge", ["eviction", "absence", "miss"])
@pytest.mark.parametrize("active_cycle", ["requests", "slots", "actual"])
def test_a_trace_without_requests(charge, active_cycle):
    scenario = Scenario(slots=3, charge=charge, active_cycle=active_cycle)
    trace = make_trace(10, [], [], [])
    for policy in POLICIES:
        run = simulate(scenario, policy, trace=trace)
        assert len(run.events) == 0 and len(run.evictions) == 0
        assert run.slots["requests"].tolist() == run.slots["fetched_gb"].tolist() == [0, 0, 0]
        assert run.slots["resource_cost"].tolist() == [0, 0, 0]
        assert run.slots["service_delay_s"].isna().all()
        means = run.means()
        assert np.isnan(means["hit_ratio"]) and np.isnan(means["service_delay_s"])
        assert means["requests"] == 0
        assert_allclose(means["energy_kwh"], 3 * 0.3 / 60)  # three minutes of 0.3 kW
        if charge != "absence":
            assert means["total_cost"] == 0
    assert_same_as_reference(scenario, trace, "lru")


def test_columns_have_the_same_types_with_and_without_requests():
    empty, full = (simulate(Scenario(slots=2), "lru", trace=make_trace(10, *slots)) for slots in ([[], []], [[0, 0], [1]]))
    assert empty.slots.dtypes.to_dict() == full.slots.dtypes.to_dict()
    assert [type(value) for value in empty.means().values()] == [type(value) for value in full.means().values()]


def test_a_server_that_holds_everything_fetches_each_model_once():
    scenario = Scenario(storage_gb=1e3, gpu_memory_gb=1e3, energy_capacity_kw=9.0, slots=200)
    run = simulate(scenario, "lru", 3)
    asked = np.unique(run.trace.model)
    assert run.means()["fetched_gb"] == pytest.approx(scenario.catalogue.size_gb[asked].sum())
    assert run.means()["switching_cost"] == 0 and len(run.evictions) == 0
    assert (run.slots["requests"].sum() - run.slots["hits"].sum()) == len(asked)


def test_a_replication_does_not_depend_on_the_others():
    scenario = Scenario(slots=40)
    runs = [simulate(scenario, "random", 9, replication=replication) for replication in (0, 1, 1)]
    assert not np.array_equal(runs[0].trace.model, runs[1].trace.model)
    pd.testing.assert_frame_equal(runs[1].events, runs[2].events, check_exact=True)


def test_each_seed_and_replication_has_its_own_luck():
    """On the same trace Random evicts others, and the same again for the same seed and replication."""
    scenario = Scenario(slots=100)
    trace = poisson_trace(scenario, 0)
    keys = [(seed, replication) for seed in range(3) for replication in range(3)]
    runs = {key: simulate(scenario, "random", key[0], trace, key[1]).evictions.tobytes() for key in keys}
    assert len(set(runs.values())) == 9
    assert simulate(scenario, "random", 2, trace, 1).evictions.tobytes() == runs[2, 1]


def test_a_trace_of_another_number_of_models():
    with pytest.raises(InputError, match="the trace has 3 models, but the catalogue has 10"):
        simulate(Scenario(), "lru", trace=make_trace(3, [0, 1]))


def test_a_seed_may_be_a_seed_sequence():
    """As the signatures of simulate and poisson_trace say."""
    scenario = Scenario(slots=20)
    assert_array_equal(poisson_trace(scenario, np.random.SeedSequence(4)).model, poisson_trace(scenario, 4).model)
    found = simulate(scenario, "random", np.random.SeedSequence(4))
    pd.testing.assert_frame_equal(found.events, simulate(scenario, "random", 4).events, check_exact=True)


def test_a_run_leaves_its_arguments_alone():
    scenario = Scenario(slots=50)
    trace = poisson_trace(scenario, 1)
    before = [trace.model.copy(), trace.slot.copy(), trace.popularity.copy()]
    features = [getattr(scenario.catalogue, feature).copy() for feature in FEATURES]
    for policy in POLICIES:
        simulate(scenario, policy, trace=trace)
    for then, now in zip(before, (trace.model, trace.slot, trace.popularity), strict=True):
        assert_array_equal(then, now)
    for then, feature in zip(features, FEATURES, strict=True):
        assert_array_equal(then, getattr(scenario.catalogue, feature))


def test_capacities_do_not_drift():
    """Ten thousand evictions of sizes like 0.1 GB, that binary numbers cannot hold, and still exactly ten fit one GB."""
    rng = np.random.default_rng(1)
    c = make_catalogue(**{f"m{i}": (0.1, 0.3, 0.07, 0, 1) for i in range(12)})
    scenario = Scenario(c, storage_gb=1.0, gpu_memory_gb=3.0, energy_capacity_kw=0.7, static_power_kw=0.0, slots=1)
    trace = make_trace(12, rng.integers(0, 12, 60_000))
    run = simulate(scenario, "lru", trace=trace)
    assert len(run.evictions) > 9_000
    fetched = (run.events["fetched_gb"] > 0).sum()
    assert fetched - len(run.evictions) == 10  # deployed at the end
    assert len(simulate(scenario.vary(storage_gb=0.999), "lru", trace=trace).evictions) > len(run.evictions)


# ---- the distance to the next request


def brute_force(trace, clock, model):
    later = trace.model[clock:].tolist()
    return later.index(model) + 1 if model in later else len(later) + 1


def test_requests_until_next_against_brute_force():
    rng = np.random.default_rng(6)
    for _ in range(60):
        models, requests = int(rng.integers(1, 8)), int(rng.integers(0, 25))
        trace = make_trace(models, rng.integers(0, models, requests))
        clock, model = np.arange(requests + 1)[:, None], np.arange(models)
        expected = [[brute_force(trace, n, i) for i in range(models)] for n in range(requests + 1)]
        assert_array_equal(trace.requests_until(clock, model), expected)


def test_requests_until_next_by_hand():
    trace = make_trace(4, [0, 1, 2, 1])
    # after request 1: 0 never (3 left + 1), 1 at once, 2 in two, 3 never; after the last: none left, + 1
    assert trace.requests_until(1, np.arange(4)).tolist() == [4, 1, 2, 4]
    assert trace.requests_until(0, np.arange(4)).tolist() == [1, 2, 3, 5]
    assert trace.requests_until(4, np.arange(4)).tolist() == [1, 1, 1, 1]
    assert trace.requests_until(np.array([1, 2]), np.array([1, 1])).tolist() == [1, 2]


# ---- the trace


def test_a_short_trace_is_the_start_of_a_long_one():
    for seed in range(20):
        rate = [0.3, 1.0, 4.0][seed % 3]
        short, long = (poisson_trace(Scenario(slots=slots, arrival_rate=rate), seed) for slots in (50, 500))
        assert len(long) > len(short) > 0
        assert_array_equal(long.slot[: len(short)], short.slot)
        assert_array_equal(long.model[: len(short)], short.model)
        assert (long.slot[len(short) :] >= 50).all()
        assert_array_equal(long.popularity, short.popularity)


def test_a_short_run_is_the_start_of_a_long_one():
    for policy in ("random", "lfu", "ga", "exact"):
        short, long = (simulate(Scenario(slots=slots), policy, 8) for slots in (50, 150))
        pd.testing.assert_frame_equal(long.slots.iloc[:50], short.slots)


def test_policies_of_a_seed_face_the_same_trace():
    runs = [simulate(Scenario(slots=30), policy, 2, replication=4) for policy in POLICIES]
    for run in runs[1:]:
        assert_array_equal(run.trace.model, runs[0].trace.model)
        assert_array_equal(run.trace.slot, runs[0].trace.slot)


@pytest.mark.parametrize("rate", [0.5, 1.0, 5.0])
def test_arrivals_are_poisson(rate):
    scenario = Scenario(slots=20_000, arrival_rate=rate)
    counts = np.bincount(poisson_trace(scenario, 3).slot, minlength=20_000)
    assert counts.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate / 20_000))
    most = int(poisson.ppf(0.999, rate))
    observed = np.bincount(np.minimum(counts, most), minlength=most + 1)
    expected = 20_000 * np.append(poisson.pmf(np.arange(most), rate), poisson.sf(most - 1, rate))
    assert chisquare(observed, expected).pvalue > 1e-3
    pairs = np.corrcoef(counts[:-1], counts[1:])[0, 1]
    assert abs(pairs) < 4 / np.sqrt(20_000)  # slots are independent


def test_rate_of_each_model_adds_up():
    scenario = Scenario(slots=5_000, arrival_rate=0.2, rate_basis="model", zipf=0)
    trace = poisson_trace(scenario, 3)
    assert len(trace) / 5_000 == pytest.approx(2.0, abs=4 * np.sqrt(2 / 5_000))
    assert chisquare(np.bincount(trace.model, minlength=10)).pvalue > 1e-3
    assert_allclose(trace.popularity, 0.1)


@pytest.mark.parametrize("zipf", [0.0, 0.8, 2.0])
def test_models_are_asked_for_as_zipf_says(zipf):
    trace = poisson_trace(Scenario(slots=20_000, zipf=zipf), 12)
    # popularity falls as 1 / rank**zipf, in some order
    shares = np.sort(trace.popularity)[::-1]
    assert_allclose(shares / shares[0], [rank**-zipf for rank in range(1, 11)])
    assert trace.popularity.sum() == pytest.approx(1)
    observed = np.bincount(trace.model, minlength=10)
    assert chisquare(observed, len(trace) * trace.popularity).pvalue > 1e-3
    same = (trace.model[1:] == trace.model[:-1]).mean()  # and independently of the request before
    assert same == pytest.approx((trace.popularity**2).sum(), abs=4 * np.sqrt(0.25 / len(trace)))


def test_any_model_may_be_the_most_popular():
    scenario = Scenario(sample_catalogue(5, np.random.default_rng(0)), slots=1)
    leaders = [int(poisson_trace(scenario, seed).popularity.argmax()) for seed in range(1000)]
    assert chisquare(np.bincount(leaders, minlength=5)).pvalue > 1e-3


def test_zipf_by_hand():
    assert_allclose(zipf_popularity(3, 1.0), [6 / 11, 3 / 11, 2 / 11])  # 1, 1/2, 1/3 over 11/6
    assert_allclose(zipf_popularity(4, 0.0), [0.25] * 4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([0, 1], [0], 2), "one slot per request"),
        (([1, 0], [0, 0], 2), "must ascend from 0 to at most 1"),
        (([0, 2], [0, 0], 2), "must ascend from 0 to at most 1"),
        (([-1, 0], [0, 0], 2), "must ascend from 0 to at most 1"),
        (([0, 1], [0, 3], 2), "models of a trace must lie between 0 and 2"),
        (([0, 1], [-1, 0], 2), "models of a trace must lie between 0 and 2"),
    ],
)
def test_arrays_that_make_no_trace(arrays, message):
    with pytest.raises(InputError, match=message):
        Trace(*arrays, [1 / 3] * 3)
