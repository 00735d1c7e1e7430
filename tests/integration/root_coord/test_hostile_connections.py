"""Root coord's port when others than proxies connect to it."""

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated

from tests.integration.root_coord.harness import MAX_CONNECTIONS, SessionEnd
from tests.support.flooding import FLOODS, GREETING, flooded
from tests.support.logs import every_log_line
from tests.support.raw_http2 import raw_client, round_trip
from tests.support.waiting import eventually
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc import frames as metered_frames
from vecguard.grpc import server_transport
from vecguard.observability.log import get_logger
from vecguard.observability.sparse import SparseLog
from vecguard.passwords import hash_password
from vecguard.proxy.http2 import frames
from vecguard.secret import Secret

#: A change takes milliseconds; a flood made it half a minute.
ANSWER_SECONDS = 10.0
HASH = hash_password(Secret("right-123"), 4)


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch):
    """The lines of this minute are not used up by other tests."""
    monkeypatch.setattr(server_transport, "log", SparseLog(get_logger("tests")))


@pytest.mark.parametrize("kind", FLOODS)
async def test_changes_are_answered_while_frames_flood_in(harness, kind):
    async with flooded(harness.address.port, kind, count=12):
        for number in range(3):
            reply = await asyncio.wait_for(harness.create(f"user{number}", HASH), ANSWER_SECONDS)
            assert reply.outcome is pb.MutationOutcome.APPLIED


async def test_a_client_that_floods_is_cut(harness):
    with every_log_line() as lines:
        async with raw_client(harness.address.port) as client:
            await round_trip(client)
            client.send_raw(FLOODS["ping"] * 5000)
            await client.wait_closed()
            # The GOAWAY is lost when the kernel still has frames for us.
            assert all(
                event.error_code == ErrorCodes.ENHANCE_YOUR_CALM
                for event in client.events
                if isinstance(event, ConnectionTerminated)
            )
    (line,) = (line for line in lines if line["event"] == "frame_flood")
    assert line["peer"].startswith("127.0.0.1:")


async def test_a_request_in_many_pieces_or_many_in_one_are_served(harness):
    """What is handled in several turns comes out whole, and in order."""
    for piece in (1, 1000, 10**6):
        async with raw_client(harness.address.port) as client:
            await round_trip(client)
            for _ in range(40):
                client.h2.ping(b"12345678")
            data = client.h2.data_to_send()
            for start in range(0, len(data), piece):
                client.writer.write(data[start : start + piece])
                await asyncio.sleep(0)
            await round_trip(client)


async def until_greeted(each):
    """Returns when the server has read our SETTINGS: a connection is new until then."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(ANSWER_SECONDS):
        while frames.SETTINGS_ACK not in data:
            read = await loop.sock_recv(each, 4096)
            assert read, "the connection was closed"
            data += read


@asynccontextmanager
async def crowd(harness, count, said=b""):
    loop = asyncio.get_running_loop()
    sockets = []
    try:
        for _ in range(count):
            sockets.append(each := socket.socket())
            each.setblocking(False)
            await loop.sock_connect(each, ("127.0.0.1", harness.address.port))
            await loop.sock_sendall(each, said)
            await (until_greeted(each) if said else asyncio.sleep(0))
        yield sockets
    finally:
        for each in sockets:
            each.close()


def is_open(each):
    try:
        while data := each.recv(4096):
            del data
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@pytest.mark.parametrize("said", [b"", GREETING], ids=["silent", "greeted"])
async def test_a_full_port_has_room_for_a_newcomer_and_sessions_keep_their_place(harness, said):
    async with SessionEnd(harness) as session, AsyncExitStack() as stack:
        await session.open()
        sockets = await stack.enter_async_context(crowd(harness, 2 * MAX_CONNECTIONS, said))
        reply = await asyncio.wait_for(harness.create("newcomer", HASH), ANSWER_SECONDS)
        assert reply.outcome is pb.MutationOutcome.APPLIED

        async def the_oldest_are_gone() -> bool:
            return sum(map(is_open, sockets)) < MAX_CONNECTIONS

        await eventually(the_oldest_are_gone)
        assert is_open(sockets[-1])
        assert isinstance(await session.receive(), pb.Invalidate)


@pytest.mark.parametrize("said", [b"", frames.PREFACE, frames.PREFACE + b"\0"])
async def test_the_first_words_have_their_time_and_no_more(harness, said, monkeypatch):
    monkeypatch.setattr(server_transport, "_GREETING_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", harness.address.port)
    writer.write(said)
    await asyncio.wait_for(reader.read(), ANSWER_SECONDS)
    writer.close()


async def test_a_connection_without_a_call_is_let_go_in_good_order(harness, monkeypatch):
    monkeypatch.setattr(server_transport, "_IDLE_SECONDS", 0.4)
    async with SessionEnd(harness) as session, raw_client(harness.address.port) as client:
        await session.open()
        terminated = await client.wait_for(ConnectionTerminated)
        assert (terminated.last_stream_id, terminated.error_code) == (2**31 - 1, 0)
        await client.wait_closed()
        assert isinstance(await session.renew(), pb.Renewed)


async def test_one_that_asks_and_does_not_read_is_cut(harness, monkeypatch):
    monkeypatch.setattr(server_transport, "_UNREAD_BYTES", 2**16)
    monkeypatch.setattr(metered_frames, "MAX_WEIGHT", 10**9)
    with every_log_line() as lines, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", harness.address.port))
        await loop.sock_sendall(slow, GREETING)

        async def it_is_cut() -> bool:
            try:
                slow.send(FLOODS["ping"] * 1000)
            except BlockingIOError:
                pass
            except OSError:
                return True
            return any(line["event"] == "peer_does_not_read" for line in lines)

        await eventually(it_is_cut, 60.0)
        assert any(line["event"] == "peer_does_not_read" for line in lines)
