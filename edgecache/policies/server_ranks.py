"""Eviction rules of deployed model servers, as ranks. Each names the server that uses it, and where its source says so.

These rules are a rank in this model, so they are policies here. LRU is what llama.cpp's router, ModelMesh and Ray Serve use: `lru`.
Parts of those servers that are no rank are left out: limits on the number of models (llama.cpp, Ray Serve, LocalAI), idle
time-outs (Ollama, LM Studio, Lemonade, LocalAI, llama-swap's ttl), pins and priorities, groups of models that exclude each other,
and waiting for a busy model. `serving/` has time, and with it the place for these.
"""

from numba import njit

from .contract import RANK_TYPE
from .ranks import listed


@njit(RANK_TYPE, cache=True)
def _llama_swap(model, server):
    """Cheapest reload (llama-swap, internal/matrix/program.go at 0bdb372): evict the set of lowest cost.

    There each model has a cost in the configuration; here the cost is the time to load the model again, 8 s / B + l. Models leave
    one by one here, not as the cheapest set.
    """
    return model.fetch_delay_s


@njit(RANK_TYPE, cache=True)
def _lemonade(model, server):
    """Idle over load time (Lemonade, docs/guide/configuration/multi-model.md at e385039): evict the highest idle / (load x weight).

    All weights are 1. Idle time is counted in requests, which gives the same order at every moment.
    """
    return (model.last_request - server.clock) / model.fetch_delay_s


@njit(RANK_TYPE, cache=True)
def _localai_largest(model, server):
    """Largest first (LocalAI's option SizeAwareEviction, pkg/model/watchdog.go at 82c191a): evict the largest model file."""
    return -model.size_gb


@njit(RANK_TYPE, cache=True)
def _ollama(model, server):
    """Shortest keep-alive (Ollama, ByDurationAndName in server/sched.go at fb30760): the shortest goes, then the first name.

    All keep-alives are alike by default, so that the order of the names decides; here it is the catalogue's order.
    """
    return model.index


SERVER_POLICIES = (
    listed("llama-swap", _llama_swap),
    listed("lemonade", _lemonade),
    listed("localai-largest", _localai_largest),
    listed("ollama", _ollama, rising=True),
)
