"""The one exception a user's mistake raises: a single sentence saying what, where, which value and what is allowed."""

import importlib
import math
import numbers
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType


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


def require(module: str, extra: str, what: str) -> ModuleType:
    """Import a module that belongs to an optional extra of the package.

    Parameters
    ----------
    module : str
        The module's full name, such as `pyarrow.parquet`.
    extra : str
        The extra of pyproject.toml that installs it.
    what : str
        What needs the module, as the subject of the error's sentence.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    InputError
        Where the module is not installed; it names the command that installs it.

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
