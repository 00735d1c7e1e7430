"""Which methods of Milvus's public service are about accounts."""

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

# They must not reach a backend that would keep users and roles of its own.
UNSERVED = {
    (_SERVICE + name).encode(): f"{name}: roles and privileges cannot be changed here yet"
    for name in (
        "CreateRole",
        "AlterRole",
        "DropRole",
        "OperateUserRole",
        "OperatePrivilege",
        "OperatePrivilegeV2",
        "BackupRBAC",
        "RestoreRBAC",
        "CreatePrivilegeGroup",
        "DropPrivilegeGroup",
        "ListPrivilegeGroups",
        "OperatePrivilegeGroup",
    )
}
