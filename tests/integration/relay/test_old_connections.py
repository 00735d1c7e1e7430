"""Connections that grow old under a client's calls, judged by the frames of both sides.

grpcio fails a call that it has not sent yet when a GOAWAY arrives; by default it then repeats
the call by itself. It does the same with a server of its own.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import grpc.aio
import pytest
from h2.events import ConnectionTerminated

from tests.support.echo_backend import echo_backend
from tests.support.frame_log import FrameLog, frame_log
from tests.support.frame_sequences import frame
from tests.support.policies import bounds_with, lifetime_with
from tests.support.raw_http2 import raw_client, round_trip
from tests.support.relay import channel, relaying
from vecguard.proxy.http2 import frames

AGE = 0.1
CONNECTIONS = 25
AT_A_TIME = 4
TIMEOUT = 20.0

Server = Callable[[], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def our_relay() -> AsyncIterator[int]:
    bounds = bounds_with(lifetime=lifetime_with(age_seconds=AGE, grace_seconds=TIMEOUT))
    async with echo_backend() as backend, relaying(backend.port, bounds=bounds) as relay:
        yield relay.port


@asynccontextmanager
async def grpcio_server() -> AsyncIterator[int]:
    options = (
        ("grpc.max_connection_age_ms", int(AGE * 1000)),
        ("grpc.max_connection_age_grace_ms", int(TIMEOUT * 1000)),
    )
    async with echo_backend(options=options) as backend:
        yield backend.port


async def calls(client: grpc.aio.Channel, log: FrameLog) -> tuple[int, list[grpc.aio.AioRpcError]]:
    """How many calls were made until enough connections had grown old, and how some failed."""
    made, failures = 0, []

    async def one_after_another() -> None:
        nonlocal made
        while log.connections < CONNECTIONS:
            made += 1
            try:
                await client.unary_unary("/a.B/Unary")(b"x", timeout=TIMEOUT)
            except grpc.aio.AioRpcError as error:
                failures.append(error)

    await asyncio.gather(*(one_after_another() for _ in range(AT_A_TIME)))
    return made, failures


@pytest.mark.parametrize("server", [our_relay, grpcio_server])
async def test_every_call_that_is_sent_is_answered_and_what_fails_was_never_sent(server: Server):
    async with (
        server() as port,
        frame_log(port) as log,
        channel(log.target) as client_that_repeats_nothing,
    ):
        made, failures = await calls(client_that_repeats_nothing, log)
    assert log.unanswered() == [], log.text()
    assert log.requests() == made - len(failures), (failures, log.text())


async def test_what_a_client_says_after_its_last_answer_does_not_reset_the_connection():
    async with our_relay() as port, raw_client(port) as client:
        await round_trip(client)
        await client.wait_closed()
        assert len([each for each in client.events if isinstance(each, ConnectionTerminated)]) == 2
        # A socket that was closed answers with a reset, at once on loopback.
        client.send_raw(frame(frames.PING, 0, 0, b"too late"))
        connected = client.writer.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


async def test_a_client_that_does_not_close_its_side_is_not_waited_for_long():
    async with (
        echo_backend() as backend,
        relaying(backend.port) as relay,
        raw_client(relay.port) as client,
    ):
        await round_trip(client)
        [link] = relay.listener._reception.links
        link.leave()
        await client.wait_closed()
        assert not link.lost.is_set()
        async with asyncio.timeout(TIMEOUT):
            await link.lost.wait()


async def test_a_client_with_its_default_settings_loses_no_call():
    async with our_relay() as port, frame_log(port) as log:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(log.target, options=options) as client:
            made, failures = await calls(client, log)
    assert failures == [], log.text()
    assert log.requests() >= made
