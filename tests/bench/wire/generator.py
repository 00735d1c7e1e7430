"""The load of the relay's benchmarks, a process of its own: reads jobs, prints what it found.

A job is a line of JSON (`Job`); the answer to it is "ready" when its connections are open
and each has had a call answered. The next line, "go", starts the clock; what was found
(`Result`) comes when the last call is answered. Anything that is not the expected answer
ends the job with an error.
"""

import asyncio
import contextlib
import json
import resource
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from tests.bench.wire.blocks import RequestBlocks
from tests.bench.wire.bulk import BulkConnection
from tests.bench.wire.calls import CallConnection

_DEADLINE_SECONDS = 30.0

Connection = CallConnection | BulkConnection


@dataclass(frozen=True)
class Job:
    """What to send where.

    Attributes:
        kind: `calls` are small and many; `unary` and `stream` move large messages, `stream`
            all of them in one call; `idle` connects, calls once and holds still.
        request: hexadecimal; of `unary` and `stream` it is the beginning of each message.
        expected: hexadecimal; of `calls` only.
        message_bytes: of `unary` and `stream` only.
        authority: a file with the certificates to trust; None: no TLS.
    """

    kind: str
    host: str
    port: int
    path: str
    connections: int = 16
    streams: int = 16
    seconds: float = 1.0
    authorization: str | None = None
    request: str = ""
    expected: str = ""
    message_bytes: int = 0
    authority: str | None = None

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True)
class Result:
    """What came of a job. `moved` counts message bytes that came back."""

    calls: int
    seconds: float
    p50_us: float
    p99_us: float
    moved: int
    error: str | None = None


async def run_job(job: Job, go: Callable[[], Awaitable[None]]) -> Result:
    """Connects, waits until `go` has returned, and sends.

    Raises:
        AssertionError: an answer is not the expected one.
        OSError, TimeoutError: there is no answer.
    """
    connections: list[Connection] = []
    try:
        await _connect(job, connections)
        await go()
        begin = time.perf_counter()
        if job.kind == "idle":
            return Result(len(connections), 0.0, 0.0, 0.0, 0)
        for connection in connections:
            connection.go()
        await _until_over(connections, job.seconds)
        seconds = time.perf_counter() - begin
    finally:
        for connection in connections:
            connection.close()
            # Some of them may never be asked what became of them.
            for future in (connection.ready, connection.finished):
                if not future.cancelled():
                    future.exception()
    return _result(connections, seconds)


async def _until_over(connections: Sequence[Connection], seconds: float) -> None:
    finished = asyncio.gather(*(each.finished for each in connections))
    await asyncio.wait((finished,), timeout=seconds)
    for connection in connections:
        connection.is_over = True
    async with asyncio.timeout(_DEADLINE_SECONDS):
        await finished


async def _connect(job: Job, made: list[Connection]) -> None:
    context = None
    if job.authority is not None:
        context = ssl.create_default_context(cafile=job.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["h2"])
    login = None if job.authorization is None else job.authorization.encode()
    blocks = RequestBlocks(
        job.path.encode(),
        f"{job.host}:{job.port}".encode(),
        login,
        encrypted=context is not None,
    )
    loop = asyncio.get_running_loop()
    for number in range(job.connections):

        def protocol(number: int = number) -> Connection:
            if job.kind in ("unary", "stream"):
                return BulkConnection(
                    blocks,
                    job.message_bytes,
                    streaming=job.kind == "stream",
                    beginning=bytes.fromhex(job.request),
                )
            return CallConnection(
                number,
                blocks,
                bytes.fromhex(job.request),
                bytes.fromhex(job.expected),
                job.streams,
            )

        async with asyncio.timeout(_DEADLINE_SECONDS):
            _, connection = await loop.create_connection(
                protocol,
                job.host,
                job.port,
                ssl=context,
                server_hostname=None if context is None else "localhost",
            )
            made.append(connection)
            await connection.ready


def _result(connections: Sequence[Connection], seconds: float) -> Result:
    latencies = sorted(
        latency
        for each in connections
        if isinstance(each, CallConnection)
        for latency in each.latencies
    )
    moved = sum(each.moved for each in connections if isinstance(each, BulkConnection))
    if not latencies:
        return Result(0, seconds, 0.0, 0.0, moved)
    p50, p99 = (latencies[min(len(latencies) - 1, int(len(latencies) * q))] for q in (0.5, 0.99))
    return Result(len(latencies), seconds, p50 * 1e6, p99 * 1e6, moved)


async def _serve() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )

    async def go() -> None:
        print("ready", flush=True)
        await lines.readline()

    while line := await lines.readline():
        try:
            result = await run_job(Job(**json.loads(line)), go)
        except (OSError, AssertionError, TimeoutError) as error:
            result = Result(0, 0.0, 0.0, 0.0, 0, error=f"{type(error).__name__}: {error}")
        print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    import uvloop

    # One descriptor for each idle connection.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve())
