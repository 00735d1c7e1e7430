"""Defines what /healthz reports beside the checks. The status page shows nothing else.

Every list here has a bound, and every text comes from the settings, the code, or another process of
Vecguard. No secret, user name or address of a client belongs here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    # A worker of another version may report more.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Certificate(_Part):
    """The certificates of one connection that is encrypted.

    Attributes:
        link: the name of the connection, such as `public` or `etcd`.
        expires_seconds: until the first of them ends; negative after that, None if none ends.
    """

    link: str
    expires_seconds: float | None


class LoginHistory(_Part):
    """How many logins ended how, in each of the latest intervals.

    Attributes:
        interval_seconds: the length of an interval.
        last_interval: the number of the latest complete interval: equal numbers are equal times in
            all processes of a machine.
        counts: by result and reason, a count for each interval, the latest last. A reason that did
            not occur is left out.
    """

    interval_seconds: float
    last_interval: int
    counts: Mapping[str, Mapping[str, tuple[int, ...]]]


class ProxyProcess(_Part):
    """One proxy process, or one worker of a proxy with several.

    Attributes:
        worker: the worker's number; None for a proxy with a single process.
        authentication: whether clients must log in.
        roles_enforced: whether roles limit what users may do.
        public_tls: how clients connect: `off`, `server` (the proxy shows a certificate), `mutual`.
        revocation: the setting.
        proxy_id: the name by which root coord knows this process.
        root_coord: the address of the root coord of its session; None without a session.
        lease_seconds: for how long it may decide from memory; 0 without a lease.
        caches: how many entries each cache holds, by the label `cache` of the metric,
            and `role_sets`.
        logins: the latest logins.
    """

    worker: int | None = None
    authentication: bool
    roles_enforced: bool
    public_tls: Literal["off", "server", "mutual"]
    revocation: str
    proxy_id: str
    root_coord: str | None
    lease_seconds: float
    caches: Mapping[str, int]
    logins: LoginHistory


class ProxySession(_Part):
    """A proxy as the active root coord knows it.

    Attributes:
        proxy_id: the proxy's name for itself.
        address: where its stream comes from; "" while it has none.
        version: the proxy's version; "" while it has no stream.
        connected: whether it has a stream.
        lease_seconds: for how long it may decide from memory; None without a lease.
        unacknowledged: changes that it has not acknowledged, and that wait for it.
        waiting_seconds: how long the oldest of them has waited; None if none does.
    """

    proxy_id: str
    address: str
    version: str
    connected: bool
    lease_seconds: float | None
    unacknowledged: int
    waiting_seconds: float | None


class RootCoordProcess(_Part):
    """One root coord.

    Attributes:
        term: its term; None on standby.
        active_since: when it became the active one; None on standby.
        internal_tls: whether proxies connect by TLS.
        root_has_default_password: whether root's password is the well-known one; None where that
            is not known.
        changes_pending: changes that some proxy has not acknowledged.
        connected: proxies with a stream.
        leases: proxies with a lease.
        sessions: first the proxies that changes wait for, then proxies without a stream, then the
            others; a limited number.
        sessions_left_out: how many more there are.
    """

    term: int | None
    active_since: datetime | None
    internal_tls: bool
    root_has_default_password: bool | None
    changes_pending: int
    connected: int
    leases: int
    sessions: tuple[ProxySession, ...]
    sessions_left_out: int


class Details(_Part):
    """What a process reports of itself.

    Attributes:
        started_at: when it was started, by its own clock.
        certificates: of each connection with TLS.
        proxies: of a proxy, the process or each worker that answers.
        root_coord: of a root coord, itself.
    """

    service: Literal["proxy", "root_coord"]
    version: str
    started_at: datetime
    certificates: tuple[Certificate, ...]
    proxies: tuple[ProxyProcess, ...] = ()
    root_coord: RootCoordProcess | None = None
