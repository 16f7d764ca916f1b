"""Ten thousand random servers: nothing is lost, no budget is exceeded, nothing busy is unloaded, nobody waits for ever."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgecache import Catalogue
from edgecache.errors import InputError
from edgecache.serving.arrivals import Arrivals
from edgecache.serving.choosers import SwapGroup, SwapGroups, SwapSets
from edgecache.serving.models import ServedModels, Server
from edgecache.serving.simulation import serve
from edgecache.serving.state import CLOUD, DELETE, EVICT, EXPIRE, FETCH, HOLD, LOAD, RESERVE

WORLDS_PER_EXAMPLE = 20
# without the phase that explains failures, which traces every line
SETTINGS = settings(deadline=None, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink])
RULES = ("lru", "fifo", "lfu", "gdsf", "random", "belady")


def random_world(seed):
    """A small crowded server, its models and their requests; whole numbers, so that many events meet at one moment."""
    rng = np.random.default_rng(seed)
    size, count = int(rng.integers(1, 7)), int(rng.integers(1, 40))

    def often(value, other):
        return value if rng.random() < 0.6 else other

    features = [rng.integers(low, high, size).astype(float) for low, high in ((1, 6), (0, 6), (0, 3), (0, 4), (0, 5))]
    catalogue = Catalogue(tuple("abcdefgh"[:size]), *features)
    adapters = {"abcdefgh"[i]: "a" for i in range(1, size) if rng.random() < 0.3}
    batch = rng.integers(1, 4, size)
    models = ServedModels(
        catalogue,
        parallel=rng.integers(1, 4, size),
        ttl_s=np.where(rng.random(size) < 0.5, np.inf, rng.integers(0, 9, size)),
        priority=rng.integers(0, 2, size),
        batch=batch,
        batch_wait_s=np.where(batch > 1, rng.integers(0, 5, size), 0),
        batch_cost=rng.random(),
        read_gb=rng.integers(0, 4, size),
        pinned=rng.random(size) < 0.1,
        on_disk=often(0, rng.random(size) < 0.3),
        base=adapters,
    )
    server = Server(
        gpu_memory_gb=float(rng.integers(3, 14)),
        disk_gb=often(np.inf, float(rng.integers(5, 16))),
        link_gbps=often(np.inf, 8.0 * rng.integers(1, 4)),
        disk_gb_per_s=often(np.inf, float(rng.integers(1, 4))),
        bus_gb_per_s=often(np.inf, float(rng.integers(1, 4))),
        loads_at_once=float(rng.integers(1, 4)),
        fetches_at_once=often(1.0, np.inf),
        most_loaded=often(np.inf, float(rng.integers(1, 4))),
        power_budget_kw=often(np.inf, 4.0),
        one_tier=bool(rng.random() < 0.2),
        cloud_cold=bool(rng.random() < 0.1),
        cloud_after_s=often(np.inf, float(rng.integers(1, 20))),
        cloud_queue=often(np.inf, float(rng.integers(1, 6))),
    )
    times = np.sort(rng.integers(0, 3 * count, count)).astype(float)
    requests = Arrivals(times, rng.integers(0, size, count), rng.integers(0, 8, count).astype(float))
    return server, models, requests, RULES[rng.integers(len(RULES))]


def check_conservation(arrivals, run):
    requests = run.requests
    assert (requests["request"] == np.arange(len(arrivals))).all() and (requests["model"] == arrivals.model).all()
    assert (requests["arrival_s"] == arrivals.time_s).all() and (requests["wait_s"] >= 0).all()
    here = requests["outcome"] != CLOUD
    parts = requests["queue_s"] + requests["fetch_s"] + requests["load_s"]
    np.testing.assert_allclose(parts[here], requests["wait_s"][here], atol=1e-9)


def check_budgets(run):
    """Replay the log against the budgets, with the sizes of the catalogue."""
    catalogue, server, models = run.models.catalogue, run.server, run.models
    pinned = run.play.state.units["pinned"] == 1
    there = pinned | (models.on_disk == 1)
    model, what = run.events["model"], run.events["what"]
    held = np.isin(what, (HOLD,)) * 1 - np.isin(what, (EVICT, EXPIRE))
    filed = np.isin(what, (RESERVE,)) * 1 - np.isin(what, (DELETE,))
    free, limits = run.play.state.server[0], (server.gpu_memory_gb, server.most_loaded, server.power_budget_kw, server.disk_gb)
    columns = (catalogue.gpu_memory_gb, np.ones(len(catalogue)), catalogue.power_kw, catalogue.size_gb)
    for column, limit, change, start in zip(
        columns, limits, (held, held, held, filed), (pinned, pinned, pinned, there), strict=True
    ):
        used = column[start].sum() + np.r_[0.0, np.cumsum(change * column[model])]
        assert used.max() <= limit + 1e-6
        if column is catalogue.gpu_memory_gb:
            assert np.isclose(free["gpu_memory_gb"], limit - used[-1])
        if column is catalogue.size_gb:
            assert np.isclose(free["storage_gb"], limit - used[-1])
    assert not pinned[model[np.isin(what, (EVICT, EXPIRE, DELETE))]].any()
    check_order(run.events.tolist(), models, set(np.flatnonzero(there).tolist()), set(np.flatnonzero(pinned).tolist()))


def check_order(events, models, files, held):
    """A model is held only with its file and its base there, and a base leaves after its adapters."""
    base, transfers = models.base.tolist(), {RESERVE: 0, LOAD: 0}
    for _, model, what in events:
        if what == RESERVE:
            transfers[RESERVE] += 1
        elif what == FETCH:
            files.add(model)
            transfers[RESERVE] -= 1
        elif what == HOLD:
            assert model in files and model not in held and (base[model] < 0 or base[model] in held)
            held.add(model)
            transfers[LOAD] += 1
        elif what == LOAD:
            transfers[LOAD] -= 1
        elif what in (EVICT, EXPIRE):
            held.remove(model)
            assert all(base[other] != model for other in held)
        elif what == DELETE:
            assert model not in held
            files.remove(model)
        assert min(transfers.values()) >= 0


def check_services(run):
    """A request runs while its model is loaded, in the order of arrival, and in one of the model's places."""
    time, which, what = (run.events[name] for name in ("time", "model", "what"))
    for model in range(len(run.models)):
        mine = run.requests[(run.requests["model"] == model) & (run.requests["outcome"] != CLOUD)]
        begin = mine["arrival_s"] + mine["wait_s"]
        end = begin + mine["service_s"]
        assert (np.diff(begin) >= -1e-9).all()
        ups = np.r_[[0.0] * int(run.play.state.units["pinned"][model]), time[(which == model) & (what == LOAD)]]
        downs = np.r_[time[(which == model) & np.isin(what, (EVICT, EXPIRE))], np.inf][: len(ups)]
        downs = np.r_[downs, [np.inf] * (len(ups) - len(downs))]
        inside = (ups <= begin[:, None] + 1e-9) & (end[:, None] <= downs + 1e-9)
        assert inside.any(axis=1).all()
        at_once = ((begin <= begin[:, None]) & (begin[:, None] < end)).sum(axis=1)
        assert (at_once <= run.models.parallel[model] * run.models.batch[model]).all()


def check_run(arrivals, run):
    check_conservation(arrivals, run)
    check_budgets(run)
    check_services(run)


def random_chooser(models, seed):
    """Sets or groups of llama-swap, or at random whatever fits."""
    rng, services = np.random.default_rng([*seed, 1]), models.catalogue.services
    if rng.random() < 0.5:
        sets = [[service for service in services if rng.random() < 0.4] for _ in range(rng.integers(1, 4))]
        return SwapSets(services, sets, {services[0]: 3.0})
    cut = int(rng.integers(0, len(services) + 1))
    return SwapGroups(services, [SwapGroup(services[:cut], *(bool(rng.random() < 0.5) for _ in range(3)))])


def in_turn(server, models, seed):
    """A third of the servers start requests in turn, which knows no priorities."""
    return (replace(server, in_turn=True), models.vary(priority=0)) if seed[1] % 3 == 0 else (server, models)


@settings(SETTINGS, max_examples=100)
@given(st.integers(0, 2**40))
def test_nor_where_a_chooser_decides_about_whole_sets(seed):
    for world in range(WORLDS_PER_EXAMPLE):
        server, models, arrivals, _ = random_world([seed, world])
        server, models = in_turn(server, models.vary(priority=0), [seed, world])
        with suppress(InputError):
            check_run(arrivals, serve(server, models, arrivals, random_chooser(models, [seed, world])))


@settings(SETTINGS, max_examples=500)
@given(st.integers(0, 2**40))
def test_no_request_is_lost_and_no_budget_exceeded(seed):
    for world in range(WORLDS_PER_EXAMPLE):
        server, models, arrivals, rule = random_world([seed, world])
        server, models = in_turn(server, models, [seed, world])
        with suppress(InputError):  # pins or files that do not fit
            run = serve(server, models, arrivals, rule)
            check_run(arrivals, run)
