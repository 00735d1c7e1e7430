"""The `authorization` metadata value: base64(user:password), as Milvus clients send it.

Other clients of gRPC, such as Arrow Flight's, write `Basic` before it (RFC 7617).
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from vecguard.proxy.authentication.errors import (
    ApiKeyError,
    MalformedHeaderError,
    MissingHeaderError,
    WrongCredentialsError,
)
from vecguard.secret import Secret
from vecguard.usernames import is_storable

_SCHEME = b"basic"


@dataclass(frozen=True, slots=True)
class PresentedLogin:
    """Who a request says it is from, not yet believed."""

    username: str
    password: Secret[str]


def single_value(values: Sequence[bytes]) -> bytes:
    """The one value of the header.

    Two values could be judged by one part and used by another, so they are refused.

    Raises:
        MissingHeaderError: there is none.
        MalformedHeaderError: there are several.
    """
    if not values:
        raise MissingHeaderError
    if len(values) > 1:
        raise MalformedHeaderError
    return values[0]


def parse(value: bytes) -> PresentedLogin:
    """Reads one value, with or without `Basic`; the password may contain colons.

    Raises:
        MalformedHeaderError: it is not base64 (RFC 4648, section 4) of UTF-8.
        ApiKeyError: it has no colon.
        WrongCredentialsError: no store can hold such a user name.
    """
    text = _decoded(value)
    if text is None:
        raise MalformedHeaderError
    username, colon, password = text.partition(":")
    if not colon:
        raise ApiKeyError
    if not is_storable(username):
        raise WrongCredentialsError
    return PresentedLogin(username, Secret(password))


def value_of(username: str, password: Secret[str]) -> bytes:
    """The value that presents this login."""
    return base64.b64encode(f"{username}:{password.reveal()}".encode())


def claimed_username(values: Sequence[bytes]) -> str | None:
    """Who the values say the request is from; None where they name nobody.

    A value without a colon names nobody: it may be a password as well as a name.
    """
    if len(values) != 1:
        return None
    text = _decoded(values[0])
    if text is None:
        return None
    username, colon, _ = text.partition(":")
    return username if colon else None


def _decoded(value: bytes) -> str | None:
    """The text behind the base64; None if there is none.

    No exception leaves here, because a decoder's error carries the value with it.
    """
    scheme, blank, rest = value.partition(b" ")
    if blank and scheme.lower() == _SCHEME:  # RFC 9110, section 11.1: in any case
        value = rest.lstrip(b" ")
    # Some versions of Python take a surplus `=` after a complete group.
    if len(value) % 4:
        return None
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
