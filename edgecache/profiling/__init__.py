"""Measure real networks on this machine, and replay a trace on them to check the simulator.

`profile` loads, runs and unloads networks in a process of its own, as Section II-B of the paper does, and writes a catalogue
that `load_catalogue` reads. `replay` plays the simulator's decisions with the same networks; comparisons.py sets the predicted
delays against the measured ones. The other modules are worker (the process that measures), machine (page cache, reads, memory),
energy (RAPL and NVML counters), profiles (statistics), profile_files (write, read, check), and delays (the records of Fig. 1).

To add a backend, write a frozen dataclass that satisfies the protocol `Backend` (contract.py): it writes the networks of its
services to disk, loads one, and describes itself. Pass an instance to `profile`. A row in `measurement.BACKENDS` makes the
commands and `replay` know it by name. onnx/ is the shortest example. Importing this package imports neither ONNX Runtime nor
torch: a backend imports its libraries in its methods.
"""

from importlib import import_module
from typing import Any

_MODULES = {  # public name: the module that defines it, loaded on first use
    "Backend": "contract", "Network": "contract", "Profile": "profiles", "profile": "measurement", "proportionate": "replays",
    "read_profile": "profile_files", "replay": "replays",
}  # fmt: skip
__all__ = ["Backend", "Network", "Profile", "profile", "proportionate", "read_profile", "replay"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
