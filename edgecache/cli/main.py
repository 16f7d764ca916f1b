"""The commands, and what becomes of a failure: one sentence on standard error."""

import json
import os
import select
import signal
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NoReturn

import click

from ..errors import InputError, require
from ..listing import POLICY_TABLE
from .demand_options import demand_options, played, replications_of
from .measuring import profile, replay
from .options import names, scenario_options
from .output import show, show_csv, show_rows
from .serving import plan, serve_sim

JOBS = click.option("--jobs", type=int, default=-1, help="Number of processes. Default: -1, one per core.")
KEEPS_WORK = {"profile", "replay", "readings", "reproduce"}  # these go on from what they had finished


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="edgecache")
@click.pass_context
def cli(context: click.Context) -> None:
    """Which generative AI models should an edge server keep deployed?"""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


cli.add_command(profile)
cli.add_command(replay)
cli.add_command(serve_sim)
cli.add_command(plan)


@cli.command(short_help="Simulate policies on the same traces.")
@scenario_options
@demand_options("--slot-length", "--slot")
@click.option("--policies", default="random,fifo,lru,lfu,ga,exact", show_default=True, help="Names, comma-separated.")
@click.option("--replications", type=int, default=30, show_default=True, help="Number of runs, each with its own trace.")
@click.option("--slo", metavar="SPAN", help="Add delays p50, p95, p99 and the share of requests within this bound, as 10s.")
@click.option("--format", "style", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def simulate(policies: str, replications: int, seed: int, slo: str | None, style: str, **parameters: Any) -> None:
    """Simulate policies on the same traces.

    For each policy the command prints the mean cost per slot with its 95 % interval, then delay, hits, backhaul and energy. With
    --trace it plays a request log, and says on standard error what it read. Delays are those of an idle server: no queueing.
    """
    from ..logs.slots import seconds_of
    from ..results import DELAYS
    from ..statistics import interval
    from ..sweeps import OUTCOMES, sweep
    from ..workloads.resampling import spread

    scenario, demand = played(parameters)
    replications = replications_of(demand, replications)
    slo_s = None if slo is None else seconds_of(slo, "--slo")
    # starting processes takes longer than a small sweep; a log or a twin is none
    requests = getattr(demand, "size", scenario.slots * max(scenario.requests_per_slot, 1))
    small = replications == 1 or requests * replications <= 20_000
    progress, jobs = sys.stderr.isatty(), 1 if small else -1
    table = sweep({}, names(policies), replications, scenario, seed=seed, progress=progress, jobs=jobs, demand=demand, slo_s=slo_s)
    outcomes = (*OUTCOMES, *(name for name in DELAYS if name in table))
    of_replications = spread if getattr(demand, "resamples", False) else interval
    rows = []
    for name, runs in table.groupby("policy", sort=False):
        low, high = map(float, of_replications(runs["total_cost"].to_numpy()))
        means = {outcome: float(runs[outcome].mean()) for outcome in outcomes}
        cost = {"total_cost": means.pop("total_cost"), "total_cost_low": low, "total_cost_high": high}
        rows.append({"policy": name, **cost, **means})
    show_rows(rows, style)


@cli.command(short_help="Explain the decisions in one slot.")
@scenario_options
@demand_options("--slot-length")
@click.option("--slot", type=int, required=True, help="Number of the slot, from 0.")
@click.option("--policy", default="ga", show_default=True, help="The policy that decides.")
@click.option("--replication", type=int, default=0, show_default=True, help="Number of the run that `simulate` would make, from 0.")
@click.option("--format", "style", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
def explain(slot: int, policy: str, replication: int, seed: int, style: str, **parameters: Any) -> None:
    """Explain the decisions in one slot.

    The command prints what the policy chose, what each alternative would have cost, what the bounds would have chosen, and which
    resource was scarce. The csv format has the table of alternatives alone, the json format also the table of resources.
    """
    from ..analysis.explanations import explain
    from ..simulator import simulate

    scenario, demand = played(parameters)
    explanation = explain(simulate(scenario, policy, seed, replication=replication, demand=demand), slot)
    if style == "text":
        show(str(explanation))
    elif style == "csv":
        show_csv(explanation.alternatives, ("requested", "kept", "evicted"))
    else:
        tables = {name: getattr(explanation, name) for name in ("reasons", "alternatives", "resources")}
        show(json.dumps({name: table.to_dict("records") for name, table in tables.items()}, indent=2))


@cli.command(short_help="List published traces, or get one.")
@click.argument("name", required=False)
def traces(name: str | None) -> None:
    """List published request traces: what each is, its licence, what to cite, where it comes from, and what is on disk.

    With a NAME, download that trace from its publisher, check its sha256 and print where it is. Nothing of it ships with edgecache.
    """
    from ..logs.sources import SOURCES, fetch_trace, traces_folder

    if name is not None:
        show(str(fetch_trace(name)))
        return
    show(f"Folder: {traces_folder()} (EDGECACHE_TRACES names another)")
    for source in SOURCES.values():
        state = "on disk" if source.path.is_file() else "not on disk" if source.sha256 else "not on disk, by hand"
        models = "names the models" if source.names_models else "arrivals only: --models zipf"
        show(f"\n{source.name} ({state}; {models})\n  {source.about}\n  licence: {source.licence}")
        show(f"  cite: {source.citation}\n  from: {source.address}")


@cli.command(short_help="List the policies.")
def policies() -> None:
    """List the policies, one per line: the name, what the policy knows, what it does and when it is good."""
    for name, policy in POLICY_TABLE.items():
        show(f"{name:22} {policy.knows:11} {policy.about}")


@cli.command(short_help="Judge the paper's claims.")
@click.option("--reading", default="literal", show_default=True, metavar="NAME", help="A named reading: literal, closest or delay.")
@click.option("--format", "style", type=click.Choice(["table", "json", "md"]), default="table", show_default=True)
@JOBS
def claims(reading: str, style: str, jobs: int) -> None:
    """Judge the paper's claims: each claim, whether it holds under a reading, and how sure that is.

    Everything is simulated anew, with as many replications as the verdicts need.
    """
    from ..claims.ledger import play_ledger
    from ..claims.verdicts import evidence_text
    from ..scenario import Scenario

    table = play_ledger(Scenario.named(reading), reading, jobs=jobs, progress=sys.stderr.isatty())
    rows = [{**row, "evidence": evidence_text(row)} for row in table.to_dict("records")]
    measured = ("effect", "low", "high", "reading") if style == "json" else ("evidence", "replications")
    show_rows([{key: row[key] for key in ("claim", "section", "verdict", *measured)} for row in rows], style)


@cli.command(short_help="Search the readings of the paper.")
@click.option("--count", type=int, default=12_000, show_default=True, help="Draws to judge, each under four scopes.")
@JOBS
@click.option("--out", type=Path, metavar="DIR", help="Folder for data/results/ and build/readings/. Default: the checkout.")
def readings(count: int, jobs: int, out: Path | None) -> None:
    """Search the readings of the paper's lost symbols: which reading supports which claim.

    The search takes ten minutes on two cores. It keeps each result in build/readings/ and continues there after a stop.
    """
    from ..claims.search import search_readings
    from ..files import output_folder

    out = output_folder(out)
    progress = sys.stderr.isatty()
    search_readings(out / "data/results", out / "build/readings", report=click.echo, count=count, jobs=jobs, progress=progress)


@cli.command(short_help="Redraw every figure of the paper.")
@click.option("--only", metavar="NAME", help="Run one notebook: 03-resource-sweeps, resource-sweeps or 03.")
@JOBS
@click.option("--out", type=Path, metavar="DIR", help="Folder for figures/, data/results/ and build/executed/.")
@click.option("--dask", default="", metavar="ADDRESS", help="Run the sweeps on the Dask cluster at tcp://HOST:PORT.")
def reproduce(**options: Any) -> None:
    """Redraw every figure of the paper from the notebooks."""
    from .reproduce import reproduce

    reproduce(**options)


@cli.command(short_help="Serve the explorer as a page.")
@click.option("--port", type=int, help="Port. Default: the first free one from 8866 on.")
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser, or only print its address.")
def app(port: int | None, browser: bool) -> None:
    """Serve the explorer as a page on this machine alone, until Ctrl-C. Every visitor has separate settings."""
    for module in ("voila", "ipywidgets", "seaborn"):
        require(module, "app", "the page")
    from ..explorer.app import serve

    serve(port, browser)


def main() -> NoReturn:
    """Run the command line and exit.

    A failure is one sentence on standard error and exit code 2, never a traceback. An interrupt, by Ctrl-C or SIGTERM, has
    code 130. Where the reader of the output has left, as `head` does, the code is 0.
    """
    _replace_closed_streams()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    context = None
    try:
        with cli.make_context("edgecache", sys.argv[1:]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as finished:
        sys.exit(finished.exit_code)
    except (KeyboardInterrupt, EOFError, click.Abort):
        kept = context is not None and context.invoked_subcommand in KEEPS_WORK
        _fail("interrupted; what was finished is kept" if kept else "interrupted", 130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        message = _sentence(error)
        if message is None:
            raise
        _fail(message, 2)
    sys.exit(0)


def _sentence(error: Exception) -> str | None:
    """What to print of a failure; None where it is a fault of the program, which deserves its traceback."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError):
        return f"{error.filename or 'output'}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "this takes more memory than there is; ask for fewer slots, models or replications"
    if isinstance(error, BrokenProcessPool):
        return "a worker process was killed, most often for lack of memory; try fewer processes with --jobs"
    return None


def _fail(message: str, code: int) -> NoReturn:
    show(f"edgecache: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _reader_left() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _replace_closed_streams() -> None:
    """Open the null device for every closed standard stream, or the next file would take its number. Fail without an output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115, it stays open
    if sys.stdout is None:
        _fail("standard output is closed, so nothing can be printed", 2)
