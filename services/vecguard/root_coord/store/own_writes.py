"""Remembers which changes of the store this root coord made itself."""

import asyncio
from collections.abc import Awaitable

from cachetools import LRUCache

from vecguard.etcd import DeleteResult, PutResult, TxnResult

# The watch sees a change moments after it is written, so few are remembered at a time.
_REMEMBERED = 10_000
# The watch may see a change before its writer has etcd's answer, which follows at once unless it
# is lost.
_LONGEST_WAIT_SECONDS = 1.0


class OwnWrites:
    """Holds the revisions that this root coord wrote, so that the watch can recognise them.

    The writer revokes its own changes itself; some need no revocation. A change whose answer is
    lost counts as foreign, which is safe: it is revoked again.
    """

    def __init__(self) -> None:
        self._revisions: LRUCache[int, None] = LRUCache(_REMEMBERED)
        self._running: set[asyncio.Future[None]] = set()

    async def made(self, transaction: Awaitable[TxnResult]) -> TxnResult:
        """Waits for a transaction of this root coord and records its revision."""
        ended = asyncio.get_running_loop().create_future()
        self._running.add(ended)
        try:
            result = await transaction
            # Without a change it has the revision of the change before, which may be foreign.
            if result.succeeded and any(map(_changed_something, result.responses)):
                self._revisions[result.revision] = None
        finally:
            self._running.discard(ended)
            ended.set_result(None)
        return result

    async def ended(self) -> None:
        """Waits for the end of the writes that are running now."""
        if self._running:
            await asyncio.wait(tuple(self._running))

    async def has(self, revision: int) -> bool:
        """Returns whether this root coord wrote a revision that the watch has seen.

        Waits a moment for writes that are still unanswered.
        """
        if revision not in self._revisions and self._running:
            await asyncio.wait(tuple(self._running), timeout=_LONGEST_WAIT_SECONDS)
        return revision in self._revisions


def _changed_something(response: object) -> bool:
    return isinstance(response, PutResult) or (
        isinstance(response, DeleteResult) and response.deleted > 0
    )
