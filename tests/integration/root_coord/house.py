"""Root coord's service on a real port over a real etcd, and proxies with real sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import betterproto
from grpclib.const import Cardinality
from prometheus_client import CollectorRegistry

from tests.support.credentials import header_of, login_settings, observed_authentication
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.boot_clock import boot_clock
from vecguard.clock_margin import ClockMargin
from vecguard.etcd import EtcdClient
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.credentials import hash_to_wire
from vecguard.listening import listening_sockets
from vecguard.milvus_layout import Keys
from vecguard.passwords import PasswordHash
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.revocation.effects import Revocations
from vecguard.proxy.root_coord.configured import open_root_coord
from vecguard.root_coord.credentials import Credentials
from vecguard.root_coord.metrics import RootCoordMetrics
from vecguard.root_coord.service import root_coord_server
from vecguard.root_coord.session_hub import LeaseTerms, SessionHub
from vecguard.root_coord.session_state import SessionState
from vecguard.root_coord.store.etcd import EtcdCredentialStore

USER_LIMIT = 20
#: More than the sessions of any test.
MAX_CONNECTIONS = 200
_ROUTE = "/vecguard.internal.v1.RootCoord/Session"


@dataclass
class RootCoordHouse:
    """One root coord, active for ever."""

    term: int
    client: EtcdClient
    keys: Keys
    store: EtcdCredentialStore
    hub: SessionHub
    credentials: Credentials
    address: Address
    channel: Channel
    registry: CollectorRegistry

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client: EtcdClient, root: str, *, ttl_seconds: float = 30.0
    ) -> AsyncIterator[Self]:
        keys = Keys.of(root, "meta")
        store = EtcdCredentialStore(client, keys)
        term = (await store.get("root")).revision
        registry = CollectorRegistry()
        metrics = RootCoordMetrics(registry)
        hub = SessionHub(
            SessionState(ttl_seconds),
            LeaseTerms(term, ttl_seconds, 0.1),
            boot_clock,
            invalidated=metrics.invalidated,
        )
        credentials = Credentials(store, hub, user_limit=USER_LIMIT)
        house: Self
        server = root_coord_server(lambda: house, changed=metrics.changed)
        sockets = listening_sockets(Address("127.0.0.1", 0), settings="the test's", backlog=100)
        address = Address("127.0.0.1", sockets[0].getsockname()[1])
        server.listen(sockets, name="rootCoord", max_connections=MAX_CONNECTIONS)
        channel = Channel(address)
        house = cls(term, client, keys, store, hub, credentials, address, channel, registry)
        try:
            yield house
        finally:
            channel.close()
            hub.close()
            await server.drain(5.0)

    @property
    def stub(self) -> pb.RootCoordStub:
        return pb.RootCoordStub(self.channel, timeout=20)

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


class SessionEnd:
    """A proxy's end of one real session stream, driven by hand."""

    def __init__(self, house: RootCoordHouse, proxy_id: str = "proxy") -> None:
        self._channel = Channel(house.address)
        self._proxy_id = proxy_id
        self._number = 0
        self.stream = self._channel.request(
            _ROUTE, Cardinality.STREAM_STREAM, pb.SessionRequest, pb.SessionReply
        )

    async def __aenter__(self) -> Self:
        await self.stream.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        with suppress(Exception):
            await self.stream.cancel()
        self.cut()
        with suppress(Exception):
            await self.stream.__aexit__(None, None, None)

    def cut(self) -> None:
        """Ends the connection without a word."""
        self._channel.close()

    async def open(self) -> pb.Opened:
        await self.send(pb.SessionRequest(open=pb.Open(proxy_id=self._proxy_id, version="1")))
        return await self.receive()

    async def renew(self) -> pb.Renewed:
        self._number += 1
        await self.send(pb.SessionRequest(renew=pb.Renew(number=self._number)))
        return await self.receive()

    async def open_with_lease(self) -> None:
        await self.open()
        assert isinstance(await self.renew(), pb.Renewed)

    async def acknowledge(self, sequence: int) -> None:
        await self.send(pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=sequence)))

    async def send(self, request: pb.SessionRequest) -> None:
        await self.stream.send_message(request)

    async def receive(self) -> Any:
        async with asyncio.timeout(10):
            reply = await self.stream.recv_message()
        return betterproto.which_one_of(reply or pb.SessionReply(), "kind")[1]


class Proxy:
    """What a proxy process holds, with a real session with root coord."""

    def __init__(self, address: Address, margin: ClockMargin) -> None:
        settings = login_settings(
            root_coord={"addresses": (str(address),)},
            lease={
                "grace": 0.0,
                "clock_margin": {"ratio": margin.ratio, "fixed": margin.fixed_seconds},
            },
        )
        access = open_root_coord(settings, tls=None, clock=boot_clock)
        self.root_coord, self.lease, self.trust = access.client, access.lease, access.trust
        self.authentication = observed_authentication(
            self.root_coord,
            settings=settings,
            clock=boot_clock,
            rehasher=self.root_coord,
            trust=self.trust,
            under_lease=access.is_under_lease,
        )
        self.authenticator = self.authentication.authenticator
        self.cache = self.authentication.credentials
        self.verifier = self.authentication.verifier
        self.revocations = Revocations(self.cache, self.authentication.logins, OpenCalls())

    async def login(self, username: str, password: str) -> int:
        principal = await self.authenticator.authenticate([header_of(username, password)])
        return principal.revision

    async def has_lease(self) -> bool:
        return self.trust.is_valid()


@asynccontextmanager
async def running_proxy(
    address: Address, margin: ClockMargin | None = None
) -> AsyncIterator[Proxy]:
    """A proxy that holds its lease; `address` is root coord's or a relay's to it."""
    proxy = Proxy(address, margin or ClockMargin(0.01, 0.05))
    link = asyncio.create_task(proxy.root_coord.run(proxy.revocations))
    try:
        await eventually(proxy.has_lease)
        yield proxy
    finally:
        link.cancel()
        await asyncio.wait([link])
        proxy.authentication.close()
