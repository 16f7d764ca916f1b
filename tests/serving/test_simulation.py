"""The event simulation against cases worked by hand."""

import itertools

import numpy as np
import pytest

from edgecache import Catalogue, InputError
from edgecache.serving.arrivals import Arrivals
from edgecache.serving.models import ServedModels, Server
from edgecache.serving.simulation import Play, serve, serve_parts
from edgecache.serving.state import CLOUD, DELAYED, DELETE, EVICT, EXPIRE, FETCH, HIT, LOAD, MISS


def models(count=1, *, size=1.0, memory=4.0, load=3.5, service=8.0, power=0.2, **settings):
    """Models named a, b, ... of one kind; each feature one value, or one per model."""
    columns = [np.broadcast_to(column, count) for column in (size, memory, power, load, service)]
    return ServedModels(Catalogue(tuple("abcdefgh"[:count]), *columns), **settings)


def arrivals(*requests, service=8.0):
    """Requests as (time, model) or (time, model, service time)."""
    rows = [(*request, service)[:3] for request in requests]
    return Arrivals(*(list(column) for column in zip(*rows, strict=True)))


def happened(run, what):
    """When, and to which model."""
    return [(row["time"], row["model"]) for row in run.events if row["what"] == what]


def test_the_second_request_waits_for_the_load_and_for_the_first():
    run = serve(Server(gpu_memory_gb=12), models(), arrivals((0, 0), (1, 0)))
    assert run.wait_s.tolist() == [3.5, 10.5]
    assert run.requests["load_s"].tolist() == [3.5, 2.5] and run.requests["queue_s"].tolist() == [0.0, 8.0]
    assert run.requests["outcome"].tolist() == [MISS, DELAYED]


def test_with_two_places_both_wait_for_the_load_alone():
    run = serve(Server(gpu_memory_gb=12), models(parallel=2), arrivals((0, 0), (1, 0)))
    assert run.wait_s.tolist() == [3.5, 2.5]


def test_a_model_is_fetched_once_and_loaded_again_from_disk():
    """1 GB over 1 Gbit/s takes 8 s, the load 3 s, the service 1 s: 12 s, and 4 s once it was evicted."""
    server = Server(gpu_memory_gb=4, link_gbps=1)
    run = serve(server, models(2, load=3.0, service=1.0), arrivals((0, 0), (100, 1), (200, 0), service=1.0))
    assert run.delay_s.tolist() == [12.0, 12.0, 4.0]
    assert happened(run, FETCH) == [(8.0, 0), (108.0, 1)] and happened(run, EVICT) == [(108.0, 0), (200.0, 1)]
    assert run.requests["fetch_s"].tolist() == [8.0, 8.0, 0.0] and run.requests["load_s"].tolist() == [3.0, 3.0, 3.0]


def test_an_idle_model_is_unloaded_at_its_time_out():
    """Idle from second 11.5 on, it is there 299 s later, also at the very moment of the time-out, and gone 301 s later."""
    for after, wait in ((299.0, 0.0), (300.0, 0.0), (301.0, 3.5)):
        run = serve(Server(), models(ttl_s=300.0), arrivals((0, 0), (11.5 + after, 0)))
        assert run.wait_s[1] == wait
    assert happened(run, EXPIRE) == [(311.5, 0)] and run.requests["outcome"].tolist() == [MISS, MISS]


def test_a_request_within_the_idle_time_starts_it_anew():
    run = serve(Server(), models(ttl_s=300.0), arrivals((0, 0), (200, 0), (507, 0), (900, 0)))
    assert run.wait_s.tolist() == [3.5, 0.0, 0.0, 3.5] and happened(run, EXPIRE) == [(815.0, 0)]


def test_two_adapters_share_their_base():
    """0.1 GB each on a base of 5 GB: 5.2 GB; the base is loaded once, and stays while an adapter needs it."""
    three = models(3, memory=[5.0, 0.1, 0.1], load=[3.0, 1.0, 1.0], base={"b": "a", "c": "a"})
    run = serve(Server(gpu_memory_gb=5.2), three, arrivals((0, 1), (50, 2), (100, 1)))
    assert run.wait_s.tolist() == [4.0, 1.0, 0.0] and not happened(run, EVICT)
    assert run.play.state.server["gpu_memory_gb"][0] == pytest.approx(0.0)
    assert happened(run, LOAD) == [(3.0, 0), (4.0, 1), (51.0, 2)]
    tight = serve(Server(gpu_memory_gb=5.1), three, arrivals((0, 1), (50, 2), (100, 1)))
    assert [model for _, model in happened(tight, EVICT)] == [1, 2] and tight.wait_s.tolist() == [4.0, 1.0, 1.0]


def test_an_adapter_is_served_by_the_cloud_where_its_base_does_not_fit():
    run = serve(Server(gpu_memory_gb=5.05), models(2, memory=[5.0, 0.1], base={"b": "a"}), arrivals((0, 1), (0, 0)))
    assert run.requests["outcome"].tolist() == [CLOUD, MISS]


def test_a_base_leaves_only_after_its_adapters():
    three = models(3, memory=[5.0, 0.1, 5.1], load=1.0, base={"b": "a"})
    run = serve(Server(gpu_memory_gb=5.2), three, arrivals((0, 1), (50, 2), (100, 1)))
    assert happened(run, EVICT) == [(50.0, 1), (50.0, 0), (100.0, 2)] and run.wait_s.tolist() == [2.0, 1.0, 2.0]


def test_pins_that_leave_no_room_are_refused_by_name():
    large = models(2, memory=[2.4, 22.5], pinned=[1, 0])
    with pytest.raises(InputError, match=r"pinned models take 2.4 GB of GPU memory .*'b' \(22.5 GB .*can never be loaded"):
        serve(Server(gpu_memory_gb=24), large, arrivals((0, 1)))
    with pytest.raises(InputError, match=r"pinned models take 24\.9 GB of GPU memory"):
        serve(Server(gpu_memory_gb=24), models(2, memory=[2.4, 22.5], pinned=1), arrivals((0, 1)))
    serve(Server(gpu_memory_gb=24.9), large, arrivals((0, 1)))


def test_a_pinned_model_is_there_and_stays():
    run = serve(Server(gpu_memory_gb=8), models(3, pinned=[1, 0, 0], ttl_s=1.0), arrivals((0, 0), (50, 1), (60, 2), (100, 0)))
    assert run.wait_s[[0, 3]].tolist() == [0.0, 0.0] and 0 not in {
        model for _, model in happened(run, EVICT) + happened(run, EXPIRE)
    }


def test_a_model_that_does_not_fit_is_served_by_the_cloud():
    run = serve(Server(gpu_memory_gb=3, cloud_delay_s=0.5), models(), arrivals((0, 0)))
    assert run.requests["outcome"][0] == CLOUD and run.delay_s[0] == 8.5 and not len(run.events)


def test_a_busy_model_serves_who_came_before_and_leaves():
    """At second 1, b needs the room of a. Of a's requests 0 and 2, the first runs to 11.5; the other came after b and waits."""
    run = serve(Server(gpu_memory_gb=4), models(2), arrivals((0, 0), (1, 1), (2, 0)))
    assert happened(run, EVICT) == [(11.5, 0), (23.0, 1)]
    assert run.wait_s.tolist() == [3.5, 14.0, 24.5]  # b is loaded at 15, runs to 23; a is loaded at 26.5


def test_requests_that_came_before_the_waiting_one_are_served_first():
    run = serve(Server(gpu_memory_gb=4), models(2), arrivals((0, 0), (0.5, 0), (1, 1), (2, 0)))
    assert run.wait_s.tolist() == [3.5, 11.0, 22.0, 32.5] and happened(run, EVICT) == [(19.5, 0), (31.0, 1)]


def test_a_large_model_is_not_overtaken_by_small_ones():
    """c needs all the room and waits for a; b, which would fit beside a, comes later and waits for c."""
    run = serve(Server(gpu_memory_gb=6), models(3, memory=[4.0, 2.0, 6.0], load=1.0), arrivals((0, 0), (1, 2), (2, 1)))
    assert run.wait_s.tolist() == [1.0, 9.0, 17.0]  # c is loaded at 10, runs to 18; b at 19


def test_requests_in_turn_wait_for_the_one_that_waits_for_memory():
    """a and b run 8 s each in 8 GB. c, which needs 8, waits from second 3 on; a request for b at 4 must wait for c's turn."""
    three = models(3, memory=[4.0, 4.0, 8.0], load=1.0, parallel=2)
    requests = arrivals((0, 0), (0, 1), (3, 2), (4, 1))
    free = serve(Server(gpu_memory_gb=8, loads_at_once=2), three, requests)
    turn = serve(Server(gpu_memory_gb=8, loads_at_once=2, in_turn=True), three, requests)
    assert free.wait_s.tolist() == turn.wait_s.tolist() == [1.0, 1.0, 7.0, 15.0]  # c drains both anyway
    small = models(3, memory=[4.0, 4.0, 4.0], load=1.0, parallel=2)
    free = serve(Server(gpu_memory_gb=8, loads_at_once=2), small, requests)
    turn = serve(Server(gpu_memory_gb=8, loads_at_once=2, in_turn=True), small, requests)
    assert free.wait_s.tolist() == [1.0, 1.0, 7.0, 0.0]  # c drains a alone, and b goes on
    assert turn.wait_s.tolist() == [1.0, 1.0, 7.0, 5.0]  # b goes on once c has its room
    with pytest.raises(InputError, match="in turn knows no priorities"):
        serve(Server(in_turn=True), models(2, priority=[0, 1]), arrivals((0, 0)))


def test_a_model_of_higher_priority_goes_first():
    first = arrivals((0, 0), (1, 1), (2, 2))
    plain = serve(Server(gpu_memory_gb=4), models(3, load=1.0), first)
    urgent = serve(Server(gpu_memory_gb=4), models(3, load=1.0, priority=[0, 0, -1]), first)
    assert plain.wait_s.tolist() == [1.0, 9.0, 17.0]  # a to 9, b from 10 to 18, c from 19
    assert urgent.wait_s.tolist() == [1.0, 18.0, 8.0]


def test_loads_one_by_one_and_loads_at_once():
    """Two loads of 4 GB from a disk of 1 GB/s, and a second each to start: one by one 5 and 10 s, at once 9 s both."""
    both = arrivals((0, 0), (0, 1))
    one = serve(Server(disk_gb_per_s=1), models(2, load=1.0, read_gb=4.0), both)
    assert one.wait_s.tolist() == [5.0, 10.0] and one.requests["queue_s"].tolist() == [0.0, 5.0]
    two = serve(Server(disk_gb_per_s=1, loads_at_once=2), models(2, load=1.0, read_gb=4.0), both)
    assert two.wait_s.tolist() == [9.0, 9.0] and two.requests["load_s"].tolist() == [9.0, 9.0]
    wide = serve(Server(disk_gb_per_s=1, bus_gb_per_s=2, loads_at_once=2), models(2, load=1.0, read_gb=4.0), both)
    assert wide.wait_s.tolist() == [13.0, 13.0]  # 8 s at the disk, 4 s over the bus, 1 s


def test_a_transfer_that_joins_halves_the_rate_of_the_first():
    """4 GB from 0 s, 1 GB from 2 s on: the second ends at 4, half of its time shared; the first at 5."""
    run = serve(Server(disk_gb_per_s=1, loads_at_once=2), models(2, load=0.0, read_gb=[4.0, 1.0]), arrivals((0, 0), (2, 1)))
    assert run.wait_s.tolist() == [5.0, 2.0]


def test_fetches_share_the_link_or_take_turns():
    both = arrivals((0, 0), (0, 1))
    assert serve(Server(link_gbps=1), models(2, load=0.0), both).wait_s.tolist() == [8.0, 16.0]
    assert serve(Server(link_gbps=1, fetches_at_once=2), models(2, load=0.0), both).wait_s.tolist() == [16.0, 16.0]


def test_a_full_disk_deletes_the_file_that_was_requested_longest_ago():
    """Room for two files of 1 GB; memory for one model. c needs a's file gone; a is fetched again."""
    server = Server(gpu_memory_gb=4, disk_gb=2, link_gbps=1)
    run = serve(server, models(3, load=0.0, service=1.0), arrivals((0, 0), (50, 1), (100, 2), (150, 1), (200, 0), service=1.0))
    assert happened(run, DELETE) == [(100.0, 0), (200.0, 2)] and run.wait_s.tolist() == [8.0, 8.0, 8.0, 0.0, 8.0]


def test_a_full_disk_of_busy_models_waits_for_one_to_leave_with_its_file():
    run = serve(Server(disk_gb=1, link_gbps=1), models(2, load=0.0), arrivals((0, 0), (1, 1)))
    assert happened(run, DELETE) == [(16.0, 0)] and run.wait_s.tolist() == [8.0, 23.0]


def test_in_one_tier_a_file_goes_with_its_model():
    run = serve(Server(gpu_memory_gb=4, one_tier=True, link_gbps=1), models(2), arrivals((0, 0), (100, 1), (200, 0)))
    assert run.wait_s.tolist() == [11.5] * 3 and happened(run, DELETE) == [(108.0, 0), (208.0, 1)]


def test_at_most_so_many_models_are_loaded():
    run = serve(Server(most_loaded=1), models(2), arrivals((0, 0), (100, 1)))
    assert happened(run, EVICT) == [(100.0, 0)]


def test_a_batch_starts_when_it_is_full_or_has_waited_long_enough():
    batch = models(batch=3, batch_wait_s=5.0, load=0.0)
    run = serve(Server(), batch, arrivals((10, 0), (11, 0), (12, 0), (13, 0)))
    assert run.wait_s.tolist() == [2.0, 1.0, 0.0, 7.0]  # the fourth is due at 18, when the place is busy until 20
    alone = serve(Server(), batch, arrivals((10, 0), (30, 0)))
    assert alone.wait_s.tolist() == [5.0, 5.0]


def test_a_batch_takes_the_longest_service_and_a_share_for_each_further_request():
    batch = models(batch=3, batch_wait_s=5.0, batch_cost=0.5, load=0.0)
    run = serve(Server(), batch, arrivals((0, 0, 2.0), (0, 0, 4.0), (0, 0, 1.0), (0, 0, 1.0)))
    assert run.requests["service_s"].tolist() == [8.0, 8.0, 8.0, 1.0] and run.wait_s[3] == 8.0


def test_the_cloud_serves_while_a_model_loads():
    run = serve(Server(cloud_cold=True, cloud_delay_s=0.2), models(), arrivals((0, 0), (2, 0), (3.5, 0)))
    assert run.requests["outcome"].tolist() == [CLOUD, CLOUD, HIT] and run.wait_s == pytest.approx([0.2, 0.2, 0.0])


def test_the_cloud_serves_who_has_waited_too_long():
    run = serve(Server(cloud_after_s=4.0, cloud_delay_s=0.2), models(), arrivals((0, 0), (1, 0), (11, 0)))
    assert run.requests["outcome"].tolist() == [MISS, CLOUD, HIT] and run.wait_s.tolist() == [3.5, 4.2, 0.5]
    assert run.requests["queue_s"].tolist() == [0.0, 4.0, 0.5]


def test_a_model_that_nobody_waits_for_any_more_leaves_the_line():
    run = serve(Server(gpu_memory_gb=4, cloud_after_s=4.0), models(2), arrivals((0, 0), (1, 1)))
    assert happened(run, LOAD) == [(3.5, 0)] and run.requests["outcome"].tolist() == [MISS, CLOUD]


def test_the_cloud_serves_where_too_many_wait():
    run = serve(Server(cloud_queue=1), models(), arrivals((0, 0), (1, 0), (4, 0), (5, 0)))
    assert run.requests["outcome"].tolist() == [MISS, CLOUD, HIT, CLOUD]


def test_power_is_a_step_while_anything_is_loaded_and_the_work():
    run = serve(Server(), models(ttl_s=10.0), arrivals((0, 0), (5, 0), (100, 0)))
    world = run.play.state.world[0]
    assert world["work_kws"] == pytest.approx(0.2 * 24) and world["busy_s"] == 24.0
    assert world["on_s"] == 29.5  # from 0 to the time-out at 29.5; the last load is still there


def test_parts_give_what_the_whole_gives():
    rng = np.random.default_rng(1)
    whole = Arrivals(np.cumsum(rng.exponential(2.0, 500)), rng.integers(0, 8, 500), rng.exponential(1.0, 500))
    eight, server = models(8, load=0.5), Server(gpu_memory_gb=12)
    cut = [0, 1, 2, 50, 400, 400, 500]
    parts = [Arrivals(whole.time_s[a:b], whole.model[a:b], whole.service_s[a:b]) for a, b in itertools.pairwise(cut)]
    served = np.concatenate(list(serve_parts(server, eight, parts)))
    assert (served[np.argsort(served["request"])] == serve(server, eight, whole).requests).all()


def test_parts_must_ascend_and_end():
    play = Play(Server(), models())
    play.feed(arrivals((5, 0)))
    with pytest.raises(InputError, match="before the last one of the part before"):
        play.feed(arrivals((4, 0)))
    play.feed(arrivals((5, 0)), last=True)
    with pytest.raises(InputError, match="played already"):
        play.feed(arrivals((6, 0)))


def test_unknown_rules_and_models_are_refused():
    with pytest.raises(InputError, match="unknown rule 'lfru'"):
        serve(Server(), models(), arrivals((0, 0)), "lfru")
    with pytest.raises(InputError, match="asks for model 3, but there are 1"):
        serve(Server(), models(), arrivals((0, 3)))
