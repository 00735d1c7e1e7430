"""One root coord with the sessions of up to 1,000 proxies, and what a change costs etcd.

Sessions are real streams over connections of their own (tests/bench/sessions.py); root coord
and etcd are real processes. Root coord has core 0 for itself.
"""

import asyncio
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.bench.processes import LOAD_CORE, SERVER_CORE, cpu_seconds, pin, resident_bytes
from tests.bench.report import Report
from tests.bench.revocation import percentile_ms
from tests.bench.sessions import light_sessions
from tests.bench.stacks import etcd_and_root_coord
from vecguard.addresses import Address
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.credentials import hash_to_wire
from vecguard.passwords import hash_password
from vecguard.secret import Secret

SESSIONS = (100, 1000)

_IDLE_SECONDS = 8.0
_CHANGES = 50
_USER = "capacity"
_MIB = 2**20
_PASSWORDS = tuple(hash_to_wire(hash_password(Secret(f"password{n}"), 4)) for n in range(4))


async def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with etcd_and_root_coord(Path(folder)) as stack:
            pid = stack.root_coord.pid
            pin(pid, SERVER_CORE)
            pin(stack.etcd.pid, LOAD_CORE)
            address = Address.parse(stack.root_coord.address)
            channel = Channel(address)
            root_coord = pb.RootCoordStub(channel)
            request = pb.CreateCredentialRequest(
                actor=pb.Actor(anonymous=True), username=_USER, password=_PASSWORDS[0]
            )
            try:
                # A new leader acknowledges nothing before older leases are over.
                await root_coord.create_credential(request, timeout=60)
                for count in SESSIONS:
                    async with light_sessions(address, count) as sessions:
                        name = f"root_coord.sessions_{count}"
                        await _idle(report, name, pid)
                        await _changes(report, name, root_coord, pid, stack.ports.etcd)
                        report.add(f"{name}.rss_mib", resident_bytes(pid) / _MIB)
                        assert all(each.acknowledged == _CHANGES for each in sessions)
            finally:
                channel.close()


async def _idle(report: Report, name: str, pid: int) -> None:
    """Renewals alone: one in a second from each session."""
    before = cpu_seconds(pid)
    begin = time.perf_counter()
    await asyncio.sleep(_IDLE_SECONDS)
    used = (cpu_seconds(pid) - before) / (time.perf_counter() - begin)
    report.add(f"{name}.idle_core_ratio", used)


async def _changes(
    report: Report, name: str, root_coord: pb.RootCoordStub, pid: int, etcd_port: int
) -> None:
    idle = report.figures[f"{name}.idle_core_ratio"]
    etcd = await asyncio.to_thread(_etcd_counters, etcd_port)
    begin, before, took = time.perf_counter(), cpu_seconds(pid), []
    for number in range(_CHANGES):
        password = _PASSWORDS[(number + 1) % len(_PASSWORDS)]
        request = pb.UpdateCredentialRequest(
            actor=pb.Actor(anonymous=True), username=_USER, password=password
        )
        sent = time.perf_counter()
        reply = await root_coord.update_credential(request, timeout=60)
        assert reply.outcome == pb.MutationOutcome.APPLIED
        took.append(time.perf_counter() - sent)
    used = cpu_seconds(pid) - before - idle * (time.perf_counter() - begin)
    report.add(f"{name}.change_cpu_ms", max(used, 0.0) / _CHANGES * 1000)
    report.add(f"{name}.change_p50_ms", percentile_ms(took, 50))
    report.add(f"{name}.change_p99_ms", percentile_ms(took, 99))
    after = await asyncio.to_thread(_etcd_counters, etcd_port)
    for counter, value in after.items():
        report.add(f"etcd.{counter}_per_change", (value - etcd[counter]) / _CHANGES)


_COUNTERS = {
    # Entries of the raft log: each is replicated and synced to disk by every member.
    "writes": "etcd_server_proposals_applied_total",
    "fsyncs": "etcd_disk_wal_fsync_duration_seconds_count",
}


def _etcd_counters(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines())
    return {counter: float(lines[name]) for counter, name in _COUNTERS.items()}
