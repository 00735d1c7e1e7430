"""How long a password change takes until nobody can use the old password any more.

Sessions are the real session code over real connections, in this process; root coord and
etcd are real processes. Root coord has a core of its own, the sessions the other one.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from services.proxy.revocation.lease import ClockMargin, Lease
from services.proxy.revocation.session import Identity, Session
from shared.clock import boot_clock
from shared.etcd import EtcdClient, Put
from shared.generated.vecguard.internal import v1 as pb
from shared.grpc.addresses import Address
from shared.grpc.channel import Channel
from shared.grpc.credentials import hash_to_wire
from shared.passwords import hash_password
from shared.secret import Secret
from tests.bench.processes import cpu_seconds, pin
from tests.bench.report import Report
from tests.bench.stacks import etcd_and_root_coord

SIZES = (1, 10, 100)
CHANGES = {1: 200, 10: 200, 100: 100, 1000: 20}
SERVER_CORE, LOAD_CORE = 0, 1
USER = "bench"


class Cache:
    """Counts what it is told to forget."""

    def __init__(self) -> None:
        self.invalidated = 0

    def held(self):
        return []

    def invalidate(self, username, revision):
        self.invalidated += 1

    def invalidate_all(self):
        self.invalidated += 1

    def invalidate_stale(self, usernames, revision):
        pass


@asynccontextmanager
async def sessions(address: Address, count: int):
    """Holds `count` sessions, each over a connection of its own, all with a lease."""
    leases = [Lease(ClockMargin(0.01, 0.1)) for _ in range(count)]
    caches = [Cache() for _ in range(count)]
    async with AsyncExitStack() as stack:
        tasks = []
        for number, (lease, cache) in enumerate(zip(leases, caches, strict=True)):
            channel = Channel(address)
            stack.callback(channel.close)
            session = Session(
                channel,
                Identity(f"bench-{number}", "bench", "strict"),
                lease,
                cache,
                boot_clock,
                lambda: None,
            )
            tasks.append(asyncio.create_task(session.run("root coord", lambda _term: None)))
        try:
            async with asyncio.timeout(60):
                while not all(lease.is_valid(boot_clock()) for lease in leases):
                    await asyncio.sleep(0.05)
            yield caches
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


async def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with etcd_and_root_coord(Path(folder)) as stack:
            pin(stack.root_coord.pid, SERVER_CORE)
            pin(stack.etcd.pid, LOAD_CORE)
            address = Address("127.0.0.1", stack.ports.root_coord)
            passwords = [hash_to_wire(hash_password(Secret(f"password{n}"), 4)) for n in range(8)]
            await _etcd_write(report, f"127.0.0.1:{stack.ports.etcd}")
            channel = Channel(address)
            root_coord = pb.RootCoordStub(channel)
            try:
                await root_coord.create_credential(
                    pb.CreateCredentialRequest(username=USER, password=passwords[0]), timeout=30
                )
                for count in SIZES:
                    async with sessions(address, count) as caches:
                        await _changes(report, root_coord, passwords, count, stack.root_coord.pid)
                    assert all(cache.invalidated >= CHANGES[count] for cache in caches)
            finally:
                channel.close()
    figures = report.figures
    report.add(
        "revocation.sessions_100.over_etcd_p99_ms",
        figures["revocation.sessions_100.p99_ms"] - figures["revocation.etcd_write_p99_ms"],
    )


async def _etcd_write(report: Report, endpoint: str) -> None:
    took = []
    async with EtcdClient([endpoint]) as client:
        for number in range(200):
            begin = time.perf_counter()
            await client.txn([], [Put(b"bench", str(number).encode())])
            took.append(time.perf_counter() - begin)
    report.add("revocation.etcd_write_p50_ms", percentile_ms(took, 50))
    report.add("revocation.etcd_write_p99_ms", percentile_ms(took, 99))


async def _changes(report, root_coord, passwords, count, pid) -> None:
    took = []
    cpu = cpu_seconds(pid)
    for number in range(CHANGES[count]):
        request = pb.UpdateCredentialRequest(
            username=USER, password=passwords[number % len(passwords)]
        )
        begin = time.perf_counter()
        reply = await root_coord.update_credential(request, timeout=60)
        took.append(time.perf_counter() - begin)
        assert reply.outcome == pb.MutationOutcome.APPLIED
    name = f"revocation.sessions_{count}"
    report.add(f"{name}.p50_ms", percentile_ms(took, 50))
    report.add(f"{name}.p99_ms", percentile_ms(took, 99))
    report.add(f"{name}.cpu_us_per_session", (cpu_seconds(pid) - cpu) / len(took) / count * 1e6)
