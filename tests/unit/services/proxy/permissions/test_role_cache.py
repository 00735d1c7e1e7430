"""The cache of roles: floors, TTL, the lease, and its bound."""

import asyncio

import pytest

from tests.support.credentials import ManualClock, ScriptedSource, role_cache
from vecguard.errors import UnavailableError
from vecguard.proxy.authorization.policy import Grant

SEARCH = ("Collection", "PrivilegeSearch", "default", "books")
GRANT = Grant("Collection", "default", "books", "PrivilegeSearch")
READER = ("reader",)


class Cached:
    def __init__(self, **options):
        self.source, self.clock = ScriptedSource(), ManualClock()
        self.is_under_lease = False
        self.cache = role_cache(
            self.source, clock=self.clock, under_lease=lambda: self.is_under_lease, **options
        )
        self.source.grant("reader", GRANT)


@pytest.fixture
def cached():
    return Cached()


async def test_the_roles_of_a_user_are_read_once_with_public(cached):
    assert cached.cache.peek(READER) is None
    rights = await cached.cache.get(READER)
    assert rights.allows(*SEARCH)
    assert await cached.cache.get(READER) is rights
    assert cached.cache.peek(READER) is rights
    assert cached.source.role_fetches == {("reader", "public"): 1}
    assert cached.cache.newest_read == cached.source.revision


async def test_concurrent_users_of_the_same_roles_share_one_read(cached):
    cached.source.gate.close()
    waiting = [asyncio.create_task(cached.cache.get(READER)) for _ in range(5)]
    await cached.source.gate.arrivals()
    cached.source.gate.open()
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert cached.source.role_fetches.total() == 1


async def test_a_role_that_does_not_exist_allows_nothing(cached):
    rights = await cached.cache.get(("gone",))
    assert not rights.allows(*SEARCH)


async def test_admin_may_do_everything_and_is_not_read(cached):
    assert cached.cache.peek(("admin", "reader")).is_admin
    assert (await cached.cache.get(("admin",))).is_admin
    assert not cached.source.role_fetches


async def test_an_invalidation_drops_what_was_read_before(cached):
    await cached.cache.get(READER)
    revision = cached.source.grant("reader")
    cached.cache.invalidate(revision)
    assert cached.cache.peek(READER) is None
    assert not (await cached.cache.get(READER)).allows(*SEARCH)


async def test_dropped_rights_allow_nothing_and_need_no_memory(cached):
    await cached.cache.get(READER)
    held = cached.cache.held_of(READER, cached.clock())
    cached.cache.invalidate(cached.source.grant("reader"))
    assert cached.clock() >= held.fresh_until
    assert not held.rights.roles
    assert not held.rights.allows(*SEARCH)


async def test_an_invalidation_keeps_what_was_read_after_the_change(cached):
    revision = cached.source.grant("reader", GRANT)
    rights = await cached.cache.get(READER)
    cached.cache.invalidate(revision)
    assert cached.cache.peek(READER) is rights


async def test_an_outdated_read_serves_only_callers_from_before_the_change(cached):
    cached.source.gate.close()
    before = asyncio.create_task(cached.cache.get(READER))
    await cached.source.gate.arrivals()
    cached.cache.invalidate(cached.source.grant("reader"))
    after = asyncio.create_task(cached.cache.get(READER))
    await asyncio.sleep(0)
    cached.source.gate.open()
    assert (await before).allows(*SEARCH)
    assert not (await after).allows(*SEARCH)
    assert cached.source.role_fetches.total() == 2
    assert not cached.cache.peek(READER).allows(*SEARCH)


async def test_an_outdated_read_is_not_cached(cached):
    cached.source.gate.close()
    reading = asyncio.create_task(cached.cache.get(READER))
    await cached.source.gate.arrivals()
    cached.cache.invalidate(cached.source.grant("reader"))
    cached.source.gate.open()
    await reading
    assert cached.cache.peek(READER) is None


async def test_changes_that_never_rest_do_not_keep_a_caller_waiting(cached, monkeypatch):
    fetch = cached.source.fetch_roles

    async def changing(names):
        read = await fetch(names)
        cached.cache.invalidate(cached.source.grant("reader", GRANT))
        return read

    monkeypatch.setattr(cached.source, "fetch_roles", changing)
    async with asyncio.timeout(5.0):
        assert (await cached.cache.get(READER)).allows(*SEARCH)
    assert cached.source.role_fetches.total() == 1


@pytest.mark.parametrize("drop", ["invalidate_all", "start_afresh"])
async def test_everything_can_be_dropped_also_in_flight(cached, drop):
    await cached.cache.get(())
    cached.source.gate.close()
    before = asyncio.create_task(cached.cache.get(READER))
    await cached.source.gate.arrivals()
    cached.source.grants["reader"] = []  # at the same revision, as after a restore
    getattr(cached.cache, drop)()
    after = asyncio.create_task(cached.cache.get(READER))
    await asyncio.sleep(0)
    cached.source.gate.open()
    await before
    assert not (await after).allows(*SEARCH)
    assert cached.cache.peek(()) is None


async def test_a_replaced_store_may_have_lower_revisions(cached):
    await cached.cache.get(READER)
    cached.cache.invalidate(cached.source.revision + 100)
    cached.source.revision = 5
    cached.cache.start_afresh()
    assert cached.cache.newest_read == 0
    assert (await cached.cache.get(READER)).allows(*SEARCH)


async def test_after_the_ttl_roles_are_read_again(cached):
    await cached.cache.get(READER)
    cached.source.grant("reader")
    cached.clock.advance(60.0)
    assert cached.cache.peek(READER) is None
    assert not (await cached.cache.get(READER)).allows(*SEARCH)


async def test_after_the_ttl_roles_still_count_under_a_lease_without_root_coord(cached):
    rights = await cached.cache.get(READER)
    cached.clock.advance(60.0)
    cached.source.error = UnavailableError("root coord is away")
    with pytest.raises(UnavailableError):
        await cached.cache.get(READER)
    cached.is_under_lease = True
    assert await cached.cache.get(READER) is rights
    assert cached.cache.peek(READER) is rights


async def test_roles_that_were_invalidated_do_not_count_without_root_coord(cached):
    await cached.cache.get(READER)
    cached.is_under_lease = True
    cached.cache.invalidate(cached.source.grant("reader"))
    cached.source.error = UnavailableError("root coord is away")
    with pytest.raises(UnavailableError):
        await cached.cache.get(READER)


async def test_the_grants_that_are_held_have_a_bound():
    cached = Cached(max_grants=11)
    cached.source.grant("writer", GRANT, GRANT, GRANT)
    await cached.cache.get(READER)
    await cached.cache.get(("writer",))
    await cached.cache.get(("reader", "writer"))  # 3 + 5 + 7 with the roles
    assert cached.cache.peek(READER) is None
    assert cached.cache.peek(("reader", "writer")) is not None
    assert len(cached.cache) == 1


async def test_one_set_of_roles_is_held_whatever_its_size():
    cached = Cached(max_grants=1)
    cached.source.grant("reader", GRANT, GRANT)
    assert await cached.cache.get(READER) is cached.cache.peek(READER)


async def test_sets_of_roles_without_grants_have_a_bound():
    cached = Cached(max_grants=100)
    for number in range(200):
        await cached.cache.get((f"role{number}",))
    assert 0 < len(cached.cache) <= 50
