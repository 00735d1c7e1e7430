import pytest

from vecguard.privileges.catalogue import Catalogue
from vecguard.proxy.authorization.policy import Grant, Rights, RolePolicy

GROUPS = Catalogue().groups
SEARCH = ("Collection", "PrivilegeSearch")
INSERT = ("Collection", "PrivilegeInsert")
DESCRIBE = ("Global", "PrivilegeDescribeCollection")
CREATE_USER = ("Global", "PrivilegeCreateOwnership")


def rights_of(*roles, groups=GROUPS):
    return Rights(
        [
            RolePolicy(f"role{number}", [Grant(*grant) for grant in grants], groups)
            for number, grants in enumerate(roles)
        ]
    )


def rights(*grants, groups=GROUPS):
    return rights_of(grants, groups=groups)


def test_a_grant_allows_its_privilege_on_its_object():
    reader = rights(("Collection", "default", "docs", "PrivilegeSearch"))
    assert reader.allows(*SEARCH, "default", "docs")
    assert not reader.allows(*SEARCH, "default", "docs2")
    assert not reader.allows(*SEARCH, "other", "docs")
    assert not reader.allows(*SEARCH, "*", "docs")
    assert not reader.allows(*SEARCH, "default", "*")
    assert not reader.allows(*INSERT, "default", "docs")
    assert not reader.allows("Global", "PrivilegeSearch", "default", "docs")


def test_without_roles_nothing_is_allowed():
    nobody = rights_of()
    assert not nobody.allows(*SEARCH, "default", "docs")
    assert not nobody.allows_all(*SEARCH, "default", ["docs"])
    assert nobody.allows_nowhere(*SEARCH)
    assert not nobody.allows_everywhere(*SEARCH)


def test_the_role_admin_may_do_everything():
    admin = Rights([RolePolicy("public", [], {}), RolePolicy("admin", [], {})])
    assert admin.is_admin
    assert admin.allows(*CREATE_USER, "*", "*")
    assert admin.allows(*SEARCH, "a.b", "x/y")
    assert admin.allows_all(*SEARCH, "default", ["a", "b"])
    assert not admin.allows_all(*SEARCH, "default", [])
    assert admin.allows_everywhere(*SEARCH)
    assert not admin.allows_nowhere(*SEARCH)


@pytest.mark.parametrize("name", ["Admin", "admin2", "role-admin", "root", "*"])
def test_no_other_role_may(name):
    assert not Rights([RolePolicy(name, [], {})]).is_admin


def test_any_role_is_enough():
    both = rights_of(
        [("Collection", "default", "a", "PrivilegeSearch")],
        [("Collection", "default", "b", "PrivilegeSearch")],
    )
    assert both.allows(*SEARCH, "default", "a")
    assert both.allows(*SEARCH, "default", "b")
    assert not both.allows(*SEARCH, "default", "c")


def test_one_role_has_to_allow_all_of_several_names():
    both = rights_of(
        [("Collection", "default", "a", "PrivilegeFlush")],
        [("Collection", "default", name, "PrivilegeFlush") for name in "bc"],
    )
    flush = ("Collection", "PrivilegeFlush")
    assert both.allows_all(*flush, "default", ["b", "c"])
    assert both.allows_all(*flush, "default", ["a"])
    assert not both.allows_all(*flush, "default", ["a", "b"])
    assert not both.allows_all(*flush, "default", [])
    assert not both.allows_all(*flush, "default", ["b", "x/y"])


@pytest.mark.parametrize(
    ("database", "name", "allowed"),
    [
        ("*", "*", {("a", "docs"), ("b", "docs"), ("a", "notes"), ("*", "*")}),
        ("a", "*", {("a", "docs"), ("a", "notes")}),
        ("*", "docs", {("a", "docs"), ("b", "docs")}),
        ("[ab]", "d*", {("a", "docs"), ("b", "docs")}),
        ("a", "d?cs", {("a", "docs")}),
        ("\\a", "docs", {("a", "docs")}),
        ("[^a]", "*", {("b", "docs"), ("*", "*")}),
    ],
)
def test_database_and_object_of_a_grant_are_patterns(database, name, allowed):
    reader = rights(("Collection", database, name, "PrivilegeSearch"))
    asked = [("a", "docs"), ("b", "docs"), ("a", "notes"), ("*", "*")]
    assert {pair for pair in asked if reader.allows(*SEARCH, *pair)} == allowed


def test_what_a_request_names_is_no_pattern():
    reader = rights(("Collection", "default", "docs", "PrivilegeSearch"))
    for name in ("*", "d*", "[d]ocs", "\\docs", "?ocs"):
        assert not reader.allows(*SEARCH, "default", name)
        assert not reader.allows(*SEARCH, name, "docs")


def test_a_privilege_is_a_pattern_too():
    anything = rights(("Collection", "default", "docs", "*"))
    assert anything.allows(*SEARCH, "default", "docs")
    assert anything.allows(*INSERT, "default", "docs")
    assert not anything.allows(*DESCRIBE, "default", "docs")
    some = rights(("Collection", "default", "docs", "Privilege[SQ]*"))
    assert some.allows(*SEARCH, "default", "docs")
    assert not some.allows(*INSERT, "default", "docs")


def test_a_grant_has_the_object_type_of_its_privilege():
    # Milvus 2.5.0 stored grants of the second version of its API so.
    reader = rights(("Global", "default", "docs", "PrivilegeSearch"))
    assert reader.allows(*SEARCH, "default", "docs")
    assert not reader.allows(*SEARCH, "default", "notes")


def test_a_global_privilege_on_a_collection_is_for_the_whole_database():
    reader = rights(
        ("Global", "default", "docs", "PrivilegeDescribeCollection"), ("Global", "a", "docs", "*")
    )
    assert reader.allows(*DESCRIBE, "default", "*")
    assert reader.allows(*DESCRIBE, "a", "*")
    assert not reader.allows(*DESCRIBE, "b", "*")
    # "*" covers the privileges of the type that is stored.
    assert not reader.allows(*SEARCH, "a", "docs")


@pytest.mark.parametrize(
    "grant",
    [
        ("Collection", "[", "*", "PrivilegeSearch"),
        ("Collection", "default", "docs\\", "PrivilegeSearch"),
        ("Collection", "default", "docs", "[PrivilegeSearch"),
        ("Collection", "default", "docs", ""),
        ("Collection", "default", "docs", "PrivilegeNoSuch"),
        ("Collection", "default", "docs", "Search"),
        ("Collection", "default", "docs", "PrivilegeGroupDropped"),
        ("*", "default", "docs", "PrivilegeSearch"),
        ("", "default", "docs", "PrivilegeAll"),
    ],
)
def test_a_grant_that_cannot_be_used_harms_only_itself(grant):
    assert rights(grant).allows_nowhere(*SEARCH)
    reader = rights(grant, ("Collection", "default", "docs", "PrivilegeSearch"))
    assert reader.allows(*SEARCH, "default", "docs")


@pytest.mark.parametrize(
    ("database", "name"), [("a.b", "docs"), ("a", "b.docs"), ("a/b", "docs"), ("a", "b/docs")]
)
def test_objects_that_cannot_exist_are_refused(database, name):
    everything = rights(
        ("Collection", "*", "*", "PrivilegeSearch"),
        ("Collection", "a", "*", "PrivilegeAll"),
        ("Collection", database, name, "PrivilegeSearch"),
    )
    assert not everything.allows(*SEARCH, database, name)
    assert not everything.allows_all(*SEARCH, database, [name])


def test_a_user_may_have_a_dot():
    manager = rights(("User", "*", "john.doe", "PrivilegeUpdateUser"))
    assert manager.allows("User", "PrivilegeUpdateUser", "*", "john.doe")
    assert not manager.allows("User", "PrivilegeUpdateUser", "*", "john")


def test_a_database_with_a_dot_is_not_taken_for_another():
    odd = rights(
        ("Collection", "a.b", "*", "PrivilegeSearch"), ("Collection", "a.b", "c", "PrivilegeAll")
    )
    assert not odd.allows(*SEARCH, "a", "b")
    assert not odd.allows(*SEARCH, "a", "c")


def test_a_built_in_group_allows_its_members():
    reader = rights(("Global", "default", "docs", "PrivilegeGroupCollectionReadOnly"))
    assert reader.allows(*SEARCH, "default", "docs")
    assert not reader.allows(*SEARCH, "default", "notes")
    assert not reader.allows(*SEARCH, "other", "docs")
    assert not reader.allows(*INSERT, "default", "docs")
    # It is of type Global, so it is for the whole database.
    assert reader.allows(*DESCRIBE, "default", "*")
    assert not reader.allows(*DESCRIBE, "other", "*")


def test_a_member_has_its_own_object_type():
    manager = rights(("Global", "*", "bob", "PrivilegeGroupClusterReadOnly"))
    assert manager.allows("User", "PrivilegeSelectUser", "*", "bob")
    assert not manager.allows("User", "PrivilegeSelectUser", "*", "ann")
    assert manager.allows("Global", "PrivilegeListDatabases", "*", "*")


def test_a_custom_group_allows_its_members_and_v1_groups_in_it():
    groups = {"Mine": ["Search", "ReadOnly", "CreateOwnership"]}
    user = rights(("Global", "a", "docs", "PrivilegeGroupMine"), groups=groups)
    assert user.allows(*SEARCH, "a", "docs")
    assert user.allows("Collection", "PrivilegeQuery", "a", "docs")
    assert not user.allows("Collection", "PrivilegeQuery", "a", "notes")
    assert user.allows(*CREATE_USER, "a", "*")
    assert not user.allows(*CREATE_USER, "*", "*")


def test_a_custom_group_does_not_replace_a_v1_group():
    groups = {"ReadOnly": ["Insert"], "All": ["Insert"]}
    reader = rights(("Collection", "a", "docs", "PrivilegeGroupReadOnly"), groups=groups)
    assert reader.allows(*SEARCH, "a", "docs")
    assert not reader.allows(*INSERT, "a", "docs")


def test_a_name_of_a_group_counts_only_as_it_is_stored():
    # `PrivilegeReaders` would be a privilege, and `Readers` is no stored name.
    for privilege in ("PrivilegeReaders", "Readers"):
        user = rights(("Global", "*", "*", privilege), groups={"Readers": ["Search"]})
        assert user.allows_nowhere(*SEARCH)


def test_v1_all_allows_everything_in_an_equal_database():
    owner = rights(("Global", "a", "*", "PrivilegeAll"))
    assert owner.allows(*SEARCH, "a", "docs")
    assert owner.allows(*DESCRIBE, "a", "*")
    assert not owner.allows(*SEARCH, "b", "docs")
    assert not owner.allows(*CREATE_USER, "*", "*")


def test_v1_all_on_every_database_is_about_requests_for_every_database():
    owner = rights(("Global", "*", "*", "PrivilegeAll"))
    assert owner.allows(*CREATE_USER, "*", "*")
    assert not owner.allows(*SEARCH, "default", "docs")
    # Not known without the database.
    assert not owner.allows_everywhere(*SEARCH)
    assert not owner.allows_nowhere(*SEARCH)


def test_v1_groups_of_collections_are_about_a_collection():
    reader = rights(("Collection", "default", "docs", "PrivilegeGroupReadOnly"))
    assert reader.allows(*SEARCH, "default", "docs")
    assert not reader.allows(*SEARCH, "default", "notes")
    assert not reader.allows(*SEARCH, "other", "docs")
    assert not reader.allows(*INSERT, "default", "docs")
    # "*" in the request counts as the collection.
    assert reader.allows(*DESCRIBE, "default", "*")
    writer = rights(("Collection", "default", "*", "PrivilegeGroupReadWrite"))
    assert writer.allows(*INSERT, "default", "docs")
    assert writer.allows(*SEARCH, "default", "notes")
    assert not writer.allows(*INSERT, "other", "docs")
    assert not writer.allows("Global", "PrivilegeCreateCollection", "default", "*")


def test_objects_of_v1_groups_are_no_patterns():
    reader = rights(
        ("Collection", "default", "d*", "PrivilegeGroupReadOnly"),
        ("Collection", "[a]", "*", "PrivilegeGroupReadOnly"),
    )
    assert not reader.allows(*SEARCH, "default", "docs")
    assert not reader.allows(*SEARCH, "a", "docs")


def test_v1_admin_has_its_list_in_the_whole_database():
    admin = rights(("Global", "*", "docs", "PrivilegeGroupAdmin"))
    assert admin.allows(*CREATE_USER, "*", "*")
    assert not admin.allows("Global", "PrivilegeCreatePrivilegeGroup", "*", "*")
    assert not admin.is_admin


def test_what_is_allowed_everywhere_needs_no_object():
    reader = rights(("Collection", "*", "*", "PrivilegeSearch"))
    assert reader.allows_everywhere(*SEARCH)
    assert not reader.allows_nowhere(*SEARCH)
    assert not reader.allows_everywhere(*INSERT)
    assert reader.allows_nowhere(*INSERT)


@pytest.mark.parametrize(
    "grant",
    [
        ("Collection", "default", "docs", "PrivilegeSearch"),
        ("Collection", "default", "*", "PrivilegeSearch"),
        ("Collection", "*", "docs", "PrivilegeSearch"),
        ("Collection", "default", "docs", "PrivilegeGroupReadOnly"),
    ],
)
def test_what_is_allowed_somewhere_needs_the_object(grant):
    reader = rights(grant)
    assert not reader.allows_everywhere(*SEARCH)
    assert not reader.allows_nowhere(*SEARCH)


def test_a_role_that_users_share_answers_each_of_them():
    reader = RolePolicy("reader", [Grant("Collection", "default", "a", "PrivilegeSearch")], {})
    other = RolePolicy("other", [Grant("Collection", "default", "b", "PrivilegeSearch")], {})
    first, second = Rights([reader]), Rights([reader, other])
    for _ in range(2):
        assert not first.allows(*SEARCH, "default", "b")
        assert second.allows(*SEARCH, "default", "a")
        assert second.allows(*SEARCH, "default", "b")


def test_a_grant_shows_what_it_is():
    grant = Grant("Collection", "default", "docs", "PrivilegeSearch")
    assert repr(grant) == "Grant(Collection, default, docs, PrivilegeSearch)"


@pytest.mark.parametrize(
    ("grant", "database", "expected"),
    [
        (("Collection", "*", "*", "PrivilegeSearch"), "b", True),
        (("Collection", "a*", "docs", "PrivilegeSearch"), "b", True),  # may be: it is a pattern
        (("Collection", "a", "docs", "PrivilegeSearch"), "a", True),
        (("Collection", "a", "*", "PrivilegeSearch"), "a", True),
        (("Collection", "a", "docs", "PrivilegeSearch"), "b", False),
        (("Collection", "a", "docs", "PrivilegeQuery"), "a", False),
    ],
)
def test_a_privilege_may_be_allowed_on_some_object_of_a_database(grant, database, expected):
    found = rights(grant).allows_some_in("Collection", "PrivilegeSearch", database)
    assert found is expected


def test_an_admin_may_do_everything_in_every_database():
    admin = Rights([RolePolicy("admin", [], {})])
    assert admin.allows_some_in("Collection", "PrivilegeSearch", "any")


def test_privileges_of_one_group_share_what_they_need_in_memory():
    grant = ("Collection", "default", "docs", "PrivilegeGroupCollectionReadOnly")
    reader = rights_of((grant,), ())
    assert reader._scope(*SEARCH) is reader._scope("Collection", "PrivilegeQuery")
    assert reader._scope(*SEARCH) is not reader._scope(*DESCRIBE)
    assert reader.allows(*SEARCH, "default", "docs")
    assert not reader.allows(*SEARCH, "default", "other")
    assert reader.allows(*DESCRIBE, "default", "other")


def test_the_role_that_allows_is_named():
    everywhere = ("Collection", "*", "*", "PrivilegeSearch")
    rights = rights_of((("Collection", "default", "docs", "PrivilegeSearch"),), (everywhere,), ())
    assert rights.role_allowing(*SEARCH, "default", ["docs"]) == "role0"
    assert rights.role_allowing(*SEARCH, "default", ["other"]) == "role1"
    assert rights.role_allowing(*INSERT, "default", ["docs"]) is None
    assert rights.role_allowing_everywhere(*SEARCH) == "role1"
    assert rights.role_allowing_everywhere(*INSERT) is None
