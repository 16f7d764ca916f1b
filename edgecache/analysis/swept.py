"""One parameter swept as the paper's Fig. 3 and 4 show it: means at every value, and the distribution over slots at some."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..files import write_table
from ..policies import BOUNDS, PAPER
from ..scenario import Scenario
from ..statistics import box_statistics, summarise
from ..sweeps import SweepPlan


@dataclass(frozen=True, eq=False)
class Swept:
    """What a sweep over one parameter gave.

    Parameters
    ----------
    means : DataFrame
        As `edgecache.sweep` returns it: one row per value, replication and policy.
    cost_boxes : DataFrame
        From `edgecache.box_statistics`: the cost of a slot, over all slots of all replications, at some values.
    user_boxes : DataFrame
        The same, with a column `outcome`: `service_delay_s` over the slots, and `hit_ratio` over the replications.
    """

    means: pd.DataFrame
    cost_boxes: pd.DataFrame
    user_boxes: pd.DataFrame

    def written(self, folder: str | Path, means: str, cost_boxes: str, user_boxes: str) -> "Swept":
        """Write each table as CSV under its name, without ending; return the tables as they were written."""
        tables = ((self.means, means), (self.cost_boxes, cost_boxes), (self.user_boxes, user_boxes))
        return Swept(*(write_table(table, Path(folder) / f"{name}.csv") for table, name in tables))

    def wide(self, outcome: str = "total_cost") -> pd.DataFrame:
        """Return the mean of an outcome: a row per value, a column per policy."""
        table = self.means
        return summarise(table, outcome).pivot(index=table.columns[0], columns="policy", values="mean")[table["policy"].unique()]

    def change(self, outcome: str = "total_cost") -> pd.DataFrame:
        """Compare the mean of an outcome at the least and the largest value; a row per policy that is no bound."""
        ends = self._own(outcome).iloc[[0, -1]].T
        return ends.assign(change=ends.iloc[:, 1] / ends.iloc[:, 0] - 1)

    def settled_from(self, outcome: str = "total_cost") -> float:
        """Find the least value from which on the mean of no policy changes, bounds aside."""
        wide = self._own(outcome)
        return wide.index[(wide != wide.iloc[-1]).any(axis=1).to_numpy().nonzero()[0].max(initial=-1) + 1]

    def _own(self, outcome: str) -> pd.DataFrame:
        """The table of `wide` without the bounds."""
        wide = self.wide(outcome)
        return wide[[name for name in wide if not name.startswith(tuple(BOUNDS))]]


class Experiment:
    """A sweep over one parameter, checked when it is made, and played by `play`.

    Parameters
    ----------
    parameter : str
        A parameter of Scenario.
    values : sequence
        Its values, each once, in any order.
    boxes : sequence
        The values that get distributions; each must be one of `values`.
    replications : int
        Runs per value.
    scenario : Scenario, optional
        What is not varied.
    policies : sequence of str, optional
        By default the paper's five, the floor and the best online policy, for cost and for delay.
    seed : int
        The same seed gives the same tables.

    Raises
    ------
    InputError
        For a value of `boxes` that is not swept over, and as `edgecache.sweep` raises it. Nothing has run then.

    Examples
    --------
    >>> import edgecache as ec
    >>> swept = Experiment("storage_gb", [60, 120], [120], 1, ec.Scenario(slots=10), ["lru", "ga"]).play(jobs=1)
    >>> swept.wide().round(1).to_dict("index")
    {60: {'lru': 54.9, 'ga': 24.9}, 120: {'lru': 64.2, 'ga': 24.9}}
    >>> len(swept.cost_boxes), len(swept.user_boxes)
    (2, 4)
    """

    def __init__(
        self,
        parameter: str,
        values: Sequence,
        boxes: Sequence,
        replications: int,
        scenario: Scenario | None = None,
        policies: Sequence[str] = (*PAPER, *BOUNDS),
        seed: int = 0,
    ):
        setting = (policies, replications, scenario, seed)
        self.parameter, whole = parameter, SweepPlan({parameter: values}, *setting)
        self.boxes = SweepPlan({parameter: boxes}, *setting)
        swept, shown = whole.vary[parameter], self.boxes.vary[parameter]
        for value in shown:
            if value not in swept:
                raise InputError(f"distributions are wanted at {parameter} = {value!r}, but the sweep has only {swept}")
        rest = [value for value in swept if value not in shown]
        self.rest = SweepPlan({parameter: rest}, *setting) if rest else None

    def play(self, jobs: int = -1, dask: str = "") -> Swept:
        """Run the sweep; `jobs` and `dask` as for `edgecache.sweep`. Slots are kept only where distributions are wanted."""
        means, slots = self.boxes.means_and_slots(jobs, dask)
        delays = box_statistics(slots, "service_delay_s").assign(outcome="service_delay_s")
        hits = box_statistics(means, "hit_ratio").assign(outcome="hit_ratio")
        parts = [means] if self.rest is None else [means, self.rest.means(jobs, dask)]
        whole = pd.concat(parts).sort_values(self.parameter, kind="stable", ignore_index=True)
        return Swept(whole, box_statistics(slots), pd.concat([delays, hits], ignore_index=True))
