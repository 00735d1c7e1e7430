"""The connections to one upstream: made when needed, and made again when lost."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from services.proxy.http2.limits import Limit, LimitHits, Limits
from services.proxy.relay.errors import UpstreamUnavailableError
from services.proxy.relay.faults import unexpected_error
from services.proxy.relay.link import Keepalive
from services.proxy.relay.traffic import Traffic
from services.proxy.relay.upstreams.backoff import Backoff, BackoffPolicy
from services.proxy.relay.upstreams.idleness import LOOKS, Idleness
from services.proxy.relay.upstreams.upstream_link import Owner, UpstreamLink
from shared.errors import OverloadedError, VecguardError
from shared.observability.log import get_logger

log = get_logger(__name__)

# Connections in a row that were lost with calls and without any answer. One may have met a
# restart; after that, another one at once would be no better.
_MAX_USELESS = 1

# Connections that leave keep their open calls for as long as these last. Without an end to
# their number a client that cancels, and leaves one call open on each, would use up all files.
_MAX_LEAVING = 16

LinkFactory = Callable[[], UpstreamLink]
#: Makes a connection that is ready for use. Whatever goes wrong is an OSError.
Connector = Callable[[LinkFactory], Awaitable[UpstreamLink]]


class Waiting(Protocol):
    """A call, as the pool sees it."""

    def forward(self, link: UpstreamLink) -> None:
        """Opens its stream on a connection that has room."""

    def end(self, reason: VecguardError) -> None:
        """It cannot be forwarded."""


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How many connections there are, and when.

    Attributes:
        connections: most connections at a time. One carries everything as long as it can,
            since frames that are written together cost least; the others are for servers
            that allow few streams on a connection (100 is common) or do not read one
            quickly enough.
        waiting: calls that wait for a connection or for a stream on one; more are refused.
        idle_seconds: how long one that is not the only one may be without a call before it
            is closed; None: for ever. Longer than the pause between two bursts, or each
            burst would have to connect anew.
        backoff: between failed attempts.
    """

    connections: int = 4
    waiting: int = 1000
    idle_seconds: float | None = 300.0
    backoff: BackoffPolicy = field(default_factory=BackoffPolicy)


class Pool(Owner):
    """Hands each call to a connection that takes it now, or lets it wait for its turn.

    The first attempt to connect is made at once and its calls wait for it. When it fails,
    they and those that follow are told the reason without waiting, until one of the further
    attempts, which need no call to be made, brings a connection.

    Attributes:
        connects: attempts to connect so far, by how they ended: ok or failed.
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
        self._backoff = Backoff(policy.backoff, random)
        self._links: list[UpstreamLink] = []
        # In the order of their turns. A dictionary, because calls end while they wait.
        self._waiting: dict[Waiting, None] = {}
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
        """The connections that there are; one that leaves counts until its last call ends."""
        return tuple(self._links)

    @property
    def failure(self) -> str | None:
        """Why no connection can be made at present; None while one can."""
        return self._failure

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._waiting)

    @property
    def traffic(self) -> dict[str, int]:
        """Bytes received and sent so far."""
        return self._traffic.totals(self._links)

    def send(self, call: Waiting) -> None:
        """Forwards a call as soon as possible.

        Raises:
            UpstreamUnavailableError: the last attempt to connect has failed.
            OverloadedError: too many calls wait already.
        """
        if not self._waiting:
            for link in self._links:
                if link.has_room:
                    call.forward(link)
                    return
        if self._failure is not None:
            raise UpstreamUnavailableError(self._failure)
        if len(self._waiting) >= self._policy.waiting:
            self._hits.hit(Limit.WAITING_CALLS)
            raise OverloadedError(f"too many calls wait for {self._name}, try again")
        self._waiting[call] = None
        self._grow()

    def forget(self, call: Waiting) -> None:
        """The call waits no more."""
        self._waiting.pop(call, None)

    def close(self) -> None:
        """Closes the connections; calls in flight end as if these were lost."""
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

    # What connections tell.

    def has_room(self, link: UpstreamLink) -> None:
        """A connection may take another call."""
        del link
        if self._waiting and not self._is_dispatch_due:
            # Not at once: whoever tells this is in the midst of something.
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
        """Whether one more may leave."""
        return sum(link.is_leaving for link in self._links) < _MAX_LEAVING

    # Within.

    def _dispatch(self) -> None:
        self._is_dispatch_due = False
        for link in self._links:
            while self._waiting and link.has_room:
                call = next(iter(self._waiting))
                del self._waiting[call]
                try:
                    call.forward(link)
                except Exception as error:  # noqa: BLE001 - logged and told
                    call.end(unexpected_error(error))
        self._grow()

    def _grow(self) -> None:
        for link in self._links:
            if link.connection.is_used_up:  # after 2**30 calls
                link.retire()
        usable = sum(not link.is_leaving for link in self._links)
        if (
            self._waiting
            and self._attempt is None
            and self._timer is None
            and usable < self._policy.connections
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
        except Exception as error:  # noqa: BLE001 - logged and told
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
            return  # it was to be one more only
        if self._failure is None:
            log.warning("upstream_is_lost", upstream=self._name, reason=reason)
        self._failure = f"{self._name} cannot be reached ({reason}), try again"
        self._refuse(self._failure)

    def _try_again(self) -> None:
        self._timer = None
        if self._failure is None:
            self._grow()
        elif self._attempt is None:
            self._try()

    def _refuse(self, message: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for call in waiting:
            call.end(UpstreamUnavailableError(message))
