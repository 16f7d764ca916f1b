"""Energy counters, where they exist and may be read: RAPL of the processor, NVML of an NVIDIA GPU. Nothing here is estimated."""

import errno
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
Readings = list[tuple[float, float]]  # of each counter its value and the range after which it restarts, J


class Energy:
    """Read the energy counters of this machine.

    `source` names the readable counters; `reason` says why others are not readable, or is empty. With `gpu`, the UUID of a GPU,
    its counter is added to the processor's. Where the GPU's is not readable, the processor's is not used alone: it would be the
    smaller part. The counters cover the processor package and the GPU as a whole: idle power and other processes count.
    """

    def __init__(self, gpu: str = "", powercap: Path = POWERCAP):
        self.zones: list[tuple[Path, float]] = []
        self.gpu: Callable[[], float] | None = None
        reasons = [self._open_rapl(powercap), self._open_nvml(gpu) if gpu else ""]
        self.source = "+".join([*["rapl"] * bool(self.zones), *["nvml"] * (self.gpu is not None)])
        self.reason = "; ".join(filter(None, reasons))

    def _open_rapl(self, powercap: Path) -> str:
        """Find the zones of RAPL. Returns why there are none, or nothing."""
        try:
            zones = [(zone, float((zone / "max_energy_range_uj").read_text())) for zone in _packages(powercap)]
            for zone, _ in zones:
                (zone / "energy_uj").read_text()
        except OSError as error:
            denied = error.errno in (errno.EACCES, errno.EPERM)
            return "only root may read RAPL" if denied else f"RAPL cannot be read: {error.strerror}"
        self.zones = zones
        return "" if zones else "no RAPL counters in /sys/class/powercap"

    def _open_nvml(self, gpu: str) -> str:
        """Find the counter of a GPU. Returns why there is none, or nothing."""
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(gpu)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except ImportError:
            self.zones = []
            return "no NVML: pip install nvidia-ml-py"
        except Exception as error:  # pynvml has one exception per code
            self.zones = []
            return f"NVML has no energy counter here: {error}"
        self.gpu = lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
        return ""

    def read(self) -> Readings | None:
        """Read all counters; None where one of them has become unreadable."""
        try:
            values = [(float((zone / "energy_uj").read_text()) / 1e6, most / 1e6) for zone, most in self.zones]
            return values + ([(self.gpu(), math.inf)] if self.gpu else [])
        except Exception:  # the counter was removed meanwhile
            return None

    def between(self, before: Readings | None, after: Readings | None) -> float:
        """Energy used between two readings, J; NaN where one is missing. A counter may have wrapped around once."""
        if not before or not after:
            return math.nan
        used = sum(now - then + (most if now < then else 0.0) for (then, most), (now, _) in zip(before, after, strict=True))
        return used if math.isfinite(used) else math.nan  # infinite: a counter without a range restarted


def _packages(powercap: Path) -> list[Path]:
    """List the zones of processor packages: their parts (core, uncore, dram) have two numbers, and psys repeats the packages."""
    packages = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") == 1:
            name = ""
            with suppress(OSError):
                name = (zone / "name").read_text().strip()
            if name != "psys":
                packages.append(zone)
    return packages
