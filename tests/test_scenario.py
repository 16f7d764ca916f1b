"""The scenario refuses what cannot be, at once and in one sentence."""

import dataclasses
import inspect
import pickle

import numpy as np
import pytest

from edgecache import READINGS, InputError, Scenario, sample_catalogue
from edgecache.scenario import NAMED

BAD = {
    "storage_gb": [(0, "storage_gb is 0", "above zero"), (-5, "storage_gb is -5", "above zero"), (np.nan, "nan", "finite")],
    "gpu_memory_gb": [("12", "gpu_memory_gb is '12'", "a number"), (np.inf, "inf", "finite"), (True, "True", "a number")],
    "energy_capacity_kw": [(10**400, "energy_capacity_kw is 1000", "between 1e-12 and 1e12")],
    "slots": [
        (20_000_000, "slots is 20000000 and the catalogue has 10 models", "slots times models must be at most 1e8"),
        (0, "slots is 0", "at least 1"),
        (-1, "slots is -1", "at least zero"),
        (1.5, "slots is 1.5", "whole number"),
    ],
    "w1": [(-0.1, "w1 is -0.1", "at least zero")],
    "w2": [(-1, "w2 is -1", "at least zero")],
    "beta": [(-1, "beta is -1", "at least zero")],
    "zipf": [(-1, "zipf is -1", "at least zero")],
    "arrival_rate": [(0, "arrival_rate is 0", "above zero")],
    "bandwidth_gbps": [(0, "bandwidth_gbps is 0", "above zero")],
    "charge": [("evicton", "unknown charge 'evicton'", "did you mean 'eviction'")],
    "lfu": [("perfekt", "did you mean 'perfect'", "in_cache")],
    "catalogue": [("data.csv", "catalogue is 'data.csv'", "load_catalogue")],
    "static_power_kw": [(1.0, "static_power_kw is 1", "below energy_capacity_kw, 1")],
    "storag_gb": [(1, "unknown parameter 'storag_gb'", "did you mean 'storage_gb'")],
    "static_power_w": [(300, "unknown parameter 'static_power_w'; static_power_kw is in kW: divide W by 1,000")],
}


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in BAD.items() for case in cases])
def test_impossible_values_are_refused(name, case):
    value, *parts = case
    for make in (lambda: Scenario(**{name: value}), lambda: Scenario().vary(**{name: value})):
        with pytest.raises(InputError) as raised:
            make()
        assert "\n" not in str(raised.value)
        for part in parts:
            assert part in str(raised.value)


@pytest.mark.parametrize("server", [{"storage_gb": 1.9}, {"gpu_memory_gb": 0.9}, {"energy_capacity_kw": 0.302}])
def test_a_server_that_no_model_fits_is_refused(server):
    with pytest.raises(InputError, match="no model of the catalogue fits a server of"):
        Scenario(**server)


def test_defaults_are_the_literal_reading():
    s = Scenario()
    assert (s.storage_gb, s.gpu_memory_gb, s.energy_capacity_kw, s.static_power_kw, s.bandwidth_gbps) == (120, 12, 1, 0.3, 10)
    assert (s.slots, s.arrival_rate, s.zipf, s.w1, s.w2, s.beta, s.slot_length_s) == (100, 1, 0.8, 1, 1, 1, 60)
    assert all(getattr(s, name) == words[0] for name, words in READINGS.items())


def test_vary_leaves_the_original_alone_and_scenarios_pickle():
    s = Scenario()
    varied = s.vary(storage_gb=80, charge="miss")
    assert (s.storage_gb, varied.storage_gb, varied.charge) == (120, 80, "miss")
    assert varied.catalogue is s.catalogue
    assert s != s.vary(catalogue=sample_catalogue(10, np.random.default_rng(0)))
    assert pickle.loads(pickle.dumps(varied)) == varied


def test_capacities_leave_room_for_the_rounding_of_sums():
    s = Scenario(storage_gb=0.3 * 100)
    assert 0.1 * 100 + 0.2 * 100 <= s.capacities[0] < 30.001


def test_more_requests_than_memory_holds_are_refused():
    with pytest.raises(InputError, match=r"slots is 100 at 1e\+07 requests per slot; the requests must be at most 1e8"):
        Scenario(arrival_rate=1e6, rate_basis="model")
    assert Scenario(arrival_rate=1e6).slots == 100


def test_the_signature_shows_every_parameter_and_its_default():
    shown = inspect.signature(Scenario).parameters
    assert list(shown) == [parameter.name for parameter in dataclasses.fields(Scenario)]
    assert shown["storage_gb"].default == 120.0 and shown["charge"].default == "eviction" and shown["slots"].annotation is int


def test_the_docstring_describes_every_parameter_and_named_reading():
    text = inspect.getdoc(Scenario)
    for parameter in dataclasses.fields(Scenario):
        assert f"\n{parameter.name}\n    " in text
    for name, words in READINGS.items():
        line = text.split(f"\n{name}\n")[1].split("\n\n")[0]
        assert all(f"`{word}`" in line for word in words), name
    assert all(f"`{name}`" in inspect.getdoc(Scenario.named) for name in NAMED)
