"""Measure speed side by side in one process: what we do, what others do, the ratio.

Writes data/results/benchmarks.csv, and data/results/scaling.csv: time and loss of a decision by the number of models. Machines
are noisy, so ours and the reference take turns, and the ratio is the median of the turns' ratios.
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from scipy.optimize import Bounds, LinearConstraint, milp

import edgecache as ec
from edgecache.accounting import Charges
from edgecache.analysis.explanations import decision_at
from edgecache.analysis.gaps import decisions_met
from edgecache.policies import BOUNDS, COMPILED
from edgecache.policies.knapsack import best_subset
from edgecache.simulator import Game

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # its oracles and made-up servers
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
    side = f"{ours:10.4g} against {reference:<10.4g}" if not np.isnan(reference) else f"{ours:10.4g}{'':19}"
    print(
        f"{what:42} {side} {unit:20} {'' if np.isnan(ratio) else f'ratio {ratio:.3g}':14} {required:16} {ROWS[-1][-1]}", flush=True
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
    missed, game = {}, Game(Charges.of(scenario, trace), np.random.SeedSequence(0))

    for name, native in (("lru", libcachesim.LRU), ("fifo", libcachesim.FIFO), ("lfu-in-cache", libcachesim.LFU)):
        policy = ec.POLICIES[name]

        def ours(policy=policy):
            return lambda: game.play(policy)

        def reference(name=name, native=native):
            cache, reader = native(capacity), libcachesim.TraceReader(str(file), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
            return lambda: missed.__setitem__(name, cache.process_trace(reader)[0])

        a, b, ratio = compare(ours, reference, turns=9)
        assert round(missed[name] * count) == len(game.play(policy).misses), f"{name}: not the same hits"
        least = 1.0 if models == 1000 and name != "lfu-in-cache" else {10: 2.0, 100: 1.0, 1000: 1.0}[models]
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
    rate = count / np.median([seconds(lambda: ec.simulate(scenario, "lru", trace=trace).means()) for _ in range(9)]) / 1e6
    required = "at least 10" if models <= 100 else ""
    report(
        f"simulate and its costs, lru, {models} models",
        rate,
        np.nan,
        "million requests/s",
        np.nan,
        required,
        rate >= 10 if required else None,
    )


class AsObject:
    """A planner as the simulator treats a user's own: a Python object, asked and checked at every decision."""

    def __init__(self, policy):
        self.policy, self.name = policy, policy.name
        if hasattr(policy, "prepare"):
            self.prepare = policy.prepare
        self.decide = getattr(policy, "decide", None)


def nine_policies() -> None:
    """The nine policies of Fig. 3 in the compiled loop, against the same with planners as Python objects; one replication each."""
    scenario = ec.Scenario()
    compiled = [ec.POLICIES[name] for name in (*ec.PAPER, *BOUNDS)]
    objects = [AsObject(policy) if isinstance(policy, COMPILED) else policy for policy in compiled]

    def play(policies, replications):
        def work():
            for replication in replications:
                game = Game.of(scenario, 0, replication)
                for policy in policies:
                    game.play(policy).means()

        return work

    a, b, ratio = compare(lambda: play(compiled, range(20)), lambda: play(objects, range(20)), turns=9)
    report("nine policies, planners as objects", a * 50, b * 50, "ms a replication", ratio, "at least 4", ratio >= 4)
    took = np.median([seconds(play(compiled, range(200))) for _ in range(3)])
    report("nine policies, 200 replications", took, np.nan, "s", np.nan, "below 4 s", took < 4)


def some_decisions(scenario: ec.Scenario, count: int) -> list[ec.Decision]:
    """Decisions of a run in which resources weigh little, so that the server is full and choices are hard."""
    met = decisions_met(scenario.vary(w2=0.01, slots=300), 1, seed=1)
    return sorted(met, key=lambda d: -d.deployed.sum())[:count]


def genetic(decisions: list[ec.Decision]) -> None:
    """The GA against stock DEAP: the same decisions, population, generations and operators; how fast, and how often optimal."""
    from oracles.stock_deap import stock_decide

    timed, scale = decisions[:10], 1e3 / 10

    def stock():
        for decision in timed:
            stock_decide(decision, 0)

    def ours(ga):
        return lambda: [ga.decide(decision) for decision in timed]

    full = ec.GA(convergence=0)
    a, b, ratio = compare(lambda: ours(full), lambda: stock, turns=9)
    report("GA, all 50 generations, stock DEAP", a * scale, b * scale, "ms a decision", ratio, "at least 80", ratio >= 80)
    least = np.array([d.cost(ec.Exact().decide(d)) for d in decisions])
    stock_share = np.isclose([stock_decide(d, k)[1] for k, d in enumerate(decisions)], least, rtol=1e-9, atol=0).mean()
    share = np.isclose([d.cost(full.decide(d)) for d in decisions], least, rtol=1e-9, atol=0).mean()
    ratio = share / stock_share
    report("GA, all 50 generations: how often optimal", share, stock_share, "share of decisions", ratio, "at least 1", ratio >= 1)


def highs(decision: ec.Decision) -> tuple[np.ndarray, float]:
    """The decision by HiGHS through SciPy: (deployment, bool (I,), the gap that it leaves)."""
    c, needs = decision.candidates, decision.needs
    worth = (decision.eviction_cost - decision.holding_cost)[c]
    found = milp(
        -worth,
        integrality=np.ones(len(c)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(needs[:, c], ub=decision.capacities - needs[:, decision.requested]),
        options={"mip_rel_gap": 0, "time_limit": 20},
    )
    chosen = np.zeros(len(decision.deployed), dtype=bool)
    chosen[c] = found.x > 0.5
    chosen[decision.requested] = True
    return chosen, found.mip_gap


def exact(decisions: list[ec.Decision]) -> None:
    """Exact's solver against HiGHS, both handed the arrays of the same knapsacks; then the whole decision."""
    problems = []
    for decision in decisions:
        c, needs = decision.candidates, decision.needs
        worth = (decision.eviction_cost - decision.holding_cost)[c]
        problems.append((worth, np.ascontiguousarray(needs[:, c]), decision.capacities - needs[:, decision.requested]))

    def ours():
        for problem in problems:
            best_subset(*problem)

    def whole():
        for decision in decisions:
            decision.__dict__.pop("eviction_cost", None)  # which a decision computes once
            ec.Exact().decide(decision)

    def reference():
        for worth, needs, free in problems:
            milp(-worth, integrality=np.ones(len(worth)), bounds=Bounds(0, 1), constraints=LinearConstraint(needs, ub=free))

    scale = 1e6 / len(problems)
    a, b, ratio = compare(lambda: ours, lambda: reference, turns=9)
    report("Exact, milp", a * scale, b * scale, "us a knapsack", ratio, "at least 500", ratio >= 500)
    a, b, ratio = compare(lambda: whole, lambda: reference, turns=9)
    report("Exact with the decision's costs, milp", a * scale, b * scale, "us a decision", ratio, "", None)


def bounds() -> None:
    """OptimalOnline at ten models and with the catalogue doubled, and Clairvoyant, all at 120 GB and 12 GB."""
    ten = ec.Scenario()
    popularity = ec.poisson_trace(ten, 0).popularity
    planner = ec.OptimalOnline()
    planner.solve(ten, popularity)
    took = np.median([seconds(lambda: planner.solve(ten, popularity)) for _ in range(9)])
    report("OptimalOnline, 10 models", took * 1e3, np.nan, "ms", np.nan, "at most 50 ms", took <= 0.05)
    c, features = ten.catalogue, ("size_gb", "gpu_memory_gb", "power_kw", "io_delay_s", "inference_delay_s")
    names = [f"{name} {copy}" for copy in (1, 2) for name in c.services]
    twice = ten.vary(catalogue=ec.Catalogue(names, *(np.tile(getattr(c, feature), 2) for feature in features)))
    popularity = ec.poisson_trace(twice, 0).popularity
    states = len(planner.solve(twice, popularity).deployments)
    took = np.median([seconds(lambda: planner.solve(twice, popularity)) for _ in range(3)])
    report(f"OptimalOnline, 20 models, {states} deployments", took, np.nan, "s", np.nan, "at most 20 s", took <= 20)
    long = ten.vary(slots=25_000)
    trace = ec.poisson_trace(long, 0)
    took = np.median([seconds(lambda: ec.Clairvoyant().prepare(long, trace)) for _ in range(5)])
    rate = len(trace) / took
    report("Clairvoyant, 10 models", rate / 1e3, np.nan, "thousand requests/s", np.nan, "at least 25", rate >= 25_000)
    took = seconds(lambda: ec.simulate(long, "clairvoyant", trace=trace))
    report("Clairvoyant and its simulation, 10 models", len(trace) / took / 1e3, np.nan, "thousand requests/s", np.nan, "", None)


def full_server(catalogue: ec.Catalogue, count: int) -> list[ec.Decision]:
    """The last decisions of a long run of LRU on a server of 45 % of what all models need, resources weighing little."""
    scenario = ec.Scenario(
        catalogue,
        storage_gb=0.45 * catalogue.size_gb.sum(),
        gpu_memory_gb=0.45 * catalogue.gpu_memory_gb.sum(),
        energy_capacity_kw=0.3 + 0.45 * catalogue.power_kw.sum(),
        w2=0.001,
        slots=10 * len(catalogue),
    )
    run = ec.simulate(scenario, "lru", 1)
    return [decision_at(run, int(clock) - 1) for clock in np.unique(run.evictions[:, 0])[-count:]]


def scaling() -> pd.DataFrame:
    """Time of a decision and what it costs above the optimum, by the number of models, on three servers.

    `fixed`: 120 GB and 12 GB, so that few models are deployed however many there are. `growing`: 45 % of what all models together
    need, decisions as a run of LRU meets them. `synthetic`: knapsacks of three resources, harder than any that a run meets: all
    models but one deployed, and room for about half of them. Medians over decisions; `gap` is the mean excess over the best
    known, `left` the largest that the method leaves open.
    """
    from support.cases import hard_decision

    methods = {
        "Exact": lambda d: ec.Exact().solve(d),
        "GA": lambda d: (ec.GA().decide(d), np.nan),
        "milp": highs,
    }
    rows = []
    for models in (10, 20, 50, 100, 200, 500, 1000):
        catalogue = ec.sample_catalogue(models, np.random.default_rng(models))
        servers = {
            "fixed": some_decisions(ec.Scenario(catalogue), 10),
            "growing": full_server(catalogue, 5),
            "synthetic": [hard_decision(np.random.default_rng((models, k)), models, models - 1) for k in range(5)],
        }
        for server, decisions in servers.items():
            found = {}
            for method, solve in methods.items():
                solve(decisions[0])
                times, costs, left = [], [], []
                for decision in decisions:
                    decision.__dict__.pop("eviction_cost", None)
                    answer = []
                    times.append(seconds(lambda d=decision, a=answer, solve=solve: a.append(solve(d))) * 1e3)
                    costs.append(decision.cost(answer[0][0]))
                    left.append(answer[0][1])
                found[method] = np.array(times), np.array(costs), np.array(left)
            least = np.min([costs for _, costs, _ in found.values()], axis=0)
            for method, (times, costs, left) in found.items():
                open_gap = np.max(left / np.where(method == "Exact", least, 1))
                deployed = int(np.median([d.deployed.sum() for d in decisions]))
                ends = np.median(times), times.min(), times.max()
                gap = np.mean(np.maximum(costs / least - 1, 0))
                gap = gap if gap > 1e-9 else 0.0
                rows.append((models, server, method, deployed, *ends, gap, open_gap))
                print(
                    f"{models:5} models, {server:9} {method:6} {ends[0]:10.4g} ms, gap {gap:.2g}, open {open_gap:.2g}", flush=True
                )
            if server == "fixed" and models == 500:
                ours, theirs = (np.median(found[method][0]) for method in ("Exact", "milp"))
                ratio = float(np.median(found["milp"][0] / found["Exact"][0]))
                report("Exact, milp, 500 models", ours * 1e3, theirs * 1e3, "us a decision", ratio, "at least 20", ratio >= 20)
    columns = ["models", "server", "method", "deployed", "ms", "ms_low", "ms_high", "gap", "left"]
    return pd.DataFrame(rows, columns=columns)


def whole_commands(folder: str) -> None:
    """Importing the package, and every figure, each in a process of its own."""
    everything = "import edgecache; [getattr(edgecache, name) for name in edgecache.__all__]"
    for what, arguments, most in (
        ("import edgecache", ["-c", "import edgecache"], 1.2),
        ("import edgecache, every public name used", ["-c", everything], 1.2),
        ("edgecache --help", ["-m", "edgecache", "--help"], 0.5),
        ("edgecache policies", ["-m", "edgecache", "policies"], 0.5),
    ):
        command = [sys.executable, *arguments]
        took = np.median([seconds(lambda c=command: subprocess.run(c, check=True, stdout=subprocess.DEVNULL)) for _ in range(5)])
        report(what, took, np.nan, "s", np.nan, f"below {most:g} s", took < most)
    command = [sys.executable, "-m", "edgecache", "reproduce", "--out", folder]
    took = seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    report("make figures", took, np.nan, "s", np.nan, "below 90 s", took < 90)


def profiling(folder: str) -> None:
    """Measuring ten real networks, and what that takes meanwhile: memory of all its processes, room on the disk, and the extra."""
    started, memory, disk = time.perf_counter(), 0, 0
    command = [sys.executable, "-m", "edgecache", "profile", "--out", f"{folder}/profile/mine.csv"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            taken = 0
            for process in [running.pid, *(child.pid for child in psutil.Process(running.pid).children(recursive=True))]:
                with suppress(psutil.Error):
                    taken += psutil.Process(process).memory_full_info().pss  # pages that several share are counted once
            memory = max(memory, taken)
            with suppress(OSError):  # files come and go
                disk = max(disk, sum(file.stat().st_size for file in Path(folder, "profile").rglob("*")))
            time.sleep(0.1)
    took = time.perf_counter() - started
    report("profile, quick, ten services", took, np.nan, "s", np.nan, "at most 90 s", took <= 90)
    report("profile, quick, memory", memory / 1e9, np.nan, "GB", np.nan, "at most 1.5 GB", memory <= 1.5e9)
    report("profile, quick, disk", disk / 1e9, np.nan, "GB", np.nan, "at most 1 GB", disk <= 1e9)
    names = ("onnxruntime", "onnx", "protobuf", "flatbuffers", "ml-dtypes")  # what [profile] adds to the rest
    files = [file.locate() for name in names for file in distribution(name).files or []]
    size = sum(file.stat().st_size for file in files if file.exists()) / 1e6
    report("extra [profile], installed", size, np.nan, "MB", np.nan, "below 200 MB", size < 200)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for models in (10, 100, 1000):
            request_loop(models, folder)
        nine_policies()
        scenario = ec.Scenario()
        genetic(some_decisions(scenario, 100))
        exact(some_decisions(scenario, 100))
        bounds()
        ec.write_table(scaling(), ROOT / "data/results/scaling.csv")
        whole_commands(folder)
        profiling(folder)
    columns = ["what", "ours", "reference", "unit", "ratio", "required", "met"]
    ec.write_table(pd.DataFrame(ROWS, columns=columns).round(4), ROOT / "data/results/benchmarks.csv")
