"""What a `RoleStore` promises, on the one in etcd."""

import asyncio
from dataclasses import replace

import pytest

from tests.support.credentials import hashed
from tests.support.etcd_store import elected, fenced_role_store, fenced_store
from vecguard.etcd import EtcdClient
from vecguard.milvus_layout import Keys
from vecguard.milvus_layout.stored_roles import Grant, StoredRole
from vecguard.privileges.catalogue import Catalogue
from vecguard.privileges.stored_names import stored_privilege
from vecguard.root_coord.store.interface import Actor, Outcome, StoredCredential
from vecguard.root_coord.store.role_interface import PrivilegeGroup, RoleBackup

LIMIT = 1000
HASH = hashed("first1")
SEARCH = Grant("Collection", "default", "books", "PrivilegeSearch", "root")
QUERY = replace(SEARCH, privilege="PrivilegeQuery")
ELSEWHERE = replace(SEARCH, database="shop")
READERS = Grant("Global", "default", "*", "PrivilegeGroupReaders", "root")


@pytest.fixture
async def stores(etcd, prefix):
    async with EtcdClient([etcd.endpoint]) as client:
        keys = Keys.of(prefix.decode(), "meta")
        fence = await elected(client, keys)
        users = fenced_store(client, keys, fence)
        await users.create("root", HASH, "", user_limit=LIMIT)
        yield users, fenced_role_store(client, keys, fence)


@pytest.fixture
async def users(stores):
    return stores[0]


@pytest.fixture
async def store(stores):
    return stores[1]


async def create(store, name, description="", role_limit=LIMIT):
    return await store.create_role(name, description, role_limit=role_limit, actor=None)


async def grant(store, role, *grants):
    return await store.change_grants(role, grants, give=True, actor=None)


async def revoke(store, role, *grants):
    return await store.change_grants(role, grants, give=False, actor=None)


async def grants_of(store, role):
    (found,) = (await store.get_roles([role])).value.roles
    return list(found.grants)


async def add_user(users, name):
    return await users.create(name, HASH, "", user_limit=LIMIT)


async def group_of(store, name, *privileges):
    await store.create_group(name, actor=None)
    if privileges:
        assert (await store.change_group(name, privileges, add=True, actor=None)).applied


# --- roles ------------------------------------------------------------------------------


async def test_a_created_role_is_read_back(store):
    mutation = await create(store, "reader", "reads")
    assert mutation.outcome is Outcome.APPLIED
    read = await store.get_roles(["reader", "none", "reader"])
    assert read.value.roles == (StoredRole("reader", "reads"),)
    assert read.revision >= mutation.revision > 0


async def test_a_name_that_is_taken_is_refused(store):
    await create(store, "reader", "first")
    assert (await create(store, "reader")).outcome is Outcome.ROLE_EXISTS
    assert (await store.list_roles()).value == (StoredRole("reader", "first"),)


async def test_concurrent_creations_fill_the_limit_exactly(store):
    mutations = await asyncio.gather(
        *(create(store, f"role{number}", role_limit=3) for number in range(8))
    )
    outcomes = [mutation.outcome for mutation in mutations]
    assert outcomes.count(Outcome.APPLIED) == 3
    assert outcomes.count(Outcome.ROLE_LIMIT_REACHED) == 5


async def test_a_description_is_replaced(store):
    assert (await store.alter_role("reader", "x", actor=None)).outcome is Outcome.ROLE_NOT_FOUND
    await create(store, "reader", "first")
    for description in ("second", ""):
        assert (await store.alter_role("reader", description, actor=None)).applied
        assert (await store.list_roles()).value == (StoredRole("reader", description),)


async def test_roles_are_listed_in_order_with_their_users(store, users):
    for role in ("writer", "reader"):
        await create(store, role)
    for user in ("eve", "bob"):
        await add_user(users, user)
        await store.give_role(user, "reader", actor=None)
    assert (await store.list_roles()).value == (
        StoredRole("reader", users=("bob", "eve")),
        StoredRole("writer"),
    )


async def test_a_dropped_role_takes_its_users_and_grants_and_no_others(store, users):
    for role in ("reader", "reader2"):
        await create(store, role)
        await grant(store, role, SEARCH)
    for user in ("bob", "eve"):
        await add_user(users, user)
        for role in ("reader", "reader2"):
            await store.give_role(user, role, actor=None)
    dropped = await store.drop_role("reader", force=True, actor=None)
    assert dropped.applied
    assert dropped.users == ("bob", "eve")
    assert (await users.get("bob")).value.roles == ("reader2",)
    await create(store, "reader")
    assert await grants_of(store, "reader") == []
    assert await grants_of(store, "reader2") == [SEARCH]
    assert (await store.list_roles()).value[0] == StoredRole("reader")


async def test_a_role_with_grants_is_dropped_by_force_only(store):
    await create(store, "reader")
    await grant(store, "reader", SEARCH)
    refused = await store.drop_role("reader", force=False, actor=None)
    assert refused.outcome is Outcome.ROLE_HAS_GRANTS
    assert "PrivilegeSearch on Collection default.books" in refused.detail
    await revoke(store, "reader", SEARCH)
    assert (await store.drop_role("reader", force=False, actor=None)).applied


async def test_an_unknown_role_is_not_dropped(store):
    assert (await store.drop_role("x", force=True, actor=None)).outcome is Outcome.ROLE_NOT_FOUND


async def test_a_role_with_more_users_and_objects_than_a_transaction_holds_is_dropped(store, users):
    await create(store, "big")
    names = [f"user{number:03}" for number in range(170)]
    for name in names:
        await add_user(users, name)
        await store.give_role(name, "big", actor=None)
    for start in range(0, 150, 25):
        many = [replace(SEARCH, object=f"c{number}") for number in range(start, start + 25)]
        assert (await grant(store, "big", *many)).applied
    assert len(await grants_of(store, "big")) == 150
    dropped = await store.drop_role("big", force=True, actor=None)
    assert sorted(dropped.users) == names
    assert all(not user.roles for user in (await users.list_all()).value)
    await create(store, "big")
    assert await grants_of(store, "big") == []
    await grant(store, "big", replace(QUERY, object="c149"))
    assert await grants_of(store, "big") == [replace(QUERY, object="c149")]


# --- users ------------------------------------------------------------------------------


async def test_roles_of_a_user_are_read_with_the_credential(store, users):
    await add_user(users, "bob")
    for role in ("writer", "public", "reader"):
        await create(store, role)
        assert (await store.give_role("bob", role, actor=None)).applied
    assert (await users.get("bob")).value.roles == ("reader", "writer")
    by_name = {user.username: user.roles for user in (await users.list_all()).value}
    assert by_name == {"bob": ("reader", "writer"), "root": ()}
    await store.take_role("bob", "reader", actor=None)
    assert (await users.get("bob")).value.roles == ("writer",)


async def test_giving_needs_a_role_and_a_user_and_taking_a_role(store, users):
    assert (await store.give_role("bob", "r", actor=None)).outcome is Outcome.ROLE_NOT_FOUND
    assert (await store.take_role("bob", "r", actor=None)).outcome is Outcome.ROLE_NOT_FOUND
    await create(store, "r")
    assert (await store.give_role("bob", "r", actor=None)).outcome is Outcome.USER_NOT_FOUND
    assert (await store.take_role("bob", "r", actor=None)).applied


async def test_what_is_so_already_succeeds_at_a_revision_at_which_it_was_so(store, users):
    """It must be revoked, too: the change that made it so may not have reached all proxies."""
    await add_user(users, "bob")
    await create(store, "r")
    given = await store.give_role("bob", "r", actor=None)
    again = await store.give_role("bob", "r", actor=None)
    assert again.applied
    assert again.revision == given.revision == await store.revision()
    granted = await grant(store, "r", SEARCH)
    assert await grant(store, "r", SEARCH) == granted
    revoked = await revoke(store, "r", SEARCH)
    assert await revoke(store, "r", SEARCH) == revoked
    assert await store.revision() == revoked.revision


async def test_a_new_user_has_none_of_the_roles_of_an_earlier_one(store, users):
    await create(store, "admin")
    await add_user(users, "bob")
    await store.give_role("bob", "admin", actor=None)
    await users.delete("bob")
    await add_user(users, "bob")
    assert (await users.get("bob")).value.roles == ()


# --- grants -----------------------------------------------------------------------------


async def test_several_grants_are_given_and_revoked_together(store):
    await create(store, "reader")
    everything = [SEARCH, QUERY, ELSEWHERE]
    given = await grant(store, "reader", *everything)
    assert given.applied
    assert await grants_of(store, "reader") == [QUERY, SEARCH, ELSEWHERE]
    await revoke(store, "reader", SEARCH, ELSEWHERE)
    assert await grants_of(store, "reader") == [QUERY]


async def test_grants_of_one_role_are_no_other_role_s(store):
    for role in ("reader", "reader2"):
        await create(store, role)
    await grant(store, "reader", SEARCH)
    found = (await store.get_roles(["reader", "reader2"])).value.roles
    assert [len(role.grants) for role in found] == [1, 0]


async def test_a_second_grantor_of_the_same_changes_nothing(store, users):
    await create(store, "reader")
    await add_user(users, "bob")
    await grant(store, "reader", SEARCH)
    await grant(store, "reader", replace(SEARCH, grantor="bob"))
    assert await grants_of(store, "reader") == [SEARCH]


@pytest.mark.parametrize("give", [True, False])
async def test_role_and_grantor_must_exist(store, give):
    change = store.change_grants
    refused = await change("r", [SEARCH], give=give, actor=None)
    assert refused.outcome is Outcome.ROLE_NOT_FOUND
    await create(store, "r")
    refused = await change("r", [replace(SEARCH, grantor="eve")], give=give, actor=None)
    assert (refused.outcome, refused.detail) == (Outcome.GRANTOR_NOT_FOUND, "eve")
    assert await grants_of(store, "r") == []


async def test_only_a_privilege_that_exists_is_given_and_any_is_revoked(store):
    await create(store, "r")
    unknown = replace(SEARCH, privilege="PrivilegeFly")
    refused = await grant(store, "r", SEARCH, unknown)
    assert (refused.outcome, refused.detail) == (Outcome.PRIVILEGE_NOT_FOUND, "Fly")
    assert await grants_of(store, "r") == []
    assert (await revoke(store, "r", unknown)).applied
    assert (await grant(store, "r", replace(SEARCH, privilege="*"))).applied


async def test_too_many_grants_at_once_are_refused_with_a_reason(store):
    await create(store, "r")
    refused = await grant(store, "r", *(replace(SEARCH, object=f"c{n}") for n in range(26)))
    assert (refused.outcome, refused.detail) == (
        Outcome.INVALID,
        "more than 25 grants in one change",
    )


async def test_a_grant_beside_many_on_its_object_is_revoked_with_many_others(store):
    """The store is read in parts then."""
    await create(store, "r")
    privileges = sorted(map(stored_privilege, Catalogue().groups["CollectionAdmin"]))[:25]
    many = [replace(SEARCH, privilege=privilege) for privilege in privileges]
    others = [replace(SEARCH, object=f"c{number}") for number in range(24)]
    assert (await grant(store, "r", *many)).applied
    assert (await grant(store, "r", *others)).applied
    assert (await revoke(store, "r", many[-1], *others)).applied
    assert len(many) == 25
    assert sorted(await grants_of(store, "r"), key=str) == sorted(many[:-1], key=str)


# --- groups -----------------------------------------------------------------------------


async def test_groups_are_listed_in_order_and_the_built_in_ones_after_them(store):
    await group_of(store, "Writers", "Insert", "Delete")
    await group_of(store, "Readers")
    groups = (await store.list_groups()).value
    assert groups[:2] == (
        PrivilegeGroup("Readers"),
        PrivilegeGroup("Writers", ("Insert", "Delete")),
    )
    assert [group.name for group in groups[2:]] == list(Catalogue().groups)
    assert groups[2].privileges == Catalogue().groups[groups[2].name]


async def test_the_groups_of_the_grants_come_flattened_with_the_roles(store):
    await create(store, "r")
    await group_of(store, "Inner", "Query")
    await group_of(store, "Readers", "Search", "Inner")
    await group_of(store, "Unused", "Load")
    built_in = replace(READERS, privilege="PrivilegeGroupDatabaseReadOnly")
    await grant(store, "r", READERS, built_in, SEARCH)
    assert (await store.get_roles(["r"])).value.groups == (
        PrivilegeGroup("DatabaseReadOnly", ("ShowCollections", "DescribeDatabase")),
        PrivilegeGroup("Readers", ("Search", "Query")),
    )


@pytest.mark.parametrize("name", ["Search", "ReadOnly", "CollectionReadOnly"])
async def test_a_built_in_name_is_taken(store, name):
    assert (await store.create_group(name, actor=None)).outcome is Outcome.GROUP_NAME_TAKEN


async def test_a_group_exists_once(store):
    await group_of(store, "Readers", "Search")
    assert (await store.create_group("Readers", actor=None)).outcome is Outcome.GROUP_EXISTS
    assert (await store.list_groups()).value[0] == PrivilegeGroup("Readers", ("Search",))


async def test_privileges_are_added_once_and_removed(store):
    await group_of(store, "Readers", "Search", "Query")
    for _ in range(2):
        assert (
            await store.change_group("Readers", ["Query", "Load"], add=True, actor=None)
        ).applied
        assert (await store.list_groups()).value[0].privileges == ("Search", "Query", "Load")
    for _ in range(2):
        assert (await store.change_group("Readers", ["Query"], add=False, actor=None)).applied
        assert (await store.list_groups()).value[0].privileges == ("Search", "Load")


@pytest.mark.parametrize(
    ("group", "privileges", "outcome", "detail"),
    [
        ("None", ["Search"], Outcome.GROUP_NOT_FOUND, ""),
        ("Readers", [], Outcome.INVALID, "privileges is empty when alter the privilege group"),
        ("Readers", ["Query", "Fly"], Outcome.PRIVILEGE_NOT_FOUND, "Fly"),
        ("Readers", ["CreateCollection"], Outcome.LEVELS_DIFFER, ""),
        ("Readers", ["Databases"], Outcome.LEVELS_DIFFER, ""),
        ("Readers", ["DatabaseAdmin"], Outcome.LEVELS_DIFFER, ""),
    ],
)
async def test_what_may_not_be_in_a_group_is_refused(store, group, privileges, outcome, detail):
    await group_of(store, "Readers", "Search")
    await group_of(store, "Databases", "CreateCollection")
    refused = await store.change_group(group, privileges, add=True, actor=None)
    assert (refused.outcome, refused.detail) == (outcome, detail)
    assert {each.name: each.privileges for each in (await store.list_groups()).value}[
        "Readers"
    ] == ("Search",)


async def test_a_group_that_is_gone_can_be_removed_from_another(store):
    await group_of(store, "Inner", "Query")
    await group_of(store, "Readers", "Inner")
    await store.drop_group("Inner", actor=None)
    assert (await store.change_group("Readers", ["Inner"], add=False, actor=None)).applied
    refused = await store.change_group("Readers", ["Inner"], add=False, actor=None)
    assert refused.outcome is Outcome.PRIVILEGE_NOT_FOUND


async def test_a_group_in_use_is_not_dropped(store):
    await create(store, "r")
    await group_of(store, "Readers", "Search")
    await grant(store, "r", READERS)
    refused = await store.drop_group("Readers", actor=None)
    assert (refused.outcome, refused.detail) == (Outcome.GROUP_IN_USE, "r")
    await revoke(store, "r", READERS)
    for _ in range(2):
        assert (await store.drop_group("Readers", actor=None)).applied
    refused = await grant(store, "r", READERS)
    assert refused.outcome is Outcome.PRIVILEGE_NOT_FOUND


# --- initial roles ----------------------------------------------------------------------


async def test_initial_roles_are_made_once_and_what_was_revoked_comes_back(store):
    anything = Grant("Global", "*", "*", "PrivilegeListAliases", "nobody")
    roles = {"admin": (), "public": (anything,)}
    await store.ensure_roles(roles)
    revision = await store.revision()
    assert await grants_of(store, "public") == [anything]
    await store.ensure_roles(roles)
    assert await store.revision() == revision
    await revoke(store, "public", replace(anything, grantor="root"))
    assert await grants_of(store, "public") == []
    await store.ensure_roles(roles)
    assert await grants_of(store, "public") == [anything]
    assert [role.name for role in (await store.list_roles()).value] == ["admin", "public"]


# --- backups ----------------------------------------------------------------------------


BACKUP = RoleBackup(
    users=(
        StoredCredential("bob", HASH, 0, "a friend", ("admin", "reader")),
        StoredCredential("eve", hashed("second2"), 0),
    ),
    roles=(StoredRole("reader", "reads", (READERS, SEARCH)), StoredRole("writer")),
    groups=(PrivilegeGroup("Inner", ("Query",)), PrivilegeGroup("Readers", ("Inner", "Search"))),
)


async def prepared(store):
    public = Grant("Global", "*", "*", "PrivilegeListAliases", "root")
    await store.ensure_roles({"admin": (), "public": (public,)})


async def restored(store, backup):
    mutation = await store.restore(backup, actor=None)
    assert mutation.applied, mutation
    return mutation


def in_order(backup):
    def by_object(each):
        return (each.object_type, each.database, each.object, each.privilege)

    roles = tuple(
        replace(role, grants=tuple(sorted(role.grants, key=by_object))) for role in backup.roles
    )
    return replace(backup, roles=roles)


async def test_a_backup_is_what_was_restored(store):
    await prepared(store)
    mutation = await restored(store, BACKUP)
    assert mutation.users == ("bob", "eve")
    assert (await store.back_up()).value == in_order(BACKUP)


async def test_a_large_backup_is_restored_in_full(store):
    await prepared(store)
    large = RoleBackup(
        tuple(
            StoredCredential(f"user{n:03}", HASH, 0, "", ("role001", "role002")) for n in range(150)
        ),
        tuple(
            StoredRole(
                f"role{n:03}", "", tuple(replace(SEARCH, object=f"c{m:02}") for m in range(10))
            )
            for n in range(40)
        ),
        tuple(PrivilegeGroup(f"group{n:03}", ("Search",)) for n in range(130)),
    )
    await restored(store, large)
    assert (await store.back_up()).value == in_order(large)


@pytest.mark.parametrize(
    ("backup", "outcome", "detail"),
    [
        (RoleBackup(roles=(StoredRole("there"),)), Outcome.ROLE_EXISTS, "there"),
        (RoleBackup(groups=(PrivilegeGroup("There"),)), Outcome.GROUP_EXISTS, "There"),
        (RoleBackup(groups=(PrivilegeGroup("Search"),)), Outcome.GROUP_NAME_TAKEN, "Search"),
        (RoleBackup(users=(StoredCredential("root", HASH, 0),)), Outcome.USER_EXISTS, "root"),
        (
            RoleBackup(groups=(PrivilegeGroup("New", ("Fly",)),)),
            Outcome.PRIVILEGE_NOT_FOUND,
            "Fly",
        ),
        (
            RoleBackup(roles=(StoredRole("new", "", (READERS,)),)),
            Outcome.PRIVILEGE_NOT_FOUND,
            "Readers",
        ),
        (
            RoleBackup(users=(StoredCredential("eve", HASH, 0, "", ("gone",)),)),
            Outcome.ROLE_NOT_FOUND,
            "gone",
        ),
    ],
)
async def test_a_backup_that_does_not_fit_is_refused_as_a_whole(store, backup, outcome, detail):
    await create(store, "there")
    await group_of(store, "There")
    before = await store.revision()
    whole = RoleBackup(
        (*backup.users, StoredCredential("other", HASH, 0)),
        (*backup.roles, StoredRole("other")),
        (*backup.groups, PrivilegeGroup("Other")),
    )
    refused = await store.restore(whole, actor=None)
    assert (refused.outcome, refused.detail) == (outcome, detail)
    assert await store.revision() == before


# --- actors -----------------------------------------------------------------------------

_CHANGES = {
    "create": lambda store, actor: store.create_role("new", "", role_limit=9, actor=actor),
    "alter": lambda store, actor: store.alter_role("r", "x", actor=actor),
    "drop": lambda store, actor: store.drop_role("r", force=True, actor=actor),
    "give": lambda store, actor: store.give_role("bob", "r", actor=actor),
    "take": lambda store, actor: store.take_role("root", "r", actor=actor),
    "grant": lambda store, actor: store.change_grants("r", [SEARCH], give=True, actor=actor),
    "revoke": lambda store, actor: store.change_grants("r", [QUERY], give=False, actor=actor),
    "create group": lambda store, actor: store.create_group("New", actor=actor),
    "drop group": lambda store, actor: store.drop_group("Readers", actor=actor),
    "change group": lambda store, actor: store.change_group(
        "Readers", ["Load"], add=True, actor=actor
    ),
    "restore": lambda store, actor: store.restore(
        RoleBackup(roles=(StoredRole("new"),)), actor=actor
    ),
}


@pytest.fixture
async def furnished(store, users):
    await add_user(users, "bob")
    await create(store, "r")
    await store.give_role("root", "r", actor=None)
    await grant(store, "r", QUERY)
    await group_of(store, "Readers", "Search")


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
async def test_a_valid_actor_makes_the_change(store, users, furnished, change):
    actor = Actor("bob", (await users.get("bob")).value.revision)
    assert (await change(store, actor)).applied


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
@pytest.mark.parametrize("what", ["deleted", "another password"])
async def test_an_actor_that_is_not_valid_any_more_changes_nothing(
    store, users, furnished, change, what
):
    actor = Actor("bob", (await users.get("bob")).value.revision)
    if what == "deleted":
        await users.delete("bob")
    else:
        await users.update(
            "bob", expected_revision=None, password=hashed("second2"), description=None
        )
    before = await store.revision()
    assert (await change(store, actor)).outcome is Outcome.ACTOR_REVOKED
    assert await store.revision() == before


async def test_a_group_gets_no_other_level_by_a_group_that_it_contains(store):
    """Otherwise a role with a group of collections could come to change roles."""
    await group_of(store, "Inner")
    await group_of(store, "Middle", "Inner")
    await group_of(store, "Readers", "Search", "Middle")
    refused = await store.change_group("Inner", ["ManageOwnership"], add=True, actor=None)
    assert refused.outcome is Outcome.LEVELS_DIFFER
    assert (await store.change_group("Inner", ["Query"], add=True, actor=None)).applied
