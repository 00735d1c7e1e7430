"""The public port: accepts clients, and lets them go in good order."""

import asyncio
import ssl
from contextlib import suppress

from services.proxy.http2.limits import Limits
from services.proxy.relay.active import ActiveCalls
from services.proxy.relay.client_link import ClientLink
from services.proxy.relay.link import Keepalive
from services.proxy.relay.reception import (
    Admission,
    Gatekeeper,
    PeerCertificate,
    Reception,
)
from services.proxy.relay.routing import Routes
from services.proxy.relay.upstream import Upstream
from shared.errors import ConfigurationError, UnavailableError
from shared.grpc.addresses import Address

__all__ = ["Admission", "Gatekeeper", "Listener", "PeerCertificate"]

# Clients may be silent for hours; what has vanished is found within little more than a minute.
_KEEPALIVE = Keepalive(interval_seconds=60.0, timeout_seconds=10.0)
# asyncio's own minute lets a client that says nothing hold a connection for that long.
_HANDSHAKE_SECONDS = 10.0
# How long a client that does not read its last bytes is waited for.
_CLOSE_TIMEOUT_SECONDS = 2.0


class Listener:
    """Serves the public port until it is drained."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        routes: Routes[Upstream],
        active: ActiveCalls,
        *,
        max_message_bytes: int,
        limits: Limits | None = None,
    ) -> None:
        self._active = active
        self._limits = limits or Limits()
        self._reception = Reception(gatekeeper, routes, active, max_message_bytes=max_message_bytes)
        self._server: asyncio.Server | None = None

    async def start(self, address: Address, *, tls: ssl.SSLContext | None = None) -> None:
        """Listens. Raises ConfigurationError when the address cannot be used."""
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: ClientLink(self._reception, self._limits, _KEEPALIVE),
                address.host,
                address.port,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
                backlog=1024,
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {address} ({error.strerror or error}); "
                "free it or set proxy.ip and proxy.port"
            ) from error

    @property
    def port(self) -> int:
        """The port that is really listened on (for a configured port of 0)."""
        if self._server is None:
            raise RuntimeError("the listener is not started")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Clients that are connected."""
        return len(self._reception.links)

    async def drain(self, timeout_seconds: float) -> None:
        """Stops accepting, lets calls finish, ends those that run after `timeout_seconds`."""
        if self._server is not None:
            self._server.close()
        for link in tuple(self._reception.links):
            link.go_away()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._active.emptied()  # some were on their way when the clients were told
        self._active.end_all(UnavailableError("the proxy is shutting down, try again"))
        await self._close_links()
        if self._reception.tasks:
            await asyncio.wait(self._reception.tasks)

    async def _close_links(self) -> None:
        links = tuple(self._reception.links)
        for link in links:
            link.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                for link in links:
                    await link.lost.wait()
        except TimeoutError:
            for link in links:
                link.abort()
