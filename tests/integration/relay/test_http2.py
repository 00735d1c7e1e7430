"""What the public port makes of HTTP/2 that no gRPC library sends, and of no HTTP/2 at all."""

import asyncio

import pytest
from h2.errors import ErrorCodes
from h2.events import PingAckReceived, StreamReset

from tests.support.echo_backend import pattern
from tests.support.frame_sequences import frame
from tests.support.raw_http2 import ANSWER, OK, message, raw_client, request_headers, round_trip

TIMEOUT = 10.0


def without(name, *more):
    return [header for header in request_headers() if header[0] != name] + list(more)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b":method", b"GET"), *without(b":method")], b"405"),
        ([(b":method", b"CONNECT"), *without(b":method")], b"405"),
        ([(b":path", b"no/slash"), *without(b":path")], b"400"),
        ([(b":path", b"/a b/C"), *without(b":path")], b"400"),
        ([(b":path", b"/a.B/\xff"), *without(b":path")], b"400"),
        (without(b"content-type"), b"415"),
        (without(b"content-type", (b"content-type", b"text/html")), b"415"),
        (without(b"content-type", (b"content-type", b"application/grpc-web")), b"415"),
        (without(b"content-type", (b"content-type", b"")), b"415"),
    ],
)
async def test_what_is_no_grpc_call_gets_an_http_status(raw_relay, headers, status):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(headers)
        answer, body, _ = await client.response(mine)
        assert answer[0] == (b":status", status)
        assert body == b""
        assert dict(answer)[b"grpc-status"] == b"13"
        await round_trip(client)
    assert raw_relay.gatekeeper.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        without(b":method"),
        without(b":path"),
        without(b":scheme"),
        [(b":path", b""), *without(b":path")],
        request_headers(b"/a.B/C", (b"connection", b"close")),
        request_headers(b"/a.B/C", (b"keep-alive", b"timeout=5")),
        request_headers(b"/a.B/C", (b"proxy-connection", b"close")),
        request_headers(b"/a.B/C", (b"transfer-encoding", b"chunked")),
        request_headers(b"/a.B/C", (b"upgrade", b"h2c")),
        request_headers(b"/a.B/C", (b"te", b"gzip")),
        request_headers(b"/a.B/C", (b"content-length", b"x")),
        request_headers(b"/a.B/C", (b"content-length", b"7")),
    ],
)
async def test_8_1_1_a_malformed_request_is_reset_and_costs_nobody_else_anything(
    raw_relay, raw_backend, headers
):
    async with raw_client(raw_relay.port) as client:
        good = client.request()
        backend, stream_id = await raw_backend.requested()
        mine = client.request(headers, message(b"x"))
        assert (await client.wait_for(StreamReset, mine)).error_code == ErrorCodes.PROTOCOL_ERROR
        assert client.headers(mine) == []
        backend.answer(stream_id)
        assert (await client.response(good))[2] == list(OK)
    assert raw_relay.gatekeeper.seen == [()]


@pytest.mark.parametrize(("size", "verdict"), [(5, None), (6, ErrorCodes.PROTOCOL_ERROR),
                                               (7, ErrorCodes.PROTOCOL_ERROR)])  # fmt: skip
async def test_8_1_1_content_length_is_compared_with_the_data_that_comes_later(
    raw_relay, raw_backend, size, verdict
):
    body = message(bytes(size - 5))
    async with raw_client(raw_relay.port) as client:
        mine = client.request(request_headers(b"/a.B/C", (b"content-length", b"5")), end=False)
        backend, stream_id = await raw_backend.requested()
        client.h2.send_data(mine, body, end_stream=True)
        client.flush()
        if verdict is None:
            backend.answer(stream_id)
            assert (await client.response(mine))[2] == list(OK)
        else:
            assert (await client.wait_for(StreamReset, mine)).error_code == verdict
            await backend.wait_for(StreamReset, stream_id)


@pytest.mark.parametrize("bad", [(b":path", b"/"), (b"Late", b"1"), (b"connection", b"close")])
async def test_8_1_malformed_trailers_of_a_request_are_reset(raw_relay, raw_backend, bad):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"x"), end=False)
        backend, stream_id = await raw_backend.requested()
        client.h2.send_headers(mine, [bad], end_stream=True)
        client.flush()
        assert (await client.wait_for(StreamReset, mine)).error_code == ErrorCodes.PROTOCOL_ERROR
        await backend.wait_for(StreamReset, stream_id)


@pytest.mark.parametrize(
    "content_type", [b"application/grpc", b"application/grpc+proto", b"application/grpc;v=1"]
)
async def test_every_form_of_grpc_s_media_type_is_taken(raw_relay, raw_backend, content_type):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(without(b"content-type", (b"content-type", content_type)))
        backend, stream_id = await raw_backend.requested()
        assert (b"content-type", content_type) in backend.headers(stream_id)
        backend.answer(stream_id)
        assert (await client.response(mine))[2] == list(OK)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /a.B/Unary HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
        bytes(range(256)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    ],
    ids=["GET", "POST", "TLS", "bytes", "preface and bytes"],
)
async def test_a_client_that_speaks_no_http2_is_hung_up_on(raw_relay, said):
    reader, writer = await asyncio.open_connection("127.0.0.1", raw_relay.port)
    try:
        writer.write(said)
        async with asyncio.timeout(TIMEOUT):
            while await reader.read(65536):
                pass
    except ConnectionError:
        pass
    finally:
        writer.close()
    assert not raw_relay.listener._reception.tasks


async def test_a_protocol_error_is_answered_by_a_goaway_that_says_so(raw_relay):
    reader, writer = await asyncio.open_connection("127.0.0.1", raw_relay.port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(0, 0, 0, b"x"))
    async with asyncio.timeout(TIMEOUT):
        said = await reader.read()
    writer.close()
    assert frame(7, 0, 0, (0).to_bytes(4) + (1).to_bytes(4)) in said


async def test_unknown_frame_types_are_ignored(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        client.send_raw(frame(0xEE, 0xFF, 0, b"whatever"))
        mine = client.request(body=message(b"hello")[:4], end=False)
        client.send_raw(frame(0xEE, 0, mine, b"whatever"))
        client.h2.send_data(mine, message(b"hello")[4:], end_stream=True)
        client.flush()
        backend, stream_id = await raw_backend.requested()
        await backend.until(lambda: backend.body(stream_id) == message(b"hello"))
        backend.send_raw(frame(0xEE, 0, stream_id, b"whatever"))
        backend.answer(stream_id, message(b"x"))
        assert (await client.response(mine))[1] == message(b"x")


async def test_pings_are_answered(raw_relay):
    async with raw_client(raw_relay.port) as client:
        client.h2.ping(b"abcdefgh")
        client.flush()
        assert (await client.wait_for(PingAckReceived)).ping_data == b"abcdefgh"


async def test_empty_data_frames_inside_a_message_change_nothing(raw_relay, raw_backend):
    whole = message(b"hello")
    async with raw_client(raw_relay.port) as client:
        mine = client.request(end=False)
        for byte in whole:
            client.send_raw(frame(0, 0, mine))
            client.h2.send_data(mine, bytes([byte]))
            client.flush()
        client.send_raw(frame(0, 0, mine))
        client.h2.end_stream(mine)
        client.flush()
        backend, stream_id = await raw_backend.requested()
        await backend.until(lambda: backend.body(stream_id) == whole)
        backend.h2.send_headers(stream_id, list(ANSWER))
        for byte in whole:
            backend.h2.send_data(stream_id, b"")
            backend.h2.send_data(stream_id, bytes([byte]))
        backend.h2.send_data(stream_id, b"")
        backend.h2.send_headers(stream_id, list(OK), end_stream=True)
        backend.flush()
        assert await client.response(mine) == (list(ANSWER), whole, list(OK))


async def test_an_empty_data_frame_may_end_the_request(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"x"), end=False)
        client.h2.send_data(mine, b"", end_stream=True)
        client.flush()
        backend, stream_id = await raw_backend.requested()
        await backend.until(lambda: backend.body(stream_id) == message(b"x"))
        backend.answer(stream_id)
        assert (await client.response(mine))[2] == list(OK)


async def test_padding_is_no_data_and_costs_no_window_for_ever(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(end=False)
        backend, stream_id = await raw_backend.requested()
        # More padding than the stream's window has room for, with nothing inside.
        for _ in range(6000):
            while client.h2.local_flow_control_window(mine) < 256:
                await round_trip(client)
            client.h2.send_data(mine, b"", pad_length=255)
            client.flush()
        whole = message(b"hello")
        for byte in whole:
            client.h2.send_data(mine, bytes([byte]), pad_length=200)
        client.h2.end_stream(mine)
        client.flush()
        await backend.until(lambda: backend.body(stream_id) == whole)
        backend.h2.send_headers(stream_id, list(ANSWER))
        for byte in whole:
            backend.h2.send_data(stream_id, bytes([byte]), pad_length=255)
        backend.h2.send_headers(stream_id, list(OK), end_stream=True)
        backend.flush()
        assert (await client.response(mine))[1] == whole


async def test_a_message_in_one_byte_pieces_arrives(raw_relay, raw_backend):
    whole = message(pattern(2000))
    async with raw_client(raw_relay.port) as client:
        mine = client.request(end=False)
        for byte in whole:
            client.h2.send_data(mine, bytes([byte]))
            client.flush()
        client.h2.end_stream(mine)
        client.flush()
        backend, stream_id = await raw_backend.requested()
        await backend.until(lambda: backend.body(stream_id) == whole)
        backend.answer(stream_id, whole)
        assert (await client.response(mine))[1] == whole


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 9])
async def test_a_request_that_ends_within_a_message_is_an_error(raw_relay, cut):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"hello")[:cut])
        headers, _, _ = await client.response(mine)
    assert dict(headers)[b"grpc-status"] == b"13"
    assert dict(headers)[b"grpc-message"] == b"the request ends in the middle of a message"


async def test_trailers_of_a_request_end_it(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"x"), end=False)
        client.h2.send_headers(mine, [(b"trailing", b"1")], end_stream=True)
        client.flush()
        backend, stream_id = await raw_backend.requested()
        await backend.until(lambda: backend.body(stream_id) == message(b"x"))
        backend.answer(stream_id)
        assert (await client.response(mine))[2] == list(OK)


async def test_informational_answers_are_passed_over(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, [(b":status", b"103")])
        backend.answer(stream_id, message(b"x"))
        assert await client.response(mine) == (list(ANSWER), message(b"x"), list(OK))


async def test_a_client_s_goaway_lets_its_open_calls_finish(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        client.send_raw(frame(7, 0, 0, bytes(8)))
        await asyncio.sleep(0)
        backend.answer(stream_id, message(b"x"))
        assert (await client.response(mine))[1] == message(b"x")
        await client.wait_closed()


async def test_a_message_as_it_is_compressed_is_passed_on_by_its_length_alone(
    raw_relay, raw_backend
):
    body = message(b"\xde\xad", flag=1) + message(b"", flag=1) + message(b"z", flag=0xFF)
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=body)
        backend, stream_id = await raw_backend.requested()
        await backend.until(lambda: backend.body(stream_id) == body)
        backend.answer(stream_id, body)
        assert (await client.response(mine))[1] == body
