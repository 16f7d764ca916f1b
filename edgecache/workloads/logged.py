"""A request log as a demand: as it is, or resampled in blocks of days, with a mapping that the seed may shuffle."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..catalogue import Catalogue
from ..demand import Draws, random_stream
from ..errors import InputError, unknown
from ..logs.mapping import map_models
from ..logs.reading import read_log
from ..logs.request_log import RequestLog
from ..scenario import Scenario
from ..trace import Trace
from .contract import OWN, OWN_ORDER
from .resampling import resampled

LEAST_BLOCKS = 2
DRAWS = ("zipf",)  # words of `models`
ORDERS = ("log", "shuffled")  # words of `order`


def read_trace(
    file: str | Path,
    catalogue: Catalogue | None = None,
    *,
    time: str | None = None,
    model: str | None = None,
    where: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    duration: str | None = None,
    **options: Any,
) -> Trace:
    """Read a request log and make a trace of it.

    Parameters
    ----------
    file : str or Path
        CSV, JSON lines, parquet or a server's access log. Known formats need no options.
    catalogue : Catalogue, optional
        The models. Without it the log's own models are numbered from the most requested one on.
    time, model, where, time_unit, duration
        The columns and the rows to take: see `logs.reading.read_log`.
    **options
        The mapping and the slots: see `Trace.from_log`.

    Returns
    -------
    Trace

    Raises
    ------
    InputError
        One sentence with the file, the line and the value.

    Examples
    --------
    >>> import edgecache as ec, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.csv"
    >>> _ = path.write_text("time,model\\n0,text_to_image\\n70,text_to_speech\\n")
    >>> trace = ec.read_trace(path, ec.load_catalogue())
    >>> round(ec.simulate(ec.Scenario(), "lru", trace=trace).means()["hit_ratio"], 2)
    0.0
    """
    log = read_log(file, time=time, model=model, where=where, time_unit=time_unit, duration=duration)
    return Trace.from_log(log, catalogue, **options)


@dataclass(frozen=True, eq=False)
class LoggedDemand:
    """A request log, played for any scenario.

    Parameters
    ----------
    log : RequestLog
        What `read_log` returned.
    map, missing
        Which model of the catalogue each model of the log is: see `logs.mapping.map_models`. `shuffled` draws the catalogue's order
        anew in every replication.
    slot_s : float, optional
        Length of a slot, s; the scenario's by default.
    requests_per_slot : int, optional
        Cut the log into slots of so many requests instead.
    block_s : float, optional
        Resample: every replication draws as many blocks of this length, s, as the log has, with replacement. A log that is shorter
        than two blocks is refused. Requests after the last whole block are left out.
    order : str
        `log`: the models in the order of the log. `shuffled`: the same models and times, but the models in an order that the seed
        shuffles, as independent requests would have it.
    models : str, optional
        `zipf`: draw the models by the scenario's Zipf exponent (or the catalogue's weights), for a log that names none.

    Examples
    --------
    >>> import edgecache as ec
    >>> from edgecache.logs.reading import log_of_table
    >>> log = log_of_table({"time": [0, 50, 70, 130], "model": ["a", "b", "b", "a"]})
    >>> ec.sweep({}, ["lru"], 2, demand=LoggedDemand(log, map="shuffled"), jobs=1)["requests"].tolist()
    [4, 4]

    Notes
    -----
    Where blocks or the mapping are drawn, what the log leaves uncertain is the spread of the replications: see `resampling`.
    """

    log: RequestLog
    map: str | Path | Mapping[str, str] | None = None
    missing: str = "error"
    slot_s: float | None = None
    requests_per_slot: int | None = None
    block_s: float | None = None
    order: str = "log"
    models: str | None = None
    name: str = "log"

    def __post_init__(self):
        if self.models is not None and self.models not in DRAWS:
            raise InputError(f"models is {self.models!r}; it must be 'zipf': drawn by Zipf, or by the catalogue's weights")
        if self.order not in ORDERS:
            raise unknown("order", self.order, ORDERS)
        if self.block_s is not None and self.blocks < LEAST_BLOCKS:
            raise InputError(
                f"{self.log.source}: the log spans {self.log.facts.span_s:,.0f} s, less than {LEAST_BLOCKS} blocks of "
                f"{self.block_s:,.0f} s; take shorter blocks"
            )

    @property
    def own(self) -> tuple[str, ...]:
        """The parameters of a scenario that the log decides."""
        cut = self.slot_s is not None or self.requests_per_slot is not None
        drawn = ("zipf", "popularity_order") if self.models else ()
        return tuple(name for name in (OWN if cut else OWN_ORDER) if name not in drawn)

    @property
    def size(self) -> int:
        """About how many requests a replication has."""
        return len(self.log)

    @property
    def blocks(self) -> int:
        """How many whole blocks the log has; 0 without blocks."""
        return int(self.log.time_s[-1] // self.block_s) if self.block_s else 0

    @property
    def resamples(self) -> bool:
        """Do replications draw from this one log, so that their spread is what it leaves uncertain?"""
        return bool(self.block_s) or self.map == "shuffled"

    @property
    def varies(self) -> tuple[str, ...]:
        """What differs between replications, in words; nothing where the log is played as it is."""
        parts = []
        if self.block_s:
            parts.append(f"which days came ({self.blocks} blocks of {self.block_s:,.0f} s, drawn with replacement)")
        if self.map == "shuffled":
            parts.append("which service each of the log's models is")
        if self.order == "shuffled":
            parts.append("in which order the models are requested (shuffled)")
        if self.models:
            parts.append("which model each request asks for (drawn; the log names none)")
        return tuple(parts)

    def trace(self, scenario: Scenario, stream: np.random.SeedSequence) -> Trace:
        """The trace of that stream. Ranks are those of the whole log, whatever days were drawn."""
        log, catalogue = self._drawn(scenario, stream), scenario.catalogue
        rule = "name" if self.models else self.map
        rng = np.random.default_rng(random_stream(stream, 4))
        index, _ = map_models(log, catalogue, rule, missing=self.missing, rng=rng)
        if self.block_s:
            log = resampled(log, self.block_s, np.random.default_rng(random_stream(stream, 3)))
        if self.order == "shuffled":
            log = replace(log, model=np.random.default_rng(random_stream(stream, 5)).permutation(log.named))
        return Trace.from_log(
            log,
            catalogue,
            map={name: catalogue.services[place] for name, place in zip(log.models, index, strict=True) if place >= 0},
            missing="drop",
            slot_s=scenario.slot_length_s if self.slot_s is None else self.slot_s,
            requests_per_slot=self.requests_per_slot,
        )

    def _drawn(self, scenario: Scenario, stream: np.random.SeedSequence) -> RequestLog:
        """The log, its models drawn where that is asked for."""
        if self.models is None:
            return self.log
        popularity, draws = Draws(stream).popularity(scenario), np.random.default_rng(random_stream(stream, 2))
        model = np.searchsorted(popularity.cumsum()[:-1], draws.random(len(self.log)), side="right")
        return replace(self.log, model=model, models=scenario.catalogue.services)
