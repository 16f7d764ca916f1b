"""A measured profile: its records, what they say with which certainty, the catalogue made of them, and its files.

Records have one row a phase: `service`, `cycle`, `execution`, `phase` (load, first, infer, unload), `wall_s` and `cpu_s`,
`read_bytes` from the disk, `cached_before` (share of the files in the page cache before a load), `cold` (yes or unknown),
`anonymous_bytes` and `resident_bytes` (what the process has more in memory than before the load), `gpu_memory_bytes`, `energy_j` or
in `no_energy` why there is none, `energy_estimate_j` where the user gave a TDP, `load1` (load average) and `at` (UTC).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import replacing, write_table

STEPS = ("load", "first", "infer", "unload")  # the phases of a cycle, in order
NEEDED = ("service", "phase", "cold", "anonymous_bytes", "gpu_memory_bytes", "energy_j")  # columns
TIMES = ("cycle", "execution", "wall_s", "cpu_s", "resident_bytes")  # and those with a number in every row
ABOUT = {
    "machine": ("cpu", "cores", "memory_gb", "virtual", "file_system", "system"),
    "backend": ("name", "device", "threads", "energy", "no_energy"),
}
NETWORK = ("service", "model", "parameters", "weights", "named", "share", "size_bytes")


@dataclass(frozen=True, eq=False)
class Profile:
    """What was measured: the records as written, and of which machine, how, and of which networks (`about`)."""

    records: pd.DataFrame
    about: dict

    @property
    def services(self) -> list[str]:
        return list(dict.fromkeys(self.records["service"]))

    @property
    def networks(self) -> pd.DataFrame:
        """One row a network: what it is, its parameters and their share of the named model's, its size on disk."""
        return pd.DataFrame(self.about["networks"]).set_index("service").loc[self.services]

    @property
    def machine(self) -> str:
        """The machine in a few words, for the notes of figures."""
        m, b = self.about["machine"], self.about["backend"]
        where = b["device_name"] if b["device"] == "cuda" else f"{m['cpu']}, {b['threads']} of {m['cores']} cores"
        kind = "virtual machine" if m["virtual"] else "machine"
        return f"{where}, {m['memory_gb']:g} GB, {m['file_system']}, {m['system']} ({kind})"

    @property
    def load(self) -> str:
        """What a load is, and how much of its time the processor was busy: making a network ready, not waiting for the disk."""
        memory = "GPU memory" if self.records["gpu_memory_bytes"].notna().any() else "memory"
        loads = self.records[self.records["phase"] == "load"]
        return f"load: disk to {memory} ({(loads['cpu_s'] / loads['wall_s']).median():.0%} processor)"

    def measured(self, service: str, phase: str) -> np.ndarray:
        """Seconds by cycle and execution, (cycles, executions). Of loads those known to be cold, unless there are none."""
        rows = self.records[(self.records["service"] == service) & (self.records["phase"] == phase)]
        if phase == "load" and (rows["cold"] == "yes").any():
            rows = rows[rows["cold"] == "yes"]
        return rows.pivot(index="cycle", columns="execution", values="wall_s").to_numpy()

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Per service and phase the median wall time with its 95 % interval, and how many cycles stand behind it.

        The interval is a bootstrap of whole cycles, whose executions resemble each other; NaN for a single cycle.
        """
        rows = []
        for service in self.services:
            for phase in STEPS:
                times = self.measured(service, phase)
                low, high = cycle_interval(times)
                cold = (self.records["service"] == service) & (self.records["cold"] == "yes")
                spread = times.std(ddof=1) / times.mean() if times.size > 1 else np.nan
                rows.append((service, phase, len(times), times.size, np.median(times), low, high, spread, int(cold.sum())))
        columns = ["service", "phase", "cycles", "times", "median_s", "low_s", "high_s", "variation", "cold_loads"]
        return pd.DataFrame(rows, columns=columns)

    def catalogue(self) -> pd.DataFrame:
        """The catalogue of what was measured, a row a service, as load_catalogue reads it.

        `io_delay_s` is the median cold load, `inference_delay_s` the median of the later executions, `gpu_memory_gb` the median of
        what the last execution left in GPU memory, or on a CPU in memory. Unknown power is 0, and its status says so.
        """
        summary = self.summary.set_index(["service", "phase"])
        rows = []
        for service, network in self.networks.iterrows():
            load, infer = summary.loc[(service, "load")], summary.loc[(service, "infer")]
            memory, where = self._memory(service)
            power, status = self._power(service)
            of = f"{network['share']:.2%} of those of {network['named']}, " if network["named"] else ""
            rows.append(
                {
                    "service": service,
                    "model": network["model"],
                    "hf_id": network.get("repository", ""),
                    "size_gb": network["size_bytes"] / 1e9,
                    "gpu_memory_gb": max(memory, 1.0) / 1e9,
                    "power_kw": power,
                    "io_delay_s": load["median_s"],
                    "inference_delay_s": infer["median_s"],
                    "provenance": f"measured on {self.machine}; {network['parameters'] / 1e6:.1f} million parameters, {of}"
                    f"weights: {network['weights']}; memory: {where}; "
                    f"{load['cold_loads']:.0f} of {self._cycles(service)} loads known to be cold; power: {status}",
                }
            )
            for feature in ("size_gb", "gpu_memory_gb", "io_delay_s", "inference_delay_s"):
                rows[-1][f"{feature}_status"] = "measured"
            rows[-1]["power_kw_status"] = status
        return pd.DataFrame(rows)

    def _cycles(self, service: str) -> int:
        return self.records.loc[self.records["service"] == service, "cycle"].nunique()

    def _memory(self, service: str) -> tuple[float, str]:
        own = self.records[(self.records["service"] == service) & self.records["phase"].isin(["first", "infer"])]
        last = own.groupby("cycle").last()
        if last["gpu_memory_bytes"].notna().any():
            return last["gpu_memory_bytes"].median(), "of the GPU"
        return last["resident_bytes"].median(), "resident in the process"

    def _power(self, service: str) -> tuple[float, str]:
        """What an execution draws, kW, and how it is known."""
        runs = self.records[(self.records["service"] == service) & self.records["phase"].isin(["first", "infer"])]
        for column, status in (("energy_j", "measured"), ("energy_estimate_j", "estimated")):
            if column in runs and runs[column].notna().any():
                known = runs.dropna(subset=[column])
                return known[column].sum() / known["wall_s"].sum() / 1000, status
        return 0.0, "unknown"

    def told(self) -> str:
        """The profile in a table, and of which machine it is."""
        summary = self.summary
        cold, loads = (self.records["cold"] == "yes").sum(), (self.records["phase"] == "load").sum()
        cells = {"load": "cold load (95 %)" if cold == loads else "load (95 %)", "first": "first", "infer": "later (95 %)"}
        table = pd.DataFrame(index=self.services)
        table["parameters"] = [f"{count / 1e6:.1f} M" for count in self.networks["parameters"]]
        table["of the named"] = [
            f"{share:.1%}" if share == share and share else "" for share in self.networks["share"].astype(float)
        ]
        table["disk"] = [f"{size / 1e6:.0f} MB" for size in self.networks["size_bytes"]]
        table["memory"] = [f"{self._memory(service)[0] / 1e6:.0f} MB" for service in self.services]
        for phase, title in cells.items():
            rows = summary[summary["phase"] == phase].set_index("service").loc[self.services]
            spans = [
                f" ({low:.3g} to {high:.3g})" if low == low and phase != "first" else ""
                for low, high in rows[["low_s", "high_s"]].to_numpy()
            ]
            table[title] = [f"{median:.3g} s{span}" for median, span in zip(rows["median_s"], spans, strict=True)]
        energy = self.about["backend"]["energy"] or f"none ({self.about['backend']['no_energy']})"
        few = self.records.groupby("service")["cycle"].nunique().min()
        warning = (
            f"; {few} cycles are few: the range of so many holds a median in {1 - 2.0 ** (1 - few):.0%} of cases" if few < 8 else ""
        )
        said = f"{cold} of {loads} loads known to be cold; {self.load}; energy: {energy}{warning}"
        return f"{table.to_string()}\n\nmeasured on {self.machine}; {said}"

    def fig1_records(self, bandwidth_gbps: float = 10.0) -> pd.DataFrame:
        """The records as delays.service_delays takes them: load as io, and transmission computed, 8 s / B of the size on disk."""
        times = self.records[self.records["phase"].isin(["load", "first", "infer"])]
        cold = times["cold"].ne("unknown") | ~times["service"].isin(self.records.loc[self.records["cold"] == "yes", "service"])
        phase = times["phase"].map({"load": "io", "first": "inference", "infer": "inference"})
        times = times.assign(phase=phase)[cold]
        complete = times.groupby(["service", "cycle"])["phase"].transform(lambda phases: "io" in set(phases))
        times = times.loc[complete, ["service", "cycle", "execution", "phase", "wall_s"]]
        sent = times[times["phase"] == "io"].assign(phase="transmission")
        sent = sent.assign(wall_s=8 * sent["service"].map(self.networks["size_bytes"]) / 1e9 / bandwidth_gbps)
        return pd.concat([sent, times]).sort_values(["cycle", "execution"], kind="stable", ignore_index=True)

    def write(self, path: Path) -> "Profile":
        """Write the catalogue to `path`, and beside it records, summary and machine; each whole or not at all."""
        write_table(self.records, beside(path, "records.csv"))
        profile = Profile(read_table(beside(path, "records.csv")), self.about)  # all is made of the records as they were written
        write_table(profile.summary, beside(path, "summary.csv"))
        with replacing(beside(path, "machine.json")) as part:
            part.write_text(json.dumps(self.about, indent=2) + "\n")
        write_table(profile.catalogue(), path)
        return profile


FILES = ("records.csv", "summary.csv", "machine.json")


def beside(path: Path, name: str) -> Path:
    """A file that stands beside a catalogue: `mine.csv` has `mine-records.csv`."""
    return path.with_name(f"{path.stem}-{name}")


def read_profile(path: str | Path) -> Profile:
    """The profile whose catalogue stands at `path`. Raises InputError where its records or its machine are missing or damaged."""
    path = Path(path)
    try:
        about = json.loads(beside(path, "machine.json").read_text())
        for part, keys in ABOUT.items():
            if missing := [key for key in keys if key not in about[part]]:
                raise ValueError(f"{beside(path, 'machine.json').name} lacks {', '.join(missing)} of its {part}")
        if not about["networks"] or any(key not in network for network in about["networks"] for key in NETWORK):
            raise ValueError(f"{beside(path, 'machine.json').name} lacks networks, or what they are")
        records = read_table(beside(path, "records.csv"), NEEDED, TIMES)
        unknown = set(records["service"]) - {network["service"] for network in about["networks"]}
        if unknown:
            raise ValueError(f"there is nothing about the network of {min(unknown)!r}")
    except OSError as error:
        raise InputError(f"{path} is no measured profile: {error.filename} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, LookupError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{path} is no measured profile: its records or its machine are damaged ({said})") from None
    return Profile(records, about)


def read_table(path: Path, needed: Sequence[str] = (), numbers: Sequence[str] = ()) -> pd.DataFrame:
    """A table of ours, services as the words they are. Raises ValueError without the `needed` columns, rows, or the `numbers`."""
    table = pd.read_csv(path, dtype={"service": str}, keep_default_na=False, na_values=[""])  # NA may be a service
    if missing := [name for name in (*needed, *numbers) if name not in table]:
        raise ValueError(f"{path.name} lacks the columns {', '.join(missing)}")
    if needed and table.empty:
        raise ValueError(f"{path.name} has no rows")
    for name in numbers:
        if not pd.api.types.is_numeric_dtype(table[name]) or not np.isfinite(table[name]).all():
            raise ValueError(f"{path.name} has no numbers in some rows of {name}")
    return table


def cycle_interval(times: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval (percentile, 9,999 resamples) of the median of times (cycles, executions), whole cycles drawn.

    What varies from load to load varies all executions of a cycle together: drawing single times would claim too much.
    """
    from scipy.stats import bootstrap

    if len(times) < 2:
        return np.nan, np.nan

    def median_of(cycles, axis=-1):
        return np.median(times[cycles.astype(int)].reshape(*cycles.shape[:-1], -1), axis=-1)

    found = bootstrap((np.arange(len(times)),), median_of, n_resamples=9999, batch=500, method="percentile", rng=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
