"""What a client with a known login and a health probe see meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import grpc.aio

from tests.bench.attackers import connect, encoded
from tests.bench.echo import METHOD
from tests.bench.load import PAYLOAD, login

_CALL_SECONDS = 60.0
_PROBE_SECONDS = 0.1
#: None of the addresses that a flood comes from.
_SOURCE = "127.0.0.1"


@dataclass
class Experience:
    """Latencies in milliseconds, each list in the order of time.

    Attributes:
        calls: of calls on a connection of its own, one at a time.
        probes: of `/livez`, each on a connection of its own as the kubelet's.
        newcomers: of first calls of a known login, each on a new connection.
        failures: calls and probes that went wrong.
    """

    calls: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    newcomers: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def call_p99_ms(self) -> float:
        return _percentile(self.calls, 99)

    def newcomer_p99_ms(self) -> float:
        return _percentile(self.newcomers, 99)

    def worst_probe_ms(self) -> float:
        return max(self.probes, default=float("nan"))


def _percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@asynccontextmanager
async def honest(
    address: str, operations: str, pause_seconds: float = 0.002
) -> AsyncIterator[Experience]:
    """Calls and probes go on meanwhile; whatever is under way at the end is waited for."""
    experience = Experience()
    is_over = asyncio.Event()
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(METHOD)
        await call(PAYLOAD, metadata=login("root", "Milvus"), timeout=_CALL_SECONDS)
        tasks = [
            asyncio.create_task(_calls(call, experience, is_over, pause_seconds)),
            asyncio.create_task(_newcomers(address, experience, is_over)),
            asyncio.create_task(_probes(f"http://{operations}/livez", experience, is_over)),
        ]
        try:
            yield experience
        finally:
            is_over.set()
            await asyncio.gather(*tasks)


async def _calls(call, experience: Experience, is_over: asyncio.Event, pause: float) -> None:
    while not is_over.is_set():
        begin = time.perf_counter()
        try:
            await call(PAYLOAD, metadata=login("root", "Milvus"), timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            experience.failures.append(f"call: {error.code().name}: {error.details()}")
        experience.calls.append((time.perf_counter() - begin) * 1000)
        await asyncio.sleep(pause)


async def _newcomers(address: str, experience: Experience, is_over: asyncio.Event) -> None:
    host, _, port = address.rpartition(":")
    while not is_over.is_set():
        begin = time.perf_counter()
        try:
            caller = await connect(host, int(port), _SOURCE)
            try:
                async with asyncio.timeout(_CALL_SECONDS):
                    status = await caller.log_in(encoded("root", "Milvus"))
            finally:
                caller.close()
            if status:
                experience.failures.append(f"newcomer: {status}")
        except (OSError, TimeoutError) as error:
            experience.failures.append(f"newcomer: {error!r}")
        experience.newcomers.append((time.perf_counter() - begin) * 1000)
        await asyncio.sleep(_PROBE_SECONDS)


async def _probes(url: str, experience: Experience, is_over: asyncio.Event) -> None:
    timeout = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    while not is_over.is_set():
        begin = time.perf_counter()
        try:
            connector = aiohttp.TCPConnector(force_close=True)
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
                session.get(url) as answer,
            ):
                if answer.status != 200:
                    experience.failures.append(f"livez: {answer.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            experience.failures.append(f"livez: {error!r}")
        experience.probes.append((time.perf_counter() - begin) * 1000)
        await asyncio.sleep(_PROBE_SECONDS)
