"""What the connections of a load have in common: how they begin, end and fail."""

import asyncio
from abc import abstractmethod


class LoadConnection(asyncio.Protocol):
    """One connection whose answers are checked.

    Attributes:
        ready: done when a first call was answered.
        finished: done when the last call was answered.
        is_over: set from outside: the calls that are under way are the last.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[None] = loop.create_future()
        self.is_over = False
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    @abstractmethod
    def _read(self, data: bytes) -> None:
        """Reads all complete frames; the rest of the data is kept in `_rest`."""

    def data_received(self, data: bytes) -> None:
        try:
            self._read(self._rest + data if self._rest else data)
        except (AssertionError, ConnectionError) as error:
            self._fail(error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError(f"the connection was lost ({exc})"))

    def close(self) -> None:
        for future in (self.ready, self.finished):
            future.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        for future in (self.ready, self.finished):
            if not future.done():
                future.set_exception(error)
