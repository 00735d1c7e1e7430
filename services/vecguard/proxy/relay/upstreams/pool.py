"""Pools the connections to one upstream: connects on demand, and reconnects."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from vecguard.backoff import Backoff, BackoffPolicy
from vecguard.errors import OverloadedError, VecguardError
from vecguard.idle_watch import LOOKS
from vecguard.observability.log import get_logger
from vecguard.proxy.http2.limits import LimitHits, Limits
from vecguard.proxy.http2.stream import Stream
from vecguard.proxy.relay.errors import UpstreamUnavailableError
from vecguard.proxy.relay.limits import RelayLimit
from vecguard.proxy.relay.link import Keepalive
from vecguard.proxy.relay.round_robin import RoundRobin
from vecguard.proxy.relay.traffic import Traffic
from vecguard.proxy.relay.unexpected import unexpected_error
from vecguard.proxy.relay.upstreams.idleness import Idleness
from vecguard.proxy.relay.upstreams.stream_counts import StreamCounts
from vecguard.proxy.relay.upstreams.upstream_link import Owner, UpstreamLink

log = get_logger(__name__)

# Connections in a row that were lost with calls and without any answer. A restart can cause one;
# after that, an immediate new one would be no better.
_MAX_USELESS = 1

# Leaving connections keep their open calls for as long as these last. Without a bound on their
# number a client that cancels, and keeps one call open on each, would use up all descriptors.
_MAX_LEAVING = 16

# The number of streams that counts for a backend that sets no limit.
_ALL = 2**31 - 1

LinkFactory = Callable[[], UpstreamLink]
#: Makes a connection that is ready for use. Raises OSError for every failure.
Connector = Callable[[LinkFactory], Awaitable[UpstreamLink]]


#: A backend that restarts is often back within less than a second; the maximum delay bounds how
#: long its return can go unnoticed.
RECONNECT_DELAYS = BackoffPolicy(first_seconds=0.1, longest_seconds=5.0)


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """Bounds the connections of a pool.

    Attributes:
        connections: the maximum number of connections at a time. The first one carries all calls as
            long as it can, because frames that are written together cost least. The others are for
            servers that allow few streams on a connection (100 is common) or do not read it quickly
            enough. A single caller gets at most half of their streams.
        waiting: the maximum number of calls that wait for a connection or a stream; more are
            refused. A single caller gets at most half of these places.
        idle_seconds: after how long without a call a connection is closed, unless it is the
            only one; None: never. Longer than the pause between two bursts, or each burst
            would have to reconnect.
        backoff: the delays between failed attempts to connect.
    """

    connections: int
    waiting: int
    idle_seconds: float | None
    backoff: BackoffPolicy = RECONNECT_DELAYS


class WaitingCall(Protocol):
    """A call, as the pool needs it."""

    @property
    def caller(self) -> str:
        """The key of its share: the user, or the client's address for calls without a user."""
        ...

    def forward(self, link: UpstreamLink) -> None:
        """Opens the call's stream on a connection that has room."""

    def end(self, reason: VecguardError) -> None:
        """Ends the call, because it cannot be forwarded."""


class Pool(Owner):
    """Forwards each call on a connection that has room, or queues it.

    The first attempt to connect is made at once, and calls wait for it. If it fails, these and
    all further calls are refused with the reason. The pool then retries by itself, and accepts
    calls again when an attempt succeeds.

    If the upstream limits its streams, a caller gets another one only while more streams are
    free than it holds. So a single caller gets at most half of all streams, two get a third
    each, and some are left for the next caller even if no call ever ends. The places to wait
    are shared by the same rule. Running calls are never ended to share.

    Attributes:
        connects: the attempts to connect so far, by their outcome: ok or failed.
    """

    def __init__(
        self,
        name: str,
        connect: Connector,
        *,
        limits: Limits,
        keepalive: Keepalive,
        policy: PoolPolicy,
        random: Random,
        hits: LimitHits,
    ) -> None:
        self._name = name
        self._connect = connect
        self._limits = limits
        self._keepalive = keepalive
        self._policy = policy
        self._hits = hits
        self._backoff = Backoff(policy.backoff, random.random)
        self._links: list[UpstreamLink] = []
        self._waiting: RoundRobin[WaitingCall] = RoundRobin()
        # None while few streams are open, so that no caller can hold too many.
        self._stream_counts: StreamCounts | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failure: str | None = None
        self._useless = 0
        self._is_dispatch_due = False
        self._idleness = Idleness()
        self._look: asyncio.TimerHandle | None = None
        self._traffic = Traffic()
        self.connects = Counter(ok=0, failed=0)

    @property
    def links(self) -> tuple[UpstreamLink, ...]:
        """The open connections; a leaving one counts until its last call ends."""
        return tuple(self._links)

    @property
    def failure(self) -> str | None:
        """Why the last attempt to connect has failed; None if it did not."""
        return self._failure

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._waiting.total

    @property
    def traffic(self) -> dict[str, int]:
        """Bytes received and sent so far."""
        return self._traffic.totals(self._links)

    def send(self, call: WaitingCall) -> None:
        """Forwards a call, or queues it.

        Raises:
            UpstreamUnavailableError: the last attempt to connect has failed.
            OverloadedError: too many calls wait already, of all callers or of this one.
        """
        if not self._waiting.total or self._is_first(call):
            for link in self._links:
                if link.has_room:
                    # The first two conditions nearly always decide, and cost least.
                    if (
                        link.is_limited
                        and not (link.has_plenty and len(self._links) == 1)
                        and not self._may_open(call.caller)
                    ):
                        break
                    self._forward(call, link)
                    return
        if self._failure is not None:
            raise UpstreamUnavailableError(self._failure)
        left = self._policy.waiting - self._waiting.total
        if left <= 0:
            self._hits.hit(RelayLimit.WAITING_CALLS)
            raise OverloadedError(f"too many calls wait for {self._name}, try again")
        if self._waiting.count(call.caller) >= left:
            self._hits.hit(RelayLimit.WAITING_CALLS_PER_USER)
            raise OverloadedError(f"too many calls of this user wait for {self._name}, try again")
        self._waiting.enter(call.caller, call)
        self._grow()

    def forget(self, call: WaitingCall) -> None:
        """Removes a call from the queue."""
        self._waiting.leave(call.caller, call)

    def close(self) -> None:
        """Closes the connections; open calls end as if these were lost."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._failure = None
        links, self._links = self._links, []
        for link in links:
            link.close()
        self._refuse(f"the connection to {self._name} is closed")

    # The callbacks of connections.

    def has_room(self, link: UpstreamLink) -> None:
        """A connection may have room for another call."""
        del link
        if self._waiting.total and not self._is_dispatch_due:
            # Not at once, because the caller may be changing the connection.
            self._is_dispatch_due = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def finished(self, stream: Stream) -> None:
        """A stream is closed: its connection may have room for another call."""
        if self._stream_counts is not None:
            self._stream_counts.finished(stream)
        if self._waiting.total and not self._is_dispatch_due:
            self._is_dispatch_due = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def lost(self, link: UpstreamLink) -> None:
        """A connection is closed."""
        if link not in self._links:
            return
        self._links.remove(link)
        self._traffic.closed(link)
        if link.is_proven:
            self._useless = 0
            self._backoff.succeeded()
        elif link.connection.highest_id and not link.is_worn:
            self._useless += 1
            if self._useless > _MAX_USELESS:
                self._failed("it closes connections without an answer")
        self.has_room(link)

    @property
    def has_replacement(self) -> bool:
        """Whether another connection may leave."""
        return sum(link.is_leaving for link in self._links) < _MAX_LEAVING

    # Within.

    def _dispatch(self) -> None:
        self._is_dispatch_due = False
        for link in self._links:
            while link.has_room and (caller := self._next_caller()) is not None:
                call = self._waiting.take(caller)
                try:
                    self._forward(call, link)
                except Exception as error:  # noqa: BLE001 - logged, and the call gets the error
                    call.end(unexpected_error(error))
        self._grow()

    def _forward(self, call: WaitingCall, link: UpstreamLink) -> None:
        call.forward(link)
        if self._stream_counts is not None:
            stream = link.connection.streams.get(link.connection.highest_id)
            if stream is not None:
                self._stream_counts.opened(stream, call.caller)

    def _is_first(self, call: WaitingCall) -> bool:
        """Returns whether the call may overtake the waiting ones.

        Between two dispatches, waiting calls of other callers cannot be forwarded: their callers
        hold their share, or no stream is free.
        """
        return not self._is_dispatch_due and not self._waiting.count(call.caller)

    def _next_caller(self) -> str | None:
        """Returns the caller whose turn it is; None if no waiting caller may get a stream."""
        share = self._share() if self._waiting.total else 0
        for caller in self._waiting.keys:
            if self._stream_counts is None or self._stream_counts.count(caller) < share:
                return caller
        return None

    def _may_open(self, caller: str) -> bool:
        share = self._share()
        return self._stream_counts is None or self._stream_counts.count(caller) < share

    def _share(self) -> int:
        """Returns the number of streams at which a caller gets no further one.

        It is the number of free streams, including those of connections that may still be made.
        Sets `_stream_counts` if the number can matter.
        """
        used = free = usable = allowed = 0
        for link in self._links:
            used += link.calls_open
            if not link.is_leaving:
                usable += 1
                allowed = max(allowed, link.max_streams)
                free += max(0, link.max_streams - link.calls_open)
        if not usable or allowed >= _ALL:
            self._stream_counts = None
            return _ALL
        if self._timer is None:  # otherwise the last attempt to connect has failed
            free += allowed * max(0, self._policy.connections - usable)
        if used >= free:
            if self._stream_counts is None:
                self._stream_counts = StreamCounts(
                    stream for link in self._links for stream in link.connection.streams.values()
                )
        elif 2 * used < free:
            self._stream_counts = None
        return free

    def _grow(self) -> None:
        for link in self._links:
            if link.connection.is_used_up:  # after 2**30 calls
                link.retire()
        usable = sum(not link.is_leaving for link in self._links)
        if (
            self._waiting.total
            and self._attempt is None
            and self._timer is None
            and usable < self._policy.connections
            and not any(link.has_room for link in self._links)
            and self._next_caller() is not None
        ):
            self._try()

    def _try(self) -> None:
        self._attempt = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        try:
            link = await self._connect(self._make_link)
        except OSError as error:
            self._attempt = None
            self.connects["failed"] += 1
            self._failed(str(error.strerror or error))
        except Exception as error:  # noqa: BLE001 - logged, and the call gets the error
            self._attempt = None
            self.connects["failed"] += 1
            self._failed(unexpected_error(error).message)
        else:
            self._attempt = None
            self.connects["ok"] += 1
            self._links.append(link)
            self._watch()
            if self._failure is not None:
                self._failure = None
                log.info("upstream_is_back", upstream=self._name)
            self._dispatch()

    def _watch(self) -> None:
        idle_seconds = self._policy.idle_seconds
        if idle_seconds is not None and self._look is None and len(self._links) > 1:
            self._look = asyncio.get_running_loop().call_later(
                idle_seconds / LOOKS, self._close_surplus
            )

    def _close_surplus(self) -> None:
        self._look = None
        usable = [link for link in self._links if not link.is_leaving]
        for link in self._idleness.surplus(usable):
            self._links.remove(link)
            link.close()
            self._traffic.closed(link)
        self._watch()

    def _make_link(self) -> UpstreamLink:
        return UpstreamLink(self._limits, self._keepalive, self, hits=self._hits)

    def _failed(self, reason: str) -> None:
        if self._timer is None:
            delay = self._backoff.failed()
            self._timer = asyncio.get_running_loop().call_later(delay, self._try_again)
        if any(not link.is_leaving for link in self._links):
            return  # calls continue on the other connections
        if self._failure is None:
            log.warning("upstream_is_lost", upstream=self._name, reason=reason)
        self._failure = f"{self._name} cannot be reached ({reason}), try again"
        self._refuse(self._failure)

    def _try_again(self) -> None:
        self._timer = None
        if self._failure is None:
            self._dispatch()
        elif self._attempt is None:
            self._try()

    def _refuse(self, message: str) -> None:
        for call in self._waiting.clear():
            call.end(UpstreamUnavailableError(message))
