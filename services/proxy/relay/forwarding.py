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

from services.proxy.relay.call import Call, unexpected_error
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
    is_grpc,
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

    def ended(code: int | None) -> None:
        # A server that has answered completely may stop the request's body by a reset
        # (RFC 9113, section 8.1) or close the connection; the answer counts.
        if not watcher.complete:
            call.end(upstream_error(upstream.name, code))

    watcher = StreamWatcher(ended)
    opened = await upstream.open(
        upstream_request(
            head,
            upstream.policy,
            scheme=upstream.scheme,
            authority=upstream.authority,
            identity=identity,
            remaining_seconds=call.remaining_seconds(),
        ),
        watcher,
    )
    stream = opened.stream
    request = asyncio.create_task(
        _forward_request(call, stream, max_message_bytes=max_message_bytes)
    )
    try:
        await _forward_response(call, stream, upstream.name, max_message_bytes=max_message_bytes)
    finally:
        # The wait comes last: whatever ends the call may break it off.
        request.cancel()
        if stream.closable:
            stream.reset_nowait(ErrorCodes.CANCEL)
        opened.release()
        await asyncio.wait((request,))


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
    except Exception:  # noqa: BLE001 - logged and told; nobody else looks at this task
        call.end(unexpected_error())


async def _forward_response(
    call: Call, upstream: Stream, name: str, *, max_message_bytes: int
) -> None:
    headers: list[Header] = await upstream.recv_headers()  # type: ignore[assignment]  # bytes, see raw_h2_configuration
    _require_grpc(headers, name)
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


def _require_grpc(headers: Sequence[Header], name: str) -> None:
    fields = dict(headers)
    status = fields.get(b":status", b"none")
    if status != b"200":
        message = f"{name} answered with HTTP status {status.decode('ascii', 'replace')}"
        if status in _TEMPORARY_HTTP_STATUSES:
            raise UpstreamUnavailableError(message)
        raise UpstreamProtocolError(message)
    content_type = fields.get(b"content-type")
    if content_type is not None and not is_grpc(content_type):
        raise UpstreamProtocolError(
            f"{name} answered with {content_type.decode('ascii', 'replace')}, which is no gRPC"
        )


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
