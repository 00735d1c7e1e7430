"""What a root coord reports at /healthz beside its checks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from vecguard.clock import Clock
from vecguard.config import Settings
from vecguard.observability.details import Details, RootCoordProcess
from vecguard.observability.metrics import vecguard_version
from vecguard.root_coord.role import Role
from vecguard.tls.reloading import ReloadingContext
from vecguard.tls.report import certificates

#: Proxies in a report. Where there are more, the ones that need a look come first.
MOST_SESSIONS: Final = 50


@dataclass(frozen=True, slots=True)
class RootCoordDetails:
    """Reads the role and the sessions for the details."""

    settings: Settings
    role: Role
    tls: Sequence[ReloadingContext]
    wall_clock: Clock = time.time
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> Details:
        """Returns the details at this moment."""
        return Details(
            service="root_coord",
            version=vecguard_version(),
            started_at=self.started_at,
            certificates=certificates(self.tls, self.wall_clock()),
            root_coord=self._process(),
        )

    def _process(self) -> RootCoordProcess:
        term = self.role.active_term
        sessions, left_out = term.hub.sessions(MOST_SESSIONS) if term else ((), 0)
        return RootCoordProcess(
            term=term.term if term else None,
            active_since=self.role.active_since,
            internal_tls=self.settings.common.security.internaltls_enabled,
            root_has_default_password=term.root_password.is_default if term else None,
            changes_pending=term.hub.unacknowledged if term else 0,
            connected=term.hub.connected if term else 0,
            leases=term.hub.leases if term else 0,
            sessions=sessions,
            sessions_left_out=left_out,
        )
