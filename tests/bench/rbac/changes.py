"""How long a revoke takes until no proxy decides by the grant any more; see `revocation`."""

import tempfile
import time
from pathlib import Path

from tests.bench.processes import LOAD_CORE, SERVER_CORE, pin
from tests.bench.rbac.store import fill, grants_of, role_name
from tests.bench.report import Report
from tests.bench.revocation import etcd_writes, percentile_ms
from tests.bench.sessions import light_sessions
from tests.bench.stacks import etcd_and_root_coord
from vecguard.addresses import Address
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.proxy.authorization.policy import Grant
from vecguard.usernames import ROOT

SESSIONS, CHANGES = 100, 400


async def run(report: Report) -> None:
    """The roles are those of the other benchmarks; each change is of one grant."""
    with tempfile.TemporaryDirectory() as folder:
        async with etcd_and_root_coord(Path(folder), fill=fill) as stack:
            pin(stack.root_coord.pid, SERVER_CORE)
            pin(stack.etcd.pid, LOAD_CORE)
            writes = await etcd_writes(f"127.0.0.1:{stack.ports.etcd}")
            address = Address("127.0.0.1", stack.ports.root_coord)
            channel = Channel(address)
            try:
                async with light_sessions(address, SESSIONS) as sessions:
                    took = await _revokes(pb.RootCoordStub(channel))
                    assert all(each.acknowledged == 2 * CHANGES for each in sessions)
            finally:
                channel.close()
    report.add(f"rbac.change_{SESSIONS}_p50_ms", _over(took, writes, 50))
    report.add(f"rbac.change_{SESSIONS}_p99_ms", _over(took, writes, 99))


def _over(took: list[float], writes: list[float], percent: float) -> float:
    return percentile_ms(took, percent) - percentile_ms(writes, percent)


async def _revokes(root_coord: pb.RootCoordStub) -> list[float]:
    """Seconds that each revoke took; the grant is given back after it."""
    took = []
    grants = list(grants_of(0))
    for number in range(CHANGES):
        grant = grants[number % len(grants)]
        took.append(await _change(root_coord, grant, give=False))
        await _change(root_coord, grant, give=True)
    return took


async def _change(root_coord: pb.RootCoordStub, grant: Grant, *, give: bool) -> float:
    request = pb.ChangeGrantRequest(
        actor=pb.Actor(anonymous=True),
        role=role_name(0),
        grants=[
            pb.Grant(
                object_type=grant.object_type,
                database=grant.database,
                object=grant.object,
                privilege=grant.privilege,
                grantor=ROOT,
            )
        ],
        give=give,
    )
    begin = time.perf_counter()
    reply = await root_coord.change_grant(request, timeout=60)
    assert reply.outcome == pb.MutationOutcome.APPLIED
    return time.perf_counter() - begin
