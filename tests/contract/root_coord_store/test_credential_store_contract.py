"""What every `CredentialStore` promises, on the one in etcd and on the one in memory."""

import asyncio

import pytest

from tests.support.credentials import hashed
from tests.support.etcd_store import etcd_store
from tests.support.memory_store import MemoryCredentialStore
from vecguard.etcd import EtcdClient
from vecguard.milvus_layout import Keys
from vecguard.passwords import hash_password
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome, StoredCredential
from vecguard.root_record import RootState
from vecguard.secret import Secret

LIMIT = 1000


@pytest.fixture(params=["memory", "etcd"])
async def store(request):
    if request.param == "memory":
        yield MemoryCredentialStore()
        return
    process = request.getfixturevalue("etcd")
    below = request.getfixturevalue("prefix").decode()
    async with EtcdClient([process.endpoint]) as client:
        yield await etcd_store(client, Keys.of(below, "meta"))


async def create(store, username, password="first1", description="", user_limit=LIMIT):
    return await store.create(username, hashed(password), description, user_limit=user_limit)


async def update(store, username, password=None, *, expected_revision=None, description=None):
    return await store.update(
        username,
        expected_revision=expected_revision,
        password=hashed(password) if password else None,
        description=description,
    )


async def test_a_user_who_does_not_exist_is_none(store):
    snapshot = await store.get("nobody")
    assert snapshot.value is None
    assert snapshot.revision > 0


async def test_a_created_user_is_read_back(store):
    mutation = await create(store, "bob", description="a friend")
    assert mutation.outcome is Outcome.APPLIED
    snapshot = await store.get("bob")
    assert snapshot.value == StoredCredential(
        "bob", hashed("first1"), mutation.revision, "a friend"
    )
    assert snapshot.revision >= mutation.revision


async def test_a_long_password_is_read_back_with_its_scheme(store):
    password = hash_password(Secret("x" * 100), 4)
    await store.create("bob", password, "", user_limit=LIMIT)
    assert (await store.get("bob")).value.password == password


async def test_names_that_begin_alike_are_different_users(store):
    await create(store, "bob")
    await create(store, "bobby")
    await store.delete("bob")
    assert [user.username for user in (await store.list_all()).value] == ["bobby"]


async def test_users_are_listed_in_alphabetical_order(store):
    for username in ("zoe", "root", "Zoe", "a_b", "a1"):
        await create(store, username)
    snapshot = await store.list_all()
    assert [user.username for user in snapshot.value] == ["Zoe", "a1", "a_b", "root", "zoe"]
    assert all(user.revision <= snapshot.revision for user in snapshot.value)


async def test_nobody_is_an_empty_list(store):
    assert (await store.list_all()).value == ()


async def test_a_name_that_is_taken_is_refused(store):
    first = await create(store, "bob")
    assert await create(store, "bob", "other1") == Mutation(Outcome.USER_EXISTS)
    assert (await store.get("bob")).value == StoredCredential(
        "bob", hashed("first1"), first.revision
    )


async def test_a_repeated_creation_with_the_same_hash_reports_the_first_success(store):
    first = await create(store, "bob")
    assert await create(store, "bob") == first
    assert await create(store, "bob", user_limit=1) == first


async def test_of_concurrent_creations_of_one_name_exactly_one_succeeds(store):
    mutations = await asyncio.gather(
        *(create(store, "bob", f"password{number}") for number in range(8))
    )
    outcomes = [mutation.outcome for mutation in mutations]
    assert outcomes.count(Outcome.APPLIED) == 1
    assert outcomes.count(Outcome.USER_EXISTS) == 7
    winner = outcomes.index(Outcome.APPLIED)
    assert (await store.get("bob")).value == StoredCredential(
        "bob", hashed(f"password{winner}"), mutations[winner].revision
    )


async def test_the_user_limit_counts_everybody(store):
    await create(store, "root", user_limit=2)
    await create(store, "bob", user_limit=2)
    assert await create(store, "eve", user_limit=2) == Mutation(Outcome.USER_LIMIT_REACHED)
    await store.delete("bob")
    assert (await create(store, "eve", user_limit=2)).applied


async def test_a_taken_name_is_reported_before_the_limit(store):
    await create(store, "bob", user_limit=1)
    assert await create(store, "bob", "other1", user_limit=1) == Mutation(Outcome.USER_EXISTS)


async def test_concurrent_creations_fill_the_limit_exactly(store):
    await create(store, "root")
    mutations = await asyncio.gather(
        *(create(store, f"user{number}", user_limit=5) for number in range(16))
    )
    outcomes = [mutation.outcome for mutation in mutations]
    assert outcomes.count(Outcome.APPLIED) == 4
    assert outcomes.count(Outcome.USER_LIMIT_REACHED) == 12
    assert len((await store.list_all()).value) == 5


async def test_creations_and_deletions_beside_each_other_keep_the_limit(store):
    for number in range(4):
        await create(store, f"old{number}", user_limit=4)
    await asyncio.gather(
        *(store.delete(f"old{number}") for number in range(4)),
        *(create(store, f"new{number}", user_limit=4) for number in range(12)),
    )
    assert len((await store.list_all()).value) <= 4


async def test_a_changed_password_has_a_new_revision(store):
    created = await create(store, "bob", description="a friend")
    updated = await update(store, "bob", "second2")
    assert updated.outcome is Outcome.APPLIED
    assert updated.revision > created.revision
    assert (await store.get("bob")).value == StoredCredential(
        "bob", hashed("second2"), updated.revision, "a friend"
    )


async def test_a_description_alone_keeps_the_password(store):
    await create(store, "bob")
    updated = await update(store, "bob", description="a friend")
    assert (await store.get("bob")).value == StoredCredential(
        "bob", hashed("first1"), updated.revision, "a friend"
    )
    await update(store, "bob", description="")
    assert (await store.get("bob")).value.description == ""


async def test_an_update_of_nobody_is_refused(store):
    assert await update(store, "nobody", "second2") == Mutation(Outcome.USER_NOT_FOUND)


async def test_an_update_from_an_older_revision_changes_nothing(store):
    created = await create(store, "bob")
    updated = await update(store, "bob", "second2", expected_revision=created.revision)
    assert updated.applied
    late = await update(store, "bob", "third3", expected_revision=created.revision)
    assert late == Mutation(Outcome.REVISION_CHANGED)
    assert (await store.get("bob")).value.password == hashed("second2")


@pytest.mark.parametrize("revision", [0, -1, 2**62])
async def test_an_update_from_a_revision_that_never_was_changes_nothing(store, revision):
    await create(store, "bob")
    assert (await update(store, "bob", "second2", expected_revision=revision)).outcome is (
        Outcome.REVISION_CHANGED
    )


async def test_a_repeated_update_with_the_same_hash_reports_the_first_success(store):
    created = await create(store, "bob")
    first = await update(store, "bob", "second2", expected_revision=created.revision)
    assert await update(store, "bob", "second2", expected_revision=created.revision) == first


async def test_an_update_of_a_user_who_was_created_anew_is_refused(store):
    created = await create(store, "bob")
    await store.delete("bob")
    await create(store, "bob", "other1")
    late = await update(store, "bob", "second2", expected_revision=created.revision)
    assert late.outcome is Outcome.REVISION_CHANGED


async def test_of_concurrent_updates_from_one_revision_exactly_one_succeeds(store):
    created = await create(store, "bob")
    mutations = await asyncio.gather(
        *(
            update(store, "bob", f"password{number}", expected_revision=created.revision)
            for number in range(8)
        )
    )
    outcomes = [mutation.outcome for mutation in mutations]
    assert outcomes.count(Outcome.APPLIED) == 1
    assert outcomes.count(Outcome.REVISION_CHANGED) == 7
    winner = outcomes.index(Outcome.APPLIED)
    assert (await store.get("bob")).value.password == hashed(f"password{winner}")


async def test_concurrent_updates_from_any_revision_all_succeed_one_after_the_other(store):
    await create(store, "bob")
    mutations = await asyncio.gather(
        *(update(store, "bob", f"password{number}") for number in range(6))
    )
    assert all(mutation.applied for mutation in mutations)
    revisions = [mutation.revision for mutation in mutations]
    assert len(set(revisions)) == 6
    newest = (await store.get("bob")).value
    assert newest.revision == max(revisions)
    assert newest.password == hashed(f"password{revisions.index(max(revisions))}")


async def test_a_deleted_user_is_gone(store):
    created = await create(store, "bob")
    deleted = await store.delete("bob")
    assert deleted.outcome is Outcome.APPLIED
    assert deleted.revision > created.revision
    assert (await store.get("bob")).value is None
    assert (await store.list_all()).value == ()


async def test_a_deletion_of_nobody_says_at_which_revision_there_was_nobody(store):
    await create(store, "bob")
    deleted = await store.delete("bob")
    again = await store.delete("bob")
    assert again.outcome is Outcome.USER_NOT_FOUND
    assert again.revision >= deleted.revision


@pytest.mark.parametrize("username", ["", "/", "bob/", "b"])
async def test_names_that_are_part_of_others_hit_nobody(store, username):
    await create(store, "bob")
    assert (await store.get(username)).value is None
    assert (await store.delete(username)).outcome is Outcome.USER_NOT_FOUND
    assert (await update(store, username, "second2")).outcome is Outcome.USER_NOT_FOUND
    assert len((await store.list_all()).value) == 1


async def test_creation_and_deletion_beside_each_other_end_in_one_of_both(store):
    await create(store, "bob")
    deleted, updated = await asyncio.gather(store.delete("bob"), update(store, "bob", "second2"))
    assert deleted.applied
    assert (await store.get("bob")).value is None
    assert updated.outcome in (Outcome.APPLIED, Outcome.USER_NOT_FOUND)


REVOKED = Mutation(Outcome.ACTOR_REVOKED)


def by(mutation, username="admin"):
    return Actor(username, mutation.revision)


async def changes_by(store, actor):
    """What each kind of change by this actor comes to; bob and eve exist, new does not."""
    return [
        await store.create("new", hashed("first1"), "", user_limit=LIMIT, actor=actor),
        await store.update(
            "bob",
            expected_revision=None,
            password=hashed("other1"),
            description=None,
            actor=actor,
        ),
        await store.update(
            "bob", expected_revision=None, password=None, description="by admin", actor=actor
        ),
        await store.delete("eve", actor=actor),
    ]


@pytest.fixture
async def admin(store):
    for username in ("bob", "eve"):
        await create(store, username)
    return by(await create(store, "admin", "admin1"))


async def test_an_actor_who_stands_makes_every_change(store, admin):
    assert all(mutation.applied for mutation in await changes_by(store, admin))


@pytest.mark.parametrize("recreated", [False, True])
async def test_a_deleted_actor_makes_no_change(store, admin, recreated):
    await store.delete("admin")
    if recreated:
        await create(store, "admin", "admin1")
    before = await store.list_all()
    assert await changes_by(store, admin) == [REVOKED] * 4
    assert (await store.list_all()).value == before.value


async def test_an_actor_with_another_password_makes_no_change(store, admin):
    changed = await update(store, "admin", "admin2")
    before = await store.list_all()
    assert await changes_by(store, admin) == [REVOKED] * 4
    assert (await store.list_all()).value == before.value
    assert all(mutation.applied for mutation in await changes_by(store, by(changed)))


async def test_an_actor_whose_record_was_only_written_again_makes_changes(store, admin):
    assert (await store.rehash("admin", admin.revision, hashed("admin1", 5))).applied
    assert (await update(store, "admin", description="me")).applied
    newest = (await store.get("admin")).value.revision
    assert (await store.rehash("admin", newest, hashed("admin1", 6))).applied
    assert all(mutation.applied for mutation in await changes_by(store, admin))
    await update(store, "admin", "admin2")
    assert await changes_by(store, admin) == [REVOKED] * 4


async def test_an_actor_of_a_revision_that_is_yet_to_come_makes_no_change(store, admin):
    ahead = Actor("admin", admin.revision + 1)
    assert await changes_by(store, ahead) == [REVOKED] * 4


@pytest.mark.parametrize("username", ["nobody", "", "no/body"])
async def test_an_actor_who_does_not_exist_makes_no_change(store, admin, username):
    assert await changes_by(store, Actor(username, admin.revision)) == [REVOKED] * 4


async def test_an_actor_who_is_the_target_changes_its_password_once(store, admin):
    async def change(password):
        return await store.update(
            "admin",
            expected_revision=admin.revision,
            password=hashed(password),
            description=None,
            actor=admin,
        )

    assert (await change("admin2")).applied
    assert await change("admin3") == REVOKED
    assert (await store.get("admin")).value.password == hashed("admin2")


async def test_an_actor_deletes_itself_once(store, admin):
    assert (await store.delete("admin", actor=admin)).applied
    assert await store.delete("admin", actor=admin) == REVOKED


async def test_the_first_root_is_created_in_a_new_store_only(store):
    assert await store.root_state() is RootState.NEW
    assert await store.create_first_root(hashed("first1"))
    assert await store.root_state() is RootState.FOUND
    assert not await store.create_first_root(hashed("other1"))
    assert (await store.get("root")).value.password == hashed("first1")


async def test_a_store_that_had_root_is_no_new_one(store):
    await store.create_first_root(hashed("first1"))
    await store.delete("root")
    assert await store.root_state() is RootState.LOST
    assert not await store.create_first_root(hashed("first1"))
    assert (await store.list_all()).value == ()


async def test_a_store_with_users_is_no_new_one(store):
    await create(store, "bob")
    assert await store.root_state() is RootState.LOST
    assert not await store.create_first_root(hashed("first1"))
    await store.note_root()  # it has none
    await store.delete("bob")
    assert await store.root_state() is RootState.NEW


async def test_a_root_that_was_noted_is_missed(store):
    """One of Milvus, or of a version that left no note."""
    await create(store, "root")
    for _ in range(2):
        await store.note_root()
    await store.delete("root")
    assert await store.root_state() is RootState.LOST


async def test_of_concurrent_first_roots_exactly_one_is_created(store):
    created = await asyncio.gather(
        *(store.create_first_root(hashed(f"password{number}")) for number in range(5))
    )
    assert created.count(True) == 1
