"""Compiled: how a model enters GPU memory and leaves it, with the records that ranks read and the books of what happened."""

import numpy as np
from numba import njit

from ..policies.contract import ABSENT, DEPLOYED
from .events import push_event
from .state import AWAY, DELETE, EXPIRE, EXPIRES, HOLD, LOADED, NEEDS_FILE, NEEDS_ROOM, NEVER


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
    unit.stage, unit.cutoff, unit.wanted, unit.chosen = AWAY, NEVER, 0, 0


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
