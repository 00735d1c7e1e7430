"""Our client channel: bounded connecting, and every failure in our own words."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from tests.support.raw_http2 import ANSWER, message, raw_backend
from tests.support.relay_parts import own_tasks
from vecguard.addresses import Address
from vecguard.errors import DeadlineError, UnavailableError
from vecguard.generated.grpc.health import v1 as pb
from vecguard.grpc.channel import Channel, translated_errors

TIMEOUT = 10.0


@asynccontextmanager
async def full_backlog():
    """An address whose connections are never established."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()


async def check(channel, timeout=TIMEOUT):
    with translated_errors("the peer"):
        return await pb.HealthStub(channel).check(pb.HealthCheckRequest(), timeout=timeout)


async def test_connecting_is_given_up_in_time():
    async with (
        full_backlog() as port,
        Channel(Address("127.0.0.1", port), connect_timeout_seconds=0.2) as channel,
    ):
        with pytest.raises(UnavailableError) as caught:
            await check(channel)
    assert caught.value.message == "the peer cannot be reached: no connection within 0.2 s"


async def test_a_peer_that_is_down_is_unavailable_and_found_when_it_comes():
    async with raw_backend() as backend:
        port = backend.port
    async with Channel(Address("127.0.0.1", port)) as channel:
        with pytest.raises(UnavailableError, match="the peer cannot be reached"):
            await check(channel)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        with pytest.raises(UnavailableError, match="the peer cannot be reached"):
            await check(channel)
        server.close()


async def test_a_peer_that_says_nothing_is_over_the_deadline():
    async with raw_backend() as backend, Channel(Address("127.0.0.1", backend.port)) as channel:
        with pytest.raises(DeadlineError) as caught:
            await check(channel, timeout=0.1)
    assert caught.value.message == "the peer did not answer in time"


async def test_a_peer_that_hangs_up_in_mid_call_is_unavailable():
    async with raw_backend() as backend, Channel(Address("127.0.0.1", backend.port)) as channel:
        call = asyncio.create_task(check(channel))
        peer, _ = await backend.requested()
        peer.writer.transport.abort()
        with pytest.raises(UnavailableError, match="the peer cannot be reached"):
            await call


async def test_a_foreign_byte_in_an_answer_harms_nobody():
    async with raw_backend() as backend, Channel(Address("127.0.0.1", backend.port)) as channel:
        call = asyncio.create_task(check(channel))
        peer, stream_id = await backend.requested()
        peer.answer(stream_id, message(b"\x08\x01"), headers=[*ANSWER, (b"k", b"caf\xe9")])
        assert (await call).status == pb.HealthCheckResponseServingStatus.SERVING


async def test_a_cancelled_call_leaves_nothing():
    async with raw_backend() as backend, Channel(Address("127.0.0.1", backend.port)) as channel:
        call = asyncio.create_task(check(channel))
        await backend.requested()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert not own_tasks()
