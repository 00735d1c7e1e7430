"""Stores a change, revokes the older state at every proxy, and only then answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from vecguard.errors import OutcomeUnknownError, VecguardError
from vecguard.observability.log import get_logger
from vecguard.root_coord.errors import LeadershipLostError
from vecguard.root_coord.session_hub import SessionHub
from vecguard.root_coord.session_state import Revocation
from vecguard.root_coord.store.interface import Mutation

log = get_logger(__name__)

#: Represents a revision that cannot be read: everything that a proxy holds is older. It is the
#: largest number that the protocol can carry.
AFTER_EVERY_REVISION = 2**63 - 1


class Changes:
    """Runs the changes of one term.

    A change that has begun is finished even when its caller hangs up: if a stored change were
    not revoked, proxies would continue to decide by their caches.
    """

    def __init__(self, hub: SessionHub) -> None:
        self._hub = hub
        self._running: set[asyncio.Task[Mutation]] = set()
        self._closed = False

    async def run(
        self,
        change: Callable[[], Awaitable[Mutation]],
        revoked: Callable[[int, Mutation | None], Sequence[Revocation]],
        newest_revision: Callable[[], Awaitable[int]],
        *,
        subject: str,
        **named: str,
    ) -> Mutation:
        """Makes a change.

        Args:
            change: stores it.
            revoked: returns what a change revokes, by its revision and its outcome; None as
                outcome: it is unknown whether the change was made, before this revision.
            newest_revision: reads a revision at or after the change.
            subject: the kind of what is changed, for the log.
            named: further fields of the log entry.

        Raises:
            LeadershipLostError: no change begins any more.
        """
        if self._closed:
            raise LeadershipLostError

        async def store_and_revoke() -> Mutation:
            try:
                mutation = await change()
            except OutcomeUnknownError:
                # It may have been applied: proxies that hold the older state must read again.
                revision = await self._newest(newest_revision, named)
                await self._hub.invalidate(*revoked(revision, None))
                raise
            # Also where nothing had to be changed: an earlier attempt may have made the change
            # without reaching all proxies, or is about to reach them.
            if mutation.revision:
                await self._hub.invalidate(*revoked(mutation.revision, mutation))
            log.info(
                f"{subject}_changed" if mutation.applied else f"{subject}_unchanged",
                **named,
                outcome=mutation.outcome.name.lower(),
                revision=mutation.revision,
            )
            return mutation

        task = asyncio.create_task(store_and_revoke())
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def drain(self, timeout_seconds: float) -> None:
        """Refuses new changes and waits until the running ones are finished."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_seconds)

    def _ended(self, task: asyncio.Task[Mutation]) -> None:
        self._running.discard(task)
        # The exception is read here because a caller that has hung up does not read it.
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("change_failed", error=str(error))

    async def _newest(self, read: Callable[[], Awaitable[int]], named: dict[str, str]) -> int:
        try:
            return await read()
        except VecguardError as error:
            log.warning("revision_unknown", **named, reason=error.reason)
            return AFTER_EVERY_REVISION
