"""Prints what the person at the terminal sees."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[34m")
#: What a person does not need of an audit line.
_AUDIT_DETAILS = frozenset({"timestamp", "event", "service", "pid", "since", "scope"})
#: Lines that these programs print in normal operation: patterns of the beginning.
_CHATTER: Mapping[str, tuple[str, ...]] = {
    "backend": ("MilvusLite gRPC server listening", "Shutting down"),
    "etcd": (
        "warn simple token is not cryptographically signed",
        # Its own client, whose connection its own server closes at the stop.
        "WARNING: ",
        # A readiness probe that did not wait for the handshake.
        "warn rejected connection .* error=EOF$",
    ),
}


class Console:
    """Prints the lines of several processes behind their names, and the stack's own messages."""

    OWN_NAME = "local"

    def __init__(
        self, out: TextIO, names: Sequence[str], *, coloured: bool, verbose: bool = False
    ) -> None:
        self._out = out
        self._width = max(len(name) for name in (*names, self.OWN_NAME))
        self._colours: Mapping[str, str] = {
            name: _COLOURS[index % len(_COLOURS)] if coloured else ""
            for index, name in enumerate(names)
        }
        self._coloured = coloured
        self._verbose = verbose

    def line(self, name: str, text: str) -> None:
        """Prints one line of a process's output."""
        text = plain_etcd_line(text) if name == "etcd" else plain_audit_line(text)
        if self._verbose or not _is_chatter(name, text):
            self._show(name, text)

    def say(self, text: str) -> None:
        """Prints a message of the stack itself; it may have several lines."""
        for line in text.splitlines():
            self._show(self.OWN_NAME, line)

    def banner(self, lines: Sequence[str]) -> None:
        """Prints these lines as they are, so that they can be copied; the first is the heading."""
        heading, *others = lines
        for line in ("", f"{_BOLD}{heading}{_RESET}" if self._coloured else heading, *others, ""):
            self._write(line)

    def _show(self, name: str, text: str) -> None:
        colour = self._colours.get(name, _DIM if self._coloured else "")
        reset = _RESET if colour else ""
        self._write(f"{colour}{name:<{self._width}} |{reset} {text}")

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def wants_colour(out: TextIO, environment: Mapping[str, str]) -> bool:
    """Returns whether to colour: on a terminal, unless NO_COLOR (https://no-color.org) is set."""
    return out.isatty() and not environment.get("NO_COLOR") and sys.platform != "win32"


def plain_etcd_line(text: str) -> str:
    """Returns a line of etcd's JSON log as `level message key=value ...`; other lines unchanged."""
    try:
        record = json.loads(text)
    except ValueError:
        return text
    if not isinstance(record, dict) or "msg" not in record:
        return text
    level, message = record.pop("level", ""), record.pop("msg")
    for name in ("ts", "caller", "logger", "stacktrace"):
        record.pop(name, None)
    return " ".join([str(level), str(message), *(f"{k}={v}" for k, v in record.items())]).strip()


def plain_audit_line(text: str) -> str:
    """Returns a line of the audit log as `audit event key="value" ...`; other lines unchanged.

    Values stay as JSON, which escapes what could control the terminal.
    """
    try:
        record = json.loads(text)
    except ValueError:
        return text
    if not isinstance(record, dict) or not {"timestamp", "event"} <= record.keys():
        return text
    shown = (
        f"{name}={json.dumps(value)}"
        for name, value in record.items()
        if name not in _AUDIT_DETAILS and value not in (None, [])
    )
    return " ".join([f"audit {record['event']}", *shown])


def _is_chatter(name: str, text: str) -> bool:
    return name in _CHATTER and (
        not text or any(re.match(pattern, text) for pattern in _CHATTER[name])
    )
