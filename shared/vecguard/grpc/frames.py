"""Finds the ends of HTTP/2 frames, and detects floods of useless ones, before h2 reads them.

h2 takes some 30 us for a frame of seventeen bytes, and handles everything that one read returned:
256 KiB of PINGs block the event loop for half a second.
"""

from collections.abc import Callable
from typing import Final

_PREFACE_BYTES: Final = 24
_HEAD_BYTES: Final = 9
# RFC 9113, section 6.
_DATA, _HEADERS, _RST_STREAM, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 8, 9
_END_STREAM: Final = 1
#: Frames that are given to h2 at a time. A call, and each KiB of its headers, counts as several.
FRAMES_AT_A_TIME: Final = 32
_FRAMES_OF_A_CALL: Final = 4
_KIBIBYTE: Final = 1024
_SMALL_BYTES: Final = 256
# The weights of frames. Frames that carry data or calls weigh little or nothing. A proxy that has
# to drop a thousand users a second acknowledges each one. A WINDOW_UPDATE weighs nothing and a
# reset little: some libraries send two of these for each frame of data that they get, and a reset
# for each frame that arrives after they have cancelled. Floods of these are only slowed down.
_USELESS: Final = 10
_SLIGHT: Final = 1
#: The weight that a peer may send in a second: a thousand PINGs.
MAX_WEIGHT: Final = 10_000
_WINDOW_SECONDS: Final = 1.0


class FrameMeter:
    """Follows the bytes that a client sends."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Takes a clock in seconds."""
        self._clock = clock
        self._head = bytearray()
        # The bytes that are left of the preface or of a frame's payload.
        self._left = _PREFACE_BYTES
        self._weight = 0
        self._since = clock()

    def cut(self, data: bytes, start: int) -> int:
        """Returns the end of the frames to handle at a time, of the bytes from `start` on."""
        position, size, done = start, len(data), 0
        while position < size and done < FRAMES_AT_A_TIME:
            if self._left:
                step = min(self._left, size - position)
                self._left -= step
                position += step
                continue
            part = data[position : position + _HEAD_BYTES - len(self._head)]
            self._head += part
            position += len(part)
            if len(self._head) == _HEAD_BYTES:
                length, kind = int.from_bytes(self._head[:3]), self._head[3]
                self._weight += _weight(kind, length, ends=bool(self._head[4] & _END_STREAM))
                self._head.clear()
                self._left = length
                done += 1
                if kind in {_HEADERS, _CONTINUATION}:
                    done += _FRAMES_OF_A_CALL + length // _KIBIBYTE
        if done >= FRAMES_AT_A_TIME and self._left:
            # The payload of the last frame belongs to it.
            step = min(self._left, size - position)
            self._left -= step
            position += step
        return position

    def is_flooded(self) -> bool:
        """Returns whether the peer sent more than is permitted in a second."""
        if self._weight <= MAX_WEIGHT:
            return False
        now = self._clock()
        if now - self._since < _WINDOW_SECONDS:
            return True
        self._since, self._weight = now, 0
        return False


def _weight(kind: int, length: int, *, ends: bool) -> int:
    if kind in {_HEADERS, _WINDOW_UPDATE}:
        return 0
    if kind == _DATA:
        if length >= _SMALL_BYTES:
            return 0
        return _SLIGHT if length or ends else _USELESS
    return _SLIGHT if kind == _RST_STREAM else _USELESS
