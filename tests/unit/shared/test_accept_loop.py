import asyncio
import resource
import socket
from contextlib import asynccontextmanager, contextmanager

import pytest
from structlog.testing import capture_logs

from tests.support.waiting import eventually
from vecguard import accept_loop
from vecguard.accept_loop import AcceptLoop
from vecguard.addresses import Address
from vecguard.listening import listening_sockets


class Port:
    """A listening port, and the connections that were accepted on it."""

    def __init__(self, *, closing=lambda: 0, in_a_turn=8):
        self.accepted = []
        self.loop = AcceptLoop(self._accepted, closing=closing, in_a_turn=in_a_turn, port="x")
        self.loop.start(
            listening_sockets(Address("127.0.0.1", 0), settings="the test's", backlog=100)
        )

    def _accepted(self, connection, address):
        self.accepted.append((connection, address))

    def dial(self):
        return socket.create_connection(("127.0.0.1", self.loop.port))

    async def until_accepted(self, number):
        async def accepted():
            return len(self.accepted) == number

        await eventually(accepted)


@asynccontextmanager
async def listening(**options):
    port = Port(**options)
    try:
        yield port
    finally:
        port.loop.stop()
        await port.loop.stopped()
        for connection, _ in port.accepted:
            connection.close()


@contextmanager
def no_descriptor_left():
    """No new descriptor is given out, whichever other code of this process closes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_each_connection_is_passed_on_with_its_address():
    async with listening() as port:
        with port.dial() as first, port.dial() as second:
            await port.until_accepted(2)
            expected = [client.getsockname() for client in (first, second)]
        assert [address for _, address in port.accepted] == expected


async def test_without_a_descriptor_it_pauses_says_so_once_and_accepts_again(monkeypatch):
    monkeypatch.setattr(accept_loop, "_PAUSE_SECONDS", 0.001)
    async with listening() as port:
        with port.dial(), capture_logs() as lines:
            with no_descriptor_left():
                for _ in range(100):
                    await asyncio.sleep(0.001)
                    assert not port.accepted
            await port.until_accepted(1)
    failed, again = lines
    assert (failed["event"], failed["port"], failed["error"]) == (
        "cannot_accept",
        "x",
        "Too many open files",
    )
    assert again["event"] == "accepts_again"
    assert again["repeated"] > 0


async def test_without_a_descriptor_it_does_not_try_all_the_time(monkeypatch):
    monkeypatch.setattr(accept_loop, "_PAUSE_SECONDS", 3600.0)

    async def has_failed():
        return bool(lines)

    async with listening() as port:
        with port.dial(), capture_logs() as lines:
            with no_descriptor_left():
                await eventually(has_failed)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert not port.accepted


@pytest.mark.parametrize(("closing", "turns"), [(32, 0), (33, 8)])
async def test_it_waits_for_connections_that_are_being_closed(closing, turns):
    passed = 0

    async def count_turns():
        nonlocal passed
        while True:
            await asyncio.sleep(0)
            passed += 1

    begun = []
    async with listening(closing=lambda: closing, in_a_turn=1000) as port:
        accepted = port.loop._accepted
        port.loop._accepted = lambda *each: (begun.append(passed), accepted(*each))
        counting = asyncio.create_task(count_turns())
        await asyncio.sleep(0)
        with port.dial(), port.dial():
            await port.until_accepted(2)
        counting.cancel()
    first, second = begun
    assert second - first == turns


async def test_a_crowd_does_not_keep_the_loop_from_everything_else():
    async with listening(in_a_turn=2) as port:
        clients = [port.dial() for _ in range(6)]
        await asyncio.sleep(0)
        assert len(port.accepted) < len(clients)
        await port.until_accepted(6)
        for client in clients:
            client.close()


async def test_a_stop_cancels_what_brings_connections_up_and_closes_the_port():
    async with listening() as port:
        task = port.loop.run(asyncio.sleep(3600))
        address = ("127.0.0.1", port.loop.port)
        port.loop.stop()
        await port.loop.stopped()
        assert task.cancelled()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
