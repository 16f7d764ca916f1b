"""What `make profile` measured on the machine that builds the report: Fig. 1, the replay, and their tables."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from edgecache.figures import profiling, save
from edgecache.profiling import delays, replay
from edgecache.profiling.profile import FILES, beside, read_profile

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
    found, names = read_profile(profile), [profile.name, *(beside(profile, name).name for name in FILES)]
    waits = delays.service_delays(found.fig1_records(BANDWIDTH_GBPS))
    note = profiling.measured_note(found, BANDWIDTH_GBPS)
    save(profiling.service_delay(waits, note, found.load), "fig1-service-delay-here", site / "figures", names)
    caption = f"Fig. 1 as measured on this machine, {found.machine}: first and preloaded service delay of real networks"
    shown = [Shown("fig1-service-delay-here", caption, found.told(), tuple(names))]
    if (file := beside(profile, "replay.csv")).exists():
        played = replay.read_replay(file)
        compared = replay.compared(played)
        note = f"one trace of {compared['requests'].iloc[0]} requests against real networks on {found.machine}"
        save(profiling.replay(played, compared, note), "replay-here", site / "figures", [file.name])
        caption = (
            "Mean service delays as the simulator predicts them and as measured on the real networks of this machine, side by side"
        )
        shown.append(Shown("replay-here", caption, replay.told(compared), (file.name,)))
        names.append(file.name)
    for name in names:
        shutil.copyfile(profile.with_name(name), site / "tables" / name)
    return shown
