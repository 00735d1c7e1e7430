"""Builds the configured revocation mode."""

from vecguard.clock import Clock
from vecguard.config.settings import Settings
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.revocation.trust import BoundedTrust, StrictTrust
from vecguard.proxy.revocation.unconfirmed import OpenCallsWatch


def trust(settings: Settings, lease: Lease, clock: Clock) -> StrictTrust | BoundedTrust:
    """Returns the trust for the setting `revocation`; `clock` is the clock of `lease`."""
    if settings.revocation == "strict":
        return StrictTrust(lease, clock, grace_seconds=settings.lease.grace)
    return BoundedTrust()


def open_calls_watch(
    settings: Settings, lease: Lease, revocations: Revocations, clock: Clock
) -> OpenCallsWatch | None:
    """Returns the watch that ends open calls without a lease; None if they may continue."""
    if settings.revocation != "strict" or not settings.lease.end_open_calls:
        return None
    return OpenCallsWatch(lease, revocations, clock, grace_seconds=settings.lease.grace)
