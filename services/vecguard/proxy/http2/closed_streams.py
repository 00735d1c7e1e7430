"""Remembers reset streams, to classify frames that still arrive on them."""


class ClosedStreams:
    """Remembers the newest resets of both sides (RFC 9113, section 5.1)."""

    def __init__(self, most: int, *, client_side: bool) -> None:
        """Remembers up to `most` resets of each side."""
        self._most = most
        self._client_side = client_side
        self._by_us: dict[int, None] = {}
        self._by_peer: dict[int, None] = {}
        self._forgotten_id = 0

    def reset_by_us(self, stream_id: int) -> None:
        """Records our reset: frames of the stream that are in flight are ignored."""
        self._by_us[stream_id] = None
        self._forgotten_id = max(self._forgotten_id, self._trim(self._by_us))

    def reset_by_peer(self, stream_id: int) -> None:
        """Records a reset of the peer, which must send nothing more on the stream."""
        # Not for a client's resets: they are not bounded, and its errors harm only itself.
        if self._client_side:
            self._by_peer[stream_id] = None
            self._trim(self._by_peer)

    def may_be_in_flight(self, stream_id: int) -> bool:
        """Returns whether a frame may have been in flight when we reset the stream.

        A client has no more open streams than are remembered. A server may have answered
        any number of streams before it receives our resets, so streams that are too old to be
        remembered count as reset.
        """
        return stream_id in self._by_us or (
            self._client_side and stream_id <= self._forgotten_id and bool(stream_id & 1)
        )

    def was_reset_by_peer(self, stream_id: int) -> bool:
        """Returns whether a frame on it is a stream error, and not a connection error."""
        return stream_id in self._by_peer

    def _trim(self, stream_ids: dict[int, None]) -> int:
        """Forgets the oldest number if there are too many. Returns it, or 0."""
        if len(stream_ids) <= self._most:
            return 0
        oldest = next(iter(stream_ids))
        del stream_ids[oldest]
        return oldest
