"""Demands as words, for the command line and for sweeps: `gamma:cv=4`, `bursts:ratio=10+locality:repeat=0.3`, `gentd26`."""

from dataclasses import fields
from typing import Any

from ..errors import InputError, unknown
from .arrivals import Bursts, Diurnal, Gamma, Poisson
from .choices import Drift, Independent, Locality
from .contract import Demand, PoissonZipf
from .generated import GeneratedDemand
from .twins import shipped_twin

ARRIVALS = {kind.word: kind for kind in (Poisson, Gamma, Bursts, Diurnal)}
CHOICES = {kind.word: kind for kind in (Independent, Drift, Locality)}
TWINS = ("gentd26",)  # fitted twins that ship with the package


def find_demand(demand: str | Demand | None) -> Demand:
    """Find the demand of a word, or return the demand itself.

    Parameters
    ----------
    demand : str or Demand, optional
        `poisson` is the paper's, and the default. Others are a kind of arrivals (`gamma`, `bursts`, `diurnal`), a choice of models
        (`drift`, `locality`), or one of each joined by `+`; numbers follow a colon, as in `gamma:cv=4`. `gentd26` is the fitted
        twin of a production trace.

    Returns
    -------
    Demand

    Raises
    ------
    InputError
        For an unknown word or number, and for what is no demand.

    Examples
    --------
    >>> find_demand("gamma:cv=4+locality:repeat=0.3").name
    'gamma:cv=4+locality:repeat=0.3'
    >>> find_demand(None).name
    'poisson'
    """
    if demand is None:
        return PoissonZipf()
    if not isinstance(demand, str):
        if isinstance(demand, Demand) and not isinstance(demand, type):
            return demand
        raise InputError(
            f"{demand!r} is no demand: a demand is a word ({', '.join(_words())}), or has a name and trace(scenario, stream)"
        )
    if demand.strip() == "poisson":
        return PoissonZipf()
    if demand.strip() in TWINS:
        return shipped_twin(demand.strip())
    parts: dict[str, Any] = {}
    for text in demand.split("+"):
        word, _, numbers = text.strip().partition(":")
        role, kinds = ("arrivals", ARRIVALS) if word in ARRIVALS else ("choice", CHOICES)
        if word not in kinds:
            raise unknown("demand", word, _words())
        if role in parts:
            raise InputError(f"demand is {demand!r}; it names two kinds of {role}")
        parts[role] = _made(kinds[word], numbers, demand)
    return GeneratedDemand(**parts, name=demand.strip())


def _words() -> list[str]:
    return [*ARRIVALS, *CHOICES, *TWINS]


def _made(kind: Any, numbers: str, demand: str) -> Any:
    """The arrivals or the choice of that kind, with the numbers of its word."""
    known, given = [field.name for field in fields(kind)], {}
    for text in filter(None, numbers.split(",")):
        name, equals, value = (part.strip() for part in text.partition("="))
        if not known:
            raise InputError(f"demand is {demand!r}; {kind.word} takes no numbers")
        if not equals:
            raise InputError(f"demand is {demand!r}; numbers are given as name=value, such as {kind.word}:{known[0]}=2")
        if name not in known:
            raise unknown(f"number of {kind.word}", name, known)
        try:
            given[name] = float(value)
        except ValueError:
            raise InputError(f"demand is {demand!r}; {name} is {value!r}, which is no number") from None
    return kind(**given)
