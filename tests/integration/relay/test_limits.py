"""Each limit is broken by one client; it alone feels it, it is counted, another goes on."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
import structlog
from grpclib.const import Status
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, RequestReceived, StreamReset
from h2.exceptions import ProtocolError

from tests.support.frame_sequences import frame
from tests.support.policies import bounds_with, connection_limits_with, lifetime_with, limits_with
from tests.support.raw_http2 import (
    ANSWER,
    OK,
    Pump,
    message,
    raw_client,
    request_headers,
    round_trip,
    status,
)
from tests.support.raw_http2 import raw_backend as running_raw_backend
from tests.support.relay import relaying
from tests.support.waiting import eventually
from vecguard.errors import UnavailableError
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.limits import Limit
from vecguard.proxy.relay.calls.call import Call
from vecguard.proxy.relay.limits import RelayLimit

MEBIBYTE = 2**20
SOON = 0.2


@asynccontextmanager
async def limited(*, backend=None, **options):
    """A relay with these limits, and a client with an open call that nothing may touch."""
    async with (
        running_raw_backend(**(backend or {})) as raw,
        relaying(raw.port, **options) as relay,
        raw_client(relay.port) as honest,
    ):
        mine = honest.request(request_headers(b"/a.B/Honest"))
        peer, stream_id = await raw.requested()
        yield relay, raw
        peer.answer(stream_id, message(b"honest"))
        assert await honest.response(mine) == (list(ANSWER), message(b"honest"), list(OK))
        assert not honest.closed.is_set()


def hits(relay):
    return {limit: count for limit, count in relay.listener.hits.counts.items() if count}


async def connection_error(client):
    terminated = await client.wait_for(ConnectionTerminated)
    await client.wait_closed()
    return terminated.error_code


# One connection.


async def test_more_streams_than_allowed_are_refused_and_the_others_go_on():
    async with limited(limits=limits_with(concurrent_streams=3)) as (relay, _):
        async with raw_client(relay.port) as client:
            calls = [client.request() for _ in range(5)]
            for call in calls[3:]:
                reset = await client.wait_for(StreamReset, call)
                assert reset.error_code == ErrorCodes.REFUSED_STREAM
            await round_trip(client)
            assert len(client.h2.streams) >= 3
        assert hits(relay) == {Limit.STREAMS: 2}


async def test_10_5_1_headers_over_the_limit_cost_their_call_only():
    async with limited() as (relay, raw):
        async with raw_client(relay.port) as client:
            many = [(b"k%d" % number, b"v" * 1000) for number in range(80)]
            mine = client.request(request_headers(b"/a.B/C", *many))
            headers, _, _ = await client.response(mine)
            assert headers[0] == (b":status", b"200")
            assert dict(headers)[b"grpc-status"] == b"8"
            assert dict(headers)[b"grpc-message"] == b"the headers are too large"
            # The tables of both sides are still equal.
            good = client.request(request_headers(b"/a.B/C", *many[:3]))
            peer = raw._all[0]
            await peer.until(
                lambda: sum(isinstance(event, RequestReceived) for event in peer.events) == 2
            )
            assert set(many[:3]) <= set(peer.headers(3))
            peer.answer(3)
            assert await status(client, good) == 0
        assert hits(relay) == {Limit.HEADER_LIST: 1}


async def test_10_5_1_a_block_without_end_costs_the_connection():
    async with limited() as (relay, _):
        async with raw_client(relay.port) as client:
            client.send_raw(frame(1, 0, 1) + frame(9, 0, 1, bytes(16_000)) * 10)
            assert await connection_error(client) == ErrorCodes.ENHANCE_YOUR_CALM
        assert hits(relay) == {Limit.HEADER_BLOCK: 1}


async def test_10_5_continuations_without_a_byte_cost_the_connection():
    async with limited() as (relay, _):
        async with raw_client(relay.port) as client:
            client.send_raw(frame(1, 0, 1) + frame(9, 0, 1) * 100)
            assert await connection_error(client) == ErrorCodes.ENHANCE_YOUR_CALM
        assert hits(relay) == {Limit.HEADER_BLOCK: 1}


async def test_a_frame_over_the_size_costs_the_connection():
    async with limited() as (relay, _), raw_client(relay.port) as client:
        mine = client.request(end=False)
        await round_trip(client)
        client.send_raw(frame(0, 0, mine, message(bytes(16_379))))
        await round_trip(client)
        client.send_raw(frame(0, 0, mine, bytes(16_385)))
        assert await connection_error(client) == ErrorCodes.FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    "useless",
    [
        frame(6, 0, 0, bytes(8)) * 600,
        frame(4, 0, 0) * 60,
        frame(2, 0, 1, bytes(5)) * 600,
        frame(0xEE, 0, 0) * 600,
        frame(6, 1, 0, b"vecguard") * 600,
    ],
    ids=["PING", "SETTINGS", "PRIORITY", "unknown", "PING acknowledgements"],
)
async def test_10_5_floods_cost_the_connection(useless):
    async with limited(limits=limits_with(useless_weight=500)) as (relay, _):
        async with raw_client(relay.port) as client:
            client.send_raw(useless)
            assert await connection_error(client) == ErrorCodes.ENHANCE_YOUR_CALM
        assert hits(relay) == {Limit.USELESS_FRAMES: 1}


async def test_10_5_rapid_resets_cost_the_connection_and_reach_no_backend():
    async with limited(limits=limits_with(useless_weight=500)) as (relay, raw):
        async with raw_client(relay.port) as client:
            for _ in range(150):
                client.h2.reset_stream(client.request(), ErrorCodes.CANCEL)
            client.flush()
            await client.wait_closed()
        assert hits(relay) == {Limit.USELESS_FRAMES: 1}
        await round_trip(raw._all[0])
        arrived = sum(isinstance(event, RequestReceived) for event in raw._all[0].events)
        assert arrived <= 150


async def test_pings_as_grpc_s_keepalive_sends_them_are_answered_for_ever():
    async with limited() as (relay, _), raw_client(relay.port) as client:
        # Every 10 s without a call, for half a year of hours; none of it in a second.
        for _ in range(500):
            await round_trip(client)
        assert hits(relay) == {}
        [link] = [link for link in relay.listener._reception.links if not link.calls_open]
        assert link.connection.useless_weight <= 500


async def test_a_client_that_talks_and_never_reads_is_cut():
    limits = limits_with(unread_bytes=50_000, useless_weight=10**9)
    async with limited(limits=limits) as (relay, _):
        async with raw_client(relay.port) as client:
            await round_trip(client)
            client.stop_reading()
            # As many as it takes to fill the kernel's buffers, and then the limit.
            pings = frame(6, 0, 0, bytes(8)) * 5000

            async def it_is_cut() -> bool:
                if not client.writer.transport.is_closing():
                    client.send_raw(pings)
                    await asyncio.sleep(0)
                return bool(hits(relay))

            await eventually(it_is_cut)
            client.resume_reading()
            await client.wait_closed()
        assert hits(relay) == {Limit.UNREAD: 1}


@pytest.mark.skipif(is_compiled(), reason="compiled code keeps its own transport")
async def test_what_tls_says_by_itself_counts_as_unread(monkeypatch):
    """Answers to KeyUpdate pass the relay by; they are only seen in what waits for the socket."""
    monkeypatch.setattr("vecguard.proxy.relay.link._UNREAD_SECONDS", 0.01)
    async with (
        limited(limits=limits_with(unread_bytes=1000)) as (relay, _),
        raw_client(relay.port) as client,
    ):
        await round_trip(client)
        [link] = [link for link in relay.listener._reception.links if not link.calls_open]
        waiting = iter([10_000, 500_000, 1_000_000, 2_000_000])

        class Full:
            """The transport of a socket that is not read, and on whose side TLS answers."""

            def __init__(self, transport):
                self._transport = transport

            def __getattr__(self, name):
                return getattr(self._transport, name)

            def get_write_buffer_size(self):
                return next(waiting)

        link._transport = Full(link._transport)
        link.pause_writing()
        await client.wait_closed()
        assert hits(relay) == {Limit.UNREAD: 1}
        assert link.account.held == 0


# What waits in the whole process.


async def test_when_requests_wait_for_too_long_the_client_of_most_of_them_loses_its_calls():
    bounds = bounds_with(buffered_bytes=3 * MEBIBYTE)
    async with limited(backend={"acknowledges": False}, bounds=bounds) as (relay, raw):
        before = relay.listener.buffers.held  # by the call that is open all the time
        async with raw_client(relay.port) as modest, raw_client(relay.port) as greedy:
            small = Pump(modest, modest.request(end=False), MEBIBYTE // 2)
            await small.until_stalled()
            idle = greedy.request(end=False)
            pumps = [Pump(greedy, greedy.request(end=False), 2 * MEBIBYTE) for _ in range(4)]
            for pump in pumps:
                await pump.until_stalled()
            ended = [await status(greedy, pump._stream_id) for pump in pumps[:3]]
            assert ended == [8, 8, 8]
            assert not greedy.headers(idle), "nothing waits for it"
            assert relay.listener.buffers.held < bounds.buffered_bytes
            assert relay.listener.buffers.held >= MEBIBYTE // 4, "the modest one still waits"
            assert not modest.headers(small._stream_id)
        assert hits(relay) == {RelayLimit.BUFFERED: 1}

        async def nothing_is_held() -> bool:
            return relay.listener.buffers.held == before

        await eventually(nothing_is_held)
        await round_trip(raw._all[0])


async def test_when_answers_wait_for_too_long_their_client_loses_them():
    bounds = bounds_with(buffered_bytes=3 * MEBIBYTE)
    async with limited(bounds=bounds) as (relay, raw):
        before = relay.listener.buffers.held  # by the call that is open all the time
        async with raw_client(relay.port, acknowledges=False) as greedy:
            peer = raw._all[0]
            calls = [greedy.request() for _ in range(5)]
            await peer.until(
                lambda: sum(isinstance(event, RequestReceived) for event in peer.events) == 6
            )
            for number in range(1, 6):
                peer.h2.send_headers(2 * number + 1, list(ANSWER))
                with suppress(ProtocolError):  # h2 sends nothing on a stream that was reset
                    await Pump(peer, 2 * number + 1, 2 * MEBIBYTE).until_stalled()
            assert [await status(greedy, call) for call in calls[:3]] == [8, 8, 8]
        assert hits(relay)[RelayLimit.BUFFERED] >= 1
        assert relay.listener.buffers.held < bounds.buffered_bytes

        async def nothing_is_held() -> bool:
            return relay.listener.buffers.held == before

        await eventually(nothing_is_held)


async def test_bytes_that_a_socket_does_not_take_count_and_their_client_is_cut():
    bounds = bounds_with(buffered_bytes=50_000)  # less than a transport takes before it says so
    async with limited(bounds=bounds) as (relay, raw):
        before = relay.listener.buffers.held  # by the call that is open all the time
        async with raw_client(relay.port, acknowledges=False) as client:
            client.h2.increment_flow_control_window(2**30)
            mine = client.request()
            client.h2.increment_flow_control_window(2**30, mine)
            client.flush()
            peer = raw._all[0]
            await peer.until(
                lambda: sum(isinstance(event, RequestReceived) for event in peer.events) == 2
            )
            client.stop_reading()
            peer.h2.send_headers(3, list(ANSWER))
            pump = Pump(peer, 3, 64 * MEBIBYTE)

            async def it_is_cut() -> bool:
                if peer.h2.streams[3].open:
                    pump.push()
                await round_trip(peer)
                return bool(hits(relay))

            await eventually(it_is_cut)
            client.resume_reading()
            await client.wait_closed()
        assert set(hits(relay)) == {RelayLimit.BUFFERED}
        assert relay.listener.buffers.held == before


# Connections.


async def admitted_call(client):
    """A call that stays open: the client keeps its place."""
    client.request(request_headers(b"/a.B/Silent"), end=False)
    await round_trip(client)


@asynccontextmanager
async def socket(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def hung_up(reader):
    async with asyncio.timeout(10.0):
        try:
            return await reader.read() is not None
        except ConnectionError:
            return True


@pytest.mark.parametrize(
    ("policy", "limit"),
    [
        (connection_limits_with(connections=3), RelayLimit.CONNECTIONS),
        (connection_limits_with(connections_per_address=3), RelayLimit.CONNECTIONS_PER_ADDRESS),
    ],
)
async def test_more_connections_than_allowed_are_closed_at_once(policy, limit):
    async with limited(bounds=bounds_with(connections=policy)) as (relay, _):
        async with raw_client(relay.port) as second:
            await admitted_call(second)
            async with raw_client(relay.port) as third:
                await admitted_call(third)
                async with socket(relay.port) as (reader, _):
                    assert await hung_up(reader)
                await round_trip(second)

            async def it_has_left() -> bool:
                return relay.listener.connections == 2

            await eventually(it_has_left)
            async with raw_client(relay.port) as fourth:
                await round_trip(fourth)
        assert hits(relay) == {limit: 1}


async def test_6_8_a_connection_without_an_admitted_call_is_asked_to_leave_in_time():
    bounds = bounds_with(lifetime=lifetime_with(first_call_seconds=SOON))
    async with limited(bounds=bounds) as (relay, _):
        async with raw_client(relay.port) as client:
            terminated = await client.wait_for(ConnectionTerminated)
            assert (terminated.last_stream_id, terminated.error_code) == (2**31 - 1, 0)
            assert await connection_error(client) == ErrorCodes.NO_ERROR
        assert hits(relay) == {RelayLimit.FIRST_CALL: 1}


async def test_a_refused_call_is_no_admitted_one():
    bounds = bounds_with(lifetime=lifetime_with(first_call_seconds=SOON))
    async with limited(bounds=bounds) as (relay, _):
        relay.gatekeeper.refuse(UnavailableError("refused by the test"))
        async with raw_client(relay.port) as client:
            assert await status(client, client.request()) == Status.UNAVAILABLE.value
            assert await connection_error(client) == ErrorCodes.NO_ERROR
        assert hits(relay) == {RelayLimit.FIRST_CALL: 1}


@pytest.mark.parametrize("said", [b"", frames.PREFACE[:10], frames.PREFACE, frames.PREFACE + b"\0"])
async def test_3_4_whoever_does_not_say_its_first_words_in_time_is_hung_up_on(said):
    bounds = bounds_with(lifetime=lifetime_with(greeting_seconds=SOON))
    async with limited(bounds=bounds) as (relay, _):
        async with socket(relay.port) as (reader, writer):
            writer.write(said)
            assert await hung_up(reader)
        assert hits(relay) == {RelayLimit.HANDSHAKE: 1}


async def test_6_8_an_idle_connection_is_asked_to_leave_whatever_pings_come():
    bounds = bounds_with(lifetime=lifetime_with(idle_seconds=SOON))
    async with limited(bounds=bounds) as (relay, _):
        async with raw_client(relay.port) as client:

            async def it_is_told() -> bool:
                if not client.closed.is_set() and not client.writer.transport.is_closing():
                    client.h2.ping(b"12345678")
                    client.flush()
                return any(isinstance(event, ConnectionTerminated) for event in client.events)

            await eventually(it_is_told)
            assert await connection_error(client) == ErrorCodes.NO_ERROR
        assert hits(relay) == {RelayLimit.IDLE: 1}


async def test_6_8_an_old_connection_leaves_when_its_calls_are_over():
    bounds = bounds_with(lifetime=lifetime_with(age_seconds=SOON))
    async with (
        running_raw_backend() as raw,
        relaying(raw.port, bounds=bounds) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request()
        peer, stream_id = await raw.requested()
        terminated = await client.wait_for(ConnectionTerminated)
        assert (terminated.last_stream_id, terminated.error_code) == (2**31 - 1, 0)
        # The second says exactly which streams will be answered.
        await client.until(
            lambda: (
                [
                    event.last_stream_id
                    for event in client.events
                    if isinstance(event, ConnectionTerminated)
                ]
                == [2**31 - 1, mine]
            )
        )
        assert not client.closed.is_set()
        peer.answer(stream_id, message(b"x"))
        assert (await client.response(mine))[1] == message(b"x")
        await client.wait_closed()
        assert hits(relay) == {RelayLimit.AGE: 1}


async def test_calls_that_use_up_their_grace_on_an_old_connection_end_with_unavailable():
    bounds = bounds_with(lifetime=lifetime_with(age_seconds=SOON, grace_seconds=SOON))
    async with (
        running_raw_backend() as raw,
        relaying(raw.port, bounds=bounds) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request()
        peer, stream_id = await raw.requested()
        assert await status(client, mine) == 14
        await peer.wait_for(StreamReset, stream_id)
        await client.wait_closed()
        assert hits(relay) == {RelayLimit.AGE: 1, RelayLimit.AGE_GRACE: 1}


async def test_6_8_what_was_sent_before_a_goaway_was_heard_is_served(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        await round_trip(client)
        client.stop_reading()
        [link] = raw_relay.listener._reception.links
        link.leave()
        mine = client.request()
        peer, stream_id = await raw_backend.requested()
        client.resume_reading()
        peer.answer(stream_id, message(b"x"))
        assert (await client.response(mine))[1] == message(b"x")
        await client.wait_closed()
        last = [e.last_stream_id for e in client.events if isinstance(e, ConnectionTerminated)]
        assert last == [2**31 - 1, mine]


async def test_6_8_what_is_sent_after_the_last_goaway_is_ignored(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        peer, stream_id = await raw_backend.requested()
        [link] = raw_relay.listener._reception.links
        link.leave()
        await client.until(
            lambda: sum(isinstance(event, ConnectionTerminated) for event in client.events) == 2
        )
        client.request(request_headers(b"/a.B/Late", (b"indexed", b"1")), message(b"late"))
        await round_trip(client)
        await round_trip(peer)
        assert sum(isinstance(event, RequestReceived) for event in peer.events) == 1
        peer.answer(stream_id, message(b"x"))
        assert (await client.response(mine))[1] == message(b"x")
        await client.wait_closed()


# Bugs.


@pytest.mark.skipif(is_compiled(), reason="compiled code does not look its methods up")
@pytest.mark.parametrize("method", ["request_data", "response_data", "answered"])
async def test_5_4_2_a_bug_ends_one_stream_and_is_logged_without_what_was_sent(monkeypatch, method):
    whole = getattr(Call, method)

    def broken(self, *arguments, **named):
        if self.client.id == 3:
            raise KeyError("a secret", arguments)
        return whole(self, *arguments, **named)

    async with limited() as (relay, raw):
        monkeypatch.setattr(Call, method, broken)
        with structlog.testing.capture_logs() as logs:
            async with raw_client(relay.port) as client:
                good = client.request(request_headers(b"/a.B/Good"))
                peer = raw._all[0]
                await peer.wait_for(RequestReceived, 3)
                bad = client.request(body=message(b"a secret"))
                assert bad == 3
                if method != "request_data":
                    await peer.wait_for(RequestReceived, 5)
                    peer.answer(5, message(b"x"))
                await client.until(
                    lambda: (
                        client.headers(bad)
                        or any(isinstance(event, StreamReset) for event in client.events)
                    )
                )
                peer.answer(3, message(b"y"))
                assert (await client.response(good))[1] == message(b"y")
            await relay_forgets(relay)
    [entry] = [entry for entry in logs if entry["log_level"] == "error"]
    assert entry["error"] == "KeyError"
    assert any("broken" in place for place in entry["where"])
    assert "a secret" not in str(entry)


async def relay_forgets(relay):
    async def only_the_honest_call_is_left() -> bool:
        return len(relay.open_calls) == 1

    await eventually(only_the_honest_call_is_left)
