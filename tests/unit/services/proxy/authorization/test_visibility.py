"""What lists show: by examples, and compared with a slow, plain model of the rule."""

from collections import Counter

import pytest

from tests.unit.services.proxy.authorization.cases import DATABASES, NAMES, cases
from tests.unit.services.proxy.authorization.reference import (
    CATALOGUE,
    StoredGrant,
    World,
    matches,
    members_of,
)
from tests.unit.services.proxy.authorization.test_policy_against_reference import role_policy
from vecguard.privileges.catalogue import flattened
from vecguard.privileges.stored_names import api_name
from vecguard.proxy.authorization.policy import Grant, RolePolicy
from vecguard.proxy.authorization.visibility import Visibility

EVERYTHING = {"a", "b", "docs", "docs_2", "x"}


def visible(*grants, role="reader", groups=None):
    custom = groups or {}
    members = {
        name: flattened([name], custom, CATALOGUE)
        for name in {api_name(grant.privilege) for grant in grants}
        if name in custom or CATALOGUE.is_built_in_group(name)
    }
    return Visibility([RolePolicy(role, grants, members)])


def name_of(value):
    return repr(value) if isinstance(value, Grant) else ",".join(sorted(value))


def shown(names):
    return {name for name in EVERYTHING if name in names}


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        (Grant("Collection", "a", "docs", "PrivilegeSearch"), {"docs"}),
        (Grant("Collection", "a", "docs*", "PrivilegeSearch"), {"docs", "docs_2"}),
        (Grant("Collection", "a", "*", "PrivilegeSearch"), EVERYTHING),
        (Grant("Collection", "*", "docs", "PrivilegeSearch"), {"docs"}),
        (Grant("Collection", "[ab]", "docs", "PrivilegeSearch"), {"docs"}),
        (Grant("Collection", "b", "docs", "PrivilegeSearch"), set()),
        (Grant("Collection", "a", "[", "PrivilegeSearch"), set()),
        (Grant("Collection", "a", "docs", "*"), {"docs"}),
        (Grant("Collection", "a", "docs", "PrivilegeGroupReadOnly"), {"docs"}),
        (Grant("Global", "a", "docs", "PrivilegeGroupReadWrite"), {"docs"}),
        (Grant("Global", "a", "docs", "PrivilegeGroupCollectionReadOnly"), {"docs"}),
        (Grant("Global", "a", "docs", "PrivilegeGroupCollectionAdmin"), {"docs"}),
        (Grant("Global", "a", "*", "PrivilegeGroupDatabaseReadOnly"), EVERYTHING),
        (Grant("Global", "a", "*", "PrivilegeGroupDatabaseAdmin"), EVERYTHING),
        (Grant("Global", "a", "*", "PrivilegeShowCollections"), EVERYTHING),
        (Grant("Global", "*", "*", "PrivilegeShowCollections"), EVERYTHING),
        (Grant("Global", "a", "*", "PrivilegeAll"), EVERYTHING),
        (Grant("Global", "a", "*", "PrivilegeGroupAdmin"), EVERYTHING),
        (Grant("Global", "a", "*", "*"), EVERYTHING),
        (Grant("Global", "a", "*", "PrivilegeShow*"), EVERYTHING),
        (Grant("Global", "b", "*", "PrivilegeAll"), set()),
        (Grant("Global", "*", "*", "PrivilegeGroupClusterReadOnly"), set()),
        (Grant("Global", "a", "*", "PrivilegeCreateCollection"), set()),
        (Grant("Global", "a", "*", "PrivilegeDescribeCollection"), set()),
        (Grant("User", "a", "*", "PrivilegeSelectUser"), set()),
        (Grant("collection", "a", "docs", "PrivilegeSearch"), set()),
        (Grant("Global", "a", "docs", "PrivilegeGroupReaders"), {"docs"}),
        (Grant("Global", "a", "docs", "PrivilegeGroupListers"), EVERYTHING),
        (Grant("Global", "a", "docs", "PrivilegeGroupEmpty"), {"docs"}),
        (Grant("Global", "a", "docs", "PrivilegeGroupOwners"), EVERYTHING),
        (Grant("Global", "a", "docs", "PrivilegeGroupGone"), set()),
    ],
    ids=name_of,
)
def test_a_grant_shows_collections_of_its_database(grant, expected):
    groups = {
        "Readers": ("Search",),
        "Listers": ("DatabaseReadOnly",),
        "Empty": (),
        "Owners": ("All",),
    }
    assert shown(visible(grant, groups=groups).collections("a")) == expected


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        (Grant("Collection", "a", "docs", "PrivilegeSearch"), {"a"}),
        (Grant("User", "a", "*", "PrivilegeSelectUser"), {"a"}),
        (Grant("Global", "a", "*", "PrivilegeAll"), {"a"}),
        (Grant("Collection", "docs*", "x", "PrivilegeSearch"), {"docs", "docs_2"}),
        (Grant("Collection", "*", "docs", "PrivilegeSearch"), EVERYTHING),
        (Grant("Global", "*", "*", "PrivilegeGroupClusterReadOnly"), EVERYTHING),
        # Milvus before 3.0 stores it in the database of the caller.
        (Grant("Global", "a", "*", "PrivilegeListDatabases"), EVERYTHING),
        # Its members include ListDatabases, and it is for one collection.
        (Grant("Collection", "a", "docs", "PrivilegeGroupReadOnly"), {"a"}),
        (Grant("nothing", "a", "docs", "PrivilegeSearch"), set()),
    ],
    ids=name_of,
)
def test_a_grant_shows_databases(grant, expected):
    assert shown(visible(grant).databases) == expected


def test_a_built_in_group_of_databases_names_no_collection():
    grant = Grant("Global", "a", "docs", "PrivilegeGroupDatabaseReadOnly")
    # An installation may give it other members.
    role = RolePolicy("reader", [grant], {"DatabaseReadOnly": ("DescribeDatabase",)})
    assert not shown(Visibility([role]).collections("a"))


def test_grants_of_the_role_public_show_nothing():
    everything = visible(Grant("Collection", "*", "*", "PrivilegeSearch"), role="public")
    assert not shown(everything.databases)
    assert not shown(everything.collections("a"))


def test_grants_add_up_and_many_databases_are_not_kept():
    grants = [Grant("Collection", f"db{number}", "docs", "PrivilegeSearch") for number in range(99)]
    visibility = visible(*grants, Grant("Collection", "db7*", "x", "PrivilegeSearch"))
    for number in range(99):
        expected = {"docs", "x"} if str(number).startswith("7") else {"docs"}
        assert shown(visibility.collections(f"db{number}")) == expected
    assert len(visibility._collections) <= 64
    assert shown(visibility.collections("db7")) == {"docs", "x"}


def test_the_collections_of_a_database_are_found_once():
    seen = visible(Grant("Collection", "a", "docs", "PrivilegeSearch"))
    assert seen.collections("a") is seen.collections("a")


def model_shows_database(world: World, roles: tuple[str, ...], database: str) -> bool:
    return any(
        matches(grant.database, database) or lists(world, grant, "ListDatabases")
        for grant in grants_of(world, roles)
    )


def model_shows_collection(
    world: World, roles: tuple[str, ...], database: str, collection: str
) -> bool:
    for grant in grants_of(world, roles):
        if not matches(grant.database, database):
            continue
        if shows_whole_database(world, grant):
            return True
        group = grant.privilege.removeprefix("PrivilegeGroup")
        is_named = grant.object_type == "Collection" and not is_v2_group(world, grant)
        is_named |= grant.privilege in ("PrivilegeGroupReadOnly", "PrivilegeGroupReadWrite")
        is_named |= is_v2_group(world, grant) and (
            group.startswith("Collection") or not CATALOGUE.is_built_in_group(group)
        )
        if is_named and matches(grant.object, collection):
            return True
    return False


def grants_of(world: World, roles: tuple[str, ...]) -> list[StoredGrant]:
    return [
        grant
        for role in roles
        if role != "public"
        for grant in world.grants.get(role, ())
        if grant.object_type in ("Collection", "Global", "User")
    ]


def is_v2_group(world: World, grant: StoredGrant) -> bool:
    group = grant.privilege.removeprefix("PrivilegeGroup")
    return grant.privilege == f"PrivilegeGroup{group}" and (
        group in world.groups or CATALOGUE.is_built_in_group(group)
    )


def lists(world: World, grant: StoredGrant, privilege: str) -> bool:
    if not is_v2_group(world, grant):
        return grant.privilege == f"Privilege{privilege}"
    return privilege in members_of(world, grant.privilege.removeprefix("PrivilegeGroup"), ())


def shows_whole_database(world: World, grant: StoredGrant) -> bool:
    if is_v2_group(world, grant):
        return any(lists(world, grant, each) for each in ("ShowCollections", "All", "Admin"))
    return grant.object_type != "Collection" and (
        grant.privilege in ("PrivilegeAll", "PrivilegeGroupAdmin")
        or matches(grant.privilege, "PrivilegeShowCollections")
    )


@pytest.mark.parametrize("seed", range(4))
def test_lists_show_what_the_model_says(seed):
    seen = Counter()
    for case in cases(seed, 2_000):
        if "admin" in case.roles:
            continue
        roles = (*case.roles, "public")
        visibility = Visibility([role_policy(case.world, role) for role in roles])
        for database in DATABASES:
            is_shown = database in visibility.databases
            assert is_shown == model_shows_database(case.world, roles, database), (case, database)
            collections = visibility.collections(database)
            for name in NAMES:
                expected = model_shows_collection(case.world, roles, database, name)
                assert (name in collections) == expected, (case, database, name)
                seen[expected] += 1
    assert min(seen[True], seen[False]) > 1_000
