"""A port that several processes are going to share."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from shared.addresses import Address
from shared.errors import ConfigurationError


@contextmanager
def reserved_port(ip: str, port: int, *, key: str) -> Iterator[int]:
    """Holds a port for processes that listen on it with SO_REUSEPORT; gives its number.

    Nothing listens on what is held, so no client ever waits at it. For a port of 0 a free
    one is found, and all get the same.

    Args:
        ip: an address or a host name, as the processes will use it.
        port: the port, or 0.
        key: the setting to name when it cannot be had.

    Raises:
        ConfigurationError: it cannot be had, or somebody listens on it.
    """
    with ExitStack() as held:
        try:
            addresses = sorted(set(_resolved(ip, port)))
            for family, host in addresses:
                _check_unused(family, host, port)
                port = _hold(held, family, host, port)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {Address(ip, port)} ({error.strerror or error}); "
                f"free it or set {key}"
            ) from error
        yield port


def _resolved(ip: str, port: int) -> Iterator[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in found:
        yield family, str(address[0])


def _check_unused(family: socket.AddressFamily, host: str, port: int) -> None:
    # With SO_REUSEPORT a second proxy would quietly take half of the first one's clients.
    if port:
        with _socket(family) as trial:
            trial.bind((host, port))


def _hold(held: ExitStack, family: socket.AddressFamily, host: str, port: int) -> int:
    holder = held.enter_context(_socket(family))
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind((host, port))
    return int(holder.getsockname()[1])


def _socket(family: socket.AddressFamily) -> socket.socket:
    new = socket.socket(family)
    # As asyncio's servers do: a closed connection in TIME_WAIT does not count.
    new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return new
