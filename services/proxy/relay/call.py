"""One client's call, from its acceptance to its last byte."""

import asyncio
from collections.abc import Awaitable, Callable

from grpclib.protocol import Stream
from h2.exceptions import H2Error

from services.proxy.relay.errors import ClientGoneError
from services.proxy.relay.headers import Header, error_trailers, refusal
from services.proxy.relay.streams import StreamWatcher
from shared.errors import DeadlineError, VecguardError
from shared.observability.log import get_logger

log = get_logger(__name__)

# How long a refusal waits for a client that does not read.
_REFUSAL_TIMEOUT_SECONDS = 5.0


def unexpected_error() -> VecguardError:
    """Logs the exception that is being handled; what the client is told about it."""
    log.exception("call_failed")  # noqa: LOG004 - it is called by exception handlers only
    return VecguardError("internal error; the proxy's log has it")


class Call:
    """A call that anybody may end: client, upstream, deadline, revocation, shutdown.

    The first reason counts. It must be made by the task that serves the call.

    Attributes:
        client: the client's stream.
        response_begun: whether the client has received headers.
    """

    def __init__(self, client: Stream) -> None:
        self.client = client
        self.response_begun = False
        self._reason: VecguardError | None = None
        self._task = asyncio.current_task()
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        client.wrapper = StreamWatcher(lambda _: self.end(ClientGoneError("the client is gone")))

    async def run(self, serve: Callable[[], Awaitable[None]]) -> VecguardError | None:
        """Serves the call; what ends it early is told to the client and returned."""
        error: VecguardError
        try:
            # A reset may have come before this task had its first turn.
            if not self.client.closable:
                raise ClientGoneError("the client is gone")
            await serve()
        except asyncio.CancelledError:
            if self._reason is None or self._task is None:
                raise
            self._task.uncancel()
            error = self._reason
        except VecguardError as expected:
            error = expected
        except H2Error:
            error = ClientGoneError("the client's stream is closed")
        except Exception:  # noqa: BLE001 - logged and told
            error = unexpected_error()
        else:
            return None
        finally:
            self._task = None
            if self._timer is not None:
                self._timer.cancel()
        await self._refuse(error)
        return error

    def end(self, reason: VecguardError) -> None:
        """Ends the call for a reason that its client is told, if it is still there."""
        if self._reason is None and self._task is not None:
            self._reason = reason
            self._task.cancel()

    def set_deadline(self, timeout_seconds: float | None) -> None:
        """Lets the call end with DEADLINE_EXCEEDED after this long; None: no deadline."""
        if timeout_seconds is None:
            return
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + timeout_seconds
        self._timer = loop.call_at(
            self._deadline, lambda: self.end(DeadlineError("the deadline of the call has passed"))
        )

    def remaining_seconds(self) -> float | None:
        """What is left until the deadline; None without one."""
        if self._deadline is None:
            return None
        return self._deadline - asyncio.get_running_loop().time()

    async def send_headers(self, headers: list[Header]) -> None:
        """Begins the response."""
        self.response_begun = True
        await self.client.send_headers(headers)  # type: ignore[arg-type]  # grpclib's annotation knows text only

    async def send_end(self, headers: list[Header]) -> None:
        """Ends the response; the rest of the request is not read any more."""
        self.response_begun = True
        await self.client.send_headers(headers, end_stream=True)  # type: ignore[arg-type]  # as above
        if self.client.closable:
            self.client.reset_nowait()

    async def _refuse(self, error: VecguardError) -> None:
        if not self.client.closable:
            return
        headers = error_trailers(error) if self.response_begun else refusal(error)
        try:
            async with asyncio.timeout(_REFUSAL_TIMEOUT_SECONDS):
                await self.send_end(headers)
        except (H2Error, TimeoutError):
            if self.client.closable:
                self.client.reset_nowait()
