import io
import os
from pathlib import Path

import pytest

from vecguard.cli.exit_codes import UsageError
from vecguard.cli.password_source import STANDARD_INPUT, PasswordSource


def source(file):
    return PasswordSource("password of root", file, "--password-file")


def put(path, content):
    path.write_bytes(content)
    return path


@pytest.fixture
def standard_input(monkeypatch):
    """Lets a test say what comes through the pipe."""
    reading, writing = os.pipe()
    stream = os.fdopen(reading, "r")

    def say(content):
        os.write(writing, content)
        os.close(writing)

    monkeypatch.setattr("sys.stdin", stream)
    yield say
    stream.close()


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("beginning", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_mark_are_no_part_of_a_password_in_a_file(tmp_path, beginning, ending):
    file = put(tmp_path / "p", beginning + b" with spaces \xc3\xbc " + ending)
    assert source(file).read().reveal() == " with spaces ü "


def test_standard_input_gives_one_line_for_each_password(standard_input):
    standard_input(b"first one\nsecond one\r\n")
    assert source(STANDARD_INPUT).read().reveal() == "first one"
    assert source(STANDARD_INPUT).read().reveal() == "second one"
    with pytest.raises(UsageError, match="empty"):
        source(STANDARD_INPUT).read()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"\xff secret", "not UTF-8"),
        (b"s" * 5000, "longer"),
        (b"a secret\nsecret 2\n", "password of root contains a line break"),
        ("secret".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_without_a_usable_password_is_a_usage_error(tmp_path, content, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        source(put(tmp_path / "p", content)).read()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_cannot_be_read_is_named_with_its_option():
    with pytest.raises(UsageError, match=r"--password-file: /does/not/exist cannot be read"):
        source(Path("/does/not/exist")).read()


def test_a_device_is_not_read_without_end():
    with pytest.raises(UsageError, match="longer"):
        source(Path("/dev/zero")).read()


def test_nobody_is_asked_without_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("piped in"))
    with pytest.raises(UsageError, match="no terminal"):
        source(None).read()
