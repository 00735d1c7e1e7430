"""The calls that wait for an upstream, in turns by their callers."""

from collections.abc import Iterable
from typing import Protocol

from services.proxy.relay.upstreams.upstream_link import UpstreamLink
from shared.errors import VecguardError


class Waiting(Protocol):
    """A call, as the pool sees it."""

    @property
    def caller(self) -> str:
        """Who it is from: a user, or the address of a client without one."""
        ...

    def forward(self, link: UpstreamLink) -> None:
        """Opens its stream on a connection that has room."""

    def end(self, reason: VecguardError) -> None:
        """It cannot be forwarded."""


class Turns:
    """Takes one call of each caller in turn; the calls of one caller stay in their order.

    Attributes:
        total: calls that wait.
    """

    def __init__(self) -> None:
        # Both in order. Dictionaries, because calls end while they wait.
        self._by_caller: dict[str, dict[Waiting, None]] = {}
        self.total = 0

    @property
    def callers(self) -> Iterable[str]:
        """Those with calls that wait; the next turn is the first one's."""
        return self._by_caller

    def count(self, caller: str) -> int:
        """Calls of this caller that wait."""
        calls = self._by_caller.get(caller)
        return 0 if calls is None else len(calls)

    def enter(self, call: Waiting) -> None:
        """The call waits behind its caller's others."""
        self._by_caller.setdefault(call.caller, {})[call] = None
        self.total += 1

    def leave(self, call: Waiting) -> None:
        """The call waits no more, if it did."""
        caller = call.caller
        calls = self._by_caller.get(caller)
        if calls is not None and call in calls:
            del calls[call]
            self.total -= 1
            if not calls:
                del self._by_caller[caller]

    def take(self, caller: str) -> Waiting:
        """The caller's oldest call; its next turn comes after those of all others."""
        calls = self._by_caller.pop(caller)
        call = next(iter(calls))
        del calls[call]
        self.total -= 1
        if calls:
            self._by_caller[caller] = calls
        return call

    def clear(self) -> list[Waiting]:
        """All calls, of which none waits any more."""
        calls = [call for waiting in self._by_caller.values() for call in waiting]
        self._by_caller = {}
        self.total = 0
        return calls
