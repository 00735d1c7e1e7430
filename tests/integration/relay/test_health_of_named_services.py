"""grpc.health.v1 with the name of a service: the backend is asked."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest

from tests.support.echo_backend import echo_backend
from tests.support.own_services import own_services
from tests.support.raw_http2 import message, raw_client, request_headers
from tests.support.relay import channel
from vecguard.generated.grpc.health import v1 as pb

TIMEOUT = 10.0
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
STATUS = pb.HealthCheckResponseServingStatus
KNOWN = bytes(pb.HealthCheckRequest(service="arrow.flight.protocol.FlightService"))
UNKNOWN = bytes(pb.HealthCheckRequest(service="x"))


def answer(status):
    return bytes(pb.HealthCheckResponse(status=status))


@dataclass
class HealthBackend(grpc.GenericRpcHandler):
    """Knows one service, which is not serving at first, as the proxy itself is."""

    metadata: list[dict] = field(default_factory=list)
    remaining: list[float | None] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def service(self, details):
        return {
            CHECK: grpc.unary_unary_rpc_method_handler(self.check),
            WATCH: grpc.unary_stream_rpc_method_handler(self.watch),
        }.get(details.method)

    async def check(self, request, context):
        self.metadata.append(dict(context.invocation_metadata()))
        self.remaining.append(context.time_remaining())
        if request != KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return answer(STATUS.NOT_SERVING)

    async def watch(self, request, context):
        try:
            yield answer(STATUS.NOT_SERVING)
            await self.changed.wait()
            yield answer(STATUS.SERVING)
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@asynccontextmanager
async def health_backend():
    backend = HealthBackend()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((backend,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield backend, port
    finally:
        await server.stop(None)


@pytest.fixture
async def backend():
    async with health_backend() as (running, port), own_services(port) as relay:
        running.relay = relay
        yield running


@pytest.fixture
async def client(backend):
    async with channel(backend.relay.target) as opened:
        yield opened


async def code_of(client, request, **more):
    call = client.unary_unary(CHECK)(request, timeout=TIMEOUT, **more)
    return await call.code(), await call.details()


async def test_the_backend_answers_for_its_services(backend, client):
    check = client.unary_unary(CHECK)
    secret = (("authorization", "c2VjcmV0OnNlY3JldA=="), ("k", "v"))
    assert await check(KNOWN, timeout=TIMEOUT, metadata=secret) == answer(STATUS.NOT_SERVING)
    assert await code_of(client, UNKNOWN) == (
        grpc.StatusCode.NOT_FOUND,
        "no such service here",
    )
    [seen, _] = backend.metadata
    assert seen["x-vecguard-user"] == "alice"
    assert seen["k"] == "v"
    assert not {"authorization", "x-vecguard-peer"} & set(seen)
    assert 0 < backend.remaining[0] <= TIMEOUT


@pytest.mark.parametrize("request_bytes", [b"", b"\x0a\x00"], ids=["nothing", "an empty name"])
async def test_the_empty_name_is_the_proxy_itself(backend, client, request_bytes):
    check = client.unary_unary(CHECK)
    assert await check(request_bytes, timeout=TIMEOUT) == answer(STATUS.SERVING)
    assert backend.metadata == []


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_a_name_is_found_in_a_compressed_request(backend, client, algorithm):
    padded = KNOWN + b"\x7a\xc8\x01" + b"x" * 200
    assert (await code_of(client, padded, compression=algorithm))[0] is grpc.StatusCode.NOT_FOUND
    assert len(backend.metadata) == 1


async def test_a_name_that_comes_in_pieces_is_waited_for(backend):
    async with raw_client(backend.relay.port) as client:
        mine = client.request(request_headers(CHECK.encode()), end=False)
        for octet in message(KNOWN):
            client.h2.send_data(mine, bytes((octet,)))
            client.flush()
            await asyncio.sleep(0)
        client.h2.end_stream(mine)
        client.flush()
        _, body, trailers = await client.response(mine)
    assert body == message(answer(STATUS.NOT_SERVING))
    assert dict(trailers)[b"grpc-status"] == b"0"


async def test_a_watch_goes_on_between_client_and_backend(backend, client):
    watch = client.unary_stream(WATCH)(KNOWN, timeout=TIMEOUT)
    assert await watch.read() == answer(STATUS.NOT_SERVING)
    backend.changed.set()
    assert await watch.read() == answer(STATUS.SERVING)
    watch.cancel()
    async with asyncio.timeout(TIMEOUT):
        await backend.cancelled.wait()


async def test_a_backend_without_a_health_service_says_so():
    async with (
        echo_backend() as backend,
        own_services(backend.port) as relay,
        channel(relay.target) as client,
    ):
        assert (await code_of(client, KNOWN))[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_a_backend_that_is_away_says_nothing_about_the_proxy():
    async with own_services(1) as relay, channel(relay.target) as client:
        assert (await code_of(client, KNOWN))[0] is grpc.StatusCode.UNAVAILABLE
        assert (await code_of(client, b""))[0] is grpc.StatusCode.OK


async def test_a_name_that_is_too_long_is_refused(backend, client):
    long = bytes(pb.HealthCheckRequest(service="x" * 1024))
    assert (await code_of(client, long))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert backend.metadata == []
