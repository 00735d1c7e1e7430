"""Encodes errors as header blocks for the client."""

import math
from typing import Final

from grpclib.metadata import encode_grpc_message

from vecguard.errors import VecguardError
from vecguard.proxy.http2.hpack.fields import literal
from vecguard.proxy.relay.errors import MalformedCallError

# A text may quote a request, and each character takes up to 12 bytes. Clients refuse longer
# trailers: gRPC's libraries those over 16 KiB, others with the whole connection.
_MAX_TEXT: Final = 1000


def refusal(error: VecguardError) -> bytes:
    """Returns the block of an answer that is only an error (in gRPC's terms: trailers-only)."""
    http_status = error.http_status if isinstance(error, MalformedCallError) else 200
    return (
        literal(b":status", str(http_status).encode())
        + literal(b"content-type", b"application/grpc")
        + error_trailers(error)
    )


def error_trailers(error: VecguardError) -> bytes:
    """Returns the block that ends an answer, which has begun, with an error."""
    text = error.message
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    block = literal(b"grpc-status", str(error.status.value).encode()) + literal(
        b"grpc-message", encode_grpc_message(text).encode()
    )
    if error.retry_after_seconds is not None:
        # gRFC A6, "Pushback": clients that retry wait for this long.
        milliseconds = math.ceil(error.retry_after_seconds * 1000)
        block += literal(b"grpc-retry-pushback-ms", str(milliseconds).encode())
    return block
