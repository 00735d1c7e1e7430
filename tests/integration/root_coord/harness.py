"""Root coord's service on a real port over a real etcd, and proxies with real sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import betterproto
from grpclib.const import Cardinality

from tests.integration.root_coord.active_terms import Leader, elected, lease_settings
from tests.support.credentials import (
    header_of,
    login_settings,
    observed_authentication,
    role_cache,
)
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.boot_clock import boot_clock
from vecguard.clock_margin import ClockMargin
from vecguard.config import Settings
from vecguard.etcd import EtcdClient
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.root_coord.configured import open_root_coord
from vecguard.proxy.root_coord.role_reader import RoleReader
from vecguard.proxy.root_coord.roles import RoleClient
from vecguard.root_coord.credentials import Credentials
from vecguard.root_coord.session_hub import SessionHub
from vecguard.root_coord.store.etcd import EtcdCredentialStore

USER_LIMIT = 20
#: More than the sessions of any test.
MAX_CONNECTIONS = 200
_ELECTION_TTL_SECONDS = 30.0
_ROUTE = "/vecguard.internal.v1.RootCoord/Session"


class RootCoordHarness(Leader):
    """A root coord that was elected and serves, with what it holds at hand."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client: EtcdClient, root: str, *, ttl_seconds: float = 30.0
    ) -> AsyncIterator[Self]:
        settings = Settings(
            lease=lease_settings(ttl_seconds),
            election={"ttl": ttl_seconds / 2},
            proxy={"max_user_num": USER_LIMIT},
        )
        # No other root coord waits for the end of this one, so that its election may be longer than
        # the leases, which settings refuse: a busy machine must not end it.
        election = settings.election.model_copy(update={"ttl": _ELECTION_TTL_SECONDS})
        settings = settings.model_copy(update={"election": election})
        async with elected(client, root, settings, max_connections=MAX_CONNECTIONS) as leader:
            yield cls(**vars(leader))

    @property
    def term(self) -> int:
        return self.active_term.term

    @property
    def store(self) -> EtcdCredentialStore:
        return self.active_term.store

    @property
    def hub(self) -> SessionHub:
        return self.active_term.hub

    @property
    def credentials(self) -> Credentials:
        return self.active_term.credentials


class SessionEnd:
    """A proxy's end of one real session stream, driven by hand."""

    def __init__(self, harness: RootCoordHarness, proxy_id: str = "proxy") -> None:
        self._channel = Channel(harness.address)
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

    def __init__(
        self,
        address: Address,
        margin: ClockMargin | None = None,
        *,
        grace_seconds: float = 0.0,
        cache_ttl_seconds: float = 600.0,
    ) -> None:
        margin = margin or ClockMargin(0.01, 0.05)
        settings = login_settings(
            root_coord={"addresses": (str(address),)},
            lease={
                "grace": grace_seconds,
                "clock_margin": {"ratio": margin.ratio, "fixed": margin.fixed_seconds},
            },
            cache={"ttl": cache_ttl_seconds},
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
        self.roles = role_cache(
            RoleReader(RoleClient(access.client)),
            clock=boot_clock,
            under_lease=access.is_under_lease,
        )
        self.open_calls = OpenCalls()
        self.revocations = Revocations(
            self.cache, self.authentication.logins, self.roles, self.open_calls
        )

    async def login(self, username: str, password: str) -> int:
        principal = await self.authenticator.authenticate([header_of(username, password)])
        return principal.revision

    async def has_lease(self) -> bool:
        return self.trust.is_valid()


@asynccontextmanager
async def running_proxy(
    address: Address, margin: ClockMargin | None = None, **options: float
) -> AsyncIterator[Proxy]:
    """A proxy that holds its lease; `address` is root coord's or a relay's to it."""
    proxy = Proxy(address, margin, **options)
    link = asyncio.create_task(proxy.root_coord.run(proxy.revocations))
    try:
        await eventually(proxy.has_lease)
        yield proxy
    finally:
        link.cancel()
        await asyncio.wait([link])
        proxy.authentication.close()
