"""A relay without a socket: its clients and its backend are ends that a test speaks for."""

import asyncio
from contextlib import asynccontextmanager

from tests.support.memory_pair import End, join
from tests.support.relay_parts import RelayParts, own_tasks


class MemoryRelay(RelayParts):
    """Attributes:
    backends: the backend's side of every connection that the pool has made, the oldest first.
    refuses: why the backend takes no connection; None: it does.
    """

    def __init__(self, *, backend_limits=None, **parts):
        self._backend_limits = backend_limits
        self.backends = []
        self.refuses = None
        super().__init__("backend:1", self._connect, **parts)

    @property
    def links(self):
        """The clients' connections."""
        return self.listener._reception.links

    def client(self, host="192.0.2.1", limits=None):
        """A client that is connected."""
        place = self.listener.connection_limits.enter(host)
        assert place is not None
        end = End(client_side=True, limits=limits)
        link = self.listener._welcome(place)
        end.link = link
        join(end, link.as_protocol(), address=(host, 50_000))
        return end

    async def quiet(self):
        """Returns when nothing is left to do but what a timer, or a test, begins."""
        loop = asyncio.get_running_loop()
        while True:
            # Others were called before this goes on; what they have begun stands in line now.
            await asyncio.sleep(0)
            if not loop._ready and not any(link.is_waiting for link in self.links):
                return

    async def arrived(self, client, *args, **options):
        """Makes a call that the backend has. Returns its numbers here, there, and the backend."""
        call = client.request(*args, **options)
        await self.quiet()
        backend = self.backends[-1]
        return call, max(backend.streams), backend

    async def _connect(self, factory):
        if self.refuses is not None:
            raise self.refuses
        link = factory()
        backend = End(client_side=False, limits=self._backend_limits)
        join(link.as_protocol(), backend)
        self.backends.append(backend)
        await link.greeted.wait()
        return link


@asynccontextmanager
async def memory_relay(**options):
    """A relay that must leave nothing behind."""
    relay = MemoryRelay(**options)
    try:
        yield relay
    finally:
        async with asyncio.timeout(10.0):
            await relay.listener.drain(0.0)
        relay.upstream.close()
        await relay.quiet()
        assert not len(relay.open_calls)
        assert not relay.listener.connections
        assert not any(backend.connection.streams for backend in relay.backends)
        assert relay.listener.buffers.held == 0
        assert not own_tasks()
