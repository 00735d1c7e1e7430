"""The account methods of Milvus's public service."""

from typing import Final

_SERVICE: Final = "/milvus.proto.milvus.MilvusService/"

_USERS = (
    *("CreateCredential", "UpdateCredential", "DeleteCredential", "ListCredUsers", "SelectUser"),
)
_ROLES = (
    *("CreateRole", "AlterRole", "DropRole", "OperateUserRole", "SelectRole"),
    *("OperatePrivilege", "OperatePrivilegeV2", "SelectGrant"),
    *("CreatePrivilegeGroup", "DropPrivilegeGroup", "ListPrivilegeGroups"),
    *("OperatePrivilegeGroup", "BackupRBAC", "RestoreRBAC"),
)


def path_of(method: str) -> str:
    """Returns the path of a method of Milvus's service."""
    return _SERVICE + method


#: The only method whose request may be long.
RESTORE: Final = path_of("RestoreRBAC").encode()
USER_METHODS: Final = frozenset(path_of(name).encode() for name in _USERS)
ROLE_METHODS: Final = frozenset(path_of(name).encode() for name in _ROLES)
#: All of them. None may reach a backend, which would keep users and roles of its own.
SERVED: Final = USER_METHODS | ROLE_METHODS
