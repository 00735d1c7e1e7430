"""Runs the session streams: sends and receives what `session_state.SessionState` decides."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from vecguard.clock import Clock
from vecguard.errors import DeadlineError, InvalidParameterError, UnavailableError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.observability.details import ProxySession
from vecguard.observability.log import get_logger
from vecguard.root_coord.session_state import (
    Awaited,
    Invalidation,
    Notice,
    PolicyInvalidation,
    Revocation,
    SessionState,
    Surrender,
)
from vecguard.root_coord.session_wire import (
    Acknowledgement,
    Renewal,
    Request,
    encode_notice,
    encode_opened,
    encode_renewed,
)

log = get_logger(__name__)

# The proxy does not read a stream that has this many messages unsent: the stream is closed.
_OUTBOX_LIMIT = 4096
_MAX_TEXT = 255
_OPEN_TIMEOUT_SECONDS = 10.0
# A change takes milliseconds. A longer one is logged with the proxies that it waits for.
_LONG_WAIT_SECONDS = 1.0
# A log line about thousands of proxies would be cut off.
_NAMED_IN_LOG = 10


class SessionStream(Protocol):
    """The server's end of one Session RPC."""

    async def recv_message(self) -> Request | None: ...

    async def send_message(self, message: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """The lease parameters that root coord sends when a session opens."""

    term: int
    ttl_seconds: float
    renew_interval_seconds: float


class _Outbox:
    """Queues the messages of one stream, in the order in which they are sent.

    Attributes:
        peer: the address of the other end.
        version: the version of the proxy there.
    """

    def __init__(self, peer: str, version: str) -> None:
        self.peer = peer
        self.version = version
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_OUTBOX_LIMIT)
        self._closed = asyncio.Event()

    def put(self, reply: bytes) -> None:
        """Queues a message, or ends the stream when the queue is full.

        No message may follow a dropped one: the acknowledgement of a later message would cover
        the dropped one too.
        """
        if self._closed.is_set():
            return
        try:
            self._queue.put_nowait(reply)
        except asyncio.QueueFull:
            self.close()

    def close(self) -> None:
        """Ends the stream without sending what is queued, even in the middle of sending."""
        self._closed.set()

    async def closed(self) -> None:
        """Returns after `close`."""
        await self._closed.wait()

    async def drain_into(self, stream: SessionStream) -> None:
        while True:
            await stream.send_message(await self._queue.get())


class SessionHub:
    """Holds all open session streams and waits for their acknowledgements."""

    def __init__(
        self,
        sessions: SessionState,
        terms: LeaseTerms,
        clock: Clock,
        *,
        may_grant: Callable[[], bool],
        invalidated: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """Creates a hub without streams.

        Args:
            sessions: the state that decides about leases and acknowledgements.
            terms: the parameters that are sent to each new session.
            clock: the clock by which leases run.
            may_grant: returns whether leases may be granted now.
            invalidated: called with the seconds from the sending of an invalidation until no
                proxy could decide by the older state.
        """
        self._invalidated = invalidated
        self._sessions = sessions
        self._terms = terms
        self._clock = clock
        self._may_grant = may_grant
        self._surrendered = False
        self._outboxes: dict[str, _Outbox] = {}
        self._settled: dict[int, asyncio.Future[None]] = {}
        self._long: set[int] = set()

    @property
    def connected(self) -> int:
        """The number of proxies with an open stream."""
        return len(self._outboxes)

    @property
    def leases(self) -> int:
        """The number of sessions that hold a lease now, connected or not."""
        return self._sessions.leases(self._clock())

    @property
    def unacknowledged(self) -> int:
        """The number of invalidations whose callers still wait."""
        return len(self._settled)

    @property
    def awaited(self) -> Awaited | None:
        """The proxies for which changes have waited long; None when no change has waited long."""
        return self._sessions.awaited(self._long, self._clock())

    def sessions(self, most: int) -> tuple[tuple[ProxySession, ...], int]:
        """Returns at most `most` sessions, by `SessionState.views`, and how many more there are."""
        views = self._sessions.views(self._clock(), most)
        streams = (self._outboxes.get(view.proxy_id) for view in views)
        found = tuple(
            ProxySession(
                proxy_id=view.proxy_id,
                address=stream.peer if stream else "",
                version=stream.version if stream else "",
                connected=view.connected,
                lease_seconds=view.lease_seconds,
                unacknowledged=view.unacknowledged,
                waiting_seconds=view.waiting_seconds,
            )
            for view, stream in zip(views, streams, strict=True)
        )
        return found, self._sessions.count - len(found)

    @property
    def earlier_leases_seconds(self) -> float:
        """The seconds for which leases of an earlier leader may still run; 0 when none can."""
        until = self._sessions.earlier_leases_until
        return 0.0 if until is None else max(0.0, until - self._clock())

    def close(self) -> None:
        """Ends every stream. Granted leases still count."""
        for outbox in self._outboxes.values():
            outbox.close()

    async def serve(self, stream: SessionStream, peer: str) -> None:
        """Serves one stream until either side ends it. `peer` is its address for the log.

        Raises:
            InvalidParameterError: the first message is not Open, it names no process, or its
                texts are too long.
            DeadlineError: the first message did not arrive in time.
            UnavailableError: root coord ended the stream; the proxy must open a new one.
        """
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_SECONDS):
                opening = await stream.recv_message()
        except TimeoutError as error:
            raise DeadlineError(
                "a session must begin with Open, and no message came in time"
            ) from error
        if not isinstance(opening, pb.Open) or not opening.proxy_id:
            raise InvalidParameterError("a session must begin with Open and the proxy's id")
        if max(len(opening.proxy_id), len(opening.version)) > _MAX_TEXT:  # both are logged
            raise InvalidParameterError(
                f"the proxy's id and version must not have more than {_MAX_TEXT} characters"
            )
        proxy_id = opening.proxy_id
        outbox = self._open(proxy_id, _Outbox(peer, opening.version))
        log.info("session_opened", proxy=proxy_id, peer=peer, version=opening.version)
        try:
            await self._exchange(proxy_id, stream, outbox)
        finally:
            if self._outboxes.get(proxy_id) is outbox:
                del self._outboxes[proxy_id]
                self._resolve(self._sessions.disconnect(proxy_id))
            log.info("session_closed", proxy=proxy_id)

    async def invalidate(self, *revocations: Revocation) -> None:
        """Sends what one change revokes; returns when no proxy can decide by the older state.

        A session is done when it has acknowledged or its lease has run out.
        """
        notices = [self._send(revocation) for revocation in revocations]
        if not notices:
            return
        sequences = {notice.sequence for notice in notices}
        described = _described(revocations[0])
        log_timer = asyncio.get_running_loop().call_later(
            _LONG_WAIT_SECONDS, self._log_wait, sequences, described
        )
        try:
            for notice in notices:
                await self._settle(notice)
        finally:
            log_timer.cancel()
            was_long = bool(sequences & self._long)
            self._long -= sequences
        seconds = self._clock() - notices[0].made_at
        if was_long:
            log.info("change_settled", **described, seconds=round(seconds, 3))
        self._invalidated(seconds)

    def announce(self, content: Revocation) -> None:
        """Sends a notice to every session without waiting for acknowledgements."""
        self._send(content)

    async def surrender(self, timeout_seconds: float) -> bool:
        """Revokes every lease and grants no more.

        Returns whether every lease was given back or had run out before the timeout.
        """
        self._surrendered = True
        notice = self._send(Surrender())
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._settle(notice)
        except TimeoutError:
            return False
        return True

    def _send(self, content: Revocation | Surrender) -> Notice:
        notice, connected = self._sessions.notify(content, self._clock())
        message = encode_notice(notice)
        for proxy_id in connected:
            self._outboxes[proxy_id].put(message)
        return notice

    def _log_wait(self, sequences: set[int], described: Mapping[str, object]) -> None:
        awaited = self._sessions.awaited(sequences, self._clock())
        if awaited is None:
            return  # they are settled; `invalidate` is about to return
        self._long |= sequences
        log.warning(
            "change_waits",
            **described,
            proxies=list(awaited.proxies[:_NAMED_IN_LOG]),
            more_proxies=len(awaited.proxies[_NAMED_IN_LOG:]),
            earlier_leases=awaited.earlier_leases,
            seconds_at_most=round(awaited.seconds_at_most, 3),
        )

    async def _settle(self, notice: Notice) -> None:
        if self._sessions.is_settled(notice.sequence):
            return
        settled = asyncio.get_running_loop().create_future()
        self._settled[notice.sequence] = settled
        try:
            while not settled.done():
                await asyncio.wait([settled], timeout=self._until_next_expiry())
                self._resolve(self._sessions.expire(self._clock()))
        finally:
            del self._settled[notice.sequence]

    def _open(self, proxy_id: str, outbox: _Outbox) -> _Outbox:
        self._resolve(self._sessions.expire(self._clock()))
        older = self._outboxes.get(proxy_id)
        if older is not None:
            older.close()
        self._outboxes[proxy_id] = outbox
        outbox.put(
            encode_opened(
                term=self._terms.term,
                ttl_seconds=self._terms.ttl_seconds,
                renew_interval_seconds=self._terms.renew_interval_seconds,
            )
        )
        for notice in self._sessions.open(proxy_id):
            outbox.put(encode_notice(notice))
        return outbox

    async def _exchange(self, proxy_id: str, stream: SessionStream, outbox: _Outbox) -> None:
        tasks = [
            asyncio.create_task(self._receive(proxy_id, stream, outbox)),
            asyncio.create_task(outbox.drain_into(stream)),
            asyncio.create_task(outbox.closed()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        if isinstance(results[0], asyncio.CancelledError):
            raise UnavailableError("root coord has ended this session; open a new one")

    async def _receive(self, proxy_id: str, stream: SessionStream, outbox: _Outbox) -> None:
        while (request := await stream.recv_message()) is not None:
            if self._outboxes.get(proxy_id) is not outbox:
                return  # a newer stream of the same process has taken over
            if isinstance(request, Renewal):
                if self._surrendered or not self._may_grant():
                    continue  # without an answer the proxy looks for another root coord
                if self._sessions.renew(proxy_id, self._clock()):
                    outbox.put(encode_renewed(request.number, self._terms.term))
            elif isinstance(request, Acknowledgement):
                self._resolve(self._sessions.acknowledge(proxy_id, request.sequence))
            elif isinstance(request, pb.Release):
                self._resolve(self._sessions.release(proxy_id))
                return
            else:
                raise InvalidParameterError("unexpected message in a session")

    def _until_next_expiry(self) -> float | None:
        expiry = self._sessions.next_expiry()
        return None if expiry is None else max(0.0, expiry - self._clock())

    def _resolve(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            settled = self._settled.get(sequence)
            if settled is not None and not settled.done():
                settled.set_result(None)


def _described(revocation: Revocation) -> dict[str, object]:
    """Returns the fields that name a change in the log."""
    match revocation:
        case Invalidation(username, revision):
            return {"user": username, "revision": revision}
        case PolicyInvalidation(revision):
            return {"revision": revision}
        case _:
            return {}
