"""How the relay ends a connection in good order when its client does not play along."""

import asyncio
import socket
import struct

import pytest

from tests.support.echo_backend import echo_backend
from tests.support.frame_sequences import frame
from tests.support.relay import relaying
from tests.support.waiting import eventually
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.http2 import frames
from vecguard.proxy.relay import link as relay_link

GREETING = frames.PREFACE + frame(frames.SETTINGS, 0, 0, b"")
# Fewer than a connection may send in a second.
PINGS = frame(frames.PING, 0, 0, bytes(8)) * 8_000
TIMEOUT = 10.0


async def connected(relay):
    """A client's socket and the relay's end of the connection, each with little room to send."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", relay.port))
    await loop.sock_sendall(client, GREETING)

    async def it_is_there():
        return any(link._is_greeted for link in relay.listener._reception.links)

    await eventually(it_is_there, TIMEOUT)
    [link] = relay.listener._reception.links
    link._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return client, link


@pytest.mark.skipif(is_compiled(), reason="compiled code does not read a constant that is patched")
async def test_a_client_that_closes_its_side_and_reads_nothing_is_not_waited_for(monkeypatch):
    """asyncio closes the transport when the client closes its side, and then waits without end."""
    monkeypatch.setattr(relay_link, "_CLOSING_SECONDS", 0.2)
    async with echo_backend() as backend, relaying(backend.port) as relay:
        client, link = await connected(relay)
        with client:
            await asyncio.get_running_loop().sock_sendall(client, PINGS)
            client.shutdown(socket.SHUT_WR)

            async def it_is_closing():
                return link._transport.is_closing()

            await eventually(it_is_closing, TIMEOUT)
            assert link._transport.get_write_buffer_size()
            link.leave()
            async with asyncio.timeout(TIMEOUT):
                await link.lost.wait()


async def test_a_client_that_has_reset_its_connection_is_no_error():
    async with echo_backend() as backend, relaying(backend.port) as relay:
        client, link = await connected(relay)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        link.depart()
        async with asyncio.timeout(TIMEOUT):
            await link.lost.wait()
