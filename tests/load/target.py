"""The deployment under load: its proxies, how to reach them, and calls that need a login."""

import asyncio
import base64
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.load.errors import LoadError
from vecguard.secret import Secret

GET_VERSION = "/milvus.proto.milvus.MilvusService/GetVersion"
HEALTH = "/grpc.health.v1.Health/Check"

_CONNECT_SECONDS = 10.0
#: Each channel has a connection of its own, as separate client processes would.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))

Header = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Account:
    username: str
    password: Secret[str]

    @property
    def header(self) -> Header:
        """What pymilvus sends with each call."""
        pair = f"{self.username}:{self.password.reveal()}"
        return (("authorization", base64.b64encode(pair.encode())),)


@dataclass(frozen=True)
class Encryption:
    """How to speak TLS.

    Attributes:
        ca: PEM file with the CAs to trust; None: those of the system.
        certificate, key: PEM files to show; None: no certificate.
        server_name: the name to expect, if not the host's.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises LoadError when a file cannot be read."""
        try:
            parts = [
                None if file is None else file.read_bytes()
                for file in (self.ca, self.key, self.certificate)
            ]
        except OSError as error:
            raise LoadError(f"cannot read {error.filename}: {error.strerror}") from error
        return grpc.ssl_channel_credentials(*parts)


class Target:
    """Where the load goes.

    Attributes:
        addresses: host:port of each proxy, or of what balances them.
        method: the unary call whose answer needs a login; it is sent without a message.
        timeout_seconds: how long an answer may take.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        method: str = GET_VERSION,
        encryption: Encryption | None = None,
        timeout_seconds: float = 30.0,
        connections: int = 4,
    ) -> None:
        self.addresses = tuple(addresses)
        self.method = method
        self.timeout_seconds = timeout_seconds
        self._encryption = encryption
        self._credentials = None if encryption is None else encryption.credentials()
        self._connections = connections
        self._channels: list[list[grpc.aio.Channel]] = []
        # One for each purpose: a shared one would tie a proxy to a connection.
        self._proxy_turn = itertools.count()
        self._connection_turn = itertools.count()
        self._call_number = itertools.count()

    async def open(self) -> None:
        """Connect to every proxy.

        Raises:
            LoadError: one cannot be reached.
        """
        self._channels = [
            [self.channel(proxy) for _ in range(self._connections)]
            for proxy in range(len(self.addresses))
        ]
        for address, channels in zip(self.addresses, self._channels, strict=True):
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    for channel in channels:
                        await channel.channel_ready()
            except TimeoutError as error:
                raise LoadError(
                    f"no connection to {address} within {_CONNECT_SECONDS:g} s; is it the public "
                    "port of a proxy, and does it want TLS (--ca)?"
                ) from error

    async def close(self) -> None:
        for channel in itertools.chain(*self._channels):
            await channel.close()

    def channel(self, proxy: int) -> grpc.aio.Channel:
        """A new connection; the caller closes it."""
        options: list[tuple[str, str | int]] = list(_OWN_CONNECTION)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.addresses[proxy], options=options)
        if self._encryption is not None and self._encryption.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self._encryption.server_name))
        return grpc.aio.secure_channel(self.addresses[proxy], self._credentials, options=options)

    def next_proxy(self) -> int:
        """Each proxy in turn."""
        return next(self._proxy_turn) % len(self.addresses)

    async def call(
        self, proxy: int, header: Header, channel: grpc.aio.Channel | None = None
    ) -> bytes:
        """The answer to one call that needs this login. Raises `grpc.aio.AioRpcError`."""
        if channel is None:
            channel = self._open_channel(proxy)
        # pymilvus sends an id of its own with each call, which no header table can hold.
        unique = (("client-request-id", f"load-{next(self._call_number)}"),)
        answer: bytes = await channel.unary_unary(self.method)(
            b"", metadata=header + unique, timeout=self.timeout_seconds
        )
        return answer

    async def account_call(
        self,
        proxy: int,
        method: str,
        message: bytes,
        header: Header,
        parse: Callable[[bytes], object] | None = None,
    ) -> object:
        """One of Milvus's account RPCs, with `message` in its encoded form."""
        call = self._open_channel(proxy).unary_unary(
            f"/milvus.proto.milvus.MilvusService/{method}", response_deserializer=parse
        )
        return await call(message, metadata=header, timeout=self.timeout_seconds)

    def _open_channel(self, proxy: int) -> grpc.aio.Channel:
        return self._channels[proxy][next(self._connection_turn) % self._connections]
