"""A relay whose users have roles, in front of any backend: lists are filtered, aliases resolved."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio
from pymilvus.grpc_gen import milvus_pb2_grpc

from tests.support.credentials import (
    ManualClock,
    ScriptedSource,
    observed_authentication,
    role_cache,
)
from tests.support.relay import Relay, channel, relaying
from tests.support.relay_parts import ScriptedGatekeeper
from vecguard.boot_clock import boot_clock
from vecguard.config import Settings
from vecguard.proxy.backend.alias_source import MilvusAliases
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.backend.configured import backend_client
from vecguard.proxy.backend.lists import Lists
from vecguard.proxy.own_services import open_lists
from vecguard.proxy.permissions.authorizer import RoleAuthorizer
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.revocation.trust import BoundedTrust

USERS = ("root", "alice", "bob", "admin_user")


@dataclass
class RolesRelay:
    """The running relay.

    Attributes:
        source: the users, roles and grants.
        revocations: tells the relay that they have changed.
        aliases: what it knows of aliases.
    """

    relay: Relay
    source: ScriptedSource
    revocations: Revocations
    aliases: Aliases

    @asynccontextmanager
    async def client(self, user: str) -> AsyncIterator["MilvusClient"]:
        """Yields a client that is logged in as `user`."""
        async with channel(self.relay.target) as opened:
            yield MilvusClient(opened, user)

    async def grant(self, role, *grants) -> None:
        self.source.grant(role, *grants)
        self.revocations.change_policy(self.source.revision)

    async def give(self, user, *roles) -> None:
        self.source.give(user, *roles)
        self.revocations.change_roles_of(user, self.source.revision)


class MilvusClient:
    """Calls Milvus's methods as one user: `await client("Search", request, dbname="a")`."""

    def __init__(self, opened: grpc.aio.Channel, user: str) -> None:
        self._stub = milvus_pb2_grpc.MilvusServiceStub(opened)
        self._user = user

    async def __call__(self, method, request, *more, dbname=None, timeout=10.0):
        metadata = [("authorization", credentials_of(self._user)), *more]
        if dbname is not None:
            metadata.append(("dbname", dbname))
        call = getattr(self._stub, method)
        return await call(request, metadata=metadata, timeout=timeout)


def credentials_of(user: str) -> str:
    return base64.b64encode(user.encode()).decode()


@asynccontextmanager
async def roles_relay(
    backend_port: int, *, forwards_authorization: bool = False, **options
) -> AsyncIterator[RolesRelay]:
    """Yields a relay. Logins are not checked: `authorization` is a user's name in base64."""
    settings = Settings(
        backend={"address": f"127.0.0.1:{backend_port}", "connect_timeout": 1.0},
        proxy={"forward_authorization": forwards_authorization},
    )
    source, clock = ScriptedSource(), ManualClock()
    for user in USERS:
        source.put(user, "secret1")
    source.grant("public")
    source.give("admin_user", "admin")
    authentication = observed_authentication(source, clock=clock)
    roles = role_cache(source, clock=clock)
    client = backend_client(settings, None)
    aliases = Aliases(MilvusAliases(client), clock=boot_clock)
    authorizer = RoleAuthorizer(
        authentication.credentials,
        roles,
        BoundedTrust(),
        clock,
        **{"root_is_bound": False, "enforced": True, "strict": True, "max_request_bytes": 2**20}
        | {"aliases": aliases}
        | options,
    )
    lists = open_lists(Lists(client, authorizer), forwards_authorization=forwards_authorization)
    gatekeeper = ScriptedGatekeeper()
    gatekeeper.admit_now = lambda authorization, client, earlier=None: Principal(
        base64.b64decode(authorization[0]).decode(), 101
    )
    async with relaying(
        backend_port,
        gatekeeper=gatekeeper,
        authorizer=authorizer,
        filtering=lists,
        policy=HeaderPolicy(authorization=forwards_authorization),
    ) as relay:
        revocations = Revocations(
            authentication.credentials, authentication.logins, roles, relay.open_calls
        )
        try:
            yield RolesRelay(relay, source, revocations, aliases)
        finally:
            lists.close()
            client.close()
