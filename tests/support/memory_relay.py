"""A relay without a socket: the test controls its clients and its backend."""

import asyncio
from contextlib import asynccontextmanager

from tests.support.memory_pair import End, join
from tests.support.relay_parts import RelayParts, own_tasks


class MemoryRelay(RelayParts):
    """A relay between clients and a backend in memory.

    Attributes:
        backends: the backend's side of every connection that the pool has made, oldest first.
        refuses: the error with which the backend refuses connections; None: it accepts them.
    """

    def __init__(self, *, backend_limits=None, **parts):
        self._backend_limits = backend_limits
        self.backends = []
        self.refuses = None
        super().__init__("backend:1", self._connect, **parts)

    @property
    def links(self):
        """The connections of clients."""
        return self.listener._reception.links

    def client(self, host="192.0.2.1", limits=None):
        """Returns a connected client."""
        place = self.listener.connection_limits.enter(host)
        assert place is not None
        end = End(client_side=True, limits=limits)
        link = self.listener._make_link(place, (host, 50_000))
        end.link = link
        join(end, link.as_protocol(), address=(host, 50_000))
        return end

    async def quiet(self):
        """Returns when only a timer or the test can cause further work."""
        loop = asyncio.get_running_loop()
        while True:
            # Other callbacks run first; whatever they schedule is in the loop's queue afterwards.
            await asyncio.sleep(0)
            if not loop._ready and not any(link.is_waiting for link in self.links):
                return

    async def arrived(self, client, *args, **options):
        """Makes a call that reaches the backend.

        Returns its stream numbers at the client and at the backend, and the backend.
        """
        call = client.request(*args, **options)
        await self.quiet()
        backend = self.backends[-1]
        return call, max(backend.streams), backend

    def traffic_to_backends(self):
        """Returns the bytes that every backend has received."""
        return [end.received for end in self.backends]

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
    """Yields a relay, which must leave nothing behind."""
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
