"""The calls that are open now, and who they are from."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.proxy.relay.call import Call
from shared.errors import VecguardError


class ActiveCalls:
    """Finds the calls of a user, so that a revocation reaches those that are long open."""

    def __init__(self) -> None:
        self._calls: dict[Call, tuple[str, int] | None] = {}
        self._by_user: dict[str, set[Call]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    @contextmanager
    def entered(self, call: Call) -> Iterator[None]:
        """Keeps the call in the books while it runs."""
        self._calls[call] = None
        try:
            yield
        finally:
            identity = self._calls.pop(call)
            if identity is not None:
                calls = self._by_user[identity[0]]
                calls.discard(call)
                if not calls:
                    del self._by_user[identity[0]]

    def identify(self, call: Call, username: str, revision: int) -> None:
        """The call was admitted by this version of the user's password."""
        self._calls[call] = (username, revision)
        self._by_user.setdefault(username, set()).add(call)

    def identities(self) -> list[tuple[str, int]]:
        """Who the open calls were admitted as, with the password's revision."""
        return [identity for identity in self._calls.values() if identity is not None]

    def end_older(self, username: str, revision: int, reason: VecguardError) -> None:
        """Ends the user's calls that were admitted by a password older than `revision`."""
        for call in tuple(self._by_user.get(username, ())):
            identity = self._calls[call]
            if identity is not None and identity[1] < revision:
                call.end(reason)

    def end_all(self, reason: VecguardError) -> None:
        """Ends every call."""
        for call in tuple(self._calls):
            call.end(reason)
