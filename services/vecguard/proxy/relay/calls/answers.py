"""Reads the header blocks of an upstream's answer, and writes those for the client."""

from vecguard.errors import OverloadedError, VecguardError
from vecguard.proxy.http2.errors import ErrorCode
from vecguard.proxy.http2.hpack.header_block import HeaderBlock
from vecguard.proxy.relay.calls.call_counts import status_code
from vecguard.proxy.relay.calls.headers import CONNECTION_SPECIFIC, OURS, content_length, is_grpc
from vecguard.proxy.relay.errors import (
    HeadersTooLargeError,
    MalformedAnswerError,
    MalformedRequestError,
    UpstreamCancelledError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)

_STATUS = b":status"
_SWITCHING = b"101"  # not allowed in HTTP/2 (RFC 9113, section 8.6)
# Statuses of an HTTP server in front of a gRPC server that may pass soon (gRPC's "HTTP to gRPC
# status code mapping").
_TEMPORARY_HTTP_STATUSES = frozenset((b"429", b"502", b"503", b"504"))


class Answer:
    """The first header block of an answer.

    Attributes:
        block: the block for the client.
        is_interim: whether the final answer is still to come (RFC 9110, section 15.2).
        status: the `grpc-status` if the call ends here; None: trailers will follow.
        code: the same as a number.
        length: from `content-length`; None without one.
    """

    __slots__ = ("block", "code", "is_interim", "length", "status")

    def __init__(  # noqa: C901 - one branch for each kind of field
        self, block: HeaderBlock, upstream: str
    ) -> None:
        fields = list(block)
        # RFC 9113, section 8.3: `:status` comes first, and is the only pseudo-header.
        if not fields or fields[0].name != _STATUS or fields[0].value == _SWITCHING:
            raise MalformedAnswerError(f"{upstream} answered without an HTTP status")
        http_status = fields[0].value
        self.status: bytes | None = None
        self.length: int | None = None
        wires = [fields[0].wire]
        for field in fields[1:]:
            name = field.name
            if name == b"content-type":
                if http_status == b"200" and not is_grpc(field.value):
                    raise UpstreamProtocolError(
                        f"{upstream} answered with {field.value.decode('ascii', 'replace')}, "
                        "which is not gRPC"
                    )
            elif name == b"grpc-status":
                self.status = field.value
            elif name in OURS:
                if name == b"content-length":
                    self.length = _length(field.value, upstream)
                continue
            elif name[:1] == b":":
                raise MalformedAnswerError(f"{upstream} answered with malformed headers")
            wires.append(field.wire)
        self.code = status_code(self.status)
        self.is_interim = http_status[:1] == b"1"
        if self.is_interim:
            self.status = None  # an interim answer cannot end the call
        # A gRPC status takes precedence over HTTP's (gRPC's mapping); proxies like ours send both.
        if http_status != b"200" and not self.is_interim and self.status is None:
            shown = http_status.decode("ascii", "replace")
            message = f"{upstream} answered with HTTP status {shown}"
            if http_status in _TEMPORARY_HTTP_STATUSES:
                raise UpstreamUnavailableError(message)
            raise UpstreamProtocolError(message)
        self.block = b"".join(wires)


def answer(block: HeaderBlock | None, upstream: str) -> Answer:
    """Returns the first block of an answer; a repeated block is read only once.

    Raises:
        MalformedAnswerError: it is not a valid HTTP/2 answer.
        HeadersTooLargeError: it is over our limit.
        UpstreamProtocolError: it is not a gRPC answer.
        UpstreamUnavailableError: it is not a gRPC answer, for a reason that may pass.
    """
    if block is not None and isinstance(block.known.note, Answer) and not block.others:
        return block.known.note
    block = _legal(block, upstream)
    found = Answer(block, upstream)
    if not block.others:
        block.known.note = found
    return found


class Trailers:
    """The last header block of an answer.

    Attributes:
        block: the block for the client.
        code: the gRPC status of the call, as a number.
    """

    __slots__ = ("block", "code")

    def __init__(self, block: HeaderBlock, upstream: str) -> None:
        status: bytes | None = None
        wires = []
        for field in block:
            if field.name[:1] == b":":
                raise MalformedAnswerError(f"{upstream} sent a pseudo-header in its trailers")
            if field.name == b"grpc-status":
                status = field.value
            if field.name not in OURS:
                wires.append(field.wire)
        self.code = status_code(status)
        self.block = b"".join(wires)


def trailers(block: HeaderBlock | None, upstream: str) -> Trailers:
    """Returns the last block of an answer; a repeated block is read only once.

    Raises:
        MalformedAnswerError: it is not a valid block of trailers.
        HeadersTooLargeError: it is over our limit.
    """
    if block is not None and isinstance(block.known.note, Trailers) and not block.others:
        return block.known.note
    block = _legal(block, upstream)
    found = Trailers(block, upstream)
    if not block.others:
        block.known.note = found
    return found


def reset_error(upstream: str, code: int) -> VecguardError:
    """Returns the error for a reset by an upstream (gRPC over HTTP/2, "Errors")."""
    match code:
        case ErrorCode.REFUSED_STREAM:
            return UpstreamUnavailableError(f"{upstream} refused the call")
        case ErrorCode.CANCEL:
            return UpstreamCancelledError(f"{upstream} cancelled the call")
        case ErrorCode.ENHANCE_YOUR_CALM:
            return OverloadedError(
                f"{upstream} refused the call: it gets too many (ENHANCE_YOUR_CALM)"
            )
        case _:
            return UpstreamProtocolError(f"{upstream} reset the call with HTTP/2 error {code}")


def _length(value: bytes, upstream: str) -> int:
    try:
        return content_length([value])
    except MalformedRequestError as error:
        raise MalformedAnswerError(f"{upstream} answered with malformed headers") from error


def _legal(block: HeaderBlock | None, upstream: str) -> HeaderBlock:
    if block is None:
        raise HeadersTooLargeError(f"{upstream} answered with headers that are too large")
    for field in block:
        if not field.legal or field.name in CONNECTION_SPECIFIC:
            raise MalformedAnswerError(f"{upstream} answered with malformed headers")
    return block
