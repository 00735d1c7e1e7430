"""Creates, changes and removes users: rules, and the check of the old password."""

import base64
from typing import Protocol

from vecguard.errors import OverloadedError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.passwords import PasswordHash, PasswordPolicy
from vecguard.proxy.accounts.changes import Changes
from vecguard.proxy.accounts.errors import (
    InvalidAccountError,
    RootProtectedError,
    UserExistsError,
    UserLimitError,
    UserNotFoundError,
    WrongOldPasswordError,
)
from vecguard.proxy.authentication.authenticator import Authenticator
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.authentication.origin import origin_of, origin_of_user
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import Principal
from vecguard.secret import Secret
from vecguard.usernames import EMPTY_USERNAME, ROOT, UsernamePolicy, is_storable

# How many times an update is retried because another change came first.
_MAX_ROUNDS = 5


class Directory(Protocol):
    """The requests to root coord that accounts need."""

    async def list_users(self) -> list[pb.Credential]: ...

    async def create(
        self,
        username: str,
        password: PasswordHash,
        description: str,
        *,
        asked_by: Principal,
    ) -> pb.MutationReply: ...

    async def update(
        self,
        username: str,
        *,
        expected_revision: int | None,
        password: PasswordHash | None,
        description: str | None,
        asked_by: Principal,
    ) -> pb.MutationReply: ...

    async def delete(self, username: str, *, asked_by: Principal) -> pb.MutationReply: ...


class Accounts:
    """Implements Milvus's account RPCs.

    Hashes passwords in the proxy: this scales with the number of proxies, and root coord never
    sees a clear password.

    Root coord checks in the transaction of a change that the caller was not revoked.
    """

    def __init__(
        self,
        directory: Directory,
        credentials: CredentialCache,
        verifier: Verifier,
        *,
        authenticator: Authenticator,
        changes: Changes,
        usernames: UsernamePolicy,
        passwords: PasswordPolicy,
        max_description_bytes: int,
    ) -> None:
        self._directory = directory
        self._credentials = credentials
        self._verifier = verifier
        self._authenticator = authenticator
        self._changes = changes
        self._usernames = usernames
        self._passwords = passwords
        self._max_description_bytes = max_description_bytes

    async def create(self, caller: Caller, username: str, password: str, description: str) -> int:
        """Adds a user, with a password in base64. Returns the revision.

        Raises:
            AccountError: a rule or the state of the store does not allow it, or the password is
                not base64 of UTF-8.
            InvalidParameterError: the name or the password breaks a rule.
            AnonymousChangeError: the caller has no name.
            RevokedError: the caller was deleted, or its password has changed.
            PermissionChangedError: the roles of the caller have changed.
            OverloadedError: too many passwords are being hashed or checked.
            UnavailableError: root coord cannot be reached, or its answer did not come.
        """
        self._changes.require(caller)
        clear = _decoded(password, "decode password fail")
        name = self._usernames.normalise(username)
        self._passwords.check(clear)
        self._check_description(description)
        hashed = await self._verifier.hash(clear, origin=_origin_of(caller))
        reply = await self._directory.create(name, hashed, description, asked_by=caller.principal)
        self._changes.require_not_revoked(caller, reply)
        match reply.outcome:
            case pb.MutationOutcome.USER_EXISTS:
                raise UserExistsError(name)
            case pb.MutationOutcome.USER_LIMIT_REACHED:
                raise UserLimitError
        return reply.revision

    async def update(
        self,
        caller: Caller,
        username: str,
        *,
        old_password: str,
        new_password: str,
        description: str | None,
    ) -> int:
        """Changes the password, the description or both. Returns the revision.

        The passwords are in base64, and empty if they are not given;
        `Permissions.checks_old_password` says which callers may omit the old one.

        Raises as `create` does, and:
            LoginLimitedError: too many logins or old passwords were wrong.
        """
        self._changes.require(caller)
        old = _decoded(old_password, "decode old password failed")
        new = _decoded(new_password, "decode password failed") if new_password else None
        if new is None and description is None:
            raise InvalidAccountError(
                "must update either password or description: invalid parameter"
            )
        self._check_description(description)
        if new is not None:
            self._passwords.check(new)
        is_given = bool(old_password)
        checks_old = (is_given or new is not None) and (
            self._changes.permissions.checks_old_password(
                caller.principal, username, is_given=is_given
            )
        )
        origin = _origin_of(caller)
        for _ in range(_MAX_ROUNDS):
            verified = await self._revision_with(username, old, origin) if checks_old else None
            password = await self._verifier.hash(new, origin=origin) if new else None
            reply = await self._directory.update(
                username,
                expected_revision=verified,
                password=password,
                description=description,
                asked_by=caller.principal,
            )
            self._changes.require_not_revoked(caller, reply)
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

    async def delete(self, caller: Caller, username: str) -> int | None:
        """Removes a user. Returns the revision, or None for an unknown user, which is no error.

        Raises as `create` does.
        """
        self._changes.require(caller)
        if not username:
            raise InvalidAccountError(EMPTY_USERNAME)
        if username == ROOT:
            raise RootProtectedError
        if not is_storable(username):
            return None
        reply = await self._directory.delete(username, asked_by=caller.principal)
        self._changes.require_not_revoked(caller, reply)
        return reply.revision if reply.outcome is pb.MutationOutcome.APPLIED else None

    async def list_users(self) -> list[pb.Credential]:
        """Returns all users."""
        return await self._directory.list_users()

    async def describe(self, username: str | None) -> list[pb.Credential]:
        """Returns one user, or all for None; an empty list for an unknown user.

        Raises InvalidParameterError if the name breaks a rule.
        """
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
            principal = await self._authenticator.check_password(username, password, origin)
        except WrongCredentialsError:
            raise WrongOldPasswordError(username) from None
        return principal.revision

    def _check_description(self, description: str | None) -> None:
        length = len((description or "").encode())
        if length > self._max_description_bytes:
            raise InvalidAccountError(
                "invalid description length: invalid parameter"
                f"[{length} out of range 0 <= value <= {self._max_description_bytes}]"
            )


def _origin_of(caller: Caller) -> str:
    """Returns the user's origin, so that it does not wait behind logins of its address."""
    if caller.principal.is_anonymous:
        return origin_of(caller.host)
    return origin_of_user(caller.principal.username)


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
