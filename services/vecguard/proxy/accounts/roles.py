"""Creates, changes and drops roles, and gives them to users."""

from typing import Final, Protocol

from vecguard.errors import InvalidParameterError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.privileges.catalogue import ADMIN, PUBLIC
from vecguard.proxy.accounts.changes import Changes
from vecguard.proxy.accounts.names import NameRules
from vecguard.proxy.accounts.records import Grant, Roles
from vecguard.proxy.accounts.role_errors import (
    BuiltInRoleError,
    DefaultRoleError,
    NoSuchRoleError,
    NoSuchRoleToAlterError,
    NoSuchUserError,
    RoleExistsError,
    RoleHasGrantsError,
    RoleLimitError,
    description_error,
)
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal
from vecguard.usernames import UsernamePolicy, is_storable

_DEFAULT: Final = (ADMIN, PUBLIC)


class RoleDirectory(Protocol):
    """The requests to root coord that roles need."""

    async def list_users(self) -> list[pb.Credential]: ...

    async def list_roles(self) -> list[pb.Role]: ...

    async def read_roles(self, *names: str) -> Roles: ...

    async def create_role(
        self, name: str, description: str, *, asked_by: Principal
    ) -> pb.MutationReply: ...

    async def alter_role(
        self, name: str, description: str, *, asked_by: Principal
    ) -> pb.MutationReply: ...

    async def drop_role(
        self, name: str, *, force: bool, asked_by: Principal
    ) -> pb.MutationReply: ...

    async def change_user_role(
        self, username: str, role: str, *, give: bool, asked_by: Principal
    ) -> pb.MutationReply: ...


class RoleAccounts:
    """Implements Milvus's RPCs about roles and the users who have them.

    Every change returns its revision, or None if nothing had to be changed, and raises:
        AnonymousChangeError: the caller has no name.
        AccountError: a rule or the state of the store does not allow it.
        RevokedError: the caller was deleted, or its password has changed.
        PermissionChangedError: the roles of the caller have changed.
        UnavailableError: root coord cannot be reached, or its answer did not come.
    """

    def __init__(
        self,
        directory: RoleDirectory,
        changes: Changes,
        *,
        names: NameRules,
        usernames: UsernamePolicy,
        max_description_bytes: int,
    ) -> None:
        self._directory = directory
        self._changes = changes
        self._names = names
        self._usernames = usernames
        self._max_description_bytes = max_description_bytes

    async def list_roles(self, name: str | None) -> list[pb.Role]:
        """Returns one role, or all for None, with users and without grants.

        Returns an empty list for an unknown role. Raises InvalidAccountError for a bad name.
        """
        if name is not None:
            self._names.check_role(name)
        return [role for role in await self._directory.list_roles() if name in (None, role.name)]

    async def create(self, caller: Caller, name: str, description: str) -> int | None:
        """Adds a role."""
        self._changes.require(caller)
        self._names.check_role(name)
        self._check_description(description)
        reply = await self._directory.create_role(name, description, asked_by=caller.principal)
        match reply.outcome:
            case pb.MutationOutcome.ROLE_EXISTS:
                raise RoleExistsError(name, description)
            case pb.MutationOutcome.ROLE_LIMIT_REACHED:
                raise RoleLimitError
        return self._changes.revision(caller, reply)

    async def alter(self, caller: Caller, name: str, description: str) -> int | None:
        """Changes a role's description."""
        self._changes.require(caller)
        self._names.check_role(name)
        self._check_description(description)
        if name in _DEFAULT:
            raise BuiltInRoleError(name, "altered")
        reply = await self._directory.alter_role(name, description, asked_by=caller.principal)
        match reply.outcome:
            case pb.MutationOutcome.ROLE_NOT_FOUND:
                raise NoSuchRoleToAlterError
            case pb.MutationOutcome.ROLE_IS_BUILT_IN:
                raise BuiltInRoleError(name, "altered")
        return self._changes.revision(caller, reply)

    async def drop(self, caller: Caller, name: str, *, force: bool) -> int | None:
        """Removes a role, with its grants if `force` is set."""
        self._changes.require(caller)
        self._names.check_role(name)
        if name in _DEFAULT:
            raise DefaultRoleError(name)
        reply = await self._directory.drop_role(name, force=force, asked_by=caller.principal)
        match reply.outcome:
            case pb.MutationOutcome.ROLE_NOT_FOUND:
                raise NoSuchRoleError
            case pb.MutationOutcome.ROLE_HAS_GRANTS:
                raise RoleHasGrantsError({grant.database for grant in await self._grants_of(name)})
            case pb.MutationOutcome.ROLE_IS_BUILT_IN:
                raise BuiltInRoleError(name, "dropped")
        return self._changes.revision(caller, reply)

    async def change_user_role(
        self, caller: Caller, username: str, role: str, *, give: bool
    ) -> int | None:
        """Gives a role to a user, or takes it."""
        self._changes.require(caller)
        user = await self._user_named(username)
        self._names.check_role(role)
        reply = await self._directory.change_user_role(
            user, role, give=give, asked_by=caller.principal
        )
        match reply.outcome:
            case pb.MutationOutcome.ROLE_NOT_FOUND:
                raise NoSuchRoleError
            case pb.MutationOutcome.USER_NOT_FOUND if give:
                raise NoSuchUserError(user)
            case pb.MutationOutcome.USER_NOT_FOUND:
                return None
        return self._changes.revision(caller, reply)

    async def _user_named(self, username: str) -> str:
        """Returns the name without surrounding white space, or as it is stored.

        Raises InvalidParameterError if the name breaks a rule, and no user has it: users may have
        been stored under earlier rules.
        """
        try:
            return self._usernames.normalise(username)
        except InvalidParameterError:
            if is_storable(username):
                users = await self._directory.list_users()
                if any(user.username == username for user in users):
                    return username
            raise

    async def _grants_of(self, role: str) -> "list[Grant]":
        return list((await self._directory.read_roles(role)).grants.get(role, ()))

    def _check_description(self, description: str) -> None:
        length = len(description.encode())
        if length > self._max_description_bytes:
            raise description_error(length, self._max_description_bytes)
