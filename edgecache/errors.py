"""The one exception that a user's mistake raises: a single sentence saying what, where, which value and what is allowed."""

import importlib
import math
import numbers
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType
from typing import Any

# What names may end in by mistake: the unit that edgecache takes instead, and how to convert.
UNITS = {
    "mb": ("gb", "divide MB by 1,000"),
    "kb": ("gb", "divide kB by 1,000,000"),
    "bytes": ("gb", "divide bytes by 1,000,000,000"),
    "mib": ("gb", "divide MiB by 953.674"),
    "gib": ("gb", "multiply GiB by 1.07374"),
    "tb": ("gb", "multiply TB by 1,000"),
    "w": ("kw", "divide W by 1,000"),
    "watts": ("kw", "divide W by 1,000"),
    "ms": ("s", "divide ms by 1,000"),
    "us": ("s", "divide µs by 1,000,000"),
    "min": ("s", "multiply minutes by 60"),
    "mbps": ("gbps", "divide Mbit/s by 1,000"),
}
SPELT = {"gb": "GB", "kw": "kW", "s": "s", "gbps": "Gbit/s"}


class InputError(ValueError):
    """Bad input: a file, a parameter or a policy. The command line prints it alone and exits with 2."""


class TooManyDeployments(InputError):
    """More deployments fit the server than the method can look at."""


class PolicyError(InputError):
    """A policy broke the decision rule: it overfilled the server, or kept or dropped what it may not."""


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Make the error for an unknown name: the nearest `known` one and all others, or for a wrong unit the right one.

    >>> print(unknown("column", "size_mb", ["service", "size_gb"]))
    unknown column 'size_mb'; size_gb is in GB: divide MB by 1,000
    """
    spelling = {name.lower(): name for name in known}
    stem, _, ending = str(name).lower().rpartition("_")
    if ending in UNITS:
        unit, conversion = UNITS[ending]
        near = get_close_matches(f"{stem}_{unit}", [word for word in spelling if word.endswith(f"_{unit}")], n=1)
        if near:
            return InputError(f"unknown {kind} {name!r}; {spelling[near[0]]} is in {SPELT[unit]}: {conversion}")
    near = get_close_matches(str(name).lower(), spelling, n=1)
    hint = f"did you mean {spelling[near[0]]!r}? Known" if near else "known"
    return InputError(f"unknown {kind} {name!r}; {hint}: {', '.join(spelling.values())}")


def whole_number(name: str, value: Any, least: int = 1, most: float = math.inf) -> None:
    """Raise InputError unless the value is a whole number from `least` to `most`; a bool is none."""
    kind: Any = numbers.Integral  # mypy knows no order of Integral
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        raise InputError(
            f"{name} is {value!r}; it must be a whole number, at least {least}" + (f", at most {most}" if most < math.inf else "")
        )


def require(module: str, extra: str, what: str) -> ModuleType:
    """Import a module of the optional `extra` of pyproject.toml.

    Raises InputError, with the command that installs the extra, where the module is missing; `what` is the sentence's subject.

    Examples
    --------
    >>> require("json", "all", "this example").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith(str(error.name)):  # installed, but something that it needs is not
            raise
        raise InputError(f"{what} needs {module.partition('.')[0]}: pip install 'edgecache[{extra}]'") from None
