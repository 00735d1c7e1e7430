"""Clients that keep a proxy busy below every limit: `python -m tests.bench.fair.flood JSON`.

The kinds of refused calls keep `window` calls in flight on each connection, read every answer and
send as many again; a call is a frame of 16 bytes, because the dynamic table holds its fields (but
for `new_wrong`, where each call has another login). The
kinds of costly frames send as fast as the socket takes them, up to `bytes_per_second`. A
connection that the proxy closes is opened again.

"ready" is printed when all are connected; a line on standard input starts them, the next line or
its end stops them; then what they saw is printed as JSON.
"""

import asyncio
import base64
import json
import os
import resource
import ssl
import sys
from dataclasses import asdict, dataclass
from itertools import count
from typing import Literal, cast

from tests.bench.wire import frames
from tests.bench.wire.frames import HEAD, HEAD_BYTES

Refused = Literal["no_login", "garbage", "known_wrong", "new_wrong"]
Costly = Literal["small_fields", "static_indices", "table_updates", "settings", "padding"]
Kind = Refused | Costly
REFUSED: tuple[Refused, ...] = ("no_login", "garbage", "known_wrong", "new_wrong")
COSTLY: tuple[Costly, ...] = (
    "small_fields",
    "static_indices",
    "table_updates",
    "settings",
    "padding",
)

WRONG_LOGIN = base64.b64encode(b"root:wrong-1")
RIGHT_LOGIN = base64.b64encode(b"root:Milvus")
_CONNECTING_AT_A_TIME = 50
#: An attacker that is closed comes again, but does not only open connections.
_RECONNECT_SECONDS = 0.05
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Flood:
    """Who floods what, and how.

    Attributes:
        addresses: from how many addresses, 127.0.2.1 and on.
        window: calls in flight on each connection.
        bytes_per_second: of each connection of the costly kinds.
        is_known: the costly kinds have shown a right login before, on each connection.
    """

    kind: Kind
    host: str
    port: int
    connections: int = 1
    addresses: int = 1
    window: int = 990
    bytes_per_second: float = 8e6
    path: str = "/bench.Echo/Call"
    is_known: bool = False
    tls: bool = False

    def source(self, number: int) -> str:
        return f"127.0.2.{number % self.addresses + 1}"

    def argument(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Seen:
    """What came of it."""

    answers: int = 0
    resets: int = 0
    closed: int = 0
    sent_bytes: int = 0


class Connection(asyncio.Protocol):
    """One connection of a flood."""

    def __init__(self, flood: Flood, seen: Seen) -> None:
        self._flood, self._seen = flood, seen
        self._next_id = 1
        self._rest = b""
        self._is_writable = True
        self._is_running = False
        self.lost = asyncio.get_running_loop().create_future()
        self._work = _work(flood)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(frames.GREETING)

    def begin(self) -> None:
        self._is_running = True
        self._write(self._work.first(self))
        if self._flood.is_known:
            self._write(self._work.login(self))
        if self._flood.kind in REFUSED:
            self._write(self._work.more(self, self._flood.window - 1))

    def take_id(self) -> int:
        taken, self._next_id = self._next_id, self._next_id + 2
        return taken

    def pour(self, size: int) -> None:
        """Sends about so many bytes of a costly kind, if the socket takes them."""
        if self._is_writable and not self.lost.done():
            self._write(self._work.more(self, size))

    def _write(self, data: bytes) -> None:
        self._seen.sent_bytes += len(data)
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._is_writable = False

    def resume_writing(self) -> None:
        self._is_writable = True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self.lost.done():
            self._seen.closed += 1
            self.lost.set_result(None)

    def close(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at, ended = 0, 0
        while len(data) - at >= HEAD_BYTES:
            word, flags, _ = HEAD.unpack_from(data, at)
            end = at + HEAD_BYTES + (word >> 8)
            if end > len(data):
                break
            kind = word & 0xFF
            if kind == frames.HEADERS and flags & frames.END_STREAM:
                ended += 1
            elif kind == frames.RST_STREAM:
                self._seen.resets += 1
                ended += 1
            elif kind in {frames.SETTINGS, frames.PING} and not flags & frames.ACK:
                payload = data[at + HEAD_BYTES : end] if kind == frames.PING else b""
                self._transport.write(frames.frame(kind, frames.ACK, 0, payload))
            at = end
        self._rest = data[at:]
        self._seen.answers += ended
        if ended and self._is_running and self._flood.kind in REFUSED:
            self._write(self._work.more(self, ended))


def _indexed(name: bytes, value: bytes) -> bytes:
    return frames.literal(name, value, indexed=True)


def _request(flood: Flood) -> tuple[bytes, bytes]:
    """The header block of the first call, and the one of every call after it."""
    fields = [
        (b":path", flood.path.encode()),
        (b":authority", b"bench"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    login = {
        "garbage": b"garbage",
        "known_wrong": WRONG_LOGIN,
        "padding": RIGHT_LOGIN,
    }.get(flood.kind)
    if login is not None:
        fields.append((b"authorization", login))
    first = b"\x83\x86" + b"".join(_indexed(*field) for field in fields)
    # The newest entry of the dynamic table is 62 (RFC 7541, section 2.3.3).
    again = b"\x83\x86" + bytes(0x80 | (62 + len(fields) - 1 - at) for at in range(len(fields)))
    return first, again


class _Work:
    """The bytes of a kind."""

    def __init__(self, flood: Flood) -> None:
        self.block, self.again = _request(flood)

    def first(self, connection: Connection) -> bytes:
        return _headers(connection, self.block)

    def login(self, connection: Connection) -> bytes:
        """A call with a right login."""
        authorization = frames.literal(b"authorization", RIGHT_LOGIN)
        stream_id = connection._next_id
        return _headers(connection, self.again + authorization, end=False) + frames.frame(
            frames.DATA, frames.END_STREAM, stream_id, frames.message(b"")
        )

    def more(self, connection: Connection, amount: int) -> bytes:
        raise NotImplementedError


def _headers(connection: Connection, block: bytes, *, end: bool = True) -> bytes:
    flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
    return frames.frame(frames.HEADERS, flags, connection.take_id(), block)


class _Calls(_Work):
    """So many refused calls."""

    def more(self, connection: Connection, amount: int) -> bytes:
        return b"".join(_headers(connection, self.again) for _ in range(amount))


class _Guesses(_Work):
    """So many calls, each with another wrong login."""

    def __init__(self, flood: Flood) -> None:
        super().__init__(flood)
        self._numbers = count()

    def more(self, connection: Connection, amount: int) -> bytes:
        return b"".join(_headers(connection, self.again + self._login()) for _ in range(amount))

    def _login(self) -> bytes:
        guess = f"absent{id(self)}:guess-{next(self._numbers)}".encode()
        return frames.literal(b"authorization", base64.b64encode(guess))


class _Blocks(_Work):
    """Calls without a login whose headers are dear to read."""

    def __init__(self, flood: Flood, extra: bytes) -> None:
        super().__init__(flood)
        self._extra = extra

    def more(self, connection: Connection, amount: int) -> bytes:
        size = len(self.again) + len(self._extra) + HEAD_BYTES
        block = self._block()
        return b"".join(_headers(connection, block) for _ in range(max(1, amount // size)))

    def _block(self) -> bytes:
        return self.again + self._extra


class _TableUpdates(_Blocks):
    """Table size updates come before the fields (RFC 7541, section 4.2)."""

    def _block(self) -> bytes:
        return self._extra + self.again


class _Settings(_Work):
    """SETTINGS with thousands of entries that change nothing."""

    def more(self, connection: Connection, amount: int) -> bytes:
        del connection
        frame = frames.frame(frames.SETTINGS, 0, 0, (b"\0\x03\0\0\0\x64") * 2700)
        return frame * max(1, amount // len(frame))


class _Padding(_Work):
    """Empty messages on a stream of a right login, one byte in a frame with 255 of padding."""

    def first(self, connection: Connection) -> bytes:
        self._stream_id = connection._next_id
        return _headers(connection, self.block, end=False)

    def more(self, connection: Connection, amount: int) -> bytes:
        del connection
        frame = frames.frame(frames.DATA, 0x8, self._stream_id, b"\xff\0" + bytes(255))
        return frame * (max(5, amount // len(frame)) // 5 * 5)


def _work(flood: Flood) -> _Work:
    works = {
        "new_wrong": lambda: _Guesses(flood),
        "small_fields": lambda: _Blocks(flood, b"\x00\x01a\x01b" * 1800),
        "static_indices": lambda: _Blocks(flood, b"\x91" * 1300),
        # To 4,096 bytes, as often as a block may say it.
        "table_updates": lambda: _TableUpdates(flood, b"\x3f\xe1\x1f" * 64),
        "settings": lambda: _Settings(flood),
        "padding": lambda: _Padding(flood),
    }
    return works.get(flood.kind, lambda: _Calls(flood))()


class _Attack:
    """All connections of a flood."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self.seen = Seen()
        self._begun = asyncio.Event()
        self._connecting = asyncio.Semaphore(_CONNECTING_AT_A_TIME)

    async def connect(self, number: int) -> Connection:
        flood = self._flood
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with self._connecting:
                    _, connection = await loop.create_connection(
                        lambda: Connection(flood, self.seen),
                        flood.host,
                        flood.port,
                        local_addr=(flood.source(number), 0),
                        ssl=_context() if flood.tls else None,
                    )
            except OSError:
                await asyncio.sleep(_RECONNECT_SECONDS)
            else:
                return connection

    async def keep(self, number: int, connection: Connection) -> None:
        await self._begun.wait()
        try:
            while True:
                connection.begin()
                if self._flood.kind in REFUSED:
                    await connection.lost
                else:
                    await self._pour(connection)
                await asyncio.sleep(_RECONNECT_SECONDS)
                connection = await self.connect(number)
        finally:
            connection.close()

    def begin(self) -> None:
        self._begun.set()

    async def _pour(self, connection: Connection) -> None:
        size = int(self._flood.bytes_per_second * _TICK_SECONDS)
        while not connection.lost.done():
            connection.pour(size)
            await asyncio.sleep(_TICK_SECONDS)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


async def _main(flood: Flood) -> None:
    attack = _Attack(flood)
    connections = await asyncio.gather(*map(attack.connect, range(flood.connections)))
    tasks = [
        asyncio.create_task(attack.keep(number, connection))
        for number, connection in enumerate(connections)
    ]
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    if await loop.run_in_executor(None, sys.stdin.readline):
        attack.begin()
        await loop.run_in_executor(None, sys.stdin.readline)
    print(json.dumps(asdict(attack.seen)), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # It shares a core with the honest client, whose latencies are the proxy's alone.
    os.nice(10)
    asyncio.run(_main(Flood(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
