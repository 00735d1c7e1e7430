"""The proxy's composition: the only place that knows every concrete class."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass

from services.proxy.accounts.accounts import Accounts
from services.proxy.accounts.methods import SERVED, UNSERVED
from services.proxy.accounts.permissions import Permissions
from services.proxy.accounts.service import AccountService
from services.proxy.authentication.authenticator import Authenticator
from services.proxy.authentication.credentials import CredentialCache
from services.proxy.authentication.logins import Logins
from services.proxy.authentication.verifier import Verifier
from services.proxy.gatekeeper import LoginGatekeeper, OpenGatekeeper
from services.proxy.health import HealthService
from services.proxy.relay.active import ActiveCalls
from services.proxy.relay.headers import HeaderPolicy
from services.proxy.relay.listener import Listener
from services.proxy.relay.routing import Routes
from services.proxy.relay.upstream import Upstream, in_process, over_tcp
from services.proxy.revocation.effects import Revocations
from services.proxy.revocation.lease import ClockMargin, Lease
from services.proxy.revocation.session import Identity
from services.proxy.revocation.trust import BoundedTrust, StrictTrust
from services.proxy.root_coord import RootCoordLink
from shared.clock import boot_clock
from shared.config import Settings
from shared.grpc.addresses import Address
from shared.grpc.channel import Channel
from shared.grpc.server import GrpcServer
from shared.lifecycle import ShutdownSignal
from shared.observability.health import Check, HealthReport
from shared.observability.log import get_logger
from shared.observability.metrics import service_registry, vecguard_version
from shared.observability.operations import OperationsServer
from shared.passwords import PasswordPolicy
from shared.tls import links
from shared.tls.peer import UserPattern
from shared.tls.reloading import ReloadingContext, context_of
from shared.tls.report import TlsCollector, register_checks
from shared.usernames import UsernamePolicy

log = get_logger(__name__)

# One user's record is read again at most this often because of wrong passwords.
_REFRESH_INTERVAL_SECONDS = 1.0
# A change waits for proxies that are cut off, at most for one lease, and for etcd.
_MUTATION_GRACE_SECONDS = 15.0
# What our own services may see of a client's metadata, beside the identity headers.
_OWN_HEADERS = HeaderPolicy(only=frozenset((b"content-type", b"dbname")), shows_peer=True)
_HEALTH_SERVICE = b"/grpc.health.v1.Health/*"


async def run(settings: Settings, shutdown: ShutdownSignal) -> None:
    """Serves until told to stop, then lets open calls finish."""
    async with AsyncExitStack() as stack:
        proxy = Proxy(settings)
        stack.callback(proxy.close)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(proxy.link.run(proxy.revocations))]
            background += [tasks.create_task(link.run()) for link in proxy.tls.active]
            await proxy.listener.start(
                Address(settings.proxy.ip, settings.proxy.port), tls=context_of(proxy.tls.public)
            )
            async with OperationsServer(
                settings.proxy.operations.ip,
                settings.proxy.operations.port,
                proxy.health,
                proxy.registry,
                key="proxy.operations",
            ):
                log.info(
                    "serving",
                    address=f"{settings.proxy.ip}:{proxy.listener.port}",
                    backend=settings.backend.address,
                )
                await shutdown.wait()
                await proxy.listener.drain(settings.proxy.drain_timeout)
            for task in background:
                task.cancel()


@dataclass(frozen=True, slots=True)
class TlsLinks:
    """The TLS of each connection that a proxy has; None where it is plain."""

    public: ReloadingContext | None
    root_coord: ReloadingContext | None
    backend: ReloadingContext | None

    @classmethod
    def of(cls, settings: Settings) -> "TlsLinks":
        """As configured. Raises ConfigurationError when files cannot be used."""
        return cls(
            links.public_listener(settings),
            links.root_coord_client(settings),
            links.backend_client(settings),
        )

    @property
    def active(self) -> list[ReloadingContext]:
        """Those that are not plain."""
        return [link for link in (self.public, self.root_coord, self.backend) if link is not None]


class Proxy:
    """Every part of one proxy process, wired together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.tls = TlsLinks.of(settings)
        self.health, self.registry = HealthReport(), service_registry("proxy")
        lease = Lease(
            ClockMargin(settings.lease.clock_margin.ratio, settings.lease.clock_margin.fixed)
        )
        self._trust = (
            StrictTrust(lease, boot_clock, grace_seconds=settings.lease.grace)
            if settings.revocation == "strict"
            else BoundedTrust()
        )
        self.link = RootCoordLink(
            [Address.parse(address) for address in settings.root_coord.addresses],
            lambda address: Channel(address, tls=context_of(self.tls.root_coord)),
            identity=Identity(secrets.token_hex(8), vecguard_version(), settings.revocation),
            lease=lease,
            clock=boot_clock,
            renewed=self._trust.renewed,
            mutation_timeout_seconds=settings.lease.ttl + _MUTATION_GRACE_SECONDS,
        )
        self._credentials = CredentialCache(
            self.link,
            ttl_seconds=settings.cache.ttl,
            max_known=settings.cache.max_credentials,
            max_unknown=settings.cache.max_credentials,
            refresh_interval_seconds=_REFRESH_INTERVAL_SECONDS,
            clock=boot_clock,
        )
        self._verifier = Verifier(
            threads=settings.authentication.verifier_threads,
            queue_limit=settings.authentication.verifier_queue,
            timeout_seconds=settings.authentication.verifier_timeout,
            cost=settings.authentication.bcrypt_cost,
        )
        active = ActiveCalls()
        self.revocations = Revocations(self._credentials, active)
        self._server = GrpcServer(
            [
                AccountService(
                    self._accounts(),
                    authorization_enabled=settings.common.security.authorization_enabled,
                ),
                HealthService(self.health),
            ]
        )
        accounts = Upstream(
            "the account service",
            in_process(self._server),
            authority="vecguard",
            policy=_OWN_HEADERS,
            revocable=False,
        )
        health = Upstream(
            "the health service",
            in_process(self._server),
            authority="vecguard",
            policy=_OWN_HEADERS,
        )
        backend = Upstream(
            f"backend {settings.backend.address}",
            over_tcp(
                Address.parse(settings.backend.address),
                timeout_seconds=settings.backend.connect_timeout,
                tls=context_of(self.tls.backend),
            ),
            authority=settings.backend.address,
            scheme=b"https" if self.tls.backend else b"http",
            policy=HeaderPolicy(authorization=settings.proxy.forward_authorization),
        )
        self._upstreams = (accounts, health, backend)
        self.listener = Listener(
            self._gatekeeper(),
            Routes(
                table={**dict.fromkeys(SERVED, accounts), _HEALTH_SERVICE: health},
                unsupported=UNSERVED,
                default=backend,
            ),
            active,
            max_message_bytes=settings.proxy.grpc.server_max_recv_size,
        )
        self._register_checks()

    def close(self) -> None:
        """Releases what is not tied to a task."""
        for upstream in self._upstreams:
            upstream.close()
        self._verifier.close()

    def _accounts(self) -> Accounts:
        settings = self._settings.proxy
        return Accounts(
            self.link,
            self._credentials,
            self._verifier,
            permissions=Permissions(frozenset(self._settings.common.security.super_users)),
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
            Authenticator(
                logins=Logins(
                    max_accepted=self._settings.cache.max_logins,
                    max_refused=self._settings.cache.max_refusals,
                    key=secrets.token_bytes(32),
                ),
                credentials=self._credentials,
                verifier=self._verifier,
                trust=self._trust,
                rehasher=self.link,
            ),
            UserPattern.parse(pattern) if pattern else None,
        )

    def _register_checks(self) -> None:
        enabled = self._settings.common.security.authorization_enabled

        def authorization() -> Check:
            message = "every request is authenticated" if enabled else "off: every request passes"
            return Check("authorization", enabled, critical=False, message=message)

        def root_coord() -> Check:
            address = self.link.address
            valid = self._trust.is_valid() and address is not None
            message = (
                f"session with root coord at {address}, {self._settings.revocation} revocation"
                if valid
                else self._trust.explain().message
            )
            return Check("root_coord", valid, critical=enabled, message=message)

        self.health.register("authorization", authorization)
        self.health.register("root_coord", root_coord)
        register_checks(self.tls.active, self.health)
        self.registry.register(TlsCollector(self.tls.active))
