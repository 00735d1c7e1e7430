"""Drops and renames of collections, and the grants on them, in a real etcd."""

from dataclasses import replace

import pytest

from tests.support.credentials import hashed
from tests.support.etcd_store import (
    fenced_collection_changes,
    fenced_role_store,
    fenced_store,
)
from vecguard.etcd import Put
from vecguard.milvus_layout.collection_changes import CollectionChange
from vecguard.milvus_layout.role_records import Grantee
from vecguard.milvus_layout.stored_roles import Grant, StoredRole
from vecguard.root_coord.store.collection_changes import CollectionOutcome
from vecguard.root_coord.store.interface import Actor, Outcome
from vecguard.root_coord.store.role_interface import RoleBackup

HASH = hashed("first1")
SEARCH = Grant("Collection", "default", "books", "PrivilegeSearch", "root")
BY_GROUP = replace(SEARCH, object_type="Global", privilege="PrivilegeGroupCollectionReadOnly")
PATTERN = replace(SEARCH, object="book*")
EVERYWHERE = replace(SEARCH, object="*")
ELSEWHERE = replace(SEARCH, database="shop")
DROP = CollectionChange("default", "books", collection_id=7, token="t1", proxy="p", since=1)
RENAME = replace(DROP, new_database="shop", new_name="tomes")
GONE, MOVED, STAYED = CollectionOutcome.GONE, CollectionOutcome.MOVED, CollectionOutcome.STAYED


@pytest.fixture
def store(client, keys, fence):
    return client, keys, fence


@pytest.fixture
async def users(client, keys, fence):
    users = fenced_store(client, keys, fence)
    await users.create("root", HASH, "", user_limit=9)
    return users


@pytest.fixture
async def roles(client, keys, fence, users):
    store = fenced_role_store(client, keys, fence)
    for role in ("reader", "writer"):
        await store.create_role(role, "", role_limit=None, actor=None)
    return store


@pytest.fixture
def changes(client, keys, fence):
    return fenced_collection_changes(client, keys, fence)


async def grant(roles, role, *grants):
    return await roles.change_grants(role, grants, give=True, actor=None)


async def grants_of(roles, role):
    (found,) = (await roles.get_roles([role])).value.roles
    return list(found.grants)


async def all_below(client, prefix):
    return [kv.key for kv in (await client.range(prefix.encode(), prefix=True)).kvs]


async def put(client, key, value):
    await client.txn([], [Put(key, value)])


class CrashError(Exception):
    pass


class CrashingClient:
    """An etcd client whose process dies before the write after the first `writes`."""

    def __init__(self, client, writes):
        self._client = client
        self._left = writes

    def __getattr__(self, name):
        return getattr(self._client, name)

    async def txn(self, compares, success, failure=()):
        if compares:
            if not self._left:
                raise CrashError
            self._left -= 1
        return await self._client.txn(compares, success, failure)


# --- begin ------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [DROP, RENAME])
async def test_grants_on_a_changing_collection_are_left_out(roles, changes, change):
    await grant(roles, "reader", SEARCH, PATTERN, EVERYWHERE, ELSEWHERE)
    await grant(roles, "writer", BY_GROUP)
    begun = await changes.begin(change, actor=None)
    assert begun.mutation.applied
    assert begun.has_grants
    assert await grants_of(roles, "reader") == [EVERYWHERE, PATTERN, ELSEWHERE]
    assert await grants_of(roles, "writer") == []


async def test_a_change_of_a_collection_without_grants_needs_no_notice(roles, changes):
    await grant(roles, "reader", PATTERN, EVERYWHERE, ELSEWHERE)
    begun = await changes.begin(DROP, actor=None)
    assert begun.mutation.applied
    assert not begun.has_grants


async def test_a_second_change_of_a_name_is_refused_and_gets_the_first(roles, changes):
    await changes.begin(RENAME, actor=None)
    for other in (
        replace(DROP, token="t2"),
        replace(DROP, token="t2", database="shop", name="tomes"),
        replace(DROP, token="t2", name="other", new_database="shop", new_name="tomes"),
    ):
        begun = await changes.begin(other, actor=None)
        assert begun.mutation.outcome is Outcome.COLLECTION_CHANGING
        assert begun.pending == RENAME


async def test_beginning_again_with_the_same_token_succeeds(changes, users):
    first = await changes.begin(RENAME, actor=None)
    again = await changes.begin(RENAME, actor=None)
    assert again.mutation == first.mutation
    assert await changes.pending() == (RENAME,)


async def test_a_revoked_actor_begins_nothing(changes, users):
    begun = await changes.begin(DROP, actor=Actor("nobody", 1))
    assert begun.mutation.outcome is Outcome.ACTOR_REVOKED
    assert await changes.pending() == ()


async def test_no_grant_is_given_on_a_changing_collection(roles, changes):
    await changes.begin(RENAME, actor=None)
    target = replace(SEARCH, database="shop", object="tomes")
    for refused in (SEARCH, BY_GROUP, target):
        assert (await grant(roles, "reader", refused)).outcome is Outcome.COLLECTION_CHANGING
    assert (await grant(roles, "reader", PATTERN, EVERYWHERE, ELSEWHERE)).applied


async def test_a_grant_that_was_checked_before_the_begin_is_not_given(
    client, keys, fence, roles, changes
):
    class Beginning:
        began = False

        def __getattr__(self, name):
            return getattr(client, name)

        async def txn(self, compares, success, failure=()):
            if compares and not self.began:
                self.began = True
                await changes.begin(DROP, actor=None)
            return await client.txn(compares, success, failure)

    store = fenced_role_store(Beginning(), keys, fence)
    assert (await grant(store, "reader", SEARCH)).outcome is Outcome.COLLECTION_CHANGING
    await changes.end(DROP, STAYED)
    assert await grants_of(roles, "reader") == []


async def test_a_grant_on_a_changing_collection_is_revoked(roles, changes):
    await grant(roles, "reader", SEARCH)
    await changes.begin(DROP, actor=None)
    assert (await roles.change_grants("reader", [SEARCH], give=False, actor=None)).applied
    await changes.end(DROP, STAYED)
    assert await grants_of(roles, "reader") == []


async def test_no_backup_with_a_grant_on_a_changing_collection_is_restored(roles, changes):
    backup = RoleBackup((), (StoredRole("clerk", "", (SEARCH,)),), ())
    await changes.begin(DROP, actor=None)
    refused = await roles.restore(backup, actor=None)
    assert refused.outcome is Outcome.COLLECTION_CHANGING
    await changes.end(DROP, GONE)
    assert (await roles.restore(backup, actor=None)).applied
    assert await grants_of(roles, "clerk") == [SEARCH]


async def test_built_in_grants_are_ensured_in_spite_of_a_change(roles, changes):
    await changes.begin(DROP, actor=None)
    await roles.ensure_roles({"built_in": [SEARCH]})
    assert await grants_of(roles, "built_in") == []
    await changes.end(DROP, STAYED)
    assert await grants_of(roles, "built_in") == [SEARCH]


# --- end --------------------------------------------------------------------------------


async def test_a_collection_that_is_created_again_inherits_no_grant(client, keys, roles, changes):
    await grant(roles, "reader", SEARCH, PATTERN, EVERYWHERE, ELSEWHERE)
    await grant(roles, "writer", BY_GROUP)
    await changes.begin(DROP, actor=None)
    ended = await changes.end(DROP, GONE)
    assert ended.mutation.applied
    assert not ended.regained
    assert ended.roles == ("reader", "writer")
    assert await changes.pending() == ()
    assert await grants_of(roles, "reader") == [EVERYWHERE, PATTERN, ELSEWHERE]
    assert await grants_of(roles, "writer") == []
    # Nothing is left below an id, which a new grant would bring back.
    assert len(await all_below(client, keys.grantee_ids)) == 3
    await grant(roles, "reader", replace(SEARCH, privilege="PrivilegeQuery"))
    assert SEARCH not in await grants_of(roles, "reader")


async def test_grants_on_a_collection_that_stayed_count_again(roles, changes):
    await grant(roles, "reader", SEARCH)
    await changes.begin(RENAME, actor=None)
    ended = await changes.end(RENAME, STAYED)
    assert ended.regained
    assert ended.roles == ()
    assert await grants_of(roles, "reader") == [SEARCH]
    assert await changes.pending() == ()


async def test_a_rename_moves_the_grants(roles, changes):
    target = replace(SEARCH, database="shop", object="tomes", privilege="PrivilegeQuery")
    await grant(roles, "reader", SEARCH, PATTERN, target)
    await grant(roles, "writer", BY_GROUP)
    await changes.begin(RENAME, actor=None)
    ended = await changes.end(RENAME, MOVED)
    assert ended.regained
    assert ended.roles == ("reader", "writer")
    moved = replace(SEARCH, database="shop", object="tomes")
    assert await grants_of(roles, "reader") == [PATTERN, target, moved]
    assert await grants_of(roles, "writer") == [replace(BY_GROUP, database="shop", object="tomes")]
    assert await changes.pending() == ()


async def test_a_rename_moves_grants_of_older_forms(client, keys, roles, changes):
    grantee = Grantee("reader", "Collection", "default", "books")
    old_id = grantee.id[8:24]
    await put(client, keys.grantee("reader/Collection/books").encode(), old_id.encode())
    await put(client, f"{keys.grants_of(old_id)}PrivilegeSearch".encode(), b"root")
    assert await grants_of(roles, "reader") == [SEARCH]
    await changes.begin(RENAME, actor=None)
    assert await grants_of(roles, "reader") == []
    await changes.end(RENAME, MOVED)
    assert await grants_of(roles, "reader") == [replace(SEARCH, database="shop", object="tomes")]
    assert await all_below(client, keys.grants_of(old_id)) == []


@pytest.mark.parametrize(("count", "moved"), [(80, 80), (130, 0)])
async def test_a_rename_ends_whatever_the_target_has_below_an_older_id(
    store, roles, changes, count, moved
):
    client, keys, _ = store
    for object_name, seed in (("default.books", "a" * 16), ("shop.tomes", "b" * 16)):
        key = keys.grantee(f"reader/Collection/{object_name}")
        await put(client, key.encode(), seed.encode())
        for number in range(count):
            key = f"{keys.grants_of(seed)}PrivilegeGroup{seed[0]}{number}"
            await put(client, key.encode(), b"root")
    await changes.begin(RENAME, actor=None)
    assert (await changes.end(RENAME, MOVED)).mutation.applied
    assert await changes.pending() == ()
    granted = await grants_of(roles, "reader")
    assert {each.object for each in granted} == {"tomes"}
    # What etcd cannot move in one transaction is not moved: otherwise the change would never end.
    assert len(granted) == count + moved


async def test_a_drop_leaves_the_grants_of_another_role_with_the_same_older_id(
    client, keys, roles, changes
):
    shared = "0123456789abcdef"
    await put(client, keys.grantee("reader/Collection/default.books").encode(), shared.encode())
    await put(client, keys.grantee("writer/Collection/default.films").encode(), shared.encode())
    await put(client, f"{keys.grants_of(shared)}PrivilegeSearch".encode(), b"root")
    await changes.begin(DROP, actor=None)
    await changes.end(DROP, GONE)
    assert await grants_of(roles, "reader") == []
    assert await grants_of(roles, "writer") == [replace(SEARCH, object="films")]


async def test_an_end_without_a_record_changes_nothing(roles, changes):
    await grant(roles, "reader", SEARCH)
    ended = await changes.end(DROP, GONE)
    assert ended.mutation.applied
    assert not ended.mutation.revision
    assert await grants_of(roles, "reader") == [SEARCH]


async def test_the_end_of_an_earlier_attempt_does_not_end_a_later_one(roles, changes):
    await grant(roles, "reader", SEARCH)
    await changes.begin(replace(DROP, token="t2"), actor=None)
    ended = await changes.end(DROP, STAYED)
    assert not ended.mutation.revision
    assert await grants_of(roles, "reader") == []


async def test_a_drop_moves_nothing(roles, changes):
    await changes.begin(DROP, actor=None)
    assert (await changes.end(DROP, MOVED)).mutation.outcome is Outcome.INVALID
    assert await changes.pending() == (DROP,)


async def test_a_revoked_grant_does_not_move(client, keys, fence, roles, changes):
    await grant(roles, "reader", SEARCH, replace(SEARCH, privilege="PrivilegeQuery"))
    await changes.begin(RENAME, actor=None)

    class Revoking:
        revoked = False

        def __getattr__(self, name):
            return getattr(client, name)

        async def txn(self, compares, success, failure=()):
            if compares and not self.revoked:
                self.revoked = True
                await roles.change_grants("reader", [SEARCH], give=False, actor=None)
            return await client.txn(compares, success, failure)

    await fenced_collection_changes(Revoking(), keys, fence).end(RENAME, MOVED)
    assert [each.privilege for each in await grants_of(roles, "reader")] == ["PrivilegeQuery"]


@pytest.mark.parametrize("case", [(DROP, GONE), (RENAME, MOVED)])
async def test_an_end_that_crashed_between_two_steps_is_repeated(
    store, roles, changes, case, monkeypatch
):
    (client, keys, fence), (change, outcome) = store, case
    monkeypatch.setattr("vecguard.root_coord.store.collection_changes._MOST_REMOVED", 1)
    monkeypatch.setattr("vecguard.root_coord.store.collection_changes._MOST_MOVED", 1)
    granted = [SEARCH, replace(SEARCH, privilege="PrivilegeQuery")]
    for role in ("reader", "writer"):
        await grant(roles, role, *granted)
    await changes.begin(change, actor=None)
    crashes = 0
    while True:
        try:
            crashing = fenced_collection_changes(CrashingClient(client, crashes), keys, fence)
            await crashing.end(change, outcome)
        except CrashError:
            crashes += 1
            assert await changes.pending() == (change,)
            # Whatever step it was: nothing is granted on the name.
            for role in ("reader", "writer"):
                assert not {*granted} & {*await grants_of(roles, role)}
        else:
            break
    assert crashes >= 3
    assert await changes.pending() == ()
    # Nothing is left below the ids.
    assert len(await all_below(client, keys.grantee_ids)) == (4 if outcome is MOVED else 0)
    moved = [replace(each, database="shop", object="tomes") for each in granted]
    for role in ("reader", "writer"):
        assert {*await grants_of(roles, role)} == {*(moved if outcome is MOVED else [])}


async def test_grants_of_very_many_roles_are_removed(roles, changes, client, keys):
    for number in range(70):
        await roles.create_role(f"r{number}", "", role_limit=None, actor=None)
        await grant(roles, f"r{number}", SEARCH)
    await changes.begin(DROP, actor=None)
    await changes.end(DROP, GONE)
    assert await all_below(client, keys.grantees) == []
    assert await all_below(client, keys.grantee_ids) == []


async def test_a_record_that_cannot_be_read_suspends_its_name(client, keys, roles, changes):
    await grant(roles, "reader", SEARCH)
    await put(client, keys.collection_change("default", "books").encode(), b"{}")
    assert await grants_of(roles, "reader") == []
    assert await changes.pending() == ()
    begun = await changes.begin(DROP, actor=None)
    assert begun.mutation.outcome is Outcome.COLLECTION_CHANGING
    assert begun.pending is None
