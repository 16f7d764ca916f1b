"""Fit the shipped twin to GenTD26 anew, into data/twins/, and say how alike the two are: `python tools/twins.py LOG`."""

import sys

from edgecache import read_log
from edgecache.files import ROOT
from edgecache.logs.sources import SOURCES, find_trace
from edgecache.workloads.twin_fit import fit_twin
from edgecache.workloads.twins import Twin

NAME = "gentd26"


def fit(path: str) -> Twin:
    """The twin of the log."""
    source = SOURCES[NAME]
    return fit_twin(read_log(path), NAME, f"fitted to GenTD26 ({source.citation}); licence of the log: {source.licence}")


if __name__ == "__main__":
    log = str(find_trace(sys.argv[1] if len(sys.argv) > 1 else NAME))
    twin = fit(log)
    twin.write(ROOT / f"data/twins/{NAME}.json")
    print(twin.check(read_log(log)).to_string(index=False, float_format="%.4g"))
