"""One soak: a whole stack, traffic, floods, restarts of the backend, and the judgement."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random

import grpc
import grpc.aio

from deploy.local.ports import Ports
from deploy.local.process import Program
from deploy.local.readiness import speaks_http2
from deploy.local.stack import CHECKOUT, LocalStack
from tests.bench.fair.flood import Flood, Kind
from tests.bench.fair.loads import flooded
from tests.e2e.stacks import CHEAP_PASSWORDS, clean_environment, logs
from tests.soak import memory
from tests.soak.call_log import CallLog
from tests.soak.traffic import Client, login

#: After the backend is back: the proxy's next attempt to connect, with its back-off.
_RECOVERY_SECONDS = 20.0
_MIB = 2**20
#: What other addresses do, one after the other: a kind, and on how many connections.
_FLOODS: tuple[tuple[Kind, int], ...] = (
    ("no_login", 20),
    ("small_fields", 3),
    ("garbage", 20),
    ("table_updates", 3),
)


class EchoStack(LocalStack):
    """The local stack with the test backend in the place of Milvus Lite."""

    def _backend(self) -> Program:
        return Program(
            name="backend",
            argv=(sys.executable, "-m", "tests.soak.backend", str(self.ports.backend)),
            environment=self._environment,
            directory=CHECKOUT,
            ready=speaks_http2(self.ports.backend),
            stop_seconds=2.0,
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how much.

    Attributes:
        seconds: of traffic.
        clients: each makes one call at a time.
        restart_seconds: between two restarts of the backend.
        flood_seconds: for how long before each of them other addresses flood the proxy.
        warm_up_ratio: the part of the time whose memory is not judged: caches fill, the
            allocator finds its size.
        growth_bytes: how much the memory may grow, by its slope, over the time that is judged.
    """

    seconds: float
    clients: int = 12
    restart_seconds: float = 20.0
    flood_seconds: float = 3.0
    warm_up_ratio: float = 0.3
    growth_bytes: int = 8 * _MIB


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of it."""

    call_log: CallLog
    seconds: float
    slope_bytes_per_second: float
    judged_seconds: float
    growth_limit_bytes: int
    resident_bytes: int
    exit_code: int

    @property
    def growth_bytes(self) -> float:
        return self.slope_bytes_per_second * self.judged_seconds

    @property
    def passed(self) -> bool:
        return (
            self.call_log.are_balanced
            and self.growth_bytes <= self.growth_limit_bytes
            and self.exit_code == 0
        )

    def __str__(self) -> str:
        log = self.call_log
        return "\n".join(
            (
                log.table(),
                (
                    f"calls: {log.started.total()} made, {log.calls()} ended, "
                    f"{log.calls('restart')} lost to {log.outages} restarts of the backend, "
                    f"{log.calls('limit')} refused for the sake of the address, "
                    f"{log.calls('unexplained')} unexplained"
                ),
                *(f"  unexplained: {each}" for each in log.unexplained),
                (
                    f"unary calls: {_times(log.quiet)}; while other addresses flooded the proxy "
                    f"({log.floods} times): {_times(log.flooded)}"
                ),
                (
                    f"memory of the proxy: {self.resident_bytes / _MIB:.1f} MiB at the end; "
                    f"slope {self.slope_bytes_per_second * 60 / 1024:+.1f} KiB/min (Theil-Sen, "
                    f"resident bytes, the last {self.judged_seconds:.0f} s), so "
                    f"{self.growth_bytes / _MIB:+.2f} MiB; at most "
                    f"{self.growth_limit_bytes / _MIB:.0f} MiB are allowed"
                ),
                f"exit code of the proxy: {self.exit_code}",
                "passed" if self.passed else "FAILED",
            )
        )


def _times(taken: list[float]) -> str:
    if not taken:
        return "none"
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"p99 {p99 * 1000:.1f} ms, slowest {ordered[-1] * 1000:.1f} ms"


async def run(folder: Path, plan: Plan, *, seed: int, tell: Callable[[str], None]) -> Report:
    """Runs the plan. Raises what a client raised that is no end of a call."""
    call_log, stopping = CallLog(), asyncio.Event()
    stack = EchoStack(
        folder,
        ports=Ports.free(proxies=1, root_coords=1),
        settings_overrides=CHEAP_PASSWORDS,
        environment=clean_environment(),
    )
    async with stack, _logs_told(stack):
        proxy = stack.proxies[0]
        log = memory.MemoryLog(proxy.pid)
        clients = [
            Client(f"user{number}", proxy.address, call_log, Random(f"{seed}-{number}"))
            for number in range(plan.clients)
        ]
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(log.run())
            for client in clients:
                group.create_task(client.run(stopping))
            floods = cycle(_FLOODS)
            while (left := began + plan.seconds - time.monotonic()) > 0:
                pause = min(plan.restart_seconds, left)
                await asyncio.sleep(max(0.0, pause - plan.flood_seconds))
                if pause > plan.flood_seconds:
                    await _flood(stack, call_log, *next(floods), plan.flood_seconds)
                if time.monotonic() < began + plan.seconds - plan.restart_seconds / 2:
                    await _restart(stack, call_log)
                    tell(f"{call_log.calls()} calls, {log.after(0)[-1][1] / _MIB:.1f} MiB")
            stopping.set()
            ended = time.monotonic()
            sampling.cancel()
        judged_from = began + plan.seconds * plan.warm_up_ratio
        samples = [sample for sample in log.after(judged_from) if sample[0] <= ended]
        await proxy.stop()
        return Report(
            call_log=call_log,
            seconds=ended - began,
            slope_bytes_per_second=memory.slope_bytes_per_second(samples),
            judged_seconds=ended - judged_from,
            growth_limit_bytes=plan.growth_bytes,
            resident_bytes=samples[-1][1],
            exit_code=await proxy.wait(),
        )


@asynccontextmanager
async def _logs_told(stack: LocalStack) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note("\n".join(f"--- log of {name}\n{log}" for name, log in logs(stack)))
        raise


async def _flood(
    stack: LocalStack, call_log: CallLog, kind: Kind, connections: int, seconds: float
) -> None:
    host, _, port = stack.proxies[0].address.rpartition(":")
    flood = Flood(kind, host, int(port), connections=connections, addresses=2)
    async with flooded(flood):
        call_log.flood_begins()
        await asyncio.sleep(seconds)
    call_log.flood_ends()


async def _restart(stack: LocalStack, call_log: CallLog) -> None:
    """Kills the backend and starts it again; over when a call reaches it."""
    call_log.outage_begins()
    stack.backend.kill()
    await stack.backend.restart()
    until, answer = time.monotonic() + _RECOVERY_SECONDS, ""
    async with grpc.aio.insecure_channel(stack.proxies[0].address) as channel:
        while True:
            try:
                await channel.unary_unary("/soak.Test/Unary")(
                    b"", metadata=login("root", "Milvus"), timeout=5.0
                )
            except grpc.aio.AioRpcError as error:
                answer = f"{error.code().name}: {error.details()}"
            else:
                break
            if time.monotonic() > until:
                raise AssertionError(
                    f"the restarted backend was not reached: {answer}\n{call_log.table()}"
                )
            await asyncio.sleep(0.1)
    call_log.outage_ends()
