"""How long a password change takes until the old password is of no use any more.

Sessions are real streams over real connections, all in this process; root coord and etcd
are real processes. Root coord has a core of its own, the sessions and etcd the other one.
"""

import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.processes import cpu_seconds, pin
from tests.bench.report import Report
from tests.bench.sessions import light_sessions
from tests.bench.stacks import etcd_and_root_coord
from vecguard.addresses import Address
from vecguard.etcd import EtcdClient, Put
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.credentials import hash_to_wire
from vecguard.passwords import hash_password
from vecguard.secret import Secret

SIZES = (1, 10, 100, 1000)
CHANGES = {1: 400, 10: 400, 100: 400, 1000: 100}
SERVER_CORE, LOAD_CORE = 0, 1
USER = "bench"


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    """The nearest rank: the least value that so many per cent of all do not exceed."""
    ordered = sorted(seconds)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] * 1000


async def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with etcd_and_root_coord(Path(folder)) as stack:
            pin(stack.root_coord.pid, SERVER_CORE)
            pin(stack.etcd.pid, LOAD_CORE)
            address = Address("127.0.0.1", stack.ports.root_coord)
            passwords = [hash_to_wire(hash_password(Secret(f"password{n}"), 4)) for n in range(8)]
            took = await etcd_writes(f"127.0.0.1:{stack.ports.etcd}")
            report.add("revocation.etcd_write_p50_ms", percentile_ms(took, 50))
            report.add("revocation.etcd_write_p99_ms", percentile_ms(took, 99))
            channel = Channel(address)
            root_coord = pb.RootCoordStub(channel)
            try:
                await root_coord.create_credential(
                    pb.CreateCredentialRequest(
                        actor=pb.Actor(anonymous=True), username=USER, password=passwords[0]
                    ),
                    timeout=30,
                )
                for count in SIZES:
                    async with light_sessions(address, count) as sessions:
                        await _changes(report, root_coord, passwords, count, stack.root_coord.pid)
                        assert all(each.acknowledged == CHANGES[count] for each in sessions)
                async with light_sessions(address, 100) as sessions:
                    sessions[0].silent = True
                    cut_off = await _change(root_coord, passwords[1])
                    report.add("revocation.cut_off_ms", cut_off * 1000)
            finally:
                channel.close()
    figures = report.figures
    report.add(
        "revocation.sessions_100.over_etcd_p99_ms",
        figures["revocation.sessions_100.p99_ms"] - figures["revocation.etcd_write_p99_ms"],
    )


async def etcd_writes(endpoint: str) -> list[float]:
    """How many seconds single writes take."""
    took = []
    async with EtcdClient([endpoint]) as client:
        for number in range(400):
            begin = time.perf_counter()
            await client.txn([], [Put(b"bench", str(number).encode())])
            took.append(time.perf_counter() - begin)
    return took


async def _changes(report, root_coord, passwords, count, pid) -> None:
    cpu = cpu_seconds(pid)
    took = [
        await _change(root_coord, passwords[number % len(passwords)])
        for number in range(CHANGES[count])
    ]
    name = f"revocation.sessions_{count}"
    report.add(f"{name}.p50_ms", percentile_ms(took, 50))
    report.add(f"{name}.p99_ms", percentile_ms(took, 99))
    report.add(f"{name}.cpu_us_per_session", (cpu_seconds(pid) - cpu) / len(took) / count * 1e6)


async def _change(root_coord, password) -> float:
    request = pb.UpdateCredentialRequest(
        actor=pb.Actor(anonymous=True), username=USER, password=password
    )
    begin = time.perf_counter()
    reply = await root_coord.update_credential(request, timeout=60)
    assert reply.outcome == pb.MutationOutcome.APPLIED
    return time.perf_counter() - begin
