"""What `make profile` measured on the machine that builds the report: Fig. 1, the replay, and their tables."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from edgecache.figures import profiling, save
from edgecache.profiling import delays
from edgecache.profiling.comparisons import compare, format_comparison, read_replay
from edgecache.profiling.profile_files import FILES, companion, read_profile

BANDWIDTH_GBPS = 10.0  # the paper's


@dataclass(frozen=True)
class Shown:
    """A figure of this machine: its name, its caption, its numbers as printed, and the files behind it."""

    name: str
    caption: str
    printed: str
    tables: tuple[str, ...]


def measured_here(profile: Path, site: Path) -> list[Shown]:
    """Draw the figures of a measured profile into the site, with copies of its tables; nothing where there is no profile.

    Raises InputError for a profile that is damaged.
    """
    if not profile.exists():
        return []
    measured, names = read_profile(profile), [profile.name, *(companion(profile, name).name for name in FILES)]
    file = companion(profile, "replay.csv")
    replayed = read_replay(file) if file.exists() else None  # read before anything is drawn
    delays_s = delays.service_delays(measured.fig1_records(BANDWIDTH_GBPS))
    note = profiling.measured_note(measured, BANDWIDTH_GBPS)
    name = "fig1-service-delay-here"
    save(profiling.service_delay(delays_s, note, measured.load_label), name, site / "figures", names)
    caption = f"Fig. 1 as measured on this machine, {measured.machine}: first and preloaded service delay of real networks"
    shown = [Shown(name, caption, measured.report(), tuple(names))]
    if replayed is not None:
        summary = compare(replayed)
        note = f"one trace of {summary['requests'].iloc[0]} requests against real networks on {measured.machine}"
        save(profiling.replay(replayed, summary, note), "replay-here", site / "figures", [file.name])
        caption = "Mean service delays on this machine's real networks: predicted by the simulator, and measured"
        shown.append(Shown("replay-here", caption, format_comparison(summary), (file.name,)))
        names.append(file.name)
    for name in names:
        shutil.copyfile(profile.with_name(name), site / "tables" / name)
    return shown
