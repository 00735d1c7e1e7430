"""Reports as processes make them, for tests of the page."""

from datetime import UTC, datetime, timedelta

from vecguard.observability.details import (
    Certificate,
    Details,
    LoginHistory,
    ProxyProcess,
    ProxySession,
    RootCoordProcess,
)
from vecguard.observability.health import Check, Health

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def history(counts, last_interval=1000):
    return LoginHistory(interval_seconds=5.0, last_interval=last_interval, counts=counts)


def process(**changes):
    return ProxyProcess(
        **{
            "authentication": True,
            "roles_enforced": True,
            "public_tls": "server",
            "revocation": "strict",
            "proxy_id": "a1b2",
            "root_coord": "r1:53100",
            "lease_seconds": 8.5,
            "caches": {"logins_accepted": 1200},
            "logins": history({}),
        }
        | changes
    )


def session(**changes):
    return ProxySession(
        **{
            "proxy_id": "a1b2",
            "address": "10.0.0.7:41000",
            "version": "0.2.0",
            "connected": True,
            "lease_seconds": 8.5,
            "unacknowledged": 0,
            "waiting_seconds": None,
        }
        | changes
    )


def root_coord(**changes):
    return RootCoordProcess(
        **{
            "term": 7,
            "active_since": NOW - timedelta(hours=3),
            "internal_tls": True,
            "root_has_default_password": False,
            "changes_pending": 0,
            "connected": 1,
            "leases": 1,
            "sessions": (session(),),
            "sessions_left_out": 0,
        }
        | changes
    )


def details(part, **changes):
    is_proxy = isinstance(part, ProxyProcess)
    return Details(
        **{
            "service": "proxy" if is_proxy else "root_coord",
            "version": "0.2.0",
            "started_at": NOW - timedelta(hours=4),
            "certificates": (Certificate(link="public", expires_seconds=864_000.0),),
            "proxies": (part,) if is_proxy else (),
            "root_coord": None if is_proxy else part,
        }
        | changes
    )


def health(part, *checks, **changes):
    return Health(checks, details(part, **changes))


def check(name, *, healthy=True, critical=False, message="fine"):
    return Check(name, healthy, critical, message)
