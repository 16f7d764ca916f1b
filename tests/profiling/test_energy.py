"""Energy counters, against made-up ones in a folder and a made-up NVML: what they say is added up, and nothing is estimated."""

import errno
import math
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgecache.profiling import energy
from edgecache.profiling.energy import Energy

DENIED = "only root may read RAPL"
GPU = "GPU-2f1b"  # its UUID
NO_RAPL = "no RAPL counters in /sys/class/powercap"


def put(powercap, zone, name, uj, most=262_143_328_850):
    """A zone of the power capping framework of Linux, as its documentation has it."""
    folder = powercap / zone
    folder.mkdir(parents=True, exist_ok=True)
    for file, said in (("name", name), ("energy_uj", uj), ("max_energy_range_uj", most)):
        (folder / file).write_text(f"{said}\n")


@pytest.fixture
def powercap(tmp_path):
    """Two packages with their parts, and what holds the same energy again or is of another interface."""
    put(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    put(tmp_path, "intel-rapl:0:0", "core", 700_000)
    put(tmp_path, "intel-rapl:0:1", "dram", 200_000)
    put(tmp_path, "intel-rapl:0/intel-rapl:0:0", "core", 700_000)  # it is there twice, once in its package
    put(tmp_path, "intel-rapl:1", "package-1", 2_000_000)
    put(tmp_path, "intel-rapl:2", "psys", 50_000_000)
    put(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    put(tmp_path, "dtpm:0", "package-0", 1_000_000)
    (tmp_path / "intel-rapl").mkdir()
    (tmp_path / "intel-rapl/enabled").write_text("1\n")
    return tmp_path


def later(powercap, **used):
    """Let every counter advance: those of the zones named by the given microjoules, all others by some more."""
    for zone in powercap.glob("*:*"):
        more = used.get(zone.name.replace("intel-rapl:", "z"), 12_345)
        (zone / "energy_uj").write_text(f"{int((zone / 'energy_uj').read_text()) + more}\n")


def nvml(*readings_mj, error=None):
    """A made-up pynvml whose counter has the readings, one a call, the last for ever; an exception among them is raised."""
    readings = list(readings_mj)

    def counter(handle):
        assert handle == "the GPU"
        found = readings.pop(0) if len(readings) > 1 else readings[0]
        if isinstance(found, Exception):
            raise found
        return found

    def start():
        if error:
            raise error

    return SimpleNamespace(
        nvmlInit=start,
        nvmlDeviceGetHandleByUUID=lambda uuid: {GPU: "the GPU"}[uuid],
        nvmlDeviceGetTotalEnergyConsumption=counter,
    )


@pytest.fixture
def with_nvml(monkeypatch):
    return lambda *readings_mj, **options: monkeypatch.setitem(sys.modules, "pynvml", nvml(*readings_mj, **options))


def deny(monkeypatch, name, number=errno.EACCES):
    """Let the kernel refuse files of that name: a mode would not do, for tests may run as root."""
    read_text = Path.read_text

    def refused(self, *arguments, **options):
        if self.name == name or str(self).endswith(name):
            raise OSError(number, "Permission denied" if number == errno.EACCES else "No data available", str(self))
        return read_text(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refused)


def test_the_packages_are_added_and_nothing_is_counted_twice(powercap):
    counters = Energy(powercap=powercap)
    assert (counters.source, counters.reason) == ("rapl", "")
    before = counters.read()
    later(powercap, z0=3_000_000, z1=500_000, z2=70_000_000)
    assert counters.between(before, counters.read()) == pytest.approx(3.5, abs=1e-9)


def test_what_did_not_advance_used_nothing_which_is_not_unknown(powercap):
    counters = Energy(powercap=powercap)
    assert counters.between(counters.read(), counters.read()) == 0


@pytest.mark.parametrize(("then", "used", "most"), [(990, 30, 1_000), (999_999, 1, 999_999), (0, 999, 1_000), (500, 499, 1_000)])
def test_a_counter_that_began_anew_is_unwrapped(tmp_path, then, used, most):
    put(tmp_path, "intel-rapl:0", "package-0", then, most)
    put(tmp_path, "intel-rapl:1", "package-1", 5, 10**9)
    counters = Energy(powercap=tmp_path)
    before = counters.read()
    put(tmp_path, "intel-rapl:0", "package-0", (then + used) % most, most)
    put(tmp_path, "intel-rapl:1", "package-1", 7, 10**9)
    assert counters.between(before, counters.read()) == pytest.approx((used + 2) / 1e6, abs=1e-12)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
@pytest.mark.parametrize("name", ["energy_uj", "intel-rapl:1/energy_uj"])
def test_counters_of_root_alone_are_said_to_be(powercap, monkeypatch, number, name):
    deny(monkeypatch, name, number)
    counters = Energy(powercap=powercap)
    assert (counters.source, counters.reason) == ("", DENIED)
    assert math.isnan(counters.between(counters.read(), counters.read())), "half of the packages is not the energy"


def test_another_failure_is_told_as_it_is(powercap, monkeypatch):
    deny(monkeypatch, "energy_uj", errno.ENODATA)
    counters = Energy(powercap=powercap)
    assert (counters.source, counters.reason) == ("", "RAPL cannot be read: No data available")


def test_a_package_whose_name_cannot_be_read_is_one(powercap, monkeypatch):
    deny(monkeypatch, "intel-rapl:0/name")
    counters = Energy(powercap=powercap)
    before = counters.read()
    later(powercap, z0=1_000_000, z1=1_000_000)
    assert counters.between(before, counters.read()) == pytest.approx(2, abs=1e-9)


@pytest.mark.parametrize("there", [False, True])
def test_without_counters_nothing_is_told(tmp_path, there):
    powercap = tmp_path / "powercap"
    if there:
        put(powercap, "intel-rapl:0", "psys", 1)
        put(powercap, "intel-rapl:0:0", "core", 1)
    counters = Energy(powercap=powercap)
    assert (counters.source, counters.reason) == ("", NO_RAPL)
    assert math.isnan(counters.between(counters.read(), counters.read()))


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_counter_that_vanishes_leaves_the_energy_unknown(powercap, when):
    counters = Energy(powercap=powercap)
    before = counters.read() if when == "between" else None
    shutil.rmtree(powercap / "intel-rapl:1")
    if when == "before":
        before = counters.read()
        put(powercap, "intel-rapl:1", "package-1", 9_000_000)
    assert math.isnan(counters.between(before, counters.read()))


def test_a_counter_that_says_no_number_leaves_the_energy_unknown(powercap):
    counters = Energy(powercap=powercap)
    before = counters.read()
    (powercap / "intel-rapl:0/energy_uj").write_text("")
    assert math.isnan(counters.between(before, counters.read()))


def test_a_gpu_comes_on_top_of_the_processor(powercap, with_nvml):
    with_nvml(0, 10_000, 12_500)  # mJ; the first is the look whether there is a counter
    counters = Energy(gpu=GPU, powercap=powercap)
    assert (counters.source, counters.reason) == ("rapl+nvml", "")
    before = counters.read()
    later(powercap, z0=1_000_000, z1=250_000)
    assert counters.between(before, counters.read()) == pytest.approx(1.25 + 2.5, abs=1e-9)


def test_a_gpu_alone_is_told_to_be_alone(tmp_path, with_nvml):
    with_nvml(0, 10_000, 12_500)
    counters = Energy(gpu=GPU, powercap=tmp_path)
    assert (counters.source, counters.reason) == ("nvml", NO_RAPL)
    assert counters.between(counters.read(), counters.read()) == pytest.approx(2.5, abs=1e-9)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (None, "no NVML: pip install nvidia-ml-py"),
        (nvml(RuntimeError("Not Supported")), "NVML has no energy counter here: Not Supported"),
        (nvml(error=OSError("NVML Shared Library Not Found")), "NVML has no energy counter here: NVML Shared Library Not Found"),
    ],
)
def test_a_gpu_without_a_counter_has_a_reason(powercap, tmp_path, monkeypatch, module, reason):
    monkeypatch.setitem(sys.modules, "pynvml", module)
    counters = Energy(gpu=GPU, powercap=powercap)
    assert (counters.source, counters.reason) == ("", reason), "the processor's alone would be told as if it were all"
    before = counters.read()
    later(powercap, z0=1_000_000, z1=0)
    assert math.isnan(counters.between(before, counters.read()))
    counters = Energy(gpu=GPU, powercap=tmp_path / "none")
    assert counters.source == "" and "\n" not in counters.reason
    assert counters.reason.startswith(f"{NO_RAPL}; ") and math.isnan(counters.between(counters.read(), counters.read()))


def test_on_a_cpu_nvml_is_not_asked(powercap, with_nvml):
    with_nvml(error=AssertionError("asked"))
    assert Energy(powercap=powercap).reason == ""


def test_a_gpu_counter_that_vanishes_leaves_the_energy_unknown(powercap, with_nvml):
    with_nvml(0, 10_000, RuntimeError("GPU is lost"))
    counters = Energy(gpu=GPU, powercap=powercap)
    before = counters.read()
    assert math.isnan(counters.between(before, counters.read()))


def test_a_gpu_counter_that_began_anew_leaves_the_energy_unknown(powercap, with_nvml):
    """NVML counts since the driver was loaded; what was used before it was loaded again is lost, and not infinite."""
    with_nvml(0, 10_000, 200)
    counters = Energy(gpu=GPU, powercap=powercap)
    before = counters.read()
    assert math.isnan(counters.between(before, counters.read()))


def test_the_counters_of_this_machine_are_real_or_have_a_reason():
    counters = Energy()
    used = counters.between(counters.read(), counters.read())
    if counters.source:
        assert counters.reason == "" and 0 <= used < 1000
    else:
        assert math.isnan(used) and counters.reason and "\n" not in counters.reason
    assert (counters.source == "rapl") == bool(counters.zones) and (energy.POWERCAP.exists() or counters.reason == NO_RAPL)
