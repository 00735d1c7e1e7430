"""Frees memory when too many bytes wait in the process."""

import asyncio
from collections.abc import Collection
from heapq import heapify, heapreplace

from vecguard.proxy.http2.buffers import Buffers
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.relay.clients.client_link import ClientLink
from vecguard.proxy.relay.limits import RelayLimit

# Relief frees bytes down to this part of the limit, so that it is not due again at once.
_RELIEVED_PART = 0.875


class BufferRelief:
    """Ends the calls of the clients for which most bytes wait.

    To stop reading instead would also stop the window updates and cancellations that free
    memory, and clients whose answers wait would delay clients that only send requests.
    """

    def __init__(self, buffers: Buffers, clients: Collection[ClientLink], hits: LimitHits) -> None:
        """`clients` is a live collection of the connected clients."""
        self._buffers = buffers
        self._clients = clients
        self._hits = hits
        self._is_relief_due = False
        buffers.overflowed = self._overflowed

    def _overflowed(self) -> None:
        if not self._is_relief_due:
            self._is_relief_due = True
            asyncio.get_running_loop().call_soon(self._relieve)

    def _relieve(self) -> None:
        self._is_relief_due = False
        enough = self._buffers.limit * _RELIEVED_PART
        # A heap, because there may be thousands of clients with as much.
        links = [(-link.account.held, number, link) for number, link in enumerate(self._clients)]
        heapify(links)
        while self._buffers.held > enough and links:
            _, number, link = links[0]
            before = link.account.held
            if not before:
                return
            self._hits.hit(RelayLimit.BUFFERED)
            link.relieve()
            if link.account.held * 2 > before:
                link.abort()  # most of it waits in the socket of a client that does not read
            heapreplace(links, (-link.account.held, number, link))
