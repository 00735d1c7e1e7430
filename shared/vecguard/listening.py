"""Opens the sockets that the services listen on."""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from vecguard.addresses import Address
from vecguard.errors import ConfigurationError

#: Every address of IPv4 and IPv6.
EVERYWHERE: Final = "::"

# The errors of a machine whose kernel has no IPv6 or has it disabled.
_NO_IPV6: Final = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL))

# How many times to try another free port when one family has the port and the other one does not.
_FREE_PORT_TRIES: Final = 5

_Place = tuple[socket.AddressFamily, Any]


class CannotListenError(ConfigurationError):
    """The process cannot listen on an address.

    Attributes:
        cause: the system's error, in words.
        is_taken: whether a listener or an outgoing connection uses it.
    """

    def __init__(self, address: Address, error: OSError, settings: str) -> None:
        """Describes the error; `settings` names the keys, as in "proxy.ip and proxy.port"."""
        self.cause = _reason(error)
        self.is_taken = error.errno == errno.EADDRINUSE
        remedy = "free it or set" if self.is_taken else "set"
        super().__init__(f"cannot listen on {address} ({self.cause}); {remedy} {settings}")


def listening_sockets(
    address: Address, *, settings: str, backlog: int, shares_port: bool = False
) -> list[socket.socket]:
    """Returns the sockets of `bound_sockets`, listening with this backlog."""
    sockets = bound_sockets(address, settings=settings, shares_port=shares_port)
    try:
        for each in sockets:
            each.listen(backlog)
    except OSError as error:  # another process that does not share the port came first
        close_all(sockets)
        raise CannotListenError(address, error, settings) from error
    return sockets


def bound_sockets(
    address: Address, *, settings: str, shares_port: bool = False
) -> list[socket.socket]:
    """Returns a socket for each address of the host, all with the same port.

    `::` means every address of IPv4 and IPv6. Each family has its own socket, so that a client
    of IPv4 keeps its address in logs and limits; on one socket it would be ::ffff:a.b.c.d.

    Args:
        address: where to listen; with port 0 a free port is chosen.
        settings: the keys to name in an error.
        shares_port: whether other processes may listen on it too (SO_REUSEPORT).

    Raises:
        CannotListenError: the host has no address, or one of them cannot be used. IPv6 addresses of
            a host name are skipped on a machine without IPv6 if another address can be used.
    """
    tries = 1 if address.port else _FREE_PORT_TRIES
    while True:
        tries -= 1
        try:
            return _all_bound(address, settings, shares_port=shares_port)
        except CannotListenError as error:
            if not (tries and error.is_taken):
                raise


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Closes all sockets."""
    for each in sockets:
        each.close()


def _all_bound(address: Address, settings: str, *, shares_port: bool) -> list[socket.socket]:
    is_name = not _is_ip_address(address.host)
    port, missing = address.port, OSError()
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        try:
            for family, place in _places(address):
                try:
                    bound = _bound(family, (place[0], port, *place[2:]), shares_port=shares_port)
                except OSError as error:
                    if not (is_name and family == socket.AF_INET6 and error.errno in _NO_IPV6):
                        raise
                    missing = error
                    continue
                sockets.append(opened.enter_context(bound))
                port = bound.getsockname()[1]
            if not sockets:
                raise missing
        except OSError as error:
            raise CannotListenError(address, error, settings) from error
        opened.pop_all()
    return sockets


def _places(address: Address) -> list[_Place]:
    if address.host == EVERYWHERE:
        # IPv6 comes first, so that an error on a machine without it names it.
        return [
            (socket.AF_INET6, ("::", address.port, 0, 0)),
            (socket.AF_INET, ("0.0.0.0", address.port)),
        ]
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((family, place) for family, _, _, _, place in found))


def _bound(family: socket.AddressFamily, place: Any, *, shares_port: bool) -> socket.socket:
    # asyncio sets TCP_NODELAY only on sockets that name their protocol, also accepted ones.
    new = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        new.setblocking(False)
        # A closed connection in TIME_WAIT does not count.
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # IPv4 has its own socket if it is wanted.
            new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        new.bind(place)
    except OSError:
        new.close()
        raise
    return new


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reason(error: OSError) -> str:
    if error.errno == errno.EAFNOSUPPORT:
        return "this machine has no IPv6; 0.0.0.0 listens on every address of IPv4"
    return error.strerror or str(error)
