"""Who may do what with accounts until roles can be edited.

`root` and `common.security.superUsers` administer everybody; everybody may see and
change themselves. Privilege names are Milvus's.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from vecguard.proxy.accounts.errors import AnonymousChangeError, PermissionDeniedError
from vecguard.proxy.authentication.logins import Principal
from vecguard.usernames import ROOT


class Privilege(StrEnum):
    """As it is named in a refusal."""

    CREATE = "PrivilegeCreateOwnership"
    DROP = "PrivilegeDropOwnership"
    UPDATE_USER = "PrivilegeUpdateUser"
    SELECT_USER = "PrivilegeSelectUser"
    SELECT = "PrivilegeSelectOwnership"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and from which address.

    Attributes:
        username: None where authorization is switched off.
        revision: of the record by which the user was admitted.
    """

    username: str | None
    database: str
    address: str | None = None
    revision: int = 0

    @property
    def principal(self) -> Principal | None:
        """What root coord judges in each change; None where authorization is switched off."""
        return None if self.username is None else Principal(self.username, self.revision)


_CHANGES = frozenset((Privilege.CREATE, Privilege.DROP, Privilege.UPDATE_USER))


@dataclass(frozen=True, slots=True)
class Permissions:
    """The rules, for a configured set of super users.

    Attributes:
        anonymous_changes: whether callers make changes where authorization is switched off.
    """

    super_users: AbstractSet[str]
    anonymous_changes: bool = False

    def is_administrator(self, actor: Actor) -> bool:
        """Whether the actor may do everything with every account."""
        return (
            actor.username is None or actor.username == ROOT or actor.username in self.super_users
        )

    def checks_old_password(self, actor: Actor, target: str, *, is_given: bool) -> bool:
        """Whether a change of the target's password is made only if the old one is right.

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
        """Returns if the actor may.

        Reads stay open where authorization is switched off, as in Milvus: they show names and
        descriptions, and change nothing at the proxies that do authenticate.

        Raises:
            PermissionDeniedError: the actor is neither an administrator nor the target.
            AnonymousChangeError: the actor has no name and asks for a change.
        """
        if actor.username is None and privilege in _CHANGES and not self.anonymous_changes:
            raise AnonymousChangeError
        if self.is_administrator(actor) or (target is not None and actor.username == target):
            return
        raise PermissionDeniedError(privilege, str(actor.username), actor.database)
