"""A known login and a relayed call over grpcio, beside the same backend called directly."""

import asyncio
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.ports import Ports
from deploy.local.stack import CHECKOUT, LocalStack
from tests.bench.echo import METHOD
from tests.bench.load import login, run_load
from tests.bench.processes import LOAD_CORE, SERVER_CORE, cpu_seconds, pin
from tests.bench.report import Report

SECONDS = 5.0
CONCURRENCY = 16
HEALTH = "/grpc.health.v1.Health/Check"
HEALTHY = b"\x08\x01"


@asynccontextmanager
async def echo_backend():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.echo", str(port)),
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        await asyncio.wait_for(process.stdout.readline(), 30)
        yield process.pid, f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def measure(name, pid, report, address, method, **options):
    """Adds `<name>.rps`, `.p50_ms`, `.p99_ms` and `.cpu_us` of the server process."""
    before = cpu_seconds(pid)
    load = await run_load(address, method, seconds=SECONDS, concurrency=CONCURRENCY, **options)
    used = cpu_seconds(pid) - before
    report.add(f"{name}.rps", load.per_second)
    report.add(f"{name}.p50_ms", load.percentile_ms(50))
    report.add(f"{name}.p99_ms", load.percentile_ms(99))
    report.add(f"{name}.cpu_us", used / load.calls * 1e6)


async def run(report: Report) -> None:
    async with echo_backend() as (backend, backend_address):
        pin(backend, SERVER_CORE)
        await measure("direct.unary", backend, report, backend_address, METHOD)
        pin(backend, LOAD_CORE)
        with tempfile.TemporaryDirectory() as folder:
            overrides = {"backend": {"address": backend_address}, "log": {"level": "warn"}}
            async with LocalStack(
                Path(folder), ports=Ports.free(proxies=1), settings_overrides=overrides
            ) as stack:
                proxy = stack.proxies[0]
                pin(proxy.pid, SERVER_CORE)
                root = login("root", "Milvus")
                await measure(
                    *("auth.known_login", proxy.pid, report, proxy.address, HEALTH),
                    metadata=root,
                    request=b"",
                    expected=HEALTHY,
                )
                await measure(
                    *("relay.unary", proxy.pid, report, proxy.address, METHOD), metadata=root
                )
    figures = report.figures
    report.add("relay.direct_rps_ratio", figures["relay.unary.rps"] / figures["direct.unary.rps"])
    report.add(
        "relay.direct_cpu_ratio", figures["relay.unary.cpu_us"] / figures["direct.unary.cpu_us"]
    )
