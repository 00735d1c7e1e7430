"""Bytes of the client to the upstream, bytes of the upstream to the client.

gRPC messages are passed on by their length prefix alone, in pieces, whatever is in them:
compressed, encrypted or of unknown type. A slow receiver slows its sender, because a
piece is taken from one side only when the other has taken the one before.
"""

import asyncio
from collections.abc import Callable, Sequence

from grpclib.protocol import Stream
from h2.errors import ErrorCodes
from h2.exceptions import H2Error

from services.proxy.relay.call import Call
from services.proxy.relay.errors import (
    MalformedMessageError,
    MessageTooLargeError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from services.proxy.relay.headers import (
    Header,
    RequestHead,
    downstream_response,
    upstream_request,
)
from services.proxy.relay.streams import StreamWatcher, upstream_error
from services.proxy.relay.upstream import Upstream
from shared.errors import VecguardError

_PREFIX_BYTES = 5
_PIECE_BYTES = 64 * 1024
# Answers of something that is no gRPC server and may be better soon (gRPC's
# "HTTP to gRPC status code mapping").
_TEMPORARY_HTTP_STATUSES = frozenset((b"429", b"502", b"503", b"504"))


async def forward(
    call: Call,
    upstream: Upstream,
    head: RequestHead,
    identity: Sequence[Header],
    *,
    max_message_bytes: int,
) -> None:
    """Relays one call to its end.

    Raises:
        VecguardError: the call cannot be completed; nothing was answered yet unless
            `call.response_begun`.
    """
    stream: Stream | None = None

    def ended(code: int | None) -> None:
        # RFC 9113, section 8.1: a server that has answered completely may stop a
        # request's body this way. A reader that waits for more sees the end.
        if code == ErrorCodes.NO_ERROR and stream is not None:
            stream.__ended__()
        else:
            call.end(upstream_error(upstream.name, code))

    opened = await upstream.open(
        upstream_request(
            head,
            upstream.policy,
            authority=upstream.authority,
            identity=identity,
            remaining_seconds=call.remaining_seconds(),
        ),
        StreamWatcher(ended),
    )
    stream = opened.stream
    request = asyncio.create_task(
        _forward_request(call, stream, max_message_bytes=max_message_bytes)
    )
    try:
        await _forward_response(call, stream, upstream.name, max_message_bytes=max_message_bytes)
    finally:
        request.cancel()
        await asyncio.wait((request,))
        if stream.closable:
            stream.reset_nowait(ErrorCodes.CANCEL)
        opened.release()


async def _forward_request(call: Call, upstream: Stream, *, max_message_bytes: int) -> None:
    try:
        await _forward_messages(
            call.client,
            upstream,
            max_message_bytes,
            lambda: MalformedMessageError("the request ends within a message"),
        )
        await upstream.end()
    except VecguardError as error:
        call.end(error)
    except H2Error:
        pass  # the upstream has answered without waiting for the rest


async def _forward_response(
    call: Call, upstream: Stream, name: str, *, max_message_bytes: int
) -> None:
    headers: list[Header] = await upstream.recv_headers()  # type: ignore[assignment]  # bytes, see raw_h2_configuration
    status = dict(headers).get(b":status")
    if status != b"200":
        message = (
            f"{name} answered with HTTP status {(status or b'none').decode('ascii', 'replace')}"
        )
        if status in _TEMPORARY_HTTP_STATUSES:
            raise UpstreamUnavailableError(message)
        raise UpstreamProtocolError(message)
    if any(header[0] == b"grpc-status" for header in headers):
        await call.send_end(downstream_response(headers))
        return
    await call.send_headers(downstream_response(headers))
    await _forward_messages(
        upstream,
        call.client,
        max_message_bytes,
        lambda: UpstreamProtocolError(f"{name} ended its answer within a message"),
    )
    trailers: list[Header] | None = upstream.trailers  # type: ignore[assignment]  # bytes, as above
    if trailers is None:
        raise UpstreamProtocolError(f"{name} ended its answer without a status")
    await call.send_end(downstream_response(trailers))


async def _forward_messages(
    source: Stream,
    sink: Stream,
    max_message_bytes: int,
    truncated: Callable[[], VecguardError],
) -> None:
    try:
        while prefix := await source.recv_data(_PREFIX_BYTES):
            remaining = int.from_bytes(prefix[1:])
            if remaining > max_message_bytes:
                raise MessageTooLargeError(
                    f"a message of {remaining} bytes is over the limit of {max_message_bytes}"
                )
            piece = await source.recv_data(min(remaining, _PIECE_BYTES))
            await sink.send_data(prefix + piece)
            while remaining := remaining - len(piece):
                piece = await source.recv_data(min(remaining, _PIECE_BYTES))
                if not piece:
                    raise truncated()
                await sink.send_data(piece)
    except AssertionError as error:  # how grpclib's buffer says that less came than was asked for
        raise truncated() from error
