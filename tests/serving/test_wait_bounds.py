"""No rule waits less than the bound; where memory is all that counts, it is close."""

import numpy as np

from edgecache import Catalogue
from edgecache.policies.ranks import EVICTION_POLICIES
from edgecache.serving import SERVER_RULES, Arrivals, ServedModels, Server, serve
from edgecache.serving.wait_bounds import least_mean_wait

RULES = (*EVICTION_POLICIES, *SERVER_RULES.values())


def test_no_rule_waits_less():
    for seed in range(150):
        rng = np.random.default_rng(seed)
        size, count = int(rng.integers(1, 8)), int(rng.integers(1, 120))
        models = ServedModels(
            Catalogue(tuple("abcdefgh"[:size]), *(rng.uniform(0.1, high, size) for high in (5, 5, 1, 8, 3))),
            parallel=rng.integers(1, 4), ttl_s=rng.choice([np.inf, 5.0]), pinned=rng.random(size) < 0.1,
        )  # fmt: skip
        server = Server(
            gpu_memory_gb=models.catalogue.gpu_memory_gb.sum() * rng.uniform(0.6, 1.1),
            loads_at_once=rng.integers(1, 4), link_gbps=rng.choice([np.inf, 8.0]), cloud_delay_s=0.5,
            cloud_after_s=rng.choice([np.inf, 5.0]),
        )  # fmt: skip
        times = np.cumsum(rng.exponential(rng.choice([1.0, 5.0, 30.0]), count))
        arrivals = Arrivals(times, rng.integers(0, size, count), rng.exponential(rng.choice([0.01, 2.0]), count))
        if ~server.fits(ServedModels(models.catalogue)).all() and models.pinned.any():
            continue
        try:
            bound = least_mean_wait(server, models, arrivals)
        except ValueError:  # the pinned models leave no room
            continue
        waited = serve(server, models, arrivals, RULES[seed % len(RULES)]).wait_s.mean()
        assert bound <= waited + 1e-9


def test_with_room_for_all_it_is_reached():
    rng = np.random.default_rng(0)
    models = ServedModels(Catalogue(tuple("abcd"), [1] * 4, [2] * 4, [0] * 4, rng.uniform(1, 9, 4), [1] * 4), parallel=99)
    arrivals = Arrivals(100.0 * np.arange(200), rng.integers(0, 4, 200), np.zeros(200))
    assert np.isclose(serve(Server(gpu_memory_gb=8), models, arrivals).wait_s.mean(), least_mean_wait(Server(), models, arrivals))


def test_under_scarce_memory_the_clairvoyant_rule_comes_near():
    rng = np.random.default_rng(1)
    models = ServedModels(Catalogue(tuple("abcdefgh"), [1] * 8, [2] * 8, [0] * 8, [5] * 8, [0] * 8), parallel=99)
    arrivals = Arrivals(np.cumsum(rng.exponential(60.0, 3000)), rng.integers(0, 8, 3000), np.zeros(3000))
    for memory in (4, 8, 12):
        bound = least_mean_wait(Server(gpu_memory_gb=memory), models, arrivals)
        reached = serve(Server(gpu_memory_gb=memory), models, arrivals, "belady").wait_s.mean()
        assert 0.6 * reached < bound <= reached


def test_memory_that_lies_idle_at_night_does_not_help_by_day():
    """Busy hours apart from idle days: prices by time tell them apart, where one price for all would let the idle days pay."""
    rng = np.random.default_rng(2)
    models = ServedModels(Catalogue(tuple("abcd"), [1] * 4, [2] * 4, [0] * 4, [5] * 4, [0] * 4), parallel=99)
    hours = np.concatenate([day * 86400 + np.sort(rng.uniform(0, 3600, 100)) for day in range(20)])
    arrivals = Arrivals(hours, rng.integers(0, 4, len(hours)), np.zeros(len(hours)))
    bound = least_mean_wait(Server(gpu_memory_gb=4), models, arrivals)
    reached = serve(Server(gpu_memory_gb=4), models, arrivals, "belady").wait_s.mean()
    assert 0.5 * reached < bound <= reached
