"""Root coord's composition: the only place that knows every concrete class."""

import asyncio

from prometheus_client import CollectorRegistry

from services.root_coord.credentials import Credentials, ensure_root
from services.root_coord.revocation import Sessions
from services.root_coord.service import RootCoordService
from services.root_coord.sessions import LeaseTerms, SessionHub
from services.root_coord.store.etcd import EtcdCredentialStore
from services.root_coord.store.milvus_layout import Keys
from shared.clock import boot_clock
from shared.config import Settings
from shared.errors import ConfigurationError
from shared.etcd import EtcdClient
from shared.grpc.server import GrpcServer
from shared.lifecycle import ShutdownSignal
from shared.observability.health import Check, HealthReport
from shared.observability.log import get_logger
from shared.observability.operations import OperationsServer
from shared.passwords import PasswordHash, hash_password
from shared.secret import Secret

log = get_logger(__name__)

_DEFAULT_PASSWORD = Secret("Milvus")


async def run(settings: Settings, shutdown: ShutdownSignal) -> None:
    """Serves until told to stop, then carries through what has begun."""
    async with _etcd(settings) as etcd:
        store = EtcdCredentialStore(
            etcd, Keys.of(settings.etcd.root_path, settings.etcd.meta_sub_path)
        )
        await _prepare_root(settings, store)
        revision = (await store.get("root")).revision
        sessions = Sessions(settings.lease.ttl)
        terms = LeaseTerms(revision, settings.lease.ttl, settings.lease.renew_interval)
        hub = SessionHub(sessions, terms, boot_clock)
        credentials = Credentials(store, hub, user_limit=settings.proxy.max_user_num)
        server = GrpcServer([RootCoordService(store, credentials, hub, term=revision)])
        health = HealthReport()
        health.register(
            "sessions", lambda: Check("sessions", True, False, f"{hub.connected} proxies connected")
        )
        operations = OperationsServer(
            settings.root_coord.operations.ip,
            settings.root_coord.operations.port,
            health,
            CollectorRegistry(),
            key="rootCoord.operations",
        )
        try:
            await server.start(settings.root_coord.ip, settings.root_coord.port)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {settings.root_coord.ip}:{settings.root_coord.port} "
                f"({error.strerror or error}); free it or set rootCoord.ip and rootCoord.port"
            ) from error
        async with operations:
            log.info("serving", address=f"{settings.root_coord.ip}:{settings.root_coord.port}")
            await shutdown.wait()
            await credentials.drain()
            hub.close()
            await server.drain(settings.root_coord.drain_timeout)


def _etcd(settings: Settings) -> EtcdClient:
    auth = settings.etcd.auth
    return EtcdClient(
        settings.etcd.endpoints,
        username=auth.user_name if auth.enabled else None,
        password=auth.password if auth.enabled else None,
        request_timeout_seconds=settings.etcd.request_timeout / 1000,
    )


async def _prepare_root(settings: Settings, store: EtcdCredentialStore) -> None:
    password = settings.common.security.initial_root_password()

    async def hashed() -> PasswordHash:
        return await asyncio.to_thread(hash_password, password, settings.authentication.bcrypt_cost)

    if await ensure_root(store, hashed):
        log.info("root_created")
        if password == _DEFAULT_PASSWORD:
            log.warning("root has the well-known default password; change it now")
