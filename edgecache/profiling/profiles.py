"""A measured profile: its records, their statistics, the catalogue and the text made of them.

Records have one row per phase: `service`, `cycle`, `execution`, `phase` (load, first, infer, unload), `wall_s` and `cpu_s`,
`read_bytes` from the disk, `cached_before` (share of the files in the page cache before a load), `cold` (yes or unknown),
`anonymous_bytes` and `resident_bytes` (growth of the process's memory since before the load), `gpu_memory_bytes`, `energy_j` or
in `no_energy` the reason why there is none, `energy_estimate_j` where the user gave a TDP, `load1` (load average), `at` (UTC).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

PHASES = ("load", "first", "infer", "unload")  # of a cycle, in order
FEW_CYCLES = 8  # below this many, the report warns that intervals are too narrow


@dataclass(frozen=True, eq=False)
class Profile:
    """Hold a measurement: `records`, one row per phase, and `about`: the machine, the backend and the networks.

    Parameters
    ----------
    records : pandas.DataFrame
        The columns are listed in the module's docstring. Times in s, memory in bytes, energy in J.
    about : dict
        Contents of the profile's machine.json.

    Examples
    --------
    >>> from edgecache.profiling import read_profile
    >>> profile = read_profile("data/profiles/example.csv")
    >>> len(profile.services), profile.load_label
    (10, 'load: disk to memory (98% processor)')
    """

    records: pd.DataFrame
    about: dict[str, Any]

    @property
    def services(self) -> list[str]:
        """Services in the order in which they were measured."""
        return list(dict.fromkeys(self.records["service"]))

    @property
    def networks(self) -> pd.DataFrame:
        """One row per network: its kind, its parameters, their share of the named model's, and its size on disk."""
        return pd.DataFrame(self.about["networks"]).set_index("service").loc[self.services]

    @property
    def machine(self) -> str:
        """The machine in a few words, for the notes of figures."""
        m, b = self.about["machine"], self.about["backend"]
        processor = b["device_name"] if b["device"] == "cuda" else f"{m['cpu']}, {b['threads']} of {m['cores']} cores"
        kind = "virtual machine" if m["virtual"] else "machine"
        return f"{processor}, {m['memory_gb']:g} GB, {m['file_system']}, {m['system']} ({kind})"

    @property
    def load_label(self) -> str:
        """The label of a load in figures, with the share of its time in which the processor was busy."""
        memory = "GPU memory" if self.records["gpu_memory_bytes"].notna().any() else "memory"
        loads = self.records[self.records["phase"] == "load"]
        return f"load: disk to {memory} ({(loads['cpu_s'] / loads['wall_s']).median():.0%} processor)"

    @property
    def loads(self) -> tuple[int, int]:
        """Number of loads known to be cold, and number of loads."""
        return int((self.records["cold"] == "yes").sum()), int((self.records["phase"] == "load").sum())

    def times(self, service: str, phase: str) -> np.ndarray:
        """Wall times, s, (cycles, executions). Of loads only those known to be cold, unless none is."""
        rows = self._rows[service, phase]
        if phase == "load" and (rows["cold"] == "yes").any():
            rows = rows[rows["cold"] == "yes"]
        times = rows.sort_values(["cycle", "execution"])["wall_s"].to_numpy()
        return times.reshape(rows["cycle"].nunique(), -1)

    @cached_property
    def _rows(self) -> dict[Any, pd.DataFrame]:
        """The records by service and phase."""
        return dict(iter(self.records.groupby(["service", "phase"])))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Median wall time per service and phase with its 95 % interval, see `cycle_interval`, and the number of cycles."""
        rows = []
        for service in self.services:
            cold = int((self._rows[service, "load"]["cold"] == "yes").sum())
            for phase in PHASES:
                times = self.times(service, phase)
                variation = times.std(ddof=1) / times.mean() if times.size > 1 else np.nan
                interval = cycle_interval(times)
                rows.append((service, phase, len(times), times.size, np.median(times), *interval, variation, cold))
        columns = ["service", "phase", "cycles", "times", "median_s", "low_s", "high_s", "variation", "cold_loads"]
        return pd.DataFrame(rows, columns=columns)

    def catalogue(self) -> pd.DataFrame:
        """Make the catalogue of the measured networks, one row per service, in the format of `load_catalogue`.

        Notes
        -----
        `io_delay_s` is the median cold load and `inference_delay_s` the median of later executions. `gpu_memory_gb` is the
        median memory after the last execution: GPU memory, or on a CPU resident memory. Unknown power is 0 with status `unknown`.
        """
        summary = self.summary.set_index(["service", "phase"])
        rows = []
        for service, network in self.networks.iterrows():
            load, infer = summary.loc[(service, "load")], summary.loc[(service, "infer")]
            memory, memory_kind = self._memory(service)
            power, status = self._power(service)
            share = f"{network['share']:.2%} of those of {network['named']}, " if network["named"] else ""
            cycles = self.records.loc[self.records["service"] == service, "cycle"].nunique()
            provenance = (
                f"measured on {self.machine}; {network['parameters'] / 1e6:.1f} million parameters, {share}"
                f"weights: {network['weights']}; memory: {memory_kind}; "
                f"{load['cold_loads']:.0f} of {cycles} loads known to be cold; power: {status}"
            )
            rows.append({
                "service": service, "model": network["model"], "hf_id": network.get("repository", ""),
                "size_gb": network["size_bytes"] / 1e9, "gpu_memory_gb": max(memory, 1.0) / 1e9, "power_kw": power,
                "io_delay_s": load["median_s"], "inference_delay_s": infer["median_s"], "provenance": provenance,
                "size_gb_status": "measured", "gpu_memory_gb_status": "measured", "io_delay_s_status": "measured",
                "inference_delay_s_status": "measured", "power_kw_status": status,
            })  # fmt: skip
        return pd.DataFrame(rows)

    def _executions(self, service: str) -> pd.DataFrame:
        return self.records[(self.records["service"] == service) & self.records["phase"].isin(["first", "infer"])]

    def _memory(self, service: str) -> tuple[float, str]:
        """Memory of a network after its last execution, bytes, and which memory it is."""
        last = self._executions(service).groupby("cycle").last()
        if last["gpu_memory_bytes"].notna().any():
            return last["gpu_memory_bytes"].median(), "of the GPU"
        return last["resident_bytes"].median(), "resident in the process"

    def _power(self, service: str) -> tuple[float, str]:
        """Power during executions, kW, and its status."""
        executions = self._executions(service)
        for column, status in (("energy_j", "measured"), ("energy_estimate_j", "estimated")):
            if column in executions and executions[column].notna().any():
                known = executions.dropna(subset=[column])
                return known[column].sum() / known["wall_s"].sum() / 1000, status
        return 0.0, "unknown"

    def report(self) -> str:
        """Write the profile as a text: a table with one row per service, and a line about the machine."""
        networks, (cold, loads) = self.networks, self.loads
        table = pd.DataFrame(index=self.services)
        table["parameters"] = [f"{count / 1e6:.1f} M" for count in networks["parameters"]]
        table["of the named"] = ["" if pd.isna(share) else f"{share:.1%}" for share in networks["share"]]
        table["disk"] = [f"{size / 1e6:.0f} MB" for size in networks["size_bytes"]]
        table["memory"] = [f"{self._memory(service)[0] / 1e6:.0f} MB" for service in self.services]
        table["cold load (95 %)" if cold == loads else "load (95 %)"] = self._medians("load")
        table["first"] = [cell.partition(" (")[0] for cell in self._medians("first")]
        table["later (95 %)"] = self._medians("infer")
        energy = self.about["backend"]["energy"] or f"none ({self.about['backend']['no_energy']})"
        text = f"measured on {self.machine}; {cold} of {loads} loads known to be cold; {self.load_label}; energy: {energy}"
        if (cycles := self.records.groupby("service")["cycle"].nunique().min()) < FEW_CYCLES:
            # n independent times lie on one side of their median in 2^(1 - n) of cases
            text += f"; {cycles} cycles are few: their range contains the median in {1 - 2.0 ** (1 - cycles):.0%} of cases"
        return f"{table.to_string()}\n\n{text}"

    def _medians(self, phase: str) -> list[str]:
        """Format the median of a phase per service, with its interval where there is one."""
        rows = self.summary[self.summary["phase"] == phase][["median_s", "low_s", "high_s"]].to_numpy()
        return [f"{median:.3g} s" + ("" if np.isnan(low) else f" ({low:.3g} to {high:.3g})") for median, low, high in rows]

    def fig1_records(self, bandwidth_gbps: float = 10.0) -> pd.DataFrame:
        """Make the records that `service_delays` takes: a load is `io`; transmission is computed as 8 x size / bandwidth."""
        times = self.records[self.records["phase"].isin(["load", "first", "infer"])]
        cold = times["cold"].ne("unknown") | ~times["service"].isin(self.records.loc[self.records["cold"] == "yes", "service"])
        phase = times["phase"].map({"load": "io", "first": "inference", "infer": "inference"})
        times = times.assign(phase=phase)[cold]
        complete = times.groupby(["service", "cycle"])["phase"].transform(lambda phases: "io" in set(phases))
        times = times.loc[complete, ["service", "cycle", "execution", "phase", "wall_s"]]
        sent = times[times["phase"] == "io"].assign(phase="transmission")
        sent = sent.assign(wall_s=8 * sent["service"].map(self.networks["size_bytes"]) / 1e9 / bandwidth_gbps)
        return pd.concat([sent, times]).sort_values(["cycle", "execution"], kind="stable", ignore_index=True)


def cycle_interval(times: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval (9,999 resamples) of the median of times (cycles, executions); NaN for one cycle.

    It resamples whole cycles: a disturbance affects all executions of a cycle, so single times would claim too much.
    """
    from scipy.stats import bootstrap

    if len(times) < 2:
        return np.nan, np.nan

    def median_of(cycles: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.median(times[cycles.astype(int)].reshape(*cycles.shape[:-1], -1), axis=-1)

    result = bootstrap((np.arange(len(times)),), median_of, n_resamples=9999, batch=500, method="percentile", rng=0)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
