import asyncio

import pytest

from tests.support.credentials import Gate
from vecguard.errors import UnavailableError
from vecguard.etcd import CompactedError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.root_coord.changes import Changes
from vecguard.root_coord.policy_cache import PolicyCache
from vecguard.root_coord.roles import Roles
from vecguard.root_coord.store.interface import Mutation, Outcome, Snapshot
from vecguard.root_coord.store.role_interface import (
    Grant,
    PrivilegeGroup,
    RolesAndGroups,
    StoredRole,
)


class HistoricStore:
    """Roles with one grant of a group; their descriptions say at which revision they were read."""

    def __init__(self):
        self.newest = 5
        self.compacted = 0
        self.reads = []
        self.gate = Gate()
        self.failure = None
        self.description = ""
        self.during_change = None

    async def revision(self):
        return self.newest

    async def get_roles(self, names, *, revision):
        self.reads.append((tuple(names), revision))
        await self.gate.passed()
        if self.failure is not None:
            raise self.failure
        if revision <= self.compacted:
            raise CompactedError("gone", None)
        grant = Grant("Global", "*", "*", "PrivilegeGroupReaders", "root")
        roles = tuple(
            StoredRole(name, f"{name}@{revision}{self.description}", (grant,))
            for name in names
            if name != "absent"
        )
        groups = (PrivilegeGroup("Readers", ("Search",)),) if roles else ()
        return Snapshot(revision, RolesAndGroups(roles, groups))

    async def alter_role(self, name, description, *, actor):
        del name, description, actor
        await self.during_change()
        self.newest += 1
        return Mutation(Outcome.APPLIED, self.newest)


@pytest.fixture
async def store():
    return HistoricStore()


@pytest.fixture
def cache(store):
    return PolicyCache(store)


async def described(cache, *names):
    read = await cache.get(names)
    return read.revision, [pb.Role().parse(role).description for role in read.roles]


async def test_roles_are_read_once_and_with_their_groups(cache, store):
    for _ in range(3):
        read = await cache.get(["a", "absent", "a"])
        assert read.revision == 5
        (role,) = (pb.Role().parse(role) for role in read.roles)
        assert (role.name, role.grants[0].privilege) == ("a", "PrivilegeGroupReaders")
        (group,) = (pb.PrivilegeGroup().parse(group) for group in read.groups)
        assert group == pb.PrivilegeGroup(name="Readers", privileges=["Search"])
    assert store.reads == [(("a", "absent"), 5)]


async def test_all_that_is_held_is_of_one_revision(cache, store):
    await cache.get(["a"])
    store.newest = 9  # another user's password
    assert await described(cache, "a", "b") == (5, ["a@5", "b@5"])
    assert len((await cache.get(["a", "b"])).groups) == 1
    assert await described(cache) == (5, [])


@pytest.mark.parametrize("forget", [PolicyCache.forget, lambda cache: cache.changed_at(6)])
async def test_after_a_change_roles_are_read_at_a_revision_that_includes_it(cache, store, forget):
    await cache.get(["a"])
    store.newest = 6
    forget(cache)
    assert await described(cache, "a") == (6, ["a@6"])


async def test_a_change_that_is_included_makes_nothing_be_read_again(cache, store):
    await cache.get(["a"])
    cache.changed_at(5)
    await cache.get(["a"])
    assert len(store.reads) == 1


async def test_concurrent_requests_share_reads(cache, store):
    store.gate.close()
    first = asyncio.create_task(cache.get(["a", "b"]))
    await store.gate.arrivals()
    others = [asyncio.create_task(described(cache, "b", "c")) for _ in range(3)]
    await store.gate.arrivals(2)
    store.gate.open()
    await first
    assert await asyncio.gather(*others) == [(5, ["b@5", "c@5"])] * 3
    assert store.reads == [(("a", "b"), 5), (("c",), 5)]


async def test_a_caller_that_leaves_takes_the_read_from_no_other(cache, store):
    store.gate.close()
    first = asyncio.create_task(cache.get(["a"]))
    await store.gate.arrivals()
    second = asyncio.create_task(described(cache, "a"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    store.gate.open()
    assert await second == (5, ["a@5"])
    assert len(store.reads) == 1


@pytest.mark.parametrize("forget", [PolicyCache.forget, lambda cache: cache.changed_at(6)])
async def test_what_was_under_way_at_a_change_answers_only_earlier_requests(cache, store, forget):
    store.gate.close()
    earlier = asyncio.create_task(described(cache, "a"))
    await store.gate.arrivals()
    store.newest = 6
    forget(cache)
    later = asyncio.create_task(described(cache, "b"))
    await store.gate.arrivals(2)
    store.gate.open()
    assert await earlier == (5, ["a@5"])  # it says so: a notice for 6 makes the proxy drop it
    assert await later == (6, ["b@6"])
    assert await described(cache, "a") == (6, ["a@6"])
    assert len(store.reads) == 3


async def test_a_change_while_the_revision_is_chosen_makes_it_be_chosen_again(cache, store):
    read, choosing = store.revision, Gate()

    async def slow():
        revision = await read()
        await choosing.passed()
        return revision

    store.revision = slow
    choosing.close()
    earlier = asyncio.create_task(described(cache, "a"))
    await choosing.arrivals()
    store.newest = 6
    cache.changed_at(6)
    choosing.open()
    assert await described(cache, "a") == (6, ["a@6"])
    assert await earlier == (5, ["a@5"])


async def test_a_failed_read_is_repeated_by_the_next_request(cache, store):
    store.failure = UnavailableError("away")
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await cache.get(["a"])
    store.failure = None
    assert await described(cache, "a") == (5, ["a@5"])


async def test_a_revision_that_was_compacted_is_chosen_again(cache, store):
    await cache.get(["a"])
    store.newest, store.compacted = 9, 7
    assert await described(cache, "a") == (5, ["a@5"])
    assert await described(cache, "a", "b") == (9, ["a@9", "b@9"])


async def test_what_is_held_is_bounded(store):
    cache = PolicyCache(store, max_bytes=2000)
    for name in ("a", "b", "a", "c", "d", "a"):
        await cache.get([name])
    assert [names for names, _ in store.reads] == [("a",), ("b",), ("c",), ("d",)]
    await cache.get(["b"])
    assert len(store.reads) == 5
    store.description = "x" * 2000
    for _ in range(2):
        await cache.get(["large"])
    assert len(store.reads) == 7
    assert await described(cache, "a") == (5, ["a@5"])


async def test_a_role_that_was_read_during_a_change_is_read_again_for_its_notice(cache, store):
    """Otherwise proxies would read the older role again and again."""
    revisions = []

    class Hub:
        async def invalidate(self, notice):
            revisions.append((notice.revision, (await cache.get(["a"])).revision))

    async def read():
        assert (await cache.get(["a"])).revision == store.newest

    store.during_change = read
    roles = Roles(store, Changes(Hub()), role_limit=9, changed=cache.forget)
    for _ in range(2):
        await roles.alter("a", "", actor=None)
    assert revisions == [(6, 6), (7, 7)]
