"""The errors of account RPCs, with Milvus's codes and texts."""

from typing import ClassVar

from vecguard.errors import Status as GrpcStatus
from vecguard.errors import VecguardError
from vecguard.generated.milvus.proto import common as pb

INVALID_PARAMETER = 1100
NOT_PERMITTED = 1401


class AccountError(VecguardError):
    """A failure that the caller gets in the reply's Status, not as a gRPC status.

    Attributes:
        code: Milvus's error code.
        legacy: the older code for the same error.
        detailed: whether Status.detail repeats the text, as in Milvus's proxy; its root coord
            does not.
    """

    status = GrpcStatus.UNKNOWN
    code: ClassVar[int] = 65535
    legacy: ClassVar[int] = pb.ErrorCode.UnexpectedError
    detailed: ClassVar[bool] = True


class InvalidAccountError(AccountError):
    """A name, password or description breaks a rule."""

    reason = "invalid_parameter"
    code = INVALID_PARAMETER
    legacy = pb.ErrorCode.IllegalArgument


class UserExistsError(AccountError):
    """A user with this name exists."""

    reason = "user_exists"
    code = INVALID_PARAMETER
    legacy = pb.ErrorCode.CreateCredentialFailure
    detailed = False

    def __init__(self, username: str) -> None:
        super().__init__(f"user already exists: {username}: invalid parameter")


class UserLimitError(AccountError):
    """`proxy.maxUserNum` users exist."""

    reason = "user_limit"
    code = 9
    legacy = pb.ErrorCode.CreateCredentialFailure
    detailed = False

    def __init__(self) -> None:
        super().__init__("unable to add user because the number of users has reached the limit")


class UserNotFoundError(AccountError):
    """An administrator has changed a user that does not exist."""

    reason = "user_not_found"
    legacy = pb.ErrorCode.UpdateCredentialFailure
    detailed = False

    def __init__(self) -> None:
        super().__init__("failed to check if update credential: user not found")


class WrongOldPasswordError(AccountError):
    """The old password does not match, or there is no such user."""

    reason = "wrong_old_password"
    code = 1400

    def __init__(self, username: str) -> None:
        super().__init__(f"old password not correct for {username}: not authenticated")


class AnonymousChangeError(AccountError):
    """Authorization is off: the caller has no name, and a change would reach all proxies."""

    reason = "anonymous"
    code = NOT_PERMITTED

    def __init__(self) -> None:
        super().__init__(
            "users and roles cannot be changed through a proxy whose "
            "common.security.authorizationEnabled is false, unless its "
            "common.security.allowAnonymousChanges is true: privilege not permitted"
        )


class RootProtectedError(AccountError):
    """`root` cannot be deleted."""

    reason = "root_protected"
    code = NOT_PERMITTED

    def __init__(self) -> None:
        super().__init__("root user cannot be deleted: privilege not permitted")


class OutdatedRootCoordError(AccountError):
    """Root coord is too old to check the actor or to know roles. Nothing was changed.

    Sent in the reply's Status, because clients of Milvus repeat calls for minutes after most gRPC
    statuses.
    """

    reason = "outdated_root_coord"
    status = GrpcStatus.FAILED_PRECONDITION

    def __init__(self, root_coord: str) -> None:
        super().__init__(
            f"root coord at {root_coord} is older than this proxy; upgrade root coord first"
        )


class UnidentifiedCallerError(VecguardError):
    """A call without identity headers has come, which the relay must prevent."""

    status = GrpcStatus.PERMISSION_DENIED
    reason = "unidentified"

    def __init__(self) -> None:
        super().__init__("the account service is reached through the proxy's public port only")
