"""Hypothesis strategies for what a peer may send: legal frames, and sometimes illegal ones.

A script names streams by their place among those that were opened, so that most steps meet
a stream that exists; numbers that were made up are among them on purpose.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hpack import Encoder
from hypothesis import strategies as st

from vecguard.proxy.http2 import frames

REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b":authority", b"x"),
)
RESPONSE = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = ((b"grpc-status", b"0"),)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Returns a frame of any content, legal or not."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream_id.to_bytes(4) + payload


def goaway(last_stream_id: int, code: int = 0) -> bytes:
    """Returns a GOAWAY: its sender ignores streams above this one; code 0 is NO_ERROR."""
    return frame(7, 0, 0, last_stream_id.to_bytes(4) + int(code).to_bytes(4))


@dataclass(frozen=True)
class Step:
    """One step of a script.

    Attributes:
        kind: what it is, such as `data`; `answer` and `reset` are done by our side.
        place: which of the opened streams, counted from the newest; None: `stream_id` is used.
        stream_id: a made-up number.
        end: whether it ends the peer's half.
        size: bytes, an increment or a code, as the kind needs it.
        extra: what is wrong or unusual with it: pieces, padding, a bad size.
    """

    kind: str
    place: int | None
    stream_id: int
    end: bool
    size: int
    extra: int


_USUAL = ("open", "open", "data", "data", "data", "trailers", "window", "ping", "answer")
_SELDOM = (
    "headers",
    "reset",
    "rst",
    "settings",
    "settings_ack",
    "bad_settings",
    "priority",
    "unknown",
    "ping_ack",
    "goaway",
    "continuation",
    "push",
    "oversized",
    "bad_size",
    "interrupted",
    "garbage",
    "connection_window",
)

STEPS = st.builds(
    Step,
    kind=st.sampled_from(_USUAL * 4 + _SELDOM),
    place=st.sampled_from((0, 0, 0, 1, 2, 3, None)),
    stream_id=st.sampled_from((0, 1, 2, 3, 4, 5, 7, 9, 11, 13)),
    end=st.booleans(),
    size=st.sampled_from((0, 1, 2, 9, 40, 1001, 2**31 - 1)),
    extra=st.integers(0, 9),
)
SCRIPTS = st.lists(STEPS, min_size=1, max_size=14)


class Writer:
    """Turns steps into bytes, as the peer of a server or of a client."""

    def __init__(self, *, client_side: bool, opened: Sequence[int] = ()) -> None:
        """`client_side`: whether the writer acts as the client."""
        self._client_side = client_side
        self._encoder = Encoder()
        self._next_id = 1
        self._opened = list(opened)
        self._answered: set[int] = set()

    def target(self, step: Step) -> int:
        """Returns the stream of the step; call it before `write`."""
        if step.kind == "open" and self._client_side:
            return self._next_id
        if step.place is None or not self._opened:
            return step.stream_id
        return self._opened[-1 - step.place % len(self._opened)]

    def write(self, step: Step) -> bytes:
        """Returns the frames of the step."""
        return getattr(self, "_" + step.kind)(step, self.target(step))

    def _open(self, step: Step, target: int) -> bytes:
        if not self._client_side:
            fields = TRAILERS if target in self._answered else RESPONSE
            return self._block(target, fields, step, end=step.end or fields is TRAILERS)
        self._next_id = target + 2
        self._opened.append(target)
        return self._block(target, REQUEST, step, end=step.end)

    def _trailers(self, step: Step, target: int) -> bytes:
        return self._block(target, TRAILERS, step, end=True)

    def _headers(self, step: Step, target: int) -> bytes:
        return self._block(target, REQUEST if self._client_side else RESPONSE, step, end=step.end)

    def _block(
        self, stream_id: int, fields: Sequence[tuple[bytes, bytes]], step: Step, *, end: bool
    ) -> bytes:
        self._answered.add(stream_id)
        more = [(b"n", b"%d" % step.extra)] if step.extra % 2 else []
        block = self._encoder.encode([*fields, *more], huffman=step.extra % 3 == 0)
        flags = frames.END_STREAM if end else 0
        pieces = 1 + step.extra % 4
        size = max(1, -(-len(block) // pieces))
        parts = [block[start : start + size] for start in range(0, len(block), size)]
        payload = parts[0]
        if step.extra in {4, 8}:
            # A dependency on a stream that is not itself, and a weight.
            flags, payload = flags | frames.PRIORITIZED, (2**16 - 1).to_bytes(4) + b"\x0f" + payload
        if step.extra in {2, 8}:
            padding = step.size if step.size < 256 else 3
            flags, payload = flags | frames.PADDED, bytes([padding]) + payload + bytes(padding)
        last = frames.END_HEADERS
        out = frame(frames.HEADERS, flags | (last if len(parts) == 1 else 0), stream_id, payload)
        for number, part in enumerate(parts[1:], start=2):
            out += frame(frames.CONTINUATION, last if number == len(parts) else 0, stream_id, part)
        return out

    def _garbage(self, _: Step, target: int) -> bytes:
        return frame(frames.HEADERS, 5, target, b"\x82\xbf\xff")

    def _data(self, step: Step, target: int) -> bytes:
        before = b""
        if not self._client_side and target not in self._answered and step.extra < 9:
            # Nearly always an answer has begun; the opposite is tried, too.
            self._answered.add(target)
            before = frame(frames.HEADERS, frames.END_HEADERS, target, b"\x88")
        size = min(step.size, 1001)
        flags, payload = int(step.end), bytes(range(256)) * (size // 256 + 1)
        payload = payload[:size]
        if step.extra == 7 and size < 1000:
            flags, payload = flags | frames.PADDED, b"\x05" + payload + bytes(5)
        elif step.extra == 8 and size < 256:  # the padding is one byte too long, or just not
            flags, payload = flags | frames.PADDED, bytes([size + step.end]) + payload
        return before + frame(frames.DATA, flags, target, payload)

    def _window(self, step: Step, target: int) -> bytes:
        return frame(frames.WINDOW_UPDATE, 0, target, step.size.to_bytes(4))

    def _connection_window(self, step: Step, _: int) -> bytes:
        return frame(frames.WINDOW_UPDATE, 0, 0, step.size.to_bytes(4))

    def _ping(self, step: Step, _: int) -> bytes:
        return frame(frames.PING, 0, 0, b"%08d" % step.extra)

    def _ping_ack(self, step: Step, _: int) -> bytes:
        return frame(frames.PING, 1, 0, b"%08d" % step.extra)

    def _rst(self, step: Step, target: int) -> bytes:
        return frame(frames.RST_STREAM, 0, target, (step.size % 14).to_bytes(4))

    def _settings(self, step: Step, _: int) -> bytes:
        values = {3: step.size, 4: step.size, 5: 16_384 + step.size % 1000, 6: step.size, 0xBEEF: 1}
        return frames.settings({key: values[key] for key in list(values)[: step.extra % 6]})

    def _settings_ack(self, _step: Step, _: int) -> bytes:
        return frames.SETTINGS_ACK

    def _bad_settings(self, step: Step, _: int) -> bytes:
        return (
            frames.settings({2: 2}),
            frames.settings({4: 2**31}),
            frames.settings({5: 16_383}),
            frames.settings({5: 2**24}),
            frame(frames.SETTINGS, 0, 0, bytes(5)),
            frame(frames.SETTINGS, 1, 0, bytes(6)),
            frame(frames.SETTINGS, 0, 1),
        )[step.extra % 7]

    def _priority(self, step: Step, target: int) -> bytes:
        return frame(frames.PRIORITY, 0, target, (2**16 - 1 - step.extra).to_bytes(4) + b"\x01")

    def _unknown(self, step: Step, target: int) -> bytes:
        return frame(0xE0 + step.extra, step.extra, target, b"x" * (step.size % 50))

    def _goaway(self, step: Step, _: int) -> bytes:
        return frame(frames.GOAWAY, 0, 0, step.stream_id.to_bytes(4) + bytes(4))

    def _continuation(self, _: Step, target: int) -> bytes:
        return frame(frames.CONTINUATION, 4, target, b"\x88")

    def _push(self, _: Step, target: int) -> bytes:
        return frame(frames.PUSH_PROMISE, 4, target, (2).to_bytes(4) + b"\x88")

    def _oversized(self, _: Step, target: int) -> bytes:
        return frame(frames.DATA, 0, target, bytes(16_385))

    def _bad_size(self, step: Step, target: int) -> bytes:
        kind, size = (
            (frames.PRIORITY, 4),
            (frames.RST_STREAM, 3),
            (frames.PING, 7),
            (frames.GOAWAY, 7),
            (frames.WINDOW_UPDATE, 5),
        )[step.extra % 5]
        on_connection = kind in {frames.PING, frames.GOAWAY}
        return frame(kind, 0, 0 if on_connection else target, bytes(size))

    def _interrupted(self, step: Step, target: int) -> bytes:
        return frame(frames.HEADERS, 0, target, b"\x88") + self._ping(step, target)
