"""When the TLS handshakes of clients begin."""

import asyncio
import socket

from services.proxy.relay.round_robin import RoundRobin

# Each costs up to a millisecond, and other work waits meanwhile.
_BEGUN_IN_A_TURN = 4


class Hellos:
    """Lets few handshakes begin in one turn of the event loop, and none before its client speaks.

    A handshake holds some 80 KiB from its beginning, and its first message costs as much as many
    calls: thousands of clients could open connections, wait, and then speak at once.
    """

    def __init__(self) -> None:
        # By address, so that none waits for all handshakes of another.
        self._line: RoundRobin[asyncio.Future[None]] = RoundRobin()
        self._is_due = False

    async def spoken(self, accepted: socket.socket) -> None:
        """Returns when there is something to read from a socket that does not block."""
        loop = asyncio.get_running_loop()
        is_readable = loop.create_future()

        def stop() -> None:
            loop.remove_reader(accepted)
            if not is_readable.done():
                is_readable.set_result(None)

        loop.add_reader(accepted, stop)
        try:
            await is_readable
        finally:
            loop.remove_reader(accepted)

    async def turn(self, origin: str) -> None:
        """Returns when a handshake with this address may begin."""
        turn = asyncio.get_running_loop().create_future()
        self._line.enter(origin, turn)
        if not self._is_due:
            self._be_due()
        try:
            await turn
        finally:
            self._line.leave(origin, turn)

    def _be_due(self) -> None:
        self._is_due = True
        asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._is_due = False
        for _ in range(min(_BEGUN_IN_A_TURN, self._line.total)):
            turn = self._line.take_next()
            if not turn.done():  # cancelled a moment ago
                turn.set_result(None)
        if self._line.total:
            self._be_due()
