"""The same calls by other stacks: grpclib on either side, Envoy on either side."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import grpc.aio
import pytest
from grpclib.client import Channel
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server
from h2.errors import ErrorCodes

from tests.support.echo_backend import pattern
from tests.support.programs import envoy_to
from tests.support.raw_http2 import message, raw_client, request_headers
from tests.support.relay import channel, relaying
from tests.support.waiting import eventually

TIMEOUT = 20.0
UNARY = Cardinality.UNARY_UNARY
LARGE = 2**24


class Bytes(CodecBase):
    """Messages are bytes."""

    __content_subtype__ = "proto"

    def encode(self, message, message_type):
        return message

    def decode(self, data, message_type):
        return data


async def every_kind_of_call(client, backend):
    """Asserts what must be true between any two peers, for a grpcio client."""
    unary = client.unary_unary("/a.B/Unary")(b"hello", timeout=TIMEOUT)
    assert await unary == b"hello"
    assert ("late-bin", b"\xfe\x00") in tuple(await unary.trailing_metadata())
    down = client.unary_stream("/a.B/ServerStream")(b"300", timeout=TIMEOUT)
    assert [int(each) async for each in down] == list(range(300))
    up = client.stream_unary("/a.B/ClientStream")
    assert await up(iter([b"a", b"b", b"c"]), timeout=TIMEOUT) == b"a,b,c"
    both = client.stream_stream("/a.B/Bidi")(timeout=TIMEOUT)
    for number in range(20):
        await both.write(str(number).encode())
        assert await both.read() == str(number).encode()
    await both.done_writing()
    assert await both.code() is grpc.StatusCode.OK
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.unary_unary("/a.B/Fail")(b"NOT_FOUND", timeout=TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "so geht es nicht: 100 % ü"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.unary_unary("/a.B/Silent")(b"", timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    body = pattern(LARGE)
    assert await client.unary_unary("/a.B/Unary")(body, timeout=TIMEOUT) == body
    before = len(backend.calls)
    call = client.unary_stream("/a.B/Open")(b"1", timeout=TIMEOUT)
    assert await call.read() == b"1"
    call.cancel()
    seen = await backend.call_number(before)
    async with asyncio.timeout(TIMEOUT):
        await seen.over.wait()
    assert seen.ended == "cancelled"
    echo = client.unary_unary("/a.B/Unary")
    sent = [str(number).encode() for number in range(100)]
    assert await asyncio.gather(*(echo(each, timeout=TIMEOUT) for each in sent)) == sent


async def test_grpcio_on_both_sides(client, backend, relay):
    await every_kind_of_call(client, backend)
    await relay.idle()


async def test_envoy_in_front_of_us(relay, backend):
    async with envoy_to(relay.port) as port, channel(f"127.0.0.1:{port}") as client:
        await every_kind_of_call(client, backend)
        await relay.idle()


async def test_envoy_behind_us(backend):
    async with (
        envoy_to(backend.port) as port,
        relaying(port) as relay,
        channel(relay.target) as client,
    ):
        await every_kind_of_call(client, backend)
        await relay.idle()


# What Envoy ends the connection for, and what ends a grpcio server's loop.
HARMFUL = [
    *(request_headers(b"/a.B/Unary", (b"k", bytes((octet,)))) for octet in (*range(32), 127)),
    *(request_headers(path) for path in (b"/a b/Unary", b"/a.B/\x01", b"/a.B/\x7f", b"/a.B/\xff")),
    request_headers(b"/a.B/Unary", *((b"k%d" % number, b"v") for number in range(300))),
    request_headers(b"/a.B/Unary", (b"k", b"v" * 60_000)),
    request_headers(b"/a.B/Unary", (b"k-bin", b"!")),
]


@pytest.mark.parametrize("through_envoy", [True, False])
async def test_no_client_s_headers_end_the_connection_that_others_share(backend, through_envoy):
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(envoy_to(backend.port)) if through_envoy else None
        relay = await stack.enter_async_context(relaying(port or backend.port))
        honest = await stack.enter_async_context(channel(relay.target))
        call = honest.stream_stream("/a.B/Bidi")(timeout=TIMEOUT)
        await call.write(b"before")
        assert await call.read() == b"before"
        hostile = await stack.enter_async_context(raw_client(relay.port))
        for headers in HARMFUL:
            await hostile.response(hostile.request(headers, message(b"x")))
        await call.write(b"after")
        assert await call.read() == b"after"
        assert await honest.unary_unary("/a.B/Unary")(b"new", timeout=TIMEOUT) == b"new"
        assert len(relay.upstream.links) == 1
        assert relay.upstream.pool.connects["ok"] == 1


async def test_a_client_that_cancels_costs_no_other_call_behind_envoy(backend):
    async with (
        envoy_to(backend.port) as port,
        relaying(port) as relay,
        channel(relay.target) as honest,
        raw_client(relay.port) as client,
    ):
        call = honest.stream_stream("/a.B/Bidi")(timeout=TIMEOUT)
        await call.write(b"before")
        assert await call.read() == b"before"
        for round_number in range(20):
            calls = [
                client.request(request_headers(b"/a.B/Silent"), message(b"x")) for _ in range(30)
            ]
            await backend.call_number(30 * (round_number + 1))
            for cancelled in calls:
                client.h2.reset_stream(cancelled, ErrorCodes.CANCEL)
            client.flush()
        await call.write(b"after")
        assert await call.read() == b"after"


async def test_envoy_behind_us_that_lost_its_server_says_so_in_its_own_words(backend):
    async with (
        envoy_to(backend.port) as port,
        relaying(port) as relay,
        channel(relay.target) as client,
    ):
        await client.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT)
        await backend.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await relay.idle()


async def test_a_drain_lets_envoy_s_calls_finish(relay, backend):
    async with envoy_to(relay.port) as port, channel(f"127.0.0.1:{port}") as client:
        call = client.unary_unary("/a.B/Gated")(b"x", timeout=TIMEOUT)
        waiting = asyncio.ensure_future(call.code())
        await backend.call_number(0)
        draining = asyncio.create_task(relay.listener.drain(TIMEOUT))
        backend.gate.set()
        assert await waiting is grpc.StatusCode.OK
        async with asyncio.timeout(TIMEOUT):
            await draining


async def test_grpclib_in_front_of_us(relay, backend):
    async with Channel("127.0.0.1", relay.port, codec=Bytes()) as client:

        def request(name, cardinality=Cardinality.UNARY_UNARY, **more):
            return client.request(
                f"/a.B/{name}", cardinality, bytes, bytes, timeout=TIMEOUT, **more
            )

        async with request("Unary") as stream:
            await stream.send_message(pattern(LARGE), end=True)
            assert await stream.recv_message() == pattern(LARGE)
            await stream.recv_trailing_metadata()
            assert stream.trailing_metadata.getall("late") == ["1", "2"]
        async with request("Bidi", Cardinality.STREAM_STREAM) as stream:
            for number in range(20):
                await stream.send_message(str(number).encode())
                assert await stream.recv_message() == str(number).encode()
            await stream.end()
            assert await stream.recv_message() is None

        async def fail():
            async with request("Fail") as stream:
                await stream.send_message(b"NOT_FOUND", end=True)
                await stream.recv_message()

        with pytest.raises(GRPCError) as caught:
            await fail()
        assert caught.value.status is Status.NOT_FOUND
        before = len(backend.calls)
        async with request("Open", Cardinality.UNARY_STREAM) as stream:
            await stream.send_message(b"1", end=True)
            assert await stream.recv_message() == b"1"
            await stream.cancel()
        seen = await backend.call_number(before)
        async with asyncio.timeout(TIMEOUT):
            await seen.over.wait()
        assert seen.ended == "cancelled"

        async def one(number):
            async with request("Unary") as stream:
                await stream.send_message(str(number).encode(), end=True)
                return int(await stream.recv_message())

        assert await asyncio.gather(*map(one, range(100))) == list(range(100))
    await relay.idle()


class Echo:
    """A grpclib service of the same methods."""

    def __init__(self):
        self.cancelled = 0

    async def unary(self, stream):
        await stream.send_message(await stream.recv_message())

    async def bidi(self, stream):
        async for each in stream:
            await stream.send_message(each)

    async def fail(self, stream):
        await stream.recv_message()
        raise GRPCError(Status.NOT_FOUND, "so geht es nicht: 100 % ü")

    async def open(self, stream):
        try:
            await stream.send_message(await stream.recv_message())
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def __mapping__(self):
        return {
            "/a.B/Unary": Handler(self.unary, Cardinality.UNARY_UNARY, bytes, bytes),
            "/a.B/Bidi": Handler(self.bidi, Cardinality.STREAM_STREAM, bytes, bytes),
            "/a.B/Fail": Handler(self.fail, Cardinality.UNARY_UNARY, bytes, bytes),
            "/a.B/Open": Handler(self.open, Cardinality.UNARY_STREAM, bytes, bytes),
        }


@asynccontextmanager
async def grpclib_backend():
    service = Echo()
    server = Server([service], codec=Bytes())
    await server.start("127.0.0.1", 0)
    try:
        yield service, server._server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_grpclib_behind_us():
    async with (
        grpclib_backend() as (service, port),
        relaying(port) as relay,
        channel(relay.target) as client,
    ):
        body = pattern(LARGE)
        assert await client.unary_unary("/a.B/Unary")(body, timeout=TIMEOUT) == body
        both = client.stream_stream("/a.B/Bidi")(timeout=TIMEOUT)
        for number in range(20):
            await both.write(str(number).encode())
            assert await both.read() == str(number).encode()
        await both.done_writing()
        assert await both.code() is grpc.StatusCode.OK
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary_unary("/a.B/Fail")(b"", timeout=TIMEOUT)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        call = client.unary_stream("/a.B/Open")(b"1", timeout=TIMEOUT)
        assert await call.read() == b"1"
        call.cancel()

        async def it_was_cancelled():
            return service.cancelled == 1

        await eventually(it_was_cancelled, TIMEOUT)
        echo = client.unary_unary("/a.B/Unary")
        sent = [str(number).encode() for number in range(100)]
        assert await asyncio.gather(*(echo(each, timeout=TIMEOUT) for each in sent)) == sent
        await relay.idle()
