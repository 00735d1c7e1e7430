"""What calls of one user that hang do to the calls of others. Keys `fair.streams.*`.

One proxy with default limits, alone on SERVER_CORE, before a gRPC server (grpcio) that allows 100
streams on a connection. The user "mallory" makes HANGING calls on one connection which the backend
never answers. The figures are of another user's calls, at a fixed rate on a connection of its own.

`quiet_p99_ms` is before the calls that hang, `other_p99_ms` while they do, and `other_p99_ratio`
compares the two. `backend_streams` is how many of the calls that hang the backend holds; the rest
wait in the proxy.
"""

import asyncio
import tempfile
from pathlib import Path

import grpc
import grpc.aio

from deploy.local.stack import LocalStack
from tests.bench.abuse import create_users
from tests.bench.load import Load, login, run_load
from tests.bench.processes import LOAD_CORE, SERVER_CORE, children_on
from tests.bench.report import Report
from tests.bench.stacks import etcd_and_root_coord
from tests.support.echo_backend import EchoBackend
from tests.support.waiting import eventually

HANGING = 400
SECONDS = 5.0
CONCURRENCY = 8
RATE = 400.0
STREAMS = 100
#: Other calls that take longer are stalled.
_DEADLINE_SECONDS = 10.0
# grpcio would put all calls of the process on one connection.
_ALONE = (("grpc.use_local_subchannel_pool", 1),)
_PASSWORD = "right-123"  # as `create_users` has it


async def run(report: Report, *, seconds: float = SECONDS) -> None:
    backend = EchoBackend()
    await backend.start(options=[("grpc.max_concurrent_streams", STREAMS)])
    settings = {
        "backend": {"address": f"127.0.0.1:{backend.port}"},
        "audit": {"output": "off"},
    }
    try:
        with tempfile.TemporaryDirectory() as folder, children_on(LOAD_CORE):
            async with etcd_and_root_coord(Path(folder), **settings) as stack:
                await create_users(stack, ["mallory", "alice"])
                await _compare(report, stack, backend, seconds)
    finally:
        await backend.stop()


async def _compare(report: Report, stack: LocalStack, backend: EchoBackend, seconds: float) -> None:
    proxy = stack.proxies[0]
    with children_on(SERVER_CORE):
        await proxy.start()
    await proxy.wait_ready()
    quiet = await _others(proxy.address, seconds)
    report.add("fair.streams.quiet_p99_ms", quiet.percentile_ms(99))
    before = len(backend.calls)
    async with grpc.aio.insecure_channel(proxy.address, options=_ALONE) as channel:
        silent = channel.unary_unary("/bench.Echo/Silent")
        metadata = login("mallory", _PASSWORD)
        await channel.unary_unary("/bench.Echo/Unary")(b"", metadata=metadata)
        hanging = [silent(b"", metadata=metadata) for _ in range(HANGING)]

        async def they_hang() -> bool:
            return len(backend.calls) - before > STREAMS

        await eventually(they_hang)
        other = await _others(proxy.address, seconds)
        held = sum(call.path.endswith("Silent") for call in backend.calls)
        for call in hanging:
            call.cancel()
    report.add("fair.streams.other_p99_ms", other.percentile_ms(99))
    report.add("fair.streams.other_p99_ratio", other.percentile_ms(99) / quiet.percentile_ms(99))
    report.add("fair.streams.backend_streams", held)


async def _others(address: str, seconds: float) -> Load:
    """Raises TimeoutError when another user's calls are not answered at all."""
    async with asyncio.timeout(seconds + _DEADLINE_SECONDS):
        return await run_load(
            address,
            "/bench.Echo/Unary",
            seconds=seconds,
            concurrency=CONCURRENCY,
            rate=RATE,
            metadata=login("alice", _PASSWORD),
        )
