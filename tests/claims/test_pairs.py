"""Paired comparisons and shrinkage: worked by hand, and against SciPy's and NumPy's own counting."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, binom

from edgecache import InputError
from edgecache.claims.design import SCOPES, SLACKS
from edgecache.claims.pairs import TOGETHER, compare_scopes, paired_shares, shrinkage

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


# ---- the scopes


def readings(held, charges):
    """A table of the search: `held` (draws, scopes, claims) says which claims hold."""
    table = pd.DataFrame(np.where(held, 0.25, -0.25).reshape(-1, len(SLACKS)), columns=list(SLACKS))
    light = np.repeat(np.arange(len(held)) % 2, len(SCOPES))  # w2 of every other draw
    return table.assign(scope=np.tile(SCOPES, len(held)), charge=np.repeat(charges, len(SCOPES)), w2=np.where(light, 0.1, 3.0))


def test_scopes_are_compared_draw_by_draw_by_hand():
    """The headline in five draws, by scope: evict, bypass, prefetch, free."""
    headline = [[T, T, F, T], [F, T, F, T], [F, T, F, F], [F, F, F, F], [T, F, T, T]]
    held = np.zeros((5, len(SCOPES), len(SLACKS)), dtype=bool)
    held[..., SLACKS.index("headline-reduction")] = headline
    found = compare_scopes(readings(held, ["eviction", "miss", "miss", "miss", "eviction"]))
    counts = found.set_index(["outcome", "charge", "scope"])[["draws", "both", "first_only", "second_only", "neither"]]
    assert {scope: counts.loc["headline", "any", scope].tolist() for scope in SCOPES[1:]} == {
        "bypass": [5, 1, 1, 2, 1],
        "prefetch": [5, 1, 1, 0, 3],
        "free": [5, 2, 0, 1, 2],
    }
    assert {scope: counts.loc["headline", "miss", scope].tolist() for scope in SCOPES[1:]} == {
        "bypass": [3, 0, 0, 2, 1],
        "prefetch": [3, 0, 0, 0, 3],
        "free": [3, 0, 0, 1, 2],
    }
    shares = found.set_index(["outcome", "charge", "scope"]).loc["headline", "any", "bypass"]
    assert shares["first"] == 0.4 and shares["second"] == 0.6
    rising = counts.loc["LFU falls, others rise with GPU memory"]
    assert rising["neither"].eq(rising["draws"]).all()


def test_claims_hold_together_where_each_of_them_does_under_that_scope():
    """Counted one reading at a time. A draw whose claims hold under different scopes does not count."""
    rng = np.random.default_rng(3)
    held = rng.random((300, len(SCOPES), len(SLACKS))) < 0.8
    charges = rng.choice(["eviction", "absence"], 300)
    found = compare_scopes(readings(held, charges))
    assert len(found) == len(TOGETHER) * 4 * len(SCOPES[1:])  # any charge, each charge, and absence where w2 is small
    some = 0
    for row in found.itertuples():
        counts = dict.fromkeys(["both", "first_only", "second_only", "neither"], 0)
        for draw in range(300):
            light = charges[draw] == "absence" and draw % 2
            if row.charge in ("any", charges[draw]) or (row.charge == "absence, w2 < 0.5" and light):
                one, other = (
                    all(held[draw, SCOPES.index(scope), SLACKS.index(claim)] for claim in TOGETHER[row.outcome])
                    for scope in ("evict", row.scope)
                )
                counts["both" if one and other else "first_only" if one else "second_only" if other else "neither"] += 1
        assert {name: getattr(row, name) for name in counts} == counts and sum(counts.values()) == row.draws
        some += counts["both"] > 0
    assert some > len(found) / 2


def test_a_slack_of_nothing_is_a_claim_that_does_not_hold():
    table = readings(np.ones((2, len(SCOPES), len(SLACKS)), dtype=bool), ["miss", "miss"])
    table.loc[table["scope"] == "free", "headline-reduction"] = 0.0
    found = compare_scopes(table).set_index(["outcome", "charge", "scope"])
    assert found.loc[("headline", "any", "free"), "first_only"] == 2 and found.loc[("headline", "any", "bypass"), "both"] == 2


def test_what_holds_together_are_the_claims_that_the_ledger_sets_against_each_other():
    headline, both = (
        "headline-reduction",
        {axis: {f"{policy}-falls-with-{axis}" for policy in ("proposed", "lfu")} for axis in ("storage", "gpu")},
    )
    assert {outcome: set(claims) for outcome, claims in TOGETHER.items()} == {
        "headline": {headline},
        "proposed and LFU fall with storage": both["storage"],
        "proposed and LFU fall with GPU memory": both["gpu"],
        "headline, both fall with storage": {headline, *both["storage"]},
        "headline, both fall with GPU memory": {headline, *both["gpu"]},
        "headline, both fall with both": {headline, *both["storage"], *both["gpu"]},
        "LFU falls, others rise with GPU memory": {"lfu-falls-with-gpu", "others-rise-with-gpu"},
    }


# ---- the second look


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
