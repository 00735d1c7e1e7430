"""Caches for a short time which collections the aliases of the backend refer to."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

from vecguard.clock import Clock
from vecguard.concurrency.single_flight import SingleFlight
from vecguard.errors import VecguardError
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, QueueLimits
from vecguard.proxy.authentication.recent import Recent

_MAX_ENTRIES: Final = 10_000
# Changes that do not pass through this process are seen after this time at the latest.
_TTL_SECONDS: Final = 5.0
#: How long all look-ups for one call may take, their wait for a place included.
TIMEOUT_SECONDS: Final = 2.0
_LOOK_UPS_AT_A_TIME: Final = 8
_LIMITS: Final = QueueLimits(total=10_000, per_origin=1_000, timeout_seconds=TIMEOUT_SECONDS)
_RESULTS: Final = ("alias", "no_alias", "failed")


class AliasesUnsupportedError(VecguardError):
    """The backend has no method that describes an alias."""

    reason = "aliases_unsupported"


class AliasSource(Protocol):
    """Asks the backend."""

    async def collection_of(self, database: str, alias: str, authorization: str | None) -> str:
        """Returns the collection that an alias refers to; "" if there is no such alias.

        Raises:
            AliasesUnsupportedError: the backend cannot say.
            VecguardError: it did not say.
        """
        ...


class Aliases:
    """A TTL cache of look-ups.

    A name that is no alias is kept as well, so that a second question costs no look-up. At
    most eight look-ups run at a time, and users take turns.

    Attributes:
        counts: how many look-ups were an alias, no_alias, or failed; one that takes too long has
            failed.
    """

    def __init__(
        self,
        source: AliasSource,
        *,
        clock: Clock,
        ttl_seconds: float = _TTL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_entries: int = _MAX_ENTRIES,
        limits: QueueLimits = _LIMITS,
    ) -> None:
        self._source = source
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        #: By database and name: the collection or "", and until when it counts.
        self._held: Recent[tuple[str, str], tuple[str, float]] = Recent(max_entries)
        self._flights: SingleFlight[tuple[int, str, str, str | None], str] = SingleFlight()
        self._queue = AdmissionQueue(_LOOK_UPS_AT_A_TIME, limits, pace=None, clock=clock)
        # How many times aliases may have changed.
        self._generation = 0
        self._unsupported_until = 0.0
        self.counts: Counter[str] = Counter(dict.fromkeys(_RESULTS, 0))

    def __len__(self) -> int:
        """Returns the number of names that are held."""
        return len(self._held)

    def held(self, database: str, names: Sequence[str]) -> tuple[str, ...] | None:
        """Returns what `look_up` would, if that needs no look-up; else None."""
        found = []
        for name in names:
            collection = self._peek(database, name)
            if collection is None:
                return None
            found.append(collection)
        return tuple(found)

    async def look_up(
        self, username: str, database: str, names: Sequence[str], authorization: str | None
    ) -> tuple[str, ...]:
        """Returns for each name the collection that it refers to.

        "" means that it is no alias, or that this could not be found out in time.

        Args:
            username: the user whose call needs them; users take turns.
            database: the database of the names.
            names: what may be aliases.
            authorization: the credentials of the call, for a backend that wants them.
        """
        found = [""] * len(names)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for index, name in enumerate(names):
                    found[index] = await self._find(username, database, name, authorization)
        except (TimeoutError, VecguardError):
            self.counts["failed"] += 1
        return tuple(found)

    def forget(self) -> None:
        """Drops everything, because a call that passes may change it, or has ended.

        The results of look-ups that have begun before are not kept.
        """
        self._generation += 1
        self._held.clear()

    def _peek(self, database: str, name: str) -> str | None:
        now = self._clock()
        if now < self._unsupported_until:
            return ""
        held = self._held.get((database, name))
        return held[0] if held is not None and now < held[1] else None

    async def _find(
        self, username: str, database: str, name: str, authorization: str | None
    ) -> str:
        collection = self._peek(database, name)
        if collection is not None:
            return collection
        async with self._queue.slot(username):
            # It may have come meanwhile.
            collection = self._peek(database, name)
            if collection is not None:
                return collection
            # A look-up from before a change is not joined, and one with other credentials neither.
            key = (self._generation, database, name, authorization)
            return await self._flights.do(key, lambda: self._ask(database, name, authorization))

    async def _ask(self, database: str, name: str, authorization: str | None) -> str:
        generation = self._generation
        try:
            collection = await self._source.collection_of(database, name, authorization)
        except AliasesUnsupportedError:
            self._unsupported_until = self._clock() + self._ttl_seconds
            raise
        self.counts["alias" if collection else "no_alias"] += 1
        if generation == self._generation:
            self._held.put((database, name), (collection, self._clock() + self._ttl_seconds))
        return collection
