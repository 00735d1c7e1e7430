"""Ends open calls when this proxy can no longer know whether their logins still hold."""

import asyncio

from vecguard.clock import Clock
from vecguard.errors import UnavailableError
from vecguard.observability.log import get_logger
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.revocations import Revocations

log = get_logger(__name__)

# Timers of the loop pause while the machine sleeps, but the lease's clock keeps running.
_LONGEST_SLEEP_SECONDS = 0.2


class UnconfirmedError(UnavailableError):
    """The call was ended because its login could not be confirmed for too long."""

    reason = "unconfirmed"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"this proxy has had no contact with root coord for {seconds:.1f} s and cannot tell "
            "whether the login of this call is still valid; call again"
        )


class OpenCallsWatch:
    """Ends the calls of all users when the lease has been over for `grace_seconds`.

    Invalidations do not reach a proxy that is cut off, and root coord waits for it only until
    its lease is over. So after that, an open call may belong to a revoked user.
    """

    def __init__(
        self, lease: Lease, revocations: Revocations, clock: Clock, *, grace_seconds: float
    ) -> None:
        self._lease = lease
        self._revocations = revocations
        self._clock = clock
        self._grace_seconds = grace_seconds

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            seconds = self.look()
            await asyncio.sleep(seconds)

    def look(self) -> float:
        """Ends the calls if it is time. Returns the seconds until the next look."""
        now = self._clock()
        over_for = -self._lease.remaining_seconds(now)
        left = self._grace_seconds - over_for
        if left > 0:
            return min(left, _LONGEST_SLEEP_SECONDS)
        ended = self._revocations.end_unconfirmed(UnconfirmedError(self._lease.silent_seconds(now)))
        if ended:
            log.warning("calls_ended_without_lease", calls=ended, seconds=round(over_for, 1))
        return _LONGEST_SLEEP_SECONDS
