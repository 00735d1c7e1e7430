"""Drops and renames of collections at an elected root coord, and what proxies know of them."""

import asyncio

import pytest

from tests.integration.root_coord.harness import SessionEnd, running_proxy
from tests.support.credentials import hashed
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.root_coord.store.role_interface import Grant

SEARCH = Grant("Collection", "default", "books", "PrivilegeSearch", "bob")
ANYBODY = pb.Actor(anonymous=True)
DROP = pb.CollectionChange(
    database="default", name="books", collection_id=7, token="t1", proxy_id="p"
)
RENAME = pb.CollectionChange(
    database="default", name="books", new_database="default", new_name="tomes", token="t1"
)
Outcome = pb.CollectionOutcome


@pytest.fixture
async def roles(harness):
    roles = harness.active_term.roles
    await harness.create("bob", hashed("first1"))
    await roles.create("reader", "", actor=None)
    await roles.change_user("bob", "reader", give=True, actor=None)
    await roles.change_grants("reader", [SEARCH], give=True, actor=None)
    return roles


@pytest.fixture
async def stub(harness):
    channel = Channel(harness.address)
    yield pb.RootCoordStub(channel)
    channel.close()


async def begin(stub, change=DROP):
    request = pb.BeginCollectionChangeRequest(change=change, actor=ANYBODY)
    return await stub.begin_collection_change(request)


async def end(stub, outcome, change=DROP):
    request = pb.EndCollectionChangeRequest(change=change, outcome=outcome)
    return (await stub.end_collection_change(request)).mutation


async def pending(stub):
    reply = await stub.pending_collection_changes(pb.PendingCollectionChangesRequest())
    return reply.pending


async def may_search(proxy, name="books"):
    record = await proxy.cache.get("bob")
    rights = await proxy.roles.get(record.roles)
    return rights.allows("Collection", "PrivilegeSearch", "default", name)


async def test_no_proxy_decides_by_suspended_grants_once_a_change_has_begun(harness, roles, stub):
    async with running_proxy(harness.address) as proxy:
        assert await may_search(proxy)
        assert (await begin(stub)).mutation.outcome is pb.MutationOutcome.APPLIED
        assert not await may_search(proxy)
        await end(stub, Outcome.STAYED)
        assert await may_search(proxy)
        await begin(stub)
        await end(stub, Outcome.GONE)
        assert not await may_search(proxy)


async def test_proxies_learn_of_grants_that_have_moved(harness, roles, stub):
    async with running_proxy(harness.address) as proxy:
        assert not await may_search(proxy, "tomes")
        await begin(stub, RENAME)
        await end(stub, Outcome.MOVED, RENAME)
        assert await may_search(proxy, "tomes")
        assert not await may_search(proxy)


async def test_a_begin_is_answered_when_every_proxy_has_acknowledged(harness, roles, stub):
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        beginning = asyncio.create_task(begin(stub))
        notice = await session.receive()
        assert notice.policy_revision > 0
        assert not beginning.done()
        await session.acknowledge(notice.sequence)
        reply = await beginning
        assert reply.mutation.revision == notice.policy_revision


async def test_a_collection_without_grants_disturbs_no_proxy(harness, roles, stub):
    other = pb.CollectionChange(database="default", name="films", token="t2")
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        await begin(stub, other)
        await end(stub, Outcome.GONE, other)
        await begin(stub, other)
        await end(stub, Outcome.STAYED, other)
        assert isinstance(await session.renew(), pb.Renewed)


async def test_pending_changes_are_listed_with_their_age(roles, stub):
    await begin(stub)
    (first,) = await pending(stub)
    assert first.change == DROP
    (later,) = await pending(stub)
    assert first.age_ms <= later.age_ms < 60_000
    refused = await begin(stub, pb.CollectionChange(database="default", name="books", token="t2"))
    assert refused.mutation.outcome is pb.MutationOutcome.COLLECTION_CHANGING
    assert refused.pending.change == DROP
    await end(stub, Outcome.GONE)
    assert await pending(stub) == []


@pytest.mark.parametrize(
    "change",
    [
        pb.CollectionChange(database="default", name="books"),
        pb.CollectionChange(database="", name="books", token="t"),
        pb.CollectionChange(database="a.b", name="books", token="t"),
        pb.CollectionChange(database="default", name="a/b", token="t"),
        pb.CollectionChange(database="default", name="a", new_name="..", token="t"),
    ],
)
async def test_a_change_without_a_token_or_with_impossible_names_is_refused(harness, stub, change):
    with pytest.raises(Exception, match=r"cannot be stored|no token"):
        await begin(stub, change)
    assert await pending(stub) == []


async def test_an_unknown_outcome_is_refused(harness, stub):
    with pytest.raises(Exception, match="outcome of the change is unknown"):
        await end(stub, 0)
