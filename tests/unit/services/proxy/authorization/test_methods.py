from dataclasses import dataclass

import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vecguard.privileges.catalogue import Catalogue, Level
from vecguard.privileges.stored_names import api_name
from vecguard.proxy.accounts.methods import RESTORE
from vecguard.proxy.authorization.methods import (
    ADMIN_ONLY,
    ALIAS_CHANGES,
    LISTS,
    METHODS,
    OPEN,
    Need,
    Treatment,
    treatment,
)

SERVICE = "/milvus.proto.milvus.MilvusService/"
DESCRIPTORS = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods_by_name

# Milvus changed these after the protos of pymilvus 3.0; a privilege of roles was no use for the
# policies of a collection.
NEWER_PRIVILEGES = {
    "CreateRowPolicy": ("PrivilegeCreateOwnership", "PrivilegeManageRLS"),
    "DropRowPolicy": ("PrivilegeDropOwnership", "PrivilegeManageRLS"),
    "ListRowPolicies": ("PrivilegeSelectOwnership", "PrivilegeViewRLS"),
}
# Not in the protos of pymilvus 3.0 yet.
NEWER_METHODS = {
    "UpdateRowPolicy",
    "SetRLSPrincipalTags",
    "GetRLSPrincipalTags",
    "ListRLSPrincipals",
    "DeleteRLSPrincipalTags",
}
# Streams have no option in the protos: Milvus has their privileges in code.
STREAMS = {"CreateReplicateStream", "DumpMessages"}


@dataclass
class Option:
    """What the protos say about a method with a privilege."""

    object_type: str
    privilege: str
    name: tuple[int, ...]
    names: int
    database: int


def option_of(method) -> Option | None:
    message = method.input_type
    option = message.GetOptions().Extensions[common_pb2.privilege_ext_obj]
    if not message.GetOptions().HasExtension(common_pb2.privilege_ext_obj):
        return None
    index = max(0, option.object_name_index)
    name: tuple[int, ...] = (index,) if index else ()
    if index and message.fields_by_number[index].message_type is not None:
        name = (index, 1)  # Milvus takes the first field of a message
    database = message.fields_by_name.get("db_name")
    return Option(
        common_pb2.ObjectType.Name(option.object_type),
        common_pb2.ObjectPrivilege.Name(option.object_privilege),
        name,
        max(0, option.object_name_indexs),
        database.number if database is not None else 0,
    )


OPTIONS = {name: option_of(method) for name, method in DESCRIPTORS.items()}


def need_of(method) -> Need:
    return METHODS[(SERVICE + method).encode()]


def names_of(paths):
    return {path.decode().removeprefix(SERVICE) for path in paths}


def test_there_are_149_methods_and_each_is_in_one_table():
    tables = [names_of(METHODS), names_of(OPEN), names_of(ADMIN_ONLY)]
    assert sum(map(len, tables)) == len(set.union(*tables)) == 149


def test_every_method_of_pymilvus_is_in_a_table():
    known = names_of(METHODS) | names_of(OPEN) | names_of(ADMIN_ONLY)
    assert set(DESCRIPTORS) - known == set()
    # A newer pymilvus may have them.
    assert known - set(DESCRIPTORS) <= NEWER_METHODS


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option is not None])
def test_a_need_is_that_of_pymilvus(name):
    option, need = OPTIONS[name], need_of(name)
    theirs, ours = NEWER_PRIVILEGES.get(name, (option.privilege, option.privilege))
    assert option.privilege in {theirs, ours}  # a newer pymilvus may have ours
    assert need.privilege == ours
    assert need.method == name
    assert need.object_type == option.object_type
    assert need.name == option.name
    assert need.names == option.names
    assert need.database == option.database
    assert not need.streaming


def test_methods_without_an_option_have_no_privilege_but_the_streams():
    without = {name for name, option in OPTIONS.items() if option is None}
    assert without == names_of(OPEN) | names_of(ADMIN_ONLY) | STREAMS


def test_streams_are_those_of_pymilvus():
    streams = {
        name
        for name, method in DESCRIPTORS.items()
        if method.client_streaming or method.server_streaming
    }
    assert streams == {need.method for need in METHODS.values() if need.streaming} == STREAMS


def test_streams_need_a_global_privilege_in_every_database():
    for method, privilege in (
        ("CreateReplicateStream", "PrivilegeUpdateReplicateConfiguration"),
        ("DumpMessages", "PrivilegeManageOwnership"),
    ):
        need = need_of(method)
        assert (need.object_type, need.privilege) == ("Global", privilege)
        assert need.cluster
        assert not need.reads_request


@pytest.mark.parametrize("method", sorted(NEWER_METHODS))
def test_newer_methods_are_about_a_collection(method):
    need = need_of(method)
    ends = "ViewRLS" if method.startswith(("Get", "List")) else "ManageRLS"
    assert (need.object_type, need.privilege) == ("Collection", "Privilege" + ends)
    assert (need.name, need.names, need.database) == ((3,), 0, 2)


def test_cluster_privileges_are_those_of_the_catalogue():
    catalogue = Catalogue()
    for need in METHODS.values():
        level = catalogue.level_of(api_name(need.privilege))
        assert level is not None, need
        assert need.cluster == (level is Level.CLUSTER), need
    assert need_of("SelectUser").cluster
    assert need_of("CreateDatabase").cluster
    assert not need_of("RenameCollection").cluster


def test_two_methods_name_another_database():
    other = {need.method: need.moves_to for need in METHODS.values() if need.moves_to}
    assert set(other) == {"RenameCollection", "RestoreSnapshot"}
    fields = {
        name: DESCRIPTORS[name].input_type.fields_by_number[number].name
        for name, number in other.items()
    }
    assert fields == {"RenameCollection": "newDBName", "RestoreSnapshot": "target_db_name"}


def test_users_may_act_on_themselves_where_the_request_names_one():
    own = {need.method for need in METHODS.values() if need.is_own}
    assert own == {
        *("UpdateCredential", "SelectUser", "AddUserTags", "DeleteUserTags", "GetUserTags"),
    }
    assert {need.object_type for need in METHODS.values() if need.method in own} == {"User"}
    assert not need_of("ListUsersWithTag").is_own


def test_one_method_is_open_for_own_roles():
    (need,) = (need for need in METHODS.values() if need.own_role)
    assert need.method == "SelectGrant"
    message = DESCRIPTORS["SelectGrant"].input_type
    found = []
    for number in need.own_role:
        field = message.fields_by_number[number]
        message = field.message_type
        found.append(field.name)
    assert found == ["entity", "role", "name"]


@pytest.mark.parametrize(
    ("method", "reads"),
    [
        ("Search", True),
        ("Flush", True),
        ("SelectUser", True),  # of the cluster, and the name decides
        ("SelectGrant", True),
        ("CreateCollection", True),  # the database decides
        ("CreateDatabase", False),  # of the cluster: judged in every database
        ("OperatePrivilegeV2", False),
        ("ListCredUsers", False),
        ("ListUsersWithTag", False),
    ],
)
def test_a_request_is_read_only_where_a_field_decides(method, reads):
    assert need_of(method).reads_request == reads


def test_another_database_alone_makes_the_request_be_read():
    assert Need("M", "Global", "PrivilegeM", moves_to=5).reads_request
    assert not Need("M", "Global", "PrivilegeM", moves_to=5, cluster=True).reads_request
    assert not Need("M", "Global", "PrivilegeM").reads_request


# Milvus answers them to every login; the answers of two are filtered.
LISTED = {"ListDatabases", "ShowCollections"}
EVERY_LOGIN = {
    *("Connect", "GetVersion", "CheckHealth", "GetComponentStates", "AllocTimestamp"),
    *("HasCollection", "ShowCollections", "ListDatabases", "GetFlushAllState"),
    *("GetCompactionState", "GetCompactionStateWithPlans", "GetImportState", "RunAnalyzer"),
    "ComputePhraseMatchSlop",
}


def test_lists_and_changes_of_aliases_are_methods():
    assert names_of(LISTS) == LISTED
    assert names_of(ALIAS_CHANGES) <= names_of(METHODS)


def test_methods_without_a_privilege_are_for_admins_unless_named():
    for method in names_of(OPEN) | names_of(ADMIN_ONLY):
        path = (SERVICE + method).encode()
        lax = Treatment.LISTED if method in LISTED else Treatment.LOGIN
        assert treatment(path, strict=True) is (lax if method in EVERY_LOGIN else Treatment.ADMIN)
        assert treatment(path, strict=False) is lax
    assert names_of(OPEN) == EVERY_LOGIN


@pytest.mark.parametrize("strict", [True, False])
def test_a_method_with_a_privilege_needs_it(strict):
    for method in ("Search", *STREAMS):
        assert treatment((SERVICE + method).encode(), strict=strict) is need_of(method)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "path",
    [
        b"/milvus.proto.milvus.MilvusService/Unknown",
        b"/milvus.proto.milvus.MilvusService/search",
        b"/milvus.proto.milvus.milvusservice/Search",
        b"/MILVUS.PROTO.MILVUS.MILVUSSERVICE/Connect",
        b"/milvus.proto.milvus.MilvusService/",
        b"/milvus.proto.milvus.MilvusService",
        b"/milvus.proto.milvus.MilvusService/Search/",
        b"//milvus.proto.milvus.MilvusService/Search",
        b"/milvus.proto.milvus.MilvusService//Search",
        b"/./milvus.proto.milvus.MilvusService/Search",
        b"/other/../milvus.proto.milvus.MilvusService/Search",
        b"/milvus.proto.milvus.%4dilvusService/Search",
        b"/milvus.proto.milvus.MilvusService%2fSearch",
        b"/milvus.proto.milvus.MilvusService/Search?x",
        b"/milvus.proto.milvus.MilvusService/Search\n",
        b"/milvus.proto.milvus.MilvusService\\Search",
        b"milvus.proto.milvus.MilvusService/Search",
        b"http://host/milvus.proto.milvus.MilvusService/Search",
        b"/milvus.proto.milvus.ClientTelemetryService/PushClientCommand",
        b"/milvus.proto.rootcoord.RootCoord/DropRole",
    ],
)
def test_a_path_that_may_mean_an_unknown_method_is_for_admins(path, strict):
    assert treatment(path, strict=strict) is Treatment.ADMIN


@pytest.mark.parametrize(
    "path",
    [
        b"/grpc.health.v1.Health/Check",
        b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        b"/qdrant.Points/Search",
        b"/MilvusService/Search",
        b"/my-service/Do",
        b"/a/prefix/my.Service/Do",
        b"/my%20service/Do",
        b"",
        b"/",
        b"*",
    ],
)
def test_another_service_needs_a_login(path):
    assert treatment(path, strict=True) is Treatment.LOGIN


def test_a_backup_is_decided_before_it_passes():
    """It passes to its service as it comes, and the service has to know what allows it."""
    assert not METHODS[RESTORE].reads_request
