"""The two revocation modes, strict and bounded: when memory may decide."""

import asyncio
import math

from vecguard.clock import Clock
from vecguard.errors import UnavailableError
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.revocation.lease import Lease


class StrictTrust(Trust):
    """Lets memory decide only under a valid lease, so that a revoked password never passes.

    While another root coord takes over, proxies have no lease for a moment. Requests then wait
    for up to `grace_seconds` after the loss of the lease, and are not refused at once.
    """

    def __init__(self, lease: Lease, clock: Clock, *, grace_seconds: float) -> None:
        self._lease = lease
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._renewed = asyncio.Event()

    def renewed(self) -> None:
        """Wakes the waiting requests, because the lease was renewed."""
        self._renewed.set()

    def is_valid(self, now: float | None = None) -> bool:
        """Returns whether the lease is valid at `now`; None is the current time."""
        return self._lease.is_valid(self._clock() if now is None else now)

    async def wait(self) -> bool:
        """Waits for a valid lease until the grace is over. Returns whether there is one."""
        while not self.is_valid():
            left = self._grace_seconds + self._lease.remaining_seconds(self._clock())
            if left <= 0:
                return False
            self._renewed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._renewed.wait()
            except TimeoutError:
                return self.is_valid()
        return True

    def explain(self) -> UnavailableError:
        """Returns the error that says for how long root coord has not answered."""
        now = self._clock()
        remaining = self._lease.remaining_seconds(now)
        if remaining > 0:
            return UnavailableError(f"try again: the lease is valid again, for {remaining:.1f} s")
        silent = self._lease.silent_seconds(now)
        since = "since this proxy started" if silent == math.inf else f"for {silent:.1f} s"
        return UnavailableError(
            f"no login can be checked: this proxy has had no contact with root coord {since}; "
            "it serves again as soon as the contact is back"
        )


class BoundedTrust(Trust):
    """Lets memory decide always; the TTL of the cached records bounds how outdated it can be.

    For operators who put availability first: while root coord is out of reach, a revoked
    password can pass for up to `cache.ttl`.
    """

    def renewed(self) -> None:
        """Does nothing: the lease does not matter here."""

    def is_valid(self, now: float | None = None) -> bool:
        """Returns True: the caches bound the age of their records."""
        del now
        return True

    async def wait(self) -> bool:
        """Returns True at once."""
        return True

    def explain(self) -> UnavailableError:
        """Returns the error for a proxy that has had no session, and so has no records."""
        return UnavailableError("no login can be checked: there was no session with root coord yet")
