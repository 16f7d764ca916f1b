"""The one exception a user's mistake raises: a single sentence saying what, where, which value and what is allowed."""

import math
import numbers
from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input: a file, a parameter or a policy. The command line prints it alone and exits with 2."""


class TooManyDeployments(InputError):
    """More deployments fit the server than the method can look at."""


class PolicyError(InputError):
    """A policy broke the decision rule: it overfilled the server, or kept or dropped what it may not."""


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """An InputError that names the unknown `name`, the nearest known one and all the others."""
    known = {name.lower(): name for name in known}
    near = get_close_matches(str(name).lower(), known, n=1)
    hint = f"did you mean {known[near[0]]!r}? Known" if near else "known"
    return InputError(f"unknown {kind} {name!r}; {hint}: {', '.join(known.values())}")


def whole_number(name: str, value: object, least: int = 1, most: float = math.inf):
    """Raise InputError unless the value is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= value <= most:
        raise InputError(
            f"{name} is {value!r}; it must be a whole number, at least {least}" + (f", at most {most}" if most < math.inf else "")
        )
