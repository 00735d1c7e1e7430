"""Decides which proxies must still acknowledge an invalidation, and whose lease has run out.

Does no I/O: time comes in as an argument, and messages to send are return values.
docs/revocation.md describes the protocol and defines session, lease, invalidation and sequence.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nsmallest
from math import inf

from vecguard.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Invalidation:
    """Tells proxies to drop this user's entries that were read before this revision.

    Attributes:
        roles_only: whether only the user's roles have changed, so that the user's logins hold.
    """

    username: str
    revision: int
    roles_only: bool = False


@dataclass(frozen=True, slots=True)
class PolicyInvalidation:
    """Tells proxies to forget roles, grants and groups that were read before this revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class FullInvalidation:
    """Tells proxies to trust no cached entry and no role before they have read it again."""


@dataclass(frozen=True, slots=True)
class Surrender:
    """Tells proxies that their leases are void because this root coord steps down."""


#: What a change revokes.
Revocation = Invalidation | PolicyInvalidation | FullInvalidation


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for every session, numbered for its acknowledgement.

    Attributes:
        made_at: when it was made, on the clock of the caller of `notify`.
    """

    sequence: int
    content: Revocation | Surrender
    made_at: float


@dataclass(frozen=True, slots=True)
class Awaited:
    """The leases that notices wait for.

    Attributes:
        proxies: ids of the processes, in alphabetical order.
        earlier_leases: whether notices also wait for leases of an earlier leader, whose
            holders are unknown.
        seconds_at_most: the maximum time until the last of these leases ends.
    """

    proxies: tuple[str, ...]
    earlier_leases: bool
    seconds_at_most: float


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session at one moment.

    Attributes:
        connected: whether the process has a stream.
        lease_seconds: for how long its lease still runs; None without a lease.
        unacknowledged: the number of notices that wait for it.
        waiting_seconds: how long the oldest of them has waited; None if none does.
    """

    proxy_id: str
    connected: bool
    lease_seconds: float | None
    unacknowledged: int
    waiting_seconds: float | None


# A proxy that asks for renewals and leaves a notice unacknowledged for longer than this part
# of a lease does not receive our messages, and each renewal would make changes wait longer for
# it. The limit has to be longer than a round trip: otherwise no renewal is granted while changes
# follow each other. It has to be short as well: a change is answered within a lease and a second.
_PATIENCE_RATIO = 0.2
_SHORTEST_PATIENCE_SECONDS, _LONGEST_PATIENCE_SECONDS = 0.5, 1.0
# Represents all sessions of an earlier leader, whose holders are unknown.
_PREDECESSOR = ""


@dataclass(slots=True)
class _Session:
    lease_until: float | None = None
    connected: bool = True
    pending: dict[int, Notice] = field(default_factory=dict)


class SessionState:
    """Holds the sessions of the proxies that may decide requests from their caches.

    A session belongs to a proxy process, not to a stream: when a stream breaks, the
    session still counts until its lease has run out, and a new stream of the same
    process takes the session over, with the notices that are not yet acknowledged.
    """

    def __init__(self, lease_ttl_seconds: float, *, predecessor_until: float | None = None) -> None:
        """Creates a state without sessions.

        Args:
            lease_ttl_seconds: how long a lease runs after a renewal.
            predecessor_until: until when proxies may hold leases of an earlier leader;
                None when there are none.
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
        """Returns the number of connected sessions."""
        return sum(session.connected for session in self._sessions.values())

    @property
    def count(self) -> int:
        """The number of sessions, connected or not."""
        return sum(proxy_id != _PREDECESSOR for proxy_id in self._sessions)

    def leases(self, now: float) -> int:
        """Returns the number of proxies whose lease still runs."""
        return sum(
            session.lease_until is not None and session.lease_until > now
            for proxy_id, session in self._sessions.items()
            if proxy_id != _PREDECESSOR
        )

    def open(self, proxy_id: str) -> list[Notice]:
        """Records an opened stream. Returns the notices that its process has yet to acknowledge."""
        session = self._sessions.setdefault(proxy_id, _Session())
        session.connected = True
        return list(session.pending.values())

    def renew(self, proxy_id: str, now: float) -> bool:
        """Grants a lease that runs from `now`, or returns False.

        The proxy counts the lease from the moment at which it sent the request, which was
        earlier, so the proxy's lease ends first. No lease is granted while a notice has been
        unacknowledged for too long: the proxy does not receive our messages, and a change
        must wait for one lease, not without end.

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
        """Records that a proxy has applied all notices up to `sequence`.

        Returns the sequences that this settles.
        """
        session = self._sessions.get(proxy_id)
        if session is None:
            return []
        applied = [number for number in session.pending if number <= sequence]
        contents = [session.pending.pop(number).content for number in applied]
        if any(isinstance(content, Surrender) for content in contents):
            # Without a lease no notice waits for it, as when its lease runs out.
            session.lease_until = None
            applied += session.pending
            session.pending.clear()
        return self._settle(proxy_id, applied)

    def release(self, proxy_id: str) -> list[int]:
        """Ends the session of a process that stops. Returns the sequences that this settles."""
        return self._forget(proxy_id) if proxy_id in self._sessions else []

    def disconnect(self, proxy_id: str) -> list[int]:
        """Records a broken stream; a session without a lease ends.

        Returns the sequences that this settles.
        """
        session = self._sessions.get(proxy_id)
        if session is None:
            return []
        session.connected = False
        if session.lease_until is None:
            return self._forget(proxy_id)
        return []

    def notify(self, content: Revocation | Surrender, now: float) -> tuple[Notice, tuple[str, ...]]:
        """Makes a notice. Returns it with the ids of the connected sessions to send it to.

        The notice waits for every session with a lease, even if its stream is broken, until the
        session acknowledges or `expire` finds that its lease has run out.
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
        """Returns whether no proxy can decide any more by the state that this notice revokes."""
        return sequence not in self._awaited

    def expire(self, now: float) -> list[int]:
        """Stops waiting for sessions whose lease has run out. Returns the settled sequences.

        Their notices need not be repeated: a connected session applies the messages in its
        stream before it can receive its next lease, and a new stream begins with a
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
        """Returns when the next awaited lease runs out; None when no notice waits."""
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
        """Returns the leases that these notices wait for; None when all of them are settled."""
        awaited = set[str]().union(*(self._awaited.get(each, ()) for each in sequences))
        if not awaited:
            return None
        return Awaited(
            proxies=tuple(sorted(awaited - {_PREDECESSOR})),
            earlier_leases=_PREDECESSOR in awaited,
            seconds_at_most=max(self._awaited_until(each, now) for each in awaited) - now,
        )

    def views(self, now: float, most: int) -> list[SessionView]:
        """Returns at most `most` sessions.

        First the sessions that have not acknowledged notices, longest first, then sessions without
        a stream, then the others, each by the end of its lease.
        """
        views = (
            SessionView(
                proxy_id=proxy_id,
                connected=session.connected,
                lease_seconds=_left(session.lease_until, now),
                unacknowledged=len(session.pending),
                waiting_seconds=_waited(session, now),
            )
            for proxy_id, session in self._sessions.items()
            if proxy_id != _PREDECESSOR
        )
        return nsmallest(most, views, key=_urgency)

    @property
    def earlier_leases_until(self) -> float | None:
        """When the leases of an earlier leader end; None when none is left."""
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
        """Returns until when leases are granted although notices are unacknowledged."""
        oldest = next(iter(session.pending.values()), None)
        return inf if oldest is None else oldest.made_at + self._patience_seconds

    def _forget(self, proxy_id: str) -> list[int]:
        session = self._sessions.pop(proxy_id)
        return self._settle(proxy_id, session.pending)

    def _settle(self, proxy_id: str, sequences: Iterable[int]) -> list[int]:
        settled = []
        for sequence in sequences:
            awaited = self._awaited.get(sequence)
            if awaited is None:  # pragma: no cover - what is pending is awaited
                continue
            awaited.discard(proxy_id)
            if not awaited:
                del self._awaited[sequence]
                settled.append(sequence)
        return settled


def _left(lease_until: float | None, now: float) -> float | None:
    return None if lease_until is None or lease_until <= now else lease_until - now


def _waited(session: _Session, now: float) -> float | None:
    oldest = next(iter(session.pending.values()), None)
    return None if oldest is None else max(0.0, now - oldest.made_at)


def _urgency(view: SessionView) -> tuple[float, bool, float, str]:
    waiting = 0.0 if view.waiting_seconds is None else view.waiting_seconds
    return -waiting, view.connected, view.lease_seconds or 0.0, view.proxy_id
