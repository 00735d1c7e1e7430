"""The processor time of server processes, and where they run."""

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def pin(pid: int, *cores: int) -> None:
    """Lets every thread of a process run on these cores only, as far as they exist."""
    wanted = {core for core in cores if core < (os.cpu_count() or 1)} or {0}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), wanted)
