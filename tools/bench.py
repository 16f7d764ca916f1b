"""Measure speed side by side in one process and write data/results/benchmarks.csv: what we do, what others do, the ratio.

Machines are noisy, so ours and the reference take turns, and the ratio is the median of the turns' ratios.
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp

import edgecache as ec
from edgecache.optimal import best_subset
from edgecache.policies import front
from edgecache.simulator import play, start

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
REQUESTS = 1_000_000
ROWS = []


def seconds(work: Callable) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(ours: Callable, reference: Callable, turns: int) -> tuple[float, float, float]:
    """Median seconds of ours and of the reference, and the median of reference / ours, over turns taken one after the other.

    Each prepares a run, untimed, and returns the work to time.
    """
    seconds(ours()), seconds(reference())
    pairs = np.array([(seconds(ours()), seconds(reference())) for _ in range(turns)])
    return *np.median(pairs, axis=0), float(np.median(pairs[:, 1] / pairs[:, 0]))


def report(what: str, ours: float, reference: float, unit: str, ratio: float, required: str, met: bool | None) -> None:
    """Keep and print one row."""
    ROWS.append((what, ours, reference, unit, ratio, required, "" if met is None else "yes" if met else "no"))
    side = f"{ours:10.4g} against {reference:<10.4g}" if reference == reference else f"{ours:10.4g}{'':19}"
    print(
        f"{what:42} {side} {unit:20} {'' if ratio != ratio else f'ratio {ratio:.3g}':14} {required:16} {ROWS[-1][-1]}", flush=True
    )


def request_loop(models: int, folder: str) -> None:
    """The compiled loop against libcachesim's native one: the same trace, Zipf 0.8, a server that holds 45 % of the catalogue."""
    if importlib.util.find_spec("libcachesim") is None:
        print(f"request loop, {models} models: skipped, libcachesim is not installed")
        return
    import libcachesim

    rng = np.random.default_rng(models)
    megabytes = np.exp(rng.uniform(np.log(2_000), np.log(50_000), models)).astype(int)
    unit = np.ones(models)
    catalogue = ec.Catalogue([str(i) for i in range(models)], megabytes.astype(float), unit * 1e-9, unit * 0, unit, unit)
    capacity = int(megabytes.sum() * 0.45)
    scenario = ec.Scenario(catalogue=catalogue, storage_gb=float(capacity), slots=1000, arrival_rate=REQUESTS / 1000)
    trace = ec.poisson_trace(scenario, models)
    count = len(trace)
    records = np.zeros(count, dtype=[("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
    records["time"], records["id"], records["size"], records["next"] = range(count), trace.model, megabytes[trace.model], -2
    file = Path(folder) / f"{models}.oracleGeneral"
    records.tofile(file)
    outcome, evictions = np.empty(count, dtype=np.uint8), np.empty((count, 3), dtype=np.int64)
    missed = {}

    for name, native in (("lru", libcachesim.LRU), ("fifo", libcachesim.FIFO), ("lfu-in-cache", libcachesim.LFU)):
        policy = ec.POLICIES[name]
        rank, by_request = policy.rank or front, policy.queue == "request"

        def ours(policy=policy, rank=rank, by_request=by_request):
            state = start(scenario, trace, np.random.SeedSequence(0))
            return lambda: play(trace.model, *state, outcome, evictions, rank, policy.rank is not None, by_request)

        def reference(name=name, native=native):
            cache, reader = native(capacity), libcachesim.TraceReader(str(file), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
            return lambda: missed.__setitem__(name, cache.process_trace(reader)[0])

        a, b, ratio = compare(ours, reference, turns=9)
        assert round(missed[name] * count) == (outcome == 0).sum(), f"{name}: not the same hits"
        least = {10: 2.0, 100: 1.0}.get(models)
        required = f"at least {least:g}" if least else ""
        rates = count / a / 1e6, count / b / 1e6
        report(
            f"request loop, {name}, {models} models",
            *rates,
            "million requests/s",
            ratio,
            required,
            ratio >= least if least else None,
        )
    took = seconds(lambda: ec.simulate(scenario, "lru", trace=trace).means())
    report(f"simulate with its books, lru, {models} models", count / took / 1e6, np.nan, "million requests/s", np.nan, "", None)


class LookOn:
    """Plays Exact and keeps every decision it is asked for."""

    name = "look-on"

    def __init__(self):
        self.decisions = []

    def decide(self, decision):
        """Exact's choice."""
        self.decisions.append(decision)
        return ec.Exact().decide(decision)


def some_decisions(scenario: ec.Scenario, count: int) -> list[ec.Decision]:
    """Decisions of a run in which resources weigh little, so that the server is full and choices are hard."""
    looker = LookOn()
    ec.simulate(scenario.vary(w2=0.01, slots=300), looker, 1)
    return sorted(looker.decisions, key=lambda d: -d.deployed.sum())[:count]


def genetic(decisions: list[ec.Decision]) -> None:
    """The GA against stock DEAP: the same decisions, population, generations and operators; how fast, and how often optimal."""
    from stock_deap import stock_decide

    timed, scale = decisions[:10], 1e3 / 10

    def stock():
        for decision in timed:
            stock_decide(decision, 0)

    def ours(ga):
        return lambda: [ga.decide(decision) for decision in timed]

    full = ec.GA(convergence=0)
    a, b, ratio = compare(lambda: ours(full), lambda: stock, turns=9)
    report("GA, all 50 generations, stock DEAP", a * scale, b * scale, "ms a decision", ratio, "at least 80", ratio >= 80)
    a, b, ratio = compare(lambda: ours(ec.GA()), lambda: stock, turns=5)
    report("GA, until convergence, stock DEAP", a * scale, b * scale, "ms a decision", ratio, "", None)
    least = np.array([d.cost(ec.Exact().decide(d)) for d in decisions])
    stock_share = np.isclose([stock_decide(d, k)[1] for k, d in enumerate(decisions)], least, rtol=1e-9, atol=0).mean()
    share = np.isclose([d.cost(full.decide(d)) for d in decisions], least, rtol=1e-9, atol=0).mean()
    ratio = share / stock_share
    report("GA, all 50 generations: how often optimal", share, stock_share, "share of decisions", ratio, "at least 1", ratio >= 1)


def exact(decisions: list[ec.Decision]) -> None:
    """Exact's solver against HiGHS through SciPy, both handed the arrays of the same knapsacks; then the whole decision."""
    problems = []
    for decision in decisions:
        c, needs = decision.candidates, decision.prices.needs
        worth = (decision.eviction_cost - decision.holding_cost)[c]
        problems.append((worth, np.ascontiguousarray(needs[:, c]), decision.prices.capacities - needs[:, decision.requested]))

    def ours():
        for problem in problems:
            best_subset(*problem)

    def whole():
        for decision in decisions:
            decision.__dict__.pop("eviction_cost", None)  # which a decision computes once
            ec.Exact().decide(decision)

    def highs():
        for worth, needs, free in problems:
            milp(-worth, integrality=np.ones(len(worth)), bounds=Bounds(0, 1), constraints=LinearConstraint(needs, ub=free))

    scale = 1e6 / len(problems)
    a, b, ratio = compare(lambda: ours, lambda: highs, turns=9)
    report("Exact, milp", a * scale, b * scale, "us a knapsack", ratio, "at least 500", ratio >= 500)
    a, b, ratio = compare(lambda: whole, lambda: highs, turns=9)
    report("Exact with the decision's costs, milp", a * scale, b * scale, "us a decision", ratio, "", None)


def whole_commands(folder: str) -> None:
    """Importing the package, and every figure at full size, each in a process of its own."""
    took = np.median([seconds(lambda: subprocess.run([sys.executable, "-c", "import edgecache"], check=True)) for _ in range(5)])
    report("import edgecache", took, np.nan, "s", np.nan, "at most 1.5 s", took <= 1.5)
    command = [sys.executable, "-m", "edgecache", "reproduce", "--out", folder]
    took = seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    report("make figures, full size", took, np.nan, "s", np.nan, "at most 90 s", took <= 90)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for models in (10, 100, 1000):
            request_loop(models, folder)
        scenario = ec.Scenario()
        genetic(some_decisions(scenario, 100))
        exact(some_decisions(scenario, 100))
        whole_commands(folder)
    columns = ["what", "ours", "reference", "unit", "ratio", "required", "met"]
    ec.write_table(pd.DataFrame(ROWS, columns=columns).round(4), ROOT / "data/results/benchmarks.csv")
