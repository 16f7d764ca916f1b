"""Lines of code that lead back to a view of the explorer, and the differences between two of its settings."""

from collections.abc import Mapping, Sequence

from ..scenario import Scenario
from .controls import CONTROLS, DEFAULT, SCOPES


def scenario_call(reading: str, scenario: Scenario, file: str) -> str:
    """The scenario as a call: the named reading, and the parameters that differ from it."""
    named = Scenario.named(reading)
    changes = {name: getattr(scenario, name) for name in ("scope", *(c.name for c in CONTROLS if c.name != "seed"))}
    arguments = [f"{name}={value!r}" for name, value in changes.items() if value != getattr(named, name)]
    if file:
        arguments.append(f"catalogue=ec.load_catalogue({file!r})")
    if reading == "literal":
        return f"ec.Scenario({', '.join(arguments)})"
    return f"ec.Scenario.named({', '.join([repr(reading), *arguments])})"


def explorer_call(settings: Mapping[str, object], policies: Sequence[str], file: str) -> str:
    """The call that opens an explorer with these settings; it leaves out what is so by default."""
    named = Scenario.named(str(settings["reading"]))
    usual = {"view": "compare", "reading": "literal", "policy_shown": "ga", "slot": None, "over": "gpu_memory_gb", "seed": 0}
    arguments: dict[str, object] = {"catalogue": file} if file else {}
    for name, value in settings.items():
        if name == "slot" and settings["view"] not in ("timeline", "convergence"):
            continue
        if value != (usual[name] if name in usual else getattr(named, name)):
            arguments[name] = value
    if set(policies) != set(DEFAULT):
        arguments["policies"] = list(policies)
    return (
        f"from edgecache.explorer import Explorer; Explorer({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
    )


def changes_since(then: Scenario, then_seed: int, now: Scenario, seed: int) -> str:
    """Name the sliders that moved since the pinned view."""
    pairs = [(c.text, getattr(then, c.name), getattr(now, c.name)) for c in CONTROLS if c.name != "seed"]
    pairs.append(("Seed", then_seed, seed))
    moved = [f"{text} {old:g} to {new:g}" for text, old, new in pairs if old != new]
    if then.scope != now.scope:
        moved.append(f"a decision may {SCOPES[now.scope]}")
    return f"Since the pinned view ({', '.join(moved)}):" if moved else "Since the pinned view:"
