"""What the relay reads of header blocks, and what it makes of them for the other side.

Names that carry what the relay itself says about a request (`x-vecguard-*`) are dropped
when a client sends them, so that an upstream may trust them.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from grpclib.metadata import encode_grpc_message

from services.proxy.http2.connection import Fields
from services.proxy.http2.fields import Field, indexed, literal, string
from services.proxy.http2.fields import name as field_name
from services.proxy.relay import timeouts
from services.proxy.relay.errors import MalformedCallError, MalformedRequestError
from shared.errors import VecguardError

AUTHORIZATION = b"authorization"
OWN_PREFIX = b"x-vecguard-"
USER = b"x-vecguard-user"
PEER = b"x-vecguard-peer"


class Kind(Enum):
    """What a request's field is to the relay."""

    PLAIN = auto()
    PSEUDO = auto()
    AUTHORIZATION = auto()
    TIMEOUT = auto()
    GRPC = auto()  # a content type of gRPC's; any other is plain
    LENGTH = auto()
    DROPPED = auto()
    MALFORMED = auto()


# A message with one of these is malformed (RFC 9113, section 8.2.2).
CONNECTION_SPECIFIC = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
# Written anew, or of no use on the other side. A length that DATA itself shows would only be
# one more thing that may be wrong.
OURS = frozenset((b"content-length", b"grpc-timeout", b"host", b"te"))
_KINDS = {
    **dict.fromkeys(OURS, Kind.DROPPED),
    **dict.fromkeys(CONNECTION_SPECIFIC, Kind.MALFORMED),
    b"content-length": Kind.LENGTH,
    b":method": Kind.PSEUDO,
    b":scheme": Kind.PSEUDO,
    b":path": Kind.PSEUDO,
    b":authority": Kind.PSEUDO,
    AUTHORIZATION: Kind.AUTHORIZATION,
    b"grpc-timeout": Kind.TIMEOUT,
}
_TE = literal(b"te", b"trailers")
_TIMEOUT = field_name(b"grpc-timeout")


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


class RequestHead:
    """What the relay reads of a request.

    Attributes:
        path: the field.
        authorization: the values of the header, in order.
        timeout_seconds: from `grpc-timeout`; None when the client set no deadline.
        length: from `content-length`; None when the client did not say it.
        rest: the other fields that can be forwarded, in order.
    """

    __slots__ = ("authorization", "length", "path", "rest", "timeout_seconds")

    def __init__(  # noqa: C901, PLR0912 - one branch for each kind of field
        self, fields: Fields
    ) -> None:
        """Reads the fields of a gRPC request.

        Raises:
            MalformedRequestError: it is no HTTP/2 request.
            MalformedCallError: it is no POST with a gRPC content type and a path.
            InvalidTimeoutError: `grpc-timeout` cannot be understood.
        """
        if fields is None:
            raise MalformedCallError(431, "the headers are too large")
        pseudo: dict[bytes, Field] = {}
        rest: list[Field] = []
        authorization: list[bytes] = []
        timeout_values: list[bytes] = []
        lengths: list[bytes] = []
        is_grpc_call = False
        for field in fields:
            kind = field.note or _noted(field)
            if kind is Kind.PLAIN:
                rest.append(field)
            elif kind is Kind.PSEUDO:
                # RFC 9113, section 8.3: each once, and before all others.
                if field.name in pseudo or field is not fields[len(pseudo)]:
                    raise MalformedRequestError("malformed headers")
                pseudo[field.name] = field
            elif kind is Kind.GRPC:
                is_grpc_call = True
                rest.append(field)
            elif kind is Kind.AUTHORIZATION:
                authorization.append(field.value)
            elif kind is Kind.TIMEOUT:
                timeout_values.append(field.value)
            elif kind is Kind.LENGTH:
                lengths.append(field.value)
            elif kind is Kind.MALFORMED:
                raise MalformedRequestError("malformed headers")
        method, path = pseudo.get(b":method"), pseudo.get(b":path")
        if method is not None and method.value != b"POST":
            raise MalformedCallError(405, "only POST is allowed")
        if method is None or path is None or not path.value or b":scheme" not in pseudo:
            raise MalformedRequestError("the request has no method, no path or no scheme")
        if path.value[:1] != b"/":
            raise MalformedCallError(400, "the path must begin with a slash")
        if not is_grpc_call:
            raise MalformedCallError(415, "the content type must be application/grpc")
        self.path = path
        self.authorization = authorization
        self.timeout_seconds = timeouts.decode(timeout_values) if timeout_values else None
        self.length = content_length(lengths) if lengths else None
        self.rest = rest

    def values(self, name: bytes) -> list[bytes]:
        """The values of a header that can be forwarded, in order."""
        return [field.value for field in self.rest if field.name == name]

    def replace(self, name: bytes, value: bytes) -> None:
        """Another value is forwarded in the place of all that the header has."""
        self.rest = [field for field in self.rest if field.name != name]
        self.rest.append(Field(field_name(name), value, string(value)))

    def forwarded(
        self,
        policy: HeaderPolicy,
        *,
        preface: bytes,
        authority: bytes,
        identity: bytes,
        remaining_seconds: float | None,
    ) -> bytes:
        """The header block of the forwarded request.

        `preface` and `authority` are fields; `identity` is what the relay says about the client;
        `remaining_seconds` is what is left of the client's deadline.
        """
        block = [preface, self.path.wire, authority, _TE]
        if remaining_seconds is not None:
            block.append(_TIMEOUT.plain + string(timeouts.encode(remaining_seconds)))
        if policy.only is None:
            block += [field.wire for field in self.rest]
        else:
            block += [field.wire for field in self.rest if field.name in policy.only]
        if policy.authorization:
            block += [literal(AUTHORIZATION, value, secret=True) for value in self.authorization]
        block.append(identity)
        return b"".join(block)


def _noted(field: Field) -> Kind:
    """The field's kind, which is noted: the same field may come by its index again."""
    name = field.name
    kind = _KINDS.get(name, Kind.PLAIN)
    if (
        not field.legal
        or (kind is Kind.PLAIN and name.startswith(b":"))
        or (name == b"te" and field.value.lower() != b"trailers")
    ):
        kind = Kind.MALFORMED
    elif name.startswith(OWN_PREFIX):
        kind = Kind.DROPPED
    elif name == b"content-type" and is_grpc(field.value):
        kind = Kind.GRPC
    field.note = kind
    return kind


def check_trailers(fields: Fields) -> None:
    """Reads the block that ends a request, of which nothing is passed on.

    Raises:
        MalformedCallError: it is too large.
        MalformedRequestError: it is no block of trailers.
    """
    if fields is None:
        raise MalformedCallError(431, "the trailers are too large")
    for field in fields:
        if not field.legal or field.name[:1] == b":" or field.name in CONNECTION_SPECIFIC:
            raise MalformedRequestError("malformed trailers")


def content_length(values: list[bytes]) -> int:
    """What the header's values say. Raises MalformedRequestError."""
    # RFC 9110, section 8.6: the same again is no contradiction. Nineteen digits are more than
    # can ever come, and cost nothing to read.
    if len(set(values)) > 1 or not values[0].isdigit() or len(values[0]) > 19:  # noqa: PLR2004 - see there
        raise MalformedRequestError("malformed content-length")
    return int(values[0])


@lru_cache(1024)
def user_field(username: str) -> bytes:
    """The field that tells an upstream who the call is from."""
    return literal(USER, username.encode())


def request_preface(scheme: bytes) -> bytes:
    """The fields that begin every request to an upstream."""
    return indexed(b":method", b"POST") + indexed(b":scheme", scheme)


def authority_field(authority: str) -> bytes:
    """The field that names the upstream to itself."""
    return literal(b":authority", authority.encode())


def is_grpc(content_type: bytes) -> bool:
    """Whether it is gRPC's own media type, with or without a message format."""
    base = b"application/grpc"
    return content_type.startswith(base) and content_type[len(base) :][:1] in (b"", b"+", b";")


def refusal(error: VecguardError) -> bytes:
    """The block of a response that is nothing but the error (in gRPC's terms: trailers only)."""
    http_status = error.http_status if isinstance(error, MalformedCallError) else 200
    return (
        literal(b":status", str(http_status).encode())
        + literal(b"content-type", b"application/grpc")
        + error_trailers(error)
    )


def error_trailers(error: VecguardError) -> bytes:
    """The block that ends a response that had begun well."""
    block = literal(b"grpc-status", str(error.status.value).encode()) + literal(
        b"grpc-message", encode_grpc_message(error.message).encode()
    )
    if error.retry_after_seconds is not None:
        # gRFC A6, "Pushback": clients that retry wait for as long.
        milliseconds = math.ceil(error.retry_after_seconds * 1000)
        block += literal(b"grpc-retry-pushback-ms", str(milliseconds).encode())
    return block
