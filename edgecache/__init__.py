"""edgecache: which generative AI models should an edge server keep deployed?

Read the modules in this order: errors, catalogue, named, scenario, demand, costs, decision, optimal, genetic, books, deployments,
online, offline, policies, simulator, batch, explain, sweep, gaps, delays, claims, ledger, readings, journal, search, comparison,
machine, energy, network, onnx_graph, onnx_networks, onnx_backend, torch_networks, torch_backend, worker, profiles, profiling,
replay, style, figures, gap_figures, claim_figures, run_figures, profile_figures, views, controls, explorer, reproduce, app,
options, measuring. Each imports only from those before it; those after delays are not imported here: they search, measure, draw,
or serve.
"""

from .books import Simulation
from .catalogue import Catalogue, load_catalogue, sample_catalogue
from .decision import Decision
from .demand import Trace, poisson_trace
from .errors import InputError, PolicyError
from .explain import explain
from .genetic import GA
from .offline import Clairvoyant, lower_bound
from .online import OptimalOnline
from .optimal import Exact
from .policies import BOUNDS, PAPER, POLICIES, EvictionPolicy, eviction_policy
from .scenario import READINGS, Scenario
from .simulator import simulate
from .sweep import box_statistics, reductions, summarise, sweep, write_table

__all__ = [
    "BOUNDS",
    "GA",
    "PAPER",
    "POLICIES",
    "READINGS",
    "Catalogue",
    "Clairvoyant",
    "Decision",
    "EvictionPolicy",
    "Exact",
    "InputError",
    "OptimalOnline",
    "PolicyError",
    "Scenario",
    "Simulation",
    "Trace",
    "box_statistics",
    "eviction_policy",
    "explain",
    "load_catalogue",
    "lower_bound",
    "poisson_trace",
    "reductions",
    "sample_catalogue",
    "simulate",
    "summarise",
    "sweep",
    "write_table",
]
