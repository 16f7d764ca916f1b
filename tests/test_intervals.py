"""Intervals against SciPy's t tests, which are asked whether each end is on the edge, and on values whose mean is known."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import skew, ttest_1samp
from scipy.stats import t as student

from edgecache import InputError
from edgecache.intervals import interval, ratio_of_means


def ratio_interval(numerator, denominator):
    """The ends alone."""
    return ratio_of_means(numerator, denominator)[1:]


SAMPLES = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def corrected(values, mean, skewness):
    """The t score of values against a mean, after Hall's (1992) correction, from SciPy's score."""
    score, root = ttest_1samp(values, mean).statistic, len(values) ** 0.5
    return score + skewness * (score**2 / 3 + 1 / 6) / root + skewness**2 * score**3 / (27 * len(values))


def sample_skewness(values):
    """The third moment over the cube of the sample's standard deviation."""
    return skew(values) * ((len(values) - 1) / len(values)) ** 1.5


# ---- of a mean


def test_values_without_skew_have_the_t_interval():
    for values in ([1, 2, 3, 4], [0, 10], [-3, -1, 0, 1, 3]):
        assert_allclose(interval(values), ttest_1samp(values, 0).confidence_interval())


@settings(max_examples=40, deadline=None)
@given(SAMPLES, st.integers(3, 60))
def test_the_corrected_score_is_on_the_edge_at_either_end(rng, count):
    values = rng.choice(
        [rng.exponential(size=count), rng.lognormal(0, 1.5, count), -rng.gamma(2, size=count), rng.normal(size=count)]
    )
    low, high = interval(values)
    edge = student.isf(0.025, count - 1)
    found = [corrected(values, end, sample_skewness(values)) for end in (low, high)]
    assert_allclose(found, [edge, -edge], rtol=1e-6)
    assert low < values.mean() < high


def test_the_interval_reaches_further_to_the_side_of_the_rare_values():
    low, high = interval([1.0] * 29 + [31.0])
    assert high - 2 > 3 * (2 - low) > 0
    assert_allclose(interval([-1.0] * 29 + [-31.0]), [-high, -low])


def test_rows_are_intervals_of_their_own_and_units_scale():
    values = np.random.default_rng(1).gamma(1, size=(2, 3, 20))
    low, high = interval(values)
    assert low.shape == high.shape == (2, 3)
    for place in np.ndindex(2, 3):
        assert_allclose([low[place], high[place]], interval(values[place][::-1]))
    assert_allclose(interval(1e-200 * values), 1e-200 * np.array([low, high]))
    assert_allclose(interval(1e200 * values + 0), 1e200 * np.array([low, high]))


def test_nan_is_left_out():
    """A replication without requests has no delay; the others' interval stands."""
    assert_allclose(interval([1, np.nan, 2, np.nan, 3, np.nan, 9]), interval([1, 2, 3, 9]))
    low, high = interval([[1, 2, np.nan], [np.nan, 1, np.nan], [np.nan] * 3, [4, 5, 9]])
    assert_allclose([low[0], high[0]], interval([1, 2]))
    assert np.isnan([low[1:3], high[1:3]]).all()
    assert_allclose([low[3], high[3]], interval([4, 5, 9]))


def test_values_that_do_not_vary_have_no_width():
    for value in (7.0, 0.0, 0.1, -1e-30, 1e30):
        assert_allclose(interval([value] * 7), [value, value], rtol=1e-12)


def test_fewer_than_two_values_have_no_interval():
    for shape in ((0,), (3, 0), (0, 5), (2, 1)):
        for ends in (interval(np.ones(shape)), ratio_interval(np.ones(shape), np.ones(shape))):
            assert ends[0].shape == ends[1].shape == shape[:-1] and np.isnan(ends).all()


@pytest.mark.parametrize("values", [3.0, None, "many", ["a", "b"], [[1, 2], [3]], [1.0, np.inf], [1j, 2j]], ids=repr)
def test_an_interval_is_of_finite_numbers(values):
    for call in (interval, lambda values: ratio_interval(values, [1, 2]), lambda values: ratio_interval([1, 2], values)):
        with pytest.raises(InputError, match=r"an interval needs an array of (finite )?numbers"):
            call(values)


# ---- of a ratio


def test_a_denominator_that_does_not_vary_scales_the_interval_of_the_mean():
    values = np.random.default_rng(2).exponential(size=30)
    assert_allclose(ratio_interval(values, np.full(30, 4.0)), np.array(interval(values)) / 4)
    assert_allclose(ratio_interval(values, np.full(30, -4.0)), -np.array(interval(values))[::-1] / 4)


@settings(max_examples=40, deadline=None)
@given(SAMPLES, st.integers(12, 60))
def test_a_ratio_at_either_end_is_just_told_from_the_data(rng, count):
    """The mean of numerator - r x denominator is on the edge of the corrected t test, its skewness taken at the estimated ratio."""
    common = rng.gamma(4, size=count)
    above, below = common * rng.gamma(3, size=count), common * rng.lognormal(0, 0.3, count)
    ratio, edge = above.mean() / below.mean(), student.isf(0.025, count - 1)
    found, low, high = ratio_of_means(above, below)
    assert found == pytest.approx(ratio)
    assume(np.isfinite(low))  # few and very skewed pairs may bound nothing
    skewness = sample_skewness(above - ratio * below)
    found = [corrected(above - end * below, 0, skewness) for end in (low, high)]
    assert_allclose(found, [edge, -edge], rtol=1e-6)
    assert low < ratio < high
    assert_allclose(ratio_interval(-3 * above, -7 * below), np.array([low, high]) * 3 / 7)


def test_the_same_ratio_in_every_pair_has_no_width():
    """However the pairs differ."""
    values = np.array([1.0, 50, 3, 17])
    assert_allclose(ratio_interval(values, 2 * values), [0.5, 0.5])
    assert_allclose(ratio_interval(0 * values, values), [0, 0], atol=0)
    assert_allclose(ratio_interval([values, values], [3 * values, values]), [[1 / 3, 1], [1 / 3, 1]])


def test_a_pair_with_a_nan_is_left_out():
    above, below = [1, np.nan, 2, 4, 5.5, 5], [20, 30, np.nan, 81, 100, 99]
    assert_allclose(ratio_interval(above, below), ratio_interval([1, 4, 5.5, 5], [20, 81, 100, 99]))
    assert np.isnan(ratio_interval([1, np.nan, 2], [np.nan, 1, 2])).all()


def test_a_denominator_that_may_be_zero_bounds_nothing():
    rng = np.random.default_rng(3)
    above = rng.gamma(2, size=30)
    for below in (np.zeros(30), np.eye(30)[0], rng.normal(0.1, 1, 30)):
        assert np.isnan(ratio_interval(above, below)).all()
    assert np.isfinite(ratio_interval(above, rng.normal(2, 1, 30))).all()


def test_a_ratio_is_of_arrays_of_one_shape():
    with pytest.raises(InputError, match=r"a ratio needs two arrays of one shape, not of the shapes \(2,\) and \(3,\)"):
        ratio_interval([1, 2], [1, 2, 3])


def test_the_ratio_lies_within_its_interval_to_the_last_digit():
    """Also where all pairs have one ratio, so that no reader finds an effect of 0 outside of an interval from 0 to 0."""
    rng = np.random.default_rng(4)
    for count in (2, 3, 20, 200):
        values = rng.lognormal(size=(50, count))
        ratio, low, high = ratio_of_means(values, rng.choice([1, 3, 7], (50, 1)) * values)
        assert (low <= ratio).all() and (ratio <= high).all()
        low, high = interval(np.repeat(values[:, :1], count, axis=1))
        assert (low == high).all()


# ---- what they promise


def test_intervals_cover_the_truth_where_values_are_very_skewed():
    """Exponential values, thirty at a time: plain t covers 92.5 %."""
    rng = np.random.default_rng(0)
    values, other = rng.exponential(2.0, (4000, 30)), rng.exponential(4.0, (4000, 30))
    for (low, high), truth in ((interval(values), 2.0), (ratio_interval(values, values + other), 1 / 3)):
        assert 0.93 < ((low <= truth) & (truth <= high)).mean() < 0.97
