"""Reads the grants of roles from root coord, for decisions."""

from collections.abc import Sequence

from vecguard.concurrency.own_task import in_own_task
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.proxy.authorization.policy import Grant, RolePolicy
from vecguard.proxy.authorization.role_cache import RolesRead
from vecguard.proxy.root_coord.client import READ_TIMEOUT_SECONDS, RootCoordClient


class RoleReader:
    """Implements `RoleSource` by the client of root coord."""

    def __init__(self, client: RootCoordClient) -> None:
        self._client = client

    async def fetch_roles(self, names: Sequence[str]) -> RolesRead:
        """Returns the roles of these names that exist. Raises UnavailableError or DeadlineError."""
        async with self._client.asking("GetRoles") as (connection, root_coord):
            reply = await in_own_task(
                root_coord.get_roles(pb.GetRolesRequest(names=list(names))), READ_TIMEOUT_SECONDS
            )
        self._client.require_current(connection, reply.term)
        groups = {group.name: group.privileges for group in reply.groups}
        return RolesRead(
            read_revision=reply.read_revision,
            roles=[RolePolicy(role.name, map(_grant, role.grants), groups) for role in reply.roles],
            grants=sum(len(role.grants) for role in reply.roles),
        )


def _grant(message: pb.Grant) -> Grant:
    return Grant(message.object_type, message.database, message.object, message.privilege)
