"""The public port: accepts clients, and drains them at the end."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

from vecguard.addresses import Address
from vecguard.errors import UnavailableError
from vecguard.listening import listening_sockets
from vecguard.proxy.http2.buffers import Account, Buffers
from vecguard.proxy.http2.limits import LimitHits, Limits
from vecguard.proxy.relay.bounds import Bounds
from vecguard.proxy.relay.calls.call_counts import CallCounts
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.calls.tracing import Tracer
from vecguard.proxy.relay.clients.acceptor import Acceptor
from vecguard.proxy.relay.clients.balancers import NO_BALANCERS, BalancerPolicy, Balancers
from vecguard.proxy.relay.clients.buffer_relief import BufferRelief
from vecguard.proxy.relay.clients.client_link import ClientLink
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimits, Place
from vecguard.proxy.relay.clients.read_scheduler import ReadScheduler
from vecguard.proxy.relay.limits import limit_hits
from vecguard.proxy.relay.link import Keepalive
from vecguard.proxy.relay.reception import Authorizer, Gatekeeper, Reception
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Upstream

_BACKLOG = 1024
# Clients may be silent for hours; a vanished one is found within little more than a minute.
_KEEPALIVE = Keepalive(interval_seconds=60.0, timeout_seconds=10.0)
# How long to wait for a client that does not read its last bytes.
_CLOSE_TIMEOUT_SECONDS = 2.0
# A connection of a layer 7 balancer may have as many useless frames as so many clients: one client
# that cancels its calls must not close the connection of the others.
_CLIENTS_OF_BALANCER = 100


class Listener:
    """Serves the public port until it is drained.

    Attributes:
        hits: counts of the limits that were reached.
        buffers: the bytes that wait because of its clients, in both directions.
        connection_limits: the counts of connections, and of displaced ones.
        balancers: the load balancers in front, and what they did wrong.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        routes: Routes[Upstream],
        open_calls: OpenCalls,
        *,
        max_request_bytes: int,
        max_answer_bytes: int,
        limits: Limits,
        bounds: Bounds,
        hits: LimitHits | None = None,
        origin_of: Callable[[str], str] = str,
        balancers: BalancerPolicy = NO_BALANCERS,
        authorizer: Authorizer | None = None,
        filtering: Upstream | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Takes the parts; nothing listens before `start`.

        Args:
            gatekeeper: admits calls.
            routes: choose the upstream of a call.
            open_calls: is kept up to date with the connected clients.
            max_request_bytes: the maximum size of one message of a request, in bytes.
            max_answer_bytes: the maximum size of one message of an answer, in bytes.
            limits: the limits of each connection.
            bounds: the limits of all connections together.
            hits: counts the limits that are reached.
            origin_of: maps an address to its origin; one origin can have many addresses.
            balancers: which peers are believed about the addresses of their clients.
            authorizer: decides which calls a user may make; None: all of them.
            filtering: the upstream of the calls whose answers `authorizer` wants filtered.
            tracer: begins a span for each call; None: calls are not traced.
        """
        self._open_calls = open_calls
        self._limits = limits
        self._balancer_limits = replace(
            limits, useless_weight=limits.useless_weight * _CLIENTS_OF_BALANCER
        )
        self._lifetime = bounds.lifetime
        self._random = Random()  # noqa: S311 - it spreads connections in time and hides nothing
        self.hits = hits or limit_hits()
        self.buffers = Buffers(bounds.buffered_bytes)
        self.connection_limits = ConnectionLimits(bounds.connections, self.hits)
        self.balancers = Balancers(balancers, origin_of)
        self._reception = Reception(
            gatekeeper,
            routes,
            open_calls,
            max_request_bytes=max_request_bytes,
            max_answer_bytes=max_answer_bytes,
            authorizer=authorizer,
            filtering=filtering,
            tracer=tracer,
        )
        self._scheduler = ReadScheduler(asyncio.get_running_loop(), self.buffers)
        self._relief = BufferRelief(self.buffers, self._reception.links, self.hits)
        self._acceptor = Acceptor(
            self._make_link,
            self.connection_limits,
            handshake_seconds=bounds.lifetime.greeting_seconds,
            origin_of=origin_of,
            balancers=self.balancers,
            hits=self.hits,
        )

    def start(
        self, address: Address, *, tls: ssl.SSLContext | None = None, shares_port: bool = False
    ) -> None:
        """Listens on the address, together with other processes if `shares_port`.

        Raises CannotListenError if the address cannot be used.
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
        """The port that it listens on, also for a configured port of 0."""
        return self._acceptor.port

    @property
    def connections(self) -> int:
        """How many clients are connected or in the handshake."""
        return len(self.connection_limits)

    @property
    def call_counts(self) -> CallCounts:
        """Counts of the calls by how they ended."""
        return self._reception.call_counts

    @property
    def traffic(self) -> dict[str, int]:
        """Bytes received from clients and sent to them so far."""
        return self._reception.traffic

    async def drain(self, timeout_seconds: float) -> None:
        """Stops accepting and lets calls finish; ends the rest after `timeout_seconds`."""
        self._acceptor.stop()
        links = tuple(self._reception.links)
        for link in links:
            link.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                # Some calls were in flight when the GOAWAY was sent.
                for link in links:
                    await link.lost.wait()
        self._open_calls.end_all(UnavailableError("the proxy is shutting down, try again"))
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

    def _make_link(self, place: Place, address: tuple[str, int] | None) -> ClientLink:
        forwards = address is not None and self.balancers.forwarding_of(address[0]) is not None
        return ClientLink(
            self._reception,
            self._balancer_limits if forwards else self._limits,
            _KEEPALIVE,
            account=Account(self.buffers),
            lifetime=self._lifetime,
            random=self._random,
            hits=self.hits,
            place=place,
            scheduler=self._scheduler,
            address=address,
            balancers=self.balancers,
        )
