"""Streams that were reset: what may still come on them, and what that means."""


class ClosedStreams:
    """Remembers the newest resets of both sides (RFC 9113, section 5.1)."""

    def __init__(self, most: int, *, client_side: bool) -> None:
        """`most` resets of each side are remembered."""
        self._most = most
        self._client_side = client_side
        self._by_us: dict[int, None] = {}
        self._by_peer: dict[int, None] = {}
        self._forgotten_id = 0

    def reset_by_us(self, stream_id: int) -> None:
        """What is still on its way on the stream means nothing."""
        self._by_us[stream_id] = None
        self._forgotten_id = max(self._forgotten_id, self._trim(self._by_us))

    def reset_by_peer(self, stream_id: int) -> None:
        """The peer may say nothing more on the stream."""
        # A client cannot do more harm than to itself, and resets as often as it likes.
        if self._client_side:
            self._by_peer[stream_id] = None
            self._trim(self._by_peer)

    def may_be_spoken_on(self, stream_id: int) -> bool:
        """Whether a frame may have been under way when we reset the stream.

        A client has no more streams open than are remembered. A server may have answered
        any number before it hears of our resets, so those that are too old to be remembered
        count as reset.
        """
        return stream_id in self._by_us or (
            self._client_side and stream_id <= self._forgotten_id and bool(stream_id & 1)
        )

    def was_reset_by_peer(self, stream_id: int) -> bool:
        """Whether a frame on it is the stream's fault, and not the connection's."""
        return stream_id in self._by_peer

    def _trim(self, stream_ids: dict[int, None]) -> int:
        """Forgets the oldest where there are too many; 0: there are not."""
        if len(stream_ids) <= self._most:
            return 0
        oldest = next(iter(stream_ids))
        del stream_ids[oldest]
        return oldest
