"""Strict or bounded: what a lease means for decisions made from memory."""

import math

from services.proxy.revocation.lease import Lease
from shared.clock import Clock
from shared.errors import UnavailableError


class StrictTrust:
    """Memory decides only under a valid lease, so that a revoked password never passes."""

    def __init__(self, lease: Lease, clock: Clock) -> None:
        self._lease = lease
        self._clock = clock

    def is_valid(self) -> bool:
        """Whether the lease is valid now."""
        return self._lease.is_valid(self._clock())

    def explain(self) -> UnavailableError:
        """For how long there has been no lease, or how long it still runs."""
        remaining = self._lease.remaining_seconds(self._clock())
        if remaining > 0:
            return UnavailableError(
                "this proxy has no contact with root coord now; "
                f"it checks known logins for another {remaining:.1f} s"
            )
        return UnavailableError(
            f"no login can be checked: this proxy {self._history(remaining)}; "
            "it serves again as soon as the contact is back"
        )

    def _history(self, remaining: float) -> str:
        if remaining > -math.inf:
            return f"has had no contact with root coord for {-remaining:.1f} s"
        if self._lease.was_surrendered:
            return "has given its lease back because root coord stepped down"
        return "has had no contact with root coord since this proxy started"


class BoundedTrust:
    """Memory decides until its entries' TTL is over, for people who put availability first.

    While root coord is out of reach a revoked password can pass for up to `cache.ttl`.
    """

    def is_valid(self) -> bool:
        """Always; the caches bound the age of what they hold."""
        return True

    def explain(self) -> UnavailableError:
        """Never needed, because the trust is always valid."""
        return UnavailableError("no login can be checked")
