"""The errors of RPCs about roles, grants and privilege groups, with Milvus's codes and texts."""

from collections.abc import Iterable

from vecguard.proxy.accounts.errors import (
    INVALID_PARAMETER,
    NOT_PERMITTED,
    AccountError,
    InvalidAccountError,
)

_GROUP_NAME_INVALID = 1402
_DATABASE_NAME_INVALID = 802
_QUOTA_EXCEEDED = 9


class MissingPartError(AccountError):
    """A part of a request is missing, or an enumeration has an unknown value."""

    reason = "invalid_parameter"


class DatabaseNameError(AccountError):
    """No database can have the name."""

    reason = "invalid_parameter"
    code = _DATABASE_NAME_INVALID

    def __init__(self, name: str, complaint: str) -> None:
        super().__init__(f"{complaint}: invalid database name[database={name}]")


class GroupNameError(AccountError):
    """No privilege group can have the name."""

    reason = "invalid_parameter"
    code = _GROUP_NAME_INVALID

    def __init__(self, complaint: str) -> None:
        super().__init__(f"invalid privilege group name[privilegeGroup={complaint}]")


class DefaultRoleError(AccountError):
    """The roles admin and public cannot be dropped."""

    reason = "role_protected"
    code = NOT_PERMITTED

    def __init__(self, role: str) -> None:
        super().__init__(
            f"the role[{role}] is a default role, which can't be dropped: privilege not permitted"
        )


class BuiltInRoleError(AccountError):
    """A built-in role cannot be changed."""

    reason = "role_protected"
    code = NOT_PERMITTED

    def __init__(self, role: str, change: str) -> None:
        super().__init__(
            f"the role[{role}] is a builtin role, which can't be {change}: privilege not permitted"
        )


class RefusedByStateError(AccountError):
    """What is stored does not allow the request.

    In Milvus root coord answers this, with the legacy code of the RPC and without
    `Status.detail`.
    """

    code = INVALID_PARAMETER
    detailed = False


class InvalidRequestError(RefusedByStateError):
    """There is no such object type, privilege or scope; Milvus's root coord says so."""

    reason = "invalid_parameter"

    def __init__(self, complaint: str) -> None:
        super().__init__(f"{complaint}: invalid parameter")


class RoleExistsError(RefusedByStateError):
    """A role with this name exists."""

    reason = "role_exists"

    def __init__(self, role: str, description: str = "") -> None:
        entity = f'name:"{role}"' + (f' description:"{description}"' if description else "")
        super().__init__(f"role [{entity}] already exists: invalid parameter")


class RoleLimitError(RefusedByStateError):
    """`proxy.maxRoleNum` roles exist."""

    reason = "role_limit"
    code = _QUOTA_EXCEEDED

    def __init__(self) -> None:
        super().__init__("unable to create role because the number of roles has reached the limit")


class NoSuchRoleError(RefusedByStateError):
    """There is no such role to drop, to give or to take."""

    reason = "role_not_found"

    def __init__(self) -> None:
        super().__init__(
            "not found the role, maybe the role isn't existed or internal system error: "
            "invalid parameter"
        )


class NoSuchRoleToAlterError(AccountError):
    """There is no such role to alter."""

    reason = "role_not_found"

    def __init__(self) -> None:
        super().__init__("role not exists")


class UnknownRoleError(RefusedByStateError):
    """There is no such role whose grants could be listed or changed."""

    reason = "role_not_found"

    def __init__(self, role: str, prefix: str = "") -> None:
        super().__init__(f'{prefix}the role "{role}" does not exist: invalid parameter')


class UnknownGrantorError(RefusedByStateError):
    """The user who makes the grant does not exist."""

    reason = "user_not_found"

    def __init__(self, username: str, prefix: str = "") -> None:
        super().__init__(f'{prefix}the grantor user "{username}" does not exist: invalid parameter')


class NoSuchUserError(RefusedByStateError):
    """There is no such user to give a role to."""

    reason = "user_not_found"

    def __init__(self, username: str) -> None:
        super().__init__(f'user "{username}" not found: invalid parameter')


class RoleHasGrantsError(RefusedByStateError):
    """The role has grants, and is not dropped by force."""

    reason = "role_has_grants"

    def __init__(self, databases: Iterable[str]) -> None:
        # Not in Milvus: its clients list the grants of one database at a time.
        names = " ".join(sorted(databases))
        hint = f"; it has privileges in the databases [{names}]" if names else ""
        super().__init__(
            "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges"
            f"{hint}: invalid parameter"
        )


class GroupError(RefusedByStateError):
    """A privilege group cannot be created, dropped or changed in this way."""

    def __init__(self, kind: str, complaint: str, *, reason: str) -> None:
        """`kind` is Milvus's word for the change: creatable, dropable or alterable."""
        super().__init__(
            f"failed to check if privilege group {kind}: {complaint}: invalid parameter"
        )
        self.reason = reason  # type: ignore[misc]  # the cause differs by instance here only


class RestoreError(RefusedByStateError):
    """A backup cannot be restored; nothing was written."""

    def __init__(self, complaint: str, *, reason: str = "invalid_parameter") -> None:
        super().__init__(f"failed to check if rbac restorable: {complaint}: invalid parameter")
        self.reason = reason  # type: ignore[misc]  # the cause differs by instance here only


class CollectionChangingError(AccountError):
    """A grant is on a collection that is being dropped or renamed."""

    reason = "collection_changing"

    def __init__(self) -> None:
        super().__init__(
            "a collection with this name is being dropped or renamed, and no privilege on it can "
            "be granted until that ends; try again in a moment"
        )


class UnexpectedOutcomeError(AccountError):
    """Root coord has answered with an outcome that this request cannot have."""

    reason = "internal"

    def __init__(self, outcome: str) -> None:
        super().__init__(f"root coord answered unexpectedly: {outcome}")


def description_error(length: int, limit: int) -> InvalidAccountError:
    """Returns the error of a role's description that is too long, in bytes."""
    return InvalidAccountError(
        "the length of role description must be not greater than limit: invalid parameter"
        f"[{length} out of range 0 <= value <= {limit}]"
    )
