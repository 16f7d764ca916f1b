"""A request log as it was read: when each request came, which model it asked for, and what was dropped on the way."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .facts import LogFacts, measure
from .log_files import Places


@dataclass(frozen=True, eq=False)
class RequestLog:
    """N requests in the order of time, for M models.

    Parameters
    ----------
    source : str
        The file, or `table`.
    format : str
        Name of the format.
    time_s : array of float, shape (N,)
        Seconds from the first request, ascending.
    model : array of int, shape (N,), or None
        Index in `models` of the model that each request asks for; None where the log names no model.
    models : tuple of str
        The models' names, in the order of their first requests.
    duration_s : array of float, shape (N,), or None
        How long each request took, s; NaN where the log does not say, or says less than zero.
    start : numpy.datetime64 or None
        When the first request came, UTC; None where the log counts from its own start.
    rows : int
        Rows of the log, the dropped ones included.
    dropped : dict of str to int
        How many rows were dropped, by reason.
    out_of_order : int
        How many requests stood behind a later one; they were sorted.
    first_rows : array of int, shape (M,)
        The row of the log, from 0, at which each model first stands.
    place : Places
        Where a row stands, in words.
    about : str
        What the format is.
    clock : str
        The form of the times.

    Examples
    --------
    >>> from edgecache.logs.reading import log_of_table
    >>> log = log_of_table({"time": [0, 5, 9], "model": ["a", "b", "a"]})
    >>> len(log), log.models, log.facts.requests_per_s
    (3, ('a', 'b'), 0.3333333333333333)
    """

    source: str
    format: str
    time_s: npt.NDArray[np.float64]
    model: npt.NDArray[np.int64] | None
    models: tuple[str, ...]
    duration_s: npt.NDArray[np.float64] | None = None
    start: np.datetime64 | None = None
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    out_of_order: int = 0
    first_rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    place: Places | None = None
    about: str = ""
    clock: str = ""

    def __len__(self) -> int:
        return len(self.time_s)

    @cached_property
    def requests(self) -> npt.NDArray[np.int64]:
        """How many requests each model has, (M,)."""
        return np.bincount(self.named, minlength=len(self.models))

    @property
    def named(self) -> npt.NDArray[np.int64]:
        """`model` (N,). Raises InputError where the log names none."""
        if self.model is None:
            raise InputError(
                f"{self.source} ({self.format}) says when requests arrive, but not which model each asks for; "
                "draw the models by Zipf: models='zipf' (--models zipf)"
            )
        return self.model

    def place_of(self, model: int) -> str:
        """Where a model first stands in the log."""
        return self.source if self.place is None else self.place(int(self.first_rows[model]))

    @cached_property
    def facts(self) -> LogFacts:
        """What the log is like, in numbers."""
        return measure(self.time_s, self.model, len(self.models))

    def report(self) -> str:
        """Say in a few lines what was read: rows, dropped rows and why, models, span, rate, and how far from Poisson."""
        dropped = "; ".join(f"{count:,} {reason}" for reason, count in self.dropped.items() if count) or "none"
        lines = [
            f"{self.source}: {self.format}" + (f", {self.about}" if self.about else ""),
            f"  rows {self.rows:,}, requests {len(self):,}; dropped: {dropped}",
        ]
        if self.out_of_order:
            lines.append(f"  {self.out_of_order:,} requests stood behind a later one and were sorted by time")
        first = "" if self.start is None else f", first request {np.datetime_as_string(self.start, 's').replace('T', ' ')} UTC"
        return "\n".join([*lines, f"  times: {self.clock}{first}", *(f"  {line}" for line in self.facts.lines())])
