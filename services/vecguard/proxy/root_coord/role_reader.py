"""Reads from root coord the roles by which calls are decided."""

from collections.abc import Sequence

from vecguard.proxy.accounts.records import Grant as StoredGrant
from vecguard.proxy.authorization.policy import Grant, RolePolicy
from vecguard.proxy.permissions.role_cache import RolesRead
from vecguard.proxy.root_coord.roles import RoleClient


class RoleReader:
    """Implements `RoleSource`."""

    def __init__(self, roles: RoleClient) -> None:
        self._roles = roles

    async def fetch_roles(self, names: Sequence[str]) -> RolesRead:
        """Returns the roles of these names that exist. Raises UnavailableError or DeadlineError."""
        read = await self._roles.read_roles(*names)
        return RolesRead(
            read_revision=read.read_revision,
            roles=[
                RolePolicy(name, map(_granted, grants), read.groups)
                for name, grants in read.grants.items()
            ],
            grants=sum(map(len, read.grants.values())),
        )


def _granted(stored: StoredGrant) -> Grant:
    return Grant(stored.object_type, stored.database, stored.object, stored.privilege)
