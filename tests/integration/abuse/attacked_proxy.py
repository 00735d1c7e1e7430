"""A real proxy process, an honest client, and attackers from another address."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import grpc.aio

from deploy.local.stack import ProxyProcess
from tests.bench.processes import resident_bytes
from tests.support.credentials import header_of
from tests.support.metrics import scrape
from tests.support.waiting import eventually

ROOT = header_of("root", "Milvus")
ATTACKERS = ("127.0.0.2", "127.0.0.3")
_SAMPLE_SECONDS = 0.05
_CALL_SECONDS = 30.0
_LONGEST_SECONDS = 30.0
_HITS = "vecguard_relay_limit_hits_total"
_CONNECTIONS = "vecguard_relay_connections"
_DISPLACED = "vecguard_relay_connections_displaced_total"

#: What one connection of an attack does until it is cut.
Attack = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class AttackResult:
    """What an attack has brought about.

    Attributes:
        grown_bytes: the most that was resident during it, less what was before.
        connections: how many the attackers have used.
        honest_calls: how many calls of the honest client went well; none went wrong.
        hits: how often each limit stepped in.
        displaced: how many connections made room for a newcomer, by the limit that was reached.
    """

    grown_bytes: int = 0
    connections: int = 0
    honest_calls: int = 0
    hits: dict[str, float] = field(default_factory=dict)
    displaced: dict[str, float] = field(default_factory=dict)


@dataclass
class AttackedProxy:
    proxy: ProxyProcess
    honest: grpc.aio.Channel

    async def counts(self, metric: str) -> dict[str, float]:
        return (await scrape(self.proxy.operations_address)).labelled(metric, "limit")

    async def under(
        self,
        attack: Attack,
        *,
        attackers: int = 2,
        seconds: float = 1.5,
        addresses: int = 1,
        takes_little: bool = False,
        are_cut: bool = True,
    ) -> AttackResult:
        """Lets attackers connect and attack again and again for a while.

        On a busy machine longer: until a call of the honest client went well, and the
        attackers were cut and have come again.

        Args:
            attack: what each connection does.
            attackers: how many there are at a time.
            seconds: how long, if nothing of that is missing by then.
            addresses: from how many they come.
            takes_little: whether their sockets make both kernels hold next to nothing.
            are_cut: whether the attack costs them their connections.
        """
        sources = ATTACKERS[:addresses]
        for _ in range(20):
            await self._call()
        await eventually(self._is_alone, _LONGEST_SECONDS)
        before, displaced = await self.counts(_HITS), await self.counts(_DISPLACED)
        resident = resident_bytes(self.proxy.pid)
        result = AttackResult()
        tasks = [
            asyncio.create_task(
                self._attack(attack, result, sources[number % addresses], takes_little=takes_little)
            )
            for number in range(attackers)
        ] + [asyncio.create_task(self._go_on(result))]
        clock = asyncio.get_running_loop().time
        end, latest = clock() + seconds, clock() + _LONGEST_SECONDS
        try:
            while clock() < end or (
                clock() < latest
                and not (result.honest_calls and (result.connections > attackers or not are_cut))
            ):
                grown = resident_bytes(self.proxy.pid) - resident
                result.grown_bytes = max(result.grown_bytes, grown)
                await asyncio.sleep(_SAMPLE_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        failures = [end for end in ended if isinstance(end, Exception)]
        assert not failures, failures
        await self._call()
        result.hits = _added(before, await self.counts(_HITS))
        result.displaced = _added(displaced, await self.counts(_DISPLACED))
        return result

    async def _is_alone(self) -> bool:
        """Whether the attackers of the last attack are gone, and all that was kept for them.

        That a client is gone shows when its socket is read, and not all have a turn at once.
        """
        return (await scrape(self.proxy.operations_address)).value(_CONNECTIONS) <= 1

    async def _go_on(self, result: AttackResult) -> None:
        while True:
            await self._call()
            result.honest_calls += 1
            await asyncio.sleep(0)

    async def _call(self) -> None:
        echoed = await self.honest.unary_unary("/test.Echo/Unary")(
            b"honest", metadata=(("authorization", ROOT.decode()),), timeout=_CALL_SECONDS
        )
        assert echoed == b"honest"

    async def _attack(
        self, attack: Attack, result: AttackResult, source: str, *, takes_little: bool
    ) -> None:
        host, _, port = self.proxy.address.rpartition(":")
        while True:
            result.connections += 1
            with suppress(OSError), socket.socket() as client:
                if takes_little:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    # The sender's buffer grows with the largest segment.
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
                client.setblocking(False)
                client.bind((source, 0))
                await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
                reader, writer = await asyncio.open_connection(sock=client)
                try:
                    await attack(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0)


def _added(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {limit: count - before[limit] for limit, count in after.items() if count > before[limit]}
