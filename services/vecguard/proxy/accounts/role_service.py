"""Serves Milvus's RPCs about roles, grants, groups and backups."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import betterproto
from grpclib.const import Cardinality, Handler

from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.grpc.raw_message import RawMessage
from vecguard.proxy.accounts.backup import Backups
from vecguard.proxy.accounts.calls import AccountCalls
from vecguard.proxy.accounts.errors import AccountError
from vecguard.proxy.accounts.grants import GrantAccounts
from vecguard.proxy.accounts.methods import ROLE_METHODS, path_of
from vecguard.proxy.accounts.milvus_wire import (
    backup_reply,
    grants_reply,
    read_restore_request,
)
from vecguard.proxy.accounts.privilege_groups import PrivilegeGroups
from vecguard.proxy.accounts.role_errors import MissingPartError
from vecguard.proxy.accounts.roles import RoleAccounts
from vecguard.proxy.accounts.status import failure, success
from vecguard.proxy.audit.audit_log import Action, RoleFields

if TYPE_CHECKING:
    from grpclib.server import Stream

_Code = common.ErrorCode


class RoleService(pb.MilvusServiceBase):
    """Serves the methods of `ROLE_METHODS`."""

    def __init__(
        self,
        calls: AccountCalls,
        roles: RoleAccounts,
        grants: GrantAccounts,
        groups: PrivilegeGroups,
        backups: Backups,
    ) -> None:
        self._calls = calls
        self._roles = roles
        self._grants = grants
        self._groups = groups
        self._backups = backups

    def handlers(self) -> Mapping[str, Handler]:
        """Returns the handlers by path. Messages with many grants are read and written in turns."""
        handlers = super().__mapping__()
        return {path: handlers[path] for path in map(bytes.decode, ROLE_METHODS)} | {
            path_of("SelectGrant"): _raw(self._select_grant, pb.SelectGrantRequest),
            path_of("BackupRBAC"): _raw(self._back_up, pb.BackupRbacMetaRequest),
            path_of("RestoreRBAC"): _raw(self._restore, RawMessage),
        }

    async def create_role(self, create_role_request: pb.CreateRoleRequest) -> common.Status:
        entity, caller = create_role_request.entity, self._calls.caller()
        return await self._calls.changed(
            Action.CREATE_ROLE,
            caller,
            entity.name,
            lambda: self._roles.create(caller, entity.name, entity.description),
            about=RoleFields(),
            refused=_Code.CreateRoleFailure,
        )

    async def alter_role(self, alter_role_request: pb.AlterRoleRequest) -> common.Status:
        request, caller = alter_role_request, self._calls.caller()
        return await self._calls.changed(
            Action.ALTER_ROLE,
            caller,
            request.role_name,
            lambda: self._roles.alter(caller, request.role_name, request.description),
            about=RoleFields(),
        )

    async def drop_role(self, drop_role_request: pb.DropRoleRequest) -> common.Status:
        request, caller = drop_role_request, self._calls.caller()
        return await self._calls.changed(
            Action.DROP_ROLE,
            caller,
            request.role_name,
            lambda: self._roles.drop(caller, request.role_name, force=request.force_drop),
            about=RoleFields(),
            refused=_Code.DropRoleFailure,
        )

    async def operate_user_role(
        self, operate_user_role_request: pb.OperateUserRoleRequest
    ) -> common.Status:
        request, caller = operate_user_role_request, self._calls.caller()
        give = request.type == pb.OperateUserRoleType.AddUserToRole

        async def change() -> int | None:
            if not give and request.type != pb.OperateUserRoleType.RemoveUserFromRole:
                raise MissingPartError("invalid operate user role type")
            return await self._roles.change_user_role(
                caller, request.username, request.role_name, give=give
            )

        return await self._calls.changed(
            Action.GIVE_ROLE if give else Action.TAKE_ROLE,
            caller,
            request.role_name,
            change,
            about=RoleFields(user=request.username),
            refused=_Code.OperateUserRoleFailure,
        )

    async def select_role(self, select_role_request: pb.SelectRoleRequest) -> pb.SelectRoleResponse:
        request = select_role_request
        self._calls.caller()
        wanted = request.role.name if betterproto.serialized_on_wire(request.role) else None
        try:
            roles = await self._roles.list_roles(wanted)
        except AccountError as error:
            return pb.SelectRoleResponse(status=failure(error))
        return pb.SelectRoleResponse(
            status=success(),
            results=[
                pb.RoleResult(
                    role=pb.RoleEntity(name=role.name, description=role.description),
                    users=[
                        pb.UserEntity(name=user)
                        for user in (role.users if request.include_user_info else ())
                    ],
                )
                for role in roles
            ],
        )

    async def operate_privilege(
        self, operate_privilege_request: pb.OperatePrivilegeRequest
    ) -> common.Status:
        request, caller = operate_privilege_request, self._calls.caller()
        entity = request.entity
        return await self._calls.changed(
            _grant_action(request.type),
            caller,
            entity.role.name,
            lambda: self._grants.operate(caller, request),
            about=RoleFields(
                privileges=(entity.grantor.privilege.name,),
                object_type=entity.object.name,
                object=entity.object_name,
                database=entity.db_name or caller.database,
            ),
            refused=_Code.OperatePrivilegeFailure,
        )

    async def operate_privilege_v2(
        self, operate_privilege_v2_request: pb.OperatePrivilegeV2Request
    ) -> common.Status:
        request, caller = operate_privilege_v2_request, self._calls.caller()
        return await self._calls.changed(
            _grant_action(request.type),
            caller,
            request.role.name,
            lambda: self._grants.operate_v2(caller, request),
            about=RoleFields(
                privileges=(request.grantor.privilege.name,),
                object=request.collection_name,
                database=request.db_name,
            ),
            refused=_Code.OperatePrivilegeFailure,
        )

    async def create_privilege_group(
        self, create_privilege_group_request: pb.CreatePrivilegeGroupRequest
    ) -> common.Status:
        name, caller = create_privilege_group_request.group_name, self._calls.caller()
        return await self._calls.changed(
            Action.CREATE_GROUP,
            caller,
            name,
            lambda: self._groups.create(caller, name),
            about=RoleFields(),
            refused=_Code.CreatePrivilegeGroupFailure,
        )

    async def drop_privilege_group(
        self, drop_privilege_group_request: pb.DropPrivilegeGroupRequest
    ) -> common.Status:
        name, caller = drop_privilege_group_request.group_name, self._calls.caller()
        return await self._calls.changed(
            Action.DROP_GROUP,
            caller,
            name,
            lambda: self._groups.drop(caller, name),
            about=RoleFields(),
            refused=_Code.DropPrivilegeGroupFailure,
        )

    async def list_privilege_groups(
        self, list_privilege_groups_request: pb.ListPrivilegeGroupsRequest
    ) -> pb.ListPrivilegeGroupsResponse:
        del list_privilege_groups_request
        self._calls.caller()
        groups = await self._groups.list_groups()
        return pb.ListPrivilegeGroupsResponse(
            status=success(),
            privilege_groups=[
                pb.PrivilegeGroupInfo(
                    group_name=group.name,
                    privileges=[pb.PrivilegeEntity(name=name) for name in group.privileges],
                )
                for group in groups
            ],
        )

    async def operate_privilege_group(
        self, operate_privilege_group_request: pb.OperatePrivilegeGroupRequest
    ) -> common.Status:
        request, caller = operate_privilege_group_request, self._calls.caller()
        privileges = tuple(privilege.name for privilege in request.privileges)
        add = request.type == pb.OperatePrivilegeGroupType.AddPrivilegesToGroup

        async def change() -> int | None:
            if not add and request.type != pb.OperatePrivilegeGroupType.RemovePrivilegesFromGroup:
                raise MissingPartError("invalid operate privilege group type")
            return await self._groups.change(caller, request.group_name, privileges, add=add)

        return await self._calls.changed(
            Action.ADD_TO_GROUP if add else Action.REMOVE_FROM_GROUP,
            caller,
            request.group_name,
            change,
            about=RoleFields(privileges=privileges),
            refused=_Code.OperatePrivilegeGroupFailure,
        )

    async def _select_grant(self, request: pb.SelectGrantRequest) -> RawMessage:
        caller = self._calls.caller()
        try:
            grants = await self._grants.select(caller, request.entity)
        except AccountError as error:
            status = failure(error, _Code.SelectGrantFailure)
            return RawMessage(bytes(pb.SelectGrantResponse(status=status)))
        return await grants_reply(request.entity.role.name, grants)

    async def _back_up(self, request: pb.BackupRbacMetaRequest) -> RawMessage:
        del request
        self._calls.caller()
        return await backup_reply(await self._backups.back_up())

    async def _restore(self, request: RawMessage) -> RawMessage:
        caller = self._calls.caller()
        meta = await read_restore_request(request)
        status = await self._calls.changed(
            Action.RESTORE,
            caller,
            None,
            lambda: self._backups.restore(caller, meta),
            about=RoleFields(),
            refused=_Code.OperatePrivilegeFailure,
        )
        return RawMessage(bytes(status))


def _grant_action(kind: pb.OperatePrivilegeType) -> Action:
    return Action.REVOKE if kind == pb.OperatePrivilegeType.Revoke else Action.GRANT


def _raw(answer: Callable[[Any], Awaitable[RawMessage]], request_type: type[Any]) -> Handler:
    """Returns the handler of a method whose reply is encoded already."""

    async def handle(stream: "Stream[Any, RawMessage]") -> None:
        request = await stream.recv_message()
        await stream.send_message(await answer(request))

    return Handler(handle, Cardinality.UNARY_UNARY, request_type, RawMessage)
