"""The connections to the backend: how many, how they are used, lost and made again."""

import asyncio
from contextlib import AsyncExitStack

import grpc
import grpc.aio
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.settings import SettingCodes

from tests.support.echo_backend import EchoBackend
from tests.support.frame_sequences import frame, goaway
from tests.support.policies import pool_with
from tests.support.raw_http2 import (
    message,
    raw_client,
    request_headers,
    requests,
    round_trip,
    status,
)
from tests.support.raw_http2 import raw_backend as running_raw_backend
from tests.support.relay import channel, relaying
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.backoff import BackoffPolicy
from vecguard.proxy.relay.limits import RelayLimit
from vecguard.proxy.relay.upstreams.pool import _MAX_LEAVING
from vecguard.proxy.relay.upstreams.upstream import over_tcp

TIMEOUT = 10.0
ONE = pool_with(connections=1)


# How many streams and connections.


async def test_calls_beyond_the_backend_s_streams_open_connections_up_to_half_of_the_bound():
    async with (
        running_raw_backend(max_streams=2) as backend,
        relaying(backend.port, pool=pool_with(connections=6)) as relay,
        raw_client(relay.port) as client,
    ):
        calls = [client.request() for _ in range(8)]
        peers = [await backend.accepted() for _ in range(3)]
        for peer in peers:
            await requests(peer, 2)
        assert relay.upstream.pool.waiting == 2
        assert len(relay.upstream.links) == 3
        # The connection that has room next gets the next call, in the order of their turns.
        for stream_id in await requests(peers[1], 2):
            peers[1].answer(stream_id)
        late = (await requests(peers[1], 4))[2:]
        assert not relay.upstream.pool.waiting
        for peer in (peers[0], peers[2]):
            for stream_id in await requests(peer, 2):
                peer.answer(stream_id)
        for stream_id in late:
            peers[1].answer(stream_id)
        assert [await status(client, call) for call in calls] == [0] * 8


async def cancelled(client, peer, count):
    """So many calls, each of which has reached the backend before its client cancels it."""
    before = len(await requests(peer, 1))
    calls = [client.request() for _ in range(count)]
    await requests(peer, before + count)
    for call in calls:
        client.h2.reset_stream(call, ErrorCodes.CANCEL)
    client.flush()
    await round_trip(client)


async def test_a_connection_on_which_most_is_cancelled_gets_no_new_calls_and_keeps_old_ones():
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, pool=ONE) as relay,
        raw_client(relay.port) as honest,
        raw_client(relay.port) as client,
    ):
        old = honest.request()
        first, old_id = await backend.requested()
        await cancelled(client, first, 99)
        assert [link.is_leaving for link in relay.upstream.links] == [False]
        await cancelled(client, first, 1)
        # The next ones hold nothing but what was cancelled, which makes no backend suspect.
        for _ in range(3):
            starter = client.request()
            peer, _ = await backend.requested()
            client.h2.reset_stream(starter, ErrorCodes.CANCEL)
            client.flush()
            await cancelled(client, peer, 99)
            await peer.wait_closed()
        new = honest.request()
        last, new_id = await backend.requested()
        last.answer(new_id)
        assert await status(honest, new) == 0
        first.answer(old_id)
        assert await status(honest, old) == 0
        await first.wait_closed()
        assert relay.upstream.pool.connects == {"ok": 5, "failed": 0}


async def test_a_client_that_cancels_cannot_have_connections_without_end():
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(running_raw_backend())
        relay = await stack.enter_async_context(relaying(backend.port, pool=ONE))
        for _ in range(_MAX_LEAVING):
            client = await stack.enter_async_context(raw_client(relay.port))
            client.request()
            peer, _ = await backend.requested()
            await cancelled(client, peer, 100)
            assert all(link.is_leaving for link in relay.upstream.links)
        client = await stack.enter_async_context(raw_client(relay.port))
        client.request()
        last, _ = await backend.requested()
        await cancelled(client, last, 200)
        assert [link.is_leaving for link in relay.upstream.links] == [
            *[True] * _MAX_LEAVING,
            False,
        ]


async def test_a_connection_on_which_little_is_cancelled_stays():
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, pool=ONE) as relay,
        raw_client(relay.port) as client,
    ):
        calls = [client.request() for _ in range(450)]
        peer = await backend.accepted()
        for stream_id in await requests(peer, 450):
            peer.answer(stream_id)
        assert [await status(client, call) for call in calls] == [0] * 450
        await cancelled(client, peer, 140)
        assert [link.is_leaving for link in relay.upstream.links] == [False]
        await cancelled(client, peer, 20)
        assert not any(not link.is_leaving for link in relay.upstream.links)


async def test_connections_that_nobody_needs_any_more_are_closed_but_for_one():
    policy = pool_with(connections=8, idle_seconds=0.2)
    async with (
        running_raw_backend(max_streams=1) as backend,
        relaying(backend.port, pool=policy) as relay,
        raw_client(relay.port) as client,
    ):
        calls = [client.request() for _ in range(4)]
        peers = [await backend.accepted() for _ in calls]
        for peer in peers:
            await requests(peer, 1)
        first, second, third, fourth = peers
        for peer in (first, second, fourth):
            peer.answer((await requests(peer, 1))[0])
        for peer in (first, second, fourth):
            await peer.wait_closed()
        # The one with the open call is all that is left, and takes the next one.
        assert len(relay.upstream.links) == 1
        third.answer((await requests(third, 1))[0])
        calls.append(client.request())
        third.answer((await requests(third, 2))[1])
        assert [await status(client, call) for call in calls] == [0] * 5


async def test_of_connections_that_are_all_idle_the_first_one_stays():
    policy = pool_with(connections=6, idle_seconds=0.2)
    async with (
        running_raw_backend(max_streams=1) as backend,
        relaying(backend.port, pool=policy) as relay,
        raw_client(relay.port) as client,
    ):
        calls = [client.request() for _ in range(3)]
        first, *others = [await backend.accepted() for _ in calls]
        for peer in (first, *others):
            peer.answer((await requests(peer, 1))[0])
        for peer in others:
            await peer.wait_closed()
        calls.append(client.request())
        first.answer((await requests(first, 2))[1])
        assert [await status(client, call) for call in calls] == [0] * 4
        assert relay.upstream.pool.connects["ok"] == 3
        assert not first.closed.is_set()


async def test_the_backend_s_streams_are_never_exceeded_and_nobody_jumps_the_queue():
    async with (
        running_raw_backend(max_streams=2) as backend,
        relaying(backend.port, pool=ONE) as relay,
        raw_client(relay.port) as client,
    ):
        paths = [b"/a.B/Call%d" % number for number in range(9)]
        calls = [client.request(request_headers(path)) for path in paths]
        peer = await backend.accepted()
        for count, path in enumerate(paths, start=1):
            stream_id = (await requests(peer, count))[count - 1]
            assert (b":path", path) in peer.headers(stream_id)
            assert sum(stream.open for stream in peer.h2.streams.values()) <= 2
            peer.answer(stream_id)
        assert [await status(client, call) for call in calls] == [0] * len(calls)


async def test_a_call_that_comes_when_a_stream_is_free_again_goes_behind_those_that_wait():
    async with (
        running_raw_backend(max_streams=1) as backend,
        relaying(backend.port, pool=ONE) as relay,
        raw_client(relay.port) as client,
    ):
        client.request()
        peer, _ = await backend.requested()
        client.request(request_headers(b"/a.B/Waiting"))

        async def it_waits() -> bool:
            return relay.upstream.pool.waiting == 1

        await eventually(it_waits)
        [link] = relay.upstream.links
        [stream] = link.connection.streams.values()
        events = []
        # In one turn: the stream ends, and another call comes before the waiting one is forwarded.
        link.connection.reset(stream, ErrorCodes.CANCEL)
        relay.upstream.pool.send(late := LateCall(events))
        assert events == []
        relay.upstream.pool.forget(late)
        assert (b":path", b"/a.B/Waiting") in peer.headers((await requests(peer, 2))[1])


class LateCall:
    caller = "bob"

    def __init__(self, events):
        self.events = events

    def forward(self, link):
        self.events.append(link)

    def end(self, reason):
        self.events.append(reason)


async def test_a_call_that_waits_for_a_stream_ends_at_its_deadline_and_holds_up_nobody():
    async with (
        running_raw_backend(max_streams=1) as backend,
        relaying(backend.port, pool=ONE) as relay,
        raw_client(relay.port) as client,
    ):
        first = client.request()
        peer, stream_id = await backend.requested()
        hurried = client.request(request_headers(b"/a.B/C", (b"grpc-timeout", b"100m")))
        patient = client.request()
        assert await status(client, hurried) == 4
        client.h2.reset_stream(hurried := client.request(), ErrorCodes.CANCEL)
        client.flush()
        peer.answer(stream_id)
        peer.answer((await requests(peer, 2))[1])
        assert await status(client, first) == await status(client, patient) == 0
        await relay.idle()
        assert not relay.upstream.pool.waiting
        assert len(await requests(peer, 2)) == 2


async def test_calls_that_are_too_many_to_wait_are_refused_and_counted():
    async with (
        running_raw_backend(max_streams=1) as backend,
        relaying(backend.port, pool=pool_with(connections=1, waiting=6)) as relay,
        raw_client(relay.port) as client,
    ):
        calls = [client.request()]
        peer, stream_id = await backend.requested()
        calls += [client.request() for _ in range(3)]
        refused = [client.request() for _ in range(2)]
        assert [await status(client, call) for call in refused] == [8, 8]
        assert relay.listener.hits.counts[RelayLimit.WAITING_CALLS_PER_USER] == 2
        assert relay.listener.hits.counts[RelayLimit.WAITING_CALLS] == 0
        for count in range(4):
            peer.answer((await requests(peer, count + 1))[count])
        assert [await status(client, call) for call in calls] == [0] * 4
        assert stream_id == 1


async def test_a_backend_that_allows_no_stream_at_all_gets_none_until_it_does():
    async with (
        running_raw_backend(max_streams=0) as backend,
        relaying(backend.port, pool=ONE) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request()
        peer = await backend.accepted()
        await round_trip(client)
        await round_trip(peer)
        assert not any(isinstance(event, RequestReceived) for event in peer.events)
        peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 5})
        peer.flush()
        peer.answer((await requests(peer, 1))[0])
        assert await status(client, mine) == 0


async def test_a_lower_stream_limit_in_mid_connection_counts_at_once(raw_backend):
    async with relaying(raw_backend.port, pool=ONE) as relay, raw_client(relay.port) as client:
        calls = [client.request() for _ in range(3)]
        peer = await raw_backend.accepted()
        await requests(peer, 3)
        peer.send_raw(frame(4, 0, 0, b"\0\3\0\0\0\1"))
        await round_trip(peer)
        calls.append(client.request())
        await round_trip(client)
        for stream_id in (1, 3):
            peer.answer(stream_id)
        await round_trip(peer)
        assert len(await requests(peer, 3)) == 3
        peer.answer(5)
        peer.answer((await requests(peer, 4))[3])
        assert [await status(client, call) for call in calls] == [0] * 4


# Lost, and found again.


async def test_a_restart_under_load_loses_only_what_is_in_flight_and_that_at_once():
    backend = EchoBackend()
    await backend.start()
    async with relaying(backend.port) as relay, channel(relay.target) as client:
        in_flight = [client.unary_unary("/a.B/Silent")(b"", timeout=60.0) for _ in range(20)]
        codes = [asyncio.ensure_future(call.code()) for call in in_flight]
        await backend.call_number(19)
        done: list[grpc.StatusCode] = []
        stopping = asyncio.Event()

        async def load():
            while not stopping.is_set():
                call = client.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT)
                done.append(await call.code())

        loaders = [asyncio.create_task(load()) for _ in range(8)]
        await backend.stop()
        async with asyncio.timeout(TIMEOUT):
            assert {await code for code in codes} == {grpc.StatusCode.UNAVAILABLE}
        await backend.start(backend.port)
        back = len(done)

        async def it_is_found_again() -> bool:
            return done[back:].count(grpc.StatusCode.OK) >= 50

        await eventually(it_is_found_again)
        stopping.set()
        await asyncio.gather(*loaders)
        assert set(done) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    await backend.stop()


async def test_while_the_backend_is_away_one_attempt_at_a_time_is_made_and_no_call_waits():
    attempts = 0
    tcp = None

    async def connect(factory):
        nonlocal attempts
        attempts += 1
        if tcp is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return await tcp(factory)

    pool = pool_with(backoff=BackoffPolicy(first_seconds=0.05, longest_seconds=0.05))
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, connect=connect, pool=pool) as relay,
        raw_client(relay.port) as client,
    ):
        calls = [client.request() for _ in range(100)]
        for call in calls:
            headers, _, _ = await client.response(call)
            assert dict(headers)[b"grpc-status"] == b"14"
            assert b"Connection refused" in dict(headers)[b"grpc-message"]
        assert f"127.0.0.1:{backend.port}" in relay.upstream.pool.failure
        tcp = over_tcp(Address("127.0.0.1", backend.port), timeout_seconds=2.0)
        # It comes back without a call that asks for it.
        peer = await backend.accepted()

        async def it_is_back() -> bool:
            return relay.upstream.pool.failure is None

        await eventually(it_is_back)
        made = attempts
        mine = client.request()
        peer.answer((await requests(peer, 1))[0])
        assert await status(client, mine) == 0
        assert attempts == made


async def test_a_backend_that_accepts_every_call_and_hangs_up_is_not_stormed(
    raw_relay, raw_backend
):
    async def hang_up():
        while True:
            peer, _ = await raw_backend.requested()
            peer.writer.transport.abort()

    hanging_up = asyncio.create_task(hang_up())
    async with raw_client(raw_relay.port) as client:
        for _ in range(200):
            assert await status(client, client.request()) == 14
    hanging_up.cancel()
    await asyncio.wait((hanging_up,))
    # Two at once; then its delays are 0.1 s and more, and this lasts a second or two.
    assert len(raw_backend._all) < 30


async def test_a_rolling_goaway_under_load_loses_no_call(raw_relay, raw_backend):
    """Every connection leaves after ten calls, having looked at nine of them."""

    async def serve(peer):
        for count in range(1, 11):
            stream_id = (await requests(peer, count))[count - 1]
            if count < 10:
                peer.answer(stream_id, message(b"x"))
            else:
                peer.send_raw(goaway(stream_id - 2))

    async def accept():
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(serve(await raw_backend.accepted()))

    accepting = asyncio.create_task(accept())
    async with raw_client(raw_relay.port) as client:
        for _ in range(8):
            calls = [client.request(body=message(b"q")) for _ in range(5)]
            for call in calls:
                assert (await client.response(call))[1] == message(b"x")
    accepting.cancel()
    await asyncio.wait((accepting,))
    assert len(raw_backend._all) >= 4


async def test_a_long_silent_call_is_not_ended_by_a_server_that_counts_pings(backend):
    """C-core's servers punish a third PING in a row, so there is none while nothing is wrong."""
    async with relaying(backend.port) as relay, channel(relay.target) as client:
        call = client.unary_unary("/a.B/Gated")(b"x", timeout=TIMEOUT)
        waiting = asyncio.ensure_future(call.code())
        await backend.call_number(0)
        [link] = relay.upstream.links
        link._was_heard = False
        link._check()
        backend.gate.set()
        assert await waiting is grpc.StatusCode.OK
        # And without a call it is not asked at all.
        await relay.idle()
        link._was_heard = False
        before = link.connection._pings
        link._check()
        assert link.connection._pings == before
