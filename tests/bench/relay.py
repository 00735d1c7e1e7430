"""What a forwarded call costs: throughput, processor time, authentication, connections.

Beside it, in the same rounds, the relay over grpclib that this one replaced.
"""

import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from deploy.local.ports import LOOPBACK
from tests.bench.peers.milvus import GET_VERSION, LOGIN
from tests.bench.peers.programs import echo_backend, grpclib_relay
from tests.bench.peers.vecguard import COMPILED, Proxies
from tests.bench.processes import resident_bytes
from tests.bench.report import Report
from tests.bench.rounds import Load, Target, jobs, load_generator
from tests.bench.wire.generator import Job

PAYLOAD = (b"x" * 256).hex()
ROUNDS = 5
SECONDS = 1.5
IDLE_CONNECTIONS = 1000

calls = partial(
    jobs,
    kind="calls",
    path=GET_VERSION,
    authorization=LOGIN,
    request=PAYLOAD,
    expected=PAYLOAD,
    seconds=SECONDS,
)


async def run(report: Report, *, compiled: Path = COMPILED) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(echo_backend())
            proxies = await stack.enter_async_context(Proxies(Path(folder), backend.port, compiled))
            load = await stack.enter_async_context(load_generator())
            plain = await proxies.start("relay")
            own = [plain, await proxies.start("relay.open", is_open=True)]
            if proxies.has_compiled:
                own.append(await proxies.start("relay.compiled", compiled=True))
                own.append(await proxies.start("relay.compiled.open", is_open=True, compiled=True))
            else:
                report.leave_out("relay.compiled.*", "nothing is compiled; run `make compile`")
            yardstick = await stack.enter_async_context(grpclib_relay(backend.port))
            await _calls(report, load, own, yardstick, backend)
            # A proxy of its own: memory that earlier loads have left free would be used first.
            await _connections(report, load, await proxies.start("idle"), "relay")
            encrypted = await proxies.start("idle.tls", tls=True)
            authority = str(proxies.certificates / "ca.pem")
            await _connections(report, load, encrypted, "relay.tls", authority=authority)
            if proxies.has_compiled:
                fresh = await proxies.start("idle.compiled", compiled=True)
                await _connections(report, load, fresh, "relay.compiled")
                encrypted = await proxies.start("idle.compiled.tls", tls=True, compiled=True)
                name = "relay.compiled.tls"
                await _connections(report, load, encrypted, name, authority=authority)


async def _calls(
    report: Report, load: Load, own: list[Target], yardstick: Target, backend: Target
) -> None:
    targets = [*own, yardstick, backend]
    found = await load.compare(targets, calls(targets), rounds=ROUNDS)
    for target in own:
        for value in ("cpu_us", "rps", "p50_us", "p99_us"):
            report.add(f"{target.name}.{value}", found.median(target.name, value))
    report.add("relay.grpclib.cpu_us", found.median(yardstick.name, "cpu_us"))
    report.add("relay.grpclib.rps", found.median(yardstick.name, "rps"))
    report.add("relay.direct.rps", found.median(backend.name, "rps"))
    for name in (target.name for target in own if not target.name.endswith(".open")):
        report.add(f"{name}.grpclib_cpu_ratio", found.ratio(name, yardstick.name, "cpu_us"))
        report.add(f"{name}.auth_cost_ratio", found.ratio(name, f"{name}.open", "rps"))
        without = found.median(f"{name}.open", "cpu_us")
        report.add(f"{name}.auth_cpu_us", found.median(name, "cpu_us") - without)


async def _connections(
    report: Report, load: Load, target: Target, name: str, *, authority: str | None = None
) -> None:
    def job(count: int) -> Job:
        return Job(
            *("idle", LOOPBACK, target.port, GET_VERSION),
            connections=count,
            authorization=LOGIN,
            request=PAYLOAD,
            expected=PAYLOAD,
            authority=authority,
        )

    def look() -> int:
        return resident_bytes(target.pid)

    few = await load.holding(target, job(1), look)
    many = await load.holding(target, job(1 + IDLE_CONNECTIONS), look)
    report.add(f"{name}.connections.kib", (many - few) / IDLE_CONNECTIONS / 1024)
