"""Creates, changes and removes users: rules, permissions, and the check of the old password."""

from collections.abc import Sequence
from typing import Protocol

from vecguard.errors import OverloadedError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.passwords import PasswordHash, PasswordPolicy
from vecguard.proxy.accounts.errors import (
    InvalidAccountError,
    RootProtectedError,
    UserExistsError,
    UserLimitError,
    UserNotFoundError,
    WrongOldPasswordError,
)
from vecguard.proxy.accounts.permissions import Actor, Permissions, Privilege
from vecguard.proxy.authentication import header
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.errors import RevokedError, WrongCredentialsError
from vecguard.proxy.authentication.logins import Principal
from vecguard.proxy.authentication.origin import origin_of, origin_of_user
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.secret import Secret
from vecguard.usernames import EMPTY_USERNAME, ROOT, UsernamePolicy, is_storable

# How often an update is tried again because another change came first.
_MAX_ROUNDS = 5


class Directory(Protocol):
    """What accounts need of root coord."""

    async def list_users(self) -> list[pb.Credential]: ...

    async def create(
        self,
        username: str,
        password: PasswordHash,
        description: str,
        *,
        asked_by: Principal | None,
    ) -> pb.MutationReply: ...

    async def update(
        self,
        username: str,
        *,
        expected_revision: int | None,
        password: PasswordHash | None,
        description: str | None,
        asked_by: Principal | None,
    ) -> pb.MutationReply: ...

    async def delete(self, username: str, *, asked_by: Principal | None) -> pb.MutationReply: ...


class Judge(Protocol):
    """The authenticator: an old password is checked, counted and limited like a login."""

    async def authenticate(self, values: Sequence[bytes], origin: str) -> Principal: ...


class Accounts:
    """Implements Milvus's account RPCs.

    Hashes passwords in the proxy: this scales with the number of proxies, and root coord never
    sees a clear password.

    Root coord checks in the transaction of a change that the actor was not revoked.
    """

    def __init__(
        self,
        directory: Directory,
        credentials: CredentialCache,
        verifier: Verifier,
        *,
        judge: Judge,
        permissions: Permissions,
        usernames: UsernamePolicy,
        passwords: PasswordPolicy,
        max_description_bytes: int,
    ) -> None:
        self._directory = directory
        self._credentials = credentials
        self._verifier = verifier
        self._judge = judge
        self.permissions = permissions
        self._usernames = usernames
        self._passwords = passwords
        self._max_description_bytes = max_description_bytes

    async def create(
        self, actor: Actor, username: str, password: Secret[str], description: str
    ) -> int:
        """Adds a user. Returns the revision.

        Raises:
            AccountError: a rule or the state of the store does not allow it.
            InvalidParameterError: the name or the password breaks a rule.
            PermissionDeniedError: the actor has no permission.
            RevokedError: the actor was deleted, or its password has changed.
            OverloadedError: too many passwords are being hashed or checked.
            UnavailableError: root coord cannot be reached, or its answer did not come.
        """
        self.permissions.require(actor, Privilege.CREATE)
        name = self._usernames.normalise(username)
        self._passwords.check(password)
        self._check_description(description)
        hashed = await self._verifier.hash(password, origin=_origin_of(actor))
        reply = await self._directory.create(name, hashed, description, asked_by=actor.principal)
        self._require_not_revoked(actor, reply)
        match reply.outcome:
            case pb.MutationOutcome.USER_EXISTS:
                raise UserExistsError(name)
            case pb.MutationOutcome.USER_LIMIT_REACHED:
                raise UserLimitError
        return reply.revision

    async def update(
        self,
        actor: Actor,
        username: str,
        *,
        old_password: Secret[str],
        new_password: Secret[str] | None,
        description: str | None,
    ) -> int:
        """Changes the password, the description or both. Returns the revision.

        An empty `old_password` counts as none; `Permissions.checks_old_password` says which
        actors may omit it.

        Raises as `create` does, and:
            LoginLimitedError: too many logins or old passwords were wrong.
        """
        self.permissions.require(actor, Privilege.UPDATE_USER, target=username)
        if new_password is None and description is None:
            raise InvalidAccountError(
                "must update either password or description: invalid parameter"
            )
        self._check_description(description)
        if new_password is not None:
            self._passwords.check(new_password)
        is_given = bool(old_password.reveal())
        checks_old = (is_given or new_password is not None) and (
            self.permissions.checks_old_password(actor, username, is_given=is_given)
        )
        origin = _origin_of(actor)
        for _ in range(_MAX_ROUNDS):
            verified = (
                await self._revision_with(username, old_password, origin) if checks_old else None
            )
            password = (
                await self._verifier.hash(new_password, origin=origin) if new_password else None
            )
            reply = await self._directory.update(
                username,
                expected_revision=verified,
                password=password,
                description=description,
                asked_by=actor.principal,
            )
            self._require_not_revoked(actor, reply)
            match reply.outcome:
                case pb.MutationOutcome.APPLIED:
                    return reply.revision
                case pb.MutationOutcome.REVISION_CHANGED:
                    self._credentials.forget(username)
                case _ if checks_old:
                    raise WrongOldPasswordError(username)
                case _:
                    raise UserNotFoundError
        raise OverloadedError("the credential keeps changing, try again later")

    async def delete(self, actor: Actor, username: str) -> int | None:
        """Removes a user. Returns the revision, or None for an unknown user, which is no error.

        Raises as `create` does.
        """
        self.permissions.require(actor, Privilege.DROP)
        if not username:
            raise InvalidAccountError(EMPTY_USERNAME)
        if username == ROOT:
            raise RootProtectedError
        if not is_storable(username):
            return None
        reply = await self._directory.delete(username, asked_by=actor.principal)
        self._require_not_revoked(actor, reply)
        return reply.revision if reply.outcome is pb.MutationOutcome.APPLIED else None

    async def list_users(self, actor: Actor) -> list[pb.Credential]:
        """Returns all users. Raises PermissionDeniedError."""
        self.permissions.require(actor, Privilege.SELECT)
        return await self._directory.list_users()

    async def describe(self, actor: Actor, username: str | None) -> list[pb.Credential]:
        """Returns one user, or all for None; an empty list for an unknown user.

        Raises:
            InvalidParameterError: the name breaks a rule.
            PermissionDeniedError: the actor has no permission.
        """
        self.permissions.require(actor, Privilege.SELECT_USER, target=username)
        users = await self._directory.list_users()
        found = [user for user in users if username in (None, user.username)]
        if found or username is None:
            return found
        # Names that were stored under earlier rules are found above.
        name = self._usernames.normalise(username)
        return [user for user in users if user.username == name]

    async def _revision_with(self, username: str, password: Secret[str], origin: str) -> int:
        """Returns the user's revision after checking that this is its password."""
        try:
            principal = await self._judge.authenticate(
                [header.value_of(username, password)], origin
            )
        except WrongCredentialsError:
            raise WrongOldPasswordError(username) from None
        return principal.revision

    def _require_not_revoked(self, actor: Actor, reply: pb.MutationReply) -> None:
        """Raises RevokedError if root coord has refused the actor."""
        if reply.outcome is pb.MutationOutcome.ACTOR_REVOKED:
            # The cached record is outdated; the next login is checked against the newest one.
            self._credentials.forget(str(actor.username))
            raise RevokedError

    def _check_description(self, description: str | None) -> None:
        length = len((description or "").encode())
        if length > self._max_description_bytes:
            raise InvalidAccountError(
                "invalid description length: invalid parameter"
                f"[{length} out of range 0 <= value <= {self._max_description_bytes}]"
            )


def _origin_of(actor: Actor) -> str:
    """Returns the user's origin, so that it does not wait behind logins of its address."""
    if actor.username is None:
        return origin_of(actor.address)
    return origin_of_user(actor.username)
