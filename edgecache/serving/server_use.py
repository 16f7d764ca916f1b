"""What a server used: GPU hours, energy, traffic, and how long each model stayed in memory."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .simulation import Play
from .state import NEEDS_LOADER


class Usage(NamedTuple):
    """What a server used until now.

    Parameters
    ----------
    hours, gpu_hours, busy_hours : float
        From the start to the last event; of these, with a model in GPU memory; and with a request running.
    gpu_memory_gb_hours : float
        GPU memory x time that models held.
    energy_kwh : float
        Idle power x time + step x time with a model in GPU memory + power of each model x time that it ran.
    fetched_gb : float
        Traffic on the link.
    loads, evictions, time_outs : int
        How often a model was loaded, made room for another, or was idle for too long.

    Examples
    --------
    >>> Usage(24.0, 6.0, 1.0, 48.0, 3.5, 16.0, 9, 2, 7).gpu_hours
    6.0
    """

    hours: float
    gpu_hours: float
    busy_hours: float
    gpu_memory_gb_hours: float
    energy_kwh: float
    fetched_gb: float
    loads: int
    evictions: int
    time_outs: int


def usage(play: Play) -> Usage:
    """Add up what a server used.

    Parameters
    ----------
    play : Play
        The server; of a `ServingRun`, its `play`.

    Returns
    -------
    Usage

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.serving import Arrivals, ServedModels, Server, serve
    >>> one = ServedModels(ec.Catalogue(("chat",), [4], [4], [0.2], [100], [3500]))
    >>> run = serve(Server(idle_kw=0.1, step_kw=0.05), one, Arrivals([0], [0], [3500]))
    >>> used = usage(run.play)
    >>> used.gpu_hours, round(used.energy_kwh, 4)
    (1.0, 0.3444)
    """
    world, units, server = play.state.world[0], play.state.units, play.server
    now = float(world["now"])
    on_s = float(world["on_s"]) + (now - float(world["on_since"]) if world["resident"] else 0.0)
    busy_s = float(world["busy_s"]) + (now - float(world["busy_since"]) if world["busy"] else 0.0)
    running = units["running"] > 0
    work_kws = float(world["work_kws"]) + float(((now - units["busy_since"]) * play.models.catalogue.power_kw)[running].sum())
    held = units["stage"] >= NEEDS_LOADER
    held_gb_s = float(world["held_gb_s"]) + float(((now - units["held_since"]) * play.models.catalogue.gpu_memory_gb)[held].sum())
    return Usage(
        now / 3600,
        on_s / 3600,
        busy_s / 3600,
        held_gb_s / 3600,
        (server.idle_kw * now + server.step_kw * on_s + work_kws) / 3600,
        float(world["fetched_gb"]),
        *(int(units[name].sum()) for name in ("loads", "evictions", "expiries")),
    )


def residence(play: Play) -> pd.DataFrame:
    """Tell how long each model stayed in memory.

    Parameters
    ----------
    play : Play
        The server.

    Returns
    -------
    DataFrame
        One row per model: `service`, `requests`, `loaded_share` and `busy_share` of the time, `fetches`, `loads`, `evictions`,
        `time_outs`.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.serving import Arrivals, ServedModels, Server, serve
    >>> run = serve(Server(), ServedModels(ec.load_catalogue()), Arrivals([0], [0], [8]))
    >>> residence(run.play)[["service", "loads"]].head(2).values.tolist()
    [['text_to_image', 1], ['text_generation', 0]]
    """
    units, now = play.state.units, float(play.state.world["now"][0])
    held_s = units["held_s"] + np.where(units["stage"] >= NEEDS_LOADER, now - units["held_since"], 0.0)
    busy_s = units["busy_s"] + np.where(units["running"] > 0, now - units["busy_since"], 0.0)
    return pd.DataFrame(
        {
            "service": play.models.catalogue.services,
            "requests": play.state.models["requests"][:-1],
            "loaded_share": held_s / max(now, 1e-12),
            "busy_share": busy_s / max(now, 1e-12),
            "fetches": units["fetches"],
            "loads": units["loads"],
            "evictions": units["evictions"],
            "time_outs": units["expiries"],
        }
    )
