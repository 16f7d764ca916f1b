"""Generated demands: their moments against the definitions, shares and rates kept, the same stream the same trace."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edgecache import InputError, Scenario, Trace, poisson_trace
from edgecache.demand import Draws, random_stream
from edgecache.logs.facts import measure, variation
from edgecache.workloads.arrivals import Bursts, Diurnal, Gamma, Poisson
from edgecache.workloads.choices import Drift, Independent, Locality
from edgecache.workloads.contract import Demand, PoissonZipf
from edgecache.workloads.generated import GeneratedDemand
from edgecache.workloads.words import ARRIVALS, CHOICES, find_demand

LONG = Scenario(slots=50_000, arrival_rate=2.0)
STREAM = np.random.SeedSequence(7)
ALL = [GeneratedDemand(a(), c()) for a, c in itertools.product(ARRIVALS.values(), CHOICES.values())]


def drawn(demand, scenario=LONG, seed=7):
    return demand.trace(scenario, np.random.SeedSequence(seed))


@pytest.mark.parametrize(
    "arrivals", [Poisson(), Gamma(0.3), Gamma(1), Gamma(4), Bursts(), Bursts(100, 0.02, 50), Diurnal(), Diurnal(1, 100)]
)
def test_arrivals_keep_the_mean_rate(arrivals):
    counts = [len(arrivals.times(LONG, np.random.default_rng(seed))) for seed in range(8)]
    error = np.std(counts) / np.sqrt(8)
    assert abs(np.mean(counts) - 100_000) < 4 * error + 500


@pytest.mark.parametrize("cv", [0.3, 1.0, 3.0, 6.0])
def test_gamma_renewals_have_their_coefficient_of_variation(cv):
    gaps = np.concatenate([np.diff(Gamma(cv).times(LONG, np.random.default_rng(seed))) for seed in range(10)])
    assert variation(gaps) == pytest.approx(cv, rel=0.04)
    assert gaps.mean() == pytest.approx(0.5, rel=0.05)


def test_gamma_of_one_is_poisson_and_begins_in_the_middle():
    """Counts in the first slot: Poisson for cv 1, and of the same mean for any cv, which a renewal at the start would not have."""
    scenario, rng = Scenario(slots=1, arrival_rate=2.0), np.random.default_rng(0)
    for cv in (1.0, 3.0):
        firsts = [len(Gamma(cv).times(scenario, rng)) for _ in range(4000)]
        assert np.mean(firsts) == pytest.approx(2.0, abs=4 * np.std(firsts) / np.sqrt(4000))
    ones = [len(Gamma(1.0).times(scenario, rng)) for _ in range(4000)]
    assert np.var(ones) == pytest.approx(2.0, rel=0.1)


def test_bursts_have_the_dispersion_of_their_chain():
    """MMPP: with rates r1 (share p) and r0, Var/mean of counts over long windows tends to 1 + 2 p (1-p) (r1-r0)^2 tau / mean.

    tau = 1 / (1/length + 1/quiet) is the chain's correlation time (Fischer and Meier-Hellstern, Performance Evaluation 18, 1993).
    """
    bursts, mean, window = Bursts(ratio=20, share=0.1, length=10), 2.0, 1000
    low = mean / (0.9 + 20 * 0.1)
    tau = 1 / (1 / 10 + 1 / 90)
    wanted = 1 + 2 * 0.1 * 0.9 * (19 * low) ** 2 * tau / mean * (1 - tau / window)
    counts = [
        np.bincount((bursts.times(LONG, np.random.default_rng(seed)) // window).astype(int), minlength=50) for seed in range(40)
    ]
    assert np.var(np.concatenate(counts)) / np.mean(counts) == pytest.approx(wanted, rel=0.1)


def test_the_rate_of_a_day_is_a_sine():
    times = np.concatenate([Diurnal(0.8, 100).times(LONG, np.random.default_rng(seed)) for seed in range(1)])
    first = np.fft.rfft(np.bincount((times % 100 // 5).astype(int), minlength=20)) / len(times)
    assert 2 * abs(first[1]) == pytest.approx(0.8, abs=0.03) and 2 * abs(first[2]) < 0.03
    day = Diurnal().times(Scenario(slots=14_400, slot_length_s=60, arrival_rate=10.0), np.random.default_rng(0))
    assert 2 * abs(np.exp(-2j * np.pi * day / 1440).mean()) == pytest.approx(0.8, abs=0.03)  # 24 hours of slots of 60 s


def test_locality_repeats_and_keeps_the_shares():
    trace = drawn(GeneratedDemand(choice=Locality(repeat=0.4)))
    shares = trace.popularity
    facts = measure(trace.time_s, trace.model, 10)
    assert facts.repeats == pytest.approx(0.4 + 0.6 * (shares**2).sum(), abs=0.01)
    assert np.bincount(trace.model, minlength=10) / len(trace) == pytest.approx(shares, abs=0.01)


def test_drift_moves_popularity_between_models():
    """Within an epoch the shares are Zipf's; over the trace their mean is what the trace calls its popularity."""
    still, moving = drawn(GeneratedDemand()), drawn(GeneratedDemand(choice=Drift(every=500.0)))
    halves = [
        np.bincount(t.model[part], minlength=10) for t in (still, moving) for part in (slice(0, 20_000), slice(-20_000, None))
    ]
    assert np.corrcoef(halves[0], halves[1])[0, 1] > 0.99 > np.corrcoef(halves[2], halves[3])[0, 1]
    assert np.bincount(moving.model, minlength=10) / len(moving) == pytest.approx(moving.popularity, abs=0.01)
    calm = drawn(GeneratedDemand(choice=Drift(every=1e9)))
    assert_array_equal(np.sort(calm.popularity), np.sort(Draws(STREAM).popularity(LONG)))
    assert len(drawn(GeneratedDemand(choice=Drift()), Scenario(slots=1, arrival_rate=1e-9))) == 0


@pytest.mark.parametrize("demand", ALL, ids=lambda d: f"{d.arrivals.word}-{d.choice.word}")
def test_the_same_stream_is_the_same_trace_and_another_is_another(demand):
    scenario = Scenario(slots=300)
    one, same, other = drawn(demand, scenario), drawn(demand, scenario), drawn(demand, scenario, seed=8)
    assert_array_equal(one.model, same.model)
    assert_array_equal(one.time_s, same.time_s)
    assert len(one) != len(other) or (one.time_s != other.time_s).any()
    assert isinstance(demand, Demand) and isinstance(one, Trace)
    assert_array_equal(one.slot, (one.time_s / scenario.slot_length_s).astype(int))
    assert one.requests_per_slot == 1.0 and one.slots == 300


def test_demands_share_the_popularity_of_the_papers():
    for demand in ALL:
        if not isinstance(demand.choice, Drift):
            assert_array_equal(drawn(demand).popularity, poisson_trace(LONG, random_stream(STREAM)).popularity)


@given(st.floats(0.02, 50), st.integers(1, 50), st.floats(0.001, 20), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_gamma_is_a_valid_trace(cv, slots, rate, seed):
    trace = GeneratedDemand(Gamma(cv), Locality(0.5)).trace(Scenario(slots=slots, arrival_rate=rate), np.random.SeedSequence(seed))
    assert (np.diff(trace.time_s) >= 0).all() and (not len(trace) or trace.time_s[-1] <= slots * 60)


# ---- words


def test_words_are_the_objects_that_they_name():
    assert find_demand("poisson") == find_demand(None) == PoissonZipf()
    assert find_demand("gamma:cv=4") == GeneratedDemand(Gamma(4.0), Independent(), "gamma:cv=4")
    assert find_demand("drift: every = 5 + bursts:ratio=3,share=.2").arrivals == Bursts(3.0, 0.2)
    assert find_demand(" locality ").choice == Locality()
    own = GeneratedDemand(Gamma())
    assert find_demand(own) is own


BAD = {
    "gama": "unknown demand 'gama'; did you mean 'gamma'? Known: poisson, gamma, bursts, diurnal, independent, drift, locality",
    "gamma:4": "demand is 'gamma:4'; numbers are given as name=value, such as gamma:cv=2",
    "gamma:vc=4": "unknown number of gamma 'vc'; known: cv",
    "gamma:cv=x": "demand is 'gamma:cv=x'; cv is 'x', which is no number",
    "gamma:cv=0": "cv of gamma is 0.0; it must be a number from 0.01 to 100 (it has cv)",
    "gamma:cv=nan": "cv of gamma is nan; it must be a number",
    "bursts:share=0": "share of bursts is 0.0; it must be a number above 0 to 0.99",
    "locality:repeat=2": "repeat of locality is 2.0; it must be a number from 0 to 1",
    "gamma+bursts": "demand is 'gamma+bursts'; it names two kinds of arrivals",
    "drift+locality": "demand is 'drift+locality'; it names two kinds of choice",
    "independent:x=1": "demand is 'independent:x=1'; independent takes no numbers",
    "": "unknown demand ''",
}


@pytest.mark.parametrize("word", BAD)
def test_a_word_that_is_none_is_one_sentence(word):
    with pytest.raises(InputError) as error:
        find_demand(word)
    assert str(error.value).startswith(BAD[word]) and "\n" not in str(error.value)


@pytest.mark.parametrize("thing", [3, object(), GeneratedDemand, ["gamma"]])
def test_what_is_no_demand(thing):
    with pytest.raises(InputError, match="is no demand: a demand is a word"):
        find_demand(thing)
