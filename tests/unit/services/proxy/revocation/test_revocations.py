from contextlib import ExitStack

import pytest

from services.proxy.authentication.credentials import CredentialCache
from services.proxy.authentication.errors import RevokedError
from services.proxy.authentication.logins import Logins, Principal
from services.proxy.relay.active import ActiveCalls
from services.proxy.revocation.effects import Revocations
from tests.support.credentials import ManualClock, ScriptedSource


class RecordedCall:
    def __init__(self):
        self.ended = None

    def revoke(self, error):
        self.ended = error
        return True


class Proxy:
    def __init__(self):
        self.source = ScriptedSource()
        self.credentials = CredentialCache(
            self.source,
            ttl_seconds=60,
            max_known=10,
            max_unknown=10,
            refresh_interval_seconds=1,
            clock=ManualClock(),
        )
        self.active = ActiveCalls()
        self.logins = Logins(max_accepted=10, max_refused=10, key=b"key")
        self.revocations = Revocations(self.credentials, self.logins, self.active)

    def call_of(self, username, revision, stack):
        call = RecordedCall()
        self.active.enter(call)
        stack.callback(self.active.leave, call)
        self.active.identify(call, username, revision)
        return call


@pytest.fixture
async def proxy():
    proxy = Proxy()
    proxy.source.put("bob", "first1")
    proxy.source.put("eve", "first1")
    await proxy.credentials.get("bob")
    await proxy.credentials.get("eve")
    return proxy


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


async def test_an_invalidation_reaches_caches_and_open_calls_of_that_user(proxy, stack):
    old, other = proxy.call_of("bob", 101, stack), proxy.call_of("eve", 102, stack)
    proxy.revocations.invalidate("bob", 200)
    assert proxy.credentials.peek("bob") is None
    assert isinstance(old.ended, RevokedError)
    assert proxy.credentials.peek("eve") is not None
    assert other.ended is None


async def test_a_call_of_the_new_password_goes_on(proxy, stack):
    new = proxy.call_of("bob", 200, stack)
    proxy.revocations.invalidate("bob", 200)
    assert new.ended is None


async def test_users_that_changed_unnoticed_are_revoked_and_no_others(proxy, stack):
    stale, current = proxy.call_of("bob", 101, stack), proxy.call_of("eve", 102, stack)
    proxy.revocations.invalidate_stale(["bob"], 300)
    assert ("bob", 101) not in proxy.credentials.held()
    assert ("eve", 102) in proxy.credentials.held()
    assert isinstance(stale.ended, RevokedError)
    assert current.ended is None


async def test_everything_can_be_forgotten(proxy):
    assert sorted(proxy.revocations.held()) == [("bob", 101), ("eve", 102)]
    proxy.revocations.invalidate_all()
    assert proxy.revocations.held() == []


async def test_a_user_with_an_open_call_is_compared_even_when_nothing_is_cached(proxy, stack):
    """Otherwise a change during a gap between sessions would never end the call."""
    proxy.call_of("bob", 101, stack)
    proxy.revocations.invalidate_all()
    assert proxy.revocations.held() == [("bob", 101)]


async def test_a_store_that_went_back_leaves_nothing_of_before(proxy, stack):
    """Its revisions are given a second time, to other passwords."""
    call = proxy.call_of("bob", 101, stack)
    proxy.logins.accept(b"right", Principal("bob", 101))
    proxy.logins.refuse(b"wrong", Principal("bob", 101))
    assert proxy.revocations.newest_read > 0
    proxy.revocations.start_afresh()
    assert proxy.credentials.held() == []
    assert proxy.logins.accepted(b"right") is None
    assert proxy.logins.refused(b"wrong") is None
    assert isinstance(call.ended, RevokedError)
    assert proxy.revocations.newest_read == 0
