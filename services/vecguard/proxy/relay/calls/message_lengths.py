"""Checks the lengths of gRPC messages while they are relayed in pieces."""

from vecguard.errors import MessageTooLargeError

_PREFIX_BYTES = 5


class MessageMeter:
    """Follows the messages in one direction of a call by their length prefixes.

    Attributes:
        passed: how many bytes have passed.
        is_between: whether no message is incomplete.
    """

    __slots__ = ("_length", "_max_bytes", "_prefix", "_remaining", "is_between", "passed")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._length = 0
        self._remaining = 0
        self._prefix = b""
        self.passed = 0
        self.is_between = True

    @property
    def is_cut(self) -> bool:
        """Whether the data so far ends within a prefix or within a message."""
        return self._prefix != b"" or 0 < self._remaining < self._length

    def restrict(self, max_bytes: int) -> None:
        """Lowers the limit, also for the one message that has passed so far.

        Raises MessageTooLargeError.
        """
        self._max_bytes = min(self._max_bytes, max_bytes)
        if self._remaining:
            self._check_length()
        elif self.passed > self._max_bytes + _PREFIX_BYTES:
            raise MessageTooLargeError(self.passed - _PREFIX_BYTES, self._max_bytes)

    def passes(self, payload: bytes) -> None:
        """Counts the next piece. Raises MessageTooLargeError."""
        size = len(payload)
        self.passed += size
        if (
            self.is_between
            and _PREFIX_BYTES <= size <= self._max_bytes
            and int.from_bytes(payload[1:_PREFIX_BYTES]) == size - _PREFIX_BYTES
        ):
            return  # one whole message, like most pieces
        self._follow(payload, size)
        self.is_between = not self._remaining and not self._prefix

    def _follow(self, payload: bytes, size: int) -> None:
        at = 0
        while True:
            if self._remaining >= size - at:
                self._remaining -= size - at
                return
            at += self._remaining
            self._remaining = 0
            if self._prefix:
                missing = _PREFIX_BYTES - len(self._prefix)
                prefix = self._prefix + payload[at : at + missing]
                at += missing
            else:
                prefix = payload[at : at + _PREFIX_BYTES]
                at += _PREFIX_BYTES
            if len(prefix) < _PREFIX_BYTES:
                self._prefix = prefix
                return
            self._prefix = b""
            self._length = self._remaining = int.from_bytes(prefix[1:])
            self._check_length()

    def _check_length(self) -> None:
        if self._length > self._max_bytes:
            raise MessageTooLargeError(self._length, self._max_bytes)
