"""Milvus's account RPCs: translates messages, and every failure into Milvus's Status."""

import base64
from collections.abc import Awaitable, Callable

import betterproto

from services.proxy.accounts.accounts import Accounts
from services.proxy.accounts.errors import (
    INVALID_PARAMETER,
    AccountError,
    InvalidAccountError,
    RoleNotFoundError,
    UnidentifiedCallerError,
)
from services.proxy.accounts.permissions import (
    ADMIN_ROLE,
    PUBLIC_ROLE,
    Actor,
    Privilege,
    roles_of,
)
from services.proxy.caller import client_host
from shared.errors import InvalidParameterError
from shared.generated.milvus.proto import common
from shared.generated.milvus.proto import milvus as pb
from shared.grpc.server import current_caller
from shared.observability.audit import (
    UNCHANGED,
    AccountChange,
    Action,
    Audit,
    NoAudit,
    recorded,
)
from shared.secret import Secret

_DEFAULT_DATABASE = "default"


class AccountService(pb.MilvusServiceBase):
    """Serves the relay only: it trusts the identity headers, which no client can write."""

    def __init__(
        self, accounts: Accounts, *, authorization_enabled: bool = True, audit: Audit | None = None
    ) -> None:
        """Without authorization a caller is nobody in particular, and may do everything."""
        self._accounts = accounts
        self._audit = audit or NoAudit()
        self._authorization_enabled = authorization_enabled

    async def create_credential(
        self, create_credential_request: pb.CreateCredentialRequest
    ) -> common.Status:
        request = create_credential_request
        actor = self._actor()

        async def create() -> int:
            # As in Milvus this comes before any look at the request.
            self._accounts.permissions.require(actor, Privilege.CREATE)
            return await self._accounts.create(
                actor,
                request.username,
                _decoded(request.password, "decode password fail"),
                request.description or "",
            )

        fields = ("password", "description") if request.description else ("password",)
        return await self._changed(Action.CREATE, actor, request.username, create, fields)

    async def update_credential(
        self, update_credential_request: pb.UpdateCredentialRequest
    ) -> common.Status:
        request = update_credential_request
        actor = self._actor()
        new = request.new_password

        async def update() -> int:
            self._accounts.permissions.require(
                actor, Privilege.UPDATE_USER, target=request.username
            )
            return await self._accounts.update(
                actor,
                request.username,
                old_password=_decoded(request.old_password, "decode old password failed"),
                new_password=_decoded(new, "decode password failed") if new else None,
                description=request.description,
            )

        given = (("password", bool(new)), ("description", request.description is not None))
        fields = tuple(name for name, is_given in given if is_given)
        return await self._changed(Action.UPDATE, actor, request.username, update, fields)

    async def delete_credential(
        self, delete_credential_request: pb.DeleteCredentialRequest
    ) -> common.Status:
        actor, username = self._actor(), delete_credential_request.username
        return await self._changed(
            Action.DELETE, actor, username, lambda: self._accounts.delete(actor, username)
        )

    async def list_cred_users(
        self, list_cred_users_request: pb.ListCredUsersRequest
    ) -> pb.ListCredUsersResponse:
        del list_cred_users_request
        users = await self._accounts.list_users(self._actor())
        return pb.ListCredUsersResponse(usernames=[user.username for user in users])

    async def select_user(self, select_user_request: pb.SelectUserRequest) -> pb.SelectUserResponse:
        request = select_user_request
        wanted = request.user.name if betterproto.serialized_on_wire(request.user) else None
        users = await self._accounts.describe(self._actor(), wanted)
        return pb.SelectUserResponse(
            results=[
                pb.UserResult(
                    user=pb.UserEntity(name=user.username),
                    roles=[pb.RoleEntity(name=role) for role in roles_of(user.username)]
                    if request.include_role_info
                    else [],
                    description=user.description,
                )
                for user in users
            ]
        )

    async def select_role(self, select_role_request: pb.SelectRoleRequest) -> pb.SelectRoleResponse:
        request = select_role_request
        actor = self._actor()
        self._accounts.permissions.require(actor, Privilege.SELECT)
        wanted = request.role.name if betterproto.serialized_on_wire(request.role) else None
        roles = [role for role in (ADMIN_ROLE, PUBLIC_ROLE) if wanted in (None, role)]
        users = await self._accounts.list_users(actor) if request.include_user_info else []
        return pb.SelectRoleResponse(
            results=[
                pb.RoleResult(
                    role=pb.RoleEntity(name=role),
                    users=[
                        pb.UserEntity(name=user.username)
                        for user in users
                        if role in roles_of(user.username)
                    ],
                )
                for role in roles
            ]
        )

    async def select_grant(
        self, select_grant_request: pb.SelectGrantRequest
    ) -> pb.SelectGrantResponse:
        self._accounts.permissions.require(self._actor(), Privilege.SELECT)
        # admin may do everything and public nothing special, so there are no grants to list.
        if select_grant_request.entity.role.name not in (ADMIN_ROLE, PUBLIC_ROLE):
            return pb.SelectGrantResponse(status=_failure(RoleNotFoundError()))
        return pb.SelectGrantResponse()

    def _actor(self) -> Actor:
        metadata = current_caller().metadata
        username = metadata.get("x-vecguard-user")
        if self._authorization_enabled and not username:
            raise UnidentifiedCallerError
        return Actor(
            username=username,
            database=metadata.get("dbname") or _DEFAULT_DATABASE,
            address=client_host(),
        )

    async def _changed(
        self,
        action: Action,
        actor: Actor,
        target: str,
        change: Callable[[], Awaitable[int | None]],
        fields: tuple[str, ...] = (),
    ) -> common.Status:
        """Makes a change, writes into the audit log what became of it, and answers."""
        entry = AccountChange(action, target, actor.username, actor.address, fields)
        try:
            with recorded(self._audit, entry):
                entry.revision = await change()
                if entry.revision is None:
                    entry.outcome = UNCHANGED
        except AccountError as error:
            return _failure(error)
        except InvalidParameterError as error:
            return _failure(InvalidAccountError(error.message))
        return common.Status()


def _decoded(text: str, complaint: str) -> Secret[str]:
    # Raised out here because a decoder's error carries the password with it.
    password = _text_of(text)
    if password is None:
        raise InvalidAccountError(f"{complaint}: not base64 of UTF-8: invalid parameter")
    return password


def _text_of(text: str) -> Secret[str] | None:
    try:
        return Secret(base64.b64decode(text, validate=True).decode())
    except ValueError:  # not the alphabet, not ASCII or not UTF-8
        return None


def _failure(error: AccountError) -> common.Status:
    return common.Status(
        error_code=common.ErrorCode(error.legacy),
        code=error.code,
        reason=error.message,
        extra_info={"is_input_error": "true"} if error.code == INVALID_PARAMETER else {},
    )
