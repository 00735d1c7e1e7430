"""Composes the proxy: the only module that knows every part."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from vecguard.addresses import Address
from vecguard.boot_clock import boot_clock
from vecguard.config import Settings
from vecguard.config.exposure import proxy_exposure, trust_in_every_address
from vecguard.lifecycle import ShutdownSignal, settle_memory
from vecguard.observability.health import HealthReport, register_exposure
from vecguard.observability.log import get_logger
from vecguard.observability.metrics import service_registry
from vecguard.observability.operations import OperationsServer
from vecguard.proxy.accounts.configured import account_service
from vecguard.proxy.audit.audit_log import Audit, AuditLog
from vecguard.proxy.authentication.configured import (
    Authentication,
    open_authentication,
    open_verifier,
)
from vecguard.proxy.authentication.origin import origin_of
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authorization.methods import DROP_COLLECTION, RENAME_COLLECTION
from vecguard.proxy.backend.alias_source import MilvusAliases
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.backend.collection_changes import CollectionChangeService
from vecguard.proxy.backend.collections import MilvusCollections
from vecguard.proxy.backend.configured import backend_client
from vecguard.proxy.backend.lists import Lists
from vecguard.proxy.backend.settlement import Settlement
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.gatekeeper import LoginGatekeeper, OpenGatekeeper
from vecguard.proxy.health.checks import HealthChecks
from vecguard.proxy.health.details import ProxyDetails
from vecguard.proxy.health.login_history import LoginSampler
from vecguard.proxy.metrics import (
    AliasCollector,
    AuditCollector,
    LoginCollector,
    ProxyMetrics,
    RelayCollector,
    RoleCollector,
    SessionCollector,
)
from vecguard.proxy.own_services import (
    open_collection_changes,
    open_lists,
    open_own_services,
)
from vecguard.proxy.permissions.authorizer import RoleAuthorizer
from vecguard.proxy.permissions.explanations import Explainer, ExplanationService
from vecguard.proxy.permissions.role_cache import RoleCache
from vecguard.proxy.relay import configured
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.limits import limit_hits
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Upstream
from vecguard.proxy.revocation.configured import open_calls_watch
from vecguard.proxy.revocation.lease_metrics import LeaseCollector
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.root_coord.collection_changes import CollectionChangeClient
from vecguard.proxy.root_coord.configured import open_root_coord
from vecguard.proxy.root_coord.role_reader import RoleReader
from vecguard.proxy.root_coord.roles import RoleClient
from vecguard.proxy.tracing.configured import open_tracer
from vecguard.tls import connections
from vecguard.tls.peer import UserPattern
from vecguard.tls.reloading import ReloadingContext, context_of
from vecguard.tls.report import TlsCollector, register_checks

log = get_logger(__name__)


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
            background = [tasks.create_task(proxy.root_coord.client.run(proxy.revocations))]
            background += [tasks.create_task(context.run()) for context in proxy.tls.active]
            if proxy.open_calls_watch is not None:
                background.append(tasks.create_task(proxy.open_calls_watch.run()))
            if proxy.settlement is not None:
                background.append(tasks.create_task(proxy.settlement.run()))
            background.append(tasks.create_task(proxy.audit.run()))
            background.append(tasks.create_task(proxy.login_sampler.run()))
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
class TlsContexts:
    """The TLS contexts of a proxy's connections; None without TLS."""

    public: ReloadingContext | None
    root_coord: ReloadingContext | None
    backend: ReloadingContext | None

    @classmethod
    def of(cls, settings: Settings) -> "TlsContexts":
        """Returns the configured contexts. Raises ConfigurationError if a file cannot be used."""
        return cls(
            connections.public_listener(settings),
            connections.root_coord_client(settings),
            connections.backend_client(settings),
        )

    @property
    def active(self) -> list[ReloadingContext]:
        """The contexts of connections with TLS."""
        return [each for each in (self.public, self.root_coord, self.backend) if each is not None]


class Proxy:
    """Creates and connects the parts of one proxy process.

    Attributes:
        is_draining: whether it is stopping: open calls may end, and no client is accepted.
    """

    def __init__(self, settings: Settings) -> None:
        self.is_draining = False
        self.tls = TlsContexts.of(settings)
        self.audit = AuditLog.open(settings.audit, "proxy")
        self._tracer = open_tracer(settings.trace, "proxy")
        self.health, self.registry = HealthReport(), service_registry("proxy")
        self.limit_hits = limit_hits()
        metrics = ProxyMetrics(self.registry)
        self.root_coord = open_root_coord(
            settings,
            tls=context_of(self.tls.root_coord),
            clock=boot_clock,
            observe=metrics.root_coord_asked,
        )
        self.authentication = open_authentication(
            settings,
            source=self.root_coord.client,
            rehasher=self.root_coord.client,
            trust=self.root_coord.trust,
            under_lease=self.root_coord.is_under_lease,
            verifier=open_verifier(settings, clock=boot_clock, observe=metrics.bcrypt_ran),
            clock=boot_clock,
        )
        self.login_sampler = LoginSampler(self.authentication.counts.endings, boot_clock)
        role_client = RoleClient(self.root_coord.client)
        self.roles = RoleCache(
            RoleReader(role_client),
            ttl_seconds=settings.cache.ttl,
            clock=boot_clock,
            under_lease=self.root_coord.is_under_lease,
        )
        self.open_calls = OpenCalls()
        self.revocations = Revocations(
            self.authentication.credentials, self.authentication.logins, self.roles, self.open_calls
        )
        self.open_calls_watch = open_calls_watch(
            settings, self.root_coord.lease, self.revocations, boot_clock
        )
        self.backend = configured.backend(settings, context_of(self.tls.backend), self.limit_hits)
        self.backend_client = backend_client(settings, context_of(self.tls.backend))
        self.aliases = Aliases(MilvusAliases(self.backend_client), clock=boot_clock)
        self.authorizer = _authorizer(
            settings,
            self.authentication,
            self.roles,
            self.root_coord.trust,
            audit=self.audit,
            aliases=self.aliases,
            judge_again=self.revocations.judge_open_calls,
        )
        self._own_services = open_own_services(
            account_service(
                settings,
                self.root_coord.client,
                role_client,
                self.authentication,
                self.audit,
                outdated=self._forget,
            ),
            ExplanationService(
                Explainer(self.authorizer, self.authentication.credentials)
                if self.authorizer is not None
                else None
            ),
            self.health,
            backend=self.backend,
            is_draining=lambda: self.is_draining,
            forwards_authorization=settings.proxy.forward_authorization,
        )
        self._lists = None
        if self.authorizer is not None:
            self._lists = open_lists(
                Lists(self.backend_client, self.authorizer),
                forwards_authorization=settings.proxy.forward_authorization,
            )
        self.settlement: Settlement | None = None
        self._collection_changes: Upstream | None = None
        table = self._own_services.table
        if self.authorizer is not None:
            table = {**table, **self._collection_change_table(settings)}
        self.listener = configured.listener(
            settings.proxy,
            _gatekeeper(settings, self.authentication, self.audit),
            Routes(table=table, default=self.backend),
            self.open_calls,
            hits=self.limit_hits,
            origin_of=origin_of,
            authorizer=self.authorizer,
            filtering=self._lists,
            tracer=self._tracer,
        )
        self._register_checks(settings)
        self._register_collectors(settings)

    def _collection_change_table(self, settings: Settings) -> Mapping[bytes, Upstream]:
        """Returns the methods that drop or rename a collection, which also change its grants."""
        records = CollectionChangeClient(self.root_coord.client)
        self.settlement = Settlement(records, MilvusCollections(self.backend_client), self.audit)
        self._collection_changes = open_collection_changes(
            CollectionChangeService(
                self.backend_client,
                records,
                self.settlement,
                refused=self._forget,
            ),
            forwards_authorization=settings.proxy.forward_authorization,
        )
        return dict.fromkeys((DROP_COLLECTION, RENAME_COLLECTION), self._collection_changes)

    def _forget(self, username: str) -> None:
        """Drops the cached record and roles of a user, which are outdated."""
        self.authentication.credentials.forget(username)
        self.roles.invalidate_all()

    def close(self) -> None:
        """Releases what no task releases."""
        self._own_services.close()
        if self._collection_changes is not None:
            self._collection_changes.close()
        if self._lists is not None:
            self._lists.close()
        self.backend_client.close()
        self.backend.close()
        self.authentication.close()
        self.audit.close()
        if self._tracer is not None:
            self._tracer.close()

    def _register_checks(self, settings: Settings) -> None:
        HealthChecks(
            authorization_enabled=settings.common.security.authorization_enabled,
            anonymous_changes=settings.common.security.allow_anonymous_changes,
            roles_enforced=settings.common.security.rbac.enforced,
            revocation=settings.revocation,
            trust=self.root_coord.trust,
            client=self.root_coord.client,
            backend=self.backend.pool,
            connection_limits=self.listener.connection_limits,
            is_draining=lambda: self.is_draining,
        ).register(self.health)
        register_checks(self.tls.active, self.health)
        register_exposure(proxy_exposure(settings), self.health)
        for trust in trust_in_every_address(settings):
            log.warning(str(trust))
        self.health.describe(
            ProxyDetails(
                settings,
                self.authentication,
                self.roles,
                self.root_coord,
                self.login_sampler,
                self.tls.active,
            )
        )

    def _register_collectors(self, settings: Settings) -> None:
        for collector in (
            LeaseCollector(self.root_coord.lease, boot_clock, settings.revocation),
            LoginCollector(settings.common.security.authorization_enabled, self.authentication),
            SessionCollector(self.root_coord.client, self.revocations),
            RelayCollector(self.listener, self.open_calls, self.backend.pool, self.limit_hits),
            TlsCollector(self.tls.active),
            AuditCollector(self.audit),
            RoleCollector(self.roles, self.authorizer),
            AliasCollector(self.aliases),
        ):
            self.registry.register(collector)


def _gatekeeper(
    settings: Settings, authentication: Authentication, audit: Audit
) -> LoginGatekeeper | OpenGatekeeper:
    pattern = settings.tls.user_from_certificate
    if not settings.common.security.authorization_enabled:
        log.warning(
            "authorization is off: every request passes; "
            "set common.security.authorizationEnabled to true"
        )
        return OpenGatekeeper()
    return LoginGatekeeper(
        authentication.authenticator,
        UserPattern.parse(pattern) if pattern else None,
        audit,
        authentication.tarpit,
        authentication.counts,
    )


def _authorizer(
    settings: Settings,
    authentication: Authentication,
    roles: RoleCache,
    trust: Trust,
    *,
    audit: Audit,
    aliases: Aliases,
    judge_again: Callable[[str], None],
) -> RoleAuthorizer | None:
    security = settings.common.security
    if not security.authorization_enabled:
        return None
    if not security.rbac.enforced:
        log.warning(
            "roles are not enforced: every user may call every method except methods that manage "
            "users and roles; give the users roles, then set common.security.rbac.enforced to true"
        )
    return RoleAuthorizer(
        authentication.credentials,
        roles,
        trust,
        boot_clock,
        root_is_bound=security.root_should_bind_role,
        enforced=security.rbac.enforced,
        strict=security.rbac.strict,
        max_request_bytes=settings.proxy.grpc.server_max_recv_size,
        method_roles=settings.proxy.method_roles,
        audit=audit,
        aliases=aliases,
        judge_again=judge_again,
    )
