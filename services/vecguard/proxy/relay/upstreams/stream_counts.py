"""Counts how many of an upstream's streams each caller holds."""

from collections.abc import Iterable

from vecguard.proxy.http2.stream import Stream


class StreamCounts:
    """Counts the open streams by caller.

    Exists only while streams are scarce, so that calls cost nothing here otherwise.
    """

    def __init__(self, streams: Iterable[Stream]) -> None:
        """Counts the streams that are open now."""
        self._callers: dict[Stream, str] = {}
        self._counts: dict[str, int] = {}
        for stream in streams:
            if stream.owner is not None:  # None if its call is over, and it is about to close
                self.opened(stream, stream.owner.caller)

    def count(self, caller: str) -> int:
        """Returns how many streams of this caller are open."""
        return self._counts.get(caller, 0)

    def opened(self, stream: Stream, caller: str) -> None:
        """Adds a stream of the caller."""
        self._callers[stream] = caller
        self._counts[caller] = self._counts.get(caller, 0) + 1

    def finished(self, stream: Stream) -> None:
        """Removes a closed stream."""
        caller = self._callers.pop(stream, None)
        if caller is not None:
            count = self._counts[caller] - 1
            if count:
                self._counts[caller] = count
            else:
                del self._counts[caller]
