"""Requests that RFC 9113, section 8, calls malformed: none of them reaches a backend.

Each is answered by an error or a reset of its stream, and the connection goes on.
"""

import asyncio

import pytest
import structlog
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamEnded, StreamReset

from tests.support.raw_http2 import (
    DEADLINE_SECONDS,
    OK,
    message,
    raw_client,
    request_headers,
    round_trip,
)

REQUEST = request_headers()
METHOD, SCHEME, PATH, AUTHORITY = REQUEST[:4]
REST = REQUEST[4:]


def without(*names):
    return [header for header in REQUEST if header[0] not in names]


MALFORMED = {
    "8.2.1 a capital letter in a name": [*REQUEST, (b"Name", b"v")],
    "8.2.1 a control character in a name": [*REQUEST, (b"na\x01me", b"v")],
    "8.2.1 a line break in a value": [*REQUEST, (b"name", b"v\r\nw")],
    "8.2.1 a zero byte in a value": [*REQUEST, (b"name", b"v\0w")],
    "8.2.1 an escape in a value": [*REQUEST, (b"name", b"v\x1bw")],
    "8.2.2 connection": [*REQUEST, (b"connection", b"close")],
    "8.2.2 keep-alive": [*REQUEST, (b"keep-alive", b"timeout=5")],
    "8.2.2 proxy-connection": [*REQUEST, (b"proxy-connection", b"x")],
    "8.2.2 transfer-encoding": [*REQUEST, (b"transfer-encoding", b"chunked")],
    "8.2.2 upgrade": [*REQUEST, (b"upgrade", b"h2c")],
    "8.2.2 te of anything but trailers": [*without(b"te"), (b"te", b"gzip")],
    "8.3 an unknown pseudo-header": [METHOD, (b":what", b"x"), SCHEME, PATH, AUTHORITY, *REST],
    "8.3 a pseudo-header of answers": [(b":status", b"200"), *REQUEST],
    "8.3 a pseudo-header after a field": [METHOD, SCHEME, AUTHORITY, *REST, PATH],
    "8.3.1 no :method": without(b":method"),
    "8.3.1 no :scheme": without(b":scheme"),
    "8.3.1 no :path": without(b":path"),
    "8.3.1 an empty :path": [METHOD, SCHEME, (b":path", b""), AUTHORITY, *REST],
    "8.3.1 two :method": [METHOD, *REQUEST],
    "8.3.1 two :scheme": [METHOD, SCHEME, SCHEME, PATH, AUTHORITY, *REST],
    "8.3.1 two :path": [METHOD, SCHEME, PATH, PATH, AUTHORITY, *REST],
}


async def over(client, stream_id):
    """The HTTP status of a stream that has ended; None when it was reset without one."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        await client.until(
            lambda: any(
                isinstance(event, StreamEnded | StreamReset) and event.stream_id == stream_id
                for event in client.events
            )
        )
    return dict(client.headers(stream_id)).get(b":status")


@pytest.mark.parametrize("headers", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_request_reaches_no_backend(raw_relay, raw_backend, headers):
    async with raw_client(raw_relay.port) as client:
        assert await over(client, client.request(headers)) in {None, b"400", b"405"}
        good = client.request(body=message(b"x"))
        backend, stream_id = await raw_backend.requested()
        backend.answer(stream_id)
        assert (await client.response(good))[2] == list(OK)
        seen = [event for event in backend.events if isinstance(event, RequestReceived)]
        assert [event.stream_id for event in seen] == [stream_id]
        await raw_relay.idle()


LENGTHS = pytest.mark.parametrize("length", [b"1", b"7", b"x", b"-1"])


@LENGTHS
async def test_8_1_1_a_content_length_that_is_wrong_ends_the_call(raw_relay, raw_backend, length):
    async with raw_client(raw_relay.port) as client:
        mine = client.request([*REQUEST, (b"content-length", length)], message(b""))
        await round_trip(client)
        assert any(
            isinstance(event, StreamEnded | StreamReset) and event.stream_id == mine
            for event in client.events
        )


TRAILERS = {
    "8.1 a pseudo-header in trailers": [(b":path", b"/")],
    "8.2.1 a capital letter in trailers": [(b"Late", b"1")],
    "8.2.2 a connection's header in trailers": [(b"connection", b"close")],
}


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS)
async def test_malformed_trailers_of_a_request_end_the_call(raw_relay, raw_backend, trailers):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"x"), end=False)
        backend, stream_id = await raw_backend.requested()
        client.h2.send_headers(mine, trailers, end_stream=True)
        client.flush()
        assert await over(client, mine) in {None, b"200", b"400"}
        reset = await backend.wait_for(StreamReset, stream_id)
        assert reset.error_code == ErrorCodes.CANCEL
        assert backend.trailers(stream_id) == []
        await raw_relay.idle()


async def test_connections_that_break_the_protocol_fill_no_log(raw_relay):
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            reader, writer = await asyncio.open_connection("127.0.0.1", raw_relay.port)
            writer.write(b"\x16\x03\x01" + bytes(60))
            assert await reader.read(), "a GOAWAY"
            writer.close()
    assert len(lines) <= 20
