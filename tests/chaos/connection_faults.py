"""Faults of the network between a proxy and root coord, and of etcd."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random

from tests.chaos.deployment import Deployment, Proxy
from tests.chaos.faults import Fault
from tests.chaos.network import Direction
from tests.support.etcd import EtcdProcess
from vecguard.etcd import EtcdClient


class Partition(Fault):
    """One proxy cut off from root coord, for longer than its lease; what was sent arrives late."""

    name = "partition, both directions held"
    victim = "network"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        proxy = random.choice(deployment.proxies)
        return await _held(proxy, ("questions", "answers"), deployment, random)


class HoldAnswers(Fault):
    """A proxy is heard, but hears nothing."""

    name = "partition, only towards the proxy"
    victim = "network"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        return await _held(random.choice(deployment.proxies), ("answers",), deployment, random)


class HoldQuestions(Fault):
    """A proxy hears, but is not heard."""

    name = "partition, only from the proxy"
    victim = "network"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        return await _held(random.choice(deployment.proxies), ("questions",), deployment, random)


class CutConnections(Fault):
    """A proxy's connections to root coord are reset, and new ones too, for a while."""

    name = "connections cut"
    victim = "network"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        proxy = random.choice(deployment.proxies)
        for link in proxy.links:
            link.cut()
        await asyncio.sleep(random.uniform(0.1, 1.2) * deployment.lease_seconds)
        for link in proxy.links:
            link.mend()
        return proxy.name


class SlowNetwork(Fault):
    """What goes between one proxy and root coord takes long."""

    name = "slow network"
    victim = "network"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        proxy = random.choice(deployment.proxies)
        for direction in _directions(proxy, ("questions", "answers")):
            direction.delay_seconds = random.uniform(0.02, 0.4)
        await asyncio.sleep(random.uniform(1, 3))
        for link in proxy.links:
            link.mend()
        return proxy.name


class PauseEtcd(Fault):
    """etcd does not answer for a while: SIGSTOP of a lone member, or of two of three."""

    name = "etcd unreachable"
    victim = "etcd"

    async def inject(self, deployment: Deployment, random: Random) -> str:
        count = len(deployment.members) // 2 + 1
        members = random.sample(deployment.members, count)
        with ExitStack() as stack:
            for member in members:
                stack.enter_context(_paused(member))
            await asyncio.sleep(random.uniform(0.5, 2) * deployment.election_seconds)
        return f"{count} of {len(deployment.members)} members"


class LoseEtcdLeader(Fault):
    """The leader of the etcd cluster stops; the others elect another one."""

    name = "etcd leader lost"
    victim = "etcd"
    members = 3

    async def inject(self, deployment: Deployment, random: Random) -> str:
        leader = await _leader(deployment)
        with _paused(leader):
            await asyncio.sleep(random.uniform(3, 5))
        return leader.endpoint


async def _held(proxy: Proxy, ways: tuple[str, ...], deployment: Deployment, random: Random) -> str:
    for direction in _directions(proxy, ways):
        direction.hold()
    await asyncio.sleep(deployment.lease_seconds * random.uniform(0.4, 1.6))
    for link in proxy.links:
        link.mend()
    return proxy.name


def _directions(proxy: Proxy, ways: tuple[str, ...]) -> list[Direction]:
    return [getattr(link, way) for link in proxy.links for way in ways]


@contextmanager
def _paused(member: EtcdProcess) -> Iterator[None]:
    member.pause()
    try:
        yield
    finally:
        member.resume()


async def _leader(deployment: Deployment) -> EtcdProcess:
    async with asyncio.timeout(20):
        while True:
            for member in deployment.members:
                async with EtcdClient([member.endpoint], request_timeout_seconds=5) as client:
                    status = await client.status(member.endpoint)
                if status.leader == status.member_id:
                    return member
            await asyncio.sleep(0.1)


CONNECTION_FAULTS: tuple[Fault, ...] = (
    Partition(),
    HoldAnswers(),
    HoldQuestions(),
    CutConnections(),
    SlowNetwork(),
    PauseEtcd(),
    LoseEtcdLeader(),
)
