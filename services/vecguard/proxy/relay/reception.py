"""Admits, routes and forwards arriving calls, or refuses them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from mypy_extensions import mypyc_attr

from vecguard.errors import VecguardError
from vecguard.proxy.http2.handler import Fields
from vecguard.proxy.identity_headers import identity_fields, origin_fields
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.calls.call import Call
from vecguard.proxy.relay.calls.call_counts import CallCounts
from vecguard.proxy.relay.calls.deadlines import Deadlines
from vecguard.proxy.relay.calls.headers import RequestHead
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.calls.permission import Permission
from vecguard.proxy.relay.calls.request import KeptBytes, Request
from vecguard.proxy.relay.calls.tracing import TRACEPARENT, TRACESTATE, Span, Tracer
from vecguard.proxy.relay.clients.client_link import ClientLink, Host
from vecguard.proxy.relay.clients.forwarded_for import X_FORWARDED_FOR
from vecguard.proxy.relay.traffic import Traffic
from vecguard.proxy.relay.unexpected import unexpected_error
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Upstream


class Client(Protocol):
    """The connected client, as a gatekeeper sees it."""

    def host(self) -> str | None:
        """Returns its IP address; None without one."""
        ...

    def certificate(self) -> Mapping[str, Any] | None:
        """Returns its verified certificate, as `SSLObject.getpeercert` does; None without one."""
        ...

    @property
    def precedents(self) -> dict[bytes, Any] | None:
        """What an authorizer remembers of the client's calls, by method, while it is connected.

        None if nothing can be remembered.
        """
        ...


class Arriving(Protocol):
    """A call that has arrived, as an authorizer sees it."""

    def request_in_one_piece(self) -> bytes | None:
        """Returns the data of the request if all of it has come, in one piece."""
        ...


# A class and no Protocol: compiled code calls the methods of a class faster.
@mypyc_attr(allow_interpreted_subclasses=True)
class Gatekeeper(ABC):
    """Admits calls by their `authorization` header and their client.

    Raises VecguardError to refuse; `is_bad_login` counts against the client's connection.
    """

    @abstractmethod
    def admit_now(
        self, authorization: Sequence[bytes], client: Client, earlier: Principal | None = None
    ) -> Principal | None:
        """Returns the principal if it is known; None: await `admit`.

        `earlier` is the principal of another open call of the same client. It can only make
        the new decision faster, not change it.
        """

    @abstractmethod
    async def admit(self, authorization: Sequence[bytes], client: Client) -> Principal:
        """Returns the principal after checking the login."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Authorizer(ABC):
    """Decides which admitted calls a user may make."""

    @abstractmethod
    def permission(
        self, principal: Principal, head: RequestHead, client: Client, call: Arriving
    ) -> Permission | None:
        """Returns the permission of a call; None if every user may make it.

        Several calls of a client may share one permission that is given.

        Raises:
            VecguardError: the caller may not make it, whatever its request says.
        """


class Reception(Host):
    """Decides about calls; only decisions that must be awaited cost a task.

    Attributes:
        max_request_bytes: the maximum size of one message of a request, in bytes.
        max_answer_bytes: the maximum size of one message of an answer, in bytes.
        links: the connected clients.
        tasks: the tasks of calls that wait for the gatekeeper.
        call_counts: counts of the calls by how they ended.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        routes: Routes[Upstream],
        open_calls: OpenCalls,
        *,
        max_request_bytes: int,
        max_answer_bytes: int,
        authorizer: Authorizer | None = None,
        filtering: Upstream | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Takes the parts.

        Without `authorizer` every user may make every call. `filtering` is the upstream of calls
        whose permission `filters_answer`; without it there must be none.
        """
        self._gatekeeper = gatekeeper
        self._authorizer = authorizer
        self._filtering = filtering
        self._routes = routes
        self._open_calls = open_calls
        self._kept = KeptBytes()
        self._deadlines = Deadlines(asyncio.get_running_loop())
        self.max_request_bytes = max_request_bytes
        self.max_answer_bytes = max_answer_bytes
        self.links: set[ClientLink] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.call_counts = CallCounts()
        self._tracer = tracer
        self._spans: dict[Call, Span] = {}
        self._traffic = Traffic()

    @property
    def traffic(self) -> dict[str, int]:
        """Bytes received from clients and sent to them so far."""
        return self._traffic.totals(self.links)

    def connected(self, link: ClientLink) -> None:
        """Adds a client that has connected."""
        self.links.add(link)
        self._open_calls.enter(link)

    def disconnected(self, link: ClientLink) -> None:
        """Removes a client that has disconnected."""
        self.links.discard(link)
        self._open_calls.leave(link)
        self._traffic.closed(link)

    def close(self) -> None:
        """Cancels the timer of deadlines, after the end of the last call."""
        self._deadlines.close()

    def closed(self, call: Call) -> None:
        """Counts a call that is over, and ends its span."""
        self.call_counts.ended(call.method, call.code)
        if self._spans and (span := self._spans.pop(call, None)) is not None:
            span.end(call.code)

    def arrived(self, link: ClientLink, call: Call, fields: Fields) -> None:
        """Admits and routes a call, or ends it with an error."""
        try:
            try:
                head = RequestHead(fields)
            except VecguardError:
                link.refused()
                raise
            call.method = head.path.value
            if fields is not None:
                call.count_memory(fields)
            if self._tracer is not None:
                self._trace(self._tracer, call, head)
            if head.timeout_seconds is not None:
                call.set_deadline(head.timeout_seconds, self._deadlines)
            if head.length is not None:
                call.require_length(head.length)
            client: Client = link if link.forwarding is None else _forwarded(link, call, head)
            newest = link.newest
            principal = self._gatekeeper.admit_now(
                head.authorization, client, None if newest is None else newest.principal
            )
            if principal is None:
                link.note_pending_decision()
                self._wait(call, self._admit(link, client, call, head))
            else:
                self._route(link, client, call, head, principal)
        except VecguardError as error:
            _refuse(link, call, error)
        except Exception as error:  # noqa: BLE001 - logged, and the call gets the error
            call.end(unexpected_error(error))

    def _trace(self, tracer: Tracer, call: Call, head: RequestHead) -> None:
        span = tracer.begin(call.method, head.values(TRACEPARENT), head.values(TRACESTATE))
        if span is not None:
            self._spans[call] = span
            head.replace(TRACEPARENT, span.traceparent)

    def _route(
        self, link: ClientLink, client: Client, call: Call, head: RequestHead, principal: Principal
    ) -> None:
        upstream = self._routes.find(head.path.value)
        link.admitted(call, principal)
        permission = None
        if self._authorizer is not None:
            permission = self._authorizer.permission(principal, head, client, call)
            if permission is not None and permission.filters_answer:
                if self._filtering is None:
                    raise RuntimeError("no upstream filters answers")
                upstream = self._filtering
        identity = identity_fields(principal)
        if upstream.policy.shows_peer:
            identity += origin_fields(principal, client.host())
        call.route(Request(upstream, head, identity, self._kept), permission)

    def _wait(self, call: Call, decide: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(decide)
        call.set_decision_task(task)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _admit(self, link: ClientLink, client: Client, call: Call, head: RequestHead) -> None:
        try:
            principal = await self._gatekeeper.admit(head.authorization, client)
            self._route(link, client, call, head, principal)
        except VecguardError as error:
            _refuse(link, call, error)
        except Exception as error:  # noqa: BLE001 - logged, and the call gets the error
            call.end(unexpected_error(error))


def _forwarded(link: ClientLink, call: Call, head: RequestHead) -> Client:
    """Returns the client on whose behalf a balancer makes the call."""
    forwarding = link.forwarding
    if forwarding is None:
        return link
    client = forwarding.client_of(link, head.values(X_FORWARDED_FOR))
    call.origin = client.origin
    return client


def _refuse(link: ClientLink, call: Call, error: VecguardError) -> None:
    if error.is_bad_login:
        link.refused()
    call.end(error)
