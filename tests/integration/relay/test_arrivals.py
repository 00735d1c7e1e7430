"""TLS clients before they are clients: each is counted, and has its time for the handshake."""

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from http.client import HTTPSConnection

import pytest

from tests.integration.tls.endpoints import lone_client, server
from tests.support.certificates import authority, issue, server_pems
from tests.support.policies import (
    bounds_with,
    connection_limits_with,
    lifetime_with,
    limits_with,
    pool_with,
)
from tests.support.raw_http2 import OK, Peer, message
from tests.support.raw_http2 import raw_backend as running_raw_backend
from tests.support.relay_parts import ScriptedGatekeeper, own_tasks
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.proxy.http2 import frames
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.limits import RelayLimit
from vecguard.proxy.relay.listener import Listener
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Upstream, over_tcp

TIMEOUT = 10.0
GARBAGE = bytes(range(256))


@pytest.fixture
def ca():
    return authority("Public CA")


@pytest.fixture
def trusting(tmp_path, ca):
    context = lone_client(tmp_path / "client", ca)
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture
def listening(tmp_path, ca):
    tls = server(server_pems(tmp_path / "server", issue(ca)))

    @asynccontextmanager
    async def run(bounds=None):
        async with running_raw_backend() as backend:
            upstream = Upstream(
                "backend",
                over_tcp(Address("127.0.0.1", backend.port), timeout_seconds=2.0),
                authority="x",
                policy=HeaderPolicy(),
                pool=pool_with(),
            )
            listener = Listener(
                ScriptedGatekeeper(),
                Routes(table={}, default=upstream),
                OpenCalls(),
                max_request_bytes=2**20,
                max_answer_bytes=2**20,
                limits=limits_with(),
                bounds=bounds or bounds_with(),
            )
            listener.start(Address("127.0.0.1", 0), tls=tls.context)
            try:
                yield listener, backend
            finally:
                await listener.drain(0.0)
                upstream.close()
                await nobody_is_there(listener)

                async def nothing_runs() -> bool:
                    return not own_tasks()

                await eventually(nothing_runs)

    return run


async def nobody_is_there(listener):
    async def nobody_is_counted() -> bool:
        return not listener.connections

    await eventually(nobody_is_counted)


@asynccontextmanager
async def plain(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def encrypted(port, context):
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    peer = Peer(reader, writer, client_side=True)
    try:
        yield peer
    finally:
        await peer.close()


async def read_to_the_end(reader):
    async with asyncio.timeout(TIMEOUT):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_a_call_over_tls_is_served_and_its_connection_counted(listening, trusting):
    async with listening() as (listener, backend):
        async with encrypted(listener.port, trusting) as client:
            mine = client.request()
            peer, stream_id = await backend.requested()
            peer.answer(stream_id, message(b"x"))
            assert (await client.response(mine))[1:] == (message(b"x"), list(OK))
            assert listener.connections == 1
        await nobody_is_there(listener)


async def test_what_comes_together_with_the_end_of_the_handshake_is_not_lost(listening, trusting):
    async with listening() as (listener, _), plain(listener.port) as (reader, writer):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
        async with asyncio.timeout(TIMEOUT):
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))
            # The client's Finished and its first words leave in one piece.
            client.write(frames.PREFACE + frames.settings({}) + frames.ping(b"12345678", ack=False))
            writer.write(outgoing.read())
            said = b""
            while frames.ping(b"12345678", ack=True) not in said:
                incoming.write(await reader.read(65536))
                try:
                    said += client.read(65536)
                except ssl.SSLWantReadError:
                    continue
        assert frames.SETTINGS_ACK in said


@pytest.mark.parametrize("protocols", [["http/1.1"], []], ids=["http/1.1", "none"])
async def test_a_client_that_negotiates_no_http2_is_hung_up_on(listening, trusting, protocols):
    trusting.set_alpn_protocols(protocols)
    async with listening() as (listener, _):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=trusting, server_hostname="localhost"
        )
        writer.write(frames.PREFACE + frames.settings({}))
        assert await asyncio.wait_for(reader.read(), TIMEOUT) == b""
        writer.transport.abort()
        await nobody_is_there(listener)


@pytest.mark.parametrize("protocols", [["http/1.1"], []], ids=["http/1.1", "none"])
async def test_an_http1_request_over_tls_is_told_what_the_port_is(listening, trusting, protocols):
    trusting.set_alpn_protocols(protocols)

    def ask(port):
        connection = HTTPSConnection("localhost", port, context=trusting, timeout=TIMEOUT)
        connection.request("POST", "/v2/vectordb/users/list", body=b"{}")
        answer = connection.getresponse()
        said = answer.status, answer.read()
        connection.close()
        return said

    async with listening() as (listener, _):
        status, text = await asyncio.to_thread(ask, listener.port)
        assert status == 400
        assert b"gRPC over HTTP/2" in text
        await nobody_is_there(listener)


@pytest.mark.parametrize("said", [GARBAGE, b"GET / HTTP/1.1\r\n\r\n", frames.PREFACE])
async def test_a_failed_handshake_leaves_nothing(listening, trusting, said):
    async with listening() as (listener, _):
        for _ in range(20):
            async with plain(listener.port) as (reader, writer):
                writer.write(said)
                await read_to_the_end(reader)
        await nobody_is_there(listener)
        assert not listener._reception.links
        assert not listener.hits.counts[RelayLimit.HANDSHAKE]
        async with encrypted(listener.port, trusting) as client:
            await client.until(lambda: client.events)


async def test_a_handshake_has_its_time_and_no_more(listening, trusting):
    bounds = bounds_with(lifetime=lifetime_with(greeting_seconds=0.3))
    async with listening(bounds) as (listener, _):
        async with plain(listener.port) as (reader, writer):
            writer.write(GARBAGE[:3])
            await read_to_the_end(reader)
        await nobody_is_there(listener)
        assert listener.hits.counts[RelayLimit.HANDSHAKE] == 1
        # It is over when TLS is, but no client yet.
        incoming = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=trusting, server_hostname="localhost"
        )
        await read_to_the_end(incoming[0])
        incoming[1].transport.abort()
        assert listener.hits.counts[RelayLimit.HANDSHAKE] == 2


async def test_connections_count_before_their_handshake(listening, trusting):
    bounds = bounds_with(connections=connection_limits_with(connections=2))
    async with listening(bounds) as (listener, _):
        async with plain(listener.port) as (oldest, _), plain(listener.port):

            async def both_are_counted() -> bool:
                return listener.connections == 2

            await eventually(both_are_counted)
            async with plain(listener.port):
                assert await read_to_the_end(oldest) == b""
                assert listener.connections == 2
            assert listener.hits.counts[RelayLimit.CONNECTIONS] == 1
        await nobody_is_there(listener)
        async with encrypted(listener.port, trusting) as client:
            await client.until(lambda: client.events)


async def test_a_drain_does_not_wait_for_handshakes(listening):
    async with listening() as (listener, _), plain(listener.port):

        async def it_is_counted() -> bool:
            return listener.connections == 1

        await eventually(it_is_counted)
        async with asyncio.timeout(TIMEOUT / 2):
            await listener.drain(TIMEOUT)


async def test_handshakes_that_are_not_gone_on_with_make_room(listening, trusting):
    bounds = bounds_with(connections=connection_limits_with(connections_per_address=3))
    async with listening(bounds) as (listener, backend), AsyncExitStack() as stack:
        (oldest, _), *_ = [await stack.enter_async_context(plain(listener.port)) for _ in range(3)]

        async def all_are_inside() -> bool:
            return listener.connections == 3

        await eventually(all_are_inside)
        client = await stack.enter_async_context(encrypted(listener.port, trusting))
        mine = client.request()
        peer, stream_id = await backend.requested()
        peer.answer(stream_id, message(b"x"))
        assert (await client.response(mine))[1:] == (message(b"x"), list(OK))
        assert await read_to_the_end(oldest) == b""
        assert listener.connection_limits.displaced[RelayLimit.CONNECTIONS_PER_ADDRESS] == 1
        assert not listener.connection_limits.departing


async def test_one_that_makes_room_is_not_waited_for_by_tls(listening, trusting):
    """A client that does not answer TLS's goodbye would keep its file descriptor."""
    bounds = bounds_with(connections=connection_limits_with(connections_per_address=1))
    async with listening(bounds) as (listener, _), encrypted(listener.port, trusting) as first:
        await first.until(lambda: first.events)
        first.stop_reading()
        async with encrypted(listener.port, trusting) as second:
            await second.until(lambda: second.events)
            assert (listener.connections, listener.connection_limits.departing) == (1, 0)
