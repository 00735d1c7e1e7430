"""Serves the gRPC calls about roles, grants and privilege groups."""

from collections.abc import Iterable

from vecguard.errors import InvalidParameterError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.credentials import hash_from_wire, hash_to_wire
from vecguard.milvus_layout.role_records import is_name
from vecguard.root_coord.answers import ChangeAnswers
from vecguard.root_coord.store.interface import StoredCredential
from vecguard.root_coord.store.role_interface import (
    Grant,
    PrivilegeGroup,
    RoleBackup,
    StoredRole,
)

# More than a user has; each takes two reads.
_MOST_NAMES = 10_000


class RoleService(ChangeAnswers):
    """Answers the calls of proxies about roles; `RootCoordService` has the others."""

    async def get_roles(self, get_roles_request: pb.GetRolesRequest) -> pb.GetRolesReply:
        active = self._active()
        if len(get_roles_request.names) > _MOST_NAMES:
            raise InvalidParameterError(f"more than {_MOST_NAMES} roles at once")
        found = await active.role_store.get_roles(
            [name for name in get_roles_request.names if is_name(name)]
        )
        return pb.GetRolesReply(
            term=active.term,
            read_revision=found.revision,
            roles=_roles(found.value.roles),
            groups=_groups(found.value.groups),
        )

    async def list_roles(self, list_roles_request: pb.ListRolesRequest) -> pb.ListRolesReply:
        del list_roles_request
        return pb.ListRolesReply(roles=_roles((await self._active().role_store.list_roles()).value))

    async def list_privilege_groups(
        self, list_privilege_groups_request: pb.ListPrivilegeGroupsRequest
    ) -> pb.ListPrivilegeGroupsReply:
        del list_privilege_groups_request
        found = await self._active().role_store.list_groups()
        return pb.ListPrivilegeGroupsReply(groups=_groups(found.value))

    async def back_up_roles(
        self, back_up_roles_request: pb.BackUpRolesRequest
    ) -> pb.BackUpRolesReply:
        del back_up_roles_request
        backup = (await self._active().role_store.back_up()).value
        users = []
        for user in backup.users:
            message = described(user)
            if user.password is not None:
                message.password = hash_to_wire(user.password)
            users.append(message)
        return pb.BackUpRolesReply(
            backup=pb.RoleBackup(
                users=users, roles=_roles(backup.roles), groups=_groups(backup.groups)
            )
        )

    async def create_role(self, create_role_request: pb.CreateRoleRequest) -> pb.MutationReply:
        request = create_role_request
        return await self._answer(
            "create_role",
            self._active().roles.create(
                request.name, request.description, actor=self._actor(request.actor)
            ),
        )

    async def alter_role(self, alter_role_request: pb.AlterRoleRequest) -> pb.MutationReply:
        request = alter_role_request
        return await self._answer(
            "alter_role",
            self._active().roles.alter(
                request.name, request.description, actor=self._actor(request.actor)
            ),
        )

    async def drop_role(self, drop_role_request: pb.DropRoleRequest) -> pb.MutationReply:
        request = drop_role_request
        return await self._answer(
            "drop_role",
            self._active().roles.drop(
                request.name, force=request.force, actor=self._actor(request.actor)
            ),
        )

    async def change_user_role(
        self, change_user_role_request: pb.ChangeUserRoleRequest
    ) -> pb.MutationReply:
        request = change_user_role_request
        return await self._answer(
            "give_role" if request.give else "take_role",
            self._active().roles.change_user(
                request.username,
                request.role,
                give=request.give,
                actor=self._actor(request.actor),
            ),
        )

    async def change_grant(self, change_grant_request: pb.ChangeGrantRequest) -> pb.MutationReply:
        request = change_grant_request
        return await self._answer(
            "grant" if request.give else "revoke",
            self._active().roles.change_grants(
                request.role,
                _grants(request.grants),
                give=request.give,
                actor=self._actor(request.actor),
            ),
        )

    async def create_privilege_group(
        self, create_privilege_group_request: pb.CreatePrivilegeGroupRequest
    ) -> pb.MutationReply:
        request = create_privilege_group_request
        return await self._answer(
            "create_group",
            self._active().roles.create_group(request.name, actor=self._actor(request.actor)),
        )

    async def drop_privilege_group(
        self, drop_privilege_group_request: pb.DropPrivilegeGroupRequest
    ) -> pb.MutationReply:
        request = drop_privilege_group_request
        return await self._answer(
            "drop_group",
            self._active().roles.drop_group(request.name, actor=self._actor(request.actor)),
        )

    async def change_privilege_group(
        self, change_privilege_group_request: pb.ChangePrivilegeGroupRequest
    ) -> pb.MutationReply:
        request = change_privilege_group_request
        return await self._answer(
            "change_group",
            self._active().roles.change_group(
                request.name,
                request.privileges,
                add=request.add,
                actor=self._actor(request.actor),
            ),
        )

    async def restore_roles(
        self, restore_roles_request: pb.RestoreRolesRequest
    ) -> pb.MutationReply:
        backup = restore_roles_request.backup
        return await self._answer(
            "restore",
            self._active().roles.restore(
                RoleBackup(
                    tuple(
                        StoredCredential(
                            user.username,
                            hash_from_wire(user.password),
                            0,
                            user.description,
                            tuple(user.roles),
                        )
                        for user in backup.users
                    ),
                    tuple(
                        StoredRole(role.name, role.description, _grants(role.grants))
                        for role in backup.roles
                    ),
                    tuple(
                        PrivilegeGroup(group.name, tuple(group.privileges))
                        for group in backup.groups
                    ),
                ),
                actor=self._actor(restore_roles_request.actor),
            ),
        )


def described(credential: StoredCredential) -> pb.Credential:
    """Returns a message about a user, without the hash."""
    return pb.Credential(
        username=credential.username,
        revision=credential.revision,
        description=credential.description,
        roles=list(credential.roles),
    )


def _roles(roles: Iterable[StoredRole]) -> list[pb.Role]:
    return [
        pb.Role(
            name=role.name,
            description=role.description,
            grants=[
                pb.Grant(
                    object_type=grant.object_type,
                    database=grant.database,
                    object=grant.object,
                    privilege=grant.privilege,
                    grantor=grant.grantor,
                )
                for grant in role.grants
            ],
            users=list(role.users),
        )
        for role in roles
    ]


def _groups(groups: Iterable[PrivilegeGroup]) -> list[pb.PrivilegeGroup]:
    return [pb.PrivilegeGroup(name=each.name, privileges=list(each.privileges)) for each in groups]


def _grants(messages: Iterable[pb.Grant]) -> tuple[Grant, ...]:
    return tuple(
        Grant(each.object_type, each.database, each.object, each.privilege, each.grantor)
        for each in messages
    )
