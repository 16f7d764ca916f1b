"""The commands for operators: `edgecache serve-sim` and `edgecache plan`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, unknown
from .demand_options import LOG_OPTIONS, logged
from .options import assigned, names
from .output import show, show_csv, show_rows

if TYPE_CHECKING:
    from ..catalogue import Catalogue
    from ..serving.arrivals import Arrivals
    from ..serving.models import ServedModels, Server
    from ..serving.planning import Plan

READING = ("time", "model", "where", "time_unit", "map", "missing", "models")  # those of LOG_OPTIONS that concern one play of a log
SERVING_OPTIONS = (
    click.argument("log"),
    click.option("--catalogue", type=Path, metavar="FILE", help="CSV file of models. Default: the ten shipped services."),
    *(LOG_OPTIONS[name] for name in READING),
    click.option("--duration", metavar="COL", help="The log's column of service times, s. Known formats need none."),
    click.option("--service", default="fixed", show_default=True,
                 help="Service times about the catalogue's, where the log has none: fixed, exponential or lognormal."),
    click.option("--gpu-memory", "gpu_memory_gb", type=float, default=float("inf"), help="GPU memory in GB. Default: no limit."),
    click.option("--disk", "disk_gb", type=float, default=float("inf"), help="Disk for models in GB. Default: no limit."),
    click.option("--link", "link_gbps", type=float, default=float("inf"), help="Link in Gbit/s. Default: none; plan: up to 100."),
    click.option("--ttl", metavar="SECONDS", help="Idle time-out; hazard or rent-or-buy choose it by model. Default: the rule's."),
    click.option("--hold", type=float, default=0.001, show_default=True, help="Worth of a GB for a second, in s of waiting."),
    click.option("--pin", default="", metavar="NAMES", help="Models that are always loaded, comma-separated."),
    click.option("--slo", default="p95=10s", show_default=True, help="Target, such as p95=10s; also ms, min, h."),
    click.option("--of", "measure", default="wait", show_default=True, help="What the target limits: wait, or delay with service."),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other limit of the server."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of drawn service times and models."),
)  # fmt: skip


def serving_options(command: Callable) -> Callable:
    """Give a command the options of a log and of the server that serves it."""
    for option in reversed(SERVING_OPTIONS):
        command = option(command)
    return command


@click.command("serve-sim", short_help="What users of a log would wait.")
@serving_options
@click.option("--parallel", type=int, default=1, show_default=True, help="Requests that a model serves at once.")
@click.option("--rules", default="lru,lfu,gdsf,ollama,lemonade", show_default=True, help="Names, comma-separated.")
@click.option("--format", "style", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def serve_sim(log: str, rules: str, parallel: int, slo: str, measure: str, style: str, **options: Any) -> None:
    """Say what users of a log would wait on a server, under each rule for who must leave.

    The log is a file, or a name of `edgecache traces`. It is read as by `edgecache simulate --trace`.

    Rules are the names that `edgecache policies` lists, and those of deployed servers with their own limits: ollama, llama.cpp,
    llama-swap, lm-studio, lemonade, lemonade-lru, localai, localai-largest, modelmesh, ray-serve.

    Waits are split into queue, fetch and load. Intervals are drawn over days. The last row is a bound: no rule's mean is below it.
    """
    from ..serving.server_use import usage
    from ..serving.simulation import serve
    from ..serving.targets import Target
    from ..serving.wait_bounds import least_mean_wait

    target = Target.spelt(slo, measure)
    arrivals, server, models = _read(log, parallel=parallel, **options)
    if server.link_gbps == server.disk_gb == float("inf"):
        models = models.vary(on_disk=True)
    rows: list[dict] = []
    for name in names(rules):
        run = serve(*_with_defaults(name, server, models), arrivals, name)
        waits, used = target.waits(run), usage(run.play)
        low, high = waits.interval("wait")
        rows.append(
            {
                "rule": name, "mean_wait_s": waits.mean("wait"), "low": low, "high": high,
                **{f"{part}_s": waits.mean(part) for part in ("queue", "fetch", "load")},
                **{f"p{round(100 * share)}_{measure}_s": waits.quantile(share) for share in (0.5, 0.95, 0.99)},
                "within_slo": waits.share_within(), "cloud_share": waits.cloud_share(), "gpu_hours": used.gpu_hours,
                "energy_kwh": used.energy_kwh, "fetched_gb": used.fetched_gb, "loads": used.loads,
            }
        )  # fmt: skip
    rows.append(dict.fromkeys(rows[0]) | {"rule": "bound", "mean_wait_s": least_mean_wait(server, models, arrivals)})
    show_rows(rows, style)


@click.command("plan", short_help="What server a log needs.")
@serving_options
@click.option("--rule", default="lru", show_default=True, help="Who must leave where room is needed.")
@click.option("--cards", type=Path, metavar="FILE", help="CSV of GPU cards: card, memory_gb, price, watts. data/cards.csv is one.")
@click.option("--export", "export", type=click.Choice(["llama-swap", "ollama"]), help="Configuration to write.")
@click.option("--out", type=Path, metavar="FILE", help="Where to write it. Default: standard output, after the plan.")
@click.option("--format", "style", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def plan(log: str, rule: str, slo: str, measure: str, cards: Path | None, export: str | None, out: Path | None, style: str,
         **options: Any) -> None:  # fmt: skip
    """Find the least GPU memory, link, disk and parallelism that meet a target on both halves of a log.

    The log is a file, or a name of `edgecache traces`. It is read as by `edgecache simulate --trace`.

    Limits such as --gpu-memory are the most that may be bought. The command prints the plan, what it does on either half with 95 %
    confidence, what one unit more of each resource would bring, and what each card would do.
    """
    from ..files import replacing
    from ..serving.cards import read_cards
    from ..serving.planning import plan_server
    from ..serving.targets import Target

    if out and not export:
        raise InputError("--out is where a configuration is written; say which with --export")
    target = Target.spelt(slo, measure)
    arrivals, server, models = _read(log, parallel=1, **options)
    server, models = _with_defaults(rule, server, models)
    found = plan_server(target, models, arrivals, server, rule, read_cards(cards) if cards else ())
    if not found.needs:
        raise InputError(_refusal(found))
    _show_plan(found, style)
    if export:
        text = _exported(export, found, arrivals)
        if out is None:
            show(text, newline=False)
        else:
            with replacing(out) as part:
                part.write_text(text)


def _read(
    log: str, *, catalogue: Path | None, service: str, seed: int, ttl: str | None, hold: float, pin: str, parallel: int,
    settings: tuple[str, ...], **options: Any,
) -> tuple[Arrivals, Server, ServedModels]:  # fmt: skip
    """The requests, the server and its models of a command's options."""
    from dataclasses import fields

    from ..catalogue import load_catalogue
    from ..serving.models import ServedModels, Server

    models_of = load_catalogue(catalogue) if catalogue else load_catalogue()
    given: dict[str, Any] = {name: {"True": True, "False": False}.get(value, value) for name, value in assigned(settings).items()}
    for name in given:
        if name not in {field.name for field in fields(Server)}:
            raise unknown("limit of the server", name, [field.name for field in fields(Server)])
    reading = {name: options.pop(name) for name in (*READING, "duration")}
    server = Server(**options, **given)
    pinned = names(pin) if pin else []
    for name in pinned:
        if name not in models_of.services:
            raise unknown("model of --pin", name, models_of.services)
    models = ServedModels(models_of, parallel=parallel, pinned=[service in pinned for service in models_of.services])
    arrivals = _arrivals(log, models_of, service, seed, **reading)
    return arrivals, server, models.vary(ttl_s=_time_outs(ttl, hold, server, models, arrivals))


def _arrivals(log: str, catalogue: Catalogue, service: str, seed: int, **reading: Any) -> Arrivals:
    """The requests of a log. Prints to standard error what was read, and where service times come from."""
    from ..demand import random_stream
    from ..scenario import Scenario
    from ..serving.arrivals import Arrivals

    # a scenario says how models are drawn; its server is another one, and must refuse no model
    drawn = Scenario(catalogue=catalogue, storage_gb=1e11, gpu_memory_gb=1e11, energy_capacity_kw=1e11)
    trace = logged(drawn, log, **reading).trace(drawn, random_stream(seed, 0, 0))
    arrivals = Arrivals.of_trace(trace, catalogue, service, seed)
    known = 0 if trace.duration_s is None else int((trace.duration_s >= 0).sum())
    show(f"  service times: {known:,} as logged, {len(trace) - known:,} by the catalogue ({service})", err=True)
    return arrivals


def _time_outs(ttl: str | None, hold: float, server: Server, models: ServedModels, arrivals: Arrivals) -> Any:
    """Idle time-outs of the option --ttl: seconds, or chosen for the first half of the log."""
    from ..serving.targets import halves
    from ..serving.time_outs import time_outs_of

    if ttl is None:
        return None
    if ttl in ("hazard", "rent-or-buy"):
        if not 0 <= hold < float("inf"):
            raise InputError(f"--hold is {hold!r}; it must be a number of at least 0")
        return time_outs_of(server, models, halves(arrivals)[0], hold, ttl)
    try:
        return float(ttl)
    except ValueError:
        raise InputError(f"--ttl is {ttl!r}; it must be seconds, hazard or rent-or-buy") from None


def _with_defaults(name: str, server: Server, models: ServedModels) -> tuple[Server, ServedModels]:
    """The limits that the rule of that name comes with."""
    from ..serving.rules import SERVER_RULES, with_defaults

    return with_defaults(SERVER_RULES.get(name), server, models)


def _refusal(found: Plan) -> str:
    """Why nothing meets a target."""
    share, places = 100 * found.halves["share_within"].min(), int(found.models.parallel[0])
    return (
        f"nothing that was tried meets the target {found.target}: with {found.server.gpu_memory_gb:g} GB of GPU memory and "
        f"{places} places per model {share:.3g} % of a half of the log are within it; the others spend most time in: {found.limit}"
    )


def _show_plan(found: Plan, style: str) -> None:
    """Print the needs, the halves, the prices and the cards."""
    tables = {"halves": found.halves, "prices": found.prices}
    if found.cards is not None:
        tables["cards"] = found.cards
    if style == "json":
        clean = {name: json.loads(table.to_json(orient="records", double_precision=10)) for name, table in tables.items()}
        needs = {name: value for name, value in found.needs.items() if value < float("inf")}
        chosen = found.card.card if found.card else None
        show(json.dumps({"target": str(found.target), "needs": needs, "card": chosen, **clean}, indent=2))
        return
    if style == "csv":
        show_csv(found.prices)
        return
    from ..serving.planning import UNITS

    show(f"Target: {found.target}, met on both halves of the log with 95 % confidence by at least")
    for name, value in found.needs.items():
        show(f"    {name:14} {value:g} {UNITS[name]}" if value < float("inf") else f"    {name:14} no limit")
    if found.card:
        show(f"    card           {found.card.card}, the cheapest that meets it")
    for title, table in tables.items():
        show(f"\n{title}")
        show_rows(table.to_dict("records"), "table")


def _exported(export: str, found: Plan, arrivals: Arrivals) -> str:
    """The configuration of a deployed server."""
    from ..serving.exports import llama_swap_yaml, ollama_json

    if export == "ollama":
        return ollama_json(found.server, found.models)
    return llama_swap_yaml(found.server, found.models, arrivals)
