"""Connections without an admitted call fill an address or the proxy; newcomers are served."""

import asyncio
import gc
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import grpc.aio
import pytest
from h2.events import ConnectionTerminated

from tests.support.echo_backend import echo_backend
from tests.support.frame_sequences import frame
from tests.support.policies import bounds_with, connection_limits_with, lifetime_with
from tests.support.raw_http2 import message, raw_client, request_headers, round_trip
from tests.support.relay import channel, relaying
from tests.support.waiting import eventually
from vecguard.proxy.http2 import frames
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.clients.client_link import ClientLink
from vecguard.proxy.relay.limits import RelayLimit

GREETING = frames.PREFACE + frame(frames.SETTINGS, 0, 0, b"")
SILENT, GREETED = b"", GREETING


@asynccontextmanager
async def crowded(policy=None, **options):
    # A busy machine takes longer than 5 s to open thousands of connections; silent ones would be
    # closed meanwhile.
    changes = {} if policy is None else {"connections": policy}
    bounds = bounds_with(lifetime=lifetime_with(greeting_seconds=60.0), **changes)
    async with echo_backend() as backend, relaying(backend.port, bounds=bounds, **options) as relay:
        yield relay


@asynccontextmanager
async def crowd(relay, count, said=SILENT, address="127.0.0.1"):
    """So many connections from this address that say this and no more."""
    loop = asyncio.get_running_loop()
    sockets = []
    try:
        for number in range(count):
            sockets.append(each := socket.socket())
            each.setblocking(False)
            each.bind((address, 0))
            await loop.sock_connect(each, ("127.0.0.1", relay.port))
            await loop.sock_sendall(each, said)
            if number % 100 == 99:
                await asyncio.sleep(0)  # a backlog is bounded
                await read_by_the_relay(sockets[-100:], said)
        await read_by_the_relay(sockets[-(count % 100) :] if count % 100 else [], said)
        yield sockets
    finally:
        for each in sockets:
            each.close()


async def read_by_the_relay(sockets, said):
    """Waits until what they have said was read, so that no newcomer waits for it."""
    loop = asyncio.get_running_loop()
    for each in sockets if said else ():
        heard = b""
        async with asyncio.timeout(60.0):
            while frames.SETTINGS_ACK not in heard and (part := await loop.sock_recv(each, 2**16)):
                heard += part


async def served(relay, **arguments):
    async with channel(relay.target, **arguments) as client:
        assert await client.unary_unary("/test.Echo/Unary")(b"x", timeout=20.0) == b"x"


async def connected(relay, count):
    async def all_are_inside() -> bool:
        return relay.listener.connections == count

    await eventually(all_are_inside)


@pytest.mark.parametrize("said", [SILENT, GREETED], ids=["silent", "greeted"])
async def test_an_address_full_of_them_has_room_for_a_newcomer(said):
    async with (
        crowded(connection_limits_with(connections_per_address=5)) as relay,
        crowd(relay, 5, said) as sockets,
    ):
        await connected(relay, 5)
        await served(relay)
        assert relay.listener.connection_limits.displaced[RelayLimit.CONNECTIONS_PER_ADDRESS] == 1
        # The oldest has gone.
        async with asyncio.timeout(10.0):
            heard = b""
            while part := await asyncio.get_running_loop().sock_recv(sockets[0], 2**16):
                heard += part
        if said:
            assert heard.endswith(frames.goaway(0, 0))


@pytest.mark.parametrize("said", [SILENT, GREETED], ids=["silent", "greeted"])
async def test_an_address_with_the_default_limit_has_room_for_a_newcomer(said):
    async with crowded() as relay, crowd(relay, 2000, said):
        await connected(relay, 2000)
        await served(relay)


async def test_the_address_with_most_of_them_makes_room_in_a_full_proxy():
    policy = connection_limits_with(connections=10, connections_per_address=4)
    async with crowded(policy) as relay, AsyncExitStack() as crowds:
        for number in (2, 3, 4):
            await crowds.enter_async_context(
                crowd(relay, 3 + (number == 3), GREETED, f"127.0.0.{number}")
            )
        await connected(relay, 10)
        await served(relay)
        limits = relay.listener.connection_limits
        assert limits.displaced[RelayLimit.CONNECTIONS] == 1
        assert [len(limits._origins[f"127.0.0.{number}"].unadmitted) for number in (2, 3, 4)] == [
            3,
            3,
            3,
        ]


async def test_connections_with_an_admitted_call_keep_their_place():
    async with (
        crowded(connection_limits_with(connections_per_address=5)) as relay,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(raw_client(relay.port)) for _ in range(4)]
        for each in clients:
            # Answered: the connection is idle from now on.
            await each.response(each.request(request_headers(b"/test.Echo/Unary"), message(b"x")))
        async with crowd(relay, 50):

            async def all_of_them_came() -> bool:
                displaced = relay.listener.connection_limits.displaced
                return displaced[RelayLimit.CONNECTIONS_PER_ADDRESS] == 49

            await eventually(all_of_them_came)
            for each in clients:
                await round_trip(each)


async def test_a_client_repeats_a_call_that_was_not_decided_when_it_made_room():
    """The GOAWAY says that nothing was looked at, so gRPC repeats what was not idempotent too."""
    waiting, first = asyncio.Event(), True
    async with crowded(connection_limits_with(connections_per_address=1)) as relay:

        async def decide(authorization):
            nonlocal first
            if first:
                first = False
                waiting.set()
                await asyncio.Event().wait()
            return Principal("alice", 1)

        relay.gatekeeper.decide = decide
        as_by_default = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(relay.target, options=as_by_default) as client:
            call = client.unary_unary("/test.Echo/Unary")(b"x", timeout=20.0)
            task = asyncio.ensure_future(call)
            await asyncio.wait_for(waiting.wait(), 10.0)
            async with crowd(relay, 1):
                assert await task == b"x"


async def test_the_one_that_makes_room_is_told_that_no_call_of_it_was_looked_at():
    async with crowded(connection_limits_with(connections_per_address=1)) as relay:
        async with raw_client(relay.port) as client:
            await round_trip(client)
            async with crowd(relay, 1):
                terminated = await client.wait_for(ConnectionTerminated)
                assert (terminated.last_stream_id, terminated.error_code) == (0, 0)
                await client.wait_closed()
        await served(relay)


async def test_clients_that_are_gone_leave_nothing_to_the_garbage_collector():
    """It looks through everything so seldom that clients who come and go would fill the memory."""
    async with crowded() as relay:
        gc.collect()
        gc.disable()
        before = len(_links())
        try:
            async with crowd(relay, 20, SILENT), crowd(relay, 20, GREETED):
                await eventually(lambda: _holds(relay, 40))
            await eventually(lambda: _holds(relay, 0))
            assert len(_links()) - before < 5, "the event loop may still hold the last"
        finally:
            gc.enable()


def _links() -> list[ClientLink]:
    return [each for each in gc.get_objects() if isinstance(each, ClientLink)]


async def _holds(relay, clients) -> bool:
    return len(relay.listener._reception.links) == clients == relay.listener.connections
