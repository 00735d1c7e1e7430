"""What all changes of accounts have in common: who may make them, and how replies are read."""

from collections.abc import Callable

from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.proxy.accounts.permissions import Permissions
from vecguard.proxy.accounts.role_errors import (
    CollectionChangingError,
    InvalidRequestError,
    UnexpectedOutcomeError,
)
from vecguard.proxy.authentication.errors import RevokedError
from vecguard.proxy.authorization.errors import PermissionChangedError
from vecguard.proxy.identity_headers import Caller


class Changes:
    """Checks callers before a change, and root coord's reply after it."""

    def __init__(self, permissions: Permissions, outdated: Callable[[str], None]) -> None:
        """`outdated` is called with a user whose record in root coord is newer."""
        self.permissions = permissions
        self._outdated = outdated

    def require(self, caller: Caller) -> None:
        """Raises AnonymousChangeError if the caller may not change anything."""
        self.permissions.require_change(caller)

    def require_not_revoked(self, caller: Caller, reply: pb.MutationReply) -> None:
        """Returns if root coord has not refused the caller.

        Raises:
            RevokedError: the caller was deleted, or its password has changed.
            PermissionChangedError: the roles of the caller have changed. The next call is decided
                by the newest ones.
        """
        if reply.outcome is pb.MutationOutcome.ACTOR_REVOKED:
            self._outdated(caller.principal.username)
            raise RevokedError
        if reply.outcome is pb.MutationOutcome.ACTOR_RIGHTS_CHANGED:
            self._outdated(caller.principal.username)
            raise PermissionChangedError

    def revision(self, caller: Caller, reply: pb.MutationReply) -> int | None:
        """Returns the revision of a change, or None if nothing had to be changed.

        Raises:
            RevokedError: the caller was deleted, or its password has changed.
            PermissionChangedError: the roles of the caller have changed.
            InvalidRequestError: root coord says what is wrong with the request.
            CollectionChangingError: a collection of the request is being dropped or renamed.
            UnexpectedOutcomeError: there is another outcome, which the request cannot have.
        """
        self.require_not_revoked(caller, reply)
        if reply.outcome is pb.MutationOutcome.INVALID:
            raise InvalidRequestError(reply.detail)
        if reply.outcome is pb.MutationOutcome.COLLECTION_CHANGING:
            raise CollectionChangingError
        if reply.outcome is not pb.MutationOutcome.APPLIED:
            raise UnexpectedOutcomeError(str(pb.MutationOutcome(reply.outcome).name))
        return reply.revision or None
