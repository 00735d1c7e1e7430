"""What is done when too much waits in the process."""

import asyncio
from collections.abc import Collection
from heapq import heapify, heapreplace

from vecguard.proxy.http2.buffers import Buffers
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.relay.clients.client_link import ClientLink
from vecguard.proxy.relay.limits import RelayLimit

# The process is brought down to this part of the bound, so that the next byte does not start
# the same again.
_RELIEVED_PART = 0.875


class BufferRelief:
    """Ends calls of those clients for which most waits.

    To stop reading instead would also stop the window updates and cancellations that make
    room, and clients whose answers wait would hold up those that only ask.
    """

    def __init__(self, buffers: Buffers, clients: Collection[ClientLink], hits: LimitHits) -> None:
        """`clients` are those that are connected at the time."""
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
        # Not the greatest of all for each: there may be thousands with as much.
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
                link.abort()  # most of it lies in a socket that is not read
            heapreplace(links, (-link.account.held, number, link))
