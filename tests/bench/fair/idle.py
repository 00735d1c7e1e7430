"""What clients meet at a proxy that is full of connections without a login. Keys `fair.idle.*`.

10,000 connections from five addresses, which is all that the default limits take, have said their
first words and nothing more. A newcomer of a sixth address opens a connection and makes one call
with a login that the proxy knows; `newcomer_p99_ms` is how long that took, of NEWCOMERS one after
the other, and `newcomers_failed` how many got no answer. `empty_p99_ms` is the same without the
10,000.

For `returning_newcomer_p99_ms` each connection that made room comes again at once, and so makes
another one go: the attacker opens connections as fast as two cores let it.
"""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import grpc.aio

from tests.bench.echo import METHOD
from tests.bench.fair.idlers import idlers
from tests.bench.load import PAYLOAD, login
from tests.bench.peers.programs import echo_backend
from tests.bench.processes import LOAD_CORE, SERVER_CORE, children_on, many_descriptors
from tests.bench.report import Report
from tests.bench.stacks import etcd_and_root_coord

CONNECTIONS = 10_000
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 7))
NEWCOMERS = 200
_TIMEOUT_SECONDS = 5.0


async def newcomers(address: str) -> tuple[list[float], int]:
    """Milliseconds from the beginning of a connection to the answer; how many got none."""
    taken, failed = [], 0
    for _ in range(NEWCOMERS):
        began = time.perf_counter()
        try:
            async with grpc.aio.insecure_channel(
                address, options=[("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                await channel.unary_unary(METHOD)(
                    PAYLOAD, metadata=login("root", "Milvus"), timeout=_TIMEOUT_SECONDS
                )
        except grpc.RpcError:
            failed += 1
        taken.append((time.perf_counter() - began) * 1000)
    return taken, failed


def _p99(taken: list[float]) -> float:
    return sorted(taken)[len(taken) * 99 // 100]


async def run(report: Report) -> None:
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(echo_backend())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        settings = {"backend": {"address": f"127.0.0.1:{backend.port}"}}
        with children_on(LOAD_CORE):
            running = await stack.enter_async_context(
                etcd_and_root_coord(Path(folder) / "data", **settings)
            )
        proxy = running.proxies[0]
        with children_on(SERVER_CORE), many_descriptors():
            await proxy.start()
        await proxy.wait_ready()
        port = int(proxy.address.rpartition(":")[2])
        taken, _ = await newcomers(proxy.address)
        report.add("fair.idle.empty_p99_ms", _p99(taken))
        for name, returning in (("newcomer", False), ("returning_newcomer", True)):
            async with idlers(port, CONNECTIONS, addresses=ADDRESSES, returning=returning):
                taken, failed = await newcomers(proxy.address)
            report.add(f"fair.idle.{name}_p99_ms", _p99(taken))
            report.add(f"fair.idle.{name}s_failed", failed)
            await asyncio.sleep(1.0)
