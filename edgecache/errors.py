"""The one exception a user's mistake raises: a single sentence saying what, where, which value and what is allowed."""

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
