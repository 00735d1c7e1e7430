"""The calls that are open now, and who they are from."""

from typing import Protocol

from shared.errors import VecguardError


class Call(Protocol):
    """Somebody's call, as far as it matters here."""

    def end(self, reason: VecguardError) -> None:
        """Ends it for a reason that its client is told."""
        ...

    def revoke(self, reason: VecguardError) -> bool:
        """The same, unless it is to be carried through; says whether it was ended."""
        ...


class ActiveCalls:
    """Finds the calls of a user, so that a revocation reaches those that are long open."""

    def __init__(self) -> None:
        self._calls: dict[Call, tuple[str, int] | None] = {}
        self._by_user: dict[str, set[Call]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def enter(self, call: Call) -> None:
        """The call is open; it stays in the books until `leave`."""
        self._calls[call] = None

    def leave(self, call: Call) -> None:
        """The call is over."""
        identity = self._calls.pop(call, None)
        if identity is not None:
            calls = self._by_user[identity[0]]
            calls.discard(call)
            if not calls:
                del self._by_user[identity[0]]

    def identify(self, call: Call, username: str, revision: int) -> None:
        """The call was admitted by this version of the user's password."""
        self._calls[call] = (username, revision)
        calls = self._by_user.get(username)
        if calls is None:
            calls = self._by_user[username] = set()
        calls.add(call)

    def identities(self) -> list[tuple[str, int]]:
        """Who the open calls were admitted as, with the password's revision."""
        return [identity for identity in self._calls.values() if identity is not None]

    def end_older(self, username: str, revision: int, reason: VecguardError) -> int:
        """Ends the user's calls that were admitted by a password older than `revision`.

        Returns how many there were.
        """
        ended = 0
        for call in tuple(self._by_user.get(username, ())):
            identity = self._calls[call]
            if identity is not None and identity[1] < revision and call.revoke(reason):
                ended += 1
        return ended

    def end_identified(self, reason: VecguardError) -> int:
        """Ends the calls of every user. Returns how many there were."""
        return sum(
            call.revoke(reason)
            for call, identity in tuple(self._calls.items())
            if identity is not None
        )

    def end_all(self, reason: VecguardError) -> None:
        """Ends every call."""
        for call in tuple(self._calls):
            call.end(reason)
