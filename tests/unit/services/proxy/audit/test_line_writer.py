import fcntl
import os
import threading

import pytest

from vecguard.errors import ConfigurationError
from vecguard.proxy.audit.line_writer import LineWriter, RotatedFile

EIGHT = [f"line{number}" for number in range(8)]


class HeldTarget:
    """A disk that is slow, or full."""

    def __init__(self):
        self.release = threading.Event()
        self.reached = threading.Event()
        self.lines = []
        self.error = None

    def write(self, line):
        self.reached.set()
        assert self.release.wait(10)
        if self.error is not None:
            raise self.error
        self.lines.append(line.decode().rstrip("\n"))

    def close(self):
        pass


def writer(target, limit=100):
    return LineWriter(target, limit=limit, about_dropped=lambda count: f"dropped {count}")


def test_lines_are_appended_in_their_order(tmp_path):
    path = tmp_path / "audit.log"
    path.write_text("before\n")
    lines = writer(RotatedFile(str(path)))
    for line in EIGHT:
        lines.write(line)
    lines.close()
    assert path.read_text().splitlines() == ["before", *EIGHT]


def test_a_new_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "audit.log"
    lines = writer(RotatedFile(str(path)))
    lines.close()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("gone", ["moved", "removed"])
def test_after_a_rotation_lines_go_to_a_new_file(tmp_path, gone):
    path = tmp_path / "audit.log"
    target = RotatedFile(str(path))
    target.write(b"first\n")
    if gone == "moved":
        path.rename(tmp_path / "audit.log.1")
    else:
        path.unlink()
    target.write(b"second\n")
    assert path.read_text() == "second\n"
    if gone == "moved":
        assert (tmp_path / "audit.log.1").read_text() == "first\n"
    target.close()


def test_a_file_that_is_cut_in_place_is_written_from_its_new_end(tmp_path):
    path = tmp_path / "audit.log"
    target = RotatedFile(str(path))
    target.write(b"first\n")
    os.truncate(path, 0)
    target.write(b"second\n")
    assert path.read_text() == "second\n"
    target.close()


def test_a_path_that_cannot_be_written_stops_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match=r"audit\.output"):
        RotatedFile(str(tmp_path / "missing" / "audit.log"))


def test_a_slow_disk_holds_up_nobody_and_what_is_lost_is_told():
    target = HeldTarget()
    lines = writer(target, limit=2)
    lines.write("line0")
    assert target.reached.wait(10)
    for line in EIGHT[1:]:
        lines.write(line)
    assert lines.dropped == 5
    target.release.set()
    lines.close()
    assert sorted(target.lines) == ["dropped 5", "line0", "line1", "line2"]


def test_a_full_disk_loses_lines_and_nothing_else():
    target = HeldTarget()
    target.release.set()
    target.error = OSError(28, "No space left on device")
    lines = writer(target, limit=100)
    for line in EIGHT:
        lines.write(line)
    while lines.dropped < len(EIGHT):
        lines._thread.join(0.01)
    target.error = None
    lines.write("after")
    lines.close()
    assert target.lines == ["dropped 8", "after"]


def test_a_lock_that_is_kept_does_not_stop_the_log(tmp_path):
    path = tmp_path / "audit.log"
    lines = writer(RotatedFile(str(path)), limit=1000)
    many = [f"line{number}" for number in range(500)]
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for line in many:
            lines.write(line)
        lines.close()
        assert path.read_text().splitlines() == many
