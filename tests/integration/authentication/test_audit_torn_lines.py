"""The audit log when the disk is full within a line, and after a crash within one.

The limit of a file's size (RLIMIT_FSIZE) is the full disk: the system writes what fits, and fails
from then on. It needs no root and no disk of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Writes a line for each number that it reads, after it set the limit that comes with it.
WRITER = """
import json, os, resource, sys, threading
from vecguard.proxy.audit.line_writer import LineWriter, RotatedFile, StandardOutput
from vecguard.observability.log import configure_logging

class ObservedTarget:
    def __init__(self, target):
        self.target, self.entry = target, threading.Event()

    def write(self, line):
        try:
            self.target.write(line)
        finally:
            if b"entry" in line:
                self.entry.set()

    def close(self):
        self.target.close()

configure_logging("warn", "json", service="proxy")
path = sys.argv[1]
noted = ObservedTarget(StandardOutput() if path == "stdout" else RotatedFile(path))
lines = LineWriter(
    noted,
    limit=100,
    about_dropped=lambda count: json.dumps({"event": "lines_dropped", "count": count}),
)
for command in sys.stdin:
    number, limit = map(int, command.split())
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    noted.entry.clear()
    lines.write(json.dumps({"event": "entry", "number": number}))
    if not noted.entry.wait(10):
        sys.exit("the line was not taken")
    os.write(2, b"done\\n")  # print writes the line's end by itself, and a log line comes between
lines.close()
"""
ENTRY = len('{"event": "entry", "number": 1}\n')
UNLIMITED = -1


class Writer:
    """A process with the audit log open."""

    def __init__(self, path, *, is_standard_output=False):
        with path.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", WRITER, "stdout" if is_standard_output else str(path)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
            )

    def write(self, number, limit=UNLIMITED):
        self._process.stdin.write(f"{number} {limit}\n")
        self._process.stdin.flush()
        for said in self._process.stderr:
            if said == "done\n":
                return
        raise AssertionError("the writer is gone")

    def close(self):
        self._process.stdin.close()
        self._process.stderr.close()
        assert self._process.wait(10) == 0

    def kill(self):
        self._process.kill()
        self._process.wait(10)
        self._process.stdin.close()
        self._process.stderr.close()


def found(path):
    """The numbers of entries, `dropped` with its count, and what is no JSON as it is."""
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            yield line
        else:
            yield entry["number"] if entry["event"] == "entry" else ("dropped", entry["count"])


@pytest.mark.parametrize("is_standard_output", [False, True], ids=["file", "stdout"])
@pytest.mark.parametrize("room", [1, 10, ENTRY - 1])
def test_the_line_after_a_torn_one_stands_by_itself(tmp_path, room, is_standard_output):
    path = tmp_path / "audit.log"
    writer = Writer(path, is_standard_output=is_standard_output)
    writer.write(1)
    for number in (2, 3):  # the disk stays full for a while
        writer.write(number, ENTRY + room)
    assert len(path.read_bytes()) == ENTRY + room
    writer.write(4)
    writer.write(5)
    writer.close()
    torn = '{"event": "entry", "number": 2}'[:room]
    whole = [] if room < ENTRY - 1 else [2]  # nothing but its end is missing
    assert list(found(path)) == [1, *(whole or [torn]), ("dropped", 2), 4, 5]


def test_a_disk_that_is_full_again_within_the_next_line_tears_that_one_only(tmp_path):
    path = tmp_path / "audit.log"
    writer = Writer(path)
    writer.write(1, 10)
    writer.write(2, 11)  # the end of the torn line, and no more
    writer.write(3, 15)
    writer.write(4)
    writer.close()
    torn = ['{"event": ', '{"ev']
    assert [line for line in found(path) if isinstance(line, str)] == torn
    assert [line for line in found(path) if not isinstance(line, str)] == [("dropped", 3), 4]


def test_another_process_does_not_go_on_within_a_torn_line(tmp_path):
    path = tmp_path / "audit.log"
    torn, other = Writer(path), Writer(path)
    torn.write(1)
    other.write(2)
    torn.write(3, 2 * ENTRY + 5)
    other.write(4)
    torn.write(5)
    for writer in (torn, other):
        writer.close()
    assert list(found(path)) == [1, 2, '{"eve', 4, ("dropped", 1), 5]


@pytest.mark.parametrize("is_standard_output", [False, True], ids=["file", "stdout"])
def test_after_a_crash_within_a_line_the_log_goes_on_with_a_line_of_its_own(
    tmp_path, is_standard_output
):
    path = tmp_path / "audit.log"
    writer = Writer(path, is_standard_output=is_standard_output)
    writer.write(1)
    writer.write(2, ENTRY + 7)
    writer.kill()
    writer = Writer(path, is_standard_output=is_standard_output)
    writer.write(3)
    writer.close()
    assert list(found(path)) == [1, '{"event', 3]
