"""Options of the demand: a word, or a request log and how to read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError
from .options import pairs, scenario_of, settings_of
from .output import show

if TYPE_CHECKING:
    from ..scenario import Scenario
    from ..workloads.contract import Demand
    from ..workloads.logged import LoggedDemand

LOG_OPTIONS = {
    "time": click.option("--time", metavar="COL", help="The log's column of times. Known formats need none."),
    "model": click.option("--model", metavar="COL", help="The log's column of models."),
    "where": click.option("--where", multiple=True, metavar="COL=VALUE", help="Take only rows with this value, as STATUS=SUCCEED."),
    "time_unit": click.option("--time-unit", metavar="UNIT", help="Unit of times that are numbers: s, ms, us or ns."),
    "requests_per_slot": click.option("--requests-per-slot", type=int, metavar="K", help="Slots of K requests each, not of time."),
    "map": click.option(
        "--map", metavar="RULE", help="Models of the log to the catalogue's: rank, shuffled, name, or a CSV table."
    ),
    "missing": click.option("--missing", metavar="RULE", help="Models that the catalogue lacks: error (the default) or drop."),
    "order": click.option(
        "--order", metavar="WORD", help="Order of the log's models: log (the default), or shuffled for comparison."
    ),
    "models": click.option("--models", metavar="zipf", help="Draw the models, for a log that says only when requests arrive."),
    "blocks": click.option("--blocks", metavar="SPAN", help="Resample the log in blocks, as 1d, for intervals over replications."),
}
HELP = {
    "trace": "A request log (CSV, JSON lines, parquet, a server's log), or a name of `edgecache traces`.",
    "demand": "poisson (the default), gamma:cv=4, bursts, diurnal, drift, locality, a sum as gamma+drift, or gentd26.",
    "slot": "Length of the log's slots, as 60s. Default: the scenario's slot length, 60 s.",
}


def demand_options(*slot: str) -> Callable[[Callable], Callable]:
    """Give a command the options of the demand; `slot` are the names of the option of the slots' length."""

    def decorate(command: Callable) -> Callable:
        length = click.option(*slot, "slot_length", metavar="SPAN", help=HELP["slot"])
        first = [
            click.option("--trace", metavar="FILE", help=HELP["trace"]),
            click.option("--demand", metavar="WORD", help=HELP["demand"]),
        ]
        for option in reversed([*first, length, *LOG_OPTIONS.values()]):
            command = option(command)
        return command

    return decorate


def played(parameters: dict[str, Any]) -> tuple[Scenario, Demand]:
    """The scenario and the demand of a command's options."""
    chosen = {name: parameters.pop(name) for name in ("trace", "demand", "slot_length", *LOG_OPTIONS)}
    scenario = scenario_of(**parameters)
    return scenario, demand_of(scenario, **chosen)


def demand_of(scenario: Scenario, trace: str | None, demand: str | None, **options: Any) -> Demand:
    """The demand of a command's options; what was read of a log is printed to standard error.

    Raises InputError for options that do not go together.
    """
    from ..workloads.words import find_demand

    given = [name for name, value in options.items() if value not in (None, ())]
    if trace is None:
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} is an option of --trace; name a request log with --trace FILE")
        chosen = find_demand(demand)
    elif demand is not None:
        raise InputError(f"--trace and --demand {demand} are both given; a run has one demand")
    else:
        chosen = logged(scenario, trace, **options)
    _refuse(chosen)
    return chosen


def logged(
    scenario: Scenario,
    trace: str,
    *,
    where: tuple[str, ...] = (),
    slot_length: str | None = None,
    blocks: str | None = None,
    **options: Any,
) -> LoggedDemand:
    """The demand of a request log, of options of LOG_OPTIONS. Prints to standard error what was read."""
    from ..logs.mapping import map_models
    from ..logs.reading import read_log
    from ..logs.slots import seconds_of
    from ..logs.sources import find_trace
    from ..workloads.logged import LoggedDemand

    reading = {name: options.get(name) for name in ("time", "model", "time_unit", "duration")}
    log = read_log(find_trace(trace), where=pairs("--where", where), **reading)
    demand = LoggedDemand(
        log,
        map=options.get("map"),
        missing=options.get("missing") or "error",
        slot_s=None if slot_length is None else seconds_of(slot_length, "--slot-length"),
        requests_per_slot=options.get("requests_per_slot"),
        block_s=None if blocks is None else seconds_of(blocks, "--blocks"),
        order=options.get("order") or "log",
        models=options.get("models"),
    )
    show(log.report(), err=True)
    if demand.models is None:
        index, rule = map_models(log, scenario.catalogue, demand.map, missing=demand.missing)
        lost = int(log.requests[index < 0].sum())
        beyond = f"; {lost:,} requests for {int((index < 0).sum()):,} models beyond the catalogue's are dropped" if lost else ""
        show(f"  models to the catalogue: {rule}{beyond}", err=True)
    else:
        show("  models: drawn by the scenario's popularity, for the log names none", err=True)
    return demand


def _refuse(demand: Demand) -> None:
    """Raise InputError where the command line sets a parameter that the demand decides itself."""
    context = click.get_current_context()
    own = getattr(demand, "own", ())
    options = {option.name: option.opts[0] for option in context.command.params}
    for name in own:
        if name in options and context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise InputError(f"{options[name]} is given, but the demand {demand.name!r} has its own; leave {options[name]} out")
        if name in settings_of(context):
            raise InputError(f"--set {name} is given, but the demand {demand.name!r} has its own; leave it out")


def replications_of(demand: Demand, replications: int) -> int:
    """How many replications to run, and a sentence to standard error on what an interval over them holds."""
    context = click.get_current_context()
    varies = getattr(demand, "varies", None)
    if varies is None:  # a generator: its replications are independent draws
        return replications
    if varies:
        middle = ". They are the middle 95 % of the replications" if getattr(demand, "resamples", False) else ""
        show(f"  intervals hold: {'; '.join(varies)}{middle}", err=True)
        return replications
    if context.get_parameter_source("replications") == click.core.ParameterSource.COMMANDLINE:
        show("  the log is the same in every replication: an interval holds the policies' own random numbers alone", err=True)
        return replications
    show("  the log is played once, as it is, so there is no interval: --blocks 1d or --map shuffled resamples it", err=True)
    return 1
