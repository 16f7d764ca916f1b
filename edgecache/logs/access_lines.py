"""Servers' access logs as requests: lines of text, each format a regular expression."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
GO_DURATION = re.compile(r"([\d.]+)(h|ms|m|s|us|µs|μs|ns)")
GENERATES = r"/(?:api/(?:generate|chat|embed|embeddings)|(?:upstream/[^/\s\"]+/)?v1/\S*?)"


@dataclass(frozen=True)
class LineFormat:
    """A format of text lines: a regular expression with the groups `time`, `status`, `latency` and, if there, `model`.

    A line that does not match is no request. `latency` is a duration as Go prints it, such as `1m2.5s`; the time is that of the
    answer, so the latency is subtracted. `marks` are words by which the format is known.
    """

    name: str
    about: str
    marks: tuple[str, ...]
    line: re.Pattern


LINE_FORMATS = (
    LineFormat(
        "ollama",
        "Ollama's access log: arrivals only, no model is named",
        ("[GIN]",),
        re.compile(
            r"\[GIN\] (?P<time>\d{4}/\d\d/\d\d - \d\d:\d\d:\d\d) \|\s*(?P<status>\d{3}) \|\s*(?P<latency>[^|\s]+) \|[^|]*\| "
            rf'POST\s+"{GENERATES}"'
        ),
    ),
    LineFormat(
        "llama-swap-access",
        "llama-swap's access log with `logTimeFormat` set: a model is named in /upstream/MODEL/ alone",
        ("Request ", '"POST '),
        re.compile(
            r"^(?P<time>\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*)\s+(?:\[[^\]]*\]\s*)*Request \S+ "
            rf'"POST (?:/upstream/(?P<model>[^/\s]+)|(?={GENERATES}))\S* \S+" (?P<status>\d{{3}}) -?\d+ "[^"]*" (?P<latency>\S+)'
        ),
    ),
)


@dataclass
class Lines:
    """What the lines of an access log say: the columns of requests, and how many lines are none."""

    format: LineFormat
    number: list[int]  # of each request's line, from 1
    time: list[str]
    model: list[str | None]
    status: list[str]
    latency_s: list[float]
    others: int


def read_lines(path: Path, text: str) -> Lines:
    """Read an access log.

    Parameters
    ----------
    path
        The file, for messages.
    text
        Its content.

    Returns
    -------
    Lines

    Raises
    ------
    InputError
        Where no format's marks are there, or no line is a request with a time.

    Examples
    --------
    >>> line = '[GIN] 2025/07/01 - 18:00:09 | 200 |  1.5s | 127.0.0.1 | POST     "/api/chat"'
    >>> lines = read_lines(Path("server.log"), line)
    >>> lines.format.name, lines.time, lines.latency_s
    ('ollama', ['2025-07-01 18:00:09'], [1.5])
    """
    kind = next((f for f in LINE_FORMATS if all(mark in text for mark in f.marks)), None)
    if kind is None:
        known = ", ".join(f.name for f in LINE_FORMATS)
        raise InputError(f"{path}: these lines are neither CSV nor JSON nor a server's log that is known ({known})")
    found = Lines(kind, [], [], [], [], [], 0)
    for number, line in enumerate(text.splitlines(), start=1):
        match = kind.line.search(line)
        if match is None:
            found.others += bool(line.strip())
            continue
        parts = match.groupdict()
        found.number.append(number)
        found.time.append(parts["time"].replace("/", "-").replace(" - ", " "))
        found.model.append(parts.get("model"))
        found.status.append(parts["status"])
        found.latency_s.append(go_duration_s(parts["latency"]))
    if not found.number:
        raise InputError(
            f"{path}: no line is a request with a time that {kind.name} would print; "
            + ("set logTimeFormat in llama-swap's configuration" if kind.name != "ollama" else "its requests begin with [GIN]")
        )
    return found


def go_duration_s(text: str) -> float:
    """A duration as Go prints it, in seconds; 0 for what is none.

    >>> go_duration_s("1m2.5s"), go_duration_s("50ms")
    (62.5, 0.05)
    """
    return sum(float(number) * GO_UNITS[unit] for number, unit in GO_DURATION.findall(text) if number.count(".") < 2)
