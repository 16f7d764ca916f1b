"""The search: what is best and closest on tables worked by hand, what decides a claim where the truth is known, and the whole."""

import dataclasses
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from SALib.analyze import rbd_fast

from edgecache import READINGS, InputError, Scenario, costs
from edgecache.claims import design, ledger, search
from edgecache.claims.design import (
    DRAWN,
    MEASURES,
    PARAMETERS,
    RANGES,
    SCOPES,
    SLACKS,
    SWITCHES,
    judge_draw,
    latin_hypercube,
    read_readings,
    scenario_of,
    under_every_scope,
)
from edgecache.claims.pairs import compare_scopes
from edgecache.claims.search import best_readings, closest_reading, fingerprint
from edgecache.claims.sensitivity import sensitivity
from edgecache.claims.statements import CLAIMS, VERDICTS
from edgecache.policies import POLICIES

QUIET = {"jobs": 1, "progress": False}

# ---- the table of the search


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def table(work):
    return search.judge_design(100, work=work, report=pytest.fail, **QUIET)


def readings(count):
    """The readings of a design of so many draws, not judged."""
    return under_every_scope(latin_hypercube(count))


def test_the_table_is_the_design_under_every_scope_and_what_it_was_judged(table):
    assert list(table.columns) == [*PARAMETERS, *SLACKS, *MEASURES, "held", "missed"]
    assert_frame_equal(table[list(PARAMETERS)], readings(100))
    draws, distinct = latin_hypercube(100), ~table.duplicated([name for name in table if name != "scope"])
    whole = distinct.to_numpy().reshape(100, -1).all(axis=1).nonzero()[0]  # of these draws no two scopes are judged alike
    for number in (0, 47, *whole[:2]):
        rows = table.loc[len(SCOPES) * number : len(SCOPES) * number + len(SCOPES) - 1]
        assert tuple(rows["scope"]) == SCOPES
        found = judge_draw(draws.loc[number].to_dict())
        assert_allclose(rows[[*SLACKS, *MEASURES]].to_numpy(dtype=float), found, rtol=1e-6)
    assert len(whole)


def test_held_and_missed_are_those_of_the_slacks(table):
    slacks = table[list(SLACKS)].to_numpy(dtype=float)
    held = [sum(value > 0 for value in row) for row in slacks]
    missed = [sum(min(-value, 1) for value in row if value < 0) for row in slacks]
    assert list(table["held"]) == held and len(set(held)) > 2
    assert_allclose(table["missed"], missed, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("count", "part"), [(0, "count is 0"), (-5, "-5"), (True, "True"), (50.0, "50.0"), (10**9, "at most")])
def test_impossible_counts_are_refused_before_anything_is_written(tmp_path, count, part):
    with pytest.raises(InputError, match=part):
        search.judge_design(count, work=tmp_path / "work", report=pytest.fail, **QUIET)
    assert not (tmp_path / "work").exists()


# ---- best and closest


def found(held, missed, catalogue=0, index=None):
    """A table of the search, each reading of a draw of its own."""
    columns = {"held": held, "missed": missed, "catalogue": catalogue, "w2": np.arange(1.0, len(held) + 1)}
    rest = dict.fromkeys((*DRAWN, *SLACKS), 0)
    return pd.DataFrame(rest | columns, index=index)


def test_the_best_hold_most_then_miss_least_then_come_first():
    table = found([3, 5, 5, 4, 5, 5], [0.0, 0.2, 0.1, 0.0, 0.2, 0.3], index=[9, 8, 7, 6, 5, 4])
    assert list(best_readings(table, 12).index) == [7, 8, 5, 4, 6, 9]
    assert list(best_readings(table, 4).index) == [7, 8]
    assert list(best_readings(table[::-1], 12).index) == [7, 5, 8, 4, 6, 9]
    assert list(best_readings(table.assign(catalogue=3), 4).index) == [7, 8]


def test_half_of_the_best_have_the_shipped_catalogue_and_half_a_random_one():
    rng = np.random.default_rng(0)
    held, missed, catalogue = rng.integers(0, 15, 300), rng.random(300).round(1), rng.integers(0, 3, 300)
    chosen = best_readings(found(held, missed, catalogue), 21)
    assert chosen["catalogue"].eq(0).sum() == 11 and chosen["catalogue"].gt(0).sum() == 10
    # no other reading of its half is better, and all are in one order
    for half in (chosen[chosen["catalogue"] == 0], chosen[chosen["catalogue"] > 0]):
        inside = (catalogue == 0) == (half["catalogue"].iloc[0] == 0)
        ranks = sorted((-h, m, n) for n, (h, m) in enumerate(zip(held, missed, strict=True)) if inside[n])
        assert [n for *_, n in ranks[: len(half)]] == list(half.index)
    keys = list(zip(-chosen["held"], chosen["missed"], chosen.index, strict=True))
    assert keys == sorted(keys)


def test_a_scope_that_changes_nothing_is_not_judged_again():
    """One draw under its four scopes: the second and the fourth are judged as the first and the third."""
    table = readings(1).assign(**dict.fromkeys(SLACKS, -0.5), missed=7.0, held=0, catalogue=0)
    table["headline-reduction"] = [-0.2, -0.2, 0.1, 0.1]
    table[["held", "missed"]] = [[0, 6.7], [0, 6.7], [1, 6.5], [1, 6.5]]
    assert list(best_readings(table, 8)["scope"]) == ["prefetch", "evict"]
    table.loc[3, "lfu-falls-with-gpu"] = -0.4
    assert list(best_readings(table, 8)["scope"]) == ["prefetch", "free", "evict"]
    assert list(best_readings(table.assign(w2=[1.0, 2.0, 3.0, 4.0]), 8).index) == [2, 3, 0, 1]  # other draws are other readings


def test_as_many_are_judged_again_as_the_search_says():
    rng = np.random.default_rng(1)
    table = found(rng.integers(0, 15, 500), rng.random(500), rng.integers(0, 2, 500))
    assert len(best_readings(table)) == search.BEST >= 40 and min(search.BEST_LOOKS) >= 200


def again(**verdicts):
    """A table of `reconsider`: of each reading the first letters of its claims' verdicts."""
    words = {word[0]: word for word in VERDICTS}
    rows = [(int(name[1:]), f"claim {place}", words[v]) for name, own in verdicts.items() for place, v in enumerate(own)]
    return pd.DataFrame(rows, columns=["number", "claim", "verdict"])


CLOSEST = {  # the verdicts of readings 0 to 3, their catalogues, what they missed, the closest
    "most claims that hold": (["hhff", "hhhf", "huuu", "ffff"], [0, 0, 0, 0], [0, 1, 0, 0], 1),
    "of as many, the fewest that fail": (["hhff", "hfff", "hhuf", "hhff"], [0, 0, 0, 0], [0, 0, 9, 0], 2),
    "then the least missed": (["hhuf", "hhuf", "hhfu", "hfff"], [0, 0, 0, 0], [0.3, 0.2, 0.1, 0], 2),
    "then the first": (["ffff", "hhuf", "hhuf", "hhuf"], [0, 0, 0, 0], [0.1, 0.1, 0.1, 0.1], 1),
    "of the shipped catalogue": (["hhhh", "hhhf", "hhff", "hfff"], [7, 200, 0, 0], [0, 0, 1, 0], 2),
    "even if it holds none": (["hhhh", "hhhf", "hhff", "ffff"], [1, 1, 1, 0], [0, 0, 0, 3], 3),
    "no claim undecided or failed": (["hhhh", "hhhh", "hhhh", "hhhh"], [1, 1, 0, 0], [0, 0, 2, 1], 3),
}


@pytest.mark.parametrize("case", CLOSEST)
def test_the_closest_is_that_with(case):
    verdicts, catalogues, missed, expected = CLOSEST[case]
    table = pd.DataFrame({"catalogue": catalogues, "missed": missed})
    rows = again(**{f"r{number}": own for number, own in enumerate(verdicts)})
    assert closest_reading(table, rows) == expected


def test_only_readings_that_were_judged_again_are_close():
    table = pd.DataFrame({"catalogue": [0, 0, 0], "missed": [0, 1, 2]})
    assert closest_reading(table, again(r2="hf", r1="ff")) == 2


def test_without_the_shipped_catalogue_nothing_is_close():
    table = pd.DataFrame({"catalogue": [3, 0], "missed": [0, 0]})
    with pytest.raises(InputError, match="no reading with the shipped catalogue is among the best"):
        closest_reading(table, again(r0="hh"))


def test_with_any_catalogue_the_one_of_most_claims_is_close():
    table = pd.DataFrame({"catalogue": [3, 0, 9], "missed": [0.2, 0, 0.1]})
    rows = again(r0="hhf", r1="hhf", r2="hhh")
    assert (closest_reading(table, rows), closest_reading(table, rows, any_catalogue=True)) == (1, 2)


# ---- second looks


def judged_by_size(parameters):
    """A made-up ledger, from which the reading can be told."""
    return [{"claim": "storage", "verdict": "holds", "effect": parameters["w2"]}]


def test_second_looks_are_in_the_order_asked_for_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "_judged_again", judged_by_size)
    chosen = readings(30).iloc[[47, 3, 12]]
    found = search.judge_again(chosen, work=tmp_path, report=pytest.fail, **QUIET)
    assert list(found["number"]) == [47, 3, 12] and list(found["effect"]) == list(chosen["w2"])
    monkeypatch.setattr(search, "_judged_again", pytest.fail)
    assert_frame_equal(
        search.judge_again(chosen[::-1], work=tmp_path, report=pytest.fail, **QUIET)[::-1].reset_index(drop=True), found
    )


def test_second_looks_of_another_design_are_not_taken_for_these(tmp_path, monkeypatch):
    # reading 3 of 30 and reading 3 of 40 are different readings
    monkeypatch.setattr(search, "_judged_again", judged_by_size)
    for count in (30, 40):
        chosen = readings(count).iloc[[3, 5]]
        found = search.judge_again(chosen, work=tmp_path, report=pytest.fail, **QUIET)
        assert list(found["effect"]) == list(chosen["w2"]), f"of {count}"


def test_second_looks_of_other_scopes_are_not_taken_for_these(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "_judged_again", lambda parameters: [{"claim": parameters["scope"], "verdict": "holds"}])
    for numbers in ([8, 10], [9, 11], [8, 9, 10, 11]):  # one draw
        judged = search.judge_again(readings(30).iloc[numbers], work=tmp_path, report=pytest.fail, **QUIET)
        assert list(judged["claim"]) == [SCOPES[number % len(SCOPES)] for number in numbers]


def test_a_second_look_is_a_ledger_of_the_ga_on_its_own_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "BEST_LOOKS", (2, 4))
    chosen = readings(24).iloc[[9 * len(SCOPES) + SCOPES.index("free")]]
    found = search.judge_again(chosen, work=tmp_path, report=pytest.fail, **QUIET)
    scenario = scenario_of(chosen.iloc[0].to_dict())
    table = ledger.play_ledger(scenario, proposed="ga", looks=(2, 4), seed=2, **QUIET)
    assert scenario.scope == "free"
    assert list(found["claim"]) == list(SLACKS) and set(found["number"]) == set(chosen.index)
    table = table[table["claim"].isin(SLACKS)].reset_index(drop=True)
    shared = [column for column in table if column in found]
    assert {"verdict", "effect", "low", "high", "replications"} <= set(shared)
    assert_frame_equal(found[shared], table[shared])


def test_no_two_stages_share_a_seed(monkeypatch):
    """Below a seed the streams of replications, catalogues and policies differ; so no stage sees another's random numbers."""
    used = {}

    def recorded(stage, place, name, number):
        """Of a function or class that draws random numbers, the argument at that place is the seed."""
        original = getattr(place, name)

        def call(*arguments):
            used.setdefault(stage, set()).add(arguments[number])
            return original(*arguments)

        return call

    short = partial(ledger.play_ledger, proposed="exact")
    monkeypatch.setattr(ledger, "play_ledger", lambda *given, **setting: short(*given, **setting | {"looks": (2,)}))
    row = latin_hypercube(24).loc[9].to_dict() | {"catalogue": 0}
    design._random_catalogues.cache_clear()
    for stage, run in {
        "design": lambda: (latin_hypercube(24), design.catalogue_of(1)),
        "search": lambda: judge_draw(row, 1),
        "second look": lambda: search._judged_again(row),
        "ledger": lambda: search._named_ledger("literal"),
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(design, "random_generator", recorded(stage, design, "random_generator", 0))
            patch.setattr(design, "Ensemble", recorded(stage, design, "Ensemble", 2))
            patch.setattr(ledger, "outcomes", recorded(stage, ledger, "outcomes", 4))
            run()
    assert [len(seeds) for seeds in used.values()] == [1] * 4 and len(set.union(*used.values())) == 4


# ---- the fingerprint: what makes old results void


def edited(monkeypatch, old, new):
    """Put the functions of an edited costs.py in place of the package's."""
    source = Path(costs.__file__).read_text()
    assert source.count(old) == 1
    namespace = {"__name__": costs.__name__, "__package__": costs.__package__}
    exec(compile(source.replace(old, new), costs.__file__, "exec"), namespace)
    for name, value in namespace.items():
        if getattr(value, "__module__", "") == costs.__name__:
            monkeypatch.setattr(costs, name, value)


def test_the_probes_have_every_word_of_every_switch():
    probes = readings(search.PROBES)
    assert {name: set(probes[name]) for name in SWITCHES} == {name: set(READINGS[name]) for name in SWITCHES}
    assert (probes["catalogue"] == 0).any() and (probes["catalogue"] > 0).any()


def test_a_name_s_reading_keeps_the_fingerprint(monkeypatch):
    """So a search that finds another `closest` keeps its journals. The ledger of that name has its parameters in its key."""
    monkeypatch.setitem(search.NAMED, "closest", {"charge": "miss", "w2": 3.0})
    assert fingerprint.__wrapped__() == fingerprint()


def changed_scopes():
    yield "bypass", "may_bypass", lambda self: self.scope == "bypass"
    yield "prefetch", "may_prefetch", lambda self: self.scope == "prefetch"
    yield "evict", "may_bypass", lambda self: self.scope != "prefetch"


@pytest.mark.parametrize(("name", "rule"), [pytest.param(name, rule, id=id) for id, name, rule in changed_scopes()])
def test_a_changed_rule_of_a_scope_changes_the_fingerprint(monkeypatch, name, rule):
    before = fingerprint()
    monkeypatch.setattr(Scenario, name, property(rule))
    assert fingerprint.__wrapped__() != before


def test_a_search_of_other_scopes_has_another_fingerprint(monkeypatch):
    before = fingerprint()
    for scopes in (SCOPES[:3], SCOPES[::-1]):
        monkeypatch.setattr(search, "SCOPES", scopes)
        monkeypatch.setattr(design, "SCOPES", scopes)
        assert fingerprint.__wrapped__() != before


def test_an_edited_docstring_keeps_the_fingerprint(monkeypatch):
    assert len(fingerprint()) == 16
    edited(monkeypatch, costs.switching_delay_s.__doc__, "Another sentence.")
    assert costs.switching_delay_s.__doc__ == "Another sentence."
    assert fingerprint.__wrapped__() == fingerprint()


@pytest.mark.parametrize(
    "name", ["switching_delay_s", "deployment_cost", "eviction_cost", "total_cost", "active_cycle", "fetch_delay_s"]
)
def test_a_changed_equation_changes_the_fingerprint(monkeypatch, name):
    original = getattr(costs, name)
    before = fingerprint()
    monkeypatch.setattr(costs, name, lambda *arguments: 1.000001 * original(*arguments))
    assert fingerprint.__wrapped__() != before


def changed_policies():
    yield "rank", "lru", dataclasses.replace(POLICIES["lru"], queue="deployment")
    yield "ga", "ga", dataclasses.replace(POLICIES["ga"], generations=1, population=4)
    yield "random", "random", dataclasses.replace(POLICIES["random"], rank=POLICIES["lfu"].rank)


@pytest.mark.parametrize(("name", "policy"), [pytest.param(*change, id=id) for id, *change in changed_policies()])
def test_a_changed_policy_changes_the_fingerprint(monkeypatch, name, policy):
    before = fingerprint()
    monkeypatch.setitem(POLICIES, name, policy)
    assert fingerprint.__wrapped__() != before


def test_a_changed_setting_or_claim_changes_the_fingerprint(monkeypatch):
    before, seen = fingerprint(), set()
    claim = dataclasses.replace(search.SIMULATED[0], groups=search.SIMULATED[1].groups)
    for name, value in {
        "SEEDS": 9, "BEST_LOOKS": (20, 41), "RANGES": RANGES | {"w2": (1, 2)}, "SIMULATED": (claim, *search.SIMULATED[1:])
    }.items():  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(search, name, value)
            seen.add(fingerprint.__wrapped__())
    assert len(seen) == 4 and before not in seen


# ---- the whole


@pytest.fixture
def quick(monkeypatch):
    """A search of seconds: ten of the best, two replications per look, one random catalogue, Exact as the proposed."""
    short = partial(ledger.play_ledger, proposed="exact")
    monkeypatch.setattr(ledger, "play_ledger", lambda *given, **setting: short(*given, **setting | {"looks": (2, 3)}))
    monkeypatch.setattr(search, "best_readings", lambda table: best_readings(table, 10))
    judge = search.catalogues.judge_catalogues
    monkeypatch.setattr(
        search.catalogues, "judge_catalogues", lambda journal, named, **setting: judge(journal, named, 1, **setting)
    )

    def quick(folder, **setting):
        told = []
        setting = {"count": 100, "named": ("literal", "delay"), "report": told.append} | QUIET | setting
        search.search_readings(folder / "results", folder / "work", **setting)
        return told

    return quick


FILES = ["claims-any.csv", "claims.csv", "readings-best.csv", "readings-catalogues.csv", "readings-scopes.csv"]
FILES += ["readings-sensitivity.csv", "readings.parquet"]


def test_a_search_writes_five_files_and_goes_on_from_its_journals(tmp_path, quick, table, work, monkeypatch):
    shutil.copytree(work, tmp_path / "work")
    monkeypatch.setattr(rbd_fast, "analyze", few_resamples)
    told, results = "\n".join(quick(tmp_path)), tmp_path / "results"
    assert "anew" not in told
    assert sorted(file.name for file in results.iterdir()) == FILES
    found = read_readings(results / "readings.parquet")
    assert_frame_equal(found.assign(**{name: found[name].astype(object) for name in SWITCHES}), table, check_dtype=False)
    assert f"400 readings judged by means, the best holds {table['held'].max()} of 14 claims" in told
    again = pd.read_csv(results / "readings-best.csv")
    chosen = best_readings(table, 10).index
    assert list(dict.fromkeys(again["number"])) == list(chosen) and len(again) == 10 * len(SLACKS)
    assert f"closest: reading {closest_reading(table, again)}, " in told
    claims = pd.read_csv(results / "claims.csv")
    assert list(claims["reading"]) == ["literal"] * len(CLAIMS) + ["delay"] * len(CLAIMS)
    assert sorted(claims["claim"][: len(CLAIMS)]) == sorted(claim.name for claim in CLAIMS)
    for name in ("literal", "delay"):
        held = ((claims["reading"] == name) & (claims["verdict"] == "holds")).sum()
        assert f"{name}: {held} claims hold on 3 new replications" in told or f"{name}: {held} claims hold on 2 new" in told
    scopes = pd.read_csv(results / "readings-scopes.csv")
    assert_frame_equal(scopes, compare_scopes(table), rtol=1e-5, atol=1e-12)
    shown = pd.read_csv(results / "readings-sensitivity.csv")
    assert_allclose(shown["share"], sensitivity(table)["share"], rtol=1e-5, atol=1e-12)

    # again: nothing is computed, a damaged table is reported, and the files are the same
    before = {name: (results / name).read_bytes() for name in FILES}
    (results / "readings.parquet").write_bytes(before["readings.parquet"][:-100])
    for stage in ("judge_draw", "_judged_again", "_named_ledger"):
        monkeypatch.setattr(search, stage, pytest.fail)
    first, *_ = quick(tmp_path)
    assert first.startswith(f"{results / 'readings.parquet'} is damaged or cut short") and first.endswith("; written anew")
    assert {name: (results / name).read_bytes() for name in FILES} == before


def few_resamples(*arguments, analyze=rbd_fast.analyze, **setting):
    """As RBD-FAST: the shares are those of all resamples, their spreads coarser and as reproducible."""
    return analyze(*arguments, **setting | {"num_resamples": 4})


@pytest.mark.parametrize("module", ["pyarrow", "SALib"])
def test_without_the_extra_nothing_is_searched(tmp_path, monkeypatch, quick, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"^the search over readings needs {module}: pip install 'edgecache\[claims\]'$"):
        quick(tmp_path)
    assert not list(tmp_path.iterdir())
