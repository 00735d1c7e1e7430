"""Where the proxy answers otherwise than Milvus 2.3.5. docs/migration.md lists each `title`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from tests.e2e.account_replies.conversation import Answer, Step, decoded

_INVALID_PARAMETER = 1100
_NO_ROLE = (
    "not found the role, maybe the role isn't existed or internal system error: invalid parameter"
)
_NO_NAME = "should be not empty: invalid parameter[expected=not empty][actual=]"
_BAD_ROLE = (
    "role name can only contain numbers, letters, underscores, and allowed characters ($), "
    "found - at 3: invalid parameter"
)


def _status(code: int, legacy: str, reason: str, *, detailed: bool = True) -> common_pb2.Status:
    return common_pb2.Status(
        code=code,
        error_code=common_pb2.ErrorCode.Value(legacy),
        reason=reason,
        detail=reason if detailed else "",
    )


def _invalid(reason: str) -> common_pb2.Status:
    return _status(_INVALID_PARAMETER, "IllegalArgument", reason)


def _refused_by_state(rpc: str, reason: str) -> common_pb2.Status:
    return _status(_INVALID_PARAMETER, f"{rpc}Failure", reason, detailed=False)


def _refused(privilege: str) -> Answer:
    details = f"{privilege}: permission deny to alice in the `*` database"
    return Answer(status=("PERMISSION_DENIED", details))


def _grant_of_public(kind: str, privilege: str) -> milvus_pb2.GrantEntity:
    return milvus_pb2.GrantEntity(
        role=milvus_pb2.RoleEntity(name="public"),
        object=milvus_pb2.ObjectEntity(name=kind),
        object_name="*",
        grantor=milvus_pb2.GrantorEntity(
            user=milvus_pb2.UserEntity(name="root"),
            privilege=milvus_pb2.PrivilegeEntity(name=privilege),
        ),
        db_name="*",
    )


@dataclass(frozen=True)
class Difference:
    """What the proxy answers to some steps: the whole answer, or the reply's status."""

    title: str
    ours: Mapping[str, Answer | common_pb2.Status]


DIFFERENCES = (
    Difference(
        "Character in a refused user name",
        {
            **dict.fromkeys(
                (
                    "create a user whose name begins with a digit",
                    "select a user whose name begins with a digit",
                ),
                _invalid(
                    "invalid user name 1user, the first character must be a letter, but got 1: "
                    "invalid parameter"
                ),
            ),
            "create a user with a bad name": _invalid(
                "invalid user name bad!user, username must contain only numbers, letters and "
                "underscores, but got !: invalid parameter"
            ),
            "create a user with a long name": _invalid(
                f"invalid username {'u' * 33} with length 33, "
                "the length of username must be less than 32: invalid parameter"
            ),
        },
    ),
    Difference(
        "Character in a refused role name",
        dict.fromkeys(
            (
                "select a role with a bad name",
                "grants of a role with a bad name",
                "create role with a bad name",
                "grant to a bad name",
            ),
            _invalid(_BAD_ROLE),
        ),
    ),
    Difference(
        "Error code of an invalid request",
        {
            "create alice again": _status(
                _INVALID_PARAMETER,
                "CreateCredentialFailure",
                "user already exists: alice: invalid parameter",
                detailed=False,
            ),
            "create role reader again": _refused_by_state(
                "CreateRole", 'role [name:"reader"] already exists: invalid parameter'
            ),
            "give an unknown role to alice": _refused_by_state("OperateUserRole", _NO_ROLE),
            "take an unknown role from alice": _refused_by_state("OperateUserRole", _NO_ROLE),
            "drop role reader again": _refused_by_state("DropRole", _NO_ROLE),
            "create one user too many": _status(
                9,
                "CreateCredentialFailure",
                "unable to add user because the number of users has reached the limit",
                detailed=False,
            ),
        },
    ),
    Difference(
        "Password that is not base64",
        {
            "create a user with a password that is not base64": _invalid(
                "decode password fail: not base64 of UTF-8: invalid parameter"
            ),
            "update alice with an old password that is not base64": _invalid(
                "decode old password failed: not base64 of UTF-8: invalid parameter"
            ),
            "update alice with a new password that is not base64": _invalid(
                "decode password failed: not base64 of UTF-8: invalid parameter"
            ),
        },
    ),
    Difference(
        "Update without a new password",
        {
            "update alice with nothing new": _invalid(
                "must update either password or description: invalid parameter"
            )
        },
    ),
    Difference(
        "Deletion of an empty name",
        {"delete a user without a name": _invalid("username must be not empty: invalid parameter")},
    ),
    Difference(
        "Database in a refusal",
        {
            "list users as alice": _refused("PrivilegeSelectOwnership"),
            "select root as alice": _refused("PrivilegeSelectUser"),
            "select every user as alice": _refused("PrivilegeSelectUser"),
            "select every role as alice": _refused("PrivilegeSelectOwnership"),
            "grants of admin as alice": _refused("PrivilegeSelectOwnership"),
            "create a user as alice": _refused("PrivilegeCreateOwnership"),
            "update root as alice": _refused("PrivilegeUpdateUser"),
            "delete alice as alice": _refused("PrivilegeDropOwnership"),
        },
    ),
    Difference(
        "Empty old password",
        {
            "update alice without the old password": Answer(),
            "update an unknown user without the old password": _status(
                65535,
                "UpdateCredentialFailure",
                "failed to check if update credential: user not found",
                detailed=False,
            ),
        },
    ),
    Difference(
        "Grants of `public`",
        dict.fromkeys(
            ("grants of public", "grants of public as alice"),
            Answer(
                milvus_pb2.SelectGrantResponse(
                    status=common_pb2.Status(),
                    entities=[
                        _grant_of_public("Collection", "IndexDetail"),
                        _grant_of_public("Global", "DescribeCollection"),
                        _grant_of_public("Global", "ListAliases"),
                    ],
                ).SerializeToString()
            ),
        ),
    ),
    Difference(
        "Texts about roles and privileges",
        {
            "grants of an unknown role": _refused_by_state(
                "SelectGrant", 'the role "unknown" does not exist: invalid parameter'
            ),
            "give reader to an unknown user": _refused_by_state(
                "OperateUserRole", 'user "unknown" not found: invalid parameter'
            ),
            "grant an unknown privilege": _refused_by_state(
                "OperatePrivilege",
                "not found the privilege name[Unknown] in object[Collection]: invalid parameter",
            ),
            "grant a privilege of another type": _refused_by_state(
                "OperatePrivilege",
                "not found the privilege name[Search] in object[Global]: invalid parameter",
            ),
            "grant to an unknown role": _refused_by_state(
                "OperatePrivilege",
                'failed to operate privilege common check: the role "unknown" does not exist: '
                "invalid parameter",
            ),
            "grant on an empty name": _invalid(f"object name {_NO_NAME}"),
            "list grants of reader on nothing": _invalid(f"object name {_NO_NAME}"),
            "grant on a bad name": _invalid(_BAD_ROLE.replace("role", "object", 1)),
        },
    ),
    Difference(
        "Role that still has grants",
        {
            "drop role with grants": _refused_by_state(
                "DropRole",
                "fail to drop the role that it has privileges. Use REVOKE API to revoke "
                "privileges; it has privileges in the databases [db1 default]: invalid parameter",
            )
        },
    ),
    Difference(
        "Methods of later versions",
        {
            "later: AlterRole": _status(65535, "UnexpectedError", "role not exists"),
            "later: OperatePrivilegeV2": _invalid(f"role name {_NO_NAME}"),
            "later: CreatePrivilegeGroup": Answer(),
            "later: OperatePrivilegeGroup": _refused_by_state(
                "OperatePrivilegeGroup",
                "failed to check if privilege group alterable: privileges is empty when alter the "
                "privilege group: invalid parameter",
            ),
            "later: DropPrivilegeGroup": Answer(),
            "later: BackupRBAC": Answer(
                milvus_pb2.BackupRBACMetaResponse(
                    status=common_pb2.Status(), RBAC_meta=milvus_pb2.RBACMeta()
                ).SerializeToString()
            ),
            "later: RestoreRBAC": Answer(),
        },
    ),
)
#: Applies to every reply with code 1100.
INPUT_ERROR_MARK = "Input-error flag"


def expected(step: Step, milvus: Answer) -> Answer:
    """The proxy's answer to a step that Milvus answers so."""
    ours = next((each.ours[step.name] for each in DIFFERENCES if step.name in each.ours), milvus)
    if isinstance(ours, Answer) and (ours.status is not None or not ours.reply):
        return ours
    if isinstance(ours, Answer):
        reply = decoded(step.method, ours.reply)
        status = status_of(reply)
    else:
        reply = decoded(step.method, b"")
        status = status_of(reply)
        status.CopyFrom(ours)
    if status.code == _INVALID_PARAMETER:
        status.extra_info["is_input_error"] = "true"
    return Answer(reply.SerializeToString())


def status_of(reply: Any) -> Any:
    """The Status that a reply is or has."""
    return reply if isinstance(reply, common_pb2.Status) else reply.status
