"""Who must still acknowledge an invalidation, and whose lease has run out.

Pure: time comes in as an argument, and what is to be sent goes out as values. The
protocol is described in docs/revocation.md; its terms (session, lease, invalidation,
sequence) are used here as they are there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from vecguard.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Invalidation:
    """Forget what you hold of this user that was read before this revision."""

    username: str
    revision: int


@dataclass(frozen=True, slots=True)
class Everything:
    """Trust nothing that you hold: read everything again."""


@dataclass(frozen=True, slots=True)
class Surrender:
    """The lease is void: this root coord steps down."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is sent to every session, numbered for its acknowledgement.

    Attributes:
        made_at: on the clock of whoever made it.
    """

    sequence: int
    content: Invalidation | Everything | Surrender
    made_at: float


@dataclass(frozen=True, slots=True)
class Awaited:
    """Whom notices wait for.

    Attributes:
        proxies: ids of the processes, in alphabetical order.
        earlier_leases: whether leases of an earlier leader, whoever holds them, are
            waited for as well.
        seconds_at_most: until the last of all these leases is over at the latest.
    """

    proxies: tuple[str, ...]
    earlier_leases: bool
    seconds_at_most: float


# A proxy that asks for renewals and leaves a notice unacknowledged for longer than this part
# of a lease does not hear us, and whoever waits for it waits for so much longer. It has to be
# longer than a round trip: else, while changes follow each other, no renewal is ever granted.
# It has to be short as well: a change is answered within a lease and a second.
_PATIENCE_RATIO = 0.2
_SHORTEST_PATIENCE_SECONDS, _LONGEST_PATIENCE_SECONDS = 0.5, 1.0
# Stands for the sessions of an earlier leader, whoever holds them.
_PREDECESSOR = ""


@dataclass(slots=True)
class _Session:
    lease_until: float | None = None
    connected: bool = True
    pending: dict[int, Notice] = field(default_factory=dict)


class SessionState:
    """The proxies that may decide something from their caches.

    A session belongs to a proxy process, not to a stream: when a stream breaks the
    session still counts until its lease has run out, and a new stream of the same
    process takes the session over, with the notices that are not yet acknowledged.
    """

    def __init__(self, lease_ttl_seconds: float, *, predecessor_until: float | None = None) -> None:
        """Begins without sessions.

        Args:
            lease_ttl_seconds: how long a renewal is good for.
            predecessor_until: until when sessions of an earlier leader may hold leases
                that nobody can ask for; None when there are none.
        """
        self._lease_ttl_seconds = lease_ttl_seconds
        self._patience_seconds = min(
            max(lease_ttl_seconds * _PATIENCE_RATIO, _SHORTEST_PATIENCE_SECONDS),
            _LONGEST_PATIENCE_SECONDS,
        )
        self._sessions: dict[str, _Session] = {}
        if predecessor_until is not None:
            self._sessions[_PREDECESSOR] = _Session(predecessor_until, connected=False)
        self._awaited: dict[int, set[str]] = {}
        self._sequence = 0

    def __len__(self) -> int:
        """How many sessions are connected."""
        return sum(session.connected for session in self._sessions.values())

    def leases(self, now: float) -> int:
        """How many proxies hold a lease that runs."""
        return sum(
            session.lease_until is not None and session.lease_until > now
            for proxy_id, session in self._sessions.items()
            if proxy_id != _PREDECESSOR
        )

    def open(self, proxy_id: str) -> list[Notice]:
        """A stream was opened. Returns the notices that its process has yet to acknowledge."""
        session = self._sessions.setdefault(proxy_id, _Session())
        session.connected = True
        return list(session.pending.values())

    def renew(self, proxy_id: str, now: float) -> bool:
        """Grants a lease from now on, or returns False.

        The proxy counts it from the moment of sending, which was earlier, so that its
        lease ends first. None is granted while a notice has been unacknowledged for too
        long: the proxy does not hear us, and whoever waits for it shall wait for one
        lease and not for ever.

        Raises:
            UnavailableError: the session was never opened or has been forgotten.
        """
        session = self._sessions.get(proxy_id)
        if session is None:
            raise UnavailableError("the session is not open; open a new one")
        if now > self._renewable_until(session):
            return False
        session.lease_until = now + self._lease_ttl_seconds
        return True

    def acknowledge(self, proxy_id: str, sequence: int) -> list[int]:
        """Notices up to `sequence` are applied. Returns the sequences that are settled by it."""
        session = self._sessions.get(proxy_id)
        if session is None:
            return []
        applied = [number for number in session.pending if number <= sequence]
        contents = [session.pending.pop(number).content for number in applied]
        if any(isinstance(content, Surrender) for content in contents):
            # Without a lease it is not awaited for anything, as when its lease runs out.
            session.lease_until = None
            applied += session.pending
            session.pending.clear()
        return self._settle(proxy_id, applied)

    def release(self, proxy_id: str) -> list[int]:
        """A process stops in good order; returns what that settles."""
        return self._forget(proxy_id) if proxy_id in self._sessions else []

    def disconnect(self, proxy_id: str) -> list[int]:
        """A stream broke. Without a lease the session ends; returns what that settles."""
        session = self._sessions.get(proxy_id)
        if session is None:
            return []
        session.connected = False
        if session.lease_until is None:
            return self._forget(proxy_id)
        return []

    def notify(
        self, content: Invalidation | Everything | Surrender, now: float
    ) -> tuple[Notice, tuple[str, ...]]:
        """Something is to be known. Returns the notice and the connected sessions to tell.

        Every session with a lease is awaited, also one whose stream is broken, until it
        acknowledges or `expire` finds that its lease has run out.
        """
        self._sequence += 1
        notice = Notice(self._sequence, content, now)
        awaited = set()
        for proxy_id, session in self._sessions.items():
            if session.lease_until is not None and session.lease_until > now:
                session.pending[notice.sequence] = notice
                awaited.add(proxy_id)
        if awaited:
            self._awaited[notice.sequence] = awaited
        connected = tuple(
            proxy_id for proxy_id, session in self._sessions.items() if session.connected
        )
        return notice, connected

    def is_settled(self, sequence: int) -> bool:
        """Whether nobody can decide by what this notice revokes."""
        return sequence not in self._awaited

    def expire(self, now: float) -> list[int]:
        """Awaits no longer those whose lease has run out; returns the settled sequences.

        Their notices need no repeating either: a connected session applies what is in its
        stream before it can see its next lease, and a new stream begins with a
        resynchronisation.
        """
        settled = []
        for proxy_id, session in tuple(self._sessions.items()):
            if session.lease_until is None or session.lease_until > now:
                continue
            if not session.connected:
                settled += self._forget(proxy_id)
                continue
            settled += self._settle(proxy_id, session.pending)
            session.lease_until = None
            session.pending.clear()
        return settled

    def next_expiry(self) -> float | None:
        """When the next lease that somebody waits for runs out; None when nobody waits."""
        awaited = set().union(*self._awaited.values())
        return min(
            (
                lease_until
                for proxy_id in awaited
                if (lease_until := self._sessions[proxy_id].lease_until) is not None
            ),
            default=None,
        )

    def awaited(self, sequences: Iterable[int], now: float) -> Awaited | None:
        """Whom any of these notices waits for; None when all of them are settled."""
        awaited = set[str]().union(*(self._awaited.get(each, ()) for each in sequences))
        if not awaited:
            return None
        return Awaited(
            proxies=tuple(sorted(awaited - {_PREDECESSOR})),
            earlier_leases=_PREDECESSOR in awaited,
            seconds_at_most=max(self._awaited_until(each, now) for each in awaited) - now,
        )

    @property
    def earlier_leases_until(self) -> float | None:
        """When the leases of an earlier leader are over; None when they are known to be."""
        predecessor = self._sessions.get(_PREDECESSOR)
        return None if predecessor is None else predecessor.lease_until

    def _awaited_until(self, proxy_id: str, now: float) -> float:
        session = self._sessions[proxy_id]
        until = now if session.lease_until is None else session.lease_until
        renewable_until = self._renewable_until(session)
        if proxy_id == _PREDECESSOR or now > renewable_until:
            return until
        return max(until, renewable_until + self._lease_ttl_seconds)

    def _renewable_until(self, session: _Session) -> float:
        """Until when leases are granted although notices are unacknowledged."""
        oldest = next(iter(session.pending.values()), None)
        return inf if oldest is None else oldest.made_at + self._patience_seconds

    def _forget(self, proxy_id: str) -> list[int]:
        session = self._sessions.pop(proxy_id)
        return self._settle(proxy_id, session.pending)

    def _settle(self, proxy_id: str, sequences: Iterable[int]) -> list[int]:
        settled = []
        for sequence in sequences:
            awaited = self._awaited.get(sequence)
            if awaited is None:
                continue
            awaited.discard(proxy_id)
            if not awaited:
                del self._awaited[sequence]
                settled.append(sequence)
        return settled
