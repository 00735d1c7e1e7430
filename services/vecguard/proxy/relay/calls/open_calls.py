"""The calls that are open now, and who they are from."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from vecguard.errors import VecguardError


class Call(Protocol):
    """Somebody's call, as far as it matters here."""

    @property
    def identity(self) -> tuple[str, int] | None:
        """The user, with the password's revision, that it is from; None: nobody, or not yet."""
        ...

    def end(self, reason: VecguardError) -> None:
        """Ends it for a reason that its client is told."""
        ...

    def revoke(self, reason: VecguardError) -> bool:
        """The same, unless it is to be carried through; says whether it was ended."""
        ...


class Client(Protocol):
    """Somebody who is connected, and who knows the calls that are open."""

    @property
    def usernames(self) -> AbstractSet[str]:
        """The users of all calls that are open, and perhaps of some that are over."""
        ...

    @property
    def calls_open(self) -> int: ...

    def calls(self) -> Sequence[Call]: ...


class OpenCalls:
    """Finds the calls of a user, so that a revocation reaches those that are long open.

    There is no index of calls by user: revocations are rare, and it would cost every call.
    But many may come together, when many users are changed at a time; so only the calls of
    clients that have shown a login of the user are looked at.
    """

    def __init__(self) -> None:
        self._clients: dict[Client, None] = {}

    def __len__(self) -> int:
        return sum(client.calls_open for client in self._clients)

    def __iter__(self) -> Iterator[Call]:
        """All of them; they may end meanwhile."""
        for client in tuple(self._clients):
            yield from client.calls()

    def enter(self, client: Client) -> None:
        """The client is connected; its calls are found until `leave`."""
        self._clients[client] = None

    def leave(self, client: Client) -> None:
        """The client is gone, and has no calls any more."""
        self._clients.pop(client, None)

    def identities(self) -> list[tuple[str, int]]:
        """Who the open calls were admitted as, with the password's revision."""
        identities = (call.identity for call in self)
        return [identity for identity in identities if identity is not None]

    def end_older(self, usernames: frozenset[str], revision: int, reason: VecguardError) -> int:
        """Ends the users' calls that were admitted by a password older than `revision`.

        Returns how many there were.
        """
        ended = 0
        for client in tuple(self._clients):
            if usernames.isdisjoint(client.usernames):
                continue
            for call in client.calls():
                identity = call.identity
                if (
                    identity is not None
                    and identity[0] in usernames
                    and identity[1] < revision
                    and call.revoke(reason)
                ):
                    ended += 1
        return ended

    def end_identified(self, reason: VecguardError) -> int:
        """Ends the calls of every user. Returns how many there were."""
        return sum(call.revoke(reason) for call in self if call.identity is not None)

    def end_all(self, reason: VecguardError) -> None:
        """Ends every call."""
        for call in self:
            call.end(reason)
