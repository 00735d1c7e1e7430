"""How many CPUs this process may use, which in a container are fewer than there are."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")


def usable_cpus(own: Path = _OWN_CGROUPS, cgroups: Path = _CGROUPS) -> int:
    """Whole CPUs, at least one: the affinity mask, or the quota of a cgroup if that is less.

    A broken part of a quota is left to whatever else runs: 2.5 CPUs are two.

    Args:
        own: the file that says which cgroups this process is in (cgroups(7)).
        cgroups: where they are mounted.
    """
    quotas = [int(quota) for quota in _quotas(own, cgroups)]
    return max(1, min([_affinity(), *quotas]))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(own: Path, cgroups: Path) -> Iterator[float]:
    """The quota of each cgroup from our own up to the root: every one of them binds."""
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
    """CPUs that the quota of one cgroup amounts to; nothing where there is none."""
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
