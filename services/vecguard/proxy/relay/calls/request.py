"""Builds the request to an upstream, and keeps its bytes while it may be sent again."""

from typing import TYPE_CHECKING

from vecguard.proxy.http2.stream import Piece
from vecguard.proxy.relay.calls.headers import RequestHead

if TYPE_CHECKING:
    from vecguard.proxy.relay.upstreams.upstream import Upstream

# Most requests are shorter. A longer one was sent in part before a refusal can come, and is not
# sent again.
_MAX_KEPT_BYTES = 64 * 1024
# A call must not be repeated without end at a backend that refuses everything.
_MAX_ATTEMPTS = 3


class KeptBytes:
    """Counts the bytes that all requests of the process keep in order to be sent again.

    Attributes:
        limit: above it a request is no longer kept, and a refusal of it goes to its client.
        used: bytes that are kept now.
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = 32 * 2**20) -> None:
        self.limit = limit
        self.used = 0


class Request:
    """Holds the head of a request, its identity headers, and its data so far.

    Attributes:
        upstream: its upstream.
        attempts: how many times it was sent.
        is_kept: whether all of it is kept, so that it can be sent again.
    """

    __slots__ = ("_budget", "_head", "_identity", "_kept", "_pieces", "attempts", "is_kept",
                 "upstream")  # fmt: skip

    def __init__(
        self, upstream: "Upstream", head: RequestHead, identity: bytes, budget: KeptBytes
    ) -> None:
        self.upstream = upstream
        self.attempts = 0
        self._head = head
        self._identity = identity
        self._budget = budget
        self._pieces: list[Piece] = []
        self._kept = 0
        self.is_kept = True

    def block(self, remaining_seconds: float | None) -> bytes:
        """Returns the header block, with the time until the client's deadline."""
        upstream = self.upstream
        block = self._head.forwarded(
            upstream.policy,
            preface=upstream.preface,
            authority=upstream.authority,
            identity=self._identity,
            remaining_seconds=remaining_seconds,
        )
        if not self.attempts and self.is_kept:
            self._charge(len(block))
        self.attempts += 1
        return block

    @property
    def encodings(self) -> list[bytes]:
        """The values of `grpc-encoding`."""
        return self._head.values(b"grpc-encoding")

    def redirect(self, upstream: "Upstream", identity: bytes) -> None:
        """Sets another upstream and its identity headers, before the request was sent."""
        self.upstream = upstream
        self._identity = identity

    def add_identity(self, fields: bytes) -> None:
        """Adds identity headers, before the request is sent."""
        self._identity += fields

    def keep(self, piece: Piece) -> None:
        """Keeps the next data of the request."""
        if self.is_kept:
            # A bytearray may still grow.
            self._pieces.append(bytes(piece) if isinstance(piece, bytearray) else piece)
            self._charge(len(piece))

    @property
    def may_be_repeated(self) -> bool:
        """Whether it can be sent again: it is kept, and was not sent too often."""
        return self.is_kept and self.attempts < _MAX_ATTEMPTS

    def data(self) -> bytes:
        """Returns all data so far."""
        return b"".join(self._pieces)

    def release(self) -> None:
        """Drops the kept data, because the request will not be sent again."""
        if self.is_kept:
            self.is_kept = False
            self._budget.used -= self._kept
            self._pieces.clear()

    def _charge(self, size: int) -> None:
        self._kept += size
        budget = self._budget
        budget.used += size
        if self._kept > _MAX_KEPT_BYTES or budget.used > budget.limit:
            self.release()
