"""Our gRPC server behind TLS."""

import asyncio

import pytest

from tests.integration.tls.endpoints import lone_client, server
from tests.support.certificates import authority, issue, server_pems
from vecguard.addresses import Address
from vecguard.grpc import server as server_module
from vecguard.grpc.server import GrpcServer
from vecguard.listening import listening_sockets

HANDSHAKE_SECONDS = 0.2
LIMIT_SECONDS = 5.0


@pytest.fixture
async def ca_and_port(tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "_HANDSHAKE_SECONDS", HANDSHAKE_SECONDS)
    ca = authority()
    tls = server(server_pems(tmp_path / "server", issue(ca)))
    listening = GrpcServer([])
    sockets = listening_sockets(Address("127.0.0.1", 0), settings="port", backlog=1)
    port = sockets[0].getsockname()[1]
    listening.listen(sockets, tls=tls.context)
    yield ca, port
    await listening.drain(0.0)


async def test_a_peer_that_never_begins_its_handshake_is_hung_up_on(ca_and_port):
    _, port = ca_and_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            assert await reader.read() == b""
    finally:
        writer.close()


async def test_a_connection_outlives_the_time_for_its_handshake(ca_and_port, tmp_path):
    ca, port = ca_and_port
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=lone_client(tmp_path / "client", ca), server_hostname="localhost"
    )
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await reader.readexactly(9)
        end = asyncio.create_task(reader.read())
        done, _ = await asyncio.wait({end}, timeout=3 * HANDSHAKE_SECONDS)
        end.cancel()

        assert not done
    finally:
        writer.transport.abort()


async def test_a_server_listens_once(ca_and_port, tmp_path):
    listening = GrpcServer([])
    listening.listen(listening_sockets(Address("::", 0), settings="port", backlog=1))
    try:
        with pytest.raises(RuntimeError, match="already listening"):
            listening.listen(())
    finally:
        await listening.drain(0.0)


async def test_handshakes_that_are_not_gone_on_with_make_room(tmp_path):
    ca = authority()
    tls = server(server_pems(tmp_path / "server", issue(ca)))
    listening = GrpcServer([])
    sockets = listening_sockets(Address("127.0.0.1", 0), settings="port", backlog=100)
    port = sockets[0].getsockname()[1]
    listening.listen(sockets, max_connections=3, tls=tls.context)
    stalled = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                port,
                ssl=lone_client(tmp_path / "client", ca),
                server_hostname="localhost",
            )
            await reader.readexactly(9)
            assert await stalled[0][0].read() == b""
        writer.transport.abort()
    finally:
        for _, each in stalled:
            each.transport.abort()
        await listening.drain(0.0)
