"""The command line: `edgecache` or `python -m edgecache`."""

import json
import os
import sys
from pathlib import Path

import click
import pandas as pd

from ..errors import InputError
from .measuring import profile, replay
from .options import scenario_of, scenario_options


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="edgecache")
@click.pass_context
def cli(context):
    """Which generative AI models should an edge server keep deployed?"""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


cli.add_command(profile)
cli.add_command(replay)


@cli.command(short_help="Simulate policies on the same traces.")
@scenario_options
@click.option("--policies", default="random,fifo,lru,lfu,ga,exact", show_default=True, help="Names, comma-separated.")
@click.option("--replications", type=int, default=30, show_default=True, help="Runs, each with its own trace.")
@click.option("--format", "style", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def simulate(policies, replications, seed, style, **parameters):
    """Simulate policies on the same traces: mean cost a slot with its 95 % interval, delay, hits, backhaul and energy."""
    from ..statistics import interval
    from ..sweeps import OUTCOMES, sweep

    scenario = scenario_of(**parameters)
    names = [name.strip() for name in policies.split(",")]
    # starting processes takes longer than a small sweep
    small = scenario.slots * max(scenario.requests_per_slot, 1) * replications <= 20_000
    table = sweep({}, names, replications, scenario, seed=seed, progress=sys.stderr.isatty(), jobs=1 if small else -1)
    rows = []
    for name, runs in table.groupby("policy", sort=False):
        low, high = map(float, interval(runs["total_cost"].to_numpy()))
        means = {outcome: runs[outcome].mean() for outcome in OUTCOMES}
        rows.append(
            {"policy": name, "total_cost": means.pop("total_cost"), "total_cost_low": low, "total_cost_high": high, **means}
        )
    click.echo(_formatted(rows, style), nl=style != "csv")


@cli.command(short_help="Explain the decisions of a slot.")
@scenario_options
@click.option("--slot", type=int, required=True, help="The slot whose decisions to explain, from 0.")
@click.option("--policy", default="ga", show_default=True, help="Whose decisions.")
@click.option("--replication", type=int, default=0, show_default=True, help="Number of the run that `simulate` would make.")
@click.option("--format", "style", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
def explain(slot, policy, replication, seed, style, **parameters):
    """Explain the decisions of a slot: what was chosen, every alternative's cost, the bounds' choice, and what was scarce.

    As csv it is the table of alternatives alone, as json that of the resources too.
    """
    from ..analysis.explanations import explain
    from ..simulator import simulate

    explanation = explain(simulate(scenario_of(**parameters), policy, seed, replication=replication), slot)
    if style == "text":
        click.echo(str(explanation))
    elif style == "csv":
        click.echo(explanation.alternatives.to_csv(index=False, lineterminator="\n", float_format="%.10g"), nl=False)
    else:
        tables = {name: getattr(explanation, name) for name in ("reasons", "alternatives", "resources")}
        click.echo(json.dumps({name: table.to_dict("records") for name, table in tables.items()}, indent=2))


@cli.command(short_help="List the policies, a line each.")
def policies():
    """List the policies, a line each: what it goes by, what it does and when it is good."""
    from ..policies import POLICIES

    for name, policy in POLICIES.items():
        click.echo(f"{name:22} {policy.knows:11} {policy.about}")


@cli.command(short_help="Which claims of the paper hold?")
@click.option("--reading", default="literal", show_default=True, metavar="NAME", help="A named reading: literal, closest or delay.")
@click.option("--format", "style", type=click.Choice(["table", "json", "md"]), default="table", show_default=True)
@click.option("--jobs", type=int, default=-1, help="Processes; -1, the default, is every core.")
def claims(reading, style, jobs):
    """The claims ledger: what the paper says, whether it holds under a reading, and how sure that is.

    Everything is simulated anew, with as many replications as the verdicts need.
    """
    from ..claims.ledger import play_ledger
    from ..claims.verdicts import evidence_text
    from ..scenario import Scenario

    table = play_ledger(Scenario.named(reading), reading, jobs=jobs, progress=sys.stderr.isatty())
    rows = table.to_dict("records")
    if style == "json":
        keys = ("claim", "section", "verdict", "effect", "low", "high", "reading")
        click.echo(_formatted([{key: row[key] for key in keys} for row in rows], "json"))
        return
    rows = [{**row, "evidence": evidence_text(row)} for row in rows]
    shown = [{key: row[key] for key in ("claim", "section", "verdict", "evidence", "replications")} for row in rows]
    click.echo(_markdown(shown) if style == "md" else pd.DataFrame(shown).to_string(index=False, justify="left"))


def _markdown(rows: list[dict]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@cli.command(short_help="Search the readings of the paper.")
@click.option("--count", type=int, default=20_000, show_default=True, help="Readings to judge.")
@click.option("--jobs", type=int, default=-1, help="Processes; -1, the default, is every core.")
@click.option("--out", type=Path, metavar="DIR", help="Put data/results/ and build/readings/ there; without it, in the checkout.")
def readings(count, jobs, out):
    """Search the readings of the paper's lost symbols: which of them supports which claim.

    Ten minutes on two cores. What is judged is kept in build/readings/ at once: a search that was stopped goes on where it was.
    """
    from ..claims.search import search_readings
    from ..files import output_folder

    out = output_folder(out)
    progress = sys.stderr.isatty()
    search_readings(out / "data/results", out / "build/readings", report=click.echo, count=count, jobs=jobs, progress=progress)


def _formatted(rows: list[dict], style: str) -> str:
    table = pd.DataFrame(rows)
    if style == "csv":
        return table.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    if style == "json":
        clean = [{key: None if pd.isna(value) else value for key, value in row.items()} for row in table.to_dict("records")]
        return json.dumps(clean, indent=2, allow_nan=False)
    return table.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-")


@cli.command(short_help="Redraw every figure of the paper.")
@click.option("--quick", is_flag=True, help="Seconds instead of minutes, fewer replications; into build/quick.")
@click.option("--only", metavar="NAME", help="One notebook: 03-resource-sweeps, resource-sweeps or 03.")
@click.option("--jobs", type=int, default=-1, help="Processes; -1, the default, is every core.")
@click.option("--out", type=Path, metavar="DIR", help="Put figures/, data/results/ and build/executed/ there.")
@click.option("--dask", default="", metavar="ADDRESS", help="Run the sweeps on a Dask cluster, such as tcp://host:8786.")
def reproduce(**options):
    """Redraw every figure of the paper from the notebooks."""
    from .reproduce import reproduce

    reproduce(**options)


@cli.command(short_help="Serve the explorer as a page.")
@click.option("--port", type=int, help="Without it the first free one from 8866 on.")
@click.option("--browser/--no-browser", default=True, help="Open it, or only say where it is.")
def app(port, browser):
    """Serve the explorer as a page, on this machine alone and until Ctrl-C; every visitor has settings of their own."""
    from ..explorer.app import serve

    serve(port, browser)


def main():
    """Run the command line; bad input is one sentence on standard error and exit code 2, never a traceback."""
    try:
        sys.exit(cli.main(prog_name="edgecache", standalone_mode=False))
    except InputError as error:
        _fail(str(error), 2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read it has seen enough
    except OSError as error:
        _fail(f"{error.filename or 'output'}: {error.strerror}", 2)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; what was finished is kept", 130)


def _fail(message: str, code: int):
    click.echo(f"edgecache: {' '.join(message.split())}", err=True)
    sys.exit(code)
