"""What was measured on one machine: the real networks, the replay, and the speed of the package."""

import pandas as pd

from edgecache.profiling.comparisons import compare, read_replay
from edgecache.profiling.profile_files import companion, read_profile

from . import RESULTS, ROOT, markdown_table

PROFILE = ROOT / "data/profiles/example.csv"
TIMED = ("load", "first", "infer")


def profile() -> str:
    """The networks that were measured, and how long each phase took."""
    measured = read_profile(PROFILE)
    summary, about = measured.summary.set_index(["service", "phase"]), measured.about
    memory = measured.catalogue().set_index("service")["gpu_memory_gb"]
    rows = []
    for service, network in measured.networks.iterrows():
        load, first, later = (1000 * summary.loc[(service, phase), ["median_s", "low_s", "high_s"]] for phase in TIMED)
        load, first, later = ("{median_s:.0f} ({low_s:.0f} to {high_s:.0f})".format(**time) for time in (load, first, later))
        size, share = f"{network['parameters'] / 1e6:.1f} M", f"{network['share']:.1%} of {network['named']}"
        disk, held = f"{network['size_bytes'] / 1e6:.0f}", f"{1000 * memory[service]:.0f}"
        rows.append((service.replace("_", " "), network["model"], size, share, disk, held, load, first, later))
    titles = (
        "service", "network", "parameters", "share of the named model", "disk, MB", "memory, MB", "cold load, ms",
        "first inference, ms", "later inference, ms",
    )  # fmt: skip
    cold, loads = (measured.records["cold"] == "yes").sum(), (measured.records["phase"] == "load").sum()
    energy = about["backend"]["energy"] or f"{about['backend']['no_energy']}, so power is 0 and its status `unknown`"
    return (
        f"Medians with 95 % intervals.\n\n{markdown_table(titles, rows)}\n\nMeasured on {measured.machine}: {about['cycles']} "
        f"cycles of load and offload with {about['executions']} executions each. {cold} of {loads} loads are known to be cold. "
        f"Energy: {energy}."
    )


def replay() -> str:
    """The delays that the simulator predicts, beside those measured on the real networks."""
    titles = (
        "policy", "requests", "hits", "mean delay, predicted", "measured", "error", "pace", "error at that pace",
        "share of the memory budget",
    )  # fmt: skip
    shown = (
        "{policy}", "{requests}", "{hit_ratio:.1%}", "{predicted_s:.3f} s", "{measured_s:.3f} s", "{error:+.1%}", "{pace:.2f}",
        "{error_at_pace:+.1%}", "{of_budget:.0%}",
    )  # fmt: skip
    replayed = compare(read_replay(companion(PROFILE, "replay.csv"))).to_dict("records")
    return markdown_table(titles, [[cell.format(**row) for cell in shown] for row in replayed])


def speed() -> str:
    """What `make bench` last measured."""
    table = pd.read_csv(RESULTS / "benchmarks.csv", keep_default_na=False)
    rows = []
    for row in table.to_dict("records"):
        numbers = [f"{float(row[name]):.3g}" if row[name] != "" else "" for name in ("ours", "reference", "ratio")]
        rows.append((row["what"], numbers[0], numbers[1], row["unit"], numbers[2], row["required"], row["met"]))
    return markdown_table(("what", "ours", "reference", "unit", "ratio", "required", "met"), rows)
