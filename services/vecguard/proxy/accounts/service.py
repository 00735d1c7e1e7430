"""Serves Milvus's account RPCs: translates messages, and failures to Milvus's Status."""

from collections.abc import Awaitable, Callable

import betterproto

from vecguard.errors import InvalidParameterError
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.grpc.server import current_caller
from vecguard.proxy.accounts.accounts import Accounts
from vecguard.proxy.accounts.errors import (
    AccountError,
    InvalidAccountError,
    RoleNotFoundError,
    UnidentifiedCallerError,
)
from vecguard.proxy.accounts.permissions import Privilege
from vecguard.proxy.accounts.role_names import ADMIN, PUBLIC, check_role_name
from vecguard.proxy.accounts.status import failure, success
from vecguard.proxy.audit.audit_log import (
    UNCHANGED,
    AccountChange,
    Action,
    Audit,
    recorded,
)
from vecguard.proxy.identity_headers import Caller, read_caller

_ROLES = (ADMIN, PUBLIC)


class AccountService(pb.MilvusServiceBase):
    """Serves calls of the relay only: trusts its identity headers, which clients cannot set."""

    def __init__(self, accounts: Accounts, *, authorization_enabled: bool, audit: Audit) -> None:
        """Without `authorization_enabled` callers have no name; see `Permissions`."""
        self._accounts = accounts
        self._audit = audit
        self._authorization_enabled = authorization_enabled

    async def create_credential(
        self, create_credential_request: pb.CreateCredentialRequest
    ) -> common.Status:
        request = create_credential_request
        caller = self._caller()

        async def create() -> int:
            return await self._accounts.create(
                caller, request.username, request.password, request.description or ""
            )

        fields = ("password", "description") if request.description else ("password",)
        return await self._changed(Action.CREATE, caller, request.username, create, fields)

    async def update_credential(
        self, update_credential_request: pb.UpdateCredentialRequest
    ) -> common.Status:
        request = update_credential_request
        caller = self._caller()

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
        return await self._changed(Action.UPDATE, caller, request.username, update, fields)

    async def delete_credential(
        self, delete_credential_request: pb.DeleteCredentialRequest
    ) -> common.Status:
        caller, username = self._caller(), delete_credential_request.username
        return await self._changed(
            Action.DELETE, caller, username, lambda: self._accounts.delete(caller, username)
        )

    async def list_cred_users(
        self, list_cred_users_request: pb.ListCredUsersRequest
    ) -> pb.ListCredUsersResponse:
        del list_cred_users_request
        users = await self._accounts.list_users(self._caller())
        return pb.ListCredUsersResponse(
            status=success(), usernames=[user.username for user in users]
        )

    async def select_user(self, select_user_request: pb.SelectUserRequest) -> pb.SelectUserResponse:
        request = select_user_request
        wanted = request.user.name if betterproto.serialized_on_wire(request.user) else None
        try:
            users = await self._accounts.describe(self._caller(), wanted)
        except InvalidParameterError as error:
            return pb.SelectUserResponse(status=failure(error))
        # No roles: users cannot be given any yet, and Milvus does not list what `root` and
        # `public` are by themselves.
        return pb.SelectUserResponse(
            status=success(),
            results=[
                pb.UserResult(user=pb.UserEntity(name=user.username), description=user.description)
                for user in users
            ],
        )

    async def select_role(self, select_role_request: pb.SelectRoleRequest) -> pb.SelectRoleResponse:
        request = select_role_request
        self._accounts.permissions.require(self._caller(), Privilege.SELECT)
        wanted = request.role.name if betterproto.serialized_on_wire(request.role) else None
        try:
            if wanted is not None:
                check_role_name(wanted)
        except AccountError as error:
            return pb.SelectRoleResponse(status=failure(error))
        # Without users, also if they are asked for: see select_user.
        return pb.SelectRoleResponse(
            status=success(),
            results=[
                pb.RoleResult(role=pb.RoleEntity(name=role))
                for role in _ROLES
                if wanted in (None, role)
            ],
        )

    async def select_grant(
        self, select_grant_request: pb.SelectGrantRequest
    ) -> pb.SelectGrantResponse:
        entity = select_grant_request.entity
        # As in Milvus, users may ask about their own roles.
        if entity.role.name != PUBLIC:
            self._accounts.permissions.require(self._caller(), Privilege.SELECT)
        try:
            _check_known_role(entity)
        except AccountError as error:
            return pb.SelectGrantResponse(status=failure(error))
        # admin may do everything and public nothing special, so there are no grants to list.
        return pb.SelectGrantResponse(status=success())

    def _caller(self) -> Caller:
        caller = read_caller(current_caller().metadata)
        if self._authorization_enabled and caller.principal.is_anonymous:
            raise UnidentifiedCallerError
        return caller

    async def _changed(
        self,
        action: Action,
        caller: Caller,
        target: str,
        change: Callable[[], Awaitable[int | None]],
        fields: tuple[str, ...] = (),
    ) -> common.Status:
        """Makes a change, records its outcome in the audit log, and returns the Status."""
        entry = AccountChange(
            action, target, caller.principal.username or None, caller.host, fields
        )
        try:
            with recorded(self._audit, entry):
                entry.revision = await change()
                if entry.revision is None:
                    entry.outcome = UNCHANGED
        except (AccountError, InvalidParameterError) as error:
            return failure(error)
        return success()


def _check_known_role(entity: pb.GrantEntity) -> None:
    """Raises AccountError if the entity names no role that exists."""
    if not betterproto.serialized_on_wire(entity):
        raise InvalidAccountError("the grant entity in the request is nil: invalid parameter")
    if not betterproto.serialized_on_wire(entity.role):
        raise InvalidAccountError("the role entity in the grant entity is nil: invalid parameter")
    check_role_name(entity.role.name)
    if entity.role.name not in _ROLES:
        raise RoleNotFoundError
