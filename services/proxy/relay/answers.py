"""What an upstream's header blocks mean, and what the client gets of them."""

from services.proxy.http2.connection import Fields
from services.proxy.http2.errors import ErrorCode
from services.proxy.http2.fields import Field
from services.proxy.relay.errors import (
    UpstreamCancelledError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from services.proxy.relay.headers import OURS, is_grpc
from shared.errors import OverloadedError, VecguardError

_STATUS = b":status"
# Answers of something that is no gRPC server and may be better soon (gRPC's
# "HTTP to gRPC status code mapping").
_TEMPORARY_HTTP_STATUSES = frozenset((b"429", b"502", b"503", b"504"))


class Answer:
    """A response's first block.

    Attributes:
        block: what the client gets.
        is_interim: whether the real answer is still to come (RFC 9110, section 15.2).
        is_final: whether it says how the call ended.
    """

    __slots__ = ("block", "is_final", "is_interim")

    def __init__(self, fields: Fields, upstream: str) -> None:
        """Reads it.

        Raises:
            UpstreamProtocolError: it is no gRPC answer.
            UpstreamUnavailableError: the same, but that may change.
        """
        status = b"none"
        self.is_final = False
        wires = []
        for field in _legal(fields, upstream):
            name = field.name
            if name == _STATUS:
                status = field.value
            elif name == b"content-type":
                if status == b"200" and not is_grpc(field.value):
                    raise UpstreamProtocolError(
                        f"{upstream} answered with {field.value.decode('ascii', 'replace')}, "
                        "which is no gRPC"
                    )
            elif name == b"grpc-status":
                self.is_final = True
            elif name in OURS or name[:1] == b":":
                continue
            wires.append(field.wire)
        self.is_interim = status[:1] == b"1"
        if status != b"200" and not self.is_interim:
            message = f"{upstream} answered with HTTP status {status.decode('ascii', 'replace')}"
            if status in _TEMPORARY_HTTP_STATUSES:
                raise UpstreamUnavailableError(message)
            raise UpstreamProtocolError(message)
        self.block = b"".join(wires)


def trailers(fields: Fields, upstream: str) -> bytes:
    """What the client gets of a response's last block. Raises UpstreamProtocolError."""
    return b"".join(
        [
            field.wire
            for field in _legal(fields, upstream)
            if field.name not in OURS and field.name[:1] != b":"
        ]
    )


def reset_error(upstream: str, code: int) -> VecguardError:
    """What a reset by an upstream means for the caller (gRPC over HTTP/2, "Errors")."""
    match code:
        case ErrorCode.REFUSED_STREAM:
            return UpstreamUnavailableError(f"{upstream} refused the call")
        case ErrorCode.CANCEL:
            return UpstreamCancelledError(f"{upstream} cancelled the call")
        case ErrorCode.ENHANCE_YOUR_CALM:
            return OverloadedError(f"{upstream} asks for fewer calls")
        case _:
            return UpstreamProtocolError(f"{upstream} reset the call with HTTP/2 error {code}")


def _legal(fields: Fields, upstream: str) -> list[Field]:
    if fields is None:
        raise UpstreamProtocolError(f"{upstream} answered with headers that are too large")
    for field in fields:
        if not field.legal:
            raise UpstreamProtocolError("the backend answered with malformed headers")
    return fields
