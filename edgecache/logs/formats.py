"""Known formats of request logs: which column holds the time, the model and the duration. One row per format."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import InputError, unknown

TIME_NAMES = (
    "time", "timestamp", "ts", "datetime", "date", "start_time", "starttime", "started_at", "arrival_time", "arrival", "created_at",
    "created", "request_time", "gmt_create", "time_s", "t",
)  # fmt: skip
MODEL_NAMES = (
    "model", "model_id", "model_name", "modelname", "model_version", "checkpoint", "checkpoint_model_version_id", "service",
    "deployment", "engine", "function", "func", "app",
)  # fmt: skip


@dataclass(frozen=True)
class LogFormat:
    """A format of named columns.

    Parameters
    ----------
    name, about
        What tables call the format, and what it is.
    columns
        The columns that identify it.
    time, model, duration, end
        The columns of the time, of the model (None: the log names no model), and of the duration, or else of the end.
    time_unit, duration_unit
        Units of numbers: `auto`, `s`, `ms`, `us` or `ns`.
    ends
        Is the time that of the request's end? The duration is then subtracted.
    where
        Accepted values by column; other rows are dropped. A column that the log lacks is not asked for.
    nested
        The lists that hold the requests within a record of JSON, outermost first.
    """

    name: str
    about: str
    columns: tuple[str, ...]
    time: str
    model: str | None
    duration: str | None = None
    end: str | None = None
    time_unit: str = "auto"
    duration_unit: str = "s"
    ends: bool = False
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nested: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns to read."""
        names = (self.time, self.model, self.duration, self.end, *self.where)
        return tuple(dict.fromkeys(name for name in names if name is not None))


FORMATS = (
    LogFormat(
        "gentd26",
        "GenTD26: requests to a production Stable Diffusion system, Alibaba 2026; its base models are the models",
        ("gmt_create", "predict_status", "checkpoint_model_version_id"),
        time="gmt_create",
        model="checkpoint_model_version_id",
        duration="exec_time_seconds",
        where={"predict_status": ("SUCCEED",)},
    ),
    LogFormat(
        "azure-functions-2021",
        "Azure Functions 2021: a proxy, its applications (what Azure deploys) stand for the models",
        ("app", "func", "end_timestamp", "duration"),
        time="end_timestamp",
        model="app",
        duration="duration",
        time_unit="s",
        ends=True,
    ),
    LogFormat(
        "azure-llm",
        "Azure LLM inference 2023 and 2024: arrivals only, no model is named",
        ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
        time="TIMESTAMP",
        model=None,
    ),
    LogFormat(
        "mooncake",
        "Mooncake (FAST 2025): arrivals only, no model is named",
        ("timestamp", "input_length", "output_length", "hash_ids"),
        time="timestamp",
        model=None,
        time_unit="ms",
    ),
    LogFormat(
        "copilot-agents-2026",
        "GitHub Copilot coding agents 2026: every model call of every turn of every session",
        ("session_id", "turns"),
        time="timestamp",
        model="model",
        duration="duration_ms",
        duration_unit="ms",
        nested=("turns", "llm_calls"),
    ),
    LogFormat(
        "litellm",
        "LiteLLM spend logs",
        ("startTime", "endTime", "model"),
        time="startTime",
        model="model",
        end="endTime",
        where={"status": ("success", "")},
    ),
    LogFormat(
        "llama-swap",
        "llama-swap's activity log (its metrics as JSON or CSV)",
        ("timestamp", "model", "duration_ms"),
        time="timestamp",
        model="model",
        duration="duration_ms",
        duration_unit="ms",
        where={"resp_status_code": ("200", "")},
    ),
)


def find_format(
    columns: Iterable[str],
    source: str,
    *,
    time: str | None = None,
    model: str | None = None,
    where: Mapping[str, str | Iterable[str]] | None = None,
    time_unit: str | None = None,
    duration: str | None = None,
) -> LogFormat:
    """Find the format of a log by its columns, and put the columns that the user names in place of its own.

    Parameters
    ----------
    columns
        The columns of the log.
    source
        The file, for messages.
    time, model, where, time_unit, duration
        What the user names; see `read_log`.

    Returns
    -------
    LogFormat
        A known format, or one named `columns` that was put together from the names of the columns.

    Raises
    ------
    InputError
        Where a named column is not there, or no column is called as a time or a model usually is.

    Examples
    --------
    >>> find_format(["TIMESTAMP", "ContextTokens", "GeneratedTokens"], "a.csv").name
    'azure-llm'
    >>> find_format(["When", "model_name"], "a.csv", time="When").model
    'model_name'
    """
    present = list(columns)
    known = next((f for f in FORMATS if set(f.columns) <= set(present)), None)
    accepted = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in dict(where or {}).items()}
    named = [name for name in (time, model, duration, *accepted) if name is not None]
    if known is not None and known.nested and named:
        raise InputError(f"{source}: the sessions of {known.name} have columns of their own; name no other, such as {named[0]!r}")
    for name in named:
        if name not in present:
            raise InputError(f"{source}: {unknown('column', name, present)}")
    if known is None:
        time_column = time or _usual(present, TIME_NAMES, "times", "time", source)
        model_column = model or _usual(present, MODEL_NAMES, "models", "model", source)
        known = LogFormat("columns", "a table of requests", (), time_column, model_column)
    changes: dict[str, Any] = {"time": time or known.time, "model": model or known.model, "time_unit": time_unit or known.time_unit}
    if time is not None and time != known.time:  # another column of times: the format's rules for its own do not hold
        changes |= {"ends": False, "end": None, "time_unit": time_unit or "auto"}
    if duration is not None and duration != known.duration:
        changes |= {"duration": duration, "duration_unit": "s", "end": None}
    kept = {name: values for name, values in known.where.items() if name in present}
    return replace(known, where=kept | accepted, **changes)


def _usual(present: list[str], names: tuple[str, ...], what: str, option: str, source: str) -> str:
    """The column that is called as such columns usually are."""
    spelling = {name.lower().strip(): name for name in reversed(present)}
    for name in names:
        if name in spelling:
            return spelling[name]
    if not present:
        raise InputError(f"{source}: there are no columns")
    raise InputError(f"{source}: no column of {what} was found; name one of {', '.join(present[:20])} with {option}= (--{option})")
