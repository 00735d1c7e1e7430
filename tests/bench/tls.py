"""The public port with TLS: what a call costs more, and what a new connection costs."""

import asyncio
import ssl
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from tests.bench.direct import echo_backend, measure
from tests.bench.echo import METHOD
from tests.bench.load import login
from tests.bench.processes import LOAD_CORE, SERVER_CORE, cpu_seconds, pin
from tests.bench.report import Report
from vecguard.config.security import TlsMode

SECONDS = 4.0
CONNECTING = 4


@asynccontextmanager
async def _proxy(backend_address: str, mode: TlsMode):
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(
            Path(folder),
            ports=Ports.free(proxies=1),
            tls=mode,
            settings_overrides={"backend": {"address": backend_address}, "log": {"level": "warn"}},
        )
        async with stack:
            pin(stack.proxies[0].pid, SERVER_CORE)
            yield stack.proxies[0], Path(folder) / "certs"


async def _connections(report: Report, address: str, authority: Path, pid: int) -> None:
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2"])
    end = time.perf_counter() + SECONDS
    made = 0

    async def connect() -> None:
        nonlocal made
        while time.perf_counter() < end:
            _, writer = await asyncio.open_connection(
                host, int(port), ssl=context, server_hostname="localhost"
            )
            made += 1
            writer.transport.abort()

    before = cpu_seconds(pid)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONNECTING):
            tasks.create_task(connect())
    report.add("tls.connections_rps", made / SECONDS)
    report.add("tls.connection_cpu_us", (cpu_seconds(pid) - before) / made * 1e6)


async def run(report: Report) -> None:
    root = login("root", "Milvus")
    async with echo_backend() as (backend, backend_address):
        pin(backend, LOAD_CORE)
        async with _proxy(backend_address, TlsMode.OFF) as (proxy, _):
            await measure("tls.off", proxy.pid, report, proxy.address, METHOD, metadata=root)
        async with _proxy(backend_address, TlsMode.SERVER) as (proxy, certificates):
            authority = certificates / "ca.pem"
            await measure(
                *("tls.on", proxy.pid, report, proxy.address, METHOD),
                metadata=root,
                credentials=grpc.ssl_channel_credentials(authority.read_bytes()),
            )
            await _connections(report, proxy.address, authority, proxy.pid)
    figures = report.figures
    report.add("tls.relay_cpu_ratio", figures["tls.on.cpu_us"] / figures["tls.off.cpu_us"])
