"""GPU hours, energy, traffic and residence, by hand."""

import pytest

from edgecache import Catalogue
from edgecache.serving import Arrivals, ServedModels, Server, residence, serve, usage


def run():
    """Of two models, a is fetched 0 to 8, loaded to 10, runs to 20; b is fetched from 30, evicts a at 38, runs 40 to 50."""
    models = ServedModels(Catalogue(("a", "b"), [1, 1], [4, 4], [0.2, 0.1], [2, 2], [10, 10]), ttl_s=50.0)
    server = Server(gpu_memory_gb=4, link_gbps=1, idle_kw=0.3, step_kw=0.06)
    return serve(server, models, Arrivals([0, 30, 120], [0, 1, 1], [10, 10, 10]))


def test_hours_and_energy_are_those_of_the_timeline():
    """b is idle from 50, leaves at 100, is loaded from 120 to 122 and runs to 132. Memory is held 8 to 100 and 120 to 132."""
    used = usage(run().play)
    assert used.hours == pytest.approx(132 / 3600) and used.gpu_hours == pytest.approx((92 + 12) / 3600)
    assert used.busy_hours == pytest.approx(30 / 3600) and used.gpu_memory_gb_hours == pytest.approx(4 * 104 / 3600)
    assert used.energy_kwh == pytest.approx((0.3 * 132 + 0.06 * 104 + 0.2 * 10 + 0.1 * 20) / 3600)
    assert (used.fetched_gb, used.loads, used.evictions, used.time_outs) == (2.0, 3, 1, 1)


def test_residence_of_each_model():
    table = residence(run().play)
    assert table["requests"].tolist() == [1, 2] and table["loads"].tolist() == [1, 2] and table["fetches"].tolist() == [1, 1]
    assert table["loaded_share"].tolist() == pytest.approx([30 / 132, (62 + 12) / 132])
    assert table["busy_share"].tolist() == pytest.approx([10 / 132, 20 / 132])
    assert table[["evictions", "time_outs"]].values.tolist() == [[1, 0], [0, 1]]
