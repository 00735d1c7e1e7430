"""Header lists as they cross the relay. Pure functions over raw bytes.

Names that carry what the relay itself says about a request (`x-vecguard-*`) are dropped
when a client sends them, so that an upstream may trust them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from grpclib.metadata import encode_grpc_message

from services.proxy.relay.errors import (
    InvalidTimeoutError,
    MalformedCallError,
    UpstreamProtocolError,
)
from shared.errors import VecguardError

Header = tuple[bytes, bytes]

AUTHORIZATION = b"authorization"
OWN_PREFIX = b"x-vecguard-"
USER = b"x-vecguard-user"
PEER = b"x-vecguard-peer"

# Meaningless beyond one connection (RFC 9113, section 8.2.2), or written anew below.
_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"grpc-timeout",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    )
)
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MAX_TIMEOUT_VALUE = 99_999_999  # eight digits
# RFC 9113, section 8.2.1. Capitals above all: behind us they may be taken for small letters.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN_IN_VALUES = re.compile(rb"[\x00\r\n]")
_WHITESPACE = b" \t"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What the relay reads of a request.

    Attributes:
        timeout_seconds: from `grpc-timeout`; None when the client set no deadline.
        rest: every header that could be forwarded, in order.
    """

    path: bytes
    authorization: tuple[bytes, ...]
    timeout_seconds: float | None
    rest: tuple[Header, ...]

    @classmethod
    def read(cls, headers: Sequence[Header]) -> "RequestHead":
        """Reads the headers of a gRPC request.

        Raises:
            MalformedCallError: it is no POST with a gRPC content type and a path.
            InvalidTimeoutError: `grpc-timeout` cannot be understood.
        """
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        plain = _plain(headers)
        if plain is None or len(pseudo) + len(plain) != len(headers):
            raise MalformedCallError(400, "malformed headers")
        if pseudo.get(b":method") != b"POST":
            raise MalformedCallError(405, "only POST is allowed")
        path = pseudo.get(b":path", b"")
        if not path.startswith(b"/"):
            raise MalformedCallError(400, "the request has no path")
        if not any(name == b"content-type" and is_grpc(value) for name, value in plain):
            raise MalformedCallError(415, "the content type must be application/grpc")
        return cls(
            path=path,
            authorization=tuple(value for name, value in plain if name == AUTHORIZATION),
            timeout_seconds=_timeout([value for name, value in plain if name == b"grpc-timeout"]),
            rest=tuple(
                (name, value)
                for name, value in plain
                if name not in _HOP_BY_HOP and not name.startswith(OWN_PREFIX)
            ),
        )


@dataclass(frozen=True, slots=True)
class HeaderPolicy:
    """Which of a client's headers an upstream sees.

    Attributes:
        only: the names that pass; None lets everything pass.
        authorization: whether the client's credentials pass, too.
        shows_peer: whether the client's address is told.
    """

    only: frozenset[bytes] | None = None
    authorization: bool = False
    shows_peer: bool = False

    def allows(self, name: bytes) -> bool:
        """Whether a header of this name is forwarded."""
        if name == AUTHORIZATION:
            return self.authorization
        return self.only is None or name in self.only


def upstream_request(
    head: RequestHead,
    policy: HeaderPolicy,
    *,
    scheme: bytes,
    authority: bytes,
    identity: Sequence[Header],
    remaining_seconds: float | None,
) -> list[Header]:
    """The header list of the forwarded request.

    `identity` is what the relay says about the client; `remaining_seconds` is what is
    left of the client's deadline.
    """
    headers = [
        (b":method", b"POST"),
        (b":scheme", scheme),
        (b":path", head.path),
        (b":authority", authority),
        (b"te", b"trailers"),
    ]
    if remaining_seconds is not None:
        headers.append((b"grpc-timeout", encode_timeout(remaining_seconds)))
    headers += [header for header in head.rest if policy.allows(header[0])]
    headers += identity
    return headers


def downstream_response(headers: Sequence[Header]) -> list[Header]:
    """An upstream's headers or trailers as the client gets them.

    Raises:
        UpstreamProtocolError: no client could take them.
    """
    plain = _plain(headers)
    if plain is None:
        raise UpstreamProtocolError("the backend answered with malformed headers")
    status = [header for header in headers if header[0] == b":status"]
    return status + [header for header in plain if header[0] not in _HOP_BY_HOP]


def is_grpc(content_type: bytes) -> bool:
    """Whether it is gRPC's own media type, with or without a message format."""
    base = b"application/grpc"
    return content_type.startswith(base) and content_type[len(base) :][:1] in (b"", b"+", b";")


def encode_timeout(seconds: float) -> bytes:
    """A `grpc-timeout` value that is never longer than what is left."""
    seconds = max(0.0, seconds)
    for unit, factor in (("n", 10**9), ("u", 10**6), ("m", 10**3), ("S", 1)):
        if (value := int(seconds * factor)) <= _MAX_TIMEOUT_VALUE:
            return f"{value}{unit}".encode()
    return f"{min(int(seconds / 3600), _MAX_TIMEOUT_VALUE)}H".encode()


def refusal(error: VecguardError) -> list[Header]:
    """A response that is nothing but the error (in gRPC's terms: trailers only)."""
    http_status = error.http_status if isinstance(error, MalformedCallError) else 200
    return [
        (b":status", str(http_status).encode()),
        (b"content-type", b"application/grpc"),
        *error_trailers(error),
    ]


def error_trailers(error: VecguardError) -> list[Header]:
    """The end of a response that had begun well."""
    return [
        (b"grpc-status", str(error.status.value).encode()),
        (b"grpc-message", encode_grpc_message(error.message).encode()),
    ]


def _plain(headers: Sequence[Header]) -> list[Header] | None:
    """The headers that are none of HTTP/2's own; None when one is malformed.

    Space around a value is no part of it (gRPC over HTTP/2, "ASCII-Value").
    """
    plain = [
        (name, value.strip(_WHITESPACE)) for name, value in headers if not name.startswith(b":")
    ]
    for name, value in plain:
        if not _NAME.fullmatch(name) or _FORBIDDEN_IN_VALUES.search(value):
            return None
    return plain


def _timeout(values: Sequence[bytes]) -> float | None:
    timeouts = []
    for value in values:
        match = _TIMEOUT.fullmatch(value)
        if match is None:
            raise InvalidTimeoutError("malformed grpc-timeout: write digits and one of H M S m u n")
        timeouts.append(int(match[1]) * _UNIT_SECONDS[match[2]])
    return min(timeouts, default=None)
