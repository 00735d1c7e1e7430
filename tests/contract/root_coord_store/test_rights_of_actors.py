"""A change is made only while its actor has the rights by which a proxy admitted it."""

import asyncio
from dataclasses import replace

import pytest

from tests.support.credentials import hashed
from tests.support.etcd_administration import compact
from tests.support.etcd_store import elected, fenced_role_store, fenced_store
from vecguard.etcd import Compare, Delete, Get, Put
from vecguard.milvus_layout.stored_roles import Grant, StoredRole
from vecguard.privileges.catalogue import Catalogue
from vecguard.root_coord.store.actors import Actors
from vecguard.root_coord.store.interface import Actor, Outcome, StoredCredential
from vecguard.root_coord.store.policy_reads import PolicyReads
from vecguard.root_coord.store.role_interface import PrivilegeGroup, RoleBackup

CHANGED = Outcome.ACTOR_RIGHTS_CHANGED
HASH = hashed("first1")
MANAGE = Grant("Global", "*", "*", "PrivilegeManageOwnership", "root")
CREATE = replace(MANAGE, privilege="PrivilegeCreateOwnership")
GROUP = replace(MANAGE, privilege="PrivilegeGroupKeepers")


@pytest.fixture
async def users(client, keys, fence):
    users = fenced_store(client, keys, fence)
    for name in ("root", "alice", "bob"):
        await users.create(name, HASH, "", user_limit=9)
    return users


@pytest.fixture
async def store(client, keys, fence, users):
    """alice is a keeper, by a grant and by a group, and an admin; bob and others are nothing."""
    store = fenced_role_store(client, keys, fence)
    for role in ("admin", "public", "keeper", "other"):
        await store.create_role(role, "", role_limit=None, actor=None)
    await store.create_group("Keepers", actor=None)
    await store.change_group("Keepers", ["UpdateUser"], add=True, actor=None)
    for grants, role in (([MANAGE, GROUP], "keeper"), ([CREATE], "other"), ([CREATE], "public")):
        for grant in grants:
            assert (await store.change_grants(role, [grant], give=True, actor=None)).applied
    for role in ("keeper", "admin"):
        await store.give_role("alice", role, actor=None)
    return store


@pytest.fixture
async def alice(users, store):
    """The actor of a request that is admitted now by a role."""
    revision = (await users.get("alice")).value.revision

    async def admitted(role="keeper"):
        return Actor("alice", revision, role, 0 if role == "admin" else await store.revision())

    return admitted


class Crossing:
    """Runs another change between the reads of the first change and its transaction."""

    def __init__(self, client, before):
        self._client = client
        self._before = before

    async def range(self, *args, **options):
        return await self._client.range(*args, **options)

    async def txn(self, conditions, changes, *more):
        if not all(isinstance(change, Get) for change in changes):
            before, self._before = self._before, None
            if before is not None:
                await before()
        return await self._client.txn(conditions, changes, *more)


@pytest.fixture
def change(client, keys, fence, users, store):
    """Makes one of the changes; `crossed` happens between its reads and its write."""

    async def make(name, actor, crossed=None):
        through = client if crossed is None else Crossing(client, crossed)
        roles = fenced_role_store(through, keys, fence)
        accounts = fenced_store(through, keys, fence)
        return await {
            "create user": lambda: accounts.create("eve", HASH, "", user_limit=9, actor=actor),
            "set password": lambda: accounts.update(
                "bob",
                expected_revision=None,
                password=hashed("other1"),
                description=None,
                actor=actor,
            ),
            "delete user": lambda: accounts.delete("bob", actor=actor),
            "create role": lambda: roles.create_role("new", "", role_limit=None, actor=actor),
            "alter role": lambda: roles.alter_role("other", "x", actor=actor),
            "drop role": lambda: roles.drop_role("other", force=True, actor=actor),
            "give role": lambda: roles.give_role("bob", "admin", actor=actor),
            "take role": lambda: roles.take_role("alice", "admin", actor=actor),
            "grant": lambda: roles.change_grants("other", [MANAGE], give=True, actor=actor),
            "revoke": lambda: roles.change_grants("other", [CREATE], give=False, actor=actor),
            "create group": lambda: roles.create_group("New", actor=actor),
            "add to group": lambda: roles.change_group(
                "Keepers", ["SelectUser"], add=True, actor=actor
            ),
            "restore": lambda: roles.restore(RoleBackup(roles=(StoredRole("new"),)), actor=actor),
        }[name]()

    return make


CHANGES = [
    *("create user", "set password", "delete user", "create role", "alter role", "drop role"),
    *("give role", "take role", "grant", "revoke", "create group", "add to group", "restore"),
]


def demotions(store):
    """What takes the rights of alice, of a keeper."""
    return {
        "role taken": lambda: store.take_role("alice", "keeper", actor=None),
        "role dropped": lambda: store.drop_role("keeper", force=True, actor=None),
        "grant revoked": lambda: store.change_grants("keeper", [MANAGE], give=False, actor=None),
        "group emptied": lambda: store.change_group(
            "Keepers", ["UpdateUser"], add=False, actor=None
        ),
    }


DEMOTIONS = ["role taken", "role dropped", "grant revoked", "group emptied"]


async def demote(store, name):
    assert (await demotions(store)[name]()).applied


@pytest.mark.parametrize("name", CHANGES)
async def test_an_actor_who_has_the_rights_makes_the_change(alice, change, name):
    assert (await change(name, await alice())).applied


@pytest.mark.parametrize("demotion", DEMOTIONS)
@pytest.mark.parametrize("name", CHANGES)
async def test_no_change_is_made_after_the_rights_were_taken(store, alice, change, name, demotion):
    actor = await alice()
    await demote(store, demotion)
    before = await store.revision()
    assert (await change(name, actor)).outcome is CHANGED
    assert await store.revision() == before


@pytest.mark.parametrize("demotion", DEMOTIONS)
@pytest.mark.parametrize("name", CHANGES)
async def test_no_change_is_made_whose_actor_loses_the_rights_after_the_reads(
    store, alice, change, name, demotion
):
    actor, after = await alice(), []

    async def crossed():
        await demote(store, demotion)
        after.append(await store.revision())

    assert (await change(name, actor, crossed)).outcome is CHANGED
    assert [await store.revision()] == after


async def test_an_admin_needs_the_role_alone(store, users, alice, change):
    actor = await alice("admin")
    await demote(store, "grant revoked")
    assert (await change("create role", actor)).applied
    await store.take_role("alice", "admin", actor=None)
    assert (await change("create user", actor)).outcome is CHANGED


async def test_what_every_user_may_needs_no_mapping(store, alice, change):
    actor = await alice("public")
    assert (await change("create user", actor)).applied
    await store.change_grants("public", [CREATE], give=False, actor=None)
    assert (await change("create role", actor)).outcome is CHANGED


@pytest.mark.parametrize("name", CHANGES)
async def test_other_changes_of_roles_refuse_nothing(store, alice, change, name):
    actor = await alice()

    async def another():
        await store.change_grants(
            "public", [replace(CREATE, privilege="PrivilegeSelectUser")], give=True, actor=None
        )

    await store.give_role("bob", "other", actor=None)
    await store.alter_role("keeper", "another description", actor=None)
    assert (await change(name, actor, another)).applied


async def test_a_role_that_was_taken_and_given_again_counts(store, alice, change):
    actor = await alice()
    await store.take_role("alice", "keeper", actor=None)
    await store.give_role("alice", "keeper", actor=None)
    assert (await change("create role", actor)).applied


@pytest.mark.parametrize("name", CHANGES)
async def test_more_rights_refuse_nothing(store, alice, change, name):
    actor = await alice()

    async def more():
        await store.change_group("Keepers", ["UpdateUser", "SelectUser"], add=True, actor=None)

    await store.change_grants("keeper", [CREATE], give=True, actor=None)
    assert (await change(name, actor, more)).applied


async def test_rights_that_can_no_longer_be_compared_are_refused(etcd, store, alice, change):
    actor = await alice()
    await store.create_role("new", "", role_limit=None, actor=None)
    await compact(etcd.endpoint, await store.revision())
    assert (await change("create user", actor)).outcome is CHANGED
    assert (await change("create user", await alice())).applied


async def test_rights_of_a_store_that_was_replaced_are_refused(store, alice, change):
    actor = await alice()
    ahead = replace(actor, policy_revision=actor.policy_revision + 100)
    assert (await change("create user", ahead)).outcome is CHANGED


async def test_what_others_revoke_in_etcd_is_refused_once_it_was_seen(client, keys, store, alice):
    actor = await alice()
    actors = Actors(client, keys, PolicyReads(client, keys, Catalogue()), changed_at=0)
    read = await client.range(keys.grantee_ids.encode(), prefix=True)
    revoked = [kv.key for kv in read.kvs if kv.key.endswith(b"/PrivilegeManageOwnership")]
    result = await client.txn([], [Delete(key) for key in revoked])
    assert all(isinstance(each, Compare) for each in await actors.standing(actor))
    actors.policy_changed_at(result.revision)
    assert await actors.standing(actor) is CHANGED


async def test_what_was_revoked_in_etcd_before_the_term_began_is_refused(client, keys, alice):
    actor = await alice()
    read = await client.range(keys.grantee_ids.encode(), prefix=True)
    revoked = [kv.key for kv in read.kvs if kv.key.endswith(b"/PrivilegeManageOwnership")]
    await client.txn([], [Delete(key) for key in revoked])
    await client.txn([], [Delete(f"leader of {keys.root}".encode())])
    roles = fenced_role_store(client, keys, await elected(client, keys))
    made = await roles.create_role("new", "", role_limit=None, actor=actor)
    assert made.outcome is CHANGED


async def test_root_is_judged_by_its_record_alone(client, keys, users, store):
    actors = Actors(client, keys, PolicyReads(client, keys, Catalogue()), changed_at=0)
    root = Actor("root", (await users.get("root")).value.revision)
    assert await actors.standing(root) == [
        Compare.mod_revision(keys.user("root").encode(), "==", root.revision)
    ]


class Busy(Crossing):
    """Has another change of roles made before each of the actor's, if that does not wait."""

    def __init__(self, client, before):
        super().__init__(client, before)
        self.attempts = 0
        self.others = []

    async def txn(self, conditions, changes, *more):
        if any(is_mark(each) for each in conditions) and self.attempts < MOST_ATTEMPTS:
            self.attempts += 1
            self.others.append(asyncio.create_task(self._before()))
            # The first one comes before any change was prevented, so nothing makes it wait.
            await asyncio.wait(self.others[-1:], timeout=20 if self.attempts == 1 else 0.5)
        return await self._client.txn(conditions, changes, *more)


def is_mark(compare):
    return compare.key.endswith(b"policy-changed")


MOST_ATTEMPTS = 4


@pytest.mark.parametrize("name", ["give role", "restore"])
async def test_other_changes_of_roles_wait_for_one_that_they_have_prevented(
    client, keys, fence, alice, name
):
    async def another():
        description = f"after {busy.attempts} attempts"
        await roles.alter_role("other", description, actor=None)

    actor = await alice()
    busy = Busy(client, another)
    roles = fenced_role_store(busy, keys, fence)
    made = await {
        "give role": lambda: roles.give_role("bob", "admin", actor=actor),
        "restore": lambda: roles.restore(RoleBackup(roles=(StoredRole("new"),)), actor=actor),
    }[name]()
    await asyncio.gather(*busy.others)
    assert made.applied
    assert busy.attempts == 2  # the first one was prevented, and the next one was not


async def test_an_actor_drops_its_own_role_that_very_many_have(client, keys, store, alice):
    actor = await alice()
    mappings = [Put(keys.mapping(f"user{n:03}", "keeper").encode(), b"") for n in range(100)]
    await client.txn([], mappings)
    dropped = await store.drop_role("keeper", force=True, actor=actor)
    assert dropped.applied
    assert len(dropped.users) == 101
    left = await client.range(keys.mappings.encode(), prefix=True)
    assert not [kv.key for kv in left.kvs if kv.key.endswith(b"/keeper")]


async def test_an_actor_restores_what_takes_several_transactions(store, users, alice):
    backup = RoleBackup(
        tuple(StoredCredential(f"user{n:03}", HASH, 0, "", ("many",)) for n in range(150)),
        (StoredRole("many", "", tuple(replace(MANAGE, object=f"c{n:03}") for n in range(150))),),
        (PrivilegeGroup("Further", ("Search",)),),
    )
    assert (await store.restore(backup, actor=await alice())).applied
    assert len((await users.list_all()).value) == 153
