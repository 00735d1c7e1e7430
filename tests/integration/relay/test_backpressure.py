"""A slow receiver slows only its own sender; memory stays bounded."""

import asyncio

import grpc
import grpc.aio
import pytest
from h2.settings import SettingCodes

from tests.support.echo_backend import echo_backend, pattern
from tests.support.raw_http2 import (
    ANSWER,
    OK,
    Pump,
    acknowledge,
    message,
    raw_client,
    request_headers,
    round_trip,
)
from tests.support.relay import channel, relay_process
from tests.support.relay_parts import MAX_MESSAGE_BYTES

MEBIBYTE = 2**20
# What may lie between the two ends: the window that the relay gives to the sender, what the
# receiver takes in on its own, and a few pieces in the relay's hands and in sockets.
IN_BETWEEN = MEBIBYTE + 65_535 + 512 * 1024
TIMEOUT = 10.0


@pytest.fixture
def slow_backend(raw_backend):
    raw_backend._options["acknowledges"] = False
    return raw_backend


async def test_a_backend_that_does_not_read_stops_the_client(raw_relay, slow_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(end=False)
        backend, stream_id = await slow_backend.requested()
        pump = Pump(client, mine, 8 * MEBIBYTE)
        sent = await pump.until_stalled()
        assert backend.received_bytes(stream_id) == 65_535
        assert sent <= IN_BETWEEN
        # And on it goes when it reads.
        backend.acknowledges = True
        acknowledge(backend, stream_id, 65_535)
        await pump.to_the_end()
        await backend.until(
            lambda: backend.received_bytes(stream_id) == len(message(bytes(8 * MEBIBYTE)))
        )
        assert backend.body(stream_id) == message(pattern(8 * MEBIBYTE))


async def test_a_client_that_does_not_read_stops_the_backend(raw_relay, raw_backend):
    async with raw_client(raw_relay.port, acknowledges=False) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, list(ANSWER))
        pump = Pump(backend, stream_id, 8 * MEBIBYTE)
        sent = await pump.until_stalled()
        assert client.received_bytes(mine) == 65_535
        assert sent <= IN_BETWEEN
        client.acknowledges = True
        acknowledge(client, mine, 65_535)
        await pump.to_the_end()
        backend.h2.send_headers(stream_id, list(OK), end_stream=True)
        backend.flush()
        _, body, trailers = await client.response(mine)
        assert body == message(pattern(8 * MEBIBYTE))
        assert trailers == list(OK)


async def test_a_client_whose_socket_is_full_stops_the_backend(raw_relay, raw_backend):
    async with raw_client(raw_relay.port, acknowledges=False) as client:
        # Windows without end: only the socket holds the relay back.
        client.h2.increment_flow_control_window(2**30)
        mine = client.request()
        client.h2.increment_flow_control_window(2**30, mine)
        client.flush()
        backend, stream_id = await raw_backend.requested()
        await round_trip(client)
        client.stop_reading()
        backend.h2.send_headers(stream_id, list(ANSWER))
        pump = Pump(backend, stream_id, 64 * MEBIBYTE)
        sent = await pump.until_stalled()
        assert sent <= 32 * MEBIBYTE, "the kernel's buffers are the largest part"
        client.resume_reading()
        await pump.to_the_end()


async def test_a_stream_that_the_backend_does_not_read_stalls_no_other(client, backend):
    stalled = client.stream_unary("/a.B/Deaf")(timeout=60.0)

    async def write():
        for _ in range(64):
            await stalled.write(pattern(MEBIBYTE))
        await stalled.done_writing()

    writing = asyncio.create_task(write())
    await backend.call_number(0)
    for _ in range(50):
        assert await client.unary_unary("/a.B/Unary")(bytes(100_000), timeout=TIMEOUT)
    assert not writing.done()
    backend.gate.set()
    await writing
    assert int(await stalled) == 64 * MEBIBYTE


async def test_a_stream_that_the_client_does_not_read_stalls_no_other(client, backend):
    stalled = client.unary_stream("/a.B/Endless")(b"", timeout=60.0)
    await stalled.read()
    for _ in range(50):
        assert await client.unary_unary("/a.B/Unary")(bytes(100_000), timeout=TIMEOUT)
    taken = len(backend.calls[0].received)
    for _ in range(20):
        await client.unary_unary("/a.B/Unary")(b"", timeout=TIMEOUT)
    assert len(backend.calls[0].received) == taken <= 32
    for _ in range(taken + 5):
        assert len(await stalled.read()) == MEBIBYTE
    stalled.cancel()


async def test_many_stalled_streams_of_one_client_do_not_stall_another(raw_relay, slow_backend):
    # The backend's connection has room; only the streams have none.
    async with raw_client(raw_relay.port) as slow, raw_client(raw_relay.port) as quick:
        stalled = slow.request(end=False)
        backend, _ = await slow_backend.requested()
        backend.h2.increment_flow_control_window(2**24)
        backend.flush()
        pumps = [Pump(slow, stalled, 4 * MEBIBYTE)]
        pumps += [Pump(slow, slow.request(end=False), 4 * MEBIBYTE) for _ in range(9)]
        for pump in pumps:
            await pump.until_stalled()
        mine = quick.request(request_headers(b"/a.B/Quick"), message(b"x"))
        theirs = await backend.until(
            lambda: next(
                (
                    stream_id
                    for stream_id in list(backend.h2.streams)
                    if (b":path", b"/a.B/Quick") in backend.headers(stream_id)
                ),
                None,
            )
        )
        backend.answer(theirs, message(b"y"))
        assert (await quick.response(mine))[1] == message(b"y")


async def test_the_initial_window_may_change_while_streams_are_open(raw_relay, raw_backend):
    async with raw_client(raw_relay.port, acknowledges=False) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, list(ANSWER))
        pump = Pump(backend, stream_id, 200_000)
        await pump.until_stalled()
        client.h2.increment_flow_control_window(MEBIBYTE)
        # Lower: the window is negative now, and a few acknowledgements change nothing.
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        client.flush()
        await round_trip(client)
        acknowledge(client, mine, 40_000)
        await round_trip(client)
        assert client.received_bytes(mine) == 65_535
        # Higher: the stream goes on without any WINDOW_UPDATE of its own.
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 400_000})
        client.flush()
        await client.until(lambda: client.received_bytes(mine) == 200_005)


async def test_a_larger_frame_size_is_taken_in_mid_connection(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 40_000})
        client.flush()
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, list(ANSWER))
        pump = Pump(backend, stream_id, 300_000)
        await pump.to_the_end()
        backend.h2.send_headers(stream_id, list(OK), end_stream=True)
        backend.flush()
        assert (await client.response(mine))[1] == message(pattern(300_000))


# The largest messages, through a relay in its own process, whose memory can be measured.

# Interpreter noise and the pieces in flight; a sixteenth of the message would be 16 MiB.
ROOM = 24 * MEBIBYTE


async def test_the_largest_messages_pass_in_little_memory():
    async with (
        echo_backend() as backend,
        relay_process(backend.port) as relay,
        channel(f"127.0.0.1:{relay.port}") as client,
    ):
        await client.unary_unary("/a.B/Unary")(bytes(3 * MEBIBYTE), timeout=TIMEOUT)
        before = relay.peak_memory_bytes()
        largest = pattern(MAX_MESSAGE_BYTES)
        assert (
            await client.unary_unary("/a.B/Count")(largest, timeout=60.0)
            == str(MAX_MESSAGE_BYTES).encode()
        )
        after_upload = relay.peak_memory_bytes()
        answer = await client.unary_unary("/a.B/Large")(
            str(MAX_MESSAGE_BYTES).encode(), timeout=60.0
        )
        assert answer == largest
        after_download = relay.peak_memory_bytes()
    print(f"up {(after_upload - before) >> 20} MiB, down {(after_download - before) >> 20} MiB")
    assert after_upload - before < ROOM
    assert after_download - before < ROOM


async def test_a_receiver_that_stands_still_costs_little_memory(slow_backend):
    async with (
        relay_process(slow_backend.port) as relay,
        raw_client(relay.port) as client,
    ):
        before = relay.memory_bytes()
        mine = client.request(end=False)
        await slow_backend.requested()
        sent = await Pump(client, mine, 64 * MEBIBYTE).until_stalled()
        grown = relay.peak_memory_bytes() - before
    assert sent <= IN_BETWEEN
    assert grown < ROOM


async def test_a_message_that_says_it_is_huge_reserves_nothing(raw_relay):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(body=b"\0" + (2**32 - 1).to_bytes(4), end=False)
        headers, _, _ = await client.response(mine)
    assert (
        dict(headers)[b"grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]).encode()
    )
