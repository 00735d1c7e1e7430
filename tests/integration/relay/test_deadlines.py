"""Deadlines and cancellation, from either side."""

import asyncio
import time

import grpc
import grpc.aio
import pytest
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamReset

from tests.support.raw_http2 import ANSWER, message, raw_client, request_headers
from tests.support.relay import channel, relaying
from tests.support.waiting import eventually
from vecguard.proxy.principal import ANONYMOUS

TIMEOUT = 10.0
#: Long before the deadline.
PROMPTLY = TIMEOUT / 2


async def over(seen):
    async with asyncio.timeout(PROMPTLY):
        await seen.over.wait()
    return seen.ended


async def test_the_backend_sees_the_deadline_and_never_a_later_one(client, backend):
    await client.unary_unary("/a.B/Unary")(b"", timeout=5.0)
    await client.unary_unary("/a.B/Unary")(b"")
    with_deadline, without = backend.calls
    # Between two grpcio peers alone 5 s arrive as up to 5.01 s: it rounds up to 10 ms.
    assert 3.0 < with_deadline.time_remaining <= 5.011
    assert without.time_remaining is None or without.time_remaining > 1e6


@pytest.mark.parametrize(
    ("sent", "least", "most"),
    [
        (b"99999999H", 3.5e11, 3.6e11),
        (b"60M", 3590, 3600),
        (b"3S", 2.5, 3),
        (b"00000003S", 2.5, 3),
        (b"2500m", 2, 2.5),
    ],
)
async def test_every_unit_of_a_timeout_is_passed_on_in_a_legal_form(
    raw_relay, raw_backend, sent, least, most
):
    async with raw_client(raw_relay.port) as client:
        client.request(request_headers(b"/a.B/C", (b"grpc-timeout", sent)))
        backend, stream_id = await raw_backend.requested()
    values = [value for name, value in backend.headers(stream_id) if name == b"grpc-timeout"]
    assert len(values) == 1
    digits, unit = values[0][:-1], values[0][-1:]
    assert 1 <= len(digits) <= 8
    seconds = int(digits) * {b"H": 3600, b"S": 1, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}[unit]
    assert least <= seconds <= most


@pytest.mark.parametrize(
    "value", [b"", b"1", b"S", b"1s", b"-1S", b"1.5S", b"123456789S", b"1 S", b"1S2S", b"\xd9\xa1S"]
)
async def test_a_malformed_timeout_is_refused(raw_relay, value):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(request_headers(b"/a.B/C", (b"grpc-timeout", value)))
        headers, _, _ = await client.response(mine)
    assert (b"grpc-status", b"13") in headers
    assert raw_relay.gatekeeper.seen == []


async def test_the_relay_ends_a_call_whose_backend_ignores_the_deadline(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        started = time.monotonic()
        mine = client.request(request_headers(b"/a.B/C", (b"grpc-timeout", b"200m")))
        backend, stream_id = await raw_backend.requested()
        headers, _, _ = await client.response(mine)
        assert 0.15 < time.monotonic() - started < PROMPTLY
        assert (b"grpc-status", b"4") in headers
        reset = await backend.wait_for(StreamReset, stream_id)
        assert reset.error_code == ErrorCodes.CANCEL


async def test_the_deadline_ends_a_stream_that_has_begun(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(request_headers(b"/a.B/C", (b"grpc-timeout", b"200m")), end=False)
        backend, stream_id = await raw_backend.requested()
        backend.answer(stream_id, message(b"x"), trailers=None)
        headers, body, trailers = await client.response(mine)
    assert (headers, body) == (list(ANSWER), message(b"x"))
    assert (b"grpc-status", b"4") in trailers


async def test_a_timeout_of_nothing_ends_at_once(raw_relay):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(request_headers(b"/a.B/C", (b"grpc-timeout", b"0n")))
        headers, _, _ = await client.response(mine)
    assert (b"grpc-status", b"4") in headers


async def test_the_deadline_counts_while_the_gatekeeper_thinks(relay, backend):
    async def think(_):
        await asyncio.Event().wait()

    relay.gatekeeper.decide = think
    async with raw_client(relay.port) as client:
        mine = client.request(request_headers(b"/a.B/C", (b"grpc-timeout", b"100m")))
        headers, _, _ = await client.response(mine)
    assert (b"grpc-status", b"4") in headers
    assert backend.calls == []


async def test_the_deadline_counts_while_the_backend_is_connected(backend):
    async def connect(_):
        await asyncio.Event().wait()

    async with relaying(backend.port, connect=connect) as relay, channel(relay.target) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary_unary("/a.B/Unary")(b"", timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await relay.idle()


async def test_a_client_s_cancellation_reaches_the_backend(client, backend, relay):
    unary = client.unary_unary("/a.B/Silent")(b"", timeout=TIMEOUT)
    waiting = asyncio.ensure_future(unary.code())
    silent = await backend.call_number(0)
    down = client.unary_stream("/a.B/Open")(b"1", timeout=TIMEOUT)
    assert await down.read() == b"1"
    both = client.stream_stream("/a.B/Bidi")(timeout=TIMEOUT)
    await both.write(b"1")
    assert await both.read() == b"1"
    for call in (unary, down, both):
        call.cancel()
    assert await over(silent) == "cancelled"
    assert await over(backend.calls[1]) == "cancelled"
    await over(backend.calls[2])
    assert await waiting is grpc.StatusCode.CANCELLED
    await relay.idle()


async def test_a_client_that_hangs_up_cancels_its_calls_and_no_others(relay, backend):
    async with channel(relay.target) as staying:
        theirs = staying.unary_stream("/a.B/Open")(b"1", timeout=TIMEOUT)
        assert await theirs.read() == b"1"
        async with raw_client(relay.port) as leaving:
            for _ in range(3):
                leaving.request(request_headers(b"/a.B/Silent"), message(b""))
            await backend.call_number(3)
        for seen in backend.calls[1:]:
            assert await over(seen) == "cancelled"
        assert not backend.calls[0].over.is_set()
        theirs.cancel()


async def test_a_reset_in_the_same_packet_as_the_request_leaves_nothing(relay, backend):
    async with raw_client(relay.port) as client:
        for _ in range(50):
            stream_id = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream_id, request_headers(b"/a.B/Silent"), end_stream=False)
            client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
        client.flush()
        last = client.request(request_headers(b"/a.B/Unary"), message(b"x"))
        await client.response(last)
        await relay.idle()
    assert [seen.path for seen in backend.calls] == ["/a.B/Unary"]
    assert len(relay.gatekeeper.seen) == 1


async def test_a_cancellation_while_the_gatekeeper_thinks_ends_its_thinking(relay, backend):
    thinking, ended = asyncio.Event(), asyncio.Event()

    async def think(_):
        thinking.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ANONYMOUS

    relay.gatekeeper.decide = think
    async with raw_client(relay.port) as client:
        mine = client.request()
        async with asyncio.timeout(PROMPTLY):
            await thinking.wait()
            client.h2.reset_stream(mine, ErrorCodes.CANCEL)
            client.flush()
            await ended.wait()
        await relay.idle()
    assert backend.calls == []


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCodes.NO_ERROR, b"13"),
        (ErrorCodes.CANCEL, b"1"),
        (ErrorCodes.REFUSED_STREAM, b"14"),
        (ErrorCodes.ENHANCE_YOUR_CALM, b"8"),
        (ErrorCodes.INTERNAL_ERROR, b"13"),
        (0xFEED, b"13"),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
async def test_a_reset_by_the_backend_reaches_the_client(
    raw_relay, raw_backend, code, status, begun
):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(end=False)
        backend, stream_id = await raw_backend.requested()
        if begun:
            backend.answer(stream_id, message(b"x"), trailers=None)
        backend.h2.reset_stream(stream_id, code)
        backend.flush()
        if code == ErrorCodes.REFUSED_STREAM and not begun:
            for again in (stream_id + 2, stream_id + 4):  # it was not looked at, so it comes again
                await backend.wait_for(RequestReceived, again)
                backend.h2.reset_stream(again, code)
                backend.flush()
        headers, _, trailers = await client.response(mine)
        # What was answered before may be lost, as with any gRPC peer; the status is not.
        assert dict(headers + trailers)[b"grpc-status"] == status


@pytest.mark.parametrize("code", [ErrorCodes.NO_ERROR, ErrorCodes.CANCEL])
async def test_a_reset_after_a_complete_answer_changes_nothing(raw_relay, raw_backend, code):
    body = message(bytes(60_000))
    async with raw_client(raw_relay.port) as client:
        mine = client.request(end=False)
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, list(ANSWER))
        for start in range(0, len(body), 16_000):
            backend.h2.send_data(stream_id, body[start : start + 16_000])
        backend.h2.send_headers(stream_id, [(b"grpc-status", b"0")], end_stream=True)
        backend.h2.reset_stream(stream_id, code)
        backend.flush()
        assert await client.response(mine) == (list(ANSWER), body, [(b"grpc-status", b"0")])


async def test_whoever_waits_for_the_headers_of_a_reset_call_is_told(raw_relay, raw_backend):
    async with channel(raw_relay.target) as client:
        call = client.unary_stream("/a.B/C")(b"", timeout=TIMEOUT)
        backend, stream_id = await raw_backend.requested()
        backend.h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        backend.flush()
        async with asyncio.timeout(PROMPTLY):
            assert await call.code() is grpc.StatusCode.INTERNAL


async def test_no_timer_outlives_its_call(client, relay):
    loop = asyncio.get_running_loop()
    await client.unary_unary("/a.B/Unary")(b"", timeout=3600.0)

    async def no_timer_of_a_call_is_left() -> bool:
        return not any(
            "_time_out" in repr(handle) and not handle.cancelled() for handle in loop._scheduled
        )

    await eventually(no_timer_of_a_call_is_left)
