"""Serves Milvus's RPCs about users: translates messages, and failures to Milvus's Status."""

from collections.abc import Mapping

import betterproto
from grpclib.const import Handler

from vecguard.errors import InvalidParameterError
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.proxy.accounts.accounts import Accounts
from vecguard.proxy.accounts.calls import AccountCalls
from vecguard.proxy.accounts.methods import USER_METHODS
from vecguard.proxy.accounts.status import failure, success
from vecguard.proxy.audit.audit_log import Action


class UserService(pb.MilvusServiceBase):
    """Serves the methods of `USER_METHODS`."""

    def __init__(self, accounts: Accounts, calls: AccountCalls) -> None:
        self._accounts = accounts
        self._calls = calls

    def handlers(self) -> Mapping[str, Handler]:
        """Returns the handlers by path."""
        handlers = super().__mapping__()
        return {path: handlers[path] for path in map(bytes.decode, USER_METHODS)}

    async def create_credential(
        self, create_credential_request: pb.CreateCredentialRequest
    ) -> common.Status:
        request = create_credential_request
        caller = self._calls.caller()

        async def create() -> int:
            return await self._accounts.create(
                caller, request.username, request.password, request.description or ""
            )

        fields = ("password", "description") if request.description else ("password",)
        return await self._calls.changed(
            Action.CREATE, caller, request.username, create, fields=fields
        )

    async def update_credential(
        self, update_credential_request: pb.UpdateCredentialRequest
    ) -> common.Status:
        request = update_credential_request
        caller = self._calls.caller()

        async def update() -> int:
            return await self._accounts.update(
                caller,
                request.username,
                old_password=request.old_password,
                new_password=request.new_password,
                description=request.description,
            )

        has_password = bool(request.new_password)
        given = (("password", has_password), ("description", request.description is not None))
        fields = tuple(name for name, is_given in given if is_given)
        return await self._calls.changed(
            Action.UPDATE, caller, request.username, update, fields=fields
        )

    async def delete_credential(
        self, delete_credential_request: pb.DeleteCredentialRequest
    ) -> common.Status:
        caller, username = self._calls.caller(), delete_credential_request.username
        return await self._calls.changed(
            Action.DELETE, caller, username, lambda: self._accounts.delete(caller, username)
        )

    async def list_cred_users(
        self, list_cred_users_request: pb.ListCredUsersRequest
    ) -> pb.ListCredUsersResponse:
        del list_cred_users_request
        self._calls.caller()
        users = await self._accounts.list_users()
        return pb.ListCredUsersResponse(
            status=success(), usernames=[user.username for user in users]
        )

    async def select_user(self, select_user_request: pb.SelectUserRequest) -> pb.SelectUserResponse:
        request = select_user_request
        wanted = request.user.name if betterproto.serialized_on_wire(request.user) else None
        self._calls.caller()
        try:
            users = await self._accounts.describe(wanted)
        except InvalidParameterError as error:
            return pb.SelectUserResponse(status=failure(error))
        # Milvus does not list what `root` and `public` are by themselves.
        return pb.SelectUserResponse(
            status=success(),
            results=[
                pb.UserResult(
                    user=pb.UserEntity(name=user.username),
                    roles=[
                        pb.RoleEntity(name=role)
                        for role in (user.roles if request.include_role_info else ())
                    ],
                    description=user.description,
                )
                for user in users
            ],
        )
