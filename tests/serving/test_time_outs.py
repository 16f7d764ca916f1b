"""Keep-alive time-outs against brute force and against their guarantee."""

import numpy as np
import pytest

from edgecache import Catalogue, InputError
from edgecache.serving import Arrivals, ServedModels, Server, serve
from edgecache.serving.state import LOAD
from edgecache.serving.time_outs import (
    hazard_time_out,
    idle_gaps,
    keep_alive_cost,
    least_keep_alive_cost,
    rent_or_buy_time_out,
    time_outs_of,
)


def test_rent_or_buy_costs_at_most_twice_the_least_on_ten_thousand_adversarial_sequences():
    """Gaps that lie just beyond the time-out, just below, far away, or anywhere."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(10_000):
        hold, reload = 10.0 ** rng.uniform(-3, 3, 2)
        time_out = rent_or_buy_time_out(hold, reload)
        kinds = [
            time_out * (1 + 1e-9),
            time_out * (1 - 1e-9),
            1e3 * time_out,
            time_out * rng.random(),
            time_out * 10 ** rng.normal(),
        ]
        gaps = rng.choice(kinds, rng.integers(1, 20))
        ratio = keep_alive_cost(gaps, time_out, hold, reload) / least_keep_alive_cost(gaps, hold, reload)
        worst = max(worst, ratio)
        assert ratio <= 2 + 1e-6
    assert worst > 1.99  # the guarantee is met with equality


def test_the_hazard_time_out_is_the_best_of_all():
    rng = np.random.default_rng(1)
    for _ in range(200):
        gaps = np.r_[rng.pareto(1.2, rng.integers(1, 15)), [np.inf] * rng.integers(0, 2)]
        hold, reload = rng.uniform(0.1, 2, 2)
        chosen = keep_alive_cost(gaps, hazard_time_out(gaps, hold, reload), hold, reload)
        finite = gaps[np.isfinite(gaps)]
        tried = np.r_[0.0, finite, finite * (1 - 1e-9), rng.uniform(0, 20, 50)]
        assert chosen <= min(keep_alive_cost(gaps, time_out, hold, reload) for time_out in tried) + 1e-9


def test_a_memoryless_gap_is_waited_for_always_or_never():
    """The hazard rate of exponential gaps is constant: above hold / reload keep for ever, below unload at once."""
    gaps = np.random.default_rng(2).exponential(10.0, 20_000)
    assert hazard_time_out(gaps, 1.0, 100.0) > 60 and hazard_time_out(gaps, 1.0, 1.0) < 0.5


def test_the_server_pays_what_the_cost_function_says():
    """One model, time-out 30 s: gaps above 30 s are loaded again, and memory is held for the rest."""
    rng = np.random.default_rng(3)
    arrivals = Arrivals(np.cumsum(rng.exponential(40.0, 200)), np.zeros(200, int), np.zeros(200))
    one = ServedModels(Catalogue(("a",), [1], [1], [0], [0], [0]), parallel=1000, ttl_s=30.0)
    run = serve(Server(), one, arrivals)
    gaps = idle_gaps(arrivals, 0)[:-1]
    loads = sum(row["what"] == LOAD for row in run.events)
    held = run.play.state.world["held_gb_s"][0]
    assert loads - 1 == (gaps > 30).sum() > 20
    assert held + loads - 1 == pytest.approx(keep_alive_cost(gaps, 30.0, 1.0, 1.0), abs=30.0)


def test_time_outs_of_each_model():
    models = ServedModels(Catalogue(("a", "b"), [1, 1], [2, 4], [0, 0], [10, 40], [1, 1]))
    arrivals = Arrivals([0, 3, 6, 1000], [0, 0, 0, 0], [1, 1, 1, 1])
    assert time_outs_of(Server(), models, arrivals, 0.5, "rent-or-buy").tolist() == [10.0, 20.0]
    assert time_outs_of(Server(), models, arrivals, 0.5).tolist() == [2.0, 20.0]  # b was not seen
    with pytest.raises(InputError, match="unknown rule of time-outs 'hazzard'"):
        time_outs_of(Server(), models, arrivals, 0.5, "hazzard")
    with pytest.raises(InputError, match="gaps must be"):
        keep_alive_cost([-1.0], 1.0, 1.0, 1.0)
