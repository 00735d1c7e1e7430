"""What the account RPCs have in common: the caller, and the record of a change."""

from collections.abc import Awaitable, Callable

from vecguard.errors import InvalidParameterError
from vecguard.generated.milvus.proto import common
from vecguard.grpc.server import current_caller
from vecguard.proxy.accounts.errors import AccountError, UnidentifiedCallerError
from vecguard.proxy.accounts.status import failure, success
from vecguard.proxy.audit.audit_log import (
    UNCHANGED,
    AccountChange,
    Action,
    Audit,
    RoleFields,
    recorded,
)
from vecguard.proxy.identity_headers import Caller, read_caller


class AccountCalls:
    """Reads the caller of a call, and carries out changes.

    Serves calls of the relay only: trusts its identity headers, which clients cannot set.

    Attributes:
        authorization_enabled: whether callers need a name; without one, see `Permissions`.
    """

    def __init__(self, *, authorization_enabled: bool, audit: Audit) -> None:
        self.authorization_enabled = authorization_enabled
        self._audit = audit

    def caller(self) -> Caller:
        """Returns who makes the current call.

        Raises UnidentifiedCallerError without identity headers, where callers need a name.
        """
        caller = read_caller(current_caller().metadata)
        if self.authorization_enabled and caller.principal.is_anonymous:
            raise UnidentifiedCallerError
        return caller

    async def changed(
        self,
        action: Action,
        caller: Caller,
        target: str | None,
        change: Callable[[], Awaitable[int | None]],
        *,
        fields: tuple[str, ...] = (),
        about: RoleFields | None = None,
        refused: int = common.ErrorCode.UnexpectedError,
    ) -> common.Status:
        """Makes a change, records its outcome in the audit log, and returns the Status.

        `change` returns the revision, None if nothing had to be changed. `refused` is the legacy
        code of a refusal by what is stored.
        """
        entry = AccountChange(
            action, target, caller.principal.username or None, caller.host, fields, about=about
        )
        try:
            with recorded(self._audit, entry):
                entry.revision = await change()
                if entry.revision is None:
                    entry.outcome = UNCHANGED
        except (AccountError, InvalidParameterError) as error:
            return failure(error, refused)
        return success()
