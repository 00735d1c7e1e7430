"""Decides who may create, change, delete and list users.

`root` and `common.security.superUsers` administer all users; every user may see and change its
own account. Privilege names are Milvus's.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from vecguard.proxy.accounts.errors import AnonymousChangeError, PermissionDeniedError
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal
from vecguard.usernames import ROOT


class Privilege(StrEnum):
    """The privileges, by their names in refusals."""

    CREATE = "PrivilegeCreateOwnership"
    DROP = "PrivilegeDropOwnership"
    UPDATE_USER = "PrivilegeUpdateUser"
    SELECT_USER = "PrivilegeSelectUser"
    SELECT = "PrivilegeSelectOwnership"


_CHANGES = frozenset((Privilege.CREATE, Privilege.DROP, Privilege.UPDATE_USER))


@dataclass(frozen=True, slots=True)
class Permissions:
    """Checks permissions, for a configured set of super users.

    Attributes:
        anonymous_changes: whether callers may make changes where authorization is switched off.
    """

    super_users: AbstractSet[str]
    anonymous_changes: bool = False

    def is_administrator(self, principal: Principal) -> bool:
        """Returns whether the caller may do everything with every account."""
        return (
            principal.is_anonymous or principal.username == ROOT or self._is_super_user(principal)
        )

    def checks_old_password(self, principal: Principal, target: str, *, is_given: bool) -> bool:
        """Returns whether a change of the target's password needs the right old one.

        As in Milvus, it is checked for every caller but super users. An empty old password
        resets a forgotten one, as in Milvus 2.1; root may do so for other users.
        """
        if self._is_super_user(principal):
            return False
        if is_given:
            return True
        is_reset = principal.is_anonymous or (principal.username == ROOT and target != ROOT)
        return not is_reset

    def require(self, caller: Caller, privilege: Privilege, *, target: str | None = None) -> None:
        """Returns if the caller has the privilege.

        Reads are allowed where authorization is switched off, as in Milvus: they show names and
        descriptions, and change nothing for the proxies that do authenticate.

        Raises:
            PermissionDeniedError: the caller is neither an administrator nor the target.
            AnonymousChangeError: the caller has no name and requests a change.
        """
        principal = caller.principal
        if principal.is_anonymous and privilege in _CHANGES and not self.anonymous_changes:
            raise AnonymousChangeError
        if self.is_administrator(principal) or target == principal.username:
            return
        raise PermissionDeniedError(privilege, principal.username, caller.database)

    def _is_super_user(self, principal: Principal) -> bool:
        return not principal.is_anonymous and principal.username in self.super_users
