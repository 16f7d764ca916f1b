"""Compiled: the lines that models stand in on their way into GPU memory, and the fetches and loads themselves."""

import numpy as np
from numba import njit

from .events import begin_transfer, push_event
from .memory import go_away, hold_base_file, hold_memory, log_event
from .requests import serve_waiting
from .room import first_in_line, make_disk_room, make_room
from .state import (
    ASK,
    AWAY,
    BUS,
    COPYING,
    DISK,
    FETCH,
    FETCHING,
    FINISHED,
    LINK,
    LOAD,
    LOADED,
    NEEDS_FILE,
    NEEDS_LINK,
    NEEDS_LOADER,
    NEEDS_ROOM,
    NEVER,
    READING,
    RESERVE,
    STARTED,
    STARTING,
)


@njit(cache=True)
def settle(state, rank, rule):
    """Let everybody who stands in a line go on as far as possible. Returns FINISHED, or ASK where a planner must decide first."""
    world = state.world[0]
    while world.dirty:
        world.dirty = 0
        if world.need_file > 0:
            _serve_disk_line(state, rank, rule)
        while world.need_link > 0 and world.fetching < world.fetch_slots:
            _begin_fetch(state, first_in_line(state, NEEDS_LINK))
        if world.need_room > 0 and _serve_memory_line(state, rank, rule) == ASK:
            return ASK
        if world.in_turn:
            _move_barrier(state)
        while world.need_loader > 0 and world.loading < world.load_slots:
            index = first_in_line(state, NEEDS_LOADER)
            if index < 0:
                break
            _begin_load(state, index)
    return FINISHED


@njit(cache=True)
def _serve_memory_line(state, rank, rule):
    """Give GPU memory to the first in line as long as there is room or can be made. Returns ASK where a planner must decide."""
    world = state.world[0]
    while world.need_room > 0:
        index = first_in_line(state, NEEDS_ROOM)
        if index < 0:
            return FINISHED
        if world.asks and not state.units[index].answered:
            world.asked, world.dirty = index, 1
            return ASK
        if not make_room(state, index, rank, rule):
            return FINISHED
        _grant_room(state, index)
        if world.asks:  # what was decided for others was decided before this
            for other in range(state.units.size):
                state.units[other].answered = 0
    return FINISHED


@njit(cache=True)
def _move_barrier(state):
    """Let requests start that came before the first in the line for GPU memory, or all where nobody stands there."""
    world, index = state.world[0], first_in_line(state, NEEDS_ROOM)
    before, world.barrier = world.barrier, NEVER if index < 0 else state.units[index].ticket
    if world.barrier > before:
        for other in range(state.units.size):
            if state.units[other].stage == LOADED and state.units[other].waiting > 0:
                serve_waiting(state, other)


@njit(cache=True)
def _missing_gb(state, index):
    """How much disk a model needs that is neither there nor on its way."""
    unit = state.units[index]
    return 0.0 if unit.has_file or unit.stage in (NEEDS_LINK, FETCHING) else state.models[index].size_gb


@njit(cache=True)
def _serve_disk_line(state, rank, rule):
    """Give disk room to the first in line, and to its base, as long as there is room or can be made."""
    world = state.world[0]
    while world.need_file > 0:
        index = first_in_line(state, NEEDS_FILE)
        unit = state.units[index]
        needed = _missing_gb(state, index)
        if unit.base >= 0:
            needed += _missing_gb(state, unit.base)
        if not make_disk_room(state, index, needed, rank, rule):
            return
        hold_base_file(state, index)
        if unit.base >= 0 and _missing_gb(state, unit.base) > 0.0:
            base = state.units[unit.base]
            if base.stage == NEEDS_FILE:
                world.need_file -= 1
            else:
                base.wanted = 0
            base.ticket = unit.ticket
            _reserve_disk(state, unit.base)
        world.need_file -= 1
        if unit.has_file:
            unit.stage = NEEDS_ROOM
            world.need_room += 1
        else:
            _reserve_disk(state, index)


@njit(cache=True)
def _reserve_disk(state, index):
    """Take the disk room of a model that goes to the link next."""
    state.server[0].storage_gb -= state.models[index].size_gb
    state.units[index].stage = NEEDS_LINK
    state.world[0].need_link += 1
    log_event(state, RESERVE, index)


@njit(cache=True)
def _begin_fetch(state, index):
    """Start to fetch a file from the cloud."""
    world, unit = state.world[0], state.units[index]
    world.need_link -= 1
    world.fetching += 1
    unit.stage, unit.fetch_from = FETCHING, world.now
    if state.channels[LINK].rate < np.inf:
        begin_transfer(state, LINK, index, state.models[index].size_gb)
    else:
        end_fetch(state, index)


@njit(cache=True)
def end_fetch(state, index):
    """Have a file on disk; its model goes on to the line for GPU memory, if a request waits for it."""
    world, unit = state.world[0], state.units[index]
    world.fetching -= 1
    world.fetched_gb += state.models[index].size_gb
    unit.has_file, unit.fetch_to = 1, world.now
    unit.fetches += 1
    log_event(state, FETCH, index)
    if unit.wanted:
        unit.stage = NEEDS_ROOM
        world.need_room += 1
    else:
        unit.stage = AWAY
    world.dirty = 1


@njit(cache=True)
def _grant_room(state, index):
    """Give a model, and its base where that is not there yet, room in GPU memory; both go on to the loader."""
    world, unit = state.world[0], state.units[index]
    if unit.base >= 0 and state.units[unit.base].stage < NEEDS_LOADER:
        base = state.units[unit.base]
        if base.stage == NEEDS_ROOM:
            world.need_room -= 1
        base.ticket = min(base.ticket, unit.ticket) if base.waiting > 0 else unit.ticket
        base.stage = NEEDS_LOADER
        world.need_loader += 1
        hold_memory(state, unit.base)
    world.need_room -= 1
    unit.stage = NEEDS_LOADER
    world.need_loader += 1
    hold_memory(state, index)


@njit(cache=True)
def _begin_load(state, index):
    """Start to load a model from disk into the GPU memory that it holds."""
    world, unit = state.world[0], state.units[index]
    world.need_loader -= 1
    world.loading += 1
    unit.stage, unit.load_from = READING, world.now
    if unit.base >= 0:
        base = state.units[unit.base]
        if base.load_to > unit.held_since:  # the base was loaded while this model waited
            unit.load_from = max(unit.held_since, base.load_from)
        if base.fetch_to > unit.fetch_to:
            unit.fetch_from, unit.fetch_to = min(unit.fetch_from, base.fetch_from), base.fetch_to
    if unit.read_gb > 0.0 and state.channels[DISK].rate < np.inf:
        begin_transfer(state, DISK, index, unit.read_gb)
    else:
        end_read(state, index)


@njit(cache=True)
def end_read(state, index):
    """Have a model read; it is copied over the bus next."""
    unit = state.units[index]
    unit.stage = COPYING
    if unit.read_gb > 0.0 and state.channels[BUS].rate < np.inf:
        begin_transfer(state, BUS, index, unit.read_gb)
    else:
        end_copy(state, index)


@njit(cache=True)
def end_copy(state, index):
    """Have a model copied; it starts next, which shares nothing with other loads."""
    unit = state.units[index]
    unit.stage = STARTING
    if unit.start_s > 0.0:
        push_event(state, state.world[0].now + unit.start_s, STARTED, index)
    else:
        end_load(state, index)


@njit(cache=True)
def end_load(state, index):
    """Have a model loaded, and serve those that wait for it."""
    world, unit = state.world[0], state.units[index]
    world.loading -= 1
    unit.stage, unit.load_to = LOADED, world.now
    unit.loads += 1
    log_event(state, LOAD, index)
    world.dirty = 1
    serve_waiting(state, index)


@njit(cache=True)
def leave_line(state, index):
    """Take a model that nobody waits for any more out of the line for disk or GPU memory."""
    world, unit = state.world[0], state.units[index]
    if unit.stage == NEEDS_FILE:
        world.need_file -= 1
    else:
        world.need_room -= 1
    go_away(state, index)
    world.dirty = 1
