"""Masks secrets in log entries.

Our code does not pass secrets to the log; this is the last defence against a mistake.
"""

from collections.abc import Mapping
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

from vecguard.secret import Secret

_REDACTED: Final = "<redacted>"

#: Deeper values are not examined.
_MAX_DEPTH: Final = 6

#: Ends of names, without case, `_` and `-`: `old_password`, `passwordHash`, `x-auth-token`.
_SECRET_ENDINGS: Final = (
    "apikey",
    "authorization",
    "cookie",
    "credentials",
    "hash",
    "passwd",
    "password",
    "passwords",
    "privatekey",
    "secret",
    "secrets",
    "token",
    "tokens",
)


def is_secret_name(name: str) -> bool:
    """Returns whether a value of this name must never be shown."""
    return name.replace("_", "").replace("-", "").lower().endswith(_SECRET_ENDINGS)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Masks secrets by type and by name, in nested values too, as a structlog processor."""
    return {name: _masked(name, value, 0) for name, value in event.items()}


def _masked(name: object, value: Any, depth: int) -> Any:
    # An empty or absent value hides no secret, and operators need to see it.
    named = isinstance(name, str) and is_secret_name(name) and value not in (None, "", b"")
    if named or isinstance(value, Secret):
        return _REDACTED
    return _masked_within(value, depth + 1) if depth < _MAX_DEPTH else value


def _masked_within(value: Any, depth: int) -> Any:
    match value:
        case Mapping():
            return {key: _masked(key, each, depth) for key, each in value.items()}
        case (str() as key, each) if type(value) is tuple:
            # gRPC metadata is often a list of such pairs.
            return (key, _masked(key, each, depth))
        case tuple():
            return tuple(_masked(None, each, depth) for each in value)
        case list() | set() | frozenset():
            return [_masked(None, each, depth) for each in value]
        case _:
            return value
