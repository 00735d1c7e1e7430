"""Builds the client of root coord from the settings, with the lease that its session renews."""

import secrets
import ssl
from dataclasses import dataclass

from vecguard.addresses import Address
from vecguard.clock import Clock
from vecguard.config.settings import Settings
from vecguard.grpc.channel import Channel
from vecguard.observability.metrics import vecguard_version
from vecguard.proxy.revocation import configured
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.trust import BoundedTrust, StrictTrust
from vecguard.proxy.root_coord.client import Observe, RootCoordClient
from vecguard.proxy.root_coord.session import Identity

# The time for a change, in addition to one lease: its longest wait for proxies that are cut off.
_MUTATION_GRACE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class RootCoordAccess:
    """The client of root coord, and what its session tells this process.

    Attributes:
        client: reads records, makes changes, and holds the session in `client.run`.
        lease: until when invalidations are certain to arrive; the session renews it.
        trust: whether memory may decide, by the setting `revocation`.
        clock: the clock of all of these.
    """

    client: RootCoordClient
    lease: Lease
    trust: StrictTrust | BoundedTrust
    clock: Clock

    def is_under_lease(self) -> bool:
        """Returns whether the lease is valid now, in either revocation mode."""
        return self.lease.is_valid(self.clock())


def open_root_coord(
    settings: Settings,
    *,
    tls: ssl.SSLContext | None,
    clock: Clock,
    observe: Observe = lambda _method, _outcome, _seconds: None,
) -> RootCoordAccess:
    """Returns the access to the configured root coords. Nothing connects before `client.run`.

    Args:
        settings: all settings.
        tls: the context of the connections; None for plain ones.
        clock: measures the lease, so it also runs while the machine sleeps.
        observe: called after each read and change.

    Raises:
        ConfigurationError: an address cannot be read.
    """
    lease = Lease(settings.lease.margin)
    trust = configured.trust(settings, lease, clock)
    client = RootCoordClient(
        [Address.parse(address) for address in settings.root_coord.addresses],
        lambda address: Channel(address, tls=tls),
        identity=Identity(secrets.token_hex(8), vecguard_version(), settings.revocation),
        lease=lease,
        clock=clock,
        renewed=trust.renewed,
        mutation_timeout_seconds=settings.lease.ttl + _MUTATION_GRACE_SECONDS,
        observe=observe,
    )
    return RootCoordAccess(client, lease, trust, clock)
