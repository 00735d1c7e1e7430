import pytest

from tests.support.credentials import (
    ManualClock,
    ScriptedSource,
    observed_authentication,
    role_cache,
)
from tests.support.fake_calls import FakeCall, FakeClient
from vecguard.clock_margin import ClockMargin
from vecguard.errors import Status
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.revocation.unconfirmed import OpenCallsWatch

TTL, GRACE = 10.0, 1.0


class Proxy:
    def __init__(self):
        self.clock = ManualClock()
        source = ScriptedSource()
        authentication = observed_authentication(source, clock=self.clock)
        active = OpenCalls()
        active.enter(client := FakeClient())
        self.client = client
        self.revocations = Revocations(
            authentication.credentials,
            authentication.logins,
            role_cache(source, clock=self.clock),
            active,
        )
        self.lease = Lease(ClockMargin(ratio=0.0, fixed_seconds=0.0))
        self.watch = OpenCallsWatch(self.lease, self.revocations, self.clock, grace_seconds=GRACE)

    def renew(self):
        self.lease.granted_for(TTL)
        self.lease.renewed(self.lease.sending(self.clock()))

    def call_of(self, principal, **options):
        call = FakeCall(self.client, principal, **options)
        self.client.open.append(call)
        return call


@pytest.fixture
def proxy():
    proxy = Proxy()
    proxy.renew()
    return proxy


def test_calls_end_when_the_lease_has_been_over_for_the_grace(proxy):
    call = proxy.call_of(Principal("bob", 1))
    proxy.clock.advance(TTL + GRACE - 0.01)
    proxy.watch.look()
    assert call.reasons == []
    proxy.clock.advance(0.01)
    proxy.watch.look()
    (reason,) = call.reasons
    assert reason.status is Status.UNAVAILABLE
    assert "no contact with root coord for 11.0 s" in reason.message
    assert proxy.revocations.calls_unconfirmed == 1
    assert proxy.revocations.calls_ended == 0


def test_nothing_ends_when_the_lease_is_renewed_in_time(proxy):
    call = proxy.call_of(Principal("bob", 1))
    for _ in range(5):
        proxy.clock.advance(TTL + GRACE - 0.01)
        proxy.watch.look()
        proxy.renew()
        proxy.watch.look()
    assert call.reasons == []


def test_a_lease_that_was_taken_back_is_over_from_then_on(proxy):
    call = proxy.call_of(Principal("bob", 1))
    proxy.lease.surrender(proxy.clock())
    proxy.watch.look()
    assert call.reasons == []
    proxy.clock.advance(GRACE)
    proxy.watch.look()
    assert len(call.reasons) == 1


def test_calls_of_no_user_go_on_and_changes_that_are_carried_through(proxy):
    anybody = proxy.call_of(ANONYMOUS)
    change = proxy.call_of(Principal("root", 1), is_carried_through=True)
    proxy.clock.advance(3600)
    proxy.watch.look()
    assert anybody.reasons == change.reasons == []
    assert proxy.revocations.calls_unconfirmed == 0


def test_it_looks_when_the_grace_is_over_and_often_enough_for_a_machine_that_slept(proxy):
    assert proxy.watch.look() == pytest.approx(0.2)
    proxy.clock.advance(TTL + GRACE - 0.1)
    assert proxy.watch.look() == pytest.approx(0.1)
    proxy.clock.advance(60)
    assert proxy.watch.look() == pytest.approx(0.2)


def test_a_proxy_that_never_had_a_lease_has_nothing_to_end():
    proxy = Proxy()
    assert proxy.watch.look() > 0
    assert proxy.revocations.calls_unconfirmed == 0
