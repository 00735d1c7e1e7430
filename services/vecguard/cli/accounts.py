"""Calls Milvus's public account RPCs, through a proxy or at a Milvus."""

import base64
from dataclasses import dataclass

from grpclib.client import Channel

from vecguard.cli.connection import Login
from vecguard.cli.public_calls import PublicCalls, require_success
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.secret import Secret


@dataclass(frozen=True, slots=True)
class User:
    """One user as SelectUser describes it."""

    username: str
    roles: tuple[str, ...]
    description: str


class AccountClient:
    """Calls the account RPCs with one login.

    Every method raises:

    - LoginRefusedError: the login is refused, or one is needed.
    - NotAllowedError: the user has no permission for this.
    - NegativeError: the server refuses; the text is the server's.
    - UnavailableError, DeadlineError, OverloadedError: the server gives no answer.
    """

    def __init__(self, channel: Channel, peer: str, login: Login | None) -> None:
        """Creates a client that calls over `channel`; messages name the server `peer`."""
        self._calls = PublicCalls(peer, login)
        self._stub = pb.MilvusServiceStub(channel, metadata=self._calls.metadata)

    async def create(self, username: str, password: Secret[str], description: str | None) -> None:
        """Adds a user."""
        request = pb.CreateCredentialRequest(
            username=username, password=_base64(password), description=description
        )
        require_success(await self._calls.answer(self._stub.create_credential(request)))

    async def change_password(
        self, username: str, new: Secret[str], old: Secret[str] | None
    ) -> None:
        """Sets a password. `old` is needed unless an administrator changes another user's."""
        request = pb.UpdateCredentialRequest(
            username=username,
            old_password=_base64(old) if old else "",
            new_password=_base64(new),
        )
        require_success(await self._calls.answer(self._stub.update_credential(request)))

    async def delete(self, username: str) -> None:
        """Deletes a user. Succeeds if there is no such user."""
        request = pb.DeleteCredentialRequest(username=username)
        require_success(await self._calls.answer(self._stub.delete_credential(request)))

    async def list_names(self) -> list[str]:
        """Returns the names of all users, in alphabetical order."""
        reply = await self._calls.answer(self._stub.list_cred_users(pb.ListCredUsersRequest()))
        require_success(reply.status)
        return sorted(reply.usernames)

    async def describe(self, username: str) -> User | None:
        """Returns one user; None if there is no such user."""
        request = pb.SelectUserRequest(user=pb.UserEntity(name=username), include_role_info=True)
        reply = await self._calls.answer(self._stub.select_user(request))
        require_success(reply.status)
        for result in reply.results:
            roles = tuple(sorted(role.name for role in result.roles))
            return User(result.user.name, roles, result.description)
        return None


def _base64(password: Secret[str]) -> str:
    return base64.b64encode(password.reveal().encode()).decode()
