"""Which caller holds how many of an upstream's streams."""

from collections.abc import Iterable

from vecguard.proxy.http2.stream import Stream


class Holdings:
    """Counted only while streams are scarce, so that a call costs nothing here otherwise."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        """Begins with the streams that are open now."""
        self._callers: dict[Stream, str] = {}
        self._counts: dict[str, int] = {}
        for stream in streams:
            if stream.owner is not None:  # otherwise its call is over, and it is being closed
                self.opened(stream, stream.owner.caller)

    def count(self, caller: str) -> int:
        """Streams of this caller that are open."""
        return self._counts.get(caller, 0)

    def opened(self, stream: Stream, caller: str) -> None:
        """The caller has one more."""
        self._callers[stream] = caller
        self._counts[caller] = self._counts.get(caller, 0) + 1

    def finished(self, stream: Stream) -> None:
        """The stream is closed."""
        caller = self._callers.pop(stream, None)
        if caller is not None:
            count = self._counts[caller] - 1
            if count:
                self._counts[caller] = count
            else:
                del self._counts[caller]
