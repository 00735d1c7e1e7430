"""Both ends of a Session stream in memory, for tests of the hub."""

import asyncio
from contextlib import suppress

import betterproto

from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.root_coord.session_hub import SessionHub
from vecguard.root_coord.session_wire import decode_request


class MemoryStream:
    """The server's end. It can hold up what the proxy reads, as flow control does."""

    def __init__(self):
        self.up = asyncio.Queue()
        self.down = asyncio.Queue()
        self.reading = asyncio.Event()
        self.reading.set()

    async def recv_message(self):
        message = await self.up.get()
        return None if message is None else decode_request(bytes(message))

    async def send_message(self, message):
        await self.reading.wait()
        # Over the wire and back, so that nothing passes that a message cannot carry.
        self.down.put_nowait(pb.SessionReply().parse(bytes(message)))


class FakeProxy:
    """A proxy's end of one stream."""

    def __init__(self, hub: SessionHub, proxy_id: str = "proxy"):
        self.stream = MemoryStream()
        self.proxy_id = proxy_id
        self._number = 0
        self.serving = asyncio.create_task(hub.serve(self.stream, f"peer of {proxy_id}"))

    async def open(self):
        self.send(pb.SessionRequest(open=pb.Open(proxy_id=self.proxy_id, version="1")))
        opened = await self.receive()
        assert isinstance(opened, pb.Opened)
        return opened

    async def open_with_lease(self):
        await self.open()
        return await self.renew()

    async def renew(self):
        number = self.ask_for_renewal()
        renewed = await self.receive()
        assert isinstance(renewed, pb.Renewed)
        assert renewed.number == number
        return renewed

    def ask_for_renewal(self):
        self._number += 1
        self.send(pb.SessionRequest(renew=pb.Renew(number=self._number)))
        return self._number

    def acknowledge(self, sequence):
        self.send(pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=sequence)))

    def send(self, request):
        self.stream.up.put_nowait(request)

    async def receive(self):
        async with asyncio.timeout(10):
            return betterproto.which_one_of(await self.stream.down.get(), "kind")[1]

    async def notice(self):
        invalidate = await self.receive()
        assert isinstance(invalidate, pb.Invalidate)
        return invalidate

    async def hang_up(self):
        """Breaks the connection: grpclib cancels the handler."""
        self.serving.cancel()
        with suppress(asyncio.CancelledError):
            await self.serving

    async def ended(self):
        """Waits for the handler's end, and returns its exception."""
        async with asyncio.timeout(10):
            await asyncio.wait([self.serving])
        return self.serving.exception()
