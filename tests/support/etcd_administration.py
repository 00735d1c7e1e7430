"""What an operator does to etcd, which our client cannot do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grpclib.client import Channel

from vecguard.addresses import Address
from vecguard.generated import etcdserverpb as pb
from vecguard.generated.authpb import Permission, PermissionType


@asynccontextmanager
async def channel_to(endpoint: str) -> AsyncIterator[Channel]:
    place = Address.parse(endpoint)
    async with Channel(place.host, place.port) as channel:
        yield channel


async def compact(endpoint: str, revision: int) -> None:
    """Compacts everything before a revision."""
    async with channel_to(endpoint) as channel:
        await pb.KvStub(channel).compact(
            pb.CompactionRequest(revision=revision, physical=True), timeout=10
        )


async def enable_authentication(
    endpoint: str, *, root_password: str, user: str, password: str, user_prefix: bytes
) -> None:
    """Creates root and a user with access below a prefix, then enables authentication."""
    async with channel_to(endpoint) as channel:
        auth = pb.AuthStub(channel, timeout=20)
        await auth.user_add(pb.AuthUserAddRequest(name="root", password=root_password))
        await auth.role_add(pb.AuthRoleAddRequest(name="root"))
        await auth.user_grant_role(pb.AuthUserGrantRoleRequest(user="root", role="root"))
        await auth.role_add(pb.AuthRoleAddRequest(name="limited"))
        await auth.role_grant_permission(
            pb.AuthRoleGrantPermissionRequest(
                name="limited",
                permission=Permission(
                    permission_type=PermissionType.from_string("READWRITE"),
                    key=user_prefix,
                    range_end=user_prefix[:-1] + bytes([user_prefix[-1] + 1]),
                ),
            )
        )
        await auth.user_add(pb.AuthUserAddRequest(name=user, password=password))
        await auth.user_grant_role(pb.AuthUserGrantRoleRequest(user=user, role="limited"))
        await auth.auth_enable(pb.AuthEnableRequest())
