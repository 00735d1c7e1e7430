import asyncio

from tests.support.credentials import ManualClock
from vecguard.clock_margin import ClockMargin
from vecguard.errors import Status
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.trust import BoundedTrust, StrictTrust


def strict():
    clock = ManualClock(100.0)
    lease = Lease(ClockMargin(0, 0))
    lease.granted_for(10.0)
    return StrictTrust(lease, clock, grace_seconds=5.0), lease, clock


def test_strict_trust_lasts_as_long_as_the_lease():
    trust, lease, clock = strict()
    assert not trust.is_valid()
    lease.renewed(lease.sending(clock()))
    assert trust.is_valid()
    clock.advance(10.0)
    assert not trust.is_valid()


def test_strict_trust_returns_with_the_lease():
    trust, lease, clock = strict()
    lease.renewed(lease.sending(clock()))
    clock.advance(60.0)
    lease.renewed(lease.sending(clock()))
    assert trust.is_valid()


def test_it_says_that_there_has_never_been_a_lease():
    trust, _, _ = strict()
    error = trust.explain()
    assert error.status is Status.UNAVAILABLE
    assert "no contact with root coord since this proxy started" in error.message


def test_it_says_for_how_long_root_coord_has_not_answered():
    trust, lease, clock = strict()
    lease.renewed(lease.sending(clock()))
    clock.advance(12.5)
    assert "no contact with root coord for 12.5 s" in trust.explain().message


def test_it_does_not_call_a_surrendered_lease_a_fresh_start():
    trust, lease, clock = strict()
    lease.renewed(lease.sending(clock()))
    lease.surrender(clock())
    message = trust.explain().message
    assert "since this proxy started" not in message
    assert "inf" not in message


def test_it_does_not_count_backwards_while_the_lease_still_runs():
    trust, lease, clock = strict()
    lease.renewed(lease.sending(clock()))
    clock.advance(4.0)
    message = trust.explain().message
    assert "-" not in message
    assert "6.0 s" in message


async def test_a_request_waits_for_the_lease_to_come_back():
    trust, lease, clock = strict()
    lease.renewed(lease.sending(clock()))
    lease.surrender(clock())
    waiting = asyncio.create_task(trust.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    lease.renewed(lease.sending(clock()))
    trust.renewed()
    assert await waiting


async def test_nobody_waits_longer_than_the_grace():
    trust, lease, clock = strict()
    lease.renewed(lease.sending(clock()))
    clock.advance(10.0 + 5.0)
    assert not await trust.wait()


async def test_nobody_waits_before_the_first_lease():
    trust, _, _ = strict()
    assert not await trust.wait()


async def test_a_wait_in_vain_ends_with_the_grace():
    trust, lease, clock = strict()
    lease.renewed(lease.sending(clock()))
    clock.advance(10.0 + 4.99)
    assert not await trust.wait()


def test_bounded_trust_is_always_valid():
    assert BoundedTrust().is_valid()
    assert BoundedTrust().explain().status is Status.UNAVAILABLE
