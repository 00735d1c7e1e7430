"""Root coord's port is taken by a connection of another program, or for good."""

import asyncio
import socket
import struct

import pytest

from tests.support.waiting import eventually
from vecguard.config.services import RootCoordSettings
from vecguard.errors import ConfigurationError
from vecguard.grpc.server import GrpcServer
from vecguard.listening import listening_sockets
from vecguard.root_coord import listener
from vecguard.root_coord.listener import listen


@pytest.fixture
def tries(monkeypatch):
    """The addresses at which a socket was tried."""
    seen = []

    def counted(address, **options):
        seen.append(address)
        return listening_sockets(address, **options)

    monkeypatch.setattr(listener, "listening_sockets", counted)
    return seen


@pytest.fixture
def outgoing():
    """An open connection to another server; its own port is the wanted port."""
    with socket.create_server(("127.0.0.1", 0)) as somebody, socket.socket() as connection:
        connection.connect(somebody.getsockname())
        # Closed without the wait in which no process could have the port.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        yield connection


def wanted(connection: socket.socket) -> RootCoordSettings:
    return RootCoordSettings(ip="127.0.0.1", port=connection.getsockname()[1])


async def test_a_port_that_an_outgoing_connection_has_is_waited_for(outgoing, tries):
    server, own = GrpcServer([]), wanted(outgoing)
    start = asyncio.create_task(listen(server, own, None, patience_seconds=60))
    try:

        async def has_tried_again():
            return len(tries) >= 2

        await eventually(has_tried_again)
        assert not start.done()
        outgoing.close()
        await start
        _, writer = await asyncio.open_connection(own.ip, own.port)
        writer.close()
        await writer.wait_closed()
    finally:
        start.cancel()
        await server.drain(0)


async def test_one_that_stays_taken_ends_the_start_and_the_text_says_why(outgoing, tries):
    server, own = GrpcServer([]), wanted(outgoing)
    with pytest.raises(ConfigurationError) as caught:
        await listen(server, own, None, patience_seconds=0)
    assert len(tries) == 1
    for words in (
        f"cannot listen on 127.0.0.1:{own.port} (",
        "set rootCoord.ip and rootCoord.port",
        f"net.ipv4.ip_local_reserved_ports={own.port}",
    ):
        assert words in caught.value.message


async def test_an_address_of_another_machine_is_not_waited_for(tries):
    server = GrpcServer([])
    with pytest.raises(ConfigurationError) as caught:
        await listen(server, RootCoordSettings(ip="192.0.2.1", port=1), None, patience_seconds=60)
    assert len(tries) == 1
    assert "reserved" not in caught.value.message
