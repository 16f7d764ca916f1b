"""Options that several commands share: those of a scenario, and values by name."""

from pathlib import Path

import click

from ..errors import InputError

SCENARIO_OPTIONS = (
    click.option("--reading", metavar="NAME", help="A named reading of the paper: literal (the default), closest or delay."),
    click.option("--catalogue", type=Path, metavar="FILE", help="CSV of models; the shipped ten services without it."),
    click.option("--storage", "storage_gb", type=float, default=120.0, show_default=True, help="Storage, GB."),
    click.option("--gpu-memory", "gpu_memory_gb", type=float, default=12.0, show_default=True, help="GPU memory, GB."),
    click.option("--arrival-rate", type=float, default=1.0, show_default=True, help="Requests a slot."),
    click.option("--zipf", type=float, default=0.8, show_default=True, help="Exponent of the popularity."),
    click.option("--slots", type=int, default=100, show_default=True, help="Time slots."),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other parameter or reading of the scenario."),
)


def scenario_options(command):
    """Give a command the options of a scenario."""
    for option in reversed(SCENARIO_OPTIONS):
        command = option(command)
    return command


def scenario_of(catalogue, settings, reading, **parameters):
    """The Scenario of a command's options; a named reading sets what was not asked for on the command line."""
    from ..catalogue import load_catalogue
    from ..scenario import Scenario

    context = click.get_current_context()
    if reading:
        given = click.core.ParameterSource.COMMANDLINE
        parameters = {name: value for name, value in parameters.items() if context.get_parameter_source(name) == given}
    parameters |= assigned(settings)
    parameters |= {"catalogue": load_catalogue(catalogue)} if catalogue else {}
    return Scenario.named(reading, **parameters) if reading else Scenario(**parameters)


def assigned(settings: tuple[str, ...]) -> dict[str, int | float | str]:
    """What --set sets; raises InputError for what the command has an option for."""
    options = {option.name: option.opts[0] for option in click.get_current_context().command.params}
    found = pairs("--set", settings)
    for name, value in found.items():
        if name in options:
            raise InputError(f"--set is {name + '=' + value!r}; for {name} there is the option {options[name]}")
    return {name: literal(value) for name, value in found.items()}


def pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """The values of an option that is given as NAME=VALUE any number of times."""
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InputError(f"{option} is {text!r}; it must be NAME=VALUE")
        if name in pairs:
            raise InputError(f"{option} is {text!r}; {name} is set twice")
        pairs[name] = value
    return pairs


def literal(value: str) -> int | float | str:
    """A value as it would stand in code: a whole number, a number, or a word."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
