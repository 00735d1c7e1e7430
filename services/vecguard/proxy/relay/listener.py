"""The public port: accepts clients, and lets them go in good order."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from random import Random

from vecguard.addresses import Address
from vecguard.errors import UnavailableError
from vecguard.listening import listening_sockets
from vecguard.proxy.http2.buffers import Account, Buffers
from vecguard.proxy.http2.limits import LimitHits, Limits
from vecguard.proxy.relay.calls.call import Admitted
from vecguard.proxy.relay.calls.call_counts import CallCounts
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.calls.tracing import Tracer
from vecguard.proxy.relay.clients.acceptor import Acceptor
from vecguard.proxy.relay.clients.buffer_relief import BufferRelief
from vecguard.proxy.relay.clients.client_link import ClientLink
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimits, Place
from vecguard.proxy.relay.clients.read_scheduler import ReadScheduler
from vecguard.proxy.relay.configured import Bounds
from vecguard.proxy.relay.limits import limit_hits
from vecguard.proxy.relay.link import Keepalive
from vecguard.proxy.relay.reception import (
    Admission,
    Client,
    Gatekeeper,
    PeerCertificate,
    Reception,
)
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Upstream

__all__ = ["Admission", "Admitted", "Client", "Gatekeeper", "Listener", "PeerCertificate"]

_BACKLOG = 1024
# Clients may be silent for hours; what has vanished is found within little more than a minute.
_KEEPALIVE = Keepalive(interval_seconds=60.0, timeout_seconds=10.0)
# How long a client that does not read its last bytes is waited for.
_CLOSE_TIMEOUT_SECONDS = 2.0


class Listener:
    """Serves the public port until it is drained.

    Attributes:
        hits: what its limits did.
        buffers: what waits for its clients, in both directions.
        connection_limits: who is connected, and who had to make room.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        routes: Routes[Upstream],
        active: OpenCalls,
        *,
        max_request_bytes: int,
        max_answer_bytes: int,
        limits: Limits,
        bounds: Bounds,
        keepalive: Keepalive = _KEEPALIVE,
        hits: LimitHits | None = None,
        origin_of: Callable[[str], str] = str,
        tracer: Tracer | None = None,
    ) -> None:
        """Takes messages of so many bytes; `origin_of` says which addresses count as one."""
        self._active = active
        self._limits = limits
        self._lifetime = bounds.lifetime
        self._keepalive = keepalive
        self._random = Random()  # noqa: S311 - it spreads connections in time and hides nothing
        self.hits = hits or limit_hits()
        self.buffers = Buffers(bounds.buffered_bytes)
        self.connection_limits = ConnectionLimits(bounds.connections, self.hits)
        self._reception = Reception(
            gatekeeper,
            routes,
            active,
            max_request_bytes=max_request_bytes,
            max_answer_bytes=max_answer_bytes,
            tracer=tracer,
        )
        self._scheduler = ReadScheduler(asyncio.get_running_loop(), self.buffers)
        self._pressure = BufferRelief(self.buffers, self._reception.links, self.hits)
        self._acceptor = Acceptor(
            self._welcome,
            self.connection_limits,
            handshake_seconds=bounds.lifetime.greeting_seconds,
            origin_of=origin_of,
            hits=self.hits,
        )

    def start(
        self, address: Address, *, tls: ssl.SSLContext | None = None, shares_port: bool = False
    ) -> None:
        """Listens, beside other processes if it shares the port.

        Raises CannotListenError when the address cannot be used.
        """
        sockets = listening_sockets(
            address,
            settings="proxy.ip and proxy.port",
            backlog=_BACKLOG,
            shares_port=shares_port,
        )
        self._acceptor.start(sockets, tls)

    @property
    def port(self) -> int:
        """The port that is really listened on (for a configured port of 0)."""
        return self._acceptor.port

    @property
    def connections(self) -> int:
        """Clients that are connected, or about to be."""
        return len(self.connection_limits)

    @property
    def call_counts(self) -> CallCounts:
        """How calls have ended."""
        return self._reception.call_counts

    @property
    def traffic(self) -> dict[str, int]:
        """Bytes received from clients and sent to them so far."""
        return self._reception.traffic

    async def drain(self, timeout_seconds: float) -> None:
        """Stops accepting, lets calls finish, ends those that run after `timeout_seconds`."""
        self._acceptor.stop()
        links = tuple(self._reception.links)
        for link in links:
            link.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                # Some calls were on their way when the clients were told.
                for link in links:
                    await link.lost.wait()
        self._active.end_all(UnavailableError("the proxy is shutting down, try again"))
        await self._close_links()
        if self._reception.tasks:
            await asyncio.wait(self._reception.tasks)
        await self._acceptor.stopped()
        self._reception.close()

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

    def _welcome(self, place: Place) -> ClientLink:
        return ClientLink(
            self._reception,
            self._limits,
            self._keepalive,
            account=Account(self.buffers),
            lifetime=self._lifetime,
            random=self._random,
            hits=self.hits,
            place=place,
            scheduler=self._scheduler,
        )
