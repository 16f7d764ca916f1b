"""A profile: its statistics against plain NumPy and by hand, the catalogue it makes, and the figure drawn of it."""

import itertools
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from support.fake_backend import made_profile

from edgecache import Scenario, load_catalogue, simulate
from edgecache.figures import profiling
from edgecache.profiling import delays
from edgecache.profiling.profile_files import read_profile, write_profile
from edgecache.profiling.profiles import Profile, cycle_interval
from edgecache.profiling.torch import backend as torch_backend
from edgecache.profiling.torch.backend import TorchBackend

# ---- intervals


def plain_interval(times, rng, resamples=4_000):
    """The interval of the median when whole cycles are drawn, written with a loop."""
    drawn = rng.integers(0, len(times), (resamples, len(times)))
    medians = [np.median(np.concatenate([times[cycle] for cycle in cycles])) for cycles in drawn]
    return np.quantile(medians, [0.025, 0.975])


def clustered(rng, cycles=20, executions=5, between=0.3, within=0.1):
    """Times of the median 1 whose executions resemble each other in a cycle."""
    return 1 + between * rng.standard_normal((cycles, 1)) + within * rng.standard_normal((cycles, executions))


@pytest.mark.parametrize("shape", [(30, 10), (12, 1), (9, 4)])
def test_the_interval_is_that_of_a_plain_cluster_bootstrap(shape):
    times = clustered(np.random.default_rng(3), *shape)
    expected = plain_interval(times, np.random.default_rng(4))
    assert_allclose(cycle_interval(times), expected, atol=0.06 * np.ptp(expected))


@pytest.mark.parametrize("cycles", [2, 3, 4, 5])
def test_the_interval_of_few_cycles_is_that_of_every_resample(cycles):
    times = clustered(np.random.default_rng(cycles), cycles, 3)
    every = sorted(np.median(times[list(drawn)]) for drawn in itertools.product(range(cycles), repeat=cycles))
    low, high = cycle_interval(times)
    near = lambda share: np.quantile(every, [share - 0.008, share + 0.008], method="inverted_cdf")  # noqa: E731, what chance allows
    assert near(0.025)[0] <= low <= near(0.025)[1] and near(0.975)[0] <= high <= near(0.975)[1]


def test_the_interval_is_wider_than_one_that_takes_executions_for_independent():
    times = clustered(np.random.default_rng(0), 10, 10)
    naive, own = np.ptp(cycle_interval(times.reshape(-1, 1))), np.ptp(cycle_interval(times))
    assert own > 1.8 * naive
    alike = clustered(np.random.default_rng(0), 30, 10, between=0.0)  # without correlation it is not
    assert 0.6 < np.ptp(cycle_interval(alike)) / np.ptp(cycle_interval(alike.reshape(-1, 1))) < 1.6


def test_the_interval_covers_the_median_as_often_as_it_says():
    rng, runs = np.random.default_rng(1), 60
    own = naive = 0
    for run in range(runs):
        times = clustered(rng, 12, 4)
        low, high = cycle_interval(times)
        own += low <= 1 <= high
        if run % 2:
            low, high = cycle_interval(times.reshape(-1, 1))
            naive += low <= 1 <= high
    assert 0.88 <= own / runs <= 0.99 and naive / (runs / 2) < 0.85


def test_one_cycle_has_no_interval_and_the_order_of_nothing_matters():
    assert np.isnan(cycle_interval(np.ones((1, 5)))).all()
    times = clustered(np.random.default_rng(2), 8, 3)
    assert cycle_interval(times) == cycle_interval(times) == cycle_interval(times[:, ::-1])
    assert cycle_interval(np.full((4, 2), 0.5)) == (0.5, 0.5)


# ---- the summary


def changed(profile, **columns):
    """The profile with other records: a column is a function of the records, or a value."""
    return Profile(profile.records.assign(**columns), profile.about)


def cold_in(cycles, service="text_to_speech"):
    """A column: of that service the loads of those cycles alone are known to be cold."""

    def column(records):
        known = records["cycle"].isin(cycles) | records["service"].ne(service)
        return np.where(records["phase"] == "load", np.where(known, "yes", "unknown"), None)

    return column


def test_the_summary_by_hand():
    profile = made_profile()
    summary, records = profile.summary, profile.records
    assert list(zip(summary["service"], summary["phase"], strict=True)) == list(
        itertools.product(profile.services, ("load", "first", "infer", "unload"))
    )
    for row in summary.itertuples():
        own = records[(records["service"] == row.service) & (records["phase"] == row.phase)]
        times = own["wall_s"].to_numpy()
        assert (row.cycles, row.times, row.cold_loads) == (4, 8 if row.phase == "infer" else 4, 4)
        assert row.median_s == pytest.approx(np.median(times)) and row.variation == pytest.approx(times.std(ddof=1) / times.mean())
        assert (row.low_s, row.high_s) == cycle_interval(times.reshape(4, -1)) and row.low_s <= row.median_s <= row.high_s


def test_of_loads_the_cold_ones_count_where_there_are_any():
    profile = changed(made_profile(), cold=cold_in([1, 3]))
    own = profile.records[(profile.records["service"] == "text_to_speech") & (profile.records["phase"] == "load")]
    load = profile.summary.set_index(["service", "phase"]).loc[("text_to_speech", "load")]
    assert load["cycles"] == load["times"] == load["cold_loads"] == 2
    assert load["median_s"] == pytest.approx(own["wall_s"].iloc[[1, 3]].mean()) != pytest.approx(own["wall_s"].median())
    assert profile.times("text_to_speech", "infer").shape == (4, 2), "executions count whatever the load"
    none = changed(made_profile(), cold=cold_in([]))
    load = none.summary.set_index(["service", "phase"]).loc[("text_to_speech", "load")]
    assert (load["cycles"], load["cold_loads"]) == (4, 0) and load["median_s"] == pytest.approx(own["wall_s"].median())


def test_what_is_told_has_every_service_its_medians_and_the_machine():
    profile = changed(made_profile(), cold=cold_in([1, 3]))
    told = profile.report()
    for service in profile.services:
        line = next(line for line in told.splitlines() if line.startswith(service))
        assert f"{profile.summary.set_index(['service', 'phase']).loc[(service, 'load'), 'median_s']:.3g} s" in line
        assert "25.0%" in line
    assert "6 of 8 loads known to be cold" in told and "no counter" in told and "Some CPU, 1 of 4 cores, 8 GB, ext4" in told
    single = made_profile(cycles=1)
    assert "nan" not in single.report().lower(), "a single cycle has no interval"


# ---- the catalogue


def test_the_catalogue_by_hand_and_as_it_is_loaded(tmp_path):
    profile = write_profile(changed(made_profile(), cold=cold_in([0, 1, 2])), tmp_path / "mine.csv")
    table, loaded = pd.read_csv(tmp_path / "mine.csv"), load_catalogue(tmp_path / "mine.csv")
    assert loaded.services == tuple(profile.services) and list(table["service"]) == profile.services
    summary = profile.summary.set_index(["service", "phase"])["median_s"]
    assert_allclose(loaded.io_delay_s, [summary[(service, "load")] for service in loaded.services], rtol=1e-5)
    assert_allclose(loaded.inference_delay_s, [summary[(service, "infer")] for service in loaded.services], rtol=1e-5)
    assert_allclose(loaded.size_gb, [0.001, 0.002])
    assert_allclose(loaded.gpu_memory_gb, [2.002e-3, 4.002e-3])  # what the last of three executions left
    assert_allclose(loaded.power_kw, 0)
    for feature in ("size_gb", "gpu_memory_gb", "io_delay_s", "inference_delay_s"):
        assert list(table[f"{feature}_status"]) == ["measured"] * 2
    assert list(table["power_kw_status"]) == ["unknown"] * 2 and table["hf_id"].isna().all(), "these are not the hub's weights"
    for said in table["provenance"]:
        assert "Some CPU" in said and "25.00% of those of Named" in said and "resident" in said and "power: unknown" in said
    simulate(Scenario(load_catalogue(tmp_path / "mine.csv"), storage_gb=0.0025, gpu_memory_gb=1), "ga")


def test_the_catalogue_counts_cold_loads_in_whole_numbers():
    said = changed(made_profile(), cold=cold_in([0, 1, 2])).catalogue()["provenance"]
    assert "; 3 of 4 loads known to be cold;" in said[0] and "; 4 of 4 loads known to be cold;" in said[1]


def test_energy_becomes_power():
    def joules(records):  # 30 W in first executions, 60 W in later ones; loads and unloads do not count
        watts = records["phase"].map({"load": 1e6, "first": 30.0, "infer": 60.0, "unload": 1e6})
        return watts * records["wall_s"]

    profile = changed(made_profile(), energy_j=joules)
    row = profile.catalogue().iloc[0]
    own = profile.records[profile.records["service"] == row["service"]]
    first, later = (own.loc[own["phase"] == phase, "wall_s"].sum() for phase in ("first", "infer"))
    assert row["power_kw"] == pytest.approx((30 * first + 60 * later) / (first + later) / 1000)
    assert row["power_kw_status"] == "measured" and "power: measured" in row["provenance"]
    # what is not known is left out of energy and of time
    some = changed(profile, energy_j=lambda records: records["energy_j"].where(records["phase"] != "first"))
    assert some.catalogue()["power_kw"].iloc[0] == pytest.approx(0.06)


def test_an_estimate_is_called_one_and_a_measurement_goes_before_it():
    estimated = changed(made_profile(), energy_estimate_j=lambda records: 20 * records["wall_s"])
    row = estimated.catalogue().iloc[1]
    assert row["power_kw"] == pytest.approx(0.02) and row["power_kw_status"] == "estimated"
    both = changed(estimated, energy_j=lambda records: 50 * records["wall_s"]).catalogue().iloc[1]
    assert both["power_kw"] == pytest.approx(0.05) and both["power_kw_status"] == "measured"


def test_gpu_memory_goes_before_the_memory_of_the_process():
    def on_gpu(records):
        executed = records["phase"].isin(["first", "infer"])
        return np.where(executed, 7e9 + 1e9 * records["execution"] + 1e6 * records["cycle"], np.nan)

    profile = changed(made_profile(device="cuda", device_name="Some GPU"), gpu_memory_bytes=on_gpu)
    assert_allclose(profile.catalogue()["gpu_memory_gb"], 9 + np.median(range(4)) / 1000)
    assert profile.catalogue()["provenance"].str.contains("of the GPU").all()
    assert profile.load_label.startswith("load: disk to GPU memory (") and made_profile().load_label.startswith(
        "load: disk to memory ("
    )


def test_a_network_that_seems_to_need_no_memory_still_makes_a_catalogue(tmp_path):
    write_profile(changed(made_profile(), resident_bytes=-4096.0), tmp_path / "mine.csv")
    assert (load_catalogue(tmp_path / "mine.csv").gpu_memory_gb > 0).all()


def test_real_weights_keep_their_name_on_the_hub():
    profile = made_profile()
    networks = [network | {"weights": "hub", "repository": f"hub/{network['service']}"} for network in profile.about["networks"]]
    found = Profile(profile.records, profile.about | {"networks": networks}).catalogue()
    assert list(found["hf_id"]) == [f"hub/{service}" for service in profile.services]
    assert set(profile.catalogue()["hf_id"]) == {""}, "random weights are nobody's"


def test_the_processors_part_of_a_load_is_told():
    profile = made_profile()
    records = profile.records.assign(wall_s=2.0, cpu_s=np.where(profile.records["phase"] == "load", 1.5, 0.1))
    assert Profile(records, profile.about).load_label == "load: disk to memory (75% processor)"
    assert "(75% processor)" in Profile(records, profile.about).report()


def test_few_cycles_are_told_to_be_few():
    """A range of n independent times holds their median but where all lie on one side of it, so in 1 - 2^(1 - n) of cases."""
    profile = made_profile()
    three = Profile(profile.records[profile.records["cycle"] < 3], profile.about)
    assert "3 cycles are few: their range contains the median in 75% of cases" in three.report()
    times = np.random.default_rng(0).exponential(size=(4000, 3))
    held = ((times.min(axis=1) < np.log(2)) & (np.log(2) < times.max(axis=1))).mean()
    assert held == pytest.approx(0.75, abs=0.03)
    many = [profile.records.assign(cycle=profile.records["cycle"] + 100 * k) for k in range(8)]
    assert "are few" not in Profile(pd.concat(many, ignore_index=True), profile.about).report()


def test_a_users_own_networks_have_no_share_of_another(tmp_path):
    profile = made_profile(["one of mine, with a comma"])
    own = {"weights": "own", "named": "", "named_parameters": 0, "share": None}
    profile = Profile(profile.records, profile.about | {"networks": [profile.about["networks"][0] | own]})
    write_profile(profile, tmp_path / "mine.csv")
    assert load_catalogue(tmp_path / "mine.csv").services == ("one of mine, with a comma",)
    said = pd.read_csv(tmp_path / "mine.csv")["provenance"][0]
    assert "of those of" not in said and "nan" not in said and "nan" not in profile.report()


def test_a_profile_of_the_torch_backend_on_a_gpu_names_it(monkeypatch):
    """Without torch: what TorchBackend says of itself is all that a profile knows of the GPU."""
    stubs = {name: ModuleType(name) for name in ("torch", "transformers", "diffusers")}
    for stub in stubs.values():
        stub.__version__, stub.__spec__ = "1.0", ModuleSpec(stub.__name__, None)
    cuda = SimpleNamespace(is_available=lambda: True, get_device_name=lambda *_: "NVIDIA Some GPU")
    stubs["torch"].cuda, stubs["torch"].zeros = cuda, lambda *_, **__: None
    with monkeypatch.context() as patch:
        for name, stub in stubs.items():
            patch.setitem(sys.modules, name, stub)
        patch.setattr(TorchBackend, "_ready", lambda self: None)
        patch.setattr(torch_backend, "SERVICES", {})
        said = TorchBackend(device="cuda").describe()
    profile = made_profile(name="torch", device="cuda", **said)
    assert "NVIDIA Some GPU" in profile.machine and "NVIDIA Some GPU" in profile.report()


# ---- Fig. 1


def test_the_records_of_fig1_by_hand():
    profile = made_profile(cycles=3)
    records = profile.fig1_records(bandwidth_gbps=0.5)
    assert list(records) == ["service", "cycle", "execution", "phase", "wall_s"]
    assert len(records) == 2 * 3 * (3 + 2)  # unloads are no part of a service
    for service, size in (("text_to_speech", 1e6), ("text_understanding", 2e6)):
        sent = records[(records["service"] == service) & (records["phase"] == "transmission")]
        assert_allclose(sent["wall_s"], 8 * size / 1e9 / 0.5)
        assert list(sent["cycle"]) == [0, 1, 2] and (sent["execution"] == 0).all()
    waits = delays.service_delays(records).set_index(["service", "kind"])
    for service in profile.services:
        load, first, infer = (profile.times(service, phase) for phase in ("load", "first", "infer"))
        sent = 8 * profile.networks.loc[service, "size_bytes"] / 1e9 / 0.5
        whole = waits.loc[(service, "first")]
        assert whole["total"] == pytest.approx(np.median(sent + load + first))
        assert whole["io"] == pytest.approx(np.median(load)) and whole["inference"] == pytest.approx(np.median(first))
        again = waits.loc[(service, "preloaded")]
        assert again["total"] == again["inference"] == pytest.approx(np.median(infer))
        assert again["io"] == again["transmission"] == 0


def test_cycles_whose_load_was_not_cold_are_no_part_of_fig1():
    profile = changed(made_profile(), cold=cold_in([1, 3]))
    records = profile.fig1_records()
    kept = records.groupby("service")["cycle"].unique()
    assert list(kept["text_to_speech"]) == [1, 3] and list(kept["text_understanding"]) == [0, 1, 2, 3]
    per_cycle = records.groupby(["service", "cycle"])["phase"].agg(list)
    assert all(sorted(phases) == sorted(["transmission", "io", *["inference"] * 3]) for phases in per_cycle)
    none = changed(made_profile(), cold=cold_in([])).fig1_records()
    assert sorted(none.loc[none["service"] == "text_to_speech", "cycle"].unique()) == [0, 1, 2, 3], "all, where none is cold"


def test_fig1_of_a_profile_as_read_is_drawn(tmp_path):
    write_profile(made_profile(), tmp_path / "mine.csv")
    profile = read_profile(tmp_path / "mine.csv")
    waits, note = delays.service_delays(profile.fig1_records()), profiling.measured_note(profile, 10.0)
    figure = profiling.service_delay(waits, note, profile.load_label)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "load: disk to memory (50% processor)" in legend and not [text for text in legend if "GPU" in text or "{" in text]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["text understanding", "text to speech"]


@pytest.mark.parametrize(
    ("backend", "weights", "said"),
    [
        ({"name": "onnx"}, "random", "scaled-down networks with random weights"),
        ({"name": "torch", "scale": "small"}, "random", "scaled-down networks with random weights"),
        ({"name": "torch", "scale": "full"}, "random", "named architectures with random weights"),
        ({"name": "torch", "scale": "full"}, "hub", "real weights"),
        ({"name": "onnx"}, "own", "the user's own networks"),
    ],
)
def test_the_note_says_of_what_and_how(backend, weights, said):
    profile = changed(made_profile(**backend), cold=cold_in([1, 3]))
    networks = [network | {"weights": weights} for network in profile.about["networks"]]
    note = profiling.measured_note(Profile(profile.records, profile.about | {"networks": networks}), 2.5)
    for part in ("Some CPU", said, "4 cycles of 3 executions", "6 of 8 loads known to be cold", "computed", "2.5 Gbit/s"):
        assert part in note
    assert max(map(len, note.splitlines())) < 130
