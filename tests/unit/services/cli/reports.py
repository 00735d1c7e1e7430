"""Reports of processes, as their operations ports give them."""

import json

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from vecguard.cli.process_report import read_report

NOW = 1_800_000_000.0


def health(**checks):
    return json.dumps(
        {
            "checks": {
                name: {"healthy": healthy, "critical": critical, "message": message}
                for name, (healthy, critical, message) in checks.items()
            }
        }
    ).encode()


def metrics(service, *samples):
    """Each sample: name, labels, value."""
    registry = CollectorRegistry()
    build = Gauge("vecguard_build_info", "-", ("service", "version"), registry=registry)
    build.labels(service, "1.2.3").set(1)
    gauges = {}
    for name, labels, value in samples:
        if name not in gauges:
            gauges[name] = Gauge(name, "-", tuple(labels), registry=registry)
        (gauges[name].labels(**labels) if labels else gauges[name]).set(value)
    return generate_latest(registry)


def root_coord(address, *, active, term=0, sessions=0, leases=0, healthy=True):
    return read_report(
        address,
        health(role=(active, True, "active since" if active else "standby: another one leads")),
        metrics(
            "root_coord",
            ("vecguard_root_coord_active", {}, int(active)),
            ("vecguard_root_coord_term", {}, term),
            ("vecguard_root_coord_sessions", {}, sessions),
            ("vecguard_root_coord_leases", {}, leases),
            ("process_start_time_seconds", {}, NOW - 7200),
        ),
        date=None,
        now=NOW,
    )


def proxy(
    address, *, logins=(True, True, "logins are decided"), expires_seconds=90 * 86_400, more=()
):
    return read_report(
        address,
        health(
            authorization=(True, False, "every request is authenticated"),
            logins=logins,
            root_coord=(True, False, "session with root coord at rc:53100"),
            tls_public=(True, False, "expires in 90 days"),
        ),
        metrics(
            "proxy",
            ("vecguard_proxy_lease_remaining_seconds", {"worker": "0"}, 9.5),
            ("vecguard_proxy_lease_remaining_seconds", {"worker": "1"}, 8.5),
            ("vecguard_proxy_revocation_mode", {"mode": "strict"}, 1),
            ("vecguard_tls_certificate_expires_seconds", {"link": "public"}, expires_seconds),
            *more,
        ),
        date=None,
        now=NOW,
    )
