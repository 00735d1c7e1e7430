"""Header lists as they cross the old relay."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from grpclib.metadata import encode_grpc_message

from vecguard.errors import VecguardError

Header = tuple[bytes, bytes]

_AUTHORIZATION = b"authorization"
_OWN_PREFIX = b"x-vecguard-"
_USER = b"x-vecguard-user"
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
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN_IN_VALUES = re.compile(rb"[\x00\r\n]")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What the relay reads of a request; `rest` is what could be forwarded."""

    path: bytes
    authorization: tuple[bytes, ...]
    rest: tuple[Header, ...]

    @classmethod
    def read(cls, headers: Sequence[Header]) -> "RequestHead":
        """Raises VecguardError: it is no gRPC call."""
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        plain = _plain(headers)
        path = pseudo.get(b":path", b"")
        if (
            len(pseudo) + len(plain) != len(headers)
            or pseudo.get(b":method") != b"POST"
            or not path.startswith(b"/")
            or not any(name == b"content-type" and is_grpc(value) for name, value in plain)
        ):
            raise VecguardError("the request is no gRPC call")
        return cls(
            path=path,
            authorization=tuple(value for name, value in plain if name == _AUTHORIZATION),
            rest=tuple(
                (name, value)
                for name, value in plain
                if name not in _HOP_BY_HOP and not name.startswith(_OWN_PREFIX)
            ),
        )


def upstream_request(head: RequestHead, authority: bytes, username: str | None) -> list[Header]:
    """The header list of the forwarded request."""
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", head.path),
        (b":authority", authority),
        (b"te", b"trailers"),
    ]
    headers += [header for header in head.rest if header[0] != _AUTHORIZATION]
    if username is not None:
        headers.append((_USER, username.encode()))
    return headers


def downstream_response(headers: Sequence[Header]) -> list[Header]:
    """An upstream's headers or trailers as the client gets them."""
    status = [header for header in headers if header[0] == b":status"]
    return status + [header for header in _plain(headers) if header[0] not in _HOP_BY_HOP]


def is_grpc(content_type: bytes) -> bool:
    """Whether it is gRPC's own media type, with or without a message format."""
    base = b"application/grpc"
    return content_type.startswith(base) and content_type[len(base) :][:1] in (b"", b"+", b";")


def refusal(error: VecguardError) -> list[Header]:
    """A response that is nothing but the error."""
    return [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"grpc-status", str(error.status.value).encode()),
        (b"grpc-message", encode_grpc_message(error.message).encode()),
    ]


def _plain(headers: Sequence[Header]) -> list[Header]:
    plain = [(name, value.strip(b" \t")) for name, value in headers if not name.startswith(b":")]
    for name, value in plain:
        if not _NAME.fullmatch(name) or _FORBIDDEN_IN_VALUES.search(value):
            raise VecguardError("malformed headers")
    return plain
