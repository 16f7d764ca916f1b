"""The compiled loop: play arrivals, ends of services, fetches and loads, and time-outs, in the order of time.

Of events at one moment the ends of services and loads come first, then those of transfers, then arrivals, then time-outs: a request
at the very moment of a time-out still finds its model.
"""

import numpy as np
from numba import njit, types

from ..policies.contract import ON_CLOUD, RANK_TYPE
from .events import end_transfer, pop_event, push_event
from .loading import end_copy, end_fetch, end_load, end_read, leave_line, settle
from .memory import note_use, unload, want
from .requests import begin_service, end_service, join_waiting, new_record, pop_waiting, report, serve_waiting
from .state import (
    ASK,
    AWAY,
    BATCH,
    BUS,
    CLOUD,
    DELAYED,
    DISK,
    DONE,
    EXPIRE,
    EXPIRES,
    FINISHED,
    HIT,
    LINK,
    LOADED,
    MISS,
    NEEDS_FILE,
    NEEDS_LOADER,
    NEEDS_ROOM,
    NEVER,
    NOT_A_RANK,
    PATIENCE,
    RULE_TYPE,
    STARTED,
    STARTING,
    STATE_TYPE,
)

_KIND = 1 << 56


@njit(cache=True)
def _to_cloud(state, slot):
    """Have the cloud serve a request, and report it."""
    world, record = state.world[0], state.pool[slot]
    record.outcome = CLOUD
    report(state, slot, world.now + world.cloud_delay_s, record.service_s)


@njit(cache=True)
def _arrive(state, request, index, service_s):
    """Serve a request at once, let it wait, or send it to the cloud."""
    world, server, model, unit = state.world[0], state.server[0], state.models[index], state.units[index]
    server.clock += 1
    model.requests += 1
    stays = unit.stage == LOADED and unit.cutoff == NEVER
    outcome = HIT if stays else (MISS if unit.stage == AWAY else DELAYED)
    slot = new_record(state, request, world.now, index, service_s, outcome)
    if model.place == ON_CLOUD or unit.waiting >= world.cloud_queue:
        _to_cloud(state, slot)
        return
    if unit.stage >= NEEDS_LOADER:
        note_use(state, index)
    else:
        model.previous_request, model.last_request = model.last_request, server.clock
    unit.wanted = 1
    if world.cloud_cold and not stays:
        _to_cloud(state, slot)
    elif stays and unit.waiting == 0 and unit.running < unit.parallel and unit.batch == 1 and world.barrier == NEVER:
        begin_service(state, index, slot, service_s)
        return
    else:
        join_waiting(state, index, slot)
    if unit.stage == AWAY:
        want(state, index)
    elif stays and unit.running < unit.parallel:
        serve_waiting(state, index)


@njit(cache=True)
def _expire(state, index):
    """Unload a model that has been idle for its time-out; otherwise look again when that may be so."""
    now, unit = state.world[0].now, state.units[index]
    unit.timer = 0
    if unit.stage == LOADED and unit.running == 0 and unit.waiting == 0 and unit.users == 0:
        due = unit.idle_since + unit.ttl_s
        if due <= now:
            unload(state, index, EXPIRE)
        else:
            unit.timer = 1
            push_event(state, due, EXPIRES, index)


@njit(cache=True)
def _lose_patience(state, index):
    """Send the requests to the cloud that have waited too long at a model."""
    world, unit = state.world[0], state.units[index]
    unit.patience_timer, before = 0, unit.waiting
    while unit.waiting > 0:
        due = state.pool[unit.first].arrival_s + world.cloud_after_s
        if due > world.now:
            unit.patience_timer = 1
            push_event(state, due, PATIENCE, index)
            return
        _to_cloud(state, pop_waiting(state, index))
    if unit.stage in (NEEDS_FILE, NEEDS_ROOM):
        leave_line(state, index)
    elif unit.stage == LOADED and unit.running == 0 and before > 0:
        serve_waiting(state, index)


@njit(cache=True)
def _play_event(state):
    """Play the first event of the heap."""
    kind, what = pop_event(state)
    if kind == DONE:
        end_service(state, what)
    elif kind == STARTED:
        if state.units[what].stage == STARTING:
            end_load(state, what)
    elif kind == EXPIRES:
        _expire(state, what)
    elif kind == BATCH:
        state.units[what].batch_timer = 0
        if state.units[what].stage == LOADED and state.units[what].waiting > 0:
            serve_waiting(state, what)
    else:
        _lose_patience(state, what)


@njit(cache=True)
def _end_transfer(state):
    """Play the end of the first transfer."""
    number = LINK
    for other in (DISK, BUS):
        if state.channels[other].next < state.channels[number].next:
            number = other
    index = end_transfer(state, number)
    if number == LINK:
        end_fetch(state, index)
    elif number == DISK:
        end_read(state, index)
    else:
        end_copy(state, index)


_TIMES, _INDICES = types.Array(types.float64, 1, "C", readonly=True), types.Array(types.int64, 1, "C", readonly=True)


@njit(
    types.int64(
        _TIMES, _INDICES, _TIMES, _INDICES, types.int64, STATE_TYPE, types.boolean,
        types.FunctionType(RANK_TYPE), types.FunctionType(RULE_TYPE),
    ),
    cache=True,
)  # fmt: skip
def play(times, models, services, following, first, state, last, rank, rule):  # noqa: C901, a compiled kernel
    """Play on through these requests; `first` is the number of the first of them in the whole trace.

    Returns FINISHED, ASK where a planner must decide (call again with the same arrays), or NOT_A_RANK. Where `last`, the loop ends
    only when every request has left. `following` holds the number of each request's next for its model, or nothing.
    """
    world, place = state.world[0], state.server[0].clock - first
    while True:
        if world.dirty:
            if settle(state, rank, rule) == ASK:
                return ASK
            if world.not_a_rank:
                return NOT_A_RANK
        arrival = times[place] if place < times.size else np.inf
        transfer = world.next_transfer
        event, timer = np.inf, False
        if world.events > 0:
            event = state.heap[0].time
            timer = state.heap[0].order >= EXPIRES * _KIND
        soonest = min(arrival, transfer, event)
        if soonest == np.inf:
            return FINISHED
        if place >= times.size and (not last or world.in_flight == 0):
            return FINISHED
        world.now = soonest
        world.played += 1
        if event == soonest and (not timer or (event < arrival and event < transfer)):
            _play_event(state)
        elif transfer == soonest:
            _end_transfer(state)
        else:
            if following.size > 0:
                state.models[models[place]].next_request = following[place]
            _arrive(state, place + first, models[place], services[place])
            place += 1
