"""All four kinds of call, through real grpcio peers."""

import asyncio

import grpc
import grpc.aio
import pytest

from tests.support.echo_backend import pattern
from tests.support.relay import channel, relaying
from tests.support.relay_parts import MAX_MESSAGE_BYTES

SERVICES = ["/milvus.proto.milvus.MilvusService", "/never.heard.Of"]
TIMEOUT = 10.0


@pytest.mark.parametrize("service", SERVICES)
async def test_a_unary_call_brings_back_the_very_bytes(client, service):
    payload = bytes(range(256)) * 10
    assert await client.unary_unary(f"{service}/Unary")(payload, timeout=TIMEOUT) == payload


@pytest.mark.parametrize("service", SERVICES)
async def test_a_server_stream_arrives_in_order(client, service):
    call = client.unary_stream(f"{service}/ServerStream")(b"300", timeout=TIMEOUT)
    assert [int(message) async for message in call] == list(range(300))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_client_stream_arrives_in_order(client, service):
    messages = [str(number).encode() for number in range(300)]
    call = client.stream_unary(f"{service}/ClientStream")
    assert await call(iter(messages), timeout=TIMEOUT) == b",".join(messages)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_bidirectional_stream_answers_each_message_at_once(client, service):
    call = client.stream_stream(f"{service}/Bidi")(timeout=TIMEOUT)
    for number in range(100):
        await call.write(str(number).encode())
        assert await call.read() == str(number).encode()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


def test_a_blocking_client_is_served_too(threaded_relay):
    with grpc.insecure_channel(threaded_relay) as blocking:
        assert blocking.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT) == b"x"
        bidi = blocking.stream_stream("/a.B/Bidi")(iter([b"1", b"2"]), timeout=TIMEOUT)
        assert list(bidi) == [b"1", b"2"]
        streamed = blocking.unary_stream("/a.B/ServerStream")(b"3", timeout=TIMEOUT)
        assert list(streamed) == [b"0", b"1", b"2"]
        joined = blocking.stream_unary("/a.B/ClientStream")(iter([b"1", b"2"]), timeout=TIMEOUT)
        assert joined == b"1,2"


async def test_a_method_that_the_backend_does_not_know_is_the_backend_s_refusal(client):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.unary_unary("/a.B/Nothing")(b"", timeout=TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "Method not found!"


async def test_empty_messages_are_messages(client):
    assert await client.unary_unary("/a.B/Unary")(b"", timeout=TIMEOUT) == b""
    call = client.stream_stream("/a.B/Bidi")(iter([b"", b"", b""]), timeout=TIMEOUT)
    assert [message async for message in call] == [b"", b"", b""]


async def test_streams_without_messages_end_well(client):
    assert await client.stream_unary("/a.B/ClientStream")(iter([]), timeout=TIMEOUT) == b""
    call = client.unary_stream("/a.B/ServerStream")(b"0", timeout=TIMEOUT)
    assert [message async for message in call] == []
    assert await call.code() is grpc.StatusCode.OK
    call = client.stream_stream("/a.B/Bidi")(iter([]), timeout=TIMEOUT)
    assert [message async for message in call] == []
    assert await call.code() is grpc.StatusCode.OK


async def test_an_answer_before_the_end_of_the_request_arrives(client, relay):
    call = client.stream_unary("/a.B/Early")(timeout=TIMEOUT)
    await call.write(b"first")
    assert await call == b"early"
    await relay.idle()


async def test_headers_of_a_bidirectional_stream_come_before_any_message(client):
    call = client.stream_stream("/a.B/Bidi")(timeout=TIMEOUT)
    assert ("early", "1") in tuple(await call.initial_metadata())
    await call.done_writing()
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages_pass_in_both_directions(relay, backend, compression):
    payload = b"much of the same " * 5000
    async with channel(relay.target, compression=compression) as compressing:
        call = compressing.unary_unary("/a.B/Compressed")
        assert await call(payload, timeout=TIMEOUT) == payload
    assert backend.calls[0].received in ([], [payload])


@pytest.mark.parametrize("size", [1, 5, 16_383, 16_384, 65_536, 65_537, 2**20, 5 * 2**20 + 1])
async def test_messages_around_the_sizes_of_frames_and_windows_pass(client, size):
    payload = pattern(size)
    assert await client.unary_unary("/a.B/Unary")(payload, timeout=TIMEOUT) == payload


async def test_an_answer_over_its_limit_is_refused_and_a_larger_request_passes(backend):
    async with (
        relaying(backend.port, answer_bytes=1000) as relay,
        channel(relay.target) as client,
    ):
        assert len(await client.unary_unary("/a.B/Large")(b"1000", timeout=TIMEOUT)) == 1000
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary_unary("/a.B/Large")(b"1001", timeout=TIMEOUT)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == (
            "the answer has a message of 1001 bytes, over the limit of 1000 "
            "(proxy.grpc.serverMaxSendSize)"
        )
        assert await client.unary_unary("/a.B/Count")(bytes(100_000), timeout=TIMEOUT) == b"100000"
        await relay.idle()


async def test_a_request_over_its_limit_is_refused_and_a_larger_answer_passes(backend):
    async with (
        relaying(backend.port, request_bytes=1000) as relay,
        channel(relay.target) as client,
    ):
        assert len(await client.unary_unary("/a.B/Large")(b"100000", timeout=TIMEOUT)) == 100_000
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary_unary("/a.B/Unary")(bytes(1001), timeout=TIMEOUT)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "a message of 1001 bytes is over the limit of 1000"


async def test_a_client_s_message_over_the_limit_is_refused_and_reaches_nobody(client, backend):
    call = client.unary_unary("/a.B/Count")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(bytes(MAX_MESSAGE_BYTES + 1), timeout=60.0)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.details() == (
        f"a message of {MAX_MESSAGE_BYTES + 1} bytes is over the limit of {MAX_MESSAGE_BYTES}"
    )
    assert all(call.ended != "done" for call in backend.calls)


async def test_hundreds_of_calls_share_one_connection(client, relay, backend):
    count = 400
    calls = [
        asyncio.ensure_future(client.unary_unary("/a.B/Gated")(str(n).encode(), timeout=30.0))
        for n in range(count)
    ]
    await backend.call_number(count - 1)
    assert relay.listener.connections == 1
    backend.gate.set()
    assert await asyncio.gather(*calls) == [str(n).encode() for n in range(count)]


async def test_dozens_of_connections_are_served_at_once(relay, backend):
    channels = [channel(relay.target) for _ in range(40)]
    calls = [
        asyncio.ensure_future(opened.unary_unary("/a.B/Gated")(str(number).encode(), timeout=30.0))
        for number, opened in enumerate(channels)
    ]
    await backend.call_number(39)
    assert relay.listener.connections == 40
    backend.gate.set()
    assert await asyncio.gather(*calls) == [str(number).encode() for number in range(40)]
    await asyncio.gather(*(opened.close() for opened in channels))
