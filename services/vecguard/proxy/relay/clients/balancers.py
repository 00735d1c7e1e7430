"""Knows the load balancers that may say on behalf of which client they connect or call."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from vecguard.addresses import Address
from vecguard.networks import Networks
from vecguard.observability.log import get_logger
from vecguard.observability.sparse import SparseLog
from vecguard.proxy.relay.clients.forwarded_for import forwarded_host

if TYPE_CHECKING:
    from vecguard.proxy.relay.clients.client_link import ClientLink

log = get_logger(__name__)


class HeaderFault(StrEnum):
    """Why a connection was closed for its PROXY header, by the name in the metrics."""

    MISSING = "missing"
    MALFORMED = "malformed"
    LATE = "late"
    UNTRUSTED = "untrusted"


_UNTRUSTED: Final = (
    "a PROXY header from an address that is not in proxy.proxyProtocol.trusted; add the address "
    "if it is a load balancer of yours"
)


@dataclass(frozen=True, slots=True)
class BalancerPolicy:
    """Which peers are believed.

    Attributes:
        proxy_header: their connections must begin with a PROXY header.
        forwarded_for: their calls have the client's address in `x-forwarded-for`.
        hops: how many trusted proxies append to that header.
    """

    proxy_header: Networks
    forwarded_for: Networks
    hops: int


#: Every client connects by itself.
NO_BALANCERS: Final = BalancerPolicy(Networks(), Networks(), 1)


class Balancers:
    """Applies the policy, and counts what does not follow it.

    Attributes:
        closed: connections that were closed for their PROXY header, by its fault.
    """

    def __init__(self, policy: BalancerPolicy, origin_of: Callable[[str], str]) -> None:
        """`origin_of` maps an address to its origin; one origin can have many addresses."""
        self._policy = policy
        self._forwarding = Forwarding(policy.hops, origin_of)
        self.closed: Counter[HeaderFault] = Counter(dict.fromkeys(HeaderFault, 0))
        # Strangers can cause `untrusted` without limit; that must not hide the other faults.
        self._logs = {fault: SparseLog(log) for fault in HeaderFault}

    def sends_header(self, host: str) -> bool:
        """Returns whether a connection from this address must begin with a PROXY header."""
        return host in self._policy.proxy_header

    def forwarding_of(self, host: str) -> "Forwarding | None":
        """Returns what finds the clients of this peer's calls; None: it is the client itself."""
        return self._forwarding if host in self._policy.forwarded_for else None

    @property
    def unusable(self) -> int:
        """How many calls of trusted peers had no usable `x-forwarded-for`."""
        return self._forwarding.unusable

    def note_fault(self, fault: HeaderFault, peer: tuple[str, int], detail: str) -> None:
        """Counts and logs a connection that is closed for its PROXY header."""
        self.closed[fault] += 1
        self._logs[fault].warning(
            "proxy_header_refused", reason=str(fault), peer=str(Address(*peer)), detail=detail
        )

    def note_untrusted(self, peer: tuple[str, int]) -> None:
        """Counts and logs a PROXY header of a peer that is not trusted."""
        self.note_fault(HeaderFault.UNTRUSTED, peer, _UNTRUSTED)


class Forwarding:
    """Finds the clients of calls that a trusted peer forwards.

    Attributes:
        unusable: how many calls had no usable header.
    """

    def __init__(self, hops: int, origin_of: Callable[[str], str]) -> None:
        self._hops = hops
        self._origin_of = origin_of
        self.unusable = 0

    def client_of(self, link: "ClientLink", values: Sequence[bytes]) -> "ForwardedClient":
        """Returns the client of a call with these values of `x-forwarded-for`.

        Without a usable value it is the peer itself: then no client has chosen its address, and
        the balancer's own health checks work.
        """
        host = forwarded_host(values, self._hops)
        if host is None:
            self.unusable += 1
            return ForwardedClient(link, link.host(), link.origin)
        return ForwardedClient(link, host, self._origin_of(host))


class ForwardedClient:
    """The client of one call that a balancer forwards.

    Attributes:
        origin: its origin, see `origin_of`.
    """

    __slots__ = ("_host", "_link", "origin")

    def __init__(self, link: "ClientLink", host: str | None, origin: str) -> None:
        self._link = link
        self._host = host
        self.origin = origin

    def host(self) -> str | None:
        """Returns its IP address; None without one."""
        return self._host

    def certificate(self) -> Mapping[str, Any] | None:
        """Returns None: the balancer ends TLS, so the client's certificate is unknown."""
        return None

    @property
    def precedents(self) -> None:
        """Nothing is kept: another client's call may be the next one on the connection."""
        return
