"""Compiled: requests that wait, are served and leave.

A request waits at its model. The model serves its requests in the order of their arrival, `parallel` at a time. A model that must
leave (its `cutoff` is set) serves those that came before the request which waits for its room; the others wait for its return.
"""

import numpy as np
from numba import njit

from .events import push_event
from .memory import arm_time_out, unload
from .state import BATCH, CLOUD, DONE, EVICT, NEVER, PATIENCE


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
def _may_start(state, unit):
    """Does a request wait at a model whose turn it is?"""
    return unit.waiting > 0 and state.pool[unit.first].request <= min(unit.cutoff, state.world[0].barrier)


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
    while count < unit.batch and _may_start(state, unit):
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
    while unit.running < unit.parallel and _may_start(state, unit):
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
