"""Whatever a client can send to the services inside the proxy."""

import asyncio
import json
import zlib
from contextlib import AsyncExitStack

from h2.events import ResponseReceived, StreamEnded, StreamReset

from tests.support.logs import written_log
from tests.support.own_services import own_services as running
from tests.support.raw_http2 import raw_client
from vecguard.observability import faults
from vecguard.proxy.accounts.methods import SERVED

_PATHS = (
    b"/grpc.health.v1.Health/Check",
    b"/grpc.health.v1.Health/Watch",
    b"/grpc.health.v1.Health/Neither",
    *sorted(SERVED),
)
_ENCODINGS = (None, b"gzip", b"deflate", b"identity", b"zstd", b"\xff")
_FLAGS = (0, 1, 1, 255)
_LENGTHS = (0, 0, 1, -1)  # by how much the prefix lies
_ODD_HEADERS = (
    None,
    b"k-bin",
    b"grpc-timeout",
    b"content-type",
    b"dbname",
    b"grpc-encoding",
    b"x-vecguard-user",
    b"grpc-status-details-bin",
)
_CHOICES = 4
_MAX_LINE_BYTES = 2000
_ENDED = StreamEnded | StreamReset


class Target:
    """A relay and the services that are started with the first input and serve all others."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()

    def __call__(self, data: bytes) -> None:
        """The first bytes choose path, encoding, framing and an odd header; the rest is theirs.

        Every call is answered, and the log has no traceback, no fault and no long line.
        """
        if self._runner is None:
            self._runner = asyncio.Runner()
            self._relay = self._runner.run(self._stack.enter_async_context(running(1)))
        faults.log._windows.clear()  # a fault is to be seen each time
        with written_log() as log:
            self._runner.run(self._call(data))
        for line in log.getvalue().splitlines():
            assert len(line) <= _MAX_LINE_BYTES, line
            assert "Traceback" not in line, line
            assert json.loads(line)["level"] not in {"error", "critical"}, line

    def close(self) -> None:
        """Ends what was started."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.run(self._stack.aclose())
            runner.close()

    async def _call(self, data: bytes) -> None:
        choices, rest = data[:_CHOICES].ljust(_CHOICES, b"\0"), data[_CHOICES:]
        path = _PATHS[choices[0] % len(_PATHS)]
        headers = _headers(path, choices, rest)
        # A watch goes on for ever.
        answered = _ENDED | ResponseReceived if path.endswith(b"Watch") else _ENDED
        async with raw_client(self._relay.port) as client:
            stream_id = client.request(headers, _body(choices[2], rest))
            if choices[3] & 0x80:
                client.h2.reset_stream(stream_id)
                client.flush()
            else:
                await client.until(
                    lambda: any(
                        isinstance(event, answered) and event.stream_id == stream_id
                        for event in client.events
                    )
                )
        await self._relay.idle()


def _headers(path: bytes, choices: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    encoding = _ENCODINGS[choices[1] % len(_ENCODINGS)]
    odd = _ODD_HEADERS[(choices[3] & 0x7F) % len(_ODD_HEADERS)]
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"test"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc" + (b"+" + value if odd == b"content-type" else b"")),
        *([(b"grpc-encoding", encoding)] if encoding is not None else []),
        *([(odd, value)] if odd not in {None, b"content-type"} else []),
    ]


def _body(framing: int, payload: bytes) -> bytes:
    """Some messages: two bits each for the compression, flag, length and number."""
    match framing & 3:
        case 1:
            payload = _compressed(payload, 16 + zlib.MAX_WBITS)
        case 2:
            payload = _compressed(payload, zlib.MAX_WBITS)
        case 3:  # longer by far than what may come of it
            payload = _compressed(payload + bytes(2**20), 16 + zlib.MAX_WBITS)
    length = max(0, len(payload) + _LENGTHS[framing >> 4 & 3])
    message = bytes([_FLAGS[framing >> 2 & 3]]) + length.to_bytes(4) + payload
    return message * ((framing >> 6) ^ 1)


def _compressed(data: bytes, bits: int) -> bytes:
    deflater = zlib.compressobj(wbits=bits)
    return deflater.compress(data) + deflater.flush()


own_services = Target()
