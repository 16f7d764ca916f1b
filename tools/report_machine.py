"""The page of the site with what `make profile` measured on the machine that builds it: Fig. 1, the replay, and their tables."""

import shutil
from pathlib import Path

from edgecache.figures import profiling, save
from edgecache.profiling import delays
from edgecache.profiling.comparisons import compare, format_comparison, read_replay
from edgecache.profiling.profile_files import FILES, companion, read_profile

BANDWIDTH_GBPS = 10.0  # the paper's
TITLE = "# Measured on this machine\n\n"
NOTHING = TITLE + "Nothing has been measured here yet. Run `make profile`, and then `make report` again.\n"


def write_page(profile: Path, folder: Path) -> None:
    """Write index.md into a folder, with the figures of a measured profile and copies of its tables, where there is a profile.

    Raises InputError for a profile that is damaged.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "index.md").write_text(_measured(profile, folder) if profile.exists() else NOTHING)


def _measured(profile: Path, folder: Path) -> str:
    """The text of the page. Draws its figures into the folder, and copies its tables there."""
    measured, tables = read_profile(profile), [profile.name, *(companion(profile, name).name for name in FILES)]
    file = companion(profile, "replay.csv")
    replayed = read_replay(file) if file.exists() else None  # read before anything is drawn
    delays_s = delays.service_delays(measured.fig1_records(BANDWIDTH_GBPS))
    note = profiling.measured_note(measured, BANDWIDTH_GBPS)
    save(profiling.service_delay(delays_s, note, measured.load_label), "fig1-service-delay-here", folder, tables)
    title = f"Fig. 1 as measured on this machine, {measured.machine}: first and preloaded service delay of real networks"
    text = TITLE + "What `make profile` measured. [What one committed measurement found](../../docs/profiling.md).\n\n"
    text += _section("Service delays", "fig1-service-delay-here", title, measured.report(), tables)
    if replayed is not None:
        summary = compare(replayed)
        note = f"one trace of {summary['requests'].iloc[0]} requests against real networks on {measured.machine}"
        save(profiling.replay(replayed, summary, note), "replay-here", folder, [file.name])
        title = "Mean service delays on this machine's real networks: predicted by the simulator, and measured"
        text += _section("The replay", "replay-here", title, format_comparison(summary), [file.name])
        tables.append(file.name)
    for name in tables:
        shutil.copyfile(profile.with_name(name), folder / name)
    return text


def _section(heading: str, figure: str, title: str, printed: str, tables: list[str]) -> str:
    """A figure with its numbers as printed, and links to its files."""
    links = ", ".join(f"[{name}]({name})" for name in (f"{figure}.png", f"{figure}.pdf", *tables))
    return f"## {heading}\n\n![{title}]({figure}.png)\n\n```text\n{printed}\n```\n\n{links}\n\n"
