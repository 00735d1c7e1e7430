"""Caches the roles that this proxy reads from root coord."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vecguard.clock import Clock
from vecguard.concurrency.single_flight import SingleFlight
from vecguard.errors import DeadlineError, UnavailableError
from vecguard.privileges.catalogue import ADMIN, PUBLIC
from vecguard.proxy.authorization.policy import Rights, RolePolicy

# Evicted when more roles and grants are held, counted once for each set of roles: some 100 MiB.
_MAX_GRANTS: Final = 200_000
_NO_RIGHTS: Final = Rights(())


@dataclass(frozen=True, slots=True)
class RolesRead:
    """Roles, as read from root coord.

    Attributes:
        read_revision: the revision of the store at which they were read.
        roles: only roles that exist.
        grants: the number of their grants.
    """

    read_revision: int
    roles: Sequence[RolePolicy]
    grants: int


class RoleSource(Protocol):
    """Reads roles. Raises UnavailableError, or DeadlineError after a bounded time."""

    async def fetch_roles(self, names: Sequence[str]) -> RolesRead: ...


class HeldRights:
    """The cached rights of one set of roles, with the end of their validity.

    The cache ends the validity when it drops the roles, so code may keep one and check it.

    Attributes:
        rights: none once they were dropped, so that they need no memory.
        size: the number of grants and roles, which `RoleCache` bounds.
        fresh_until: the rights count before this time; minus infinity once they were dropped.
    """

    __slots__ = ("fresh_until", "read_revision", "rights", "size")

    def __init__(self, rights: Rights, read_revision: int, size: int, fresh_until: float) -> None:
        self.rights = rights
        self.read_revision = read_revision
        self.size = size
        self.fresh_until = fresh_until


@dataclass(frozen=True, slots=True)
class _Fetched:
    """Rights, with the revision and the generation of the cache at which they were read."""

    rights: Rights
    revision: int
    generation: int


class RoleCache:
    """A TTL cache of the rights of sets of roles.

    All roles of a set are read at one revision, so that no decision mixes two states. A user's
    roles are one set, and many users have the same.

    If the TTL is over and root coord cannot be reached, rights still count under a valid lease,
    as in `CredentialCache`: a change would have come as an invalidation.

    Attributes:
        newest_read: the highest revision of the store at which roles were read; 0 before any.
    """

    def __init__(
        self,
        source: RoleSource,
        *,
        ttl_seconds: float,
        clock: Clock,
        under_lease: Callable[[], bool],
        max_grants: int = _MAX_GRANTS,
    ) -> None:
        """Starts empty; `under_lease` returns whether invalidations are certain to arrive."""
        self._source = source
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._under_lease = under_lease
        self._max_grants = max_grants
        self._held: dict[tuple[str, ...], HeldRights] = {}
        self._size = 0
        self._flights: SingleFlight[tuple[str, ...], _Fetched] = SingleFlight()
        # Roles that were read before this revision are outdated.
        self._floor = 0
        # How many times everything was dropped, at any revision.
        self._generation = 0
        self._admin = HeldRights(Rights((RolePolicy(ADMIN, (), {}),)), 0, 0, math.inf)
        self.newest_read = 0

    def __len__(self) -> int:
        """Returns the number of sets of roles that are held."""
        return len(self._held)

    def held_of(self, roles: tuple[str, ...], now: float) -> HeldRights | None:
        """Returns the cached rights of a user with these roles if they are fresh at `now`."""
        held = self._held.get(roles)
        if held is not None and now < held.fresh_until:
            return held
        return self._admin if ADMIN in roles else None

    def peek(self, roles: tuple[str, ...]) -> Rights | None:
        """Returns the cached rights of a user with these roles if they are fresh now."""
        held = self.held_of(roles, self._clock())
        return None if held is None else held.rights

    async def get(self, roles: tuple[str, ...]) -> Rights:
        """Returns the rights of a user with these roles, fetched if they are not cached.

        They are those of a moment after the call of this method. They may be outdated when it
        returns, and are not cached then: while changes follow each other
        quickly, a wait for rights that are not outdated could take forever.

        Raises what the source raises.
        """
        rights = self.peek(roles)
        if rights is not None:
            return rights
        floor, generation = self._floor, self._generation
        while True:
            read = await self._flights.do(roles, lambda: self._fetch(roles))
            # A fetch that began before this call may be older.
            if read.revision >= floor and read.generation >= generation:
                return read.rights

    def invalidate(self, revision: int) -> None:
        """Drops all roles that were read before `revision`; none of them is cached any more."""
        self._floor = max(self._floor, revision)
        for roles, held in tuple(self._held.items()):
            if held.read_revision < revision:
                self._drop(roles)

    def invalidate_all(self) -> None:
        """Drops all roles; none that is being read is cached any more."""
        self._generation += 1
        for roles in tuple(self._held):
            self._drop(roles)

    def start_afresh(self) -> None:
        """Drops all roles, and forgets the revisions seen, because the store was replaced."""
        self.invalidate_all()
        self._floor = 0
        self.newest_read = 0

    async def _fetch(self, roles: tuple[str, ...]) -> "_Fetched":
        generation = self._generation
        try:
            read = await self._source.fetch_roles((*roles, PUBLIC))
        except (UnavailableError, DeadlineError):
            held = self._held.get(roles)
            if held is None or not self._under_lease():
                raise
            held.fresh_until = self._clock() + self._ttl_seconds
            return _Fetched(held.rights, self._floor, self._generation)
        rights = Rights(read.roles, read.read_revision)
        if read.read_revision >= self._floor and generation == self._generation:
            self._store(roles, rights, read)
        return _Fetched(rights, read.read_revision, generation)

    def _store(self, roles: tuple[str, ...], rights: Rights, read: RolesRead) -> None:
        self._drop(roles)
        self.newest_read = max(self.newest_read, read.read_revision)
        fresh_until = self._clock() + self._ttl_seconds
        # Roles count, too: sets of roles without grants would have no bound.
        size = read.grants + len(roles) + 1
        self._held[roles] = HeldRights(rights, read.read_revision, size, fresh_until)
        self._size += size
        while self._size > self._max_grants and len(self._held) > 1:
            self._drop(next(iter(self._held)))

    def _drop(self, roles: tuple[str, ...]) -> None:
        held = self._held.pop(roles, None)
        if held is not None:
            held.fresh_until = -math.inf
            held.rights = _NO_RIGHTS
            self._size -= held.size
