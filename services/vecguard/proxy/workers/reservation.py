"""A port that several processes are going to share."""

from collections.abc import Iterator
from contextlib import contextmanager

from vecguard.addresses import Address
from vecguard.listening import bound_sockets, close_all


@contextmanager
def reserved_port(ip: str, port: int, *, settings: str) -> Iterator[int]:
    """Holds a port for processes that listen on it with SO_REUSEPORT; gives its number.

    Nothing listens on what is held, so no client ever waits at it. For a port of 0 a free
    one is found, and all get the same.

    Args:
        ip: an address or a host name, as the processes will use it.
        port: the port, or 0.
        settings: the keys to name when it cannot be had.

    Raises:
        CannotListenError: it cannot be had, or another process listens on it.
    """
    address = Address(ip, port)
    if port:
        # With SO_REUSEPORT a second proxy would quietly take half of the first one's clients.
        close_all(bound_sockets(address, settings=settings))
    held = bound_sockets(address, settings=settings, shares_port=True)
    try:
        yield int(held[0].getsockname()[1])
    finally:
        close_all(held)
