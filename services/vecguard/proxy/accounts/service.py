"""Serves Milvus's account RPCs: translates messages, and failures to Milvus's Status."""

import base64
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
from vecguard.proxy.accounts.permissions import Actor, Privilege
from vecguard.proxy.accounts.role_names import ADMIN, PUBLIC, check_role_name
from vecguard.proxy.accounts.status import failure, success
from vecguard.proxy.audit.audit_log import (
    UNCHANGED,
    AccountChange,
    Action,
    Audit,
    NoAudit,
    recorded,
)
from vecguard.proxy.identity_headers import read_identity
from vecguard.secret import Secret

_DEFAULT_DATABASE = "default"
_ROLES = (ADMIN, PUBLIC)


class AccountService(pb.MilvusServiceBase):
    """Serves calls of the relay only: trusts its identity headers, which clients cannot set."""

    def __init__(
        self, accounts: Accounts, *, authorization_enabled: bool = True, audit: Audit | None = None
    ) -> None:
        """Without `authorization_enabled` callers have no name; see `Permissions`."""
        self._accounts = accounts
        self._audit = audit or NoAudit()
        self._authorization_enabled = authorization_enabled

    async def create_credential(
        self, create_credential_request: pb.CreateCredentialRequest
    ) -> common.Status:
        request = create_credential_request
        actor = self._actor()

        async def create() -> int:
            # Before all checks of the request, as in Milvus.
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
        return pb.ListCredUsersResponse(
            status=success(), usernames=[user.username for user in users]
        )

    async def select_user(self, select_user_request: pb.SelectUserRequest) -> pb.SelectUserResponse:
        request = select_user_request
        wanted = request.user.name if betterproto.serialized_on_wire(request.user) else None
        try:
            users = await self._accounts.describe(self._actor(), wanted)
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
        self._accounts.permissions.require(self._actor(), Privilege.SELECT)
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
            self._accounts.permissions.require(self._actor(), Privilege.SELECT)
        try:
            _check_known_role(entity)
        except AccountError as error:
            return pb.SelectGrantResponse(status=failure(error))
        # admin may do everything and public nothing special, so there are no grants to list.
        return pb.SelectGrantResponse(status=success())

    def _actor(self) -> Actor:
        metadata = current_caller().metadata
        identity = read_identity(metadata)
        if self._authorization_enabled and identity.username is None:
            raise UnidentifiedCallerError
        return Actor(
            username=identity.username,
            database=metadata.get("dbname") or _DEFAULT_DATABASE,
            address=identity.host,
            revision=identity.revision,
        )

    async def _changed(
        self,
        action: Action,
        actor: Actor,
        target: str,
        change: Callable[[], Awaitable[int | None]],
        fields: tuple[str, ...] = (),
    ) -> common.Status:
        """Makes a change, records its outcome in the audit log, and returns the Status."""
        entry = AccountChange(action, target, actor.username, actor.address, fields)
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


def _decoded(text: str, complaint: str) -> Secret[str]:
    # Raised here, because a decoder's error would carry the password.
    password = _text_of(text)
    if password is None:
        raise InvalidAccountError(f"{complaint}: not base64 of UTF-8: invalid parameter")
    return password


def _text_of(text: str) -> Secret[str] | None:
    try:
        return Secret(base64.b64decode(text, validate=True).decode())
    except ValueError:  # not the alphabet, not ASCII or not UTF-8
        return None
