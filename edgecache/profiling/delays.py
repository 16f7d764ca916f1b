"""Service delays over load-offload cycles (Section II-B of the paper): tidy records, drawn from a catalogue or measured.

Records have one row per phase: `service`, `cycle`, `execution` (0 is the first after loading), `phase` and `wall_s`. The first
execution of a cycle has the phases transmission, io and inference, the others only inference. Such a table draws Fig. 1.
"""

import numpy as np
import pandas as pd

from ..catalogue import Catalogue
from ..costs import inference_delay_s, preloading_delay_s, transmission_delay_s
from ..errors import InputError

PHASES = ("transmission", "io", "inference")


def draw_records(
    catalogue: Catalogue,
    rng: np.random.Generator,
    *,
    bandwidth_gbps: float = 10.0,
    cycles: int = 30,
    executions: int = 10,
    spread: float = 0.1,
) -> pd.DataFrame:
    """Draw records around the catalogue's delays: each phase is log-normal with that median and sigma `spread`.

    Transmission, io and inference are equations (4), (5) and (6) for a model that is not deployed; s. Raises InputError for counts
    below 1 or a negative spread.
    """
    for name, value, least in (("cycles", cycles, 1), ("executions", executions, 1), ("spread", spread, 0)):
        if not value >= least:
            raise InputError(f"{name} is {value!r}; it must be at least {least}")
    medians = {
        "transmission": transmission_delay_s(1, catalogue.size_gb, bandwidth_gbps),
        "io": preloading_delay_s(1, catalogue.io_delay_s),
        "inference": inference_delay_s(1, catalogue.inference_delay_s),
    }
    index = [
        (service, cycle, execution, phase)
        for service in catalogue.services
        for cycle in range(cycles)
        for execution in range(executions)
        for phase in (PHASES if execution == 0 else PHASES[-1:])
    ]
    records = pd.DataFrame(index, columns=["service", "cycle", "execution", "phase"])
    median = pd.DataFrame(medians, index=catalogue.services).stack()
    centre = median.loc[list(zip(records["service"], records["phase"], strict=True))].to_numpy()
    return records.assign(wall_s=centre * np.exp(spread * rng.standard_normal(len(records))))


def service_delays(records: pd.DataFrame) -> pd.DataFrame:
    """Compute the medians of phases and total, and the total's 5th and 95th percentile, per service and kind of delay; s."""
    kind = np.where(records["execution"] == 0, "first", "preloaded")
    records = records.assign(kind=pd.Categorical(kind, ["first", "preloaded"]))
    by_kind = records.groupby(["service", "kind"], sort=False, observed=True)
    phases = records.groupby(["service", "kind", "phase"], sort=False, observed=True)["wall_s"].median().unstack(fill_value=0.0)
    totals = records.groupby(["service", "kind", "cycle", "execution"], sort=False, observed=True)["wall_s"].sum()
    totals = totals.groupby(["service", "kind"], sort=False, observed=True)
    order = pd.MultiIndex.from_tuples(by_kind.groups, names=["service", "kind"])
    table = phases.reindex(columns=PHASES, fill_value=0.0).loc[order]
    return table.assign(total=totals.median(), low=totals.quantile(0.05), high=totals.quantile(0.95)).reset_index()
