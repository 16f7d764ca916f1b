"""What the compiled simulation of a server keeps: one record per model, per request in flight, and for the server as a whole.

The fields that an eviction rank of the package reads stand in records of `policies.contract.MODEL` and `SERVER`, updated as the
paper's loop updates them. `UNIT` holds what only a server with loading times has. Times are seconds, sizes GB.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import from_dtype, types

from ..policies.contract import MODEL, MODEL_TYPE, SERVER, SERVER_TYPE
from ..trace import NEVER

# Where a model is on its way into GPU memory, in order.
AWAY = 0  # nobody waits for it
NEEDS_FILE = 1  # in line for room on disk
NEEDS_LINK = 2  # has that room, in line for the link
FETCHING = 3
NEEDS_ROOM = 4  # in line for GPU memory
NEEDS_LOADER = 5  # has that room, in line to be loaded
READING = 6  # from disk
COPYING = 7  # over the bus
STARTING = 8  # the part of a load that shares nothing
LOADED = 9

# Kinds of events at one moment, in order; channels and arrivals come between STARTED and EXPIRES.
DONE, STARTED, EXPIRES, BATCH, PATIENCE = range(5)
LINK, DISK, BUS = range(3)  # the channels
HIT, DELAYED, MISS, CLOUD = range(4)  # what a request met
RESERVE, FETCH, HOLD, LOAD, EVICT, EXPIRE, DELETE = range(7)  # what the log books: disk room taken, fetched, memory taken, ...
QUEUE_ORDER, PACKAGE_RANK, SERVER_RULE = range(3)  # how victims are found
FINISHED, ASK, NOT_A_RANK = range(3)  # why the compiled loop returned

UNIT = np.dtype(
    [
        ("stage", np.int64),
        ("running", np.int64),  # places in use
        ("parallel", np.int64),  # places
        ("batch", np.int64),  # most requests in one place
        ("waiting", np.int64),
        ("first", np.int64),  # of the waiting requests, in `POOL`; -1 if there is none
        ("last", np.int64),
        ("cutoff", np.int64),  # a model that must leave serves requests up to this number; NEVER if it may stay
        ("ticket", np.int64),  # number of the oldest request that waits; the place in every line
        ("priority", np.int64),  # lower stands further ahead in every line
        ("base", np.int64),  # the model whose memory it needs besides its own, or -1
        ("users", np.int64),  # models in GPU memory that need this one as base
        ("file_users", np.int64),  # models on their way to or in GPU memory that need this one's file
        ("has_file", np.int64),
        ("pinned", np.int64),
        ("leaves_disk", np.int64),  # its file goes with it when it has drained
        ("wanted", np.int64),  # a request of its own asked for it
        ("chosen", np.int64),  # a planner lets it go
        ("answered", np.int64),  # a planner has decided for it
        ("timer", np.int64),  # is a time-out in the heap?
        ("batch_timer", np.int64),
        ("patience_timer", np.int64),
        ("loads", np.int64),
        ("fetches", np.int64),
        ("evictions", np.int64),
        ("expiries", np.int64),
        ("ttl_s", np.float64),
        ("batch_wait_s", np.float64),
        ("batch_cost", np.float64),
        ("read_gb", np.float64),
        ("start_s", np.float64),
        ("load_s", np.float64),  # on an idle server
        ("weight", np.float64),
        ("name_order", np.float64),  # place of the name in alphabetical order
        ("tag", np.float64),  # where the channel's progress stands when it has finished
        ("idle_since", np.float64),
        ("held_since", np.float64),
        ("busy_since", np.float64),
        ("held_s", np.float64),
        ("busy_s", np.float64),
        ("fetch_from", np.float64),
        ("fetch_to", np.float64),
        ("load_from", np.float64),
        ("load_to", np.float64),
    ],
    align=True,
)

WORLD = np.dtype(
    [
        ("now", np.float64),
        ("sequence", np.int64),  # of events, so that equal ones keep their order
        ("events", np.int64),  # in the heap
        ("played", np.int64),  # events so far
        ("free", np.int64),  # first free record of the pool
        ("in_flight", np.int64),
        ("reported", np.int64),  # requests that left, as rows of `out`
        ("logged", np.int64),
        ("dirty", np.int64),  # may somebody in a line go on?
        ("need_file", np.int64),  # how many models stand in each line
        ("need_link", np.int64),
        ("need_room", np.int64),
        ("need_loader", np.int64),
        ("fetching", np.int64),
        ("loading", np.int64),
        ("fetch_slots", np.int64),
        ("load_slots", np.int64),
        ("resident", np.int64),  # models that hold GPU memory
        ("most_resident", np.int64),
        ("busy", np.int64),  # models that run
        ("one_tier", np.int64),
        ("by_request", np.int64),
        ("victims", np.int64),  # QUEUE_ORDER, PACKAGE_RANK or SERVER_RULE
        ("asks", np.int64),
        ("asked", np.int64),
        ("not_a_rank", np.int64),
        ("in_turn", np.int64),
        ("barrier", np.int64),  # requests after this number wait for the first in the line for GPU memory; NEVER if none does
        ("cloud_cold", np.int64),
        ("cloud_queue", np.int64),
        ("cloud_after_s", np.float64),
        ("cloud_delay_s", np.float64),
        ("next_transfer", np.float64),
        ("on_since", np.float64),
        ("on_s", np.float64),
        ("busy_since", np.float64),
        ("busy_s", np.float64),
        ("fetched_gb", np.float64),
        ("held_gb_s", np.float64),
        ("work_kws", np.float64),
    ],
    align=True,
)

CHANNEL = np.dtype(
    [
        ("rate", np.float64),  # GB/s, shared alike by those that use it
        ("progress", np.float64),  # GB that each of them has moved since the channel was last idle
        ("updated", np.float64),
        ("next", np.float64),
        ("active", np.int64),
        ("job", np.int64),
    ],
    align=True,
)

POOL = np.dtype(
    [
        ("arrival_s", np.float64),
        ("service_s", np.float64),
        ("start_s", np.float64),
        ("request", np.int64),
        ("model", np.int64),
        ("outcome", np.int64),
        ("next", np.int64),
    ],
    align=True,
)

EVENT = np.dtype([("time", np.float64), ("order", np.int64), ("what", np.int64)], align=True)

# One row per request that left the server.
SERVED = np.dtype(
    [
        ("request", np.int64),
        ("model", np.int64),
        ("outcome", np.int64),
        ("arrival_s", np.float64),
        ("wait_s", np.float64),
        ("queue_s", np.float64),
        ("fetch_s", np.float64),
        ("load_s", np.float64),
        ("service_s", np.float64),
    ],
    align=True,
)
LOGGED = np.dtype([("time", np.float64), ("model", np.int64), ("what", np.int64)], align=True)


class State(NamedTuple):
    """Everything that the compiled loop reads and writes."""

    models: npt.NDArray  # MODEL (I + 1,), as the paper's loop has them
    server: npt.NDArray  # SERVER (1,)
    units: npt.NDArray  # UNIT (I,)
    world: npt.NDArray  # WORLD (1,)
    channels: npt.NDArray  # CHANNEL (3,)
    heap: npt.NDArray  # EVENT
    pool: npt.NDArray  # POOL
    out: npt.NDArray  # SERVED
    log: npt.NDArray  # LOGGED


UNIT_TYPE = from_dtype(UNIT)
RULE_TYPE = types.float64(MODEL_TYPE, UNIT_TYPE, types.float64)  # the signature of a rule of a deployed server
_ROWS = (MODEL_TYPE, SERVER_TYPE, *(from_dtype(kind) for kind in (UNIT, WORLD, CHANNEL, EVENT, POOL, SERVED, LOGGED)))
STATE_TYPE = types.NamedTuple([row[::1] for row in _ROWS], State)
__all__ = ["MODEL", "NEVER", "SERVER"]
