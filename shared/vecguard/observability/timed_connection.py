"""Limits the time of each part of a request on a connection to the operations port."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from aiohttp import web

from vecguard.bounded_listener import ConnectionSlot

# For the request line and headers, however slowly they arrive.
_HEAD_SECONDS: Final = 5.0
# For the answer: a client that does not read it must not keep its connection. Workers have
# five seconds to send their metrics.
_ANSWER_SECONDS: Final = 20.0
# Between two requests. Prometheus scrapes once a minute or more often.
IDLE_SECONDS: Final = 90.0


class TimedConnection(asyncio.Protocol):
    """Passes data between the socket and aiohttp, which does not limit the time of a head."""

    def __init__(
        self, slot: ConnectionSlot, inner: web.RequestHandler, gone: Callable[[], object]
    ) -> None:
        """Takes aiohttp's protocol of the connection as `inner`; calls `gone` at its end."""
        self._gone = gone
        self._slot = slot
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_waiting_for_head = True
        self._is_answering = False
        self._was_heard_while_answering = False
        slot.is_busy = lambda: self._is_answering

    def head_received(self) -> None:
        """Records that the head of a request has arrived."""
        self._slot.is_new = False
        self._is_answering = True
        self._is_waiting_for_head = self._was_heard_while_answering = False
        self._limit(_ANSWER_SECONDS)

    def answer_written(self) -> None:
        """Records that the answer is written."""
        self._is_answering = False
        # The next request may have begun.
        self._is_waiting_for_head = self._was_heard_while_answering
        self._limit(_HEAD_SECONDS if self._is_waiting_for_head else IDLE_SECONDS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        self._slot.opened(transport)
        self._limit(_HEAD_SECONDS)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._slot.closed()
        self._gone()
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_answering:
            self._was_heard_while_answering = True
        elif not self._is_waiting_for_head:
            self._is_waiting_for_head = True
            self._limit(_HEAD_SECONDS)
        self._inner.data_received(data)

    def eof_received(self) -> None:
        self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _limit(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._timer = self._loop.call_later(seconds, self._transport.abort)
