"""Floods that the limits' own tests leave out: each ends the connection that sends it."""

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, StreamReset
from hpack import Encoder

from tests.support.frame_sequences import frame
from tests.support.policies import limits_with
from tests.support.raw_http2 import (
    ANSWER,
    OK,
    message,
    raw_client,
    request_headers,
    round_trip,
)
from tests.support.raw_http2 import raw_backend as running_raw_backend
from tests.support.relay import relaying
from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.limits import Limit

LIMITS = limits_with(useless_weight=500)
ONE = (1).to_bytes(4)
#: Of a message that is longer than what comes of it.
PREFIX = b"\0" + (2**20).to_bytes(4)


async def ended_for_it(relay, client):
    terminated = await client.wait_for(ConnectionTerminated)
    await client.wait_closed()
    hits = {limit: count for limit, count in relay.listener.hits.counts.items() if count}
    return terminated.error_code == ErrorCodes.ENHANCE_YOUR_CALM and hits == {
        Limit.USELESS_FRAMES: 1
    }


def goaways(client):
    return [event.error_code for event in client.events if isinstance(event, ConnectionTerminated)]


@pytest.mark.parametrize(
    "useless",
    [
        frame(frames.WINDOW_UPDATE, 0, 0, ONE) * 600,
        frame(frames.WINDOW_UPDATE, 0, 1, ONE) * 600,
        frame(frames.SETTINGS, frames.ACK, 0) * 600,
        frame(frames.GOAWAY, 0, 0, bytes(8)) * 600,
        frame(frames.DATA, 0, 1) * 600,
        frame(frames.DATA, frames.PADDED, 1, bytes((9,)) + bytes(9)) * 600,
        frame(frames.DATA, 0, 1, PREFIX) + frame(frames.DATA, 0, 1, b"x") * 600,
        frame(frames.DATA, 0, 1, PREFIX) + frame(frames.DATA, 0, 1, bytes(255)) * 600,
        (frame(frames.DATA, 0, 1, bytes(2)) + frame(frames.DATA, 0, 1, bytes(3))) * 600,
    ],
    ids=[
        *("window", "stream window", "SETTINGS ACK", "GOAWAY", "DATA", "padding"),
        *("single bytes", "shreds", "halves of prefixes"),
    ],
)
async def test_10_5_a_flood_of_useless_frames_costs_its_connection_only(useless):
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, limits=LIMITS) as relay,
        raw_client(relay.port) as honest,
        raw_client(relay.port) as client,
    ):
        mine = honest.request()
        peer, stream_id = await backend.requested()
        assert client.request(end=False) == 1
        await round_trip(client)
        client.send_raw(useless)
        assert await ended_for_it(relay, client)
        peer.answer(stream_id, message(b"honest"))
        assert await honest.response(mine) == (list(ANSWER), message(b"honest"), list(OK))


@pytest.mark.parametrize(
    "talk",
    [
        lambda stream: frame(frames.DATA, 0, stream, b"x"),
        lambda stream: frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream),
        lambda stream: frame(frames.RST_STREAM, 0, stream, bytes(4)),
        lambda stream: frame(frames.WINDOW_UPDATE, 0, stream, ONE),
    ],
    ids=["DATA", "trailers", "RST_STREAM", "window"],
)
async def test_10_5_talk_on_streams_that_were_refused_costs_the_connection(talk):
    limits = limits_with(useless_weight=500, concurrent_streams=1)
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, limits=limits) as relay,
        raw_client(relay.port) as client,
    ):
        client.request(end=False)
        refused = client.request(end=False)
        await client.wait_for(StreamReset, refused)
        client.send_raw(talk(refused) * 600)
        terminated = await client.wait_for(ConnectionTerminated)
        assert terminated.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        assert relay.listener.hits.counts[Limit.USELESS_FRAMES] == 1


async def test_10_5_calls_after_the_last_goaway_cost_the_connection():
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, limits=LIMITS) as relay,
        raw_client(relay.port) as client,
    ):
        client.request(end=False)
        await backend.requested()
        [link] = relay.listener._reception.links
        link.leave()
        await client.until(lambda: len(goaways(client)) == 2)
        block = Encoder().encode(request_headers())
        client.send_raw(
            b"".join(
                frame(frames.HEADERS, frames.END_HEADERS, number, block)
                for number in range(101, 1301, 2)
            )
        )
        await client.wait_closed()
        assert goaways(client)[2:] == [ErrorCodes.ENHANCE_YOUR_CALM]
        assert relay.listener.hits.counts[Limit.USELESS_FRAMES] == 1


@pytest.mark.parametrize(
    "provocation",
    [
        # A window over 2^31-1, an update by nothing, PRIORITY of a wrong size.
        lambda stream: frame(frames.WINDOW_UPDATE, 0, stream, (2**31 - 1).to_bytes(4)),
        lambda stream: frame(frames.WINDOW_UPDATE, 0, stream, bytes(4)),
        lambda stream: frame(frames.PRIORITY, 0, stream, bytes(3)),
    ],
    ids=["window overflow", "zero update", "short PRIORITY"],
)
async def test_resets_that_a_client_makes_us_send_count_like_its_own(provocation):
    """CVE-2025-8671, "MadeYouReset": the limit on open streams does not see them."""
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, limits=LIMITS) as relay,
        raw_client(relay.port) as client,
    ):
        for _ in range(100):
            client.send_raw(provocation(client.request(end=False)))
        assert await ended_for_it(relay, client)


@pytest.mark.parametrize(
    "pieces",
    [[message(b"x" * 3)], [message(b"x" * 3)[:5], b"x" * 3], [message(b"")], [message(bytes(700))]],
    ids=["whole", "prefix by itself", "empty", "larger"],
)
async def test_many_small_messages_are_no_flood(pieces):
    count = LIMITS.useless_weight * 2
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, limits=LIMITS) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request(end=False)
        peer, stream_id = await backend.requested()
        client.send_raw(b"".join(frame(frames.DATA, 0, mine, piece) for piece in pieces) * count)
        size = sum(map(len, pieces)) * count
        await peer.until(lambda: peer.received_bytes(stream_id) == size)
        assert not client.closed.is_set()
        assert not relay.listener.hits.counts[Limit.USELESS_FRAMES]


async def test_6_9_an_update_for_every_byte_that_came_is_no_flood():
    """What a receiver sends that takes single bytes: two updates for each frame of data."""
    size = 2000
    async with (
        running_raw_backend() as backend,
        relaying(backend.port, limits=LIMITS) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request(request_headers())
        peer, stream_id = await backend.requested()
        peer.h2.send_headers(stream_id, list(ANSWER))
        for octet in message(bytes(size)):
            peer.h2.send_data(stream_id, bytes((octet,)))
            peer.flush()
        peer.h2.send_headers(stream_id, list(OK), end_stream=True)
        peer.flush()
        _, body, trailers = await client.response(mine)
        assert (len(body), trailers) == (size + 5, list(OK))
        pieces = sum(isinstance(event, DataReceived) for event in client.events)
        assert pieces > LIMITS.useless_weight // 2, "or the limit would not be reached anyway"
        client.send_raw(frame(frames.WINDOW_UPDATE, 0, 0, ONE) * 2 * pieces)
        await round_trip(client)
        assert not client.closed.is_set()
        assert not relay.listener.hits.counts[Limit.USELESS_FRAMES]
