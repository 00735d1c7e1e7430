"""Serves the gRPC calls about roles, grants and privilege groups."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from grpclib.const import Cardinality, Handler
from grpclib.server import Stream

from vecguard.errors import InvalidParameterError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.raw_message import RawMessage
from vecguard.milvus_layout.role_records import is_name
from vecguard.milvus_layout.stored_roles import Grant
from vecguard.root_coord.answers import ChangeAnswers
from vecguard.root_coord.role_wire import (
    backup_reply,
    read_restore_request,
    roles_reply,
)
from vecguard.root_coord.store.interface import StoredCredential
from vecguard.root_coord.store.role_interface import PrivilegeGroup

_SERVICE = "/vecguard.internal.v1.RootCoord/"
# More than a user has; each takes two reads.
_MOST_NAMES = 10_000


class RoleService(ChangeAnswers):
    """Answers the calls of proxies about roles; `RootCoordService` has the others."""

    def __mapping__(self) -> dict[str, Handler]:
        # Messages with very many grants are not betterproto's.
        mapping: dict[str, Handler] = super().__mapping__()
        mapping |= {
            _SERVICE + "GetRoles": _raw(self._get_roles, pb.GetRolesRequest),
            _SERVICE + "BackUpRoles": _raw(self._back_up_roles, pb.BackUpRolesRequest),
            _SERVICE + "RestoreRoles": _raw(self._restore_roles, RawMessage),
        }
        return mapping

    async def _get_roles(self, request: pb.GetRolesRequest) -> RawMessage:
        active = self._active()
        if len(request.names) > _MOST_NAMES:
            raise InvalidParameterError(f"more than {_MOST_NAMES} roles in one request")
        found = await active.policy.get(filter(is_name, request.names))
        return roles_reply(active.term, found.revision, found.roles, found.groups)

    async def _back_up_roles(self, _request: pb.BackUpRolesRequest) -> RawMessage:
        return await backup_reply((await self._active().role_store.back_up()).value)

    async def _restore_roles(self, request: RawMessage) -> RawMessage:
        active = self._active()
        backup, actor = await read_restore_request(request)
        reply = await self._answer(
            "restore", active.roles.restore(backup, actor=self._actor(actor))
        )
        return RawMessage(bytes(reply))

    async def list_roles(self, list_roles_request: pb.ListRolesRequest) -> pb.ListRolesReply:
        del list_roles_request
        found = await self._active().role_store.list_roles()
        return pb.ListRolesReply(
            roles=[
                pb.Role(name=each.name, description=each.description, users=list(each.users))
                for each in found.value
            ]
        )

    async def list_privilege_groups(
        self, list_privilege_groups_request: pb.ListPrivilegeGroupsRequest
    ) -> pb.ListPrivilegeGroupsReply:
        del list_privilege_groups_request
        found = await self._active().role_store.list_groups()
        return pb.ListPrivilegeGroupsReply(groups=_groups(found.value))

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


def described(credential: StoredCredential) -> pb.Credential:
    """Returns a message about a user, without the hash."""
    return pb.Credential(
        username=credential.username,
        revision=credential.revision,
        description=credential.description,
        roles=list(credential.roles),
    )


def _groups(groups: Iterable[PrivilegeGroup]) -> list[pb.PrivilegeGroup]:
    return [pb.PrivilegeGroup(name=each.name, privileges=list(each.privileges)) for each in groups]


def _grants(messages: Iterable[pb.Grant]) -> tuple[Grant, ...]:
    return tuple(
        Grant(each.object_type, each.database, each.object, each.privilege, each.grantor)
        for each in messages
    )


def _raw(answer: Callable[[Any], Awaitable[RawMessage]], request_type: type[Any]) -> Handler:
    async def handle(stream: Stream[Any, RawMessage]) -> None:
        request = await stream.recv_message()
        await stream.send_message(await answer(request))

    return Handler(handle, Cardinality.UNARY_UNARY, request_type, RawMessage)
