"""Elected root coords with real terms, one after the other or two at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from vecguard.addresses import Address
from vecguard.boot_clock import boot_clock
from vecguard.config import Settings
from vecguard.etcd import EtcdClient
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.credentials import hash_to_wire
from vecguard.listening import listening_sockets
from vecguard.milvus_layout import Keys
from vecguard.passwords import PasswordHash
from vecguard.root_coord.active_term import ActiveTerm
from vecguard.root_coord.configured import election
from vecguard.root_coord.election import Leadership
from vecguard.root_coord.metrics import RootCoordMetrics
from vecguard.root_coord.role import Role
from vecguard.root_coord.service import root_coord_server

#: What etcd makes of a shorter one, too.
ELECTION_TTL_SECONDS = 2.0


@dataclass
class Leader:
    """One root coord from its election on."""

    active_term: ActiveTerm
    running: asyncio.Task[None]
    client: EtcdClient
    keys: Keys
    address: Address
    channel: Channel
    registry: CollectorRegistry

    @property
    def stub(self) -> pb.RootCoordStub:
        return pb.RootCoordStub(self.channel, timeout=30)

    async def create(
        self, username: str, password: PasswordHash, description: str = ""
    ) -> pb.MutationReply:
        return await self.stub.create_credential(
            pb.CreateCredentialRequest(
                actor=pb.Actor(anonymous=True),
                username=username,
                password=hash_to_wire(password),
                description=description,
            )
        )

    async def update(
        self, username: str, password: PasswordHash, *, expected_revision: int = 0
    ) -> pb.MutationReply:
        return await self.stub.update_credential(
            pb.UpdateCredentialRequest(
                actor=pb.Actor(anonymous=True),
                username=username,
                expected_revision=expected_revision,
                password=hash_to_wire(password),
            )
        )

    async def get(self, username: str) -> pb.GetCredentialReply:
        return await self.stub.get_credential(pb.GetCredentialRequest(username=username))


def lease_settings(ttl_seconds: float) -> dict[str, float]:
    """A lease whose renewals are as frequent as the usual one's, or more so if it is short.

    A proxy ends its session when three renewals in a row are not answered, and a busy machine
    delays an answer by some tenths of a second.
    """
    return {"ttl": ttl_seconds, "renew_interval": min(1.0, ttl_seconds / 4)}


async def _nothing(leadership: Leadership) -> None:
    del leadership


@asynccontextmanager
async def leading(
    endpoint: str,
    root: str,
    *,
    lease_ttl_seconds: float,
    prepare: Callable[[Leadership], Awaitable[None]] = _nothing,
) -> AsyncIterator[Leader]:
    """A root coord that was elected and serves; it ends like one that was killed."""
    settings = Settings(
        lease=lease_settings(lease_ttl_seconds),
        election={"ttl": ELECTION_TTL_SECONDS},
    )
    async with (
        EtcdClient([endpoint]) as client,
        elected(client, root, settings, prepare=prepare) as leader,
    ):
        yield leader


@asynccontextmanager
async def elected(
    client: EtcdClient,
    root: str,
    settings: Settings,
    *,
    prepare: Callable[[Leadership], Awaitable[None]] = _nothing,
    max_connections: int = 200,
) -> AsyncIterator[Leader]:
    """The same with settings and a client of etcd of the caller."""
    keys, role, registry = Keys.of(root, "meta"), Role(), CollectorRegistry()
    metrics = RootCoordMetrics(registry)
    leadership = await election(settings, client, keys, clock=boot_clock, observer=role).campaign()
    active_term = ActiveTerm(
        client, keys, leadership, settings=settings, clock=boot_clock, metrics=metrics
    )
    server = root_coord_server(role.require, changed=metrics.changed)
    sockets = listening_sockets(Address("127.0.0.1", 0), settings="the test's", backlog=100)
    address = Address("127.0.0.1", sockets[0].getsockname()[1])
    server.listen(sockets, name="rootCoord", max_connections=max_connections)
    channel = Channel(address)
    serving = asyncio.Event()

    def serve() -> None:
        role.assume(active_term)
        serving.set()

    running = asyncio.create_task(active_term.run(lambda: prepare(leadership), serve))
    try:
        started = asyncio.create_task(serving.wait())
        await asyncio.wait([running, started], return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        assert serving.is_set(), running.exception()
        yield Leader(active_term, running, client, keys, address, channel, registry)
    finally:
        channel.close()
        running.cancel()
        await asyncio.wait([running])
        role.release()
        await server.drain(5.0)
