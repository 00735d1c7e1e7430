import pytest

from vecguard.cli.etcd_release import (
    crashes_on_reads,
    judge_release,
    loses_writes,
    reads_stale,
    release_of,
)
from vecguard.cli.finding import Severity


@pytest.mark.parametrize(
    ("version", "release"),
    [("3.5.1", (3, 5, 1)), ("3.6.0-rc.1", (3, 6, 0)), ("3.5", None), ("", None), ("git", None)],
)
def test_a_version_is_read(version, release):
    assert release_of(version) == release


@pytest.mark.parametrize("patch", [0, 1, 2])
def test_three_releases_lose_writes(patch):
    assert loses_writes((3, 5, patch))


def test_others_do_not():
    assert not loses_writes((3, 4, 23))
    assert not loses_writes((3, 5, 3))
    assert not loses_writes((3, 6, 0))


@pytest.mark.parametrize(
    ("release", "stale"),
    [
        ((3, 4, 23), True),
        ((3, 5, 27), True),
        ((3, 5, 28), False),
        ((3, 6, 8), True),
        ((3, 6, 9), False),
        ((4, 0, 0), False),
    ],
)
def test_stale_reads_were_mended_in_each_line(release, stale):
    assert reads_stale(release) is stale


@pytest.mark.parametrize(
    ("release", "crashes"),
    [((3, 4, 23), False), ((3, 5, 0), True), ((3, 5, 6), True), ((3, 5, 7), False)],
)
def test_some_releases_crash_on_reads_that_are_given_up(release, crashes):
    assert crashes_on_reads(release) is crashes


def severities(version, members):
    return [finding.severity for finding in judge_release("etcd a", version, members=members)]


def test_bugs_weigh_more_in_a_cluster():
    assert severities("3.5.1", 3) == [Severity.WRONG, Severity.WARNING, Severity.WARNING]
    assert severities("3.5.1", 1) == [Severity.WARNING, Severity.WARNING, Severity.NOTE]


def test_a_mended_release_has_nothing_to_say():
    assert severities("3.5.28", 3) == []


def test_an_unknown_version_is_told():
    assert severities("next", 3) == [Severity.WARNING]
