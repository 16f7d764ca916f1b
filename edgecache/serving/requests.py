"""Compiled: requests that wait, are served and leave; and the models that they ask for, use and lose.

A request waits at its model. The model serves its requests in the order of their arrival, `parallel` at a time. A model that must
leave (its `cutoff` is set) serves those that came before the request which waits for its room; the others wait for its return.
"""

import numpy as np
from numba import njit

from ..policies.contract import ABSENT, DEPLOYED
from .events import push_event
from .state import (
    AWAY,
    BATCH,
    CLOUD,
    DELETE,
    DONE,
    EVICT,
    EXPIRE,
    EXPIRES,
    HOLD,
    LOADED,
    NEEDS_FILE,
    NEEDS_ROOM,
    NEVER,
    PATIENCE,
)


@njit(cache=True)
def log_event(state, what, index):
    """Book that something happened to a model now, where there is room in the log."""
    world = state.world[0]
    if world.logged < state.log.size:
        row = state.log[world.logged]
        row.time, row.model, row.what = world.now, index, what
        world.logged += 1


@njit(cache=True)
def _leave_queue(models, index):
    """Take a model out of the order of deployed models, as the paper's loop does."""
    model = models[index]
    models[model.ahead].behind = model.behind
    models[model.behind].ahead = model.ahead


@njit(cache=True)
def _join_queue(models, index):
    """Append a model to the order of deployed models."""
    queue = models.size - 1
    back = models[queue].ahead
    models[index].ahead = back
    models[index].behind = queue
    models[back].behind = index
    models[queue].ahead = index


@njit(cache=True)
def note_use(state, index):
    """Record a request for a model in GPU memory, in the fields that ranks read."""
    model, server = state.models[index], state.server[0]
    model.requests_in_cache += 1
    model.previous_request = model.last_request
    model.last_request = server.clock
    model.aging = server.aging
    if state.world[0].by_request:
        _leave_queue(state.models, index)
        _join_queue(state.models, index)


@njit(cache=True)
def hold_memory(state, index):
    """Give a model its GPU memory, for which there is room."""
    world, server, model, unit = state.world[0], state.server[0], state.models[index], state.units[index]
    _join_queue(state.models, index)
    model.place = DEPLOYED
    model.deployed_since, model.aging = server.clock, server.aging
    model.requests_in_cache = max(1, unit.waiting)
    server.gpu_memory_gb -= model.gpu_memory_gb
    server.power_kw -= model.power_kw
    if unit.base >= 0:
        state.units[unit.base].users += 1
    if world.resident == 0:
        world.on_since = world.now
    world.resident += 1
    unit.held_since = world.now
    log_event(state, HOLD, index)


@njit(cache=True)
def new_record(state, request, arrival_s, index, service_s, outcome):
    """Take a record of the pool for a request. Returns its number."""
    world, slot = state.world[0], state.world[0].free
    record = state.pool[slot]
    world.free = record.next
    world.in_flight += 1
    record.request, record.arrival_s, record.model = request, arrival_s, index
    record.service_s, record.outcome, record.next = service_s, outcome, -1
    return slot


@njit(cache=True)
def _overlap(low, high, start, end):
    return max(0.0, min(high, end) - max(low, start))


@njit(cache=True)
def report(state, slot, start_s, service_s):
    """Write down what a request waited for, and give its record back."""
    world, record = state.world[0], state.pool[slot]
    unit, row = state.units[record.model], state.out[state.world[0].reported]
    row.request, row.model, row.outcome = record.request, record.model, record.outcome
    row.arrival_s, row.wait_s, row.service_s = record.arrival_s, start_s - record.arrival_s, service_s
    row.fetch_s = row.load_s = row.queue_s = 0.0
    if row.wait_s > 0.0 and record.outcome != CLOUD:
        row.fetch_s = _overlap(record.arrival_s, start_s, unit.fetch_from, unit.fetch_to)
        row.load_s = _overlap(record.arrival_s, start_s, unit.load_from, unit.load_to)
        row.queue_s = max(0.0, row.wait_s - row.fetch_s - row.load_s)
    elif record.outcome == CLOUD:
        row.queue_s = max(0.0, row.wait_s - world.cloud_delay_s)
    world.reported += 1
    world.in_flight -= 1
    record.next = world.free
    world.free = slot


@njit(cache=True)
def begin_service(state, index, slot, service_s):
    """Start a request, or a batch whose first it is, in a free place of its model."""
    world, unit = state.world[0], state.units[index]
    if unit.running == 0:
        unit.busy_since = world.now
        if world.busy == 0:
            world.busy_since = world.now
        world.busy += 1
    unit.running += 1
    state.pool[slot].start_s = world.now
    push_event(state, world.now + service_s, DONE, slot)


@njit(cache=True)
def join_waiting(state, index, slot):
    """Append a request to those that wait at its model, and arm its patience."""
    world, unit = state.world[0], state.units[index]
    if unit.waiting == 0:
        unit.first = slot
    else:
        state.pool[unit.last].next = slot
    unit.last = slot
    unit.waiting += 1
    if world.cloud_after_s < np.inf and not unit.patience_timer:
        unit.patience_timer = 1
        push_event(state, state.pool[slot].arrival_s + world.cloud_after_s, PATIENCE, index)


@njit(cache=True)
def pop_waiting(state, index):
    """Take the oldest request that waits at a model. Returns its record."""
    unit = state.units[index]
    slot = unit.first
    unit.first = state.pool[slot].next
    unit.waiting -= 1
    state.pool[slot].next = -1
    return slot


@njit(cache=True)
def hold_base_file(state, index):
    """Keep the file of a model's base on disk while the model needs it."""
    if state.units[index].base >= 0:
        state.units[state.units[index].base].file_users += 1


@njit(cache=True)
def want(state, index):
    """Put a model that is away, and that somebody needs, into the first line that it must stand in."""
    world, unit = state.world[0], state.units[index]
    unit.ticket = state.pool[unit.first].request if unit.waiting > 0 else state.server[0].clock - 1
    unit.wanted, unit.answered = 1, 0
    file = unit.has_file == 1 and (unit.base < 0 or state.units[unit.base].has_file == 1)
    if file:
        hold_base_file(state, index)
        unit.stage = NEEDS_ROOM
        world.need_room += 1
    else:
        unit.stage = NEEDS_FILE
        world.need_file += 1
    world.dirty = 1


@njit(cache=True)
def go_away(state, index):
    """Let a model that left GPU memory, or a line, be one that nobody waits for."""
    unit = state.units[index]
    if unit.base >= 0 and unit.stage != NEEDS_FILE:
        state.units[unit.base].file_users -= 1
    unit.stage, unit.cutoff, unit.wanted = AWAY, NEVER, 0


@njit(cache=True)
def delete_file(state, index):
    """Remove the file of a model that is away."""
    state.units[index].has_file = 0
    state.server[0].storage_gb += state.models[index].size_gb
    log_event(state, DELETE, index)


@njit(cache=True)
def arm_time_out(state, index):
    """Start the idle time of a model that nobody uses."""
    world, unit = state.world[0], state.units[index]
    unit.idle_since = world.now
    if world.need_room > 0 or world.need_file > 0:
        world.dirty = 1
    if unit.ttl_s < np.inf and not unit.timer and not unit.pinned:
        unit.timer = 1
        push_event(state, world.now + unit.ttl_s, EXPIRES, index)


@njit(cache=True)
def unload(state, index, what):
    """Take an idle model out of GPU memory, because it must make room (EVICT) or was idle too long (EXPIRE)."""
    world, server, model, unit = state.world[0], state.server[0], state.models[index], state.units[index]
    _leave_queue(state.models, index)
    model.place = ABSENT
    server.gpu_memory_gb += model.gpu_memory_gb
    server.power_kw += model.power_kw
    unit.held_s += world.now - unit.held_since
    world.held_gb_s += (world.now - unit.held_since) * model.gpu_memory_gb
    world.resident -= 1
    if world.resident == 0:
        world.on_s += world.now - world.on_since
    if what == EXPIRE:
        unit.expiries += 1
    else:
        unit.evictions += 1
        server.evictions += 1
    log_event(state, what, index)
    go_away(state, index)
    if unit.base >= 0:
        base = state.units[unit.base]
        base.users -= 1
        if base.users == 0 and base.stage == LOADED and base.running == 0 and base.waiting == 0:
            arm_time_out(state, unit.base)
    if (world.one_tier or unit.leaves_disk) and unit.file_users == 0 and not unit.pinned:
        delete_file(state, index)
    unit.leaves_disk = 0
    world.dirty = 1
    if unit.waiting > 0:
        want(state, index)


@njit(cache=True)
def _next_batch(state, index):
    """Take the requests that start together in one place. Returns the first and the time that they take; -1 if none may start."""
    world, unit = state.world[0], state.units[index]
    due = state.pool[unit.first].arrival_s + unit.batch_wait_s
    if unit.waiting < unit.batch and unit.cutoff == NEVER and world.now < due:
        if not unit.batch_timer:
            unit.batch_timer = 1
            push_event(state, due, BATCH, index)
        return -1, 0.0
    first = last = pop_waiting(state, index)
    longest, count = state.pool[first].service_s, 1
    while count < unit.batch and unit.waiting > 0 and state.pool[unit.first].request <= unit.cutoff:
        slot = pop_waiting(state, index)
        state.pool[last].next = slot
        last = slot
        longest = max(longest, state.pool[slot].service_s)
        count += 1
    return first, longest * (1.0 + unit.batch_cost * (count - 1))


@njit(cache=True)
def serve_waiting(state, index):
    """Start what may start at a loaded model; where nothing runs or waits, it is idle, or leaves if it must."""
    unit = state.units[index]
    if unit.cutoff < NEVER and unit.users > 0:  # an adapter has come to need it meanwhile
        unit.cutoff, unit.leaves_disk, state.world[0].dirty = NEVER, 0, 1
    while unit.running < unit.parallel and unit.waiting > 0 and state.pool[unit.first].request <= unit.cutoff:
        if unit.batch == 1:
            slot = pop_waiting(state, index)
            service_s = state.pool[slot].service_s
        else:
            slot, service_s = _next_batch(state, index)
            if slot < 0:
                return
        begin_service(state, index, slot, service_s)
    if unit.running == 0:
        if unit.cutoff < NEVER:
            unload(state, index, EVICT)
        elif unit.waiting == 0:
            arm_time_out(state, index)


@njit(cache=True)
def end_service(state, slot):
    """Report the requests of a place that is done, and go on with those that wait."""
    world = state.world[0]
    index = state.pool[slot].model
    unit, start = state.units[index], state.pool[slot].start_s
    while slot >= 0:
        following = state.pool[slot].next
        report(state, slot, start, world.now - start)
        slot = following
    unit.running -= 1
    if unit.running == 0:
        unit.busy_s += world.now - unit.busy_since
        world.work_kws += (world.now - unit.busy_since) * state.models[index].power_kw
        world.busy -= 1
        if world.busy == 0:
            world.busy_s += world.now - world.busy_since
    if unit.running == 0 or unit.waiting > 0:
        serve_waiting(state, index)
