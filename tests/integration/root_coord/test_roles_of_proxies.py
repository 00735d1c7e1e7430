"""Roles in the caches of real proxies, with real sessions, when they change at root coord."""

from contextlib import AsyncExitStack

import pytest

from tests.integration.root_coord.harness import Proxy, running_proxy
from tests.support.credentials import hashed
from tests.support.fake_calls import FakeCall, FakeClient
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.proxy.authorization.errors import PermissionDeniedError
from vecguard.proxy.principal import Principal
from vecguard.root_coord.store.role_interface import Grant

SEARCH = Grant("Collection", "default", "books", "PrivilegeSearch", "bob")
ASKED = ("Collection", "PrivilegeSearch", "default", "books")


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def roles(harness):
    """Root coord's roles: `reader` may search books, `other` may do nothing; bob has no role."""
    roles = harness.active_term.roles
    await harness.create("bob", hashed("first1"))
    for name in ("reader", "other"):
        await roles.create(name, "", actor=None)
    await grant(roles)
    return roles


async def grant(roles, role="reader", *grants, give=True):
    await roles.change_grants(role, grants or [SEARCH], give=give, actor=None)


async def give(roles, role, *, give=True):
    await roles.change_user("bob", role, give=give, actor=None)


async def may_search(proxy: Proxy) -> bool:
    """Decides as a proxy does that holds nothing but what it has cached, and reads the rest."""
    record = await proxy.cache.get("bob")
    return (await proxy.roles.get(record.roles)).allows(*ASKED)


class Searching:
    """The permission of an open call that searches."""

    is_given = True

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def judge_again(self) -> None:
        if not await may_search(self._proxy):
            raise PermissionDeniedError("PrivilegeSearch", "bob", "default")


async def test_after_a_change_no_proxy_decides_by_the_older_roles(harness, roles, stack):
    proxies = [await stack.enter_async_context(running_proxy(harness.address)) for _ in range(3)]
    for _ in range(5):
        for change, expected in (
            (lambda: give(roles, "reader"), True),
            (lambda: grant(roles, give=False), False),
            (lambda: grant(roles), True),
            (lambda: give(roles, "reader", give=False), False),
        ):
            await change()
            assert [await may_search(proxy) for proxy in proxies] == [expected] * 3


async def test_a_change_of_a_group_reaches_the_proxies(harness, roles, stack):
    proxy = await stack.enter_async_context(running_proxy(harness.address))
    await roles.create_group("Readers", actor=None)
    readers = Grant("Global", "default", "books", "PrivilegeGroupReaders", "bob")
    await grant(roles, "other", readers)
    await give(roles, "other")
    assert not await may_search(proxy)
    await roles.change_group("Readers", ["Search"], add=True, actor=None)
    assert await may_search(proxy)
    await roles.change_group("Readers", ["Search"], add=False, actor=None)
    assert not await may_search(proxy)


async def test_a_role_that_is_made_again_is_nobody_s(harness, roles, stack):
    proxy = await stack.enter_async_context(running_proxy(harness.address))
    await give(roles, "reader")
    assert await may_search(proxy)
    await roles.drop("reader", force=True, actor=None)
    assert not await may_search(proxy)
    await roles.create("reader", "", actor=None)
    await grant(roles)
    assert not await may_search(proxy)


@pytest.mark.parametrize("change", ["mapping", "grant"])
async def test_a_proxy_that_was_cut_off_learns_of_changes_when_it_comes_back(
    harness, roles, stack, change
):
    relay = await stack.enter_async_context(TcpRelay(harness.address.port))
    proxy = await stack.enter_async_context(running_proxy(Address.parse(relay.endpoint)))
    await give(roles, "reader")
    assert await may_search(proxy)
    login = await proxy.login("bob", "first1")
    client = FakeClient()
    proxy.open_calls.enter(client)
    call = FakeCall(client, Principal("bob", login), permission=Searching(proxy))
    client.open.append(call)
    sessions = proxy.root_coord.sessions_opened
    # A change of which this proxy gets no notice.
    store = harness.active_term.role_store
    if change == "mapping":
        await store.take_role("bob", "reader", actor=None)
    else:
        await store.change_grants("reader", [SEARCH], give=False, actor=None)
    assert await may_search(proxy)
    relay.cut()

    async def has_learnt():
        return proxy.root_coord.sessions_opened > sessions and not await may_search(proxy)

    await eventually(has_learnt, 10.0)

    async def is_judged():
        return bool(call.reasons)

    await eventually(is_judged)
    assert [type(reason) for reason in call.reasons] == [PermissionDeniedError]
    # The login is known all the same.
    assert await proxy.login("bob", "first1") == login
