"""Turns the reports of processes into findings, for each process and for all together."""

from collections.abc import Iterator, Sequence
from typing import Final

from vecguard.cli.finding import Finding, Severity
from vecguard.cli.process_report import ProcessReport
from vecguard.observability.health import Check

#: HTTP gives whole seconds, and the answer takes time to arrive.
_CLOCK_TOLERANCE_SECONDS: Final = 5.0
_CLOCK_WRONG_SECONDS: Final = 300.0

_REMEDIES: Final = {
    "authorization": "set common.security.authorizationEnabled to true and restart the proxy",
    "roles": "give the users roles (vecguard role explain says which grants they lack), then set "
    "common.security.rbac.enforced to true and restart the proxy",
    "logins": "check that a root coord is active and that the proxy reaches it at "
    "rootCoord.addresses",
    "root_coord": "check that a root coord is active, of the proxy's version, and that the proxy "
    "reaches it at rootCoord.addresses",
    "backend": "check that the backend runs, and that the proxy reaches it at backend.address",
    "connections": "see which address the log line connections_full names; raise "
    "proxy.connections.max or maxPerAddress if its clients are wanted",
    "changes": "the wait ends with the leases; see why a proxy named here does not answer: its "
    "address is in root coord's log line session_opened",
    "prefix": "correct etcd.rootPath and etcd.metaSubPath, or set rootCoord.allowSimilarPrefix",
    "root": "restore the record, or: vecguard root reset --offline",
    "root_password": "vecguard user passwd root",
    "exposure": "encrypt the port, or let it listen on a loopback address",
    "role": "check that etcd answers at etcd.endpoints and has a leader",
}
# The process serves all the same, but is open to others or locks its administrator out.
_HARMFUL: Final = frozenset({"authorization", "root", "root_password"})
_TLS_REMEDY = "renew the files of this link; a running service takes them up by itself"
_OTHER_REMEDY = "see the log of this process"


def judge_processes(reports: Sequence[ProcessReport]) -> Iterator[Finding]:
    """Yields the findings about the processes that were asked."""
    for report in reports:
        yield from _judge(report)
    answered = [report for report in reports if report.error is None]
    yield from _judge_root_coords([report for report in answered if report.is_root_coord])
    versions = sorted({report.version for report in answered if report.version})
    if len(versions) > 1:
        yield Finding(
            Severity.WARNING,
            "versions",
            f"processes of different versions run together: {', '.join(versions)}",
            "finish the upgrade",
        )


def _judge(report: ProcessReport) -> Iterator[Finding]:
    if report.error is not None:
        yield Finding(
            Severity.WRONG,
            report.address,
            f"its operations port does not answer: {report.error}",
            "check that the process runs, and that --operations names its operations port",
        )
        return
    name = f"{(report.service or 'process').replace('_', ' ')} {report.address}"
    unhealthy = [check for check in report.checks if not check.healthy]
    if report.state == "standby" or any(check.name == "prefix" for check in unhealthy):
        unhealthy = [check for check in unhealthy if check.name != "role"]
    ended = {f"tls_{each.link}" for each in report.certificates if (each.expires_seconds or 1) <= 0}
    yield from (
        _unhealthy(
            name,
            check,
            is_harmful=check.critical or check.name in _HARMFUL | ended,
        )
        for check in unhealthy
    )
    if not unhealthy:
        yield Finding(Severity.GOOD, name, report.state)
    yield from _judge_clock(name, report.clock_ahead_seconds)
    if report.revocation == "bounded":
        yield Finding(
            Severity.NOTE,
            name,
            "revocation is bounded: while root coord is unreachable, a revoked password "
            "passes for up to cache.ttl",
            "set revocation to strict, unless availability comes first",
        )


def _unhealthy(name: str, check: Check, *, is_harmful: bool) -> Finding:
    remedy = _TLS_REMEDY if check.name.startswith("tls_") else _REMEDIES.get(check.name)
    return Finding(
        Severity.WRONG if is_harmful else Severity.WARNING,
        name,
        f"{check.name}: {check.message}",
        remedy or _OTHER_REMEDY,
    )


def _judge_clock(name: str, ahead: float | None) -> Iterator[Finding]:
    if ahead is None or abs(ahead) < _CLOCK_TOLERANCE_SECONDS:
        return
    direction = "ahead of" if ahead > 0 else "behind"
    yield Finding(
        Severity.WRONG if abs(ahead) >= _CLOCK_WRONG_SECONDS else Severity.WARNING,
        name,
        f"its clock is {abs(ahead):.0f} s {direction} the one here: certificates may be "
        "refused, and logs do not line up (leases do not depend on it)",
        "synchronise the clocks of both machines (NTP)",
    )


def _judge_root_coords(root_coords: Sequence[ProcessReport]) -> Iterator[Finding]:
    if not root_coords:
        return
    active = [report for report in root_coords if report.is_active]
    if not active:
        yield Finding(
            Severity.WRONG,
            "root coord",
            "none of those asked is active: no password can be changed, and proxies refuse "
            "all calls when their leases have expired",
            "name all root coords with --operations; check that etcd answers, and read their logs",
        )
    elif len(root_coords) == 1:
        yield Finding(
            Severity.NOTE,
            "root coord",
            "only one was asked; without a standby none takes over when it fails",
            "start a second one with the same etcd, and list both in rootCoord.addresses",
        )
    for report in active:
        held, connected = report.leases, report.sessions
        if held is not None and connected is not None and held < connected:
            yield Finding(
                Severity.WARNING,
                f"root coord {report.address}",
                f"proxies with a lease: {held} of {connected} that are connected",
                "ask again; if it stays so, see the logs of the proxies",
            )
