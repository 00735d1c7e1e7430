"""Calls Milvus's public RPCs about roles, grants and privilege groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from grpclib.client import Channel

from vecguard.cli.connection import Login
from vecguard.cli.exit_codes import NotAllowedError
from vecguard.cli.grant_scope import GrantScope
from vecguard.cli.public_calls import LoginRefusedError, PublicCalls, require_success
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.privileges.catalogue import Catalogue
from vecguard.privileges.stored_names import ANY

_CATALOGUE = Catalogue()


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant of a role, by Milvus's names."""

    privilege: str
    database: str
    object: str
    object_type: str
    grantor: str


@dataclass(frozen=True, slots=True)
class Role:
    """One role.

    Attributes:
        description: None if the caller may see the grants only, as of an own role.
        users: the names of the users who have it, likewise.
        grants: in every database.
    """

    name: str
    description: str | None
    users: tuple[str, ...] | None
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One privilege group; `privileges` may have names of other groups."""

    name: str
    privileges: tuple[str, ...]
    built_in: bool


class RoleClient:
    """Calls the RPCs about roles with one login.

    Every method raises what those of `AccountClient` do. Giving, taking, granting and revoking
    succeed if nothing has to be changed.
    """

    def __init__(self, channel: Channel, peer: str, login: Login | None) -> None:
        """Creates a client that calls over `channel`; messages name the server `peer`."""
        self._calls = PublicCalls(peer, login)
        self._stub = pb.MilvusServiceStub(channel, metadata=self._calls.metadata)

    async def create(self, role: str, description: str) -> None:
        """Adds a role."""
        entity = pb.RoleEntity(name=role, description=description)
        request = pb.CreateRoleRequest(entity=entity)
        require_success(await self._calls.answer(self._stub.create_role(request)))

    async def alter(self, role: str, description: str) -> None:
        """Changes the description of a role."""
        request = pb.AlterRoleRequest(role_name=role, description=description)
        require_success(await self._calls.answer(self._stub.alter_role(request)))

    async def drop(self, role: str, *, force: bool) -> None:
        """Drops a role; with `force` also if it has grants."""
        request = pb.DropRoleRequest(role_name=role, force_drop=force)
        require_success(await self._calls.answer(self._stub.drop_role(request)))

    async def list_names(self) -> list[str]:
        """Returns the names of all roles, in alphabetical order."""
        reply = await self._calls.answer(self._stub.select_role(pb.SelectRoleRequest()))
        require_success(reply.status)
        return sorted(result.role.name for result in reply.results)

    async def describe(self, role: str) -> Role:
        """Returns one role with its grants.

        Raises NegativeError also if there is no such role.
        """
        grants = await self.grants(role)
        request = pb.SelectRoleRequest(role=pb.RoleEntity(name=role), include_user_info=True)
        try:
            reply = await self._calls.answer(self._stub.select_role(request))
        except LoginRefusedError:
            raise
        except NotAllowedError:
            # Users may see the grants of their own roles.
            return Role(role, None, None, grants)
        require_success(reply.status)
        for result in reply.results:
            users = tuple(sorted(user.name for user in result.users))
            return Role(role, result.role.description, users, grants)
        return Role(role, "", (), grants)

    async def grants(self, role: str) -> tuple[Grant, ...]:
        """Returns the grants of a role. Raises NegativeError also if there is no such role."""
        entity = pb.GrantEntity(role=pb.RoleEntity(name=role), db_name=ANY)
        reply = await self._calls.answer(
            self._stub.select_grant(pb.SelectGrantRequest(entity=entity))
        )
        require_success(reply.status)
        return tuple(
            Grant(
                each.grantor.privilege.name,
                each.db_name,
                each.object_name,
                each.object.name,
                each.grantor.user.name,
            )
            for each in reply.entities
        )

    async def give(self, role: str, username: str) -> None:
        """Gives a role to a user."""
        await self._operate(role, username, pb.OperateUserRoleType.AddUserToRole)

    async def take(self, role: str, username: str) -> None:
        """Takes a role from a user."""
        await self._operate(role, username, pb.OperateUserRoleType.RemoveUserFromRole)

    async def grant(self, role: str, privilege: str, scope: GrantScope) -> None:
        """Grants a privilege, or the privileges of a group, to a role."""
        await self._operate_privilege(role, privilege, scope, pb.OperatePrivilegeType.Grant)

    async def revoke(self, role: str, privilege: str, scope: GrantScope) -> None:
        """Revokes what was granted by the same names."""
        await self._operate_privilege(role, privilege, scope, pb.OperatePrivilegeType.Revoke)

    async def create_group(self, group: str) -> None:
        """Adds a privilege group without members."""
        request = pb.CreatePrivilegeGroupRequest(group_name=group)
        require_success(await self._calls.answer(self._stub.create_privilege_group(request)))

    async def drop_group(self, group: str) -> None:
        """Drops a privilege group that no role has. Succeeds if there is no such group."""
        request = pb.DropPrivilegeGroupRequest(group_name=group)
        require_success(await self._calls.answer(self._stub.drop_privilege_group(request)))

    async def list_groups(self) -> list[Group]:
        """Returns the custom groups in alphabetical order, then the built-in ones."""
        call = self._stub.list_privilege_groups(pb.ListPrivilegeGroupsRequest())
        reply = await self._calls.answer(call)
        require_success(reply.status)
        groups = [
            Group(
                group.group_name,
                tuple(privilege.name for privilege in group.privileges),
                _CATALOGUE.is_built_in_group(group.group_name),
            )
            for group in reply.privilege_groups
        ]
        custom = [group for group in groups if not group.built_in]
        custom.sort(key=lambda group: group.name)
        return custom + [group for group in groups if group.built_in]

    async def add_to_group(self, group: str, privileges: Sequence[str]) -> None:
        """Adds privileges to a custom group; the roles that have the group gain them."""
        await self._operate_group(
            group, privileges, pb.OperatePrivilegeGroupType.AddPrivilegesToGroup
        )

    async def remove_from_group(self, group: str, privileges: Sequence[str]) -> None:
        """Removes privileges from a custom group; the roles that have the group lose them."""
        await self._operate_group(
            group, privileges, pb.OperatePrivilegeGroupType.RemovePrivilegesFromGroup
        )

    async def _operate(self, role: str, username: str, kind: int) -> None:
        request = pb.OperateUserRoleRequest(
            username=username, role_name=role, type=pb.OperateUserRoleType(kind)
        )
        require_success(await self._calls.answer(self._stub.operate_user_role(request)))

    async def _operate_privilege(
        self, role: str, privilege: str, scope: GrantScope, kind: int
    ) -> None:
        request = pb.OperatePrivilegeV2Request(
            role=pb.RoleEntity(name=role),
            grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=privilege)),
            type=pb.OperatePrivilegeType(kind),
            db_name=scope.database,
            collection_name=scope.collection,
        )
        require_success(await self._calls.answer(self._stub.operate_privilege_v2(request)))

    async def _operate_group(self, group: str, privileges: Sequence[str], kind: int) -> None:
        request = pb.OperatePrivilegeGroupRequest(
            group_name=group,
            privileges=[pb.PrivilegeEntity(name=name) for name in privileges],
            type=pb.OperatePrivilegeGroupType(kind),
        )
        require_success(await self._calls.answer(self._stub.operate_privilege_group(request)))
