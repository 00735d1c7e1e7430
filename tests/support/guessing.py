"""Wrong logins over raw HTTP/2: many in flight from one address, each repeated at once."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import cast

from tests.bench.wire import frames
from tests.bench.wire.frames import HEAD, HEAD_BYTES

_BODY = frames.message(b"")
_FIXED = b"\x83\x86" + b"".join(
    (
        frames.literal(b":path", b"/grpc.health.v1.Health/Check"),
        frames.literal(b":authority", b"guesses"),
        frames.literal(b"content-type", b"application/grpc"),
        frames.literal(b"te", b"trailers"),
    )
)
# The proxy writes its own refusals without Huffman code: a length and the digits.
_STATUS = b"\x0bgrpc-status"
_STREAMS = 100

#: The next `authorization` value.
Guess = Callable[[], bytes]


def at_names(*names: str) -> Guess:
    """Returns guesses at these names in turn, each with a new password."""
    numbers = count()

    def guess() -> bytes:
        number = next(numbers)
        return base64.b64encode(f"{names[number % len(names)]}:wrong-{number}".encode())

    return guess


def at_fresh_names() -> Guess:
    """Returns guesses that each have a new name."""
    numbers = count()

    def guess() -> bytes:
        number = next(numbers)
        return base64.b64encode(f"absent{number}:wrong".encode())

    return guess


class Guesses(asyncio.Protocol):
    """One connection that sends the next guess for each answer.

    Attributes:
        statuses: how often each gRPC status came; -1: an answer without one.
        lost: set when the connection is gone.
    """

    def __init__(self, guess: Guess, streams: int) -> None:
        self._guess = guess
        self._streams = streams
        self._stream_ids = count(1, 2)
        self._rest = b""
        self.statuses = Counter[int]()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(frames.PREFACE + frames.settings({2: 0}))
        self._send(self._streams)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at, answered = 0, 0
        while len(data) - at >= HEAD_BYTES:
            word, flags, _ = HEAD.unpack_from(data, at)
            end = at + HEAD_BYTES + (word >> 8)
            if end > len(data):
                break
            kind, payload, at = word & 0xFF, data[at + HEAD_BYTES : end], end
            if kind == frames.HEADERS and flags & frames.END_STREAM:
                self.statuses[_status_of(payload)] += 1
                answered += 1
            elif kind == frames.SETTINGS and not flags & frames.ACK:
                self._transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
            elif kind == frames.PING and not flags & frames.ACK:
                self._transport.write(frames.frame(frames.PING, frames.ACK, 0, payload))
        self._rest = data[at:]
        self._send(answered)

    def _send(self, guesses: int) -> None:
        pieces = []
        for _ in range(guesses):
            stream_id = next(self._stream_ids)
            block = _FIXED + frames.literal(b"authorization", self._guess())
            pieces += (
                frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block),
                frames.frame(frames.DATA, frames.END_STREAM, stream_id, _BODY),
            )
        self._transport.write(b"".join(pieces))


def _status_of(block: bytes) -> int:
    _, found, tail = block.partition(_STATUS)
    return int(tail[1 : 1 + tail[0]]) if found else -1


class Guessers:
    """All connections of one address."""

    def __init__(self, connections: list[Guesses]) -> None:
        self._connections = connections

    @property
    def statuses(self) -> Counter[int]:
        """Counts the answers by gRPC status. Raises ConnectionError if a connection was lost."""
        if any(each.lost for each in self._connections):
            raise ConnectionError("the proxy has closed a connection of the guesser")
        return sum((each.statuses for each in self._connections), Counter[int]())


@asynccontextmanager
async def guessing(
    address: str, guess: Guess, *, in_flight: int = 800, source: str = "127.0.0.1"
) -> AsyncIterator[Guessers]:
    """Keeps this many guesses in flight in the context."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    connections: list[Guesses] = []
    try:
        for _ in range(0, in_flight, _STREAMS):
            _, connection = await loop.create_connection(
                lambda: Guesses(guess, _STREAMS), host, int(port), local_addr=(source, 0)
            )
            connections.append(connection)
        yield Guessers(connections)
    finally:
        for connection in connections:
            connection.close()
