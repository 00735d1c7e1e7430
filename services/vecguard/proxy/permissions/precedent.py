"""Decisions that also hold for later calls, while the records behind them are current."""

from typing import Final

from vecguard.proxy.authentication.credentials import Held
from vecguard.proxy.authorization.policy import Rights
from vecguard.proxy.authorization.request_fields import Outline
from vecguard.proxy.permissions.role_cache import HeldRights
from vecguard.proxy.relay.calls.permission import Permission


class Standing:
    """The cached record of a user, and the rights of the user's roles."""

    __slots__ = ("_held", "_rights", "roles")

    def __init__(self, held: Held, rights: HeldRights) -> None:
        self._held = held
        self._rights = rights
        self.roles = held.credential.roles

    @property
    def rights(self) -> Rights:
        """The rights; none once they were dropped."""
        return self._rights.rights

    def is_fresh(self, now: float) -> bool:
        """Returns whether neither was dropped or has expired."""
        return now < self._held.fresh_until and now < self._rights.fresh_until


class Precedent:
    """A call that the roles of its user have allowed, from which the next ones like it follow.

    They have the same user, method, header `dbname` and outline of the request, so only other
    roles could lead to another decision: check first that the standing is current.

    Attributes:
        permission: that of the call, which the next ones share.
        standing: by which it was allowed.
    """

    __slots__ = ("_databases", "_outline", "_username", "permission", "standing")

    def __init__(
        self,
        permission: Permission,
        username: str,
        databases: list[bytes],
        outline: Outline,
        standing: Standing,
    ) -> None:
        """Takes the values of the header `dbname` and the outline of the request."""
        self.permission: Final = permission
        self.standing: Final = standing
        self._username = username
        self._databases = databases
        self._outline = outline

    def covers(self, username: str, databases: list[bytes], request: bytes | None) -> bool:
        """Returns whether a call of the same method differs in nothing that decides.

        `request` is None if it has not come in one piece: then it may differ.
        """
        return (
            request is not None
            and username == self._username
            and databases == self._databases
            and self._outline.fits(request)
        )
