"""Parses the `authorization` metadata value: base64(user:password), as Milvus clients send it.

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
    """The login of a request, before it is checked."""

    username: str
    password: Secret[str]


def single_value(values: Sequence[bytes]) -> bytes:
    """Returns the single value of the header.

    Refuses several values, because one part could check the first and another use the second.

    Raises:
        MissingHeaderError: there is no value.
        MalformedHeaderError: there are several values.
    """
    if not values:
        raise MissingHeaderError
    if len(values) > 1:
        raise MalformedHeaderError
    return values[0]


def parse(value: bytes) -> PresentedLogin:
    """Parses one value, with or without `Basic`; the password may contain colons.

    Raises:
        MalformedHeaderError: it is not base64 (RFC 4648, section 4) of UTF-8.
        ApiKeyError: it has no colon.
        WrongCredentialsError: the store cannot hold such a user name.
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


def value_of(login: PresentedLogin) -> bytes:
    """Returns the value in which clients send a login."""
    return base64.b64encode(f"{login.username}:{login.password.reveal()}".encode())


def claimed_username(values: Sequence[bytes]) -> str | None:
    """Returns the user name in the values; None without one.

    A value without a colon has no name, because it may be a password as well.
    """
    if len(values) != 1:
        return None
    text = _decoded(values[0])
    if text is None:
        return None
    username, colon, _ = text.partition(":")
    return username if colon else None


def _decoded(value: bytes) -> str | None:
    """Returns the decoded text; None if it cannot be decoded.

    Raises nothing, because the error of a decoder would carry the value.
    """
    scheme, blank, rest = value.partition(b" ")
    if blank and scheme.lower() == _SCHEME:  # case-insensitive: RFC 9110, section 11.1
        value = rest.lstrip(b" ")
    # Some versions of Python accept a surplus `=` after a complete group.
    if len(value) % 4:
        return None
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
