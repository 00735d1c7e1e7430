"""Reserves a port that several processes will share."""

from collections.abc import Iterator
from contextlib import contextmanager

from vecguard.addresses import Address
from vecguard.listening import bound_sockets, close_all


@contextmanager
def reserved_port(ip: str, port: int, *, settings: str) -> Iterator[int]:
    """Binds a port for processes that listen on it with SO_REUSEPORT. Yields its number.

    It does not listen itself, so that no client waits at it. For port 0 it finds a free port, the
    same for all processes.

    Args:
        ip: an address or a host name, as the processes will use it.
        port: the port, or 0.
        settings: the setting names for the error.

    Raises:
        CannotListenError: the port cannot be bound, or another process listens on it.
    """
    address = Address(ip, port)
    if port:
        # Without this check, a second proxy would silently take half of the first one's clients.
        close_all(bound_sockets(address, settings=settings))
    held = bound_sockets(address, settings=settings, shares_port=True)
    try:
        yield int(held[0].getsockname()[1])
    finally:
        close_all(held)
