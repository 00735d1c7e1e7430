"""Tracks the position of a watch. Does no I/O: answers come in, whole batches go out."""

from collections.abc import Sequence

from vecguard.etcd.model import Event, WatchBatch
from vecguard.etcd.revisions import Header


class WatchCursor:
    """Makes complete, unrepeated batches of the answers of successive watches.

    A batch never holds only a part of a revision: if the connection breaks between two
    fragments, the watch can be resumed at `next_revision` without losing or repeating
    an event.

    Args:
        start_revision: the first revision to deliver; 0 means from now on.
    """

    def __init__(self, start_revision: int) -> None:
        self._next_revision = start_revision
        self._held: list[Event] = []

    @property
    def next_revision(self) -> int:
        """The revision at which a new watch must start; 0 until "now" is known."""
        return self._next_revision

    def created(self, header: Header) -> None:
        """Records that a watch was created. A watch from "now" begins after this revision."""
        self._held.clear()
        if self._next_revision == 0:
            self._next_revision = header.revision + 1

    def feed(self, header: Header, events: Sequence[Event], *, fragment: bool) -> WatchBatch | None:
        """Takes an answer. Returns the batch that it completes; None if it completes none."""
        if not events:
            # A notice of progress: all changes up to this revision have been sent. Only the
            # periodic kind carries our watch's id. The requested kind, which we never request,
            # overtakes events in etcd before 3.5.8 (etcd issue 15220).
            if not self._held and not fragment:
                self._advance(header.revision)
            return None
        self._held.extend(events)
        if fragment:
            # The last revision may continue in the next fragment.
            last = self._held[-1].kv.mod_revision
            complete = [event for event in self._held if event.kv.mod_revision < last]
            self._held = [event for event in self._held if event.kv.mod_revision == last]
        else:
            complete, self._held = self._held, []
        return self._batch(complete)

    def _batch(self, events: Sequence[Event]) -> WatchBatch | None:
        fresh = tuple(event for event in events if event.kv.mod_revision >= self._next_revision)
        if not fresh:
            return None
        # Not the header's revision: while a watch catches up, it is ahead of the events.
        self._advance(fresh[-1].kv.mod_revision)
        return WatchBatch(revision=fresh[-1].kv.mod_revision, events=fresh)

    def _advance(self, revision: int) -> None:
        self._next_revision = max(self._next_revision, revision + 1)
