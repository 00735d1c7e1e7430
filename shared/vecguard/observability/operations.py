"""Serves the operations port: a page, health and metrics over HTTP, read-only."""

import asyncio
import resource
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Final, Protocol, Self

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from vecguard.addresses import Address
from vecguard.bounded_listener import BoundedListener, ConnectionSlot
from vecguard.listening import close_all, listening_sockets
from vecguard.observability.exposition import Exposition
from vecguard.observability.health import Health, HealthSource
from vecguard.observability.health_json import as_json
from vecguard.observability.status_page import page
from vecguard.observability.timed_connection import IDLE_SECONDS, TimedConnection

#: Requests are answered at once; those still open at a stop get this long.
_SHUTDOWN_SECONDS: Final = 1.0
_BACKLOG: Final = 1024
#: Enough for a kubelet, a Prometheus and people. The descriptors that services reserve cover it.
MAX_CONNECTIONS: Final = 128
#: In a process with few descriptors, connections may take this part of them.
_PART_OF_DESCRIPTORS: Final = 8
#: A page takes some milliseconds of the event loop, in which a proxy serves nothing else: requests
#: within this time get the same one.
_PAGE_SECONDS: Final = 1.0
#: No client has a reason to send a body.
_MAX_BODY: Final = 1024


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MetricsSource(Protocol):
    """Gathers the metrics of a process or of its workers."""

    async def gather(self) -> CollectorRegistry:
        """Returns all metrics at this moment."""
        ...


class OperationsServer:
    """Serves /, /livez, /readyz, /healthz and /metrics while the context is open.

    It holds few connections. A new one replaces the oldest that waits for a request, so that a
    probe is answered however many clients are connected.

    As with Kubernetes's own servers, `/readyz?exclude=NAME`, once or more often, leaves checks
    out: a root coord on standby is healthy, and fails only `role`.

    Args:
        ip: the address to listen on.
        port: the port to listen on; 0 for any free one.
        health: answers /, /livez, /readyz and /healthz.
        registry: answers /metrics.
        key: the configuration section of ip and port, for errors.
        shares_port: whether other processes may hold the same port, such as the process that
            reserved it.
    """

    def __init__(
        self,
        ip: str,
        port: int,
        health: HealthSource,
        registry: CollectorRegistry | MetricsSource,
        *,
        key: str = "operations",
        shares_port: bool = False,
    ) -> None:
        self._ip = ip
        self._port = port
        self._health = health
        self._exposition = Exposition(_gathering(registry))
        self._key = key
        self._shares_port = shares_port
        self._pages: dict[bool, tuple[float, bytes]] = {}
        self._page_turn = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._runner: web.AppRunner
        # By aiohttp's protocol object of the connection.
        self._connections: dict[Any, TimedConnection] = {}

    @property
    def port(self) -> int:
        """The port that is listened on, while the context is open."""
        return self._port

    async def __aenter__(self) -> Self:
        """Starts to listen.

        Raises:
            CannotListenError: the process cannot listen on the address.
        """
        # HEAD comes with GET; aiohttp's router answers any other method on a known path with 405.
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[self._in_time])
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
            ]
        )
        app.on_response_prepare.append(_without_server)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            keepalive_timeout=IDLE_SECONDS,
        )
        async with AsyncExitStack() as stack:
            sockets = listening_sockets(
                Address(self._ip, self._port),
                settings=f"{self._key}.ip and {self._key}.port",
                backlog=_BACKLOG,
                shares_port=self._shares_port,
            )
            stack.callback(close_all, sockets)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.push_async_callback(self._exposition.close)
            self._runner = runner
            listener = BoundedListener(
                self._make_protocol, name=self._key, most=_most_connections()
            )
            stack.push_async_callback(listener.stopped)
            stack.callback(listener.stop)
            self._port = sockets[0].getsockname()[1]
            listener.start(sockets)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def _make_protocol(self, slot: ConnectionSlot) -> TimedConnection:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the context is not open")
        inner = server()
        gone = partial(self._connections.pop, inner)
        connection = self._connections[inner] = TimedConnection(slot, inner, gone)
        return connection

    @web.middleware
    async def _in_time(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = self._connections.get(request.protocol)
        if connection is None:
            raise ConnectionResetError("the client has closed the connection")
        connection.head_received()
        try:
            answer = await handler(request)
            # aiohttp itself prepares it only after our handler has returned.
            await answer.prepare(request)
            await answer.write_eof()
        finally:
            connection.answer_written()
        return answer

    async def _livez(self, _request: web.Request) -> web.Response:
        if await self._health.is_alive():
            return web.Response(text="ok")
        return web.Response(text="a part of the process hangs", status=503)

    async def _readyz(self, request: web.Request) -> web.Response:
        excluded = request.query.getall("exclude", [])
        return self._report((await self._health.assess()).without(excluded))

    async def _healthz(self, _request: web.Request) -> web.Response:
        return self._report(await self._health.assess(detailed=True))

    async def _page(self, request: web.Request) -> web.Response:
        refreshes = request.query.get("refresh") != "off"
        async with self._page_turn:
            now = asyncio.get_running_loop().time()
            made_at, body = self._pages.get(refreshes, (-inf, b""))
            if now - made_at >= _PAGE_SECONDS:
                health = await self._health.assess(detailed=True)
                body = page.render(health, datetime.now(UTC), refreshes=refreshes)
                self._pages[refreshes] = now, body
        return web.Response(
            body=body, content_type="text/html", charset="utf-8", headers=page.HEADERS
        )

    @staticmethod
    def _report(health: Health) -> web.Response:
        return web.json_response(as_json(health), status=200 if health.ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await self._exposition.text(encode, content_type)
        return web.Response(body=body, headers={"Content-Type": content_type})


async def _without_server(_request: web.Request, response: web.StreamResponse) -> None:
    """Leaves out the versions of Python and aiohttp, which help only attackers."""
    response.headers.pop(hdrs.SERVER, None)


def _gathering(
    registry: CollectorRegistry | MetricsSource,
) -> Callable[[], Awaitable[CollectorRegistry]]:
    if not isinstance(registry, CollectorRegistry):
        return registry.gather

    async def gather() -> CollectorRegistry:
        return registry

    return gather


def _most_connections() -> int:
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, descriptors // _PART_OF_DESCRIPTORS))
