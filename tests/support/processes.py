"""Processes that tests start and stop."""

import os
import time


def wait_until_gone(*processes, seconds=20):
    """Wait until these processes have ended; a negative number is a process group."""
    deadline = time.monotonic() + seconds
    for process in processes:
        while _runs(process):
            assert time.monotonic() < deadline, f"process {process} still runs"
            time.sleep(0.05)


def _runs(process):
    """Whether it runs; what has ended and was not waited for by its new parent does not."""
    try:
        os.killpg(-process, 0) if process < 0 else os.kill(process, 0)
    except ProcessLookupError:
        return False
    return any(state not in "ZX" for state in _states(process))


def _states(process):
    """The states of the process, or of the processes in its group, from /proc; R where there is none."""
    if not os.path.isdir("/proc/self"):
        return ["R"]
    found = []
    for number in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat") as file:
                state, _, group = file.read().rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if int(number) == process or int(group) == -process:
            found.append(state)
    return found
