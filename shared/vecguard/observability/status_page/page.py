"""Lays out the status page of a proxy or of root coord."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Final, Literal
from urllib.parse import quote
from xml.etree.ElementTree import Element

from vecguard.observability.details import (
    Certificate,
    Details,
    ProxyProcess,
    ProxySession,
    RootCoordProcess,
)
from vecguard.observability.health import Check, Health
from vecguard.observability.status_page.html import Content, document, element
from vecguard.observability.status_page.login_figures import added_up, login_section
from vecguard.observability.status_page.tables import badge, facts, section, table
from vecguard.wording import counted, duration

#: How often an open page asks for itself again.
REFRESH_SECONDS: Final = 5
#: Bars of a plot: as many as the history of a proxy has intervals.
_INTERVALS: Final = 120
_STYLE: Final = (
    resources.files("vecguard.observability.status_page").joinpath("page.css").read_text("utf-8")
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: The headers of the page. Only its own style sheet counts, and no script whatever it holds.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_Kind = Literal["good", "warning", "wrong", "quiet"]

_NAMES: Final = {"proxy": "proxy", "root_coord": "root coord"}
_TLS: Final = {
    "off": "off",
    "server": "the proxy shows a certificate",
    "mutual": "both sides show a certificate",
}
# By the colours of the style sheet in light mode; a tab has no scheme of its own.
_ICON_COLOURS: Final[dict[_Kind, str]] = {
    "good": "#1a7f4b",
    "warning": "#b26a00",
    "wrong": "#c62f2f",
    "quiet": "#5b6675",
}
_NONE: Final = "-"
#: Only a standby fails this check and nothing else.
_ROLE: Final = "role"
_TLS_CHECK: Final = "tls_"


def render(health: Health, now: datetime, *, refreshes: bool) -> bytes:
    """Returns the page.

    Args:
        health: the report, with its details.
        now: the time of the report, with its zone.
        refreshes: whether an open page asks for itself again.
    """
    details = health.details
    name = "process" if details is None else _NAMES[details.service]
    is_standby = name == "root coord" and {check.name for check in health.failures} == {_ROLE}
    state, kind = _state(health, is_standby=is_standby)
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("title", f"{state} · Vecguard {name}"),
        element("link", rel="icon", href=_icon(kind)),
        element("style", _STYLE),
    ]
    if refreshes:
        head.insert(1, element("meta", http_equiv="refresh", content=str(REFRESH_SECONDS)))
    body = [
        _header(name, state, kind, details, now),
        element("main", *_sections(health, is_standby=is_standby)),
        _footer(now, refreshes=refreshes),
    ]
    return document(head, body)


def _state(health: Health, *, is_standby: bool) -> tuple[str, _Kind]:
    if is_standby:
        return "standby", "quiet"
    if not health.ready:
        return "not ready", "wrong"
    return ("ready, with warnings", "warning") if health.warnings else ("ready", "good")


def _icon(kind: _Kind) -> str:
    circle = f'<circle cx="8" cy="8" r="7" fill="{_ICON_COLOURS[kind]}"/>'
    return "data:image/svg+xml," + quote(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{circle}</svg>'
    )


def _header(name: str, state: str, kind: _Kind, details: Details | None, now: datetime) -> Element:
    about = None
    if details is not None:
        # Negative after the machine's clock was set back.
        up = duration(max(0.0, (now - details.started_at).total_seconds()))
        about = element("p", f"version {details.version}, up for {up}", class_="quiet")
    title = element("h1", element("span", "Vecguard", class_="quiet"), f" {name} ")
    title.append(badge(state, kind))
    return element("header", title, about)


def _footer(now: datetime, *, refreshes: bool) -> Element:
    renews, link, text = (
        (f"renewed every {REFRESH_SECONDS} s", "?refresh=off", "stop")
        if refreshes
        else ("not renewed", ".", "renew")
    )
    return element(
        "footer",
        element(
            "p",
            f"As of {_time(now)}, {renews} (",
            element("a", text, href=link),
            "). This page changes nothing.",
        ),
        element(
            "p",
            element("a", "/metrics", href="metrics"),
            " · ",
            element("a", "/healthz", href="healthz"),
            " · what to do: docs/runbooks.md, docs/troubleshooting.md",
        ),
    )


def _sections(health: Health, *, is_standby: bool) -> Iterator[Element]:
    # A standby works as it should.
    problems = health.without({_ROLE}) if is_standby else health
    if problems.failures or problems.warnings:
        yield _problems(problems)
    details = health.details
    if details is None:
        yield section("Details", element("p", "They cannot be read; the log says why."))
    elif details.root_coord is not None:
        yield from _root_coord(details.root_coord, health.checks)
    elif details.proxies:
        yield from _proxy(details.proxies)
    if details is not None:
        yield _certificates(details.certificates, health.checks)
    yield _checks(health.checks, is_standby=is_standby)


def _problems(health: Health) -> Element:
    items = [
        element("li", element("strong", check.name), f": {check.message}", class_=kind)
        for kind, checks in (("wrong", health.failures), ("warning", health.warnings))
        for check in checks
    ]
    return element("section", element("h2", "Needs attention"), element("ul", *items))


def _root_coord(process: RootCoordProcess, checks: Sequence[Check]) -> Iterator[Element]:
    if process.term is None:
        yield section(
            "Role",
            *(element("p", check.message) for check in checks if check.name == _ROLE),
            element("p", "The page of the active root coord shows the proxies.", class_="quiet"),
        )
        return
    yield section(
        "Role",
        facts(
            ("Role", "active"),
            ("Term", str(process.term)),
            (
                "Active since",
                _NONE if process.active_since is None else _time(process.active_since),
            ),
            ("TLS for proxies", "on" if process.internal_tls else "off"),
            ("Root's password", _root_password(is_default=process.root_has_default_password)),
        ),
    )
    yield section(
        "Proxies",
        facts(
            ("Connected", str(process.connected)),
            ("With a lease", str(process.leases)),
            ("Changes that wait", str(process.changes_pending)),
        ),
        *_sessions(process),
    )


def _root_password(*, is_default: bool | None) -> Content:
    if is_default is None:
        return "not known yet"
    return badge("the well-known default", "warning") if is_default else "not the default"


def _sessions(process: RootCoordProcess) -> Iterator[Element]:
    if not process.sessions:
        yield element("p", "No proxy has a session.", class_="quiet")
        return
    yield table(
        ("Proxy", "Address", "Version", "Session", "Lease", "What waits for it"),
        [_session(each) for each in process.sessions],
        texts=(0, 2),
    )
    if process.sessions_left_out:
        more = counted(process.sessions_left_out, "proxy is", "proxies are")
        yield element("p", f"{more} not shown.", class_="quiet")


def _session(session: ProxySession) -> Sequence[Content]:
    waits: Content = "nothing"
    if session.unacknowledged:
        changes = counted(session.unacknowledged, "change", "changes")
        waits = badge(f"{changes}, for {session.waiting_seconds or 0.0:.1f} s", "warning")
    return (
        element("code", session.proxy_id),
        session.address or _NONE,
        session.version or _NONE,
        "connected" if session.connected else badge("lost", "warning"),
        _lease(session.lease_seconds or 0.0),
        waits,
    )


def _proxy(processes: Sequence[ProxyProcess]) -> Iterator[Element]:
    first = processes[0]  # all workers have the same settings
    yield section(
        "Security",
        facts(
            ("Authentication", "on" if first.authentication else badge("off", "warning")),
            ("Roles", "enforced" if first.roles_enforced else badge("not enforced", "warning")),
            ("Clients' TLS", _TLS[first.public_tls]),
            ("Revocation", first.revocation),
        ),
    )
    yield section("Session with root coord", _own_sessions(processes))
    yield section("Logins", *_logins(processes))
    yield section("Caches", _caches(processes))


def _own_sessions(processes: Sequence[ProxyProcess]) -> Element:
    return table(
        ("Process", "Id at root coord", "Root coord", "Lease"),
        [
            (
                "proxy" if each.worker is None else f"worker {each.worker}",
                element("code", each.proxy_id),
                each.root_coord or badge("no session", "warning"),
                _lease(each.lease_seconds),
            )
            for each in processes
        ],
    )


def _logins(processes: Sequence[ProxyProcess]) -> Iterable[Element]:
    if not processes[0].authentication:
        return (element("p", "Authentication is off: no login is checked.", class_="quiet"),)
    return login_section(added_up(each.logins for each in processes), _INTERVALS)


def _caches(processes: Sequence[ProxyProcess]) -> Element:
    sums: dict[str, int] = {}
    for process in processes:
        for name, size in process.caches.items():
            sums[name] = sums.get(name, 0) + size
    return facts(*((name.replace("_", " "), f"{size:,}") for name, size in sums.items()))


def _certificates(certificates: Sequence[Certificate], checks: Sequence[Check]) -> Element:
    if not certificates:
        return section("Certificates", element("p", "No connection is encrypted.", class_="quiet"))
    by_name = {check.name: check for check in checks}
    rows: list[Sequence[Content]] = []
    for each in certificates:
        check = by_name.get(f"{_TLS_CHECK}{each.link}")
        ends = "never" if each.expires_seconds is None else _ends(each.expires_seconds)
        problem = check is not None and not check.healthy
        rows.append(
            (
                each.link.replace("_", " "),
                badge(ends, "warning") if problem else ends,
                check.message if check is not None else _NONE,
            )
        )
    return section("Certificates", table(("Connection", "Ends", "State"), rows, texts=(2,)))


def _checks(checks: Sequence[Check], *, is_standby: bool) -> Element:
    return section(
        "Checks",
        table(
            ("Check", "Result", "What was found"),
            [
                (element("code", each.name), _result(each, is_standby=is_standby), each.message)
                for each in checks
                if not each.name.startswith(_TLS_CHECK)
            ],
            texts=(2,),
            class_="checks",
        ),
    )


def _result(check: Check, *, is_standby: bool) -> Element:
    if is_standby and check.name == _ROLE:
        return badge("standby", "quiet")
    if check.healthy:
        return badge("ok", "good")
    return badge("fails", "wrong") if check.critical else badge("warning", "warning")


def _ends(seconds: float) -> str:
    return f"in {duration(seconds)}" if seconds > 0 else "ended"


def _lease(seconds: float) -> Content:
    return f"{seconds:.1f} s" if seconds > 0 else badge("no lease", "warning")


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
