"""The requests that make, change and use a permission. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import betterproto
from pymilvus.grpc_gen import milvus_pb2

from tests.chaos.history import Subject
from tests.chaos.ledger import Permission
from vecguard.generated.milvus.proto import milvus as pb

_DATABASE = "default"
_PRIVILEGE = "Search"


@dataclass(frozen=True, slots=True)
class AccountCall:
    """A call of one of Milvus's RPCs about users and roles."""

    method: str
    message: betterproto.Message


def preparation(permission: Permission) -> Sequence[AccountCall]:
    """What must be there before the permission can be given."""
    role = pb.CreateRoleRequest(entity=pb.RoleEntity(name=permission.role))
    group = pb.CreatePrivilegeGroupRequest(group_name=permission.name)
    with_role = [AccountCall("CreateRole", role), _give_role(permission, give=True)]
    of_first = [] if permission.generation else with_role
    match permission.subject:
        case Subject.GRANT:
            return of_first
        case Subject.MAPPING:
            return [AccountCall("CreateRole", role), _grant(permission, _PRIVILEGE, give=True)]
        case _:
            return [
                *of_first,
                AccountCall("CreatePrivilegeGroup", group),
                _grant(permission, permission.name, give=True),
            ]


def change(permission: Permission, *, give: bool) -> AccountCall:
    """What gives the permission, or takes it."""
    match permission.subject:
        case Subject.GRANT:
            return _grant(permission, _PRIVILEGE, give=give)
        case Subject.MAPPING:
            return _give_role(permission, give=give)
        case _:
            return _add_to_group(permission, _PRIVILEGE, add=give)


def removal(permission: Permission) -> Sequence[AccountCall]:
    """What removes the role that no later generation needs."""
    if permission.subject is not Subject.MAPPING:
        return []
    request = pb.DropRoleRequest(role_name=permission.role, force_drop=True)
    return [AccountCall("DropRole", request)]


def search(permission: Permission) -> bytes:
    """The request that the permission allows."""
    return milvus_pb2.SearchRequest(collection_name=permission.name).SerializeToString()


def _give_role(permission: Permission, *, give: bool) -> AccountCall:
    kind = pb.OperateUserRoleType
    request = pb.OperateUserRoleRequest(
        username=permission.user,
        role_name=permission.role,
        type=kind.AddUserToRole if give else kind.RemoveUserFromRole,
    )
    return AccountCall("OperateUserRole", request)


def _grant(permission: Permission, privilege: str, *, give: bool) -> AccountCall:
    kind = pb.OperatePrivilegeType
    request = pb.OperatePrivilegeV2Request(
        role=pb.RoleEntity(name=permission.role),
        grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=privilege)),
        type=kind.Grant if give else kind.Revoke,
        db_name=_DATABASE,
        collection_name=permission.name,
    )
    return AccountCall("OperatePrivilegeV2", request)


def _add_to_group(permission: Permission, privilege: str, *, add: bool) -> AccountCall:
    kind = pb.OperatePrivilegeGroupType
    request = pb.OperatePrivilegeGroupRequest(
        group_name=permission.name,
        privileges=[pb.PrivilegeEntity(name=privilege)],
        type=kind.AddPrivilegesToGroup if add else kind.RemovePrivilegesFromGroup,
    )
    return AccountCall("OperatePrivilegeGroup", request)
