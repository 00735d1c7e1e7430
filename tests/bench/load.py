"""A load of unary calls, each with metadata of its own as pymilvus sends it."""

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from tests.bench.pace import Pace

PAYLOAD = b"x" * 256


@dataclass(frozen=True)
class Load:
    """How many calls were answered in how long, and the latencies of all."""

    calls: int
    seconds: float
    latencies: Sequence[float]

    @property
    def per_second(self) -> float:
        return self.calls / self.seconds

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


def login(username: str, password: str) -> tuple[tuple[str, bytes], ...]:
    return (("authorization", base64.b64encode(f"{username}:{password}".encode())),)


async def run_load(
    address: str,
    method: str,
    *,
    seconds: float,
    concurrency: int,
    rate: float | None = None,
    metadata: tuple[tuple[str, bytes], ...] = (),
    request: bytes = PAYLOAD,
    expected: bytes | None = PAYLOAD,
    credentials: grpc.ChannelCredentials | None = None,
) -> Load:
    """Calls on `concurrency` streams of one connection, as fast as the answers come.

    With a rate it is so many calls a second, evenly spread over the streams.

    Raises when an answer is not what was expected: a wrong answer is no throughput.
    """
    latencies: list[float] = []
    async with (
        grpc.aio.secure_channel(address, credentials)
        if credentials
        else grpc.aio.insecure_channel(address)
    ) as channel:
        call = channel.unary_unary(method)
        await call(request, metadata=metadata, timeout=30)
        begin = time.perf_counter()
        end = begin + seconds

        async def caller(number: int) -> None:
            pace = Pace(number, concurrency, rate)
            count = 0
            while (started := await pace.next()) < end:
                count += 1
                unique = (("client-request-id", f"{number}-{count}-{started}"),)
                answer = await call(request, metadata=metadata + unique, timeout=30)
                if expected is not None and answer != expected:
                    raise AssertionError("the answer is not the expected one")
                latencies.append(time.perf_counter() - started)

        async with asyncio.TaskGroup() as tasks:
            for number in range(concurrency):
                tasks.create_task(caller(number))
        elapsed = time.perf_counter() - begin
    return Load(len(latencies), elapsed, latencies)
