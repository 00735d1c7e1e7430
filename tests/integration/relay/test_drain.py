"""Leaving in good order."""

import asyncio

import grpc
import grpc.aio
import pytest
from h2.events import ConnectionTerminated

from tests.support.raw_http2 import Pump, message, raw_client
from tests.support.relay import channel, nothing_is_left, relaying
from tests.support.waiting import eventually
from vecguard.proxy.http2.limits import MAX_WINDOW_BYTES
from vecguard.proxy.relay import listener

TIMEOUT = 10.0


async def test_calls_in_flight_finish_and_new_connections_are_refused(relay, backend):
    async with channel(relay.target) as client, channel(relay.target) as late:
        call = client.unary_unary("/a.B/Gated")(b"mine", timeout=TIMEOUT)
        waiting = asyncio.ensure_future(call.code())
        await backend.call_number(0)
        draining = asyncio.create_task(relay.listener.drain(TIMEOUT))

        async def new_connections_are_refused() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            except OSError:
                return True
            writer.close()
            return False

        await eventually(new_connections_are_refused)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await late.unary_unary("/a.B/Unary")(b"", timeout=TIMEOUT)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not draining.done()
        backend.gate.set()
        assert await waiting is grpc.StatusCode.OK
        assert await call == b"mine"
        async with asyncio.timeout(TIMEOUT):
            await draining
    await nothing_is_left(relay)


async def test_a_client_is_told_to_open_no_new_streams(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        draining = asyncio.create_task(raw_relay.listener.drain(TIMEOUT))
        told = await client.wait_for(ConnectionTerminated)
        assert told.error_code == 0
        assert told.last_stream_id == 2**31 - 1
        backend.answer(stream_id, message(b"x"))
        assert (await client.response(mine))[1] == message(b"x")
        await draining
        await client.wait_closed()


async def test_an_idle_proxy_drains_at_once(relay, client):
    await client.unary_unary("/a.B/Unary")(b"", timeout=TIMEOUT)
    async with asyncio.timeout(TIMEOUT):
        await relay.listener.drain(60.0)
    await nothing_is_left(relay)


async def test_calls_over_the_timeout_end_with_unavailable(relay, client, backend):
    silent = client.unary_unary("/a.B/Silent")(b"", timeout=TIMEOUT)
    waiting = asyncio.ensure_future(silent.code())
    await backend.call_number(0)
    down = client.unary_stream("/a.B/Open")(b"1", timeout=TIMEOUT)
    assert await down.read() == b"1"
    both = client.stream_stream("/a.B/Bidi")(timeout=TIMEOUT)
    await both.write(b"1")
    assert await both.read() == b"1"
    async with asyncio.timeout(TIMEOUT):
        await relay.listener.drain(0.2)
    assert await waiting is grpc.StatusCode.UNAVAILABLE
    for call in (silent, down, both):
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert await call.details() == "the proxy is shutting down, try again"
    await nothing_is_left(relay)


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end(
    raw_relay, raw_backend, monkeypatch
):
    monkeypatch.setattr(listener, "_CLOSE_TIMEOUT_SECONDS", 0.3)
    async with raw_client(raw_relay.port, initial_window=2**30) as client:
        client.h2.increment_flow_control_window(2**30)
        client.request()
        backend, stream_id = await raw_backend.requested()
        client.stop_reading()
        backend.h2.send_headers(stream_id, [(b":status", b"200")])
        await Pump(backend, stream_id, 64 * 2**20).until_stalled()
        async with asyncio.timeout(5.0):
            await raw_relay.listener.drain(0.1)
        await nothing_is_left(raw_relay)


async def test_a_listener_that_was_drained_can_be_drained_again(backend):
    async with relaying(backend.port) as relay:
        await relay.listener.drain(0.0)
        await relay.listener.drain(0.0)


async def test_calls_that_end_in_every_way_leave_nothing(relay, backend):
    async with channel(relay.target) as client:
        for _ in range(5):
            await client.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT)
            for method, text in (("Fail", b"ABORTED"), ("Nothing", b"")):
                with pytest.raises(grpc.aio.AioRpcError):
                    await client.unary_unary(f"/a.B/{method}")(text, timeout=TIMEOUT)
            with pytest.raises(grpc.aio.AioRpcError):
                await client.unary_unary("/a.B/Silent")(b"", timeout=0.05)
            down = client.unary_stream("/a.B/Endless")(b"", timeout=TIMEOUT)
            await down.read()
            down.cancel()
            early = client.stream_unary("/a.B/Early")(timeout=TIMEOUT)
            await early.write(b"1")
            assert await early == b"early"
        await relay.idle()

        async def no_task_is_left() -> bool:
            return not relay.listener._reception.tasks

        await eventually(no_task_is_left)
        # The connection's window is whole again: nothing was forgotten to be given back.
        [link] = relay.upstream.links
        connection = link.connection
        assert connection._window + connection._owed == MAX_WINDOW_BYTES
