"""Where calls arrive: each is admitted, routed and sent on, or told why not."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.proxy.http2.connection import Fields
from services.proxy.http2.fields import literal
from services.proxy.relay.active import ActiveCalls
from services.proxy.relay.call import Call, unexpected_error
from services.proxy.relay.client_link import ClientLink
from services.proxy.relay.headers import PEER, RequestHead, user_field
from services.proxy.relay.routing import Routes
from services.proxy.relay.upstream import Upstream
from services.proxy.relay.upstream_link import UpstreamLink
from shared.errors import VecguardError
from shared.grpc.addresses import Address


@dataclass(frozen=True, slots=True)
class Admission:
    """Who a call is from: a user with the password's revision, or nobody in particular."""

    username: str | None
    revision: int = 0


# The verified certificate of a client, in the form of `SSLObject.getpeercert()`.
PeerCertificate = Callable[[], Mapping[str, Any] | None]


class Gatekeeper(Protocol):
    """Decides by the values of the `authorization` header and by the client's certificate.

    Raises to refuse.
    """

    def admit_now(self, authorization: Sequence[bytes]) -> Admission | None:
        """The decision if it needs no waiting; None: ask `admit`."""
        ...

    async def admit(
        self, authorization: Sequence[bytes], certificate: PeerCertificate
    ) -> Admission: ...


class Reception:
    """Decides about calls; those that need no waiting cost no task.

    Attributes:
        links: the clients that are connected.
        tasks: the calls that wait for the gatekeeper or for an upstream.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        routes: Routes[Upstream],
        active: ActiveCalls,
        *,
        max_message_bytes: int,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._routes = routes
        self._active = active
        self.max_message_bytes = max_message_bytes
        self.links: set[ClientLink] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def connected(self, link: ClientLink) -> None:
        """A client is there."""
        self.links.add(link)

    def disconnected(self, link: ClientLink) -> None:
        """A client is gone."""
        self.links.discard(link)

    def opened(self, call: Call) -> None:
        """A call has begun to arrive."""
        self._active.enter(call)

    def closed(self, call: Call) -> None:
        """The call is over."""
        self._active.leave(call)

    def arrived(self, call: Call, fields: Fields) -> None:
        """Decides about a call."""
        try:
            head = RequestHead(fields)
            call.set_deadline(head.timeout_seconds)
            admission = self._gatekeeper.admit_now(head.authorization)
            if admission is None:
                self._wait(call, self._admit(call, head))
            else:
                self._route(call, head, admission)
        except VecguardError as error:
            call.end(error)
        except Exception:  # noqa: BLE001 - logged and told
            call.end(unexpected_error())

    def _route(self, call: Call, head: RequestHead, admission: Admission) -> None:
        upstream = self._routes.find(head.path.value)
        identity = b""
        if admission.username is not None:
            identity = user_field(admission.username)
            if upstream.revocable:
                self._active.identify(call, admission.username, admission.revision)
        if upstream.policy.shows_peer:
            identity += literal(PEER, _peer(call.client_link).encode())
        link = upstream.free_link()
        if link is None:
            self._wait(call, self._connect(call, head, identity, upstream))
        else:
            _forward(call, head, identity, upstream, link)

    def _wait(self, call: Call, decide: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_guarded(call, decide))
        call.waits_for(task)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _admit(self, call: Call, head: RequestHead) -> None:
        certificate = call.client_link.certificate
        self._route(call, head, await self._gatekeeper.admit(head.authorization, certificate))

    async def _connect(
        self, call: Call, head: RequestHead, identity: bytes, upstream: Upstream
    ) -> None:
        _forward(call, head, identity, upstream, await upstream.link())


async def _guarded(call: Call, decide: Coroutine[Any, Any, None]) -> None:
    try:
        await decide
    except VecguardError as error:
        call.end(error)
    except Exception:  # noqa: BLE001 - logged and told
        call.end(unexpected_error())


def _forward(
    call: Call, head: RequestHead, identity: bytes, upstream: Upstream, link: UpstreamLink
) -> None:
    block = head.forwarded(
        upstream.policy,
        preface=upstream.preface,
        authority=upstream.authority,
        identity=identity,
        remaining_seconds=call.remaining_seconds(),
    )
    call.forward(link, block, upstream.name)


def _peer(link: ClientLink) -> str:
    address = link.peer_name()
    return str(Address(*address)) if address else "local"
