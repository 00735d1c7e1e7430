"""Our own services behind the relay, in the same process."""

import asyncio
import socket

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from tests.support.policies import pool_with
from tests.support.raw_http2 import message, raw_client, request_headers
from tests.support.relay import channel, relaying
from vecguard.generated.grpc.health import v1 as pb
from vecguard.grpc.frames import FRAMES_AT_A_TIME
from vecguard.grpc.server import GrpcServer, current_caller
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.upstream import Upstream, in_process

TIMEOUT = 10.0
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
SERVING = pb.HealthCheckResponse(status=pb.HealthCheckResponseServingStatus.SERVING)
ONLY = frozenset((b"content-type", b"dbname"))


class Service(pb.HealthBase):
    def __init__(self):
        self.callers = []
        self.cancelled = asyncio.Event()

    async def check(self, health_check_request):
        self.callers.append(current_caller())
        return SERVING

    async def watch(self, health_check_request):
        try:
            yield SERVING
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@pytest.fixture
def service():
    return Service()


@pytest.fixture
async def upstream(service):
    return Upstream(
        "the service",
        in_process(GrpcServer([service])),
        authority="vecguard",
        policy=HeaderPolicy(only=ONLY, shows_peer=True),
        pool=pool_with(),
    )


@pytest.fixture
async def relay(upstream):
    async with relaying(1, table={b"/grpc.health.v1.Health/*": upstream}) as running:
        yield running
    upstream.close()
    await asyncio.sleep(0)


async def test_a_call_brings_only_what_the_relay_says(relay, service):
    async with channel(relay.target) as client:
        answer = await client.unary_unary(CHECK)(
            b"",
            metadata=(
                ("authorization", "c2VjcmV0"),
                ("dbname", "d"),
                ("k", "v"),
                ("x-vecguard-user", "root"),
            ),
            timeout=TIMEOUT,
        )
    assert answer == bytes(SERVING)
    caller = service.callers[0]
    assert caller.peer == "local"
    assert caller.metadata.getall("x-vecguard-user") == ["alice"]
    assert caller.metadata["dbname"] == "d"
    assert caller.metadata["x-vecguard-peer"] == "127.0.0.1"
    assert set(caller.metadata) == {
        "x-vecguard-user",
        "x-vecguard-revision",
        "x-vecguard-peer",
        "dbname",
    }


async def test_a_cancellation_reaches_the_service(relay, service):
    async with channel(relay.target) as client:
        watch = client.unary_stream(WATCH)(b"", timeout=TIMEOUT)
        assert await watch.read() == bytes(SERVING)
        watch.cancel()
        async with asyncio.timeout(TIMEOUT / 2):
            await service.cancelled.wait()


async def test_the_service_is_there_again_after_its_connection_was_lost(relay, upstream):
    async with channel(relay.target) as client:
        for _ in range(3):
            await client.unary_unary(CHECK)(b"", timeout=TIMEOUT)
            upstream.close()


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        (CHECK.encode(), (b"dbname", b"caf\xe9")),
        (b"/grpc.health.v1.Health/\xff", (b"k", b"v")),
        (CHECK.encode(), (b"content-type", b"application/grpc+\xff")),
    ],
)
async def test_foreign_bytes_of_one_client_end_no_other_call(relay, path, odd):
    async with channel(relay.target) as client, raw_client(relay.port) as raw:
        watch = client.unary_stream(WATCH)(b"", timeout=TIMEOUT)
        assert await watch.read() == bytes(SERVING)
        mine = raw.request(request_headers(path, odd), message(b""))
        await raw.response(mine)
        assert await client.unary_unary(CHECK)(b"", timeout=TIMEOUT) == bytes(SERVING)
        assert not watch.done()
        watch.cancel()


async def test_more_watchers_than_a_hundred_do_not_shut_out_a_check(relay):
    async with channel(relay.target) as client:
        watches = [client.unary_stream(WATCH)(b"", timeout=TIMEOUT) for _ in range(150)]
        for watch in watches:
            await watch.read()
        assert await client.unary_unary(CHECK)(b"", timeout=TIMEOUT) == bytes(SERVING)
        for watch in watches:
            watch.cancel()


async def test_few_calls_begin_in_a_turn_of_the_loop():
    begun, most, calls = 0, 0, 500

    class Counting(pb.HealthBase):
        async def check(self, health_check_request):
            nonlocal begun
            begun += 1
            return SERVING

    loop = asyncio.get_running_loop()
    seen = 0

    def turn():
        nonlocal most, seen
        most, seen = max(most, begun - seen), begun
        if begun < calls:
            loop.call_soon(turn)

    theirs, ours = socket.socketpair()
    await loop.connect_accepted_socket(GrpcServer([Counting()]).accept, theirs)
    reader, writer = await asyncio.open_connection(sock=ours)
    h2 = H2Connection(H2Configuration(client_side=True))
    h2.initiate_connection()
    h2.remote_settings = Settings(
        client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: calls}
    )
    for number in range(1, 2 * calls, 2):
        h2.send_headers(number, request_headers(CHECK.encode()))
        h2.send_data(number, message(b""), end_stream=True)
    writer.write(h2.data_to_send())
    turn()
    try:
        async with asyncio.timeout(TIMEOUT):
            while begun < calls:
                await reader.read(2**16)
        assert 0 < most <= FRAMES_AT_A_TIME
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
