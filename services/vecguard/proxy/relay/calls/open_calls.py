"""Finds the open calls of a user."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from vecguard.errors import VecguardError
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.calls.permission import Permission


class Call(Protocol):
    """An open call, as a revocation needs it."""

    @property
    def principal(self) -> Principal | None:
        """The caller; None until the call is admitted."""
        ...

    @property
    def permission(self) -> Permission | None:
        """What allows the call; None if every caller may make it."""
        ...

    def end(self, reason: VecguardError) -> None:
        """Ends the call; the client gets the reason."""
        ...

    def revoke(self, reason: VecguardError) -> bool:
        """Ends the call unless it must be completed. Returns whether it was ended."""
        ...


class Client(Protocol):
    """A client connection, with its open calls."""

    @property
    def usernames(self) -> AbstractSet[str]:
        """The users of all open calls, and perhaps of some that are over."""
        ...

    @property
    def calls_open(self) -> int: ...

    def calls(self) -> Sequence[Call]: ...


class OpenCalls:
    """Finds the open calls of a user, so that a revocation can end them.

    There is no index of calls by user: revocations are rare, and it would cost every call.
    Many may come together when many users are changed at a time, so only clients that have
    shown a login of the user are searched.
    """

    def __init__(self) -> None:
        self._clients: dict[Client, None] = {}

    def __len__(self) -> int:
        return sum(client.calls_open for client in self._clients)

    def __iter__(self) -> Iterator[Call]:
        """Yields all open calls; they may end meanwhile."""
        for client in tuple(self._clients):
            yield from client.calls()

    def enter(self, client: Client) -> None:
        """Adds a client that has connected; its calls are found until `leave`."""
        self._clients[client] = None

    def leave(self, client: Client) -> None:
        """Removes a client that has disconnected."""
        self._clients.pop(client, None)

    def users(self) -> Iterator[Principal]:
        """Yields the users of the open calls."""
        for call in self:
            principal = call.principal
            if principal is not None and not principal.is_anonymous:
                yield principal

    def with_permission(
        self, usernames: frozenset[str] | None
    ) -> Iterator[tuple[Call, Permission]]:
        """Yields the calls of some users, or of all, that a role allows, with what allows them.

        Calls that are not decided yet are left out: they are decided by what is known then.
        """
        for client in tuple(self._clients):
            if usernames is not None and usernames.isdisjoint(client.usernames):
                continue
            for call in client.calls():
                permission, principal = call.permission, call.principal
                if (
                    permission is not None
                    and permission.is_given
                    and principal is not None
                    and (usernames is None or principal.username in usernames)
                ):
                    yield call, permission

    def end_older(self, usernames: frozenset[str], revision: int, reason: VecguardError) -> int:
        """Ends the calls of the users that were admitted by a revision below `revision`.

        Returns how many were ended.
        """
        ended = 0
        for client in tuple(self._clients):
            if usernames.isdisjoint(client.usernames):
                continue
            for call in client.calls():
                principal = call.principal
                if (
                    principal is not None
                    and principal.username in usernames
                    and principal.revision < revision
                    and call.revoke(reason)
                ):
                    ended += 1
        return ended

    def end_identified(self, reason: VecguardError) -> int:
        """Ends the calls of every user. Returns how many were ended."""
        ended = 0
        for call in self:
            principal = call.principal
            if principal is not None and not principal.is_anonymous and call.revoke(reason):
                ended += 1
        return ended

    def end_all(self, reason: VecguardError) -> None:
        """Ends every call."""
        for call in self:
            call.end(reason)
