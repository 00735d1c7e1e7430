"""What is sent to an upstream, kept as long as it may have to be sent once more."""

from typing import TYPE_CHECKING

from vecguard.proxy.http2.stream import Piece
from vecguard.proxy.relay.calls.headers import RequestHead

if TYPE_CHECKING:
    from vecguard.proxy.relay.upstreams.upstream import Upstream

# Most requests are whole in less. What is longer has been sent in part before a refusal can
# come, and is not repeated.
_MAX_KEPT_BYTES = 64 * 1024
# A backend that refuses everything must not keep a call going round.
_MAX_ATTEMPTS = 3


class KeptBytes:
    """How much the requests of the whole process keep for being sent again.

    Attributes:
        limit: beyond it a request is kept no more, and a refusal of it reaches its client.
        used: bytes that are kept now.
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = 32 * 2**20) -> None:
        self.limit = limit
        self.used = 0


class Request:
    """The head of a request, what the relay says about its sender, and the data so far.

    Attributes:
        upstream: where it is for.
        attempts: how often it was sent.
        is_kept: whether all of it is still here.
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
        """The header block, with what is left of the client's deadline."""
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
        """It is for another upstream, which is told this about its sender; none has it yet."""
        self.upstream = upstream
        self._identity = identity

    def keep(self, piece: Piece) -> None:
        """Data that goes out after what is kept already."""
        if self.is_kept:
            # A bytearray may still grow.
            self._pieces.append(bytes(piece) if isinstance(piece, bytearray) else piece)
            self._charge(len(piece))

    @property
    def may_be_repeated(self) -> bool:
        """Whether it is kept, and was not tried too often."""
        return self.is_kept and self.attempts < _MAX_ATTEMPTS

    def data(self) -> bytes:
        """All data so far."""
        return b"".join(self._pieces)

    def release(self) -> None:
        """It will not be sent again."""
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
