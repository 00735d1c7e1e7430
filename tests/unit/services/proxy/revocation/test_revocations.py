import pytest

from tests.support.credentials import (
    ManualClock,
    ScriptedSource,
    observed_authentication,
    role_cache,
)
from tests.support.fake_calls import FakeCall, FakeClient
from vecguard.proxy.authentication.errors import RevokedError
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.revocation.revocations import Revocations


class Proxy:
    def __init__(self):
        self.source = ScriptedSource()
        clock = ManualClock()
        authentication = observed_authentication(self.source, clock=clock)
        self.roles = role_cache(self.source, clock=clock)
        self.credentials, self.logins = authentication.credentials, authentication.logins
        active = OpenCalls()
        active.enter(client := FakeClient())
        self.client = client
        self.revocations = Revocations(self.credentials, self.logins, self.roles, active)

    def call_of(self, username, revision):
        call = FakeCall(self.client, Principal(username, revision))
        self.client.open.append(call)
        return call


@pytest.fixture
async def proxy():
    proxy = Proxy()
    proxy.source.put("bob", "first1")
    proxy.source.put("eve", "first1")
    await proxy.credentials.get("bob")
    await proxy.credentials.get("eve")
    return proxy


async def test_an_invalidation_reaches_caches_and_open_calls_of_that_user(proxy):
    old, other = proxy.call_of("bob", 101), proxy.call_of("eve", 102)
    proxy.revocations.invalidate("bob", 200)
    assert proxy.credentials.peek("bob") is None
    assert isinstance(old.reasons[0], RevokedError)
    assert proxy.credentials.peek("eve") is not None
    assert other.reasons == []


async def test_a_call_of_the_new_password_goes_on(proxy):
    new = proxy.call_of("bob", 200)
    proxy.revocations.invalidate("bob", 200)
    assert new.reasons == []


async def test_users_that_changed_unnoticed_are_revoked_and_no_others(proxy):
    stale, current = proxy.call_of("bob", 101), proxy.call_of("eve", 102)
    proxy.revocations.invalidate_stale(["bob"], 300)
    assert [record.username for record in proxy.credentials.held()] == ["eve"]
    assert isinstance(stale.reasons[0], RevokedError)
    assert current.reasons == []


async def test_everything_can_be_forgotten(proxy):
    assert sorted(proxy.revocations.held()) == [("bob", 101, ()), ("eve", 102, ())]
    proxy.revocations.invalidate_all()
    assert proxy.revocations.held() == []


async def test_a_user_with_an_open_call_is_compared_even_when_nothing_is_cached(proxy):
    """Otherwise a change during a gap between sessions would never end the call."""
    proxy.call_of("bob", 101)
    proxy.revocations.invalidate_all()
    assert proxy.revocations.held() == [("bob", 101, ())]


async def test_a_store_that_went_back_leaves_nothing_of_before(proxy):
    """Its revisions are given a second time, to other passwords."""
    call = proxy.call_of("bob", 101)
    proxy.logins.accept(b"right", Principal("bob", 101))
    proxy.logins.refuse(b"wrong", Principal("bob", 101))
    proxy.source.grant("reader")
    await proxy.roles.get(("reader",))
    assert proxy.revocations.newest_read == proxy.source.revision
    proxy.revocations.start_afresh()
    assert proxy.credentials.held() == []
    assert proxy.roles.peek(("reader",)) is None
    assert proxy.logins.accepted(b"right") is None
    assert proxy.logins.refused(b"wrong") is None
    (reason,) = call.reasons
    assert isinstance(reason, RevokedError)
    assert proxy.revocations.newest_read == 0
