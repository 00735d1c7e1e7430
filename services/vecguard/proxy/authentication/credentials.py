"""Caches the credentials that this proxy reads from root coord."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from cachetools import TTLCache

from vecguard.clock import Clock
from vecguard.concurrency.single_flight import SingleFlight
from vecguard.errors import DeadlineError, UnavailableError
from vecguard.passwords import PasswordHash
from vecguard.proxy.authentication.recent import Recent
from vecguard.proxy.principal import Principal


@dataclass(frozen=True, slots=True)
class Credential:
    """The record of one user, as read from root coord.

    Attributes:
        password: None if there is no such user.
        revision: the version of the password; 0 if there is no such user.
        read_revision: the revision of the store at which this was read.
        roles: the names of the user's roles in alphabetical order, without `public`.
    """

    username: str
    password: PasswordHash | None
    revision: int
    read_revision: int
    roles: tuple[str, ...] = ()

    @property
    def principal(self) -> Principal:
        """The user whom a login proves by this record."""
        return Principal(self.username, self.revision)


class Cached(Enum):
    """How current the cached record of a user is."""

    #: It counts, and was read within the refresh interval: root coord need not be asked again.
    RECENT = "recent"
    #: It counts.
    FRESH = "fresh"
    #: Its TTL is over. Unknown users are not kept that long.
    EXPIRED = "expired"
    #: There is none.
    ABSENT = "absent"


class Held:
    """The cached record of a known user, with the end of its validity.

    The cache ends the validity when it drops the record, so code may keep one and check it.

    Attributes:
        fresh_until: the record counts before this time; minus infinity once it was dropped.
        note: for the code that decides by the record, which keeps what follows from it here.
    """

    __slots__ = ("credential", "fresh_until", "note")

    def __init__(self, credential: Credential, fresh_until: float) -> None:
        self.credential = credential
        self.fresh_until = fresh_until
        self.note: Any = None


class CredentialSource(Protocol):
    """Reads the newest record. Raises UnavailableError, or DeadlineError after a bounded time."""

    async def fetch(self, username: str) -> Credential: ...


@dataclass(slots=True)
class _Fetch:
    """A read in flight.

    `floor` is the newest revision that was invalidated meanwhile: an older result is outdated
    and is read again. A read that starts after an invalidation needs no floor, because root
    coord's reads are linearizable.
    """

    floor: float = 0


class CredentialCache:
    """A TTL cache of credentials, with one fetch per user at a time.

    Keeps unknown users apart from known ones, so that a flood of names cannot evict known users.

    If the TTL of a known user is over and root coord cannot be reached, its record still counts
    under a valid lease: a change would have come as an invalidation. So users that are logged in
    do not notice a change of the active root coord.

    Attributes:
        newest_read: the highest revision of the store at which a record was read; 0 before any.
    """

    def __init__(
        self,
        source: CredentialSource,
        *,
        ttl_seconds: float,
        max_known: int,
        max_unknown: int,
        refresh_interval_seconds: float,
        clock: Clock,
        under_lease: Callable[[], bool] = lambda: False,
    ) -> None:
        """Starts empty; `under_lease` returns whether invalidations are certain to arrive."""
        self._source = source
        self._under_lease = under_lease
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        # No TTLCache, because entries are needed after their TTL, and every call looks one up.
        self._lasting: Recent[str, Held] = Recent(max_known, _end)
        self._unknown: TTLCache[str, Credential] = TTLCache(max_unknown, ttl_seconds, clock)
        self._fetched_at: TTLCache[str, float] = TTLCache(
            max_known + max_unknown, refresh_interval_seconds, clock
        )
        self._flights: SingleFlight[str, Credential] = SingleFlight()
        self._fetches: dict[str, _Fetch] = {}
        self.newest_read = 0

    def peek(self, username: str) -> Credential | None:
        """Returns the cached record of a user if it is fresh; never fetches."""
        held = self._lasting.get(username)
        if held is None:
            return self._unknown.get(username)
        return held.credential if self._clock() < held.fresh_until else None

    def last_held_of(self, username: str) -> Held | None:
        """Returns the cached record of a known user, whether or not it is fresh."""
        return self._lasting.get(username)

    def held_of(self, username: str) -> Held | None:
        """Returns the cached record of a known user if it is fresh."""
        held = self._lasting.get(username)
        return held if held is not None and self._clock() < held.fresh_until else None

    async def get(self, username: str) -> Credential:
        """Returns the record of a user, fetched if it is not cached.

        Raises what the source raises.
        """
        return self.peek(username) or await self._fetch_once(username)

    def state(self, username: str) -> Cached:
        """Returns how current the cached record of a user is."""
        if self.peek(username) is not None:
            return Cached.RECENT if username in self._fetched_at else Cached.FRESH
        return Cached.EXPIRED if username in self._lasting else Cached.ABSENT

    async def newest(self, username: str) -> Credential:
        """Returns the newest record of a user, fetched unless the cached one is recent.

        So equal logins cause at most one fetch in `refresh_interval_seconds`, whatever clients
        send. Raises what the source raises.
        """
        cached = self.peek(username)
        if cached is not None and username in self._fetched_at:
            return cached
        return await self._fetch_once(username)

    def replace(self, held: Credential, newer: Credential) -> None:
        """Replaces `held` by `newer`, unless `held` was replaced meanwhile."""
        if self.peek(held.username) is held:
            self._store(newer)

    def invalidate(self, username: str, revision: float) -> None:
        """Drops the record of a user that was read before `revision`, also one in flight."""
        held = self._ever_held(username)
        if held is not None and held.read_revision < revision:
            self._drop(username)
        fetch = self._fetches.get(username)
        if fetch is not None:
            fetch.floor = max(fetch.floor, revision)

    def forget(self, username: str) -> None:
        """Drops the record of a user, which is known to be outdated."""
        self.invalidate(username, _ANY_REVISION)

    def invalidate_all(self) -> None:
        """Drops all records, also those in flight."""
        self._lasting.clear()
        self._unknown.clear()
        for fetch in self._fetches.values():
            fetch.floor = _ANY_REVISION

    def start_afresh(self) -> None:
        """Drops all records, and forgets the revisions seen, because the store was replaced."""
        self.invalidate_all()
        self.newest_read = 0

    def held(self) -> list[Credential]:
        """Returns every cached record, also of users that are cached as unknown."""
        known = [held.credential for held in self._lasting.values()]
        return [*known, *self._unknown.values()]

    def sizes(self) -> dict[str, int]:
        """Returns how many users are cached: fresh, unknown, and known whether fresh or not."""
        now = self._clock()
        return {
            "known": sum(now < held.fresh_until for held in self._lasting.values()),
            "unknown": len(self._unknown),
            "lasting": len(self._lasting),
        }

    def invalidate_stale(self, usernames: Iterable[str], revision: int) -> None:
        """Drops the records of these users that were read before `revision`."""
        for username in usernames:
            self.invalidate(username, revision)

    async def _fetch_once(self, username: str) -> Credential:
        try:
            return await self._flights.do(username, lambda: self._fetch(username))
        except (UnavailableError, DeadlineError):
            held = self._lasting.get(username)
            if held is None or not self._under_lease():
                raise
            self._store(held.credential)
            return held.credential

    async def _fetch(self, username: str) -> Credential:
        while True:
            fetch = self._fetches[username] = _Fetch()
            try:
                credential = await self._source.fetch(username)
            finally:
                # A cancelled fetch can end after the next one for this user has begun.
                if self._fetches.get(username) is fetch:
                    del self._fetches[username]
            if credential.read_revision >= fetch.floor:
                self._store(credential)
                self._fetched_at[username] = self._clock()
                return credential

    def _store(self, credential: Credential) -> None:
        self._drop(credential.username)
        self.newest_read = max(self.newest_read, credential.read_revision)
        if credential.password is None:
            self._unknown[credential.username] = credential
        else:
            self._lasting.put(
                credential.username, Held(credential, self._clock() + self._ttl_seconds)
            )

    def _ever_held(self, username: str) -> Credential | None:
        """Returns the cached record of a user, also after its TTL."""
        held = self._lasting.get(username)
        return self._unknown.get(username) if held is None else held.credential

    def _drop(self, username: str) -> None:
        self._unknown.pop(username, None)
        self._lasting.drop(username)


def _end(held: Held) -> None:
    held.fresh_until = -math.inf
    held.note = None  # it may refer to the record


# Above every revision: as a floor it makes every read in flight start again.
_ANY_REVISION = math.inf
