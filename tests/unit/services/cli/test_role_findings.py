from dataclasses import replace

import pytest

from vecguard.cli.finding import Severity
from vecguard.cli.role_findings import StoredState, judge_changes, judge_corrupt, judge_roles
from vecguard.milvus_layout.collection_changes import CollectionChange
from vecguard.milvus_layout.stored_roles import CorruptKey, Grant

WELL = StoredState(
    users=frozenset({"root", "alice"}),
    roles=frozenset({"admin", "public", "reader"}),
    roles_of_users={"alice": ("reader",)},
    grants={"reader": (), "public": ()},
    groups={"Seekers": ("Search",), "Keepers": ("Inner",), "Inner": ("CreateDatabase",)},
)


def grant(privilege):
    return Grant("Collection", "default", "books", privilege, "root")


def granted(*privileges):
    return replace(WELL, grants={"reader": tuple(map(grant, privileges))})


def only(state):
    (finding,) = judge_roles("roles", state)
    return finding


def test_roles_that_fit_together_are_well():
    assert list(judge_roles("roles", WELL)) == []


def test_a_role_that_no_user_has_is_a_note():
    found = only(replace(WELL, roles=WELL.roles | {"writer"}))
    assert found.severity is Severity.NOTE
    assert "no user has: writer" in found.cause
    assert "role drop" in found.remedy


def test_a_user_without_a_role_is_a_note():
    found = only(replace(WELL, users=WELL.users | {"bob", "carol"}))
    assert found.severity is Severity.NOTE
    assert found.cause.endswith("public: bob, carol")


def test_what_is_left_of_a_role_or_a_user_is_a_note():
    left = only(replace(WELL, grants={"gone": (grant("PrivilegeSearch"),)}))
    assert left.severity is Severity.NOTE
    assert "do not exist have users or grants: gone" in left.cause
    mapped = only(replace(WELL, roles_of_users={"alice": ("reader", "lost")}))
    assert "do not exist have users or grants: lost" in mapped.cause
    user = only(replace(WELL, roles_of_users={**WELL.roles_of_users, "bob": ("reader",)}))
    assert "users who do not exist have roles: bob" in user.cause


@pytest.mark.parametrize(
    "privilege",
    ["PrivilegeSearch", "PrivilegeAll", "PrivilegeGroupReadOnly", "PrivilegeGroupCollectionAdmin",
     "PrivilegeGroupSeekers", "*", "Privilege[SQ]*"],
)  # fmt: skip
def test_a_grant_of_what_exists_is_well(privilege):
    assert list(judge_roles("roles", granted(privilege))) == []


@pytest.mark.parametrize(
    "privilege",
    ["PrivilegeNope", "PrivilegeGroupNope", "Search", "PrivilegeSeekers", "PrivilegeGroupSearch",
     "PrivilegeReadOnly"],
)  # fmt: skip
def test_a_grant_of_what_does_not_exist_is_a_warning(privilege):
    found = only(granted("PrivilegeSearch", privilege))
    assert found.severity is Severity.WARNING
    assert "on default.books of reader" in found.cause
    assert "group create" in found.remedy


def on(database, privilege, kind="Global", name="*"):
    held = Grant(kind, database, name, privilege, "root")
    return replace(WELL, grants={"reader": (held,)})


@pytest.mark.parametrize(
    ("privilege", "kind", "name"),
    [
        ("PrivilegeCreateDatabase", "Global", "*"),
        ("PrivilegeSelectUser", "User", "bob"),
        ("PrivilegeGroupClusterReadOnly", "Global", "*"),
        ("PrivilegeGroupKeepers", "Global", "*"),
    ],
)
@pytest.mark.parametrize("database", ["default", "sales"])
def test_a_privilege_of_the_cluster_on_one_database_is_a_warning(privilege, kind, name, database):
    found = only(on(database, privilege, kind, name))
    assert found.severity is Severity.WARNING
    assert f" on {database}.{name} of reader; they allow nothing" in found.cause
    assert list(judge_roles("roles", on("*", privilege, kind, name))) == []
    # A pattern may match the name *.
    assert list(judge_roles("roles", on("?", privilege, kind, name))) == []


@pytest.mark.parametrize(
    "privilege",
    [
        "PrivilegeCreateCollection",
        "PrivilegeGroupDatabaseAdmin",
        "PrivilegeGroupSeekers",
        "PrivilegeGroupAdmin",
        "PrivilegeAll",
        "*",
    ],
)
def test_other_privileges_may_be_granted_on_one_database(privilege):
    assert list(judge_roles("roles", on("sales", privilege))) == []


def test_records_that_cannot_be_read_are_warnings_and_many_are_counted():
    (found,) = judge_corrupt("roles", [CorruptKey("meta/x", "not JSON")])
    assert (found.severity, found.part) == (Severity.WARNING, "etcd meta/x")
    assert "not JSON" in found.cause
    many = list(judge_corrupt("roles", [CorruptKey(str(each), "bad") for each in range(12)]))
    assert len(many) == 6
    assert many[-1].cause.startswith("7 more records")


def test_long_lists_of_names_are_cut():
    many = frozenset(f"role{each}" for each in range(9))
    found = only(replace(WELL, roles=WELL.roles | many))
    assert found.cause.endswith("role0, role1, role2, role3, role4 and 4 more")


DROP = CollectionChange("default", "books", collection_id=7, token="t", proxy="p", since=1_000)
RENAME = replace(DROP, new_database="shop", new_name="tomes")


def test_a_change_that_does_not_end_is_a_warning():
    assert list(judge_changes({"r/default/books": DROP}, 1_100)) == []
    (finding,) = judge_changes({"r/default/books": DROP}, 2_000)
    assert finding.severity is Severity.WARNING
    assert "default.books" in finding.part
    assert "since 1970-01-01 00:16:40 UTC it is unknown whether it was dropped" in finding.cause


def test_a_rename_that_does_not_end_is_told_once():
    (finding,) = judge_changes({"r/default/books": RENAME, "r/shop/tomes": RENAME}, 2_000)
    assert "renamed to tomes" in finding.cause


def test_the_record_of_a_change_that_cannot_be_read_is_a_warning():
    (finding,) = judge_changes({"r/default/books": None}, 0)
    assert "cannot be read" in finding.cause
    assert "etcdctl del" in finding.remedy
