"""Faults of processes. Each is injected, lasts for a while and is over when `inject` returns."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from deploy.local.process import Process
from tests.chaos.deployment import Deployment
from tests.chaos.failpoints import Point

# The failpoint faults wait this long for a change to come by.
_CHANGE_SECONDS = 15.0


class Fault(ABC):
    """Something that goes wrong.

    Attributes:
        name: for the report.
        victim: what kind of thing it hurts; two at a time hurt different kinds.
        members: how large an etcd cluster it needs.
    """

    name: ClassVar[str]
    victim: ClassVar[str] = "root coord"
    members: ClassVar[int] = 1

    def available(self, deployment: Deployment) -> bool:
        """Whether it can happen here."""
        return len(deployment.members) >= self.members

    @abstractmethod
    async def inject(self, deployment: Deployment, random: Random) -> str:
        """Lets it happen and end. Returns the name of what it happened to."""


class KillActive(Fault):
    """kill -9 of the active root coord; it is started again at once."""

    name = "kill -9 active root coord"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        active = await deployment.active()
        await deployment.kill(active)
        await deployment.start_again(active)
        return active.name


class TakeOver(Fault):
    """kill -9 of the active root coord, which stays away until the standby leads."""

    name = "standby takes over"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        active = await deployment.active()
        await deployment.kill(active)
        await deployment.active()
        await deployment.start_again(active)
        return active.name


class StepDown(Fault):
    """SIGTERM to the active root coord."""

    name = "orderly step-down"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        active = await deployment.active()
        await active.stop()
        await active.start()
        return active.name


@dataclass(frozen=True)
class KillAt(Fault):
    """kill -9 of the active root coord at one step of an update."""

    point: Point

    @property
    def name(self) -> str:  # type: ignore[override]  # a name for each point
        return f"kill -9 {self.point}"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        await deployment.active()
        # All of them: another one may lead when the next change comes.
        waits = {asyncio.create_task(each.wait()): each for each in deployment.root_coords}
        for each in deployment.root_coords:
            each.failpoints.arm(self.point)
        try:
            done, _ = await asyncio.wait(
                waits, timeout=_CHANGE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in deployment.root_coords:
                each.failpoints.disarm()
            for wait in waits:
                wait.cancel()
        if not done:
            raise TimeoutError
        # Two may have reached it, one after the other.
        killed = [each for each in deployment.root_coords if not each.running]
        for each in killed:
            await deployment.start_again(each)
        return ", ".join(each.name for each in killed)


class PauseActive(Fault):
    """SIGSTOP of the active root coord until another one leads: it wakes up deposed."""

    name = "active root coord paused past its election"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        active = await deployment.active()
        with _suspended(active):
            await deployment.active_other_than(active)
            await asyncio.sleep(random.uniform(0, 1))
        return active.name


class PauseActiveBriefly(Fault):
    """SIGSTOP of the active root coord for less than its term."""

    name = "active root coord paused briefly"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        active = await deployment.active()
        with _suspended(active):
            await asyncio.sleep(random.uniform(0.3, 0.9) * deployment.election_seconds)
        return active.name


class KillProxy(Fault):
    """kill -9 of a proxy."""

    name = "kill -9 proxy"
    victim = "proxy"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        proxy = random.choice(deployment.proxies)
        await deployment.kill(proxy)
        await asyncio.sleep(random.uniform(0, 0.5))
        await deployment.start_again(proxy)
        return proxy.name


class PauseProxy(Fault):
    """SIGSTOP of a proxy for longer than its lease: it wakes up full of old passwords."""

    name = "proxy paused past its lease"
    victim = "proxy"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        proxy = random.choice(deployment.proxies)
        with _suspended(proxy):
            await asyncio.sleep(deployment.lease_seconds + random.uniform(0.2, 1.5))
        return proxy.name


class PauseProxyBriefly(Fault):
    """SIGSTOP of a proxy for about the time that a change waits for it."""

    name = "proxy paused within its lease"
    victim = "proxy"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        proxy = random.choice(deployment.proxies)
        with _suspended(proxy):
            await asyncio.sleep(random.uniform(0.2, 1.0) * deployment.lease_seconds)
        return proxy.name


class SlowReads(Fault):
    """Root coord's answers to reads dawdle, so that invalidations overtake them."""

    name = "reads overtaken by invalidations"
    victim = "reads"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        for each in deployment.root_coords:
            each.failpoints.slow_reads(on=True)
        try:
            await asyncio.sleep(random.uniform(1.5, 3))
        finally:
            for each in deployment.root_coords:
                each.failpoints.slow_reads(on=False)
        return "root coords"


@contextlib.contextmanager
def _suspended(process: Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


PROCESS_FAULTS: tuple[Fault, ...] = (
    KillActive(),
    *map(KillAt, Point),
    TakeOver(),
    StepDown(),
    PauseActive(),
    PauseActiveBriefly(),
    KillProxy(),
    PauseProxy(),
    PauseProxyBriefly(),
    SlowReads(),
)
