"""When requests come: arrival processes, all of the scenario's mean rate. Times are in slots from the start of the trace."""

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..scenario import Scenario

Times = npt.NDArray[np.float64]


def check_range(owner: Any, name: str, least: float, most: float, *, above: bool = False) -> None:
    """Raise InputError unless a number of a demand is from `least` (or above it) to `most`."""
    value = getattr(owner, name)
    fine = isinstance(value, int | float | np.number) and not isinstance(value, bool) and least <= value <= most
    if not fine or (above and value == least):
        word = "above" if above else "from"
        names = ", ".join(field.name for field in fields(owner))
        raise InputError(f"{name} of {owner.word} is {value!r}; it must be a number {word} {least:g} to {most:g} (it has {names})")


class Arrivals(Protocol):
    """An arrival process."""

    def times(self, scenario: Scenario, rng: np.random.Generator) -> Times:
        """Arrival times over the scenario's slots, in slots, ascending, (N,)."""
        ...


def uniform_times(counts: npt.NDArray[np.int64], edges: Times, rng: np.random.Generator) -> Times:
    """So many times in each interval between the edges, independent and uniform there, sorted."""
    place = np.repeat(np.arange(len(counts)), counts)
    return np.sort(edges[place] + rng.random(len(place)) * np.diff(edges)[place])


@dataclass(frozen=True)
class Poisson:
    """Poisson arrivals: times between requests are exponential, their coefficient of variation is 1."""

    word = "poisson"

    def times(self, scenario: Scenario, rng: np.random.Generator) -> Times:
        """Arrival times, in slots."""
        count = rng.poisson(scenario.requests_per_slot * scenario.slots)
        return np.sort(rng.random(count) * scenario.slots)


@dataclass(frozen=True)
class Gamma:
    """Renewals with gamma times between requests.

    Parameters
    ----------
    cv : float
        Coefficient of variation of the times between requests: 1 is Poisson, more is burstier, less is more regular.

    Notes
    -----
    Stationary: the first interval is the rest of one that covers the start, which is longer than most (the inspection paradox).
    """

    cv: float = 3.0
    word = "gamma"

    def __post_init__(self):
        check_range(self, "cv", 0.01, 100.0)

    def times(self, scenario: Scenario, rng: np.random.Generator) -> Times:
        """Arrival times, in slots."""
        shape, rate, slots = self.cv**-2, scenario.requests_per_slot, scenario.slots
        scale = 1 / (shape * rate)
        reached = rng.random() * rng.gamma(shape + 1) * scale  # a covering interval is drawn by its length: gamma(shape + 1)
        parts = [np.array([reached])]
        while reached < slots:
            count = int((slots - reached) * rate * 1.1 + 10 * (1 + self.cv))
            parts.append(reached + np.cumsum(rng.gamma(shape, scale, count)))
            reached = float(parts[-1][-1])
        times = np.concatenate(parts)
        return times[times < slots]


@dataclass(frozen=True)
class Bursts:
    """A Poisson process that a two-state Markov chain switches between quiet times and bursts (MMPP).

    Parameters
    ----------
    ratio : float
        Rate in a burst over the rate in quiet times.
    share : float
        Share of the time that is a burst.
    length : float
        Mean length of a burst, in slots.
    """

    ratio: float = 20.0
    share: float = 0.1
    length: float = 10.0
    word = "bursts"

    def __post_init__(self):
        check_range(self, "ratio", 1.0, 1e6)
        check_range(self, "share", 0.0, 0.99, above=True)
        check_range(self, "length", 0.0, 1e6, above=True)

    def times(self, scenario: Scenario, rng: np.random.Generator) -> Times:
        """Arrival times, in slots."""
        quiet = self.length * (1 - self.share) / self.share
        burst, at, edges, rates = bool(rng.random() < self.share), 0.0, [0.0], []
        low = scenario.requests_per_slot / (1 - self.share + self.ratio * self.share)
        while at < scenario.slots:
            at += float(rng.exponential(self.length if burst else quiet))
            edges.append(min(at, scenario.slots))
            rates.append(low * (self.ratio if burst else 1.0))
            burst = not burst
        span = np.array(edges)
        return uniform_times(rng.poisson(np.array(rates) * np.diff(span)), span, rng)


@dataclass(frozen=True)
class Diurnal:
    """A Poisson process whose rate rises and falls over the day, as a sine with a random phase.

    Parameters
    ----------
    swing : float
        How far the rate moves from its mean, as a share of the mean.
    period : float
        Length of a day, in slots. 0: 24 hours of the scenario's slots.
    """

    swing: float = 0.8
    period: float = 0.0
    word = "diurnal"

    def __post_init__(self):
        check_range(self, "swing", 0.0, 1.0)
        check_range(self, "period", 0.0, 1e9)

    def times(self, scenario: Scenario, rng: np.random.Generator) -> Times:
        """Arrival times, in slots."""
        period, phase = self.period or 86_400 / scenario.slot_length_s, rng.random() * 2 * np.pi
        steps = min(int(np.ceil(scenario.slots / period * 96)) + 1, 10 * scenario.slots + 1000)
        edges = np.linspace(0, scenario.slots, steps + 1)
        wave = edges - self.swing * period / (2 * np.pi) * (np.cos(2 * np.pi * edges / period + phase) - np.cos(phase))
        counts = rng.poisson(np.maximum(np.diff(wave), 0) * scenario.requests_per_slot)
        return uniform_times(counts, edges, rng)
