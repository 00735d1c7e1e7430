"""A handshake begins after its ClientHello, and few begin in one turn of the event loop."""

import asyncio
import socket
from itertools import pairwise

import pytest

from tests.support.waiting import eventually
from vecguard.proxy.relay.clients.handshake_scheduler import HandshakeScheduler

#: A whole record of a handshake, with ten bytes.
RECORD = b"\x16\x03\x01\x00\x0a" + bytes(10)


@pytest.fixture
async def scheduler():
    made = HandshakeScheduler()
    yield made
    made.close()


@pytest.fixture
def ends():
    client, server = socket.socketpair()
    server.setblocking(False)
    with client, server:
        yield client, server


async def a_few_turns():
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "said",
    [RECORD, RECORD + b"more", b"GET / HTTP/1.1", b"\x16\x03\x01\xff\xff"],
    ids=["record", "more", "http", "too-long"],
)
async def test_what_is_a_record_or_none_can_be_looked_at_and_stays_there(scheduler, ends, said):
    client, server = ends
    client.sendall(said)
    await asyncio.wait_for(scheduler.wait_for_message(server), 10.0)
    assert server.recv(100) == said


async def test_a_record_is_waited_for_to_its_last_byte(scheduler, ends):
    client, server = ends
    message = asyncio.create_task(scheduler.wait_for_message(server))
    for at in range(len(RECORD) - 1):
        client.sendall(RECORD[at : at + 1])
        await a_few_turns()
    assert not message.done()
    client.sendall(RECORD[-1:])
    await asyncio.wait_for(message, 10.0)


@pytest.mark.parametrize("said", [b"", RECORD[:3]])
async def test_the_end_of_a_connection_is_not_waited_for(scheduler, ends, said):
    client, server = ends
    message = asyncio.create_task(scheduler.wait_for_message(server))
    client.sendall(said)
    await a_few_turns()
    assert not message.done()
    client.close()
    await asyncio.wait_for(message, 10.0)


async def test_what_is_cancelled_leaves_nothing(scheduler, ends):
    client, server = ends
    message = asyncio.create_task(scheduler.wait_for_message(server))
    turn = asyncio.create_task(scheduler.turn("a"))
    await asyncio.sleep(0)
    client.sendall(RECORD)
    for task in (message, turn):
        task.cancel()
    await asyncio.wait((message, turn))
    assert message.cancelled()
    assert turn.cancelled()
    # The same socket, and the next turn, can be waited for afterwards.
    await asyncio.wait_for(scheduler.wait_for_message(server), 10.0)
    await asyncio.wait_for(scheduler.turn("a"), 10.0)


async def test_few_begin_in_a_turn_and_addresses_in_turn(scheduler):
    begun = []

    async def begin(origin):
        await scheduler.turn(origin)
        begun.append(origin)

    tasks = [asyncio.create_task(begin(origin)) for origin in "a" * 20 + "b"]
    sizes = [0]
    while len(begun) < len(tasks):
        await asyncio.sleep(0)
        sizes.append(len(begun))
    assert max(after - before for before, after in pairwise(sizes)) == 4
    assert "b" in begun[:4]

    async def all_are_over():
        return all(task.done() for task in tasks)

    await eventually(all_are_over)
