import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.shared.test_lifecycle import PROJECT

PRELUDE = """
import sys
from vecguard.standard_streams import prepare_streams, take_output_failure
prepare_streams()
"""
DEADLINE = 60


def run(body, *options, encoding="utf-8", **more):
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, *options, "-c", PRELUDE + body],
        env=inherited | {"PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": encoding},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "✓ ü ✗ … 名".encode()),
        ("latin-1", b"+ \xfc x . \\u540d"),
        ("ascii", b"+ \\xfc x . \\u540d"),
        ("ascii:strict", b"+ \\xfc x . \\u540d"),
    ],
)
def test_characters_that_the_encoding_lacks_are_replaced(encoding, expected):
    ended = run(
        "for stream in (sys.stdout, sys.stderr): stream.write('✓ ü ✗ … 名')", encoding=encoding
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, expected, expected)


def test_a_lone_surrogate_of_an_argument_can_be_written():
    ended = run("sys.stdout.write('\\udcff')")
    assert (ended.returncode, ended.stdout) == (0, b"\\udcff")


TAKEN = """
sys.stdout.write("lost")
failure = take_output_failure()
sys.stderr.write(f"{type(failure).__name__} {failure.strerror}")
assert take_output_failure() is None
"""


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_a_full_disk_is_remembered_and_raises_nothing(options):
    with Path("/dev/full").open("wb") as full:
        ended = run(TAKEN, *options, stdout=full)
    assert (ended.returncode, ended.stderr) == (0, b"OSError No space left on device")


def test_a_closed_pipe_is_remembered_and_raises_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    ended = run(TAKEN, stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"BrokenPipeError Broken pipe")


def test_a_closed_descriptor_is_remembered_and_given_to_no_socket():
    socket = "import socket\nassert socket.socket().fileno() > 2\n"
    ended = run(socket + TAKEN, stdout=None, preexec_fn=lambda: os.close(1))
    assert (ended.returncode, ended.stderr) == (0, b"OSError Bad file descriptor")


def test_a_log_goes_on_after_a_write_that_failed(tmp_path):
    limited = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
sys.stderr.write("more than ten bytes\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sys.stderr.write("again\\n")
"""
    log = tmp_path / "log"
    with log.open("wb") as stream:
        assert run(limited, stderr=stream).returncode == 0
    assert log.read_text().endswith("again\n")


def test_a_full_pipe_that_does_not_block_is_waited_for():
    length = 1_000_000
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    received = []

    def read():
        while part := os.read(reading, 65_536):
            received.append(len(part))

    reader = threading.Thread(target=read)
    reader.start()
    ended = run(f"sys.stdout.write('x' * {length})", stdout=writing)
    os.close(writing)
    reader.join(DEADLINE)
    os.close(reading)
    assert (ended.returncode, ended.stderr, sum(received)) == (0, b"", length)
