import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vecguard.config.security import RbacSettings
from vecguard.errors import ConfigurationError
from vecguard.privileges.catalogue import (
    PRIVILEGES,
    PUBLIC_GRANTS,
    RELATED_PRIVILEGES,
    V1_GRANTABLE,
    V1_GROUPS,
    Catalogue,
    Level,
    flattened,
    object_type_of,
)
from vecguard.privileges.stored_names import api_name, stored_group, stored_privilege

CATALOGUE = Catalogue()

# Milvus's master has them; they are not in the messages of pymilvus 3.0.
NEWER_THAN_PYMILVUS = {"ViewRLS", "SkipRLS", "ManageRLS", "ImportBinlog"}
# Milvus has withdrawn its number from the enumeration, and lets old grants be revoked.
WITHDRAWN = {"Expr"}
# pymilvus 3.0 gives the methods of row policies the privileges of roles, which are Global.
ROW_POLICIES = {"CreateRowPolicy", "DropRowPolicy", "ListRowPolicies"}


def test_the_names_are_those_of_pymilvus():
    theirs = set(common_pb2.ObjectPrivilege.keys())
    ours = {stored_privilege(name) for name in (*PRIVILEGES, *V1_GROUPS, "All")}
    ours |= {stored_group(name) for name in CATALOGUE.groups}
    assert theirs - ours == set()
    # A newer pymilvus may have them.
    explained = {stored_privilege(name) for name in NEWER_THAN_PYMILVUS | WITHDRAWN}
    assert ours - theirs <= explained


def test_the_object_types_are_those_of_pymilvus_methods():
    service = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]
    compared = set()
    for method in service.methods:
        options = method.input_type.GetOptions()
        if not options.HasExtension(common_pb2.privilege_ext_obj) or method.name in ROW_POLICIES:
            continue
        needed = options.Extensions[common_pb2.privilege_ext_obj]
        name = api_name(common_pb2.ObjectPrivilege.Name(needed.object_privilege))
        assert object_type_of(name) == common_pb2.ObjectType.Name(needed.object_type), method.name
        compared.add(name)
    assert len(compared) > 60


def test_a_level_has_three_groups_and_each_has_the_one_before():
    assert len(CATALOGUE.groups) == 9
    for level in ("Cluster", "Database", "Collection"):
        readers, writers, admins = (
            CATALOGUE.groups[level + kind] for kind in ("ReadOnly", "ReadWrite", "Admin")
        )
        assert writers[: len(readers)] == readers
        assert admins[: len(writers)] == writers
        assert len(set(admins)) == len(admins)
    readers, writers, admins = V1_GROUPS["ReadOnly"], V1_GROUPS["ReadWrite"], V1_GROUPS["Admin"]
    assert set(readers) < set(writers) < set(admins) <= PRIVILEGES


def test_the_groups_come_in_milvus_order():
    assert list(CATALOGUE.groups)[:4] == [
        "ClusterReadOnly",
        "ClusterReadWrite",
        "ClusterAdmin",
        "DatabaseReadOnly",
    ]
    assert CATALOGUE.groups["CollectionReadOnly"][:3] == ("Query", "Search", "IndexDetail")


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("Search", Level.COLLECTION),
        ("RenameCollection", Level.DATABASE),
        ("SelectUser", Level.CLUSTER),
        ("CollectionReadOnly", Level.COLLECTION),
        ("CollectionAdmin", Level.COLLECTION),
        ("DatabaseReadWrite", Level.DATABASE),
        ("ClusterAdmin", Level.CLUSTER),
        ("All", None),
        ("ReadOnly", None),
        ("Readers", None),
    ],
)
def test_privileges_and_built_in_groups_have_a_level(name, level):
    assert CATALOGUE.level_of(name) is level


def test_every_privilege_is_of_one_level():
    admins = [CATALOGUE.groups[level + "Admin"] for level in ("Cluster", "Database", "Collection")]
    assert sum(map(len, admins)) == len(PRIVILEGES)


@pytest.mark.parametrize(
    ("name", "object_type"),
    [
        ("Search", "Collection"),
        ("ReadOnly", "Collection"),
        ("ViewRLS", "Collection"),
        ("UpdateUser", "User"),
        ("DescribeCollection", "Global"),
        ("ExportSnapshot", "Global"),
        ("Admin", "Global"),
        ("*", "Global"),
        ("NoSuchPrivilege", "Global"),
    ],
)
def test_a_privilege_is_for_objects_of_one_type(name, object_type):
    assert object_type_of(name) == object_type


def test_a_v1_grant_names_privileges_of_its_object_type():
    known = PRIVILEGES | {"All", *V1_GROUPS, *CATALOGUE.groups}
    assert frozenset.union(*V1_GRANTABLE.values()) == known
    for object_type, names in V1_GRANTABLE.items():
        assert {object_type_of(name) for name in names} == {object_type}
    assert {"All", "Admin", "CreateCollection"} <= V1_GRANTABLE["Global"]
    assert {"ReadOnly", "ReadWrite"} <= V1_GRANTABLE["Collection"]


def test_grants_of_public_and_related_privileges_name_privileges_of_their_type():
    for object_type, name in PUBLIC_GRANTS:
        assert name in V1_GRANTABLE[object_type] & PRIVILEGES
    assert RELATED_PRIVILEGES == {
        "Load": ("GetLoadState", "GetLoadingProgress"),
        "Flush": ("GetFlushState",),
    }
    for name, related in RELATED_PRIVILEGES.items():
        assert {name, *related} <= PRIVILEGES


def test_what_is_a_privilege_and_what_a_group():
    for name in ("Search", "ReadOnly", "Admin", "All"):
        assert CATALOGUE.is_privilege(name)
        assert not CATALOGUE.is_built_in_group(name)
    assert CATALOGUE.is_built_in_group("ClusterAdmin")
    for name in ("ClusterAdmin", "Readers", "*", "", "PrivilegeSearch", "search"):
        assert not CATALOGUE.is_privilege(name)


def test_settings_replace_the_members_of_a_group():
    rbac = RbacSettings.model_validate(
        {"collection": {"readonly": {"privileges": "Search,PrivilegeQuery,Query"}}}
    )
    catalogue = Catalogue.of(rbac)
    assert catalogue.groups == {**CATALOGUE.groups, "CollectionReadOnly": ("Search", "Query")}
    assert list(catalogue.groups) == list(CATALOGUE.groups)
    assert catalogue.level_of("CreateDatabase") is Level.CLUSTER


@pytest.mark.parametrize("level", ["cluster", "database", "collection"])
@pytest.mark.parametrize("kind", ["readonly", "readwrite", "admin"])
def test_each_setting_is_about_its_own_group(level, kind):
    rbac = RbacSettings.model_validate({level: {kind: {"privileges": ["Flush"]}}})
    changed = {
        group
        for group, members in Catalogue.of(rbac).groups.items()
        if members != CATALOGUE.groups[group]
    }
    assert [group.lower() for group in changed] == [level + kind]


def test_settings_that_say_nothing_leave_milvus_groups():
    assert Catalogue.of(RbacSettings()).groups == CATALOGUE.groups


@pytest.mark.parametrize("name", ["search", "CollectionReadOnly", "All", "*", "Privilege"])
def test_a_setting_with_anything_but_a_privilege_is_refused(name):
    with pytest.raises(ConfigurationError, match="DatabaseAdmin cannot have the privilege '"):
        Catalogue({"DatabaseAdmin": ["Search", name]})


def test_an_override_of_no_built_in_group_is_refused():
    with pytest.raises(ConfigurationError, match="Readers is not a built-in"):
        Catalogue({"Readers": ["Search"]})


def test_a_catalogue_does_not_change():
    with pytest.raises(TypeError):
        CATALOGUE.groups["CollectionReadOnly"] = ()


@pytest.mark.parametrize(
    ("names", "custom", "privileges"),
    [
        ([], {}, ()),
        (["Search", "Query", "Search"], {}, ("Search", "Query")),
        (["DatabaseReadOnly"], {}, ("ShowCollections", "DescribeDatabase")),
        (["R"], {"R": ["Search", "ReadOnly", "All"]}, ("Search", "ReadOnly", "All")),
        (
            ["A"],
            {"A": ["Query", "B", "Load"], "B": ["Search", "DatabaseReadOnly"]},
            ("Query", "Search", "ShowCollections", "DescribeDatabase", "Load"),
        ),
        (["A"], {"A": ["A", "B", "Query"], "B": ["A", "Search"]}, ("Search", "Query")),
        (["A", "*", "Gone"], {"A": ["*", "Search", "Gone", ""]}, ("Search",)),
        (["DatabaseReadOnly"], {"DatabaseReadOnly": ["DropCollection"]}, None),
    ],
)
def test_groups_are_replaced_by_their_privileges(names, custom, privileges):
    if privileges is None:
        privileges = CATALOGUE.groups["DatabaseReadOnly"]
    assert flattened(names, custom, CATALOGUE) == privileges


def test_groups_may_be_nested_to_any_depth():
    custom = {f"g{depth}": [f"g{depth + 1}"] for depth in range(10_000)}
    custom["g10000"] = ["Search"]
    assert flattened(["g0"], custom, CATALOGUE) == ("Search",)


def test_groups_that_contain_each_other_many_times_are_walked_once():
    names = [f"g{number}" for number in range(200)]
    custom = {name: [*names, "Search"] for name in names}
    assert flattened(names, custom, CATALOGUE) == ("Search",)
