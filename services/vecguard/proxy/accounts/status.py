"""Makes Milvus's Status, which account RPCs return for success and failure."""

from vecguard.errors import InvalidParameterError
from vecguard.generated.milvus.proto import common
from vecguard.proxy.accounts.errors import (
    INVALID_PARAMETER,
    AccountError,
    InvalidAccountError,
)
from vecguard.proxy.accounts.role_errors import RefusedByStateError


def success() -> common.Status:
    """Returns a Status of success that a reply keeps when it is encoded.

    betterproto leaves an empty message out unless one of its fields was set. Milvus always sends
    it: its Go SDK takes a missing status for an error, and its Node SDK reads null.
    """
    return common.Status(code=0)


def failure(
    error: AccountError | InvalidParameterError,
    refused: int = common.ErrorCode.UnexpectedError,
) -> common.Status:
    """Returns the Status for an error; `refused` is the legacy code of a refusal by the state."""
    if isinstance(error, InvalidParameterError):
        error = InvalidAccountError(error.message)
    legacy = refused if isinstance(error, RefusedByStateError) else error.legacy
    return common.Status(
        error_code=common.ErrorCode(legacy),
        code=error.code,
        reason=error.message,
        detail=error.message if error.detailed else "",
        extra_info={"is_input_error": "true"} if error.code == INVALID_PARAMETER else {},
    )
