"""How a connection ends when the relay has closed its side of it."""

import asyncio

import pytest

from tests.support.memory_pair import HIGH_WATER
from tests.support.memory_relay import memory_relay
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.http2 import frames
from vecguard.proxy.relay import link as relay_link

TIMEOUT = 10.0
PING = frames.HEAD.pack(8 << 8 | frames.PING, 0, 0) + bytes(8)


def patched(monkeypatch, **seconds):
    if is_compiled():
        pytest.skip("compiled code does not read a constant that is patched")
    for name, value in seconds.items():
        monkeypatch.setattr(relay_link, name, value)


async def lost(client):
    async with asyncio.timeout(TIMEOUT):
        await client.link.lost.wait()


async def connected(relay):
    """A client that keeps its side open until it closes it itself."""
    client = relay.client()
    client.stays = True
    await relay.quiet()
    return client


async def test_a_departing_connection_ends_when_its_client_closes_its_side():
    async with memory_relay() as relay:
        client = await connected(relay)
        client.link.depart()
        await relay.quiet()
        assert client.has_read_all
        assert not client.is_lost
        assert relay.listener.connections == 1
        client.close_side()
        await relay.quiet()
        assert client.link.lost.is_set()
        assert not relay.listener.connections


async def test_what_a_departing_connection_has_written_arrives_before_its_end():
    async with memory_relay() as relay:
        client = await connected(relay)
        call, there, backend = await relay.arrived(client)
        backend.answer(there, b"\0\0\0\0\5hello")
        client.link.leave()
        await relay.quiet()
        assert client.status(call) == 0
        assert client.has_read_all
        assert not client.is_lost
        client.close_side()


async def test_what_the_client_of_a_departing_connection_still_says_is_read_and_dropped():
    async with memory_relay() as relay:
        client = await connected(relay)
        client.link.depart()
        await relay.quiet()
        received = client.link.bytes_received
        client.request()
        client.flush()
        await relay.quiet()
        assert client.transport.get_write_buffer_size() == 0
        assert client.link.bytes_received == received
        assert not relay.backends
        assert not client.is_lost
        client.close_side()


async def test_a_connection_that_reads_nothing_at_the_moment_reads_on_to_depart():
    async with memory_relay() as relay:
        client = await connected(relay)
        client.link.stop_reading()
        client.transport.write(PING)
        client.link.depart()
        client.close_side()
        await relay.quiet()
        assert client.link.lost.is_set()


async def test_a_client_that_does_not_close_its_side_is_not_waited_for(monkeypatch):
    patched(monkeypatch, _DEPARTING_SECONDS=0.01, _CLOSING_SECONDS=2 * TIMEOUT)
    async with memory_relay() as relay:
        client = await connected(relay)
        client.link.depart()
        await lost(client)
        assert client.has_read_all


@pytest.mark.parametrize("is_half_closed", [False, True])
async def test_a_client_that_reads_nothing_has_longer_to_read_the_last(monkeypatch, is_half_closed):
    patched(monkeypatch, _DEPARTING_SECONDS=2 * TIMEOUT, _CLOSING_SECONDS=0.01)
    async with memory_relay() as relay:
        client = await connected(relay)
        client.transport.pause_reading()
        client.transport.write(PING * (HIGH_WATER // len(PING)))
        if is_half_closed:
            client.close_side()
        await relay.quiet()
        writer = client.transport.peer
        assert writer.get_write_buffer_size()
        assert writer.is_closing() == is_half_closed
        client.link.depart()
        await lost(client)


async def test_a_client_that_has_reset_the_connection_is_no_error(monkeypatch):
    def is_reset():
        raise OSError("not connected")

    async with memory_relay() as relay:
        client = await connected(relay)
        monkeypatch.setattr(client.transport.peer, "write_eof", is_reset)
        client.link.depart()
        await relay.quiet()
        assert client.link.lost.is_set()


async def test_a_transport_that_cannot_half_close_is_closed(monkeypatch):
    """With TLS, which waits for the peer's close_notify by itself."""
    async with memory_relay() as relay:
        client = await connected(relay)
        monkeypatch.setattr(client.transport.peer, "can_write_eof", lambda: False)
        client.link.depart()
        await relay.quiet()
        assert not client.has_read_all
        assert client.link.lost.is_set()
