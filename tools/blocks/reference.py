"""What the code says of itself: switches, numbers, named readings, policies, the catalogue's cells, and the modules of the API."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
import tomllib

import pandas as pd

import edgecache
from edgecache.catalogue import SHIPPED, TABLE_I
from edgecache.listing import POLICY_TABLE
from edgecache.scenario import NAMED, OPEN, READINGS, Scenario

from . import ROOT, listed, markdown_table

INTERNAL = ("place", "ahead", "behind", "seed", "prefetches", "lfu_in_cache")  # fields that the loop keeps for itself
STATUSES = ("published", "computed", "calibrated", "table_bound")


def _parameters() -> dict[str, str]:
    """What the docstring of Scenario says of each parameter."""
    section = inspect.getdoc(Scenario).split("Parameters\n----------\n")[1].split("\n\n")[0]
    found = re.findall(r"^(\w+)\n((?: {4}.*\n?)+)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def switches() -> str:
    """Every reading: its words, the default first, and what it decides."""
    about = _parameters()
    rows = [
        (f"`{name}`", ", ".join(f"`{word}`" for word in words), about[name].removeprefix("Reading: "))
        for name, words in READINGS.items()
    ]
    return markdown_table(("switch", "words, the default first", "what it decides"), rows)


def numbers() -> str:
    """Every number of a scenario, its default, and whether the paper states it."""
    about = _parameters()
    rows = [
        (f"`{field.name}`", f"{field.default:g}", "open" if field.name in OPEN else "", about[field.name])
        for field in dataclasses.fields(Scenario)[1:]
        if field.name not in READINGS
    ]
    return markdown_table(("parameter", "default", "in the paper's text", "meaning"), rows)


def named() -> str:
    """The named readings, and what each changes of the defaults."""
    told = {name: ", ".join(f"`{key}={value}`" for key, value in changes.items()) for name, changes in NAMED.items()}
    rows = [(f"`{name}`", changes or "nothing") for name, changes in told.items()]
    return markdown_table(("named reading", "what it changes"), rows)


def policies() -> str:
    """Every policy: its name, its label, what it knows and what it does."""
    rows = [(f"`{name}`", entry.label, entry.knows, entry.about) for name, entry in POLICY_TABLE.items()]
    return markdown_table(("name", "in figures", "knows", "what it does"), rows)


def catalogue() -> str:
    """How the numbers of the shipped catalogue were come by."""
    table = pd.read_csv(SHIPPED)
    cells = pd.DataFrame({feature: table[f"{feature}_status"].value_counts() for feature in TABLE_I}).reindex(STATUSES)
    rows = [(f"`{name}`", *(f"{count:.0f}" for count in row.fillna(0))) for name, row in cells.iterrows()]
    total = cells.sum(axis=1)
    told = listed(f"{total[name]:.0f} are `{name}`" for name in STATUSES)
    titles = ("status", *(f"`{name}`" for name in TABLE_I))
    return f"Of {len(table) * len(TABLE_I)} cells, {told}.\n\n{markdown_table(titles, rows)}"


def fields() -> str:
    """The fields of a model and of the server that a rank may read."""
    source = (ROOT / "edgecache/policies/contract.py").read_text()
    parts = []
    for record, title in (("MODEL", "`model.`"), ("SERVER", "`server.`")):
        block = source.split(f"\n{record} = np.dtype(")[1].split("align=True")[0]
        found = re.findall(r'\("(\w+)", np\.\w+\),(?: +# (.*))?', block)
        rows = [(f"`{name}`", about or _unit(name, record)) for name, about in found if name not in INTERNAL]
        parts.append(markdown_table((title, "meaning"), rows))
    return "\n\n".join(parts)


def _unit(name: str, record: str) -> str:
    """The meaning of a field that the source leaves to its name."""
    if record == "SERVER":
        return "free now"
    special = {"index": "its number in the catalogue", "deployed_since": "the request that deployed it", "last_request": "the last"}
    return special.get(name, "as in the catalogue")


def layers() -> str:
    """The layers of the package, from the top; names on one line import nothing from one another."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = project["tool"]["importlinter"]["contracts"]
    return "```text\n" + "\n".join(contract["layers"]) + "\n```"


def rooms() -> str:
    """Every room and module of the package with the first sentence of its docstring."""
    rows = []
    for module in ("edgecache", *_modules()):
        text = inspect.getdoc(importlib.import_module(module)) or ""
        rows.append((f"`{module}`", text.split("\n\n")[0].replace("\n", " ")))
    return markdown_table(("module", "what it is for"), rows)


def api() -> str:
    """Directives that document the names of every public module, by room."""
    parts, room = [], None
    for module in _modules():
        names = module.split(".")
        if names[1] != room:
            room = names[1]
            has_modules = hasattr(importlib.import_module(f"edgecache.{room}"), "__path__")
            parts.append(f"## {room.replace('_', ' ')}" if has_modules else f"## edgecache.{room}")
        parts.append(f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```")
    return "\n\n".join(parts)


def _modules() -> list[str]:
    """Every module of the package that a user may import, rooms before their modules."""
    found = (module.name for module in pkgutil.walk_packages(edgecache.__path__, "edgecache."))
    return [name for name in found if not any(part.startswith("_") for part in name.split("."))]
