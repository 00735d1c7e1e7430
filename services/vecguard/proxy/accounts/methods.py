"""The account methods of Milvus's public service."""

from vecguard.generated.milvus.proto.common import ErrorCode

_SERVICE = "/milvus.proto.milvus.MilvusService/"

SERVED = frozenset(
    (_SERVICE + name).encode()
    for name in (
        "CreateCredential",
        "UpdateCredential",
        "DeleteCredential",
        "ListCredUsers",
        "SelectUser",
        "SelectRole",
        "SelectGrant",
    )
)

# Refused, each with Milvus's legacy error code. They must not reach a backend, which would keep
# users and roles of its own.
UNSERVED = {
    (_SERVICE + name).encode(): code
    for name, code in {
        "CreateRole": ErrorCode.CreateRoleFailure,
        "AlterRole": ErrorCode.UnexpectedError,
        "DropRole": ErrorCode.DropRoleFailure,
        "OperateUserRole": ErrorCode.OperateUserRoleFailure,
        "OperatePrivilege": ErrorCode.OperatePrivilegeFailure,
        "OperatePrivilegeV2": ErrorCode.OperatePrivilegeFailure,
        "BackupRBAC": ErrorCode.UnexpectedError,
        "RestoreRBAC": ErrorCode.UnexpectedError,
        "CreatePrivilegeGroup": ErrorCode.CreatePrivilegeGroupFailure,
        "DropPrivilegeGroup": ErrorCode.DropPrivilegeGroupFailure,
        "ListPrivilegeGroups": ErrorCode.ListPrivilegeGroupsFailure,
        "OperatePrivilegeGroup": ErrorCode.OperatePrivilegeGroupFailure,
    }.items()
}

ACCOUNT_METHODS = SERVED | UNSERVED.keys()
