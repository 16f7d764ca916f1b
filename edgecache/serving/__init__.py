"""What users wait on a real server: models take time to fetch and load, requests queue, idle models are unloaded.

For operators, apart from the paper: nothing imports this room but `cli`, and none of it is a switch of `Scenario`. `serve` plays a
timed trace on a `Server` that offers `ServedModels`; `serve_parts` does so for a trace that is larger than memory.

    models, arrivals       the server's limits, its models, and the requests of a trace, such as `read_trace` returns
    simulation             play a trace, as a whole or in parts
    waits, server_use      what users waited, with intervals; what the server used
    rules                  who must leave: the rules of deployed servers, besides every eviction policy of the package
    choosers               rules that choose the whole set that stays: llama-swap's groups and solver, the planners of the package
    time_outs              how long to keep an idle model
    wait_bounds            the least mean wait that memory allows any rule
    targets, planning      what to buy so that users wait no longer than a target
    cards, exports         a table of GPU cards; files that configure deployed servers

and, compiled: state (the records), start (before the first request), events (the clock), memory, requests, room (who leaves),
loading (lines, fetches, loads), event_loop. How it works, and why nobody waits for ever:

- A model stands in line for room on disk, is fetched over the link, stands in line for GPU memory, and is loaded. Requests for it
  wait meanwhile, and share its load (delayed hits). It then serves `parallel` of them at once, in the order of arrival.
- Only the first in a line takes room, so a small model does not overtake a large one. Lines are ordered by priority, then by the
  age of the oldest request.
- Idle models leave first, lowest rank first. Where they do not suffice, busy ones are told to leave: they serve the requests that
  came before the one that waits for room, and go. Their later requests stand in line again. Loading models never leave.

To add a rule, write a function of a model, its unit and the time, and add a row to `rules.SERVER_RULES`.
"""

from importlib import import_module
from typing import Any

_MODULES = {  # module: its public names, loaded on first use
    "arrivals": ("Arrivals", "drawn_service_times"),
    "cards": ("Card", "read_cards"),
    "choosers": ("PlannedServing", "SwapGroup", "SwapGroups", "SwapSets"),
    "models": ("ServedModels", "Server"),
    "exports": ("llama_swap_yaml", "ollama_json", "sets_that_fit"),
    "planning": ("Plan", "plan_server"),
    "rules": ("SERVER_RULES", "ServerRule", "with_defaults"),
    "server_use": ("Usage", "residence", "usage"),
    "simulation": ("Play", "ServingRun", "serve", "serve_parts"),
    "targets": ("Target", "halves"),
    "time_outs": (
        "hazard_time_out",
        "idle_gaps",
        "keep_alive_cost",
        "least_keep_alive_cost",
        "rent_or_buy_time_out",
        "time_outs_of",
    ),
    "wait_bounds": ("least_mean_wait",),
    "waits": ("Waits", "waits_of_replications"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_MODULE_OF)  # noqa: PLE0605, a list of the names above


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
