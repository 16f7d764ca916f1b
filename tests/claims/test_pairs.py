"""Paired comparisons and shrinkage: worked by hand, and against SciPy's and NumPy's own counting."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, binom

from edgecache import InputError
from edgecache.claims.design import SLACKS
from edgecache.claims.pairs import paired_shares, shrinkage

T, F = True, False


def test_paired_shares_by_hand():
    found = paired_shares([T, T, T, F, F, F, F, F, F, F], [T, F, F, T, T, T, T, T, T, F])
    assert [found[name] for name in ("both", "first_only", "second_only", "neither")] == [1, 2, 6, 1]
    assert found["first"] == 0.3 and found["second"] == 0.7
    assert found["p_value"] == pytest.approx(2 * (1 + 8 + 28) / 2**8)  # of eight draws two or fewer, or six or more
    # 3 of 10: the ends at which 3 or more, and 3 or fewer, have a probability of 2.5 %
    assert binom.sf(2, 10, found["first_low"]) == pytest.approx(0.025)
    assert binom.cdf(3, 10, found["first_high"]) == pytest.approx(0.025)


def test_none_in_many_draws_still_has_an_upper_end():
    found = paired_shares(np.zeros(1694, dtype=bool), np.arange(1694) < 6)
    assert found["first"] == found["first_low"] == 0 and found["first_high"] == pytest.approx(1 - 0.025 ** (1 / 1694))
    assert found["second_low"] == pytest.approx(beta.ppf(0.025, 6, 1689))
    assert found["p_value"] == pytest.approx(2 / 2**6)


def test_settings_that_never_differ_are_not_told_apart():
    found = paired_shares([T, F, T], [T, F, T])
    assert found["p_value"] == 1.0 and found["first_only"] == found["second_only"] == 0


def test_the_test_is_paired():
    """The shares are the same in both cases, but in the first the draws that differ all point one way."""
    rng = np.random.default_rng(0)
    first = rng.random(400) < 0.5
    more = first | (rng.random(400) < 0.06)
    assert paired_shares(first, more)["p_value"] < 0.05
    assert paired_shares(first, rng.permutation(more))["p_value"] > 0.05


@pytest.mark.parametrize(
    ("first", "second"), [([], []), ([T], [T, F]), ([1, 0], [0, 1]), ([[T]], [[F]]), (T, F), (["a"], ["b"]), ([T, None], [T, F])]
)
def test_what_are_no_pairs(first, second):
    with pytest.raises(InputError, match="a paired comparison needs two lists of truth values of one length"):
        paired_shares(first, second)


def test_shrinkage_counts_what_is_left_of_the_claims_held_in_the_search():
    rng = np.random.default_rng(1)
    slack = rng.choice([-0.5, 0.0, 0.25], (30, len(SLACKS)))
    table = pd.DataFrame(slack, columns=list(SLACKS)).assign(held=(slack > 0).sum(axis=1))
    numbers, words = rng.permutation(30)[:12], ("holds", "undecided", "fails")
    rows = [(number, claim, rng.choice(words)) for number in numbers for claim in rng.permutation(SLACKS)]
    again = pd.DataFrame(rows, columns=["number", "claim", "verdict"])
    found = shrinkage(table, again)
    assert found["readings"].sum() == 12 and len(found) > 1
    np.testing.assert_allclose(found[list(words)].sum(axis=1), found["held"])
    for row in found.itertuples(index=False):
        chosen = [number for number in numbers if table.loc[number, "held"] == row.held]
        counts = dict.fromkeys([*words, "gained"], 0)
        for number, claim, word in rows:
            if number in chosen and table.loc[number, claim] > 0:
                counts[word] += 1
            elif number in chosen and word == "holds":
                counts["gained"] += 1
        assert row.readings == len(chosen)
        assert {name: getattr(row, name) for name in counts} == pytest.approx({n: c / len(chosen) for n, c in counts.items()})
