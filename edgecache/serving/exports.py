"""Files that configure deployed servers as a plan says: llama-swap's YAML, and Ollama's environment and keep-alives."""

import json
from typing import Any

import numpy as np

from ..errors import require
from .arrivals import Arrivals
from .models import ServedModels, Server

_COMMAND = "llama-server --port ${PORT} --model /models/"


def sets_that_fit(server: Server, models: ServedModels, arrivals: Arrivals) -> list[list[int]]:
    """List sets of models that fit the GPU memory together: for each model, those beside it that save most waiting.

    Parameters
    ----------
    server, models
        Memory, and how many models may be loaded.
    arrivals : Arrivals
        How often each model is asked for.

    Returns
    -------
    list of list of int
        Indices of models, no set within another; the first is the one that saves most.

    Examples
    --------
    >>> import edgecache as ec
    >>> models = ServedModels(ec.Catalogue(("a", "b", "c"), [1] * 3, [4, 4, 8], [0] * 3, [1, 1, 1], [1] * 3))
    >>> sets_that_fit(Server(gpu_memory_gb=8), models, Arrivals([0, 1, 2], [0, 0, 1], [1, 1, 1]))
    [[0, 1], [2]]
    """
    saved = np.bincount(arrivals.model, minlength=len(models)) * server.load_s(models)
    memory, fits = models.memory_gb, server.fits(models)
    value = saved / np.maximum(memory, 1e-9)
    order = sorted(np.flatnonzero(fits).tolist(), key=lambda index: (-value[index], index))
    sets: list[list[int]] = []
    for first in order:
        chosen, left = [first], server.gpu_memory_gb - memory[first]
        for other in order:
            if other != first and memory[other] <= left + 1e-9 and len(chosen) < server.most_loaded:
                chosen.append(other)
                left -= memory[other]
        sets.append(sorted(chosen))
    largest = [group for group in sets if not any(set(group) < set(other) for other in sets)]
    unique = [list(group) for group in dict.fromkeys(map(tuple, largest))]
    return sorted(unique, key=lambda group: -saved[group].sum())


def llama_swap_yaml(server: Server, models: ServedModels, arrivals: Arrivals) -> str:
    """Write the configuration of llama-swap: commands to fill in, idle time-outs, models that fit together, and what to preload.

    Parameters
    ----------
    server, models, arrivals
        The plan, and the log that it was made for.

    Returns
    -------
    str
        YAML with `models` (cmd, ttl), `matrix` (vars, evict_costs, sets) and `hooks` (preload).

    Raises
    ------
    InputError
        Where PyYAML is missing.

    Examples
    --------
    >>> import edgecache as ec
    >>> models = ServedModels(ec.Catalogue(("chat",), [4], [4], [0.2], [9], [4]), ttl_s=300.0)
    >>> print(llama_swap_yaml(Server(gpu_memory_gb=8), models, Arrivals([0], [0], [4])).split("matrix")[0])
    models:
      chat:
        cmd: llama-server --port ${PORT} --model /models/chat.gguf
        ttl: 300
    <BLANKLINE>

    Notes
    -----
    mostlygeek/llama-swap, config.example.yaml and config-schema.json. A model's `ttl` of 0 is never. A set in `matrix` holds models
    that may run together; `evict_costs` are load times in whole seconds.
    """
    services, fits = models.catalogue.services, server.fits(models)
    short = {index: f"m{index}" for index in np.flatnonzero(fits).tolist()}
    sets = sets_that_fit(server, models, arrivals)
    load_s = server.load_s(models)
    config: dict[str, Any] = {
        "models": {
            services[index]: {"cmd": f"{_COMMAND}{services[index]}.gguf", "ttl": _whole_seconds(models.ttl_s[index])}
            for index in short
        },
        "matrix": {
            "vars": {name: services[index] for index, name in short.items()},
            "evict_costs": {name: max(1, round(float(load_s[index]))) for index, name in short.items()},
            "sets": {f"set{number}": " & ".join(short[index] for index in group) for number, group in enumerate(sets, start=1)},
        },
        "hooks": {"on_startup": {"preload": [services[index] for index in sets[0]] if sets else []}},
    }
    yaml = require("yaml", "serving", "the configuration of llama-swap")
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)


def ollama_json(server: Server, models: ServedModels) -> str:
    """Write Ollama's environment, and a request per model that sets its keep-alive.

    Parameters
    ----------
    server, models
        The plan.

    Returns
    -------
    str
        JSON: `environment`, variables of `ollama serve`; `requests`, bodies for POST /api/generate, which load a model and set how
        long it stays.

    Examples
    --------
    >>> import edgecache as ec
    >>> models = ServedModels(ec.Catalogue(("chat",), [4], [4], [0.2], [9], [4]), ttl_s=300.0)
    >>> json.loads(ollama_json(Server(gpu_memory_gb=8), models))["requests"]
    [{'model': 'chat', 'keep_alive': '300s'}]

    Notes
    -----
    Ollama's FAQ (OLLAMA_KEEP_ALIVE, OLLAMA_MAX_LOADED_MODELS, OLLAMA_NUM_PARALLEL) and API documentation (`keep_alive`; a negative
    number is for ever).
    """
    fits = server.fits(models)
    # without a limit of its own Ollama takes three per GPU; so many as there are never bind
    most = int(min(server.most_loaded, fits.sum()))
    environment = {
        "OLLAMA_MAX_LOADED_MODELS": str(max(most, 1)),
        "OLLAMA_NUM_PARALLEL": str(int(models.parallel.max())),
        "OLLAMA_KEEP_ALIVE": _duration(float(np.max(models.ttl_s))),
    }
    keep_alive = [-1 if np.isinf(ttl_s) else _duration(ttl_s) for ttl_s in models.ttl_s]
    requests = [{"model": models.catalogue.services[index], "keep_alive": keep_alive[index]} for index in np.flatnonzero(fits)]
    return json.dumps({"environment": environment, "requests": requests}, indent=2) + "\n"


def _whole_seconds(ttl_s: float) -> int:
    """A time-out in whole seconds as llama-swap reads it: at least 1, and 0 for never."""
    return 0 if np.isinf(ttl_s) else max(1, round(float(ttl_s)))


def _duration(ttl_s: float) -> str:
    """A time-out as a duration of Go; -1 for ever."""
    return "-1" if np.isinf(ttl_s) else f"{round(float(ttl_s))}s"
