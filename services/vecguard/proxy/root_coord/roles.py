"""Sends reads and changes of roles to root coord."""

from collections.abc import Sequence
from typing import Any, Final

from vecguard.concurrency.own_task import in_own_task
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.raw_message import RawMessage
from vecguard.proxy.accounts.records import Backup, Grant, Roles
from vecguard.proxy.principal import Principal
from vecguard.proxy.root_coord import role_wire
from vecguard.proxy.root_coord.client import READ_TIMEOUT_SECONDS, RootCoordClient, actor_of

_SERVICE: Final = "/vecguard.internal.v1.RootCoord/"
# Root coord reads or writes all roles of the store for a backup, in many requests.
_BACKUP_TIMEOUT_SECONDS: Final = 60.0


class RoleClient:
    """Reads and changes roles at root coord, by the session of a `RootCoordClient`.

    Changes return when every proxy has applied them, and raise what `RootCoordClient.create`
    does. Reads raise UnavailableError or DeadlineError.
    """

    def __init__(self, root_coord: RootCoordClient) -> None:
        self._root_coord = root_coord

    async def list_users(self) -> list[pb.Credential]:
        """Returns all users with their roles, without hashes."""
        return await self._root_coord.list_users()

    async def list_roles(self) -> list[pb.Role]:
        """Returns all roles with their users, without grants."""
        async with self._root_coord.asking("ListRoles") as (_, root_coord):
            reply = await in_own_task(
                root_coord.list_roles(pb.ListRolesRequest()), READ_TIMEOUT_SECONDS
            )
        return reply.roles

    async def list_groups(self) -> list[pb.PrivilegeGroup]:
        """Returns all privilege groups: the custom ones, then the built-in ones."""
        async with self._root_coord.asking("ListPrivilegeGroups") as (_, root_coord):
            reply = await in_own_task(
                root_coord.list_privilege_groups(pb.ListPrivilegeGroupsRequest()),
                READ_TIMEOUT_SECONDS,
            )
        return reply.groups

    async def read_roles(self, *names: str) -> Roles:
        """Returns the grants of these roles, and the groups that they name.

        Also raises UnavailableError if the session has ended during the read.
        """
        async with self._root_coord.asking("GetRoles") as (connection, root_coord):
            reply = await in_own_task(
                _raw(root_coord, "GetRoles", pb.GetRolesRequest(names=list(names))),
                READ_TIMEOUT_SECONDS,
            )
            term, roles = await role_wire.read_roles(reply)
        self._root_coord.require_current(connection, term)
        return roles

    async def back_up(self) -> Backup:
        """Returns all users, custom roles, grants and groups."""
        async with self._root_coord.asking("BackUpRoles") as (_, root_coord):
            reply = await in_own_task(
                _raw(root_coord, "BackUpRoles", pb.BackUpRolesRequest()), _BACKUP_TIMEOUT_SECONDS
            )
            return await role_wire.read_backup(reply)

    async def create_role(
        self, name: str, description: str, *, asked_by: Principal
    ) -> pb.MutationReply:
        """Adds a role."""
        request = pb.CreateRoleRequest(name=name, description=description, actor=actor_of(asked_by))
        async with self._root_coord.changing("CreateRole") as root_coord:
            return await in_own_task(root_coord.create_role(request), self._timeout_seconds)

    async def alter_role(
        self, name: str, description: str, *, asked_by: Principal
    ) -> pb.MutationReply:
        """Changes the description of a role."""
        request = pb.AlterRoleRequest(name=name, description=description, actor=actor_of(asked_by))
        async with self._root_coord.changing("AlterRole") as root_coord:
            return await in_own_task(root_coord.alter_role(request), self._timeout_seconds)

    async def drop_role(self, name: str, *, force: bool, asked_by: Principal) -> pb.MutationReply:
        """Removes a role; with grants only by `force`."""
        request = pb.DropRoleRequest(name=name, force=force, actor=actor_of(asked_by))
        async with self._root_coord.changing("DropRole") as root_coord:
            return await in_own_task(root_coord.drop_role(request), self._timeout_seconds)

    async def change_user_role(
        self, username: str, role: str, *, give: bool, asked_by: Principal
    ) -> pb.MutationReply:
        """Gives a role to a user, or takes it."""
        request = pb.ChangeUserRoleRequest(
            username=username, role=role, give=give, actor=actor_of(asked_by)
        )
        async with self._root_coord.changing("ChangeUserRole") as root_coord:
            return await in_own_task(root_coord.change_user_role(request), self._timeout_seconds)

    async def change_grant(
        self, role: str, grants: list[Grant], *, give: bool, asked_by: Principal
    ) -> pb.MutationReply:
        """Grants, or revokes, all of these together."""
        request = pb.ChangeGrantRequest(
            role=role,
            grants=[pb.Grant(**grant._asdict()) for grant in grants],
            give=give,
            actor=actor_of(asked_by),
        )
        async with self._root_coord.changing("ChangeGrant") as root_coord:
            return await in_own_task(root_coord.change_grant(request), self._timeout_seconds)

    async def create_group(self, name: str, *, asked_by: Principal) -> pb.MutationReply:
        """Adds a privilege group without privileges."""
        request = pb.CreatePrivilegeGroupRequest(name=name, actor=actor_of(asked_by))
        async with self._root_coord.changing("CreatePrivilegeGroup") as root_coord:
            return await in_own_task(
                root_coord.create_privilege_group(request), self._timeout_seconds
            )

    async def drop_group(self, name: str, *, asked_by: Principal) -> pb.MutationReply:
        """Removes a privilege group."""
        request = pb.DropPrivilegeGroupRequest(name=name, actor=actor_of(asked_by))
        async with self._root_coord.changing("DropPrivilegeGroup") as root_coord:
            return await in_own_task(
                root_coord.drop_privilege_group(request), self._timeout_seconds
            )

    async def change_group(
        self, name: str, privileges: Sequence[str], *, add: bool, asked_by: Principal
    ) -> pb.MutationReply:
        """Adds privileges to a group, or removes them."""
        request = pb.ChangePrivilegeGroupRequest(
            name=name, privileges=list(privileges), add=add, actor=actor_of(asked_by)
        )
        async with self._root_coord.changing("ChangePrivilegeGroup") as root_coord:
            return await in_own_task(
                root_coord.change_privilege_group(request), self._timeout_seconds
            )

    async def restore(self, backup: Backup, *, asked_by: Principal) -> pb.MutationReply:
        """Adds all that a backup has, in one change."""
        request = await role_wire.restore_request(backup, actor_of(asked_by))
        async with self._root_coord.changing("RestoreRoles") as root_coord:
            reply = await in_own_task(
                _raw(root_coord, "RestoreRoles", request),
                self._timeout_seconds + _BACKUP_TIMEOUT_SECONDS,
            )
            return pb.MutationReply.FromString(reply)

    @property
    def _timeout_seconds(self) -> float:
        return self._root_coord.mutation_timeout_seconds


async def _raw(root_coord: pb.RootCoordStub, method: str, request: Any) -> RawMessage:
    """Calls a method; the reply is read by our own functions, in turns."""
    return await root_coord._unary_unary(  # noqa: SLF001 - as the generated methods do
        _SERVICE + method,
        request,
        RawMessage,  # type: ignore[type-var]  # it needs to be no message of betterproto
    )
