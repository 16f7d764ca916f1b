"""The catalogue: the shipped one, a user's own, and random ones."""

import pickle
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from edgecache import POLICIES, Catalogue, InputError, Scenario, load_catalogue, lower_bound, sample_catalogue, simulate
from edgecache.catalogue import SHIPPED, STATUSES, TABLE_I, parse_catalogue

HEADER = "service,size_gb,gpu_memory_gb,power_kw,io_delay_s,inference_delay_s"


def test_shipped_catalogue_attains_every_bound_of_table_i():
    catalogue = load_catalogue()
    assert len(catalogue) == 10
    for feature, (low, high) in TABLE_I.items():
        column = getattr(catalogue, feature)
        assert (column.min(), column.max()) == (low, high)


def test_shipped_totals():
    catalogue = load_catalogue()
    assert catalogue.size_gb.sum() == pytest.approx(142.14)
    assert catalogue.gpu_memory_gb.sum() == pytest.approx(26.8)
    assert catalogue.power_kw.sum() == pytest.approx(1.258, abs=5e-4)


def test_every_cell_has_a_status_and_table_bound_cells_sit_at_a_bound():
    cells = pd.read_csv(SHIPPED)
    for feature, bounds in TABLE_I.items():
        status = cells[f"{feature}_status"]
        assert status.isin(STATUSES).all()
        at_bound = cells[feature].isin(bounds)
        assert (at_bound == (status == "table_bound")).all(), feature


def test_calibrated_power_follows_its_formula():
    # data/README.md: a power law through both ends of Table I: 0.0025 kW at 0.05 s and 0.5 kW at 30 s
    cells = pd.read_csv(SHIPPED)
    rows = cells[cells["power_kw_status"] == "calibrated"]
    assert len(rows) == 8
    exponent = np.log(0.5 / 0.0025) / np.log(30 / 0.05)
    np.testing.assert_allclose(rows["power_kw"], 0.0025 * (rows["inference_delay_s"] / 0.05) ** exponent, atol=6e-5)


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        load_catalogue().size_gb[0] = 1.0


@pytest.mark.parametrize("models", [1, 7, 300])
def test_random_catalogues_stay_within_table_i(models):
    catalogue = sample_catalogue(models, np.random.default_rng(3))
    assert len(catalogue) == models
    for feature, (low, high) in TABLE_I.items():
        column = getattr(catalogue, feature)
        assert low <= column.min() and column.max() <= high
    again = sample_catalogue(models, np.random.default_rng(3))
    np.testing.assert_array_equal(again.size_gb, catalogue.size_gb)


def test_random_features_are_log_uniform():
    draws = sample_catalogue(4000, np.random.default_rng(0))
    for feature, (low, high) in TABLE_I.items():
        place = np.log(getattr(draws, feature) / low) / np.log(high / low)  # uniform on [0, 1] if log-uniform
        np.testing.assert_allclose(np.quantile(place, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)


@pytest.mark.parametrize("models", [0, -3, 2.5, "ten"])
def test_random_catalogues_need_a_whole_number_of_models(models):
    with pytest.raises(InputError, match="whole number of models, at least 1"):
        sample_catalogue(models, np.random.default_rng(0))


def test_a_users_own_catalogue_may_leave_table_i_and_hold_optional_columns(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text(f"{HEADER},provenance,size_gb_status\nbig,500,80,0,0,0,mine,measured\n\nsmall,0.1,0.2,3,4,5,,\n")
    catalogue = load_catalogue(file)
    assert catalogue.services == ("big", "small")
    assert catalogue.size_gb.tolist() == [500.0, 0.1]
    assert catalogue.inference_delay_s.tolist() == [0.0, 5.0]


def test_a_catalogue_written_by_a_spreadsheet_is_read(tmp_path):
    file = tmp_path / "own.csv"
    file.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\na, 1 ,2,3,4,5\r\n".encode())
    assert load_catalogue(file).size_gb.tolist() == [1.0]


def test_a_quoted_cell_may_hold_commas_and_line_breaks(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text(f'{HEADER}\n"a, or\nb",1,2,3,4,5\n')
    assert load_catalogue(file).services == ("a, or\nb",)


def test_catalogues_are_equal_by_content():
    one, same, other = load_catalogue(), load_catalogue(), sample_catalogue(10, np.random.default_rng(0))
    assert one == same and hash(one) == hash(same) and one != other


ROW = "a,1,2,3,4,5"
BAD_FILES = {
    "": ["empty"],
    HEADER: ["empty", "no model"],
    "service,size_gb\na,1": ["'gpu_memory_gb' is missing"],
    f"{HEADER},sise_gb_status\n{ROW},published": ["unknown column 'sise_gb_status'", "did you mean 'size_gb_status'"],
    f"{HEADER},size_gb\n{ROW},1": ["'size_gb' is there twice"],
    f"{HEADER}\n{ROW},9": ["row 1", "7 cells", "has 6"],
    f"{HEADER}\nb,1,2,3,4,5\na,many,2,3,4,5": ["row 2", "size_gb", "'many'", "a number is needed"],
    f"{HEADER}\na,,2,3,4,5": ["row 1", "size_gb", "''"],
    f"{HEADER}\na,1_000,2,3,4,5": ["row 1", "size_gb", "'1_000'"],
    f"{HEADER}\na,1e13,2,3,4,5": ["size_gb", "1e+13", "1e12"],
    f'{HEADER}\n"a,1,2,3,4,5': ["line 2", "unexpected end of data"],
    f"{HEADER.replace(',', ';')}\na;1;2;3;4;5": ["commas must separate the columns"],
    f"{HEADER}\na,nan,2,3,4,5": ["size_gb", "nan", "finite"],
    f"{HEADER}\na,1,inf,3,4,5": ["gpu_memory_gb", "inf", "finite"],
    f"{HEADER}\na,-1,2,3,4,5": ["size_gb", "-1", "above zero"],
    f"{HEADER}\na,0,2,3,4,5": ["size_gb", "0", "above zero"],
    f"{HEADER}\na,1,2,-0.5,4,5": ["power_kw", "-0.5", "at least zero"],
    f"{HEADER}\na,1,-2,3,4,5": ["gpu_memory_gb", "-2", "at least zero"],
    f"{HEADER}\na,1,1e-13,3,4,5": ["gpu_memory_gb", "1e-13", "between 1e-12 and 1e12"],
    HEADER.replace("size_gb", "size_mb") + f"\n{ROW}": ["unknown column 'size_mb'; size_gb is in GB: divide MB by 1,000"],
    HEADER.replace("power_kw", "power_W") + f"\n{ROW}": ["'power_W'; power_kw is in kW: divide W by 1,000"],
    HEADER.replace("io_delay_s", "io_delay_ms") + f"\n{ROW}": ["'io_delay_ms'; io_delay_s is in s: divide ms by 1,000"],
    HEADER.replace("gpu_memory_gb", "memory_mib") + f"\n{ROW}": ["'memory_mib'; gpu_memory_gb is in GB: divide MiB by 953.674"],
    f"{HEADER},length_mb\n{ROW},1": ["unknown column 'length_mb'", "known: service"],
    f"{HEADER}\n\x1b[31ma,1,2,3,4,5": ["row 1", "'\\x1b[31ma'", "control character"],
    f"{HEADER}\n{ROW}\nb,1,2,3,4,5\n{ROW}": ["row 3", "'a'", "twice"],
    f"{HEADER}\nb,1,2,3,4,5\n,1,2,3,4,5": ["row 2", "no name"],
    f"{HEADER}\n,1,2,3,4,5": ["row 1", "no name"],
    f"{HEADER},size_gb_status\n{ROW},guessed": ["row 1", "unknown size_gb_status 'guessed'", "calibrated"],
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_bad_files_get_one_clear_sentence(tmp_path, text):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        load_catalogue(file)
    message = str(raised.value)
    assert "\n" not in message and str(file) in message
    for part in BAD_FILES[text]:
        assert part in message


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xfe", f"{HEADER}\n{ROW}\0".encode(), b"PK\x03\x04\x14\0\0"])
def test_binary_files(tmp_path, content):
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(InputError, match="UTF-8 CSV is expected"):
        load_catalogue(tmp_path / "bad.csv")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: No such file"):
        load_catalogue(tmp_path / "none.csv")
    with pytest.raises(InputError, match="directory"):
        load_catalogue(tmp_path)


def test_catalogues_built_in_code_are_checked_too():
    one = np.ones(1)
    with pytest.raises(InputError, match="empty"):
        Catalogue((), *[np.array([])] * 5)
    with pytest.raises(InputError, match="'a' twice"):
        Catalogue(("a", "a"), *[np.ones(2)] * 5)
    with pytest.raises(InputError, match=r"io_delay_s has shape \(2,\)"):
        Catalogue(("a",), one, one, one, np.ones(2), one)
    with pytest.raises(InputError, match=r"size_gb of 'a' is 0"):
        Catalogue(("a",), 0 * one, one, one, one, one)
    with pytest.raises(InputError, match="row 2: the service is 7, which is no name"):
        Catalogue(("a", 7), *[np.ones(2)] * 5)
    with pytest.raises(InputError, match="power_kw is 'much'; it must be one number per service"):
        Catalogue(("a",), one, one, "much", one, one)


def test_needs_are_the_three_demands_on_the_server():
    catalogue = load_catalogue()
    assert catalogue.needs.tolist() == [catalogue.size_gb.tolist(), catalogue.gpu_memory_gb.tolist(), catalogue.power_kw.tolist()]
    with pytest.raises(ValueError, match="read-only"):
        catalogue.needs[0, 0] = 1.0
    again = pickle.loads(pickle.dumps(catalogue))
    assert again == catalogue and np.array_equal(again.needs, catalogue.needs)


def test_twenty_thousand_models_take_little_longer_each_than_a_thousand(tmp_path):
    """A catalogue that is quadratic in its models takes twenty times longer per model, a linear one as long."""
    path = tmp_path / "many.csv"
    best = {}
    for models in (1_000, 20_000):
        drawn = sample_catalogue(models, np.random.default_rng(1))
        drawn.table().to_csv(path, index=False)
        times = []
        for _ in range(3):
            begin = time.process_time()
            assert load_catalogue(path) == drawn
            times.append(time.process_time() - begin)
        best[models] = min(times) / models
    assert best[20_000] < 4 * best[1_000]


def test_a_file_too_large_is_refused_without_being_read_whole(tmp_path):
    path = tmp_path / "large.csv"
    with open(path, "wb") as file:
        file.truncate(10**12)  # a sparse file: a terabyte that takes no room
    for endless in (path, "/dev/zero"):
        with pytest.raises(InputError, match="has more than 64 MB, the most that is read"):
            load_catalogue(endless)


CPU_ONLY = "service,size_gb,gpu_memory_gb,power_kw,io_delay_s,inference_delay_s\n" + "".join(
    f"m{i},{4 + 3 * i},{gpu},0.1,{2 + i},1\n" for i, gpu in enumerate([0, 3, 0, 4, 2, 0])
)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("changes", [{}, {"charge": "absence"}, {"resource_unit": "capacity", "w1": 3.0}], ids=str)
def test_models_that_need_no_gpu_memory_play_under_every_policy(policy, changes):
    """CPU-only models never fill the GPU: the same run as where they take next to nothing of it."""
    none = parse_catalogue(CPU_ONLY.encode(), "cpu.csv")
    little = replace(none, gpu_memory_gb=np.where(none.gpu_memory_gb == 0, 1e-12, none.gpu_memory_gb))
    runs = []
    for catalogue in (none, little):
        scenario = Scenario(catalogue, storage_gb=30, gpu_memory_gb=6, w2=0.02, slots=40, arrival_rate=2.0, **changes)
        runs.append(simulate(scenario, policy, 3))
        assert (runs[-1].used <= [30, 6, 1]).all()
        assert lower_bound(scenario, runs[-1].trace) <= runs[-1].means()["total_cost"] * (1 + 1e-9)
    assert len(runs[0].evictions) > 5
    np.testing.assert_array_equal(runs[0].evictions, runs[1].evictions)


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        (["1", "0"], None),
        (["0", "0"], "every weight of the catalogue is 0"),
        (["1", "-1"], r"row 2 \(b\): weight is -1; it must be finite and at least zero"),
        (["1", "many"], r"row 2 \(b\): weight is 'many'; a number is needed"),
        (["1", ""], r"row 2 \(b\): weight is ''; a number is needed"),
        (["nan", "1"], r"row 1 \(a\): weight is nan"),
    ],
)
def test_the_column_of_weights(tmp_path, weights, error):
    features = "1,1,0.1,1,1"
    path = tmp_path / "catalogue.csv"
    header = "service,size_gb,gpu_memory_gb,power_kw,io_delay_s,inference_delay_s,weight"
    path.write_text("\n".join([header, f"a,{features},{weights[0]}", f"b,{features},{weights[1]}"]))
    if error:
        with pytest.raises(InputError, match=error):
            load_catalogue(path)
        return
    catalogue = load_catalogue(path)
    assert catalogue.weight.tolist() == [1, 0] and catalogue.table()["weight"].tolist() == [1, 0]
    assert catalogue != replace(catalogue, weight=None) and catalogue == replace(catalogue)
