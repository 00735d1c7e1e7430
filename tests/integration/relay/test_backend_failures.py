"""Backends that are down, die, come back, leave, or are no gRPC servers at all."""

import asyncio
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from h2.errors import ErrorCodes
from h2.events import StreamReset

from deploy.local.ports import free_ports
from tests.support.echo_backend import EchoBackend, echo_backend
from tests.support.frame_sequences import goaway
from tests.support.policies import pool_with
from tests.support.raw_http2 import ANSWER, Pump, message, raw_client, round_trip
from tests.support.raw_http2 import raw_backend as running_raw_backend
from tests.support.relay import channel, relaying
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.proxy.http2.hpack.fields import literal
from vecguard.proxy.http2.stream import Stream
from vecguard.proxy.relay.link import Keepalive
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.upstream import Upstream, over_tcp
from vecguard.proxy.relay.upstreams.upstream_link import Requester

TIMEOUT = 10.0
#: Less than what a connection or a call may take, and more than a busy machine delays an answer.
AT_ONCE = TIMEOUT / 2


async def failure(client, method="/a.B/Unary", timeout=TIMEOUT):
    started = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.unary_unary(method)(b"x", timeout=timeout)
    return caught.value.code(), caught.value.details(), time.monotonic() - started


async def served(client):
    """Returns when the relay has found its backend again, by itself."""

    async def a_call_succeeds() -> bool:
        code = await client.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT).code()
        assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        return code is grpc.StatusCode.OK

    await eventually(a_call_succeeds)


async def test_a_backend_that_is_down_is_named_at_once_and_found_when_it_comes():
    (port,) = free_ports(1)
    async with relaying(port) as relay, channel(relay.target) as client:
        for _ in range(3):
            code, text, seconds = await failure(client)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert text == (
                f"backend 127.0.0.1:{port} cannot be reached (Connect call failed "
                f"('127.0.0.1', {port})), try again"
            )
            assert seconds < AT_ONCE
        async with echo_backend(port):
            await served(client)


async def test_a_backend_that_restarts_on_its_port_is_found_again():
    backend = EchoBackend()
    await backend.start()
    async with relaying(backend.port) as relay, channel(relay.target) as client:
        for _ in range(3):
            assert await client.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT) == b"x"
            await backend.stop()
            code, text, _ = await failure(client)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert f"backend 127.0.0.1:{backend.port}" in text
            await backend.start(backend.port)
            await served(client)
    await backend.stop()


async def test_many_calls_share_one_attempt_to_connect():
    async with TcpRelay(*free_ports(1)) as counted, echo_backend() as backend:
        counted.target_port = backend.port
        async with (
            relaying(int(counted.endpoint.rpartition(":")[2])) as relay,
            channel(relay.target) as client,
        ):
            await asyncio.gather(
                *(client.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT) for _ in range(50))
            )
            assert counted.connections == 1


_BACKEND_PROCESS = """
import asyncio
from tests.support.echo_backend import EchoBackend

async def main():
    backend = EchoBackend()
    await backend.start()
    print(backend.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def backend_process():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _BACKEND_PROCESS,
        cwd=Path(__file__).parents[3],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20.0):
            yield int(await process.stdout.readline()), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_backend_that_is_killed_in_mid_call_ends_it_at_once():
    async with (
        backend_process() as (port, process),
        relaying(port) as relay,
        channel(relay.target) as client,
    ):
        down = client.unary_stream("/a.B/Open")(b"1", timeout=TIMEOUT)
        assert await down.read() == b"1"
        both = client.stream_stream("/a.B/Bidi")(timeout=TIMEOUT)
        await both.write(b"1")
        assert await both.read() == b"1"
        silent = client.unary_unary("/a.B/Silent")(b"", timeout=TIMEOUT)
        waiting = asyncio.ensure_future(silent.code())
        process.kill()
        async with asyncio.timeout(AT_ONCE):
            for call in (down, both):
                assert await call.code() is grpc.StatusCode.UNAVAILABLE
                assert await call.details() == f"backend 127.0.0.1:{port} closed the connection"
            assert await waiting is grpc.StatusCode.UNAVAILABLE


# Peers that are no gRPC servers.


@asynccontextmanager
async def tcp_server(serve):
    async def accept(reader, writer):
        try:
            await serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def http1(reader, writer):
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    await reader.read()


async def garbage(reader, writer):
    writer.write(bytes(range(256)) * 100)
    await writer.drain()
    await reader.read()


async def hangs_up(reader, writer):
    await reader.read(1)


@pytest.mark.parametrize("serve", [http1, garbage, hangs_up], ids=lambda serve: serve.__name__)
async def test_a_backend_that_speaks_no_http2_is_unavailable_at_once(serve):
    async with (
        tcp_server(serve) as port,
        relaying(port) as relay,
        channel(relay.target) as client,
    ):
        code, text, seconds = await failure(client)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert text == (
        f"backend 127.0.0.1:{port} cannot be reached (no HTTP/2 server answers there), try again"
    )
    assert seconds < AT_ONCE


async def test_a_backend_that_accepts_and_says_nothing_is_given_up_after_the_connect_timeout():
    done = asyncio.Event()

    async def serve(reader, writer):
        await done.wait()

    async with tcp_server(serve) as port:
        async with (
            relaying(port, connect_timeout_seconds=0.3) as relay,
            channel(relay.target) as client,
        ):
            code, text, seconds = await failure(client)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert text == (
                f"backend 127.0.0.1:{port} cannot be reached (no HTTP/2 within 0.3 s), try again"
            )
            assert 0.25 < seconds < AT_ONCE
            # No other call waits as long while the backend is lost.
            assert (await failure(client))[:2] == (code, text)
        done.set()


@pytest.mark.parametrize(
    ("status", "content_type", "code", "words"),
    [
        (b"404", b"text/html", grpc.StatusCode.INTERNAL, "HTTP status 404"),
        (b"500", b"text/html", grpc.StatusCode.INTERNAL, "HTTP status 500"),
        (b"503", b"text/html", grpc.StatusCode.UNAVAILABLE, "HTTP status 503"),
        (b"429", b"text/html", grpc.StatusCode.UNAVAILABLE, "HTTP status 429"),
        (b"200", b"text/html", grpc.StatusCode.INTERNAL, "text/html, which is not gRPC"),
        (b"200", b"application/grpc-web", grpc.StatusCode.INTERNAL, "which is not gRPC"),
    ],
)
async def test_a_plain_web_server_is_recognised(  # noqa: PLR0917 - one row of the table
    raw_relay, raw_backend, status, content_type, code, words
):
    async with channel(raw_relay.target) as client:
        call = asyncio.create_task(failure(client))
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, [(b":status", status), (b"content-type", content_type)])
        backend.h2.send_data(stream_id, b"<html>" * 100, end_stream=True)
        backend.flush()
        got, text, _ = await call
    assert got is code
    assert text.startswith(f"backend 127.0.0.1:{raw_backend.port} answered with")
    assert words in text


async def test_a_grpc_status_counts_whatever_http_s_is(raw_relay, raw_backend):
    async with channel(raw_relay.target) as client:
        call = asyncio.create_task(failure(client))
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(
            stream_id,
            [
                (b":status", b"431"),
                (b"content-type", b"application/grpc"),
                (b"grpc-status", b"8"),
                (b"grpc-message", b"the headers are too large"),
            ],
            end_stream=True,
        )
        backend.flush()
        code, text, _ = await call
    assert (code, text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the headers are too large")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "without a gRPC status"),
        (message(b"x"), "without a gRPC status"),
        (message(b"xyz")[:-1], "in the middle of a message"),
        (message(b"xyz")[:5], "in the middle of a message"),
        (message(b"xyz")[:3], "in the middle of a message"),
    ],
)
async def test_an_answer_that_breaks_off_is_an_error(raw_relay, raw_backend, body, words):
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, list(ANSWER))
        backend.h2.send_data(stream_id, body, end_stream=True)
        backend.flush()
        _, _, trailers = await client.response(mine)
    assert dict(trailers)[b"grpc-status"] == b"13"
    assert words in dict(trailers)[b"grpc-message"].decode()


async def test_a_protocol_error_of_the_backend_ends_its_calls(raw_relay, raw_backend):
    async with channel(raw_relay.target) as client:
        call = asyncio.create_task(failure(client))
        backend, _ = await raw_backend.requested()
        backend.send_raw(b"\0\0\x04\x03\0\0\0\0\0\0\0\0\0")  # RST_STREAM on stream 0
        code, text, seconds = await call
        assert code is grpc.StatusCode.UNAVAILABLE
        assert text == f"backend 127.0.0.1:{raw_backend.port} closed the connection"
        assert seconds < AT_ONCE


# GOAWAY: the backend leaves in good order.


async def test_a_goaway_loses_no_call_neither_those_that_it_keeps_nor_the_others(
    raw_relay, raw_backend
):
    async with raw_client(raw_relay.port) as client:
        kept = client.request(end=False)
        refused = client.request(body=message(b"refused"))
        backend, first = await raw_backend.requested()
        await backend.until(lambda: backend.body(first + 2) == message(b"refused"))
        backend.send_raw(goaway(first))
        # What was not looked at goes to a new connection, the kept one is served to its end.
        second, elsewhere = await raw_backend.requested()
        await second.until(lambda: second.body(elsewhere) == message(b"refused"))
        second.answer(elsewhere, message(b"2"))
        assert (await client.response(refused))[1] == message(b"2")
        client.h2.send_data(kept, message(b"late"), end_stream=True)
        client.flush()
        await backend.until(lambda: backend.body(first) == message(b"late"))
        backend.answer(first, message(b"1"))
        assert (await client.response(kept))[1] == message(b"1")
        await backend.wait_closed()
        assert not second.closed.is_set()


async def test_an_idle_connection_is_closed_at_the_goaway(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.answer(stream_id)
        await client.response(mine)
        backend.send_raw(goaway(stream_id))
        await backend.wait_closed()


async def test_a_grpcio_backend_that_stops_with_grace_finishes_its_calls():
    async with (
        echo_backend() as backend,
        relaying(backend.port) as relay,
        channel(relay.target) as client,
    ):
        call = asyncio.ensure_future(
            client.unary_unary("/a.B/Gated")(b"mine", timeout=TIMEOUT).code()
        )
        await backend.call_number(0)
        stopping = asyncio.create_task(backend.stop(grace=TIMEOUT))

        async def new_calls_are_refused() -> bool:
            code, _, _ = await failure(client)
            return code is grpc.StatusCode.UNAVAILABLE

        await eventually(new_calls_are_refused)
        backend.gate.set()
        assert await call is grpc.StatusCode.OK
        await stopping


async def test_a_complete_answer_survives_that_the_backend_hangs_up(raw_relay, raw_backend):
    body = message(bytes(60_000))
    async with raw_client(raw_relay.port, initial_window=1000) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, list(ANSWER))
        for start in range(0, len(body), 16_000):
            backend.h2.send_data(stream_id, body[start : start + 16_000])
        backend.h2.send_headers(stream_id, [(b"grpc-status", b"0")], end_stream=True)
        backend.flush()
        backend.writer.close()
        assert await client.response(mine) == (list(ANSWER), body, [(b"grpc-status", b"0")])


# The upstream alone.


def upstream_to(port, **pool):
    return Upstream(
        "backend",
        over_tcp(Address("127.0.0.1", port), timeout_seconds=2.0),
        authority="x",
        policy=HeaderPolicy(),
        pool=pool_with(**pool),
    )


REQUEST = b"".join(
    literal(*field)
    for field in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/a/b"),
        (b":authority", b"x"),
    )
)


def _noted(name):
    return lambda self, *arguments, **named: self.events.append(name)


class Caller(Requester):
    """Stands for a call, and records its events."""

    caller = "alice"

    def __init__(self):
        self.events = []
        self.link = self.reason = None

    def forward(self, link):
        self.link = link
        link.connection.open(Stream(self), REQUEST)

    def end(self, reason):
        self.reason = reason

    answered = _noted("answered")
    response_data = _noted("response_data")
    request_sent = _noted("request_sent")
    upstream_reset = _noted("upstream_reset")
    upstream_refused = _noted("upstream_refused")
    upstream_lost = _noted("upstream_lost")


async def test_stream_ids_that_run_out_mean_a_new_connection(raw_backend):
    upstream = upstream_to(raw_backend.port)
    first, second = Caller(), Caller()
    upstream.pool.send(first)
    peer, stream_id = await raw_backend.requested()
    first.link.connection._next_id = 2**31 + 1
    upstream.pool.send(second)
    await raw_backend.requested()
    assert second.link is not first.link
    peer.h2.send_headers(stream_id, list(ANSWER))
    peer.flush()

    async def answered() -> bool:
        return bool(first.events)

    await eventually(answered)
    first.link.connection.reset(first.link.connection.streams[stream_id], ErrorCodes.CANCEL)
    await peer.wait_closed()
    assert first.events == ["answered"]
    upstream.close()


async def test_whoever_waits_for_room_on_a_lost_connection_goes_to_the_next(raw_backend):
    upstream = upstream_to(raw_backend.port, connections=1)
    first, waiting = Caller(), Caller()
    upstream.pool.send(first)
    peer, _ = await raw_backend.requested()
    first.link.pause_writing()
    upstream.pool.send(waiting)
    assert upstream.pool.waiting == 1
    peer.writer.transport.abort()
    await raw_backend.requested()
    assert first.events == ["upstream_lost"]
    assert waiting.link is not first.link
    upstream.close()


async def test_a_reset_that_was_held_back_goes_out_when_the_socket_takes_it(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(end=False)
        backend, stream_id = await raw_backend.requested()
        [link] = raw_relay.upstream.links
        link.pause_writing()
        client.h2.reset_stream(mine, ErrorCodes.CANCEL)
        client.flush()
        await raw_relay.idle()
        link.resume_writing()
        assert (await backend.wait_for(StreamReset, stream_id)).error_code == ErrorCodes.CANCEL


async def test_a_peer_that_vanished_ends_its_calls_though_bytes_wait_to_be_written():
    async with (
        running_raw_backend(initial_window=2**30) as backend,
        relaying(backend.port, keepalive=Keepalive(0.2, 0.2)) as relay,
        raw_client(relay.port) as client,
    ):
        mine = client.request(end=False)
        peer, _ = await backend.requested()
        peer.h2.increment_flow_control_window(2**30)
        peer.flush()
        peer.stop_reading()
        pump = Pump(client, mine, 64 * 2**20)
        async with asyncio.timeout(TIMEOUT):
            while not client.headers(mine):
                pump.push()
                await round_trip(client)
        headers, _, _ = await client.response(mine)
    assert dict(headers)[b"grpc-status"] == b"14"
