"""A log as a demand: as it is, resampled in blocks, with a mapping that the seed shuffles, or with models that are drawn."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support.cases import equal_catalogue

from edgecache import InputError, Scenario, Trace, load_catalogue, poisson_trace, simulate, sweep
from edgecache.logs.reading import log_of_table
from edgecache.logs.request_log import RequestLog
from edgecache.workloads.contract import GivenTrace
from edgecache.workloads.logged import LoggedDemand
from edgecache.workloads.resampling import resampled, spread

DAY = 86_400.0
RNG = np.random.default_rng(0)
# ten days; on day d only model d is asked for, d + 1 times, and a half day follows
TIMES = np.concatenate([d * DAY + np.arange(d + 1) * 100.0 for d in range(10)] + [[10.4 * DAY]])
LOG = log_of_table({"time": TIMES, "model": [f"m{d}" for d in range(10) for _ in range(d + 1)] + ["m0"]})
REQUESTS_BY_RANK = [10, 9, 8, 7, 6, 5, 4, 3, 1, 2]  # of a day; m0, with its request after the last day, ties with m1 and came first
TEN = equal_catalogue(10)
SCENARIO = Scenario(TEN, storage_gb=3, gpu_memory_gb=100)
QUIET = {"jobs": 1, "progress": False}


def stream(seed):
    return np.random.SeedSequence(seed)


def test_as_it_is_every_replication_is_the_log():
    demand = LoggedDemand(LOG, map="name")
    traces = [demand.trace(SCENARIO, stream(seed)) for seed in range(3)]
    for trace in traces:
        assert_array_equal(trace.model, LOG.model)
        assert_array_equal(trace.time_s, LOG.time_s)
    assert demand.varies == () and traces[0].slots == 14_977 and traces[0].slot_length_s == 60
    table = sweep({}, ["lru", "random"], 3, SCENARIO, demand=demand, **QUIET)
    assert table[table["policy"] == "lru"]["hit_ratio"].nunique() == 1


def test_blocks_are_days_drawn_with_replacement():
    """A drawn day d is d + 1 requests for model d, 100 s apart, at the start of its day."""
    counts = []
    for seed in range(300):
        log = resampled(LOG, DAY, np.random.default_rng(seed))
        day = (log.time_s + 1e-9) // DAY
        assert len(set(day)) == 10 and day[-1] == 9
        for d in range(10):
            (model,) = set(log.model[day == d])
            assert (day == d).sum() == model + 1
            assert_array_equal(log.time_s[day == d] - d * DAY, np.arange(model + 1) * 100.0)
        counts.append(len(log))
    assert np.mean(counts) == pytest.approx(55, abs=4 * np.std(counts) / np.sqrt(300))  # each day once on average
    assert np.std(counts) == pytest.approx(np.sqrt(10 * np.var(np.arange(1, 11))), rel=0.15)


def test_ranks_are_those_of_the_whole_log_whatever_days_come():
    demand = LoggedDemand(LOG, map="rank", block_s=DAY)
    for seed in range(5):
        trace = demand.trace(SCENARIO, stream(seed))
        slots_per_day = 1440
        for d in range(10):
            (place,) = set(trace.model[trace.slot // slots_per_day == d])
            assert (trace.slot // slots_per_day == d).sum() == REQUESTS_BY_RANK[place]


def test_the_spread_of_resampled_days_does_not_shrink_with_replications():
    """Requests of ten days drawn from ten of 1 to 10: variance 10 x 8.25; the middle 95 % is about 2 x 1.96 standard deviations."""
    demand, wanted = LoggedDemand(LOG, map="name", block_s=DAY), 2 * 1.96 * np.sqrt(10 * np.var(np.arange(1, 11)))
    for replications in (150, 400):
        low, high = spread(sweep({}, ["lru"], replications, SCENARIO, demand=demand, **QUIET)["requests"])
        assert low < 55 < high and high - low == pytest.approx(wanted, rel=0.25)
    assert demand.resamples and not LoggedDemand(LOG).resamples and LoggedDemand(LOG, map="shuffled").resamples
    assert np.isnan(spread([3.0])).all()
    with pytest.raises(InputError, match="level is 95; it must be between 0 and 1"):
        spread([1, 2], 95)


def test_what_varies_is_said():
    both = LoggedDemand(LOG, map="shuffled", block_s=DAY)
    assert both.blocks == 10 and len(both.varies) == 2
    assert both.varies[0] == "which days came (10 blocks of 86,400 s, drawn with replacement)"
    places = {tuple(LoggedDemand(LOG, map="shuffled").trace(SCENARIO, stream(seed)).model[:5]) for seed in range(20)}
    assert len(places) > 15


def test_shuffled_keeps_times_and_models_and_loses_the_order():
    """Repeats fall to those of independent requests, without replacement: sum n (n - 1) / N (N - 1)."""
    demand = LoggedDemand(LOG, map="name", order="shuffled")
    repeats = []
    for seed in range(300):
        trace = demand.trace(SCENARIO, stream(seed))
        assert_array_equal(np.bincount(trace.model), LOG.requests)
        assert_array_equal(trace.time_s, LOG.time_s)
        repeats.append(np.mean(trace.model[1:] == trace.model[:-1]))
    n, total = LOG.requests, len(LOG)
    wanted = (n * (n - 1)).sum() / (total * (total - 1))
    assert np.mean(repeats) == pytest.approx(wanted, abs=4 * np.std(repeats) / np.sqrt(300))
    assert demand.varies == ("in which order the models are requested (shuffled)",)
    with pytest.raises(InputError, match="unknown order 'random'; known: log, shuffled"):
        LoggedDemand(LOG, order="random")


def test_models_may_be_drawn_for_a_log_without_any():
    arrivals = RequestLog("arrivals.csv", "azure-llm", np.arange(20_000.0), None, ())
    with pytest.raises(
        InputError, match=r"arrivals.csv \(azure-llm\) says when requests arrive, but not which model each asks for; .*zipf"
    ):
        LoggedDemand(arrivals).trace(Scenario(), stream(0))
    demand = LoggedDemand(arrivals, models="zipf")
    trace = demand.trace(Scenario(zipf=1.2), stream(0))
    wanted = poisson_trace(Scenario(zipf=1.2), stream(0)).popularity
    assert trace.popularity == pytest.approx(wanted, abs=0.02) and trace.catalogue == load_catalogue()
    assert "zipf" not in demand.own and demand.varies == ("which model each request asks for (drawn; the log names none)",)


def test_a_sweep_cuts_the_log_by_the_scenarios_slots_or_by_its_own():
    table = sweep({"slot_length_s": [60.0, 3600.0]}, ["lru"], 1, SCENARIO, demand=LoggedDemand(LOG), **QUIET)
    assert table["slots"].tolist() == [14_977, 250]
    own = LoggedDemand(LOG, slot_s=3600.0)
    assert sweep({}, ["lru"], 1, SCENARIO, demand=own, **QUIET)["slots"].tolist() == [250]
    for name, demand in (("slot_length_s", own), ("arrival_rate", own), ("zipf", LoggedDemand(LOG)), ("slots", LoggedDemand(LOG))):
        with pytest.raises(InputError, match=f"{name} is varied, but the demand 'log' has its own; leave {name} out"):
            sweep({name: [2, 3]}, ["lru"], 1, SCENARIO, demand=demand, **QUIET)


def test_a_given_trace_for_a_sweep():
    trace = Trace.from_log(LOG, TEN)
    table = sweep({"storage_gb": [2, 5]}, ["lru"], 2, SCENARIO, trace=trace, **QUIET)
    wanted = [simulate(SCENARIO.vary(storage_gb=s), "lru", trace=trace).means()["hit_ratio"] for s in (2, 2, 5, 5)]
    assert table["hit_ratio"].tolist() == wanted
    assert GivenTrace(trace).trace(SCENARIO, stream(1)) is trace
    with pytest.raises(InputError, match="arrival_rate is varied, but the demand 'trace' has its own"):
        sweep({"arrival_rate": [1, 2]}, ["lru"], 2, SCENARIO, trace=trace, **QUIET)
    with pytest.raises(InputError, match="demand and trace are given; a sweep has one demand"):
        sweep({}, ["lru"], 2, SCENARIO, trace=trace, demand="gamma", **QUIET)
    with pytest.raises(InputError, match=r"trace is 'log.csv'; it must be a Trace: see read_trace"):
        sweep({}, ["lru"], 2, SCENARIO, trace="log.csv", **QUIET)


def test_bad_choices_are_one_sentence():
    with pytest.raises(InputError, match="table: the log spans 898,560 s, less than 2 blocks of 864,000 s; take shorter blocks"):
        LoggedDemand(LOG, block_s=10 * DAY)
    with pytest.raises(InputError, match="models is 'uniform'; it must be 'zipf'"):
        LoggedDemand(LOG, models="uniform")


def test_demands_are_points_of_a_sweep():
    table = sweep({"demand": ["poisson", "gamma:cv=4"]}, ["lru"], 2, Scenario(slots=30), **QUIET)
    assert table["demand"].tolist() == ["poisson", "poisson", "gamma:cv=4", "gamma:cv=4"]
    plain = sweep({}, ["lru"], 2, Scenario(slots=30), **QUIET)
    assert table["total_cost"][:2].tolist() == plain["total_cost"].tolist()
    assert table["total_cost"][2:].tolist() == [
        simulate(Scenario(slots=30), "lru", demand="gamma:cv=4", replication=r).means()["total_cost"] for r in range(2)
    ]
    two = [LoggedDemand(LOG), LoggedDemand(LOG, map="shuffled")]
    with pytest.raises(InputError, match="two of the varied demands have one name; give each its own"):
        sweep({"demand": two}, ["lru"], 2, SCENARIO, **QUIET)
    with pytest.raises(InputError, match="trace and demand are given; a run has one demand"):
        simulate(SCENARIO, "lru", trace=Trace.from_log(LOG, TEN), demand="gamma")
    with pytest.raises(InputError, match=r"demand and vary\['demand'\] are given; a sweep has one demand"):
        sweep({"demand": ["poisson"]}, ["lru"], 2, demand="gamma", **QUIET)
