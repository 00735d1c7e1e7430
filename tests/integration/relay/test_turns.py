"""Clients that must wait for their turns, at a relay without time for unknown clients."""

import asyncio
from http.client import HTTPConnection

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated

from tests.support.echo_backend import pattern
from tests.support.policies import limits_with
from tests.support.raw_http2 import OK, Peer, message, raw_client, round_trip
from tests.support.raw_http2 import raw_backend as running_raw_backend
from tests.support.relay import relaying
from tests.support.waiting import eventually
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.clients import read_scheduler
from vecguard.proxy.relay.limits import RelayLimit

TIMEOUT = 10.0
#: Strangers have used up their time for longer than any test takes, or for a moment.
FOR_EVER, FOR_A_MOMENT = -1000.0, -0.02


def leave_no_time(relay, seconds=FOR_EVER):
    relay.listener._scheduler._allowance = seconds


async def waits(relay):
    """A client waits for its turn, and is not read."""

    async def one_waits():
        return any(link.is_waiting for link in relay.listener._reception.links)

    await eventually(one_waits)


def put(port, body):
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request("PUT", "/", body=body)
    answer = connection.getresponse()
    connection.close()
    return answer.status


async def test_an_http1_client_that_had_to_wait_is_heard_to_the_end():
    """A socket that is closed with unread bytes is reset, and the answer may be lost."""
    async with running_raw_backend() as backend, relaying(backend.port) as relay:
        leave_no_time(relay, FOR_A_MOMENT)
        assert await asyncio.to_thread(put, relay.port, bytes(16 * 2**20)) == 400


async def test_a_client_that_logs_in_while_it_waits_need_not_wait_any_more():
    """The head of its first call was read, and its login is checked."""
    is_checked = asyncio.Event()

    async def decide(authorization):
        await is_checked.wait()
        return Principal("alice", 7)

    async with (
        running_raw_backend() as backend,
        relaying(backend.port) as relay,
        raw_client(relay.port) as client,
    ):
        relay.gatekeeper.decide = decide
        mine = client.request(end=False)
        await round_trip(client)
        leave_no_time(relay)
        client.h2.send_data(mine, message(b"late"), end_stream=True)
        client.flush()
        await waits(relay)
        is_checked.set()
        peer, stream_id = await backend.requested()
        await peer.until(lambda: peer.body(stream_id) == message(b"late"))
        peer.answer(stream_id, message(b"answer"))
        assert (await client.response(mine))[2] == list(OK)


async def test_logins_that_are_refused_together_close_their_connection_once():
    is_checked = asyncio.Event()

    async def decide(authorization):
        await is_checked.wait()
        raise WrongCredentialsError

    async with (
        running_raw_backend() as backend,
        relaying(backend.port, limits=limits_with(concurrent_streams=1100)) as relay,
        raw_client(relay.port, max_streams=1100) as client,
    ):
        relay.gatekeeper.decide = decide
        await round_trip(client)
        for _ in range(1100):
            client.request()

        async def all_are_checked():
            return len(relay.gatekeeper.seen) == 1100

        await eventually(all_are_checked)
        is_checked.set()
        await client.wait_closed()
        ends = [event for event in client.events if isinstance(event, ConnectionTerminated)]
        assert [end.error_code for end in ends] == [ErrorCodes.ENHANCE_YOUR_CALM]
        assert relay.listener.hits.counts[RelayLimit.REFUSED_CALLS] == 1


async def test_refused_calls_of_others_cost_an_admitted_call_nothing():
    is_checked = asyncio.Event()

    async def decide(authorization):
        await is_checked.wait()
        raise WrongCredentialsError

    async with (
        running_raw_backend() as backend,
        relaying(backend.port, limits=limits_with(concurrent_streams=2100)) as relay,
        raw_client(relay.port, max_streams=2100) as client,
    ):
        mine = client.request(end=False)
        peer, stream_id = await backend.requested()
        relay.gatekeeper.decide = decide
        refused = [client.request() for _ in range(2000)]

        async def all_are_checked():
            return len(relay.gatekeeper.seen) == 2001

        await eventually(all_are_checked)
        is_checked.set()
        await client.response(refused[-1])
        peer.answer(stream_id, message(b"answer"))
        assert (await client.response(mine))[2] == list(OK)
        assert relay.listener.hits.counts[RelayLimit.REFUSED_CALLS] == 0


@pytest.mark.skipif(is_compiled(), reason="compiled code reads them in less than a slice")
async def test_a_backend_s_tiny_messages_leave_the_loop_to_others_and_arrive_whole():
    async with (
        running_raw_backend() as backend,
        relaying(backend.port) as relay,
        raw_client(relay.port, initial_window=2**20) as client,
    ):
        mine = client.request()
        peer, stream_id = await backend.requested()
        was_held = False

        async def watch():
            nonlocal was_held
            while not was_held:
                was_held = any(link._is_held for link in relay.upstream.links)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        peer.answer(stream_id, trailers=None)
        peer.flush()
        tiny = [message(bytes((number % 256,))) for number in range(4000)]
        for each in tiny:
            peer.h2.send_data(stream_id, each)
        peer.flush()
        peer.h2.send_headers(stream_id, list(OK), end_stream=True)
        peer.flush()
        _, body, trailers = await client.response(mine)
        assert (body, trailers) == (b"".join(tiny), list(OK))
        async with asyncio.timeout(TIMEOUT):
            await watching


@pytest.mark.skipif(is_compiled(), reason="compiled code has the time as a constant")
async def test_a_stranger_that_has_waited_too_long_is_closed(monkeypatch):
    monkeypatch.setattr(read_scheduler, "_WAIT_SECONDS", 0.0)
    async with (
        running_raw_backend() as backend,
        relaying(backend.port) as relay,
        raw_client(relay.port) as client,
    ):
        await round_trip(client)
        leave_no_time(relay, FOR_A_MOMENT)
        client.request()
        ended = await client.wait_for(ConnectionTerminated)
        assert ended.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        await client.wait_closed()
        assert relay.listener.hits.counts[RelayLimit.READ_WAIT] == 1


async def test_a_client_that_waits_can_be_let_go():
    """`relaying` checks that nothing of it is left."""
    async with (
        running_raw_backend() as backend,
        relaying(backend.port) as relay,
        raw_client(relay.port) as client,
    ):
        await round_trip(client)
        leave_no_time(relay)
        client.request()
        await waits(relay)
        await relay.listener.drain(0.0)
        await client.wait_closed()


@pytest.mark.parametrize("goes_at_once", [False, True])
async def test_a_tls_client_that_waits_loses_nothing_and_may_go(tls_contexts, goes_at_once):
    """TLS reads on, and has what it has read when its reader wants no more."""
    at_server, at_client = tls_contexts
    sent = pattern(300_000)
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, tls=at_server) as relay,
    ):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", relay.port, ssl=at_client, server_hostname="localhost"
        )
        client = Peer(reader, writer, client_side=True)
        await round_trip(client)
        mine = client.request(end=False)
        peer, stream_id = await backend.requested()
        [link] = relay.listener._reception.links
        # Not known any more.
        link._reputation.is_known, link._is_settled = False, False
        link._judge()
        body, at = message(sent), 0
        while at < len(body):
            leave_no_time(relay, FOR_A_MOMENT)
            window = client.h2.local_flow_control_window(mine)
            piece = body[at : at + min(window, 16_384)]
            if piece:
                client.h2.send_data(mine, piece, end_stream=at + len(piece) == len(body))
                client.flush()
                at += len(piece)
            await asyncio.sleep(0)
        if goes_at_once:
            await client.close()

            async def it_is_gone():
                return not relay.listener.connections

            await eventually(it_is_gone)
        else:
            await peer.until(lambda: peer.body(stream_id) == body)
            peer.answer(stream_id, message(b"answer"))
            assert (await client.response(mine))[1] == message(b"answer")
            await client.close()
