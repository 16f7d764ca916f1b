"""edgecache: which generative AI models should an edge server keep deployed?

Read the modules in this order: errors, catalogue, scenario, demand, costs, decision, optimal, genetic, policies, books, simulator,
sweep, profiling, figures, reproduce. Each imports only from those before it; the last two are not imported here, for they draw.
"""

from .books import Simulation
from .catalogue import Catalogue, load_catalogue, sample_catalogue
from .decision import Decision
from .demand import Trace, poisson_trace
from .errors import InputError, PolicyError
from .genetic import GA
from .optimal import Exact
from .policies import PAPER, POLICIES, EvictionPolicy, eviction_policy
from .scenario import READINGS, Scenario
from .simulator import simulate
from .sweep import box_statistics, reductions, summarise, sweep, write_table

__all__ = [
    "GA",
    "PAPER",
    "POLICIES",
    "READINGS",
    "Catalogue",
    "Decision",
    "EvictionPolicy",
    "Exact",
    "InputError",
    "PolicyError",
    "Scenario",
    "Simulation",
    "Trace",
    "box_statistics",
    "eviction_policy",
    "load_catalogue",
    "poisson_trace",
    "reductions",
    "sample_catalogue",
    "simulate",
    "summarise",
    "sweep",
    "write_table",
]
