"""Many proxies' sessions in one process: the real stream, without a proxy around it.

They renew and acknowledge as a proxy does, but do next to nothing else, so that what is
measured is root coord's work and not the load's.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from grpclib.const import Cardinality

from vecguard.addresses import Address
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.codec import HotCodec

_ROUTE = "/vecguard.internal.v1.RootCoord/Session"
# SessionReply.invalidate, with its sequence as the first field.
_INVALIDATE, _SEQUENCE = 0x1A, 0x08


class LightSession:
    """One session; `acknowledged` counts the invalidations that it has answered."""

    def __init__(self, address: Address, number: int) -> None:
        self._channel = Channel(address)
        self._channel._codec = HotCodec({pb.SessionReply: bytes})
        self._number = number
        self.acknowledged = 0
        self.silent = False
        self.ready = asyncio.Event()

    async def run(self) -> None:
        stream = self._channel.request(_ROUTE, Cardinality.STREAM_STREAM, bytes, pb.SessionReply)
        try:
            async with stream:
                opening = pb.Open(proxy_id=f"bench-{self._number}", version="bench")
                await stream.send_message(bytes(pb.SessionRequest(open=opening)))
                await stream.recv_message()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._renew(stream))
                    tasks.create_task(self._acknowledge(stream))
        finally:
            self._channel.close()

    async def _renew(self, stream) -> None:
        number = 0
        while True:
            number += 1
            if not self.silent:
                renewal = pb.SessionRequest(renew=pb.Renew(number=number))
                await stream.send_message(bytes(renewal))
            await asyncio.sleep(1.0)

    async def _acknowledge(self, stream) -> None:
        async for reply in stream:
            if reply[0] != _INVALIDATE:
                self.ready.set()  # a renewal was answered: the session has a lease
            elif not self.silent:
                self.acknowledged += 1
                await stream.send_message(_acknowledgement(reply))


def _acknowledgement(invalidate: bytes) -> bytes:
    """SessionRequest.acknowledge of the sequence that the invalidation carries."""
    assert invalidate[2] == _SEQUENCE
    end = 3
    while invalidate[end] & 0x80:
        end += 1
    content = invalidate[2 : end + 1]
    return bytes((0x1A, len(content))) + content


@asynccontextmanager
async def light_sessions(address: Address, count: int) -> AsyncIterator[Sequence[LightSession]]:
    """Holds `count` sessions, each over a connection of its own and with a lease."""
    sessions = [LightSession(address, number) for number in range(count)]
    async with AsyncExitStack() as stack:
        tasks = [asyncio.create_task(session.run()) for session in sessions]
        stack.push_async_callback(asyncio.gather, *tasks, return_exceptions=True)
        for task in tasks:
            stack.callback(task.cancel)
        async with asyncio.timeout(60):
            for session in sessions:
                await session.ready.wait()
        yield sessions
