"""Decides who may create, change, delete and list users.

`root` and `common.security.superUsers` administer all users; every user may see and change its
own account. Privilege names are Milvus's.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from vecguard.proxy.accounts.errors import AnonymousChangeError, PermissionDeniedError
from vecguard.proxy.authentication.logins import Principal
from vecguard.usernames import ROOT


class Privilege(StrEnum):
    """The privileges, by their names in refusals."""

    CREATE = "PrivilegeCreateOwnership"
    DROP = "PrivilegeDropOwnership"
    UPDATE_USER = "PrivilegeUpdateUser"
    SELECT_USER = "PrivilegeSelectUser"
    SELECT = "PrivilegeSelectOwnership"


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller of an account RPC.

    Attributes:
        username: its user; None where authorization is switched off.
        revision: the revision of the record that admitted the user.
    """

    username: str | None
    database: str
    address: str | None = None
    revision: int = 0

    @property
    def principal(self) -> Principal | None:
        """The principal that root coord checks; None where authorization is switched off."""
        return None if self.username is None else Principal(self.username, self.revision)


_CHANGES = frozenset((Privilege.CREATE, Privilege.DROP, Privilege.UPDATE_USER))


@dataclass(frozen=True, slots=True)
class Permissions:
    """Checks permissions, for a configured set of super users.

    Attributes:
        anonymous_changes: whether callers may make changes where authorization is switched off.
    """

    super_users: AbstractSet[str]
    anonymous_changes: bool = False

    def is_administrator(self, actor: Actor) -> bool:
        """Returns whether the actor may do everything with every account."""
        return (
            actor.username is None or actor.username == ROOT or actor.username in self.super_users
        )

    def checks_old_password(self, actor: Actor, target: str, *, is_given: bool) -> bool:
        """Returns whether a change of the target's password needs the right old one.

        As in Milvus, it is checked for every caller but super users. An empty old password
        resets a forgotten one, as in Milvus 2.1; root may do so for other users.
        """
        if actor.username in self.super_users:
            return False
        if is_given:
            return True
        is_reset = actor.username is None or (actor.username == ROOT and target != ROOT)
        return not is_reset

    def require(self, actor: Actor, privilege: Privilege, *, target: str | None = None) -> None:
        """Returns if the actor has the privilege.

        Reads are allowed where authorization is switched off, as in Milvus: they show names and
        descriptions, and change nothing for the proxies that do authenticate.

        Raises:
            PermissionDeniedError: the actor is neither an administrator nor the target.
            AnonymousChangeError: the actor has no name and requests a change.
        """
        if actor.username is None and privilege in _CHANGES and not self.anonymous_changes:
            raise AnonymousChangeError
        if self.is_administrator(actor) or (target is not None and actor.username == target):
            return
        raise PermissionDeniedError(privilege, str(actor.username), actor.database)
