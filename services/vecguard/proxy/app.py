"""Composes the proxy: the only module that knows every concrete class."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecguard.addresses import Address
from vecguard.boot_clock import boot_clock
from vecguard.config import Settings
from vecguard.grpc.call import current_caller
from vecguard.grpc.channel import Channel
from vecguard.grpc.server import GrpcServer
from vecguard.grpc.transport import MAX_CONCURRENT_STREAMS
from vecguard.lifecycle import ShutdownSignal, settle_memory
from vecguard.observability.health import HealthReport
from vecguard.observability.log import get_logger
from vecguard.observability.metrics import service_registry, vecguard_version
from vecguard.observability.operations import OperationsServer
from vecguard.passwords import PasswordPolicy
from vecguard.proxy.accounts.accounts import Accounts
from vecguard.proxy.accounts.methods import SERVED, UNSERVED
from vecguard.proxy.accounts.permissions import Permissions
from vecguard.proxy.accounts.service import AccountService
from vecguard.proxy.accounts.unserved import UnservedRoles
from vecguard.proxy.audit.audit_log import AuditLog
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, QueueLimits
from vecguard.proxy.authentication.authenticator import Authenticator
from vecguard.proxy.authentication.buckets import Rate, TokenBucket
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.limits import FailureLimits, FailureRates, NoLimits
from vecguard.proxy.authentication.login_counts import LoginCounts
from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.authentication.origin import origin_of
from vecguard.proxy.authentication.tarpit import Tarpit
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.cpus import usable_cpus
from vecguard.proxy.gatekeeper import LoginGatekeeper, OpenGatekeeper
from vecguard.proxy.health.checks import HealthChecks
from vecguard.proxy.health.service import MAX_REQUEST_BYTES, HealthService, names_a_service
from vecguard.proxy.identity_headers import read_caller
from vecguard.proxy.metrics import (
    AuditCollector,
    LoginCollector,
    ProxyMetrics,
    RelayCollector,
    SessionCollector,
)
from vecguard.proxy.relay import configured
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.limits import limit_hits
from vecguard.proxy.relay.listener import Listener
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.pool import PoolPolicy
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Chooser, Upstream, in_process, over_tcp
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.lease_metrics import LeaseCollector
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.revocation.trust import BoundedTrust, StrictTrust
from vecguard.proxy.revocation.unconfirmed import OpenCallsWatch
from vecguard.proxy.root_coord.client import RootCoordClient
from vecguard.proxy.root_coord.session import Identity
from vecguard.proxy.tracing.configured import open_tracer
from vecguard.tls import connections
from vecguard.tls.peer import UserPattern
from vecguard.tls.reloading import ReloadingContext, context_of
from vecguard.tls.report import TlsCollector, register_checks
from vecguard.usernames import UsernamePolicy

if TYPE_CHECKING:
    from grpclib._typing import IServable

log = get_logger(__name__)

# The shortest time between two reads of a user's record because of wrong passwords.
_REFRESH_INTERVAL_SECONDS = 1.0
# The most look-ups at a time. A look-up mostly waits, and this many keep root coord busy over any
# network. Unknown logins cause fewer: no more than there are threads that check passwords.
_FETCHES_AT_A_TIME = 32
# The rate of look-ups of users that are not cached, so that guesses at names do not keep root coord
# and etcd busy. If more users may exist than the burst, their number is the burst, because all of
# them come back after a restart.
FETCH_BURST, FETCHES_PER_SECOND = 1000, 100.0
# The most remembered refused logins, which cost no bcrypt when they are repeated: some 30 MiB.
MAX_REFUSED_LOGINS = 100_000
# The time for a change, in addition to one lease: its longest wait for proxies that are cut off.
_MUTATION_GRACE_SECONDS = 15.0
# The client headers that our own services get, in addition to the identity headers.
_OWN_HEADERS = HeaderPolicy(
    only=frozenset((b"content-type", b"dbname", b"grpc-encoding")), shows_peer=True
)
_HEALTH_SERVICE = b"/grpc.health.v1.Health/*"
_HEALTH_WATCH = b"/grpc.health.v1.Health/Watch"
# The most calls of each of our own services that run at a time; the others wait. All running calls
# may take a step in one turn of the loop, which delays the connections.
_OWN_CALLS_AT_A_TIME = 32
# The queue of each of our own services, as of a backend. Watches, which keep their streams, get
# more connections.
_OWN_CALLS = PoolPolicy(connections=1, waiting=2000, idle_seconds=None)
_OWN_WATCHES = PoolPolicy(connections=8, waiting=2000, idle_seconds=300.0)
# Two passwords, a name and a description, each as long as can be configured, and half of the
# smallest window of a stream.
_MAX_ACCOUNT_BYTES = 32 * 1024


async def run(
    settings: Settings, shutdown: ShutdownSignal, serving: Callable[[], None] = lambda: None
) -> None:
    """Serves until `shutdown`, then lets open calls finish.

    Args:
        settings: `proxy.workers` is the number of processes that share the ports.
        shutdown: the signal to stop.
        serving: called once, when clients can connect.
    """
    shares_ports = settings.proxy.workers > 1
    async with AsyncExitStack() as stack:
        proxy = Proxy(settings)
        stack.callback(proxy.close)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(proxy.root_coord.run(proxy.revocations))]
            background += [tasks.create_task(link.run()) for link in proxy.tls.active]
            if proxy.open_calls_watch is not None:
                background.append(tasks.create_task(proxy.open_calls_watch.run()))
            background.append(tasks.create_task(proxy.audit.run()))
            proxy.listener.start(
                Address(settings.proxy.ip, settings.proxy.port),
                tls=context_of(proxy.tls.public),
                shares_port=shares_ports,
            )
            async with OperationsServer(
                settings.proxy.operations.ip,
                settings.proxy.operations.port,
                proxy.health,
                proxy.registry,
                key="proxy.operations",
                shares_port=shares_ports,
            ):
                log.info(
                    "serving",
                    address=str(Address(settings.proxy.ip, proxy.listener.port)),
                    backend=settings.backend.address,
                    compiled=is_compiled(),
                )
                settle_memory()
                serving()
                await shutdown.wait()
                proxy.is_draining = True
                await proxy.listener.drain(settings.proxy.drain_timeout)
            for task in background:
                task.cancel()


@dataclass(frozen=True, slots=True)
class TlsLinks:
    """The TLS contexts of a proxy's connections; None without TLS."""

    public: ReloadingContext | None
    root_coord: ReloadingContext | None
    backend: ReloadingContext | None

    @classmethod
    def of(cls, settings: Settings) -> "TlsLinks":
        """Returns the configured contexts. Raises ConfigurationError if a file cannot be used."""
        return cls(
            connections.public_listener(settings),
            connections.root_coord_client(settings),
            connections.backend_client(settings),
        )

    @property
    def active(self) -> list[ReloadingContext]:
        """The contexts of connections with TLS."""
        return [link for link in (self.public, self.root_coord, self.backend) if link is not None]


class Proxy:
    """Creates and connects the parts of one proxy process.

    Attributes:
        is_draining: whether it is stopping: open calls may end, and no client is accepted.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.tls = TlsLinks.of(settings)
        self.audit = AuditLog.open(settings.audit, "proxy")
        self._tracer = open_tracer(settings.trace, "proxy")
        self.health, self.registry = HealthReport(), service_registry("proxy")
        self.is_draining = False
        metrics = ProxyMetrics(self.registry)
        lease = Lease(settings.lease.margin)
        self.registry.register(LeaseCollector(lease, boot_clock, settings.revocation))
        self._trust = (
            StrictTrust(lease, boot_clock, grace_seconds=settings.lease.grace)
            if settings.revocation == "strict"
            else BoundedTrust()
        )
        self.root_coord = RootCoordClient(
            [Address.parse(address) for address in settings.root_coord.addresses],
            lambda address: Channel(address, tls=context_of(self.tls.root_coord)),
            identity=Identity(secrets.token_hex(8), vecguard_version(), settings.revocation),
            lease=lease,
            clock=boot_clock,
            renewed=self._trust.renewed,
            mutation_timeout_seconds=settings.lease.ttl + _MUTATION_GRACE_SECONDS,
            observe=metrics.root_coord_asked,
        )
        self._credentials = CredentialCache(
            self.root_coord,
            ttl_seconds=settings.cache.ttl,
            max_known=settings.cache.max_credentials,
            max_unknown=settings.cache.max_credentials,
            refresh_interval_seconds=_REFRESH_INTERVAL_SECONDS,
            clock=boot_clock,
            under_lease=lambda: lease.is_valid(boot_clock()),
        )
        self._verifier = Verifier(
            threads=settings.authentication.verifier_threads
            or max(1, usable_cpus() // settings.proxy.workers),
            queue_limit=settings.authentication.verifier_queue,
            queue_limit_per_origin=settings.authentication.verifier_queue_per_address,
            timeout_seconds=settings.authentication.verifier_timeout,
            cost=settings.authentication.bcrypt_cost,
            clock=boot_clock,
            observe=metrics.bcrypt_ran,
        )
        self._logins = Logins(
            max_accepted=settings.cache.max_logins,
            max_refused=MAX_REFUSED_LOGINS,
            key=secrets.token_bytes(32),
        )
        self._limits = self._login_limits()
        self._tarpit = Tarpit(settings.authentication.login_limits.delay)
        self._login_counts = LoginCounts()
        self._lookup_queue = self._open_lookup_queue()
        self._authenticator = Authenticator(
            logins=self._logins,
            credentials=self._credentials,
            verifier=self._verifier,
            trust=self._trust,
            rehasher=self.root_coord,
            clock=boot_clock,
            limits=self._limits,
            lookup_queue=self._lookup_queue,
        )
        self._active = active = OpenCalls()
        self.revocations = Revocations(self._credentials, self._logins, active)
        self.open_calls_watch = (
            OpenCallsWatch(lease, self.revocations, boot_clock, grace_seconds=settings.lease.grace)
            if settings.revocation == "strict" and settings.lease.end_open_calls
            else None
        )
        accounts = _own_service(
            "the account service",
            AccountService(
                self._accounts(),
                authorization_enabled=settings.common.security.authorization_enabled,
                audit=self.audit,
            ),
            UnservedRoles(),
            max_request_bytes=_MAX_ACCOUNT_BYTES,
            revocable=False,
        )
        health_service = HealthService(
            self.health,
            is_draining=lambda: self.is_draining,
            origin=lambda: origin_of(read_caller(current_caller().metadata).host),
        )
        health, watches = (
            _own_service(
                "the health service",
                health_service,
                max_request_bytes=MAX_REQUEST_BYTES,
                choose=self._answers_about_health,
                ends_soon=ends_soon,
            )
            for ends_soon in (True, False)
        )
        self.limit_hits = limit_hits()
        self.backend = backend = Upstream(
            f"backend {settings.backend.address}",
            over_tcp(
                Address.parse(settings.backend.address),
                timeout_seconds=settings.backend.connect_timeout,
                tls=context_of(self.tls.backend),
            ),
            authority=settings.backend.address,
            scheme=b"https" if self.tls.backend else b"http",
            policy=HeaderPolicy(authorization=settings.proxy.forward_authorization),
            pool=configured.pool(settings.backend.pool),
            hits=self.limit_hits,
        )
        self._upstreams = (accounts, health, watches, backend)
        self.listener = Listener(
            self._gatekeeper(),
            Routes(
                table={
                    **dict.fromkeys((*SERVED, *UNSERVED), accounts),
                    _HEALTH_SERVICE: health,
                    _HEALTH_WATCH: watches,
                },
                default=backend,
            ),
            active,
            max_request_bytes=settings.proxy.grpc.server_max_recv_size,
            max_answer_bytes=settings.proxy.grpc.server_max_send_size,
            limits=configured.limits(settings.proxy.http2),
            bounds=configured.bounds(settings.proxy.http2, settings.proxy.connections),
            hits=self.limit_hits,
            origin_of=origin_of,
            tracer=self._tracer,
        )
        self._register_checks()
        self._register_collectors()

    def close(self) -> None:
        """Releases what no task releases."""
        for upstream in self._upstreams:
            upstream.close()
        self._verifier.close()
        self._lookup_queue.close()
        self.audit.close()
        if self._tracer is not None:
            self._tracer.close()

    def _answers_about_health(self, request: bytes, encodings: Sequence[bytes]) -> Upstream | None:
        return self.backend if names_a_service(request, encodings) else None

    def _open_lookup_queue(self) -> AdmissionQueue:
        """Returns the queue for look-ups of users that are not cached."""
        settings = self._settings.authentication
        return AdmissionQueue(
            _FETCHES_AT_A_TIME,
            QueueLimits(
                settings.verifier_queue,
                settings.verifier_queue_per_address,
                settings.verifier_timeout,
            ),
            pace=TokenBucket(fetch_rate(self._settings.proxy.max_user_num)),
            clock=boot_clock,
        )

    def _login_limits(self) -> FailureLimits | NoLimits:
        limits = self._settings.authentication.login_limits
        if not limits.enabled:
            return NoLimits(clock=boot_clock)
        return FailureLimits(
            FailureRates(
                pair=Rate.per_minute(limits.pair_burst, limits.pair_per_minute),
                origin=Rate.per_minute(limits.address_burst, limits.address_per_minute),
                name=Rate.per_minute(limits.name_burst, limits.name_per_minute),
            ),
            clock=boot_clock,
        )

    def _accounts(self) -> Accounts:
        settings, security = self._settings.proxy, self._settings.common.security
        return Accounts(
            self.root_coord,
            self._credentials,
            self._verifier,
            authenticator=self._authenticator,
            permissions=Permissions(
                frozenset(security.super_users),
                anonymous_changes=security.allow_anonymous_changes,
            ),
            usernames=UsernamePolicy(
                settings.max_username_length, settings.name_validation.extra_chars
            ),
            passwords=PasswordPolicy(settings.min_password_length, settings.max_password_length),
            max_description_bytes=settings.max_user_description_length,
        )

    def _gatekeeper(self) -> LoginGatekeeper | OpenGatekeeper:
        pattern = self._settings.tls.user_from_certificate
        if not self._settings.common.security.authorization_enabled:
            log.warning(
                "authorization is off: every request passes; "
                "set common.security.authorizationEnabled to true"
            )
            return OpenGatekeeper()
        return LoginGatekeeper(
            self._authenticator,
            UserPattern.parse(pattern) if pattern else None,
            self.audit,
            self._tarpit,
            self._login_counts,
        )

    def _register_checks(self) -> None:
        HealthChecks(
            authorization_enabled=self._settings.common.security.authorization_enabled,
            anonymous_changes=self._settings.common.security.allow_anonymous_changes,
            revocation=self._settings.revocation,
            trust=self._trust,
            client=self.root_coord,
            backend=self.backend.pool,
            connection_limits=self.listener.connection_limits,
            is_draining=lambda: self.is_draining,
        ).register(self.health)
        register_checks(self.tls.active, self.health)

    def _register_collectors(self) -> None:
        collectors = [
            LoginCollector(
                authorization_enabled=self._settings.common.security.authorization_enabled,
                login_counts=self._login_counts,
                limits=self._limits,
                logins=self._logins,
                credentials=self._credentials,
                verifier=self._verifier,
                lookup_queue=self._lookup_queue,
                tarpit=self._tarpit,
            ),
            SessionCollector(self.root_coord, self.revocations),
            RelayCollector(self.listener, self._active, self.backend.pool, self.limit_hits),
            TlsCollector(self.tls.active),
            AuditCollector(self.audit),
        ]
        for collector in collectors:
            self.registry.register(collector)


def fetch_rate(max_users: int) -> Rate:
    """Returns the rate of look-ups of users that are not cached, for `max_users` users."""
    return Rate(max(FETCH_BURST, max_users), FETCHES_PER_SECOND)


def _own_service(
    name: str,
    *services: "IServable",
    max_request_bytes: int,
    revocable: bool = True,
    choose: Chooser | None = None,
    ends_soon: bool = True,
) -> Upstream:
    """Returns an upstream for services of this process, which only the relay can reach.

    At most `_OWN_CALLS_AT_A_TIME` calls run at a time, unless calls have no end, such as watches,
    which would keep out others.
    """
    server = GrpcServer(
        services,
        max_message_bytes=max_request_bytes,
        max_streams=_OWN_CALLS_AT_A_TIME if ends_soon else MAX_CONCURRENT_STREAMS,
    )
    return Upstream(
        name,
        in_process(server),
        authority="vecguard",
        policy=_OWN_HEADERS,
        revocable=revocable,
        max_request_bytes=max_request_bytes,
        choose=choose,
        pool=_OWN_CALLS if ends_soon else _OWN_WATCHES,
    )
