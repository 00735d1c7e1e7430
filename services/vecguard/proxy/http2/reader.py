"""Reads frames from a stream of bytes and checks each by itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf
from typing import Final

from vecguard.proxy.http2 import frames
from vecguard.proxy.http2.buffers import UNCOUNTED, Account
from vecguard.proxy.http2.errors import (
    ErrorCode,
    Http2ConnectionError,
    Http2StreamError,
    NoPrefaceError,
)
from vecguard.proxy.http2.limits import DEFAULT_FRAME_BYTES, MAX_STREAM_ID, Limit, Limits

# A local name costs a third of a module's attribute.
_unpack_head: Final = frames.HEAD.unpack_from
_HEAD_BYTES: Final = frames.HEAD_BYTES
_DATA: Final = frames.DATA
_HEADERS: Final = frames.HEADERS
_PADDED: Final = frames.PADDED
_END_STREAM: Final = frames.END_STREAM
_MAX_STREAM_ID: Final = MAX_STREAM_ID
# A whole header block without padding or priority, whether or not it ends the stream.
_PLAIN: Final = frames.END_HEADERS | frames.END_STREAM
#: Bytes that are read between two looks at the clock.
_UNTIMED_BYTES: Final = 1024
_PRIORITY_BYTES = 5
_WORD_BYTES = 4
_PING_BYTES = 8


class FrameSink(ABC):
    """Receives each frame. Its methods raise Http2StreamError or Http2ConnectionError."""

    @abstractmethod
    def on_preface(self) -> None:
        """The client's preface has come."""

    @abstractmethod
    def on_data(self, stream_id: int, payload: bytes, length: int, end: bool) -> None:
        """DATA has come; `length` counts for flow control: the payload and its padding."""

    @abstractmethod
    def on_headers(self, stream_id: int, block: bytes, end: bool) -> None: ...

    @abstractmethod
    def on_reset(self, stream_id: int, code: int) -> None: ...

    @abstractmethod
    def on_settings(self, payload: bytes) -> None: ...

    @abstractmethod
    def on_settings_ack(self) -> None: ...

    @abstractmethod
    def on_ping(self, payload: bytes) -> None: ...

    @abstractmethod
    def on_pong(self, payload: bytes) -> None: ...

    @abstractmethod
    def on_goaway(self, last_stream_id: int, code: int) -> None: ...

    @abstractmethod
    def on_window_update(self, stream_id: int, increment: int) -> None: ...

    @abstractmethod
    def on_ignored_frame(self) -> None:
        """A frame has come that we ignore."""

    @abstractmethod
    def on_stream_fault(self, fault: Http2StreamError) -> None:
        """The frame is a stream error; reading continues."""

    @abstractmethod
    def on_failure(self, stream_id: int, error: Exception) -> None:
        """A bug has raised `error` while the frame was handled."""


class FrameReader:
    """Reads frames from bytes; keeps incomplete frames and incomplete header blocks.

    Attributes:
        has_more: whether complete frames may be left to read.
    """

    def __init__(
        self,
        sink: FrameSink,
        limits: Limits,
        *,
        expects_preface: bool,
        clock: Callable[[], float],
        account: Account,
    ) -> None:
        """`account` counts the kept bytes, until `close`."""
        self._clock = clock
        self._sink = sink
        self._limits = limits
        self._rest = b""
        self._preface = frames.PREFACE if expects_preface else b""
        self._greeted = False
        # SETTINGS have come, and no header block is open: any frame may follow.
        self._is_between = False
        # A block that fits into one frame of the default size is always accepted.
        self._max_block = max(limits.header_block_bytes, DEFAULT_FRAME_BYTES)
        self._block: list[bytes] | None = None
        self._block_bytes = 0
        self._block_stream = 0
        self._block_ends_stream = False
        self._account = account
        self._charged = 0
        self.has_more = False
        self._is_stopped = False

    @property
    def kept(self) -> int:
        """How many received bytes are not handled yet, with those of an incomplete header block."""
        return self._charged

    def stop(self) -> None:
        """Makes the running `read` return after the current frame."""
        self._is_stopped = True

    def hold(self, data: bytes) -> None:
        """Keeps received bytes for the next `read`."""
        self._rest = self._rest + data if self._rest else data
        self.has_more = True
        self._charge(len(self._rest) + self._block_bytes)

    def read(  # noqa: C901, PLR0912 - one loop over every frame
        self, data: bytes, until: float
    ) -> None:
        """Reads the complete frames, until a time of the clock. Raises Http2ConnectionError.

        The clock is read between two frames.
        """
        self.has_more = self._is_stopped = False
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        if self._preface:
            at = self._skip_preface(data)
        sink, unpack, max_frame = self._sink, _unpack_head, DEFAULT_FRAME_BYTES
        timed_at = at + _UNTIMED_BYTES
        # Declared, so that compiled code computes with native integers.
        word: int
        flags: int
        stream_id: int
        while end - at >= _HEAD_BYTES:
            word, flags, stream_id = unpack(data, at)
            length, kind = word >> 8, word & 0xFF
            if length > max_frame:
                raise Http2ConnectionError(
                    ErrorCode.FRAME_SIZE_ERROR, "a frame over the maximum size"
                )
            begin = at + _HEAD_BYTES
            if begin + length > end:
                break
            at = begin + length
            stream_id &= _MAX_STREAM_ID  # the first bit is reserved and ignored
            try:
                # Almost all frames take these shortcuts and skip the checks of `_dispatch`.
                if self._is_between and stream_id and kind == _DATA:
                    payload = data[begin:at]
                    if flags & _PADDED:
                        payload = _unpadded(payload)
                    sink.on_data(stream_id, payload, length, end=flags & _END_STREAM != 0)
                elif (
                    self._is_between
                    and stream_id
                    and kind == _HEADERS
                    and flags | 1 == _PLAIN
                    and length <= self._max_block
                ):
                    sink.on_headers(stream_id, data[begin:at], end=flags & _END_STREAM != 0)
                else:
                    self._dispatch(kind, flags, stream_id, data[begin:at])
            except Http2StreamError as fault:
                sink.on_stream_fault(fault)
            except Http2ConnectionError:
                raise
            except Exception as error:  # noqa: BLE001 - the sink logs it
                sink.on_failure(stream_id, error)
            if at >= timed_at or self._is_stopped:
                timed_at = at + _UNTIMED_BYTES
                if self._is_stopped or (until < inf and self._clock() >= until):
                    self.has_more = at < end
                    break
        self._rest = data[at:]
        kept = len(self._rest) + self._block_bytes
        if kept != self._charged:
            self._charge(kept)

    def release(self, sink: FrameSink) -> None:
        """Replaces the sink, after the end of the connection."""
        self._sink = sink

    def close(self) -> None:
        """Drops the kept bytes, after the end of the connection."""
        self._rest, self._block, self._block_bytes = b"", None, 0
        self.has_more = False
        self._charge(0)
        self._account = UNCOUNTED

    def _charge(self, kept: int) -> None:
        if kept > self._charged:
            self._account.add(kept - self._charged)
        else:
            self._account.remove(self._charged - kept)
        self._charged = kept

    def _skip_preface(self, data: bytes) -> int:
        size = min(len(data), len(self._preface))
        if data[:size] != self._preface[:size]:
            raise NoPrefaceError(frames.PREFACE[: -len(self._preface)] + data)
        self._preface = self._preface[size:]
        if not self._preface:
            self._sink.on_preface()
        return size

    def _dispatch(  # noqa: C901, PLR0912 - one branch for each type of frame
        self, kind: int, flags: int, stream_id: int, payload: bytes
    ) -> None:
        if not self._greeted:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
            self._greeted = self._is_between = True
        if self._block is not None and (
            kind != frames.CONTINUATION or stream_id != self._block_stream
        ):
            raise Http2ConnectionError(
                ErrorCode.PROTOCOL_ERROR, "another frame within a header block"
            )
        if kind == frames.HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == frames.WINDOW_UPDATE:
            self._window_update(stream_id, payload)
        elif kind == frames.RST_STREAM:
            _require_stream(stream_id)
            _require_size(payload, _WORD_BYTES)
            self._sink.on_reset(stream_id, int.from_bytes(payload))
        elif kind == frames.CONTINUATION:
            self._continuation(flags, payload)
        elif kind == frames.PRIORITY:
            _require_stream(stream_id)
            if len(payload) != _PRIORITY_BYTES:
                raise Http2StreamError(
                    stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY must have 5 bytes"
                )
            self._sink.on_ignored_frame()
        elif kind == frames.DATA:
            _require_stream(stream_id)
        elif kind == frames.PUSH_PROMISE:
            raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE is not allowed")
        elif kind in {frames.SETTINGS, frames.PING, frames.GOAWAY}:
            if stream_id:
                raise Http2ConnectionError(
                    ErrorCode.PROTOCOL_ERROR,
                    "a frame of the connection has the identifier of a stream",
                )
            self._connection_frame(kind, flags, payload)
        else:
            self._sink.on_ignored_frame()  # RFC 9113, section 5.5

    def _connection_frame(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == frames.SETTINGS:
            if flags & frames.ACK:
                _require_size(payload, 0)
                self._sink.on_settings_ack()
            else:
                self._sink.on_settings(payload)
        elif kind == frames.PING:
            _require_size(payload, _PING_BYTES)
            if flags & frames.ACK:
                self._sink.on_pong(payload)
            else:
                self._sink.on_ping(payload)
        else:
            if len(payload) < 2 * _WORD_BYTES:
                raise Http2ConnectionError(
                    ErrorCode.FRAME_SIZE_ERROR, "GOAWAY must have at least 8 bytes"
                )
            last = int.from_bytes(payload[:_WORD_BYTES]) & MAX_STREAM_ID
            self._sink.on_goaway(last, int.from_bytes(payload[_WORD_BYTES : 2 * _WORD_BYTES]))

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        _require_stream(stream_id)
        if flags & frames.PADDED:
            payload = _unpadded(payload)
        if flags & frames.PRIORITIZED:
            if len(payload) < _PRIORITY_BYTES:
                raise Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS are too short")
            payload = payload[_PRIORITY_BYTES:]
        end = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._sink.on_headers(stream_id, payload, end=end)
        else:
            self._is_between = False
            self._block, self._block_bytes = [payload], len(payload)
            self._block_stream, self._block_ends_stream = stream_id, end

    def _continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block.append(payload)
        self._block_bytes += len(payload)
        if self._block_bytes > self._max_block or len(self._block) > self._limits.header_frames:
            raise _endless_block()
        if flags & frames.END_HEADERS:
            block, self._block, self._block_bytes = b"".join(self._block), None, 0
            self._is_between = True
            self._sink.on_headers(self._block_stream, block, end=self._block_ends_stream)

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        _require_size(payload, _WORD_BYTES)
        increment = int.from_bytes(payload) & MAX_STREAM_ID
        if not increment:
            if stream_id:
                raise Http2StreamError(
                    stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE with an increment of 0"
                )
            raise Http2ConnectionError(
                ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE with an increment of 0"
            )
        self._sink.on_window_update(stream_id, increment)


def _unpadded(payload: bytes) -> bytes:
    if not payload:
        raise Http2ConnectionError(
            ErrorCode.FRAME_SIZE_ERROR, "a padded frame without the length of its padding"
        )
    padding = payload[0]
    if padding >= len(payload):
        raise Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - padding]


def _endless_block() -> Http2ConnectionError:
    return Http2ConnectionError(
        ErrorCode.ENHANCE_YOUR_CALM,
        "a header block of too many bytes or frames",
        limit=Limit.HEADER_BLOCK,
    )


def _require_stream(stream_id: int) -> None:
    if not stream_id:
        raise Http2ConnectionError(
            ErrorCode.PROTOCOL_ERROR, "a frame of a stream has the identifier 0"
        )


def _require_size(payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise Http2ConnectionError(ErrorCode.FRAME_SIZE_ERROR, f"the frame must have {size} bytes")
