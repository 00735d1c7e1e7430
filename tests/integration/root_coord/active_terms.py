"""Elected root coords with real terms, one after the other or two at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from vecguard.addresses import Address
from vecguard.boot_clock import boot_clock
from vecguard.clock_margin import ClockMargin
from vecguard.config import Settings
from vecguard.etcd import EtcdClient
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.credentials import hash_to_wire
from vecguard.listening import listening_sockets
from vecguard.milvus_layout import Keys
from vecguard.passwords import PasswordHash
from vecguard.root_coord.active_term import ActiveTerm
from vecguard.root_coord.election import Election, ElectionKeys, Leadership
from vecguard.root_coord.metrics import RootCoordMetrics
from vecguard.root_coord.role import Role
from vecguard.root_coord.service import root_coord_server

ELECTION_TTL_SECONDS = 1.0


@dataclass
class Leader:
    """One root coord from its election on."""

    active_term: ActiveTerm
    running: asyncio.Task[None]
    client: EtcdClient
    port: int
    stub: pb.RootCoordStub

    async def create(self, username: str, password: PasswordHash) -> pb.MutationReply:
        return await self.stub.create_credential(
            pb.CreateCredentialRequest(
                actor=pb.Actor(anonymous=True), username=username, password=hash_to_wire(password)
            )
        )

    async def update(self, username: str, password: PasswordHash) -> pb.MutationReply:
        return await self.stub.update_credential(
            pb.UpdateCredentialRequest(
                actor=pb.Actor(anonymous=True), username=username, password=hash_to_wire(password)
            )
        )


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
    """A root coord that was elected and serves; it ends like a killed one."""
    settings = Settings.model_validate(
        {
            "lease": {"ttl": lease_ttl_seconds, "renewInterval": 0.1},
            "election": {"ttl": ELECTION_TTL_SECONDS},
        }
    )
    keys, role = Keys.of(root, "meta"), Role()
    async with EtcdClient([endpoint]) as client:
        election = Election(
            client,
            ElectionKeys.of(keys),
            address="somewhere",
            ttl_seconds=ELECTION_TTL_SECONDS,
            lease_ttl_seconds=lease_ttl_seconds,
            margin=ClockMargin(0.01, 0.1),
            clock=boot_clock,
            observer=role,
        )
        leadership = await election.campaign()
        metrics = RootCoordMetrics(CollectorRegistry())
        active_term = ActiveTerm(
            client, keys, leadership, settings=settings, clock=boot_clock, metrics=metrics
        )
        server = root_coord_server(role.require, changed=metrics.changed)
        sockets = listening_sockets(Address("127.0.0.1", 0), settings="the test's", backlog=100)
        port = sockets[0].getsockname()[1]
        channel = Channel(Address("127.0.0.1", port))
        server.listen(sockets)
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
            yield Leader(active_term, running, client, port, pb.RootCoordStub(channel, timeout=30))
        finally:
            channel.close()
            running.cancel()
            await asyncio.wait([running])
            role.release()
            await server.drain(1.0)
