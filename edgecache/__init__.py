"""Which generative AI models should an edge server keep deployed?

The root is the paper; a room is an audience. To read the paper, read in this order:

    catalogue, scenario    the models, the server, and how the paper's lost symbols are read
    trace, demand, costs   the requests, and what draws them; equations 1 to 12, one function each
    accounting             what each event of a trace costs under a reading
    policies/              who decides: eviction policies, Algorithm 1, the exact optimum, the bounds
    simulator, results     play a trace (loop: the compiled loop); what happened and what it cost
    sweeps, statistics     many runs as tidy tables, and what may be said of them (intervals: how sure that is)

Further rooms: logs/ (read request logs), workloads/ (demands beyond the paper's), serving/ (what users wait on a server that loads
and queues, and what to buy), analysis/ (explain a decision, split a gap), figures/, claims/ (the paper's statements and their
verdicts), profiling/ (measure real networks), explorer/ (sliders), cli/ (commands). Each room's docstring says how to extend it.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis.explanations import explain
    from .catalogue import Catalogue, load_catalogue, sample_catalogue
    from .demand import poisson_trace
    from .errors import InputError, PolicyError
    from .files import write_table
    from .logs.reading import read_log
    from .policies import BOUNDS, PAPER, POLICIES
    from .policies.clairvoyant import Clairvoyant
    from .policies.contract import Decision
    from .policies.exact import Exact
    from .policies.genetic import GA
    from .policies.lower_bound import lower_bound
    from .policies.optimal_online import OptimalOnline
    from .policies.ranks import EvictionPolicy, eviction_policy
    from .results import Simulation
    from .scenario import READINGS, Scenario
    from .simulator import simulate
    from .statistics import box_statistics, reductions, summarise
    from .sweeps import sweep, sweep_by_slot
    from .trace import Trace
    from .workloads.logged import read_trace

    __version__: str

__all__ = [
    "BOUNDS", "GA", "PAPER", "POLICIES", "READINGS", "Catalogue", "Clairvoyant", "Decision", "EvictionPolicy", "Exact",
    "InputError", "OptimalOnline", "PolicyError", "Scenario", "Simulation", "Trace", "__version__", "box_statistics",
    "eviction_policy", "explain", "load_catalogue", "lower_bound", "poisson_trace", "read_log", "read_trace", "reductions",
    "sample_catalogue", "simulate", "summarise", "sweep", "sweep_by_slot", "write_table",
]  # fmt: skip

# The module of each public name. It is imported when the name is first used: `edgecache --help` need not wait for Numba.
_MODULES = {
    "analysis.explanations": ("explain",),
    "catalogue": ("Catalogue", "load_catalogue", "sample_catalogue"),
    "demand": ("poisson_trace",),
    "errors": ("InputError", "PolicyError"),
    "files": ("write_table",),
    "logs.reading": ("read_log",),
    "policies": ("BOUNDS", "PAPER", "POLICIES"),
    "policies.clairvoyant": ("Clairvoyant",),
    "policies.contract": ("Decision",),
    "policies.exact": ("Exact",),
    "policies.genetic": ("GA",),
    "policies.lower_bound": ("lower_bound",),
    "policies.optimal_online": ("OptimalOnline",),
    "policies.ranks": ("EvictionPolicy", "eviction_policy"),
    "results": ("Simulation",),
    "scenario": ("READINGS", "Scenario"),
    "simulator": ("simulate",),
    "statistics": ("box_statistics", "reductions", "summarise"),
    "sweeps": ("sweep", "sweep_by_slot"),
    "trace": ("Trace",),
    "workloads.logged": ("read_trace",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value = version("edgecache")
    elif name in _MODULE_OF:
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def _let_numba_keep_compiled_code() -> None:
    """Give Numba a folder in the temporary one where it can write neither into the package nor into the user's cache.

    Without such a folder Numba refuses to compile. The folder is the user's alone: Numba runs what it reads there.
    """
    places = (os.path.dirname(__file__), os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if "NUMBA_CACHE_DIR" in os.environ or any(_can_be_written(place) for place in places):
        return
    import tempfile

    folder = os.path.join(tempfile.gettempdir(), f"edgecache-{os.getuid()}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        found = os.lstat(folder)
        if found.st_mode & 0o170077 != 0o040000 or found.st_uid != os.getuid():  # no folder, open to others, or another user's
            import atexit
            import shutil

            folder = tempfile.mkdtemp(prefix="edgecache-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    if "numba" in sys.modules:  # which has read its environment
        sys.modules["numba"].config.CACHE_DIR = folder


def _can_be_written(folder: str) -> bool:
    """Whether a folder, or the nearest one above it that exists, can be written to."""
    while os.path.isabs(folder) and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return os.path.isabs(folder) and os.access(folder, os.W_OK | os.X_OK)


_let_numba_keep_compiled_code()
