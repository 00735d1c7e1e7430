"""What one client below every limit costs all others. Keys `fair.refused.*` and `fair.costly.*`.

One proxy with default settings on SERVER_CORE together with its bcrypt threads; etcd, root coord,
the echoing backend, the honest client, the probes and the flood (a process of its own) share
LOAD_CORE. `fair.refused.<kind>_<connections>.*` are floods of refused calls on many connections
from four addresses; `fair.costly.<kind>_<connections>.*` are frames that are dear to read, at 8
MB/s on each connection, or what the socket takes, without a login, or after a right one (`known`);
`fair.beside_bcrypt.*` are some of both while wrong passwords are checked. In each:

- `p99_ms`: of a known login's calls, one at a time, on a connection of its own;
- `newcomer_p99_ms`: of first calls of a known login, each on a new connection from another address
  than the flood's, ten times a second;
- `failures`: of all these calls and of `/livez`;
- `livez_worst_ms`: the slowest answer of `/livez`, asked ten times a second;
- `lost_sessions`: how often the proxy lost its session with root coord, and with it the lease;
- `grown_mib`: the most that was resident during it, less what was before the flood connected.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local.ports import free_ports
from deploy.local.readiness import speaks_http2
from deploy.local.stack import CHECKOUT, LocalStack
from tests.bench.abuse import attacked, create_users
from tests.bench.fair.flood import COSTLY, REFUSED, Flood, Kind
from tests.bench.fair.honest import honest
from tests.bench.peers.programs import running
from tests.bench.processes import (
    LOAD_CORE,
    SERVER_CORE,
    children_on,
    many_descriptors,
    resident_bytes,
)
from tests.bench.report import Report
from tests.bench.stacks import etcd_and_root_coord
from tests.support.metrics import scrape

SECONDS = 4.0
#: Connections and calls in flight on each, by the issue of which they were the proof.
REFUSED_LOADS = ((20, 900), (300, 900), (1000, 990), (2000, 990))
COSTLY_LOADS = (1, 20)
#: What is repeated while bcrypt is busy: kind, connections, whether they have shown a right login.
BESIDE_BCRYPT: tuple[tuple[Kind, int, bool], ...] = (
    ("small_fields", 1, False),
    ("small_fields", 20, True),
    ("garbage", 1000, False),
)
_ADDRESSES = 4
_SAMPLE_SECONDS = 0.2
_PAUSE_SECONDS = 2.0


@asynccontextmanager
async def flooded(flood: Flood) -> AsyncIterator[dict[str, Any]]:
    """A flood goes on meanwhile; what it saw is in the dictionary afterwards."""
    seen: dict[str, Any] = {}
    with children_on(LOAD_CORE), many_descriptors():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.fair.flood", flood.argument()),
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            await process.stdout.readline()
        process.stdin.write(b"\n")
        yield seen
        process.stdin.write(b"\n")
        async with asyncio.timeout(60):
            seen.update(json.loads(await process.stdout.readline()))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Floods:
    """Measures one flood after the other at one proxy."""

    def __init__(self, report: Report, stack: LocalStack, seconds: float) -> None:
        self._report = report
        self._proxy = stack.proxies[0]
        self._seconds = seconds

    async def quiet(self) -> None:
        async with honest(self._proxy.address, self._proxy.operations_address) as experience:
            await asyncio.sleep(self._seconds)
        self._report.add("fair.quiet.p99_ms", experience.call_p99_ms())

    async def under(
        self,
        key: str,
        kind: Kind,
        connections: int,
        *,
        window: int = 990,
        is_known: bool = False,
    ) -> None:
        host, _, port = self._proxy.address.rpartition(":")
        flood = Flood(
            kind,
            host,
            int(port),
            connections=connections,
            addresses=min(connections, _ADDRESSES),
            window=window,
            is_known=is_known,
        )
        sessions = await self._sessions()
        before = resident_bytes(self._proxy.pid)
        grown = 0
        async with (
            honest(self._proxy.address, self._proxy.operations_address) as experience,
            flooded(flood) as seen,
        ):
            for _ in range(int(self._seconds / _SAMPLE_SECONDS)):
                await asyncio.sleep(_SAMPLE_SECONDS)
                grown = max(grown, resident_bytes(self._proxy.pid) - before)
        add = self._report.add
        add(f"{key}.p99_ms", experience.call_p99_ms())
        add(f"{key}.newcomer_p99_ms", experience.newcomer_p99_ms())
        add(f"{key}.calls", len(experience.calls))
        add(f"{key}.failures", len(experience.failures))
        add(f"{key}.livez_worst_ms", experience.worst_probe_ms())
        add(f"{key}.lost_sessions", await self._sessions() - sessions)
        add(f"{key}.grown_mib", grown / 2**20)
        for name, count in seen.items():
            add(f"{key}.flood_{name}", count)
        if experience.failures:
            print(key, experience.failures[:3])
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _sessions(self) -> float:
        return (await scrape(self._proxy.operations_address)).value(
            "vecguard_proxy_sessions_opened_total"
        )


async def run(
    report: Report,
    *,
    seconds: float = SECONDS,
    refused: tuple[Kind, ...] = REFUSED,
    costly: tuple[Kind, ...] = COSTLY,
    refused_loads: tuple[tuple[int, int], ...] = REFUSED_LOADS,
    costly_loads: tuple[int, ...] = COSTLY_LOADS,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _floods(report, Path(folder), seconds) as (floods, address):
            await floods.quiet()
            for connections, window in refused_loads:
                for kind in refused:
                    key = f"fair.refused.{kind}_{connections}"
                    await floods.under(key, kind, connections, window=window)
            for connections in costly_loads:
                for kind in costly:
                    key = f"fair.costly.{kind}_{connections}"
                    await floods.under(key, kind, connections)
                    await floods.under(f"{key}_known", kind, connections, is_known=True)
            async with attacked(address, "new_wrong"):
                for kind, connections, is_known in BESIDE_BCRYPT:
                    key = f"fair.beside_bcrypt.{kind}_{connections}"
                    await floods.under(key, kind, connections, is_known=is_known)


@asynccontextmanager
async def _floods(
    report: Report, folder: Path, seconds: float
) -> AsyncIterator[tuple[Floods, str]]:
    """The parts run meanwhile; the second is the proxy's address."""
    (port,) = free_ports(1)
    # Not the bare echo of the relay's benchmarks, for which a stream that ends early is a fault.
    argv = (sys.executable, "-m", "tests.bench.echo", str(port))
    async with running("echo", argv, speaks_http2(port), core=LOAD_CORE):
        settings = {"backend": {"address": f"127.0.0.1:{port}"}}
        with children_on(LOAD_CORE):
            async with etcd_and_root_coord(folder / "data", **settings) as stack:
                await create_users(stack, ["victim"])
                proxy = stack.proxies[0]
                with children_on(SERVER_CORE), many_descriptors():
                    await proxy.start()
                await proxy.wait_ready()
                yield Floods(report, stack, seconds), proxy.address
