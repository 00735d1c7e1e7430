"""Servers measured one after the other, round by round, so that all meet the same weather."""

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.local.ports import LOOPBACK
from deploy.local.stack import CHECKOUT
from tests.bench.processes import LOAD_CORE, children_on, cpu_seconds, many_descriptors
from tests.bench.wire.generator import Job, Result

_DEADLINE_SECONDS = 60.0
_WARM_UP_SECONDS = 0.5
_MIB = 2**20


@dataclass(frozen=True)
class Target:
    """A measured server, or a server that it is compared with.

    Attributes:
        name: as in the figures' names.
        idle_load: processor seconds that it uses in a second when nobody calls.
    """

    name: str
    port: int
    pid: int
    idle_load: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One load on one target. Processor time is the target's alone."""

    rps: float
    p50_us: float
    p99_us: float
    cpu_us: float
    mib_per_second: float
    cpu_us_per_mib: float


@dataclass
class Rounds:
    """All samples of one comparison, in the same order for each target."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def median(self, name: str, value: str) -> float:
        return statistics.median(getattr(sample, value) for sample in self.samples[name])

    def ratio(self, name: str, other: str, value: str) -> float:
        """The median of what each round gave."""
        return statistics.median(
            getattr(ours, value) / getattr(theirs, value)
            for ours, theirs in zip(self.samples[name], self.samples[other], strict=True)
        )


class Load:
    """The load generator's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def sample(self, target: Target, job: Job) -> Sample:
        """Raises AssertionError when an answer was not the expected one."""
        await self._begin(target, job)
        before = cpu_seconds(target.pid)
        result = await self._go(target)
        used = cpu_seconds(target.pid) - before - target.idle_load * result.seconds
        mib = result.moved / _MIB
        return Sample(
            rps=result.calls / result.seconds,
            p50_us=result.p50_us,
            p99_us=result.p99_us,
            cpu_us=used / max(result.calls, 1) * 1e6,
            mib_per_second=mib / result.seconds,
            cpu_us_per_mib=used / mib * 1e6 if mib else 0.0,
        )

    async def holding(self, target: Target, job: Job, look: Callable[[], int]) -> int:
        """What `look` sees while the connections of an idle job are open."""
        await self._begin(target, job)
        seen = look()
        await self._go(target)
        return seen

    async def compare(
        self, targets: Sequence[Target], jobs: Mapping[str, Job], *, rounds: int
    ) -> Rounds:
        """Loads all targets in each round, every other round the other way about."""
        result = Rounds({target.name: [] for target in targets})
        for target in targets:
            await self.sample(target, replace(jobs[target.name], seconds=_WARM_UP_SECONDS))
        for number in range(rounds):
            for target in targets if number % 2 == 0 else reversed(targets):
                sample = await self.sample(target, jobs[target.name])
                result.samples[target.name].append(sample)
        return result

    async def _begin(self, target: Target, job: Job) -> None:
        self._stdin.write(job.line())
        line = await self._line()
        if line != b"ready\n":
            raise AssertionError(f"{target.name}: {json.loads(line)['error']}")

    async def _go(self, target: Target) -> Result:
        self._stdin.write(b"go\n")
        result = Result(**json.loads(await self._line()))
        if result.error is not None:
            raise AssertionError(f"{target.name}: {result.error}")
        return result

    async def _line(self) -> bytes:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            line = await self._stdout.readline()
        if not line:
            raise AssertionError("the load generator has ended")
        return line


@asynccontextmanager
async def load_generator() -> AsyncIterator[Load]:
    with children_on(LOAD_CORE), many_descriptors():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.wire.generator"),
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    try:
        yield Load(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def idle_load(pid: int, seconds: float = 2.0) -> float:
    """Processor seconds that a process uses in a second without any request."""
    before = cpu_seconds(pid)
    await asyncio.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def jobs(targets: Sequence[Target], **options: Any) -> dict[str, Job]:
    """The same job, with the fields of `Job`, for each target."""
    return {target.name: Job(host=LOOPBACK, port=target.port, **options) for target in targets}
