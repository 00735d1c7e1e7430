"""What the store in etcd promises beside the contract: Milvus's layout, fences, bad records."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from tests.support.credentials import hashed
from tests.support.etcd_administration import compact
from tests.support.etcd_store import elected, fenced_store
from vecguard.etcd import Delete, EtcdOutcomeUnknownError, Put
from vecguard.milvus_layout import Record
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.store.interface import Actor, Outcome
from vecguard.root_coord.store.own_writes import OwnWrites

LIMIT = 1000
FIRST, SECOND = hashed("first1"), hashed("second2")


def store_with(client, keys, fence, own=None):
    return fenced_store(client, keys, fence, own)


@pytest.fixture
def store(client, keys, fence):
    return store_with(client, keys, fence)


class InterferingClient:
    """Runs another change between the store's reads and its transaction, once."""

    def __init__(self, client, before_txn=None, after_txn=None):
        self._client = client
        self._before_txn = before_txn
        self._after_txn = after_txn

    async def range(self, *args, **options):
        return await self._client.range(*args, **options)

    async def txn(self, *args, **options):
        before, self._before_txn = self._before_txn, None
        if before is not None:
            await before()
        result = await self._client.txn(*args, **options)
        after, self._after_txn = self._after_txn, None
        if after is not None:
            await after()
        return result


class CountingClient:
    """Counts the pages that are read, and runs another change after the first one, once."""

    def __init__(self, client, after_first_page=None):
        self._client = client
        self._after_first_page = after_first_page
        self.pages = 0

    async def range(self, *args, **options):
        result = await self._client.range(*args, **options)
        self.pages += 1
        after, self._after_first_page = self._after_first_page, None
        if after is not None:
            await after()
        return result


async def put_users(client, keys, count):
    """Returns their names in alphabetical order."""
    names = [f"user{number:05}" for number in range(count)]
    value = Record.new(FIRST, "").encode()
    for start in range(0, count, 100):
        await client.txn(
            [], [Put(keys.user(name).encode(), value) for name in names[start : start + 100]]
        )
    return names


async def put(client, key, value):
    await client.txn([], [Put(key.encode(), value)])


async def all_below(client, prefix):
    return {kv.key.decode(): kv.value for kv in (await client.range(prefix, prefix=True)).kvs}


# --- Milvus's layout --------------------------------------------------------------------


async def test_a_user_lies_under_milvus_key_in_milvus_form(store, client, prefix):
    await store.create("bob", FIRST, "", user_limit=LIMIT)
    root = prefix.decode().rstrip("/")
    assert await all_below(client, prefix) == {
        f"{root}/meta/root-coord/credential/users/bob": (
            b'{"encrypted_password":"%s"}' % FIRST.encrypted.reveal().encode()
        )
    }


async def test_the_revision_is_etcd_s_mod_revision(store, client, keys):
    await store.create("bob", FIRST, "", user_limit=LIMIT)
    updated = await store.update("bob", expected_revision=None, password=SECOND, description=None)
    (kv,) = (await client.range(keys.user("bob").encode())).kvs
    assert updated.revision == kv.mod_revision
    assert (await store.get("bob")).value.revision == kv.mod_revision


async def test_an_update_keeps_what_milvus_wrote_and_drops_its_digest(store, client, keys):
    fields = {
        "encrypted_password": FIRST.encrypted.reveal(),
        "sha256_password": "0" * 64,
        "tenant": "t",
        "is_super": True,
        "time_tick": 460_000_000_000_000_001,
    }
    await put(client, keys.user("bob"), json.dumps(fields).encode())
    assert (await store.get("bob")).value.password == FIRST
    await store.update("bob", expected_revision=None, password=SECOND, description=None)
    (kv,) = (await client.range(keys.user("bob").encode())).kvs
    del fields["sha256_password"]
    assert json.loads(kv.value) == {**fields, "encrypted_password": SECOND.encrypted.reveal()}


async def test_a_deletion_takes_the_roles_of_that_user_and_of_no_other(store, client, keys):
    for username in ("bob", "bobby"):
        await store.create(username, FIRST, "", user_limit=LIMIT)
        for role in ("admin", "reader"):
            await put(client, keys.roles_of(username) + role, b"")
    await store.delete("bob")
    left = await all_below(client, keys.root.encode())
    assert set(left) == {
        keys.user("bobby"),
        keys.roles_of("bobby") + "admin",
        keys.roles_of("bobby") + "reader",
    }


async def test_a_deletion_of_nobody_leaves_stray_roles_alone(store, client, keys):
    await put(client, keys.roles_of("bob") + "admin", b"")
    assert (await store.delete("bob")).outcome is Outcome.USER_NOT_FOUND
    assert set(await all_below(client, keys.root.encode())) == {keys.roles_of("bob") + "admin"}


async def test_a_new_user_has_none_of_the_roles_that_are_left_of_the_name(store, client, keys):
    for name in ("bob", "bobby"):
        await put(client, keys.mapping(name, "admin"), b"")
    await store.create("bob", FIRST, "", user_limit=LIMIT)
    assert (await store.get("bob")).value.roles == ()
    assert keys.mapping("bobby", "admin") in await all_below(client, keys.root.encode())


async def test_the_user_and_the_roles_go_at_one_revision(store, client, keys):
    await store.create("bob", FIRST, "", user_limit=LIMIT)
    await put(client, keys.roles_of("bob") + "admin", b"")
    start = (await client.range(keys.user("bob").encode())).revision + 1
    deleted = await store.delete("bob")
    watch = client.watch(keys.root.encode(), prefix=True, start_revision=start)
    async with asyncio.timeout(10):
        batch = await anext(watch)
    await watch.aclose()
    assert {event.kv.mod_revision for event in batch.events} == {deleted.revision}
    assert len(batch.events) == 2


# --- interleavings ----------------------------------------------------------------------


async def test_a_user_who_is_created_between_count_and_write_counts(client, keys, fence):
    other = store_with(client, keys, fence)

    async def somebody_else():
        await other.create("eve", FIRST, "", user_limit=LIMIT)

    store = store_with(InterferingClient(client, somebody_else), keys, fence)
    mutation = await store.create("bob", SECOND, "", user_limit=1)
    assert mutation.outcome is Outcome.USER_LIMIT_REACHED
    assert [user.username for user in (await store.list_all()).value] == ["eve"]


async def test_the_same_name_created_between_read_and_write_is_taken(client, keys, fence):
    other = store_with(client, keys, fence)

    async def somebody_else():
        await other.create("bob", FIRST, "", user_limit=LIMIT)

    store = store_with(InterferingClient(client, somebody_else), keys, fence)
    assert (await store.create("bob", SECOND, "", user_limit=LIMIT)).outcome is Outcome.USER_EXISTS
    assert (await store.get("bob")).value.password == FIRST


async def test_a_change_between_read_and_write_refuses_a_guarded_update(client, keys, fence):
    other = store_with(client, keys, fence)
    created = await other.create("bob", FIRST, "", user_limit=LIMIT)

    async def somebody_else():
        await other.update("bob", expected_revision=None, password=SECOND, description=None)

    store = store_with(InterferingClient(client, somebody_else), keys, fence)
    mutation = await store.update(
        "bob", expected_revision=created.revision, password=hashed("third3"), description=None
    )
    assert mutation.outcome is Outcome.REVISION_CHANGED
    assert (await store.get("bob")).value.password == SECOND


async def test_a_change_between_read_and_write_survives_an_update_of_other_fields(
    client, keys, fence
):
    other = store_with(client, keys, fence)
    await other.create("bob", FIRST, "", user_limit=LIMIT)

    async def somebody_else():
        await other.update("bob", expected_revision=None, password=SECOND, description=None)

    store = store_with(InterferingClient(client, somebody_else), keys, fence)
    await store.update("bob", expected_revision=None, password=None, description="a friend")
    stored = (await store.get("bob")).value
    assert (stored.password, stored.description) == (SECOND, "a friend")


async def test_a_deletion_between_read_and_write_is_not_undone(client, keys, fence):
    other = store_with(client, keys, fence)
    await other.create("bob", FIRST, "", user_limit=LIMIT)

    async def somebody_else():
        await other.delete("bob")

    store = store_with(InterferingClient(client, somebody_else), keys, fence)
    mutation = await store.update("bob", expected_revision=None, password=SECOND, description=None)
    assert mutation.outcome is Outcome.USER_NOT_FOUND
    assert (await store.get("bob")).value is None


# --- records that cannot be read --------------------------------------------------------

CORRUPT = [
    b"",
    b"not JSON",
    b"[]",
    b"null",
    b"{}",
    b'{"encrypted_password":7}',
    b'{"encrypted_password":"hunter2-marker"}',
    b'{"encrypted_password":"%s","password_scheme":"md5"}' % FIRST.encrypted.reveal().encode(),
    b"\xff\xfe\xfd",
    b'{"description":"\\ud800"}',
]


@pytest.fixture(params=CORRUPT)
async def corrupt(request, store, client, keys):
    await store.create("eve", FIRST, "", user_limit=LIMIT)
    await put(client, keys.user("bob"), request.param)
    return request.param


async def test_a_corrupt_record_harms_only_its_user_and_is_logged_unquoted(corrupt, store):
    with capture_logs() as logs:
        users = (await store.list_all()).value
        bob = (await store.get("bob")).value
    assert [(user.username, user.password) for user in users] == [("bob", None), ("eve", FIRST)]
    assert bob.password is None
    bob.description.encode()
    warnings = [log for log in logs if log["event"] == "corrupt_credential"]
    assert {log["user"] for log in warnings} == {"bob"}
    assert "hunter2" not in str(logs)
    assert FIRST.encrypted.reveal() not in str(logs)


async def test_a_corrupt_record_can_be_reset(corrupt, store):
    mutation = await store.update("bob", expected_revision=None, password=SECOND, description=None)
    assert mutation.applied
    assert (await store.get("bob")).value.password == SECOND


async def test_a_corrupt_record_can_be_deleted(corrupt, store):
    assert (await store.delete("bob")).applied
    assert [user.username for user in (await store.list_all()).value] == ["eve"]


async def test_a_corrupt_record_takes_its_name_and_its_place(corrupt, store):
    assert (await store.create("bob", SECOND, "", user_limit=LIMIT)).outcome is Outcome.USER_EXISTS
    assert (await store.create("zoe", SECOND, "", user_limit=2)).outcome is (
        Outcome.USER_LIMIT_REACHED
    )


async def test_a_key_that_is_no_text_harms_nobody_else(store, client, keys):
    await store.create("eve", FIRST, "", user_limit=LIMIT)
    await client.txn([], [Put(keys.users.encode() + b"\xff\xfe", b"{}")])
    users = (await store.list_all()).value
    assert [user.password for user in users if user.username == "eve"] == [FIRST]
    assert all(user.username.encode() for user in users)


# --- fences and own writes --------------------------------------------------------------


async def test_within_its_term_every_change_passes(client, keys, fence):
    store = store_with(client, keys, fence)
    assert (await store.create("bob", FIRST, "", user_limit=LIMIT)).applied
    assert (
        await store.update("bob", expected_revision=None, password=SECOND, description=None)
    ).applied
    assert (await store.delete("bob")).applied
    assert (await store.delete("bob")).outcome is Outcome.USER_NOT_FOUND


@pytest.mark.parametrize("successor", [True, False])
async def test_after_its_term_no_change_passes(client, keys, successor, fence):
    store = store_with(client, keys, fence)
    created = await store.create("bob", FIRST, "", user_limit=LIMIT)
    await client.txn([], [Delete(fence.key)])
    if successor:
        await elected(client, keys)
    for change in (
        store.create("eve", FIRST, "", user_limit=LIMIT),
        store.update("bob", expected_revision=None, password=SECOND, description=None),
        store.update("bob", expected_revision=created.revision, password=SECOND, description=None),
        store.delete("bob"),
        store.delete("nobody"),
    ):
        with pytest.raises(LeadershipLostError):
            await change
    (user,) = (await store.list_all()).value
    assert (user.username, user.password) == ("bob", FIRST)


async def test_a_term_that_ends_between_read_and_write_lets_nothing_pass(client, keys, fence):

    async def deposed():
        await client.txn([], [Delete(fence.key)])

    store = store_with(InterferingClient(client, deposed), keys, fence)
    with pytest.raises(LeadershipLostError):
        await store.create("bob", FIRST, "", user_limit=LIMIT)
    assert (await store.list_all()).value == ()


async def test_a_change_is_known_as_our_own_although_the_watch_sees_it_before_its_writer(
    client, keys, fence
):
    own = OwnWrites()
    asked = []

    async def seen_by_the_watch():
        read = await client.range(keys.user("bob").encode())
        asked.append(asyncio.create_task(own.has(read.kvs[0].mod_revision)))
        await asyncio.sleep(0)
        assert not asked[0].done()

    store = store_with(InterferingClient(client, after_txn=seen_by_the_watch), keys, fence, own)
    await store.create("bob", FIRST, "", user_limit=LIMIT)
    assert await asked[0]


async def test_a_change_of_unknown_outcome_is_nobody_s(client, keys, fence):
    own = OwnWrites()

    async def answer_is_lost():
        raise EtcdOutcomeUnknownError("lost")

    store = store_with(InterferingClient(client, after_txn=answer_is_lost), keys, fence, own)
    with pytest.raises(EtcdOutcomeUnknownError):
        await store.create("bob", FIRST, "", user_limit=LIMIT)
    (kv,) = (await client.range(keys.user("bob").encode())).kvs
    assert not await own.has(kv.mod_revision)
    assert (await store.create("bob", FIRST, "", user_limit=LIMIT)).applied


async def test_a_change_of_nothing_makes_no_revision_of_others_our_own(client, keys, fence):
    own = OwnWrites()
    foreign = (await client.txn([], [Put(keys.user("eve").encode(), b"{}")])).revision
    result = await own.made(client.txn([], [Delete(keys.user("nobody").encode())]))
    assert (result.succeeded, result.revision) == (True, foreign)
    assert not await own.has(foreign)


# --- Many users -------------------------------------------------------------------------


async def test_many_users_are_read_in_pages_of_one_moment(client, keys, fence):
    """One long page would keep a leader from its keepalives."""
    names = await put_users(client, keys, 1200)

    async def somebody_else():
        await client.txn([], [Delete(keys.user(names[-1]).encode())])

    counting = CountingClient(client, somebody_else)
    store = store_with(counting, keys, fence)
    snapshot = await store.list_all()
    assert [user.username for user in snapshot.value] == names
    assert counting.pages == 3 + 1  # of users and of their roles
    later = await store.list_all()
    assert [user.username for user in later.value] == names[:-1]
    assert later.revision > snapshot.revision


async def test_pages_that_were_compacted_in_the_middle_are_read_anew(client, keys, etcd, fence):
    names = await put_users(client, keys, 600)

    async def somebody_else():
        deleted = await client.txn([], [Delete(keys.user(names[-1]).encode())])
        await compact(etcd.endpoint, deleted.revision)

    store = store_with(CountingClient(client, somebody_else), keys, fence)
    assert [user.username for user in (await store.list_all()).value] == names[:-1]


async def test_however_many_ask_at_once_all_users_are_read_twice_at_most(client, keys, fence):
    await put_users(client, keys, 3)
    counting = CountingClient(client)
    store = store_with(counting, keys, fence)
    first = asyncio.create_task(store.list_all())
    await asyncio.sleep(0)
    snapshots = await asyncio.gather(first, *(store.list_all() for _ in range(20)))
    assert all(len(snapshot.value) == 3 for snapshot in snapshots)
    assert counting.pages <= 2 * 2  # of users and of their roles


_CHANGES = {
    "create": lambda store, actor: store.create("new", FIRST, "", user_limit=LIMIT, actor=actor),
    "update": lambda store, actor: store.update(
        "bob", expected_revision=None, password=SECOND, description=None, actor=actor
    ),
    "describe": lambda store, actor: store.update(
        "bob", expected_revision=None, password=None, description="x", actor=actor
    ),
    "delete": lambda store, actor: store.delete("bob", actor=actor),
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
@pytest.mark.parametrize("how", ["deleted", "new password"])
async def test_an_actor_who_ends_between_the_read_and_the_transaction_makes_no_change(
    client, keys, fence, change, how
):
    store = store_with(client, keys, fence)
    await store.create("bob", FIRST, "", user_limit=LIMIT)
    created = await store.create("admin", FIRST, "", user_limit=LIMIT)

    async def end():
        if how == "deleted":
            await store.delete("admin")
        else:
            await store.update("admin", expected_revision=None, password=SECOND, description=None)

    late = store_with(InterferingClient(client, before_txn=end), keys, fence)
    mutation = await change(late, Actor("admin", created.revision))
    assert mutation.outcome is Outcome.ACTOR_REVOKED
    assert (await store.get("bob")).value.password == FIRST
    assert (await store.get("new")).value is None


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
async def test_a_rehash_of_the_actor_between_the_read_and_the_transaction_does_no_harm(
    client, keys, fence, store, change
):
    await store.create("bob", FIRST, "", user_limit=LIMIT)
    created = await store.create("admin", FIRST, "", user_limit=LIMIT)

    async def rehash():
        assert (await store.rehash("admin", created.revision, hashed("first1", 5))).applied

    late = store_with(InterferingClient(client, before_txn=rehash), keys, fence)
    assert (await change(late, Actor("admin", created.revision))).applied


async def test_a_hash_that_another_program_replaces_ends_the_actor(client, keys, store):
    created = await store.create("admin", FIRST, "", user_limit=LIMIT)
    await store.rehash("admin", created.revision, hashed("first1", 5))
    key = keys.user("admin").encode()
    fields = json.loads((await client.range(key)).kvs[0].value)
    fields["encrypted_password"] = SECOND.encrypted.reveal()
    await client.txn([], [Put(key, json.dumps(fields).encode())])
    mutation = await store.delete("bob", actor=Actor("admin", created.revision))
    assert mutation.outcome is Outcome.ACTOR_REVOKED
