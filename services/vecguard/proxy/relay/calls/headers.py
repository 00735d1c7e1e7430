"""What the relay reads of header blocks, and what it makes of them for the other side.

Names that carry what the relay itself says about a request (`x-vecguard-*`) are dropped
when a client sends them, so that an upstream may trust them. So is every name that an upstream may
take for one of them: CGI and WSGI make variables of headers (`HTTP_X_VECGUARD_USER`), in which `-`
becomes `_`, as `.` and others do in PHP, and of two spellings either may win there.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from vecguard.proxy.http2.hpack.fields import Field, Name, literal, string
from vecguard.proxy.http2.hpack.fields import name as field_name
from vecguard.proxy.http2.hpack.header_block import HeaderBlock
from vecguard.proxy.relay.calls import timeouts
from vecguard.proxy.relay.errors import (
    HeadersTooLargeError,
    MalformedCallError,
    MalformedRequestError,
)
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy

AUTHORIZATION = b"authorization"
USER = b"x-vecguard-user"
REVISION = b"x-vecguard-revision"
PEER = b"x-vecguard-peer"


# What a request's field is to the relay. No Enum: to name a member of one costs as much as
# all the rest that is done about a field (Python 3.11).
_PLAIN: Final = 1
_PSEUDO: Final = 2
_AUTHORIZATION: Final = 3
_TIMEOUT: Final = 4
_CONTENT_TYPE: Final = 5
_LENGTH: Final = 6
_TE: Final = 7
_DROPPED: Final = 8
_MALFORMED: Final = 9

# A message with one of these is malformed (RFC 9113, section 8.2.2).
CONNECTION_SPECIFIC = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
# Written anew, or of no use on the other side. A length that DATA itself shows would only be
# one more thing that may be wrong.
OURS = frozenset((b"content-length", b"grpc-timeout", b"host", b"te"))
_KINDS = {
    **dict.fromkeys(OURS, _DROPPED),
    **dict.fromkeys(CONNECTION_SPECIFIC, _MALFORMED),
    b"content-length": _LENGTH,
    b":method": _PSEUDO,
    b":scheme": _PSEUDO,
    b":path": _PSEUDO,
    b":authority": _PSEUDO,
    AUTHORIZATION: _AUTHORIZATION,
    b"grpc-timeout": _TIMEOUT,
    b"content-type": _CONTENT_TYPE,
    b"te": _TE,
}
# Whatever is no letter and no digit is one character to an upstream that folds names.
_FOLDED = bytes(byte if bytes((byte,)).isalnum() else ord("_") for byte in range(256))
_OWN_PREFIX = b"x-vecguard-".translate(_FOLDED)
_is_printable = re.compile(rb"[!-~]*").fullmatch
_TE_FIELD = literal(b"te", b"trailers")
_TIMEOUT_NAME = field_name(b"grpc-timeout")


class _Reading:
    """What fields say, perhaps after others that were read before.

    The first fields of a client's requests are mostly the same, so they are read once, and
    the reading of each request begins where that one ended.
    """

    __slots__ = (
        "authorization",
        "beginning",
        "is_grpc",
        "is_regular",
        "lengths",
        "pseudo",
        "pseudo_path",
        "rest",
        "timeouts",
        "wire",
    )
    authorization: list[bytes]
    is_grpc: bool
    is_regular: bool
    lengths: list[bytes]
    pseudo: dict[bytes, Field]
    timeouts: list[bytes]

    def __init__(  # noqa: C901 - one branch for each kind of field
        self, fields: list[Field], beginning: "_Reading | None"
    ) -> None:
        """Reads on. Raises MalformedRequestError."""
        self.beginning = beginning
        # The path, when `pseudo` is known to be that of a gRPC request.
        self.pseudo_path: Field | None = None
        if beginning is None:
            self.pseudo = {}
            self.authorization, self.timeouts, self.lengths = [], [], []
            is_grpc_call = is_regular = False
        else:
            # These are replaced instead of changed: later readings begin with the same.
            self.pseudo = beginning.pseudo
            self.authorization = beginning.authorization
            self.timeouts = beginning.timeouts
            self.lengths = beginning.lengths
            is_grpc_call = beginning.is_grpc
            is_regular = beginning.is_regular
        rest: list[Field] = []
        wires: list[bytes] = []
        for field in fields:
            kind: int = field.key.note or _noted(field.key)
            if kind == _MALFORMED or not field.legal:
                raise MalformedRequestError("malformed headers")
            if kind == _PSEUDO:
                # RFC 9113, section 8.3: each once, and before all others.
                if is_regular or field.name in self.pseudo:
                    raise MalformedRequestError("malformed headers")
                self.pseudo = {**self.pseudo, field.name: field}
                continue
            is_regular = True
            if kind == _PLAIN:
                rest.append(field)
                wires.append(field.wire)
            elif kind == _AUTHORIZATION:
                self.authorization = [*self.authorization, field.value]
            elif kind == _TIMEOUT:
                self.timeouts = [*self.timeouts, field.value]
            elif kind == _CONTENT_TYPE:
                is_grpc_call = is_grpc_call or is_grpc(field.value)
                rest.append(field)
                wires.append(field.wire)
            elif kind == _LENGTH:
                self.lengths = [*self.lengths, field.value]
            elif kind == _TE and field.value.lower() != b"trailers":
                raise MalformedRequestError("malformed headers")
        self.is_regular = is_regular
        self.is_grpc = is_grpc_call
        self.rest = rest
        self.wire = b"".join(wires)


class RequestHead(_Reading):
    """What the relay reads of a request.

    Attributes:
        path: the field.
        authorization: the values of the header, in order.
        timeout_seconds: from `grpc-timeout`; None when the client set no deadline.
        length: from `content-length`; None when the client did not say it.
    """

    __slots__ = ("length", "path", "timeout_seconds")

    def __init__(self, block: HeaderBlock | None) -> None:
        """Reads the fields of a gRPC request.

        Raises:
            MalformedRequestError: it is no HTTP/2 request.
            HeadersTooLargeError: they are over our limit.
            MalformedCallError: it is no POST with a gRPC content type and a path.
            InvalidTimeoutError: `grpc-timeout` cannot be understood.
        """
        if block is None:
            raise HeadersTooLargeError("the headers are too large")
        known = block.known
        beginning: _Reading | None = known.note
        if beginning is None:
            beginning = known.note = _Reading(known.fields, None)
        super().__init__(block.others, beginning)
        path = beginning.pseudo_path if self.pseudo is beginning.pseudo else None
        if path is None:
            path = _path(self.pseudo)
            if self.pseudo is beginning.pseudo:
                beginning.pseudo_path = path
        if not self.is_grpc:
            raise MalformedCallError(415, "the content type must be application/grpc")
        self.path = path
        self.timeout_seconds = timeouts.decode(self.timeouts) if self.timeouts else None
        self.length = content_length(self.lengths) if self.lengths else None

    def values(self, name: bytes) -> list[bytes]:
        """The values of a header that can be forwarded, in order."""
        return [field.value for field in self._all_rest() if field.name == name]

    def replace(self, name: bytes, value: bytes) -> None:
        """Another value is forwarded in the place of all that the header has."""
        self.rest = [field for field in self._all_rest() if field.name != name]
        self.rest.append(Field(field_name(name), value, literal(name, value)))
        self.wire = b"".join([field.wire for field in self.rest])
        # What was read together with others is not theirs any more.
        self.beginning = None

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
        block = [preface, self.path.wire, authority, _TE_FIELD]
        if remaining_seconds is not None:
            block.append(_TIMEOUT_NAME.plain + string(timeouts.encode(remaining_seconds)))
        beginning = self.beginning
        if policy.only is None:
            if beginning is not None:
                block.append(beginning.wire)
            block.append(self.wire)
        else:
            only = policy.only
            block += [field.wire for field in self._all_rest() if field.name in only]
        if policy.authorization:
            block += [literal(AUTHORIZATION, value, secret=True) for value in self.authorization]
        block.append(identity)
        return b"".join(block)

    def _all_rest(self) -> list[Field]:
        return self.rest if self.beginning is None else self.beginning.rest + self.rest


def _path(pseudo: Mapping[bytes, Field]) -> Field:
    method, path = pseudo.get(b":method"), pseudo.get(b":path")
    if method is not None and method.value != b"POST":
        raise MalformedCallError(405, "only POST is allowed")
    if method is None or path is None or not path.value or b":scheme" not in pseudo:
        raise MalformedRequestError("the request has no method, no path or no scheme")
    if path.value[:1] != b"/":
        raise MalformedCallError(400, "the path must begin with a slash")
    if not _is_printable(path.value):
        # grpcio's own server serves nobody any more when it has met what is no UTF-8, and
        # Envoy ends the connection for a space.
        raise MalformedCallError(400, "the path must be visible ASCII")
    return path


def _noted(name: Name) -> int:
    """What a field of this name is, which is noted: the same name may come again."""
    text = name.text
    kind = _KINDS.get(text, _PLAIN)
    if not name.legal or (kind == _PLAIN and text.startswith(b":")):
        kind = _MALFORMED
    elif text.translate(_FOLDED).startswith(_OWN_PREFIX):
        kind = _DROPPED
    name.note = kind
    return kind


def check_trailers(fields: HeaderBlock | None) -> None:
    """Reads the block that ends a request, of which nothing is passed on.

    Raises:
        HeadersTooLargeError: it is too large.
        MalformedRequestError: it is no block of trailers.
    """
    if fields is None:
        raise HeadersTooLargeError("the trailers are too large")
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


def is_grpc(content_type: bytes) -> bool:
    """Whether it is gRPC's own media type, with or without a message format."""
    base = b"application/grpc"
    return content_type.startswith(base) and content_type[len(base) :][:1] in (b"", b"+", b";")
