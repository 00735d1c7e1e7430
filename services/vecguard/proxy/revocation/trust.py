"""Strict or bounded: what a lease means for decisions made from memory."""

import asyncio
import math

from vecguard.clock import Clock
from vecguard.errors import UnavailableError
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.revocation.lease import Lease


class StrictTrust(Trust):
    """Memory decides only under a valid lease, so that a revoked password never passes.

    When root coord hands over to another one, proxies are without a lease for a moment.
    Requests wait it out instead of being refused, for `grace_seconds` after the loss.
    """

    def __init__(self, lease: Lease, clock: Clock, *, grace_seconds: float) -> None:
        self._lease = lease
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._renewed = asyncio.Event()

    def renewed(self) -> None:
        """The lease was renewed: whoever waits looks again."""
        self._renewed.set()

    def is_valid(self, now: float | None = None) -> bool:
        """Whether the lease is valid at `now`, or at this moment."""
        return self._lease.is_valid(self._clock() if now is None else now)

    async def wait(self) -> bool:
        """Waits until the lease is valid, or no longer worth waiting for; says which."""
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
        """For how long there has been no lease."""
        remaining = self._lease.remaining_seconds(self._clock())
        if remaining > 0:
            return UnavailableError(f"try again: the lease is back for {remaining:.1f} s")
        since = "since this proxy started" if remaining == -math.inf else f"for {-remaining:.1f} s"
        return UnavailableError(
            f"no login can be checked: this proxy has had no contact with root coord {since}; "
            "it serves again as soon as the contact is back"
        )


class BoundedTrust(Trust):
    """Memory decides until its entries' TTL is over, for people who put availability first.

    While root coord is out of reach a revoked password can pass for up to `cache.ttl`.
    """

    def renewed(self) -> None:
        """Makes no difference."""

    def is_valid(self, now: float | None = None) -> bool:
        """Always; the caches bound the age of what they hold."""
        del now
        return True

    async def wait(self) -> bool:
        """Never long."""
        return True

    def explain(self) -> UnavailableError:
        """Before the first session there is nothing in memory that could decide."""
        return UnavailableError("no login can be checked: there was no session with root coord yet")
