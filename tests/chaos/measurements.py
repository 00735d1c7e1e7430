"""What a failure costs with the default timings: refused logins, and time without changes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.chaos.client import Client
from tests.chaos.deployment import Deployment, Plan, deployment
from tests.chaos.history import Decision, Outcome, Request

#: The services' own defaults.
DEFAULT_TIMINGS = {"lease": {"ttl": 10, "renewInterval": 1}, "election": {"ttl": 5}}
_KNOWN, _CHANGING = "known", "changing"
_READERS = 4
_READER_PAUSE_SECONDS = 0.02
_WRITER_PAUSE_SECONDS = 0.02
_CALM_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Cost:
    """What one failure did.

    Attributes:
        refused: requests by a known login that were not accepted, of `asked`.
        seconds: from the failure to the first acknowledged change that was sent after it.
    """

    refused: int
    asked: int
    seconds: float


class Observed:
    """Known logins asked without pause through all proxies, and a way to measure changes."""

    def __init__(self, parts: Deployment, clients: list[Client]) -> None:
        self.parts = parts
        self.clients = clients
        self._requests: list[Request] = []
        self._versions = count(1)

    async def read(self, client: Client) -> None:
        """Asks for ever."""
        while True:
            self._requests.append(await client.request(_KNOWN, 0))
            await asyncio.sleep(_READER_PAUSE_SECONDS)

    async def cost(
        self, failure: Callable[[], Awaitable[None]], *, writer: Client, readers: list[Client]
    ) -> Cost:
        """Lets it happen; changes through `writer`, counts at `readers`."""
        await asyncio.sleep(_CALM_SECONDS)
        began = time.monotonic()
        happening = asyncio.ensure_future(failure())
        # By root, who needs no old password: an unknown outcome does not matter here.
        while True:
            change = await writer.change(_CHANGING, 0, next(self._versions), by_root=True)
            if change.outcome is Outcome.ACKNOWLEDGED and change.sent > began:
                break
            await asyncio.sleep(_WRITER_PAUSE_SECONDS)
        seconds = time.monotonic() - began
        await happening
        await asyncio.sleep(_CALM_SECONDS)
        names = {client.name for client in readers}
        asked = [each for each in self._requests if each.sent > began and each.proxy in names]
        refused = sum(each.decision is not Decision.ACCEPTED for each in asked)
        return Cost(refused, len(asked), seconds)


async def run(folder: Path, tell: Callable[[str], None]) -> bool:
    """Measures and prints all; returns whether the goals were reached."""
    async with _observed(folder / "measurements") as seen:
        parts, everybody = seen.parts, seen.clients
        ttl = parts.lease_seconds
        reached = []

        def judge(name: str, cost: Cost, goal_seconds: float) -> None:
            good = not cost.refused and cost.seconds <= goal_seconds
            reached.append(good)
            tell(
                f"{name}: changes again after {cost.seconds:.2f} s (goal {goal_seconds:g} s), "
                f"{cost.refused} of {cost.asked} known logins refused (goal 0)"
                f"{'' if good else '  MISSED'}"
            )

        active = await parts.active()
        killed = await seen.cost(lambda: parts.kill(active), writer=everybody[0], readers=everybody)
        judge("root coord killed", killed, parts.election_seconds + ttl + 2)
        await parts.start_again(active)
        successor = await parts.active()
        stopped = await seen.cost(successor.stop, writer=everybody[0], readers=everybody)
        judge("orderly step-down", stopped, 1)

        async def cut_off() -> None:
            for link in parts.proxies[0].links:
                link.hold()

        cut = await seen.cost(cut_off, writer=everybody[1], readers=everybody[1:])
        judge("one proxy cut off, seen from the others", cut, ttl + 1)
    return all(reached)


@asynccontextmanager
async def _observed(folder: Path) -> AsyncIterator[Observed]:
    async with deployment(folder, Plan(timings=DEFAULT_TIMINGS)) as parts:
        clients = [Client(proxy.name, proxy.address) for proxy in parts.proxies]
        try:
            for user in (_KNOWN, _CHANGING):
                await clients[0].create(user)
            seen = Observed(parts, clients)
            tasks = [
                asyncio.create_task(seen.read(client))
                for client in clients
                for _ in range(_READERS)
            ]
            try:
                yield seen
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for client in clients:
                await client.__aexit__(None, None, None)
