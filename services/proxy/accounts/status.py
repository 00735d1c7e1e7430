"""Milvus's Status: what account RPCs say of success and failure."""

from services.proxy.accounts.errors import (
    INVALID_PARAMETER,
    AccountError,
    InvalidAccountError,
)
from shared.errors import InvalidParameterError
from shared.generated.milvus.proto import common


def success() -> common.Status:
    """Returns a Status of success that a reply keeps when it is encoded.

    An empty message that nobody has set is left out of the reply. Milvus always sends it, and
    its SDKs need it: the Go SDK takes a missing status for an error, the Node SDK reads null.
    """
    return common.Status(code=0)


def failure(error: AccountError | InvalidParameterError) -> common.Status:
    """Returns the Status for an error."""
    if isinstance(error, InvalidParameterError):
        error = InvalidAccountError(error.message)
    return common.Status(
        error_code=common.ErrorCode(error.legacy),
        code=error.code,
        reason=error.message,
        detail=error.message if error.detailed else "",
        extra_info={"is_input_error": "true"} if error.code == INVALID_PARAMETER else {},
    )
