"""Who may do what with accounts until roles can be edited.

`root` and `common.security.superUsers` administer everybody; everybody may see and
change themselves. Privilege names are Milvus's.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from services.proxy.accounts.errors import PermissionDeniedError
from shared.usernames import ROOT

ADMIN_ROLE = "admin"
PUBLIC_ROLE = "public"


class Privilege(StrEnum):
    """As it is named in a refusal."""

    CREATE = "PrivilegeCreateOwnership"
    DROP = "PrivilegeDropOwnership"
    UPDATE_USER = "PrivilegeUpdateUser"
    SELECT_USER = "PrivilegeSelectUser"
    SELECT = "PrivilegeSelectOwnership"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and from which address; `username` is None where authorization is switched off."""

    username: str | None
    database: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Permissions:
    """The rules, for a configured set of super users."""

    super_users: AbstractSet[str]

    def is_administrator(self, actor: Actor) -> bool:
        """Whether the actor may do everything with every account."""
        return (
            actor.username is None or actor.username == ROOT or actor.username in self.super_users
        )

    def needs_old_password(self, actor: Actor, target: str) -> bool:
        """Whether a change of the target's password must show the old one.

        As in Milvus a super user never needs it. root does for its own password, so that
        a typing error in a script is noticed.
        """
        if actor.username is None or actor.username in self.super_users:
            return False
        return actor.username != ROOT or target == ROOT

    def require(self, actor: Actor, privilege: Privilege, *, target: str | None = None) -> None:
        """Raises PermissionDeniedError unless the actor is an administrator or the target."""
        if self.is_administrator(actor) or (target is not None and actor.username == target):
            return
        raise PermissionDeniedError(privilege, str(actor.username), actor.database)


def roles_of(username: str) -> list[str]:
    """The roles that a user has while roles cannot be edited."""
    return [ADMIN_ROLE, PUBLIC_ROLE] if username == ROOT else [PUBLIC_ROLE]
