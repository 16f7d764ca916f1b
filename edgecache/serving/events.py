"""The clock of the simulation: a heap of events to come, and channels whose users share their rate alike (processor sharing)."""

import numpy as np
from numba import njit

from .state import AWAY, BUS, COPYING, DISK, FETCHING, LINK, READING

_KIND = 1 << 56  # above the sequence number: events of one moment are ordered by kind, then by age


@njit(cache=True)
def push_event(state, time, kind, what):
    """Enter an event into the heap."""
    world, heap = state.world[0], state.heap
    order = kind * _KIND + world.sequence
    world.sequence += 1
    place = world.events
    world.events += 1
    while place > 0:
        parent = (place - 1) >> 1
        above = heap[parent]
        if above.time < time or (above.time == time and above.order < order):
            break
        heap[place].time, heap[place].order, heap[place].what = above.time, above.order, above.what
        place = parent
    heap[place].time, heap[place].order, heap[place].what = time, order, what


@njit(cache=True)
def pop_event(state):
    """Remove the first event of the heap and return its kind and what it is about."""
    world, heap = state.world[0], state.heap
    kind, what = heap[0].order // _KIND, heap[0].what
    world.events -= 1
    count, place = world.events, 0
    time, order, moved = heap[count].time, heap[count].order, heap[count].what
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        other = child + 1
        if other < count and (
            heap[other].time < heap[child].time or (heap[other].time == heap[child].time and heap[other].order < heap[child].order)
        ):
            child = other
        if time < heap[child].time or (time == heap[child].time and order < heap[child].order):
            break
        heap[place].time, heap[place].order, heap[place].what = heap[child].time, heap[child].order, heap[child].what
        place = child
    heap[place].time, heap[place].order, heap[place].what = time, order, moved
    return kind, what


@njit(cache=True)
def _look_ahead(state, number):
    """Find which user of a channel finishes first, and when."""
    world, channel = state.world[0], state.channels[number]
    stage = FETCHING if number == LINK else (READING if number == DISK else COPYING)
    channel.job, channel.next = -1, np.inf
    if channel.active > 0:
        for index in range(state.units.size):
            unit = state.units[index]
            if unit.stage == stage and (channel.job < 0 or unit.tag < state.units[channel.job].tag):
                channel.job = index
        left = max(0.0, state.units[channel.job].tag - channel.progress)
        channel.next = channel.updated + left * channel.active / channel.rate
    world.next_transfer = min(state.channels[LINK].next, state.channels[DISK].next, state.channels[BUS].next)


@njit(cache=True)
def _update(state, number):
    """Bring a channel's progress up to now."""
    now, channel = state.world[0].now, state.channels[number]
    if channel.active > 0:
        channel.progress += (now - channel.updated) * channel.rate / channel.active
    channel.updated = now


@njit(cache=True)
def begin_transfer(state, number, index, gb):
    """Let a model, whose stage says so already, use a channel for that many GB."""
    _update(state, number)
    channel = state.channels[number]
    if channel.active == 0:
        channel.progress = 0.0
    state.units[index].tag = channel.progress + gb
    channel.active += 1
    _look_ahead(state, number)


@njit(cache=True)
def end_transfer(state, number):
    """Take the model that has finished off a channel. Returns its index; the caller says which stage comes next."""
    _update(state, number)
    channel = state.channels[number]
    index = channel.job
    channel.progress = state.units[index].tag
    state.units[index].stage = AWAY
    channel.active -= 1
    _look_ahead(state, number)
    return index
