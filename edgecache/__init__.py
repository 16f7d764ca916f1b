"""Which generative AI models should an edge server keep deployed?

The root is the paper; a room is an audience. To read the paper, read in this order:

    catalogue, scenario    the models, the server, and how the paper's lost symbols are read
    demand, costs          the requests; equations 1 to 12, one function each
    accounting             what each event of a trace costs under a reading
    policies/              who decides: eviction policies, Algorithm 1, the exact optimum, the bounds
    simulator, results     play a trace; what happened and what it cost
    sweeps, statistics     many runs as tidy tables, and what may be said of them

Further rooms: analysis/ (explain a decision, split a gap), figures/, claims/ (the paper's statements and their verdicts),
profiling/ (measure real networks), explorer/ (sliders), cli/ (commands). Each room's docstring says how to extend it.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .accounting import Charges as Charges

# Public name -> the module that defines it. Loaded on first use, so that `edgecache --help` need not wait for Numba.
_HOMES = {
    "catalogue": ("Catalogue", "load_catalogue", "sample_catalogue"),
    "scenario": ("READINGS", "Scenario"),
    "demand": ("Trace", "poisson_trace"),
    "errors": ("InputError", "PolicyError"),
    "policies": ("BOUNDS", "PAPER", "POLICIES"),
    "policies.contract": ("Decision",),
    "policies.ranks": ("EvictionPolicy", "eviction_policy"),
    "policies.genetic": ("GA",),
    "policies.exact": ("Exact",),
    "policies.optimal_online": ("OptimalOnline",),
    "policies.clairvoyant": ("Clairvoyant",),
    "policies.lower_bound": ("lower_bound",),
    "simulator": ("simulate",),
    "results": ("Simulation",),
    "sweeps": ("sweep", "sweep_by_slot"),
    "statistics": ("box_statistics", "reductions", "summarise"),
    "analysis.explanations": ("explain",),
    "files": ("write_table",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__version__ = version("edgecache")
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
