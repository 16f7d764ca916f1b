"""The design of readings, how a reading is judged, and the table on disk: whole, the same bytes, and refused when damaged."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from support.claims import paper_cost

from edgecache import READINGS, InputError, load_catalogue, sweep
from edgecache.catalogue import TABLE_I
from edgecache.claims.design import (
    CATALOGUES,
    DESIGN_SEED,
    DRAWN,
    MEASURES,
    PARAMETERS,
    RANGES,
    SCOPES,
    SEARCH_SEED,
    SEEDS,
    SLACKS,
    SWITCHES,
    catalogue_of,
    claim_slacks,
    judge_draw,
    latin_hypercube,
    read_readings,
    scenario_of,
    under_every_scope,
    write_readings,
)
from edgecache.claims.statements import BASELINES, CENTRE, GRID, SIMULATED, cells_of
from edgecache.claims.verdicts import verdict

POLICIES = (*BASELINES, "exact")
DRAWN_SWITCHES = [name for name in SWITCHES if name != "scope"]

# ---- the design


def strata(name, count):
    """The ends of equal strata of a parameter, (count + 1,)."""
    low, high = RANGES[name]
    return np.linspace(low, high, count + 1) if name == "zipf" else np.geomspace(low, high, count + 1)


@pytest.mark.parametrize("count", [2, 60, 500])
@pytest.mark.parametrize("name", RANGES)
def test_every_stratum_of_a_number_is_hit_once(name, count):
    ends, found = strata(name, count), np.sort(latin_hypercube(count)[name])
    rounding = 5e-4 * found + 1e-15  # half a unit of the fourth digit
    assert len(found) == count and (found >= ends[:-1] - rounding).all() and (found <= ends[1:] + rounding).all()


@pytest.mark.parametrize("count", [12, 60, 601])
@pytest.mark.parametrize("name", DRAWN_SWITCHES)
def test_every_word_of_a_switch_is_equally_often(name, count):
    words = latin_hypercube(count)[name].value_counts()
    assert set(words.index) == set(READINGS[name])
    assert words.sum() == count and abs(words - count / len(READINGS[name])).max() <= 2  # a stratum may span the edge of two words
    if count % len(READINGS[name]) == 0:
        assert words.nunique() == 1


@pytest.mark.parametrize("count", [12, 60, 800])
def test_half_have_the_shipped_catalogue_and_the_others_spread_over_the_random_ones(count):
    numbers = latin_hypercube(count)["catalogue"]
    others = numbers[numbers > 0]
    assert len(others) == count // 2 and others.between(1, CATALOGUES).all()
    assert abs(np.sort(others) - np.arange(0.5, len(others)) / len(others) * CATALOGUES).max() <= CATALOGUES / len(others) + 1


def test_the_columns_of_a_design_pair_up_at_random():
    # a hypercube whose columns went together would hit every stratum too
    codes = latin_hypercube(2000).apply(lambda column: pd.factorize(column, sort=True)[0])
    correlation = codes.corr(method="spearman").to_numpy()[~np.eye(len(DRAWN), dtype=bool)]
    assert abs(correlation).max() < 0.1  # 4.5 standard errors


def test_rows_are_distinct_and_of_four_digits():
    table = latin_hypercube(5000)
    assert list(table.columns) == list(DRAWN) and not table.duplicated().any()
    for name in RANGES:
        assert all(float(f"{value:.4g}") == value for value in table[name])


def test_the_same_seed_is_the_same_design():
    assert_frame_equal(latin_hypercube(50), latin_hypercube(50, DESIGN_SEED))
    assert (latin_hypercube(50)["w2"] != latin_hypercube(50, DESIGN_SEED + 1)["w2"]).any()
    assert (latin_hypercube(50)["w2"] != latin_hypercube(51)["w2"].iloc[:50]).any()  # so numbers mean nothing without their count


def test_every_reading_of_the_paper_is_among_the_parameters_but_the_rate_basis():
    assert set(SWITCHES) == set(READINGS) - {"rate_basis", "decides"}
    assert set(PARAMETERS) == {*DRAWN, "scope"} == {*SWITCHES, *RANGES, "catalogue"}


@pytest.mark.parametrize("index", [range(30), range(5, 65, 2)], ids=["the design", "some of its rows"])
def test_every_draw_is_a_reading_under_each_scope_and_nothing_else_differs(index):
    draws = latin_hypercube(30).set_axis(list(index))
    readings = under_every_scope(draws)
    assert list(readings.columns) == list(PARAMETERS) and list(readings.index) == list(range(120))
    rows = iter(readings.to_dict("records"))
    for draw in draws.to_dict("records"):
        for scope in ("evict", "bypass", "prefetch", "free"):
            assert next(rows) == draw | {"scope": scope}


# ---- catalogues and scenarios


def test_catalogues_are_in_the_order_of_their_size_within_table_i():
    assert catalogue_of(0) == load_catalogue()
    others = [catalogue_of(number) for number in range(1, CATALOGUES + 1)]
    assert [len(c) for c in others] == [10] * CATALOGUES and len(set(others)) == CATALOGUES
    sizes = [c.size_gb.sum() for c in others]
    assert sizes == sorted(sizes)
    for feature, (low, high) in TABLE_I.items():
        values = np.concatenate([getattr(c, feature) for c in others])
        assert low <= values.min() < low * 1.1 and high * 0.9 < values.max() <= high


def test_a_row_is_a_scenario_and_what_it_does_not_say_is_the_default():
    default = scenario_of({"catalogue": 0})
    for row in under_every_scope(latin_hypercube(10)).to_dict("records"):
        s = scenario_of(row)
        assert s.catalogue == catalogue_of(row["catalogue"])
        assert all(getattr(s, name) == row[name] for name in (*SWITCHES, *RANGES))
        others = set(s.__dataclass_fields__) - {"catalogue", *SWITCHES, *RANGES}
        assert len(others) > 8 and all(getattr(s, name) == getattr(default, name) for name in others)
        assert s.w1 == 1


def test_a_draw_without_a_scope_evicts():
    for row in latin_hypercube(3).to_dict("records"):
        assert scenario_of(row) == scenario_of(row | {"scope": "evict"}) != scenario_of(row | {"scope": "free"})


# ---- judging


def played(draw, replications):
    """The long way: a sweep of every scenario that a draw is judged by. A row per point, scope, replication and policy."""
    tables = []
    for parameter, values in GRID.items():
        vary = {"scope": SCOPES, parameter: values}
        setting = {"seed": SEARCH_SEED, "jobs": 1, "progress": False}
        table = sweep(vary, POLICIES, replications, scenario_of(draw).vary(**CENTRE), **setting)
        tables.append(table.rename(columns={parameter: "value"}).assign(parameter=parameter))
    return pd.concat(tables, ignore_index=True)


def cells_under(runs, scope):
    """The costs of each cell of the claims under a scope, from `played`."""
    return {
        (parameter, value, "proposed" if policy == "exact" else policy): own["total_cost"].to_numpy()
        for (parameter, value, policy), own in runs[runs["scope"] == scope].groupby(["parameter", "value", "policy"])
    }


def slack_of(claim, found):
    """The slack from the claim's statements, one by one: the mean margin as a share of the mean cost it is measured by."""
    least = []
    for needed, statements in claim.groups(GRID):
        margins = []
        for s in statements:
            below = 1 - s.bar - found[s.cell].mean() / found[s.other].mean()
            margins.append(-below if s.at_most else below)
        least.append(sorted(margins, reverse=True)[needed - 1])
    return min(least)


CHOSEN = (8, 10, 17)  # of the design of 24: one of each charge; each scope changes a verdict


@pytest.fixture(scope="module", params=CHOSEN, ids=lambda number: f"draw {number}")
def judged(request):
    """The slacks and measures of a draw by scope, and all runs of the long way; of two replications."""
    draw = latin_hypercube(24).loc[request.param].to_dict()
    found = [dict(zip((*SLACKS, *MEASURES), row, strict=True)) for row in judge_draw(draw, 2)]
    return dict(zip(SCOPES, found, strict=True)), played(draw, 2)


def test_the_slacks_are_those_of_the_statements_under_every_scope(judged):
    found, runs = judged
    for scope in SCOPES:
        costs = cells_under(runs, scope)
        for claim in SIMULATED:
            expected = pytest.approx(slack_of(claim, costs), rel=0.006, abs=1e-8)  # 3 digits
            assert found[scope][claim.name] == expected, (scope, claim.name)


def test_a_claim_holds_where_its_slack_is_above_zero(judged):
    found, runs = judged
    for scope in SCOPES:
        words = {claim.name: verdict(claim.groups(GRID), cells_under(runs, scope))[0] for claim in SIMULATED}
        assert {name: "holds" if found[scope][name] > 0 else "fails" for name in SLACKS} == words, scope


def test_the_measures_are_those_of_the_runs_at_the_centre(judged):
    found, runs = judged
    centre = runs[(runs["parameter"] == "storage_gb") & (runs["value"] == CENTRE["storage_gb"])]
    for scope in SCOPES:
        means = centre[centre["scope"] == scope].groupby("policy")[["total_cost", "service_delay_s"]].mean()
        cost, delay = means["total_cost"], means["service_delay_s"]
        reductions = 1 - cost["exact"] / cost[list(BASELINES)]
        waits = delay["exact"] / delay[list(BASELINES)].min() - 1
        assert_allclose(
            [found[scope][name] for name in MEASURES], [reductions.min(), reductions.max(), waits], rtol=0.006, atol=1e-8
        )


def test_baselines_cost_the_same_under_every_scope_and_a_draw_s_scopes_share_their_traces(judged):
    """So it is right that they are played once. Costs that are equal to the bit can only come of the same traces."""
    _, runs = judged
    wide = runs[runs["policy"].isin(BASELINES)].pivot(
        index=["parameter", "value", "replication", "policy"], columns="scope", values=["total_cost", "service_delay_s"]
    )
    assert len(wide) == 2 * len(BASELINES) * sum(map(len, GRID.values()))
    for _, by_scope in wide.T.groupby(level=0):
        assert (by_scope.nunique(dropna=False) == 1).all()


def test_the_chosen_draws_differ_and_so_do_their_scopes():
    draws = [latin_hypercube(24).loc[number].to_dict() for number in CHOSEN]
    held = np.array([judge_draw(draw) for draw in draws])[:, :, : len(SLACKS)] > 0  # (draws, scopes, claims)
    assert {draw["charge"] for draw in draws} == set(READINGS["charge"]) and held.any() and not held.all()
    assert len(set(map(tuple, held[:, 0]))) == len(CHOSEN)
    for scope in range(1, len(SCOPES)):  # each scope changes a verdict somewhere
        assert (held[:, scope] != held[:, 0]).any()


def test_what_is_judged_does_not_depend_on_what_was_judged_before():
    draw = latin_hypercube(24).loc[CHOSEN[1]].to_dict()
    first = judge_draw(draw, 1)
    judge_draw(latin_hypercube(24).loc[CHOSEN[0]].to_dict(), 1)
    assert judge_draw(draw, 1) == first


def test_a_draw_is_judged_by_the_replications_of_a_search():
    draw = latin_hypercube(24).loc[CHOSEN[0]].to_dict()
    assert judge_draw(draw) == judge_draw(draw, SEEDS) != judge_draw(draw, SEEDS - 1)


def test_slack_and_verdict_agree_on_made_up_costs():
    rng, cells, seen = np.random.default_rng(0), cells_of(SIMULATED), set()
    for number in range(160):
        if number % 2:  # coarse costs, so that margins of exactly nothing, and costs of nothing, come up often
            level = rng.choice([0.0, 1.0, 10.0], p=[0.2, 0.4, 0.4])
            lift = dict.fromkeys((*BASELINES, "proposed"), 9 * level) | {"proposed": rng.integers(10) * level}
            means = {
                cell: float(rng.integers(0, 4) * rng.integers(0, 2) / rng.choice([1.0, 4.0]) + lift[cell[2]]) for cell in cells
            }
        else:  # as the paper says, but for luck
            means = {cell: float(paper_cost(cell) * rng.lognormal(0, 0.02)) for cell in cells}
        costs = {cell: np.full(1, cost) for cell, cost in means.items()}
        words = [verdict(claim.groups(GRID), costs)[0] for claim in SIMULATED]
        assert ["holds" if value > 0 else "fails" for value in claim_slacks(means)] == words
        seen.update(enumerate(words))
    assert len(seen) == 2 * len(SIMULATED)  # every claim both held and failed


# ---- the table on disk


def made_up(count=40, seed=0):
    table, rng = under_every_scope(latin_hypercube(count // len(SCOPES))), np.random.default_rng(seed)
    columns = [*SLACKS, *MEASURES]
    table[columns] = rng.normal(size=(count, len(columns))).astype(np.float32)
    return table.assign(held=rng.integers(0, 15, count), missed=rng.random(count))


@pytest.fixture
def written(tmp_path):
    write_readings(made_up(), tmp_path / "readings.parquet")
    return tmp_path / "readings.parquet"


def test_what_is_read_is_what_was_written(written):
    table, found = made_up(), read_readings(written)
    words = {name: found[name].astype(object) for name in SWITCHES}
    assert_frame_equal(found.assign(**words), table.astype(dict.fromkeys(SWITCHES, object)), check_exact=True)
    for name in SWITCHES:  # every word is known, also one that no row has
        assert tuple(found[name].cat.categories) == READINGS[name]


def test_the_table_given_is_left_alone_and_no_part_is_left(written):
    table = made_up()
    write_readings(table, written)
    assert_frame_equal(table, made_up())
    assert [file.name for file in written.parent.iterdir()] == ["readings.parquet"]


def test_the_same_table_is_the_same_bytes(written, tmp_path):
    again = tmp_path / "new/folder/readings.parquet"
    write_readings(read_readings(written), again)
    assert again.read_bytes() == written.read_bytes()
    code = (
        "import sys; from pathlib import Path; from edgecache.claims.design import read_readings, write_readings\n"
        "write_readings(read_readings(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, written, tmp_path / "other"], check=True)
    assert (tmp_path / "other").read_bytes() == written.read_bytes()
    write_readings(made_up(seed=1), again)
    assert again.read_bytes() != written.read_bytes()


def refused(path):
    with pytest.raises(InputError) as raised:
        read_readings(path)
    told = str(raised.value)
    assert str(path) in told and "run `make readings`" in told and "\n" not in told and len(told) < 400
    return told


@pytest.mark.parametrize("share", [0.0, 0.001, 0.25, 0.5, 0.75, 0.999])
def test_a_table_cut_short_is_refused(written, share):
    raw = written.read_bytes()
    written.write_bytes(raw[: int(share * len(raw))])
    assert "damaged or cut short" in refused(written)


def test_a_table_without_its_last_byte_is_refused(written):
    written.write_bytes(written.read_bytes()[:-1])
    assert "damaged or cut short" in refused(written)


def pages(path):
    """Where each column's compressed values lie in the file."""
    import pyarrow.parquet

    group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    begins = [c.dictionary_page_offset or c.data_page_offset for c in columns]
    return {c.path_in_schema: (begin, begin + c.total_compressed_size) for c, begin in zip(columns, begins, strict=True)}


def test_a_flipped_byte_in_any_columns_values_is_refused(written):
    raw, places = written.read_bytes(), pages(written)
    assert set(places) > set(PARAMETERS)
    for name, (_, end) in places.items():
        for place in (end - 1, end - 3):  # where the values are; pages begin with a header
            damaged = bytearray(raw)
            damaged[place] ^= 0x10
            written.write_bytes(damaged)
            with pytest.raises(InputError, match="damaged or cut short"):
                print(name, read_readings(written))


def test_a_flipped_byte_anywhere_is_refused_or_changes_nothing(written):
    # in the pages' headers and in the footer too, which have no checksums
    raw, whole = written.read_bytes(), read_readings(written)
    footer, wrong = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little"), {}
    for place in [*range(5, footer, 601), *range(footer, len(raw), 37)]:
        damaged = bytearray(raw)
        damaged[place] ^= 0x80
        written.write_bytes(damaged)
        try:
            assert_frame_equal(read_readings(written), whole)
        except InputError:
            continue
        except Exception as error:
            wrong[place] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    assert not wrong


def test_other_files_are_refused(written, tmp_path):
    table = made_up()
    table.to_csv(tmp_path / "csv", index=False)
    assert "damaged or cut short" in refused(tmp_path / "csv")
    table.to_parquet(tmp_path / "parquet")  # the right columns, but not by write_readings
    refused(tmp_path / "parquet")
    write_readings(table.rename(columns={"missed": "lost"}), tmp_path / "columns")
    assert "not a table of this version's readings" in refused(tmp_path / "columns")
    write_readings(table[table.columns[::-1]], tmp_path / "order")
    assert "not a table of this version's readings" in refused(tmp_path / "order")
    write_readings(table.drop(columns="missed"), tmp_path / "missing")
    assert "not a table of this version's readings" in refused(tmp_path / "missing")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder")
    assert refused(tmp_path / "none") == f"there is no {tmp_path / 'none'}: run `make readings`"


def test_a_table_that_lost_rows_is_refused(written):
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(written)
    pyarrow.parquet.write_table(rows.slice(0, 30), written)
    assert "damaged or cut short (its checksum does not fit)" in refused(written)


def test_a_write_that_fails_leaves_the_old_table_and_no_part(written):
    raw = written.read_bytes()
    with pytest.raises(Exception, match="held"):
        write_readings(made_up().assign(held=[object()] * 40), written)
    assert written.read_bytes() == raw and [file.name for file in written.parent.iterdir()] == ["readings.parquet"]


@pytest.mark.parametrize("call", [read_readings, lambda path: write_readings(made_up(), path)], ids=["read", "write"])
def test_without_pyarrow_the_extra_is_named(monkeypatch, tmp_path, call):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"^the table of readings needs pyarrow: pip install 'edgecache\[claims\]'$"):
        call(tmp_path / "readings.parquet")
    assert not list(tmp_path.iterdir())
