"""Clients that log in with raw HTTP/2, from many addresses: `python -m tests.bench.attackers JSON`.

Each connection sends its next login as soon as the last one was answered, whatever the answer
says, or at the times that a rate gives it. Every answer's status is counted. "ready" is printed
when all are connected; "go" on standard input starts them, the next line or its end stops them;
then the counts are printed.
"""

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import count
from typing import Literal, cast

from hpack.huffman_table import decode_huffman

from tests.bench.pace import Pace
from tests.bench.wire import frames
from tests.bench.wire.frames import HEAD, HEAD_BYTES

Kind = Literal["same_wrong", "new_wrong", "unknown_names"]

_PATH = b"/grpc.health.v1.Health/Check"
_BODY = frames.message(b"")
_FIXED = b"\x83\x86" + b"".join(
    (
        frames.literal(b":path", _PATH),
        frames.literal(b":authority", b"bench"),
        frames.literal(b"content-type", b"application/grpc"),
        frames.literal(b"te", b"trailers"),
    )
)
# What the proxy writes itself is plain; what it passes on has the upstream's Huffman code.
_STATUS = b"\x0bgrpc-status"
UNKNOWN_NAMES = 10_000
#: Hosts of one /24 that are used; the first octets say which group of clients it is.
_HOSTS = 250


@dataclass(frozen=True)
class Attack:
    """Who attacks what, and how."""

    kind: Kind
    host: str
    port: int
    connections: int = 200
    addresses: int = 20
    #: Logins a second of all together; None: each as soon as the last one was answered.
    rate: float | None = None

    def source(self, number: int) -> str:
        return f"127.0.1.{number % self.addresses + 1}"

    def argument(self) -> str:
        return json.dumps(asdict(self))


class Caller(asyncio.Protocol):
    """One connection, one login at a time."""

    def __init__(self) -> None:
        self._next_id = 1
        self._rest = b""
        self._status: bytes | None = None
        self._answer: asyncio.Future[int] | None = None
        self._lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(frames.GREETING)

    async def log_in(self, authorization: bytes) -> int:
        """The status of the answer. Raises ConnectionError when there is none."""
        if self._lost is not None:
            raise self._lost
        self._answer = asyncio.get_running_loop().create_future()
        self._status = None
        block = _FIXED + frames.literal(b"authorization", authorization)
        stream_id, self._next_id = self._next_id, self._next_id + 2
        self._transport.write(
            frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block)
            + frames.frame(frames.DATA, frames.END_STREAM, stream_id, _BODY)
        )
        return await self._answer

    def close(self) -> None:
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = ConnectionError(f"the connection was lost ({exc})")
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._lost)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        while len(data) - at >= HEAD_BYTES:
            word, flags, _ = HEAD.unpack_from(data, at)
            end = at + HEAD_BYTES + (word >> 8)
            if end > len(data):
                break
            self._frame(word & 0xFF, flags, data[at + HEAD_BYTES : end])
            at = end
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == frames.HEADERS:
            _, found, tail = payload.partition(_STATUS)
            if found:
                self._status = _string(tail)
            # The attack may have been stopped meanwhile.
            if flags & frames.END_STREAM and self._answer is not None and not self._answer.done():
                self._answer.set_result(int(self._status or b"-1"))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING and not flags & frames.ACK:
            self._transport.write(frames.frame(frames.PING, frames.ACK, 0, payload))


def _string(field: bytes) -> bytes:
    """The string literal that a field begins with (RFC 7541, section 5.2), if it is short."""
    text = field[1 : 1 + (field[0] & 0x7F)]
    return bytes(decode_huffman(text)) if field[0] & 0x80 else text


async def connect(host: str, port: int, source: str) -> Caller:
    loop = asyncio.get_running_loop()
    _, caller = await loop.create_connection(Caller, host, port, local_addr=(source, 0))
    return caller


async def first_login(host: str, port: int, number: int, login: bytes) -> tuple[int, float]:
    """The status of one user's first login from an address of its own, and its milliseconds."""
    source = f"127.0.{2 + number // _HOSTS}.{number % _HOSTS + 1}"
    caller = await connect(host, port, source)
    try:
        begin = time.perf_counter()
        status = await caller.log_in(login)
        return status, (time.perf_counter() - begin) * 1000
    finally:
        caller.close()


def encoded(username: str, password: str) -> bytes:
    return base64.b64encode(f"{username}:{password}".encode())


async def run(attack: Attack) -> Counter[int]:
    """Attacks from the first line of standard input to the next; how often each status came."""
    callers = {
        number: await connect(attack.host, attack.port, attack.source(number))
        for number in range(attack.connections)
    }
    unique, statuses = count(), Counter[int]()

    def login() -> bytes:
        number = next(unique)
        match attack.kind:
            case "same_wrong":
                return encoded("victim", "always-the-same")
            case "new_wrong":
                return encoded("victim", f"guess-{number}")
            case "unknown_names":
                return encoded(f"absent{number % UNKNOWN_NAMES}", f"guess-{number}")

    async def keep_on(number: int) -> None:
        pace = Pace(number, attack.connections, attack.rate)
        while True:
            await pace.next()
            try:
                statuses[await callers[number].log_in(login())] += 1
            except ConnectionError:
                # A thousand refused calls cost the connection.
                callers[number] = await connect(attack.host, attack.port, attack.source(number))

    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    async with asyncio.TaskGroup() as tasks:
        attackers = [tasks.create_task(keep_on(number)) for number in callers]
        await asyncio.to_thread(sys.stdin.readline)
        for attacker in attackers:
            attacker.cancel()
    for caller in callers.values():
        caller.close()
    return statuses


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(Attack(**json.loads(sys.argv[1]))))), flush=True)
