"""Rules of deployed servers: which idle model leaves first, and the limits that the server comes with.

Each names the document or code that it was taken from. `with_defaults` gives a server and its models the limits that the rule's
server has where nothing else is said. Rules that choose a whole set stand in `choosers`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from numba import njit

from .models import ServedModels, Server
from .state import RULE_TYPE


@njit(RULE_TYPE, cache=True)
def no_rule(model, unit, now):
    """Rank every model alike: the least recently requested leaves first."""
    return 0.0


@njit(RULE_TYPE, cache=True)
def _shortest_keep_alive(model, unit, now):
    """The shortest keep-alive, then the name. Keep-alives are told apart to a second, up to 115 days."""
    return min(unit.ttl_s, 1e7) + 1e-4 * unit.name_order


@njit(RULE_TYPE, cache=True)
def _idle_for_its_load(model, unit, now):
    """Idle time over (load time x weight), the largest first; a busy model has been idle for no time."""
    idle = now - unit.idle_since if unit.running == 0 else 0.0
    return -idle / (max(unit.load_s, 1e-3) * unit.weight)


@njit(RULE_TYPE, cache=True)
def _largest(model, unit, now):
    """The most GPU memory first."""
    return -model.gpu_memory_gb


@dataclass(frozen=True)
class ServerRule:
    """Unload the idle model of the lowest rank first; of equal ranks, the one requested longest ago.

    Parameters
    ----------
    name, label, about
        What the command line and figures call the rule, and what it does.
    source
        Where it is written down.
    rank
        A function of a model (`policies.contract.MODEL`), its unit (`state.UNIT`) and the time in seconds, compiled to
        `state.RULE_TYPE`.
    server, models
        Limits that the server has by default, as fields of `Server` and `ServedModels`.

    Examples
    --------
    >>> SERVER_RULES["ollama"].models["ttl_s"], SERVER_RULES["ollama"].server["most_loaded"]
    (300.0, 3.0)
    """

    name: str
    label: str
    about: str
    source: str
    rank: Callable = no_rule
    server: Mapping[str, float] = field(default_factory=dict)
    models: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Chooser(Protocol):
    """Chooses the whole set that stays in GPU memory, whenever a model must be loaded."""

    @property
    def name(self) -> str:
        """The name."""
        ...

    def choose(self, requested: int, loaded: npt.NDArray[np.bool_], requests: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """The models that are loaded afterwards, bool (I,): the requested one, and of those loaded (I,) the ones that stay.

        `requests` is how often each model was asked for so far, (I,).
        """
        ...


SERVER_RULES = {
    rule.name: rule
    for rule in (
        ServerRule(
            "ollama",
            "Ollama",
            "the shortest keep-alive, then the name; 3 models, 5 minutes idle; requests in turn",
            "ollama/ollama, server/sched.go: processPending, findRunnerToUnload, ByDurationAndName; docs/faq: OLLAMA_KEEP_ALIVE",
            _shortest_keep_alive,
            {"most_loaded": 3.0, "in_turn": True},
            {"ttl_s": 300.0},
        ),
        ServerRule(
            "llama.cpp",
            "llama.cpp router",
            "the least recently used; 4 models",
            "ggml-org/llama.cpp, tools/server: router mode, --models-max; server-models.cpp: unload_lru",
            server={"most_loaded": 4.0},
        ),
        ServerRule(
            "llama-swap",
            "llama-swap",
            "one model at a time (the default group: swap and exclusive)",
            "mostlygeek/llama-swap, config.example.yaml: groups; sets and costs are in SwapSets",
            server={"most_loaded": 1.0},
        ),
        ServerRule(
            "lm-studio",
            "LM Studio",
            "keeps only the last model; unloaded after 60 minutes idle",
            "LM Studio documentation: Idle TTL and Auto-Evict",
            server={"most_loaded": 1.0},
            models={"ttl_s": 3600.0},
        ),
        ServerRule(
            "lemonade",
            "Lemonade",
            "the longest idle for its load time x weight; unloaded after 5 minutes idle",
            "lemonade-sdk/lemonade, src/cpp/server/eviction_engine.cpp: idle time / (load duration x weight)",
            _idle_for_its_load,
            models={"ttl_s": 300.0},
        ),
        ServerRule(
            "lemonade-lru",
            "Lemonade, by count",
            "the least recently used; one model of a type",
            "lemonade-sdk/lemonade, src/cpp/server/router.cpp: find_lru_server_in_pool, max_loaded_models",
            server={"most_loaded": 1.0},
        ),
        ServerRule(
            "localai",
            "LocalAI",
            "the least recently used; with its watchdog, unloaded after 15 minutes idle",
            "LocalAI documentation: VRAM and Memory Management, Runtime Settings",
            models={"ttl_s": 900.0},
        ),
        ServerRule(
            "localai-largest",
            "LocalAI, largest first",
            "the largest; unloaded after 15 minutes idle",
            "LocalAI documentation, Runtime Settings: eviction, largest first",
            _largest,
            models={"ttl_s": 900.0},
        ),
        ServerRule(
            "modelmesh",
            "ModelMesh",
            "the least recently used, as far as memory goes",
            "KServe ModelMesh documentation: each pod is a cache of models with least-recently-used eviction",
        ),
        ServerRule(
            "ray-serve",
            "Ray Serve",
            "the least recently used; 3 models of a replica",
            "Ray Serve documentation: model multiplexing, max_num_models_per_replica",
            server={"most_loaded": 3.0},
        ),
    )
}


def with_defaults(rule: Any, server: Server, models: ServedModels) -> tuple[Server, ServedModels]:
    """Give a server and its models the limits that a rule's server comes with.

    Parameters
    ----------
    rule : ServerRule
        The rule; any other one changes nothing.
    server : Server
        Its limits: where one is infinite or off, that of the rule counts.
    models : ServedModels
        Likewise for idle time-outs.

    Returns
    -------
    tuple of Server and ServedModels

    Examples
    --------
    >>> import edgecache as ec
    >>> server, models = with_defaults(SERVER_RULES["ollama"], Server(gpu_memory_gb=24), ServedModels(ec.load_catalogue()))
    >>> server.most_loaded, models.ttl_s[0]
    (3.0, np.float64(300.0))
    """
    if not isinstance(rule, ServerRule):
        return server, models
    limits: dict[str, Any] = {name: value for name, value in rule.server.items() if getattr(server, name) in (np.inf, False)}
    own = {name: getattr(models, name) for name in rule.models}
    per_model = {name: np.where(np.isinf(own[name]), value, own[name]) for name, value in rule.models.items()}
    return replace(server, **limits), models.vary(**per_model)
