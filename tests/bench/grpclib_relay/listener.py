"""Accepts calls, has them admitted and forwarded: a task for each, as it was."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Stream
from h2.exceptions import H2Error

from tests.bench.grpclib_relay.forwarding import StreamWatcher, Upstream, forward
from tests.bench.grpclib_relay.headers import Header, RequestHead, refusal, upstream_request
from tests.bench.grpclib_relay.transport import RelayProtocol
from vecguard.errors import UnavailableError, VecguardError
from vecguard.proxy.authentication.authenticator import Authenticator

_CONFIGURATION = Configuration(
    http2_connection_window_size=16 * 2**20, http2_stream_window_size=2**20
).__for_server__()


class Call:
    """A call that its client, its upstream or an error may end; the first reason counts."""

    def __init__(self, client: Stream) -> None:
        self._client = client
        self._reason: VecguardError | None = None
        self._task = asyncio.current_task()
        client.wrapper = StreamWatcher(lambda: self.end(UnavailableError("the client is gone")))

    async def serve(
        self, authenticator: Authenticator, upstream: Upstream, headers: Sequence[Header]
    ) -> None:
        """Serves it to the end."""
        try:
            head = RequestHead.read(headers)
            principal = await authenticator.authenticate(head.authorization)
            request = upstream_request(head, upstream.authority, principal.username)
            await forward(self._client, upstream, request, self.end)
        except asyncio.CancelledError:
            if self._reason is None or self._task is None:
                raise
            self._task.uncancel()
            error = self._reason
        except VecguardError as refused:
            error = refused
        except H2Error:
            return
        else:
            return
        finally:
            self._task = None
        if self._client.closable:
            await self._client.send_headers(refusal(error), end_stream=True)

    def end(self, reason: VecguardError) -> None:
        """Ends it for a reason, which its client receives."""
        if self._reason is None and self._task is not None:
            self._reason = reason
            self._task.cancel()


class Listener(AbstractHandler):
    """The handler of all connections."""

    def __init__(self, authenticator: Authenticator, upstream: Upstream) -> None:
        self._authenticator = authenticator
        self._upstream = upstream
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> asyncio.Server:
        """Listens."""
        return await asyncio.get_running_loop().create_server(
            lambda: RelayProtocol(self, _CONFIGURATION, client_side=False),
            host,
            port,
            backlog=1024,
        )

    def accept(self, stream: Stream, headers: Any, release_stream: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(stream, headers, release_stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self, stream: Stream) -> None:
        pass

    def close(self) -> None:
        pass

    async def _serve(self, stream: Stream, headers: Any, release: Callable[[], None]) -> None:
        try:
            await Call(stream).serve(self._authenticator, self._upstream, headers)
        finally:
            release()
