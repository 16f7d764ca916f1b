"""Energy counters: RAPL of the processor and NVML of an NVIDIA GPU, where they exist and may be read. Nothing here estimates."""

import errno
import math
from contextlib import suppress
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class Energy:
    """The counters that can be read now: `source` names them, and `reason` says why others cannot, or is empty.

    With a `gpu`, its UUID, its counter comes on top of the processor's, whose own would be the lesser part and is not read alone.
    Energy is of the whole package and GPU, whoever else used them, and whether or not they were idle.
    """

    def __init__(self, gpu: str = "", powercap: Path = POWERCAP):
        self.zones, self.gpu, reasons = [], None, []
        try:
            self.zones = [(zone, float((zone / "max_energy_range_uj").read_text())) for zone in _packages(powercap)]
            for zone, _ in self.zones:
                (zone / "energy_uj").read_text()
            if not self.zones:
                reasons.append("no RAPL counters in /sys/class/powercap")
        except OSError as error:
            self.zones = []
            denied = error.errno in (errno.EACCES, errno.EPERM)
            reasons.append("RAPL may be read by root alone" if denied else f"RAPL cannot be read: {error.strerror}")
        if gpu:
            try:
                import pynvml

                pynvml.nvmlInit()
                handle = pynvml.nvmlDeviceGetHandleByUUID(gpu)
                pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
                self.gpu = lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
            except ImportError:
                self.zones = []
                reasons.append("no NVML: pip install nvidia-ml-py")
            except Exception as error:  # pynvml has an exception a code
                self.zones = []
                reasons.append(f"NVML has no energy counter here: {error}")
        self.source = "+".join([*["rapl"] * bool(self.zones), *["nvml"] * (self.gpu is not None)])
        self.reason = "; ".join(reasons)

    def read(self) -> list[tuple[float, float]] | None:
        """Each counter in J and the range after which it starts anew; None where one cannot be read."""
        try:
            found = [(float((zone / "energy_uj").read_text()) / 1e6, most / 1e6) for zone, most in self.zones]
            return found + ([(self.gpu(), math.inf)] if self.gpu else [])
        except Exception:  # a counter that was taken away in between
            return None

    def between(self, before: list | None, after: list | None) -> float:
        """What was used between two readings, J; NaN where nothing was read. A counter may have wrapped around once."""
        if not before or not after:
            return math.nan
        used = [now - then + (most if now < then else 0.0) for (then, most), (now, _) in zip(before, after, strict=True)]
        return sum(used) if math.isfinite(sum(used)) else math.nan  # a counter without a range began anew


def _packages(powercap: Path) -> list[Path]:
    """The zones of whole packages: parts of them (core, uncore, dram) have two numbers, and psys holds the packages again."""
    found = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") == 1:
            name = ""
            with suppress(OSError):
                name = (zone / "name").read_text().strip()
            if name != "psys":
                found.append(zone)
    return found
