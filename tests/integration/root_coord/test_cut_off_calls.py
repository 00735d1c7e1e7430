"""Open calls at a proxy that no invalidation reaches, beside a proxy that receives it."""

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import grpc.aio
import pytest

from deploy.local.stack import LocalStack
from tests.e2e.stacks import CHEAP_PASSWORDS
from tests.integration.metrics.deployment import Deployment
from tests.support.credentials import header_of
from tests.support.cut_off_stack import stack_with_relay
from tests.support.echo_backend import echo_backend
from tests.support.metrics import scrape
from tests.support.relay import channel
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually

TTL, GRACE = 3.0, 0.5
# Where nothing is to end: a machine that stands still for a moment costs no lease.
LONG_TTL = 10.0
# A busy machine; without the end of the calls they stay open for ever.
MARGIN = 20.0
OLD, NEW = "first-123", "second-123"
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
_REVOKED = grpc.StatusCode.UNAUTHENTICATED


@dataclass
class Streams:
    """Two proxies; `cut_off` is the one behind the relay."""

    stack: LocalStack
    relay: TcpRelay
    cut_off: Deployment
    other: Deployment

    async def opened(self, deployment, username):
        """A stream that has answered once and goes on."""
        call = deployment.channel.unary_stream("/test.Echo/Open")(
            b"hello", metadata=(("authorization", header_of(username, OLD).decode()),)
        )
        assert await call.read() == b"hello"
        return call


@asynccontextmanager
async def streams(folder, **lease):
    async with echo_backend() as backend:
        settings = CHEAP_PASSWORDS | {
            "backend": {"address": f"127.0.0.1:{backend.port}"},
            "lease": {"ttl": TTL, "renewInterval": 0.5, "grace": GRACE, **lease},
            "election": {"ttl": 2.0},
        }
        async with (
            stack_with_relay(folder / "data", settings) as (stack, relay),
            channel(stack.proxies[0].address) as first,
            channel(stack.proxies[1].address) as second,
        ):
            cut_off, other = Deployment(stack, backend, first), Deployment(stack, backend, second)
            for username in ("alice", "bob"):
                await other.create_user(username, OLD)
            yield Streams(stack, relay, cut_off, other)


async def ended(call, seconds):
    """The status of a stream that ends in time."""
    async with asyncio.timeout(seconds):
        return await call.code()


async def test_open_calls_end_at_a_proxy_that_is_cut_off(tmp_path):
    async with streams(tmp_path) as deployment:
        revoked = await deployment.opened(deployment.cut_off, "alice")
        unchanged = await deployment.opened(deployment.cut_off, "bob")
        reached = await deployment.opened(deployment.other, "alice")
        cut_at = time.monotonic()
        deployment.relay.frozen = True
        await deployment.other.change_password("alice", OLD, NEW)
        assert await ended(reached, MARGIN) is _REVOKED
        left = cut_at + TTL + GRACE + MARGIN - time.monotonic()
        for call in (revoked, unchanged):
            assert await ended(call, left) is _UNAVAILABLE
            assert "no contact with root coord" in await call.details()
        # Not before the lease was over: a shorter cut ends nothing.
        assert time.monotonic() - cut_at > TTL / 2
        metrics = await scrape(deployment.stack.proxies[0].operations_address)
        assert metrics.value("vecguard_proxy_unconfirmed_calls_total") == 2


async def test_open_calls_go_on_over_a_cut_that_is_shorter_than_the_lease(tmp_path):
    async with streams(tmp_path, ttl=LONG_TTL) as deployment:
        call = await deployment.opened(deployment.cut_off, "bob")
        connections = deployment.relay.connections
        deployment.relay.cut()

        async def it_is_back():
            return deployment.relay.connections > connections

        await eventually(it_is_back)
        # Longer than the lease that it had.
        with pytest.raises(TimeoutError):
            await ended(call, LONG_TTL + GRACE + 0.5)
        call.cancel()


async def test_by_the_setting_they_go_on_until_the_contact_is_back(tmp_path):
    async with streams(tmp_path, ttl=LONG_TTL, endOpenCalls=False) as deployment:
        revoked = await deployment.opened(deployment.cut_off, "alice")
        unchanged = await deployment.opened(deployment.cut_off, "bob")
        deployment.relay.frozen = True
        await deployment.other.change_password("alice", OLD, NEW)
        with pytest.raises(TimeoutError):
            await ended(revoked, GRACE + 0.5)
        deployment.relay.frozen = False
        deployment.relay.cut()
        assert await ended(revoked, LONG_TTL + MARGIN) is _REVOKED
        assert not unchanged.done()
        unchanged.cancel()


async def test_a_proxy_that_was_paused_ends_them_when_it_wakes(tmp_path):
    grace = 4.0
    async with streams(tmp_path, grace=grace) as deployment:
        unchanged = await deployment.opened(deployment.cut_off, "bob")
        paused = deployment.stack.proxies[0]

        async def its_lease_is_over():
            metrics = await scrape(deployment.stack.root_coord.operations_address)
            return metrics.value("vecguard_root_coord_leases") == 1

        async def it_has_a_lease_again():
            metrics = await scrape(paused.operations_address)
            return metrics.value("vecguard_proxy_lease_remaining_seconds") > 0

        os.kill(paused.pid, signal.SIGSTOP)
        try:
            await eventually(its_lease_is_over, TTL + MARGIN)
            await asyncio.sleep(grace)  # what is tested: the clock goes on meanwhile
        finally:
            os.kill(paused.pid, signal.SIGCONT)
        # By a timer that begins when it wakes the call would go on: the contact is back before.
        await eventually(it_has_a_lease_again)
        assert await ended(unchanged, MARGIN) is _UNAVAILABLE
