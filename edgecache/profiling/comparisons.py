"""The comparison of a replay's predicted and measured delays, and the file of a replay."""

from pathlib import Path

import pandas as pd

from ..errors import InputError
from .profile_files import ABOVE_ZERO, ANY, Bounds, read_checked

NUMBERS: Bounds = {
    **dict.fromkeys(("request", "load_predicted_s", "load_s", "transmission_s"), (0, False)),
    **dict.fromkeys(("predicted_s", "measured_s", "run_predicted_s", "run_s", "budget_bytes"), (ABOVE_ZERO, False)),
    **dict.fromkeys(("memory_bytes", "memory_predicted_bytes"), (ANY, False)),
}
FORMATS = {
    "hit_ratio": "{:.1%}", "predicted_s": "{:.3f} s", "measured_s": "{:.3f} s", "error": "{:+.1%}", "from_loads": "{:+.1%}",
    "from_runs": "{:+.1%}", "pace": "{:.2f}", "error_at_pace": "{:+.1%}", "memory_gb": "{:.3f} GB", "of_budget": "{:.0%}",
}  # fmt: skip


def compare(table: pd.DataFrame) -> pd.DataFrame:
    """Compare predicted and measured mean delays of a replay's table, one row per policy.

    `error` is measured over predicted delay less one; `from_loads` and `from_runs` add up to it. `pace` is the median, over hits of
    all policies, of an execution's time over its profiled time; NaN without a hit. `error_at_pace` is the error that is left when
    the prediction's loads and executions are multiplied by the pace. `typical_error` is the median absolute error of a request.
    `memory_gb` is the largest measured memory, `memory_error` its error, `of_budget` its share of the budget.
    """
    hits = table[table["outcome"] == "hit"]
    pace = (hits["run_s"] / hits["run_predicted_s"]).median()
    rows = []
    for policy, requests in table.groupby("policy", sort=False):
        predicted, measured = requests["predicted_s"].mean(), requests["measured_s"].mean()
        transmission, memory = requests["transmission_s"].mean(), requests["memory_bytes"].max()
        rows.append({
            "policy": policy, "requests": len(requests), "hit_ratio": (requests["outcome"] == "hit").mean(),
            "predicted_s": predicted, "measured_s": measured, "error": measured / predicted - 1,
            "from_loads": (requests["load_s"] - requests["load_predicted_s"]).mean() / predicted,
            "from_runs": (requests["run_s"] - requests["run_predicted_s"]).mean() / predicted,
            "pace": pace, "error_at_pace": measured / (transmission + pace * (predicted - transmission)) - 1,
            "typical_error": (requests["measured_s"] / requests["predicted_s"] - 1).abs().median(),
            "memory_gb": memory / 1e9, "of_budget": memory / requests["budget_bytes"].max(),
            "memory_error": memory / requests["memory_predicted_bytes"].max() - 1,
        })  # fmt: skip
    return pd.DataFrame(rows)


def read_replay(path: str | Path) -> pd.DataFrame:
    """Read and check the table of a replay. Raises InputError for a file that cannot be read, and for wrong or doubled rows."""
    path = Path(path)
    try:
        return read_checked(path, ("policy", "service", "outcome"), NUMBERS, key=("policy", "request"))
    except OSError as error:
        raise InputError(f"cannot read the replay {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"the replay {path} is damaged: {' '.join(str(error).split())}; replay it again") from None


def format_comparison(comparison: pd.DataFrame) -> str:
    """Format the table of `compare` as a text."""
    shown = comparison[["policy", "requests"]].copy()
    for column, style in FORMATS.items():
        shown[column.removesuffix("_s").removesuffix("_gb").replace("_", " ")] = comparison[column].map(style.format)
    return shown.to_string(index=False)
