"""Sweeps: scenarios x policies x replications, in parallel, into one tidy table; and the statistics of such tables."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
from tqdm import tqdm

from .demand import poisson_trace, random_stream
from .errors import InputError, TooManyDeployments, whole_number
from .policies import PAPER, find_policy
from .policies.contract import Policy
from .scenario import Scenario
from .simulator import simulate

OUTCOMES = ("total_cost", "switching_cost", "resource_cost", "service_delay_s", "hit_ratio", "fetched_gb", "energy_kwh")


def sweep(
    vary: Mapping[str, Iterable] | None = None,
    policies: Sequence[str | Policy] = PAPER,
    replications: int = 30,
    scenario: Scenario | None = None,
    *,
    seed: int = 0,
    by: str = "replication",
    jobs: int = -1,
    dask: str = "",
    progress: bool = True,
) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
    """Run every combination of the values in `vary` with every policy and replication, into one tidy table.

    `vary` maps parameters of the scenario to values, such as `{"storage_gb": [60, 120, 180]}`. Columns: those parameters,
    `replication`, `policy`, then by "replication" those of Simulation.means, by "slot" those of Simulation.slots; by "both" gives
    the two tables. Where a server is too large for it, Clairvoyant's place is taken by its lower bound, `clairvoyant-bound`, and
    OptimalOnline's by its approximation, named so. Every policy faces the same traces. The tables are the same at any number of
    `jobs` (-1: every core), and on the Dask cluster at the address `dask`. Raises InputError for unknown parameters, values or
    policies before anything runs.
    """
    import joblib  # here and below: its import takes a tenth of a second

    scenario, vary = scenario or Scenario(), dict(vary or {})
    for name, values in vary.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise InputError(f"{name} is {values!r}; a sweep needs a list of values, such as [{values!r}]")
        vary[name] = list(values)
        if any(value in vary[name][:place] for place, value in enumerate(vary[name])):
            raise InputError(f"{name} is {vary[name]!r}; a sweep needs each value once")
    if isinstance(policies, str) or not isinstance(policies, Iterable):
        raise InputError(f"policies is {policies!r}; it must be a list of policies, such as ['lru', 'ga']")
    if by not in ("replication", "slot", "both"):
        raise InputError(f"by is {by!r}; it must be 'replication', 'slot' or 'both'")
    whole_number("replications", replications, most=1_000_000)
    whole_number("seed", seed, least=0)
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0:
        raise InputError(f"jobs is {jobs!r}; it must be a whole number of processes, or -1 for every core")
    policies = [find_policy(policy) for policy in policies]
    names = [policy.name for policy in policies]
    if not names or len(set(names)) < len(names):
        raise InputError(f"policies are {', '.join(names) or 'missing'}; name at least one, and each once")
    points = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    if not points:
        raise InputError(f"nothing to sweep over: {', '.join(name for name in vary if not vary[name])} has no values")
    varied = [(point, scenario.vary(**point)) for point in points]
    for policy, (_, server) in itertools.product(policies, varied):
        if hasattr(policy, "admit"):
            policy.admit(server)
    cells = list(itertools.product(varied, range(replications)))
    tasks = (joblib.delayed(_cell)(varied, policies, seed, replication, by) for (_, varied), replication in cells)
    with _backend(dask):
        done = joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)
        # where progress is wanted TQDM_DISABLE=1 still turns it off, which an explicit disable=False would not let it
        bar = tqdm(
            done,
            total=len(cells),
            unit="run",
            desc=", ".join(vary) or "runs",
            leave=False,
            **({} if progress else {"disable": True}),
        )
        runs = list(bar)
    labels = [
        {**point, "replication": replication, "policy": name}
        for ((point, _), replication), cell in zip(cells, runs, strict=True)
        for name, _, _ in cell
    ]
    means = pd.DataFrame([{**label, **means} for label, (_, means, _) in zip(labels, itertools.chain(*runs), strict=True)])
    if by == "replication":
        return means
    books = [books for _, _, books in itertools.chain(*runs)]
    repeats = [len(book["slot"]) for book in books]
    slots = pd.DataFrame({column: np.repeat([label[column] for label in labels], repeats) for column in labels[0]})
    slots = slots.assign(**{column: np.concatenate([book[column] for book in books]) for column in books[0]})
    return slots if by == "slot" else (means, slots)


def _cell(scenario, policies, seed, replication, by) -> list[tuple[str, dict, dict | None]]:
    """One scenario and replication: the name, the means, and where asked for the slots, of every policy."""
    found = []
    for policy in policies:
        try:
            run = simulate(scenario, policy, seed, replication=replication)
        except TooManyDeployments:
            if by != "replication":
                raise
            trace = poisson_trace(scenario, random_stream(seed, replication, 0))
            on_cloud = ~scenario.fits_empty_server[trace.model]
            counts = {"requests": len(trace), "cloud_requests": int(on_cloud.sum()), "slots": trace.slots}
            found.append((f"{policy.name}-bound", dict.fromkeys(OUTCOMES, np.nan) | policy.bound(scenario, trace) | counts, None))
        else:
            found.append((run.policy, run.means(), None if by == "replication" else run.books))
    return found


@contextmanager
def _backend(dask: str):
    import joblib

    if not dask:
        with joblib.parallel_config("loky"):
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError("a Dask cluster needs the extra: pip install 'edgecache[cluster]'") from None
    try:
        client = Client(dask, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {dask!r}: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
        except TimeoutError:
            raise InputError(f"the Dask scheduler at {dask!r} has no worker") from None
        with joblib.parallel_config("dask", client=client):
            yield
