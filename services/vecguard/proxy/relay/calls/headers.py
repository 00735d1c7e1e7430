"""Reads the header blocks of requests, and writes the forwarded ones.

Headers of a client that say who calls (`identity_headers`) are dropped.
"""

import re
from collections.abc import Mapping
from typing import Final

from vecguard.proxy.http2.hpack.fields import Field, Name, literal, string
from vecguard.proxy.http2.hpack.fields import name as field_name
from vecguard.proxy.http2.hpack.header_block import HeaderBlock
from vecguard.proxy.identity_headers import is_reserved
from vecguard.proxy.relay.calls import timeouts
from vecguard.proxy.relay.errors import (
    HeadersTooLargeError,
    MalformedCallError,
    MalformedRequestError,
)
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy

AUTHORIZATION = b"authorization"
DATABASE = b"dbname"

# The kinds of fields of a request. No Enum: to access a member of an Enum costs as much as all the
# rest of a field's handling (Python 3.11).
_PLAIN: Final = 1
_PSEUDO: Final = 2
_AUTHORIZATION: Final = 3
_TIMEOUT: Final = 4
_CONTENT_TYPE: Final = 5
_LENGTH: Final = 6
_TE: Final = 7
_DROPPED: Final = 8
_MALFORMED: Final = 9
_DATABASE: Final = 10

# A message with one of these is malformed (RFC 9113, section 8.2.2).
CONNECTION_SPECIFIC = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
# Written by the relay itself, or useless to the other side. DATA shows the length by itself, so a
# forwarded content-length could only be wrong.
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
    DATABASE: _DATABASE,
    b"grpc-timeout": _TIMEOUT,
    b"content-type": _CONTENT_TYPE,
    b"te": _TE,
}
_is_printable = re.compile(rb"[!-~]*").fullmatch
_TE_FIELD = literal(b"te", b"trailers")
_TIMEOUT_NAME = field_name(b"grpc-timeout")


class _Reading:
    """The result of reading fields, continuing an earlier reading if there is one.

    The first fields of a client's requests are mostly the same, so they are read once, and the
    reading of each request continues from there.
    """

    __slots__ = (
        "authorization",
        "beginning",
        "databases",
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
    databases: list[bytes]
    is_grpc: bool
    is_regular: bool
    lengths: list[bytes]
    pseudo: dict[bytes, Field]
    timeouts: list[bytes]

    def __init__(  # noqa: C901, PLR0912 - one branch for each kind of field
        self, fields: list[Field], beginning: "_Reading | None"
    ) -> None:
        """Reads the fields after `beginning`. Raises MalformedRequestError."""
        self.beginning = beginning
        # The path, once `pseudo` was found valid for a gRPC request.
        self.pseudo_path: Field | None = None
        if beginning is None:
            self.pseudo = {}
            self.authorization, self.databases, self.timeouts, self.lengths = [], [], [], []
            is_grpc_call = is_regular = False
        else:
            # These are replaced and never changed, because later readings share them.
            self.pseudo = beginning.pseudo
            self.authorization = beginning.authorization
            self.databases = beginning.databases
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
                # RFC 9113, section 8.3: each at most once, and before all other fields.
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
            elif kind == _DATABASE:
                self.databases = [*self.databases, field.value]
                rest.append(field)
                wires.append(field.wire)
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
    """The header block of a request, as far as the relay reads it.

    Attributes:
        path: the `:path` field.
        authorization: the values of the header, in order.
        databases: the values of the header `dbname`, in order.
        timeout_seconds: from `grpc-timeout`; None without a deadline.
        length: from `content-length`; None without one.
    """

    __slots__ = ("length", "path", "timeout_seconds")

    def __init__(self, block: HeaderBlock | None) -> None:
        """Reads the fields of a gRPC request.

        Raises:
            MalformedRequestError: it is not a valid HTTP/2 request.
            HeadersTooLargeError: the headers are over our limit.
            MalformedCallError: it is not a POST with a gRPC content type and a path.
            InvalidTimeoutError: `grpc-timeout` is not valid.
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
        """Returns the values of a header that can be forwarded, in order."""
        return [field.value for field in self._all_rest() if field.name == name]

    def replace(self, name: bytes, value: bytes) -> None:
        """Replaces all values of a header by one."""
        self.rest = [field for field in self._all_rest() if field.name != name]
        self.rest.append(Field(field_name(name), value, literal(name, value)))
        self.wire = b"".join([field.wire for field in self.rest])
        # `rest` now has the fields of `beginning` as well.
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
        """Returns the header block of the forwarded request.

        Args:
            policy: selects the client's headers.
            preface: the encoded first fields.
            authority: the encoded `:authority`.
            identity: the encoded identity headers.
            remaining_seconds: the time until the client's deadline; None without one.
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
        # grpcio's own server stops serving after a path that is not UTF-8, and Envoy ends the
        # connection because of a space.
        raise MalformedCallError(400, "the path must be visible ASCII")
    return path


def _noted(name: Name) -> int:
    """Returns the kind of a field name, and keeps it in its note for the next time."""
    text = name.text
    kind = _KINDS.get(text, _PLAIN)
    if not name.legal or (kind == _PLAIN and text.startswith(b":")):
        kind = _MALFORMED
    elif is_reserved(text):
        kind = _DROPPED
    name.note = kind
    return kind


def check_trailers(fields: HeaderBlock | None) -> None:
    """Checks the trailers of a request, which are not forwarded.

    Raises:
        HeadersTooLargeError: they are too large.
        MalformedRequestError: they are not valid trailers.
    """
    if fields is None:
        raise HeadersTooLargeError("the trailers are too large")
    for field in fields:
        if not field.legal or field.name[:1] == b":" or field.name in CONNECTION_SPECIFIC:
            raise MalformedRequestError("malformed trailers")


def content_length(values: list[bytes]) -> int:
    """Returns the length in the header's values. Raises MalformedRequestError."""
    # RFC 9110, section 8.6: equal values are allowed. Nineteen digits are more than can ever
    # come, and cheap to read.
    if len(set(values)) > 1 or not values[0].isdigit() or len(values[0]) > 19:  # noqa: PLR2004 - see there
        raise MalformedRequestError("malformed content-length")
    return int(values[0])


def is_grpc(content_type: bytes) -> bool:
    """Returns whether it is gRPC's media type, with or without a message format."""
    base = b"application/grpc"
    return content_type.startswith(base) and content_type[len(base) :][:1] in (b"", b"+", b";")
