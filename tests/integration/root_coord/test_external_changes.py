import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.support.etcd_administration import compact
from tests.support.etcd_store import elected, fenced_role_store, fenced_store
from tests.support.waiting import eventually
from vecguard.etcd import Delete, EtcdClient, Put
from vecguard.milvus_layout import Keys, Record
from vecguard.milvus_layout.role_records import Grantee
from vecguard.milvus_layout.stored_roles import Grant
from vecguard.passwords import hash_password
from vecguard.root_coord.external_changes import ExternalChanges
from vecguard.root_coord.session_state import FullInvalidation, Invalidation, PolicyInvalidation
from vecguard.root_coord.store.own_writes import OwnWrites
from vecguard.secret import Secret

FIRST, SECOND, THIRD = (hash_password(Secret(f"password-{n}"), 4) for n in range(3))


class Announced:
    """What root coord would send to proxies."""

    def __init__(self):
        self.contents = []
        self.of_policy = []
        self.forgotten = 0

    def policy_seen(self, revision):
        self.forgotten = max(self.forgotten, revision)

    def announce(self, content):
        of_policy = isinstance(content, PolicyInvalidation)
        # The notice makes proxies read again.
        assert not of_policy or self.forgotten >= content.revision
        assert not isinstance(content, FullInvalidation) or self.forgotten
        (self.of_policy if of_policy else self.contents).append(content)

    async def become(self, expected):
        async def announced():
            return self.contents == expected

        await eventually(announced, timeout_seconds=10)

    async def policy_becomes(self, revisions):
        async def announced():
            return self.of_policy == [PolicyInvalidation(revision) for revision in revisions]

        await eventually(announced, timeout_seconds=10)


class Watched:
    """A store, another program that writes past it, and what the watch reports."""

    def __init__(self, client, keys, fence):
        self.client = client
        self.keys = keys
        self.own = OwnWrites()
        self.announced = Announced()
        self.store = fenced_store(client, keys, fence, self.own)
        self.roles = fenced_role_store(client, keys, fence, self.own)
        self.changes = ExternalChanges(
            client,
            keys,
            self.own,
            self.announced,
            seen=lambda: None,
            policy_seen=self.announced.policy_seen,
            root_seen=lambda _is_there: None,
        )

    async def put(self, username, password, description=""):
        value = Record.new(password, description).encode()
        return await self.write(Put(self.keys.user(username).encode(), value))

    async def put_bytes(self, username, value):
        return await self.write(Put(self.keys.user(username).encode(), value))

    async def delete(self, username):
        return await self.write(Delete(self.keys.user(username).encode()))

    async def write(self, *changes):
        return (await self.client.txn([], changes)).revision

    @asynccontextmanager
    async def following(self, after_revision=None):
        if after_revision is None:
            after_revision = (await self.store.list_all()).revision
        tasks = [
            asyncio.create_task(follow(after_revision))
            for follow in (self.changes.follow_credentials, self.changes.follow_groups)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@pytest.fixture
async def watched(etcd, request):
    async with EtcdClient([etcd.endpoint]) as client:
        keys = Keys.of(request.node.name, "meta")
        yield Watched(client, keys, await elected(client, keys))


async def test_a_password_that_somebody_else_writes_is_announced(watched):
    await watched.put("bob", FIRST)
    async with watched.following():
        revision = await watched.put("bob", SECOND)
        await watched.announced.become([Invalidation("bob", revision)])


async def test_a_deletion_by_somebody_else_is_announced(watched):
    await watched.put("bob", FIRST)
    async with watched.following():
        revision = await watched.delete("bob")
        await watched.announced.become([Invalidation("bob", revision)])


async def test_a_record_that_is_overwritten_with_garbage_is_announced(watched):
    await watched.put("bob", FIRST)
    async with watched.following():
        revision = await watched.put_bytes("bob", b"\xff garbage")
        await watched.announced.become([Invalidation("bob", revision)])


async def test_what_was_missed_before_the_watch_began_is_caught_up(watched):
    await watched.put("bob", FIRST)
    before = (await watched.store.list_all()).revision
    revision = await watched.put("bob", SECOND)
    async with watched.following(before):
        await watched.announced.become([Invalidation("bob", revision)])


async def test_own_changes_are_not_announced_again_and_a_new_description_revokes_nothing(watched):
    async with watched.following():
        created = await watched.store.create("bob", FIRST, "", user_limit=100)
        await watched.store.update(
            "bob", expected_revision=created.revision, password=SECOND, description=None
        )
        await watched.put("bob", SECOND, "somebody else's words")
        await watched.store.delete("bob")
        marker = await watched.put("eve", THIRD)
        await watched.announced.become([Invalidation("eve", marker)])


async def test_an_own_hash_that_somebody_else_puts_back_is_announced(watched):
    async with watched.following():
        await watched.store.create("bob", FIRST, "", user_limit=100)
        await watched.store.update("bob", expected_revision=None, password=SECOND, description=None)
        revision = await watched.put("bob", FIRST)
        await watched.announced.become([Invalidation("bob", revision)])


async def test_a_deletion_by_somebody_else_after_our_own_attempt_is_announced(watched):
    async with watched.following():
        await watched.store.delete("bob")
        await watched.put("bob", FIRST)
        revision = await watched.delete("bob")

        async def announced():
            return watched.announced.contents[-1:] == [Invalidation("bob", revision)]

        await eventually(announced, timeout_seconds=10)


async def test_changes_that_were_compacted_unseen_make_everything_be_read_again(watched, etcd):
    await watched.put("bob", FIRST)
    before = (await watched.store.list_all()).revision
    await watched.put("bob", SECOND)
    await watched.put("bob", THIRD)
    await compact(etcd.endpoint, (await watched.store.list_all()).revision)
    async with watched.following(before):
        await watched.announced.become([FullInvalidation()])
        revision = await watched.delete("bob")
        await watched.announced.become([FullInvalidation(), Invalidation("bob", revision)])


async def test_an_own_hash_of_the_gap_that_somebody_puts_back_later_is_their_change(watched, etcd):
    await watched.put("bob", FIRST)
    before = (await watched.store.list_all()).revision
    for password in (SECOND, THIRD):
        await watched.store.update(
            "bob", expected_revision=None, password=password, description=None
        )
    await compact(etcd.endpoint, (await watched.store.list_all()).revision)
    async with watched.following(before):
        await watched.announced.become([FullInvalidation()])
        revision = await watched.put("bob", SECOND)
        await watched.announced.become([FullInvalidation(), Invalidation("bob", revision)])


# --- roles ------------------------------------------------------------------------------


SEARCH = Grant("Collection", "default", "books", "PrivilegeSearch", "root")


async def test_a_mapping_that_somebody_else_writes_concerns_the_roles_of_that_user(watched):
    key = watched.keys.mapping("bob", "reader")
    async with watched.following():
        given = await watched.write(Put(key.encode(), b""))
        await watched.announced.become([Invalidation("bob", given, roles_only=True)])
        taken = await watched.write(Delete(key.encode()))
        await watched.announced.become(
            [Invalidation("bob", revision, roles_only=True) for revision in (given, taken)]
        )


@pytest.mark.parametrize("kind", ["role", "grantee", "grant", "group", "drop"])
async def test_a_policy_that_somebody_else_changes_is_announced_as_such(watched, kind):
    grantee = Grantee("reader", "Collection", "default", "books")
    key = {
        "role": watched.keys.role("reader"),
        "grantee": watched.keys.grantee(grantee.key),
        "grant": watched.keys.grants_of(grantee.id) + "PrivilegeSearch",
        "group": watched.keys.group("Readers"),
        "drop": watched.keys.collection_change("default", "books"),
    }[kind]
    async with watched.following():
        revision = await watched.write(Put(key.encode(), b"anything"))
        await watched.announced.policy_becomes([revision])
        later = await watched.write(Delete(key.encode()))
        await watched.announced.policy_becomes([revision, later])


async def test_a_change_of_several_keys_is_announced_once(watched):
    keys = [watched.keys.role(f"role{number}").encode() for number in range(5)]
    async with watched.following():
        revision = await watched.write(*(Put(key, b"") for key in keys))
        marker = await watched.write(Put(keys[0], b""))
        await watched.announced.policy_becomes([revision, marker])


async def test_own_changes_of_roles_are_not_announced_again(watched):
    await watched.put("root", FIRST)
    async with watched.following():
        await watched.store.create("bob", FIRST, "", user_limit=9)
        await watched.roles.create_role("reader", "", role_limit=9, actor=None)
        await watched.roles.give_role("bob", "reader", actor=None)
        await watched.roles.change_grants("reader", [SEARCH], give=True, actor=None)
        await watched.roles.create_group("Readers", actor=None)
        await watched.roles.drop_role("reader", force=True, actor=None)
        await watched.store.delete("bob")
        marker = await watched.put("eve", THIRD)
        group = await watched.write(Put(watched.keys.group("Other").encode(), b""))
        await watched.announced.become([Invalidation("eve", marker)])
        await watched.announced.policy_becomes([group])


async def test_groups_that_were_compacted_unseen_are_read_again(watched, etcd):
    before = (await watched.store.list_all()).revision
    await watched.write(Put(watched.keys.group("Readers").encode(), b""))
    await watched.write(Put(watched.keys.group("Readers").encode(), b"x"))
    now = (await watched.store.list_all()).revision
    await compact(etcd.endpoint, now)
    async with watched.following(before):
        await watched.announced.become([FullInvalidation()])
        # Once for groups, once for records of drops and renames.
        await watched.announced.policy_becomes([now, now])
