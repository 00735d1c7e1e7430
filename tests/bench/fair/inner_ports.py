"""What is left of the operations port and of root coord while others flood them.

Keys `fair.inner_ports.*`.

`livez_p99_ms`: a probe over a new connection each time, while 12,000 half requests are sent
to the same port of a proxy and each connection that is closed comes again. `public_p99_ms` is what
a newcomer at the public port waits for the answer to a call of a known login meanwhile.

`change_p99_ms`: a password change through root coord while four connections flood its port with
PINGs, and come again when they are cut; `quiet_change_p99_ms` is the same without the flood.

`metrics_stall_ms`: the longest processor time for which one scrape holds the event loop, of a proxy
that has seen the calls of 100 methods with three outcomes each, and has as many open files as with
10,000 connections; the median of SCRAPES.
"""

import asyncio
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import grpc.aio
from prometheus_client import generate_latest

from tests.bench.echo import METHOD
from tests.bench.fair.idlers import idlers
from tests.bench.load import PAYLOAD, login
from tests.bench.peers.programs import echo_backend
from tests.bench.processes import LOAD_CORE, SERVER_CORE, children_on, many_descriptors, pin
from tests.bench.report import Report
from tests.bench.stacks import etcd_and_root_coord
from tests.support.flooding import flooded
from vecguard.addresses import Address
from vecguard.config import Settings
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.credentials import hash_to_wire
from vecguard.observability.exposition import Exposition
from vecguard.passwords import hash_password
from vecguard.proxy.app import Proxy
from vecguard.secret import Secret

HALF_REQUESTS = 12_000
PROBES = 200
CHANGES = 100
SCRAPES = 21
OPEN_FILES = 10_000
_HALF = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
_TIMEOUT_SECONDS = 10.0


async def _p99_ms(times: int, work: Callable[[], Awaitable[object]]) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)[times * 99 // 100]


async def _operations(report: Report, stack) -> None:
    proxy = stack.proxies[0]
    with children_on(SERVER_CORE), many_descriptors():
        await proxy.start()
    await proxy.wait_ready()
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)

    async def probe() -> None:
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(f"http://{proxy.operations_address}/livez") as answer,
        ):
            assert answer.status == 200

    async def newcomer() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(proxy.address, options=options) as channel:
            await channel.unary_unary(METHOD)(
                PAYLOAD, metadata=login("root", "Milvus"), timeout=_TIMEOUT_SECONDS
            )

    await newcomer()
    port = int(proxy.operations_address.rpartition(":")[2])
    async with idlers(port, HALF_REQUESTS, said=_HALF, returning=True):
        report.add("fair.inner_ports.livez_p99_ms", await _p99_ms(PROBES, probe))
        report.add("fair.inner_ports.public_p99_ms", await _p99_ms(PROBES, newcomer))


async def _changes(report: Report, stack) -> None:
    pin(stack.root_coord.pid, SERVER_CORE)
    port = stack.ports.root_coord
    channel = Channel(Address("127.0.0.1", port))
    root_coord = pb.RootCoordStub(channel, timeout=60)
    password = hash_to_wire(hash_password(Secret("password"), 4))
    await root_coord.create_credential(
        pb.CreateCredentialRequest(
            actor=pb.Actor(anonymous=True), username="bench", password=password
        )
    )

    async def change() -> None:
        await root_coord.update_credential(
            pb.UpdateCredentialRequest(
                actor=pb.Actor(anonymous=True), username="bench", password=password
            )
        )

    try:
        report.add("fair.inner_ports.quiet_change_p99_ms", await _p99_ms(CHANGES, change))
        with children_on(LOAD_CORE):
            flood = flooded(port, "ping")
            async with flood:
                report.add("fair.inner_ports.change_p99_ms", await _p99_ms(CHANGES, change))
    finally:
        channel.close()


async def _stall_ms(exposition: Exposition) -> float:
    """The longest that the loop worked before another task had its turn, during one scrape."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest = max(longest, now - last)
            last = now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await exposition.text(generate_latest, "text/plain")
    watching.cancel()
    return longest * 1000


async def _scrapes(report: Report) -> None:
    proxy = Proxy(Settings())
    with ExitStack() as opened:
        opened.callback(proxy.close)
        opened.enter_context(many_descriptors())
        for _ in range(OPEN_FILES):
            opened.enter_context(socket.socket())
        counts = proxy.listener.call_counts
        for number in range(100):
            for code in (0, 1, 14):
                counts.ended(b"/milvus.proto.milvus.MilvusService/Method%d" % number, code)

        async def gather():
            return proxy.registry

        exposition = Exposition(gather)
        stalls = [await _stall_ms(exposition) for _ in range(SCRAPES)]
        report.add("fair.inner_ports.metrics_stall_ms", statistics.median(stalls))


async def run(report: Report) -> None:
    await _scrapes(report)
    async with echo_backend() as backend:
        with tempfile.TemporaryDirectory() as folder:
            settings = {"backend": {"address": f"127.0.0.1:{backend.port}"}}
            with children_on(LOAD_CORE):
                running = etcd_and_root_coord(Path(folder) / "data", **settings)
                async with running as stack:
                    await _operations(report, stack)
        # On its own: changes wait for proxies.
        with tempfile.TemporaryDirectory() as folder:
            async with etcd_and_root_coord(Path(folder) / "data") as stack:
                await _changes(report, stack)
