"""What a proxy process reports at /healthz beside its checks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from vecguard.clock import Clock
from vecguard.config import Settings
from vecguard.config.security import TlsMode
from vecguard.observability.details import Details, ProxyProcess
from vecguard.observability.metrics import vecguard_version
from vecguard.proxy.authentication.configured import Authentication
from vecguard.proxy.health.login_history import LoginSampler
from vecguard.proxy.metrics import cache_entries
from vecguard.proxy.permissions.role_cache import RoleCache
from vecguard.proxy.root_coord.configured import RootCoordAccess
from vecguard.tls.reloading import ReloadingContext
from vecguard.tls.report import certificates

_TLS: Final[dict[TlsMode, Literal["off", "server", "mutual"]]] = {
    TlsMode.OFF: "off",
    TlsMode.SERVER: "server",
    TlsMode.MUTUAL: "mutual",
}


@dataclass(frozen=True, slots=True)
class ProxyDetails:
    """Reads the parts of a proxy for its details; none of them counts anything for it."""

    settings: Settings
    authentication: Authentication
    roles: RoleCache
    root_coord: RootCoordAccess
    logins: LoginSampler
    tls: Sequence[ReloadingContext]
    wall_clock: Clock = time.time
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> Details:
        """Returns the details at this moment."""
        security = self.settings.common.security
        access = self.root_coord
        address = access.client.address
        process = ProxyProcess(
            authentication=security.authorization_enabled,
            roles_enforced=security.authorization_enabled and security.rbac.enforced,
            public_tls=_TLS[self.settings.tls_mode],
            revocation=self.settings.revocation,
            proxy_id=access.client.proxy_id,
            root_coord=None if address is None else str(address),
            lease_seconds=max(0.0, access.lease.remaining_seconds(access.clock())),
            caches=cache_entries(self.authentication) | {"role_sets": len(self.roles)},
            logins=self.logins.history(),
        )
        return Details(
            service="proxy",
            version=vecguard_version(),
            started_at=self.started_at,
            certificates=certificates(self.tls, self.wall_clock()),
            proxies=(process,),
        )
