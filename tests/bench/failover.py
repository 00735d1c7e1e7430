"""What a change of the active root coord costs: by kill -9, and in good order."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from tests.bench.direct import HEALTH
from tests.bench.load import login
from tests.bench.report import Report
from vecguard.addresses import Address
from vecguard.concurrency.own_task import in_own_task
from vecguard.errors import VecguardError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel, translated_errors
from vecguard.grpc.credentials import hash_to_wire
from vecguard.passwords import hash_password
from vecguard.secret import Secret

PASSWORDS = tuple(hash_password(Secret(f"password{n}"), 4) for n in range(2))
# The leases of the first leader's predecessor must be over before a figure means anything.
SETTLE_SECONDS = 12.0


@dataclass
class KnownLogin:
    """A login that is used all the time, and how often it was refused."""

    address: str
    calls: int = 0
    refused: int = 0

    async def run(self) -> None:
        async with grpc.aio.insecure_channel(self.address) as channel:
            call = channel.unary_unary(HEALTH)
            while True:
                self.calls += 1
                try:
                    # The proxy may answer NOT_SERVING meanwhile; refused is something else.
                    await call(b"", metadata=login("root", "Milvus"), timeout=10)
                except grpc.aio.AioRpcError:
                    self.refused += 1
                await asyncio.sleep(0.005)


async def _until_changed(address: str) -> None:
    """Changes a password at the root coord that is to take over."""
    changed = False
    while not changed:
        channel = Channel(Address.parse(address))
        request = pb.UpdateCredentialRequest(
            actor=pb.Actor(anonymous=True), username="bench", password=hash_to_wire(PASSWORDS[1])
        )
        try:
            with translated_errors(address):
                reply = await in_own_task(
                    pb.RootCoordStub(channel).update_credential(request), 30.0
                )
            changed = reply.outcome == pb.MutationOutcome.APPLIED
        except VecguardError:
            await asyncio.sleep(0.02)
        finally:
            channel.close()


async def _measured(report: Report, name: str, stack: LocalStack, end_active) -> None:
    known = KnownLogin(stack.proxies[0].address)
    using = asyncio.create_task(known.run())
    await asyncio.sleep(1.0)
    active = await stack.active_root_coord()
    begin = time.perf_counter()
    await end_active(active)
    (successor,) = (each for each in stack.root_coords if each is not active)
    await _until_changed(successor.address)
    report.add(f"revocation.{name}_ms", (time.perf_counter() - begin) * 1000)
    await asyncio.sleep(2.0)
    using.cancel()
    await asyncio.wait([using])
    report.add(f"revocation.{name}.known_calls", known.calls)
    report.add(f"revocation.{name}.known_refused", known.refused)
    await active.restart()


async def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(
            Path(folder),
            ports=Ports.free(proxies=1, root_coords=2),
            # Shorter than an election, so that records grow old while no root coord answers.
            settings_overrides={"log": {"level": "warn"}, "cache": {"ttl": 2}},
        )
        async with stack:
            channel = Channel(Address.parse((await stack.active_root_coord()).address))
            await pb.RootCoordStub(channel).create_credential(
                pb.CreateCredentialRequest(
                    actor=pb.Actor(anonymous=True),
                    username="bench",
                    password=hash_to_wire(PASSWORDS[0]),
                )
            )
            channel.close()

            async def step_down(active) -> None:
                stopping = asyncio.create_task(active.stop())
                await asyncio.sleep(0)
                stopped.append(stopping)

            async def kill(active) -> None:
                active.kill()
                await active.wait()

            stopped: list[asyncio.Task[None]] = []
            await asyncio.sleep(SETTLE_SECONDS)
            await _measured(report, "step_down", stack, step_down)
            await asyncio.gather(*stopped)
            await asyncio.sleep(SETTLE_SECONDS)
            await _measured(report, "failover", stack, kill)
