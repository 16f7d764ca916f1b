"""Compiled: who must leave so that a model finds room, in GPU memory and on disk.

Idle models leave first, the lowest rank before others. Where they do not suffice, busy ones are told to leave: they serve the
requests that came before the one that waits, and go; where others become idle meanwhile and suffice, they stay. Loading models,
pinned ones and bases in use never leave.

So the first in the line for GPU memory waits for nothing but services and loads, which end by themselves. The first in the line for
disk waits at most for the line for GPU memory. Everybody else waits for the first of a line. Nobody waits in a circle.
"""

import numpy as np
from numba import njit

from .memory import delete_file, unload
from .requests import serve_waiting
from .state import AWAY, EVICT, LOADED, NEEDS_FILE, NEEDS_LOADER, NEEDS_ROOM, NEVER, QUEUE_ORDER, SERVER_RULE

_SLACK = 1e-9  # of room, for rounding


@njit(cache=True)
def _value(state, index, rank, rule):
    """What a policy makes of a model: the lowest leaves first."""
    world = state.world[0]
    if world.victims == SERVER_RULE:
        value = rule(state.models[index], state.units[index], world.now)
    else:
        value = rank(state.models[index], state.server[0])
    if np.isnan(value):
        world.not_a_rank = 1
    return value


@njit(cache=True)
def _may_leave(unit, busy, with_file):
    """Is it an idle model that nothing holds, or where `busy` one that works and was not told to leave?"""
    works = unit.running > 0 or unit.waiting > 0
    held = unit.pinned or unit.users > 0 or unit.cutoff < NEVER or (with_file and unit.file_users > 0)
    return unit.stage == LOADED and works == busy and not held


@njit(cache=True)
def victim(state, head, busy, with_file, rank, rule):
    """Find the model of the lowest rank that may leave for the first in line, the foremost in the queue of equal ones; -1 if none.

    A busy model leaves only for one of at least its priority: otherwise it would come back and drive the other out again.
    """
    queue, world = state.models.size - 1, state.world[0]
    spared, priority = state.units[head].base, state.units[head].priority
    best, lowest, below = -1, np.inf, np.inf
    candidate = state.models[queue].behind
    while candidate != queue:
        outranked = not busy or state.units[candidate].priority >= priority
        if candidate != spared and outranked and _may_leave(state.units[candidate], busy, with_file):
            if world.victims == QUEUE_ORDER:
                return candidate
            value = _value(state, candidate, rank, rule)
            if value < below or best < 0:
                best, lowest = candidate, value
                below = value - 1e-12 * abs(value)
        candidate = state.models[candidate].behind
    if best >= 0 and not busy and world.victims != SERVER_RULE:
        state.server[0].aging = lowest
    return best


@njit(cache=True)
def _drain(state, index, ticket):
    """Tell a busy model to leave once it has served the requests that came before the one that waits."""
    state.units[index].cutoff = ticket
    serve_waiting(state, index)


@njit(cache=True)
def _carry_out(state, head):
    """Let the models go that a planner has chosen to, in favour of the first in line. Returns whether they have all gone."""
    gone = True
    for index in range(state.units.size):
        unit = state.units[index]
        if unit.chosen:
            if _may_leave(unit, False, False):
                unload(state, index, EVICT)
            elif _may_leave(unit, True, False):
                _drain(state, index, state.units[head].ticket)
            gone = gone and not unit.chosen
    return gone


@njit(cache=True)
def _lacks(state, memory_gb, power_kw, count):
    """Is there less room in GPU memory than that?"""
    world, server = state.world[0], state.server[0]
    return (
        memory_gb > server.gpu_memory_gb + _SLACK
        or power_kw > server.power_kw + _SLACK
        or world.resident + count > world.most_resident
    )


@njit(cache=True)
def _would_lack(state, index, memory_gb, power_kw, count, draining):
    """Would there be less room than that if the idle models left that may, or those that were told to leave (`draining`)?"""
    for other in range(state.units.size):
        unit = state.units[other]
        drains = unit.stage == LOADED and unit.cutoff < NEVER
        if drains if draining else (_may_leave(unit, False, False) and other != state.units[index].base):
            memory_gb -= state.models[other].gpu_memory_gb
            power_kw -= state.models[other].power_kw
            count -= 1
    return _lacks(state, memory_gb, power_kw, count)


@njit(cache=True)
def _let_stay(state):
    """Let the models stay after all that were told to leave and are not needed any more; a planner's decision stands."""
    for index in range(state.units.size):
        unit = state.units[index]
        if unit.cutoff < NEVER and not unit.leaves_disk and unit.stage == LOADED:
            unit.cutoff = NEVER
            serve_waiting(state, index)


@njit(cache=True)
def make_room(state, index, rank, rule):
    """Make room in GPU memory for the first in line and for its base. Returns whether there is room now."""
    model, base = state.models[index], state.units[index].base
    memory_gb, power_kw, count = model.gpu_memory_gb, model.power_kw, 1
    if base >= 0 and state.units[base].stage < NEEDS_LOADER:
        memory_gb += state.models[base].gpu_memory_gb
        power_kw += state.models[base].power_kw
        count += 1
    if state.world[0].asks and not _carry_out(state, index):
        return False
    while _lacks(state, memory_gb, power_kw, count):
        leaving = not _would_lack(state, index, memory_gb, power_kw, count, True)
        if leaving and _would_lack(state, index, memory_gb, power_kw, count, False):
            return False  # those that were told to leave suffice, and nothing idle has come to suffice meanwhile
        idle = victim(state, index, False, False, rank, rule)
        if idle >= 0:
            unload(state, idle, EVICT)
            continue
        busy = victim(state, index, True, False, rank, rule)
        if busy < 0:
            return False
        _drain(state, busy, state.units[index].ticket)
    if not state.world[0].asks:
        _let_stay(state)
    return True


@njit(cache=True)
def _idle_file(state, index, rank, rule):
    """Find the file of the lowest rank that may go, the least recently requested of equal ones; -1 if there is none."""
    base = state.units[index].base
    best, lowest = -1, np.inf
    for other in range(state.units.size):
        unit = state.units[other]
        unused = (unit.stage in (AWAY, NEEDS_FILE)) and unit.has_file and unit.file_users == 0
        if unused and not unit.pinned and other not in (index, base):
            value = 0.0 if state.world[0].victims == QUEUE_ORDER else _value(state, other, rank, rule)
            last = state.models[other].last_request
            if best < 0 or value < lowest or (value == lowest and last < state.models[best].last_request):
                best, lowest = other, value
    return best


@njit(cache=True)
def make_disk_room(state, index, needed_gb, rank, rule):
    """Make room on disk for the first in line. Returns whether there is room now.

    Files of models that are away go first, then idle models with their files. Where these do not suffice, busy ones drain, and take
    their files along.
    """
    server, unit = state.server[0], state.units[index]
    while server.storage_gb + _SLACK < needed_gb:
        coming = server.storage_gb + _SLACK
        for other in range(state.units.size):
            if state.units[other].leaves_disk:
                coming += state.models[other].size_gb
        if coming >= needed_gb:
            return False
        file = _idle_file(state, index, rank, rule)
        if file >= 0:
            delete_file(state, file)
            continue
        idle = victim(state, index, False, True, rank, rule)
        if idle >= 0:
            state.units[idle].leaves_disk = 1
            unload(state, idle, EVICT)
            continue
        busy = victim(state, index, True, True, rank, rule)
        if busy < 0:
            return False
        state.units[busy].leaves_disk = 1
        _drain(state, busy, unit.ticket)
    return True


@njit(cache=True)
def first_in_line(state, stage):
    """Find the model of that stage with the highest priority and, of those, the oldest request; -1 if there is none."""
    best = -1
    for index in range(state.units.size):
        unit = state.units[index]
        if unit.stage != stage or (unit.base >= 0 and not _base_is_ready(state, unit, stage)):
            continue
        if best < 0:
            best = index
        else:
            head = state.units[best]
            if unit.priority < head.priority or (unit.priority == head.priority and unit.ticket < head.ticket):
                best = index
    return best


@njit(cache=True)
def _base_is_ready(state, unit, stage):
    """Has the base of an adapter come far enough for the adapter to go on?"""
    base = state.units[unit.base]
    if stage == NEEDS_ROOM:
        return base.has_file == 1
    if stage == NEEDS_LOADER:
        return base.stage == LOADED
    return True
