"""Options that several commands share: those of a scenario, and values by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError

if TYPE_CHECKING:
    from ..scenario import Scenario

SCENARIO_OPTIONS = (
    click.option("--reading", metavar="NAME", help="A named reading of the paper: literal (the default), closest or delay."),
    click.option("--catalogue", type=Path, metavar="FILE", help="CSV file of models. Default: the ten shipped services."),
    click.option("--storage", "storage_gb", type=float, default=120.0, show_default=True, help="Storage in GB."),
    click.option("--gpu-memory", "gpu_memory_gb", type=float, default=12.0, show_default=True, help="GPU memory in GB."),
    click.option("--arrival-rate", type=float, default=1.0, show_default=True, help="Mean number of requests per slot."),
    click.option("--zipf", type=float, default=0.8, show_default=True, help="Zipf exponent of the models' popularity."),
    click.option("--slots", type=int, default=100, show_default=True, help="Number of time slots."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random numbers."),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other parameter or reading of the scenario."),
)


def scenario_options(command: Callable) -> Callable:
    """Give a command the options of a scenario."""
    for option in reversed(SCENARIO_OPTIONS):
        command = option(command)
    return command


def scenario_of(*, catalogue: Path | None, settings: tuple[str, ...], reading: str | None, **parameters: Any) -> Scenario:
    """The Scenario of a command's options. A named reading sets every parameter that the command line does not give."""
    from ..catalogue import load_catalogue
    from ..scenario import Scenario

    context = click.get_current_context()
    if reading:
        given = click.core.ParameterSource.COMMANDLINE
        parameters = {name: value for name, value in parameters.items() if context.get_parameter_source(name) == given}
    parameters |= assigned(settings)
    parameters |= {"catalogue": load_catalogue(catalogue)} if catalogue else {}
    return Scenario.named(reading, **parameters) if reading else Scenario(**parameters)


def assigned(settings: tuple[str, ...]) -> dict[str, Any]:
    """The values of --set by name. Raises InputError for a parameter that has an option of its own."""
    options = {option.name: option.opts[0] for option in click.get_current_context().command.params}
    values = pairs("--set", settings)
    for name, value in values.items():
        if name in options:
            raise InputError(f"--set is {name + '=' + value!r}; for {name} there is the option {options[name]}")
    return {name: literal(value) for name, value in values.items()}


def settings_of(context: click.Context) -> dict[str, str]:
    """The parameters that --set gives, by name."""
    return pairs("--set", context.params.get("settings") or ())


def pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """The values of an option that is given as NAME=VALUE any number of times."""
    values: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InputError(f"{option} is {text!r}; it must be NAME=VALUE")
        if name in values:
            raise InputError(f"{option} is {text!r}; {name} is set twice")
        values[name] = value
    return values


def names(given: str) -> list[str]:
    """The names of a comma-separated option."""
    return [name.strip() for name in given.split(",")]


def literal(value: str) -> int | float | str:
    """The value as Python code would have it: a whole number, a number, or a string."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
