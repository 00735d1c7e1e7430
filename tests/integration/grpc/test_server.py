"""Our gRPC server, under real clients: grpcio, our own channel, raw HTTP/2."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated

from tests.support.raw_http2 import message, raw_client, request_headers, round_trip
from tests.support.relay import channel
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.errors import OverloadedError, VecguardError
from vecguard.generated.grpc.health import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.server import GrpcServer, current_caller
from vecguard.listening import listening_sockets

TIMEOUT = 10.0
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
SERVING = pb.HealthCheckResponse(status=pb.HealthCheckResponseServingStatus.SERVING)


class Service(pb.HealthBase):
    """Does what the test says."""

    def __init__(self):
        self.behaviour = self.answer
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.callers = []

    async def answer(self):
        return SERVING

    async def check(self, health_check_request):
        self.callers.append(current_caller())
        self.started.set()
        return await self.behaviour()

    async def watch(self, health_check_request):
        self.started.set()
        try:
            yield SERVING
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def wait_for_the_gate(self):
        await self.gate.wait()
        return SERVING

    async def wait_for_ever(self):
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    def fail(self, error):
        async def behaviour():
            raise error

        self.behaviour = behaviour


class Running:
    def __init__(self, server, service, port):
        self.server, self.service, self.port = server, service, port
        self.target = f"127.0.0.1:{port}"

    async def idle(self):
        async def nothing_is_open() -> bool:
            return not self.server._running() and not any(
                protocol.processor.streams for protocol in self.server._protocols
            )

        await eventually(nothing_is_open)


@asynccontextmanager
async def serving():
    service = Service()
    server = GrpcServer([service])
    sockets = listening_sockets(Address("127.0.0.1", 0), settings="the test's", backlog=100)
    port = sockets[0].getsockname()[1]
    server.listen(sockets)
    try:
        yield Running(server, service, port)
    finally:
        await server.drain(0.0)
        assert not server._protocols
        assert not server._running()


@pytest.fixture
async def running():
    async with serving() as server:
        yield server


@pytest.fixture
async def client(running):
    async with channel(running.target) as opened:
        yield opened


async def started(running):
    async with asyncio.timeout(TIMEOUT):
        await running.service.started.wait()


async def outcome(client, **arguments):
    try:
        await client.unary_unary(CHECK)(b"", timeout=TIMEOUT, **arguments)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


async def test_our_errors_become_their_status(running, client):
    running.service.fail(OverloadedError("too much: 100 % ü"))
    assert await outcome(client) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too much: 100 % ü")
    running.service.fail(VecguardError("plain"))
    assert await outcome(client) == (grpc.StatusCode.INTERNAL, "plain")


async def test_how_long_to_wait_is_told_in_the_trailers(running, client):
    running.service.fail(OverloadedError("too much: ü", retry_after_seconds=1.2345))
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await client.unary_unary(CHECK)(b"", timeout=TIMEOUT)
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.value.details() == "too much: ü"
    assert ("grpc-retry-pushback-ms", "1235") in tuple(refusal.value.trailing_metadata())


async def test_a_grpc_error_passes_as_it_is(running, client):
    running.service.fail(GRPCError(Status.ABORTED, "as it is"))
    assert await outcome(client) == (grpc.StatusCode.ABORTED, "as it is")


async def test_an_unexpected_error_is_hidden(running, client):
    running.service.fail(RuntimeError("password=hunter2"))
    assert await outcome(client) == (
        grpc.StatusCode.INTERNAL,
        "internal error; the server's log has the details",
    )


async def test_a_handler_knows_its_caller(running, client):
    await outcome(client, metadata=(("k", "v"), ("b-bin", b"\x00\xff")))
    caller = running.service.callers[0]
    assert caller.peer.startswith("127.0.0.1:")
    assert caller.metadata["k"] == "v"
    assert caller.metadata["b-bin"] == b"\x00\xff"
    with pytest.raises(LookupError):
        current_caller()


async def test_a_foreign_byte_in_a_header_harms_nobody(running, client):
    running.service.behaviour = running.service.wait_for_the_gate
    async with raw_client(running.port) as raw:
        good = raw.request(request_headers(CHECK.encode()), message(b""))
        await started(running)
        odd = raw.request(request_headers(CHECK.encode(), (b"k", b"caf\xe9 \xff")), message(b""))
        raw.request(request_headers(b"/grpc.health.v1.Health/\xff"), message(b""))
        await round_trip(raw)
        running.service.gate.set()
        for stream_id in (good, odd):
            _, body, trailers = await raw.response(stream_id)
            assert body == message(b"\x08\x01")
            assert dict(trailers)[b"grpc-status"] == b"0"


@pytest.mark.parametrize("value", [b"A", b"AAAAA", b"\xff"])
async def test_malformed_binary_metadata_is_answered(running, value):
    async with raw_client(running.port) as raw:
        mine = raw.request(request_headers(CHECK.encode(), (b"k-bin", value)), message(b""))
        headers, _, _ = await raw.response(mine)
    assert dict(headers)[b"grpc-status"] == b"13"
    await running.idle()


async def test_a_reset_in_the_same_packet_as_the_request_leaves_nothing(running):
    running.service.behaviour = running.service.wait_for_ever
    async with raw_client(running.port) as raw:
        for _ in range(50):
            stream_id = raw.h2.get_next_available_stream_id()
            raw.h2.send_headers(stream_id, request_headers(CHECK.encode()))
            raw.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
        raw.flush()
        await round_trip(raw)
        await running.idle()


async def test_a_client_s_cancellation_reaches_the_handler(running, client):
    call = client.unary_stream(WATCH)(b"", timeout=TIMEOUT)
    await call.read()
    call.cancel()
    async with asyncio.timeout(TIMEOUT / 2):
        await running.service.cancelled.wait()
    await running.idle()


async def test_more_than_a_hundred_streams_may_be_open_on_one_connection(running, client):
    watches = [client.unary_stream(WATCH)(b"", timeout=TIMEOUT) for _ in range(150)]
    for watch in watches:
        await watch.read()
    assert (await outcome(client))[0] is grpc.StatusCode.OK
    assert len(running.server._protocols) == 1
    for watch in watches:
        watch.cancel()
    await running.idle()


# Draining.


async def test_a_drain_lets_calls_finish_and_refuses_new_connections(running, client):
    running.service.behaviour = running.service.wait_for_the_gate
    call = client.unary_unary(CHECK)(b"", timeout=TIMEOUT)
    waiting = asyncio.ensure_future(call.code())
    await started(running)
    draining = asyncio.create_task(running.server.drain(TIMEOUT))

    async def new_connections_are_refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        except OSError:
            return True
        writer.close()
        return False

    await eventually(new_connections_are_refused)
    assert not draining.done()
    running.service.gate.set()
    assert await waiting is grpc.StatusCode.OK
    async with asyncio.timeout(TIMEOUT):
        await draining


async def test_a_drain_tells_the_clients(running):
    running.service.behaviour = running.service.wait_for_the_gate
    async with raw_client(running.port) as raw:
        mine = raw.request(request_headers(CHECK.encode()), message(b""))
        await started(running)
        draining = asyncio.create_task(running.server.drain(TIMEOUT))
        told = await raw.wait_for(ConnectionTerminated)
        assert (told.error_code, told.last_stream_id) == (0, 2**31 - 1)
        running.service.gate.set()
        assert (await raw.response(mine))[1] == message(b"\x08\x01")
        await draining


async def test_a_drain_cancels_what_is_over_its_timeout(running, client):
    call = client.unary_stream(WATCH)(b"", timeout=TIMEOUT)
    await call.read()
    async with asyncio.timeout(TIMEOUT):
        await running.server.drain(0.1)
    assert running.service.cancelled.is_set()
    assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_message_in_pieces_and_padding_is_read(running):
    async with raw_client(running.port) as raw:
        mine = raw.request(request_headers(CHECK.encode()), end=False)
        for byte in message(b"\x0a\x01x"):
            raw.h2.send_data(mine, b"", pad_length=10)
            raw.h2.send_data(mine, bytes([byte]), pad_length=10)
        raw.h2.end_stream(mine)
        raw.flush()
        _, body, trailers = await raw.response(mine)
    assert body == message(b"\x08\x01")
    assert dict(trailers)[b"grpc-status"] == b"0"


async def test_a_frame_that_is_too_long_is_refused_before_it_has_come(running):
    async with raw_client(running.port) as raw:
        raw.send_raw(b"\xff\xff\xff\x00\0\0\0\0\x01")
        await raw.wait_closed()
    assert any(
        isinstance(event, ConnectionTerminated) and event.error_code == ErrorCodes.FRAME_SIZE_ERROR
        for event in raw.events
    )


async def test_our_own_channel_talks_to_our_own_server(running):
    async with Channel(Address("127.0.0.1", running.port)) as own:
        stub = pb.HealthStub(own)
        assert await stub.check(pb.HealthCheckRequest(), timeout=TIMEOUT) == SERVING
        watch = stub.watch(pb.HealthCheckRequest(), timeout=TIMEOUT)
        assert await anext(watch) == SERVING
        await watch.aclose()
    await running.idle()
