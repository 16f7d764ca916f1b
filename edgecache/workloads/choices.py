"""Which model each request asks for, given when it comes and the long-run popularity."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .arrivals import check_range

Models = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


class Choice(Protocol):
    """A choice of models."""

    def models(self, popularity: Shares, times: Shares, rng: np.random.Generator) -> tuple[Models, Shares]:
        """The model of each request (N,) and the shares (I,) that hold on average, from popularity (I,) and times in slots (N,)."""
        ...


def drawn(popularity: Shares, count: int, rng: np.random.Generator) -> Models:
    """So many independent models by their popularity."""
    return np.searchsorted(popularity.cumsum()[:-1], rng.random(count), side="right")


@dataclass(frozen=True)
class Independent:
    """Independent requests of fixed popularity, as in the paper."""

    word = "independent"

    def models(self, popularity: Shares, times: Shares, rng: np.random.Generator) -> tuple[Models, Shares]:
        """See `Choice`."""
        return drawn(popularity, len(times), rng), popularity


@dataclass(frozen=True)
class Locality:
    """A request repeats the model before it with some probability, else its model is drawn anew. Shares stay the same.

    Parameters
    ----------
    repeat : float
        Probability that a request repeats the model before it.
    """

    repeat: float = 0.3
    word = "locality"

    def __post_init__(self):
        check_range(self, "repeat", 0.0, 1.0)

    def models(self, popularity: Shares, times: Shares, rng: np.random.Generator) -> tuple[Models, Shares]:
        """See `Choice`."""
        fresh = rng.random(len(times)) >= self.repeat
        fresh[:1] = True
        return drawn(popularity, int(fresh.sum()), rng)[np.cumsum(fresh) - 1], popularity


@dataclass(frozen=True)
class Drift:
    """Popularity drifts: now and then two models exchange their popularity.

    Parameters
    ----------
    every : float
        Mean number of slots between two exchanges.
    """

    every: float = 20.0
    word = "drift"

    def __post_init__(self):
        check_range(self, "every", 1e-6, 1e9)

    def models(self, popularity: Shares, times: Shares, rng: np.random.Generator) -> tuple[Models, Shares]:
        """See `Choice`. The shares are the means over the requests, for popularity itself moves."""
        shares, size, end = popularity.copy(), len(popularity), float(times[-1]) if len(times) else 0.0
        model, mean, first, at = np.empty(len(times), dtype=np.int64), np.zeros(size), 0, 0.0
        while first < len(times):
            at = at + float(rng.exponential(self.every)) if size > 1 else end + 1
            last = int(np.searchsorted(times, at, side="left"))
            model[first:last] = drawn(shares, last - first, rng)
            mean += shares * (last - first)
            if size > 1:
                pair = rng.choice(size, 2, replace=False)
                shares[pair] = shares[pair[::-1]]
            first = last
        return model, mean / mean.sum() if len(times) else popularity
