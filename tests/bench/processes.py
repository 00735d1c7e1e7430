"""The processor time and memory of server processes, and where they run."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

#: Servers that are measured have a core for themselves; load and backend share the other.
SERVER_CORE, LOAD_CORE = 0, 1

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process and its children have used so far (Linux).

    The scheduler's own account is exact to the nanosecond; without it, to a clock tick.
    """
    return sum(map(_own_cpu_seconds, _family(pid)))


def waited_seconds(pid: int) -> float:
    """How long a process's first thread, its event loop, was ready and had no core (Linux)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def resident_bytes(pid: int) -> int:
    """Memory that a process and its children hold now (Linux)."""
    return sum(map(_own_resident_bytes, _family(pid)))


def pin(pid: int, *cores: int) -> None:
    """Lets every thread of a process run on these cores only, as far as they exist."""
    for thread in _threads(pid):
        os.sched_setaffinity(int(thread.name), _existing(cores))


@contextlib.contextmanager
def children_on(*cores: int) -> Iterator[None]:
    """Processes that are started meanwhile see these cores only, as far as they exist.

    That is more than `pin` where a process counts its cores when it starts.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _existing(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    """Processes that are started meanwhile may have as many connections as the system lets."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in _threads(pid):
        with contextlib.suppress(OSError):  # a thread that has just ended
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))


def _own_cpu_seconds(pid: int) -> float:
    if not Path(f"/proc/{pid}/schedstat").exists():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
    nanoseconds = 0
    for thread in _threads(pid):
        with contextlib.suppress(OSError):  # as above
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def _own_resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.split()[0]) * 1024
    raise ValueError(f"process {pid} has no memory of its own")


def _threads(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").iterdir()


def _existing(cores: tuple[int, ...]) -> set[int]:
    return {core for core in cores if core < (os.cpu_count() or 1)} or {0}
