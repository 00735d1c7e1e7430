"""What this proxy holds of the credentials, and how it gets them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from cachetools import TTLCache

from vecguard.clock import Clock
from vecguard.concurrency.single_flight import SingleFlight
from vecguard.errors import DeadlineError, UnavailableError
from vecguard.passwords import PasswordHash
from vecguard.proxy.authentication.recent import Recent


@dataclass(frozen=True, slots=True)
class Credential:
    """One user as read from root coord.

    Attributes:
        password: None when there is no such user.
        revision: the password's version; 0 when there is no such user.
        read_revision: the store's revision at which this was read.
    """

    username: str
    password: PasswordHash | None
    revision: int
    read_revision: int


class Held:
    """A known user's record, for as long as it counts.

    Whoever keeps one finds out at once when the cache has it no more, for whatever reason.

    Attributes:
        fresh_until: it counts before that moment only; minus infinity when it is held no more.
    """

    __slots__ = ("credential", "fresh_until")

    def __init__(self, credential: Credential, fresh_until: float) -> None:
        self.credential = credential
        self.fresh_until = fresh_until


class CredentialSource(Protocol):
    """Reads the newest record. Raises UnavailableError, or DeadlineError after a bounded time."""

    async def fetch(self, username: str) -> Credential: ...


@dataclass(slots=True)
class _Fetch:
    """A read that is under way.

    `floor` is the newest revision that was invalidated meanwhile: an older result is of
    the past and is read again. A read that starts after an invalidation needs no floor,
    because root coord's reads are linearizable.
    """

    floor: float = 0


class CredentialCache:
    """A TTL cache of credentials with one fetch per user at a time.

    Unknown users are remembered apart from known ones, so that a flood of names cannot
    push out anybody who exists.

    When the TTL of a known user is over and root coord cannot be asked, what is held goes
    on counting under a valid lease: had it changed, an invalidation would have come. So
    nobody who is logged in notices that root coord is being replaced.

    Attributes:
        newest_read: the highest revision of the store that a record was read at; 0: none.
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
        """Begins empty; `under_lease` says whether invalidations are certain to arrive."""
        self._source = source
        self._under_lease = under_lease
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        # No TTLCache: an entry is of use when its TTL is over, and every call looks one up.
        self._lasting: Recent[str, Held] = Recent(max_known, _end)
        self._unknown: TTLCache[str, Credential] = TTLCache(max_unknown, ttl_seconds, clock)
        self._fetched_at: TTLCache[str, float] = TTLCache(
            max_known + max_unknown, refresh_interval_seconds, clock
        )
        self._flights: SingleFlight[str, Credential] = SingleFlight()
        self._fetches: dict[str, _Fetch] = {}
        self.newest_read = 0

    def peek(self, username: str) -> Credential | None:
        """What is held of this user now, without asking anybody."""
        held = self._lasting.get(username)
        if held is None:
            return self._unknown.get(username)
        return held.credential if self._clock() < held.fresh_until else None

    def held_of(self, username: str) -> Held | None:
        """The record of a known user that counts now."""
        held = self._lasting.get(username)
        return held if held is not None and self._clock() < held.fresh_until else None

    async def get(self, username: str) -> Credential:
        """What is held of this user, fetched when nothing is. Raises what the source raises."""
        return self.peek(username) or await self._fetch_once(username)

    def is_familiar(self, username: str) -> bool:
        """Whether this user was held not long ago; a new fetch finds no stranger."""
        return username in self._lasting

    def needs_refresh(self, held: Credential) -> bool:
        """Whether `refresh` would fetch."""
        return held.username not in self._fetched_at

    async def refresh(self, held: Credential) -> Credential:
        """The newest record of a user whose held one does not match.

        At most one fetch in `refresh_interval_seconds` for each user, whatever clients
        send; in between, what is held is the answer. Raises what the source raises.
        """
        if not self.needs_refresh(held):
            return self.peek(held.username) or held
        return await self._fetch_once(held.username)

    def replace(self, held: Credential, newer: Credential) -> None:
        """Puts `newer` in the place of `held`, unless something else is there by now."""
        if self.peek(held.username) is held:
            self._store(newer)

    def invalidate(self, username: str, revision: float) -> None:
        """Forgets what was read of this user before `revision`, also what is being read."""
        held = self._ever_held(username)
        if held is not None and held.read_revision < revision:
            self._drop(username)
        fetch = self._fetches.get(username)
        if fetch is not None:
            fetch.floor = max(fetch.floor, revision)

    def forget(self, username: str) -> None:
        """Somebody knows better: whatever is held of this user is of the past."""
        self.invalidate(username, _ANY_REVISION)

    def invalidate_all(self) -> None:
        """Forgets everything, also what is being read before now."""
        self._lasting.clear()
        self._unknown.clear()
        for fetch in self._fetches.values():
            fetch.floor = _ANY_REVISION

    def start_afresh(self) -> None:
        """The same, and revisions seen so far mean nothing: the store is another one."""
        self.invalidate_all()
        self.newest_read = 0

    def held(self) -> list[tuple[str, int]]:
        """Every user that is held with its revision (0: held as unknown)."""
        known = [held.credential for held in self._lasting.values()]
        return [
            (credential.username, credential.revision)
            for credential in (*known, *self._unknown.values())
        ]

    def sizes(self) -> dict[str, int]:
        """How many users are held: fresh, as unknown, and whether fresh or not."""
        now = self._clock()
        return {
            "known": sum(now < held.fresh_until for held in self._lasting.values()),
            "unknown": len(self._unknown),
            "lasting": len(self._lasting),
        }

    def invalidate_stale(self, usernames: Iterable[str], revision: int) -> None:
        """Forgets those of these users that were read before `revision`."""
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
                # An abandoned fetch can end after the next one for this user has begun.
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
        """What is held of this user, also when its TTL is over."""
        held = self._lasting.get(username)
        return self._unknown.get(username) if held is None else held.credential

    def _drop(self, username: str) -> None:
        self._unknown.pop(username, None)
        self._lasting.drop(username)


def _end(held: Held) -> None:
    held.fresh_until = -math.inf


# No read reaches it: a floor that makes any read under way start again.
_ANY_REVISION = math.inf
