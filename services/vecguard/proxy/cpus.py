"""Counts the CPUs that this process may use, which a container may limit."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")


def usable_cpus(own: Path = _OWN_CGROUPS, cgroups: Path = _CGROUPS) -> int:
    """Returns the CPUs of the affinity mask or of a cgroup's quota, the lesser, at least one.

    Rounds a quota down: 2.5 CPUs are two.

    Args:
        own: the file with the cgroups of this process (cgroups(7)).
        cgroups: the mount point of the cgroups.
    """
    quotas = [int(quota) for quota in _quotas(own, cgroups)]
    return max(1, min([_affinity(), *quotas]))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(own: Path, cgroups: Path) -> Iterator[float]:
    """The quota of each cgroup from our own up to the root: each of them is a limit."""
    for line in _read(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        # In a container the mount begins at our own cgroup, and the path may not be below it.
        mount = cgroups / controllers if controllers else cgroups
        inside = Path(path.lstrip("/"))
        for each in (inside, *inside.parents):
            yield from _quota(mount / each)


def _quota(cgroup: Path) -> Iterator[float]:
    """Yields the CPUs of the quota of one cgroup, if it has one."""
    quota, _, period = _read(cgroup / "cpu.max").strip().partition(" ")  # version 2
    if not quota:
        quota = _read(cgroup / "cpu.cfs_quota_us").strip()  # version 1
        period = _read(cgroup / "cpu.cfs_period_us").strip()
    if quota.isdecimal() and period.isdecimal() and int(period):  # else "max", or -1
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
