"""Fitted twins: generators that are like a request log in shares, times between requests, repeats and hours."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..demand import random_stream
from ..errors import InputError
from ..files import replacing
from ..logs.facts import HOUR_S, LogFacts
from ..logs.mapping import map_models
from ..logs.request_log import RequestLog
from ..scenario import Scenario
from ..trace import Trace
from .contract import OWN_ORDER

_ROOT = Path(__file__).parents[1]
# a checkout keeps data/ beside the package, an installed wheel inside it
TWINS_FOLDER = next((p for p in (_ROOT / "data/twins", _ROOT.parent / "data/twins") if p.exists()), _ROOT / "data/twins")
# Where quantiles of the times between requests are kept: fine towards the long ones, on which the variance depends.
LEVELS = np.array([0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, *(1 - 0.5 ** np.arange(1, 16)), 1.0])
WINDOW = 32  # requests within which models are mixed or sorted, to set how often a model follows itself
QUIET_HOUR = 1e-3  # requests in an hour without any, so that time passes there

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Twin:
    """A generator of logs that are like one log. It is a demand; every draw has the log's requests per model.

    Parameters
    ----------
    name : str
        What tables call it.
    source : str
        The log that it was fitted to, and its licence.
    hourly : tuple of int
        Requests in each hour of the log: the load that all models share.
    requests : tuple of int
        Requests of each model, the most requested first.
    log_gaps : tuple of tuple of float
        For each model the logarithm of the quantiles, at LEVELS, of the times between its requests, counted in requests of the
        shared load. Empty for models of few requests.
    mixing : float
        The share of windows in which models are mixed (above zero) or sorted (below zero).
    map : str
        `rank` or `shuffled`: which model of the catalogue each of the twin's models is.

    Examples
    --------
    >>> twin = shipped_twin("gentd26")
    >>> log = twin.log(np.random.default_rng(0))
    >>> len(log), len(log.models)
    (26392, 79)

    Notes
    -----
    Each model's requests are a renewal process in operational time, in which the load of all models together is even; the hours
    then stretch it. Quantiles are drawn stratified, so that a draw has the log's distribution and not a sample of it.
    """

    name: str
    source: str
    hourly: tuple[int, ...]
    requests: tuple[int, ...]
    log_gaps: tuple[tuple[float, ...], ...]
    mixing: float = 0.0
    map: str = "rank"

    own = OWN_ORDER

    @property
    def size(self) -> int:
        """How many requests a drawn log has."""
        return sum(self.requests)

    @property
    def varies(self) -> tuple[str, ...]:
        """What differs between replications, in words."""
        shuffled = ("which service each of the twin's models is",) if self.map == "shuffled" else ()
        return ("when the twin's requests come, and in which order", *shuffled)

    def log(self, rng: np.random.Generator) -> RequestLog:
        """Draw a log."""
        load, hours = operational(np.array(self.hourly, dtype=float))
        times, models = [], []
        for number, (count, quantiles) in enumerate(zip(self.requests, self.log_gaps, strict=True)):
            times.append(_renewals(count, np.array(quantiles), load[-1], rng))
            models.append(np.full(count, number))
        at, model = np.concatenate(times), np.concatenate(models)
        order = np.argsort(at, kind="stable")
        time_s = np.interp(at[order], load, hours)
        names = tuple(f"model {number + 1}" for number in range(len(self.requests)))
        return RequestLog(
            f"twin {self.name}",
            "twin",
            time_s - time_s[0],
            _mixed(model[order], self.mixing, rng),
            names,
            rows=len(at),
            about=self.source,
            clock="drawn",
        )

    def trace(self, scenario: Scenario, stream: np.random.SeedSequence) -> Trace:
        """The trace of that stream: a drawn log, its models mapped onto the catalogue by their rank."""
        log, catalogue = self.log(np.random.default_rng(random_stream(stream, 1))), scenario.catalogue
        index, _ = map_models(log, catalogue, self.map, rng=np.random.default_rng(random_stream(stream, 4)))
        table = {name: catalogue.services[place] for name, place in zip(log.models, index, strict=True) if place >= 0}
        return Trace.from_log(log, catalogue, map=table, missing="drop", slot_s=scenario.slot_length_s)

    def check(self, log: RequestLog, draws: int = 20) -> pd.DataFrame:
        """Compare the twin with a log.

        Parameters
        ----------
        log : RequestLog
            The log that the twin was fitted to.
        draws : int
            How many twins are drawn; their means are compared.

        Returns
        -------
        DataFrame
            `quantity`, `log`, `twin` and `ratio`: the first model's share, the mean coefficient of variation of the times between
            requests of the ten leading models, repeats, and the hourly variance / mean.
        """
        drawn = [self.log(np.random.default_rng(random_stream(0, draw))).facts for draw in range(draws)]
        rows = []
        for name, of in _CHECKED.items():
            wanted, got = of(log.facts), float(np.mean([of(facts) for facts in drawn]))
            rows.append({"quantity": name, "log": wanted, "twin": got, "ratio": got / wanted})
        return pd.DataFrame(rows)

    def write(self, path: str | Path) -> None:
        """Write the twin as JSON, whole or not at all."""
        numbers = asdict(self) | {"log_gaps": [[round(value, 3) for value in row] for row in self.log_gaps]}
        with replacing(path) as part:
            part.write_text(json.dumps(numbers, separators=(",", ":")) + "\n")


_CHECKED: dict[str, Callable[[LogFacts], float]] = {
    "first model's share": lambda facts: facts.top_share,
    "first ten models' share": lambda facts: facts.top_ten_share,
    "CV of the times between requests of a model": lambda facts: float(np.mean(facts.model_cv)),
    "repeats": lambda facts: facts.repeats,
    "hourly variance / mean": lambda facts: facts.hourly_dispersion,
}


def shipped_twin(name: str) -> Twin:
    """Read a twin that ships with the package.

    Examples
    --------
    >>> shipped_twin("gentd26").requests[:2]
    (8229, 3978)
    """
    return read_twin(TWINS_FOLDER / f"{name}.json")


def read_twin(path: str | Path) -> Twin:
    """Read a twin from a file of `Twin.write`. Raises InputError where the file is none."""
    try:
        numbers = json.loads(Path(path).read_text())
        lists = {key: tuple(numbers[key]) for key in ("hourly", "requests")}
        return Twin(**numbers | lists | {"log_gaps": tuple(map(tuple, numbers["log_gaps"]))})
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such twin") from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: this is no twin ({error})") from None


def operational(hourly: Floats) -> tuple[Floats, Floats]:
    """The shared load, added up, at the end of each hour, and the seconds of those ends, (H + 1,) each."""
    return np.concatenate([[0.0], np.cumsum(hourly + QUIET_HOUR)]), np.arange(len(hourly) + 1.0) * HOUR_S


def _renewals(count: int, log_gaps: Floats, span: float, rng: np.random.Generator) -> Floats:
    """So many times within a span, by stratified draws of the times between them; uniform where there are no quantiles."""
    if not len(log_gaps):
        return span * rng.random(count)
    levels = np.append(LEVELS[: len(log_gaps) - 1], 1.0)
    gaps = np.exp(np.interp((rng.permutation(count) + rng.random(count)) / count, levels, log_gaps))
    return (np.cumsum(gaps) * (span / gaps.sum()) + rng.random() * span) % span


def _mixed(model: npt.NDArray[np.int64], share: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The models, mixed (or sorted, where the share is below zero) within a share of the windows."""
    whole = len(model) // WINDOW * WINDOW
    windows = model[:whole].reshape(-1, WINDOW).copy()
    chosen = rng.random(len(windows)) < abs(share)
    windows[chosen] = rng.permuted(windows[chosen], axis=1) if share > 0 else np.sort(windows[chosen], axis=1)
    return np.concatenate([windows.ravel(), model[whole:]])
