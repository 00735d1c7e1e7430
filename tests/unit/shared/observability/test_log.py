"""The log as it arrives on the stream."""

import io
import json
import logging
import os
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from vecguard.observability.log import configure_logging, get_logger
from vecguard.secret import Secret


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def json_log():
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream, service="proxy")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def text_log():
    stream = io.StringIO()
    configure_logging("info", "text", stream=stream, service="proxy")
    return stream.getvalue


def test_json_entry_says_when_who_where_and_what(json_log):
    get_logger("a.module").info("it happened", count=3)
    (entry,) = json_log()
    assert entry | {"timestamp": ""} == {
        "event": "it happened",
        "count": 3,
        "level": "info",
        "logger": "a.module",
        "service": "proxy",
        "pid": os.getpid(),
        "timestamp": "",
    }
    when = datetime.fromisoformat(entry["timestamp"])
    assert when.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)


def test_libraries_log_the_same_way(json_log):
    logging.getLogger("grpclib.server").warning("lost %s", "it", extra={"peer": "x"})
    (entry,) = json_log()
    assert entry["event"] == "lost it"
    assert entry["level"] == "warning"
    assert entry["logger"] == "grpclib.server"
    assert entry["service"] == "proxy"
    assert entry["peer"] == "x"


def _fail():
    local_password = "hunter2"
    raise RuntimeError(f"it broke {len(local_password)}")


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("library", [True, False])
def test_traceback_has_no_local_variables(log_format, library):
    stream = io.StringIO()
    configure_logging("info", log_format, stream=stream, service="proxy")
    logger = logging.getLogger("library") if library else get_logger("ours")
    try:
        _fail()
    except RuntimeError:
        logger.exception("failed")
    text = stream.getvalue()
    assert "it broke 7" in text
    assert "Traceback (most recent call last)" in text
    # The source line that holds the literal is not where it was raised.
    assert "hunter2" not in text
    if log_format == "json":
        (line,) = text.splitlines()
        assert isinstance(json.loads(line)["exception"], str)


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_secrets_are_masked_in_both_formats(monkeypatch, log_format):
    stream = io.StringIO()
    with monkeypatch.context() as context:
        # pytest's own handlers would format the entry too, without our care for secrets.
        context.setattr(logging.getLogger(), "handlers", [])
        configure_logging("info", log_format, stream=stream, service="proxy")
        get_logger("x").info("login", password="hunter2", value=Secret("hunter3"))
        logging.getLogger("library").warning("saw %s", Secret("hunter4"))
        logging.getLogger("library").warning("x", extra={"authorization": "hunter5"})
    assert "hunter" not in stream.getvalue()
    assert stream.getvalue().count("<redacted>") == 4


def test_entries_below_the_level_are_dropped(json_log):
    get_logger("x").debug("ours")
    logging.getLogger("library").debug("theirs")
    assert json_log() == []


def test_level_names_are_those_of_the_settings():
    stream = io.StringIO()
    configure_logging("warn", "json", stream=stream, service="proxy")
    get_logger("x").info("dropped")
    get_logger("x").warning("kept")
    assert "kept" in stream.getvalue()
    assert "dropped" not in stream.getvalue()


def test_debug_does_not_show_headers_of_http2():
    stream = io.StringIO()
    configure_logging("debug", "json", stream=stream, service="proxy")
    logging.getLogger("hpack.hpack").debug("Decoded authorization: hunter2")
    get_logger("x").debug("ours")
    assert "hunter2" not in stream.getvalue()
    assert "ours" in stream.getvalue()


@pytest.mark.parametrize(
    ("log_format", "stream", "text"),
    [
        ("auto", Terminal(), True),
        ("auto", io.StringIO(), False),
        ("text", io.StringIO(), True),
        ("json", Terminal(), False),
    ],
)
def test_format_follows_the_setting_or_the_terminal(log_format, stream, text):
    configure_logging("info", log_format, stream=stream, service="proxy")
    get_logger("x").info("hello")
    line = stream.getvalue()
    assert line.startswith("{") is not text
    # Colour only on a terminal.
    assert ("\x1b[" in line) is (text and stream.isatty())


def test_handlers_of_others_are_left_alone():
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    configure_logging("info", "json", stream=io.StringIO(), service="proxy")
    assert other in logging.getLogger().handlers


def test_a_second_configuration_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    logger = get_logger("x")
    configure_logging("info", "json", stream=first, service="proxy")
    logger.info("one")
    configure_logging("debug", "json", stream=second, service="root_coord")
    logger.debug("two")
    assert "two" not in first.getvalue()
    assert json.loads(second.getvalue())["service"] == "root_coord"


def test_text_of_a_client_cannot_steer_the_terminal_or_fake_a_line(text_log):
    get_logger("x").info("refused", user="a\x1b[2J\nb", nested=["\x1b[2J"])
    logging.getLogger("library").warning("refused %s", "\x1b[2J")
    assert "\x1b" not in text_log()
    assert len(text_log().splitlines()) == 2


def test_our_own_lines_stay_lines(text_log):
    get_logger("x").error("two problems:\n  one")
    assert "two problems:\n  one" in text_log()


def test_context_of_a_request_is_in_its_entries(json_log):
    with structlog.contextvars.bound_contextvars(request="r1"):
        get_logger("x").info("inside")
    get_logger("x").info("outside")
    inside, outside = json_log()
    assert inside["request"] == "r1"
    assert "request" not in outside
