"""The checks behind a proxy's readiness."""

from collections.abc import Callable
from dataclasses import dataclass

from vecguard.observability.health import Check, HealthReport
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimits
from vecguard.proxy.relay.upstreams.pool import Pool
from vecguard.proxy.root_coord.client import RootCoordClient


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """Checks the parts of a proxy that may fail.

    A check is critical, and can make the proxy unready, only where another proxy may do better:
    accepting new clients and deciding about logins. A backend that fails, fails for all proxies.
    A full proxy still serves its clients, and an attacker would fill the next proxy as well, so
    a kubelet or balancer must not take a full proxy out of service.

    Attributes:
        anonymous_changes: whether users can be changed where authorization is off.
        roles_enforced: whether users need roles where authorization is on.
        revocation: the setting, for the messages.
        is_draining: returns whether the process is stopping.
    """

    authorization_enabled: bool
    anonymous_changes: bool
    roles_enforced: bool
    revocation: str
    trust: Trust
    client: RootCoordClient
    backend: Pool
    connection_limits: ConnectionLimits
    is_draining: Callable[[], bool]

    def register(self, health: HealthReport) -> None:
        """Registers every check."""
        for name, check in (
            ("accepting", self.accepting),
            ("authorization", self.authorization),
            ("roles", self.roles),
            ("logins", self.logins),
            ("root_coord", self.root_coord),
            ("backend", self.backend_reachable),
            ("connections", self.connections),
        ):
            health.register(name, check)

    def accepting(self) -> Check:
        """Checks that the proxy accepts new clients, which it does not while it stops."""
        draining = self.is_draining()
        message = (
            "stopping: open calls may finish, new clients are not accepted"
            if draining
            else "new clients are accepted"
        )
        return Check("accepting", not draining, critical=True, message=message)

    def authorization(self) -> Check:
        """Checks that clients must authenticate."""
        enabled = self.authorization_enabled
        message = "every request is authenticated" if enabled else "off: every request passes"
        if not enabled and self.anonymous_changes:
            message += ", and every client may change the users and roles of all proxies"
        return Check("authorization", enabled, critical=False, message=message)

    def roles(self) -> Check:
        """Checks that users need roles."""
        if not self.authorization_enabled:
            return Check(
                "roles",
                healthy=True,
                critical=False,
                message="no call needs a role: authorization is off",
            )
        message = (
            "roles are enforced"
            if self.roles_enforced
            else "roles are not enforced: every user may read and change all data"
        )
        return Check("roles", self.roles_enforced, critical=False, message=message)

    def logins(self) -> Check:
        """Checks that logins can be decided."""
        decides = self._decides()
        message = (
            f"logins can be checked ({self.revocation} revocation)"
            if decides
            else f"{self.trust.explain().message} ({self.client.last_error})"
        )
        return Check("logins", decides, critical=self.authorization_enabled, message=message)

    def root_coord(self) -> Check:
        """Checks for a session with a root coord that accepts this proxy's changes."""
        address = self.client.address
        if address is not None:
            message = f"session with root coord at {address} as proxy {self.client.proxy_id}"
            if self.client.is_outdated:
                message += (
                    "; it is older than this proxy, which therefore refuses to change users and "
                    "roles: upgrade root coord"
                )
        else:
            state = "no session; cached logins still pass" if self._decides() else "no session"
            message = f"{state} ({self.client.last_error})"
        healthy = address is not None and not self.client.is_outdated
        return Check("root_coord", healthy, critical=False, message=message)

    def backend_reachable(self) -> Check:
        """Checks that the last attempt to connect to the backend did not fail."""
        failure = self.backend.failure
        message = failure or "the last attempt to connect did not fail"
        return Check("backend", failure is None, critical=False, message=message)

    def connections(self) -> Check:
        """Checks that no limit on connections was reached lately."""
        limits = self.connection_limits
        inside = f"{len(limits)} connections, {limits.unadmitted} of them without an admitted call"
        message = (
            f"a limit was reached in the last minute: {inside}; a new connection closes the oldest "
            "of these to make room, and is closed itself if there is none"
            if limits.was_full_lately
            else f"below the limits: {inside}"
        )
        return Check("connections", not limits.was_full_lately, critical=False, message=message)

    def _decides(self) -> bool:
        return self.trust.is_valid() and self.client.sessions_opened > 0
