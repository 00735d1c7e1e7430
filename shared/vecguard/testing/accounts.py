"""Manages users of a stack through its public port."""

import asyncio
import base64
import os
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from betterproto.lib.google.protobuf import Empty
from grpclib.client import Channel as GrpclibChannel
from grpclib.client import UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from vecguard.addresses import Address
from vecguard.cli.accounts import AccountClient
from vecguard.cli.connection import Login
from vecguard.cli.roles import RoleClient
from vecguard.errors import DeadlineError
from vecguard.grpc.channel import Channel
from vecguard.grpc.transport import Protocol, close_all
from vecguard.secret import Secret
from vecguard.testing.certificates import ClientFiles

T = TypeVar("T")

#: A change waits at most one lease (10 s) for proxies that are cut off, and for etcd.
_CHANGE_SECONDS = 30.0
_PROBE_SECONDS = 2.0
#: The backend answers it, not the proxy. Any answer will do.
_FORWARDED = "/milvus.proto.milvus.MilvusService/GetVersion"
_RANDOM_BYTES = 12


@dataclass(frozen=True, slots=True)
class Account:
    """A user name and its clear password, for tests to log in with."""

    username: str
    password: str = field(repr=False)

    @property
    def token(self) -> str:
        """The login in the form of pymilvus's `token`."""
        return f"{self.username}:{self.password}"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The login in the form of grpcio's `metadata`, for any gRPC service behind the proxy."""
        return (("authorization", base64.b64encode(self.token.encode()).decode()),)


def random_password() -> str:
    """Returns a password that no other stack has."""
    return base64.urlsafe_b64encode(os.urandom(_RANDOM_BYTES)).decode()


@dataclass(frozen=True, slots=True)
class PublicPort:
    """Calls a proxy's public port as a client on this machine.

    Every method may be called with or without an event loop running in the calling thread,
    and raises a VecguardError when the server refuses or gives no answer.
    """

    address: str
    tls: ClientFiles | None = None

    def create(self, login: Account, account: Account) -> None:
        """Adds a user."""
        password = Secret(account.password)
        self._as(login, lambda client: client.create(account.username, password, None))

    def give_role(self, login: Account, username: str, role: str) -> None:
        """Gives a role to a user; returns when every proxy decides by it."""
        self._within(
            _CHANGE_SECONDS,
            lambda channel: RoleClient(channel, self.address, _login(login)).give(role, username),
        )

    def change_password(self, login: Account, username: str, old: str, new: str) -> None:
        """Replaces a password; returns when every proxy refuses the old one."""
        secrets = Secret(new), Secret(old)
        self._as(login, lambda client: client.change_password(username, *secrets))

    def delete(self, login: Account, username: str) -> None:
        """Removes a user."""
        self._as(login, lambda client: client.delete(username))

    def forwards(self, login: Account) -> bool:
        """Returns whether a call with this login reaches the backend, whatever that answers."""

        async def ask(channel: GrpclibChannel) -> bool:
            method = UnaryUnaryMethod(channel, _FORWARDED, Empty, Empty)
            try:
                await method(Empty(), metadata=_login(login).metadata())
            except GRPCError as error:
                return error.status not in (Status.UNAVAILABLE, Status.UNAUTHENTICATED)
            return True

        try:
            return self._within(_PROBE_SECONDS, ask)
        except (OSError, DeadlineError):
            return False

    def _as(self, login: Account, call: Callable[[AccountClient], Awaitable[None]]) -> None:
        self._within(
            _CHANGE_SECONDS,
            lambda channel: call(AccountClient(channel, self.address, _login(login))),
        )

    def _within(self, seconds: float, call: Callable[[GrpclibChannel], Awaitable[T]]) -> T:
        async def answer() -> T:
            channel = Channel(
                Address.parse(self.address),
                tls=None if self.tls is None else _context(self.tls),
                server_name=None if self.tls is None else self.tls.server_name,
                connect_timeout_seconds=seconds,
            )
            try:
                async with asyncio.timeout(seconds):
                    return await call(channel)
            except TimeoutError as error:
                raise DeadlineError(
                    f"{self.address} did not answer within {seconds:g} s"
                ) from error
            finally:
                await _close(channel)

        return _run(answer())


async def _close(channel: Channel) -> None:
    # The loop ends next, and would leave a socket open that still sends TLS's closing messages.
    connected = channel._protocol  # noqa: SLF001 - grpclib has no way to wait for the end
    if isinstance(connected, Protocol):
        await close_all([connected])
    channel.close()


def _login(account: Account) -> Login:
    return Login(account.username, Secret(account.password))


def _context(files: ClientFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    return context


def _run(work: Coroutine[Any, Any, T]) -> T:
    # In its own thread, because the caller may be inside an event loop.
    with ThreadPoolExecutor(1, "vecguard-testing") as thread:
        return thread.submit(asyncio.run, work).result()
