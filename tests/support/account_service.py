"""The real account service over a directory in memory, without or with a port."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from tests.support.credentials import ManualClock, ObservedVerifier, authenticator_of
from tests.support.directory import MemoryDirectory
from vecguard.addresses import Address
from vecguard.grpc.channel import Channel
from vecguard.grpc.server import GrpcServer
from vecguard.listening import listening_sockets
from vecguard.passwords import PasswordPolicy
from vecguard.proxy.accounts.accounts import Accounts
from vecguard.proxy.accounts.permissions import Permissions
from vecguard.proxy.accounts.service import AccountService
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.usernames import UsernamePolicy


@asynccontextmanager
async def account_service(
    *usernames: str, super_users: Collection[str] = ()
) -> AsyncIterator[tuple[MemoryDirectory, AccountService]]:
    """Yields the directory and the service; each user's password is the name and `-first1`."""
    directory, verifier, clock = MemoryDirectory(), ObservedVerifier(), ManualClock()
    credentials = CredentialCache(
        directory,
        ttl_seconds=60,
        max_known=100,
        max_unknown=100,
        refresh_interval_seconds=1,
        clock=clock,
    )
    directory.on_change = credentials.invalidate
    accounts = Accounts(
        directory,
        credentials,
        verifier,
        authenticator=authenticator_of(credentials, verifier, clock=clock),
        permissions=Permissions(frozenset(super_users)),
        usernames=UsernamePolicy(),
        passwords=PasswordPolicy(),
        max_description_bytes=1024,
    )
    for username in usernames:
        await directory.add(username, f"{username}-first1")
    try:
        yield directory, AccountService(accounts)
    finally:
        verifier.close()


@asynccontextmanager
async def running_account_service(
    *usernames: str,
) -> AsyncIterator[tuple[MemoryDirectory, Channel]]:
    """Yields the directory of a running account service, and a channel to the service."""
    async with account_service(*usernames) as (directory, service):
        server = GrpcServer([service])
        sockets = listening_sockets(Address("127.0.0.1", 0), settings="the test's", backlog=100)
        channel = Channel(Address("127.0.0.1", sockets[0].getsockname()[1]))
        server.listen(sockets)
        try:
            yield directory, channel
        finally:
            channel.close()
            await server.drain(1.0)
