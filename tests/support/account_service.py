"""The real account service over a directory in memory, without or with a port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.credentials import ManualClock, login_settings, observed_authentication
from tests.support.directory import MemoryDirectory
from tests.support.role_directory import MemoryRoles
from vecguard.addresses import Address
from vecguard.grpc.channel import Channel
from vecguard.grpc.server import GrpcServer
from vecguard.listening import listening_sockets
from vecguard.proxy.accounts import configured
from vecguard.proxy.accounts.service import AccountService
from vecguard.proxy.audit.audit_log import Audit


@asynccontextmanager
async def account_service(
    *usernames: str, audit: Audit | None = None, authorization: bool = True
) -> AsyncIterator[tuple[MemoryDirectory, AccountService]]:
    """Yields the directory and the service; each user's password is the name and `-first1`.

    Roles are in `directory.roles`.
    """
    settings = login_settings(common={"security": {"authorization_enabled": authorization}})
    directory = MemoryDirectory()
    directory.roles = MemoryRoles(directory)
    authentication = observed_authentication(directory, settings=settings, clock=ManualClock())
    directory.on_change = authentication.credentials.invalidate
    for username in usernames:
        await directory.add(username, f"{username}-first1")
    try:
        yield (
            directory,
            configured.account_service(settings, directory, directory.roles, authentication, audit),
        )
    finally:
        authentication.close()


@asynccontextmanager
async def running_account_service(
    *usernames: str, audit: Audit | None = None, authorization: bool = True
) -> AsyncIterator[tuple[MemoryDirectory, Channel]]:
    """Yields the directory of a running account service, and a channel to the service."""
    async with account_service(*usernames, audit=audit, authorization=authorization) as (
        directory,
        service,
    ):
        server = GrpcServer([service])
        sockets = listening_sockets(Address("127.0.0.1", 0), settings="the test's", backlog=100)
        channel = Channel(Address("127.0.0.1", sockets[0].getsockname()[1]))
        server.listen(sockets)
        try:
            yield directory, channel
        finally:
            channel.close()
            await server.drain(1.0)
