"""Servers and their models: what is refused, and which models fit beside those that are pinned."""

import numpy as np
import pytest

from edgecache import Catalogue, InputError
from edgecache.serving import ServedModels, Server


def models(memory=(4.0, 5.0, 6.0), **settings):
    count = len(memory)
    return ServedModels(
        Catalogue(tuple("abcdefgh"[:count]), [1] * count, list(memory), [0.1] * count, [2] * count, [1] * count), **settings
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parallel": 0}, "parallel of 'a' is 0; it must be from 1"),
        ({"parallel": 1.5}, "parallel is 1.5; it must be a whole number"),
        ({"ttl_s": [1, 2]}, r"ttl_s is \[1, 2\]; it must be one number, or one per model"),
        ({"ttl_s": [1, -2, 3]}, "ttl_s of 'b' is -2"),
        ({"ttl_s": np.nan}, "ttl_s of 'a' is nan"),
        ({"batch_wait_s": 5}, "batch_wait_s of 'a' needs a batch of at least 2"),
        ({"batch_cost": 2}, "batch_cost of 'a' is 2; it must be from 0 to 1"),
        ({"weight": "heavy"}, "weight is 'heavy'"),
        ({"base": {"a": "z"}}, "unknown model in base 'z'"),
        ({"base": {"a": "a"}}, "the base of 'a' is 'a', which is an adapter itself"),
        ({"base": {"a": "b", "b": "c"}}, "the base of 'a' is 'b', which is an adapter itself"),
    ],
)
def test_wrong_settings_of_models_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        models(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpu_memory_gb": 0}, "gpu_memory_gb is 0; it must be a number above 0"),
        ({"link_gbps": "fast"}, "link_gbps is 'fast'; it must be a number above 0"),
        ({"loads_at_once": 0}, "loads_at_once is 0; it must be a number of at least 1"),
        ({"loads_at_once": 1.5}, "loads_at_once is 1.5; it must be a whole number"),
        ({"cloud_delay_s": -1}, "cloud_delay_s is -1; it must be a number of at least 0"),
        ({"cloud_after_s": np.nan}, "cloud_after_s is nan"),
        ({"one_tier": 1}, "one_tier is 1; it must be True or False"),
        ({"most_loaded": True}, "most_loaded is True; it must be a number of at least 1"),
    ],
)
def test_wrong_limits_of_a_server_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Server(**settings)


def test_what_fits_counts_bases_power_and_number():
    adapters = models(base={"b": "a"})
    assert Server(gpu_memory_gb=8.9).fits(adapters).tolist() == [True, False, True]
    assert Server(gpu_memory_gb=9).fits(adapters).all() and not Server(most_loaded=1).fits(adapters)[1]
    assert Server(power_budget_kw=0.1).fits(adapters).tolist() == [True, False, True]
    assert Server(disk_gb=1).fits(adapters).tolist() == [True, False, True]


def test_the_base_of_a_pinned_adapter_is_pinned_too():
    """a and b together take 9 GB; beside them c needs 6."""
    pinned = models(base={"b": "a"}, pinned=[0, 1, 0])
    assert Server(gpu_memory_gb=15).fits(pinned).all()
    with pytest.raises(InputError, match="the pinned models take 9 GB of GPU memory and 2 GB of disk, so 'c'"):
        Server(gpu_memory_gb=14).fits(pinned)


def test_a_model_too_large_for_the_empty_server_is_no_fault_of_the_pins():
    assert Server(gpu_memory_gb=5.5).fits(models(memory=(0.5, 5.0, 6.0), pinned=[1, 0, 0])).tolist() == [True, True, False]


def test_loads_take_their_reads_and_their_start():
    slow = Server(disk_gb_per_s=2, bus_gb_per_s=8)
    assert slow.load_s(models(read_gb=[0, 4, 8])).tolist() == [2.0, 4.5, 7.0]
    assert Server().load_s(models(read_gb=4)).tolist() == [2.0] * 3


def test_vary_keeps_the_rest():
    first = models(base={"b": "a"}, ttl_s=[1, 2, 3])
    second = first.vary(parallel=4)
    assert second.base.tolist() == [-1, 0, -1] and second.ttl_s.tolist() == [1, 2, 3] and (second.parallel == 4).all()
    assert first.vary(base=None).base.tolist() == [-1, -1, -1]
