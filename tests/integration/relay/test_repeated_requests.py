"""Requests that were surely not processed go out once more; no others do."""

import pytest
from h2.errors import ErrorCodes
from h2.events import StreamReset

from tests.support.raw_http2 import OK, message, raw_client, requests, round_trip, status
from tests.support.waiting import eventually


@pytest.mark.parametrize("ended", [True, False])
async def test_8_7_a_refused_request_is_sent_again_whole(raw_relay, raw_backend, ended):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"one"), end=ended)
        peer, stream_id = await raw_backend.requested()
        await peer.until(lambda: peer.body(stream_id) == message(b"one"))
        peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
        peer.flush()
        again = (await requests(peer, 2))[1]
        assert peer.headers(again) == peer.headers(stream_id)
        if not ended:
            client.h2.send_data(mine, message(b"two"), end_stream=True)
            client.flush()
        whole = message(b"one") + (b"" if ended else message(b"two"))
        await peer.until(lambda: peer.body(again) == whole)
        peer.answer(again, message(b"x"))
        assert (await client.response(mine))[1] == message(b"x")


async def test_a_refused_request_gives_its_client_no_window_twice(raw_relay, raw_backend):
    body = message(bytes(20_000))
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=body[:10_000], end=False)
        client.h2.send_data(mine, body[10_000:])
        client.flush()
        peer = await raw_backend.accepted()
        for number in range(3):
            stream_id = (await requests(peer, number + 1))[number]
            await peer.until(lambda stream_id=stream_id: peer.body(stream_id) == body)
            if number < 2:
                peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
                peer.flush()
        await round_trip(client)
        [link] = raw_relay.listener._reception.links
        assert link.connection._window + link.connection._owed == 16 * 2**20
        [stream] = link.connection.streams.values()
        assert stream.receive_window + stream.owed == 2**20
        client.h2.end_stream(mine)
        client.flush()
        peer.answer(stream_id)
        assert (await client.response(mine))[2] == list(OK)


async def test_a_request_of_which_too_much_was_sent_is_not_sent_again(raw_relay, raw_backend):
    body = message(bytes(100_000))
    raw_backend._options["initial_window"] = 2**20
    async with raw_client(raw_relay.port) as client:
        client.h2.increment_flow_control_window(2**20)
        mine = client.request(end=False)
        peer, stream_id = await raw_backend.requested()
        for start in range(0, len(body), 16_000):
            client.h2.send_data(mine, body[start : start + 16_000])
        client.flush()
        await peer.until(lambda: len(peer.body(stream_id)) > 65_000)
        peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
        peer.flush()
        assert await status(client, mine) == 14
        assert len(await requests(peer, 1)) == 1


async def test_a_backend_that_refuses_for_ever_is_asked_three_times(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"x"))
        peer, _ = await raw_backend.requested()
        for number in range(3):
            peer.h2.reset_stream(
                (await requests(peer, number + 1))[number], ErrorCodes.REFUSED_STREAM
            )
            peer.flush()
        assert await status(client, mine) == 14
        await round_trip(peer)
        assert len(await requests(peer, 3)) == 3


@pytest.mark.parametrize("code", [ErrorCodes.CANCEL, ErrorCodes.INTERNAL_ERROR, 0])
async def test_a_reset_that_may_have_come_after_work_was_done_is_final(
    raw_relay, raw_backend, code
):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"x"))
        peer, stream_id = await raw_backend.requested()
        peer.h2.reset_stream(stream_id, code)
        peer.flush()
        assert await status(client, mine) != 0
        await round_trip(peer)
        assert len(await requests(peer, 1)) == 1


async def test_a_refusal_after_an_answer_has_begun_is_final(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"x"))
        peer, stream_id = await raw_backend.requested()
        peer.answer(stream_id, message(b"y"), trailers=None)
        peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
        peer.flush()
        assert await status(client, mine) == 14
        assert len(await requests(peer, 1)) == 1


async def test_a_connection_that_is_lost_with_a_request_on_it_is_the_request_s_end(
    raw_relay, raw_backend
):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=message(b"x"))
        peer, _ = await raw_backend.requested()
        peer.writer.transport.abort()
        assert await status(client, mine) == 14
        assert raw_backend._peers.empty()


async def test_a_request_of_which_nothing_was_written_survives_the_loss_of_its_connection(
    raw_relay, raw_backend
):
    async with raw_client(raw_relay.port) as client:
        first = client.request()
        peer, stream_id = await raw_backend.requested()
        peer.answer(stream_id)
        assert await status(client, first) == 0
        [link] = raw_relay.upstream.links
        # The request is put on the connection and never flushed: the loss comes first.
        link._is_flush_due = True
        mine = client.request(body=message(b"x"))

        async def it_is_on_the_connection() -> bool:
            return bool(link.connection.streams)

        await eventually(it_is_on_the_connection)
        peer.writer.transport.abort()
        second, again = await raw_backend.requested()
        await second.until(lambda: second.body(again) == message(b"x"))
        second.answer(again, message(b"y"))
        assert (await client.response(mine))[1] == message(b"y")


async def test_a_cancelled_call_reaches_the_backend_wherever_it_was_sent_again(
    raw_relay, raw_backend
):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(end=False)
        peer, stream_id = await raw_backend.requested()
        peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
        peer.flush()
        again = (await requests(peer, 2))[1]
        client.h2.reset_stream(mine, ErrorCodes.CANCEL)
        client.flush()
        assert (await peer.wait_for(StreamReset, again)).error_code == ErrorCodes.CANCEL
        await raw_relay.idle()
