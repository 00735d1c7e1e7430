"""Knows the bugs of etcd releases that affect credentials."""

import re
from collections.abc import Iterator

from vecguard.cli.finding import Finding, Severity

Release = tuple[int, int, int]

_NUMBER = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_UPGRADE = "upgrade to 3.5.28 or newer, or to 3.6.9 or newer"


def release_of(version: str) -> Release | None:
    """Returns the numbers of a version such as "3.5.1"; None if it has none."""
    found = _NUMBER.match(version)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def loses_writes(release: Release) -> bool:
    """Returns whether a member killed under load can lose committed writes (etcd issue 13766)."""
    return (3, 5, 0) <= release < (3, 5, 3)


def reads_stale(release: Release) -> bool:
    """Returns whether a member after a pause can serve stale reads (etcd issue 20418)."""
    return release < (3, 5, 28) or (3, 6, 0) <= release < (3, 6, 9)


def crashes_on_reads(release: Release) -> bool:
    """Returns whether a client that gives up a reading transaction can crash a member.

    etcd issues 14110 (3.5.0 to 3.5.4) and 14891 (3.5.5 and 3.5.6).
    """
    return (3, 5, 0) <= release < (3, 5, 7)


def judge_release(part: str, version: str, *, members: int) -> Iterator[Finding]:
    """Yields findings about known bugs of the release that a member runs.

    Args:
        part: the member, as findings name it.
        version: the version that the member reports.
        members: the number of members of the cluster; some bugs need more than one.
    """
    release = release_of(version)
    cluster = members > 1
    if release is None:
        yield Finding(
            Severity.WARNING,
            part,
            f"its version {version!r} is unknown to this version of vecguard",
            "look it up in etcd's release notes",
        )
        return
    if loses_writes(release):
        yield Finding(
            Severity.WRONG if cluster else Severity.WARNING,
            part,
            f"etcd {version} can lose committed writes when it is killed under load: "
            "a changed password could be the old one again",
            _UPGRADE,
        )
    if crashes_on_reads(release):
        yield Finding(
            Severity.WARNING,
            part,
            f"etcd {version} can crash when a client gives up a read; until it is started again, "
            "changes fail and logins that are not cached are refused",
            _UPGRADE,
        )
    if reads_stale(release):
        yield Finding(
            Severity.WARNING if cluster else Severity.NOTE,
            part,
            f"etcd {version} can return stale reads after a pause of one of several members; "
            "root coord notices and reads again",
            _UPGRADE,
        )
