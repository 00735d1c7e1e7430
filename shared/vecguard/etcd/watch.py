"""Watches keys across broken connections."""

import asyncio
from collections.abc import AsyncGenerator

from grpclib.const import Cardinality

from vecguard.concurrency.turns import in_turns
from vecguard.etcd.channel import Rpc
from vecguard.etcd.cluster import Cluster
from vecguard.etcd.endpoint import Endpoint
from vecguard.etcd.errors import CompactedError
from vecguard.etcd.failure import (
    AttemptError,
    Verdict,
    final_error,
    is_auth_refusal,
    judge,
    watch_cancelled,
)
from vecguard.etcd.model import WatchBatch
from vecguard.etcd.watch_cursor import WatchCursor
from vecguard.etcd.wire import WatchReply, event_of
from vecguard.generated import etcdserverpb as pb
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure
from vecguard.secret import Secret

log = get_logger(__name__)

_WATCH = Rpc("/etcdserverpb.Watch/Watch", pb.WatchRequest, WatchReply, Cardinality.STREAM_STREAM)


class Watcher:
    """Makes one watch over a series of connections; see `EtcdClient.watch`."""

    def __init__(
        self, cluster: Cluster, key: bytes, range_end: bytes, start_revision: int, *, prev_kv: bool
    ) -> None:
        self._cluster = cluster
        self._key = key
        self._range_end = range_end
        self._prev_kv = prev_kv
        self._cursor = WatchCursor(start_revision)
        self._rounds = cluster.rounds()
        self._failure = RepeatedFailure(log, "etcd_watch_broke", over="etcd_watch_resumed")
        # Whether a token was refused since a watch last worked.
        self._renewed = False

    async def batches(self) -> AsyncGenerator[WatchBatch, None]:
        """Yields every change, without end."""
        while True:
            endpoint = self._cluster.current
            # One token for each attempt, so that a refusal names the right one.
            token: Secret[str] | None = None
            try:
                token = await self._cluster.token(endpoint, self._cluster.request_timeout_seconds)
                stream = await self._cluster.open(endpoint, _WATCH, token)
                async with stream:
                    await stream.send(self._request(), self._cluster.request_timeout_seconds)
                    # The first answer has a deadline. After it silence is normal, and HTTP/2 pings
                    # detect dead connections.
                    wait_seconds: float | None = self._cluster.request_timeout_seconds
                    while True:
                        response = await stream.receive(wait_seconds)
                        wait_seconds = None
                        batch = await self._take(response, endpoint)
                        if batch is not None:
                            yield batch
            except AttemptError as error:
                await self._recover(error, endpoint, token)

    def _request(self) -> pb.WatchRequest:
        return pb.WatchRequest(
            create_request=pb.WatchCreateRequest(
                key=self._key,
                range_end=self._range_end,
                start_revision=self._cursor.next_revision,
                progress_notify=True,
                prev_kv=self._prev_kv,
                fragment=True,
            )
        )

    async def _take(self, response: WatchReply, endpoint: Endpoint) -> WatchBatch | None:
        self._cluster.observe(response.header, endpoint.address)
        if response.compact_revision:
            raise CompactedError(
                f"etcd at {endpoint.address} has compacted the changes from revision "
                f"{self._cursor.next_revision} on; the oldest that it still has is "
                f"{response.compact_revision}",
                response.compact_revision,
            )
        if response.canceled:
            raise watch_cancelled(response.cancel_reason)
        if response.created:
            self._rounds.succeeded()
            self._failure.ended()
            self._renewed = False
            self._cursor.created(response.header)
            return None
        # Thousands at once, when the changes of a restoration are seen.
        events = [event_of(each) async for each in in_turns(response.events)]
        return self._cursor.feed(response.header, events, fragment=response.fragment)

    async def _recover(
        self, error: AttemptError, endpoint: Endpoint, token: Secret[str] | None
    ) -> None:
        """Prepares the next attempt after a failure. Raises errors that no attempt can repair."""
        if (
            error.status is not None
            and is_auth_refusal(error.text)
            and self._cluster.can_renew
            and not self._renewed
        ):
            self._renewed = True
            self._cluster.refuse(token)
            return
        verdict = judge(error)
        if verdict in {Verdict.FINAL, Verdict.TOKEN_REFUSED}:
            raise final_error(error, str(endpoint.address)) from error
        self._cluster.leave(endpoint)
        delay = self._rounds.failed()
        self._failure.failed(
            f"{endpoint.address}: {error.text}",
            endpoint=str(endpoint.address),
            error=error.text,
            resumes_at=self._cursor.next_revision,
        )
        await asyncio.sleep(delay)
